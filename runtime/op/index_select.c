/* index_select.c -- rows (or slices of another dimension) picked by their numbers. */
#include <string.h>

#include "op/index.h"

enum { COLUMNS = 256 };

static kk_status index_select_check(const kk_call *c, kk_err *e) {
  const kk_shape *x = &c->in[0]->shape;
  if (x->ndim == 0) return kk_fail(e, KK_ESHAPE, "index_select: x is a scalar");
  if (kk_axis_check(c, 0, 0, false, 0, e)) return e->code;
  return kk_index_check(c, 1, x->n[kk_index_dim(x, c->opt[0])], e);
}

static kk_status index_select_shape(kk_call *c, kk_shape *out, kk_err *e) {
  (void)e;
  out[0] = c->in[0]->shape;
  out[0].n[kk_index_dim(out, c->opt[0])] = KK_DIM(c, 'N');
  return KK_OK;
}

static void index_select_chunk(void *arg, int64_t begin, int64_t end) {
  kk_call *c = arg;
  kk_axis a = kk_reduce_axis(c);
  int64_t N = KK_DIM(c, 'N');
  size_t row = (size_t)a.inner * kk_dtype_size(kk_type(c->in[0]));
  for (int64_t r = begin; r < end; r++)
    memcpy((char *)kk_data(c->out[0]) + (size_t)r * row,
           (const char *)kk_data(c->in[0]) + (size_t)(r / N * a.n + kk_idx(c, 1)[r % N]) * row, row);
}

static void index_select_forward(kk_call *c) {
  kk_axis a = kk_reduce_axis(c);
  kk_pool_for(a.outer * KK_DIM(c, 'N'), 1 + 16384 / (a.inner + 8), index_select_chunk, c);
}

/* A chunk owns columns of dx, so rows that occur twice are added in one fixed order. */
static void index_select_columns(void *arg, int64_t begin, int64_t end) {
  kk_call *c = arg;
  kk_axis a = kk_reduce_axis(c);
  int64_t N = KK_DIM(c, 'N'), across = (a.inner + COLUMNS - 1) / COLUMNS;
  for (int64_t t = begin; t < end; t++) {
    int64_t o = t / across, q = t % across * COLUMNS, w = a.inner - q < COLUMNS ? a.inner - q : COLUMNS;
    for (int64_t k = 0; k < N; k++) {
      const kk_real *g = kk_dout(c, 0) + (o * N + k) * a.inner + q;
      kk_real *d = c->din[0] + (o * a.n + kk_idx(c, 1)[k]) * a.inner + q;
      for (int64_t i = 0; i < w; i++) d[i] += g[i];
    }
  }
}

static void index_select_backward(kk_call *c) {
  kk_axis a = kk_reduce_axis(c);
  kk_pool_for(a.outer * ((a.inner + COLUMNS - 1) / COLUMNS), 1 + 64 / (KK_DIM(c, 'N') + 1), index_select_columns, c);
}

static bool index_select_sample(int variant, kk_sample *s) {
  static const kk_shape x = {3, {3, 4, 2}};
  s->shape[0] = x;
  s->index[1] = 3;
  s->dim['N' - 'A'] = 5;
  s->opt[0] = variant ? 2 : 1;
  return variant < 2;
}

const kk_op kk_op_index_select = {
  .name = "index_select",
  .sig = "x:a[?] index:i[N] -> y:a[?]",
  .about = "y[n] = x[index[n]], or the like along another dimension; also written x[index]",
  .opts = {KK_OPT_DIM(1)},
  .shape = index_select_shape,
  .check = index_select_check,
  .forward = index_select_forward,
  .backward = index_select_backward,
  .sample = index_select_sample,
};
