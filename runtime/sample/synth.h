/* synth.h -- rows that were not there: drawn, put between two others, or shaken. Every value depends on a key and its own
** number alone, so any number of threads makes the same. */
#ifndef KK_SYNTH_H
#define KK_SYNTH_H

#include "sample/near.h"

/* A pair to put a row between: which of the m base points, which of its k neighbours, and how far toward it in [0,1). */
typedef struct kk_draw { int32_t base, neighbour; double gap; } kk_draw;

/* SMOTE (Chawla et al. 2002): base and neighbour uniform over m x k. */
void kk_synth_draw(uint64_t key, int64_t m, int64_t k, int64_t n, kk_draw *to);
/* The same with times[i] rows of base point i, in their order (ADASYN, He et al. 2008); n is their sum. */
void kk_synth_draw_times(uint64_t key, const int64_t *times, int64_t m, int64_t k, kk_draw *to);
/* order [n]: the draws sorted by base and then by neighbour, those of a pair as they come. pairs = m k; at: room for them. */
void kk_synth_order(const kk_draw *draw, int64_t k, int64_t n, int64_t pairs, int32_t *at, int32_t *order);
/* Another uniform number in [0,1/2) for each draw: what Borderline-SMOTE2 multiplies the gap with. */
double kk_synth_half(uint64_t key, int64_t i);
/* How many rows ADASYN makes of each: share[i] = foreign[i] / sum of foreign, times n, rounded to even. Answers their sum;
** 0 when no neighbour is foreign. */
int64_t kk_synth_shares(const int32_t *foreign, int64_t m, int64_t n, int64_t *times);

/* to [n,d]: a_i + gap_i (b_i - a_i); a and b are rows of x. The difference in kk_real, the rest in double: the same
** numbers as imbalanced-learn's for the same draws. order (or NULL): which to make when: where pairs of neighbours stand
** behind each other, rows of x are read from the nearest cache (with 90,000 rows of 400 between 25,000 pairs, a sixth
** as many from memory). */
void kk_synth_between(const kk_real *x, int64_t d, const int64_t *a, const int64_t *b, const double *gap, int64_t n,
                      const int32_t *order, kk_real *to);
/* to [p.n,d]: the points as they are. Answers whether all are fine (near.h): a look at what is read anyway. */
bool kk_synth_copy(const kk_points *p, kk_real *to);
/* to [p.n,d]: the points plus scale[c] times standard normal numbers (the smoothed bootstrap). */
void kk_synth_shake(const kk_points *p, const double *scale, uint64_t key, kk_real *to);
/* sd [d]: standard deviation of the columns, divisor n; in double, two passes. */
void kk_synth_deviation(const kk_points *p, double *sd);

#endif
