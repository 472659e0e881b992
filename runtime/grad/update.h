/* update.h -- the arithmetic of one optimizer step on a run of elements of one parameter. */
#ifndef KK_UPDATE_H
#define KK_UPDATE_H

#include "grad/optim.h"

/* What one step needs for all elements of one parameter, rounded once. */
typedef struct kk_hyper {
  kk_real scale;              /* of the gradient                                                            */
  kk_real l2;                 /* SGD, ASGD: times p, added to the gradient                                  */
  kk_real keep;               /* p is multiplied by it: 1 - lr decay                                        */
  kk_real rate;               /* Adam: lr / (1 - beta1^t); else lr                                          */
  kk_real b1, c1, b2, c2;     /* Adam: betas and 1 - betas; SGD: b1 is the momentum                         */
  kk_real fix, eps;           /* Adam: 1 / (1 - beta2^t) of v                                               */
  kk_real tiny;               /* Adam: a first moment below it counts as zero: it moves p by 1e-12 lr at most */
  kk_real share;              /* ASGD: of p in the average                                                  */
  bool nesterov, leave;       /* leave: the gradient stays as it is; else it is set to zero                 */
} kk_hyper;

/* p and its state s0, s1 (NULL where the rule has none) with the gradient g. */
void kk_update(kk_rule rule, kk_real *p, kk_real *s0, kk_real *s1, kk_real *g, int64_t n, const kk_hyper *h);

/* The steps past[at & mask], at = from .. to - 1, each with a gradient of zero: to the bit what kk_update gives. */
void kk_update_idle(kk_rule rule, kk_real *p, kk_real *s0, kk_real *s1, int64_t n, const kk_hyper *past, int64_t mask,
                    int64_t from, int64_t to);
/* Does such a step change anything? state: the rule's first state is there. */
bool kk_update_moves(kk_rule rule, const kk_hyper *h, bool state);

/* Sum of squares of n elements, in 16 running sums that are added in order. */
double kk_update_sumsq(const kk_real *g, int64_t n);

#endif
