/* square.c -- the square. */
#include "op/each.h"

KK_CLONES KK_ROW1(square_row, kk_real, kk_real, x * x)
KK_GRAD1(square_grad, 2 * g * x)

static void square_forward(kk_call *c) { kk_each1(c, square_row, KK_GRAIN); }
static void square_backward(kk_call *c) { kk_each1_grad(c, square_grad); }

const kk_op kk_op_square = {
  .name = "square",
  .sig = "x[...] -> y[...]",
  .about = "y = x^2",
  .forward = square_forward,
  .backward = square_backward,
};
