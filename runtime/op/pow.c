/* pow.c -- powers. */
#include <math.h>

#include "op/each.h"

static inline int64_t pow_int(int64_t x, int64_t p) {     /* fits: checked */
  int64_t r = 1;
  if (x == 0 || x == 1) return p == 0 ? 1 : x;
  if (x == -1) return p & 1 ? -1 : 1;
  for (; p > 0; p--) r *= x;
  return r;
}

/* The square, by far the most frequent, without the library. */
static void pow_f(void *zv, const void *xv, int64_t sx, const void *pv, int64_t sp, int64_t n) {
  kk_real *z = zv;
  const kk_real *x = xv, *p = pv;
  if (sp == 0 && *p == 2)
    for (int64_t i = 0; i < n; i++) z[i] = x[i * sx] * x[i * sx];
  else
    for (int64_t i = 0; i < n; i++) z[i] = (kk_real)pow((double)x[i * sx], (double)p[i * sp]);
}
KK_ROW2(pow_i, int32_t, int32_t, pow_int(x, y))
KK_ROW2(pow_l, int64_t, int64_t, pow_int(x, y))
KK_ROW2(pow_u, uint8_t, uint8_t, pow_int(x, y))
static kk_row2 *const pow_rows[KK_NDTYPE] = {pow_f, pow_i, pow_l, pow_u};

/* dx = g p x^(p-1), 0 where p is 0;  dp = g z log x, 0 where x is 0. */
KK_GRAD2(pow_dx, y == 2 ? 2 * g * x : y == 0 ? 0 : g * y * (kk_real)pow((double)x, (double)y - 1))
KK_GRAD2(pow_dp, x == 0 && y >= 0 ? 0 : g * z * (kk_real)log((double)x))

static kk_status pow_check(const kk_call *c, kk_err *e) { return kk_each_check(c, '^', e); }
static void pow_forward(kk_call *c) { kk_each2(c, pow_rows[kk_type(c->in[0])]); }

static void pow_backward(kk_call *c) {
  kk_each2_grad(c, 0, pow_dx);
  kk_each2_grad(c, 1, pow_dp);
}

static bool pow_sample(int variant, kk_sample *s) {
  s->lo[0] = 0.5;
  s->hi[0] = 2;
  return variant == 0;
}

const kk_op kk_op_pow = {
  .name = "pow",
  .sig = "x:a[&] p:a[&] -> z:a[&]",
  .about = "z = x^p, also written x ^ p. Integers to powers of 0 or more stay integers; what does not fit is refused",
  .check = pow_check,
  .forward = pow_forward,
  .backward = pow_backward,
  .sample = pow_sample,
};
