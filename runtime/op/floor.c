/* floor.c -- rounding down. */
#include <math.h>

#include "op/each.h"

KK_ROW1(floor_row, kk_real, kk_real, floor((double)x))

static void floor_forward(kk_call *c) { kk_each1(c, floor_row, KK_GRAIN); }

const kk_op kk_op_floor = {
  .name = "floor",
  .sig = "x[...] -> y[...]",
  .about = "y = the largest integer not above x, as float32",
  .forward = floor_forward,
};
