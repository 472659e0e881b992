/* softmax.c -- exponentials that sum to one. */
#include "op/softmax.h"

#include "base/clones.h"
#include "op/axis.h"

static kk_status softmax_check(const kk_call *c, kk_err *e) { return kk_axis_check(c, 0, 0, false, 1, e); }

KK_CLONES static void softmax_scale(kk_real *y, int64_t n, kk_real scale) {
  for (int64_t i = 0; i < n; i++) y[i] *= scale;
}

static void softmax_line(kk_call *c, int64_t line, int64_t base, int64_t n, int64_t stride) {
  const kk_real *x = kk_in(c, 0) + base;
  kk_real *y = kk_out(c, 0) + base;
  kk_real scale = (kk_real)(1 / kk_softmax_exp(x, y, n, stride, kk_softmax_max(x, n, stride)));
  (void)line;
  if (stride == 1) softmax_scale(y, n, scale);
  else
    for (int64_t i = 0; i < n; i++) y[i * stride] *= scale;
}

/* d += y (g - sum(g y)), the sum in double */
KK_CLONES static void softmax_gradient(kk_real *restrict d, const kk_real *restrict g, const kk_real *restrict y,
                                       int64_t n) {
  enum { LANES = 8 };
  double s[LANES] = {0};
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES)
    for (int k = 0; k < LANES; k++) s[k] += (double)g[i + k] * (double)y[i + k];
  for (; i < n; i++) s[0] += (double)g[i] * (double)y[i];
  const kk_real dot = (kk_real)(((s[0] + s[4]) + (s[1] + s[5])) + ((s[2] + s[6]) + (s[3] + s[7])));
  for (i = 0; i < n; i++) d[i] += y[i] * (g[i] - dot);
}

static void softmax_line_backward(kk_call *c, int64_t line, int64_t base, int64_t n, int64_t stride) {
  const kk_real *y = kk_out(c, 0) + base, *g = kk_dout(c, 0) + base;
  kk_real *d = c->din[0] + base, dot;
  double s = 0;
  (void)line;
  if (stride == 1) {
    softmax_gradient(d, g, y, n);
    return;
  }
  for (int64_t i = 0; i < n; i++) s += (double)g[i * stride] * (double)y[i * stride];
  dot = (kk_real)s;
  for (int64_t i = 0; i < n; i++) d[i * stride] += y[i * stride] * (g[i * stride] - dot);
}

static void softmax_forward(kk_call *c) { kk_axis_each(c, kk_reduce_axis(c), softmax_line); }
static void softmax_backward(kk_call *c) { kk_axis_each(c, kk_reduce_axis(c), softmax_line_backward); }

const kk_op kk_op_softmax = {
  .name = "softmax",
  .sig = "x[...] -> y[...]",
  .about = "y[i] = e^(x[i] - m) / sum over j of e^(x[j] - m), m = max x, along a dimension",
  .opts = {KK_OPT_DIM(-1)},
  .check = softmax_check,
  .forward = softmax_forward,
  .backward = softmax_backward,
  .sample = kk_axis_sample,
};
