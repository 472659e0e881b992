/* batch_norm.c -- normalises each column by the batch, or by given running statistics. */
#include <math.h>

#include "op/op.h"

enum { X, GAIN, BIAS, MEAN, VAR };

static bool bn_given(const kk_call *c) { return c->in[MEAN] != NULL; }

/* Outputs 1 and 2 are what was used: batch mean and (biased) variance, or the given ones. */
static void batch_norm_forward(kk_call *c) {
  const int64_t N = KK_DIM(c, 'N'), D = KK_DIM(c, 'D');
  const kk_real *x = kk_in(c, X);
  kk_real *y = kk_out(c, 0), *mean = kk_out(c, 1), *var = kk_out(c, 2);
  for (int64_t d = 0; d < D; d++) {
    double m = 0, v = 0;
    if (bn_given(c)) {
      m = (double)kk_in(c, MEAN)[d];
      v = (double)kk_in(c, VAR)[d];
    } else {
      for (int64_t n = 0; n < N; n++) m += (double)x[n * D + d];
      m /= (double)N;
      for (int64_t n = 0; n < N; n++) v += ((double)x[n * D + d] - m) * ((double)x[n * D + d] - m);
      v /= (double)N;
    }
    double scale = (double)kk_in(c, GAIN)[d] / sqrt(v + c->opt[0]), shift = (double)kk_in(c, BIAS)[d] - m * scale;
    for (int64_t n = 0; n < N; n++) y[n * D + d] = (kk_real)((double)x[n * D + d] * scale + shift);
    mean[d] = (kk_real)m;
    var[d] = (kk_real)v;
  }
}

/* Batch statistics: dx = gain rstd (dy - mean(dy) - xhat mean(dy xhat)); given ones: dx = gain rstd dy */
static void batch_norm_backward(kk_call *c) {
  const int64_t N = KK_DIM(c, 'N'), D = KK_DIM(c, 'D');
  const kk_real *x = kk_in(c, X), *dy = kk_dout(c, 0);
  for (int64_t d = 0; d < D; d++) {
    double m = (double)kk_out(c, 1)[d], rstd = 1 / sqrt((double)kk_out(c, 2)[d] + c->opt[0]), a = 0, b = 0;
    for (int64_t n = 0; n < N; n++) {
      a += (double)dy[n * D + d];
      b += (double)dy[n * D + d] * ((double)x[n * D + d] - m) * rstd;
    }
    if (c->din[GAIN]) c->din[GAIN][d] += (kk_real)b;
    if (c->din[BIAS]) c->din[BIAS][d] += (kk_real)a;
    if (!c->din[X]) continue;
    double g = (double)kk_in(c, GAIN)[d] * rstd;
    if (bn_given(c)) a = b = 0;
    for (int64_t n = 0; n < N; n++)
      c->din[X][n * D + d] += (kk_real)(g * ((double)dy[n * D + d] - a / (double)N -
                                             ((double)x[n * D + d] - m) * rstd * b / (double)N));
  }
}

static kk_status batch_norm_check(const kk_call *c, kk_err *e) {
  if (!c->in[MEAN] != !c->in[VAR]) return kk_fail(e, KK_EARG, "batch_norm: give both mean and var, or neither");
  if (!bn_given(c) && KK_DIM(c, 'N') < 2)
    return kk_fail(e, KK_EARG, "batch_norm: statistics of a batch of %lld rows; give mean and var, or more rows",
                   (long long)KK_DIM(c, 'N'));
  return KK_OK;
}

static bool batch_norm_sample(int variant, kk_sample *s) {
  s->dim['N' - 'A'] = 5;
  s->absent[MEAN] = s->absent[VAR] = variant == 0;
  s->lo[VAR] = 0.5;
  return variant < 2;
}

const kk_op kk_op_batch_norm = {
  .name = "batch_norm",
  .sig = "x[N,D] gain[D] bias[D] mean[D]?! var[D]?! -> y[N,D] batch_mean[D]! batch_var[D]!",
  .about = "y = (x - mean) / sqrt(var + eps) gain + bias for each column; without mean and var those of the batch, "
           "variance divided by N (Ioffe & Szegedy 2015, algorithm 1)",
  .opts = {{"eps", 1e-5, 1e-12, 1, "added to the variance", NULL}},
  .check = batch_norm_check,
  .forward = batch_norm_forward,
  .backward = batch_norm_backward,
  .sample = batch_norm_sample,
};
