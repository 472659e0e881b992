/* index.h -- what the ops that take indices share. */
#ifndef KK_INDEX_H
#define KK_INDEX_H

#include "op/axis.h"

/* Every index of input number in lies in 0 .. limit - 1; the message counts from 1. */
static inline kk_status kk_index_check(const kk_call *c, int in, int64_t limit, kk_err *e) {
  const int32_t *p = kk_idx(c, in);
  for (int64_t i = 0, n = kk_numel(&c->in[in]->shape); i < n; i++)
    if (p[i] < 0 || p[i] >= limit)
      return kk_fail(e, KK_EARG, "%s: index %lld, element %lld, expected 1..%lld", c->op->name, (long long)p[i] + 1,
                     (long long)i + 1, (long long)limit);
  return KK_OK;
}

static inline int kk_index_dim(const kk_shape *s, double dim) { return dim < 0 ? (int)dim + s->ndim : (int)dim - 1; }

/* gather and scatter: walks the index tensor s; base is the place in a tensor of shape x, dimension dim at 0. */
typedef struct kk_spots {
  kk_shape s;
  int64_t stride[KK_MAXDIM], at[KK_MAXDIM], base, step;
} kk_spots;

static inline kk_spots kk_spots_start(const kk_shape *s, const kk_shape *x, int dim) {
  kk_spots p = {.s = *s};
  int64_t stride = 1;
  for (int d = x->ndim - 1; d >= 0; d--) {
    p.stride[d] = stride;
    stride *= x->n[d];
  }
  p.step = p.stride[dim];
  p.stride[dim] = 0;
  return p;
}

static inline void kk_spots_next(kk_spots *p) {
  for (int d = p->s.ndim - 1; d >= 0; d--) {
    p->base += p->stride[d];
    if (++p->at[d] < p->s.n[d]) return;
    p->base -= p->stride[d] * p->s.n[d];
    p->at[d] = 0;
  }
}

/* Refuses an index tensor (input 1) that is larger than x (input 0) outside dim, or whose indices leave x. */
static inline kk_status kk_spots_check(const kk_call *c, kk_err *e) {
  const kk_shape *x = &c->in[0]->shape, *s = &c->in[1]->shape;
  char a[KK_SHAPE_STR], b[KK_SHAPE_STR];
  bool fits = s->ndim == x->ndim && x->ndim > 0;
  if (kk_axis_check(c, 0, 0, false, 0, e)) return e->code;
  int dim = kk_index_dim(x, c->opt[0]);
  for (int d = 0; fits && d < x->ndim; d++) fits = d == dim || s->n[d] <= x->n[d];
  if (!fits)
    return kk_fail(e, KK_ESHAPE, "%s: index%s does not fit x%s: as many dimensions, and outside dimension %d no longer",
                   c->op->name, kk_shape_str(s, a), kk_shape_str(x, b), dim + 1);
  return kk_index_check(c, 1, x->n[dim], e);
}

#endif
