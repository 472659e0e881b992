/* minimum.c -- the smaller of two tensors, element by element. */
#include "op/each.h"

KK_ROWS2(minimum_rows, x < y || x != x ? x : y)         /* nan wins */
KK_GRAD2(minimum_dx, x < y ? g : x == y ? g / 2 : 0)
KK_GRAD2(minimum_dy, x < y ? 0 : x == y ? g / 2 : g)

static void minimum_forward(kk_call *c) { kk_each2(c, minimum_rows[kk_type(c->in[0])]); }

static void minimum_backward(kk_call *c) {
  kk_each2_grad(c, 0, minimum_dx);
  kk_each2_grad(c, 1, minimum_dy);
}

static bool minimum_sample(int variant, kk_sample *s) {    /* apart, one way and the other */
  s->lo[0] = variant ? 0.1 : -1;
  s->hi[0] = variant ? 1 : -0.1;
  s->lo[1] = variant ? -1 : 0.1;
  s->hi[1] = variant ? -0.1 : 1;
  return variant < 2;
}

const kk_op kk_op_minimum = {
  .name = "minimum",
  .sig = "x:a[&] y:a[&] -> z:a[&]",
  .about = "z = the smaller of x and y; nan where either is nan. Equal values share the gradient",
  .forward = minimum_forward,
  .backward = minimum_backward,
  .sample = minimum_sample,
};
