/* log_softmax.c -- the logarithm of softmax, without forming softmax. */
#include "base/clones.h"
#include "op/axis.h"
#include "op/softmax.h"

static kk_status log_softmax_check(const kk_call *c, kk_err *e) { return kk_axis_check(c, 0, 0, false, 1, e); }

/* y = (x - m) - s, rounded once */
KK_CLONES static void log_softmax_shift(kk_real *y, const kk_real *x, int64_t n, int64_t stride, kk_real m, double s) {
  if (stride == 1)
    for (int64_t i = 0; i < n; i++) y[i] = (kk_real)((double)(x[i] - m) - s);
  else
    for (int64_t i = 0; i < n; i++) y[i * stride] = (kk_real)((double)(x[i * stride] - m) - s);
}

static void log_softmax_line(kk_call *c, int64_t line, int64_t base, int64_t n, int64_t stride) {
  const kk_real *x = kk_in(c, 0) + base, m = kk_softmax_max(x, n, stride);
  (void)line;
  log_softmax_shift(kk_out(c, 0) + base, x, n, stride, m, log(kk_softmax_exp(x, kk_out(c, 0) + base, n, stride, m)));
}

/* dx = g - e^y sum g */
KK_CLONES static void log_softmax_gradient(kk_real *restrict d, const kk_real *restrict g, const kk_real *restrict y,
                                           int64_t n, int64_t stride, kk_real sum) {
  if (stride == 1)
    for (int64_t i = 0; i < n; i++) d[i] += g[i] - sum * kk_exp(y[i]);
  else
    for (int64_t i = 0; i < n; i++) d[i * stride] += g[i * stride] - sum * kk_exp(y[i * stride]);
}

static void log_softmax_line_backward(kk_call *c, int64_t line, int64_t base, int64_t n, int64_t stride) {
  const kk_real *g = kk_dout(c, 0) + base;
  (void)line;
  log_softmax_gradient(c->din[0] + base, g, kk_out(c, 0) + base, n, stride, (kk_real)kk_line_sum(g, n, stride, 0, 1));
}

static void log_softmax_forward(kk_call *c) { kk_axis_each(c, kk_reduce_axis(c), log_softmax_line); }
static void log_softmax_backward(kk_call *c) { kk_axis_each(c, kk_reduce_axis(c), log_softmax_line_backward); }

const kk_op kk_op_log_softmax = {
  .name = "log_softmax",
  .sig = "x[...] -> y[...]",
  .about = "y[i] = x[i] - m - log of the sum over j of e^(x[j] - m), m = max x, along a dimension",
  .opts = {KK_OPT_DIM(-1)},
  .check = log_softmax_check,
  .forward = log_softmax_forward,
  .backward = log_softmax_backward,
  .sample = kk_axis_sample,
};
