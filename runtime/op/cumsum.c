/* cumsum.c -- running sums. */
#include "op/axis.h"

static kk_status cumsum_check(const kk_call *c, kk_err *e) { return kk_axis_check(c, 0, 0, false, 0, e); }

static void cumsum_line(kk_call *c, int64_t line, int64_t base, int64_t n, int64_t stride) {
  const kk_real *x = kk_in(c, 0) + base;
  kk_real *y = kk_out(c, 0) + base;
  double s = 0;
  (void)line;
  for (int64_t i = 0; i < n; i++) y[i * stride] = (kk_real)(s += (double)x[i * stride]);
}

static void cumsum_line_backward(kk_call *c, int64_t line, int64_t base, int64_t n, int64_t stride) {
  const kk_real *g = kk_dout(c, 0) + base;
  double s = 0;
  (void)line;
  for (int64_t i = n - 1; i >= 0; i--) c->din[0][base + i * stride] += (kk_real)(s += (double)g[i * stride]);
}

static void cumsum_forward(kk_call *c) { kk_axis_each(c, kk_reduce_axis(c), cumsum_line); }
static void cumsum_backward(kk_call *c) { kk_axis_each(c, kk_reduce_axis(c), cumsum_line_backward); }

const kk_op kk_op_cumsum = {
  .name = "cumsum",
  .sig = "x[...] -> y[...]",
  .about = "y[i] = x[1] + ... + x[i] along a dimension; in double, float32 out",
  .opts = {KK_OPT_DIM(1)},
  .check = cumsum_check,
  .forward = cumsum_forward,
  .backward = cumsum_backward,
  .sample = kk_axis_sample,
};
