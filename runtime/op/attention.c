/* attention.c -- scaled dot-product attention without the [T,S] matrix of weights.
**
** Tiles of ROWS queries and KEYS keys; the softmax is kept up to date from tile to tile (Milakov & Gimelshein
** 2018), backward makes the tiles again from each row's saved log of its sum (Dao et al. 2022, FlashAttention,
** algorithms 1 and 4). What a chunk of the pool does follows from the shapes alone, and a chunk adds its tiles in
** order: the same bits for any number of threads. Beyond its results the op holds one number a row and two tiles a
** thread. */
#include <math.h>
#include <string.h>

#include "base/clones.h"
#include "base/pool.h"
#include "linalg/gemm.h"
#include "op/mask.h"
#include "op/op.h"
#include "op/vmath.h"

enum { Q, K, V, LENS, MASK, CAUSAL = 0, P = 1, SCALE = 2 };
enum { ROWS = 192, KEYS = 192, MANY = 16 };   /* MANY matrices: enough for backward to take each as one chunk */
enum { DQ = 1, DK = 2, DV = 4 };

typedef struct att {
  kk_call *c;
  int64_t H, T, S, D, E, strips;             /* strips of ROWS queries */
  kk_real scale;
  bool causal;
  int wants;                                 /* backward: DQ, DK, DV */
} att;

static att att_start(kk_call *c) {
  att a = {.c = c, .H = KK_DIM(c, 'H'), .T = KK_DIM(c, 'T'), .S = KK_DIM(c, 'S'), .D = KK_DIM(c, 'D'), .E = KK_DIM(c, 'E')};
  a.strips = (a.T + ROWS - 1) / ROWS;
  a.scale = (kk_real)(c->opt[SCALE] > 0 ? c->opt[SCALE] : 1 / sqrt((double)a.D));
  a.causal = c->opt[CAUSAL] != 0;
  return a;
}

static int64_t att_least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t att_matrices(const kk_call *c) { return KK_DIM(c, 'B') * KK_DIM(c, 'H'); }

/* How many keys matrix m has. */
static int64_t att_keys(const att *a, int64_t m) { return a->c->in[LENS] ? kk_idx(a->c, LENS)[m / a->H] : a->S; }

/* A tile: queries t .. t + rows, keys s .. s + keys of matrix m = (sequence, head). */
typedef struct att_tile { int64_t m, t, rows, s, keys; } att_tile;

/* How many of a tile's keys row r may see. */
static inline int64_t att_seen(const att *a, const att_tile *x, int64_t r) {
  const int64_t seen = x->t + r + 1 - x->s;
  return !a->causal || seen > x->keys ? x->keys : seen < 0 ? 0 : seen;
}

static inline const kk_real *att_mask(const att *a, const att_tile *x, int64_t r) {
  return a->c->in[MASK] ? kk_in(a->c, MASK) + (x->t + r) * a->S + x->s : NULL;
}

/* w = q k' */
static void att_products(const att *a, att_tile x, kk_real *w) {
  const kk_real *q = kk_in(a->c, Q) + (x.m * a->T + x.t) * a->D, *k = kk_in(a->c, K) + (x.m * a->S + x.s) * a->D;
  kk_gemm_serial(false, true, x.rows, x.keys, a->D, q, a->D, k, a->D, false, w, KEYS);
}

/* The dropout of row r of a tile: the same numbers in backward. */
static void att_drop(const att *a, att_tile x, int64_t r, kk_real *m) {
  kk_mask_fill(a->c->key, (uint64_t)(((x.m * a->T + x.t + r) * a->S) + x.s), x.keys, a->c->opt[P], m);
}

/* w = scale w + mask; answers the largest of it and most, nan skipped as in softmax. */
static inline kk_real att_most(kk_real *restrict w, const kk_real *restrict mask, int64_t n, kk_real scale,
                               kk_real most) {
  enum { LANES = 16 };
  kk_real m[LANES];
  int64_t i = 0;
  if (mask)
    for (int64_t k = 0; k < n; k++) w[k] = w[k] * scale + mask[k];
  else
    for (int64_t k = 0; k < n; k++) w[k] *= scale;
  for (int k = 0; k < LANES; k++) m[k] = most;
  for (; i + LANES <= n; i += LANES)
    for (int k = 0; k < LANES; k++) m[k] = w[i + k] > m[k] ? w[i + k] : m[k];
  for (; i < n; i++) m[0] = w[i] > m[0] ? w[i] : m[0];
  for (int half = LANES / 2; half > 0; half /= 2)
    for (int k = 0; k < half; k++) m[k] = m[k + half] > m[k] ? m[k + half] : m[k];
  return m[0];
}

/* w = e^(w - most); answers the sum, of KEYS numbers at most. */
static inline double att_exp(kk_real *w, int64_t n, kk_real most) {
  enum { LANES = 16 };
  kk_real s[LANES] = {0};
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES)
    for (int k = 0; k < LANES; k++) s[k] += w[i + k] = kk_exp(w[i + k] - most);
  for (; i < n; i++) s[0] += w[i] = kk_exp(w[i] - most);
  for (int half = LANES / 2; half > 0; half /= 2)
    for (int k = 0; k < half; k++) s[k] += s[k + half];
  return (double)s[0];
}

static inline void att_times(kk_real *restrict y, int64_t n, kk_real k) {
  for (int64_t i = 0; i < n; i++) y[i] *= k;
}

/* Products become e^(scale w + mask - most), with the largest and the sum of each row so far; what stands in y is
** brought to the new largest. A row that sees no key has sum 0. */
KK_CLONES static void att_softmax(const att *a, const att_tile *x, kk_real *w, kk_real *most, double *sum, kk_real *y) {
  for (int64_t r = 0; r < x->rows; r++) {
    kk_real *row = w + r * KEYS;
    const int64_t n = att_seen(a, x, r);
    const kk_real m = att_most(row, att_mask(a, x, r), n, a->scale, most[r]);
    const kk_real from = m == -(kk_real)INFINITY ? 0 : m, shrink = kk_exp(most[r] - from);
    sum[r] = sum[r] * (double)shrink + att_exp(row, n, from);
    for (int64_t i = n; i < x->keys; i++) row[i] = 0;
    if (x->s > 0 && shrink != 1) att_times(y + r * a->E, a->E, shrink);
    most[r] = m;
  }
}

static void att_forward_tile(const att *a, att_tile x, kk_real *most, double *sum, kk_real *y) {
  const kk_real *v = kk_in(a->c, V) + (x.m * a->S + x.s) * a->E;
  kk_real w[ROWS * KEYS], drop[KEYS];
  att_products(a, x, w);
  att_softmax(a, &x, w, most, sum, y);
  for (int64_t r = 0; a->c->opt[P] > 0 && r < x.rows; r++) {
    att_drop(a, x, r, drop);
    for (int64_t i = 0; i < x.keys; i++) w[r * KEYS + i] *= drop[i];
  }
  kk_gemm_serial(false, false, x.rows, a->E, x.keys, w, KEYS, v, a->E, x.s > 0, y, a->E);
}

static void att_forward_strips(void *arg, int64_t begin, int64_t end) {
  const att *a = arg;
  for (int64_t i = begin; i < end; i++) {
    att_tile x = {.m = i / a->strips, .t = i % a->strips * ROWS};
    kk_real most[ROWS], *y = kk_out(a->c, 0) + (x.m * a->T + x.t) * a->E;
    double sum[ROWS] = {0};
    int64_t keys = att_keys(a, x.m);
    x.rows = att_least(a->T - x.t, ROWS);
    if (a->causal) keys = att_least(keys, x.t + x.rows);
    for (int64_t r = 0; r < x.rows; r++) most[r] = -(kk_real)INFINITY;
    if (keys == 0) memset(y, 0, (size_t)(x.rows * a->E) * sizeof *y);
    for (x.s = 0; x.s < keys; x.s += KEYS) {
      x.keys = att_least(keys - x.s, KEYS);
      att_forward_tile(a, x, most, sum, y);
    }
    for (int64_t r = 0; r < x.rows; r++) {
      const bool none = most[r] == -(kk_real)INFINITY;
      if (!none) att_times(y + r * a->E, a->E, (kk_real)(1 / sum[r]));
      if (a->c->nsave) kk_saved(a->c, 0)[x.m * a->T + x.t + r] = none ? 0 : (kk_real)((double)most[r] + log(sum[r]));
    }
  }
}

static void attention_forward(kk_call *c) {
  att a = att_start(c);
  kk_pool_for(att_matrices(c) * a.strips, 1, att_forward_strips, &a);
}

/* scratch: dy . y of each row = sum over keys of p dp */
static void att_backward_dots(void *arg, int64_t begin, int64_t end) {
  const att *a = arg;
  for (int64_t i = begin; i < end; i++) {
    const kk_real *dy = kk_dout(a->c, 0) + i * a->E, *y = kk_out(a->c, 0) + i * a->E;
    double s = 0;
    for (int64_t e = 0; e < a->E; e++) s += (double)dy[e] * (double)y[e];
    ((kk_real *)a->c->scratch)[i] = (kk_real)s;
  }
}

/* A row of n keys: p = e^(scale w + mask - lse); d = scale p (drop d - dot), w = drop p. */
static inline void att_slopes(kk_real *restrict w, kk_real *restrict d, const kk_real *restrict drop,
                              const kk_real *restrict mask, int64_t n, kk_real lse, kk_real dot, kk_real scale) {
  if (mask)
    for (int64_t i = 0; i < n; i++) w[i] = kk_exp(w[i] * scale + mask[i] - lse);
  else
    for (int64_t i = 0; i < n; i++) w[i] = kk_exp(w[i] * scale - lse);
  if (drop)
    for (int64_t i = 0; i < n; i++) {
      d[i] = scale * w[i] * (drop[i] * d[i] - dot);
      w[i] *= drop[i];
    }
  else
    for (int64_t i = 0; i < n; i++) d[i] = scale * w[i] * (d[i] - dot);
}

KK_CLONES static void att_slopes_tile(const att *a, const att_tile *x, kk_real *w, kk_real *d) {
  const int64_t t = x->m * a->T + x->t;
  const kk_real *lse = kk_saved(a->c, 0) + t, *dot = (kk_real *)a->c->scratch + t;
  kk_real drop[KEYS];
  for (int64_t r = 0; r < x->rows; r++) {
    const int64_t n = att_seen(a, x, r);
    if (a->c->opt[P] > 0) att_drop(a, *x, r, drop);
    att_slopes(w + r * KEYS, d + r * KEYS, a->c->opt[P] > 0 ? drop : NULL, att_mask(a, x, r), n, lse[r], dot[r],
               a->scale);
    for (int64_t i = n; i < x->keys; i++) w[r * KEYS + i] = d[r * KEYS + i] = 0;
  }
}

/* With p = softmax, m the dropout: dv += (m p)' dy, dp = m (dy v'), ds = p (dp - dy . y), dq += scale ds k, dk += scale ds' q */
static void att_backward_tile(const att *a, att_tile x, int wants) {
  kk_call *c = a->c;
  kk_real w[ROWS * KEYS], d[ROWS * KEYS];
  const int64_t t = x.m * a->T + x.t, s = x.m * a->S + x.s;
  const kk_real *dy = kk_dout(c, 0) + t * a->E, *q = kk_in(c, Q) + t * a->D, *k = kk_in(c, K) + s * a->D;
  const kk_real *v = kk_in(c, V) + s * a->E;
  att_products(a, x, w);
  kk_gemm_serial(false, true, x.rows, x.keys, a->E, dy, a->E, v, a->E, false, d, KEYS);
  att_slopes_tile(a, &x, w, d);
  if (wants & DQ)
    kk_gemm_serial(false, false, x.rows, a->D, x.keys, d, KEYS, k, a->D, true, c->din[Q] + t * a->D, a->D);
  if (wants & DK)
    kk_gemm_serial(true, false, x.keys, a->D, x.rows, d, KEYS, q, a->D, true, c->din[K] + s * a->D, a->D);
  if (wants & DV)
    kk_gemm_serial(true, false, x.keys, a->E, x.rows, w, KEYS, dy, a->E, true, c->din[V] + s * a->E, a->E);
}

/* All tiles of the queries t .. end and the keys s .. stop of a matrix. */
static void att_backward_area(const att *a, int64_t m, int64_t t, int64_t end, int64_t s, int64_t stop) {
  const int64_t keys = att_keys(a, m);
  for (att_tile x = {.m = m, .t = t}; x.t < end; x.t += ROWS) {
    x.rows = att_least(end - x.t, ROWS);
    for (x.s = s; x.s < att_least(keys, stop); x.s += KEYS) {
      if (a->causal && x.s >= x.t + x.rows) break;
      x.keys = att_least(att_least(keys, stop) - x.s, KEYS);
      att_backward_tile(a, x, a->wants);
    }
  }
}

static void att_backward_matrices(void *arg, int64_t begin, int64_t end) {
  const att *a = arg;
  for (int64_t m = begin; m < end; m++) att_backward_area(a, m, 0, a->T, 0, a->S);
}

static void att_backward_queries(void *arg, int64_t begin, int64_t end) {
  const att *a = arg;
  for (int64_t i = begin; i < end; i++) {
    const int64_t t = i % a->strips * ROWS;
    att_backward_area(a, i / a->strips, t, att_least(t + ROWS, a->T), 0, a->S);
  }
}

static void att_backward_keys(void *arg, int64_t begin, int64_t end) {
  const att *a = arg;
  const int64_t blocks = (a->S + KEYS - 1) / KEYS;
  for (int64_t i = begin; i < end; i++) {
    const int64_t s = i % blocks * KEYS;
    att_backward_area(a, i / blocks, 0, a->T, s, s + KEYS);
  }
}

/* Do two gradients lie in one storage, shifted against each other? Then chunks of one may meet those of the other. */
static bool att_shifted(const kk_real *x, int64_t n, const kk_real *y, int64_t m) {
  const uintptr_t a = (uintptr_t)x, b = (uintptr_t)y, size = sizeof(kk_real);
  return x && y && (a != b || n != m) && a < b + (uintptr_t)m * size && b < a + (uintptr_t)n * size;
}

static void att_backward_pass(att *a, int wants, kk_chunk_fn fn, int64_t chunks) {
  const int has = (a->c->din[Q] ? DQ : 0) | (a->c->din[K] ? DK : 0) | (a->c->din[V] ? DV : 0);
  a->wants = wants & has;
  if (a->wants) kk_pool_for(chunks, 1, fn, a);
}

/* Many matrices: one chunk each, every tile made once. Few: queries and keys cut apart, tiles made twice. */
static void attention_backward(kk_call *c) {
  att a = att_start(c);
  const int64_t m = att_matrices(c), nq = m * a.T * a.D, nk = m * a.S * a.D, nv = m * a.S * a.E;
  const int64_t blocks = (a.S + KEYS - 1) / KEYS;
  const bool shifted = att_shifted(c->din[Q], nq, c->din[K], nk) || att_shifted(c->din[Q], nq, c->din[V], nv) ||
                       att_shifted(c->din[K], nk, c->din[V], nv);
  kk_pool_for(m * a.T, 1 + 16384 / (a.E + 1), att_backward_dots, &a);
  if (m >= MANY && !shifted) {
    att_backward_pass(&a, DQ | DK | DV, att_backward_matrices, m);
    return;
  }
  att_backward_pass(&a, DQ, att_backward_queries, m * a.strips);
  att_backward_pass(&a, shifted ? DK : DK | DV, att_backward_keys, m * blocks);
  if (shifted) att_backward_pass(&a, DV, att_backward_keys, m * blocks);
}

static size_t attention_scratch(const kk_call *c, bool backward) {
  return backward ? (size_t)(att_matrices(c) * KK_DIM(c, 'T')) * sizeof(kk_real) : 0;
}

static kk_status attention_check(const kk_call *c, kk_err *e) {
  const long long T = KK_DIM(c, 'T'), S = KK_DIM(c, 'S');
  const int32_t *len = kk_idx(c, LENS);
  if (KK_DIM(c, 'D') < 1 || KK_DIM(c, 'E') < 1) return kk_fail(e, KK_EARG, "attention: heads of no width");
  if (c->opt[CAUSAL] != 0 && T != S)
    return kk_fail(e, KK_EARG, "attention: causal wants as many keys as queries, got %lld and %lld", S, T);
  for (int64_t b = 0; len && b < KK_DIM(c, 'B'); b++)
    if (len[b] < 0 || len[b] > S)
      return kk_fail(e, KK_EARG, "attention: length %lld is %d, expected 0..%lld", (long long)b + 1, len[b], S);
  return KK_OK;
}

/* Plain; lengths of which one is 0, dropout; causal with a mask. */
static bool attention_sample(int variant, kk_sample *s) {
  static const int32_t lens[2] = {3, 0};
  static const int64_t dims[][2] = {{'B', 2}, {'H', 2}, {'T', 3}, {'S', 4}, {'D', 3}, {'E', 2}};
  for (int i = 0; i < 6; i++) s->dim[dims[i][0] - 'A'] = dims[i][1];
  s->numbers[LENS] = lens;
  s->absent[LENS] = variant != 1;
  s->absent[MASK] = variant != 2;
  if (variant == 1) s->opt[P] = 0.4;
  if (variant == 2) {
    s->dim['S' - 'A'] = 3;
    s->opt[CAUSAL] = 1;
    s->opt[SCALE] = 0.7;
  }
  return variant < 3;
}

const kk_op kk_op_attention = {
  .name = "attention",
  .sig = "q[B,H,T,D] k[B,H,S,D] v[B,H,S,E] lens:n[B]? mask[T,S]?! -> y[B,H,T,E]; lse[B,H,T]",
  .about = "y = softmax(scale q k' + mask) v for each sequence and head (Vaswani et al. 2017, eq. 1), keys beyond lens left out; "
           "a query that may see no key gets 0. Memory: linear in T and S (Dao et al. 2022)",
  .opts = {{"causal", 0, 0, 1, "a query sees no later key; as many keys as queries", NULL},
           {"p", 0, 0, 0.99, "probability of zero for each weight, the others times 1/(1-p)", NULL},
           {"scale", 0, 0, 1e6, "of the products; 0: 1/sqrt(D)", NULL}},
  .random = true,
  .blas = true,
  .check = attention_check,
  .scratch = attention_scratch,
  .forward = attention_forward,
  .backward = attention_backward,
  .sample = attention_sample,
};
