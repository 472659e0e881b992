/* lstm_q8.c -- an LSTM layer with weights of eight bits, for prediction: the function of lstm.c, without its gradient.
**
** The inputs of some steps, and the hidden state after each step, are rounded to eight bits by row; products are exact
** integers (linalg/q8.h), everything else is as in lstm. A piece of work is some panels: all four gates of 16 units
** each. Weights are four times smaller than in float32, and one message waits for nothing but weights. */
#include <string.h>

#include "base/pool.h"
#include "base/turns.h"
#include "linalg/q8.h"
#include "op/lens.h"
#include "op/lstm_gates.h"
#include "op/weights.h"

enum { X, H0, C0, W_IH, S_IH, W_HH, S_HH, BIAS, LENS };
/* Input rows prepared at a time; units of a panel; pieces of a step, at most. */
enum { ROWS = 1024, UNITS = KK_Q8_PANEL / 4, PIECES = 32 };

static const char LSTM_Q8_FORM;          /* its address names the weights' packed form */

typedef struct lstm_q8 {
  kk_call *call;
  int64_t T, B, D, H, rows;              /* rows: of input prepared at a time               */
  int64_t panels, across, pieces;        /* of a step; panels of a piece; pieces            */
  int64_t *first;                        /* [T+1] where the live rows of each step begin    */
  kk_turns *turns;
  kk_q8 wi, wh;
  kk_real *si, *sh, *bias;               /* scales and bias in the order of the columns     */
  uint8_t *u;                            /* input of some steps in bytes, live rows only    */
  kk_real *us;
  uint8_t *hu;                           /* [B] hidden state in bytes                       */
  kk_real *hs;
  kk_real *g;                            /* gates: [panels][rows][64]                       */
  void *room_i, *room_h;                 /* for packed weights that cannot be kept          */
  kk_derived *keep_i, *keep_h;
  int64_t t0, n;                         /* the first prepared step; prepared rows          */
  int64_t t, live, at;                   /* the step, its rows, where they begin            */
  bool recurrent;                        /* h before the step is not zero                   */
} lstm_q8;

static size_t q8_layout(lstm_q8 *s, const kk_call *c, char *base) {
  size_t at = 0;
  *s = (lstm_q8){.call = (kk_call *)(uintptr_t)c, .T = KK_DIM(c, 'T'), .B = KK_DIM(c, 'B'), .D = KK_DIM(c, 'D'),
                 .H = KK_DIM(c, 'H')};
  s->rows = s->T * s->B < ROWS ? s->T * s->B : s->B > ROWS ? s->B : ROWS;
  s->panels = kk_q8_panels(4 * s->H, 4);
  s->across = (s->panels + PIECES - 1) / PIECES;
  s->pieces = (s->panels + s->across - 1) / s->across;
  const int64_t columns = s->panels * KK_Q8_PANEL;
  const size_t ni = kk_q8_bytes(s->D, 4 * s->H, 4), nh = kk_q8_bytes(s->H, 4 * s->H, 4);
#define PIECE(field, size) \
  do { \
    s->field = base ? (void *)(base + at) : NULL; \
    at += ((size_t)(size) + 63) & ~(size_t)63; \
  } while (0)
#define REALS(field, count) PIECE(field, (size_t)(count) * sizeof(kk_real))
  PIECE(turns, sizeof *s->turns);
  PIECE(first, (size_t)(s->T + 1) * sizeof *s->first);
  REALS(si, columns);
  REALS(sh, columns);
  REALS(bias, columns);
  PIECE(u, s->rows * kk_q8_width(s->D));
  REALS(us, s->rows);
  PIECE(hu, s->B * kk_q8_width(s->H));
  REALS(hs, s->B);
  REALS(g, s->rows * columns);
  s->keep_i = kk_weights_form(c, W_IH, &LSTM_Q8_FORM, NULL, ni, !base);
  s->keep_h = kk_weights_form(c, W_HH, &LSTM_Q8_FORM, NULL, nh, !base);
  if (!s->keep_i) PIECE(room_i, ni);
  if (!s->keep_h) PIECE(room_h, nh);
#undef REALS
#undef PIECE
  return at;
}

static size_t q8_scratch(const kk_call *c, bool backward) {
  lstm_q8 s;
  (void)backward;
  return q8_layout(&s, c, NULL);
}

static void q8_copy(kk_real *to, const kk_real *from, int64_t n) {
  if (from) memcpy(to, from, (size_t)n * sizeof *to);
  else memset(to, 0, (size_t)n * sizeof *to);
}

static void q8_open(lstm_q8 *s, kk_call *c) {
  q8_layout(s, c, c->scratch);
  kk_q8_kernel_used();
  *s->turns = (kk_turns){0};
  s->wi = kk_weights_q8(c, W_IH, s->keep_i, s->room_i, s->D, 4 * s->H, 4);
  s->wh = kk_weights_q8(c, W_HH, s->keep_h, s->room_h, s->H, 4 * s->H, 4);
  kk_q8_order(&s->wi, kk_in(c, S_IH), s->si);
  kk_q8_order(&s->wh, kk_in(c, S_HH), s->sh);
  kk_q8_order(&s->wi, kk_in(c, BIAS), s->bias);
  kk_lens_first(kk_idx(c, LENS), s->T, s->B, s->first);
}

/* The input product of all prepared rows, for some panels. */
static void q8_input(void *arg, int64_t begin, int64_t end) {
  const lstm_q8 *s = arg;
  for (int64_t p = begin; p < end; p++) {
    const int64_t at = p * KK_Q8_PANEL;
    kk_q8_panel(&s->wi, p, s->n, s->u, s->us, s->si + at, s->bias + at, s->g + s->rows * at, KK_Q8_PANEL);
  }
}

/* One step for some pieces. */
static void q8_step(void *arg, int64_t begin, int64_t end) {
  static const kk_real none[KK_Q8_PANEL];
  const lstm_q8 *s = arg;
  kk_call *c = s->call;
  for (int64_t i = begin; i < end; i++) {
    const int64_t piece = kk_turns_take(s->turns), p1 = (piece + 1) * s->across;
    for (int64_t p = piece * s->across; p < p1 && p < s->panels; p++) {
      const int64_t at = p * KK_Q8_PANEL, unit = p * UNITS;
      kk_real *g = s->g + (s->rows * p + s->at) * KK_Q8_PANEL, *cells = kk_out(c, 2) + unit;
      if (s->recurrent) kk_q8_panel(&s->wh, p, s->live, s->hu, s->hs, s->sh + at, NULL, g, KK_Q8_PANEL);
      kk_gates_forward(&(kk_gates){
        .rows = s->live, .units = s->H - unit < UNITS ? s->H - unit : UNITS, .a = g, .a_ld = KK_Q8_PANEL,
        .a_next = UNITS, .g = g, .g_ld = KK_Q8_PANEL, .g_next = UNITS, .b = none, .c0 = cells, .c0_ld = s->H, .c1 = cells, .c_ld = s->H,
        .h = kk_out(c, 0) + s->t * s->B * s->H + unit, .h_ld = s->H});
    }
  }
}

/* After a step: padding is zero, and rows that end here leave their states. */
static void q8_ends(const lstm_q8 *s) {
  const int64_t H = s->H, n = s->live, next = s->t + 1 < s->T ? s->first[s->t + 2] - s->first[s->t + 1] : 0;
  kk_real *now = kk_out(s->call, 0) + s->t * s->B * H;
  memset(now + n * H, 0, (size_t)((s->B - n) * H) * sizeof *now);
  q8_copy(kk_out(s->call, 1) + next * H, now + next * H, (n - next) * H);
}

static void q8_prepare(lstm_q8 *s, int64_t t1) {
  const int64_t width = kk_q8_width(s->D);
  s->n = s->first[t1] - s->first[s->t0];
  for (int64_t t = s->t0; t < t1; t++) {
    const int64_t at = s->first[t] - s->first[s->t0], rows = s->first[t + 1] - s->first[t];
    kk_q8_activations(kk_in(s->call, X) + t * s->B * s->D, rows, s->D, s->u + at * width, s->us + at);
  }
  kk_pool_for(s->panels, 2, q8_input, s);
}

static void q8_forward(kk_call *c) {
  lstm_q8 s;
  q8_open(&s, c);
  q8_copy(kk_out(c, 2), kk_in(c, C0), s.B * s.H);
  for (int64_t t1; s.t0 < s.T; s.t0 = t1) {
    for (t1 = s.t0 + 1; t1 < s.T && s.first[t1 + 1] - s.first[s.t0] <= s.rows;) t1++;
    q8_prepare(&s, t1);
    for (s.t = s.t0; s.t < t1; s.t++) {
      const kk_real *h = s.t ? kk_out(c, 0) + (s.t - 1) * s.B * s.H : kk_in(c, H0);
      s.at = s.first[s.t] - s.first[s.t0];
      s.live = s.first[s.t + 1] - s.first[s.t];
      s.recurrent = h != NULL;
      if (h) kk_q8_activations(h, s.live, s.H, s.hu, s.hs);
      kk_turns_begin(s.turns, s.pieces);
      kk_pool_for(s.pieces, 1, q8_step, &s);
      q8_ends(&s);
    }
  }
}

static kk_status q8_check(const kk_call *c, kk_err *e) {
  const int64_t D = KK_DIM(c, 'D'), H = KK_DIM(c, 'H');
  if (KK_DIM(c, 'T') < 1 || KK_DIM(c, 'B') < 1 || D < 1 || H < 1)
    return kk_fail(e, KK_EARG, "lstm_q8: an empty sequence");
  if (kk_weights_q8_check(c, D > H ? D : H, e)) return e->code;
  return kk_lens_check("lstm_q8", kk_idx(c, LENS), KK_DIM(c, 'T'), KK_DIM(c, 'B'), e);
}

static bool q8_sample(int variant, kk_sample *s) {
  static const int32_t lens[3] = {4, 3, 1};
  s->dim['T' - 'A'] = 4;
  s->dim['B' - 'A'] = 3;
  s->dim['D' - 'A'] = 2;
  s->dim['H' - 'A'] = 3;
  s->numbers[LENS] = lens;
  s->absent[LENS] = variant == 0;
  s->absent[H0] = s->absent[C0] = s->absent[BIAS] = variant == 2;
  return variant < 3;
}

const kk_op kk_op_lstm_q8 = {
  .name = "lstm_q8",
  .sig = "x[T,B,D] h[B,H]? c[B,H]? w_ih:b[4H,D] scale_ih[4H] w_hh:b[4H,H] scale_hh[4H] b[4H]? lens:n[B]? -> "
         "y[T,B,H] h_n[B,H] c_n[B,H]",
  .about = "lstm with weights of eight bits as quantize_rows makes them; x and h are rounded to eight bits too, each row by "
           "a scale of its own. For prediction: no gradient",
  .check = q8_check,
  .scratch = q8_scratch,
  .forward = q8_forward,
  .sample = q8_sample,
};
