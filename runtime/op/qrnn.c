/* qrnn.c -- a whole quasi-recurrent layer over a whole sequence (Bradbury, Merity, Xiong & Socher 2017),
** weight drop on its matrix (Merity et al. 2018), one mask for all steps on the input, zoneout.
**
**   [z f o] = [x_t ; x_{t-1}] w' + b,  z = tanh, f o = sigmoid        (window 2; window 1: x_t alone)
**   c_t = f z + (1 - f) c_{t-1},  y_t = o c_t
**
** All products are over many steps at once, with the weights packed once, weight drop folded in; window 2 is two of
** them, the second one step behind, and nothing is put side by side. What is left of the recurrence goes unit by
** unit, so the scan runs in parallel over rows and blocks of units, each of which walks its own steps. Rows are
** sorted by length and only live ones are computed. Kept for backward: the gates. It makes the cells of a block
** again (one multiply-add a unit, against a quarter more memory), turns the gates into their gradients in place
** (a tape runs once), sums those for the bias while they are near, and ends with one product over all steps for
** each gradient. Blocks depend on shapes alone: the same bits for any number of threads. */
#include <string.h>

#include "base/pool.h"
#include "linalg/gemm.h"
#include "op/forget_mult.h"
#include "op/lens.h"
#include "op/mask.h"
#include "op/weights.h"

enum { X, PREV, C0, W, BIAS, LENS };
enum { WEIGHT_DROP, INPUT_DROP, ZONEOUT, OUTPUT_GATE };
enum { Y, C_N, X_LAST, OUTS };
enum { ROWS = 1024 };                 /* rows of the product made at a time, as in lstm.c                */
enum { UNITS = 512 };                 /* at most so many units a block: a block's backward stays in cache */
enum { ROUND = 32 };                  /* blocks that go back at a time, each with room for its cells     */
enum { SPAN = KK_ROW_SPAN };                   /* a piece of w while it is masked                                 */
#define ZONE_MASK (2 * KK_MASK_SECOND)

typedef struct qrnn {
  kk_call *call;
  int64_t T, B, D, H, N;              /* N: live rows of all steps together                      */
  int64_t G, K;                       /* columns of all gates (3H or 2H), rows of a weight (D or 2D) */
  int64_t block, blocks;              /* units of one block, and how many blocks                 */
  bool whole;                         /* all rows live to the end: x needs no gathering          */
  int64_t *first;                     /* [T+1] where the live rows of each step begin            */
  kk_real *bias;                      /* [G] zeros where there is no bias                        */
  kk_real *mask;                      /* [B,D] of the input, when it is dropped                  */
  kk_real *x;                         /* live input rows times mask: ROWS of them, backward all  */
  kk_real *w;                         /* room for w packed; backward only when it is dropped, and */
                                      /* then for its masked gradient                            */
  kk_derived *keep;                   /* forward: where w stays packed from call to call, or NULL */
  kk_packed p[2];                     /* w packed: what multiplies x_t, and x_{t-1}              */
  kk_real *g;                         /* gates of the steps at hand, when they are not saved     */
  kk_real *cells;                     /* backward: [ROUND,T,block]                               */
  double *sums;                       /* backward: [B,G] of the gates' gradients over the steps  */
  int64_t t0, t1;                     /* the steps at hand                                       */
  kk_real *gt;                        /* their gates                                             */
  int64_t job;                        /* backward: the first block of this round                 */
} qrnn;

static const char QRNN_FORM;             /* its address names the weights' packed form */

static int64_t qrnn_gates(const kk_call *c) { return c->opt[OUTPUT_GATE] > 0 ? 3 : 2; }

/* Where the pieces lie in scratch; with base NULL only the size is wanted. Answers bytes. */
static size_t qrnn_layout(qrnn *s, kk_call *c, bool backward, char *base) {
  size_t at = 0;
  *s = (qrnn){.call = c, .T = KK_DIM(c, 'T'), .B = KK_DIM(c, 'B'), .D = KK_DIM(c, 'D'), .H = KK_DIM(c, 'H'),
              .G = KK_DIM(c, 'G'), .K = KK_DIM(c, 'K')};
  const int64_t T = s->T, B = s->B, D = s->D, N = s->N = kk_lens_total(kk_idx(c, LENS), T, B);
  const int64_t rows = N < ROWS ? N : B > ROWS ? B : ROWS, want = (s->H + UNITS - 1) / UNITS;
  const int64_t packed = s->K / D * (backward ? kk_packed_count(s->G, D) : kk_packed_count(D, s->G));
  const bool wdrop = c->opt[WEIGHT_DROP] > 0, xdrop = c->opt[INPUT_DROP] > 0;
  s->whole = N == T * B;
  s->block = ((s->H + want - 1) / want + 15) & ~(int64_t)15;
  s->blocks = (s->H + s->block - 1) / s->block;
#define PIECE(field, count) \
  do { \
    s->field = base ? (void *)(base + at) : NULL; \
    at += ((size_t)(count) * sizeof *s->field + 63) & ~(size_t)63; \
  } while (0)
  PIECE(first, T + 1);
  if (xdrop) PIECE(mask, B * D);
  if (xdrop || !s->whole) PIECE(x, (backward ? N : rows) * D);
  if (backward) {
    if (wdrop) PIECE(w, packed > s->G * s->K ? packed : s->G * s->K);
    PIECE(cells, ROUND * T * s->block);
    if (c->in[BIAS]) PIECE(sums, B * s->G);
  } else {
    PIECE(bias, s->G);
    s->keep = kk_weights_form(c, W, &QRNN_FORM, kk_packed_form(), (size_t)packed * sizeof(kk_real), !base && !wdrop);
    if (wdrop) s->keep = NULL;
    if (!s->keep) PIECE(w, packed);
    if (!c->nsave) PIECE(g, rows * s->G);
  }
#undef PIECE
  return at;
}

static size_t qrnn_scratch(const kk_call *c, bool backward) {
  qrnn s;
  return qrnn_layout(&s, (kk_call *)(uintptr_t)c, backward, NULL);
}

static int64_t qrnn_live(const qrnn *s, int64_t t) { return s->first[t + 1] - s->first[t]; }

static int64_t qrnn_length(const qrnn *s, int64_t b) {
  const int32_t *lens = kk_idx(s->call, LENS);
  return lens ? lens[b] : s->T;
}

static void qrnn_copy(kk_real *to, const kk_real *from, int64_t n) {
  if (from) memcpy(to, from, (size_t)n * sizeof(kk_real));
  else memset(to, 0, (size_t)n * sizeof(kk_real));
}

/* Elements j..j+n-1 of a row of w, as wide as x and from column `from` on, under the mask: for packing. */
typedef struct part { const qrnn *s; int64_t from; } part;

static void qrnn_row(void *arg, int64_t row, int64_t j, int64_t n, kk_real *to) {
  const part *p = arg;
  const int64_t at = row * p->s->K + p->from + j;
  const kk_real *w = kk_in(p->s->call, W) + at;
  kk_mask_fill(p->s->call->key, (uint64_t)at, n, p->s->call->opt[WEIGHT_DROP], to);
  for (int64_t i = 0; i < n; i++) to[i] *= w[i];
}

static void qrnn_pack(qrnn *s, bool turned) {
  const int64_t k = turned ? s->D : s->G, n = turned ? s->G : s->D;
  for (int64_t back = 0; back < s->K / s->D; back++) {
    kk_real *to = (s->keep ? (kk_real *)s->keep->data : s->w) + back * kk_packed_count(k, n);
    part rows = {s, back * s->D};
    if (s->keep && s->keep->filled) {
      s->p[back] = kk_packed_of(k, n, to);
      continue;
    }
    s->p[back] = s->call->opt[WEIGHT_DROP] > 0 ? kk_pack_rows(turned, k, n, qrnn_row, &rows, to)
                                               : kk_pack(turned, k, n, kk_in(s->call, W) + back * s->D, s->K, to);
  }
  if (s->keep) s->keep->filled = true;
}

/* The other way: the gradient of the masked weights, times the mask, added to the weights' gradient. */
static void qrnn_unmask_rows(void *arg, int64_t begin, int64_t end) {
  const qrnn *s = arg;
  kk_real m[SPAN];
  for (int64_t at = begin * s->K, n; at < end * s->K; at += n) {
    n = end * s->K - at < SPAN ? end * s->K - at : SPAN;
    kk_mask_fill(s->call->key, (uint64_t)at, n, s->call->opt[WEIGHT_DROP], m);
    for (int64_t i = 0; i < n; i++) s->call->din[W][at + i] += m[i] * s->w[at + i];
  }
}

static void qrnn_open(qrnn *s, kk_call *c, bool backward) {
  qrnn_layout(s, c, backward, c->scratch);
  kk_lens_first(kk_idx(c, LENS), s->T, s->B, s->first);
  if (s->mask) kk_mask_fill(c->key, KK_MASK_SECOND, s->B * s->D, c->opt[INPUT_DROP], s->mask);
  if (s->w || s->keep) qrnn_pack(s, !backward);
}

/* What steps from t0 on see `back` steps before them (0 or 1). t0 >= back: the step before the first is prev_x,
** which is nobody's row here. */
typedef struct view { const qrnn *s; int64_t back, t0; } view;

static int64_t qrnn_place(const view *v, int64_t t) { return (v->s->first[t] - v->s->first[v->t0]) * v->s->D; }

static void qrnn_gather(void *arg, int64_t begin, int64_t end) {
  const view *v = arg;
  const qrnn *s = v->s;
  for (int64_t t = v->t0 + begin; t < v->t0 + end; t++) {
    const kk_real *from = kk_in(s->call, X) + (t - v->back) * s->B * s->D;
    kk_real *to = s->x + qrnn_place(v, t);
    const int64_t n = qrnn_live(s, t) * s->D;
    if (s->mask)
      for (int64_t i = 0; i < n; i++) to[i] = s->mask[i] * from[i];
    else qrnn_copy(to, from, n);
  }
}

/* Live rows of it, steps t0..t1-1 one behind the other, times the mask. */
static const kk_real *qrnn_input(const qrnn *s, int64_t back, int64_t t0, int64_t t1) {
  view v = {s, back, t0};
  if (!s->x) return kk_in(s->call, X) + (t0 - back) * s->B * s->D;
  kk_pool_for(t1 - t0, 1, qrnn_gather, &v);
  return s->x;
}

/* gt [live,G] = the gates of steps t0..t1-1 before bias and activation. */
static void qrnn_product(const qrnn *s) {
  const int64_t D = s->D, G = s->G, t0 = s->t0, t1 = s->t1, from = t0 ? t0 : 1;
  const kk_real *prev = kk_in(s->call, PREV);
  kk_gemm_packed(s->first[t1] - s->first[t0], qrnn_input(s, 0, t0, t1), D, &s->p[0], false, s->gt, G);
  if (s->K == D) return;
  if (!t0 && prev) kk_gemm_packed(s->B, prev, D, &s->p[1], true, s->gt, G);
  if (from < t1)
    kk_gemm_packed(s->first[t1] - s->first[from], qrnn_input(s, 1, from, t1), D, &s->p[1], true,
                   s->gt + (s->first[from] - s->first[t0]) * G, G);
}

/* Units u0.. of row b: m is their zoneout mask at step t; kk_fo is what the kernels take. */
static kk_fo qrnn_at(const qrnn *s, int64_t b, int64_t u0, int64_t t, kk_real *m) {
  const int64_t units = s->H - u0 < s->block ? s->H - u0 : s->block;
  if (s->call->opt[ZONEOUT] > 0)
    kk_mask_fill(s->call->key, ZONE_MASK + (uint64_t)((t * s->B + b) * s->H + u0), units, s->call->opt[ZONEOUT], m);
  return (kk_fo){.units = units, .next = s->H, .output = s->G == 3 * s->H, .m = m,
                 .g = s->gt + (s->first[t] - s->first[s->t0] + b) * s->G + u0};
}

static void qrnn_ones(kk_real *m) {
  for (int i = 0; i < UNITS; i++) m[i] = 1;
}

/* Some blocks of units through the steps at hand; c_n holds the cells on the way. Padding is zero. */
static void qrnn_scan(void *arg, int64_t begin, int64_t end) {
  const qrnn *s = arg;
  kk_real m[UNITS];
  qrnn_ones(m);
  for (int64_t k = begin; k < end; k++) {
    const int64_t b = k / s->blocks, u0 = k % s->blocks * s->block, length = qrnn_length(s, b);
    kk_real *c = kk_out(s->call, C_N) + b * s->H + u0;
    for (int64_t t = s->t0; t < s->t1; t++) {
      const kk_fo fo = qrnn_at(s, b, u0, t, m);
      kk_real *y = kk_out(s->call, Y) + (t * s->B + b) * s->H + u0;
      if (t < length) kk_fo_forward(&fo, s->bias + u0, c, y);
      else qrnn_copy(y, NULL, fo.units);
    }
  }
}

static void qrnn_forward(kk_call *c) {
  qrnn s;
  qrnn_open(&s, c, false);
  qrnn_copy(s.bias, kk_in(c, BIAS), s.G);
  qrnn_copy(kk_out(c, C_N), kk_in(c, C0), s.B * s.H);
  for (s.t0 = 0; s.t0 < s.T; s.t0 = s.t1) {
    for (s.t1 = s.t0 + 1; s.t1 < s.T && s.first[s.t1 + 1] - s.first[s.t0] <= ROWS;) s.t1++;
    s.gt = c->nsave ? kk_saved(c, 0) + s.first[s.t0] * s.G : s.g;
    qrnn_product(&s);
    kk_pool_for(s.B * s.blocks, 1, qrnn_scan, &s);
  }
  for (int64_t b = 0; b < s.B; b++) {
    const kk_real *from = kk_in(c, X) + ((qrnn_length(&s, b) - 1) * s.B + b) * s.D;
    kk_real *to = kk_out(c, X_LAST) + b * s.D;
    for (int64_t i = 0; i < s.D; i++) to[i] = s.mask ? s.mask[b * s.D + i] * from[i] : from[i];
  }
}

/* Some blocks of this round all the way back. */
static void qrnn_scan_back(void *arg, int64_t begin, int64_t end) {
  const qrnn *s = arg;
  const kk_call *call = s->call;
  const int64_t H = s->H;
  kk_real m[UNITS], dc[UNITS], zero[UNITS];
  qrnn_ones(m);
  qrnn_copy(zero, NULL, UNITS);
  for (int64_t k = begin; k < end; k++) {
    const int64_t b = (s->job + k) / s->blocks, u0 = (s->job + k) % s->blocks * s->block, length = qrnn_length(s, b);
    const kk_real *start = kk_in(call, C0) ? kk_in(call, C0) + b * H + u0 : zero, *before = start;
    kk_real *cells = s->cells + k * s->T * s->block;
    kk_fo fo = {0};
    for (int64_t t = 0; t < length; t++, before = cells + (t - 1) * s->block) {
      fo = qrnn_at(s, b, u0, t, m);
      kk_fo_cells(&fo, before, cells + t * s->block);
    }
    qrnn_copy(dc, kk_dout(call, C_N) + b * H + u0, fo.units);
    for (int64_t t = length - 1; t >= 0; t--) {
      fo = qrnn_at(s, b, u0, t, m);
      kk_fo_backward(&fo, t ? cells + (t - 1) * s->block : start, cells + t * s->block,
                     kk_dout(call, Y) + (t * s->B + b) * H + u0, dc);
      if (s->sums) kk_fo_bias(&fo, s->sums + b * s->G + u0);
    }
    for (int64_t u = 0; call->din[C0] && u < fo.units; u++) call->din[C0][b * H + u0 + u] += dc[u];
  }
}

/* to [rows,D] += or = dg w: what rows of gates say of the input `back` steps before them (0 or 1). */
static void qrnn_into_input(const qrnn *s, int64_t back, const kk_real *dg, int64_t rows, bool add, kk_real *to) {
  if (s->w) kk_gemm_packed(rows, dg, s->G, &s->p[back], add, to, s->D);
  else kk_gemm(false, false, rows, s->D, s->G, dg, s->G, kk_in(s->call, W) + back * s->D, s->K, add, to, s->D);
}

/* The other way: the gradient of gathered rows, through the mask, added to where each row came from. */
static void qrnn_scatter(void *arg, int64_t begin, int64_t end) {
  const view *v = arg;
  const qrnn *s = v->s;
  for (int64_t t = v->t0 + begin; t < v->t0 + end; t++) {
    const kk_real *from = s->x + qrnn_place(v, t);
    kk_real *to = s->call->din[X] + (t - v->back) * s->B * s->D;
    for (int64_t i = 0, n = qrnn_live(s, t) * s->D; i < n; i++) to[i] += s->mask ? s->mask[i] * from[i] : from[i];
  }
}

static void qrnn_input_gradient(const qrnn *s, int64_t back) {
  const int64_t begin = s->first[back];
  view v = {s, back, back};
  qrnn_into_input(s, back, s->gt + begin * s->G, s->N - begin, !s->x, s->x ? s->x : s->call->din[X]);
  if (s->x) kk_pool_for(s->T - back, 1, qrnn_scatter, &v);
}

/* x_last is the input of each row's last step, times the mask. */
static void qrnn_last_gradient(const qrnn *s) {
  const int64_t D = s->D;
  for (int64_t b = 0; b < s->B; b++) {
    const kk_real *from = kk_dout(s->call, X_LAST) + b * D;
    kk_real *to = s->call->din[X] + ((qrnn_length(s, b) - 1) * s->B + b) * D;
    for (int64_t i = 0; i < D; i++) to[i] += s->mask ? s->mask[b * D + i] * from[i] : from[i];
  }
}

/* to [G,K] (+)= dg' [x_t ; x_{t-1}], over all steps. */
static void qrnn_weight_gradient(const qrnn *s, bool add, kk_real *to) {
  const int64_t D = s->D, G = s->G, K = s->K;
  const kk_real *prev = kk_in(s->call, PREV);
  for (int64_t back = 0; back < K / D; back++)
    kk_gemm(true, false, G, D, s->N - s->first[back], s->gt + s->first[back] * G, G,
            qrnn_input(s, back, back, s->T), D, add, to + back * D, K);
  if (prev) kk_gemm(true, false, G, D, s->B, s->gt, G, prev, D, true, to + D, K);
}

static void qrnn_backward(kk_call *c) {
  qrnn s;
  qrnn_open(&s, c, true);
  const int64_t jobs = s.B * s.blocks;
  s.t1 = s.T;
  s.gt = kk_saved(c, 0);
  if (s.sums) memset(s.sums, 0, (size_t)(s.B * s.G) * sizeof *s.sums);
  for (s.job = 0; s.job < jobs; s.job += ROUND)
    kk_pool_for(jobs - s.job < ROUND ? jobs - s.job : ROUND, 1, qrnn_scan_back, &s);
  if (c->din[X]) {
    for (int64_t back = 0; back < s.K / s.D; back++) qrnn_input_gradient(&s, back);
    qrnn_last_gradient(&s);
  }
  if (c->din[PREV]) qrnn_into_input(&s, 1, s.gt, s.B, true, c->din[PREV]);
  for (int64_t i = 0; c->din[BIAS] && i < s.B * s.G; i++) c->din[BIAS][i % s.G] += (kk_real)s.sums[i];
  if (!c->din[W]) return;
  qrnn_weight_gradient(&s, !s.w, s.w ? s.w : c->din[W]);      /* the packed weights have served */
  if (s.w) kk_pool_for(s.G, 32, qrnn_unmask_rows, &s);
}

static kk_status qrnn_check(const kk_call *c, kk_err *e) {
  if (KK_DIM(c, 'T') < 1 || KK_DIM(c, 'B') < 1 || KK_DIM(c, 'D') < 1 || KK_DIM(c, 'G') < 1)
    return kk_fail(e, KK_EARG, "qrnn: an empty sequence");
  return kk_lens_check("qrnn", kk_idx(c, LENS), KK_DIM(c, 'T'), KK_DIM(c, 'B'), e);
}

static kk_status qrnn_shape(kk_call *c, kk_shape *out, kk_err *e) {
  const int64_t gates = qrnn_gates(c), G = KK_DIM(c, 'G'), K = KK_DIM(c, 'K'), D = KK_DIM(c, 'D'), H = G / gates;
  const int64_t T = KK_DIM(c, 'T'), B = KK_DIM(c, 'B');
  char w[KK_SHAPE_STR], other[KK_SHAPE_STR];
  kk_shape_str(&c->src[W]->shape, w);
  if (G % gates)
    return kk_fail(e, KK_ESHAPE, "qrnn: %s: w%s has %lld rows, expected a multiple of %lld (gates z f%s)",
                   c->op->sig, w, (long long)G, (long long)gates, gates == 3 ? " o" : "; output_gate = false");
  if (c->src[C0] && KK_DIM(c, 'H') != H)
    return kk_fail(e, KK_ESHAPE, "qrnn: %s: H is %lld in c%s but %lld in w%s, which has %lld gates", c->op->sig,
                   (long long)KK_DIM(c, 'H'), kk_shape_str(&c->src[C0]->shape, other), (long long)H, w,
                   (long long)gates);
  if (K != D && K != 2 * D)
    return kk_fail(e, KK_ESHAPE,
                   "qrnn: %s: w%s has %lld columns, expected D = %lld of x%s (window 1) or 2 D (window 2)", c->op->sig,
                   w, (long long)K, (long long)D, kk_shape_str(&c->src[X]->shape, other));
  if (c->src[PREV] && K == D)
    return kk_fail(e, KK_ESHAPE, "qrnn: %s: prev_x is for window 2, but w%s has D columns", c->op->sig, w);
  c->dim['H' - 'A'] = H;
  out[Y] = (kk_shape){.ndim = 3, .n = {T, B, H}};
  out[C_N] = (kk_shape){.ndim = 2, .n = {B, H}};
  out[X_LAST] = (kk_shape){.ndim = 2, .n = {B, D}};
  out[OUTS] = (kk_shape){.ndim = 2, .n = {kk_lens_total(kk_idx(c, LENS), T, B), G}};
  return KK_OK;
}

/* Windows 1 and 2, with and without lengths, states, bias and output gate, and every drop. */
static bool qrnn_sample(int variant, kk_sample *s) {
  static const int32_t lens[3] = {4, 3, 1};
  const bool output = variant != 3, two = variant == 1 || variant >= 3;
  s->dim['T' - 'A'] = 4;
  s->dim['B' - 'A'] = 3;
  s->dim['D' - 'A'] = 2;
  s->dim['H' - 'A'] = 3;
  s->dim['G' - 'A'] = output ? 9 : 6;
  s->dim['K' - 'A'] = two ? 4 : 2;
  s->numbers[LENS] = lens;
  s->absent[LENS] = variant < 2 || variant == 4;
  s->absent[PREV] = !two || variant == 4;
  s->absent[C0] = s->absent[BIAS] = variant == 2 || variant == 4;
  s->opt[WEIGHT_DROP] = variant == 1 || variant == 5 ? 0.4 : 0;
  s->opt[INPUT_DROP] = variant == 2 || variant == 5 ? 0.3 : 0;
  s->opt[ZONEOUT] = variant >= 4 ? 0.3 : 0;
  s->opt[OUTPUT_GATE] = output;
  return variant < 6;
}

const kk_op kk_op_qrnn = {
  .name = "qrnn",
  .sig = "x[T,B,D] prev_x[B,D]? c[B,H]? w[G,K] b[G]? lens:n[B]? -> y[?] c_n[?] x_last[B,D]; gates[?]",
  .about = "QRNN layer: [z f o] = [x_t ; x_(t-1)] w' + b; c = sigmoid(f) tanh(z) + (1 - sigmoid(f)) c; "
           "y[T,B,H] = sigmoid(o) c (Bradbury et al. 2017). w is [3H,D] (window 1) or [3H,2D] (window 2: the columns "
           "of x_t, then of x_(t-1); prev_x stands before the first step). With lens (falling) a row ends after its "
           "own steps: y is 0 beyond, c_n[B,H] and x_last, the next segment's prev_x, are of its last step",
  .opts = {{"weight_drop", 0, 0, 0.99, "share of w set to 0, one mask for all steps (Merity et al. 2018)", NULL},
           {"input_drop", 0, 0, 0.99, "share of x set to 0, one mask [B,D] for all steps; not of prev_x", NULL},
           {"zoneout", 0, 0, 0.99, "share of f set to 0, so that c stays; the others are divided by 1 - zoneout", NULL},
           {"output_gate", 1, 0, 1, "false: y = c, and w is [2H,...]", NULL}},
  .random = true,
  .blas = true,
  .shape = qrnn_shape,
  .check = qrnn_check,
  .scratch = qrnn_scratch,
  .forward = qrnn_forward,
  .backward = qrnn_backward,
  .sample = qrnn_sample,
};
