/* vmath.h -- exp, tanh, sigmoid, log, softplus and the normal distribution as plain arithmetic, so that loops
** over them vectorise. In the double build they are libm's.
**
** Errors against the exact result, in units of the last place (ulp) of a normal float, over the whole range;
** tests/c/test_vmath.c checks them in each version (AVX-512, AVX2, baseline) that the machine runs:
**   kk_expf 1.1   kk_tanhf 1.4   kk_sigmoidf 2   kk_logf 1.1   kk_softplusf 1.8   kk_normal_cdff 8
** Results below 2^-126 flush to signed zero (exp, sigmoid, softplus, normal_cdf), for denormals are slow and
** nothing here can use them; tanh of a denormal is that number, log takes denormals as they are. NaN gives NaN,
** infinities the limits. */
#ifndef KK_VMATH_H
#define KK_VMATH_H

#include <math.h>
#include <string.h>

#include "tensor/tensor.h"

static inline uint32_t vmath_bits(float x) {
  uint32_t u;
  memcpy(&u, &x, sizeof u);
  return u;
}

static inline float vmath_float(uint32_t u) {
  float x;
  memcpy(&x, &u, sizeof x);
  return x;
}

/* yes ? a : b, both computed: branches, which the compiler makes of ?:, would keep loops from vectorising
** (AVX2 and SSE2; AVX-512 masks them). */
static inline float vmath_choose(bool yes, float a, float b) {
  uint32_t mask = -(uint32_t)yes;
  return vmath_float((vmath_bits(a) & mask) | (vmath_bits(b) & ~mask));
}

#define VMATH_EXP_LEAST -87.3365402f       /* below: e^x < 2^-126 */
#define VMATH_EXP_MOST 88.7228317f         /* above: e^x is no float */

/* e^(v + lo) = 2^n e^r, |r| <= ln 2 / 2, lo much smaller than 1. Answers e^r and, in t, n beside the constant `magic`
** (1.5 * 2^23 or a little more), whose addition rounds to an integer. (e^r - 1 - r) / r^2 by the Chebyshev
** interpolant of degree 4: relative error of the polynomial 1e-8. */
static inline float vmath_exp_parts(float v, float lo, float magic, float *t) {
  float n, r, p;
  *t = v * 1.44269504f + magic;
  n = *t - magic;
  r = v - n * 0.693359375f + (n * 2.12194440e-4f + lo);     /* ln 2 in two parts */
  p = 0.00139262508f;
  p = p * r + 0.00836323288f;
  p = p * r + 0.0416665542f;
  p = p * r + 0.166665767f;
  p = p * r + 0.5f;
  return p * r * r + r + 1.0f;
}

/* e^(v + lo) for -87.34 <= v <= 88; nan stays nan. The bits of t end in n + 127: shifted, 2^n. */
static inline float vmath_exp_within(float v, float lo) {
  float t, p = vmath_exp_parts(v, lo, 12583039.0f, &t);
  return p * vmath_float(vmath_bits(t) << 23);
}

/* n is added to the exponent: right up to the largest float, where 2^n is none. */
static inline float kk_expf(float x) {
  float t, p = vmath_exp_parts(x, 0, 12582912.0f, &t);
  p = vmath_float(vmath_bits(p) + (vmath_bits(t) << 23));
  p = vmath_choose(x <= VMATH_EXP_MOST, p, x + (float)INFINITY);     /* inf and nan */
  return vmath_choose(x < VMATH_EXP_LEAST, 0, p);
}

/* tanh x: up to 0.625 the odd minimax polynomial of Moshier's Cephes (tanhf), so that the error is relative near 0
** as well; beyond 1 - 2 / (e^2|x| + 1). */
static inline float kk_tanhf(float x) {
  const float a = fabsf(x), z = x * x, v = vmath_choose(a > 10.0f, 10.0f, a);
  float p = -5.70498872745e-3f;
  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  p = p * z * a + a;
  p = vmath_choose(a >= 0.625f, 1.0f - 2.0f / (vmath_exp_within(2.0f * v, 0) + 1.0f), p);
  return copysignf(p, x);
}

/* With t = e^-|x|: 1 / (1 + t), or t / (1 + t) where x < 0. e, the rounding of the sum, is taken back to first order:
** times 1 / (1 + t), for which a line does. Without it the error reaches 2.4 ulp. */
static inline float kk_sigmoidf(float x) {
  const float a = fabsf(x), v = vmath_choose(a > -VMATH_EXP_LEAST, -VMATH_EXP_LEAST, a);
  const float t = vmath_exp_within(-v, 0), d = 1.0f + t, e = t - (d - 1.0f), y = vmath_choose(x < 0, t, 1.0f) / d;
  return vmath_choose(x < VMATH_EXP_LEAST, 0, y - e * (1.0f - 0.5f * t) * y);
}

/* log(1 + f) - f for 1/sqrt 2 - 1 <= f <= sqrt 2 - 1: -f^2/2 + f^3 p(f), p the Chebyshev interpolant of degree 8,
** relative error 3e-9. */
static inline float vmath_log_rest(float f) {
  float p = 0.0697161183f;
  p = p * f - 0.114797339f;
  p = p * f + 0.116854198f;
  p = p * f - 0.124256872f;
  p = p * f + 0.142490581f;
  p = p * f - 0.166678026f;
  p = p * f + 0.200007156f;
  p = p * f - 0.24999997f;
  p = p * f + 0.333333313f;
  return (p * f - 0.5f) * (f * f);
}

/* x = 2^k (1 + f) */
static inline float kk_logf(float x) {
  const bool tiny = x < 1.17549435e-38f;
  const uint32_t u = vmath_bits(vmath_choose(tiny, x * 33554432.0f, x)) - 0x3F3504F3u;     /* the bits of 1/sqrt 2 */
  const float k = (float)((int32_t)u >> 23) - vmath_choose(tiny, 25.0f, 0);
  const float f = vmath_float((u & 0x007FFFFFu) + 0x3F3504F3u) - 1.0f;
  float y = k * -2.12194440e-4f + vmath_log_rest(f) + f + k * 0.693359375f;
  y = vmath_choose(x < (float)INFINITY, y, x);                                           /* inf and nan */
  y = vmath_choose(x == 0, -(float)INFINITY, y);
  return vmath_choose(x < 0, (float)NAN, y);
}

/* log(1 + t), 0 <= t <= 1: beyond sqrt 2 - 1 as log 2 + log(1 + (t - 1) / 2). */
static inline float vmath_log1p(float t) {
  const bool high = t > 0.414213562f;
  const float f = vmath_choose(high, 0.5f * t - 0.5f, t), y = vmath_log_rest(f) + f;
  return y + vmath_choose(high, 0.693147181f, 0);
}

/* log(1 + e^x) = max(x, 0) + log(1 + e^-|x|) */
static inline float kk_softplusf(float x) {
  const float a = fabsf(x), v = vmath_choose(a > -VMATH_EXP_LEAST, -VMATH_EXP_LEAST, a);
  const float y = vmath_choose(x < 0, 0, x) + vmath_log1p(vmath_exp_within(-v, 0));
  return vmath_choose(x < VMATH_EXP_LEAST, 0, y);
}

/* The normal distribution function, relative error small in the left tail as well:
** Phi(-a) = e^(-a^2/2) q g(q), q = 1 / (1 + a/4), a >= 0; g the Chebyshev interpolant of degree 9, error 1.5e-8.
** The exponent would lose a^2/2 ulp by the rounding of a^2: a is split so that the square of its upper part is exact.
** bell: e^(-x^2/2). */
static inline float kk_normal_cdff(float x, float *bell) {
  const float a = fabsf(x), v = vmath_choose(a > 13.2163944f, 13.2163944f, a);
  const float up = vmath_float(vmath_bits(v) & 0xFFFFF000u), q = 1.0f / (1.0f + 0.25f * v);
  float e = vmath_exp_within(-0.5f * up * up, -0.5f * (v - up) * (v + up)), g = 0.0153836031f;
  e = vmath_choose(a > 13.2163944f, 0, e);
  g = g * q - 0.0563454628f;
  g = g * q + 0.0366152562f;
  g = g * q + 0.0483180843f;
  g = g * q - 0.00367795932f;
  g = g * q + 0.0953755677f;
  g = g * q + 0.0690116361f;
  g = g * q + 0.0961508676f;
  g = g * q + 0.099416621f;
  g = g * q + 0.0997517928f;
  *bell = e;
  g = e * (q * g);
  return vmath_choose(x > 0, 1.0f - g, g);
}

static inline kk_real kk_exp(kk_real x) {
  return sizeof(kk_real) == 4 ? (kk_real)kk_expf((float)x) : (kk_real)exp((double)x);
}
static inline kk_real kk_log(kk_real x) {
  return sizeof(kk_real) == 4 ? (kk_real)kk_logf((float)x) : (kk_real)log((double)x);
}
static inline kk_real kk_tanh(kk_real x) {
  return sizeof(kk_real) == 4 ? (kk_real)kk_tanhf((float)x) : (kk_real)tanh((double)x);
}
static inline kk_real kk_sigmoid(kk_real x) {
  return sizeof(kk_real) == 4 ? (kk_real)kk_sigmoidf((float)x) : 1 / (1 + (kk_real)exp(-(double)x));
}
static inline kk_real kk_softplus(kk_real x) {
  if (sizeof(kk_real) == 4) return (kk_real)kk_softplusf((float)x);
  return (kk_real)((x > 0 ? (double)x : 0) + log1p(exp(-fabs((double)x))));
}
static inline kk_real kk_normal_cdf(kk_real x, kk_real *bell) {
  float b = 0;
  if (sizeof(kk_real) == 4) {
    const kk_real y = (kk_real)kk_normal_cdff((float)x, &b);
    *bell = (kk_real)b;
    return y;
  }
  *bell = (kk_real)exp(-0.5 * (double)x * (double)x);
  return (kk_real)(0.5 * erfc((double)x * -0.70710678118654752440));
}

#endif
