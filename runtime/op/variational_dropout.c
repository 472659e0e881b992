/* variational_dropout.c -- dropout whose mask is the same at every time step. */
#include "base/pool.h"
#include "op/mask.h"
#include "op/op.h"

static size_t variational_scratch(const kk_call *c, bool backward) {
  (void)backward;
  return (size_t)(KK_DIM(c, 'B') * KK_DIM(c, 'D')) * sizeof(kk_real);
}

static void variational_mask_chunk(void *arg, int64_t begin, int64_t end) {
  const kk_call *c = arg;
  kk_mask_fill(c->key, (uint64_t)begin, end - begin, c->opt[0], (kk_real *)c->scratch + begin);
}

static void variational_mask(kk_call *c) {
  kk_pool_for(KK_DIM(c, 'B') * KK_DIM(c, 'D'), 8192, variational_mask_chunk, c);
}

static void variational_forward_steps(void *arg, int64_t begin, int64_t end) {
  kk_call *c = arg;
  const int64_t n = KK_DIM(c, 'B') * KK_DIM(c, 'D');
  const kk_real *m = c->scratch, *x = kk_in(c, 0);
  kk_real *y = kk_out(c, 0);
  for (int64_t t = begin; t < end; t++)
    for (int64_t i = 0; i < n; i++) y[t * n + i] = m[i] * x[t * n + i];
}

static void variational_backward_steps(void *arg, int64_t begin, int64_t end) {
  kk_call *c = arg;
  const int64_t n = KK_DIM(c, 'B') * KK_DIM(c, 'D');
  const kk_real *m = c->scratch, *dy = kk_dout(c, 0);
  kk_real *dx = c->din[0];
  for (int64_t t = begin; t < end; t++)
    for (int64_t i = 0; i < n; i++) dx[t * n + i] += m[i] * dy[t * n + i];
}

static void variational_forward(kk_call *c) {
  variational_mask(c);
  kk_pool_for(KK_DIM(c, 'T'), 1, variational_forward_steps, c);
}

static void variational_backward(kk_call *c) {
  variational_mask(c);
  kk_pool_for(KK_DIM(c, 'T'), 1, variational_backward_steps, c);
}

static bool variational_sample(int variant, kk_sample *s) {
  s->opt[0] = variant == 0 ? 0.4 : 0;
  return variant < 2;
}

const kk_op kk_op_variational_dropout = {
  .name = "variational_dropout",
  .sig = "x[T,B,D] -> y[T,B,D]",
  .about = "y_t = m x_t, one mask m [B,D] for all steps: 1/(1-p) with probability 1-p, else 0 (Gal & Ghahramani 2016)",
  .opts = {{"p", 0.5, 0, 0.99, "probability of zero", NULL}},
  .random = true,
  .scratch = variational_scratch,
  .forward = variational_forward,
  .backward = variational_backward,
  .sample = variational_sample,
};
