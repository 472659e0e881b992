/* argmax.c -- the place of the largest element. */
#include "op/extreme.h"

static void argmax_forward(kk_call *c) { kk_extreme_lines(c, true, NULL, c->out[0], NULL); }

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
