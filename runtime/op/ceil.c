/* ceil.c -- rounding up. */
#include <math.h>

#include "op/each.h"

KK_ROW1(ceil_row, kk_real, kk_real, ceil((double)x))

static void ceil_forward(kk_call *c) { kk_each1(c, ceil_row, KK_GRAIN); }

const kk_op kk_op_ceil = {
  .name = "ceil",
  .sig = "x[...] -> y[...]",
  .about = "y = the smallest integer not below x, as float32",
  .forward = ceil_forward,
};
