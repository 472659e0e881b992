/* near.c -- the sieve.
**
** For z = x - c, c the mean of the data (in float32: it shortens what is multiplied, and distances stay), |zq - zd|^2 =
** nq + nd - 2 zq.zd. A product known up to an error that |zq|^2 and |zd|^2 bound, 2 |error| <= Eq + Ed, gives
**   low = (nq - Eq) + (nd - Ed) - 2 product  <=  squared distance  <=  low + 2 (Eq + Ed).
** In float32 E = e |z|^2, with e from the length of the sum (Higham, Accuracy and Stability of Numerical Algorithms, 2002,
** ch. 3). In bytes, or in words of 16 bits, z = h + t, h what they say: the product of h's is exact, and since by the
** inequality of the means 2 |h||t'| <= r |h|^2 + |t'|^2 / r for every r > 0,  E = r |h|^2 + (1 + 1/r) |t|^2 does. Points are
** taken in blocks of data by rows of queries; what is near stays near. Where the queries are the data, a product serves both
** of its points (near_mirror): the first columns are offered to all, which gives everyone a limit, the others above the
** diagonal only. */
#include "sample/near.h"

#include <float.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

#include "base/clones.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/stop.h"
#include "linalg/gemm.h"
#include "linalg/q16.h"
#include "linalg/q8.h"
#include "sample/near_keep.h"

enum { QUERIES = 8192, BLOCK = 4096, ROWS = 96, COLUMNS = 384, GROUP = 32, SMALL = 16, SAMPLE = 256, PREPARE = 64,
       TOO_MANY = 384 };

typedef enum near_sieve { FLOATS, BYTES, WORDS } near_sieve;

typedef struct near_job {
  kk_keeping keep;
  unsigned how;
  near_sieve sieve;                  /* in use */
  double e, ratio;                   /* of the bounds: see above; r */
  int threads;
  kk_real *centre;                   /* [D] */
  size_t width;                      /* bytes of a row of queries, as the sieve multiplies it */
  /* queries q0 .. q0+qn-1: nq - Eq, Eq, candidates, rows and their scale */
  int64_t q0, qn;
  kk_real *ql, *qe, *qs;
  char *qb;
  kk_keep *state;
  kk_candidate *candidates;
  /* the same points on both sides: data from `whole` on are offered above the diagonal, a stripe of queries has a lock */
  bool mirror;
  int64_t whole;
  pthread_mutex_t lock[(QUERIES + ROWS - 1) / ROWS];
  /* data b0 .. b0+bn-1: nd - Ed, Ed, -2 scale; packed; the columns of it that are in turn */
  int64_t b0, bn, from, to;
  kk_real *dl, *de, *ds;
  char *db;
  kk_packed packed;
  kk_q8 packed8;
  void *packed_at;
  /* a thread's: rows of z, products, hits, numbers to select from, the left side in low precision */
  size_t each;
  char *own;
  int64_t nz, nv, nleft, nhits, nselect;
} near_job;

static int64_t near_min(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t near_up8(int64_t n) { return (n + KK_Q8_PANEL - 1) / KK_Q8_PANEL * KK_Q8_PANEL; }

/* ---- preparing */
KK_CLONES static void near_less(const kk_real *x, const kk_real *centre, int64_t n, kk_real *to) {
  for (int64_t i = 0; i < n; i++) to[i] = x[i] - centre[i];
}

typedef struct near_mean { const kk_points *p; kk_real *to; } near_mean;

/* Columns begin .. end-1 over all points, in their order. */
static void near_mean_columns(void *arg, int64_t begin, int64_t end) {
  const near_mean *j = arg;
  double sum[PREPARE] = {0};
  for (int64_t i = 0; i < j->p->n; i++) {
    const kk_real *x = kk_point(j->p, i);
    for (int64_t c = begin; c < end; c++) sum[c - begin] += (double)x[c];
  }
  for (int64_t c = begin; c < end; c++) j->to[c] = (kk_real)(sum[c - begin] / (double)j->p->n);
}

static double near_norm(const kk_real *z, int64_t d) {
  double lane[8] = {0};
  int64_t i = 0;
  for (; i + 8 <= d; i += 8)
    for (int l = 0; l < 8; l++) lane[l] += (double)z[i + l] * (double)z[i + l];
  for (; i < d; i++) lane[0] += (double)z[i] * (double)z[i];
  return (lane[0] + lane[4]) + (lane[1] + lane[5]) + (lane[2] + lane[6]) + (lane[3] + lane[7]);
}

/* |h|^2 and |z - h|^2 of the words w with scale s. In lanes: one sum after the other takes 0.5 us a row of 400. */
KK_CLONES static void near_rest(const kk_real *z, const int16_t *w, double s, int64_t d, double *kept, double *lost) {
  enum { LANES = 8 };
  double k[LANES] = {0}, l[LANES] = {0};
  for (int64_t i = 0; i < d; i += LANES)
    for (int64_t c = 0; c < LANES && i + c < d; c++) {
      const double h = s * (double)w[i + c], t = (double)z[i + c] - h;
      k[c] += h * h;
      l[c] += t * t;
    }
  *kept = *lost = 0;
  for (int c = 0; c < LANES; c++) {
    *kept += k[c];
    *lost += l[c];
  }
}

/* z as d bytes or as words, with their scale; then what that keeps and loses. Behind z is room for a row. */
static void near_quantize(const near_job *j, kk_real *z, char *to, kk_real *s, double *kept, double *lost) {
  const int64_t d = j->keep.data->d;
  int16_t *words = (int16_t *)(void *)(j->sieve == WORDS ? to : (char *)(z + d));
  if (j->sieve == WORDS) {
    kk_q16_row(z, d, words, s);
  } else {
    uint8_t *u = (uint8_t *)to;
    kk_q8_weights(z, d, u, s);
    for (int64_t i = 0; i < d; i++) words[i] = (int16_t)(u[i] - KK_Q8_ZERO);
  }
  near_rest(z, words, (double)*s, d, kept, lost);
}

/* Bounds of one point: sign |z|^2 - E, and E. Bytes or words and their scale are made too. */
static void near_bounds(const near_job *j, kk_real *z, char *to, kk_real *s, kk_real *low, kk_real *far) {
  const int64_t d = j->keep.data->d;
  const double n = near_norm(z, d);
  double e = j->e * n, kept, lost;
  if (j->sieve != FLOATS) {
    near_quantize(j, z, to, s, &kept, &lost);
    e += j->ratio * kept + (1 + 1 / j->ratio) * lost;
  }
  *low = (kk_real)(j->keep.sign * n - e);
  *far = (kk_real)e;
}

static kk_real *near_own(const near_job *j) { return (kk_real *)(void *)(j->own + (size_t)kk_pool_self() * j->each); }

static void near_queries(void *arg, int64_t begin, int64_t end) {
  const near_job *j = arg;
  const int64_t d = j->keep.data->d;
  kk_real *z = near_own(j);
  for (int64_t i = begin; i < end; i++) {
    char *to = j->qb + (size_t)i * j->width;
    near_less(kk_point(j->keep.query, j->q0 + i), j->centre, d, z);
    near_bounds(j, z, to, j->qs + i, j->ql + i, j->qe + i);
    if (j->sieve == BYTES) memset(to + d, KK_Q8_ZERO, j->width - (size_t)d);
  }
}

static void near_data(void *arg, int64_t begin, int64_t end) {
  const near_job *j = arg;
  const int64_t d = j->keep.data->d;
  const size_t width = j->sieve == BYTES ? (size_t)d : j->width;      /* kk_q8_pack takes rows that are not padded */
  kk_real *z = near_own(j), s = 0;
  for (int64_t i = begin; i < end; i++) {
    near_less(kk_point(j->keep.data, j->b0 + i), j->centre, d, z);
    near_bounds(j, z, j->db + (size_t)i * width, &s, j->dl + i, j->de + i);
    j->ds[i] = (kk_real)(-2 * j->keep.sign) * s;
  }
}

/* Row `row` of the block for kk_pack_rows. */
static void near_row(void *arg, int64_t row, int64_t at, int64_t n, kk_real *to) {
  const near_job *j = arg;
  near_less(kk_point(j->keep.data, j->b0 + row) + at, j->centre + at, n, to);
}

static void near_take_block(near_job *j, int64_t b0) {
  const int64_t d = j->keep.data->d;
  j->b0 = b0;
  j->bn = near_min(BLOCK, j->keep.data->n - b0);
  kk_pool_for(j->bn, PREPARE, near_data, j);
  for (int64_t i = j->bn; i < near_up8(j->bn); i++) j->ds[i] = 0;
  if (j->sieve == BYTES) j->packed8 = kk_q8_pack(d, j->bn, 1, (const uint8_t *)j->db, j->packed_at);
  else if (j->sieve == WORDS) kk_q16_pack(d, j->bn, (const int16_t *)(const void *)j->db, j->packed_at);
  else j->packed = kk_pack_rows(true, d, j->bn, near_row, j, j->packed_at);
}

/* ---- sieving */
/* Columns whose value may be below t: positions to hits, answers how many. Hits are few: a word of flags says where to look. */
KK_CLONES static int64_t near_hits(const kk_real *v, const kk_real *low, int64_t n, kk_real t, int32_t *hits) {
  int64_t count = 0, i = 0;
  for (; i + GROUP <= n; i += GROUP) {
    uint8_t flag[GROUP];
    uint64_t word[GROUP / 8];
    for (int64_t l = 0; l < GROUP; l++) flag[l] = v[i + l] + low[i + l] <= t;
    memcpy(word, flag, sizeof word);
    for (int w = 0; w < GROUP / 8; w++)
      for (int l = 0; word[w] && l < 8; l++)
        if (flag[8 * w + l]) hits[count++] = (int32_t)(i + 8 * w + l);
  }
  for (; i < n; i++)
    if (v[i] + low[i] <= t) hits[count++] = (int32_t)i;
  return count;
}

/* least[g]: the smallest upper bound, less what the query adds to it, in group g of SMALL columns. */
KK_CLONES static void near_least(const kk_real *v, const kk_real *low, const kk_real *e, int64_t groups, kk_real *least) {
  for (int64_t g = 0; g < groups; g++) {
    kk_real m = (kk_real)INFINITY;
    for (int64_t l = 0; l < SMALL; l++) {
      const kk_real up = v[g * SMALL + l] + low[g * SMALL + l] + 2 * e[g * SMALL + l];
      m = up < m ? up : m;
    }
    least[g] = m;
  }
}

/* A first limit: the k-th smallest of the groups' smallest bounds, k groups having one each; one more where the point itself
** may be among them. */
static void near_first_limit(const near_job *j, int64_t i, const kk_real *v, int64_t from, int64_t n, kk_keep *s) {
  kk_real least[COLUMNS / SMALL];
  const int64_t groups = n / SMALL, k = j->keep.k + (j->how & KK_NEAR_OTHERS ? 1 : 0);
  if (k > groups) return;
  near_least(v, j->dl + from, j->de + from, groups, least);
  for (int64_t a = 0; a < k; a++)                     /* the k smallest to the front */
    for (int64_t b = a + 1; b < groups; b++)
      if (least[b] < least[a]) {
        const kk_real t = least[a];
        least[a] = least[b];
        least[b] = t;
      }
  s->limit = j->ql[i] + least[k - 1] + 2 * j->qe[i];
  s->limit += (kk_real)fabs((double)s->limit) * 8 * (kk_real)(sizeof(kk_real) == sizeof(float) ? (double)FLT_EPSILON : DBL_EPSILON);
}

/* Data point `at`, whose value to query i is least .. least + more. */
static void near_take(const near_job *j, int64_t i, int64_t at, kk_real least, kk_real more, kk_real *scratch) {
  kk_keep *s = j->state + i;
  kk_candidate *c = j->candidates + i * j->keep.room;
  if (least > s->limit) return;
  if (j->how & KK_NEAR_OTHERS && kk_point_row(j->keep.data, at) == kk_point_row(j->keep.query, j->q0 + i)) return;
  if (s->n == j->keep.room) kk_keep_settle(&j->keep, j->q0 + i, s, c, scratch);
  c[s->n++] = (kk_candidate){.low = least, .up = least + more, .at = (int32_t)at};
}

/* Values v [n] of query i (of the block of queries) for data from position `from` of the block on. */
static void near_offer(const near_job *j, int64_t i, const kk_real *v, int64_t from, int64_t n, int32_t *hits, kk_real *scratch) {
  const kk_real own = j->ql[i], *low = j->dl + from;
  const bool first = from == 0 && j->b0 == 0;
  if (first) near_first_limit(j, i, v, from, n, j->state + i);
  const int64_t count = near_hits(v, low, n, j->state[i].limit - own, hits);
  for (int64_t h = 0; h < count; h++) {
    const int64_t at = hits[h];
    near_take(j, i, j->b0 + from + at, own + (v[at] + low[at]), 2 * (j->qe[i] + j->de[from + at]), scratch);
  }
  if (first) kk_keep_settle(&j->keep, j->q0 + i, j->state + i, j->candidates + i * j->keep.room, scratch);
}

/* The same values for the other side: queries begin .. begin+m-1 as data, v [m] rows of `wide`, for points c0 .. c1-1 of one
** stripe as queries. A limit may have fallen since it was read: near_take looks again. */
static void near_mirror(const near_job *j, int64_t begin, int64_t m, const kk_real *v, int64_t wide, int64_t c0, int64_t c1,
                        int32_t *hits, kk_real *scratch) {
  kk_real above[ROWS];
  for (int64_t c = c0; c < c1; c++) above[c - c0] = j->ql[c] - j->state[c].limit;
  for (int64_t i = j->whole > begin ? j->whole - begin : 0; i < m; i++) {
    const kk_real own = j->ql[begin + i], *row = v + i * wide;
    const int64_t count = near_hits(row, above, c1 - c0, -own, hits);
    for (int64_t h = 0; h < count; h++) {
      const int64_t c = c0 + hits[h];
      near_take(j, c, begin + i, j->ql[c] + (row[hits[h]] + own), 2 * (j->qe[c] + j->qe[begin + i]), scratch);
    }
  }
}

/* Columns that one call of a kernel takes, and as many of those as are multiplied before somebody looks at them. */
static int64_t near_panel(const near_job *j) {
  return j->sieve == FLOATS ? kk_panel() : j->sieve == BYTES ? (int64_t)KK_Q8_PANEL : (int64_t)KK_Q16_PANEL;
}
static int64_t near_wide(const near_job *j) { return COLUMNS / near_panel(j) * near_panel(j); }

/* Rows of queries for kk_gemm_packed_serial: -2 z. */
static kk_left near_left(const near_job *j, int64_t begin, int64_t m, kk_real *z, kk_real *room) {
  const int64_t d = j->keep.data->d;
  const kk_real minus = (kk_real)(-2 * j->keep.sign);
  for (int64_t i = 0; i < m; i++) {
    near_less(kk_point(j->keep.query, j->q0 + begin + i), j->centre, d, z + i * d);
    for (int64_t c = 0; c < d; c++) z[i * d + c] *= minus;
  }
  return kk_left_of(m, d, z, d, room);
}

/* -2 products of m rows of queries, `left` or from `begin` on, with columns from .. to-1 of the block, into v. */
static void near_products(const near_job *j, const kk_left *left, int64_t begin, int64_t m, int64_t from, int64_t to, kk_real *v,
                          int64_t wide) {
  static const kk_real zero[KK_Q8_PANEL];
  const char *rows = j->qb + (size_t)begin * j->width;
  if (j->sieve == FLOATS) kk_gemm_packed_serial(left, 0, m, &j->packed, from, to, false, v, wide, NULL);
  for (int64_t p = from; j->sieve == BYTES && p < to; p += KK_Q8_PANEL)
    kk_q8_panel(&j->packed8, p / KK_Q8_PANEL, m, (const uint8_t *)rows, j->qs + begin, j->ds + p, zero, v + (p - from), wide);
  for (int64_t p = from; j->sieve == WORDS && p < to; p += KK_Q16_PANEL)
    kk_q16_panel(j->keep.data->d, j->packed_at, p, m, (const int16_t *)(const void *)rows, j->qs + begin, j->ds + p, v + (p - from), wide);
}

static void near_lock(const near_job *j, int64_t point, bool on) {
  pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)(j->lock + point / ROWS);
  if (j->mirror) (void)(on ? pthread_mutex_lock(lock) : pthread_mutex_unlock(lock));
}

/* Queries begin .. end-1 against the columns of the block that are in turn. */
static void near_rows(void *arg, int64_t begin, int64_t end) {
  const near_job *j = arg;
  const int64_t m = end - begin, wide = near_wide(j), panel = near_panel(j);
  const int64_t start = j->mirror && j->whole ? begin - j->b0 : 0;           /* left of it the others look */
  kk_real *z = near_own(j), *v = z + j->nz, *select = v + j->nv, *room = select + j->nselect;
  int32_t *hits = (int32_t *)(void *)(room + j->nleft);
  kk_left left = {0};
  if (start >= j->to) return;
  if (j->sieve == FLOATS) left = near_left(j, begin, m, z, room);
  for (int64_t from = start > j->from ? start / panel * panel : j->from; from < j->to; from += wide) {
    const int64_t to = near_min(from + wide, j->to), skip = start > from ? start - from : 0;
    near_products(j, &left, begin, m, from, to, v, wide);
    near_lock(j, begin, true);
    for (int64_t i = 0; i < m; i++) near_offer(j, begin + i, v + i * wide + skip, from + skip, to - from - skip, hits, select);
    near_lock(j, begin, false);
    for (int64_t c = j->b0 + from, next; j->mirror && j->whole && c < j->b0 + to; c = next) {
      next = near_min((c / ROWS + 1) * ROWS, j->b0 + to);
      if (c < end) continue;
      near_lock(j, c, true);
      near_mirror(j, begin, m, v + (c - j->b0 - from), wide, c, next, hits, select);
      near_lock(j, c, false);
    }
  }
}

/* All queries against the block. */
static void near_block(near_job *j) {
  j->from = 0;
  j->to = j->bn;
  if (j->mirror && !j->whole) {
    j->to = near_min(near_wide(j), j->bn);
    kk_pool_for(j->qn, ROWS, near_rows, j);
    j->whole = j->from = j->to;
    j->to = j->bn;
  }
  if (j->from < j->to) kk_pool_for(j->qn, ROWS, near_rows, j);
}

static void near_finish(void *arg, int64_t begin, int64_t end) {
  const near_job *j = arg;
  kk_real *scratch = near_own(j) + j->nz + j->nv;
  for (int64_t i = begin; i < end; i++)
    kk_keep_finish(&j->keep, j->q0 + i, j->state + i, j->candidates + i * j->keep.room, scratch);
}

/* ---- driving */
/* r from some of the data: the square root of what the sieve loses over what it keeps. */
static double near_ratio(const near_job *j) {
  const int64_t d = j->keep.data->d, n = j->keep.data->n, step = n > SAMPLE ? n / SAMPLE : 1;
  double kept = 0, lost = 0, k, l;
  kk_real *z = near_own(j), s;
  for (int64_t i = 0; i < n; i += step) {
    near_less(kk_point(j->keep.data, i), j->centre, d, z);
    near_quantize(j, z, j->db, &s, &k, &l);
    kept += k;
    lost += l;
  }
  return kept > 0 && lost > 0 ? sqrt(lost / kept) : 1e-3;
}

/* What the processor multiplies fastest: bytes where it takes four at a time, words in pairs where it has AVX2 without
** that. On a Zen 3 core products of words run at 125 GOP/s, of float32 at 91 GFLOP/s at best. */
static near_sieve near_fastest(void) {
#if defined(__x86_64__) && defined(__GNUC__)
  const kk_q8_kernel *used = kk_q8_kernel_used();
  if (sizeof(kk_real) != sizeof(float)) return FLOATS;
  if (used == &kk_q8_avx512vnni || used == &kk_q8_avxvnni) return BYTES;
  if (used == &kk_q8_avx2) return WORDS;
#endif
  return FLOATS;
}

/* Whether a sieve can be used at all; what it loses must be little for it to pay: points spread evenly enough. */
static bool near_pays(const near_job *j) {
  return j->keep.data->d >= 16 && j->keep.data->d <= KK_Q8_MOST && j->keep.k <= BLOCK / 16 && j->ratio < .02;
}

static size_t near_width(near_sieve sieve, int64_t d) {
  return sieve == WORDS ? (size_t)kk_q16_width(d) * sizeof(int16_t) : sieve == BYTES ? (size_t)kk_q8_width(d) : 0;
}

/* The sieve that was asked for, or what seems fastest until the data are known. */
static near_sieve near_asked(const near_job *j) {
  const bool fits = j->keep.data->d <= KK_Q8_MOST;
  if (j->how & KK_NEAR_FLOAT || !fits) return FLOATS;
  return j->how & KK_NEAR_BYTES ? BYTES : j->how & KK_NEAR_WORDS ? WORDS : near_fastest();
}

static void near_choose(near_job *j) {
  const double u = sizeof(kk_real) == sizeof(float) ? (double)FLT_EPSILON / 2 : DBL_EPSILON / 2;
  const kk_precision p = kk_gemm_precision_now();
  j->e = ((double)j->keep.data->d + 64) * u;
  if (p == KK_BF16) j->e += 2.01 / 256;
  if (p == KK_BF16X3) j->e += 4.0 / 65536;
  if (j->sieve == FLOATS) return;
  j->ratio = near_ratio(j);
  if (!(j->how & KK_NEAR_GIVEN) && !near_pays(j)) j->sieve = FLOATS;
}

/* Measurements that the last block took, a query: many say that its bounds are too wide for these points. */
static int64_t near_measured(const near_job *j) {
  int64_t sum = 0;
  for (int64_t i = 0; i < j->qn; i++) sum += j->state[i].measured;
  return sum;
}

static kk_status near_super(near_job *j, int64_t q0, int32_t *index, double *square, kk_err *e) {
  const int64_t k = j->keep.k;
  int64_t before = 0;
  j->q0 = q0;
  j->qn = near_min(QUERIES, j->keep.query->n - q0);
  for (int64_t i = 0; i < j->qn; i++) j->state[i] = (kk_keep){.limit = (kk_real)INFINITY};
  kk_pool_for(j->qn, PREPARE, near_queries, j);
  for (int64_t b = 0; b < j->keep.data->n; b += BLOCK) {
    if (kk_stop_check(e, "neighbours")) return e->code;
    near_take_block(j, b);
    near_block(j);
    const int64_t measured = near_measured(j);
    if (j->sieve != FLOATS && !(j->how & KK_NEAR_GIVEN) && measured - before > TOO_MANY * j->qn) {
      j->sieve = FLOATS;
      kk_pool_for(j->qn, PREPARE, near_queries, j);
    }
    before = measured;
  }
  kk_pool_for(j->qn, PREPARE, near_finish, j);
  for (int64_t i = 0; i < j->qn; i++)
    for (int64_t c = 0; c < k; c++) {
      const kk_candidate *best = j->candidates + i * j->keep.room + c;
      index[(q0 + i) * k + c] = best->at;
      if (square) square[(q0 + i) * k + c] = j->keep.sign * best->exact;
    }
  return KK_OK;
}

/* One block for everything, cut into pieces aligned to 64 bytes; at = NULL: only their size. */
static size_t near_lay(near_job *j, char *at) {
  const size_t d = (size_t)j->keep.data->d, q = (size_t)near_min(QUERIES, j->keep.query->n), real = sizeof(kk_real);
  const size_t b = (size_t)near_up8(near_min(BLOCK, j->keep.data->n)), room = (size_t)j->keep.room;
  size_t packs = (size_t)kk_packed_count((int64_t)d, (int64_t)b) * real;       /* the sieve may become FLOATS yet */
  if (j->sieve == BYTES && kk_q8_bytes((int64_t)d, (int64_t)b, 1) > packs) packs = kk_q8_bytes((int64_t)d, (int64_t)b, 1);
  if (j->sieve == WORDS && kk_q16_bytes((int64_t)d, (int64_t)b) > packs) packs = kk_q16_bytes((int64_t)d, (int64_t)b);
  j->width = near_width(j->sieve, (int64_t)d);
  size_t used = 0;
  j->nz = (int64_t)(ROWS * d);
  j->nv = ROWS * COLUMNS;
  j->nselect = (int64_t)room;
  j->nleft = kk_left_count(ROWS, (int64_t)d);
  j->each = (((size_t)(j->nz + j->nv + j->nselect + j->nleft) * real + (COLUMNS + GROUP) * sizeof(int32_t)) + 63) / 64 * 64;
#define LAY(field, bytes) (j->field = at ? (void *)(at + used) : NULL, used += ((size_t)(bytes) + 63) / 64 * 64)
  LAY(centre, d * real);
  LAY(ql, q * real);
  LAY(qe, q * real);
  LAY(qs, q * real);
  LAY(qb, q * j->width);
  LAY(state, q * sizeof *j->state);
  LAY(candidates, q * room * sizeof *j->candidates);
  LAY(dl, b * real);
  LAY(de, b * real);
  LAY(ds, b * real);
  LAY(db, b * j->width);
  LAY(packed_at, packs);
  LAY(own, (size_t)j->threads * j->each);
#undef LAY
  return used;
}

kk_status kk_near(const kk_points *query, const kk_points *data, int64_t k, unsigned how, int32_t *index, double *square,
                  kk_err *e) {
  const int64_t most = data->n - (how & KK_NEAR_OTHERS ? 1 : 0);
  kk_status st = KK_OK;
  if (query->d != data->d || data->d < 1)
    return kk_fail(e, KK_ESHAPE, "neighbours: %lld and %lld features, expected the same of 1 or more", (long long)query->d, (long long)data->d);
  if (k < 1 || k > most)
    return kk_fail(e, KK_EARG, "neighbours: k is %lld, expected 1..%lld of %lld points", (long long)k, (long long)most, (long long)data->n);
  if (data->n > INT32_MAX - BLOCK || k > INT32_MAX / 4) return kk_fail(e, KK_EARG, "neighbours: more than 2^31 points");
  if (query->n < 1) return KK_OK;
  if (kk_gemm_ready(e)) return e->code;
  near_job j = {.keep = {query, data, k, kk_keep_room(k), how & KK_NEAR_FAR ? -1 : 1}, .how = how};
  (void)kk_q8_kernel_used();
  (void)kk_q16_kernel_used();
  j.sieve = near_asked(&j);
  j.mirror = query->x == data->x && query->rows == data->rows && query->n == data->n && data->n <= QUERIES;
  j.threads = kk_pool_threads() > kk_pool_self() ? kk_pool_threads() : kk_pool_self() + 1;
  const size_t bytes = near_lay(&j, NULL);
  char *block = kk_alloc(bytes);
  if (!block) return kk_fail(e, KK_ENOMEM, "neighbours: no memory for %zu bytes", bytes);
  near_lay(&j, block);
  near_mean mean = {data, j.centre};
  kk_pool_for(data->d, PREPARE, near_mean_columns, &mean);
  near_choose(&j);
  for (int64_t i = 0; j.mirror && i * ROWS < data->n; i++) pthread_mutex_init(j.lock + i, NULL);
  for (int64_t q0 = 0; !st && q0 < query->n; q0 += QUERIES) st = near_super(&j, q0, index, square, e);
  for (int64_t i = 0; j.mirror && i * ROWS < data->n; i++) pthread_mutex_destroy(j.lock + i);
  kk_free(block, bytes);
  return st;
}

/* ---- points that cannot be measured */
enum { BAD_ROWS = 256 };
typedef struct near_bad { const kk_points *p; int64_t *first; } near_bad;

KK_CLONES static bool near_fine(const kk_real *x, int64_t n) {
  int bad = 0;
  for (int64_t i = 0; i < n; i++) bad |= !(x[i] <= (kk_real)KK_POINT_MOST && x[i] >= (kk_real)-KK_POINT_MOST);
  return !bad;
}

bool kk_point_fine(const kk_real *x, int64_t n) { return near_fine(x, n); }

static void near_bad_rows(void *arg, int64_t begin, int64_t end) {
  const near_bad *j = arg;
  j->first[begin / BAD_ROWS] = -1;
  for (int64_t i = begin; i < end; i++)
    if (!near_fine(kk_point(j->p, i), j->p->d)) {
      j->first[begin / BAD_ROWS] = i;
      return;
    }
}

bool kk_points_bad(const kk_points *p, int64_t *point, int64_t *column) {
  enum { PARTS = 64 };
  int64_t first[PARTS];
  for (int64_t at = 0; at < p->n; at += PARTS * BAD_ROWS) {
    const kk_points some = {p->rows ? p->x : p->x + at * p->d, p->d, near_min(PARTS * BAD_ROWS, p->n - at), p->rows ? p->rows + at : NULL};
    near_bad j = {&some, first};
    kk_pool_for(some.n, BAD_ROWS, near_bad_rows, &j);
    for (int64_t i = 0; i * BAD_ROWS < some.n; i++)
      if (first[i] >= 0) {
        *point = at + first[i];
        for (*column = 0; near_fine(kk_point(p, *point) + *column, 1); ++*column) {}
        return true;
      }
  }
  return false;
}
