/* tanh.c -- the hyperbolic tangent. */
#include "op/each.h"
#include "op/vmath.h"

KK_CLONES KK_ROW1(tanh_row, kk_real, kk_real, kk_tanh(x))
KK_GRAD1(tanh_grad, g * (1 - y * y))

static void tanh_forward(kk_call *c) { kk_each1(c, tanh_row, KK_GRAIN_SLOW); }
static void tanh_backward(kk_call *c) { kk_each1_grad(c, tanh_grad); }

const kk_op kk_op_tanh = {
  .name = "tanh",
  .sig = "x[...] -> y[...]",
  .about = "y = tanh x",
  .forward = tanh_forward,
  .backward = tanh_backward,
};
