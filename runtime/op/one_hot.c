/* one_hot.c -- class numbers as rows with a single one. */
#include <math.h>
#include <string.h>

#include "op/index.h"

/* How many classes: the option, or as many as the largest index needs. */
static int64_t one_hot_classes(const kk_call *c) {
  int64_t most = (int64_t)c->opt[0];
  for (int64_t i = 0, n = kk_numel(&c->in[0]->shape); c->opt[0] == 0 && i < n; i++)
    if (kk_idx(c, 0)[i] + 1 > most) most = kk_idx(c, 0)[i] + 1;
  return most;
}

static kk_status one_hot_check(const kk_call *c, kk_err *e) {
  if (c->opt[0] != floor(c->opt[0])) return kk_fail(e, KK_EARG, "one_hot: option classes is %g, expected an integer", c->opt[0]);
  if (c->in[0]->shape.ndim == KK_MAXDIM) return kk_fail(e, KK_ESHAPE, "one_hot: at most %d dimensions", KK_MAXDIM - 1);
  return kk_index_check(c, 0, one_hot_classes(c), e);
}

static kk_status one_hot_shape(kk_call *c, kk_shape *out, kk_err *e) {
  (void)e;
  out[0] = c->in[0]->shape;
  out[0].n[out[0].ndim++] = one_hot_classes(c);
  return KK_OK;
}

static void one_hot_forward(kk_call *c) {
  int64_t n = kk_numel(&c->in[0]->shape), C = c->out[0]->shape.n[c->out[0]->shape.ndim - 1];
  memset(kk_out(c, 0), 0, (size_t)(n * C) * sizeof(kk_real));
  for (int64_t i = 0; i < n; i++) kk_out(c, 0)[i * C + kk_idx(c, 0)[i]] = 1;
}

static bool one_hot_sample(int variant, kk_sample *s) {
  s->index[0] = 4;
  s->opt[0] = variant ? 0 : 4;
  return variant < 2;
}

const kk_op kk_op_one_hot = {
  .name = "one_hot",
  .sig = "index:i[...] -> y[?]",
  .about = "y[...,C] = 1 at the class index[...], else 0; float32",
  .opts = {{"classes", 0, 0, 16777216, "C; 0: as many as the largest index needs", NULL}},
  .shape = one_hot_shape,
  .check = one_hot_check,
  .forward = one_hot_forward,
  .sample = one_hot_sample,
};
