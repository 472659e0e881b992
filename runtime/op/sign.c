/* sign.c -- the sign. */
#include "op/each.h"

KK_ROW1(sign_f, kk_real, kk_real, (x > 0) - (x < 0))
KK_ROW1(sign_i, int32_t, int32_t, (x > 0) - (x < 0))
KK_ROW1(sign_l, int64_t, int64_t, (x > 0) - (x < 0))
KK_ROW1(sign_u, uint8_t, uint8_t, x > 0)
static kk_row1 *const sign_rows[KK_NDTYPE] = {sign_f, sign_i, sign_l, sign_u};

static void sign_forward(kk_call *c) { kk_each1(c, sign_rows[kk_type(c->in[0])], KK_GRAIN); }

const kk_op kk_op_sign = {
  .name = "sign",
  .sig = "x:a[...] -> y:a[...]",
  .about = "y = 1 where x > 0, -1 where x < 0, else 0",
  .forward = sign_forward,
};
