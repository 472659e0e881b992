/* test_qrnn_double.c -- the QRNN op in the double core equals plain loops to 1e-11. */
#include "qrnn_oracle.h"

static void layer_equals_plain_loops_forward_and_backward(void **state) {
  (void)state;
  equals_the_plain_loops(1e-11);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(layer_equals_plain_loops_forward_and_backward)};
  return cmocka_run_group_tests_name("qrnn in double", tests, NULL, NULL);
}
