/* lstm_cell.c -- one step of an LSTM. Slower than lstm over a sequence; its gates can be looked at. */
#include <string.h>

#include "base/pool.h"
#include "linalg/gemm.h"
#include "op/lstm_gates.h"
#include "op/op.h"

enum { X, H0, C0, W_IH, W_HH, BIAS };
enum { ROWS = 8 };                    /* rows of one chunk of the pool */

static size_t cell_scratch(const kk_call *c, bool backward) {
  const size_t B = (size_t)KK_DIM(c, 'B'), H = (size_t)KK_DIM(c, 'H');
  return backward ? 4 * H * sizeof(double) + (5 * B * H + H) * sizeof(kk_real) : 4 * H * sizeof(kk_real);
}

static void cell_forward_rows(void *arg, int64_t begin, int64_t end) {
  kk_call *c = arg;
  const int64_t H = KK_DIM(c, 'H');
  const kk_real *b = kk_in(c, BIAS);
  kk_real *g = kk_out(c, 2) + begin * 4 * H;
  kk_gates_forward(&(kk_gates){
    .rows = end - begin, .units = H, .a = g, .a_ld = 4 * H, .a_next = H, .g = g, .g_ld = 4 * H, .g_next = H,
    .b = b ? b : c->scratch, .b_next = H, .c0 = kk_in(c, C0) + begin * H, .c0_ld = H, .c1 = kk_out(c, 1) + begin * H, .c_ld = H,
    .h = kk_out(c, 0) + begin * H, .h_ld = H});
}

static void cell_forward(kk_call *c) {
  const int64_t B = KK_DIM(c, 'B'), D = KK_DIM(c, 'D'), H = KK_DIM(c, 'H');
  memset(c->scratch, 0, (size_t)(4 * H) * sizeof(kk_real));       /* the bias where there is none */
  kk_gemm(false, true, B, 4 * H, D, kk_in(c, X), D, kk_in(c, W_IH), D, false, kk_out(c, 2), 4 * H);
  kk_gemm(false, true, B, 4 * H, H, kk_in(c, H0), H, kk_in(c, W_HH), H, true, kk_out(c, 2), 4 * H);
  kk_pool_for(B, ROWS, cell_forward_rows, c);
}

/* Backward's scratch: 4H doubles for the bias, then the gradients of the gates [B,4H], of the cells, and [H] zeros. */
static kk_real *cell_gates(const kk_call *c) { return (kk_real *)((double *)c->scratch + 4 * KK_DIM(c, 'H')); }

static void cell_backward_rows(void *arg, int64_t begin, int64_t end) {
  kk_call *c = arg;
  const int64_t B = KK_DIM(c, 'B'), H = KK_DIM(c, 'H');
  kk_real *dg = cell_gates(c), *dc = dg + B * 4 * H, *zero = dc + B * H;
  kk_gates_backward(&(kk_gates){
    .rows = end - begin, .units = H, .g = kk_out(c, 2) + begin * 4 * H, .g_ld = 4 * H, .g_next = H,
    .c0 = kk_in(c, C0) + begin * H, .c0_ld = H, .c1 = kk_out(c, 1) + begin * H, .c_ld = H,
    .dy = kk_dout(c, 0) + begin * H, .dy_ld = H, .dh = zero, .dh_ld = 0, .dc = dc + begin * H, .dc_ld = H,
    .dact = kk_dout(c, 2) + begin * 4 * H, .dg = dg + begin * 4 * H});
}

/* All weights through the gradient of the gates before their non-linearities, dg [B,4H]. */
static void cell_backward(kk_call *c) {
  const int64_t B = KK_DIM(c, 'B'), D = KK_DIM(c, 'D'), H = KK_DIM(c, 'H');
  kk_real *dg = cell_gates(c), *dc = dg + B * 4 * H;
  memcpy(dc, kk_dout(c, 1), (size_t)(B * H) * sizeof(kk_real));
  memset(dc + B * H, 0, (size_t)H * sizeof(kk_real));
  kk_pool_for(B, ROWS, cell_backward_rows, c);
  if (c->din[X]) kk_gemm(false, false, B, D, 4 * H, dg, 4 * H, kk_in(c, W_IH), D, true, c->din[X], D);
  if (c->din[H0]) kk_gemm(false, false, B, H, 4 * H, dg, 4 * H, kk_in(c, W_HH), H, true, c->din[H0], H);
  if (c->din[C0])
    for (int64_t i = 0; i < B * H; i++) c->din[C0][i] += dc[i];
  if (c->din[W_IH]) kk_gemm(true, false, 4 * H, D, B, dg, 4 * H, kk_in(c, X), D, true, c->din[W_IH], D);
  if (c->din[W_HH]) kk_gemm(true, false, 4 * H, H, B, dg, 4 * H, kk_in(c, H0), H, true, c->din[W_HH], H);
  if (c->din[BIAS]) {
    double *sum = memset(c->scratch, 0, (size_t)(4 * H) * sizeof(double));
    kk_gates_bias(&(kk_gates){.rows = B, .units = H, .g_ld = 4 * H, .g_next = H, .dg = dg}, sum);
    for (int64_t j = 0; j < 4 * H; j++) c->din[BIAS][j] += (kk_real)sum[j];
  }
}

static bool cell_sample(int variant, kk_sample *s) {
  s->absent[BIAS] = variant == 1;
  return variant < 2;
}

const kk_op kk_op_lstm_cell = {
  .name = "lstm_cell",
  .sig = "x[B,D] h[B,H] c[B,H] w_ih[4H,D] w_hh[4H,H] b[4H]? -> h_next[B,H] c_next[B,H] gates[B,4H]",
  .about = "one LSTM step: [i f g o] = x w_ih' + h w_hh' + b; c_next = sigmoid(f) c + sigmoid(i) tanh(g); "
           "h_next = sigmoid(o) tanh(c_next); gates: activated, in the order i f g o (Hochreiter & Schmidhuber 1997)",
  .blas = true,
  .scratch = cell_scratch,
  .forward = cell_forward,
  .backward = cell_backward,
  .sample = cell_sample,
};
