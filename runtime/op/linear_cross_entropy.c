/* linear_cross_entropy.c -- the last layer and its loss in one op: logits exist for one block of rows at a time.
**
** The gradients are made beside the loss, while the logits are there, and kept: backward scales them. A block has about
** a thousand rows; a task takes one stripe of its rows through one range of the vocabulary, a chunk of words after the
** other: logits, exp, sums, and the chunk's share of dx, all in cache. Then the rows are finished, and each chunk of
** words adds its share of dw. Everything is cut by shape alone, so the bits do not depend on the number of threads.
**
** exp is taken of x w' + b less the target's logit, known beforehand: then sum exp = exp(loss of the row), no maximum is
** needed, and the ranges of the vocabulary are independent. A row whose sum is beyond LIMIT has its stripe done once
** more with its maximum, which was found on the way. */
#include <math.h>
#include <string.h>

#include "base/clones.h"
#include "base/pool.h"
#include "linalg/gemm.h"
#include "op/ce_rows.h"

enum { X, W, B, TARGET, WEIGHT, SMOOTHING = 0 };
enum { BLOCK = 1024, STRIPE = 256, WORDS = 240, RANGES = 8, ROWS = 32, COLUMNS = 32 };
#define LIMIT 1e20

typedef struct lce {
  const kk_real *x, *w, *b, *weight;
  const int32_t *target;
  int64_t N, D, V;                      /* counted rows, width, words */
  bool want[3];                         /* gradients of x, w, b */
  kk_real *dx, *dw, *db;                /* NULL: not wanted     */
  kk_real *nll;                         /* outputs a row, NULL: not wanted */
  uint8_t *hit;
  double eps, norm, wsum;
  int64_t block, stripe, words, chunks, ranges;
  bool packed;                          /* w is; not worth it for one stripe */
  bool keep;                            /* the block's p, for the gradients of w and b */
  kk_packed wt, xs;
  kk_left left;
  /* of the block at hand */
  int64_t first, R, stripes;
  bool again;                           /* second round: stripes marked in redo only */
  /* scratch */
  int32_t *row;                         /* counted rows: their number in x */
  kk_real *p;                           /* exp(logit - shift): [chunks][block][words], or a place a task */
  kk_real *wt_room, *wd;                /* w packed: w' for the logits; a chunk of words each, for dx */
  kk_real *xb, *xb_room;                /* rows of x */
  kk_real *xs_room;                     /* inv x, packed for dw */
  kk_real *acc;                         /* [ranges][block][D]: p w of each range */
  kk_real *shift, *xy, *inv, *most;     /* a row each; most: [ranges][block] */
  double *sum;                          /* [ranges][block] */
  kk_ce_row *done;
  double *flat;                         /* sum_k w_k W_k [D], then sum_k w_k b_k; of the smoothed target */
  double *sx;                           /* sum of the counted rows of x */
  bool *redo;
} lce;

static int64_t lce_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t lce_even(int64_t n, int64_t pieces) { return (lce_up(n, pieces) + 7) & ~(int64_t)7; }

static void *lce_take(char **at, size_t n) {
  char *p = *at;
  *at = p + ((n + 63) & ~(size_t)63);
  return p;
}

/* The inputs of a call, sizes by their shapes, and places in the scratch that begins at base. Answers its end. */
static char *lce_open(lce *j, const kk_call *c, const bool want[3], char *base) {
  const int64_t rows = kk_rows(c);
  const size_t real = sizeof(kk_real);
  char *at = base;
  *j = (lce){.x = kk_in(c, X), .w = kk_in(c, W), .b = kk_in(c, B), .weight = kk_in(c, WEIGHT),
             .target = kk_idx(c, TARGET), .D = KK_DIM(c, 'D'), .V = KK_DIM(c, 'V'), .want = {want[0], want[1], want[2]}, .eps = c->opt[SMOOTHING]};
  j->block = lce_even(rows, rows > BLOCK ? lce_up(rows, BLOCK) : 1);
  j->stripe = lce_even(j->block, j->block > STRIPE ? lce_up(j->block, STRIPE) : 1);
  if (!j->block) j->block = j->stripe = 8;
  j->packed = rows > STRIPE;
  j->words = WORDS / kk_panel() * kk_panel();
  j->chunks = lce_up(j->V, j->words);
  j->ranges = j->chunks < 4 * RANGES ? lce_up(j->chunks, 4) : RANGES;
  j->keep = want[1] || want[2];
  const size_t R = (size_t)j->block, D = (size_t)j->D, K = (size_t)j->ranges;
  const size_t tasks = K * (size_t)lce_up(j->block, j->stripe);
  j->row = lce_take(&at, (size_t)rows * sizeof *j->row);
  j->p = lce_take(&at, (j->keep ? (size_t)j->chunks * R : tasks * (size_t)j->stripe) * (size_t)j->words * real);
  j->wt_room = lce_take(&at, j->packed ? (size_t)kk_packed_count(j->D, j->V) * real : 0);
  j->wd = lce_take(&at, j->packed && want[0] ? (size_t)(j->chunks * kk_packed_count(j->words, j->D)) * real : 0);
  j->xs_room = lce_take(&at, want[1] ? (size_t)kk_packed_count(j->block, j->D) * real : 0);
  j->xb = lce_take(&at, R * D * real);
  j->xb_room = lce_take(&at, j->packed ? (size_t)kk_left_count(j->block, j->D) * real : 0);
  j->acc = lce_take(&at, want[0] ? K * R * D * real : 0);
  j->shift = lce_take(&at, R * real);
  j->xy = lce_take(&at, R * real);
  j->inv = lce_take(&at, R * real);
  j->most = lce_take(&at, K * R * real);
  j->sum = lce_take(&at, K * R * sizeof(double));
  j->done = lce_take(&at, R * sizeof *j->done);
  j->flat = lce_take(&at, (D + 1) * sizeof(double));
  j->sx = lce_take(&at, D * sizeof(double));
  j->redo = lce_take(&at, R * sizeof(bool));
  return at;
}

static double lce_weight(const lce *j, int64_t k) { return j->weight ? (double)j->weight[k] : 1; }
static int32_t lce_target(const lce *j, int64_t n) { return j->target[j->row[j->first + n]]; }
static double lce_coef(const lce *j, int32_t y) { return (1 - j->eps) * lce_weight(j, y) / j->norm; }

KK_CLONES static kk_real lce_dot(const kk_real *a, const kk_real *b, int64_t n) {
  enum { LANES = 16 };
  kk_real s[LANES] = {0}, total = 0;
  int64_t k = 0;
  for (; k + LANES <= n; k += LANES)
    for (int i = 0; i < LANES; i++) s[i] += a[k + i] * b[k + i];
  for (; k < n; k++) total += a[k] * b[k];
  for (int i = 0; i < LANES; i++) total += s[i];
  return total;
}

/* The rows of the block side by side, and each one's target's logit. */
static void lce_prepare(void *arg, int64_t begin, int64_t end) {
  lce *j = arg;
  for (int64_t n = begin; n < end; n++) {
    int32_t y = lce_target(j, n);
    kk_real *x = j->xb + n * j->D;
    memcpy(x, j->x + (int64_t)j->row[j->first + n] * j->D, (size_t)j->D * sizeof *x);
    j->shift[n] = lce_dot(x, j->w + (int64_t)y * j->D, j->D) + (j->b ? j->b[y] : 0);
  }
}

/* exp, sum and maximum of a stripe's rows [n0,n1) in the chunk of nv words from v0. */
static void lce_exp(lce *j, kk_real *p, int64_t range, int64_t n0, int64_t n1, int64_t v0, int64_t nv) {
  const kk_real *b = j->b ? j->b + v0 : NULL;
  for (int64_t n = n0; n < n1; n++, p += j->words) {
    int64_t y = lce_target(j, n) - v0, at = range * j->block + n;
    if (y >= 0 && y < nv) j->xy[n] = b ? p[y] + b[y] : p[y];
    j->sum[at] += kk_ce_exp(p, b, nv, j->shift[n], &j->most[at]);
  }
}

/* The chunk's share of w as it was packed for dx: [words of it, D]. */
static kk_packed lce_chunk(const lce *j, int64_t c) {
  const int64_t v0 = c * j->words, nv = j->V - v0 < j->words ? j->V - v0 : j->words;
  return (kk_packed){j->wt.mode, nv, j->D, j->wd + c * kk_packed_count(j->words, j->D)};
}

/* Where the panels of w' begin that come after chunk c. */
static const void *lce_next(const lce *j, int64_t c) {
  return j->packed && c + 1 < j->chunks ? kk_packed_at(&j->wt, (c + 1) * j->words) : NULL;
}

/* Both products of chunk c for the m rows from n0 on: logits into p, and after their exp p w, added to acc. */
static void lce_times_wt(const lce *j, int64_t n0, int64_t m, int64_t c, kk_real *p) {
  const int64_t D = j->D, v0 = c * j->words, v1 = v0 + j->words < j->V ? v0 + j->words : j->V;
  const void *next = j->dx ? lce_chunk(j, c).data : lce_next(j, c);
  if (j->packed) kk_gemm_packed_serial(&j->left, n0, n0 + m, &j->wt, v0, v1, false, p, j->words, next);
  else kk_gemm_serial(false, true, m, v1 - v0, D, j->xb + n0 * D, D, j->w + v0 * D, D, false, p, j->words);
}

static void lce_times_w(const lce *j, int64_t m, const kk_real *p, int64_t c, bool add, kk_real *acc) {
  const int64_t D = j->D;
  const kk_packed w = lce_chunk(j, c);
  if (j->packed) kk_gemm_packed_once(false, m, p, j->words, &w, add, acc, D, lce_next(j, c));
  else kk_gemm_serial(false, false, m, D, w.k, p, j->words, j->w + c * j->words * D, D, add, acc, D);
}

static void lce_logits(void *arg, int64_t begin, int64_t end) {
  lce *j = arg;
  for (int64_t t = begin; t < end; t++) {
    int64_t range = t / j->stripes, stripe = t % j->stripes;
    int64_t n0 = stripe * j->stripe, n1 = n0 + j->stripe < j->R ? n0 + j->stripe : j->R;
    int64_t c0 = range * j->chunks / j->ranges, c1 = (range + 1) * j->chunks / j->ranges;
    if (j->again && !j->redo[stripe]) continue;
    for (int64_t n = n0; n < n1; n++) {
      j->sum[range * j->block + n] = 0;
      j->most[range * j->block + n] = (kk_real)-INFINITY;
    }
    for (int64_t c = c0; c < c1; c++) {
      int64_t v0 = c * j->words, nv = j->V - v0 < j->words ? j->V - v0 : j->words;
      kk_real *p = j->p + (j->keep ? c * j->block + n0 : t * j->stripe) * j->words;
      lce_times_wt(j, n0, n1 - n0, c, p);
      lce_exp(j, p, range, n0, n1, v0, nv);
      if (j->dx) lce_times_w(j, n1 - n0, p, c, c > c0, j->acc + (range * j->block + n0) * j->D);
    }
  }
}

static double lce_sum(const lce *j, int64_t n, kk_real *most) {
  double s = 0;
  *most = (kk_real)-INFINITY;
  for (int64_t k = 0; k < j->ranges; k++) {
    s += j->sum[k * j->block + n];
    if (j->most[k * j->block + n] > *most) *most = j->most[k * j->block + n];
  }
  return s;
}

/* Rows that overflowed are shifted by their maximum; answers whether there are any. */
static bool lce_overflowed(lce *j) {
  bool any = false;
  memset(j->redo, 0, (size_t)j->stripes * sizeof *j->redo);
  for (int64_t n = 0; n < j->R; n++) {
    kk_real most;
    if (lce_sum(j, n, &most) < LIMIT) continue;
    j->shift[n] = most;
    j->redo[n / j->stripe] = any = true;
  }
  return any;
}

/* dx_n = mass/sum (p w)_n - coef w_y - eps/V/norm sum_k w_k W_k, where mass = coef + eps/V wsum/norm */
static void lce_dx(lce *j, int64_t n) {
  const int64_t D = j->D, y = lce_target(j, n);
  const kk_real *acc = j->acc + n * D, *w = j->w + y * D, coef = (kk_real)lce_coef(j, (int32_t)y), inv = j->inv[n];
  const double flat = j->eps / (double)j->V / j->norm;
  kk_real *dx = j->dx + (int64_t)j->row[j->first + n] * D;
  memcpy(dx, acc, (size_t)D * sizeof *dx);
  for (int64_t k = 1; k < j->ranges; k++) {
    acc += j->block * D;
    for (int64_t d = 0; d < D; d++) dx[d] += acc[d];
  }
  for (int64_t d = 0; d < D; d++) dx[d] = inv * dx[d] - coef * w[d];
  for (int64_t d = 0; d < D && j->eps > 0; d++) dx[d] -= (kk_real)(flat * j->flat[d]);
}

/* Rows whose sums are complete: their loss, and what their gradients are scaled with. */
static void lce_finish(void *arg, int64_t begin, int64_t end) {
  lce *j = arg;
  const int64_t D = j->D;
  for (int64_t n = begin; n < end; n++) {
    const kk_real *x = j->xb + n * D;
    int32_t y = lce_target(j, n);
    kk_real most;
    double sum = lce_sum(j, n, &most), flat = 0;
    kk_ce_row *r = &j->done[n];
    r->lse = (double)j->shift[n] + log(sum);
    if (j->eps > 0) {
      flat = j->flat[D];
      for (int64_t d = 0; d < D; d++) flat += (double)x[d] * j->flat[d];
      flat = j->wsum * r->lse - flat;
    }
    kk_ce_hard(r, j->eps, j->V, j->xy[n], most, lce_weight(j, y), flat);
    j->inv[n] = (kk_real)((lce_coef(j, y) + j->eps / (double)j->V * j->wsum / j->norm) / sum);
    if (j->nll) j->nll[j->row[j->first + n]] = (kk_real)r->nll;
    if (j->hit) j->hit[j->row[j->first + n]] = (uint8_t)r->hit;
    if (j->dx) lce_dx(j, n);
  }
}

/* Rows of x as dw wants them. */
static void lce_scaled_row(void *arg, int64_t row, int64_t from, int64_t n, kk_real *to) {
  const lce *j = arg;
  const kk_real *x = j->xb + row * j->D + from, inv = j->inv[row];
  for (int64_t i = 0; i < n; i++) to[i] = inv * x[i];
}

/* w a chunk of words at a time, packed for dx. */
static void lce_pack(void *arg, int64_t begin, int64_t end) {
  const lce *j = arg;
  for (int64_t c = begin; c < end; c++) {
    const int64_t v0 = c * j->words, nv = j->V - v0 < j->words ? j->V - v0 : j->words;
    kk_pack(false, nv, j->D, j->w + v0 * j->D, j->D, j->wd + c * kk_packed_count(j->words, j->D));
  }
}

/* db_v += sum_n inv_n p_nv: floats over 64 rows, doubles between */
KK_CLONES static void lce_columns(const lce *j, const kk_real *p, int64_t v0, int64_t nv) {
  double total[WORDS] = {0};
  for (int64_t n = 0; n < j->R;) {
    kk_real s[WORDS] = {0};
    for (int64_t end = n + 64 < j->R ? n + 64 : j->R; n < end; n++)
      for (int64_t v = 0; v < nv; v++) s[v] += j->inv[n] * p[n * j->words + v];
    for (int64_t v = 0; v < nv; v++) total[v] += (double)s[v];
  }
  for (int64_t v = 0; v < nv; v++) j->db[v0 + v] = (kk_real)(total[v] + (j->first ? (double)j->db[v0 + v] : 0));
}

/* dw_v += sum_n p_nv inv_n x_n - sum over rows with target v of coef x_n; each chunk of words owns its rows of dw. */
static void lce_dw(void *arg, int64_t begin, int64_t end) {
  lce *j = arg;
  const int64_t D = j->D;
  for (int64_t c = begin; c < end; c++) {
    const int64_t v0 = c * j->words, nv = j->V - v0 < j->words ? j->V - v0 : j->words;
    const kk_real *p = j->p + c * j->block * j->words;
    if (j->db) lce_columns(j, p, v0, nv);
    if (j->dw) kk_gemm_packed_once(true, nv, p, j->words, &j->xs, j->first > 0, j->dw + v0 * D, D, NULL);
    for (int64_t n = 0; n < j->R; n++) {
      int32_t y = lce_target(j, n);
      if (y < v0 || y >= v0 + nv) continue;
      const kk_real coef = (kk_real)lce_coef(j, y), *x = j->xb + n * D;
      for (int64_t d = 0; d < D && j->dw; d++) j->dw[(int64_t)y * D + d] -= coef * x[d];
      if (j->db) j->db[y] -= coef;
    }
  }
}

static void lce_flat(void *arg, int64_t begin, int64_t end) {
  lce *j = arg;
  for (int64_t d = begin; d < end; d++) j->flat[d] = j->sx[d] = 0;
  for (int64_t k = 0; k < j->V; k++)
    for (int64_t d = begin; d < end; d++) j->flat[d] += lce_weight(j, k) * (double)j->w[k * j->D + d];
  for (int64_t n = 0; n < j->N; n++)
    for (int64_t d = begin; d < end; d++) j->sx[d] += (double)j->x[(int64_t)j->row[n] * j->D + d];
}

/* What smoothing takes from every word alike: dw_k -= eps/V w_k/norm sum_n x_n. */
static void lce_smooth_dw(void *arg, int64_t begin, int64_t end) {
  lce *j = arg;
  for (int64_t k = begin; k < end; k++) {
    double u = j->eps / (double)j->V * lce_weight(j, k) / j->norm;
    for (int64_t d = 0; d < j->D && j->dw; d++) j->dw[k * j->D + d] -= (kk_real)(u * j->sx[d]);
    if (j->db) j->db[k] -= (kk_real)(u * (double)j->N);
  }
}

static void lce_clear(kk_real *p, int64_t n) {
  if (p) memset(p, 0, (size_t)n * sizeof *p);
}

static void lce_run(lce *j, int64_t rows, kk_ce_sums *sums) {
  for (int64_t n = 0; n < rows; n++) {
    if (j->target[n] < 0) continue;
    j->row[j->N++] = (int32_t)n;
    j->norm += lce_weight(j, j->target[n]);
  }
  if (!(j->norm > 0)) j->norm = 1;
  for (int64_t k = 0; k < j->V && j->eps > 0; k++) j->wsum += lce_weight(j, k);
  if (j->eps > 0) {
    kk_pool_for(j->D, COLUMNS, lce_flat, j);
    j->flat[j->D] = 0;
    for (int64_t k = 0; k < j->V && j->b; k++) j->flat[j->D] += lce_weight(j, k) * (double)j->b[k];
  }
  if (j->N < rows) {
    lce_clear(j->dx, rows * j->D);
    lce_clear(j->nll, rows);
    if (j->hit) memset(j->hit, 0, (size_t)rows);
  }
  if (!j->N) {
    lce_clear(j->dw, j->V * j->D);
    lce_clear(j->db, j->V);
  }
  if (j->N && j->packed) j->wt = kk_pack(true, j->D, j->V, j->w, j->D, j->wt_room);
  if (j->N && j->packed && j->dx) kk_pool_for(j->chunks, 4, lce_pack, j);
  for (j->first = 0; j->first < j->N; j->first += j->block) {
    j->R = j->N - j->first < j->block ? j->N - j->first : j->block;
    j->stripes = lce_up(j->R, j->stripe);
    j->again = false;
    kk_pool_for(j->R, ROWS, lce_prepare, j);
    if (j->packed) j->left = kk_left_of(j->R, j->D, j->xb, j->D, j->xb_room);
    kk_pool_for(j->stripes * j->ranges, 1, lce_logits, j);
    if (lce_overflowed(j)) {
      j->again = true;
      kk_pool_for(j->stripes * j->ranges, 1, lce_logits, j);
    }
    kk_pool_for(j->R, ROWS, lce_finish, j);
    for (int64_t n = 0; n < j->R; n++) kk_ce_add(sums, &j->done[n]);
    if (j->dw) j->xs = kk_pack_rows(false, j->R, j->D, lce_scaled_row, j, j->xs_room);
    if (j->keep) kk_pool_for(j->chunks, 1, lce_dw, j);
  }
  if (j->eps > 0 && j->N && j->keep) kk_pool_for(j->V, WORDS, lce_smooth_dw, j);
}

static bool lce_kept(const kk_call *c, int i) { return c->nsave && kk_numel(&c->save[i]->shape) > 0; }

/* Wanted by backward though it was not when the op ran (t:param(true) in between): the op then runs again. */
static bool lce_late(const kk_call *c, int i) {
  return c->src[i] && kk_wants_grad(c->src[i]) && !lce_kept(c, i) && kk_numel(&c->in[i]->shape) > 0;
}

static size_t lce_scratch(const kk_call *c, bool backward) {
  lce j;
  bool want[3];
  size_t n = 0;
  for (int i = 0; i < 3; i++) {
    want[i] = backward ? lce_late(c, i) : lce_kept(c, i);
    if (backward && want[i]) n += ((size_t)kk_numel(&c->in[i]->shape) * sizeof(kk_real) + 63) & ~(size_t)63;
  }
  if (backward && !n) return 0;
  return n + (size_t)((uintptr_t)lce_open(&j, c, want, (char *)64) - 64);
}

static void linear_cross_entropy_forward(kk_call *c) {
  lce j;
  kk_ce_sums sums = {0};
  const bool want[3] = {lce_kept(c, X), lce_kept(c, W), lce_kept(c, B)};
  lce_open(&j, c, want, c->scratch);
  if (want[X]) j.dx = kk_saved(c, X);
  if (want[W]) j.dw = kk_saved(c, W);
  if (want[B]) j.db = kk_saved(c, B);
  j.nll = kk_out(c, 2);
  j.hit = kk_data(c->out[3]);
  lce_run(&j, kk_rows(c), &sums);
  kk_ce_answer(c, &sums);
}

typedef struct lce_scaled { kk_real *to; const kk_real *from; kk_real by; } lce_scaled;

static void lce_add(void *arg, int64_t begin, int64_t end) {
  const lce_scaled *s = arg;
  for (int64_t k = begin; k < end; k++) s->to[k] += s->by * s->from[k];
}

static void linear_cross_entropy_backward(kk_call *c) {
  lce j;
  kk_ce_sums sums = {0};
  const bool late[3] = {lce_late(c, X), lce_late(c, W), lce_late(c, B)};
  kk_real *from[3];
  char *at = c->scratch;
  for (int i = 0; i < 3; i++) {
    from[i] = lce_kept(c, i) ? kk_saved(c, i) : NULL;
    if (late[i]) from[i] = lce_take(&at, (size_t)kk_numel(&c->in[i]->shape) * sizeof(kk_real));
  }
  if (late[X] || late[W] || late[B]) {
    lce_open(&j, c, late, at);
    if (late[X]) j.dx = from[X];
    if (late[W]) j.dw = from[W];
    if (late[B]) j.db = from[B];
    lce_run(&j, kk_rows(c), &sums);
  }
  for (int i = 0; i < 3; i++) {
    lce_scaled s = {c->din[i], from[i], kk_dout(c, 0)[0]};
    if (s.to && s.from) kk_pool_for(kk_numel(&c->in[i]->shape), 1 << 16, lce_add, &s);
  }
}

static kk_status linear_cross_entropy_check(const kk_call *c, kk_err *e) {
  return kk_ce_targets("linear_cross_entropy", kk_idx(c, TARGET), kk_rows(c), KK_DIM(c, 'V'), e);
}

/* Gradients are kept for what wants them; they are allocated when the call is recorded. */
static kk_status linear_cross_entropy_shape(kk_call *c, kk_shape *out, kk_err *e) {
  (void)e;
  out[1] = (kk_shape){.ndim = 1, .n = {3}};
  for (int i = 0; i < 3; i++) {
    out[4 + i] = (kk_shape){.ndim = 1, .n = {0}};
    if (c->src[i] && kk_wants_grad(c->src[i])) out[4 + i] = c->in[i]->shape;
  }
  return KK_OK;
}

static bool linear_cross_entropy_sample(int variant, kk_sample *s) {
  s->dim['V' - 'A'] = 5;
  s->index[TARGET] = 5;
  s->lo[WEIGHT] = 0.5;
  s->absent[B] = variant == 1;
  s->absent[WEIGHT] = variant < 2;
  s->opt[SMOOTHING] = variant == 1 || variant == 3 ? 0.1 : 0;
  return variant < 4;
}

const kk_op kk_op_linear_cross_entropy = {
  .name = "linear_cross_entropy",
  .sig = "x[...,D] w[V,D] b[V]? target:i[...] weight[V]?! -> loss[] stats[?]! nll[...]! hit:b[...]!; dx[?] dw[?] db[?]",
  .about = "cross_entropy(linear(x, w, b), target, nil, weight) without the logits: they exist for about a thousand rows at a time, "
           "and the gradients are made beside the loss. Targets of 0 are ignored. stats: sum of the unsmoothed, unweighted -log p_y, "
           "rows counted, top-1 hits. nll, hit: the same a row, 0 where ignored",
  .opts = {{"smoothing", 0, 0, 0.999, "share of the target spread over all classes", NULL}},
  .blas = true,
  .shape = linear_cross_entropy_shape,
  .check = linear_cross_entropy_check,
  .scratch = lce_scratch,
  .forward = linear_cross_entropy_forward,
  .backward = linear_cross_entropy_backward,
  .sample = linear_cross_entropy_sample,
};
