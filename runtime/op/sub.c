/* sub.c -- the difference of two tensors. */
#include "op/each.h"

KK_ROWS2(sub_rows, x - y)
KK_GRAD2(sub_dx, g)
KK_GRAD2(sub_dy, -g)

static kk_status sub_check(const kk_call *c, kk_err *e) { return kk_each_check(c, '-', e); }
static void sub_forward(kk_call *c) { kk_each2(c, sub_rows[kk_type(c->in[0])]); }

static void sub_backward(kk_call *c) {
  kk_each2_grad(c, 0, sub_dx);
  kk_each2_grad(c, 1, sub_dy);
}

const kk_op kk_op_sub = {
  .name = "sub",
  .sig = "x:a[&] y:a[&] -> z:a[&]",
  .about = "z = x - y, also written x - y. Integers stay integers; a difference that does not fit is refused",
  .check = sub_check,
  .forward = sub_forward,
  .backward = sub_backward,
};
