#include "eval/metrics.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

typedef struct ranked_key { double p; int32_t row; } ranked_key;

/* Falling probability, then rising row: the same order on every machine. */
static int metrics_by_prob(const void *a, const void *b) {
  const ranked_key *x = a, *y = b;
  if (x->p != y->p) return x->p > y->p ? -1 : 1;
  return x->row < y->row ? -1 : x->row > y->row;
}

const char *kk_binary_name(int id) {
  static const char *const names[] = {
#define X(id, name) name,
    KK_BINARY_LIST(X)
#undef X
  };
  return id >= 0 && id < KK_BIN_N ? names[id] : "?";
}

static double metrics_loss(double p, double eps) {
  return -log(p < eps ? eps : p > 1 - eps ? 1 - eps : p);
}

static kk_status metrics_check_n(int64_t n, const char *who, kk_err *e) {
  if (n < 1) return kk_fail(e, KK_EARG, "%s: there are no rows", who);
  if (n > INT32_MAX) return kk_fail(e, KK_EARG, "%s: %lld rows, at most %d", who, (long long)n, INT32_MAX);
  return KK_OK;
}

static kk_status ranked_check(const double *prob, const uint8_t *label, int64_t n, kk_err *e) {
  kk_status st = metrics_check_n(n, "metrics", e);
  for (int64_t i = 0; !st && i < n; i++) {
    if (!(prob[i] >= 0 && prob[i] <= 1))
      return kk_fail(e, KK_EARG, "metrics: probability in row %lld is %g, expected 0 to 1", (long long)i + 1, prob[i]);
    if (label[i] > 1)
      return kk_fail(e, KK_EARG, "metrics: label in row %lld is %d, expected 0 or 1", (long long)i + 1, label[i]);
  }
  return st;
}

kk_status kk_ranked_new(kk_ranked *r, const double *prob, const uint8_t *label, int64_t n, double threshold,
                        double eps, kk_err *e) {
  *r = (kk_ranked){.n = n};
  kk_status st = ranked_check(prob, label, n, e);
  if (st) return st;
  size_t un = (size_t)n, keys = un * sizeof(ranked_key);
  size_t bytes = un * (2 * sizeof(double) + sizeof(int32_t) + 3);
  ranked_key *key = kk_alloc(keys);
  char *p = kk_alloc(bytes);
  if (!key || !p) {
    kk_free(key, keys);
    kk_free(p, bytes);
    return kk_fail(e, KK_ENOMEM, "metrics: no memory for %lld rows", (long long)n);
  }
  r->block = p;
  r->bytes = bytes;
  r->prob = (double *)p;
  r->loss = r->prob + n;
  r->row = (int32_t *)(r->loss + n);
  r->pos = (uint8_t *)(r->row + n);
  r->pred = r->pos + n;
  r->last = r->pred + n;
  for (int64_t i = 0; i < n; i++) key[i] = (ranked_key){prob[i], (int32_t)i};
  qsort(key, un, sizeof *key, metrics_by_prob);
  for (int64_t i = 0; i < n; i++) {
    uint8_t y = label[key[i].row];
    r->row[i] = key[i].row;
    r->prob[i] = key[i].p;
    r->pos[i] = y;
    r->pred[i] = key[i].p > threshold;
    r->last[i] = i + 1 == n || key[i + 1].p != key[i].p;
    r->loss[i] = metrics_loss(y ? key[i].p : 1 - key[i].p, eps);
  }
  kk_free(key, keys);
  return KK_OK;
}

void kk_ranked_free(kk_ranked *r) {
  kk_free(r->block, r->bytes);
  *r = (kk_ranked){0};
}

static double metrics_ratio(int64_t a, int64_t b) { return b ? (double)a / (double)b : NAN; }

/* Mean of the values that are defined; NaN when none is. */
static double metrics_mean2(double a, double b) {
  if (isnan(a)) return b;
  return isnan(b) ? a : (a + b) / 2;
}

void kk_confusion_metrics(const kk_confusion *c, double out[KK_BIN_N]) {
  int64_t n = c->tp + c->fp + c->fn + c->tn;
  for (int i = 0; i < KK_BIN_N; i++) out[i] = NAN;
  out[KK_BIN_ACCURACY] = metrics_ratio(c->tp + c->tn, n);
  out[KK_BIN_PRECISION] = metrics_ratio(c->tp, c->tp + c->fp);
  out[KK_BIN_RECALL] = metrics_ratio(c->tp, c->tp + c->fn);
  out[KK_BIN_F1] = metrics_ratio(2 * c->tp, 2 * c->tp + c->fp + c->fn);
  out[KK_BIN_PRECISION_NEG] = metrics_ratio(c->tn, c->tn + c->fn);
  out[KK_BIN_RECALL_NEG] = metrics_ratio(c->tn, c->tn + c->fp);
  out[KK_BIN_F1_NEG] = metrics_ratio(2 * c->tn, 2 * c->tn + c->fp + c->fn);
  out[KK_BIN_F1_MACRO] = metrics_mean2(out[KK_BIN_F1], out[KK_BIN_F1_NEG]);
  out[KK_BIN_BALANCED] = (out[KK_BIN_RECALL] + out[KK_BIN_RECALL_NEG]) / 2;
  double truth = (double)(c->tp + c->fn) * (double)(c->tn + c->fp);
  double said = (double)(c->tp + c->fp) * (double)(c->tn + c->fn);
  double cross = (double)c->tp * (double)c->tn - (double)c->fp * (double)c->fn;
  if (truth > 0) out[KK_BIN_MCC] = said > 0 ? cross / (sqrt(truth) * sqrt(said)) : 0;
}

void kk_binary_metrics(const kk_ranked *r, const int32_t *w, double out[KK_BIN_N], kk_confusion *cm) {
  int64_t count[4] = {0}, tp = 0, fp = 0, gp = 0, gn = 0;   /* so far; in this group of equal probabilities */
  double pairs = 0, ap = 0, loss = 0, square = 0;
  for (int64_t i = 0; i < r->n; i++) {
    int64_t k = w ? w[r->row[i]] : 1;
    int y = r->pos[i];
    double d = r->prob[i] - y;
    count[2 * y + r->pred[i]] += k;
    gp += y ? k : 0;
    gn += y ? 0 : k;
    loss += (double)k * r->loss[i];
    square += (double)k * d * d;
    if (!r->last[i]) continue;
    pairs += (double)gn * ((double)tp + 0.5 * (double)gp);
    tp += gp;
    fp += gn;
    if (gp) ap += (double)gp * ((double)tp / (double)(tp + fp));
    gp = gn = 0;
  }
  kk_confusion c = {.tn = count[0], .fp = count[1], .fn = count[2], .tp = count[3]};
  kk_confusion_metrics(&c, out);
  if (tp && fp) out[KK_BIN_AUC] = pairs / ((double)tp * (double)fp);
  if (tp) out[KK_BIN_AP] = ap / (double)tp;
  if (tp + fp) {
    out[KK_BIN_LOGLOSS] = loss / (double)(tp + fp);
    out[KK_BIN_BRIER] = square / (double)(tp + fp);
  }
  if (cm) *cm = c;
}

/* The cut between row i (the last one called positive, -1: none) and row i + 1. */
static double threshold_between(const kk_ranked *r, int64_t i) {
  if (i < 0) return 1;
  if (i + 1 == r->n) return 0;
  double above = r->prob[i], below = r->prob[i + 1], mid = below + (above - below) / 2;
  return mid < above ? mid : below;        /* neighbours in floating point have no midpoint */
}

kk_status kk_best_threshold(const kk_ranked *r, kk_binary_id metric, double *threshold, double *value, kk_err *e) {
  kk_confusion c = {0};
  double out[KK_BIN_N], best = -INFINITY, at = NAN;
  if (metric != KK_BIN_F1 && metric != KK_BIN_F1_MACRO && metric != KK_BIN_BALANCED && metric != KK_BIN_MCC &&
      metric != KK_BIN_ACCURACY)
    return kk_fail(e, KK_EARG, "threshold: cannot tune %s, expected f1, f1_macro, balanced_accuracy, mcc or accuracy",
                   kk_binary_name((int)metric));
  for (int64_t i = 0; i < r->n; i++) {
    c.fn += r->pos[i];
    c.tn += !r->pos[i];
  }
  if (!c.fn || !c.tn) return kk_fail(e, KK_EARG, "threshold: all %lld rows are of one class", (long long)r->n);
  for (int64_t i = -1; i < r->n; i++) {    /* rows 0..i are called positive */
    if (i >= 0) {
      if (r->pos[i]) c.tp++, c.fn--; else c.fp++, c.tn--;
      if (!r->last[i]) continue;
      if (r->prob[i] == 0) break;          /* no threshold >= 0 calls these positive */
    }
    double cut = threshold_between(r, i);
    kk_confusion_metrics(&c, out);
    double v = out[metric];
    if (v > best + 1e-12 || (v > best - 1e-12 && fabs(cut - 0.5) < fabs(at - 0.5))) {
      best = v > best ? v : best;
      at = cut;
    }
  }
  *threshold = at;
  *value = best;
  return KK_OK;
}

void kk_regression_metrics(const kk_regression *g, const int32_t *w, double out[KK_REG_N]) {
  double n = 0, mp = 0, mt = 0, square = 0, absolute = 0, vp = 0, vt = 0, cov = 0;
  for (int64_t i = 0; i < g->n; i++) {
    double k = w ? w[i] : 1, d = g->pred[i] - g->target[i];
    n += k;
    mp += k * g->pred[i];
    mt += k * g->target[i];
    square += k * d * d;
    absolute += k * fabs(d);
  }
  for (int i = 0; i < KK_REG_N; i++) out[i] = NAN;
  if (n == 0) return;
  mp /= n;
  mt /= n;
  for (int64_t i = 0; i < g->n; i++) {
    double k = w ? w[i] : 1, p = g->pred[i] - mp, t = g->target[i] - mt;
    vp += k * p * p;
    vt += k * t * t;
    cov += k * p * t;
  }
  out[KK_REG_RMSE] = sqrt(square / n);
  out[KK_REG_MAE] = absolute / n;
  if (vt > 0) out[KK_REG_R2] = 1 - square / vt;
  if (vt > 0 && vp > 0) out[KK_REG_PEARSON] = cov / (sqrt(vt) * sqrt(vp));
}

/* ---- multi-class */

const char *kk_multi_name(int id) {
  static const char *const names[] = {
#define X(id, name) name,
    KK_MULTI_LIST(X)
#undef X
  };
  return id >= 0 && id < KK_MULTI_N ? names[id] : "?";
}

static kk_status multi_check(const double *prob, const int32_t *label, int64_t n, int classes, kk_err *e) {
  kk_status st = metrics_check_n(n, "multiclass", e);
  if (st) return st;
  if (classes < 2 || classes > 10000)
    return kk_fail(e, KK_EARG, "multiclass: %d classes, expected 2 to 10000", classes);
  for (int64_t i = 0; i < n; i++) {
    double sum = 0;
    for (int c = 0; c < classes; c++) {
      double p = prob[i * classes + c];
      if (!(p >= 0 && p <= 1))
        return kk_fail(e, KK_EARG, "multiclass: probability of class %d in row %lld is %g, expected 0 to 1", c + 1,
                       (long long)i + 1, p);
      sum += p;
    }
    if (fabs(sum - 1) > 1e-3)
      return kk_fail(e, KK_EARG, "multiclass: probabilities of row %lld sum to %g, expected 1", (long long)i + 1, sum);
    if (label[i] < 0 || label[i] >= classes)
      return kk_fail(e, KK_EARG, "multiclass: label in row %lld is class %d, there are %d", (long long)i + 1,
                     label[i] + 1, classes);
  }
  return KK_OK;
}

static void multi_rows(kk_multi *m, const double *prob, const int32_t *label, double eps) {
  for (int64_t i = 0; i < m->n; i++) {
    const double *p = prob + i * m->classes;
    double square = 0;
    int best = 0;
    for (int c = 0; c < m->classes; c++) {
      double d = p[c] - (c == label[i]);
      square += d * d;
      if (p[c] > p[best]) best = c;
    }
    m->label[i] = label[i];
    m->pred[i] = best;
    m->loss[i] = metrics_loss(p[label[i]], eps);
    m->square[i] = square;
  }
}

kk_status kk_multi_new(kk_multi *m, const double *prob, const int32_t *label, int64_t n, int classes,
                       const uint8_t *in_macro, double eps, kk_err *e) {
  kk_status st = multi_check(prob, label, n, classes, e);
  *m = (kk_multi){.n = n, .classes = classes, .in_macro = in_macro};
  if (st) return st;
  size_t un = (size_t)n, uc = (size_t)classes, keys = un * sizeof(ranked_key);
  size_t bytes = un * 2 * sizeof(double) + un * 2 * sizeof(int32_t) + un * uc * (sizeof(int32_t) + 1);
  ranked_key *key = kk_alloc(keys);
  char *p = kk_alloc(bytes);
  if (!key || !p) {
    kk_free(key, keys);
    kk_free(p, bytes);
    return kk_fail(e, KK_ENOMEM, "multiclass: no memory for %lld rows of %d classes", (long long)n, classes);
  }
  m->block = p;
  m->bytes = bytes;
  m->loss = (double *)p;
  m->square = m->loss + n;
  m->label = (int32_t *)(m->square + n);
  m->pred = m->label + n;
  m->row = m->pred + n;
  m->last = (uint8_t *)(m->row + n * classes);
  multi_rows(m, prob, label, eps);
  for (int c = 0; c < classes; c++) {
    for (int64_t i = 0; i < n; i++) key[i] = (ranked_key){prob[i * classes + c], (int32_t)i};
    qsort(key, un, sizeof *key, metrics_by_prob);
    for (int64_t i = 0; i < n; i++) {
      m->row[c * n + i] = key[i].row;
      m->last[c * n + i] = i + 1 == n || key[i + 1].p != key[i].p;
    }
  }
  kk_free(key, keys);
  return KK_OK;
}

void kk_multi_free(kk_multi *m) {
  kk_free(m->block, m->bytes);
  *m = (kk_multi){0};
}

/* AUC and average precision of class c against the rest. */
static void multi_rank(const kk_multi *m, const int32_t *w, int c, double *auc, double *ap_out) {
  const int32_t *row = m->row + (int64_t)c * m->n;
  const uint8_t *last = m->last + (int64_t)c * m->n;
  int64_t tp = 0, fp = 0, gp = 0, gn = 0;
  double pairs = 0, ap = 0;
  for (int64_t i = 0; i < m->n; i++) {
    int64_t k = w ? w[row[i]] : 1;
    int y = m->label[row[i]] == c;
    gp += y ? k : 0;
    gn += y ? 0 : k;
    if (!last[i]) continue;
    pairs += (double)gn * ((double)tp + 0.5 * (double)gp);
    tp += gp;
    fp += gn;
    if (gp) ap += (double)gp * ((double)tp / (double)(tp + fp));
    gp = gn = 0;
  }
  *auc = tp && fp ? pairs / ((double)tp * (double)fp) : NAN;
  *ap_out = tp ? ap / (double)tp : NAN;
}

void kk_multi_metrics(const kk_multi *m, const int32_t *w, int64_t *scratch, double *out) {
  int classes = m->classes;
  int64_t *tp = scratch, *said = tp + classes, *truth = said + classes, total = 0;
  double loss = 0, square = 0, right = 0, cross = 0, said2 = 0, truth2 = 0, recall = 0, present = 0;
  double sum[KK_CLASS_N] = {0}, num[KK_CLASS_N] = {0};
  for (int i = 0; i < 3 * classes; i++) scratch[i] = 0;
  for (int64_t i = 0; i < m->n; i++) {
    int64_t k = w ? w[i] : 1;
    tp[m->label[i]] += m->label[i] == m->pred[i] ? k : 0;
    said[m->pred[i]] += k;
    truth[m->label[i]] += k;
    total += k;
    loss += (double)k * m->loss[i];
    square += (double)k * m->square[i];
  }
  for (int c = 0; c < classes; c++) {
    double *v = out + KK_MULTI_N + KK_CLASS_N * c;
    v[KK_CLASS_PRECISION] = metrics_ratio(tp[c], said[c]);
    v[KK_CLASS_RECALL] = metrics_ratio(tp[c], truth[c]);
    v[KK_CLASS_F1] = metrics_ratio(2 * tp[c], said[c] + truth[c]);
    multi_rank(m, w, c, &v[KK_CLASS_AUC], &v[KK_CLASS_AP]);
    right += (double)tp[c];
    cross += (double)said[c] * (double)truth[c];
    said2 += (double)said[c] * (double)said[c];
    truth2 += (double)truth[c] * (double)truth[c];
    if (truth[c]) recall += v[KK_CLASS_RECALL], present += 1;
    if (m->in_macro && !m->in_macro[c]) continue;
    for (int j = 0; j < KK_CLASS_N; j++) {
      int used = j <= KK_CLASS_F1 ? said[c] + truth[c] > 0 : !isnan(v[j]);
      num[j] += used;
      sum[j] += used && !isnan(v[j]) ? v[j] : 0;   /* a class that is never predicted has precision 0 here */
    }
  }
  double s = (double)total, spread = (s * s - said2) * (s * s - truth2);
  out[KK_MULTI_ACCURACY] = right / s;
  out[KK_MULTI_PRECISION_MACRO] = sum[KK_CLASS_PRECISION] / num[KK_CLASS_PRECISION];
  out[KK_MULTI_RECALL_MACRO] = sum[KK_CLASS_RECALL] / num[KK_CLASS_RECALL];
  out[KK_MULTI_F1_MACRO] = sum[KK_CLASS_F1] / num[KK_CLASS_F1];
  out[KK_MULTI_BALANCED] = present > 1 ? recall / present : NAN;
  out[KK_MULTI_MCC] = spread > 0 ? (right * s - cross) / sqrt(spread) : s * s - truth2 > 0 ? 0 : NAN;
  out[KK_MULTI_AUC_MACRO] = sum[KK_CLASS_AUC] / num[KK_CLASS_AUC];
  out[KK_MULTI_AP_MACRO] = sum[KK_CLASS_AP] / num[KK_CLASS_AP];
  out[KK_MULTI_LOGLOSS] = loss / s;
  out[KK_MULTI_BRIER] = square / s;
}
