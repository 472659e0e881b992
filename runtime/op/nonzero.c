/* nonzero.c -- where the elements are that are not zero. */
#include "op/op.h"

static bool nonzero_here(const kk_tensor *x, int64_t i) { return kk_get(x, x->offset + i) != 0; }

static kk_status nonzero_shape(kk_call *c, kk_shape *out, kk_err *e) {
  const kk_tensor *x = c->in[0];
  (void)e;
  out[0] = (kk_shape){2, {0, x->shape.ndim}};
  for (int64_t i = 0, n = kk_numel(&x->shape); i < n; i++) out[0].n[0] += nonzero_here(x, i);
  return KK_OK;
}

static void nonzero_forward(kk_call *c) {
  const kk_tensor *x = c->in[0];
  int32_t *at = kk_i32_data(c->out[0]);
  for (int64_t i = 0, n = kk_numel(&x->shape); i < n; i++) {
    if (!nonzero_here(x, i)) continue;
    int64_t rest = i;
    for (int d = x->shape.ndim - 1; d >= 0; d--) {
      at[d] = (int32_t)(rest % x->shape.n[d]);
      rest /= x->shape.n[d];
    }
    at += x->shape.ndim;
  }
}

const kk_op kk_op_nonzero = {
  .name = "nonzero",
  .sig = "x:a[...] -> at:i[?]",
  .about = "at[k,d] = the place in dimension d of the k-th element that is not 0, in row-major order",
  .shape = nonzero_shape,
  .forward = nonzero_forward,
};
