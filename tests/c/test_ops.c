/* test_ops.c -- every op in the float core: gradients, refusals, failing allocations, nothing left behind. */
#include <math.h>

#include "ops_generic.h"

static void op_refuses_bad_arguments(void **state) { check_refusals(*state); }
/* Rough: float differences are good to a few thousandths. The double core asks for 1e-7. */
static void op_gradient_is_roughly_right(void **state) { check_gradient(*state, 1e-2); }
static void op_survives_failing_allocations(void **state) { check_allocations(*state); }

int main(void) {
  static struct CMUnitTest tests[2048];
  static char names[2048][96];
  int n = 0;
  for (int i = 0; kk_ops[i]; i++) {
    const kk_op *op = kk_ops[i];
    snprintf(names[n], sizeof names[n], "%s: gradient roughly equals differences", op->name);
    tests[n] = (struct CMUnitTest){.name = names[n], .test_func = op_gradient_is_roughly_right, .initial_state = (void *)(uintptr_t)op};
    n++;
    snprintf(names[n], sizeof names[n], "%s refuses wrong shapes, options and released inputs", op->name);
    tests[n] = (struct CMUnitTest){.name = names[n], .test_func = op_refuses_bad_arguments, .initial_state = (void *)(uintptr_t)op};
    n++;
    snprintf(names[n], sizeof names[n], "%s survives each allocation failing", op->name);
    tests[n] = (struct CMUnitTest){.name = names[n], .test_func = op_survives_failing_allocations, .initial_state = (void *)(uintptr_t)op};
    n++;
  }
  return _cmocka_run_group_tests("ops", tests, (size_t)n, NULL, NULL);
}
