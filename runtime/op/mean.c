/* mean.c -- the arithmetic mean. */
#include "op/axis.h"

static size_t mean_scratch(const kk_call *c, bool backward) { return backward ? 0 : kk_axis_sum_scratch(kk_reduce_axis(c)); }

static void mean_forward(kk_call *c) {
  kk_axis a = kk_reduce_axis(c);
  kk_axis_sum(kk_in(c, 0), a, 1 / (double)a.n, c->scratch, kk_out(c, 0));
}

static void mean_backward(kk_call *c) {
  kk_axis a = kk_reduce_axis(c);
  kk_axis_spread(c->din[0], kk_dout(c, 0), a, 1 / (double)a.n);
}

const kk_op kk_op_mean = {
  .name = "mean",
  .sig = "x[?] -> y[?]",
  .about = "y = the sum over a dimension or over all elements, divided by their number, which must not be 0",
  .opts = {KK_OPT_DIM0, KK_OPT_KEEP},
  .shape = kk_reduce_shape,
  .check = kk_reduce_check_some,
  .scratch = mean_scratch,
  .forward = mean_forward,
  .backward = mean_backward,
  .sample = kk_reduce_sample,
};
