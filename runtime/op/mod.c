/* mod.c -- the remainder with the sign of the divisor, as Lua's %. */
#include <math.h>

#include "op/each.h"

static inline double mod_real(double x, double y) {
  double r = fmod(x, y);
  return r != 0 && (r < 0) != (y < 0) ? r + y : r;
}

KK_ROW2(mod_f, kk_real, kk_real, mod_real((double)x, (double)y))
KK_ROW2(mod_i, int32_t, int32_t, x % y + (x % y != 0 && (x < 0) != (y < 0) ? y : 0))
KK_ROW2(mod_l, int64_t, int64_t, x % y + (x % y != 0 && (x < 0) != (y < 0) ? y : 0))
KK_ROW2(mod_u, uint8_t, uint8_t, x % y)
static kk_row2 *const mod_rows[KK_NDTYPE] = {mod_f, mod_i, mod_l, mod_u};

static kk_status mod_check(const kk_call *c, kk_err *e) { return kk_each_check(c, '/', e); }
static void mod_forward(kk_call *c) { kk_each2(c, mod_rows[kk_type(c->in[0])]); }

static bool mod_sample(int variant, kk_sample *s) {
  s->lo[1] = 0.5;
  s->hi[1] = 2;
  return variant == 0;
}

const kk_op kk_op_mod = {
  .name = "mod",
  .sig = "x:a[&] y:a[&] -> z:a[&]",
  .about = "z = x - floor(x / y) y, also written x % y: the sign of y. Integers stay integers; their division by 0 is refused",
  .check = mod_check,
  .forward = mod_forward,
  .sample = mod_sample,
};
