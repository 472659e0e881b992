/* synth.c -- see synth.h. */
#include "sample/synth.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/bulk.h"
#include "base/clones.h"
#include "base/pool.h"
#include "tensor/random.h"

enum { GRAIN = 256, COLUMNS = 64, PIECE = 512, DRAWS = 4096 };

static kk_draw synth_one(uint64_t key, int64_t i, int64_t m, int64_t k) {
  uint32_t w[4];
  kk_philox(key, (uint64_t)i, w);
  const uint64_t pick = (uint64_t)(((unsigned __int128)(((uint64_t)w[0] << 32) | w[1]) * (uint64_t)(m * k)) >> 64);
  const uint64_t bits = ((uint64_t)w[2] << 21) | (w[3] >> 11);
  return (kk_draw){(int32_t)(pick / (uint64_t)k), (int32_t)(pick % (uint64_t)k), (double)bits * 0x1p-53};
}

typedef struct synth_draws { uint64_t key; int64_t m, k; kk_draw *to; } synth_draws;

static void synth_draw(void *arg, int64_t begin, int64_t end) {
  const synth_draws *j = arg;
  for (int64_t i = begin; i < end; i++) j->to[i] = synth_one(j->key, i, j->m, j->k);
}

void kk_synth_draw(uint64_t key, int64_t m, int64_t k, int64_t n, kk_draw *to) {
  synth_draws j = {key, m, k, to};
  kk_pool_for(n, DRAWS, synth_draw, &j);
}

/* Counts, then places: order[i] from at[pair], which then moves on. */
void kk_synth_order(const kk_draw *draw, int64_t k, int64_t n, int64_t pairs, int32_t *at, int32_t *order) {
  int32_t before = 0;
  memset(at, 0, (size_t)pairs * sizeof *at);
  for (int64_t i = 0; i < n; i++) at[draw[i].base * k + draw[i].neighbour]++;
  for (int64_t p = 0; p < pairs; p++) {
    const int32_t count = at[p];
    at[p] = before;
    before += count;
  }
  for (int64_t i = 0; i < n; i++) order[at[draw[i].base * k + draw[i].neighbour]++] = (int32_t)i;
}

void kk_synth_draw_times(uint64_t key, const int64_t *times, int64_t m, int64_t k, kk_draw *to) {
  int64_t at = 0;
  for (int64_t i = 0; i < m; i++)
    for (int64_t c = 0; c < times[i]; c++, at++) {
      to[at] = synth_one(key, at, 1, k);
      to[at].base = (int32_t)i;
    }
}

double kk_synth_half(uint64_t key, int64_t i) { return kk_random_uniform(key, (uint64_t)i) / 2; }

int64_t kk_synth_shares(const int32_t *foreign, int64_t m, int64_t n, int64_t *times) {
  int64_t all = 0, sum = 0;
  for (int64_t i = 0; i < m; i++) all += foreign[i];
  for (int64_t i = 0; i < m; i++) sum += times[i] = all ? llrint((double)foreign[i] / (double)all * (double)n) : 0;
  return sum;
}

typedef struct synth_job {
  const kk_real *x;
  const kk_points *p;
  int64_t d;
  const int64_t *a, *b;
  const int32_t *order;
  const double *gap, *scale;
  uint64_t key;
  kk_real *to;
  double *sd;
  atomic_bool bad;
} synth_job;

KK_CLONES static void synth_row(const kk_real *a, const kk_real *b, double gap, int64_t d, kk_real *to) {
  for (int64_t c = 0; c < d; c++) {
    const kk_real far = b[c] - a[c];
    to[c] = (kk_real)((double)a[c] + gap * (double)far);
  }
}

/* Are n rows of d better written past the caches? */
static bool synth_large(int64_t n, int64_t d) { return (size_t)n * (size_t)d >= KK_BULK_LEAST / sizeof(kk_real); }

static void synth_between(void *arg, int64_t begin, int64_t end) {
  const synth_job *j = arg;
  for (int64_t o = begin; o < end; o++) {
    const int64_t i = j->order ? j->order[o] : o;
    synth_row(j->x + j->a[i] * j->d, j->x + j->b[i] * j->d, j->gap[i], j->d, j->to + i * j->d);
  }
}

/* In another order than they lie, what says how to make a row is far from what says it of the last: asked for in time. */
static int64_t synth_next(const synth_job *j, int64_t o, int64_t end) {
  enum { AHEAD = 12 };
  if (!j->order) return o;
  const int64_t later = j->order[o + AHEAD < end ? o + AHEAD : o];
  __builtin_prefetch(j->a + later);
  __builtin_prefetch(j->b + later);
  __builtin_prefetch(j->gap + later);
  return j->order[o];
}

static void synth_between_large(void *arg, int64_t begin, int64_t end) {
  const synth_job *j = arg;
  const int64_t d = j->d;
  kk_real piece[PIECE];
  for (int64_t o = begin; o < end; o++) {
    const int64_t i = synth_next(j, o, end);
    for (int64_t c = 0, n; c < d; c += n) {
      n = d - c < PIECE ? d - c : PIECE;
      synth_row(j->x + j->a[i] * d + c, j->x + j->b[i] * d + c, j->gap[i], n, piece);
      kk_bulk_copy(j->to + i * d + c, piece, (size_t)n * sizeof *piece);
    }
  }
  kk_bulk_end();
}

void kk_synth_between(const kk_real *x, int64_t d, const int64_t *a, const int64_t *b, const double *gap, int64_t n,
                      const int32_t *order, kk_real *to) {
  synth_job j = {.x = x, .d = d, .a = a, .b = b, .gap = gap, .order = order, .to = to};
  kk_pool_for(n, GRAIN, synth_large(n, d) ? synth_between_large : synth_between, &j);
}

static void synth_look(synth_job *j, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; i++)
    if (!kk_point_fine(kk_point(j->p, i), j->d)) atomic_store_explicit(&j->bad, true, memory_order_relaxed);
}

static void synth_copy(void *arg, int64_t begin, int64_t end) {
  synth_job *j = arg;
  for (int64_t i = begin; i < end; i++) memcpy(j->to + i * j->d, kk_point(j->p, i), (size_t)j->d * sizeof *j->to);
  synth_look(j, begin, end);
}

static void synth_copy_large(void *arg, int64_t begin, int64_t end) {
  synth_job *j = arg;
  for (int64_t i = begin; i < end; i++) {
    synth_look(j, i, i + 1);                                      /* which brings it near */
    kk_bulk_copy(j->to + i * j->d, kk_point(j->p, i), (size_t)j->d * sizeof *j->to);
  }
  kk_bulk_end();
}

bool kk_synth_copy(const kk_points *p, kk_real *to) {
  synth_job j = {.p = p, .d = p->d, .to = to};
  kk_pool_for(p->n, GRAIN, synth_large(p->n, p->d) ? synth_copy_large : synth_copy, &j);
  return !j.bad;
}

static void synth_shake(void *arg, int64_t begin, int64_t end) {
  const synth_job *j = arg;
  for (int64_t i = begin; i < end; i++) {
    const kk_real *from = kk_point(j->p, i);
    for (int64_t c = 0; c < j->d; c++)
      j->to[i * j->d + c] = (kk_real)((double)from[c] + j->scale[c] * kk_random_normal(j->key, (uint64_t)(i * j->d + c)));
  }
}

void kk_synth_shake(const kk_points *p, const double *scale, uint64_t key, kk_real *to) {
  synth_job j = {.p = p, .d = p->d, .scale = scale, .key = key, .to = to};
  kk_pool_for(p->n, GRAIN, synth_shake, &j);
}

static void synth_deviation(void *arg, int64_t begin, int64_t end) {
  const synth_job *j = arg;
  double mean[COLUMNS] = {0}, sum[COLUMNS] = {0};
  for (int64_t i = 0; i < j->p->n; i++)
    for (int64_t c = begin; c < end; c++) mean[c - begin] += (double)kk_point(j->p, i)[c];
  for (int64_t c = begin; c < end; c++) mean[c - begin] /= (double)j->p->n;
  for (int64_t i = 0; i < j->p->n; i++)
    for (int64_t c = begin; c < end; c++) {
      const double t = (double)kk_point(j->p, i)[c] - mean[c - begin];
      sum[c - begin] += t * t;
    }
  for (int64_t c = begin; c < end; c++) j->sd[c] = sqrt(sum[c - begin] / (double)j->p->n);
}

void kk_synth_deviation(const kk_points *p, double *sd) {
  synth_job j = {.p = p, .sd = sd};
  kk_pool_for(p->d, COLUMNS, synth_deviation, &j);
}
