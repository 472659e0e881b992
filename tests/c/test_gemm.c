/* test_gemm.c -- matrix products against plain sums in double: every kernel that this processor runs, packed and not,
** odd sizes, slabs, any number of threads; AMX's kernel also in plain C. */
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/pool.h"
#include "linalg/gemm.h"
#include "linalg/kernel16.h"
#include "tensor/random.h"

#define KK_AMX_IN_C
#include "linalg/kernel_amx.c"

static kk_real *numbers(int64_t n, uint64_t key) {
  kk_real *x = kk_alloc((size_t)n * sizeof *x + 64);
  assert_non_null(x);
  for (int64_t i = 0; i < n; i++) {
    uint32_t w[4];
    kk_philox(key, (uint64_t)i, w);
    x[i] = (kk_real)((double)w[0] / 2147483648.0 - 1);
  }
  return x;
}

static void drop(kk_real *x, int64_t n) { kk_free(x, (size_t)n * sizeof *x + 64); }

typedef struct shape { int64_t m, n, k; } shape;
static const shape shapes[] = {{1, 1, 1}, {3, 5, 7}, {17, 33, 5}, {8, 48, 16}, {13, 49, 1153}, {97, 100, 64}, {64, 200, 33},
                               {1, 400, 70}, {200, 17, 130}, {5, 131, 2305}};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

/* Largest |c - sum| relative to sqrt(k): numbers are within (-1,1). */
static double worst(bool ta, bool tb, shape s, const kk_real *a, int64_t lda, const kk_real *b, int64_t ldb, const kk_real *c0,
                    const kk_real *c, int64_t ldc) {
  double far = 0;
  for (int64_t i = 0; i < s.m; i++)
    for (int64_t j = 0; j < s.n; j++) {
      double sum = c0 ? (double)c0[i * ldc + j] : 0;
      for (int64_t q = 0; q < s.k; q++)
        sum += (double)(ta ? a[q * lda + i] : a[i * lda + q]) * (double)(tb ? b[j * ldb + q] : b[q * ldb + j]);
      far = fmax(far, fabs(sum - (double)c[i * ldc + j]) / sqrt((double)s.k));
    }
  return far;
}

/* op(A) op(B), all four ways and both ends of add, rows longer than they need be, in the pool, alone, and packed. */
static void check_shape(shape s, double most) {
  const int64_t pad = 3, ldc = s.n + pad;
  for (int way = 0; way < 8; way++) {
    const bool ta = way & 1, tb = way & 2, add = way & 4;
    const int64_t lda = (ta ? s.m : s.k) + pad, ldb = (tb ? s.k : s.n) + pad;
    const int64_t na = (ta ? s.k : s.m) * lda, nb = (tb ? s.n : s.k) * ldb, nc = s.m * ldc;
    kk_real *a = numbers(na, 1), *b = numbers(nb, 2), *c0 = numbers(nc, 3), *c = numbers(nc, 3), *d = numbers(nc, 3);
    kk_gemm(ta, tb, s.m, s.n, s.k, a, lda, b, ldb, add, c, ldc);
    const double far = worst(ta, tb, s, a, lda, b, ldb, add ? c0 : NULL, c, ldc);
    if (!(far <= most)) fail_msg("%ld x %ld x %ld, way %d: off by %g", (long)s.m, (long)s.n, (long)s.k, way, far);
    for (int64_t i = 0; i < s.m; i++)                         /* nothing outside C is touched */
      for (int64_t j = s.n; j < ldc; j++) assert_true(c[i * ldc + j] == c0[i * ldc + j]);
    kk_gemm_serial(ta, tb, s.m, s.n, s.k, a, lda, b, ldb, add, d, ldc);
    assert_memory_equal(c, d, (size_t)nc * sizeof *c);
    if (!ta) {
      const int64_t np = kk_packed_count(s.k, s.n), nl = kk_left_count(s.m, s.k);
      kk_real *room = numbers(np, 4), *low = numbers(nl, 5);
      const kk_packed p = kk_pack(tb, s.k, s.n, b, ldb, room);
      const kk_left left = kk_left_of(s.m, s.k, a, lda, low);
      memcpy(d, c0, (size_t)nc * sizeof *d);
      kk_gemm_packed(s.m, a, lda, &p, add, d, ldc);
      assert_memory_equal(c, d, (size_t)nc * sizeof *c);
      memcpy(d, c0, (size_t)nc * sizeof *d);
      for (int64_t n0 = 0; n0 < s.n; n0 += kk_panel())        /* in two row ranges */
        for (int64_t m0 = 0, half = (s.m + 1) / 2; m0 < s.m; m0 += half)
          kk_gemm_packed_serial(&left, m0, m0 + half < s.m ? m0 + half : s.m, &p, n0, n0 + kk_panel() < s.n ? n0 + kk_panel() : s.n,
                                add, d + m0 * ldc + n0, ldc, NULL);
      assert_memory_equal(c, d, (size_t)nc * sizeof *c);
      drop(room, np);
      drop(low, nl);
    }
    drop(a, na);
    drop(b, nb);
    drop(c0, nc);
    drop(c, nc);
    drop(d, nc);
  }
}

static const char *const names[] = {"portable", "neon", "avx2", "avx512"};

static void each_kernel_equals_plain_sums(void **state) {
  kk_err e;
  int ran = 0;
  (void)state;
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    if (kk_gemm_choose(names[i], &e)) continue;
    assert_string_equal(kk_gemm_kernel(), names[i]);
    for (int k = 0; k < SHAPES; k++) check_shape(shapes[k], 1e-6);
    ran++;
  }
  assert_true(ran >= 1);
  check_ok(kk_gemm_choose(NULL, &e), &e);
}

static void unknown_kernel_is_refused(void **state) {
  kk_err e;
  (void)state;
  check_fails(kk_gemm_choose("abacus", &e), KK_EARG, &e, "abacus");
  check_fails(kk_gemm_choose("abacus", &e), KK_EARG, &e, "known: ");
}

/* bfloat16 keeps 8 bits: an operand is off by at most 2^-9 of itself; in three products by about 2^-17. */
static void check_low(const kk_kernel16 *kernel) {
  kk_err e;
  kk_gemm_use16(kernel);
  for (int k = 0; k < SHAPES; k++) {
    check_ok(kk_gemm_precision(KK_BF16, &e), &e);
    check_shape(shapes[k], 6e-3);
    check_ok(kk_gemm_precision(KK_BF16X3, &e), &e);
    check_shape(shapes[k], 3e-5);
  }
  check_ok(kk_gemm_precision(KK_FLOAT32, &e), &e);
}

/* 1 + 2^-9 lies between two bfloat16 numbers, next to 1; two of them together hold it. */
static void precision_is_what_it_says(void **state) {
  static const kk_precision all[] = {KK_FLOAT32, KK_BF16, KK_BF16X3};
  const kk_real a[1] = {(kk_real)1.001953125}, b[1] = {1};
  kk_real c[1];
  kk_err e;
  (void)state;
  kk_gemm_use16(&kk_kernel_amx_in_c);
  for (int i = 0; i < 3; i++) {
    check_ok(kk_gemm_precision(all[i], &e), &e);
    assert_int_equal(kk_gemm_precision_now(), all[i]);
    kk_gemm(false, false, 1, 1, 1, a, 1, b, 1, false, c, 1);
    assert_true(c[0] == (all[i] == KK_BF16 ? 1 : a[0]));
  }
  check_ok(kk_gemm_precision(KK_FLOAT32, &e), &e);
}

static void each_bfloat16_kernel_equals_plain_sums(void **state) {
  (void)state;
  check_low(&kk_kernel_amx_in_c);
#if defined(__x86_64__)
  if (kk_kernel_avx512_bf16.have()) check_low(&kk_kernel_avx512_bf16);
  if (kk_kernel_amx.have()) check_low(&kk_kernel_amx);
#endif
}

/* Numbers that bfloat16 holds exactly: products and their sums are exact, so every kernel answers the same. */
static void whole_numbers_are_exact_in_bfloat16(void **state) {
  kk_err e;
  const shape s = {37, 50, 70};
  kk_real *a = numbers(s.m * s.k, 1), *b = numbers(s.k * s.n, 2), *c = numbers(s.m * s.n, 3);
  (void)state;
  for (int64_t i = 0; i < s.m * s.k; i++) a[i] = (kk_real)(int)(a[i] * 100);
  for (int64_t i = 0; i < s.k * s.n; i++) b[i] = (kk_real)(int)(b[i] * 100);
  kk_gemm_use16(&kk_kernel_amx_in_c);
  check_ok(kk_gemm_precision(KK_BF16, &e), &e);
  kk_gemm(false, false, s.m, s.n, s.k, a, s.k, b, s.n, false, c, s.n);
  assert_true(worst(false, false, s, a, s.k, b, s.n, NULL, c, s.n) == 0);
  check_ok(kk_gemm_precision(KK_FLOAT32, &e), &e);
  drop(a, s.m * s.k);
  drop(b, s.k * s.n);
  drop(c, s.m * s.n);
}

/* In two parts a NaN stays a NaN and an infinity one of them: nothing finite comes of them. */
static void what_is_not_finite_stays_so(void **state) {
  static const kk_precision all[] = {KK_FLOAT32, KK_BF16, KK_BF16X3};
  kk_err e;
  (void)state;
  kk_gemm_use16(&kk_kernel_amx_in_c);
  for (int i = 0; i < 3; i++) {
    kk_real a[3] = {(kk_real)NAN, (kk_real)INFINITY, 1}, b[1] = {2}, c[3] = {0};
    check_ok(kk_gemm_precision(all[i], &e), &e);
    kk_gemm(false, false, 3, 1, 1, a, 1, b, 1, false, c, 1);
    assert_true(isnan((double)c[0]));
    assert_true(!isfinite((double)c[1]));
    assert_true(c[2] == 2);
  }
  check_ok(kk_gemm_precision(KK_FLOAT32, &e), &e);
}

/* More than one slab of B, by columns and by rows; and the same bits for any number of threads. */
static void threads_and_slabs_change_no_bit(void **state) {
  static const shape big[] = {{150, 9000, 1300}, {40, 700, 8000}};
  static const kk_precision all[] = {KK_FLOAT32, KK_BF16};
  kk_err e;
  (void)state;
  kk_gemm_use16(&kk_kernel_amx_in_c);
  for (size_t i = 0; i < 4; i++) {
    shape s = big[i / 2];
    if (i % 2) s.n /= 8, s.m /= 8;                            /* the tiles in plain C are slow */
    kk_real *a = numbers(s.m * s.k, 1), *b = numbers(s.k * s.n, 2), *c = numbers(s.m * s.n, 3), *d = numbers(s.m * s.n, 3);
    check_ok(kk_gemm_precision(all[i % 2], &e), &e);
    kk_pool_set_threads(1);
    kk_gemm(false, true, s.m, s.n, s.k, a, s.k, b, s.k, false, c, s.n);
    for (int threads = 2; threads <= 3; threads++) {
      kk_pool_set_threads(threads);
      memset(d, 0, (size_t)(s.m * s.n) * sizeof *d);
      kk_gemm(false, true, s.m, s.n, s.k, a, s.k, b, s.k, false, d, s.n);
      assert_memory_equal(c, d, (size_t)(s.m * s.n) * sizeof *c);
    }
    for (int64_t n = 0; n < s.n; n += 97) {                   /* a look at some columns */
      const shape one = {s.m, 1, s.k};
      assert_true(worst(false, true, one, a, s.k, b + n * s.k, s.k, NULL, c + n, s.n) < (i % 2 ? 6e-3 : 1e-6));
    }
    drop(a, s.m * s.k);
    drop(b, s.k * s.n);
    drop(c, s.m * s.n);
    drop(d, s.m * s.n);
  }
  kk_pool_set_threads(0);
  check_ok(kk_gemm_precision(KK_FLOAT32, &e), &e);
}

static void negated(void *arg, int64_t row, int64_t j, int64_t n, kk_real *to) {
  const kk_real *b = arg;
  for (int64_t i = 0; i < n; i++) to[i] = -b[row * 70 + j + i];
}

static void rows_may_come_from_a_function(void **state) {
  const shape s = {9, 70, 70};
  kk_real *a = numbers(s.m * s.k, 1), *b = numbers(s.k * s.n, 2), *c = numbers(s.m * s.n, 3), *d = numbers(s.m * s.n, 3);
  const int64_t np = kk_packed_count(s.k, s.n);
  kk_real *room = numbers(np, 4);
  (void)state;
  for (int tb = 0; tb < 2; tb++) {
    const kk_packed p = kk_pack_rows(tb, s.k, s.n, negated, b, room);
    kk_gemm_packed(s.m, a, s.k, &p, false, c, s.n);
    kk_gemm(false, tb, s.m, s.n, s.k, a, s.k, b, 70, false, d, s.n);
    for (int64_t i = 0; i < s.m * s.n; i++) assert_true(c[i] == -d[i]);
  }
  drop(a, s.m * s.k);
  drop(b, s.k * s.n);
  drop(c, s.m * s.n);
  drop(d, s.m * s.n);
  drop(room, np);
}

static void nothing_to_sum_is_zero(void **state) {
  kk_real c[4] = {1, 2, 3, 4}, a[1] = {0};
  (void)state;
  kk_gemm(false, false, 2, 2, 0, a, 0, a, 2, true, c, 2);
  assert_true(c[3] == 4);
  kk_gemm(false, false, 2, 2, 0, a, 0, a, 2, false, c, 2);
  assert_true(c[0] == 0 && c[3] == 0);
}

static int ready(void **state) {
  kk_err e;
  (void)state;
  return kk_gemm_ready(&e) ? -1 : 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(each_kernel_equals_plain_sums),      cmocka_unit_test(unknown_kernel_is_refused),
    cmocka_unit_test(precision_is_what_it_says),
    cmocka_unit_test(each_bfloat16_kernel_equals_plain_sums), cmocka_unit_test(whole_numbers_are_exact_in_bfloat16),
    cmocka_unit_test(what_is_not_finite_stays_so),        cmocka_unit_test(threads_and_slabs_change_no_bit),
    cmocka_unit_test(rows_may_come_from_a_function),      cmocka_unit_test(nothing_to_sum_is_zero),
  };
  return cmocka_run_group_tests(tests, ready, NULL);
}
