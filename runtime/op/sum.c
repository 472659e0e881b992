/* sum.c -- the sum of elements. */
#include "op/axis.h"

/* Integers: exact in 64 bits; a sum that does not fit was refused. */
static void sum_line(kk_call *c, int64_t line, int64_t base, int64_t n, int64_t stride) {
  int64_t s = 0;
  for (int64_t i = 0; i < n; i++) s += kk_get_int(c->in[0], c->in[0]->offset + base + i * stride);
  ((int64_t *)kk_data(c->out[0]))[line] = s;
}

static kk_status sum_check(const kk_call *c, kk_err *e) {
  const kk_tensor *x = c->in[0];
  unsigned __int128 most = 0;
  if (kk_reduce_check(c, e)) return e->code;
  if (kk_type(x) != KK_I64) return KK_OK;
  for (int64_t i = 0, n = kk_numel(&x->shape); i < n; i++) {
    int64_t v = kk_get_int(x, x->offset + i);
    most += v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
  }
  if (most > INT64_MAX) return kk_fail(e, KK_EARG, "%s: the sum may not fit int64; convert with t:to(\"float32\")", c->op->name);
  return KK_OK;
}

static size_t sum_scratch(const kk_call *c, bool backward) { return backward ? 0 : kk_axis_sum_scratch(kk_reduce_axis(c)); }

static void sum_forward(kk_call *c) {
  if (kk_type(c->in[0]) == KK_F32) kk_axis_sum(kk_in(c, 0), kk_reduce_axis(c), 1, c->scratch, kk_out(c, 0));
  else kk_axis_each(c, kk_reduce_axis(c), sum_line);
}

static void sum_backward(kk_call *c) { kk_axis_spread(c->din[0], kk_dout(c, 0), kk_reduce_axis(c), 1); }

const kk_op kk_op_sum = {
  .name = "sum",
  .sig = "x:a[?] -> y:w[?]",
  .about = "y = the sum over a dimension or over all elements; in double, rounded once. Integers give int64",
  .opts = {KK_OPT_DIM0, KK_OPT_KEEP},
  .shape = kk_reduce_shape,
  .check = sum_check,
  .scratch = sum_scratch,
  .forward = sum_forward,
  .backward = sum_backward,
  .sample = kk_reduce_sample,
};
