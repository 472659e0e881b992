/* linear.c -- the fully connected layer. */
#include "base/pool.h"
#include "linalg/gemm.h"
#include "op/weights.h"

enum { FEW = 64 };                     /* rows for which packing the weights costs more than a tenth of the product */

static const char LINEAR_FORM;         /* its address names the weights' packed form */

/* y (+)= x w' with weights that stay packed from call to call: a decoder that is asked for one token at a time. */
static bool linear_kept(kk_call *c, int64_t N, int64_t H, int64_t D, bool add) {
  const size_t size = (size_t)kk_packed_count(D, H) * sizeof(kk_real);
  kk_derived *keep = kk_weights_form(c, 1, &LINEAR_FORM, kk_packed_form(), size, N > 0 && N <= FEW);
  kk_packed w;
  if (!keep) return false;
  w = keep->filled ? kk_packed_of(D, H, keep->data) : kk_pack(true, D, H, kk_in(c, 1), D, keep->data);
  keep->filled = true;
  kk_gemm_packed(N, kk_in(c, 0), D, &w, add, kk_out(c, 0), H);
  return true;
}

/* Weights are stored [H,D], one row per output, as everywhere in the field. */
static void linear_forward(kk_call *c) {
  const int64_t N = kk_rows(c), D = KK_DIM(c, 'D'), H = KK_DIM(c, 'H');
  const kk_real *b = kk_in(c, 2);
  kk_real *y = kk_out(c, 0);
  if (b)
    for (int64_t n = 0; n < N; n++)
      for (int64_t h = 0; h < H; h++) y[n * H + h] = b[h];
  if (!linear_kept(c, N, H, D, b != NULL))
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
