/* le.c -- comparison: less or equal. */
#include "op/each.h"

KK_MASKS2(le_rows, x <= y)

static void le_forward(kk_call *c) { kk_each2(c, le_rows[kk_type(c->in[0])]); }

const kk_op kk_op_le = {
  .name = "le",
  .sig = "x:a[&] y:a[&] -> mask:b[&]",
  .about = "mask = 1 where x <= y, else 0",
  .forward = le_forward,
};
