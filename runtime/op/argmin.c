/* argmin.c -- the place of the smallest element. */
#include "op/extreme.h"

KK_EXTREMES(argmin_place, <)

static void argmin_line(kk_call *c, int64_t line, int64_t base, int64_t n, int64_t stride) {
  kk_i32_data(c->out[0])[line] = (int32_t)argmin_place(c->in[0], base, n, stride);
}

static void argmin_forward(kk_call *c) { kk_axis_each(c, kk_reduce_axis(c), argmin_line); }

const kk_op kk_op_argmin = {
  .name = "argmin",
  .sig = "x:a[?] -> at:i[?]",
  .about = "at = the place of the smallest element of a dimension or of all (the first of equals; the first nan wins)",
  .opts = {KK_OPT_DIM0, KK_OPT_KEEP},
  .shape = kk_reduce_shape,
  .check = kk_reduce_check_some,
  .forward = argmin_forward,
  .sample = kk_reduce_sample,
};
