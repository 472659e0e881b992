/* round.c -- rounding to the nearest integer. */
#include <math.h>

#include "op/each.h"

KK_ROW1(round_row, kk_real, kk_real, nearbyint((double)x))

static void round_forward(kk_call *c) { kk_each1(c, round_row, KK_GRAIN); }

const kk_op kk_op_round = {
  .name = "round",
  .sig = "x[...] -> y[...]",
  .about = "y = x rounded to the nearest integer, halves to the even one, as float32",
  .forward = round_forward,
};
