/* softmax.h -- what softmax, log_softmax and logsumexp share. */
#ifndef KK_SOFTMAX_H
#define KK_SOFTMAX_H

#include "op/vmath.h"

/* The largest element, nan skipped. */
kk_real kk_softmax_max(const kk_real *x, int64_t n, int64_t stride);
/* y = e^(x - m); returns the sum, in double. */
double kk_softmax_exp(const kk_real *x, kk_real *restrict y, int64_t n, int64_t stride, kk_real m);

#endif
