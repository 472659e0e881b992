/* repeats.c -- see repeats.h. */
#include "eval/repeats.h"

#include <string.h>

#include "base/mem.h"

typedef struct many { const kk_repeats *q; kk_ranked *ranked; } many;

/* [models, KK_BIN_N] means over repeats, then the same less the reference's. */
static void repeats_stat(const void *arg, const int32_t *w, void *scratch, double *out) {
  const many *m = arg;
  const kk_repeats *q = m->q;
  double one[KK_BIN_N];
  (void)scratch;
  for (int k = 0; k < q->models; k++) {
    double *mine = out + k * KK_BIN_N;
    memset(mine, 0, KK_BIN_N * sizeof *mine);
    for (int r = 0; r < q->repeats; r++) {
      kk_binary_metrics(&m->ranked[k * q->repeats + r], w, one, NULL);
      for (int i = 0; i < KK_BIN_N; i++) mine[i] += one[i] / q->repeats;
    }
  }
  for (int k = 0; k < q->models; k++)
    for (int i = 0; i < KK_BIN_N; i++)
      out[(q->models + k) * KK_BIN_N + i] = out[k * KK_BIN_N + i] - out[q->reference * KK_BIN_N + i];
}

kk_status kk_repeats_score(const kk_repeats *q, const kk_plan *p, kk_interval *out, kk_interval *diff, kk_err *e) {
  const int all = q->models * q->repeats, nstat = 2 * q->models * KK_BIN_N;
  const size_t bytes = (size_t)all * sizeof(kk_ranked) + (size_t)nstat * sizeof(kk_interval);
  char *block = kk_calloc(bytes);
  if (!block) return kk_fail(e, KK_ENOMEM, "repeats: out of memory (%zu bytes)", bytes);
  kk_interval *got = (kk_interval *)block;
  many m = {q, (kk_ranked *)(block + (size_t)nstat * sizeof(kk_interval))};
  kk_status st = KK_OK;
  int made = 0;
  for (; made < all && !st; made++) {
    const int64_t at = made * q->n;
    st = kk_ranked_new(&m.ranked[made], q->prob + at, q->label, q->n, .5, q->eps, e);
    if (st) break;
    for (int64_t i = 0; i < q->n; i++) m.ranked[made].pred[i] = q->pred[at + m.ranked[made].row[i]];
  }
  if (!st) st = kk_bootstrap(p, repeats_stat, &m, nstat, 0, got, e);
  if (!st) {
    memcpy(out, got, (size_t)(nstat / 2) * sizeof *out);
    memcpy(diff, got + nstat / 2, (size_t)(nstat / 2) * sizeof *diff);
  }
  for (int k = 0; k < made; k++) kk_ranked_free(&m.ranked[k]);
  kk_free(block, bytes);
  return st;
}
