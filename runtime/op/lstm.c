/* lstm.c -- a whole LSTM layer over a whole sequence (Hochreiter & Schmidhuber 1997, with forget gates:
** Gers et al. 2000), weight drop on the recurrent matrix (Merity et al. 2018), one mask for all steps on
** the input (Gal & Ghahramani 2016).
**
**   [i f g o] = x_t w_ih' + h_{t-1} w_hh' + b,  i f o = sigmoid, g = tanh
**   c_t = f c_{t-1} + i g,  h_t = o tanh c_t
**
** Rows are sorted by length, so the rows still alive at step t are the first ones; gates and cells are kept
** for live rows only, one step behind the other: nothing is computed on padding. Weights are packed once for the
** sequence, the weight drop folded in. A piece of work is a block of units (a panel of each gate's weights) times
** some rows of the step: input part, recurrent part and gates, while they are near. Backward turns the saved gates
** into their gradients in place (a tape runs once); each weight gradient is then one product over all steps.
** Blocks depend on shapes alone: the same bits for any number of threads. */
#include <string.h>

#include "base/pool.h"
#include "base/turns.h"
#include "linalg/gemm.h"
#include "op/lens.h"
#include "op/lstm_gates.h"
#include "op/mask.h"
#include "op/weights.h"

enum { X, H0, C0, W_IH, W_HH, BIAS, LENS };
enum { WEIGHT_DROP, INPUT_DROP };
enum { GATES, CELLS };
enum { ROWS = 1024, MANY = 32 };       /* rows of input prepared at a time; rows of a step that are many for a kernel */
enum { SPAN = KK_ROW_SPAN };                    /* elements of w_hh masked at a time */

typedef struct lstm {
  kk_call *call;
  int64_t T, B, D, H, N;              /* N: live rows of all steps together                        */
  int64_t block, parts, pieces;       /* units of a piece of work; row ranges; both                */
  bool whole;                         /* all rows live to the end: x and y need no gathering       */
  bool many;                          /* a step has rows enough for a product of its own           */
  bool wdrop, xdrop;
  int64_t *first;                     /* [T+1] where the live rows of each step begin              */
  kk_real *bias;                      /* [4H] zeros where there is no bias                         */
  kk_real *mask;                      /* [B,D] of the input, when it is dropped                    */
  kk_real *x;                         /* live input rows times mask: ROWS of them, backward all    */
  kk_real *w;                         /* backward: room for w_hh packed, then for its masked gradient */
  kk_real *wh, *wi;                   /* forward: room for each gate's w_hh and w_ih, packed       */
  kk_derived *keep_h, *keep_i;        /* or where they stay, packed, from call to call             */
  kk_packed ph[4], pi[4], back;
  kk_turns *turns;                    /* forward: who takes which piece of a step                  */
  kk_real *g;                         /* gates of the steps at hand, when they are not saved       */
  kk_real *sums;                      /* many: what goes into the gates, [rows][4][block] a piece  */
  kk_real *r;                         /* backward [B,H]: dh                                        */
  kk_real *dc;                        /* [B,H] gradient of the cells, carried back                 */
  kk_real *zero;                      /* [H]                                                       */
  double *db;                         /* [parts,4H] gradient of the bias                           */
  kk_real *hp;                        /* ragged: the hidden state that each live row of step 1.. came from */
  int64_t t;                          /* the step at hand                                          */
  int64_t t0, t1;                     /* the steps whose input is prepared                         */
  kk_left x_left, h_left, g_left;     /* what products take: input of the prepared steps, h before, gates after */
  kk_real *x_room, *h_room, *g_room;  /* where they are copied when the precision wants a copy     */
  kk_real *gt;                        /* its gates [live,4H]                                       */
} lstm;

static int64_t lstm_total(const kk_call *c) { return kk_lens_total(kk_idx(c, LENS), KK_DIM(c, 'T'), KK_DIM(c, 'B')); }

/* Rows are cut too where the blocks are few. */
static void lstm_cut(lstm *s) {
  s->block = kk_panel();
  s->pieces = (s->H + s->block - 1) / s->block;
  s->parts = s->pieces < 16 && s->B >= MANY ? 2 : 1;
  s->pieces *= s->parts;
  s->many = s->B >= MANY;
}

static int64_t lstm_most(const lstm *s) { return (s->B + s->parts - 1) / s->parts; }   /* rows of a piece, at most */

static const char LSTM_FORM;             /* its address names the weights' packed form */

static size_t lstm_bytes(int64_t width, int64_t H) { return (size_t)(4 * kk_packed_count(width, H)) * sizeof(kk_real); }

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
    PIECE(w, kk_packed_count(4 * H, H) > 4 * H * H ? kk_packed_count(4 * H, H) : 4 * H * H);
    PIECE(g_room, kk_left_count(B, 4 * H));
    PIECE(r, B * H);
    PIECE(dc, B * H);
    PIECE(zero, H);
    PIECE(db, s->parts * 4 * H);
    if (!s->whole) PIECE(hp, (N - B) * H);
  } else {
    PIECE(bias, 4 * H);
    PIECE(x_room, kk_left_count(rows, D));
    PIECE(h_room, kk_left_count(B, H));
    PIECE(turns, 1);
    s->keep_h = kk_weights_form(c, W_HH, &LSTM_FORM, kk_packed_form(), lstm_bytes(H, H), !base && !s->wdrop);
    s->keep_i = kk_weights_form(c, W_IH, &LSTM_FORM, kk_packed_form(), lstm_bytes(D, H), !base && !s->wdrop);
    if (s->wdrop) s->keep_h = s->keep_i = NULL;
    if (!s->keep_h) PIECE(wh, 4 * kk_packed_count(H, H));
    if (!s->keep_i) PIECE(wi, 4 * kk_packed_count(D, H));
    if (s->many) PIECE(sums, s->pieces * lstm_most(s) * 4 * s->block);
    else if (!c->nsave) PIECE(g, rows * 4 * H);
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
  kk_lens_first(kk_idx(c, LENS), s->T, s->B, s->first);
  if (s->xdrop) kk_mask_fill(c->key, KK_MASK_SECOND, s->B * s->D, c->opt[INPUT_DROP], s->mask);
}

static int64_t lstm_live(const lstm *s, int64_t t) { return t < s->T ? s->first[t + 1] - s->first[t] : 0; }
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

/* Part of a row of w_hh under the mask, for packing. */
static void lstm_row(void *arg, int64_t row, int64_t j, int64_t n, kk_real *to) {
  const lstm *s = arg;
  lstm_masked(s, row, j, n, kk_in(s->call, W_HH) + row * s->H + j, to, false);
}

/* The same, counted from the first row of a gate. */
typedef struct gate_rows { lstm *s; int64_t first; } gate_rows;

static void lstm_gate_row(void *arg, int64_t row, int64_t j, int64_t n, kk_real *to) {
  const gate_rows *q = arg;
  lstm_row(q->s, q->first + row, j, n, to);
}

/* Gate q of packed weights [4H,D], which are at `to` when they were kept from an earlier call. */
static kk_packed lstm_pack_gate(lstm *s, int input, int q, int64_t D, const kk_derived *keep, kk_real *to) {
  const int64_t H = s->H;
  gate_rows rows = {s, q * H};
  to = (keep ? (kk_real *)keep->data : to) + q * kk_packed_count(D, H);
  if (keep && keep->filled) return kk_packed_of(D, H, to);
  if (input == W_HH && s->wdrop) return kk_pack_rows(true, D, H, lstm_gate_row, &rows, to);
  return kk_pack(true, D, H, kk_in(s->call, input) + q * H * D, D, to);
}

static void lstm_pack(lstm *s) {
  for (int q = 0; q < 4; q++) {
    s->ph[q] = lstm_pack_gate(s, W_HH, q, s->H, s->keep_h, s->wh);
    s->pi[q] = lstm_pack_gate(s, W_IH, q, s->D, s->keep_i, s->wi);
  }
  if (s->keep_h) s->keep_h->filled = true;
  if (s->keep_i) s->keep_i->filled = true;
}

/* The other way: the gradient of the masked weights, times the mask, added to the weights' gradient. */
static void lstm_unmask_rows(void *arg, int64_t begin, int64_t end) {
  const lstm *s = arg;
  for (int64_t row = begin; row < end; row++)
    for (int64_t j = 0, at = row * s->H; j < s->H; j += SPAN)
      lstm_masked(s, row, j, s->H - j < SPAN ? s->H - j : SPAN, s->w + at + j, s->call->din[W_HH] + at + j, true);
}

/* Live rows of the input of some of the steps t0..t1-1 one behind the other, times the mask. */
static void lstm_input_steps(void *arg, int64_t begin, int64_t end) {
  const lstm *s = arg;
  for (int64_t t = s->t0 + begin; t < s->t0 + end; t++) {
    const int64_t n = lstm_live(s, t) * s->D;
    const kk_real *from = kk_in(s->call, X) + t * s->B * s->D;
    kk_real *to = s->x + (s->first[t] - s->first[s->t0]) * s->D;
    if (s->mask)
      for (int64_t i = 0; i < n; i++) to[i] = s->mask[i] * from[i];
    else lstm_copy(to, from, n);
  }
}

static const kk_real *lstm_input(lstm *s, int64_t t0, int64_t t1) {
  s->t0 = t0;
  s->t1 = t1;
  if (!s->x) return kk_in(s->call, X) + s->first[t0] * s->D;
  kk_pool_for(t1 - t0, 1, lstm_input_steps, s);
  return s->x;
}

/* What piece k of n rows is: units u0 .. u0 + w - 1, rows r0 .. r1 - 1. */
typedef struct piece { int64_t u0, w, r0, r1; } piece;

static piece lstm_piece(const lstm *s, int64_t k, int64_t n) {
  const int64_t u0 = k / s->parts * s->block, part = k % s->parts, half = (n + s->parts - 1) / s->parts;
  const int64_t r0 = part * half, r1 = r0 + half;
  return (piece){u0, s->H - u0 < s->block ? s->H - u0 : s->block, r0 < n ? r0 : n, r1 < n ? r1 : n};
}

/* First unit of the piece that this thread will probably take after piece k: a guess, for prefetching. */
static int64_t lstm_soon(const lstm *s, int64_t k) {
  k += kk_pool_threads();
  return (k < s->pieces ? k : 0) / s->parts * s->block;
}

/* The four gates of a piece: rows ld apart, gates `next` apart. */
typedef struct lstm_place { kk_real *at; int64_t ld, next; } lstm_place;

/* One step for some pieces: input product (unless it was made for many steps at once), recurrent product, gates. */
static void lstm_step(void *arg, int64_t begin, int64_t end) {
  const lstm *s = arg;
  kk_call *c = s->call;
  const int64_t H = s->H, t = s->t, B = s->B;
  const int64_t before = s->first[t] - s->first[s->t0];       /* prepared rows of the steps before */
  kk_real *now = kk_out(c, 2), *cells = c->nsave ? kk_saved(c, CELLS) : NULL;   /* unsaved, cells live in c_n */
  for (int64_t i = begin; i < end; i++) {
    const int64_t k = kk_turns_take(s->turns);
    const piece p = lstm_piece(s, k, lstm_live(s, t));
    const int64_t at = p.r0 * H + p.u0;
    /* where the sums are made: near, or where the input product left its part */
    const lstm_place saved = {s->gt ? s->gt + p.r0 * 4 * H + p.u0 : NULL, 4 * H, H};
    const lstm_place sums = s->many ? (lstm_place){s->sums + k * lstm_most(s) * 4 * s->block, 4 * s->block, s->block} : saved;
    const lstm_place gates = saved.at ? saved : sums;
    const int64_t u1 = p.u0 + p.w, soon = kk_turns_next(s->turns, k) / s->parts * s->block;
    for (int q = 0; q < 4; q++) {
      const kk_packed *after = s->many ? s->pi : s->ph;
      const void *next = q < 3 ? kk_packed_at(after + q + 1, p.u0) : kk_packed_at(after, soon);
      kk_real *to = sums.at + q * sums.next;
      if (s->many)
        kk_gemm_packed_serial(&s->x_left, before + p.r0, before + p.r1, &s->pi[q], p.u0, u1, false, to, sums.ld,
                              s->h_left.a ? kk_packed_at(&s->ph[q], p.u0) : next);
      if (s->h_left.a) kk_gemm_packed_serial(&s->h_left, p.r0, p.r1, &s->ph[q], p.u0, u1, true, to, sums.ld, next);
    }
    kk_gates_forward(&(kk_gates){
      .rows = p.r1 - p.r0, .units = p.w, .a = sums.at, .a_ld = sums.ld, .a_next = sums.next,
      .g = gates.at, .g_ld = gates.ld, .g_next = gates.next, .b = s->bias + p.u0, .b_next = H,
      .c0 = (cells && t ? cells + s->first[t - 1] * H : now) + at, .c0_ld = H,
      .c1 = (cells ? cells + s->first[t] * H : now) + at, .c_ld = H, .h = kk_out(c, 0) + t * B * H + at, .h_ld = H});
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
  lstm_pack(&s);
  *s.turns = (kk_turns){0};
  lstm_copy(s.bias, kk_in(c, BIAS), 4 * H);
  lstm_copy(kk_out(c, 2), kk_in(c, C0), s.B * H);
  for (int64_t t0 = 0, t1; t0 < s.T; t0 = t1) {
    for (t1 = t0 + 1; t1 < s.T && s.first[t1 + 1] - s.first[t0] <= ROWS;) t1++;
    const kk_real *x = lstm_input(&s, t0, t1);
    kk_real *g = c->nsave ? kk_saved(c, GATES) + s.first[t0] * 4 * H : s.g;
    for (int q = 0; q < 4 && !s.many; q++)
      kk_gemm_packed(s.first[t1] - s.first[t0], x, D, &s.pi[q], false, g + q * H, 4 * H);
    if (s.many) s.x_left = kk_left_of(s.first[t1] - s.first[t0], D, x, D, s.x_room);
    for (s.t = t0; s.t < t1; s.t++) {
      const kk_real *h = s.t ? kk_out(c, 0) + (s.t - 1) * s.B * H : kk_in(c, H0);
      s.h_left = h ? kk_left_of(lstm_live(&s, s.t), H, h, H, s.h_room) : (kk_left){0};
      s.gt = g ? g + (s.first[s.t] - s.first[t0]) * 4 * H : NULL;
      kk_turns_begin(s.turns, s.pieces);
      kk_pool_for(s.pieces, 1, lstm_step, &s);
      lstm_ends(&s);
    }
  }
}

/* One step back for some pieces: dh through the next step's gates, then through this step's. Rows that end
** here have no next step: for them r still holds the gradient of h_n. */
static void lstm_step_back(void *arg, int64_t begin, int64_t end) {
  const lstm *s = arg;
  const kk_call *c = s->call;
  const int64_t t = s->t, H = s->H, after = lstm_live(s, t + 1);
  kk_real *gates = kk_saved(c, GATES), *cells = kk_saved(c, CELLS);
  const kk_real *before = t ? cells + s->first[t - 1] * H : kk_in(c, C0);
  for (int64_t k = begin; k < end; k++) {
    const piece p = lstm_piece(s, k, lstm_live(s, t));
    const int64_t at = p.r0 * H + p.u0;
    kk_real *g = gates + (s->first[t] + p.r0) * 4 * H + p.u0;
    kk_gemm_packed_serial(&s->g_left, p.r0, p.r1 < after ? p.r1 : after, &s->back, p.u0, p.u0 + p.w, false, s->r + at, H,
                          kk_packed_at(&s->back, lstm_soon(s, k)));
    const kk_gates back = {
      .rows = p.r1 - p.r0, .units = p.w, .g = g, .g_ld = 4 * H, .g_next = H,
      .c0 = before ? before + at : s->zero + p.u0, .c0_ld = before ? H : 0,
      .c1 = cells + s->first[t] * H + at, .c_ld = H, .dy = kk_dout(c, 0) + t * s->B * H + at, .dy_ld = H,
      .dh = s->r + at, .dh_ld = H, .dc = s->dc + at, .dc_ld = H, .dg = g};
    kk_gates_backward(&back);
    kk_gates_bias(&back, s->db + k % s->parts * 4 * H + p.u0);
  }
}

/* The hidden states that the live rows of some steps came from, one behind the other. */
static void lstm_hidden_steps(void *arg, int64_t begin, int64_t end) {
  const lstm *s = arg;
  for (int64_t t = 1 + begin; t < 1 + end; t++)
    lstm_copy(s->hp + (s->first[t] - s->B) * s->H, kk_out(s->call, 0) + (t - 1) * s->B * s->H, lstm_live(s, t) * s->H);
}

/* to [4H,H] = dg' h_{t-1}, over all steps, or added to it. */
static void lstm_recurrent_gradient(lstm *s, bool add, kk_real *to) {
  const kk_call *c = s->call;
  const int64_t H = s->H, B = s->B, rows = s->N - B;
  const kk_real *g = kk_saved(c, GATES);
  if (!s->whole) kk_pool_for(s->T - 1, 1, lstm_hidden_steps, s);
  kk_gemm(true, false, 4 * H, H, rows, g + B * 4 * H, 4 * H, s->whole ? kk_out(c, 0) : s->hp, H, add, to, H);
  if (kk_in(c, H0)) kk_gemm(true, false, 4 * H, H, B, g, 4 * H, kk_in(c, H0), H, true, to, H);
}

/* Gradients of live input rows, through the mask, to where each came from. */
static void lstm_input_back_steps(void *arg, int64_t begin, int64_t end) {
  const lstm *s = arg;
  for (int64_t t = begin; t < end; t++) {
    const kk_real *from = s->x + s->first[t] * s->D;
    kk_real *to = s->call->din[X] + t * s->B * s->D;
    for (int64_t i = 0, n = lstm_live(s, t) * s->D; i < n; i++) to[i] += s->mask ? s->mask[i] * from[i] : from[i];
  }
}

/* dx = dg w_ih. */
static void lstm_input_gradient(lstm *s) {
  kk_call *c = s->call;
  kk_real *to = s->x ? s->x : c->din[X];
  kk_gemm(false, false, s->N, s->D, 4 * s->H, kk_saved(c, GATES), 4 * s->H, kk_in(c, W_IH), s->D, !s->x, to, s->D);
  if (s->x) kk_pool_for(s->T, 1, lstm_input_back_steps, s);
}

static void lstm_backward(kk_call *c) {
  lstm s;
  lstm_open(&s, c, true);
  const int64_t H = s.H, D = s.D, B = s.B;
  kk_real *g = kk_saved(c, GATES);
  s.back = s.wdrop ? kk_pack_rows(false, 4 * H, H, lstm_row, &s, s.w) : kk_pack(false, 4 * H, H, kk_in(c, W_HH), H, s.w);
  lstm_copy(s.r, kk_dout(c, 1), B * H);
  lstm_copy(s.dc, kk_dout(c, 2), B * H);
  lstm_copy(s.zero, NULL, H);
  memset(s.db, 0, (size_t)(s.parts * 4 * H) * sizeof *s.db);
  for (s.t = s.T - 1; s.t >= 0; s.t--) {
    s.g_left = kk_left_of(lstm_live(&s, s.t + 1), 4 * H, g + s.first[s.t + 1] * 4 * H, 4 * H, s.g_room);
    kk_pool_for(s.pieces, 1, lstm_step_back, &s);
  }
  if (c->din[C0])
    for (int64_t i = 0; i < B * H; i++) c->din[C0][i] += s.dc[i];
  if (c->din[H0]) kk_gemm_packed(B, g, 4 * H, &s.back, true, c->din[H0], H);
  if (c->din[W_HH]) {
    lstm_recurrent_gradient(&s, !s.wdrop, s.wdrop ? s.w : c->din[W_HH]);   /* the packed weights have served */
    if (s.wdrop) kk_pool_for(4 * H, 32, lstm_unmask_rows, &s);
  }
  if (c->din[W_IH]) kk_gemm(true, false, 4 * H, D, s.N, g, 4 * H, lstm_input(&s, 0, s.T), D, true, c->din[W_IH], D);
  for (int64_t j = 0; c->din[BIAS] && j < 4 * H; j++)
    c->din[BIAS][j] += (kk_real)(s.parts > 1 ? s.db[j] + s.db[4 * H + j] : s.db[j]);
  if (c->din[X]) lstm_input_gradient(&s);
}

static kk_status lstm_check(const kk_call *c, kk_err *e) {
  if (KK_DIM(c, 'T') < 1 || KK_DIM(c, 'B') < 1 || KK_DIM(c, 'D') < 1 || KK_DIM(c, 'H') < 1)
    return kk_fail(e, KK_EARG, "lstm: an empty sequence");
  return kk_lens_check("lstm", kk_idx(c, LENS), KK_DIM(c, 'T'), KK_DIM(c, 'B'), e);
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
