/* flip.c -- a dimension turned round. */
#include <string.h>

#include "op/axis.h"

static kk_status flip_check(const kk_call *c, kk_err *e) { return kk_axis_check(c, 0, 0, false, 0, e); }

static void flip_forward(kk_call *c) {
  kk_axis a = kk_reduce_axis(c);
  size_t row = (size_t)a.inner * kk_dtype_size(kk_type(c->in[0]));
  for (int64_t o = 0; o < a.outer; o++)
    for (int64_t i = 0; i < a.n; i++)
      memcpy((char *)kk_data(c->out[0]) + (size_t)(o * a.n + i) * row,
             (const char *)kk_data(c->in[0]) + (size_t)(o * a.n + a.n - 1 - i) * row, row);
}

static void flip_backward(kk_call *c) {
  kk_axis a = kk_reduce_axis(c);
  for (int64_t o = 0; o < a.outer; o++)
    for (int64_t i = 0; i < a.n; i++) {
      const kk_real *g = kk_dout(c, 0) + (o * a.n + a.n - 1 - i) * a.inner;
      for (int64_t k = 0; k < a.inner; k++) c->din[0][(o * a.n + i) * a.inner + k] += g[k];
    }
}

const kk_op kk_op_flip = {
  .name = "flip",
  .sig = "x:a[...] -> y:a[...]",
  .about = "y[i] = x[n + 1 - i] along a dimension",
  .opts = {KK_OPT_DIM(-1)},
  .check = flip_check,
  .forward = flip_forward,
  .backward = flip_backward,
  .sample = kk_axis_sample,
};
