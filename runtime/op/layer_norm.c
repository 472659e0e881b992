/* layer_norm.c -- normalises each row, then scales and shifts. */
#include <math.h>

#include "base/pool.h"
#include "op/op.h"

typedef struct ln_stat { double mean, rstd; } ln_stat;

static ln_stat ln_row(const kk_real *x, int64_t D, double eps) {
  double m = 0, v = 0;
  for (int64_t d = 0; d < D; d++) m += (double)x[d];
  m /= (double)D;
  for (int64_t d = 0; d < D; d++) v += ((double)x[d] - m) * ((double)x[d] - m);
  return (ln_stat){m, 1 / sqrt(v / (double)D + eps)};
}

static void ln_forward_rows(void *arg, int64_t begin, int64_t end) {
  kk_call *c = arg;
  const int64_t D = KK_DIM(c, 'D');
  const kk_real *g = kk_in(c, 1), *b = kk_in(c, 2);
  for (int64_t n = begin; n < end; n++) {
    const kk_real *x = kk_in(c, 0) + n * D;
    kk_real *y = kk_out(c, 0) + n * D;
    ln_stat s = ln_row(x, D, c->opt[0]);
    for (int64_t d = 0; d < D; d++) y[d] = (kk_real)(((double)x[d] - s.mean) * s.rstd) * g[d] + b[d];
  }
}

static void layer_norm_forward(kk_call *c) { kk_pool_for(kk_rows(c), 16, ln_forward_rows, c); }

/* With xhat = (x - mean) rstd and h = dy g:  dx = rstd (h - mean(h) - xhat mean(h xhat)) */
static void ln_backward_rows(void *arg, int64_t begin, int64_t end) {
  kk_call *c = arg;
  const int64_t D = KK_DIM(c, 'D');
  const kk_real *g = kk_in(c, 1);
  for (int64_t n = begin; n < end; n++) {
    const kk_real *x = kk_in(c, 0) + n * D, *dy = kk_dout(c, 0) + n * D;
    kk_real *dx = c->din[0] + n * D;
    ln_stat s = ln_row(x, D, c->opt[0]);
    double a = 0, b = 0;
    for (int64_t d = 0; d < D; d++) {
      double h = (double)dy[d] * (double)g[d];
      a += h;
      b += h * ((double)x[d] - s.mean) * s.rstd;
    }
    a /= (double)D;
    b /= (double)D;
    for (int64_t d = 0; d < D; d++)
      dx[d] += (kk_real)(s.rstd * ((double)dy[d] * (double)g[d] - a - ((double)x[d] - s.mean) * s.rstd * b));
  }
}

static void layer_norm_backward(kk_call *c) {
  const int64_t N = kk_rows(c), D = KK_DIM(c, 'D');
  if (c->din[0]) kk_pool_for(N, 16, ln_backward_rows, c);
  for (int64_t n = 0; n < N && (c->din[1] || c->din[2]); n++) {
    const kk_real *x = kk_in(c, 0) + n * D, *dy = kk_dout(c, 0) + n * D;
    ln_stat s = ln_row(x, D, c->opt[0]);
    for (int64_t d = 0; c->din[1] && d < D; d++) c->din[1][d] += dy[d] * (kk_real)(((double)x[d] - s.mean) * s.rstd);
    for (int64_t d = 0; c->din[2] && d < D; d++) c->din[2][d] += dy[d];
  }
}

/* Wide rows: those of two or three near-equal numbers are too curved for differences. */
static bool layer_norm_sample(int variant, kk_sample *s) {
  s->dim['D' - 'A'] = 7;
  return variant < 1;
}

const kk_op kk_op_layer_norm = {
  .name = "layer_norm",
  .sig = "x[...,D] gain[D] bias[D] -> y[...,D]",
  .about = "y = (x - mean) / sqrt(var + eps) gain + bias over the last dimension (Ba et al. 2016)",
  .opts = {{"eps", 1e-5, 1e-12, 1, "added to the variance", NULL}},
  .forward = layer_norm_forward,
  .backward = layer_norm_backward,
  .sample = layer_norm_sample,
};
