/* tanh.c -- the hyperbolic tangent. */
#include <math.h>

#include "base/pool.h"
#include "op/op.h"

static void tanh_chunk(void *arg, int64_t begin, int64_t end) {
  kk_call *c = arg;
  const kk_real *x = kk_in(c, 0);
  kk_real *y = kk_out(c, 0);
  for (int64_t i = begin; i < end; i++) y[i] = (kk_real)tanh((double)x[i]);
}

static void tanh_forward(kk_call *c) { kk_pool_for(kk_rows(c), 4096, tanh_chunk, c); }

/* dx = dy (1 - y^2) */
static void tanh_backward(kk_call *c) {
  const kk_real *y = kk_out(c, 0), *dy = kk_dout(c, 0);
  for (int64_t i = 0, n = kk_rows(c); i < n; i++) c->din[0][i] += dy[i] * (1 - y[i] * y[i]);
}

const kk_op kk_op_tanh = {
  .name = "tanh",
  .sig = "x[...] -> y[...]",
  .about = "y = tanh x",
  .forward = tanh_forward,
  .backward = tanh_backward,
};
