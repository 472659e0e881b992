/* bootstrap.h -- resampling with counts instead of copies: resample r gives every row the number of
** times it was drawn. Draws depend on (seed, r) alone, so any number of threads gives the same bits. */
#ifndef KK_BOOTSTRAP_H
#define KK_BOOTSTRAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct kk_plan {
  int64_t n;                 /* rows */
  const int32_t *group;      /* [n] 0..ngroup-1: whole groups (persons) are drawn, not rows. NULL = rows */
  int64_t ngroup;
  const int32_t *stratum;    /* [n] 0..nstratum-1: each stratum keeps its size. NULL = one. Not with groups */
  int64_t nstratum;
  int resamples;             /* 0 = no intervals */
  uint64_t seed;
  double level;              /* of the intervals, .95 */
  int bca;                   /* bias-corrected and accelerated (Efron 1987) instead of percentile */
} kk_plan;

/* Writes nstat values for the resample with counts w (NULL: the data as they are). */
typedef void (*kk_stat_fn)(const void *arg, const int32_t *w, void *scratch, double *out);

typedef struct kk_interval {
  double value, low, high, se;   /* NaN where not defined */
  double p;                      /* 2 min(P(stat <= 0), P(stat >= 0)) over resamples: for differences */
  int64_t defined;               /* resamples in which the statistic exists */
} kk_interval;

/* Values on the data and intervals from the resamples in which the statistic is defined; an
** interval is left NaN when fewer than half are. scratch: bytes that fn wants. */
kk_status kk_bootstrap(const kk_plan *p, kk_stat_fn fn, const void *arg, int nstat, size_t scratch,
                       kk_interval *out, kk_err *e);

#endif
