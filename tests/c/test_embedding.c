/* The embedding's gradient: sums in the order of the ids, to the bit, for any number of threads. */
#include <string.h>

#include "base/pool.h"
#include "check.h"
#include "grad/tape.h"

static kk_tensor *tensor(kk_dtype d, int64_t a, int64_t b) {
  kk_shape s = {.ndim = b ? 2 : 1, .n = {a, b}};
  kk_tensor *t;
  kk_err e;
  check_ok(kk_tensor_zeros(d, &s, &t, &e), &e);
  return t;
}

static void sums_in_order(int64_t rows, int64_t width, int64_t tokens, int threads) {
  kk_tensor *table = tensor(KK_F32, rows, width), *ids = tensor(KK_I32, tokens, 0), *seed = tensor(KK_F32, tokens, width);
  kk_real *want = test_calloc((size_t)(rows * width), sizeof *want);
  const double opt[2] = {0, 3};
  kk_args a = {.nin = 2, .in = {ids, table}, .opt = opt, .stream = &(kk_stream){.seed = 1}};
  kk_tensor *out[KK_MAXOUT] = {0};
  kk_tape *tape;
  kk_err e;
  kk_pool_set_threads(threads);
  for (int64_t i = 0; i < tokens * width; i++) kk_real_data(seed)[i] = (kk_real)(kk_random_uniform(3, (uint64_t)i) - 0.5);
  for (int64_t n = 0; n < tokens; n++) {                      /* low ids more often; id 2 is the padding */
    const double u = kk_random_uniform(1, (uint64_t)n) * kk_random_uniform(2, (uint64_t)n);
    const int32_t id = (int32_t)((double)rows * u);
    kk_i32_data(ids)[n] = id;
    for (int64_t d = 0; d < width && id != 2; d++) want[id * width + d] += kk_real_data(seed)[n * width + d];
  }
  table->store->wants_grad = true;
  check_ok(kk_tape_new(true, &tape, &e), &e);
  check_ok(kk_op_run(kk_op_find("embedding"), &a, tape, out, &e), &e);
  check_ok(kk_tape_backward(tape, out[0], seed, &e), &e);
  assert_memory_equal(table->store->grad, want, (size_t)(rows * width) * sizeof *want);
  kk_tape_free(tape);
  kk_unref(out[0]), kk_unref(table), kk_unref(ids), kk_unref(seed);
  test_free(want);
  kk_pool_set_threads(0);
}

static void gradients_are_summed_in_the_order_of_the_ids(void **state) {
  (void)state;
  for (int threads = 1; threads <= 5; threads++) {
    sums_in_order(1, 1, 3, threads);
    sums_in_order(5, 3, 100, threads);
    sums_in_order(17, 33, 1000, threads);
    sums_in_order(1000, 130, 700, threads);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(gradients_are_summed_in_the_order_of_the_ids),
  };
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
