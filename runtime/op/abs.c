/* abs.c -- the absolute value. */
#include "op/each.h"

KK_ROW1(abs_f, kk_real, kk_real, x < 0 ? -x : x)
KK_ROW1(abs_i, int32_t, int32_t, x < 0 ? -x : x)
KK_ROW1(abs_l, int64_t, int64_t, x < 0 ? -x : x)
KK_ROW1(abs_u, uint8_t, uint8_t, x)
static kk_row1 *const abs_rows[KK_NDTYPE] = {abs_f, abs_i, abs_l, abs_u};
KK_GRAD1(abs_grad, x > 0 ? g : x < 0 ? -g : 0)

static void abs_forward(kk_call *c) { kk_each1(c, abs_rows[kk_type(c->in[0])], KK_GRAIN); }
static void abs_backward(kk_call *c) { kk_each1_grad(c, abs_grad); }

/* The least int32 and int64 have no absolute value. */
static kk_status abs_check(const kk_call *c, kk_err *e) {
  const kk_tensor *t = c->in[0];
  int64_t least = kk_type(t) == KK_I32 ? INT32_MIN : INT64_MIN;
  if (kk_type(t) != KK_I32 && kk_type(t) != KK_I64) return KK_OK;
  for (int64_t i = 0, n = kk_numel(&t->shape); i < n; i++)
    if (kk_get_int(t, t->offset + i) == least)
      return kk_fail(e, KK_EARG, "abs: the absolute value of %lld does not fit %s", (long long)least, kk_dtype_name(kk_type(t)));
  return KK_OK;
}

static bool abs_sample(int variant, kk_sample *s) {
  s->lo[0] = variant ? -1 : 0.1;
  s->hi[0] = variant ? -0.1 : 1;
  return variant < 2;
}

const kk_op kk_op_abs = {
  .name = "abs",
  .sig = "x:a[...] -> y:a[...]",
  .about = "y = |x|. Integers stay integers. The gradient at 0 is 0",
  .check = abs_check,
  .forward = abs_forward,
  .backward = abs_backward,
  .sample = abs_sample,
};
