/* prod.c -- the product of elements. */
#include "op/axis.h"

static void prod_line(kk_call *c, int64_t line, int64_t base, int64_t n, int64_t stride) {
  const kk_real *x = kk_in(c, 0) + base;
  double p = 1;
  for (int64_t i = 0; i < n; i++) p *= (double)x[i * stride];
  kk_out(c, 0)[line] = (kk_real)p;
}

static void prod_forward(kk_call *c) { kk_axis_each(c, kk_reduce_axis(c), prod_line); }

/* dx[i] = g times the product of the others: with one zero only its own place gets any, with two none does. */
static void prod_line_backward(kk_call *c, int64_t line, int64_t base, int64_t n, int64_t stride) {
  const kk_real *x = kk_in(c, 0) + base;
  kk_real *d = c->din[0] + base;
  double g = (double)kk_dout(c, 0)[line], p = 1;
  int64_t zeros = 0, zero = 0;
  for (int64_t i = 0; i < n; i++)
    if (x[i * stride] == 0) zeros++, zero = i;
    else p *= (double)x[i * stride];
  if (zeros == 1) d[zero * stride] += (kk_real)(g * p);
  if (zeros) return;
  for (int64_t i = 0; i < n; i++) d[i * stride] += (kk_real)(g * p / (double)x[i * stride]);
}

static void prod_backward(kk_call *c) { kk_axis_each(c, kk_reduce_axis(c), prod_line_backward); }

const kk_op kk_op_prod = {
  .name = "prod",
  .sig = "x[?] -> y[?]",
  .about = "y = the product over a dimension or over all elements, in double; float32",
  .opts = {KK_OPT_DIM0, KK_OPT_KEEP},
  .shape = kk_reduce_shape,
  .check = kk_reduce_check,
  .forward = prod_forward,
  .backward = prod_backward,
  .sample = kk_reduce_sample,
};
