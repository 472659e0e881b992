/* matmul.c -- the matrix product. */
#include "op/matmul.h"

static void matmul_forward(kk_call *c) {
  const int64_t M = KK_DIM(c, 'M'), K = KK_DIM(c, 'K'), N = KK_DIM(c, 'N');
  kk_matmul((kk_products){false, false, false, M, N, K, kk_in(c, 0), kk_in(c, 1), kk_out(c, 0)}, kk_rows(c));
}

/* da = dy b',  db = a' dy */
static void matmul_backward(kk_call *c) {
  const int64_t M = KK_DIM(c, 'M'), K = KK_DIM(c, 'K'), N = KK_DIM(c, 'N');
  kk_matmul((kk_products){false, true, true, M, K, N, kk_dout(c, 0), kk_in(c, 1), c->din[0]}, kk_rows(c));
  kk_matmul((kk_products){true, false, true, K, N, M, kk_in(c, 0), kk_dout(c, 0), c->din[1]}, kk_rows(c));
}

const kk_op kk_op_matmul = {
  .name = "matmul",
  .sig = "a[...,M,K] b[...,K,N] -> y[...,M,N]",
  .about = "y = a b for every matrix of the batch",
  .blas = true,
  .forward = matmul_forward,
  .backward = matmul_backward,
};
