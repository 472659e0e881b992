/* matmul_tn.c -- the product with a transposed first matrix. */
#include "op/matmul.h"

static void matmul_tn_forward(kk_call *c) {
  const int64_t M = KK_DIM(c, 'M'), K = KK_DIM(c, 'K'), N = KK_DIM(c, 'N');
  kk_matmul((kk_products){true, false, false, M, N, K, kk_in(c, 0), kk_in(c, 1), kk_out(c, 0)}, kk_rows(c));
}

/* da = b dy',  db = a dy */
static void matmul_tn_backward(kk_call *c) {
  const int64_t M = KK_DIM(c, 'M'), K = KK_DIM(c, 'K'), N = KK_DIM(c, 'N');
  kk_matmul((kk_products){false, true, true, K, M, N, kk_in(c, 1), kk_dout(c, 0), c->din[0]}, kk_rows(c));
  kk_matmul((kk_products){false, false, true, K, N, M, kk_in(c, 0), kk_dout(c, 0), c->din[1]}, kk_rows(c));
}

const kk_op kk_op_matmul_tn = {
  .name = "matmul_tn",
  .sig = "a[...,K,M] b[...,K,N] -> y[...,M,N]",
  .about = "y = a' b for every matrix of the batch",
  .blas = true,
  .forward = matmul_tn_forward,
  .backward = matmul_tn_backward,
};
