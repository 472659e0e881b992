/* cat.c -- tensors one behind the other along a dimension. */
#include <string.h>

#include "op/axis.h"

static kk_status cat_check(const kk_call *c, kk_err *e) {
  const kk_shape *s = &c->in[0]->shape;
  char a[KK_SHAPE_STR], b[KK_SHAPE_STR];
  if (s->ndim == 0) return kk_fail(e, KK_ESHAPE, "cat: a scalar has no dimension to join along; use stack");
  if (kk_axis_check(c, 0, 0, false, 0, e)) return e->code;
  int dim = c->opt[0] < 0 ? (int)c->opt[0] + s->ndim : (int)c->opt[0] - 1;
  for (int i = 1; i < c->nin; i++) {
    const kk_shape *t = &c->in[i]->shape;
    bool fits = t->ndim == s->ndim;
    for (int d = 0; fits && d < s->ndim; d++) fits = d == dim || t->n[d] == s->n[d];
    if (!fits)
      return kk_fail(e, KK_ESHAPE, "cat: tensor %d is %s, which does not fit %s outside dimension %d", i + 1,
                     kk_shape_str(t, a), kk_shape_str(s, b), dim + 1);
  }
  return KK_OK;
}

static kk_status cat_shape(kk_call *c, kk_shape *out, kk_err *e) {
  int dim = c->opt[0] < 0 ? (int)c->opt[0] + c->in[0]->shape.ndim : (int)c->opt[0] - 1;
  (void)e;
  out[0] = c->in[0]->shape;
  for (int i = 1; i < c->nin; i++) out[0].n[dim] += c->in[i]->shape.n[dim];
  return KK_OK;
}

static void cat_forward(kk_call *c) {
  kk_axis y = kk_axis_of(&c->out[0]->shape, c->opt[0]);
  size_t size = kk_dtype_size(kk_type(c->out[0])), row = (size_t)(y.n * y.inner) * size, at = 0;
  for (int i = 0; i < c->nin; i++) {
    kk_axis x = kk_axis_of(&c->in[i]->shape, c->opt[0]);
    size_t part = (size_t)(x.n * x.inner) * size;
    for (int64_t o = 0; o < y.outer; o++)
      memcpy((char *)kk_data(c->out[0]) + (size_t)o * row + at, (const char *)kk_data(c->in[i]) + (size_t)o * part, part);
    at += part;
  }
}

static void cat_backward(kk_call *c) {
  kk_axis y = kk_axis_of(&c->out[0]->shape, c->opt[0]);
  int64_t at = 0;
  for (int i = 0; i < c->nin; i++) {
    kk_axis x = kk_axis_of(&c->in[i]->shape, c->opt[0]);
    int64_t part = x.n * x.inner;
    for (int64_t o = 0; c->din[i] && o < y.outer; o++) {
      const kk_real *g = kk_dout(c, 0) + o * y.n * y.inner + at;
      kk_real *d = c->din[i] + o * part;
      for (int64_t k = 0; k < part; k++) d[k] += g[k];
    }
    at += part;
  }
}

static bool cat_sample(int variant, kk_sample *s) {
  static const kk_shape shapes[] = {{2, {2, 3}}, {2, {2, 1}}, {2, {2, 4}}, {2, {3, 3}}, {2, {1, 3}}};
  s->nin = 3 - variant;
  for (int i = 0; i < s->nin; i++) s->shape[i] = shapes[variant ? 3 + i : i];
  s->opt[0] = variant ? 1 : -1;
  return variant < 2;
}

const kk_op kk_op_cat = {
  .name = "cat",
  .sig = "x:a[?]* -> y:a[?]",
  .about = "y = the tensors one behind the other along a dimension; the other sizes agree",
  .opts = {KK_OPT_DIM(1)},
  .shape = cat_shape,
  .check = cat_check,
  .forward = cat_forward,
  .backward = cat_backward,
  .sample = cat_sample,
};
