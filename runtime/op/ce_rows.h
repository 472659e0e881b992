/* ce_rows.h -- rows of cross-entropy: what cross_entropy and linear_cross_entropy share.
** With class weights w and smoothing s over C classes, a row with target y and p = softmax(x) has
**   nll = lse - x_y,   loss = (1-s) w_y nll + s/C sum_k w_k (lse - x_k),   norm = w_y;
** the loss of all rows is sum loss / sum norm (PyTorch's weighting). */
#ifndef KK_CE_ROWS_H
#define KK_CE_ROWS_H

#include "op/op.h"

typedef struct kk_ce_row { double lse, loss, nll, norm; int hit, counted; } kk_ce_row;

/* The largest element. */
kk_real kk_ce_most(const kk_real *x, int64_t C);
/* sum exp(x_k - shift) */
double kk_ce_sum_exp(const kk_real *x, int64_t C, kk_real shift);
/* x_k becomes exp(x_k + b_k - shift), b NULL: 0. Answers the sum; *most becomes the largest of *most and x + b. */
double kk_ce_exp(kk_real *restrict x, const kk_real *restrict b, int64_t C, kk_real shift, kk_real *most);
/* dx_k += m exp(x_k - lse) */
void kk_ce_add_exp(kk_real *restrict dx, const kk_real *restrict x, int64_t C, kk_real lse, kk_real m);

/* A row with a hard target: r->lse is set, xy = x_y, wy its weight, flat = sum_k w_k (lse - x_k) where s > 0. */
void kk_ce_hard(kk_ce_row *r, double smoothing, int64_t C, kk_real xy, kk_real most, double wy, double flat);

typedef struct kk_ce_sums { double loss, norm, nll, hits, counted; } kk_ce_sums;
void kk_ce_add(kk_ce_sums *s, const kk_ce_row *r);
/* out[0] the loss, out[1] stats: sum of nll, rows counted, top-1 hits. Answers what the loss was divided by. */
double kk_ce_answer(const kk_call *c, const kk_ce_sums *s);
kk_status kk_ce_targets(const char *op, const int32_t *y, int64_t N, int64_t C, kk_err *e);

#endif
