/* The nearest rows of sparse matrices: all products reckoned one by one, ties, fewer rows than asked for, refused memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/pool.h"
#include "base/stop.h"
#include "linalg/sparse_nearest.h"

enum { ROWS = 90, QUERIES = 700, COLS = 40, MOST = 12, K = 7 };

typedef struct made { int64_t start[QUERIES + 1]; int32_t col[QUERIES * MOST]; double val[QUERIES * MOST]; kk_sparse m; } made;
static made a, q;

static uint32_t drawn = 1;
static uint32_t draw(uint32_t below) {
  drawn = drawn * 1664525u + 1013904223u;
  return (drawn >> 16) % below;
}

/* Rows with 0 to MOST columns, ascending; values are small multiples of 1/8, so that sums are exact and often equal. */
static void make(made *x, int64_t rows) {
  int64_t n = 0;
  for (int64_t i = 0; i < rows; i++) {
    x->start[i] = n;
    for (int32_t c = 0; c < COLS && n - x->start[i] < MOST; c++)
      if (draw(5) == 0) {
        x->col[n] = c;
        x->val[n++] = (double)(1 + draw(8)) / 8;
      }
    if (i % 31 == 0) n = x->start[i];                     /* some rows are empty */
  }
  x->start[rows] = n;
  x->m = (kk_sparse){rows, COLS, x->start, x->col, x->val};
}

static double product(int64_t i, int64_t j) {
  double sum = 0;
  for (int64_t k = q.start[i]; k < q.start[i + 1]; k++)
    for (int64_t l = a.start[j]; l < a.start[j + 1]; l++)
      if (q.col[k] == a.col[l]) sum += q.val[k] * a.val[l];
  return sum;
}

static int32_t row[QUERIES * ROWS], again[QUERIES * ROWS];
static float value[QUERIES * ROWS], same[QUERIES * ROWS];

/* Each place holds the best of the rows that no place before it holds. */
static void check(int64_t k) {
  for (int64_t i = 0; i < QUERIES; i++) {
    char taken[ROWS] = {0};
    for (int64_t p = 0; p < k; p++) {
      int64_t best = -1;
      for (int64_t j = 0; j < ROWS; j++)
        if (!taken[j] && product(i, j) > (best < 0 ? 0 : product(i, best))) best = j;
      assert_int_equal(row[i * k + p], best);
      assert_true(value[i * k + p] == (best < 0 ? 0 : (float)product(i, best)));
      if (best >= 0) taken[best] = 1;
    }
  }
}

static void all_products_reckoned_one_by_one(void **state) {
  kk_err e;
  (void)state;
  assert_int_equal(kk_sparse_nearest(&a.m, &q.m, K, row, value, &e), KK_OK);
  check(K);
  assert_int_equal(kk_sparse_nearest(&a.m, &q.m, ROWS, row, value, &e), KK_OK);      /* more than have anything in common */
  check(ROWS);
}

static void bits_do_not_depend_on_the_threads(void **state) {
  kk_err e;
  (void)state;
  kk_pool_set_threads(1);
  assert_int_equal(kk_sparse_nearest(&a.m, &q.m, K, row, value, &e), KK_OK);
  kk_pool_set_threads(3);
  assert_int_equal(kk_sparse_nearest(&a.m, &q.m, K, again, same, &e), KK_OK);
  kk_pool_set_threads(0);
  assert_memory_equal(row, again, QUERIES * K * sizeof *row);
  assert_memory_equal(value, same, QUERIES * K * sizeof *value);
}

static void an_interrupt_and_refused_memory_are_errors(void **state) {
  kk_err e;
  kk_status st;
  (void)state;
  kk_stop_request();
  assert_int_equal(kk_sparse_nearest(&a.m, &q.m, K, row, value, &e), KK_EINTR);
  kk_stop_clear();
  const size_t live = kk_mem_live();
  long n = 0;
  do {
    kk_mem_fail_after(n++);
    st = kk_sparse_nearest(&a.m, &q.m, K, row, value, &e);
    kk_mem_fail_after(-1);
    assert_int_equal(kk_mem_live(), live);
    assert_true(st == KK_OK || st == KK_ENOMEM);
  } while (st);
  assert_true(n >= 4);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(all_products_reckoned_one_by_one),
    cmocka_unit_test(bits_do_not_depend_on_the_threads),
    cmocka_unit_test(an_interrupt_and_refused_memory_are_errors),
  };
  make(&a, ROWS);
  make(&q, QUERIES);
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
