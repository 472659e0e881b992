#include "eval/intervals.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/special.h"

kk_range kk_wilson(int64_t k, int64_t n, double level) {
  if (n < 1) return (kk_range){NAN, NAN};
  double z = kk_normal_quantile(0.5 + level / 2), m = (double)n, p = (double)k / m, z2 = z * z;
  double mid = (p + z2 / (2 * m)) / (1 + z2 / m);
  double half = z / (1 + z2 / m) * sqrt(p * (1 - p) / m + z2 / (4 * m * m));
  return (kk_range){k == 0 ? 0 : fmax(0, mid - half), k == n ? 1 : fmin(1, mid + half)};
}

kk_range kk_clopper_pearson(int64_t k, int64_t n, double level) {
  if (n < 1) return (kk_range){NAN, NAN};
  double tail = (1 - level) / 2, a = (double)k, b = (double)(n - k);
  return (kk_range){k == 0 ? 0 : kk_beta_inv(a, b + 1, tail), k == n ? 1 : kk_beta_inv(a + 1, b, 1 - tail)};
}

kk_range kk_normal_proportion(int64_t k, int64_t n, double level) {
  if (n < 1) return (kk_range){NAN, NAN};
  double p = (double)k / (double)n, half = kk_normal_quantile(0.5 + level / 2) * sqrt(p * (1 - p) / (double)n);
  return (kk_range){fmax(0, p - half), fmin(1, p + half)};
}

kk_range kk_f1_from_star(kk_range s) {
  return (kk_range){2 * s.low / (1 + s.low), 2 * s.high / (1 + s.high)};
}

double kk_hanley_mcneil(double auc, int64_t npos, int64_t nneg) {
  if (!(auc >= 0 && auc <= 1) || npos < 1 || nneg < 1) return NAN;
  double q1 = auc / (2 - auc), q2 = 2 * auc * auc / (1 + auc), a2 = auc * auc;
  double s = auc * (1 - auc) + (double)(npos - 1) * (q1 - a2) + (double)(nneg - 1) * (q2 - a2);
  return sqrt(s / ((double)npos * (double)nneg));
}

typedef struct delong_key { double p; int64_t at; } delong_key;

static int delong_compare(const void *a, const void *b) {
  const delong_key *x = a, *y = b;
  if (x->p != y->p) return x->p < y->p ? -1 : 1;
  return x->at < y->at ? -1 : x->at > y->at;
}

/* rank[at] = midrank of key among the n keys, counted from 1; sorts key. */
static void delong_midranks(delong_key *key, int64_t n, double *rank) {
  qsort(key, (size_t)n, sizeof *key, delong_compare);
  for (int64_t i = 0, j; i < n; i = j) {
    for (j = i + 1; j < n && key[j].p == key[i].p; j++) continue;
    for (int64_t k = i; k < j; k++) rank[key[k].at] = 0.5 * (double)(i + j + 1);
  }
}

/* The structural components: v[i] for each row i = share of the other class that is ordered rightly
** against it. Returns the AUC, their mean. key and rank hold n each. */
static double delong_components(const double *p, const uint8_t *label, int64_t n, int64_t npos, delong_key *key,
                                double *rank, double *v) {
  int64_t nneg = n - npos;
  double auc = 0;
  for (int64_t i = 0; i < n; i++) key[i] = (delong_key){p[i], i};
  delong_midranks(key, n, v);                      /* among all rows */
  for (int class = 0; class < 2; class++) {
    int64_t m = 0;
    for (int64_t i = 0; i < n; i++)
      if (label[i] == class) key[m++] = (delong_key){p[i], i};
    delong_midranks(key, m, rank);                 /* among the rows of its class */
  }
  for (int64_t i = 0; i < n; i++) {
    double others = v[i] - rank[i];
    v[i] = label[i] ? others / (double)nneg : 1 - others / (double)npos;
    auc += label[i] ? v[i] / (double)npos : 0;
  }
  return auc;
}

/* Covariance of two AUCs from their components. */
static double delong_cov(const double *va, const double *vb, double a, double b, const uint8_t *label, int64_t n,
                         int64_t npos) {
  int64_t nneg = n - npos;
  double s[2] = {0, 0};
  if (npos < 2 || nneg < 2) return NAN;
  for (int64_t i = 0; i < n; i++) s[label[i]] += (va[i] - a) * (vb[i] - b);
  return s[1] / ((double)(npos - 1) * (double)npos) + s[0] / ((double)(nneg - 1) * (double)nneg);
}

kk_status kk_delong_test(const double *a, const double *b, const uint8_t *label, int64_t n, kk_delong *o, kk_err *e) {
  int64_t npos = 0;
  for (int64_t i = 0; i < n; i++) npos += label[i];
  if (npos < 1 || npos == n)
    return kk_fail(e, KK_EARG, "delong: %lld of %lld rows are positive, both classes are needed", (long long)npos,
                   (long long)n);
  size_t bytes = (size_t)n * (sizeof(delong_key) + 3 * sizeof(double));
  delong_key *key = kk_alloc(bytes);
  if (!key) return kk_fail(e, KK_ENOMEM, "delong: no memory for %lld rows", (long long)n);
  double *rank = (double *)(key + n), *va = rank + n, *vb = va + n;
  *o = (kk_delong){.auc = {NAN, NAN}, .var = {NAN, NAN}, .cov = NAN, .diff = NAN, .se = NAN, .z = NAN, .p = NAN};
  o->auc[0] = delong_components(a, label, n, npos, key, rank, va);
  o->var[0] = delong_cov(va, va, o->auc[0], o->auc[0], label, n, npos);
  if (b) {
    o->auc[1] = delong_components(b, label, n, npos, key, rank, vb);
    o->var[1] = delong_cov(vb, vb, o->auc[1], o->auc[1], label, n, npos);
    o->cov = delong_cov(va, vb, o->auc[0], o->auc[1], label, n, npos);
    o->diff = o->auc[0] - o->auc[1];
    double var = o->var[0] + o->var[1] - 2 * o->cov;
    o->se = var > 0 ? sqrt(var) : var <= 0 ? 0 : NAN;
    if (o->se > 1e-12) {
      o->z = o->diff / o->se;
      o->p = 2 * kk_normal_cdf(-fabs(o->z));
    }
  }
  kk_free(key, bytes);
  return KK_OK;
}

double kk_mcnemar(int64_t b, int64_t c) {
  double p = 2 * kk_binomial_cdf(b < c ? b : c, b + c, 0.5);
  return b + c == 0 || p > 1 ? 1 : p;
}

kk_status kk_paired_t(const double *d, int64_t n, const int32_t *group, int64_t ngroup, double level, kk_ttest *o,
                      kk_err *e) {
  int64_t units = 0;
  double square = 0, mean = 0;
  if (n < 1) return kk_fail(e, KK_EARG, "paired t: there are no rows");
  size_t bytes = group ? (size_t)ngroup * (sizeof(double) + 1) : 0;
  double *sum = kk_calloc(bytes);
  if (!sum) return kk_fail(e, KK_ENOMEM, "paired t: no memory for %lld groups", (long long)ngroup);
  char *seen = (char *)(sum + (group ? ngroup : 0));
  for (int64_t i = 0; i < n; i++) mean += d[i];
  mean /= (double)n;
  for (int64_t i = 0; i < n; i++) {
    double r = d[i] - mean;
    if (group) {
      sum[group[i]] += r;
      seen[group[i]] = 1;
    } else {
      square += r * r;
    }
  }
  for (int64_t g = 0; group && g < ngroup; g++) {
    square += sum[g] * sum[g];
    units += seen[g];
  }
  kk_free(sum, bytes);
  if (!group) units = n;
  *o = (kk_ttest){.mean = mean, .se = NAN, .df = (double)(units - 1), .low = NAN, .high = NAN, .p = NAN};
  if (units < 2) return KK_OK;
  o->se = sqrt(square * (double)units / (double)(units - 1)) / (double)n;
  double half = kk_t_quantile(0.5 + level / 2, o->df) * o->se;
  o->low = mean - half;
  o->high = mean + half;
  o->p = o->se > 0 ? 2 * kk_t_cdf(-fabs(mean / o->se), o->df) : mean == 0 ? 1 : 0;
  return KK_OK;
}
