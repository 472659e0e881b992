/* div.c -- the quotient of two tensors. */
#include "op/each.h"

KK_CLONES KK_ROW2(div_row, kk_real, kk_real, x / y)
KK_GRAD2(div_dx, g / y)
KK_GRAD2(div_dy, -g * z / y)

static void div_forward(kk_call *c) { kk_each2(c, div_row); }

static void div_backward(kk_call *c) {
  kk_each2_grad(c, 0, div_dx);
  kk_each2_grad(c, 1, div_dy);
}

static bool div_sample(int variant, kk_sample *s) {
  s->lo[1] = 0.5;
  s->hi[1] = 2;
  return variant == 0;
}

const kk_op kk_op_div = {
  .name = "div",
  .sig = "x[&] y[&] -> z[&]",
  .about = "z = x / y as float32, also written x / y. Division by 0 gives inf or nan",
  .forward = div_forward,
  .backward = div_backward,
  .sample = div_sample,
};
