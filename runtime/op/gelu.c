/* gelu.c -- the Gaussian error linear unit. Errors: 9 ulp of y, also where y is tiny; of the tanh form 4 |u| + 5 ulp
** with u as below. Where Phi or sigmoid is below 2^-126 (x < -13.2, -10.0) y is -0. */
#include "op/each.h"
#include "op/vmath.h"

enum { NONE, TANH };
#define ROOT ((kk_real)0.79788456080286535588)     /* sqrt(2 / pi)   */
#define BELL ((kk_real)0.39894228040143267794)     /* 1 / sqrt(2 pi) */
#define CUBE ((kk_real)0.044715)
/* Beyond, Phi and sigmoid are 0 (the double build: far below what adds up): x times them must not be -inf times 0. */
#define LEAST ((kk_real)-40)

static inline kk_real gelu_floor(kk_real x) { return x < LEAST ? LEAST : x; }

/* y = x Phi(x) */
KK_CLONES static void gelu_row(kk_real *restrict y, const kk_real *restrict x, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    kk_real bell;
    y[i] = gelu_floor(x[i]) * kk_normal_cdf(x[i], &bell);
  }
}

KK_CLONES static void gelu_grad(kk_real *restrict d, const kk_real *restrict g, const kk_real *restrict x, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    kk_real bell, p = kk_normal_cdf(x[i], &bell), v = gelu_floor(x[i]);
    v = v > -LEAST ? -LEAST : v;
    d[i] += g[i] * (p + v * BELL * bell);
  }
}

/* x (1 + tanh u) / 2 = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3): the tail keeps its digits */
KK_CLONES static void gelu_tanh_row(kk_real *restrict y, const kk_real *restrict x, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    const kk_real v = gelu_floor(x[i]);
    y[i] = v * kk_sigmoid(2 * ROOT * v * (1 + CUBE * v * v));
  }
}

KK_CLONES static void gelu_tanh_grad(kk_real *restrict d, const kk_real *restrict g, const kk_real *restrict x,
                                     int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    kk_real v = gelu_floor(x[i]), s;
    v = v > -LEAST ? -LEAST : v;
    s = kk_sigmoid(2 * ROOT * v * (1 + CUBE * v * v));
    d[i] += g[i] * (s + v * s * (1 - s) * 2 * ROOT * (1 + 3 * CUBE * v * v));
  }
}

static void gelu_chunk(void *arg, int64_t begin, int64_t end) {
  kk_call *c = arg;
  (c->opt[0] != NONE ? gelu_tanh_row : gelu_row)(kk_out(c, 0) + begin, kk_in(c, 0) + begin, end - begin);
}

static void gelu_chunk_back(void *arg, int64_t begin, int64_t end) {
  kk_call *c = arg;
  const kk_real *g = kk_dout(c, 0) + begin, *x = kk_in(c, 0) + begin;
  (c->opt[0] != NONE ? gelu_tanh_grad : gelu_grad)(c->din[0] + begin, g, x, end - begin);
}

static void gelu_forward(kk_call *c) { kk_pool_for(kk_rows(c), KK_GRAIN_SLOW, gelu_chunk, c); }
static void gelu_backward(kk_call *c) { kk_pool_for(kk_rows(c), KK_GRAIN_SLOW, gelu_chunk_back, c); }

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
