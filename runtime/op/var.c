/* var.c -- the variance. */
#include <math.h>

#include "op/axis.h"

enum { DIM, KEEP, DDOF };

static kk_status var_check(const kk_call *c, kk_err *e) {
  if (c->opt[DDOF] != floor(c->opt[DDOF])) return kk_fail(e, KK_EARG, "var: option ddof is %g, expected 0 or 1", c->opt[DDOF]);
  return kk_axis_check(c, 0, DIM, true, 1 + (int64_t)c->opt[DDOF], e);
}

static size_t var_scratch(const kk_call *c, bool backward) { return backward ? 0 : kk_axis_sum_scratch(kk_reduce_axis(c)); }

static void var_line(kk_call *c, int64_t line, int64_t base, int64_t n, int64_t stride) {
  const kk_real *x = kk_in(c, 0) + base;
  double m = kk_line_sum(x, n, stride, 0, 1) / (double)n;
  kk_out(c, 0)[line] = (kk_real)(kk_line_sum(x, n, stride, m, 2) / ((double)n - c->opt[DDOF]));
}

static void var_forward(kk_call *c) {
  kk_axis a = kk_reduce_axis(c);
  if (a.outer * a.inner == 1) {
    double m = kk_sum_all(kk_in(c, 0), a.n, 0, 1, c->scratch) / (double)a.n;
    kk_out(c, 0)[0] = (kk_real)(kk_sum_all(kk_in(c, 0), a.n, m, 2, c->scratch) / ((double)a.n - c->opt[DDOF]));
  } else {
    kk_axis_each(c, a, var_line);
  }
}

/* dx = 2 g (x - mean) / (n - ddof) */
static void var_line_backward(kk_call *c, int64_t line, int64_t base, int64_t n, int64_t stride) {
  const kk_real *x = kk_in(c, 0) + base;
  kk_real *d = c->din[0] + base;
  double m = kk_line_sum(x, n, stride, 0, 1) / (double)n, g = (double)kk_dout(c, 0)[line] / ((double)n - c->opt[DDOF]);
  g *= 2;
  for (int64_t i = 0; i < n; i++) d[i * stride] += (kk_real)(g * ((double)x[i * stride] - m));
}

static void var_backward(kk_call *c) { kk_axis_each(c, kk_reduce_axis(c), var_line_backward); }

const kk_op kk_op_var = {
  .name = "var",
  .sig = "x[?] -> y[?]",
  .about = "y = the sum of (x - mean)^2 over n - ddof, over a dimension or all elements, in double",
  .opts = {KK_OPT_DIM0, KK_OPT_KEEP,
           {"ddof", 1, 0, 1, "degrees of freedom taken off the number: 1 for a sample, 0 for a population", NULL}},
  .shape = kk_reduce_shape,
  .check = var_check,
  .scratch = var_scratch,
  .forward = var_forward,
  .backward = var_backward,
  .sample = kk_reduce_sample,
};
