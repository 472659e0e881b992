/* lt.c -- comparison: less. */
#include "op/each.h"

KK_MASKS2(lt_rows, x < y)

static void lt_forward(kk_call *c) { kk_each2(c, lt_rows[kk_type(c->in[0])]); }

const kk_op kk_op_lt = {
  .name = "lt",
  .sig = "x:a[&] y:a[&] -> mask:b[&]",
  .about = "mask = 1 where x < y, else 0",
  .forward = lt_forward,
};
