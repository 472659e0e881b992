/* max.c -- the largest element and its place. */
#include "op/extreme.h"

static void max_forward(kk_call *c) { kk_extreme_lines(c, true, c->out[0], c->out[1], c->save[0]); }

static void max_line_backward(kk_call *c, int64_t line, int64_t base, int64_t n, int64_t stride) {
  (void)n;
  c->din[0][base + kk_i32_data(c->save[0])[line] * stride] += kk_dout(c, 0)[line];
}

static void max_backward(kk_call *c) { kk_axis_each(c, kk_reduce_axis(c), max_line_backward); }

const kk_op kk_op_max = {
  .name = "max",
  .sig = "x:a[?] -> y:a[?] at:i[?] ; kept:i[?]",
  .about = "y = the largest over a dimension or all elements, at = its place there (the first of equals; the first nan wins)",
  .opts = {KK_OPT_DIM0, KK_OPT_KEEP},
  .shape = kk_reduce_shape,
  .check = kk_reduce_check_some,
  .forward = max_forward,
  .backward = max_backward,
  .sample = kk_reduce_sample_apart,
};
