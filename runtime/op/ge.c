/* ge.c -- comparison: greater or equal. */
#include "op/each.h"

KK_MASKS2(ge_rows, x >= y)

static void ge_forward(kk_call *c) { kk_each2(c, ge_rows[kk_type(c->in[0])]); }

const kk_op kk_op_ge = {
  .name = "ge",
  .sig = "x:a[&] y:a[&] -> mask:b[&]",
  .about = "mask = 1 where x >= y, else 0",
  .forward = ge_forward,
};
