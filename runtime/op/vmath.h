/* vmath.h -- exp and its relatives as plain arithmetic, so that loops over them vectorise. In the double
** build they are libm's. */
#ifndef KK_VMATH_H
#define KK_VMATH_H

#include <math.h>
#include <string.h>

#include "tensor/tensor.h"

static inline float vmath_pow2(int32_t n) {          /* 2^n, -126 <= n <= 127 */
  uint32_t bits = (uint32_t)(n + 127) << 23;
  float f;
  memcpy(&f, &bits, sizeof f);
  return f;
}

/* yes ? a : b, both computed: branches, which the compiler makes of ?:, would keep loops from vectorising
** (AVX2 and SSE2; AVX-512 masks them). */
static inline float vmath_choose(bool yes, float a, float b) {
  uint32_t mask = -(uint32_t)yes, u, v;
  memcpy(&u, &a, sizeof u);
  memcpy(&v, &b, sizeof v);
  u = (u & mask) | (v & ~mask);
  memcpy(&a, &u, sizeof a);
  return a;
}

/* e^x = 2^n e^r, |r| <= ln 2 / 2. (e^r - 1 - r) / r^2 by the Chebyshev interpolant of degree 4, relative
** error of the polynomial 1e-8, of the whole 1e-7. The scale comes in two factors: denormal and infinite
** results are right. NaN stays NaN. */
static inline float kk_expf(float x) {
  const float magic = 12582912.0f;                   /* 1.5 * 2^23: adding it rounds to an integer */
  float v = vmath_choose(x < -104.0f, -104.0f, x), t, n, r, p;
  int32_t k, half;
  v = vmath_choose(v > 89.0f, 89.0f, v);
  t = v * 1.44269504f + magic;
  n = t - magic;
  r = v - n * 0.693359375f + n * 2.12194440e-4f;     /* ln 2 in two parts */
  p = 0.00139262508f;
  p = p * r + 0.00836323288f;
  p = p * r + 0.0416665542f;
  p = p * r + 0.166665767f;
  p = p * r + 0.5f;
  p = p * r * r + r + 1.0f;
  memcpy(&k, &t, sizeof k);
  k = (int32_t)((uint32_t)k - 0x4B400000u);
  half = k >> 1;
  return p * vmath_pow2(half) * vmath_pow2(k - half);
}

static inline kk_real kk_exp(kk_real x) {
  return sizeof(kk_real) == 4 ? (kk_real)kk_expf((float)x) : (kk_real)exp((double)x);
}
static inline kk_real kk_log(kk_real x) { return sizeof(kk_real) == 4 ? (kk_real)logf((float)x) : (kk_real)log((double)x); }
static inline kk_real kk_sigmoid(kk_real x) { return 1 / (1 + kk_exp(-x)); }

/* tanh x: up to 0.625 the odd minimax polynomial of Moshier's Cephes (tanhf), beyond 1 - 2 / (e^2|x| + 1).
** Relative error below 4e-7 everywhere, near 0 as well. NaN stays NaN. */
static inline float kk_tanhf(float x) {
  const float a = fabsf(x), z = x * x;
  float p = -5.70498872745e-3f;
  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  p = p * z * a + a;
  return copysignf(vmath_choose(a < 0.625f, p, 1.0f - 2.0f / (kk_expf(2.0f * a) + 1.0f)), x);
}
static inline kk_real kk_tanh(kk_real x) {
  return sizeof(kk_real) == 4 ? (kk_real)kk_tanhf((float)x) : (kk_real)tanh((double)x);
}

#endif
