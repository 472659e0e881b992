/* logical_and.c -- both. */
#include "op/each.h"

KK_MASKS2(logical_and_rows, x != 0 && y != 0)

static void logical_and_forward(kk_call *c) { kk_each2(c, logical_and_rows[kk_type(c->in[0])]); }

const kk_op kk_op_logical_and = {
  .name = "logical_and",
  .sig = "x:a[&] y:a[&] -> mask:b[&]",
  .about = "mask = 1 where neither x nor y is 0, else 0",
  .forward = logical_and_forward,
};
