/* min.c -- the smallest element and its place. */
#include "op/extreme.h"

static void min_forward(kk_call *c) { kk_extreme_lines(c, false, c->out[0], c->out[1], c->save[0]); }

static void min_line_backward(kk_call *c, int64_t line, int64_t base, int64_t n, int64_t stride) {
  (void)n;
  c->din[0][base + kk_i32_data(c->save[0])[line] * stride] += kk_dout(c, 0)[line];
}

static void min_backward(kk_call *c) { kk_axis_each(c, kk_reduce_axis(c), min_line_backward); }

const kk_op kk_op_min = {
  .name = "min",
  .sig = "x:a[?] -> y:a[?] at:i[?] ; kept:i[?]",
  .about = "y = the smallest over a dimension or all elements, at = its place there (the first of equals; the first nan wins)",
  .opts = {KK_OPT_DIM0, KK_OPT_KEEP},
  .shape = kk_reduce_shape,
  .check = kk_reduce_check_some,
  .forward = min_forward,
  .backward = min_backward,
  .sample = kk_reduce_sample_apart,
};
