/* matmul_nt.c -- the product with a transposed second matrix. */
#include "op/matmul.h"

static void matmul_nt_forward(kk_call *c) {
  const int64_t M = KK_DIM(c, 'M'), K = KK_DIM(c, 'K'), N = KK_DIM(c, 'N');
  kk_matmul((kk_products){false, true, false, M, N, K, kk_in(c, 0), kk_in(c, 1), kk_out(c, 0)}, kk_rows(c));
}

/* da = dy b,  db = dy' a */
static void matmul_nt_backward(kk_call *c) {
  const int64_t M = KK_DIM(c, 'M'), K = KK_DIM(c, 'K'), N = KK_DIM(c, 'N');
  kk_matmul((kk_products){false, false, true, M, K, N, kk_dout(c, 0), kk_in(c, 1), c->din[0]}, kk_rows(c));
  kk_matmul((kk_products){true, false, true, N, K, M, kk_dout(c, 0), kk_in(c, 0), c->din[1]}, kk_rows(c));
}

const kk_op kk_op_matmul_nt = {
  .name = "matmul_nt",
  .sig = "a[...,M,K] b[...,N,K] -> y[...,M,N]",
  .about = "y = a b' for every matrix of the batch",
  .blas = true,
  .forward = matmul_nt_forward,
  .backward = matmul_nt_backward,
};
