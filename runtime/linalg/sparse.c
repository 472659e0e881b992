/* sparse.c -- see sparse.h. Bits do not depend on the thread count: rows, or columns of the result, are shared out. */
#include "linalg/sparse.h"

#include <string.h>

#include "base/clones.h"
#include "base/pool.h"

enum { ROWS = 64, COLUMNS = 16 };

typedef struct product { const kk_sparse *a; const float *x; int64_t d; float *y; } product;

static KK_CLONES void sparse_add(float *to, const float *x, float v, int64_t n) {
  for (int64_t k = 0; k < n; k++) to[k] += v * x[k];
}

static void sparse_rows(void *arg, int64_t begin, int64_t end) {
  const product *p = arg;
  const kk_sparse *a = p->a;
  for (int64_t i = begin; i < end; i++) {
    float *y = p->y + i * p->d;
    memset(y, 0, (size_t)p->d * sizeof *y);
    for (int64_t k = a->start[i]; k < a->start[i + 1]; k++)
      sparse_add(y, p->x + a->col[k] * p->d, (float)a->val[k], p->d);
  }
}

static void sparse_columns(void *arg, int64_t begin, int64_t end) {
  const product *p = arg;
  const kk_sparse *a = p->a;
  for (int64_t i = 0; i < a->rows; i++)
    for (int64_t k = a->start[i]; k < a->start[i + 1]; k++)
      sparse_add(p->y + a->col[k] * p->d + begin, p->x + i * p->d + begin, (float)a->val[k], end - begin);
}

void kk_sparse_times(const kk_sparse *a, const float *x, int64_t d, float *y) {
  product p = {a, x, d, y};
  kk_pool_for(a->rows, ROWS, sparse_rows, &p);
}

void kk_sparse_transposed_times(const kk_sparse *a, const float *x, int64_t d, float *y) {
  product p = {a, x, d, y};
  memset(y, 0, (size_t)(a->cols * d) * sizeof *y);
  kk_pool_for(d, COLUMNS, sparse_columns, &p);
}
