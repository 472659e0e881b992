/* masked_select.c -- the elements that a mask marks. */
#include "op/each.h"

static kk_status masked_select_shape(kk_call *c, kk_shape *out, kk_err *e) {
  kk_each p = kk_each_plan(c, 2);
  kk_walk w = kk_walk_start(&p, 0, p.numel);
  (void)e;
  out[0] = (kk_shape){.ndim = 1};
  while (kk_walk_next(&w))
    for (int64_t i = 0; i < w.n; i++) out[0].n[0] += kk_mask(c, 1)[w.off[1] + i * w.step[1]] != 0;
  return KK_OK;
}

static void masked_select_forward(kk_call *c) {
  kk_each p = kk_each_plan(c, 2);
  kk_walk w = kk_walk_start(&p, 0, p.numel);
  size_t size = kk_dtype_size(kk_type(c->in[0]));
  char *y = kk_data(c->out[0]);
  while (kk_walk_next(&w))
    for (int64_t i = 0; i < w.n; i++)
      if (kk_mask(c, 1)[w.off[1] + i * w.step[1]]) {
        kk_copy_run(y, 1, (const char *)kk_data(c->in[0]) + (w.off[0] + i * w.step[0]) * (int64_t)size, 1, 1, size);
        y += size;
      }
}

static void masked_select_backward(kk_call *c) {
  kk_each p = kk_each_plan(c, 2);
  kk_walk w = kk_walk_start(&p, 0, p.numel);
  const kk_real *g = kk_dout(c, 0);
  while (kk_walk_next(&w))
    for (int64_t i = 0; i < w.n; i++)
      if (kk_mask(c, 1)[w.off[1] + i * w.step[1]]) c->din[0][w.at + i] += *g++;
}

const kk_op kk_op_masked_select = {
  .name = "masked_select",
  .sig = "x:a[&] mask:b[&] -> y:a[?]",
  .about = "y[n] = the elements of x where mask is not 0, in row-major order",
  .shape = masked_select_shape,
  .forward = masked_select_forward,
  .backward = masked_select_backward,
};
