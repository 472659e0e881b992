/* dropout.c -- sets elements to zero at random, the others times 1/(1-p). */
#include "base/pool.h"
#include "op/op.h"

/* y = mask(key, i) x for i in [begin, end); begin is a multiple of 4. Adds in backward. */
static void dropout_span(const kk_call *c, const kk_real *x, kk_real *y, bool add, int64_t begin, int64_t end) {
  const double p = c->opt[0];
  const kk_real scale = (kk_real)(1 / (1 - p));
  for (int64_t i = begin; i < end; i += 4) {
    uint32_t v[4];
    kk_philox(c->key, (uint64_t)i >> 2, v);
    for (int64_t k = 0; k < 4 && i + k < end; k++) {
      kk_real m = (double)(v[k] >> 8) * (1.0 / 16777216.0) >= p ? scale : 0;
      y[i + k] = add ? y[i + k] + m * x[i + k] : m * x[i + k];
    }
  }
}

static void dropout_forward_chunk(void *arg, int64_t begin, int64_t end) {
  kk_call *c = arg;
  dropout_span(c, kk_in(c, 0), kk_out(c, 0), false, begin, end);
}

static void dropout_backward_chunk(void *arg, int64_t begin, int64_t end) {
  kk_call *c = arg;
  dropout_span(c, kk_dout(c, 0), c->din[0], true, begin, end);
}

static void dropout_forward(kk_call *c) { kk_pool_for(kk_rows(c), 8192, dropout_forward_chunk, c); }
static void dropout_backward(kk_call *c) { kk_pool_for(kk_rows(c), 8192, dropout_backward_chunk, c); }

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
