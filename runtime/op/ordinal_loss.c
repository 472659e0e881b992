/* ordinal_loss.c -- ordered classes from one score and the thresholds between them.
** Class y of K + 1 (from 0) lies between thresholds y and y + 1: P(class > k) = sigmoid(s - theta_k). */
#include <math.h>

#include "op/op.h"

enum { SCORE, THETA, TARGET, WEIGHT, KIND = 0 };
enum { CUMULATIVE, CORAL };

static double log_sigmoid(double x) { return x < 0 ? x - log1p(exp(x)) : -log1p(exp(-x)); }
static double sigmoid(double x) { return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x)); }

/* log(sigmoid(a) - sigmoid(b)) for a > b, as log sigmoid(a) + log sigmoid(-b) + log(1 - e^(b-a)); the ends are open. */
static double ordinal_log_p(const kk_call *c, double s, int64_t y) {
  const int64_t K = KK_DIM(c, 'K');
  const kk_real *theta = kk_in(c, THETA);
  double log_p = 0;
  if (y < K) log_p += log_sigmoid((double)theta[y] - s);
  if (y > 0) log_p += log_sigmoid(s - (double)theta[y - 1]);
  if (y < K && y > 0) log_p += log(-expm1((double)theta[y - 1] - (double)theta[y]));
  return log_p;
}

static double ordinal_row(const kk_call *c, double s, int64_t y) {
  double sum = 0;
  if ((int)c->opt[KIND] == CUMULATIVE) return -ordinal_log_p(c, s, y);
  for (int64_t k = 0; k < KK_DIM(c, 'K'); k++) {
    const double a = s - (double)kk_in(c, THETA)[k];
    sum -= log_sigmoid(y > k ? a : -a);
  }
  return sum;
}

/* The likeliest class, and the expected one: sum of P(class > k). */
static int64_t ordinal_best(const kk_call *c, double s, double *expected) {
  const int64_t K = KK_DIM(c, 'K');
  int64_t best = 0;
  double most = -INFINITY;
  *expected = 0;
  for (int64_t k = 0; k < K; k++) *expected += sigmoid(s - (double)kk_in(c, THETA)[k]);
  for (int64_t y = 0; y <= K; y++) {
    const double log_p = ordinal_log_p(c, s, y);
    if (log_p > most) most = log_p, best = y;
  }
  return best;
}

static void ordinal_loss_forward(kk_call *c) {
  const kk_real *s = kk_in(c, SCORE), *w = kk_in(c, WEIGHT);
  const int32_t *target = kk_idx(c, TARGET);
  double loss = 0, norm = 0, stats[5] = {0};
  for (int64_t i = 0, n = kk_rows(c); i < n; i++) {
    const double wi = w ? (double)w[i] : 1, si = (double)s[i];
    double expected;
    if (target[i] < 0) continue;
    const int64_t best = ordinal_best(c, si, &expected);
    loss += wi * ordinal_row(c, si, target[i]);
    norm += wi;
    stats[0] -= ordinal_log_p(c, si, target[i]);
    stats[1]++;
    stats[2] += best == target[i];
    stats[3] += (expected - target[i]) * (expected - target[i]);
    stats[4] += fabs(expected - target[i]);
  }
  if (norm <= 0) norm = 1;                             /* every row ignored: the loss is 0 */
  kk_out(c, 0)[0] = (kk_real)(loss / norm);
  for (int k = 0; k < 5; k++) kk_out(c, 1)[k] = (kk_real)stats[k];
  if (c->nsave) kk_saved(c, 0)[0] = (kk_real)norm;
}

/* With a = theta_y - s, b = theta_(y-1) - s and p = sigmoid(a) - sigmoid(b): d(-log p)/ds = 1 - sigmoid(a) - sigmoid(b),
** d/dtheta_y = -sigmoid'(a)/p, d/dtheta_(y-1) = sigmoid'(b)/p, where sigmoid'(a)/p = sigmoid(-a) / (sigmoid(-b) (1-e^(b-a))). */
static void ordinal_back_cumulative(kk_call *c, double s, int64_t y, double g, int64_t i) {
  const int64_t K = KK_DIM(c, 'K');
  const kk_real *theta = kk_in(c, THETA);
  const bool up = y < K, down = y > 0;
  const double a = up ? (double)theta[y] - s : 0, b = down ? (double)theta[y - 1] - s : 0;
  const double gap = up && down ? -expm1(b - a) : 1;
  const double to_a = up ? exp(log_sigmoid(-a) - (down ? log_sigmoid(-b) : 0)) / gap : 0;
  const double to_b = down ? exp(log_sigmoid(b) - (up ? log_sigmoid(a) : 0)) / gap : 0;
  if (c->din[SCORE]) c->din[SCORE][i] += (kk_real)(g * (1 - (up ? sigmoid(a) : 1) - (down ? sigmoid(b) : 0)));
  if (c->din[THETA] && up) c->din[THETA][y] -= (kk_real)(g * to_a);
  if (c->din[THETA] && down) c->din[THETA][y - 1] += (kk_real)(g * to_b);
}

static void ordinal_back_coral(kk_call *c, double s, int64_t y, double g, int64_t i) {
  for (int64_t k = 0; k < KK_DIM(c, 'K'); k++) {
    const double d = g * (sigmoid(s - (double)kk_in(c, THETA)[k]) - (y > k));
    if (c->din[SCORE]) c->din[SCORE][i] += (kk_real)d;
    if (c->din[THETA]) c->din[THETA][k] -= (kk_real)d;
  }
}

static void ordinal_loss_backward(kk_call *c) {
  const kk_real *s = kk_in(c, SCORE), *w = kk_in(c, WEIGHT);
  const int32_t *target = kk_idx(c, TARGET);
  const double scale = (double)kk_dout(c, 0)[0] / (double)kk_saved(c, 0)[0];
  for (int64_t i = 0, n = kk_rows(c); i < n; i++) {
    const double g = scale * (w ? (double)w[i] : 1);
    if (target[i] < 0) continue;
    ((int)c->opt[KIND] == CORAL ? ordinal_back_coral : ordinal_back_cumulative)(c, (double)s[i], target[i], g, i);
  }
}

static kk_status ordinal_loss_check(const kk_call *c, kk_err *e) {
  const int64_t K = KK_DIM(c, 'K');
  const kk_real *theta = kk_in(c, THETA), *w = kk_in(c, WEIGHT);
  const int32_t *target = kk_idx(c, TARGET);
  if (K < 1) return kk_fail(e, KK_EARG, "ordinal_loss: no thresholds");
  for (int64_t k = 1; k < K; k++)
    if (theta[k] <= theta[k - 1])
      return kk_fail(e, KK_EARG, "ordinal_loss: threshold %lld is %g, expected more than the one before, %g", (long long)k + 1,
                     (double)theta[k], (double)theta[k - 1]);
  for (int64_t i = 0, n = kk_rows(c); i < n; i++) {
    if (target[i] < -1 || target[i] > K)
      return kk_fail(e, KK_EARG, "ordinal_loss: target %lld is %d, expected 1..%lld, or 0 to ignore the row", (long long)i + 1,
                     target[i] + 1, (long long)K + 1);
    if (w && !(w[i] >= 0 && w[i] <= 1e30))
      return kk_fail(e, KK_EARG, "ordinal_loss: weight %lld is %g, expected 0 or more", (long long)i + 1, (double)w[i]);
  }
  return KK_OK;
}

static kk_status ordinal_loss_shape(kk_call *c, kk_shape *out, kk_err *e) {
  (void)c;
  (void)e;
  out[1] = (kk_shape){.ndim = 1, .n = {5}};
  return KK_OK;
}

static bool ordinal_loss_sample(int variant, kk_sample *s) {
  /* the two thresholds drawn rise, as they must */
  s->shape[SCORE] = s->shape[TARGET] = s->shape[WEIGHT] = (kk_shape){1, {6}};
  s->dim['K' - 'A'] = 2;
  s->index[TARGET] = 3;
  s->lo[WEIGHT] = 0.1;
  s->absent[WEIGHT] = variant % 2 == 0;
  s->opt[KIND] = variant / 2;
  return variant < 4;
}

const kk_op kk_op_ordinal_loss = {
  .name = "ordinal_loss",
  .sig = "s[...] theta[K] target:i[...] w[...]?! -> loss[] stats[?]!; norm[]",
  .about = "ordered classes 1..K+1 from a score s and rising thresholds theta, P(class > k) = sigmoid(s - theta_k). cumulative: "
           "-log P(class = target) (McCullagh 1980, proportional odds); coral: the K binary cross-entropies of class > k added up "
           "(Cao, Mirjalili & Raschka 2020, eq. 4). Mean weighted by w, target 0 ignored. stats: sum of -log P(target), rows, top-1 "
           "hits, sums of squared and absolute errors of the expected class",
  .opts = {{"kind", 0, 0, 1, "which loss", "cumulative coral"}},
  .shape = ordinal_loss_shape,
  .check = ordinal_loss_check,
  .forward = ordinal_loss_forward,
  .backward = ordinal_loss_backward,
  .sample = ordinal_loss_sample,
};
