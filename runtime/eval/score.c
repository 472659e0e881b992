#include "eval/score.h"

#include <math.h>

#include "base/mem.h"

static void score_binary(const void *arg, const int32_t *w, void *scratch, double *out) {
  (void)scratch;
  kk_binary_metrics(arg, w, out, NULL);
}

kk_status kk_score_binary(const double *prob, const uint8_t *label, double threshold, double eps, const kk_plan *p,
                          kk_interval out[KK_BIN_N], kk_confusion *c, kk_err *e) {
  double value[KK_BIN_N];
  kk_ranked r;
  kk_status st = kk_ranked_new(&r, prob, label, p->n, threshold, eps, e);
  if (st) return st;
  kk_binary_metrics(&r, NULL, value, c);
  st = kk_bootstrap(p, score_binary, &r, KK_BIN_N, 0, out, e);
  kk_ranked_free(&r);
  return st;
}

typedef struct score_pair { kk_ranked a, b; } score_pair;

static void score_paired(const void *arg, const int32_t *w, void *scratch, double *out) {
  const score_pair *s = arg;
  double *b = scratch;
  kk_binary_metrics(&s->a, w, out, NULL);
  kk_binary_metrics(&s->b, w, b, NULL);
  for (int i = 0; i < KK_BIN_N; i++) out[i] -= b[i];
}

kk_status kk_score_paired(const double *a, const double *b, const uint8_t *label, double threshold_a,
                          double threshold_b, double eps, const kk_plan *p, kk_interval diff[KK_BIN_N], kk_err *e) {
  score_pair s;
  kk_status st = kk_ranked_new(&s.a, a, label, p->n, threshold_a, eps, e);
  if (st) return st;
  st = kk_ranked_new(&s.b, b, label, p->n, threshold_b, eps, e);
  if (!st) {
    st = kk_bootstrap(p, score_paired, &s, KK_BIN_N, KK_BIN_N * sizeof(double), diff, e);
    kk_ranked_free(&s.b);
  }
  kk_ranked_free(&s.a);
  return st;
}

static void score_multi(const void *arg, const int32_t *w, void *scratch, double *out) {
  kk_multi_metrics(arg, w, scratch, out);
}

kk_status kk_score_multi(const double *prob, const int32_t *label, int classes, const uint8_t *in_macro, double eps,
                         const kk_plan *p, kk_interval *out, int64_t *count, kk_err *e) {
  kk_multi m;
  kk_status st = kk_multi_new(&m, prob, label, p->n, classes, in_macro, eps, e);
  if (st) return st;
  for (int i = 0; i < 3 * classes; i++) count[i] = 0;
  for (int64_t i = 0; i < m.n; i++) {
    count[m.label[i]] += m.label[i] == m.pred[i];
    count[classes + m.pred[i]]++;
    count[2 * classes + m.label[i]]++;
  }
  st = kk_bootstrap(p, score_multi, &m, kk_multi_count(classes), 3 * (size_t)classes * sizeof(int64_t), out, e);
  kk_multi_free(&m);
  return st;
}

static void score_regression(const void *arg, const int32_t *w, void *scratch, double *out) {
  (void)scratch;
  kk_regression_metrics(arg, w, out);
}

static kk_status score_check(const double *v, int64_t n, const char *what, kk_err *e) {
  for (int64_t i = 0; i < n; i++)
    if (!isfinite(v[i])) return kk_fail(e, KK_EARG, "%s in row %lld is %g", what, (long long)i + 1, v[i]);
  return KK_OK;
}

kk_status kk_score_regression(const double *pred, const double *target, const kk_plan *p, kk_interval out[KK_REG_N],
                              kk_err *e) {
  kk_status st = score_check(pred, p->n, "regression: prediction", e);
  if (!st) st = score_check(target, p->n, "regression: target", e);
  if (st) return st;
  kk_regression g = {p->n, pred, target};
  return kk_bootstrap(p, score_regression, &g, KK_REG_N, 0, out, e);
}

typedef struct score_ratio { int64_t n; const double *num, *den; } score_ratio;

static void score_perplexity(const void *arg, const int32_t *w, void *scratch, double *out) {
  const score_ratio *s = arg;
  double num = 0, den = 0;
  (void)scratch;
  for (int64_t i = 0; i < s->n; i++) {
    double k = w ? w[i] : 1;
    num += k * s->num[i];
    den += k * s->den[i];
  }
  *out = den > 0 ? exp(num / den) : NAN;
}

kk_status kk_score_perplexity(const double *nll, const double *tokens, const kk_plan *p, kk_interval *out, kk_err *e) {
  kk_status st = score_check(nll, p->n, "perplexity: loss", e);
  if (st) return st;
  for (int64_t i = 0; i < p->n; i++)
    if (!(tokens[i] > 0 && isfinite(tokens[i])))
      return kk_fail(e, KK_EARG, "perplexity: row %lld has %g tokens, expected more than 0", (long long)i + 1,
                     tokens[i]);
  score_ratio s = {p->n, nll, tokens};
  return kk_bootstrap(p, score_perplexity, &s, 1, 0, out, e);
}

static void score_mean(const void *arg, const int32_t *w, void *scratch, double *out) {
  const score_ratio *s = arg;
  double sum = 0, n = 0;
  (void)scratch;
  for (int64_t i = 0; i < s->n; i++) {
    if (!isfinite(s->num[i])) continue;
    double k = w ? w[i] : 1;
    sum += k * s->num[i];
    n += k;
  }
  *out = n > 0 ? sum / n : NAN;
}

kk_status kk_score_mean(const double *v, const kk_plan *p, kk_interval *out, kk_err *e) {
  score_ratio s = {p->n, v, NULL};
  return kk_bootstrap(p, score_mean, &s, 1, 0, out, e);
}
