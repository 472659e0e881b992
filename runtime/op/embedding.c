/* embedding.c -- rows of a table, with dropout of whole rows. */
#include <string.h>

#include "base/pool.h"
#include "op/op.h"

enum { ROW_DROP, PADDING };

static kk_real embedding_scale(const kk_call *c, int64_t id) {
  const double p = c->opt[ROW_DROP];
  if (id + 1 == (int64_t)c->opt[PADDING]) return 0;
  if (p <= 0) return 1;
  return kk_random_keep(c->key, (uint64_t)id, p) ? (kk_real)(1 / (1 - p)) : 0;
}

static void embedding_rows(void *arg, int64_t begin, int64_t end) {
  kk_call *c = arg;
  const int64_t D = KK_DIM(c, 'D');
  const int32_t *ids = kk_idx(c, 0);
  for (int64_t n = begin; n < end; n++) {
    const kk_real *w = kk_in(c, 1) + ids[n] * D, s = embedding_scale(c, ids[n]);
    kk_real *y = kk_out(c, 0) + n * D;
    for (int64_t d = 0; d < D; d++) y[d] = s * w[d];
  }
}

static void embedding_forward(kk_call *c) { kk_pool_for(kk_rows(c), 64, embedding_rows, c); }

/* Each chunk owns a range of columns and walks all ids in order: no two threads meet, one order of sums. */
static void embedding_columns(void *arg, int64_t begin, int64_t end) {
  kk_call *c = arg;
  const int64_t D = KK_DIM(c, 'D');
  const int32_t *ids = kk_idx(c, 0);
  for (int64_t n = 0, N = kk_rows(c); n < N; n++) {
    const kk_real *dy = kk_dout(c, 0) + n * D, s = embedding_scale(c, ids[n]);
    kk_real *dw = c->din[1] + ids[n] * D;
    for (int64_t d = begin; d < end; d++) dw[d] += s * dy[d];
  }
}

static void embedding_backward(kk_call *c) {
  const int64_t D = KK_DIM(c, 'D');
  kk_pool_for(D, D > 128 ? (D + 3) / 4 : D, embedding_columns, c);
}

static kk_status embedding_check(const kk_call *c, kk_err *e) {
  const int32_t *ids = kk_idx(c, 0);
  for (int64_t n = 0, N = kk_rows(c); n < N; n++)
    if (ids[n] < 0 || ids[n] >= KK_DIM(c, 'V'))
      return kk_fail(e, KK_EARG, "embedding: ids has %lld at position %lld, but w has rows 1..%lld",
                     (long long)ids[n] + 1, (long long)n + 1, (long long)KK_DIM(c, 'V'));
  return KK_OK;
}

static bool embedding_sample(int variant, kk_sample *s) {
  s->dim['V' - 'A'] = 5;
  s->index[0] = 5;
  s->opt[ROW_DROP] = variant == 1 ? 0.4 : 0;
  s->opt[PADDING] = variant == 1 ? 2 : 0;
  return variant < 2;
}

const kk_op kk_op_embedding = {
  .name = "embedding",
  .sig = "ids:i[...] w[V,D] -> y[...,D]",
  .about = "y = w[id]; row_drop leaves out whole rows of the table, the others times 1/(1-p) (Gal & Ghahramani 2016)",
  .opts = {{"row_drop", 0, 0, 0.99, "probability that a row is left out for this call", NULL},
           {"padding", 0, 0, 2147483647, "id whose row counts as zero and gets no gradient; 0: none", NULL}},
  .random = true,
  .check = embedding_check,
  .forward = embedding_forward,
  .backward = embedding_backward,
  .sample = embedding_sample,
};
