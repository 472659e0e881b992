#include "eval/bootstrap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/slots.h"
#include "base/stop.h"
#include "eval/special.h"
#include "tensor/random.h"

typedef struct boot {
  const kk_plan *p;
  kk_stat_fn fn;
  const void *arg;
  int nstat;
  int64_t *start, *member;   /* rows of stratum s: member[start[s] .. start[s+1]) */
  double *values;            /* [nstat, columns] */
  int64_t columns;
  int leave_out;             /* jackknife: column j leaves out row or group j */
  size_t weights;            /* bytes of counts in front of fn's scratch */
  kk_slots slots;
} boot;

/* Adds 1 to count[lo + index] for `draws` indices below `draws`, from words word.. of stream r. */
static uint32_t boot_draw(uint64_t key, uint64_t r, uint32_t word, int64_t draws, const int64_t *member,
                          int32_t *count) {
  uint32_t w[4];
  for (int64_t i = 0; i < draws; i++, word++) {
    if (i == 0 || !(word & 3)) kk_philox(key, (r << 32) | (word >> 2), w);
    int64_t k = (int64_t)(((uint64_t)w[word & 3] * (uint64_t)draws) >> 32);
    count[member ? member[k] : k]++;
  }
  return word;
}

static void boot_weights(const boot *b, int64_t column, int32_t *w, int32_t *group_count) {
  const kk_plan *p = b->p;
  if (b->leave_out) {
    for (int64_t i = 0; i < p->n; i++) w[i] = (p->group ? p->group[i] : i) != column;
    return;
  }
  if (p->group) {
    memset(group_count, 0, (size_t)p->ngroup * sizeof *group_count);
    boot_draw(p->seed, (uint64_t)column, 0, p->ngroup, NULL, group_count);
    for (int64_t i = 0; i < p->n; i++) w[i] = group_count[p->group[i]];
    return;
  }
  memset(w, 0, (size_t)p->n * sizeof *w);
  if (!p->stratum) {
    boot_draw(p->seed, (uint64_t)column, 0, p->n, NULL, w);
    return;
  }
  uint32_t word = 0;
  for (int64_t s = 0; s < p->nstratum; s++)
    word = boot_draw(p->seed, (uint64_t)column, word, b->start[s + 1] - b->start[s], b->member + b->start[s], w);
}

static void boot_chunk(void *arg, int64_t begin, int64_t end) {
  boot *b = arg;
  if (kk_stop_requested()) return;
  char *mem = kk_slots_take(&b->slots);
  int32_t *w = (int32_t *)mem, *groups = w + b->p->n;
  double *out = (double *)(mem + b->weights);
  void *scratch = out + b->nstat;
  for (int64_t c = begin; c < end; c++) {
    boot_weights(b, c, w, groups);
    b->fn(b->arg, w, scratch, out);
    for (int s = 0; s < b->nstat; s++) b->values[s * b->columns + c] = out[s];
  }
  kk_slots_give(&b->slots, mem);
}

static int boot_compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

/* Quantile of sorted values by linear interpolation between the two neighbours. */
static double boot_quantile(const double *v, int64_t n, double q) {
  double at = q * (double)(n - 1);
  int64_t i = (int64_t)floor(at);
  if (i < 0) return v[0];
  if (i >= n - 1) return v[n - 1];
  return v[i] + (at - (double)i) * (v[i + 1] - v[i]);
}

/* Moves the defined values to the front, in order; returns how many. */
static int64_t boot_defined(double *v, int64_t n) {
  int64_t m = 0;
  for (int64_t i = 0; i < n; i++)
    if (isfinite(v[i])) v[m++] = v[i];
  return m;
}

/* The two quantiles to read. BCa: Efron and Tibshirani 1993, eq. 14.9 and 14.15; jack: leave-one-out values. */
static void boot_levels(const kk_plan *p, const double *v, int64_t n, double value, double *jack, int64_t njack,
                        double q[2]) {
  double tail = (1 - p->level) / 2, below = 0, mean = 0, square = 0, cube = 0;
  q[0] = tail;
  q[1] = 1 - tail;
  if (!jack) return;
  for (int64_t i = 0; i < n; i++) below += v[i] < value ? 1 : v[i] == value ? 0.5 : 0;
  below /= (double)n;
  njack = boot_defined(jack, njack);
  for (int64_t i = 0; i < njack; i++) mean += jack[i] / (double)njack;
  for (int64_t i = 0; i < njack; i++) {
    double d = mean - jack[i];
    square += d * d;
    cube += d * d * d;
  }
  if (!(below > 0 && below < 1) || !(square > 0)) return;    /* nothing to correct by */
  double z0 = kk_normal_quantile(below), a = cube / (6 * pow(square, 1.5));
  for (int i = 0; i < 2; i++) {
    double z = z0 + kk_normal_quantile(q[i]);
    q[i] = kk_normal_cdf(z0 + z / (1 - a * z));
  }
}

static void boot_summary(const kk_plan *p, double *v, double *jack, int64_t njack, kk_interval *o) {
  int64_t n = boot_defined(v, p->resamples);
  double mean = 0, square = 0, q[2];
  int64_t low = 0, high = 0;
  o->defined = n;
  if (2 * n < p->resamples || n < 2 || isnan(o->value)) return;
  for (int64_t i = 0; i < n; i++) mean += v[i] / (double)n;
  for (int64_t i = 0; i < n; i++) {
    square += (v[i] - mean) * (v[i] - mean);
    low += v[i] <= 0;
    high += v[i] >= 0;
  }
  o->se = sqrt(square / (double)(n - 1));
  double least = 2 * (double)((low < high ? low : high) + 1) / (double)(n + 1);
  o->p = least < 1 ? least : 1;
  boot_levels(p, v, n, o->value, jack, njack, q);
  qsort(v, (size_t)n, sizeof *v, boot_compare);
  o->low = boot_quantile(v, n, q[0]);
  o->high = boot_quantile(v, n, q[1]);
}

static kk_status boot_check(const kk_plan *p, kk_err *e) {
  if (p->n < 1 || p->n > INT32_MAX) return kk_fail(e, KK_EARG, "bootstrap: %lld rows", (long long)p->n);
  if (p->resamples < 0 || p->resamples > 1000000)
    return kk_fail(e, KK_EARG, "bootstrap: %d resamples, expected 0 to 1000000", p->resamples);
  if (!(p->level > 0 && p->level < 1))
    return kk_fail(e, KK_EARG, "bootstrap: level is %g, expected between 0 and 1 (.95 is usual)", p->level);
  if (p->group && p->stratum) return kk_fail(e, KK_EARG, "bootstrap: groups and strata cannot be used together");
  for (int64_t i = 0; p->group && i < p->n; i++)
    if (p->group[i] < 0 || p->group[i] >= p->ngroup)
      return kk_fail(e, KK_EARG, "bootstrap: group of row %lld is out of range", (long long)i + 1);
  for (int64_t i = 0; p->stratum && i < p->n; i++)
    if (p->stratum[i] < 0 || p->stratum[i] >= p->nstratum)
      return kk_fail(e, KK_EARG, "bootstrap: stratum of row %lld is out of range", (long long)i + 1);
  return KK_OK;
}

/* Rows listed stratum by stratum. */
static void boot_strata(boot *b) {
  const kk_plan *p = b->p;
  for (int64_t s = 0; s <= p->nstratum; s++) b->start[s] = 0;
  for (int64_t i = 0; i < p->n; i++) b->start[p->stratum[i] + 1]++;
  for (int64_t s = 0; s < p->nstratum; s++) b->start[s + 1] += b->start[s];
  for (int64_t i = p->n; i-- > 0;) b->member[--b->start[p->stratum[i] + 1]] = i;
  /* each start[s+1] was moved down to the start of stratum s */
  for (int64_t s = 0; s < p->nstratum; s++) b->start[s] = b->start[s + 1];
  b->start[p->nstratum] = p->n;
}

/* Values of the statistic in every column of one kind: resamples or leave-one-out. */
static void boot_run(boot *b, double *values, int64_t columns, int leave_out) {
  b->values = values;
  b->columns = columns;
  b->leave_out = leave_out;
  /* A person's hundred rows are done before a second thread is awake; the bits are the same. */
  if (columns * b->p->n < 1 << 19) boot_chunk(b, 0, columns);
  else kk_pool_for(columns, 16, boot_chunk, b);
}

kk_status kk_bootstrap(const kk_plan *p, kk_stat_fn fn, const void *arg, int nstat, size_t scratch,
                       kk_interval *out, kk_err *e) {
  kk_status st = boot_check(p, e);
  if (st) return st;
  boot b = {.p = p, .fn = fn, .arg = arg, .nstat = nstat};
  size_t counts = ((size_t)p->n + (p->group ? (size_t)p->ngroup : 0)) * sizeof(int32_t);
  b.weights = (counts + 63) / 64 * 64;
  int64_t njack = !p->bca ? 0 : p->group ? p->ngroup : p->n;
  size_t nvalues = (size_t)nstat * (size_t)p->resamples * sizeof(double);
  size_t njackb = (size_t)nstat * (size_t)njack * sizeof(double);
  size_t nstrata = p->stratum ? (size_t)(p->nstratum + 1 + p->n) * sizeof(int64_t) : 0;
  size_t bytes = nvalues + njackb + nstrata;
  char *mem = kk_alloc(bytes);
  if (!mem) return kk_fail(e, KK_ENOMEM, "bootstrap: no memory for %d resamples of %d values", p->resamples, nstat);
  st = kk_slots_new(&b.slots, b.weights + (size_t)nstat * sizeof(double) + scratch, e, "bootstrap");
  if (st) {
    kk_free(mem, bytes);
    return st;
  }
  double *values = (double *)mem, *jack = (double *)(mem + nvalues);
  b.start = (int64_t *)(mem + nvalues + njackb);
  b.member = b.start + p->nstratum + 1;
  if (p->stratum) boot_strata(&b);
  double *first = (double *)(b.slots.mem + b.weights);
  fn(arg, NULL, first + nstat, first);
  for (int s = 0; s < nstat; s++)
    out[s] = (kk_interval){.value = first[s], .low = NAN, .high = NAN, .se = NAN, .p = NAN};
  boot_run(&b, values, p->resamples, 0);
  if (njack) boot_run(&b, jack, njack, 1);
  st = kk_stop_check(e, "bootstrap");
  for (int s = 0; !st && p->resamples && s < nstat; s++)
    boot_summary(p, values + (int64_t)s * p->resamples, njack ? jack + s * njack : NULL, njack, &out[s]);
  kk_slots_free(&b.slots);
  kk_free(mem, bytes);
  return st;
}
