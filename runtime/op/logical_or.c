/* logical_or.c -- one or both. */
#include "op/each.h"

KK_MASKS2(logical_or_rows, x != 0 || y != 0)

static void logical_or_forward(kk_call *c) { kk_each2(c, logical_or_rows[kk_type(c->in[0])]); }

const kk_op kk_op_logical_or = {
  .name = "logical_or",
  .sig = "x:a[&] y:a[&] -> mask:b[&]",
  .about = "mask = 1 where x or y or both are not 0, else 0",
  .forward = logical_or_forward,
};
