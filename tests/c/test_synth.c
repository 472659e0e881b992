/* test_synth.c -- rows between rows, rows with noise, and what neighbours say: against plain loops, on any number of threads. */
#include "check.h"

#include <math.h>
#include <string.h>

#include "base/pool.h"
#include "sample/clean.h"
#include "sample/synth.h"
#include "tensor/random.h"

enum { N = 700, D = 9 };

static kk_real x[N * D];

static int fill(void **state) {
  (void)state;
  for (int64_t i = 0; i < N * D; i++) x[i] = (kk_real)kk_random_normal(3, (uint64_t)i);
  return 0;
}

static void test_a_row_lies_where_its_gap_says(void **state) {
  (void)state;
  static int64_t a[N], b[N];
  static double gap[N];
  static kk_real made[2][N * D];
  for (int64_t i = 0; i < N; i++) a[i] = (i * 3) % N, b[i] = (i * 7 + 1) % N, gap[i] = kk_random_uniform(4, (uint64_t)i);
  gap[0] = 0;
  for (int t = 0; t < 2; t++) {
    kk_pool_set_threads(t ? 4 : 1);
    kk_synth_between(x, D, a, b, gap, N, made[t]);
  }
  kk_pool_set_threads(0);
  assert_memory_equal(made[0], made[1], sizeof made[0]);
  assert_memory_equal(made[0], x + a[0] * D, D * sizeof *x);
  for (int64_t i = 0; i < N; i++)
    for (int64_t c = 0; c < D; c++) {
      const double from = (double)x[a[i] * D + c], want = from + gap[i] * ((double)x[b[i] * D + c] - from);
      if (fabs((double)made[0][i * D + c] - want) > 1e-6) fail_msg("row %ld, column %ld", (long)i, (long)c);
    }
}

static void test_draws_are_even_and_in_range(void **state) {
  (void)state;
  enum { M = 7, K = 5, DRAWS = 35000 };
  static kk_draw draw[DRAWS];
  int64_t seen[M][K] = {{0}}, times[M] = {3, 0, 1, 0, 0, 2, 4};
  double sum = 0;
  kk_synth_draw(11, M, K, DRAWS, draw);
  for (int64_t i = 0; i < DRAWS; i++) {
    assert_in_range(draw[i].base, 0, M - 1);
    assert_in_range(draw[i].neighbour, 0, K - 1);
    assert_true(draw[i].gap >= 0 && draw[i].gap < 1);
    seen[draw[i].base][draw[i].neighbour]++;
    sum += draw[i].gap;
  }
  for (int i = 0; i < M; i++)
    for (int c = 0; c < K; c++) assert_in_range(seen[i][c], 840, 1160);      /* 1000, five standard deviations */
  assert_true(fabs(sum / DRAWS - .5) < .008);
  kk_synth_draw_times(11, times, M, K, draw);
  for (int64_t i = 0, at = 0; i < M; i++)
    for (int64_t c = 0; c < times[i]; c++) assert_int_equal(draw[at++].base, i);
  for (uint64_t i = 0; i < 1000; i++) assert_true(kk_synth_half(5, (int64_t)i) >= 0 && kk_synth_half(5, (int64_t)i) < .5);
}

static void test_shares_are_rounded_to_even(void **state) {
  (void)state;
  const int32_t foreign[4] = {1, 1, 2, 0}, none[2] = {0, 0};
  int64_t times[4];
  assert_int_equal(kk_synth_shares(foreign, 4, 10, times), 9);      /* 2.5 and 2.5 become 2 */
  assert_int_equal(times[0], 2);
  assert_int_equal(times[1], 2);
  assert_int_equal(times[2], 5);
  assert_int_equal(times[3], 0);
  assert_int_equal(kk_synth_shares(none, 2, 10, times), 0);
  assert_int_equal(times[0], 0);
}

static void test_noise_has_its_spread_and_copies_are_copies(void **state) {
  (void)state;
  static kk_real copy[N * D], noisy[2][N * D], diff[N * D];
  static int64_t rows[N];
  double scale[D], sd[D];
  for (int64_t i = 0; i < N; i++) rows[i] = N - 1 - i;
  for (int c = 0; c < D; c++) scale[c] = c;
  const kk_points p = {x, D, N, rows}, d = {diff, D, N, NULL};
  kk_synth_copy(&p, copy);
  for (int64_t i = 0; i < N; i++) assert_memory_equal(copy + i * D, x + (N - 1 - i) * D, D * sizeof *x);
  for (int t = 0; t < 2; t++) {
    kk_pool_set_threads(t ? 3 : 1);
    kk_synth_shake(&p, scale, 12, noisy[t]);
  }
  kk_pool_set_threads(0);
  assert_memory_equal(noisy[0], noisy[1], sizeof noisy[0]);
  for (int64_t i = 0; i < N * D; i++) diff[i] = noisy[0][i] - copy[i];
  kk_synth_deviation(&d, sd);
  assert_true(sd[0] == 0);
  for (int c = 1; c < D; c++) assert_true(fabs(sd[c] / scale[c] - 1) < .14);
}

static void test_what_neighbours_say(void **state) {
  (void)state;
  const int32_t code[6] = {0, 0, 1, 1, 2, 2}, near[9] = {1, 2, 3, 0, 4, 5, 4, 5, 3}, own[3] = {0, 2, 1};
  const int32_t first[6] = {1, 2, 1, 4, 3, 4};
  int32_t foreign[3], most[3], count[3];
  uint8_t link[6];
  kk_clean_foreign(near, 3, 3, own, code, foreign);
  assert_int_equal(foreign[0] * 100 + foreign[1] * 10 + foreign[2], 212);
  kk_clean_most(near, 3, 3, code, 3, count, most);
  assert_int_equal(most[0] * 100 + most[1] * 10 + most[2], 122);
  kk_clean_most((const int32_t[]){4, 2}, 1, 2, code, 3, count, most);       /* one each: the lower class */
  assert_int_equal(most[0], 1);
  kk_clean_links(first, 6, code, link);
  const uint8_t want[6] = {0, 1, 1, 1, 1, 0};
  assert_memory_equal(link, want, sizeof want);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_a_row_lies_where_its_gap_says), cmocka_unit_test(test_draws_are_even_and_in_range),
    cmocka_unit_test(test_shares_are_rounded_to_even),    cmocka_unit_test(test_noise_has_its_spread_and_copies_are_copies),
    cmocka_unit_test(test_what_neighbours_say),
  };
  return cmocka_run_group_tests(tests, fill, NULL);
}
