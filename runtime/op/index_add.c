/* index_add.c -- rows added to rows given by their numbers. */
#include <string.h>

#include "op/index.h"

static kk_status index_add_check(const kk_call *c, kk_err *e) {
  kk_shape s = c->in[0]->shape;
  char a[KK_SHAPE_STR], b[KK_SHAPE_STR];
  if (s.ndim == 0) return kk_fail(e, KK_ESHAPE, "index_add: x is a scalar");
  if (kk_axis_check(c, 0, 0, false, 0, e)) return e->code;
  int dim = kk_index_dim(&s, c->opt[0]);
  int64_t limit = s.n[dim];
  s.n[dim] = KK_DIM(c, 'N');
  if (!kk_shape_same(&s, &c->in[2]->shape))
    return kk_fail(e, KK_ESHAPE, "index_add: source is %s, expected %s", kk_shape_str(&c->in[2]->shape, a), kk_shape_str(&s, b));
  return kk_index_check(c, 1, limit, e);
}

static kk_status index_add_shape(kk_call *c, kk_shape *out, kk_err *e) {
  (void)e;
  out[0] = c->in[0]->shape;
  return KK_OK;
}

/* Row r = (o, k) of the source is row to(r) of x. */
static int64_t index_add_to(const kk_call *c, kk_axis a, int64_t r) {
  int64_t N = KK_DIM(c, 'N');
  return (r / N * a.n + kk_idx(c, 1)[r % N]) * a.inner;
}

static void index_add_forward(kk_call *c) {
  kk_axis a = kk_reduce_axis(c);
  memcpy(kk_out(c, 0), kk_in(c, 0), (size_t)kk_numel(&c->in[0]->shape) * sizeof(kk_real));
  for (int64_t r = 0; r < a.outer * KK_DIM(c, 'N'); r++) {
    kk_real *y = kk_out(c, 0) + index_add_to(c, a, r);
    for (int64_t i = 0; i < a.inner; i++) y[i] += kk_in(c, 2)[r * a.inner + i];
  }
}

static void index_add_backward(kk_call *c) {
  kk_axis a = kk_reduce_axis(c);
  const kk_real *g = kk_dout(c, 0);
  for (int64_t i = 0, n = kk_numel(&c->in[0]->shape); c->din[0] && i < n; i++) c->din[0][i] += g[i];
  for (int64_t r = 0; c->din[2] && r < a.outer * KK_DIM(c, 'N'); r++)
    for (int64_t i = 0, at = index_add_to(c, a, r); i < a.inner; i++) c->din[2][r * a.inner + i] += g[at + i];
}

static bool index_add_sample(int variant, kk_sample *s) {
  static const kk_shape x = {2, {3, 4}}, rows = {2, {5, 4}}, columns = {2, {3, 5}};
  s->shape[0] = x;
  s->shape[2] = variant ? columns : rows;
  s->index[1] = 3;
  s->dim['N' - 'A'] = 5;
  s->opt[0] = variant ? 2 : 1;
  return variant < 2;
}

const kk_op kk_op_index_add = {
  .name = "index_add",
  .sig = "x[?] index:i[N] source[?] -> y[?]",
  .about = "y = x, then y[index[n]] += source[n], in order, or the like along another dimension",
  .opts = {KK_OPT_DIM(1)},
  .shape = index_add_shape,
  .check = index_add_check,
  .forward = index_add_forward,
  .backward = index_add_backward,
  .sample = index_add_sample,
};
