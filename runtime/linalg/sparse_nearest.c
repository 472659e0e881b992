/* sparse_nearest.c -- see sparse_nearest.h. The columns of a are listed once; a row of q then adds up its products with all rows
** that share a column with it, column by column, so bits do not depend on the thread count. */
#include "linalg/sparse_nearest.h"

#include <string.h>

#include "base/mem.h"
#include "base/pool.h"
#include "base/slots.h"
#include "base/stop.h"

enum { QUERIES = 8, BLOCK = 512 };       /* a chunk's; those between two looks at the stop flag */

/* Column j of a holds rows row[k] with val[k], start[j] <= k < start[j+1]. */
typedef struct columns { int64_t cols, values, *start; int32_t *row; float *val; } columns;

static void columns_free(columns *c) {
  kk_free(c->start, ((size_t)c->cols + 2) * sizeof *c->start);
  kk_free(c->row, (size_t)c->values * sizeof *c->row);
  kk_free(c->val, (size_t)c->values * sizeof *c->val);
}

static kk_status columns_make(columns *c, const kk_sparse *a, kk_err *e) {
  const size_t values = (size_t)a->start[a->rows], starts = (size_t)a->cols + 2;
  *c = (columns){a->cols, a->start[a->rows], kk_calloc(starts * sizeof *c->start), kk_alloc(values * sizeof *c->row),
                 kk_alloc(values * sizeof *c->val)};
  if (!c->start || !c->row || !c->val) return kk_fail(e, KK_ENOMEM, "nearest rows: out of memory for %zu values", values);
  int64_t *next = c->start + 1;          /* next[j]: where column j goes on; in the end that is where j + 1 begins */
  for (size_t k = 0; k < values; k++) next[a->col[k] + 1]++;
  for (int64_t j = 1; j <= a->cols; j++) next[j] += next[j - 1];
  for (int64_t i = 0; i < a->rows; i++)
    for (int64_t k = a->start[i]; k < a->start[i + 1]; k++) {
      const int64_t to = next[a->col[k]]++;
      c->row[to] = (int32_t)i;
      c->val[to] = (float)a->val[k];
    }
  return KK_OK;
}

typedef struct search {
  const columns *c;
  const kk_sparse *q;
  int64_t first, rows, k;                /* first: the row of q that chunk 0 begins with; rows: of a */
  int32_t *row;
  float *product;
  kk_slots sums;
} search;

/* Puts row i where it belongs among the `held` largest so far, at most k. */
static int64_t keep(int32_t *row, float *product, int64_t held, int64_t k, int32_t i, float sum) {
  int64_t at = held < k ? held++ : k - 1;
  for (; at > 0 && product[at - 1] < sum; at--) {
    product[at] = product[at - 1];
    row[at] = row[at - 1];
  }
  product[at] = sum;
  row[at] = i;
  return held;
}

static void search_rows(void *arg, int64_t begin, int64_t end) {
  search *s = arg;
  float *sums = kk_slots_take(&s->sums);
  for (int64_t i = s->first + begin; i < s->first + end; i++) {
    int32_t *row = s->row + i * s->k;
    float *product = s->product + i * s->k;
    int64_t held = 0;
    memset(sums, 0, (size_t)s->rows * sizeof *sums);
    for (int64_t k = s->q->start[i]; k < s->q->start[i + 1]; k++) {
      const int64_t from = s->c->start[s->q->col[k]], to = s->c->start[s->q->col[k] + 1];
      const float v = (float)s->q->val[k];
      for (int64_t j = from; j < to; j++) sums[s->c->row[j]] += v * s->c->val[j];
    }
    for (int64_t r = 0; r < s->rows; r++)
      if (sums[r] > 0 && (held < s->k || sums[r] > product[held - 1])) held = keep(row, product, held, s->k, (int32_t)r, sums[r]);
    for (; held < s->k; held++) {
      row[held] = -1;
      product[held] = 0;
    }
  }
  kk_slots_give(&s->sums, sums);
}

kk_status kk_sparse_nearest(const kk_sparse *a, const kk_sparse *q, int64_t k, int32_t *row, float *product, kk_err *e) {
  columns c;
  search s = {.c = &c, .q = q, .rows = a->rows, .k = k, .row = row, .product = product};
  kk_status st = columns_make(&c, a, e);
  if (!st) st = kk_slots_new(&s.sums, (size_t)a->rows * sizeof(float), e, "nearest rows");
  for (; !st && s.first < q->rows; s.first += BLOCK) {
    kk_pool_for(q->rows - s.first < BLOCK ? q->rows - s.first : BLOCK, QUERIES, search_rows, &s);
    st = kk_stop_check(e, "nearest rows");
  }
  kk_slots_free(&s.sums);
  columns_free(&c);
  return st;
}
