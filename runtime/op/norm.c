/* norm.c -- vector norms. */
#include <math.h>

#include "op/axis.h"

enum { DIM, KEEP, P };

static kk_status norm_check(const kk_call *c, kk_err *e) {
  if (c->opt[P] != 1 && c->opt[P] != 2 && !isinf(c->opt[P]))
    return kk_fail(e, KK_EARG, "norm: option p is %g, expected 1, 2 or math.huge", c->opt[P]);
  return kk_reduce_check(c, e);
}

static size_t norm_scratch(const kk_call *c, bool backward) { return backward ? 0 : kk_axis_sum_scratch(kk_reduce_axis(c)); }

static void norm_line(kk_call *c, int64_t line, int64_t base, int64_t n, int64_t stride) {
  const kk_real *x = kk_in(c, 0) + base;
  double s = 0;
  if (c->opt[P] == 2) s = sqrt(kk_line_sum(x, n, stride, 0, 2));
  else
    for (int64_t i = 0; i < n; i++) {
      double v = fabs((double)x[i * stride]);
      s = c->opt[P] == 1 ? s + v : v > s || v != v ? v : s;
    }
  kk_out(c, 0)[line] = (kk_real)s;
}

static void norm_forward(kk_call *c) {
  kk_axis a = kk_reduce_axis(c);
  if (c->opt[P] == 2 && a.outer * a.inner == 1) kk_out(c, 0)[0] = (kk_real)sqrt(kk_sum_all(kk_in(c, 0), a.n, 0, 2, c->scratch));
  else kk_axis_each(c, a, norm_line);
}

/* p = 2: g x / y;  p = 1: g sign x;  infinity: the largest elements share g sign x. */
static void norm_line_backward(kk_call *c, int64_t line, int64_t base, int64_t n, int64_t stride) {
  const kk_real *x = kk_in(c, 0) + base;
  kk_real *d = c->din[0] + base, y = kk_out(c, 0)[line], g = kk_dout(c, 0)[line];
  int64_t most = 0;
  if (y == 0) return;
  if (isinf(c->opt[P]))
    for (int64_t i = 0; i < n; i++) most += fabs((double)x[i * stride]) == (double)y;
  for (int64_t i = 0; i < n; i++) {
    kk_real v = x[i * stride], sign = (kk_real)((v > 0) - (v < 0));
    if (c->opt[P] == 2) d[i * stride] += g * v / y;
    else if (c->opt[P] == 1) d[i * stride] += g * sign;
    else if (fabs((double)v) == (double)y) d[i * stride] += g * sign / (kk_real)most;
  }
}

static void norm_backward(kk_call *c) { kk_axis_each(c, kk_reduce_axis(c), norm_line_backward); }

static bool norm_sample(int variant, kk_sample *s) {
  static const double p[] = {2, 2, 2, 1, INFINITY};
  if (variant > 4) return false;
  kk_reduce_sample(variant % 3, s);
  s->opt[P] = p[variant];
  s->lo[0] = variant == 3 ? 0.1 : variant == 4 ? -20 : -1;
  s->hi[0] = variant == 4 ? 20 : 1;
  return true;
}

const kk_op kk_op_norm = {
  .name = "norm",
  .sig = "x[?] -> y[?]",
  .about = "y = the p-norm over a dimension or all elements: root of the sum of squares, sum of |x|, largest |x|; in double",
  .opts = {KK_OPT_DIM0, KK_OPT_KEEP, {"p", 2, 1, INFINITY, "1, 2 or math.huge", NULL}},
  .shape = kk_reduce_shape,
  .check = norm_check,
  .scratch = norm_scratch,
  .forward = norm_forward,
  .backward = norm_backward,
  .sample = norm_sample,
};
