/* sin.c -- the sine. */
#include <math.h>

#include "op/each.h"

KK_ROW1(sin_row, kk_real, kk_real, sin((double)x))
KK_GRAD1(sin_grad, g * (kk_real)cos((double)x))

static void sin_forward(kk_call *c) { kk_each1(c, sin_row, KK_GRAIN_SLOW); }
static void sin_backward(kk_call *c) { kk_each1_grad(c, sin_grad); }

const kk_op kk_op_sin = {
  .name = "sin",
  .sig = "x[...] -> y[...]",
  .about = "y = sin x, x in radians",
  .forward = sin_forward,
  .backward = sin_backward,
};
