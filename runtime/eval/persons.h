/* persons.h -- two models scored for each of many persons at once: everything that a table of persons shows, without a
** call for each. Persons are taken in parallel; bits do not depend on the thread count. */
#ifndef KK_PERSONS_H
#define KK_PERSONS_H

#include "eval/intervals.h"
#include "eval/score.h"

typedef struct kk_person_side {
  double value[KK_BIN_N];
  kk_range range[KK_BIN_N];      /* closed forms (Clopper-Pearson) for accuracy, precision, recall, F1; bootstrap for MCC, */
  kk_confusion c;                /* average precision, ROC-AUC, balanced accuracy; t for log-loss and Brier; else NaN     */
} kk_person_side;

typedef struct kk_person_score {
  int64_t n, few;                /* rows; of the smaller class */
  int positive;                  /* the smaller class, 0 or 1 (equal: 1), which counts as positive here */
  kk_person_side side[2];
  kk_ttest loss;                 /* paired log-loss, a minus b */
  int64_t only_a, only_b;        /* rows that only one of them gets right */
  double mcnemar;
} kk_person_score;

/* prob [N] of class 1, label [N] 0 or 1, user [N] 0..nuser-1. plan: level, resamples, seed. */
kk_status kk_score_persons(const double *a, const double *b, const uint8_t *label, const int32_t *user, int64_t n,
                           int64_t nuser, double threshold, const kk_plan *plan, kk_person_score *out, kk_err *e);

#endif
