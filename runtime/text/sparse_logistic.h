/* sparse_logistic.h -- L2-regularised logistic regression on sparse rows, by dual coordinate descent (Yu, Huang & Lin 2011, "Dual
** coordinate descent methods for logistic regression and maximum entropy models", algorithm 5).
**
** Minimises over w and b, the constant regularised like the rest:
**   (|w|^2 + b^2) / 2 + c * sum_i u_i (log(1 + exp(z_i)) - t_i z_i),   z_i = w . x_i + b
** with targets t_i in 0..1: the label of a row, or the share of those who gave it; u_i >= 0 is the row's weight.
** (linalg/logistic.h is for dense features, where the losses against imbalance are.) */
#ifndef KK_SPARSE_LOGISTIC_H
#define KK_SPARSE_LOGISTIC_H

#include "text/tfidf.h"

typedef struct kk_sparse_logistic_opts {
  double c;            /* weight of the errors against the size of the weights */
  double tolerance;    /* ends when no row's derivative is larger              */
  uint64_t seed;       /* of the order in which rows are visited               */
} kk_sparse_logistic_opts;

/* x's rows with column j times scale[j]; weight NULL: every row counts 1. w: x->cols values, of the scaled columns. KK_EINTR on
** Ctrl-C. */
kk_status kk_sparse_logistic_fit(const kk_csr *x, const double *scale, const double *target, const double *weight,
                                 const kk_sparse_logistic_opts *o, double *w, double *bias, kk_err *e);

#endif
