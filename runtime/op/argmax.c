/* argmax.c -- the place of the largest element. */
#include "op/extreme.h"

KK_EXTREMES(argmax_place, >)

static void argmax_line(kk_call *c, int64_t line, int64_t base, int64_t n, int64_t stride) {
  kk_i32_data(c->out[0])[line] = (int32_t)argmax_place(c->in[0], base, n, stride);
}

static void argmax_forward(kk_call *c) { kk_axis_each(c, kk_reduce_axis(c), argmax_line); }

const kk_op kk_op_argmax = {
  .name = "argmax",
  .sig = "x:a[?] -> at:i[?]",
  .about = "at = the place of the largest element of a dimension or of all (the first of equals; the first nan wins)",
  .opts = {KK_OPT_DIM0, KK_OPT_KEEP},
  .shape = kk_reduce_shape,
  .check = kk_reduce_check_some,
  .forward = argmax_forward,
  .sample = kk_reduce_sample,
};
