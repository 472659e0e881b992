/* layer_norm.c -- normalises each row, then scales and shifts. */
#include <math.h>
#include <string.h>

#include "base/clones.h"
#include "base/pool.h"
#include "op/op.h"

enum { ROWS = 32, LANES = 8 };      /* rows of a chunk; parts of a sum, so that loops vectorise */

static double ln_lanes(const double *s) {
  double sum = 0;
  for (int k = 0; k < LANES; k++) sum += s[k];
  return sum;
}

/* Sums of x - x[0] and its square in one pass: no cancellation where the mean is large. */
static inline void ln_moments(const kk_real *x, int64_t D, double eps, double *mean, double *rstd) {
  double s0[LANES] = {0}, s1[LANES] = {0}, m;
  int64_t d = 0;
  for (; d + LANES <= D; d += LANES)
    for (int k = 0; k < LANES; k++) {
      const double v = (double)x[d + k] - (double)x[0];
      s0[k] += v;
      s1[k] += v * v;
    }
  for (; d < D; d++) {
    const double v = (double)x[d] - (double)x[0];
    s0[0] += v;
    s1[0] += v * v;
  }
  m = ln_lanes(s0) / (double)D;
  *mean = m + (double)x[0];
  *rstd = 1 / sqrt(fmax(ln_lanes(s1) / (double)D - m * m, 0) + eps);
}

KK_CLONES static void ln_forward_rows(void *arg, int64_t begin, int64_t end) {
  kk_call *c = arg;
  const int64_t D = KK_DIM(c, 'D');
  const kk_real *restrict g = kk_in(c, 1), *restrict b = kk_in(c, 2);
  for (int64_t n = begin; n < end; n++) {
    const kk_real *restrict x = kk_in(c, 0) + n * D;
    kk_real *restrict y = kk_out(c, 0) + n * D;
    double mean, rstd;
    ln_moments(x, D, c->opt[0], &mean, &rstd);
    const kk_real m = (kk_real)mean, r = (kk_real)rstd;
    for (int64_t d = 0; d < D; d++) y[d] = (x[d] - m) * r * g[d] + b[d];
    if (c->nsave) {
      kk_saved(c, 0)[n] = m;
      kk_saved(c, 1)[n] = r;
    }
  }
}

static void layer_norm_forward(kk_call *c) {
  if (KK_DIM(c, 'D') > 0) kk_pool_for(kk_rows(c), ROWS, ln_forward_rows, c);
}

/* With xhat = (x - mean) rstd and h = dy g:  dx = rstd (h - mean(h) - xhat mean(h xhat)) */
static inline void ln_backward_row(kk_real *restrict dx, const kk_real *restrict dy, const kk_real *restrict x,
                                   const kk_real *restrict g, int64_t D, kk_real mean, kk_real rstd) {
  double s0[LANES] = {0}, s1[LANES] = {0};
  int64_t d = 0;
  for (; d + LANES <= D; d += LANES)
    for (int k = 0; k < LANES; k++) {
      const double h = (double)(dy[d + k] * g[d + k]);
      s0[k] += h;
      s1[k] += h * (double)(x[d + k] - mean);
    }
  for (; d < D; d++) {
    const double h = (double)(dy[d] * g[d]);
    s0[0] += h;
    s1[0] += h * (double)(x[d] - mean);
  }
  const kk_real a = (kk_real)(ln_lanes(s0) / (double)D * (double)rstd);
  const kk_real b = (kk_real)(ln_lanes(s1) / (double)D * (double)rstd * (double)rstd * (double)rstd);
  for (d = 0; d < D; d++) dx[d] += rstd * (dy[d] * g[d]) - a - b * (x[d] - mean);
}

/* The rows of a chunk, while they are in the cache: dx, and this chunk's sums for gain and bias. */
KK_CLONES static void ln_backward_rows(void *arg, int64_t begin, int64_t end) {
  kk_call *c = arg;
  const int64_t D = KK_DIM(c, 'D');
  const kk_real *mean = kk_saved(c, 0), *rstd = kk_saved(c, 1);
  kk_real *restrict sg = (kk_real *)c->scratch + begin / ROWS * 2 * D, *restrict sb = sg + D;
  const bool parameters = c->din[1] || c->din[2];
  if (parameters) memset(sg, 0, (size_t)(2 * D) * sizeof *sg);
  for (int64_t n = begin; n < end; n++) {
    const kk_real *restrict x = kk_in(c, 0) + n * D, *restrict dy = kk_dout(c, 0) + n * D;
    const kk_real m = mean[n], r = rstd[n];
    if (c->din[0]) ln_backward_row(c->din[0] + n * D, dy, x, kk_in(c, 1), D, m, r);
    for (int64_t d = 0; parameters && d < D; d++) {
      sg[d] += dy[d] * ((x[d] - m) * r);
      sb[d] += dy[d];
    }
  }
}

/* The chunks' sums, added in order and in double. */
KK_CLONES static void ln_backward_columns(void *arg, int64_t begin, int64_t end) {
  kk_call *c = arg;
  const int64_t D = KK_DIM(c, 'D'), chunks = (kk_rows(c) + ROWS - 1) / ROWS;
  for (int i = 1; i <= 2; i++) {
    double s[256] = {0};
    const kk_real *part = (const kk_real *)c->scratch + (i - 1) * D;
    if (!c->din[i]) continue;
    for (int64_t q = 0; q < chunks; q++)
      for (int64_t d = begin; d < end; d++) s[d - begin] += (double)part[q * 2 * D + d];
    for (int64_t d = begin; d < end; d++) c->din[i][d] += (kk_real)s[d - begin];
  }
}

static size_t layer_norm_scratch(const kk_call *c, bool backward) {
  return backward ? (size_t)((kk_rows(c) + ROWS - 1) / ROWS * 2 * KK_DIM(c, 'D')) * sizeof(kk_real) : 0;
}

static void layer_norm_backward(kk_call *c) {
  const int64_t D = KK_DIM(c, 'D');
  if (D == 0) return;
  kk_pool_for(kk_rows(c), ROWS, ln_backward_rows, c);
  if (c->din[1] || c->din[2]) kk_pool_for(D, 256, ln_backward_columns, c);
}

/* Wide rows: those of two or three near-equal numbers are too curved for differences. The second variant has
** several chunks and a part of one. */
static bool layer_norm_sample(int variant, kk_sample *s) {
  static const kk_shape many = {2, {67, 19}};
  s->dim['D' - 'A'] = 7;
  if (variant == 1) {
    s->shape[0] = many;
    s->dim['D' - 'A'] = 19;
  }
  return variant < 2;
}

const kk_op kk_op_layer_norm = {
  .name = "layer_norm",
  .sig = "x[...,D] gain[D] bias[D] -> y[...,D]; mean[...] rstd[...]",
  .about = "y = (x - mean) / sqrt(var + eps) gain + bias over the last dimension (Ba et al. 2016)",
  .opts = {{"eps", 1e-5, 1e-12, 1, "added to the variance", NULL}},
  .scratch = layer_norm_scratch,
  .forward = layer_norm_forward,
  .backward = layer_norm_backward,
  .sample = layer_norm_sample,
};
