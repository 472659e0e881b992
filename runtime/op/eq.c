/* eq.c -- comparison: equal. */
#include "op/each.h"

KK_MASKS2(eq_rows, x == y)

static void eq_forward(kk_call *c) { kk_each2(c, eq_rows[kk_type(c->in[0])]); }

const kk_op kk_op_eq = {
  .name = "eq",
  .sig = "x:a[&] y:a[&] -> mask:b[&]",
  .about = "mask = 1 where x = y, else 0",
  .forward = eq_forward,
};
