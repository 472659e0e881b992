/* test_ops_double.c -- the gradient of every op in the double core: 1e-7 relative to differences. */
#include <math.h>

#include "ops_generic.h"

static void op_gradient_is_right(void **state) { check_gradient(*state, 1e-7); }
static void op_survives_failing_allocations(void **state) { check_allocations(*state); }
static void op_refuses_bad_arguments(void **state) { check_refusals(*state); }

int main(void) {
  static struct CMUnitTest tests[2048];
  static char names[2048][96];
  int n = 0;
  for (int i = 0; kk_ops[i]; i++) {
    const kk_op *op = kk_ops[i];
    snprintf(names[n], sizeof names[n], "%s: gradient equals differences", op->name);
    tests[n] = (struct CMUnitTest){.name = names[n], .test_func = op_gradient_is_right, .initial_state = (void *)(uintptr_t)op};
    n++;
  }
  /* one op through the other two as well: the double core is the same code */
  tests[n++] = (struct CMUnitTest){.name = "linear refuses in double", .test_func = op_refuses_bad_arguments,
                                   .initial_state = (void *)(uintptr_t)kk_op_find("linear")};
  tests[n++] = (struct CMUnitTest){.name = "linear survives in double", .test_func = op_survives_failing_allocations,
                                   .initial_state = (void *)(uintptr_t)kk_op_find("linear")};
  return _cmocka_run_group_tests("ops in double", tests, (size_t)n, NULL, NULL);
}
