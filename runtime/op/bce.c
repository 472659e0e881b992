/* bce.c -- binary cross-entropy from logits. */
#include <math.h>

#include "op/op.h"

static double bce_softplus(double x) { return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)); }

static double bce_norm(const kk_call *c) {
  const kk_real *w = kk_in(c, 2);
  double n = 0;
  if (!w) return (double)kk_rows(c);
  for (int64_t i = 0; i < kk_rows(c); i++) n += (double)w[i];
  return n > 0 ? n : 1;
}

/* p softplus(-x) t + softplus(x) (1 - t), p the weight of the positive class */
static void bce_forward(kk_call *c) {
  const kk_real *x = kk_in(c, 0), *t = kk_in(c, 1), *w = kk_in(c, 2);
  double s = 0;
  for (int64_t i = 0, n = kk_rows(c); i < n; i++) {
    double xi = (double)x[i], ti = (double)t[i];
    s += (w ? (double)w[i] : 1) * (c->opt[0] * ti * bce_softplus(-xi) + (1 - ti) * bce_softplus(xi));
  }
  kk_out(c, 0)[0] = (kk_real)(s / bce_norm(c));
}

static void bce_backward(kk_call *c) {
  const kk_real *x = kk_in(c, 0), *t = kk_in(c, 1), *w = kk_in(c, 2);
  double scale = (double)kk_dout(c, 0)[0] / bce_norm(c);
  for (int64_t i = 0, n = kk_rows(c); i < n; i++) {
    double p = 1 / (1 + exp(-(double)x[i])), ti = (double)t[i];
    c->din[0][i] += (kk_real)(scale * (w ? (double)w[i] : 1) * ((1 - ti) * p - c->opt[0] * ti * (1 - p)));
  }
}

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
  .sig = "x[...] target[...]! w[...]?! -> loss[]",
  .about = "binary cross-entropy of logits x: mean (weighted by w) of -p t log sigmoid(x) - (1-t) log(1 - sigmoid(x))",
  .opts = {{"positive_weight", 1, 0, 1e6, "weight p of the positive class", NULL}},
  .check = bce_check,
  .forward = bce_forward,
  .backward = bce_backward,
  .sample = bce_sample,
};
