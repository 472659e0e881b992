/* intervals.h -- closed-form intervals and paired tests. */
#ifndef KK_INTERVALS_H
#define KK_INTERVALS_H

#include <stdint.h>

#include "base/err.h"

typedef struct kk_range { double low, high; } kk_range;

/* Intervals of a proportion k of n; NaN when n is 0. */
kk_range kk_wilson(int64_t k, int64_t n, double level);            /* Wilson 1927, without continuity correction */
kk_range kk_clopper_pearson(int64_t k, int64_t n, double level);   /* exact, never covers less than level */
kk_range kk_normal_proportion(int64_t k, int64_t n, double level); /* p +- z sqrt(p(1-p)/n): [p,p] at p = 0 or 1 */
/* F1 = 2F/(1+F) with F = tp/(tp+fp+fn), a proportion among the rows that are positive or called so
** (Hand, Christen and Kirielle 2021), so an interval of F gives one of F1. */
kk_range kk_f1_from_star(kk_range star);

/* Standard error of an ROC-AUC with npos positives and nneg negatives (Hanley and McNeil 1982, eq. 2). */
double kk_hanley_mcneil(double auc, int64_t npos, int64_t nneg);

/* Two AUCs on the same rows (DeLong, DeLong and Clarke-Pearson 1988, by midranks as Sun and Xu 2014). */
typedef struct kk_delong {
  double auc[2], var[2], cov;
  double diff, se, z, p;        /* of auc[0] - auc[1]; z and p NaN when the difference has no variance */
} kk_delong;
/* b may be NULL: only auc[0] and var[0]. Needs at least one row of each class (two for variances). */
kk_status kk_delong_test(const double *a, const double *b, const uint8_t *label, int64_t n, kk_delong *out, kk_err *e);

/* Exact McNemar: two-sided binomial p of b against c disagreements; 1 when there are none. */
double kk_mcnemar(int64_t b, int64_t c);

/* Mean of d with a t interval. With groups (persons) the rows of a group count as one draw: the
** cluster-robust variance G/(G-1) sum_g (sum_{i in g} (d_i - mean))^2 / n^2 on G - 1 degrees. */
typedef struct kk_ttest { double mean, se, df, low, high, p; } kk_ttest;
kk_status kk_paired_t(const double *d, int64_t n, const int32_t *group, int64_t ngroup, double level, kk_ttest *out,
                      kk_err *e);

#endif
