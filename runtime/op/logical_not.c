/* logical_not.c -- the opposite. */
#include "op/each.h"

KK_ROW1(logical_not_f, kk_real, uint8_t, x == 0)
KK_ROW1(logical_not_i, int32_t, uint8_t, x == 0)
KK_ROW1(logical_not_l, int64_t, uint8_t, x == 0)
KK_ROW1(logical_not_u, uint8_t, uint8_t, x == 0)
static kk_row1 *const logical_not_rows[KK_NDTYPE] = {logical_not_f, logical_not_i, logical_not_l, logical_not_u};

static void logical_not_forward(kk_call *c) { kk_each1(c, logical_not_rows[kk_type(c->in[0])], KK_GRAIN); }

const kk_op kk_op_logical_not = {
  .name = "logical_not",
  .sig = "x:a[...] -> mask:b[...]",
  .about = "mask = 1 where x is 0, else 0",
  .forward = logical_not_forward,
};
