/* optim.h -- one fused pass over a parameter, its gradient and its moments. */
#ifndef KK_OPTIM_H
#define KK_OPTIM_H

#include "tensor/tensor.h"

typedef struct kk_adam {
  double lr, beta1, beta2, eps;
  double decay;               /* decoupled: p *= 1 - lr decay before the step (Loshchilov & Hutter 2019) */
  double scale;               /* of the gradient: clipping                                              */
  int64_t step;               /* counts from 1: bias correction                                         */
} kk_adam;

typedef struct kk_sgd {
  double lr, momentum, decay, scale;   /* decay is added to the gradient, as in torch.optim.SGD */
  bool nesterov;
} kk_sgd;

/* p: a whole parameter (contiguous, not a view) with a gradient; m, v, buf: of p's shape. The gradient
** is left as it is. Counts a write to p. */
kk_status kk_adam_step(kk_tensor *p, kk_tensor *m, kk_tensor *v, const kk_adam *a, kk_err *e);
kk_status kk_sgd_step(kk_tensor *p, kk_tensor *buf, const kk_sgd *s, kk_err *e);   /* buf may be NULL without momentum */

/* Sum of squares of the gradient, 0 without one; the same for any number of threads. */
kk_status kk_grad_sumsq(const kk_tensor *p, double *out, kk_err *e);

#endif
