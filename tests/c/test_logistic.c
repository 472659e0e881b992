/* Linear heads, sparse products and repeats: threads change no bit, a refused allocation changes nothing, bad input is named. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/pool.h"
#include "eval/repeats.h"
#include "linalg/logistic.h"
#include "linalg/sparse.h"
#include "tensor/random.h"

enum { N = 700, D = 21, L = 3 };
static float x[N * D], w[L * D], again[L * D];
static uint8_t label[N];
static double b[L], c[L];
static const double grid[L] = {1, .1, .01};
static kk_err err;

static kk_logistic simulate(void) {
  uint32_t word[4];
  for (int i = 0; i < N * D; i++) {
    kk_philox(5, (uint64_t)i, word);
    x[i] = (float)((double)word[0] / 4294967296.0 - .5);
  }
  for (int i = 0; i < N; i++) {
    kk_philox(6, (uint64_t)i, word);
    label[i] = (double)x[i * D] + .4 * ((double)word[0] / 4294967296.0 - .5) > .35;
  }
  return (kk_logistic){.n = N, .d = D, .x = x, .label = label, .class_weight = {1, 1}, .tolerance = 1e-8, .most_steps = 500};
}

static void a_path_has_the_same_bits_for_any_thread_count(void **state) {
  kk_logistic q = simulate();
  int threads = kk_pool_threads(), steps[L];
  (void)state;
  assert_int_equal(kk_logistic_path(&q, grid, L, w, b, steps, &err), KK_OK);
  assert_true(steps[L - 1] > 0 && steps[L - 1] < 100);
  kk_pool_set_threads(threads == 1 ? 3 : 1);
  assert_int_equal(kk_logistic_path(&q, grid, L, again, c, NULL, &err), KK_OK);
  kk_pool_set_threads(threads);
  assert_memory_equal(w, again, sizeof w);
  assert_memory_equal(b, c, sizeof b);
}

static void the_mean_probability_is_the_share_of_the_class(void **state) {
  kk_logistic q = simulate();
  static double prob[N];
  double sum = 0, positives = 0;
  (void)state;
  assert_int_equal(kk_logistic_path(&q, grid + 2, 1, w, b, NULL, &err), KK_OK);
  kk_logistic_prob(x, N, D, w, b, 1, prob);
  for (int i = 0; i < N; i++) {
    sum += prob[i];
    positives += label[i];
  }
  assert_true(fabs(sum - positives) < 1e-3);       /* the constant is free: its gradient is this difference */
}

static void bad_rows_and_refused_memory(void **state) {
  kk_logistic q = simulate();
  const double wrong = -1;
  size_t before = kk_mem_live();
  (void)state;
  assert_int_equal(kk_logistic_path(&q, &wrong, 1, w, b, NULL, &err), KK_EARG);
  kk_mem_fail_after(0);
  assert_int_equal(kk_logistic_path(&q, grid, L, w, b, NULL, &err), KK_ENOMEM);
  kk_mem_fail_after(-1);
  x[3 * D + 1] = NAN;
  assert_int_equal(kk_logistic_path(&q, grid, L, w, b, NULL, &err), KK_EARG);
  assert_non_null(strstr(err.msg, "row 4, feature 2"));
  x[3 * D + 1] = 0;
  q.class_weight[1] = 0;
  assert_int_equal(kk_logistic_path(&q, grid, L, w, b, NULL, &err), KK_EARG);
  assert_int_equal(kk_mem_live(), before);
}

static void sparse_products_are_dense_ones(void **state) {
  const int64_t start[] = {0, 2, 2, 5};
  const int32_t col[] = {0, 3, 0, 1, 2};
  const double val[] = {2, -1, .5, 4, 1};
  const kk_sparse a = {3, 4, start, col, val};
  const float right[] = {1, 2, 3, 4, 5, 6, 7, 8}, left[] = {1, -1, 2, 3, 4, 5};
  const float want[] = {2 - 7, 4 - 8, 0, 0, .5f + 12 + 5, 1 + 16 + 6}, back[] = {2 + 2, -2 + 2.5f, 16, 20, 4, 5, -1, 1};
  float y[8];
  (void)state;
  kk_sparse_times(&a, right, 2, y);
  for (int i = 0; i < 6; i++) assert_true(y[i] == want[i]);
  kk_sparse_transposed_times(&a, left, 2, y);
  for (int i = 0; i < 8; i++) assert_true(y[i] == back[i]);
}

static void repeats_survive_each_refused_allocation(void **state) {
  enum { M = 2, R = 2, ROWS = 20 };
  double prob[M * R * ROWS];
  uint8_t pred[M * R * ROWS], y[ROWS];
  kk_interval out[M * KK_BIN_N], diff[M * KK_BIN_N];
  kk_plan p = {.n = ROWS, .resamples = 20, .seed = 1, .level = .95};
  size_t before;
  int refused = 0;
  (void)state;
  for (int i = 0; i < ROWS; i++) y[i] = i % 3 == 0;
  for (int i = 0; i < M * R * ROWS; i++) {
    prob[i] = (i * 37 % 101) / 101.0;
    pred[i] = prob[i] > .4;
  }
  const kk_repeats q = {.n = ROWS, .models = M, .repeats = R, .reference = 0, .prob = prob, .pred = pred, .label = y, .eps = 1e-7};
  assert_int_equal(kk_repeats_score(&q, &p, out, diff, &err), KK_OK);
  assert_true(diff[KK_BIN_MCC].value == 0);
  assert_true(fabs(diff[KK_BIN_N + KK_BIN_AP].value - (out[KK_BIN_N + KK_BIN_AP].value - out[KK_BIN_AP].value)) < 1e-15);
  before = kk_mem_live();
  for (int n = 0; n < 100; n++) {
    kk_mem_fail_after(n);
    kk_status st = kk_repeats_score(&q, &p, out, diff, &err);
    kk_mem_fail_after(-1);
    assert_int_equal(kk_mem_live(), before);
    if (!st) break;
    assert_int_equal(st, KK_ENOMEM);
    refused++;
  }
  assert_true(refused > 4);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_path_has_the_same_bits_for_any_thread_count),
    cmocka_unit_test(the_mean_probability_is_the_share_of_the_class),
    cmocka_unit_test(bad_rows_and_refused_memory),
    cmocka_unit_test(sparse_products_are_dense_ones),
    cmocka_unit_test(repeats_survive_each_refused_allocation),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
