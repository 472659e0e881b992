#include "grad/optim.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/pool.h"
#include "grad/lazy.h"

/* Elements of a piece: four arrays of it fit a second-level cache. A bundle of pieces is what the pool hands out. */
enum { PIECE = 1 << 14 };

typedef struct optim_item {
  kk_tensor *p, *state[2];
  kk_lazy *lazy;              /* of a table that may be late */
  int group;
  bool by_rows;               /* cut at rows, and summed row by row, so that rows without a gradient may be left out */
  bool on, late;              /* this step: it has a gradient; only rows with one are updated */
  kk_hyper h;                 /* this step */
} optim_item;

typedef struct optim_piece { int item; int64_t begin, end; } optim_piece;   /* elements, or rows where by_rows */

struct kk_optim {
  kk_rule rule;
  int n, groups;
  bool twice;                 /* two items on one storage: good for a norm, but two threads would write it */
  optim_item *items;
  kk_group *group;
  int64_t pieces, bundles;
  optim_piece *piece;
  int64_t *bundle;            /* [bundles + 1] first piece */
  double *sums;               /* [pieces] */
};

static const char *optim_name(const kk_optim *o) {
  return o->rule == KK_ADAM ? "adam" : o->rule == KK_SGD ? "sgd" : "asgd";
}

static int optim_states(kk_rule rule) { return rule == KK_ADAM ? 2 : 1; }

static bool optim_whole(const kk_tensor *t) {
  return kk_type(t) == KK_F32 && kk_contiguous(t) && kk_numel(&t->shape) == t->store->n;
}

static kk_status optim_check_slot(const kk_optim *o, const kk_slot *s, int i, kk_err *e) {
  const char *who = optim_name(o);
  char a[KK_SHAPE_STR], b[KK_SHAPE_STR];
  if (!kk_live(s->p) || !optim_whole(s->p))
    return kk_fail(e, KK_EARG, "%s: parameter %d must be a whole float32 tensor, not a view", who, i + 1);
  if (s->group < 0 || s->group >= o->groups) return kk_fail(e, KK_EARG, "%s: parameter %d is of no group", who, i + 1);
  for (int k = 0; k < optim_states(o->rule); k++) {
    const kk_tensor *m = s->state[k];
    if (!m && o->rule == KK_SGD) continue;
    if (!m || !kk_live(m) || !kk_shape_same(&s->p->shape, &m->shape) || !optim_whole(m) || m->store == s->p->store)
      return kk_fail(e, KK_ESHAPE, "%s: state %d of parameter %d is %s, the parameter is %s", who, k + 1, i + 1,
                     m ? kk_shape_str(&m->shape, a) : "missing", kk_shape_str(&s->p->shape, b));
  }
  return KK_OK;
}

static int optim_compare(const void *a, const void *b) {
  uintptr_t x = *(const uintptr_t *)a, y = *(const uintptr_t *)b;
  return x < y ? -1 : x > y;
}

static kk_status optim_find_twice(kk_optim *o, kk_err *e) {
  const size_t size = (size_t)(3 * o->n + 1) * sizeof(uintptr_t);
  uintptr_t *all = kk_alloc(size);
  int m = 0;
  if (!all) return kk_fail(e, KK_ENOMEM, "%s: out of memory", optim_name(o));
  for (int i = 0; i < o->n; i++) {
    all[m++] = (uintptr_t)o->items[i].p->store;
    for (int k = 0; k < 2; k++)
      if (o->items[i].state[k]) all[m++] = (uintptr_t)o->items[i].state[k]->store;
  }
  qsort(all, (size_t)m, sizeof *all, optim_compare);
  for (int i = 1; i < m; i++) o->twice |= all[i] == all[i - 1];
  kk_free(all, size);
  return KK_OK;
}

static kk_status optim_check_twice(const kk_optim *o, kk_err *e) {
  return o->twice ? kk_fail(e, KK_EARG, "%s: a parameter, or its state, is listed twice", optim_name(o)) : KK_OK;
}

/* The pieces of all items, in order; or only their number where o->piece is not there yet. */
static void optim_cut(kk_optim *o) {
  int64_t np = 0, nb = 0, filled = 0;
  for (int i = 0; i < o->n; i++) {
    const optim_item *it = &o->items[i];
    const int64_t width = it->by_rows ? it->p->shape.n[1] : 1, n = it->by_rows ? it->p->shape.n[0] : it->p->store->n;
    const int64_t step = width < PIECE ? PIECE / width : 1;
    for (int64_t at = 0; at < n; at += step) {
      const int64_t end = at + step < n ? at + step : n;
      if (filled == 0) {
        if (o->bundle) o->bundle[nb] = np;
        nb++;
      }
      if (o->piece) o->piece[np] = (optim_piece){i, at, end};
      np++;
      filled += (end - at) * width;
      if (filled >= PIECE) filled = 0;
    }
  }
  if (o->bundle) o->bundle[nb] = np;
  o->pieces = np;
  o->bundles = nb;
}

kk_status kk_optim_new(kk_rule rule, const kk_slot *slots, int n, int groups, bool lazy, kk_optim **out, kk_err *e) {
  kk_optim *o = kk_calloc(sizeof *o);
  kk_status st = KK_OK;
  if (!o) return kk_fail(e, KK_ENOMEM, "optimizer: out of memory");
  o->rule = rule;
  o->groups = groups;
  o->items = kk_calloc((size_t)n * sizeof *o->items);
  o->group = kk_alloc((size_t)groups * sizeof *o->group);
  if (!o->items || !o->group) st = kk_fail(e, KK_ENOMEM, "%s: out of memory", optim_name(o));
  for (int i = 0; i < n && !st; i++) st = optim_check_slot(o, &slots[i], i, e);
  if (st) {
    kk_free(o->items, (size_t)n * sizeof *o->items);
    kk_free(o->group, (size_t)groups * sizeof *o->group);
    kk_free(o, sizeof *o);
    return st;
  }
  o->n = n;
  for (int i = 0; i < groups; i++) o->group[i] = (kk_group){.rate = 1};
  for (int i = 0; i < n; i++) {
    optim_item *it = &o->items[i];
    it->p = kk_ref(slots[i].p);
    it->group = slots[i].group;
    for (int k = 0; k < optim_states(rule); k++)
      if (slots[i].state[k]) it->state[k] = kk_ref(slots[i].state[k]);
    it->by_rows = kk_lazy_fits(it->p);
  }
  st = optim_find_twice(o, e);
  if (!st && lazy) st = optim_check_twice(o, e);
  optim_cut(o);
  const int64_t pieces = o->pieces;
  o->bundle = kk_alloc((size_t)(o->bundles + 1) * sizeof *o->bundle);
  o->piece = kk_alloc((size_t)pieces * sizeof *o->piece);
  o->sums = kk_alloc((size_t)pieces * sizeof *o->sums);
  if (!st && (!o->bundle || !o->piece || !o->sums)) st = kk_fail(e, KK_ENOMEM, "%s: out of memory", optim_name(o));
  for (int i = 0; i < n && !st && lazy; i++)
    if (o->items[i].by_rows) st = kk_lazy_new(rule, o->items[i].p, o->items[i].state, &o->items[i].lazy, e);
  if (st) {
    kk_optim_free(o);
    return st;
  }
  optim_cut(o);
  *out = o;
  return KK_OK;
}

void kk_optim_free(kk_optim *o) {
  if (!o) return;
  for (int i = 0; i < o->n; i++) {
    kk_lazy_free(o->items[i].lazy);
    kk_unref(o->items[i].p);
    for (int k = 0; k < 2; k++) kk_unref(o->items[i].state[k]);
  }
  kk_free(o->bundle, (size_t)(o->bundles + 1) * sizeof *o->bundle);
  kk_free(o->piece, (size_t)o->pieces * sizeof *o->piece);
  kk_free(o->sums, (size_t)o->pieces * sizeof *o->sums);
  kk_free(o->items, (size_t)o->n * sizeof *o->items);
  kk_free(o->group, (size_t)o->groups * sizeof *o->group);
  kk_free(o, sizeof *o);
}

void kk_optim_group(kk_optim *o, int i, kk_group g) { o->group[i] = g; }
int kk_optim_groups(const kk_optim *o) { return o->groups; }
kk_rule kk_optim_rule(const kk_optim *o) { return o->rule; }

/* ---- the norm */

static double optim_piece_sumsq(const optim_item *it, const optim_piece *k) {
  const kk_real *g = it->p->store->grad;
  const kk_rowset *r = it->p->store->rows;
  double s = 0;
  if (!it->by_rows) return kk_update_sumsq(g + k->begin, k->end - k->begin);
  const int64_t width = it->p->shape.n[1];
  const bool every = !r || r->all;
  for (int64_t i = k->begin; i < k->end; i++) {
    if (!every && (i = kk_rowset_next(r, i, k->end)) == k->end) break;
    s += kk_update_sumsq(g + i * width, width);
  }
  return s;
}

static void optim_sum_bundles(void *arg, int64_t begin, int64_t end) {
  kk_optim *o = arg;
  for (int64_t k = o->bundle[begin]; k < o->bundle[end]; k++) {
    const optim_item *it = &o->items[o->piece[k].item];
    o->sums[k] = it->p->store->grad ? optim_piece_sumsq(it, &o->piece[k]) : 0;
  }
}

static double optim_norm(kk_optim *o) {
  double s = 0;
  kk_pool_for(o->bundles, 1, optim_sum_bundles, o);
  for (int64_t k = 0; k < o->pieces; k++) s += o->sums[k];
  return sqrt(s);
}

static kk_status optim_check_live(const kk_optim *o, kk_err *e) {
  for (int i = 0; i < o->n; i++) {
    const optim_item *it = &o->items[i];
    for (int k = -1; k < 2; k++) {
      const kk_tensor *t = k < 0 ? it->p : it->state[k];
      if (!t) continue;
      if (!kk_live(t)) return kk_fail(e, KK_ESTATE, "%s: parameter %d, or its state, was released", optim_name(o), i + 1);
      if (t->store->shared)
        return kk_fail(e, KK_ESTATE, "%s: parameter %d, or its state, is read-only (it lies in a mapped file)",
                       optim_name(o), i + 1);
    }
  }
  return KK_OK;
}

kk_status kk_optim_norm(kk_optim *o, double *norm, kk_err *e) {
  if (optim_check_live(o, e)) return e->code;
  *norm = optim_norm(o);
  return KK_OK;
}

/* ---- the step */

static kk_hyper optim_hyper(const kk_optim *o, const kk_group *g, const kk_step *s, double scale) {
  const double lr = s->lr * g->rate, t = (double)s->count;
  kk_hyper h = {.scale = (kk_real)scale, .keep = 1, .rate = (kk_real)lr, .leave = s->leave};
  switch (o->rule) {
    case KK_ADAM:
      h.b1 = (kk_real)s->momentum, h.b2 = (kk_real)s->beta2;
      h.c1 = 1 - h.b1, h.c2 = 1 - h.b2;
      h.keep = (kk_real)(1 - lr * g->decay);
      h.rate = (kk_real)(lr / (1 - pow(s->momentum, t)));
      h.fix = (kk_real)(1 / (1 - pow(s->beta2, t)));
      h.eps = (kk_real)s->eps;
      h.tiny = (kk_real)fmax(1e-12 * s->eps, 1e-30);
      break;
    case KK_SGD:
      h.l2 = (kk_real)g->decay;
      h.b1 = (kk_real)s->momentum;
      h.nesterov = s->nesterov;
      break;
    case KK_ASGD: {
      /* torch.optim.ASGD computes rate and share behind a step, for the next one */
      const double eta = lr / pow(1 + s->lambd * lr * (t - 1), s->alpha);
      const int64_t past = s->since == INT64_MAX ? 0 : s->count - 1 - s->since;
      h.l2 = (kk_real)g->decay;
      h.rate = (kk_real)eta;
      h.keep = (kk_real)(1 - s->lambd * eta);
      h.share = s->since == INT64_MAX ? 0 : (kk_real)(1 / (double)(past > 1 ? past : 1));
    }
  }
  return h;
}

static void optim_piece_step(const kk_optim *o, optim_item *it, const optim_piece *k) {
  const int64_t width = it->by_rows ? it->p->shape.n[1] : k->end - k->begin;
  kk_real *p = kk_real_data(it->p), *g = it->p->store->grad;
  kk_real *s0 = it->state[0] ? kk_real_data(it->state[0]) : NULL;
  kk_real *s1 = it->state[1] ? kk_real_data(it->state[1]) : NULL;
  if (it->late) {
    kk_lazy_update(it->lazy, kk_lazy_rows(it->lazy), k->begin, k->end, &it->h);
    return;
  }
  for (int64_t i = k->begin; i < k->end; i += it->by_rows ? 1 : width) {
    const int64_t at = it->by_rows ? i * width : i;
    kk_update(o->rule, p + at, s0 ? s0 + at : NULL, s1 ? s1 + at : NULL, g + at, width, &it->h);
  }
}

static void optim_step_bundles(void *arg, int64_t begin, int64_t end) {
  kk_optim *o = arg;
  for (int64_t k = o->bundle[begin]; k < o->bundle[end]; k++) {
    optim_item *it = &o->items[o->piece[k].item];
    if (it->on) optim_piece_step(o, it, &o->piece[k]);
  }
}

/* Which items move, how, and with which numbers; dense ones are brought up to date. */
static void optim_prepare(kk_optim *o, const kk_step *s, double scale) {
  for (int i = 0; i < o->n; i++) {
    optim_item *it = &o->items[i];
    kk_rowset *r = it->lazy ? kk_lazy_rows(it->lazy) : NULL;
    it->on = it->p->store->grad != NULL;
    it->late = it->on && r && kk_lazy_pays(it->lazy, r);
    if (!it->on) continue;
    if (!it->late) kk_settle(it->p);
    it->h = optim_hyper(o, &o->group[it->group], s, scale);
    it->p->store->writes++;
    for (int k = 0; k < 2; k++)
      if (it->state[k]) it->state[k]->store->writes++;
  }
}

/* Behind the pass: what is known about rows. */
static void optim_finish(kk_optim *o, const kk_step *s) {
  for (int i = 0; i < o->n; i++) {
    optim_item *it = &o->items[i];
    kk_rowset *r = it->p->store->rows;
    if (!it->on || !r) continue;
    if (it->late) {
      kk_lazy_done(it->lazy, r, &it->h);
    } else if (!s->leave) {
      memset(r->seen, 0, (size_t)r->n);
      r->all = false;
    }
  }
}

kk_status kk_optim_step(kk_optim *o, const kk_step *s, double *norm, kk_err *e) {
  double scale = s->scale;
  if (optim_check_live(o, e) || optim_check_twice(o, e)) return e->code;
  for (int i = 0; i < o->n && o->rule == KK_SGD && s->momentum != 0; i++)
    if (!o->items[i].state[0]) return kk_fail(e, KK_EARG, "sgd: momentum needs buffers");
  if (!s->leave) {
    *norm = optim_norm(o);
    if (!(*norm <= 1.7976931348623157e308)) return KK_OK;
    if (*norm * scale > s->clip) scale = s->clip / *norm;
  }
  optim_prepare(o, s, scale);
  kk_pool_for(o->bundles, 1, optim_step_bundles, o);
  optim_finish(o, s);
  return KK_OK;
}

void kk_optim_settle(kk_optim *o) {
  for (int i = 0; i < o->n; i++)
    if (o->items[i].lazy) kk_lazy_settle(o->items[i].lazy);
}

kk_status kk_optim_swap(kk_optim *o, kk_err *e) {
  if (o->rule != KK_ASGD) return kk_fail(e, KK_ESTATE, "%s: only asgd has averages", optim_name(o));
  if (optim_check_live(o, e)) return e->code;
  for (int i = 0; i < o->n; i++) kk_settle(o->items[i].p);
  for (int i = 0; i < o->n; i++) {
    kk_storage *p = o->items[i].p->store, *a = o->items[i].state[0]->store;
    void *data = p->data;
    p->data = a->data;
    a->data = data;
    p->writes++;
    a->writes++;
  }
  return KK_OK;
}
