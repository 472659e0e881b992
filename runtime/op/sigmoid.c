/* sigmoid.c -- the logistic function. */
#include "op/each.h"
#include "op/vmath.h"

KK_CLONES KK_ROW1(sigmoid_row, kk_real, kk_real, kk_sigmoid(x))
KK_GRAD1(sigmoid_grad, g * y * (1 - y))

static void sigmoid_forward(kk_call *c) { kk_each1(c, sigmoid_row, KK_GRAIN_SLOW); }
static void sigmoid_backward(kk_call *c) { kk_each1_grad(c, sigmoid_grad); }

const kk_op kk_op_sigmoid = {
  .name = "sigmoid",
  .sig = "x[...] -> y[...]",
  .about = "y = 1 / (1 + e^-x)",
  .forward = sigmoid_forward,
  .backward = sigmoid_backward,
};
