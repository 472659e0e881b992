#include "grad/lazy.h"

#include <string.h>

#include "base/mem.h"
#include "base/pool.h"

enum { ROWS_MIN = 512, CELLS_MIN = 1 << 15, GRAIN = 8, MASK = KK_LAZY_RING - 1 };

bool kk_lazy_fits(const kk_tensor *p) {
  return p->shape.ndim == 2 && p->shape.n[0] >= ROWS_MIN && p->shape.n[0] <= INT32_MAX && p->store->n >= CELLS_MIN;
}

kk_rowset *kk_lazy_rows(const kk_lazy *l) {
  kk_rowset *r = l->p->store->rows;
  return r && r->owner == l ? r : NULL;
}

/* Brings row i to the present. */
static void lazy_row(kk_lazy *l, int64_t i) {
  const int64_t at = i * l->width;
  if (l->at[i] == l->step) return;
  kk_update_idle(l->rule, kk_real_data(l->p) + at, l->state[0] ? kk_real_data(l->state[0]) + at : NULL,
                 l->state[1] ? kk_real_data(l->state[1]) + at : NULL, l->width, l->past, MASK, l->at[i], l->step);
  l->at[i] = l->step;
}

static void lazy_listed(void *arg, int64_t begin, int64_t end) {
  kk_lazy *l = arg;
  for (int64_t k = begin; k < end; k++) lazy_row(l, l->list[k]);
}

static void lazy_range(void *arg, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; i++) lazy_row(arg, i);
}

void kk_lazy_settle(kk_lazy *l) {
  kk_rowset *r = kk_lazy_rows(l);
  if (!r || !r->late) return;
  kk_pool_for(l->rows, GRAIN, lazy_range, l);
  r->late = false;
}

static void lazy_catch_up(void *owner, const int32_t *ids, int64_t n) {
  kk_lazy *l = owner;
  int64_t m = 0;
  if (!ids) {
    kk_lazy_settle(l);
    return;
  }
  for (int64_t k = 0; k < n; k++) {
    const int32_t i = ids[k];
    if (l->at[i] == l->step || l->listed[i]) continue;
    l->listed[i] = 1;
    l->list[m++] = i;
  }
  for (int64_t k = 0; k < m; k++) l->listed[l->list[k]] = 0;
  kk_pool_for(m, GRAIN, lazy_listed, l);
}

kk_status kk_lazy_new(kk_rule rule, kk_tensor *p, kk_tensor *const state[2], kk_lazy **out, kk_err *e) {
  kk_lazy *l = kk_calloc(sizeof *l);
  if (!l) return kk_fail(e, KK_ENOMEM, "optimizer: out of memory");
  l->rule = rule;
  l->p = p;
  l->state[0] = state[0];
  l->state[1] = state[1];
  l->rows = p->shape.n[0];
  l->width = p->shape.n[1];
  l->at = kk_calloc((size_t)l->rows * sizeof *l->at);
  l->list = kk_alloc((size_t)l->rows * sizeof *l->list);
  l->listed = kk_calloc((size_t)l->rows);
  if (!l->at || !l->list || !l->listed || kk_rowset_new(p, l, lazy_catch_up, e)) {
    kk_lazy_free(l);
    return kk_fail(e, KK_ENOMEM, "optimizer: out of memory for a table of %lld rows", (long long)p->shape.n[0]);
  }
  *out = l;
  return KK_OK;
}

void kk_lazy_free(kk_lazy *l) {
  if (!l) return;
  if (kk_lazy_rows(l)) {
    if (l->p->refs > 1 || l->p->store->refs > 1) kk_lazy_settle(l);      /* else nobody can read it any more */
    kk_rowset_drop(l->p->store);
  }
  kk_free(l->at, (size_t)l->rows * sizeof *l->at);
  kk_free(l->list, (size_t)l->rows * sizeof *l->list);
  kk_free(l->listed, (size_t)l->rows);
  kk_free(l, sizeof *l);
}

/* A dense step reads and writes everything; a lazy one only these rows, and later the missed steps of the others. */
bool kk_lazy_pays(const kk_lazy *l, const kk_rowset *r) {
  int64_t n = 0;
  if (r->all) return false;
  for (int64_t i = 0; i < l->rows; i++) n += r->seen[i];
  return 4 * n <= l->rows;
}

void kk_lazy_update(kk_lazy *l, kk_rowset *r, int64_t from, int64_t to, const kk_hyper *h) {
  kk_real *p = kk_real_data(l->p), *g = l->p->store->grad;
  kk_real *s0 = l->state[0] ? kk_real_data(l->state[0]) : NULL, *s1 = l->state[1] ? kk_real_data(l->state[1]) : NULL;
  const bool moves = kk_update_moves(l->rule, h, l->state[0]);
  for (int64_t i = kk_rowset_next(r, from, to); i < to; i = kk_rowset_next(r, i + 1, to)) {
    const int64_t at = i * l->width;
    lazy_row(l, i);
    kk_update(l->rule, p + at, s0 ? s0 + at : NULL, s1 ? s1 + at : NULL, g + at, l->width, h);
    l->at[i] += moves;
    r->seen[i] = 0;
  }
}

void kk_lazy_done(kk_lazy *l, kk_rowset *r, const kk_hyper *h) {
  const int64_t share = (l->rows + KK_LAZY_RING / 2 - 1) / (KK_LAZY_RING / 2);
  int64_t n = 0;
  if (!kk_update_moves(l->rule, h, l->state[0])) return;      /* nobody missed anything */
  l->past[l->step++ & MASK] = *h;
  r->late = true;
  for (; n < share && n < l->rows; n++) {
    l->list[n] = (int32_t)l->swept;
    l->swept = l->swept + 1 == l->rows ? 0 : l->swept + 1;
  }
  kk_pool_for(n, GRAIN, lazy_listed, l);
}
