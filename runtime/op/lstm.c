/* lstm.c -- a whole LSTM layer over a whole sequence (Hochreiter & Schmidhuber 1997, with forget gates:
** Gers et al. 2000), weight drop on the recurrent matrix (Merity et al. 2018).
**
**   [i f g o] = x_t w_ih' + h_{t-1} w_hh' + b,  i f o = sigmoid, g = tanh
**   c_t = f c_{t-1} + i g,  h_t = o tanh c_t
**
** Layout. Rows are sorted by length, so the rows that are still alive at step t are the first live[t]; all
** inner buffers hold live rows only, one step behind the other: nothing is computed on padding. Units are cut
** into blocks of at most BLOCK; inside a block the four gates lie side by side, so that a block's product gives all four
** gates of its units and the non-linearities follow at once. One product over all steps makes the input part; one
** product over all steps makes each weight gradient. Blocks depend on H alone: the same bits for any number of threads. */
#include <math.h>
#include <string.h>

#include "base/clones.h"
#include "base/pool.h"
#include "linalg/blas.h"
#include "op/op.h"
#include "op/vmath.h"

enum { X, H0, C0, W_IH, W_HH, BIAS, LENS };
enum { DROP = 0 };
enum { BLOCK = 64, ROWS = 256 };

typedef struct lstm {
  int64_t T, B, D, H, N;         /* N: live rows of all steps together */
  kk_real *x;                    /* [N,D] live inputs; the input itself when all rows live to the end */
  kk_real *wi, *wh;              /* [4H,D], [4H,H] in block order, wh with its mask */
  kk_real *whk;                  /* forward: wh as one [H,4w] panel for each block */
  kk_real *b;                    /* [4H] in block order */
  kk_real *g;                    /* [N,4H] gates, activated; backward: a copy that becomes their gradients */
  kk_real *c;                    /* [N,H] cells */
  kk_real *hp;                   /* [N,H] the hidden state each live row came from */
  kk_real *dc;                   /* [B,H] gradient of the cell, carried back */
  kk_real *dh;                   /* [B,H] gradient of the hidden state, carried back */
  kk_real *dw;                   /* [4H, max(D,H)] a weight gradient in block order */
  int32_t *live, *first;         /* [T] rows alive at a step, and where they begin */
  kk_call *call;
  int64_t t;                     /* the step at hand */
} lstm;

static int64_t lstm_live(const kk_call *c, int64_t t) {
  const int32_t *lens = kk_idx(c, LENS);
  int64_t n = KK_DIM(c, 'B');
  while (lens && n > 0 && lens[n - 1] <= t) n--;
  return n;
}

static bool lstm_whole(const kk_call *c) { return lstm_live(c, KK_DIM(c, 'T') - 1) == KK_DIM(c, 'B'); }

/* Where the pieces lie in scratch; with base NULL only the size is wanted. Answers bytes. */
static size_t lstm_layout(lstm *s, kk_call *c, bool backward, char *base) {
  size_t at = 0;
  bool whole = lstm_whole(c);
  *s = (lstm){.T = KK_DIM(c, 'T'), .B = KK_DIM(c, 'B'), .D = KK_DIM(c, 'D'), .H = KK_DIM(c, 'H'), .call = c};
  for (int64_t t = 0; t < s->T; t++) s->N += lstm_live(c, t);
#define PIECE(field, count) \
  do { \
    s->field = base ? (void *)(base + at) : NULL; \
    at += ((size_t)(count) * sizeof *s->field + 63) & ~(size_t)63; \
  } while (0)
  PIECE(live, s->T);
  PIECE(first, s->T);
  if (!whole) PIECE(x, s->N * s->D);
  PIECE(wi, 4 * s->H * s->D);
  PIECE(wh, 4 * s->H * s->H);
  PIECE(b, 4 * s->H);
  PIECE(hp, s->N * s->H);
  if (!backward) PIECE(whk, 4 * s->H * s->H);
  if (backward || !c->nsave) PIECE(g, s->N * 4 * s->H);
  if (!c->nsave) PIECE(c, s->N * s->H);
  if (backward) {
    PIECE(dc, s->B * s->H);
    PIECE(dh, s->B * s->H);
    PIECE(dw, 4 * s->H * (s->D > s->H ? s->D : s->H));
  }
#undef PIECE
  return at;
}

static size_t lstm_scratch(const kk_call *c, bool backward) {
  lstm s;
  return lstm_layout(&s, (kk_call *)(uintptr_t)c, backward, NULL);
}

static int64_t lstm_width(const lstm *s, int64_t u0) { return s->H - u0 < BLOCK ? s->H - u0 : BLOCK; }

/* Row of the stored weights (gate k, unit u) that stands in row r of block order. */
static int64_t lstm_row(const lstm *s, int64_t r) {
  int64_t u0 = r / (4 * BLOCK) * BLOCK, w = lstm_width(s, u0), k = (r - 4 * u0) / w;
  return k * s->H + u0 + (r - 4 * u0) % w;
}

/* Multiplies row `row` of w_hh by the weight-drop mask. */
static void lstm_mask(const kk_call *c, int64_t row, kk_real *w, int64_t H) {
  const double p = c->opt[DROP];
  const kk_real scale = (kk_real)(1 / (1 - p));
  uint32_t v[4];
  uint64_t held = UINT64_MAX;
  if (p <= 0) return;
  for (int64_t j = 0; j < H; j++) {
    uint64_t i = (uint64_t)(row * H + j);
    if (i >> 2 != held) kk_philox(c->key, held = i >> 2, v);
    w[j] *= (double)(v[i & 3] >> 8) * (1.0 / 16777216.0) >= p ? scale : 0;
  }
}

static void lstm_pack_rows(void *arg, int64_t begin, int64_t end) {
  lstm *s = arg;
  const kk_call *c = s->call;
  const kk_real *b = kk_in(c, BIAS);
  for (int64_t r = begin; r < end; r++) {
    int64_t row = lstm_row(s, r);
    memcpy(s->wi + r * s->D, kk_in(c, W_IH) + row * s->D, (size_t)s->D * sizeof(kk_real));
    memcpy(s->wh + r * s->H, kk_in(c, W_HH) + row * s->H, (size_t)s->H * sizeof(kk_real));
    lstm_mask(c, row, s->wh + r * s->H, s->H);
    s->b[r] = b ? b[row] : 0;
  }
}

/* One panel for each block: the block's 4w rows of wh, transposed. */
static void lstm_pack_panels(void *arg, int64_t begin, int64_t end) {
  lstm *s = arg;
  for (int64_t k = begin; k < end; k++) {
    int64_t u0 = k * BLOCK, n = 4 * lstm_width(s, u0);
    const kk_real *from = s->wh + 4 * u0 * s->H;
    kk_real *to = s->whk + 4 * u0 * s->H;
    for (int64_t h = 0; h < s->H; h++)
      for (int64_t r = 0; r < n; r++) to[h * n + r] = from[r * s->H + h];
  }
}

/* Everything that does not change from step to step. */
static void lstm_open(lstm *s, kk_call *c, bool backward) {
  int64_t at = 0;
  bool whole = lstm_whole(c);
  lstm_layout(s, c, backward, c->scratch);
  for (int64_t t = 0; t < s->T; t++) {
    s->live[t] = (int32_t)lstm_live(c, t);
    s->first[t] = (int32_t)at;
    at += s->live[t];
  }
  kk_pool_for(4 * s->H, 64, lstm_pack_rows, s);
  if (whole) s->x = kk_real_data(c->in[X]);
  else
    for (int64_t t = 0; t < s->T; t++)
      memcpy(s->x + s->first[t] * s->D, kk_in(c, X) + t * s->B * s->D, (size_t)(s->live[t] * s->D) * sizeof(kk_real));
  if (c->nsave) s->c = kk_saved(c, 1);
}

static void lstm_set(kk_real *to, const kk_real *from, int64_t n) {
  if (from) memcpy(to, from, (size_t)n * sizeof(kk_real));
  else memset(to, 0, (size_t)n * sizeof(kk_real));
}

/* Gates of one row of a block: a holds [i f g o] before, and after, the non-linearities. */
KK_CLONES static void lstm_gates(int64_t w, kk_real *restrict a, const kk_real *restrict c0, kk_real *restrict c1,
                                 kk_real *restrict h) {
  for (int64_t u = 0; u < w; u++) {
    kk_real i = kk_sigmoid(a[u]), f = kk_sigmoid(a[w + u]), o = kk_sigmoid(a[3 * w + u]);
    kk_real g = 2 * kk_sigmoid(2 * a[2 * w + u]) - 1, c = f * c0[u] + i * g;
    a[u] = i;
    a[w + u] = f;
    a[2 * w + u] = g;
    a[3 * w + u] = o;
    c1[u] = c;
    h[u] = o * (2 * kk_sigmoid(2 * c) - 1);
  }
}

/* One step for some blocks: recurrent product, then the gates. */
static void lstm_step_blocks(void *arg, int64_t begin, int64_t end) {
  lstm *s = arg;
  const int64_t n = s->live[s->t], at = s->first[s->t], H = s->H;
  kk_real *y = kk_out(s->call, 0) + s->t * s->B * H;
  for (int64_t k = begin; k < end; k++) {
    int64_t u0 = k * BLOCK, w = lstm_width(s, u0);
    kk_real *a = s->g + at * 4 * H + 4 * u0;
    kk_gemm_serial(false, false, n, 4 * w, H, 1, s->hp + at * H, H, s->whk + 4 * u0 * H, 4 * w, 1, a, 4 * H);
    for (int64_t r = 0; r < n; r++) {
      /* the cell before: of step t - 1 the rows that still live come first, so row r is row r there */
      const kk_real *c0 = s->t ? s->c + (s->first[s->t - 1] + r) * H + u0 : kk_out(s->call, 2) + r * H + u0;
      lstm_gates(w, a + r * 4 * H, c0, s->c + (at + r) * H + u0, y + r * H + u0);
    }
  }
}

static void lstm_forward(kk_call *c) {
  lstm s;
  lstm_open(&s, c, false);
  const int64_t H = s.H, blocks = (H + BLOCK - 1) / BLOCK;
  kk_real *y = kk_out(c, 0), *hn = kk_out(c, 1), *cn = kk_out(c, 2);
  if (c->nsave) s.g = kk_saved(c, 0);
  kk_pool_for(blocks, 1, lstm_pack_panels, &s);
  for (int64_t r = 0; r < s.N; r++) memcpy(s.g + r * 4 * H, s.b, (size_t)(4 * H) * sizeof(kk_real));
  kk_gemm(false, true, s.N, 4 * H, s.D, 1, s.x, s.D, s.wi, s.D, 1, s.g, 4 * H);
  lstm_set(hn, kk_in(c, H0), s.B * H);          /* rows of no step keep where they began */
  lstm_set(cn, kk_in(c, C0), s.B * H);
  memcpy(s.hp, hn, (size_t)(s.B * H) * sizeof(kk_real));
  for (s.t = 0; s.t < s.T; s.t++) {
    const int64_t n = s.live[s.t];
    kk_real *now = y + s.t * s.B * H;
    kk_pool_for(blocks, 1, lstm_step_blocks, &s);
    memset(now + n * H, 0, (size_t)((s.B - n) * H) * sizeof(kk_real));
    if (s.t + 1 < s.T) memcpy(s.hp + s.first[s.t + 1] * H, now, (size_t)(s.live[s.t + 1] * H) * sizeof(kk_real));
    const int64_t next = s.t + 1 < s.T ? s.live[s.t + 1] : 0;
    memcpy(hn + next * H, now + next * H, (size_t)((n - next) * H) * sizeof(kk_real));
    if (s.t + 1 == s.T || next < n)
      for (int64_t r = next; r < n; r++)
        memcpy(cn + r * H, s.c + (s.first[s.t] + r) * H, (size_t)H * sizeof(kk_real));
  }
}

/* Gate gradients of one row of a block. a: activated gates in, gradients before the non-linearities out. */
KK_CLONES static void lstm_gates_back(int64_t w, kk_real *restrict a, const kk_real *restrict c0,
                                      const kk_real *restrict c1, const kk_real *restrict dh, kk_real *restrict dc) {
  for (int64_t u = 0; u < w; u++) {
    kk_real i = a[u], f = a[w + u], g = a[2 * w + u], o = a[3 * w + u];
    kk_real th = 2 * kk_sigmoid(2 * c1[u]) - 1, d = dc[u] + dh[u] * o * (1 - th * th);
    a[u] = d * g * i * (1 - i);
    a[w + u] = d * c0[u] * f * (1 - f);
    a[2 * w + u] = d * i * (1 - g * g);
    a[3 * w + u] = dh[u] * th * o * (1 - o);
    dc[u] = d * f;
  }
}

static const kk_real *lstm_before(const lstm *s, int64_t r, int64_t u0, const kk_real *zero) {
  const kk_real *c0 = kk_in(s->call, C0);
  if (s->t) return s->c + (s->first[s->t - 1] + r) * s->H + u0;
  return c0 ? c0 + r * s->H + u0 : zero;
}

static void lstm_back_blocks(void *arg, int64_t begin, int64_t end) {
  static const kk_real zero[BLOCK] = {0};
  lstm *s = arg;
  const int64_t n = s->live[s->t], at = s->first[s->t], H = s->H;
  const int64_t after = s->t + 1 < s->T ? s->live[s->t + 1] : 0;
  const kk_real *dy = kk_dout(s->call, 0) + s->t * s->B * H;
  for (int64_t k = begin; k < end; k++) {
    int64_t u0 = k * BLOCK, w = lstm_width(s, u0);
    /* dh holds d h_n for rows that end here; rows that go on get it through the next step's gates */
    if (after)
      kk_gemm_serial(false, false, after, w, 4 * H, 1, s->g + s->first[s->t + 1] * 4 * H, 4 * H, s->wh + u0, H, 0,
                     s->dh + u0, H);
    for (int64_t r = 0; r < n; r++) {
      kk_real *dh = s->dh + r * H + u0;
      for (int64_t u = 0; u < w; u++) dh[u] += dy[r * H + u0 + u];
      lstm_gates_back(w, s->g + (at + r) * 4 * H + 4 * u0, lstm_before(s, r, u0, zero), s->c + (at + r) * H + u0, dh,
                      s->dc + r * H + u0);
    }
  }
}

/* Adds a weight gradient from block order, times the mask for w_hh. */
static void lstm_unpack(lstm *s, kk_real *to, int64_t width, bool masked) {
  for (int64_t r = 0; r < 4 * s->H; r++) {
    int64_t row = lstm_row(s, r);
    kk_real *from = s->dw + r * width;
    if (masked) lstm_mask(s->call, row, from, width);
    for (int64_t j = 0; j < width; j++) to[row * width + j] += from[j];
  }
}

/* db: column sums of the gate gradients, in fixed blocks of rows. */
static void lstm_bias_columns(void *arg, int64_t begin, int64_t end) {
  lstm *s = arg;
  for (int64_t r = begin; r < end; r++) s->dw[r] = 0;
  for (int64_t n0 = 0; n0 < s->N; n0 += ROWS) {
    double sum[64] = {0};
    int64_t n1 = n0 + ROWS < s->N ? n0 + ROWS : s->N;
    for (int64_t n = n0; n < n1; n++)
      for (int64_t r = begin; r < end; r++) sum[r - begin] += (double)s->g[n * 4 * s->H + r];
    for (int64_t r = begin; r < end; r++) s->dw[r] += (kk_real)sum[r - begin];
  }
}

static void lstm_states_back(lstm *s) {
  kk_call *c = s->call;
  const int64_t H = s->H, n = s->live[0];
  if (c->din[C0]) for (int64_t i = 0; i < s->B * H; i++) c->din[C0][i] += s->dc[i];
  if (!c->din[H0]) return;
  kk_gemm(false, false, n, H, 4 * H, 1, s->g, 4 * H, s->wh, H, 1, c->din[H0], H);
  for (int64_t i = n * H; i < s->B * H; i++) c->din[H0][i] += s->dh[i];
}

static void lstm_backward(kk_call *c) {
  lstm s;
  lstm_open(&s, c, true);
  const int64_t H = s.H, D = s.D, blocks = (H + BLOCK - 1) / BLOCK;
  const kk_real *y = kk_out(c, 0);
  memcpy(s.g, kk_saved(c, 0), (size_t)(s.N * 4 * H) * sizeof(kk_real));
  memcpy(s.dh, kk_dout(c, 1), (size_t)(s.B * H) * sizeof(kk_real));
  memcpy(s.dc, kk_dout(c, 2), (size_t)(s.B * H) * sizeof(kk_real));
  for (s.t = s.T - 1; s.t >= 0; s.t--) kk_pool_for(blocks, 1, lstm_back_blocks, &s);
  lstm_set(s.hp, kk_in(c, H0), s.live[0] * H);
  for (int64_t t = 1; t < s.T; t++)
    memcpy(s.hp + s.first[t] * H, y + (t - 1) * s.B * H, (size_t)(s.live[t] * H) * sizeof(kk_real));
  lstm_states_back(&s);
  if (c->din[W_HH]) {
    kk_gemm(true, false, 4 * H, H, s.N, 1, s.g, 4 * H, s.hp, H, 0, s.dw, H);
    lstm_unpack(&s, c->din[W_HH], H, true);
  }
  if (c->din[W_IH]) {
    kk_gemm(true, false, 4 * H, D, s.N, 1, s.g, 4 * H, s.x, D, 0, s.dw, D);
    lstm_unpack(&s, c->din[W_IH], D, false);
  }
  if (c->din[BIAS]) {
    kk_pool_for(4 * H, 64, lstm_bias_columns, &s);
    lstm_unpack(&s, c->din[BIAS], 1, false);
  }
  if (!c->din[X]) return;
  if (s.x == kk_real_data(c->in[X])) {
    kk_gemm(false, false, s.N, D, 4 * H, 1, s.g, 4 * H, s.wi, D, 1, c->din[X], D);
    return;
  }
  kk_gemm(false, false, s.N, D, 4 * H, 1, s.g, 4 * H, s.wi, D, 0, s.x, D);   /* x is not needed any more */
  for (int64_t t = 0; t < s.T; t++)
    for (int64_t i = 0; i < s.live[t] * D; i++) c->din[X][t * s.B * D + i] += s.x[s.first[t] * D + i];
}

static kk_status lstm_check(const kk_call *c, kk_err *e) {
  const int32_t *lens = kk_idx(c, LENS);
  if (KK_DIM(c, 'T') < 1 || KK_DIM(c, 'B') < 1) return kk_fail(e, KK_EARG, "lstm: an empty sequence");
  for (int64_t b = 0; lens && b < KK_DIM(c, 'B'); b++) {
    if (lens[b] < 1 || lens[b] > KK_DIM(c, 'T'))
      return kk_fail(e, KK_EARG, "lstm: length %lld is %d, expected 1..%lld", (long long)b + 1, lens[b], (long long)KK_DIM(c, 'T'));
    if (b && lens[b] > lens[b - 1])
      return kk_fail(e, KK_EARG, "lstm: lengths must fall from row to row, but row %lld has %d after %d; sort the rows",
                     (long long)b + 1, lens[b], lens[b - 1]);
  }
  return KK_OK;
}

static kk_status lstm_shape(kk_call *c, kk_shape *out, kk_err *e) {
  int64_t n = 0, h = KK_DIM(c, 'H');
  (void)e;
  for (int64_t t = 0; t < KK_DIM(c, 'T'); t++) n += lstm_live(c, t);
  out[3] = (kk_shape){.ndim = 2, .n = {n, 4 * h}};
  out[4] = (kk_shape){.ndim = 2, .n = {n, h}};
  return KK_OK;
}

static bool lstm_sample(int variant, kk_sample *s) {
  static const int32_t lens[3] = {4, 3, 1};
  s->dim['T' - 'A'] = 4;
  s->dim['B' - 'A'] = 3;
  s->dim['D' - 'A'] = 2;
  s->dim['H' - 'A'] = 3;
  s->numbers[LENS] = lens;
  s->absent[LENS] = variant == 0;
  s->absent[H0] = s->absent[C0] = variant == 2;
  s->absent[BIAS] = variant == 2;
  s->opt[DROP] = variant == 1 ? 0.4 : 0;
  return variant < 3;
}

const kk_op kk_op_lstm = {
  .name = "lstm",
  .sig = "x[T,B,D] h[B,H]? c[B,H]? w_ih[4H,D] w_hh[4H,H] b[4H]? lens:n[B]? -> y[T,B,H] h_n[B,H] c_n[B,H]; gates[?] cells[?]",
  .about = "LSTM layer: [i f g o] = x w_ih' + h w_hh' + b; c = sigmoid(f) c + sigmoid(i) tanh(g); h = sigmoid(o) tanh(c). With lens (falling) "
           "a row ends after its own steps: y is 0 beyond, h_n and c_n are of its last step",
  .opts = {{"weight_drop", 0, 0, 0.99, "share of w_hh set to 0, one mask for all steps (Merity et al. 2018)", NULL}},
  .random = true,
  .blas = true,
  .shape = lstm_shape,
  .check = lstm_check,
  .scratch = lstm_scratch,
  .forward = lstm_forward,
  .backward = lstm_backward,
  .sample = lstm_sample,
};
