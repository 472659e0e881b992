/* activation_penalty.c -- activation regularisation and its temporal form (AR, TAR). */
#include "base/pool.h"
#include "op/op.h"

/* Merity et al. 2018 (AWD-LSTM, section 4.6): alpha mean(h^2) on the dropped output, beta mean of the squared
** change from step to step on the raw one. */
static void activation_penalty_forward(kk_call *c) {
  const int64_t T = KK_DIM(c, 'T'), M = KK_DIM(c, 'B') * KK_DIM(c, 'H');
  const kk_real *h = kk_in(c, 0), *r = kk_in(c, 1);
  double a = 0, b = 0;
  for (int64_t i = 0; i < T * M; i++) a += (double)h[i] * (double)h[i];
  for (int64_t i = 0; i < (T - 1) * M; i++) {
    double d = (double)r[i + M] - (double)r[i];
    b += d * d;
  }
  a = c->opt[0] * a / (double)(T * M);
  if (T > 1) a += c->opt[1] * b / (double)((T - 1) * M);
  kk_out(c, 0)[0] = (kk_real)a;
}

static void penalty_ar(void *arg, int64_t begin, int64_t end) {
  kk_call *c = arg;
  const kk_real *h = kk_in(c, 0);
  const kk_real k = (kk_real)(2 * c->opt[0] * (double)kk_dout(c, 0)[0] / (double)kk_numel(&c->in[0]->shape));
  for (int64_t i = begin; i < end; i++) c->din[0][i] += k * h[i];
}

static void penalty_tar(void *arg, int64_t begin, int64_t end) {
  kk_call *c = arg;
  const int64_t T = KK_DIM(c, 'T'), M = KK_DIM(c, 'B') * KK_DIM(c, 'H');
  const kk_real *r = kk_in(c, 1);
  const kk_real k = (kk_real)(2 * c->opt[1] * (double)kk_dout(c, 0)[0] / (double)((T - 1) * M));
  for (int64_t i = begin; i < end; i++) {
    kk_real d = 0;
    if (i >= M) d += r[i] - r[i - M];
    if (i < (T - 1) * M) d -= r[i + M] - r[i];
    c->din[1][i] += k * d;
  }
}

static void activation_penalty_backward(kk_call *c) {
  const int64_t n = kk_numel(&c->in[0]->shape);
  if (c->din[0]) kk_pool_for(n, 16384, penalty_ar, c);
  if (c->din[1] && KK_DIM(c, 'T') > 1) kk_pool_for(n, 16384, penalty_tar, c);
}

const kk_op kk_op_activation_penalty = {
  .name = "activation_penalty",
  .sig = "h[T,B,H] raw[T,B,H] -> loss[]",
  .about = "alpha mean(h^2) + beta mean((raw[t+1] - raw[t])^2): AR on the dropped, TAR on the raw output (Merity et al. 2018, section 4.6)",
  .opts = {{"alpha", 2, 0, 1e6, "weight of the size of the activations", NULL},
           {"beta", 1, 0, 1e6, "weight of their change from step to step", NULL}},
  .forward = activation_penalty_forward,
  .backward = activation_penalty_backward,
};
