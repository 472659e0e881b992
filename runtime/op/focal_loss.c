/* focal_loss.c -- cross-entropy that looks away from rows which are right already. */
#include <math.h>

#include "base/pool.h"
#include "op/ce_rows.h"

enum { X, TARGET, WEIGHT, GAMMA = 0, ROWS = 32 };

/* (1 - p)^gamma from nll = -log p, and what d/dx is a multiple of: -p d/dp [(1 - p)^gamma (-log p)]. */
static double focal_factor(double nll, double gamma) { return gamma > 0 ? pow(-expm1(-nll), gamma) : 1; }

static double focal_slope(double nll, double gamma) {
  const double rest = -expm1(-nll);
  if (gamma <= 0) return 1;
  if (rest <= 0) return 0;
  return pow(rest, gamma) + gamma * pow(rest, gamma - 1) * exp(-nll) * nll;
}

static size_t focal_scratch(const kk_call *c, bool backward) {
  return backward ? 0 : (size_t)kk_rows(c) * sizeof(kk_ce_row);
}

static void focal_rows(void *arg, int64_t begin, int64_t end) {
  kk_call *c = arg;
  const int64_t C = KK_DIM(c, 'C');
  const kk_real *w = kk_in(c, WEIGHT);
  for (int64_t n = begin; n < end; n++) {
    const kk_real *x = kk_in(c, X) + n * C, most = kk_ce_most(x, C);
    const int32_t y = kk_idx(c, TARGET)[n];
    kk_ce_row r = {.lse = (double)most + log(kk_ce_sum_exp(x, C, most))};
    if (y >= 0) {
      kk_ce_hard(&r, 0, C, x[y], most, w ? (double)w[y] : 1, 0);
      r.loss *= focal_factor(r.nll > 0 ? r.nll : 0 * r.nll, c->opt[GAMMA]);
    }
    ((kk_ce_row *)c->scratch)[n] = r;
  }
}

static void focal_loss_forward(kk_call *c) {
  const int64_t N = kk_rows(c);
  const kk_ce_row *r = c->scratch;
  kk_ce_sums sums = {0};
  double norm;
  kk_pool_for(N, ROWS, focal_rows, c);
  for (int64_t n = 0; n < N; n++) {
    kk_ce_add(&sums, &r[n]);
    if (c->nsave) kk_saved(c, 0)[n] = (kk_real)r[n].lse;
  }
  norm = kk_ce_answer(c, &sums);
  if (c->nsave) kk_saved(c, 1)[0] = (kk_real)norm;
}

/* dx_k = w_y slope (p_k - [k = y]) dloss / norm */
static void focal_back_rows(void *arg, int64_t begin, int64_t end) {
  kk_call *c = arg;
  const int64_t C = KK_DIM(c, 'C');
  const kk_real *w = kk_in(c, WEIGHT);
  const double scale = (double)kk_dout(c, 0)[0] / (double)kk_saved(c, 1)[0];
  for (int64_t n = begin; n < end; n++) {
    const kk_real *x = kk_in(c, X) + n * C, lse = kk_saved(c, 0)[n];
    const int32_t y = kk_idx(c, TARGET)[n];
    kk_real *dx = c->din[X] + n * C;
    if (y < 0) continue;
    const double nll = (double)lse - (double)x[y];
    const double m = scale * (w ? (double)w[y] : 1) * focal_slope(nll > 0 ? nll : 0 * nll, c->opt[GAMMA]);
    kk_ce_add_exp(dx, x, C, lse, (kk_real)m);
    dx[y] -= (kk_real)m;
  }
}

static void focal_loss_backward(kk_call *c) { kk_pool_for(kk_rows(c), ROWS, focal_back_rows, c); }

static kk_status focal_loss_check(const kk_call *c, kk_err *e) {
  return kk_ce_targets("focal_loss", kk_idx(c, TARGET), kk_rows(c), KK_DIM(c, 'C'), e);
}

static kk_status focal_loss_shape(kk_call *c, kk_shape *out, kk_err *e) {
  (void)c;
  (void)e;
  out[1] = (kk_shape){.ndim = 1, .n = {3}};
  return KK_OK;
}

static bool focal_loss_sample(int variant, kk_sample *s) {
  static const double gamma[4] = {2, 2, 0.5, 0};
  s->dim['C' - 'A'] = 4;
  s->index[TARGET] = 4;
  s->lo[WEIGHT] = 0.5;
  s->absent[WEIGHT] = variant == 0;
  if (variant < 4) s->opt[GAMMA] = gamma[variant];
  return variant < 4;
}

const kk_op kk_op_focal_loss = {
  .name = "focal_loss",
  .sig = "x[...,C] target:i[...] w[C]?! -> loss[] stats[?]!; lse[...] norm[]",
  .about = "loss = sum w_y (1-p_y)^gamma (-log p_y) / sum w_y over rows whose target is not 0, p = softmax(x): p_y is the "
           "model's own, whatever the weights (Lin et al. 2017, eq. 5); gamma 0 is cross_entropy. stats: as cross_entropy's",
  .opts = {{"gamma", 2, 0, 100, "how little a row counts that is right already", NULL}},
  .shape = focal_loss_shape,
  .check = focal_loss_check,
  .scratch = focal_scratch,
  .forward = focal_loss_forward,
  .backward = focal_loss_backward,
  .sample = focal_loss_sample,
};
