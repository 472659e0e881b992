/* cross_entropy.c -- softmax and cross-entropy in one pass, from logits. */
#include <math.h>

#include "base/pool.h"
#include "op/ce_rows.h"

enum { X, TARGET, SOFT, WEIGHT, EACH, SMOOTHING = 0 };

/* The weight of row n of the batch, beside that of its class. */
static double ce_each(const kk_call *c, int64_t n) { return c->in[EACH] ? (double)kk_in(c, EACH)[n] : 1; }

static kk_ce_row ce_forward_row(const kk_call *c, int64_t n) {
  const int64_t C = KK_DIM(c, 'C');
  const kk_real *x = kk_in(c, X) + n * C, *w = kk_in(c, WEIGHT), *q = kk_in(c, SOFT), most = kk_ce_most(x, C);
  const int32_t *target = kk_idx(c, TARGET);
  const double eps = c->opt[SMOOTHING];
  kk_ce_row r = {.lse = (double)most + log(kk_ce_sum_exp(x, C, most)), .counted = 1};
  double flat = 0;
  if (q) {
    const kk_real *row = q + n * C;
    int64_t y = 0;
    for (int64_t k = 0; k < C; k++) {
      double wk = w ? (double)w[k] : 1, nll = r.lse - (double)x[k];
      if (row[k] > row[y]) y = k;
      r.nll += (double)row[k] * nll;
      r.loss += wk * ((1 - eps) * (double)row[k] + eps / (double)C) * nll;
    }
    r.norm = ce_each(c, n);
    r.loss *= r.norm;
    r.hit = x[y] >= most;
    return r;
  }
  if (target[n] < 0) {
    r.counted = 0;
    return r;
  }
  for (int64_t k = 0; k < C && eps > 0; k++) flat += (w ? (double)w[k] : 1) * (r.lse - (double)x[k]);
  kk_ce_hard(&r, eps, C, x[target[n]], most, w ? (double)w[target[n]] : 1, flat);
  r.loss *= ce_each(c, n);
  r.norm *= ce_each(c, n);
  return r;
}

enum { ROWS = 32 };   /* rows a chunk; partial sums are added in chunk order */

static size_t ce_scratch(const kk_call *c, bool backward) {
  return backward ? 0 : (size_t)kk_rows(c) * sizeof(kk_ce_row);
}

static void ce_rows(void *arg, int64_t begin, int64_t end) {
  kk_call *c = arg;
  for (int64_t n = begin; n < end; n++) ((kk_ce_row *)c->scratch)[n] = ce_forward_row(c, n);
}

static void cross_entropy_forward(kk_call *c) {
  const int64_t N = kk_rows(c);
  const kk_ce_row *r = c->scratch;
  kk_ce_sums sums = {0};
  double norm;
  kk_pool_for(N, ROWS, ce_rows, c);
  for (int64_t n = 0; n < N; n++) {
    kk_ce_add(&sums, &r[n]);
    if (c->nsave) kk_saved(c, 0)[n] = (kk_real)r[n].lse;
  }
  norm = kk_ce_answer(c, &sums);
  if (c->nsave) kk_saved(c, 1)[0] = (kk_real)norm;
}

/* dx_k = v (p_k sum_j w_j q_j - w_k q_k) dloss / norm, with q the smoothed target and v the row's weight */
static void ce_back_rows(void *arg, int64_t begin, int64_t end) {
  kk_call *c = arg;
  const int64_t C = KK_DIM(c, 'C');
  const kk_real *w = kk_in(c, WEIGHT), *soft = kk_in(c, SOFT);
  const int32_t *target = kk_idx(c, TARGET);
  const double eps = c->opt[SMOOTHING], all = (double)kk_dout(c, 0)[0] / (double)kk_saved(c, 1)[0];
  double wsum = 0;
  for (int64_t k = 0; k < C; k++) wsum += w ? (double)w[k] : 1;
  for (int64_t n = begin; n < end; n++) {
    const kk_real *x = kk_in(c, X) + n * C;
    kk_real *dx = c->din[X] + n * C;
    const double lse = (double)kk_saved(c, 0)[n], scale = all * ce_each(c, n);
    double mass = eps / (double)C * wsum;
    if (!soft && target[n] < 0) continue;
    if (soft)
      for (int64_t k = 0; k < C; k++) mass += (w ? (double)w[k] : 1) * (1 - eps) * (double)soft[n * C + k];
    else
      mass += (1 - eps) * (w ? (double)w[target[n]] : 1);
    const kk_real flat = (kk_real)(eps / (double)C * scale);
    kk_ce_add_exp(dx, x, C, (kk_real)lse, (kk_real)(mass * scale));
    for (int64_t k = 0; k < C && eps > 0; k++) dx[k] -= flat * (w ? w[k] : 1);
    if (soft)
      for (int64_t k = 0; k < C; k++)
        dx[k] -= (kk_real)(scale * (1 - eps) * (w ? (double)w[k] : 1) * (double)soft[n * C + k]);
    else
      dx[target[n]] -= (kk_real)(scale * (1 - eps) * (w ? (double)w[target[n]] : 1));
  }
}

static void cross_entropy_backward(kk_call *c) { kk_pool_for(kk_rows(c), ROWS, ce_back_rows, c); }

static kk_status cross_entropy_check(const kk_call *c, kk_err *e) {
  if (!c->in[TARGET] == !c->in[SOFT])
    return kk_fail(e, KK_EARG, "cross_entropy: give either target (classes) or soft (distributions)");
  const kk_real *v = kk_in(c, EACH);
  for (int64_t n = 0, N = kk_rows(c); v && n < N; n++)
    if (!(v[n] >= 0 && v[n] <= 1e30))
      return kk_fail(e, KK_EARG, "cross_entropy: row %lld has weight %g, expected 0 or more", (long long)n + 1, (double)v[n]);
  return kk_ce_targets("cross_entropy", kk_idx(c, TARGET), kk_rows(c), KK_DIM(c, 'C'), e);
}

static kk_status cross_entropy_shape(kk_call *c, kk_shape *out, kk_err *e) {
  (void)c;
  (void)e;
  out[1] = (kk_shape){.ndim = 1, .n = {3}};
  return KK_OK;
}

static bool cross_entropy_sample(int variant, kk_sample *s) {
  s->dim['C' - 'A'] = 4;
  s->index[TARGET] = 4;
  s->lo[SOFT] = 0.1;
  s->lo[WEIGHT] = 0.5;
  s->absent[SOFT] = variant < 3;
  s->absent[TARGET] = variant >= 3;
  s->lo[EACH] = 0.2;
  s->absent[WEIGHT] = variant == 0 || variant == 3;
  s->absent[EACH] = variant != 2 && variant != 4;
  s->opt[SMOOTHING] = variant == 2 || variant == 4 ? 0.1 : 0;
  return variant < 5;
}

const kk_op kk_op_cross_entropy = {
  .name = "cross_entropy",
  .sig = "x[...,C] target:i[...]? soft[...,C]?! w[C]?! v[...]?! -> loss[] stats[?]!; lse[...] norm[]",
  .about = "loss = sum v w_y (-log softmax(x)_y) / sum v w_y over rows whose target is not 0, w a weight a class, v a weight a row; with "
           "smoothing s the target is (1-s) one-hot + s/C (Szegedy et al. 2016, eq. 4). stats: sum of the unsmoothed, unweighted -log p_y, rows counted, top-1 hits",
  .opts = {{"smoothing", 0, 0, 0.999, "share of the target spread over all classes", NULL}},
  .shape = cross_entropy_shape,
  .check = cross_entropy_check,
  .scratch = ce_scratch,
  .forward = cross_entropy_forward,
  .backward = cross_entropy_backward,
  .sample = cross_entropy_sample,
};
