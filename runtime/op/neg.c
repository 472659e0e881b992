/* neg.c -- the negative. */
#include "op/each.h"

KK_ROWS1(neg_rows, -x)
KK_GRAD1(neg_grad, -g)

static kk_status neg_check(const kk_call *c, kk_err *e) { return kk_each_check(c, 'n', e); }
static void neg_forward(kk_call *c) { kk_each1(c, neg_rows[kk_type(c->in[0])], KK_GRAIN); }
static void neg_backward(kk_call *c) { kk_each1_grad(c, neg_grad); }

const kk_op kk_op_neg = {
  .name = "neg",
  .sig = "x:a[...] -> y:a[...]",
  .about = "y = -x, also written -x. Integers stay integers; uint8 above 0 is refused",
  .check = neg_check,
  .forward = neg_forward,
  .backward = neg_backward,
};
