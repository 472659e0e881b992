/* test_near.c -- exact neighbours: every sieve against plain loops, equal distances, nearest and farthest, any number of
** threads, memory that is refused. */
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/pool.h"
#include "base/stop.h"
#include "sample/near.h"
#include "tensor/random.h"

static kk_err err;

static kk_real *cloud(int64_t n, int64_t d, uint64_t key, double away, double grain) {
  kk_real *x = kk_alloc((size_t)(n * d) * sizeof *x);
  assert_non_null(x);
  for (int64_t i = 0; i < n * d; i++) {
    const double v = away + kk_random_normal(key, (uint64_t)i);
    x[i] = (kk_real)(grain > 0 ? grain * floor(v / grain) : v);
  }
  return x;
}

typedef struct pair { double value; int32_t at; } pair;
static int by_value(const void *pa, const void *pb) {
  const pair *a = pa, *b = pb;
  return a->value < b->value ? -1 : a->value > b->value ? 1 : (a->at > b->at) - (a->at < b->at);
}

/* The k nearest of data to query i by full sort. */
static void oracle(const kk_points *q, const kk_points *data, int64_t i, int64_t k, unsigned how, pair *all, int32_t *index) {
  int64_t n = 0;
  for (int64_t a = 0; a < data->n; a++) {
    double sum = 0;
    if ((how & KK_NEAR_OTHERS) && kk_point_row(q, i) == kk_point_row(data, a)) continue;
    for (int64_t c = 0; c < q->d; c++) {
      const double t = (double)kk_point(q, i)[c] - (double)kk_point(data, a)[c];
      sum += t * t;
    }
    all[n++] = (pair){how & KK_NEAR_FAR ? -sum : sum, (int32_t)a};
  }
  qsort(all, (size_t)n, sizeof *all, by_value);
  for (int64_t c = 0; c < k; c++) index[c] = all[c].at;
}

/* All of it, by every sieve; distances agree where sums in another order may swap what is all but equal. */
static void against_oracle(const kk_points *q, const kk_points *data, int64_t k, unsigned how, bool exact) {
  const size_t n = (size_t)(q->n * k);
  int32_t *index = kk_alloc(n * sizeof *index), *other = kk_alloc(n * sizeof *other), *want = kk_alloc((size_t)k * sizeof *want);
  double *square = kk_alloc(n * sizeof *square);
  pair *all = kk_alloc((size_t)data->n * sizeof *all);
  static const unsigned sieves[] = {0, KK_NEAR_FLOAT, KK_NEAR_BYTES, KK_NEAR_WORDS};
  for (int sieve = 0; sieve < 4; sieve++) {
    check_ok(kk_near(q, data, k, how | sieves[sieve], sieve ? other : index, square, &err), &err);
    if (sieve) assert_memory_equal(index, other, n * sizeof *index);
  }
  for (int64_t i = 0; i < q->n; i++) {
    oracle(q, data, i, k, how, all, want);
    for (int64_t c = 0; c < k; c++) {
      const double got = square[i * k + c], expected = fabs(all[c].value);
      if (fabs(got - expected) > 1e-12 * (1 + expected)) fail_msg("query %ld, place %ld: %g, expected %g", (long)i, (long)c, got, expected);
      if (exact) assert_int_equal(index[i * k + c], want[c]);
    }
  }
  kk_free(index, n * sizeof *index);
  kk_free(other, n * sizeof *other);
  kk_free(want, (size_t)k * sizeof *want);
  kk_free(square, n * sizeof *square);
  kk_free(all, (size_t)data->n * sizeof *all);
}

static void test_neighbours_are_those_of_a_full_sort(void **state) {
  static const int64_t sizes[][4] = {{1, 2, 1, 1},       {30, 40, 3, 5},   {97, 300, 33, 7},
                                     {150, 900, 64, 10}, {20, 9000, 17, 6}, {8, 500, 400, 200}};
  (void)state;
  for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
    const int64_t m = sizes[s][0], n = sizes[s][1], d = sizes[s][2], k = sizes[s][3];
    kk_real *a = cloud(m, d, 1, 3, 0), *b = cloud(n, d, 2, 3, 0);
    const kk_points q = {a, d, m, NULL}, data = {b, d, n, NULL};
    against_oracle(&q, &data, k, 0, true);
    against_oracle(&q, &data, k, KK_NEAR_FAR, true);
    kk_free(a, (size_t)(m * d) * sizeof *a);
    kk_free(b, (size_t)(n * d) * sizeof *b);
  }
}

static void test_a_point_is_not_its_own_neighbour_and_rows_are_honoured(void **state) {
  (void)state;
  enum { N = 600, D = 20, M = 200 };
  kk_real *x = cloud(N, D, 5, -100, 0);
  int64_t rows[M], odd[N / 2];
  for (int64_t i = 0; i < M; i++) rows[i] = (7 * i + 3) % N;
  for (int64_t i = 0; i < N / 2; i++) odd[i] = 2 * i + 1;
  const kk_points q = {x, D, M, rows}, all = {x, D, N, NULL}, half = {x, D, N / 2, odd};
  against_oracle(&q, &all, 5, KK_NEAR_OTHERS, true);
  against_oracle(&q, &half, 5, KK_NEAR_OTHERS, true);
  against_oracle(&all, &all, 1, KK_NEAR_OTHERS, true);
  against_oracle(&all, &all, N - 1, KK_NEAR_OTHERS, true);
  kk_free(x, (size_t)(N * D) * sizeof *x);
}

/* Each product then serves two points: fewer of them than a segment, more than one, and in another order. */
static void test_points_among_themselves(void **state) {
  static const int64_t sizes[] = {90, 800};
  (void)state;
  for (int s = 0; s < 2; s++) {
    const int64_t n = sizes[s], d = 18;
    kk_real *x = cloud(n, d, 20 + (uint64_t)s, 5, 0);
    int64_t *rows = kk_alloc((size_t)n * sizeof *rows);
    for (int64_t i = 0; i < n; i++) rows[i] = (11 * i + 3) % n;
    const kk_points all = {x, d, n, NULL}, some = {x, d, n, rows};
    against_oracle(&all, &all, 4, s ? KK_NEAR_FAR : 0, true);
    against_oracle(&some, &some, 5, KK_NEAR_OTHERS, true);
    kk_free(rows, (size_t)n * sizeof *rows);
    kk_free(x, (size_t)(n * d) * sizeof *x);
  }
}

/* More of them than a block: against the same points under another name, whose products serve one. */
static void test_points_among_themselves_and_among_their_doubles(void **state) {
  (void)state;
  enum { N = 5000, D = 18, K = 5 };
  static const unsigned hows[] = {KK_NEAR_FLOAT, KK_NEAR_BYTES, KK_NEAR_WORDS, KK_NEAR_WORDS | KK_NEAR_FAR};
  static int64_t rows[N];
  static int32_t index[2][N * K];
  static double square[2][N * K];
  kk_real *x = cloud(N, D, 23, 5, 0);
  for (int64_t i = 0; i < N; i++) rows[i] = i;
  const kk_points all = {x, D, N, NULL}, same = {x, D, N, rows};
  for (size_t h = 0; h < sizeof hows / sizeof *hows; h++) {
    check_ok(kk_near(&all, &all, K, KK_NEAR_OTHERS | hows[h], index[0], square[0], &err), &err);
    check_ok(kk_near(&all, &same, K, KK_NEAR_OTHERS | hows[h], index[1], square[1], &err), &err);
    assert_memory_equal(index[0], index[1], sizeof index[0]);
    assert_memory_equal(square[0], square[1], sizeof square[0]);
  }
  kk_free(x, (size_t)(N * D) * sizeof *x);
}

static void test_equal_distances_go_by_position(void **state) {
  (void)state;
  enum { N = 5000, D = 16 };
  kk_real *x = cloud(N, D, 6, 0, 4);                  /* a few values a column: many points are the same */
  const kk_points q = {x, D, 50, NULL}, all = {x, D, N, NULL};
  against_oracle(&q, &all, 8, KK_NEAR_OTHERS, true);
  against_oracle(&q, &all, 8, KK_NEAR_FAR, true);
  for (int64_t i = 0; i < N * D; i++) x[i] = 3;
  against_oracle(&q, &all, 8, KK_NEAR_OTHERS, true);
  const kk_points few = {x, D, 1200, NULL};
  against_oracle(&few, &few, 8, KK_NEAR_OTHERS, true);
  kk_free(x, (size_t)(N * D) * sizeof *x);
}

static void test_uneven_points(void **state) {
  (void)state;
  enum { N = 3000, D = 40 };
  kk_real *x = cloud(N, D, 7, 0, 0);
  for (int64_t i = 0; i < N; i++)                     /* clusters far apart, scales of all sizes, an outlier */
    for (int64_t c = 0; c < D; c++) x[i * D + c] = x[i * D + c] * (kk_real)pow(10, (double)(c % 7) - 4) + (kk_real)(1000 * (double)(i % 5));
  x[17 * D + 3] = (kk_real)1e9;
  const kk_points q = {x, D, 300, NULL}, all = {x, D, N, NULL};
  against_oracle(&q, &all, 6, KK_NEAR_OTHERS, false);
  kk_free(x, (size_t)(N * D) * sizeof *x);
}

static void test_same_bits_for_any_number_of_threads(void **state) {
  (void)state;
  enum { N = 5500, D = 50, K = 6 };
  kk_real *x = cloud(N, D, 8, 0, 0);
  const kk_points all = {x, D, N, NULL};
  static int32_t index[2][N * K];
  static double square[2][N * K];
  for (int t = 0; t < 2; t++) {
    kk_pool_set_threads(t ? 5 : 1);
    check_ok(kk_near(&all, &all, K, KK_NEAR_OTHERS, index[t], square[t], &err), &err);
  }
  kk_pool_set_threads(0);
  assert_memory_equal(index[0], index[1], sizeof index[0]);
  assert_memory_equal(square[0], square[1], sizeof square[0]);
  kk_free(x, (size_t)(N * D) * sizeof *x);
}

static void test_what_is_refused(void **state) {
  (void)state;
  kk_real x[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  int32_t index[8];
  int64_t point, column;
  kk_points p = {x, 2, 4, NULL}, wide = {x, 4, 2, NULL}, none = {x, 2, 0, NULL};
  check_fails(kk_near(&p, &p, 5, 0, index, NULL, &err), KK_EARG, &err, "k is 5, expected 1..4");
  check_fails(kk_near(&p, &p, 4, KK_NEAR_OTHERS, index, NULL, &err), KK_EARG, &err, "expected 1..3");
  check_fails(kk_near(&p, &p, 0, 0, index, NULL, &err), KK_EARG, &err, "k is 0");
  check_fails(kk_near(&p, &wide, 1, 0, index, NULL, &err), KK_ESHAPE, &err, "2 and 4 features");
  check_ok(kk_near(&none, &p, 1, 0, index, NULL, &err), &err);
  assert_false(kk_points_bad(&p, &point, &column));
  x[5] = (kk_real)NAN;
  assert_true(kk_points_bad(&p, &point, &column));
  assert_int_equal(point, 2);
  assert_int_equal(column, 1);
  x[5] = 0, x[6] = (kk_real)-INFINITY;
  assert_true(kk_points_bad(&p, &point, &column));
  assert_int_equal(point * 10 + column, 30);
  kk_stop_request();
  x[6] = 0;
  check_fails(kk_near(&p, &p, 1, 0, index, NULL, &err), KK_EINTR, &err, "interrupted");
  kk_stop_clear();
}

static void test_refused_memory_leaves_nothing(void **state) {
  (void)state;
  kk_real *x = cloud(100, 8, 9, 0, 0);
  const kk_points p = {x, 8, 100, NULL};
  int32_t index[300];
  check_ok(kk_near(&p, &p, 3, 0, index, NULL, &err), &err);
  const size_t live = kk_mem_live();
  kk_mem_fail_after(0);
  check_fails(kk_near(&p, &p, 3, 0, index, NULL, &err), KK_ENOMEM, &err, "no memory");
  kk_mem_fail_after(-1);
  assert_int_equal(kk_mem_live(), live);
  kk_free(x, 800 * sizeof *x);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_neighbours_are_those_of_a_full_sort),
    cmocka_unit_test(test_a_point_is_not_its_own_neighbour_and_rows_are_honoured),
    cmocka_unit_test(test_points_among_themselves),
    cmocka_unit_test(test_points_among_themselves_and_among_their_doubles),
    cmocka_unit_test(test_equal_distances_go_by_position),
    cmocka_unit_test(test_uneven_points),
    cmocka_unit_test(test_same_bits_for_any_number_of_threads),
    cmocka_unit_test(test_what_is_refused),
    cmocka_unit_test(test_refused_memory_leaves_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
