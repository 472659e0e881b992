/* near_keep.c -- see near_keep.h. */
#include "sample/near_keep.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "base/clones.h"

enum { LANES = 16, SHORT = 40 };

int64_t kk_keep_room(int64_t k) { return 2 * k + 60; }

/* Sum of squared differences in double, in a fixed order. */
KK_CLONES static double keep_square(const kk_real *a, const kk_real *b, int64_t d) {
  double lane[LANES] = {0}, sum = 0;
  int64_t i = 0;
  for (; i + LANES <= d; i += LANES)
    for (int64_t l = 0; l < LANES; l++) {
      const double t = (double)a[i + l] - (double)b[i + l];
      lane[l] += t * t;
    }
  for (int64_t l = 0; i < d; i++, l++) {
    const double t = (double)a[i] - (double)b[i];
    lane[l] += t * t;
  }
  for (int64_t l = 0; l < LANES; l++) sum += lane[l];
  return sum;
}

static int keep_compare(const void *pa, const void *pb) {
  const kk_candidate *a = pa, *b = pb;
  if (a->exact != b->exact) return a->exact < b->exact ? -1 : 1;
  return a->at < b->at ? -1 : a->at > b->at;
}

/* The k-th smallest of v [n], which is moved about. */
static kk_real keep_select(kk_real *v, int64_t n, int64_t k) {
  int64_t lo = 0, hi = n - 1;
  while (lo < hi) {
    const kk_real pivot = v[lo + (hi - lo) / 2];
    int64_t i = lo, j = hi;
    while (i <= j) {
      while (v[i] < pivot) i++;
      while (v[j] > pivot) j--;
      if (i <= j) {
        const kk_real t = v[i];
        v[i++] = v[j];
        v[j--] = t;
      }
    }
    if (k - 1 <= j) hi = j;
    else if (k - 1 >= i) lo = i;
    else break;
  }
  return v[k - 1];
}

static void keep_measure(const kk_keeping *j, int64_t point, kk_keep *s, kk_candidate *c) {
  const double slack = 4 * (sizeof(kk_real) == sizeof(float) ? (double)FLT_EPSILON : DBL_EPSILON);
  if (c->known) return;
  const double square = keep_square(kk_point(j->query, point), kk_point(j->data, c->at), j->data->d);
  c->exact = j->sign * square;
  c->low = (kk_real)(c->exact - slack * square);
  c->up = (kk_real)(c->exact + slack * square);
  c->known = 1;
  s->measured++;
}

/* Sets the limit to the k-th smallest upper bound and drops what lies above it. */
static void keep_cut(const kk_keeping *j, kk_keep *s, kk_candidate *c, kk_real *scratch) {
  int32_t n = 0;
  if (s->n < j->k) return;
  for (int32_t i = 0; i < s->n; i++) scratch[i] = c[i].up;
  const kk_real limit = keep_select(scratch, s->n, j->k);
  if (limit < s->limit) s->limit = limit;
  for (int32_t i = 0; i < s->n; i++)
    if (c[i].low <= s->limit) c[n++] = c[i];
  s->n = n;
}

/* Measures those wholly below the limit, of which there are k: that lowers it; then those that may still be below it. */
static void keep_exact(const kk_keeping *j, int64_t point, kk_keep *s, kk_candidate *c, kk_real *scratch) {
  keep_cut(j, s, c, scratch);
  for (int32_t i = 0; i < s->n; i++)
    if (c[i].up <= s->limit) keep_measure(j, point, s, c + i);
  keep_cut(j, s, c, scratch);
  for (int32_t i = 0; i < s->n; i++) keep_measure(j, point, s, c + i);
  keep_cut(j, s, c, scratch);
}

static void keep_sort(kk_candidate *c, int32_t n) {
  if (n > SHORT) {
    qsort(c, (size_t)n, sizeof *c, keep_compare);
    return;
  }
  for (int32_t i = 1; i < n; i++) {
    const kk_candidate one = c[i];
    int32_t to = i;
    for (; to > 0 && keep_compare(&one, c + to - 1) < 0; to--) c[to] = c[to - 1];
    c[to] = one;
  }
}

/* Measured, equal distances may still be more than there is room for: the order decides among them. */
void kk_keep_settle(const kk_keeping *j, int64_t point, kk_keep *s, kk_candidate *c, kk_real *scratch) {
  keep_cut(j, s, c, scratch);
  if (s->n <= j->k + j->k / 4) return;                /* bounds so tight that measuring now would not lower the limit */
  keep_exact(j, point, s, c, scratch);
  if (s->n <= j->k + (j->room - j->k) / 2) return;
  keep_sort(c, s->n);
  s->n = (int32_t)j->k;
}

void kk_keep_finish(const kk_keeping *j, int64_t point, kk_keep *s, kk_candidate *c, kk_real *scratch) {
  keep_exact(j, point, s, c, scratch);
  keep_sort(c, s->n);
  if (s->n > j->k) s->n = (int32_t)j->k;
}
