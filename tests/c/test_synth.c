/* test_synth.c -- rows between rows, rows with noise, and what neighbours say: against plain loops, on any number of threads. */
#include "check.h"

#include <math.h>
#include <string.h>

#include "base/bulk.h"
#include "base/mem.h"
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
  static int32_t order[N];
  for (int64_t i = 0; i < N; i++) order[i] = (int32_t)(N - 1 - i);
  for (int64_t i = 0; i < N; i++) a[i] = (i * 3) % N, b[i] = (i * 7 + 1) % N, gap[i] = kk_random_uniform(4, (uint64_t)i);
  gap[0] = 0;
  for (int t = 0; t < 2; t++) {
    kk_pool_set_threads(t ? 4 : 1);
    kk_synth_between(x, D, a, b, gap, N, t ? order : NULL, made[t]);
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

static void test_an_order_has_pairs_together(void **state) {
  (void)state;
  enum { M = 7, K = 5, DRAWS = 10000 };
  static kk_draw draw[DRAWS];
  static int32_t order[DRAWS];
  static bool seen[DRAWS];
  int32_t at[M * K];
  kk_synth_draw(13, M, K, DRAWS, draw);
  kk_synth_order(draw, K, DRAWS, M * K, at, order);
  for (int64_t o = 0; o < DRAWS; o++) {
    const kk_draw *now = draw + order[o], *last = o ? draw + order[o - 1] : now;
    const int32_t pair = now->base * K + now->neighbour, before = last->base * K + last->neighbour;
    assert_false(seen[order[o]]);
    seen[order[o]] = true;
    assert_true(before < pair || (before == pair && (o == 0 || order[o - 1] < order[o])));
  }
}

/* More than KK_BULK_LEAST, with rows that are no whole number of lines: written past the caches, and the same. */
static void test_large_results_are_those_of_small_ones(void **state) {
  (void)state;
  enum { WIDE = 1037, MANY = 8200, SOME = 300 };
  const size_t size = (size_t)MANY * WIDE * sizeof(kk_real);
  assert_true(size >= KK_BULK_LEAST);
  kk_real *from = kk_alloc((size_t)N * WIDE * sizeof *from), *large = kk_alloc(size), *small = kk_alloc(size);
  static int64_t a[MANY], b[MANY];
  static double gap[MANY];
  for (int64_t i = 0; i < N * WIDE; i++) from[i] = x[i % (N * D)];
  for (int64_t i = 0; i < MANY; i++) a[i] = (i * 31) % N, b[i] = (i * 17 + 5) % N, gap[i] = kk_random_uniform(6, (uint64_t)i);
  kk_synth_between(from, WIDE, a, b, gap, MANY, NULL, large);
  for (int64_t i = 0; i < MANY; i += SOME)
    kk_synth_between(from, WIDE, a + i, b + i, gap + i, i + SOME < MANY ? SOME : MANY - i, NULL, small + i * WIDE);
  assert_memory_equal(large, small, size);
  const kk_points p = {from, WIDE, MANY, a};
  kk_synth_copy(&p, large);
  for (int64_t i = 0; i < MANY; i++) assert_memory_equal(large + i * WIDE, from + a[i] * WIDE, WIDE * sizeof *from);
  kk_free(from, (size_t)N * WIDE * sizeof *from);
  kk_free(large, size);
  kk_free(small, size);
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
    cmocka_unit_test(test_an_order_has_pairs_together),   cmocka_unit_test(test_large_results_are_those_of_small_ones),
    cmocka_unit_test(test_shares_are_rounded_to_even),    cmocka_unit_test(test_noise_has_its_spread_and_copies_are_copies),
    cmocka_unit_test(test_what_neighbours_say),
  };
  return cmocka_run_group_tests(tests, fill, NULL);
}
