/* embedding.c -- rows of a table, with dropout of whole rows. */
#include "base/clones.h"
#include "base/pool.h"
#include "op/op.h"
#include "tensor/rowset.h"

enum { ROW_DROP, PADDING };
enum { GRAIN = 64, SHARES = 16 };

KK_CLONES static void embedding_add(kk_real *restrict dw, const kk_real *restrict dy, kk_real s, int64_t n) {
  for (int64_t d = 0; d < n; d++) dw[d] += s * dy[d];
}

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

static void embedding_forward(kk_call *c) {
  kk_rowset_read(c->in[1], kk_idx(c, 0), kk_rows(c));
  kk_pool_for(kk_rows(c), GRAIN, embedding_rows, c);
}

/* The share of the table that a chunk owns: every SHARES-th row, because frequent pieces have low numbers. Each chunk
** walks all ids and adds those of its own rows, in order: no two threads meet, and one order of sums. */
static void embedding_shares(void *arg, int64_t begin, int64_t end) {
  kk_call *c = arg;
  const int64_t D = KK_DIM(c, 'D'), N = kk_rows(c);
  const int32_t *ids = kk_idx(c, 0);
  const kk_real *dy = kk_dout(c, 0);
  kk_rowset *r = kk_rowset_of(c->src[1]);
  for (int64_t share = begin; share < end; share++)
    for (int64_t n = 0; n < N; n++) {
      const int64_t id = ids[n];
      kk_real s;
      if ((id & (SHARES - 1)) != share || (s = embedding_scale(c, id)) == 0) continue;
      embedding_add(c->din[1] + id * D, dy + n * D, s, D);
      if (r && !r->seen[id]) r->seen[id] = 1;
    }
}

static void embedding_backward(kk_call *c) { kk_pool_for(SHARES, 1, embedding_shares, c); }

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
  .by_rows = 1u << 1,
  .check = embedding_check,
  .forward = embedding_forward,
  .backward = embedding_backward,
  .sample = embedding_sample,
};
