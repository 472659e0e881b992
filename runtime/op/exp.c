/* exp.c -- the exponential. */
#include "op/each.h"
#include "op/vmath.h"

KK_CLONES KK_ROW1(exp_row, kk_real, kk_real, kk_exp(x))
KK_GRAD1(exp_grad, g * y)

static void exp_forward(kk_call *c) { kk_each1(c, exp_row, KK_GRAIN_SLOW); }
static void exp_backward(kk_call *c) { kk_each1_grad(c, exp_grad); }

const kk_op kk_op_exp = {
  .name = "exp",
  .sig = "x[...] -> y[...]",
  .about = "y = e^x",
  .forward = exp_forward,
  .backward = exp_backward,
};
