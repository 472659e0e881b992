/* ne.c -- comparison: different. */
#include "op/each.h"

KK_MASKS2(ne_rows, x != y)

static void ne_forward(kk_call *c) { kk_each2(c, ne_rows[kk_type(c->in[0])]); }

const kk_op kk_op_ne = {
  .name = "ne",
  .sig = "x:a[&] y:a[&] -> mask:b[&]",
  .about = "mask = 1 where x differs from y, else 0",
  .forward = ne_forward,
};
