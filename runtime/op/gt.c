/* gt.c -- comparison: greater. */
#include "op/each.h"

KK_MASKS2(gt_rows, x > y)

static void gt_forward(kk_call *c) { kk_each2(c, gt_rows[kk_type(c->in[0])]); }

const kk_op kk_op_gt = {
  .name = "gt",
  .sig = "x:a[&] y:a[&] -> mask:b[&]",
  .about = "mask = 1 where x > y, else 0",
  .forward = gt_forward,
};
