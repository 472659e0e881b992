/* logistic.h -- a linear head for two classes on frozen features, with the losses that are used against imbalance.
**
** Row i has features x_i (centred, and divided by one number so that their mean squared norm is 1: z_i), s_i = +1 for class 2
** and -1 for class 1, and the weight v_i = row_weight_i * class_weight_c. Fitted is, over u and c,
**   sum_i v_i l(m_i) / sum_i v_i + l2/2 |u|^2,   m_i = s_i (u.z_i + c + shift) - margin_c,
**   l(m) = log(1 + exp(-m)), or with gamma > 0 the focal (1 - sigmoid(m))^gamma log(1 + exp(-m)) (Lin et al. 2017).
** shift: log-prior ratio of logit adjustment (Menon et al. 2021); margin: LDAM (Cao et al. 2019). Without them this is the
** L2 logistic regression of scikit-learn with C = 1 / (l2 sum v) on z.
** L-BFGS (Nocedal & Wright 2006, algorithm 7.5) with ten pairs; bits do not depend on the thread count. */
#ifndef KK_LOGISTIC_H
#define KK_LOGISTIC_H

#include <stdint.h>

#include "base/err.h"

typedef struct kk_logistic {
  int64_t n, d;
  const float *x;              /* [N,D] */
  const uint8_t *label;        /* [N] 0 or 1 */
  const float *row_weight;     /* [N] or NULL */
  double class_weight[2], margin[2], shift, gamma;
  double tolerance;            /* of the gradient's largest element, 1e-6 */
  int most_steps;              /* 500 */
} kk_logistic;

/* Heads for nl2 penalties, in the order given, each begun at the one before: from strong to weak is fast. w [nl2, D] and b [nl2] in
** units of x; steps [nl2] or NULL. KK_EARG names the first bad row; both classes must have weight. */
kk_status kk_logistic_path(const kk_logistic *q, const double *l2, int nl2, float *w, double *b, int *steps, kk_err *e);
/* prob [nl2, N] of class 2: sigmoid(w x + b). */
void kk_logistic_prob(const float *x, int64_t n, int64_t d, const float *w, const double *b, int nl2, double *prob);

#endif
