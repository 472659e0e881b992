/* dropout.c -- sets elements to zero at random, the others times 1/(1-p). */
#include <string.h>

#include "base/pool.h"
#include "op/mask.h"
#include "op/op.h"

enum { SPAN = 256, GRAIN = 8192 };

static void dropout_forward_chunk(void *arg, int64_t begin, int64_t end) {
  const kk_call *c = arg;
  const kk_real *x = kk_in(c, 0);
  kk_real *y = kk_out(c, 0), m[SPAN];
  for (int64_t at = begin; at < end; at += SPAN) {
    const int64_t n = end - at < SPAN ? end - at : SPAN;
    kk_mask_fill(c->key, (uint64_t)at, n, c->opt[0], m);
    for (int64_t i = 0; i < n; i++) y[at + i] = m[i] * x[at + i];
  }
}

static void dropout_backward_chunk(void *arg, int64_t begin, int64_t end) {
  const kk_call *c = arg;
  const kk_real *dy = kk_dout(c, 0);
  kk_real *dx = c->din[0], m[SPAN];
  for (int64_t at = begin; at < end; at += SPAN) {
    const int64_t n = end - at < SPAN ? end - at : SPAN;
    kk_mask_fill(c->key, (uint64_t)at, n, c->opt[0], m);
    for (int64_t i = 0; i < n; i++) dx[at + i] += m[i] * dy[at + i];
  }
}

static void dropout_forward(kk_call *c) {
  if (c->opt[0] > 0) kk_pool_for(kk_rows(c), GRAIN, dropout_forward_chunk, c);
  else memcpy(kk_out(c, 0), kk_in(c, 0), (size_t)kk_rows(c) * sizeof(kk_real));
}

static void dropout_backward(kk_call *c) { kk_pool_for(kk_rows(c), GRAIN, dropout_backward_chunk, c); }

static bool dropout_sample(int variant, kk_sample *s) {
  s->opt[0] = variant == 0 ? 0.4 : 0;
  return variant < 2;
}

const kk_op kk_op_dropout = {
  .name = "dropout",
  .sig = "x[...] -> y[...]",
  .about = "y = x / (1-p) with probability 1-p, else 0 (Srivastava et al. 2014)",
  .opts = {{"p", 0.5, 0, 0.99, "probability of zero", NULL}},
  .random = true,
  .forward = dropout_forward,
  .backward = dropout_backward,
  .sample = dropout_sample,
};
