/* activation_penalty.c -- activation regularisation and its temporal form (AR, TAR). */
#include "base/clones.h"
#include "base/pool.h"
#include "op/op.h"

enum { GRAIN = 16384, LANES = 8 };     /* elements of a chunk; parts of a sum */

static double penalty_lanes(const double *s) {
  return ((s[0] + s[4]) + (s[1] + s[5])) + ((s[2] + s[6]) + (s[3] + s[7]));
}

KK_CLONES static double penalty_squares(const kk_real *x, int64_t n) {
  double s[LANES] = {0};
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES)
    for (int k = 0; k < LANES; k++) s[k] += (double)x[i + k] * (double)x[i + k];
  for (; i < n; i++) s[0] += (double)x[i] * (double)x[i];
  return penalty_lanes(s);
}

KK_CLONES static double penalty_changes(const kk_real *x, const kk_real *next, int64_t n) {
  double s[LANES] = {0};
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES)
    for (int k = 0; k < LANES; k++) {
      const double d = (double)next[i + k] - (double)x[i + k];
      s[k] += d * d;
    }
  for (; i < n; i++) s[0] += ((double)next[i] - (double)x[i]) * ((double)next[i] - (double)x[i]);
  return penalty_lanes(s);
}

/* Each chunk's two sums, side by side. */
static void penalty_sums(void *arg, int64_t begin, int64_t end) {
  kk_call *c = arg;
  const int64_t M = KK_DIM(c, 'B') * KK_DIM(c, 'H'), last = (KK_DIM(c, 'T') - 1) * M;
  const kk_real *r = kk_in(c, 1);
  double *sum = (double *)c->scratch + begin / GRAIN * 2;
  sum[0] = penalty_squares(kk_in(c, 0) + begin, end - begin);
  sum[1] = begin < last ? penalty_changes(r + begin, r + begin + M, (end < last ? end : last) - begin) : 0;
}

static size_t activation_penalty_scratch(const kk_call *c, bool backward) {
  return backward ? 0 : (size_t)(kk_numel(&c->in[0]->shape) / GRAIN + 1) * 2 * sizeof(double);
}

/* Merity et al. 2018 (AWD-LSTM, section 4.6): alpha mean(h^2) on the dropped output, beta mean of the squared
** change from step to step on the raw one. */
static void activation_penalty_forward(kk_call *c) {
  const int64_t T = KK_DIM(c, 'T'), M = KK_DIM(c, 'B') * KK_DIM(c, 'H');
  const double *sum = c->scratch;
  double a = 0, b = 0;
  kk_pool_for(T * M, GRAIN, penalty_sums, c);
  for (int64_t i = 0; i * GRAIN < T * M; i++) {
    a += sum[2 * i];
    b += sum[2 * i + 1];
  }
  a = c->opt[0] * a / (double)(T * M);
  if (T > 1) a += c->opt[1] * b / (double)((T - 1) * M);
  kk_out(c, 0)[0] = (kk_real)a;
}

KK_CLONES static void penalty_ar(void *arg, int64_t begin, int64_t end) {
  kk_call *c = arg;
  const kk_real *h = kk_in(c, 0);
  const kk_real k = (kk_real)(2 * c->opt[0] * (double)kk_dout(c, 0)[0] / (double)kk_numel(&c->in[0]->shape));
  kk_real *d = c->din[0];
  for (int64_t i = begin; i < end; i++) d[i] += k * h[i];
}

/* The first step has no step before it, the last none after it. */
KK_CLONES static void penalty_tar(void *arg, int64_t begin, int64_t end) {
  kk_call *c = arg;
  const int64_t T = KK_DIM(c, 'T'), M = KK_DIM(c, 'B') * KK_DIM(c, 'H'), last = (T - 1) * M;
  const kk_real *r = kk_in(c, 1);
  const kk_real k = (kk_real)(2 * c->opt[1] * (double)kk_dout(c, 0)[0] / (double)((T - 1) * M));
  kk_real *d = c->din[1];
  int64_t i = begin;
  for (; i < end && i < M; i++) d[i] -= k * (r[i + M] - r[i]);
  for (const int64_t stop = end < last ? end : last; i < stop; i++) d[i] += k * ((r[i] - r[i - M]) - (r[i + M] - r[i]));
  for (; i < end; i++) d[i] += k * (r[i] - r[i - M]);
}

static void activation_penalty_backward(kk_call *c) {
  const int64_t n = kk_numel(&c->in[0]->shape);
  if (c->din[0]) kk_pool_for(n, GRAIN, penalty_ar, c);
  if (c->din[1] && KK_DIM(c, 'T') > 1) kk_pool_for(n, GRAIN, penalty_tar, c);
}

const kk_op kk_op_activation_penalty = {
  .name = "activation_penalty",
  .sig = "h[T,B,H] raw[T,B,H] -> loss[]",
  .about = "alpha mean(h^2) + beta mean((raw[t+1] - raw[t])^2): AR on the dropped, TAR on the raw output (Merity et al. 2018, section 4.6)",
  .opts = {{"alpha", 2, 0, 1e6, "weight of the size of the activations", NULL},
           {"beta", 1, 0, 1e6, "weight of their change from step to step", NULL}},
  .scratch = activation_penalty_scratch,
  .forward = activation_penalty_forward,
  .backward = activation_penalty_backward,
};
