/* cos.c -- the cosine. */
#include <math.h>

#include "op/each.h"

KK_ROW1(cos_row, kk_real, kk_real, cos((double)x))
KK_GRAD1(cos_grad, -g * (kk_real)sin((double)x))

static void cos_forward(kk_call *c) { kk_each1(c, cos_row, KK_GRAIN_SLOW); }
static void cos_backward(kk_call *c) { kk_each1_grad(c, cos_grad); }

const kk_op kk_op_cos = {
  .name = "cos",
  .sig = "x[...] -> y[...]",
  .about = "y = cos x, x in radians",
  .forward = cos_forward,
  .backward = cos_backward,
};
