/* linear_q8.c -- the fully connected layer with weights of eight bits, for prediction. */
#include <string.h>

#include "base/pool.h"
#include "linalg/q8.h"
#include "op/weights.h"

enum { X, W, SCALE, BIAS };

static const char LINEAR_Q8_FORM;        /* its address names the weights' packed form */

typedef struct linear_q8 {
  kk_call *call;
  int64_t N, D, H;
  kk_q8 w;
  uint8_t *u;                            /* [N] rows of x in bytes, and their scales */
  kk_real *s, *scale, *bias;             /* [N] [H] [H], the last two padded to whole panels */
  void *room;                            /* for w, when it cannot be kept */
  kk_derived *keep;
} linear_q8;

static size_t linear_q8_layout(linear_q8 *j, const kk_call *c, char *base) {
  size_t at = 0;
  *j = (linear_q8){.call = (kk_call *)(uintptr_t)c, .N = kk_rows(c), .D = KK_DIM(c, 'D'), .H = KK_DIM(c, 'H')};
  const size_t size = kk_q8_bytes(j->D, j->H, 1), columns = (size_t)(kk_q8_panels(j->H, 1) * KK_Q8_PANEL);
#define PIECE(field, bytes) \
  do { \
    j->field = base ? (void *)(base + at) : NULL; \
    at += ((bytes) + 63) & ~(size_t)63; \
  } while (0)
  PIECE(u, (size_t)(j->N * kk_q8_width(j->D)));
  PIECE(s, (size_t)j->N * sizeof(kk_real));
  PIECE(scale, columns * sizeof(kk_real));
  PIECE(bias, columns * sizeof(kk_real));
  j->keep = kk_weights_form(c, W, &LINEAR_Q8_FORM, NULL, size, !base);
  if (!j->keep) PIECE(room, size);
#undef PIECE
  return at;
}

static size_t linear_q8_scratch(const kk_call *c, bool backward) {
  linear_q8 j;
  (void)backward;
  return linear_q8_layout(&j, c, NULL);
}

static void linear_q8_panels(void *arg, int64_t begin, int64_t end) {
  const linear_q8 *j = arg;
  enum { ROWS = 16 };
  kk_real edge[ROWS * KK_Q8_PANEL];
  for (int64_t p = begin; p < end; p++) {
    const int64_t at = p * KK_Q8_PANEL, n = j->H - at < KK_Q8_PANEL ? j->H - at : KK_Q8_PANEL;
    for (int64_t i = 0; i < j->N; i += ROWS) {
      const int64_t m = j->N - i < ROWS ? j->N - i : ROWS;
      kk_real *y = kk_out(j->call, 0) + i * j->H + at, *to = n == KK_Q8_PANEL ? y : edge;
      const int64_t ld = to == y ? j->H : KK_Q8_PANEL;
      kk_q8_panel(&j->w, p, m, j->u + i * kk_q8_width(j->D), j->s + i, j->scale + at, j->bias + at, to, ld);
      for (int64_t r = 0; to == edge && r < m; r++) memcpy(y + r * j->H, edge + r * KK_Q8_PANEL, (size_t)n * sizeof *y);
    }
  }
}

static void linear_q8_forward(kk_call *c) {
  linear_q8 j;
  linear_q8_layout(&j, c, c->scratch);
  kk_q8_kernel_used();
  j.w = kk_weights_q8(c, W, j.keep, j.room, j.D, j.H, 1);
  kk_q8_order(&j.w, kk_in(c, SCALE), j.scale);
  kk_q8_order(&j.w, kk_in(c, BIAS), j.bias);
  kk_q8_activations(kk_in(c, X), j.N, j.D, j.u, j.s);
  kk_pool_for(j.w.panels, 4, linear_q8_panels, &j);
}

static kk_status linear_q8_check(const kk_call *c, kk_err *e) { return kk_weights_q8_check(c, KK_DIM(c, 'D'), e); }

const kk_op kk_op_linear_q8 = {
  .name = "linear_q8",
  .sig = "x[...,D] w:b[H,D] scale[H] b[H]? -> y[...,H]",
  .about = "linear with weights of eight bits as quantize_rows makes them; rows of x are rounded to eight bits too, by a "
           "scale each. For prediction: no gradient",
  .check = linear_q8_check,
  .scratch = linear_q8_scratch,
  .forward = linear_q8_forward,
};
