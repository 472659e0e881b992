/* lstm_gates.h -- the non-linear half of an LSTM step, shared by lstm, lstm_cell and lstm_q8.
**
** Gates are i, f, g, o, as in PyTorch:  i, f, o = sigmoid(a), g = tanh(a),
** c' = f c + i g,  h = o tanh c'. */
#ifndef KK_LSTM_GATES_H
#define KK_LSTM_GATES_H

#include "tensor/tensor.h"

/* Some rows of some units. Pointers stand at the first unit of the first row; ld is the distance from
** row to row, and `next` the distance from gate to gate. */
typedef struct kk_gates {
  int64_t rows, units;
  const kk_real *a;                  /* forward: the gates' sums without bias; may be g         */
  int64_t a_ld, a_next;
  kk_real *g;                        /* activated gates: forward writes, backward reads them    */
  int64_t g_ld, g_next;
  const kk_real *b;                  /* bias, gates b_next apart                                */
  int64_t b_next;
  const kk_real *c0;                 /* cells before                                            */
  kk_real *c1;                       /* cells after; forward may have c0 == c1                  */
  int64_t c0_ld, c_ld;
  kk_real *h;                        /* forward: the hidden state. backward: NULL               */
  int64_t h_ld;
  const kk_real *dy, *dh;            /* backward: two parts of the gradient of h                     */
  int64_t dy_ld, dh_ld;
  kk_real *dc;                       /* backward: gradient of c1 in, of c0 out                  */
  int64_t dc_ld;
  const kk_real *dact;               /* backward: gradient of the activated gates, laid out as g, or NULL */
  kk_real *dg;                       /* backward: gradient of a, laid out as g, which it may be */
} kk_gates;

void kk_gates_forward(const kk_gates *s);
void kk_gates_backward(const kk_gates *s);
/* sum[gate g_next + u] += dg of some rows, u < units, in double and row after row: the bias's gradient. */
void kk_gates_bias(const kk_gates *s, double *sum);

#endif
