/* std.c -- the standard deviation. */
#include <math.h>

#include "op/axis.h"

enum { DIM, KEEP, DDOF };

static kk_status std_check(const kk_call *c, kk_err *e) {
  if (c->opt[DDOF] != floor(c->opt[DDOF])) return kk_fail(e, KK_EARG, "std: option ddof is %g, expected 0 or 1", c->opt[DDOF]);
  return kk_axis_check(c, 0, DIM, true, 1 + (int64_t)c->opt[DDOF], e);
}

static size_t std_scratch(const kk_call *c, bool backward) { return backward ? 0 : kk_axis_sum_scratch(kk_reduce_axis(c)); }

static void std_line(kk_call *c, int64_t line, int64_t base, int64_t n, int64_t stride) {
  const kk_real *x = kk_in(c, 0) + base;
  double m = kk_line_sum(x, n, stride, 0, 1) / (double)n;
  kk_out(c, 0)[line] = (kk_real)sqrt(kk_line_sum(x, n, stride, m, 2) / ((double)n - c->opt[DDOF]));
}

static void std_forward(kk_call *c) {
  kk_axis a = kk_reduce_axis(c);
  if (a.outer * a.inner == 1) {
    double m = kk_sum_all(kk_in(c, 0), a.n, 0, 1, c->scratch) / (double)a.n;
    kk_out(c, 0)[0] = (kk_real)sqrt(kk_sum_all(kk_in(c, 0), a.n, m, 2, c->scratch) / ((double)a.n - c->opt[DDOF]));
  } else {
    kk_axis_each(c, a, std_line);
  }
}

/* dx = g (x - mean) / ((n - ddof) y); none where y is 0 */
static void std_line_backward(kk_call *c, int64_t line, int64_t base, int64_t n, int64_t stride) {
  const kk_real *x = kk_in(c, 0) + base;
  kk_real *d = c->din[0] + base;
  double m = kk_line_sum(x, n, stride, 0, 1) / (double)n, g = (double)kk_dout(c, 0)[line] / ((double)n - c->opt[DDOF]);
  double y = (double)kk_out(c, 0)[line];
  if (y == 0) return;
  g /= y;
  for (int64_t i = 0; i < n; i++) d[i * stride] += (kk_real)(g * ((double)x[i * stride] - m));
}

static void std_backward(kk_call *c) { kk_axis_each(c, kk_reduce_axis(c), std_line_backward); }

const kk_op kk_op_std = {
  .name = "std",
  .sig = "x[?] -> y[?]",
  .about = "y = the root of the sum of (x - mean)^2 over n - ddof, over a dimension or all elements, in double",
  .opts = {KK_OPT_DIM0, KK_OPT_KEEP,
           {"ddof", 1, 0, 1, "degrees of freedom taken off the number: 1 for a sample, 0 for a population", NULL}},
  .shape = kk_reduce_shape,
  .check = std_check,
  .scratch = std_scratch,
  .forward = std_forward,
  .backward = std_backward,
  .sample = kk_reduce_sample,
};
