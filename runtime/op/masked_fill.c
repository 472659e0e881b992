/* masked_fill.c -- one value where a mask says so. */
#include <math.h>

#include "op/each.h"

typedef struct fill_job { kk_call *c; kk_each p; } fill_job;

static kk_status masked_fill_check(const kk_call *c, kk_err *e) {
  static const double lo[] = {0, -2147483648.0, -9007199254740992.0, 0}, hi[] = {0, 2147483647.0, 9007199254740992.0, 255};
  kk_dtype d = kk_type(c->in[0]);
  double v = c->opt[0];
  if (d != KK_F32 && !(v == floor(v) && v >= lo[d] && v <= hi[d]))
    return kk_fail(e, KK_EARG, "masked_fill: option value is %g, expected an integer of type %s", v, kk_dtype_name(d));
  return KK_OK;
}

static void masked_fill_chunk(void *arg, int64_t begin, int64_t end) {
  const fill_job *j = arg;
  kk_call *c = j->c;
  kk_walk w = kk_walk_start(&j->p, begin, end);
  double v = c->opt[0];
  while (kk_walk_next(&w)) {
    const uint8_t *m = kk_mask(c, 1) + w.off[1];
    size_t size = kk_dtype_size(kk_type(c->out[0]));
    void *y = (char *)kk_data(c->out[0]) + w.at * (int64_t)size;
    kk_copy_run(y, 1, (const char *)kk_data(c->in[0]) + w.off[0] * (int64_t)size, w.step[0], w.n, size);
    for (int64_t i = 0; i < w.n; i++) {
      if (!m[i * w.step[1]]) continue;
      switch (kk_type(c->out[0])) {
        case KK_F32: ((kk_real *)y)[i] = (kk_real)v; break;
        case KK_I32: ((int32_t *)y)[i] = (int32_t)v; break;
        case KK_I64: ((int64_t *)y)[i] = (int64_t)v; break;
        default: ((uint8_t *)y)[i] = (uint8_t)v;
      }
    }
  }
}

static void masked_fill_forward(kk_call *c) {
  fill_job j = {c, kk_each_plan(c, 2)};
  kk_pool_for(j.p.numel, KK_GRAIN, masked_fill_chunk, &j);
}

static void masked_fill_chunk_grad(void *arg, int64_t begin, int64_t end) {
  const fill_job *j = arg;
  kk_walk w = kk_walk_start(&j->p, begin, end);
  while (kk_walk_next(&w)) {
    const uint8_t *m = kk_mask(j->c, 1) + w.off[1];
    for (int64_t i = 0; i < w.n; i++) j->c->din[0][w.at + i] += m[i * w.step[1]] ? 0 : kk_dout(j->c, 0)[w.at + i];
  }
}

static void masked_fill_backward(kk_call *c) {
  fill_job j = {c, kk_each_plan(c, 2)};
  kk_pool_for(j.p.numel, KK_GRAIN, masked_fill_chunk_grad, &j);
}

const kk_op kk_op_masked_fill = {
  .name = "masked_fill",
  .sig = "x:a[&] mask:b[&] -> y:a[&]",
  .about = "y = value where mask is not 0, else x",
  .opts = {{"value", 0, -INFINITY, INFINITY, "what the masked elements become", NULL}},
  .check = masked_fill_check,
  .forward = masked_fill_forward,
  .backward = masked_fill_backward,
};
