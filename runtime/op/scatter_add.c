/* scatter_add.c -- elements added at places given by an index. */
#include <string.h>

#include "op/index.h"

static kk_status scatter_add_check(const kk_call *c, kk_err *e) {
  char a[KK_SHAPE_STR], b[KK_SHAPE_STR];
  if (!kk_shape_same(&c->in[1]->shape, &c->in[2]->shape))
    return kk_fail(e, KK_ESHAPE, "scatter_add: source%s and index%s must have one shape", kk_shape_str(&c->in[2]->shape, a),
                   kk_shape_str(&c->in[1]->shape, b));
  return kk_spots_check(c, e);
}

static kk_status scatter_add_shape(kk_call *c, kk_shape *out, kk_err *e) {
  (void)e;
  out[0] = c->in[0]->shape;
  return KK_OK;
}

static kk_spots scatter_start(const kk_call *c) {
  return kk_spots_start(&c->in[1]->shape, &c->in[0]->shape, kk_index_dim(&c->in[0]->shape, c->opt[0]));
}

/* In the order of the source, so that sums come out the same every time. */
static void scatter_add_forward(kk_call *c) {
  kk_spots p = scatter_start(c);
  memcpy(kk_out(c, 0), kk_in(c, 0), (size_t)kk_numel(&c->in[0]->shape) * sizeof(kk_real));
  for (int64_t i = 0, n = kk_numel(&c->in[1]->shape); i < n; i++, kk_spots_next(&p))
    kk_out(c, 0)[p.base + kk_idx(c, 1)[i] * p.step] += kk_in(c, 2)[i];
}

static void scatter_add_backward(kk_call *c) {
  const kk_real *g = kk_dout(c, 0);
  kk_spots p = scatter_start(c);
  for (int64_t i = 0, n = kk_numel(&c->in[0]->shape); c->din[0] && i < n; i++) c->din[0][i] += g[i];
  for (int64_t i = 0, n = kk_numel(&c->in[1]->shape); c->din[2] && i < n; i++, kk_spots_next(&p))
    c->din[2][i] += g[p.base + kk_idx(c, 1)[i] * p.step];
}

static bool scatter_add_sample(int variant, kk_sample *s) {
  static const kk_shape x = {2, {3, 4}}, index = {2, {2, 4}};
  s->shape[0] = x;
  s->shape[1] = s->shape[2] = index;
  s->index[1] = 3;
  s->opt[0] = variant ? 2 : 1;
  return variant < 2;
}

const kk_op kk_op_scatter_add = {
  .name = "scatter_add",
  .sig = "x[?] index:i[?] source[?] -> y[?]",
  .about = "y = x, then y[index[i,j],j] += source[i,j] for dim 1, y[i,index[i,j]] += source[i,j] for dim 2, and so on",
  .opts = {KK_OPT_DIM(-1)},
  .shape = scatter_add_shape,
  .check = scatter_add_check,
  .forward = scatter_add_forward,
  .backward = scatter_add_backward,
  .sample = scatter_add_sample,
};
