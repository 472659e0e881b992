/* bce.c -- binary cross-entropy from logits. */
#include "base/clones.h"
#include "base/pool.h"
#include "op/op.h"
#include "op/vmath.h"

enum { GRAIN = 4096 };

/* Each chunk's loss and weight, side by side. */
static size_t bce_scratch(const kk_call *c, bool backward) {
  (void)backward;
  return (size_t)(kk_rows(c) / GRAIN + 1) * 2 * sizeof(double);
}

/* p softplus(-x) t + softplus(x) (1 - t), p the weight of the positive class; 4 ulp each, added in double */
KK_CLONES static void bce_losses(kk_real *restrict y, const kk_real *restrict x, const kk_real *restrict t, int64_t n,
                                 kk_real p) {
  for (int64_t i = 0; i < n; i++) {
    const kk_real a = x[i] < 0 ? -x[i] : x[i], rest = kk_softplus(-a);     /* log(1 + e^-|x|) */
    const kk_real up = (x[i] > 0 ? x[i] : 0) + rest, down = (x[i] < 0 ? -x[i] : 0) + rest;
    y[i] = p * t[i] * down + (1 - t[i]) * up;
  }
}

static void bce_sums(void *arg, int64_t begin, int64_t end) {
  kk_call *c = arg;
  const kk_real *w = kk_in(c, 2);
  kk_real y[GRAIN];
  double sum = 0, norm = 0;
  bce_losses(y, kk_in(c, 0) + begin, kk_in(c, 1) + begin, end - begin, (kk_real)c->opt[0]);
  for (int64_t i = begin; i < end; i++) {
    sum += (w ? (double)w[i] : 1) * (double)y[i - begin];
    norm += w ? (double)w[i] : 1;
  }
  ((double *)c->scratch)[begin / GRAIN * 2] = sum;
  ((double *)c->scratch)[begin / GRAIN * 2 + 1] = norm;
}

static void bce_forward(kk_call *c) {
  const double *part = c->scratch;
  double sum = 0, norm = 0;
  kk_pool_for(kk_rows(c), GRAIN, bce_sums, c);
  for (int64_t i = 0; i * GRAIN < kk_rows(c); i++) {
    sum += part[2 * i];
    norm += part[2 * i + 1];
  }
  if (c->in[2] && norm <= 0) norm = 1;
  if (c->nsave) kk_saved(c, 0)[0] = (kk_real)norm;
  kk_out(c, 0)[0] = (kk_real)(sum / norm);
}

/* dx = w ((1 - t) sigmoid(x) - p t sigmoid(-x)) dloss / norm */
KK_CLONES static void bce_back(void *arg, int64_t begin, int64_t end) {
  kk_call *c = arg;
  const kk_real *x = kk_in(c, 0), *t = kk_in(c, 1), *w = kk_in(c, 2), p = (kk_real)c->opt[0];
  const kk_real scale = (kk_real)((double)kk_dout(c, 0)[0] / (double)kk_saved(c, 0)[0]);
  kk_real *restrict d = c->din[0];
  if (w)
    for (int64_t i = begin; i < end; i++)
      d[i] += scale * w[i] * ((1 - t[i]) * kk_sigmoid(x[i]) - p * t[i] * kk_sigmoid(-x[i]));
  else
    for (int64_t i = begin; i < end; i++)
      d[i] += scale * ((1 - t[i]) * kk_sigmoid(x[i]) - p * t[i] * kk_sigmoid(-x[i]));
}

static void bce_backward(kk_call *c) { kk_pool_for(kk_rows(c), GRAIN, bce_back, c); }

static kk_status bce_check(const kk_call *c, kk_err *e) {
  const kk_real *t = kk_in(c, 1);
  for (int64_t i = 0, n = kk_rows(c); i < n; i++)
    if (!(t[i] >= 0 && t[i] <= 1))
      return kk_fail(e, KK_EARG, "bce: target %lld is %g, expected 0..1", (long long)i + 1, (double)t[i]);
  return KK_OK;
}

static bool bce_sample(int variant, kk_sample *s) {
  s->lo[1] = 0;
  s->lo[2] = 0.1;
  s->absent[2] = variant == 0;
  s->opt[0] = variant == 0 ? 1 : 2.5;
  return variant < 2;
}

const kk_op kk_op_bce = {
  .name = "bce",
  .sig = "x[...] target[...]! w[...]?! -> loss[]; norm[]",
  .about = "binary cross-entropy of logits x: mean (weighted by w) of -p t log sigmoid(x) - (1-t) log(1 - sigmoid(x))",
  .opts = {{"positive_weight", 1, 0, 1e6, "weight p of the positive class", NULL}},
  .check = bce_check,
  .scratch = bce_scratch,
  .forward = bce_forward,
  .backward = bce_backward,
  .sample = bce_sample,
};
