/* softmax_lines.c -- the two passes over a line that softmax, log_softmax and logsumexp share. */
#include "base/clones.h"
#include "op/softmax.h"

/* Sixteen lanes, so that rows vectorise. */
KK_CLONES kk_real kk_softmax_max(const kk_real *x, int64_t n, int64_t stride) {
  enum { LANES = 16 };
  kk_real m[LANES], most = x[0];
  int64_t i = 0;
  for (int k = 0; k < LANES; k++) m[k] = (kk_real)-INFINITY;
  if (stride == 1)
    for (; i + LANES <= n; i += LANES)
      for (int k = 0; k < LANES; k++) m[k] = x[i + k] > m[k] ? x[i + k] : m[k];
  for (; i < n; i++) m[0] = x[i * stride] > m[0] ? x[i * stride] : m[0];
  for (int k = 0; k < LANES; k++) most = m[k] > most || most != most ? m[k] : most;
  return most;
}

KK_CLONES double kk_softmax_exp(const kk_real *x, kk_real *restrict y, int64_t n, int64_t stride, kk_real m) {
  enum { LANES = 8 };
  double s[LANES] = {0};
  int64_t i = 0;
  if (stride == 1) {
    for (int64_t k = 0; k < n; k++) y[k] = kk_exp(x[k] - m);
    for (; i + LANES <= n; i += LANES)
      for (int k = 0; k < LANES; k++) s[k] += (double)y[i + k];
    for (; i < n; i++) s[0] += (double)y[i];
  } else {
    for (; i < n; i++) s[0] += (double)(y[i * stride] = kk_exp(x[i * stride] - m));
  }
  return ((s[0] + s[4]) + (s[1] + s[5])) + ((s[2] + s[6]) + (s[3] + s[7]));
}
