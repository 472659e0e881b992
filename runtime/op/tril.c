/* tril.c -- the lower triangle of matrices. */
#include <math.h>
#include <string.h>

#include "op/axis.h"

static kk_status tril_check(const kk_call *c, kk_err *e) {
  if (c->opt[0] == floor(c->opt[0])) return KK_OK;
  return kk_fail(e, KK_EARG, "tril: option diagonal is %g, expected an integer", c->opt[0]);
}

/* Columns of row i that stay: from *a to *b - 1. */
static void tril_span(const kk_call *c, int64_t i, int64_t *a, int64_t *b) {
  int64_t N = KK_DIM(c, 'N'), edge = i + (int64_t)c->opt[0];
  *a = 0;
  *b = edge < -1 ? 0 : edge + 1 > N ? N : edge + 1;
}

static void tril_forward(kk_call *c) {
  const int64_t M = KK_DIM(c, 'M'), N = KK_DIM(c, 'N');
  memset(kk_out(c, 0), 0, (size_t)(kk_rows(c) * M * N) * sizeof(kk_real));
  for (int64_t r = 0; r < kk_rows(c) * M; r++) {
    int64_t a, b;
    tril_span(c, r % M, &a, &b);
    for (int64_t j = a; j < b; j++) kk_out(c, 0)[r * N + j] = kk_in(c, 0)[r * N + j];
  }
}

static void tril_backward(kk_call *c) {
  const int64_t M = KK_DIM(c, 'M'), N = KK_DIM(c, 'N');
  for (int64_t r = 0; r < kk_rows(c) * M; r++) {
    int64_t a, b;
    tril_span(c, r % M, &a, &b);
    for (int64_t j = a; j < b; j++) c->din[0][r * N + j] += kk_dout(c, 0)[r * N + j];
  }
}

const kk_op kk_op_tril = {
  .name = "tril",
  .sig = "x[...,M,N] -> y[...,M,N]",
  .about = "y[i,j] = x[i,j] where j <= i + diagonal, else 0",
  .opts = {{"diagonal", 0, -1e9, 1e9, "0: the main one, 1: the one right of it, -1: left of it", NULL}},
  .check = tril_check,
  .forward = tril_forward,
  .backward = tril_backward,
};
