/* sqrt.c -- the square root. */
#include <math.h>

#include "op/each.h"

KK_ROW1(sqrt_row, kk_real, kk_real, sqrt((double)x))
KK_GRAD1(sqrt_grad, g / (2 * y))

static void sqrt_forward(kk_call *c) { kk_each1(c, sqrt_row, KK_GRAIN); }
static void sqrt_backward(kk_call *c) { kk_each1_grad(c, sqrt_grad); }

static bool sqrt_sample(int variant, kk_sample *s) {
  s->lo[0] = 0.5;
  s->hi[0] = 2;
  return variant == 0;
}

const kk_op kk_op_sqrt = {
  .name = "sqrt",
  .sig = "x[...] -> y[...]",
  .about = "y = the square root of x; nan below 0",
  .forward = sqrt_forward,
  .backward = sqrt_backward,
  .sample = sqrt_sample,
};
