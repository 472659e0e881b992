/* add.c -- the sum of two tensors. */
#include "op/each.h"

KK_ROWS2(add_rows, x + y)
KK_CLONES KK_GRAD2(add_grad, g)

static kk_status add_check(const kk_call *c, kk_err *e) { return kk_each_check(c, '+', e); }
static void add_forward(kk_call *c) { kk_each2(c, add_rows[kk_type(c->in[0])]); }

static void add_backward(kk_call *c) {
  kk_each2_grad(c, 0, add_grad);
  kk_each2_grad(c, 1, add_grad);
}

const kk_op kk_op_add = {
  .name = "add",
  .sig = "x:a[&] y:a[&] -> z:a[&]",
  .about = "z = x + y, also written x + y. Integers stay integers; a sum that does not fit is refused",
  .check = add_check,
  .forward = add_forward,
  .backward = add_backward,
};
