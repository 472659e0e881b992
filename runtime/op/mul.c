/* mul.c -- the element-wise product of two tensors. */
#include "op/each.h"

KK_ROWS2(mul_rows, x * y)
KK_CLONES KK_GRAD2(mul_dx, g * y)
KK_CLONES KK_GRAD2(mul_dy, g * x)

static kk_status mul_check(const kk_call *c, kk_err *e) { return kk_each_check(c, '*', e); }
static void mul_forward(kk_call *c) { kk_each2(c, mul_rows[kk_type(c->in[0])]); }

static void mul_backward(kk_call *c) {
  kk_each2_grad(c, 0, mul_dx);
  kk_each2_grad(c, 1, mul_dy);
}

const kk_op kk_op_mul = {
  .name = "mul",
  .sig = "x:a[&] y:a[&] -> z:a[&]",
  .about = "z = x y, element by element, also written x * y. Integers stay integers; a product that does not fit is refused",
  .check = mul_check,
  .forward = mul_forward,
  .backward = mul_backward,
};
