/* lstm.c -- a whole LSTM layer over a whole sequence (Hochreiter & Schmidhuber 1997, with forget gates:
** Gers et al. 2000), weight drop on the recurrent matrix (Merity et al. 2018), one mask for all steps on
** the input (Gal & Ghahramani 2016).
**
**   [i f g o] = x_t w_ih' + h_{t-1} w_hh' + b,  i f o = sigmoid, g = tanh
**   c_t = f c_{t-1} + i g,  h_t = o tanh c_t
**
** Rows are sorted by length, so the rows still alive at step t are the first ones; gates and cells are kept
** for live rows only, one step behind the other: nothing is computed on padding. The input part of the
** gates is one product for many steps, the recurrent part one product a step and block of units. Backward
** turns the saved gates into their gradients in place (a tape runs once); each weight gradient is then one
** product over all steps. Blocks depend on shapes alone: the same bits for any number of threads. */
#include <string.h>

#include "base/pool.h"
#include "linalg/blas.h"
#include "op/lstm_gates.h"
#include "op/mask.h"
#include "op/op.h"

enum { X, H0, C0, W_IH, W_HH, BIAS, LENS };
enum { WEIGHT_DROP, INPUT_DROP };
enum { GATES, CELLS };
enum { ROWS = 1024 };                 /* rows of the input product made at a time: 1024 x 4H floats stay near */
enum { GROUP = 16, SPAN = 64 };       /* a piece of w_hh while it is masked and put in block order */

typedef struct lstm {
  kk_call *call;
  int64_t T, B, D, H, N;              /* N: live rows of all steps together                        */
  int64_t block, blocks;              /* units of one block, and how many blocks                   */
  bool whole;                         /* all rows live to the end: x and y need no gathering       */
  bool wdrop, xdrop;
  int64_t *first;                     /* [T+1] where the live rows of each step begin              */
  kk_real *bias;                      /* [4H] zeros where there is no bias                         */
  kk_real *mask;                      /* [B,D] of the input, when it is dropped                    */
  kk_real *x;                         /* live input rows times mask: ROWS of them, backward all    */
  kk_real *w;                         /* forward: w_hh, masked, in block order (lstm_pack)         */
                                      /* backward: w_hh masked as it lies, when it is dropped      */
  kk_real *g;                         /* gates of the steps at hand, when they are not saved       */
  kk_real *r;                         /* forward [B,4H]: recurrent part. backward [B,H]: dh        */
  kk_real *dc;                        /* [B,H] gradient of the cells, carried back                 */
  kk_real *zero;                      /* [H]                                                       */
  kk_real *hp;                        /* ragged: the hidden state that each live row of step 1.. came from */
  int64_t t;                          /* the step at hand */
  kk_real *gt;                        /* its gates [live,4H] */
} lstm;

static int64_t lstm_lives(const kk_call *c, int64_t t) {
  const int32_t *lens = kk_idx(c, LENS);
  int64_t n = KK_DIM(c, 'B');
  while (lens && n > 0 && lens[n - 1] <= t) n--;
  return n;
}

static int64_t lstm_total(const kk_call *c) {
  const int32_t *lens = kk_idx(c, LENS);
  int64_t n = 0;
  if (!lens) return KK_DIM(c, 'T') * KK_DIM(c, 'B');
  for (int64_t b = 0; b < KK_DIM(c, 'B'); b++) n += lens[b];
  return n;
}

/* Blocks of units, an even number of equal ones where that pays: the recurrent product loses when its
** blocks get narrow (H = 512, B = 64, backward: 112 GFLOP/s with 2 blocks, 101 with 8, 86 with 16). */
static void lstm_cut(lstm *s) {
  const int64_t H = s->H, want = s->B * H * H < 32768 ? 1 : H >= 512 ? 8 : H >= 128 ? 4 : 2;
  s->block = ((H + want - 1) / want + 3) & ~(int64_t)3;
  s->blocks = (H + s->block - 1) / s->block;
}

/* Where the pieces lie in scratch; with base NULL only the size is wanted. Answers bytes. */
static size_t lstm_layout(lstm *s, kk_call *c, bool backward, char *base) {
  size_t at = 0;
  *s = (lstm){.call = c, .T = KK_DIM(c, 'T'), .B = KK_DIM(c, 'B'), .D = KK_DIM(c, 'D'), .H = KK_DIM(c, 'H')};
  const int64_t T = s->T, B = s->B, D = s->D, H = s->H, N = s->N = lstm_total(c);
  const int64_t rows = N < ROWS ? N : B > ROWS ? B : ROWS;
  s->whole = N == T * B;
  s->wdrop = c->opt[WEIGHT_DROP] > 0;
  s->xdrop = c->opt[INPUT_DROP] > 0;
  lstm_cut(s);
#define PIECE(field, count) \
  do { \
    s->field = base ? (void *)(base + at) : NULL; \
    at += ((size_t)(count) * sizeof *s->field + 63) & ~(size_t)63; \
  } while (0)
  PIECE(first, T + 1);
  if (s->xdrop) PIECE(mask, B * D);
  if (s->xdrop || !s->whole) PIECE(x, (backward ? N : rows) * D);
  if (backward) {
    if (s->wdrop) PIECE(w, 4 * H * H);
    PIECE(r, B * H);
    PIECE(dc, B * H);
    PIECE(zero, H);
    if (!s->whole) PIECE(hp, (N - B) * H);
  } else {
    PIECE(bias, 4 * H);
    PIECE(w, 4 * H * H);
    PIECE(r, B * 4 * H);
    if (!c->nsave) PIECE(g, rows * 4 * H);
  }
#undef PIECE
  return at;
}

static size_t lstm_scratch(const kk_call *c, bool backward) {
  lstm s;
  return lstm_layout(&s, (kk_call *)(uintptr_t)c, backward, NULL);
}

static void lstm_open(lstm *s, kk_call *c, bool backward) {
  lstm_layout(s, c, backward, c->scratch);
  s->first[0] = 0;
  for (int64_t t = 0; t < s->T; t++) s->first[t + 1] = s->first[t] + lstm_lives(c, t);
  if (s->xdrop) kk_mask_fill(c->key, KK_MASK_SECOND, s->B * s->D, c->opt[INPUT_DROP], s->mask);
}

static int64_t lstm_live(const lstm *s, int64_t t) { return t < s->T ? s->first[t + 1] - s->first[t] : 0; }
static int64_t lstm_width(const lstm *s, int64_t u0) { return s->H - u0 < s->block ? s->H - u0 : s->block; }

static void lstm_copy(kk_real *to, const kk_real *from, int64_t n) {
  if (from) memcpy(to, from, (size_t)n * sizeof(kk_real));
  else memset(to, 0, (size_t)n * sizeof(kk_real));
}

/* to = elements j..j+n-1 of row `row` of w_hh (from), or of its gradient, under the mask. */
static void lstm_masked(const lstm *s, int64_t row, int64_t j, int64_t n, const kk_real *from, kk_real *to, bool add) {
  kk_real m[SPAN];
  kk_mask_fill(s->call->key, (uint64_t)(row * s->H + j), n, s->call->opt[WEIGHT_DROP], m);
  for (int64_t k = 0; k < n; k++) to[k] = add ? to[k] + m[k] * from[k] : m[k] * from[k];
}

/* w_hh in block order: the columns [i f g o] of the first block's units as one [H,4w] matrix, then the second
** block's, ... GROUP columns at a time, which never belong to two blocks. */
static void lstm_pack(void *arg, int64_t begin, int64_t end) {
  const lstm *s = arg;
  const int64_t H = s->H, u0 = begin / (4 * s->block) * s->block, w = lstm_width(s, u0);
  kk_real part[GROUP][SPAN];
  for (int64_t j = 0; j < H; j += SPAN) {
    const int64_t n = H - j < SPAN ? H - j : SPAN;
    kk_real *to = s->w + 4 * u0 * H + j * 4 * w + begin - 4 * u0;
    for (int64_t q = begin; q < end; q++) {
      const int64_t k = q - 4 * u0, row = k / w * H + u0 + k % w;
      const kk_real *from = kk_in(s->call, W_HH) + row * H + j;
      if (s->wdrop) lstm_masked(s, row, j, n, from, part[q - begin], false);
      else lstm_copy(part[q - begin], from, n);
    }
    for (int64_t i = 0; i < n; i++)
      for (int64_t q = 0; q < end - begin; q++) to[i * 4 * w + q] = part[q][i];
  }
}

/* w_hh under the mask, in its own order. */
static void lstm_mask_rows(void *arg, int64_t begin, int64_t end) {
  const lstm *s = arg;
  for (int64_t row = begin; row < end; row++)
    for (int64_t j = 0, at = row * s->H; j < s->H; j += SPAN)
      lstm_masked(s, row, j, s->H - j < SPAN ? s->H - j : SPAN, kk_in(s->call, W_HH) + at + j, s->w + at + j, false);
}

/* The other way: the gradient of the masked weights, times the mask, added to the weights' gradient. */
static void lstm_unmask_rows(void *arg, int64_t begin, int64_t end) {
  const lstm *s = arg;
  for (int64_t row = begin; row < end; row++)
    for (int64_t j = 0, at = row * s->H; j < s->H; j += SPAN)
      lstm_masked(s, row, j, s->H - j < SPAN ? s->H - j : SPAN, s->w + at + j, s->call->din[W_HH] + at + j, true);
}

/* Live rows of the input of steps t0..t1-1 one behind the other, times the mask. */
static const kk_real *lstm_input(const lstm *s, int64_t t0, int64_t t1) {
  const kk_real *x = kk_in(s->call, X);
  if (!s->x) return x + s->first[t0] * s->D;
  for (int64_t t = t0; t < t1; t++) {
    const int64_t n = lstm_live(s, t) * s->D;
    const kk_real *from = x + t * s->B * s->D;
    kk_real *to = s->x + (s->first[t] - s->first[t0]) * s->D;
    if (s->mask)
      for (int64_t i = 0; i < n; i++) to[i] = s->mask[i] * from[i];
    else lstm_copy(to, from, n);
  }
  return s->x;
}

/* One step for some blocks of units: recurrent product, then the gates. */
static void lstm_step(void *arg, int64_t begin, int64_t end) {
  const lstm *s = arg;
  kk_call *c = s->call;
  const int64_t n = lstm_live(s, s->t), H = s->H, t = s->t, B = s->B;
  const kk_real *h = t ? kk_out(c, 0) + (t - 1) * B * H : kk_in(c, H0);
  kk_real *now = kk_out(c, 2), *cells = c->nsave ? kk_saved(c, CELLS) : NULL;   /* unsaved, cells live in c_n */
  for (int64_t k = begin; k < end; k++) {
    const int64_t u0 = k * s->block, w = lstm_width(s, u0);
    kk_real *r = s->r + 4 * u0 * B;
    if (h) kk_gemm_serial(false, false, n, 4 * w, H, 1, h, H, s->w + 4 * u0 * H, 4 * w, 0, r, 4 * w);
    else lstm_copy(r, NULL, n * 4 * w);
    kk_gates_forward(&(kk_gates){
      .rows = n, .units = w, .g = s->gt + u0, .g_ld = 4 * H, .g_next = H, .r = r, .r_ld = 4 * w, .r_next = w,
      .b = s->bias + u0, .c0 = (cells && t ? cells + s->first[t - 1] * H : now) + u0, .c0_ld = H,
      .c1 = (cells ? cells + s->first[t] * H : now) + u0, .c_ld = H, .h = kk_out(c, 0) + t * B * H + u0, .h_ld = H});
  }
}

/* After a step: padding is zero, and rows that end here leave their states. */
static void lstm_ends(const lstm *s) {
  kk_call *c = s->call;
  const int64_t H = s->H, n = lstm_live(s, s->t), next = lstm_live(s, s->t + 1);
  kk_real *now = kk_out(c, 0) + s->t * s->B * H;
  memset(now + n * H, 0, (size_t)((s->B - n) * H) * sizeof(kk_real));
  lstm_copy(kk_out(c, 1) + next * H, now + next * H, (n - next) * H);
  if (c->nsave) lstm_copy(kk_out(c, 2) + next * H, kk_saved(c, CELLS) + (s->first[s->t] + next) * H, (n - next) * H);
}

static void lstm_forward(kk_call *c) {
  lstm s;
  lstm_open(&s, c, false);
  const int64_t H = s.H, D = s.D;
  kk_pool_for(4 * H, GROUP, lstm_pack, &s);
  lstm_copy(s.bias, kk_in(c, BIAS), 4 * H);
  lstm_copy(kk_out(c, 2), kk_in(c, C0), s.B * H);
  for (int64_t t0 = 0, t1; t0 < s.T; t0 = t1) {
    for (t1 = t0 + 1; t1 < s.T && s.first[t1 + 1] - s.first[t0] <= ROWS;) t1++;
    kk_real *g = c->nsave ? kk_saved(c, GATES) + s.first[t0] * 4 * H : s.g;
    kk_gemm(false, true, s.first[t1] - s.first[t0], 4 * H, D, 1, lstm_input(&s, t0, t1), D, kk_in(c, W_IH), D, 0, g,
            4 * H);
    for (s.t = t0; s.t < t1; s.t++) {
      s.gt = g + (s.first[s.t] - s.first[t0]) * 4 * H;
      kk_pool_for(s.blocks, 1, lstm_step, &s);
      lstm_ends(&s);
    }
  }
}

static const kk_real *lstm_weights(const lstm *s) { return s->wdrop ? s->w : kk_in(s->call, W_HH); }

/* One step back for some blocks: dh through the next step's gates, then through this step's. Rows that end
** here have no next step: for them r still holds the gradient of h_n. */
static void lstm_step_back(void *arg, int64_t begin, int64_t end) {
  const lstm *s = arg;
  const kk_call *c = s->call;
  const int64_t t = s->t, H = s->H, after = lstm_live(s, t + 1);
  kk_real *g = kk_saved(c, GATES), *cells = kk_saved(c, CELLS), *now = g + s->first[t] * 4 * H;
  const kk_real *before = t ? cells + s->first[t - 1] * H : kk_in(c, C0);
  for (int64_t k = begin; k < end; k++) {
    const int64_t u0 = k * s->block, w = lstm_width(s, u0);
    kk_gemm_serial(false, false, after, w, 4 * H, 1, g + s->first[t + 1] * 4 * H, 4 * H, lstm_weights(s) + u0, H, 0,
                   s->r + u0, H);
    kk_gates_backward(&(kk_gates){
      .rows = lstm_live(s, t), .units = w, .g = now + u0, .g_ld = 4 * H, .g_next = H,
      .c0 = (before ? before : s->zero) + u0, .c0_ld = before ? H : 0, .c1 = cells + s->first[t] * H + u0, .c_ld = H,
      .dy = kk_dout(c, 0) + t * s->B * H + u0, .dy_ld = H, .dh = s->r + u0, .dh_ld = H, .dc = s->dc + u0, .dc_ld = H,
      .dg = now + u0});
  }
}

/* to [4H,H] = dg' h_{t-1}, over all steps. */
static void lstm_recurrent_gradient(lstm *s, kk_real beta, kk_real *to) {
  const kk_call *c = s->call;
  const int64_t H = s->H, B = s->B, rows = s->N - B;
  const kk_real *g = kk_saved(c, GATES), *y = kk_out(c, 0), *hp = s->whole ? y : s->hp;
  if (!s->whole)
    for (int64_t t = 1; t < s->T; t++)
      lstm_copy(s->hp + (s->first[t] - B) * H, y + (t - 1) * B * H, lstm_live(s, t) * H);
  kk_gemm(true, false, 4 * H, H, rows, 1, g + B * 4 * H, 4 * H, hp, H, beta, to, H);
  if (kk_in(c, H0)) kk_gemm(true, false, 4 * H, H, B, 1, g, 4 * H, kk_in(c, H0), H, 1, to, H);
}

/* dx = dg w_ih, through the mask, to where each live row came from. */
static void lstm_input_gradient(lstm *s) {
  kk_call *c = s->call;
  const int64_t D = s->D, H = s->H;
  kk_real *dx = c->din[X], *to_all = s->x ? s->x : dx, beta = s->x ? 0 : 1;
  kk_gemm(false, false, s->N, D, 4 * H, 1, kk_saved(c, GATES), 4 * H, kk_in(c, W_IH), D, beta, to_all, D);
  for (int64_t t = 0; s->x && t < s->T; t++) {
    const kk_real *from = s->x + s->first[t] * D;
    kk_real *to = dx + t * s->B * D;
    for (int64_t i = 0, n = lstm_live(s, t) * D; i < n; i++) to[i] += s->mask ? s->mask[i] * from[i] : from[i];
  }
}

static void lstm_backward(kk_call *c) {
  lstm s;
  lstm_open(&s, c, true);
  const int64_t H = s.H, D = s.D, B = s.B;
  kk_real *g = kk_saved(c, GATES);
  if (s.wdrop) kk_pool_for(4 * H, 32, lstm_mask_rows, &s);
  lstm_copy(s.r, kk_dout(c, 1), B * H);
  lstm_copy(s.dc, kk_dout(c, 2), B * H);
  lstm_copy(s.zero, NULL, H);
  for (s.t = s.T - 1; s.t >= 0; s.t--) kk_pool_for(s.blocks, 1, lstm_step_back, &s);
  if (c->din[C0])
    for (int64_t i = 0; i < B * H; i++) c->din[C0][i] += s.dc[i];
  if (c->din[H0]) kk_gemm(false, false, B, H, 4 * H, 1, g, 4 * H, lstm_weights(&s), H, 1, c->din[H0], H);
  if (c->din[W_HH]) {
    lstm_recurrent_gradient(&s, s.wdrop ? 0 : 1, s.wdrop ? s.w : c->din[W_HH]);   /* the masked copy has served */
    if (s.wdrop) kk_pool_for(4 * H, 32, lstm_unmask_rows, &s);
  }
  if (c->din[W_IH])
    kk_gemm(true, false, 4 * H, D, s.N, 1, g, 4 * H, lstm_input(&s, 0, s.T), D, 1, c->din[W_IH], D);
  if (c->din[BIAS]) kk_gates_bias(g, s.N, 4 * H, c->din[BIAS]);
  if (c->din[X]) lstm_input_gradient(&s);
}

static kk_status lstm_check(const kk_call *c, kk_err *e) {
  const int32_t *lens = kk_idx(c, LENS);
  const int64_t T = KK_DIM(c, 'T');
  if (T < 1 || KK_DIM(c, 'B') < 1 || KK_DIM(c, 'D') < 1 || KK_DIM(c, 'H') < 1)
    return kk_fail(e, KK_EARG, "lstm: an empty sequence");
  for (int64_t b = 0; lens && b < KK_DIM(c, 'B'); b++) {
    if (lens[b] < 1 || lens[b] > T)
      return kk_fail(e, KK_EARG, "lstm: length %lld is %d, expected 1..%lld", (long long)b + 1, lens[b], (long long)T);
    if (b && lens[b] > lens[b - 1])
      return kk_fail(e, KK_EARG, "lstm: lengths must fall from row to row, but row %lld has %d after %d; sort the rows",
                     (long long)b + 1, lens[b], lens[b - 1]);
  }
  return KK_OK;
}

static kk_status lstm_shape(kk_call *c, kk_shape *out, kk_err *e) {
  const int64_t n = lstm_total(c), H = KK_DIM(c, 'H');
  (void)e;
  out[3 + GATES] = (kk_shape){.ndim = 2, .n = {n, 4 * H}};
  out[3 + CELLS] = (kk_shape){.ndim = 2, .n = {n, H}};
  return KK_OK;
}

static bool lstm_sample(int variant, kk_sample *s) {
  static const int32_t lens[3] = {4, 3, 1};
  s->dim['T' - 'A'] = 4;
  s->dim['B' - 'A'] = 3;
  s->dim['D' - 'A'] = 2;
  s->dim['H' - 'A'] = 3;
  s->numbers[LENS] = lens;
  s->absent[LENS] = variant == 0 || variant == 3;
  s->absent[H0] = s->absent[C0] = s->absent[BIAS] = variant == 2;
  s->opt[WEIGHT_DROP] = variant == 1 || variant == 3 ? 0.4 : 0;
  s->opt[INPUT_DROP] = variant >= 2 ? 0.3 : 0;
  return variant < 4;
}

const kk_op kk_op_lstm = {
  .name = "lstm",
  .sig = "x[T,B,D] h[B,H]? c[B,H]? w_ih[4H,D] w_hh[4H,H] b[4H]? lens:n[B]? -> y[T,B,H] h_n[B,H] c_n[B,H]; "
         "gates[?] cells[?]",
  .about = "LSTM layer: [i f g o] = x w_ih' + h w_hh' + b; c = sigmoid(f) c + sigmoid(i) tanh(g); "
           "h = sigmoid(o) tanh(c). With lens (falling) a row ends after its own steps: y is 0 beyond, h_n and c_n are of its last step",
  .opts = {{"weight_drop", 0, 0, 0.99, "share of w_hh set to 0, one mask for all steps (Merity et al. 2018)", NULL},
           {"input_drop", 0, 0, 0.99, "share of x set to 0, one mask [B,D] for all steps (Gal & Ghahramani 2016)", NULL}},
  .random = true,
  .blas = true,
  .shape = lstm_shape,
  .check = lstm_check,
  .scratch = lstm_scratch,
  .forward = lstm_forward,
  .backward = lstm_backward,
  .sample = lstm_sample,
};
