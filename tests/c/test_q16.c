/* test_q16.c -- products of 16-bit words: each kernel against plain integers, rounding, and whole products. */
#include <math.h>
#include <string.h>

#include "check.h"

#include "base/mem.h"
#include "linalg/q16.h"
#include "tensor/random.h"

enum { MOST_K = 1153, COLUMNS = 37, ROWS = 13 };
enum { RANDOM, LOWEST, HIGHEST, ZERO, FILLS };

static int16_t word(int fill, int32_t most, uint64_t key, int64_t i) {
  if (fill != RANDOM) return (int16_t)(fill == LOWEST ? -most : fill == HIGHEST ? most : 0);
  return (int16_t)lrint((2 * kk_random_uniform(key, (uint64_t)i) - 1) * most);
}

/* The last word of a row of odd length is padding: zero on both sides. */
static void rows_of(int64_t n, int64_t k, int fill, uint64_t key, int16_t *to) {
  const int64_t width = kk_q16_width(k);
  for (int64_t i = 0; i < n * width; i++) to[i] = i % width < k ? word(fill, kk_q16_most(k), key, i) : 0;
}

static void tile_equals_integers(const kk_q16_kernel *kernel, int rows, int64_t k, int fill_a, int fill_b) {
  static int16_t a[KK_Q16_ROWS * (MOST_K + 1)], b[KK_Q16_PANEL * (MOST_K + 1)];
  const int64_t width = kk_q16_width(k);
  const size_t size = kk_q16_bytes(k, KK_Q16_PANEL);
  int32_t c[KK_Q16_ROWS][KK_Q16_PANEL];
  void *packed = kk_alloc(size);
  rows_of(rows, k, fill_a, 1, a);
  rows_of(KK_Q16_PANEL, k, fill_b, 2, b);
  kk_q16_pack(k, KK_Q16_PANEL, b, packed);
  kernel->tile(rows, width / KK_Q16_PAIR, a, width, packed, c);
  for (int r = 0; r < rows; r++)
    for (int64_t j = 0; j < KK_Q16_PANEL; j++) {
      int64_t want = 0;
      for (int64_t i = 0; i < k; i++) want += (int64_t)a[r * width + i] * b[j * width + i];
      if (c[r][j] != want) fail_msg("%s: %d rows, k %d: %d, expected %lld", kernel->name, rows, (int)k, c[r][j], (long long)want);
    }
  kk_free(packed, size);
}

static void every_kernel_gives_the_same_integers(void **state) {
  static const int64_t ks[] = {1, 2, 3, 4, 5, 33, 400, MOST_K};
  int ran = 0;
  (void)state;
  for (int v = 0; kk_q16_kernels[v]; v++) {
    if (!kk_q16_kernels[v]->have()) continue;
    ran++;
    for (int rows = 1; rows <= KK_Q16_ROWS; rows++)
      for (size_t i = 0; i < sizeof ks / sizeof *ks; i++)
        for (int fill = 0; fill < FILLS * FILLS; fill++) tile_equals_integers(kk_q16_kernels[v], rows, ks[i], fill / FILLS, fill % FILLS);
  }
  assert_true(ran >= 1);
  print_message("# %d kernels, the one in use: %s\n", ran, kk_q16_kernel_used()->name);
}

static void the_largest_word_leaves_sums_in_32_bits(void **state) {
  (void)state;
  for (int64_t k = 1; k <= KK_Q16_MOST; k++) {
    const int64_t most = kk_q16_most(k);
    if (most * most * k > INT32_MAX || most < 181) fail_msg("k %d: %d", (int)k, (int)most);
  }
}

static void rounding_is_within_half_a_step(void **state) {
  kk_real x[37], s;
  int16_t w[38];
  (void)state;
  for (int shift = -60; shift <= 100; shift += 20) {
    for (int i = 0; i < 37; i++) x[i] = (kk_real)ldexp(2 * kk_random_uniform(3, (uint64_t)i) - 1, shift);
    kk_q16_row(x, 37, w, &s);
    for (int i = 0; i < 37; i++) {
      assert_true(w[i] >= -kk_q16_most(37) && w[i] <= kk_q16_most(37));
      assert_true(fabs((double)s * w[i] - (double)x[i]) <= (double)s * .501);
    }
    assert_int_equal(w[37], 0);
  }
}

static void rows_of_zeros_and_rows_that_are_not_finite(void **state) {
  kk_real x[4][3] = {{0, 0, 0}, {1, (kk_real)NAN, 2}, {(kk_real)INFINITY, 1, 1}, {(kk_real)1e-38, 0, 0}}, s[4];
  int16_t w[4];
  (void)state;
  for (int r = 0; r < 4; r++) {
    kk_q16_row(x[r], 3, w, s + r);
    for (int i = 0; i < 4; i++) assert_int_equal(w[i], 0);
  }
  assert_true(s[0] == 0 && s[3] == 0);
  assert_true(isnan((double)s[1]) && isnan((double)s[2]));
}

static void panels_are_the_product_of_scaled_words(void **state) {
  enum { K = 401, WIDE = 48 };
  static int16_t a[ROWS * (K + 1)], b[COLUMNS * (K + 1)];
  static kk_real y[ROWS][WIDE];
  kk_real s[ROWS], scale[WIDE] = {0};
  const size_t size = kk_q16_bytes(K, COLUMNS);
  void *packed = kk_alloc(size);
  (void)state;
  rows_of(ROWS, K, RANDOM, 5, a);
  rows_of(COLUMNS, K, RANDOM, 6, b);
  for (int i = 0; i < ROWS; i++) s[i] = (kk_real)(i + 1);
  for (int i = 0; i < COLUMNS; i++) scale[i] = (kk_real)(.5 * i);
  (void)kk_q16_kernel_used();
  kk_q16_pack(K, COLUMNS, b, packed);
  for (int64_t n0 = 0; n0 < COLUMNS; n0 += KK_Q16_PANEL) kk_q16_panel(K, packed, n0, ROWS, a, s, scale + n0, y[0] + n0, WIDE);
  for (int i = 0; i < ROWS; i++)
    for (int j = 0; j < WIDE; j++) {
      double want = 0;
      for (int64_t k = 0; k < K && j < COLUMNS; k++) want += (double)(a[i * (K + 1) + k] * b[j * (K + 1) + k]);
      want *= (double)s[i] * (double)scale[j];
      assert_true(fabs((double)y[i][j] - want) <= 1e-6 * fabs(want));
    }
  kk_free(packed, size);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(every_kernel_gives_the_same_integers),
    cmocka_unit_test(the_largest_word_leaves_sums_in_32_bits),
    cmocka_unit_test(rounding_is_within_half_a_step),
    cmocka_unit_test(rows_of_zeros_and_rows_that_are_not_finite),
    cmocka_unit_test(panels_are_the_product_of_scaled_words),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
