/* score.h -- scores with bootstrap intervals: metrics.h driven by bootstrap.h. Everything that a
** call needs is allocated before the first draw and freed before it returns. */
#ifndef KK_SCORE_H
#define KK_SCORE_H

#include "eval/bootstrap.h"
#include "eval/metrics.h"

kk_status kk_score_binary(const double *prob, const uint8_t *label, double threshold, double eps, const kk_plan *p,
                          kk_interval out[KK_BIN_N], kk_confusion *c, kk_err *e);
/* Every metric of a minus the same of b, on the same resamples of the same rows. */
kk_status kk_score_paired(const double *a, const double *b, const uint8_t *label, double threshold_a,
                          double threshold_b, double eps, const kk_plan *p, kk_interval diff[KK_BIN_N], kk_err *e);
/* out: kk_multi_count(classes) intervals; count [3*C]: right, said, truth of each class. */
kk_status kk_score_multi(const double *prob, const int32_t *label, int classes, const uint8_t *in_macro, double eps,
                         const kk_plan *p, kk_interval *out, int64_t *count, kk_err *e);
kk_status kk_score_regression(const double *pred, const double *target, const kk_plan *p, kk_interval out[KK_REG_N],
                              kk_err *e);
/* exp(sum nll / sum tokens) over documents with nll nats on `tokens` tokens; tokens > 0. */
kk_status kk_score_perplexity(const double *nll, const double *tokens, const kk_plan *p, kk_interval *out, kk_err *e);
/* Mean of the defined (finite) values: of one number a person, to resample persons. */
kk_status kk_score_mean(const double *v, const kk_plan *p, kk_interval *out, kk_err *e);

#endif
