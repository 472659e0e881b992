/* relu.c -- the rectifier. */
#include "op/each.h"

KK_CLONES KK_ROW1(relu_row, kk_real, kk_real, x < 0 ? 0 : x)
KK_GRAD1(relu_grad, x > 0 ? g : 0)

static void relu_forward(kk_call *c) { kk_each1(c, relu_row, KK_GRAIN); }
static void relu_backward(kk_call *c) { kk_each1_grad(c, relu_grad); }

static bool relu_sample(int variant, kk_sample *s) {    /* both sides of the kink */
  s->lo[0] = variant ? -1 : 0.1;
  s->hi[0] = variant ? -0.1 : 1;
  return variant < 2;
}

const kk_op kk_op_relu = {
  .name = "relu",
  .sig = "x[...] -> y[...]",
  .about = "y = max(x, 0)",
  .forward = relu_forward,
  .backward = relu_backward,
  .sample = relu_sample,
};
