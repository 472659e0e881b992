/* gather.c -- elements picked by an index along a dimension. */
#include "op/each.h"
#include "op/index.h"

static kk_status gather_shape(kk_call *c, kk_shape *out, kk_err *e) {
  (void)e;
  out[0] = c->in[1]->shape;
  return KK_OK;
}

static kk_spots gather_start(const kk_call *c) {
  return kk_spots_start(&c->in[1]->shape, &c->in[0]->shape, kk_index_dim(&c->in[0]->shape, c->opt[0]));
}

static void gather_forward(kk_call *c) {
  int64_t n = kk_numel(&c->in[1]->shape), size = (int64_t)kk_dtype_size(kk_type(c->in[0]));
  kk_spots p = gather_start(c);
  for (int64_t i = 0; i < n; i++, kk_spots_next(&p))
    kk_copy_run((char *)kk_data(c->out[0]) + i * size, 1,
                (const char *)kk_data(c->in[0]) + (p.base + kk_idx(c, 1)[i] * p.step) * size, 1, 1, (size_t)size);
}

static void gather_backward(kk_call *c) {
  kk_spots p = gather_start(c);
  for (int64_t i = 0, n = kk_numel(&c->in[1]->shape); i < n; i++, kk_spots_next(&p))
    c->din[0][p.base + kk_idx(c, 1)[i] * p.step] += kk_dout(c, 0)[i];
}

static bool gather_sample(int variant, kk_sample *s) {
  static const kk_shape x = {2, {3, 4}}, index = {2, {2, 4}};
  s->shape[0] = x;
  s->shape[1] = index;
  s->index[1] = 3;
  s->opt[0] = variant ? 2 : 1;
  return variant < 2;
}

const kk_op kk_op_gather = {
  .name = "gather",
  .sig = "x:a[?] index:i[?] -> y:a[?]",
  .about = "y[i,j] = x[index[i,j],j] for dim 1, x[i,index[i,j]] for dim 2, and so on; y has the shape of index",
  .opts = {KK_OPT_DIM(-1)},
  .shape = gather_shape,
  .check = kk_spots_check,
  .forward = gather_forward,
  .backward = gather_backward,
  .sample = gather_sample,
};
