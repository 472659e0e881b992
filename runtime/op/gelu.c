/* gelu.c -- the Gaussian error linear unit. */
#include <math.h>

#include "op/each.h"

enum { NONE, TANH };
#define ROOT 0.79788456080286535588      /* sqrt(2 / pi)     */
#define HALF 0.70710678118654752440      /* 1 / sqrt(2)      */
#define BELL 0.39894228040143267794      /* 1 / sqrt(2 pi)   */

static inline double gelu_value(double x, bool approximate) {
  if (approximate) return 0.5 * x * (1 + tanh(ROOT * (x + 0.044715 * x * x * x)));
  return 0.5 * x * (1 + erf(x * HALF));
}

static inline double gelu_slope(double x, bool approximate) {
  if (approximate) {
    double t = tanh(ROOT * (x + 0.044715 * x * x * x));
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * ROOT * (1 + 3 * 0.044715 * x * x);
  }
  return 0.5 * (1 + erf(x * HALF)) + x * BELL * exp(-0.5 * x * x);
}

KK_ROW1(gelu_row, kk_real, kk_real, gelu_value((double)x, opt[0] != 0))
KK_GRAD1(gelu_grad, g * (kk_real)gelu_slope((double)x, opt[0] != 0))

static void gelu_forward(kk_call *c) { kk_each1(c, gelu_row, KK_GRAIN_SLOW); }
static void gelu_backward(kk_call *c) { kk_each1_grad(c, gelu_grad); }

static bool gelu_sample(int variant, kk_sample *s) {
  s->opt[0] = variant ? TANH : NONE;
  return variant < 2;
}

const kk_op kk_op_gelu = {
  .name = "gelu",
  .sig = "x[...] -> y[...]",
  .about = "y = x Phi(x), Phi the normal distribution function (Hendrycks and Gimpel, arXiv:1606.08415, eq. 1)",
  .opts = {{"approximate", NONE, NONE, TANH, "tanh: their approximation, as some models were trained with", "none tanh"}},
  .forward = gelu_forward,
  .backward = gelu_backward,
  .sample = gelu_sample,
};
