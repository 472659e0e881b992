/* mse.c -- mean squared error. */
#include "op/op.h"

static void mse_forward(kk_call *c) {
  const kk_real *x = kk_in(c, 0), *t = kk_in(c, 1);
  const int64_t n = kk_rows(c);
  double s = 0;
  for (int64_t i = 0; i < n; i++) s += ((double)x[i] - (double)t[i]) * ((double)x[i] - (double)t[i]);
  kk_out(c, 0)[0] = (kk_real)(n ? s / (double)n : 0);
}

static void mse_backward(kk_call *c) {
  const kk_real *x = kk_in(c, 0), *t = kk_in(c, 1);
  const int64_t n = kk_rows(c);
  const double scale = 2 * (double)kk_dout(c, 0)[0] / (double)n;
  for (int k = 0; k < 2; k++)
    for (int64_t i = 0; c->din[k] && i < n; i++)
      c->din[k][i] += (kk_real)((k ? -scale : scale) * ((double)x[i] - (double)t[i]));
}

const kk_op kk_op_mse = {
  .name = "mse",
  .sig = "x[...] target[...] -> loss[]",
  .about = "mean of (x - target)^2",
  .forward = mse_forward,
  .backward = mse_backward,
};
