/* floordiv.c -- the quotient rounded down, as Lua's //. */
#include <math.h>

#include "op/each.h"

KK_ROW2(floordiv_f, kk_real, kk_real, floor((double)(x / y)))
KK_ROW2(floordiv_i, int32_t, int32_t, x / y - ((x % y != 0) && ((x < 0) != (y < 0))))
KK_ROW2(floordiv_l, int64_t, int64_t, x / y - ((x % y != 0) && ((x < 0) != (y < 0))))
KK_ROW2(floordiv_u, uint8_t, uint8_t, x / y)
static kk_row2 *const floordiv_rows[KK_NDTYPE] = {floordiv_f, floordiv_i, floordiv_l, floordiv_u};

static kk_status floordiv_check(const kk_call *c, kk_err *e) { return kk_each_check(c, '/', e); }
static void floordiv_forward(kk_call *c) { kk_each2(c, floordiv_rows[kk_type(c->in[0])]); }

static bool floordiv_sample(int variant, kk_sample *s) {
  s->lo[1] = 0.5;
  s->hi[1] = 2;
  return variant == 0;
}

const kk_op kk_op_floordiv = {
  .name = "floordiv",
  .sig = "x:a[&] y:a[&] -> z:a[&]",
  .about = "z = floor(x / y), also written x // y. Integers stay integers; their division by 0 is refused",
  .check = floordiv_check,
  .forward = floordiv_forward,
  .sample = floordiv_sample,
};
