/* linear.c -- the fully connected layer. */
#include "base/pool.h"
#include "linalg/gemm.h"
#include "op/op.h"

/* Weights are stored [H,D], one row per output, as everywhere in the field. */
static void linear_forward(kk_call *c) {
  const int64_t N = kk_rows(c), D = KK_DIM(c, 'D'), H = KK_DIM(c, 'H');
  const kk_real *b = kk_in(c, 2);
  kk_real *y = kk_out(c, 0);
  if (b)
    for (int64_t n = 0; n < N; n++)
      for (int64_t h = 0; h < H; h++) y[n * H + h] = b[h];
  kk_gemm(false, true, N, H, D, kk_in(c, 0), D, kk_in(c, 1), D, b != NULL, y, H);
}

typedef struct column_job { const kk_real *dy; kk_real *db; int64_t N, H; } column_job;

/* db[h] += sum_n dy[n,h]: each chunk owns a range of columns, so the order of addition is fixed. */
static void linear_columns(void *arg, int64_t begin, int64_t end) {
  const column_job *j = arg;
  enum { W = 64 };
  for (int64_t h = begin; h < end; h += W) {
    double s[W] = {0};
    int64_t w = end - h < W ? end - h : W;
    for (int64_t n = 0; n < j->N; n++)
      for (int64_t i = 0; i < w; i++) s[i] += (double)j->dy[n * j->H + h + i];
    for (int64_t i = 0; i < w; i++) j->db[h + i] += (kk_real)s[i];
  }
}

/* dx = dy w,  dw = dy' x,  db = column sums of dy. */
static void linear_backward(kk_call *c) {
  const int64_t N = kk_rows(c), D = KK_DIM(c, 'D'), H = KK_DIM(c, 'H');
  const kk_real *dy = kk_dout(c, 0);
  if (c->din[0]) kk_gemm(false, false, N, D, H, dy, H, kk_in(c, 1), D, true, c->din[0], D);
  if (c->din[1]) kk_gemm(true, false, H, D, N, dy, H, kk_in(c, 0), D, true, c->din[1], D);
  if (c->din[2]) {
    column_job j = {dy, c->din[2], N, H};
    kk_pool_for(H, 64, linear_columns, &j);
  }
}

const kk_op kk_op_linear = {
  .name = "linear",
  .sig = "x[...,D] w[H,D] b[H]? -> y[...,H]",
  .about = "y = x w' + b",
  .blas = true,
  .forward = linear_forward,
  .backward = linear_backward,
};
