/* logsumexp.c -- the logarithm of a sum of exponentials. */
#include "op/axis.h"
#include "op/softmax.h"

static void logsumexp_line(kk_call *c, int64_t line, int64_t base, int64_t n, int64_t stride) {
  const kk_real *x = kk_in(c, 0) + base;
  double m = (double)kk_softmax_max(x, n, stride), s = 0;
  for (int64_t i = 0; i < n && !isinf(m); i++) s += exp((double)x[i * stride] - m);
  kk_out(c, 0)[line] = (kk_real)(isinf(m) ? m : m + log(s));
}

static void logsumexp_forward(kk_call *c) { kk_axis_each(c, kk_reduce_axis(c), logsumexp_line); }

/* dx = g softmax x */
static void logsumexp_line_backward(kk_call *c, int64_t line, int64_t base, int64_t n, int64_t stride) {
  const kk_real *x = kk_in(c, 0) + base;
  double y = (double)kk_out(c, 0)[line], g = (double)kk_dout(c, 0)[line];
  for (int64_t i = 0; i < n && !isinf(y); i++) c->din[0][base + i * stride] += (kk_real)(g * exp((double)x[i * stride] - y));
}

static void logsumexp_backward(kk_call *c) { kk_axis_each(c, kk_reduce_axis(c), logsumexp_line_backward); }

const kk_op kk_op_logsumexp = {
  .name = "logsumexp",
  .sig = "x[?] -> y[?]",
  .about = "y = log of the sum of e^x over a dimension or all elements, taken relative to the largest",
  .opts = {KK_OPT_DIM0, KK_OPT_KEEP},
  .shape = kk_reduce_shape,
  .check = kk_reduce_check_some,
  .forward = logsumexp_forward,
  .backward = logsumexp_backward,
  .sample = kk_reduce_sample,
};
