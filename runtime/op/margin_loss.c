/* margin_loss.c -- cross-entropy of logits that were moved for rare classes: logit adjustment and LDAM. */
#include <math.h>

#include "base/pool.h"
#include "op/ce_rows.h"

enum { X, TARGET, SHIFT, MARGIN, WEIGHT, SCALE = 0, ROWS = 32 };

/* Class k of the logits that are trained: s (x_k + shift_k), less s m_y where k is the target. */
static double margin_logit(const kk_call *c, const kk_real *x, int64_t k, int64_t y) {
  const kk_real *b = kk_in(c, SHIFT), *m = kk_in(c, MARGIN);
  return c->opt[SCALE] * ((double)x[k] + (b ? (double)b[k] : 0) - (m && k == y ? (double)m[k] : 0));
}

/* log sum exp of them; y < 0: without a margin. */
static double margin_lse(const kk_call *c, const kk_real *x, int64_t C, int64_t y) {
  double most = margin_logit(c, x, 0, y), sum = 0;
  for (int64_t k = 1; k < C; k++) most = fmax(most, margin_logit(c, x, k, y));
  for (int64_t k = 0; k < C; k++) sum += exp(margin_logit(c, x, k, y) - most);
  return most + log(sum);
}

static size_t margin_scratch(const kk_call *c, bool backward) {
  return backward ? 0 : (size_t)kk_rows(c) * sizeof(kk_ce_row);
}

static void margin_rows(void *arg, int64_t begin, int64_t end) {
  kk_call *c = arg;
  const int64_t C = KK_DIM(c, 'C');
  const kk_real *w = kk_in(c, WEIGHT);
  for (int64_t n = begin; n < end; n++) {
    const kk_real *x = kk_in(c, X) + n * C;
    const int32_t y = kk_idx(c, TARGET)[n];
    kk_ce_row r = {0};
    if (y >= 0) {
      r.lse = margin_lse(c, x, C, y);
      r.nll = (kk_in(c, MARGIN) ? margin_lse(c, x, C, -1) : r.lse) - margin_logit(c, x, y, -1);
      r.norm = w ? (double)w[y] : 1;
      r.loss = r.norm * (r.lse - margin_logit(c, x, y, y));
      r.hit = x[y] >= kk_ce_most(x, C);
      r.counted = 1;
    }
    ((kk_ce_row *)c->scratch)[n] = r;
  }
}

static void margin_loss_forward(kk_call *c) {
  const int64_t N = kk_rows(c);
  const kk_ce_row *r = c->scratch;
  kk_ce_sums sums = {0};
  double norm;
  kk_pool_for(N, ROWS, margin_rows, c);
  for (int64_t n = 0; n < N; n++) {
    kk_ce_add(&sums, &r[n]);
    if (c->nsave) kk_saved(c, 0)[n] = (kk_real)r[n].lse;
  }
  norm = kk_ce_answer(c, &sums);
  if (c->nsave) kk_saved(c, 1)[0] = (kk_real)norm;
}

/* dx_k = s w_y (p_k - [k = y]) dloss / norm, p the softmax of the moved logits */
static void margin_back_rows(void *arg, int64_t begin, int64_t end) {
  kk_call *c = arg;
  const int64_t C = KK_DIM(c, 'C');
  const kk_real *w = kk_in(c, WEIGHT);
  const double scale = c->opt[SCALE] * (double)kk_dout(c, 0)[0] / (double)kk_saved(c, 1)[0];
  for (int64_t n = begin; n < end; n++) {
    const kk_real *x = kk_in(c, X) + n * C;
    const double lse = (double)kk_saved(c, 0)[n];
    const int32_t y = kk_idx(c, TARGET)[n];
    kk_real *dx = c->din[X] + n * C;
    if (y < 0) continue;
    const double m = scale * (w ? (double)w[y] : 1);
    for (int64_t k = 0; k < C; k++)
      dx[k] += (kk_real)(m * (exp(margin_logit(c, x, k, y) - lse) - (k == y)));
  }
}

static void margin_loss_backward(kk_call *c) { kk_pool_for(kk_rows(c), ROWS, margin_back_rows, c); }

static kk_status margin_loss_check(const kk_call *c, kk_err *e) {
  return kk_ce_targets("margin_loss", kk_idx(c, TARGET), kk_rows(c), KK_DIM(c, 'C'), e);
}

static kk_status margin_loss_shape(kk_call *c, kk_shape *out, kk_err *e) {
  (void)c;
  (void)e;
  out[1] = (kk_shape){.ndim = 1, .n = {3}};
  return KK_OK;
}

static bool margin_loss_sample(int variant, kk_sample *s) {
  s->dim['C' - 'A'] = 4;
  s->index[TARGET] = 4;
  s->lo[WEIGHT] = 0.5;
  s->absent[SHIFT] = variant == 1 || variant == 3;
  s->absent[MARGIN] = variant == 2 || variant == 3;
  s->absent[WEIGHT] = variant >= 2;
  s->opt[SCALE] = variant == 0 ? 3 : 1;
  return variant < 4;
}

const kk_op kk_op_margin_loss = {
  .name = "margin_loss",
  .sig = "x[...,C] target:i[...] shift[C]?! margin[C]?! w[C]?! -> loss[] stats[?]!; lse[...] norm[]",
  .about = "loss = sum w_y (-log softmax(u)_y) / sum w_y over rows whose target is not 0, u_k = scale (x_k + shift_k - [k = y] "
           "margin_y). shift = tau log(prior): logit adjustment (Menon et al. 2021, eq. 10); margin ~ n_c^(-1/4): LDAM (Cao et "
           "al. 2019, eq. 13). stats: as cross_entropy's, log p without the margin, hits by x alone",
  .opts = {{"scale", 1, 1e-6, 1e6, "what logits are multiplied with (30 in the paper of LDAM, whose logits are cosines)", NULL}},
  .shape = margin_loss_shape,
  .check = margin_loss_check,
  .scratch = margin_scratch,
  .forward = margin_loss_forward,
  .backward = margin_loss_backward,
  .sample = margin_loss_sample,
};
