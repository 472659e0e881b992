/* ngram_linear.c -- a linear layer on the n-grams of each text, hashed into the rows of its table. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/pool.h"
#include "op/lens.h"
#include "op/op.h"
#include "tensor/rowset.h"

enum { LONGEST };
enum { GRAIN = 4 };

static int64_t ngram_most(const kk_call *c) { return (int64_t)c->opt[LONGEST] * KK_DIM(c, 'T'); }

/* Scratch: how many different rows each text has, then room for the rows of each, in ascending order. */
static int32_t *ngram_counts(const kk_call *c) { return c->scratch; }
static int32_t *ngram_slots(const kk_call *c, int64_t b) {
  return ngram_counts(c) + KK_DIM(c, 'B') + b * ngram_most(c);
}

static size_t ngram_scratch(const kk_call *c, bool backward) {
  (void)backward;
  return (size_t)(KK_DIM(c, 'B') * (1 + ngram_most(c))) * sizeof(int32_t);
}

/* One more id of a run: splitmix64's mixing (Steele et al. 2014). */
static uint64_t ngram_mix(uint64_t h, uint64_t id) {
  h = (h ^ id) + 0x9E3779B97F4A7C15u;
  h = (h ^ (h >> 30)) * 0xBF58476D1CE4E5B9u;
  h = (h ^ (h >> 27)) * 0x94D049BB133111EBu;
  return h ^ (h >> 31);
}

static int ngram_order(const void *a, const void *b) {
  const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
  return (x > y) - (x < y);
}

static void ngram_find(void *arg, int64_t begin, int64_t end) {
  kk_call *c = arg;
  const int64_t B = KK_DIM(c, 'B'), longest = (int64_t)c->opt[LONGEST];
  const uint64_t V = (uint64_t)KK_DIM(c, 'V');
  for (int64_t b = begin; b < end; b++) {
    const int32_t *ids = kk_idx(c, 0) + b;
    const int64_t T = c->in[1] ? kk_idx(c, 1)[b] : KK_DIM(c, 'T');
    int32_t *slot = ngram_slots(c, b), n = 0, m = 0;
    for (int64_t t = 0; t < T; t++) {
      uint64_t h = 0;
      for (int64_t k = 0; k < longest && t + k < T; k++) {
        h = ngram_mix(h, (uint64_t)ids[(t + k) * B]);
        slot[n++] = (int32_t)(((h >> 32) * V) >> 32);
      }
    }
    qsort(slot, (size_t)n, sizeof *slot, ngram_order);
    for (int32_t i = 0; i < n; i++)
      if (!m || slot[i] != slot[m - 1]) slot[m++] = slot[i];
    ngram_counts(c)[b] = m;
  }
}

/* What a row of the table counts in text b. */
static kk_real ngram_scale(const kk_call *c, int64_t b) { return (kk_real)(1 / sqrt((double)ngram_counts(c)[b])); }

static void ngram_sum(void *arg, int64_t begin, int64_t end) {
  kk_call *c = arg;
  const int64_t K = KK_DIM(c, 'K');
  for (int64_t b = begin; b < end; b++) {
    kk_real *y = kk_out(c, 0) + b * K;
    const kk_real s = ngram_scale(c, b);
    memset(y, 0, (size_t)K * sizeof *y);
    for (int32_t i = 0; i < ngram_counts(c)[b]; i++) {
      const kk_real *w = kk_in(c, 2) + ngram_slots(c, b)[i] * K;
      for (int64_t k = 0; k < K; k++) y[k] += s * w[k];
    }
  }
}

static void ngram_linear_forward(kk_call *c) {
  const int64_t B = KK_DIM(c, 'B');
  kk_pool_for(B, GRAIN, ngram_find, c);
  for (int64_t b = 0; b < B; b++) kk_rowset_read(c->in[2], ngram_slots(c, b), ngram_counts(c)[b]);
  kk_pool_for(B, GRAIN, ngram_sum, c);
}

/* Text by text: some hundred additions each, and texts share rows. */
static void ngram_linear_backward(kk_call *c) {
  const int64_t B = KK_DIM(c, 'B'), K = KK_DIM(c, 'K');
  kk_rowset *r = kk_rowset_of(c->src[2]);
  kk_pool_for(B, GRAIN, ngram_find, c);
  for (int64_t b = 0; b < B; b++) {
    const kk_real *dy = kk_dout(c, 0) + b * K, s = ngram_scale(c, b);
    for (int32_t i = 0; i < ngram_counts(c)[b]; i++) {
      const int32_t slot = ngram_slots(c, b)[i];
      kk_real *dw = c->din[2] + slot * K;
      for (int64_t k = 0; k < K; k++) dw[k] += s * dy[k];
      if (r) r->seen[slot] = 1;
    }
  }
}

static kk_status ngram_linear_check(const kk_call *c, kk_err *e) {
  if (KK_DIM(c, 'T') < 1 || KK_DIM(c, 'V') < 1)
    return kk_fail(e, KK_EARG, "ngram_linear: %s", KK_DIM(c, 'V') < 1 ? "the table has no rows" : "no steps");
  if (ngram_most(c) > INT32_MAX || KK_DIM(c, 'V') > INT32_MAX)
    return kk_fail(e, KK_EARG, "ngram_linear: %lld steps and %lld rows, expected at most %d of each",
                   (long long)KK_DIM(c, 'T'), (long long)KK_DIM(c, 'V'), INT32_MAX / (int)c->opt[LONGEST]);
  return kk_lens_check("ngram_linear", kk_idx(c, 1), KK_DIM(c, 'T'), KK_DIM(c, 'B'), e);
}

static bool ngram_linear_sample(int variant, kk_sample *s) {
  static const int32_t lens[3] = {5, 3, 1};
  s->dim['T' - 'A'] = 5;
  s->dim['B' - 'A'] = 3;
  s->dim['V' - 'A'] = 7;                /* fewer rows than n-grams: some meet in one */
  s->index[0] = 4;
  s->numbers[1] = lens;
  s->absent[1] = variant == 0;
  s->opt[LONGEST] = variant == 1 ? 3 : 2;
  return variant < 2;
}

const kk_op kk_op_ngram_linear = {
  .name = "ngram_linear",
  .sig = "ids:i[T,B] lens:n[B]? w[V,K] -> y[B,K]",
  .about = "y = sum of w[r] over the m different rows r that runs of 1..ngrams ids of a text hash to, / sqrt(m) "
           "(the hashing trick: Weinberger et al. 2009; as the wide part of a network: Cheng et al. 2016)",
  .opts = {{"ngrams", 3, 1, 8, "ids of the longest run", NULL}},
  .by_rows = 1u << 2,
  .check = ngram_linear_check,
  .scratch = ngram_scratch,
  .forward = ngram_linear_forward,
  .backward = ngram_linear_backward,
  .sample = ngram_linear_sample,
};
