/* repeats.h -- many models on the same rows, each predicted several times (repeated cross-validation), in one bootstrap: the
** resamples are the same for all, so differences are paired. A model's metric is its mean over the repeats. */
#ifndef KK_REPEATS_H
#define KK_REPEATS_H

#include "eval/bootstrap.h"
#include "eval/metrics.h"

typedef struct kk_repeats {
  int64_t n;                /* rows */
  int models, repeats, reference;
  const double *prob;       /* [models, repeats, N] of class 1 */
  const uint8_t *pred;      /* [models, repeats, N] what was said, whatever threshold said it */
  const uint8_t *label;     /* [N] */
  double eps;
} kk_repeats;

/* out [models, KK_BIN_N] and diff [models, KK_BIN_N]: the metric less the reference's. p->n is N. */
kk_status kk_repeats_score(const kk_repeats *q, const kk_plan *p, kk_interval *out, kk_interval *diff, kk_err *e);

#endif
