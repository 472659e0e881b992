/* batch_norm.c -- normalises each column by the batch, or by given running statistics.
**
** Sums over the batch are taken in double, in pieces of ROWS rows and WIDTH columns, and the pieces are added from
** top to bottom: two passes over x in either direction, the same bits for any number of threads. */
#include <math.h>
#include <string.h>

#include "base/clones.h"
#include "base/pool.h"
#include "op/op.h"

enum { X, GAIN, BIAS, MEAN, VAR };
enum { ROWS = 128, WIDTH = 256 };

/* scratch: two sums of each column for each piece of rows, then what the second pass needs of each column. */
typedef struct bn_job {
  kk_call *c;
  int64_t N, D, strips;               /* strips of WIDTH columns */
  double *sums;                       /* [pieces, 2, D] */
  kk_real *k;                         /* [3, D] */
} bn_job;

static bool bn_given(const kk_call *c) { return c->in[MEAN] != NULL; }
static int64_t bn_pieces(const kk_call *c) { return (KK_DIM(c, 'N') + ROWS - 1) / ROWS; }

static size_t batch_norm_scratch(const kk_call *c, bool backward) {
  (void)backward;
  return (size_t)KK_DIM(c, 'D') * ((size_t)bn_pieces(c) * 2 * sizeof(double) + 3 * sizeof(kk_real));
}

static bn_job bn_start(kk_call *c) {
  bn_job j = {.c = c, .N = KK_DIM(c, 'N'), .D = KK_DIM(c, 'D'), .sums = c->scratch};
  j.strips = (j.D + WIDTH - 1) / WIDTH;
  j.k = (kk_real *)(j.sums + bn_pieces(c) * 2 * j.D);
  return j;
}

/* Piece i: rows n .. n + rows, columns d .. d + width. */
typedef struct bn_piece { int64_t n, rows, d, width; } bn_piece;
static bn_piece bn_piece_at(const bn_job *j, int64_t i) {
  bn_piece p = {.n = i / j->strips * ROWS, .d = i % j->strips * WIDTH};
  p.rows = j->N - p.n < ROWS ? j->N - p.n : ROWS;
  p.width = j->D - p.d < WIDTH ? j->D - p.d : WIDTH;
  return p;
}

/* s0 = sum of x - x0, s1 = sum of its square, x0 the column's first element: nothing cancels where means are large. */
KK_CLONES static void bn_moments(void *arg, int64_t begin, int64_t end) {
  const bn_job *j = arg;
  const kk_real *x = kk_in(j->c, X);
  for (int64_t i = begin; i < end; i++) {
    const bn_piece p = bn_piece_at(j, i);
    double s0[WIDTH] = {0}, s1[WIDTH] = {0}, *out = j->sums + p.n / ROWS * 2 * j->D + p.d;
    for (int64_t n = p.n; n < p.n + p.rows; n++)
      for (int64_t d = 0; d < p.width; d++) {
        const double v = (double)x[n * j->D + p.d + d] - (double)x[p.d + d];
        s0[d] += v;
        s1[d] += v * v;
      }
    memcpy(out, s0, (size_t)p.width * sizeof(double));
    memcpy(out + j->D, s1, (size_t)p.width * sizeof(double));
  }
}

/* Columns begin .. end: the two sums over all pieces. */
static void bn_add_up(const bn_job *j, int64_t begin, int64_t end, double *s0, double *s1) {
  memset(s0, 0, (size_t)(end - begin) * sizeof(double));
  memset(s1, 0, (size_t)(end - begin) * sizeof(double));
  for (int64_t q = 0; q < bn_pieces(j->c); q++)
    for (int64_t d = begin; d < end; d++) {
      s0[d - begin] += j->sums[q * 2 * j->D + d];
      s1[d - begin] += j->sums[(q * 2 + 1) * j->D + d];
    }
}

/* k: mean, gain / sqrt(var + eps). */
static void bn_forward_columns(void *arg, int64_t begin, int64_t end) {
  const bn_job *j = arg;
  kk_call *c = j->c;
  const kk_real *x = kk_in(c, X);
  kk_real *mean = kk_out(c, 1), *var = kk_out(c, 2);
  double s0[WIDTH], s1[WIDTH];
  if (!bn_given(c)) bn_add_up(j, begin, end, s0, s1);
  for (int64_t d = begin; d < end; d++) {
    double m, v;
    if (bn_given(c)) {
      m = (double)kk_in(c, MEAN)[d];
      v = (double)kk_in(c, VAR)[d];
    } else {
      m = s0[d - begin] / (double)j->N;
      v = s1[d - begin] / (double)j->N - m * m;
      m += (double)x[d];
      if (v < 0) v = 0;
    }
    mean[d] = (kk_real)m;
    var[d] = (kk_real)v;
    j->k[d] = (kk_real)m;
    j->k[j->D + d] = (kk_real)((double)kk_in(c, GAIN)[d] / sqrt(v + c->opt[0]));
  }
}

KK_CLONES static void bn_forward_rows(void *arg, int64_t begin, int64_t end) {
  const bn_job *j = arg;
  const kk_real *restrict k = j->k, *restrict scale = j->k + j->D, *restrict b = kk_in(j->c, BIAS);
  for (int64_t n = begin; n < end; n++) {
    const kk_real *restrict x = kk_in(j->c, X) + n * j->D;
    kk_real *restrict y = kk_out(j->c, 0) + n * j->D;
    for (int64_t d = 0; d < j->D; d++) y[d] = (x[d] - k[d]) * scale[d] + b[d];
  }
}

static int64_t bn_grain(const bn_job *j) { return 1 + 16384 / (j->D + 1); }   /* rows of a chunk */

/* Outputs 1 and 2 are what was used: batch mean and (biased) variance, or the given ones. */
static void batch_norm_forward(kk_call *c) {
  bn_job j = bn_start(c);
  if (!bn_given(c)) kk_pool_for(bn_pieces(c) * j.strips, 1, bn_moments, &j);
  kk_pool_for(j.D, WIDTH, bn_forward_columns, &j);
  kk_pool_for(j.N, bn_grain(&j), bn_forward_rows, &j);
}

/* s0 = sum of dy, s1 = sum of dy (x - mean) */
KK_CLONES static void bn_gradients(void *arg, int64_t begin, int64_t end) {
  const bn_job *j = arg;
  const kk_real *x = kk_in(j->c, X), *dy = kk_dout(j->c, 0), *mean = kk_out(j->c, 1);
  for (int64_t i = begin; i < end; i++) {
    const bn_piece p = bn_piece_at(j, i);
    double s0[WIDTH] = {0}, s1[WIDTH] = {0}, *out = j->sums + p.n / ROWS * 2 * j->D + p.d;
    for (int64_t n = p.n; n < p.n + p.rows; n++)
      for (int64_t d = 0; d < p.width; d++) {
        const double g = (double)dy[n * j->D + p.d + d];
        s0[d] += g;
        s1[d] += g * ((double)x[n * j->D + p.d + d] - (double)mean[p.d + d]);
      }
    memcpy(out, s0, (size_t)p.width * sizeof(double));
    memcpy(out + j->D, s1, (size_t)p.width * sizeof(double));
  }
}

/* dx = k0 dy - k1 (x - mean) - k2 */
static void bn_backward_columns(void *arg, int64_t begin, int64_t end) {
  const bn_job *j = arg;
  kk_call *c = j->c;
  const double N = (double)j->N;
  double s0[WIDTH], s1[WIDTH];
  bn_add_up(j, begin, end, s0, s1);
  for (int64_t d = begin; d < end; d++) {
    const double rstd = 1 / sqrt((double)kk_out(c, 2)[d] + c->opt[0]), g = (double)kk_in(c, GAIN)[d] * rstd;
    const double a = s0[d - begin], b = s1[d - begin] * rstd;
    if (c->din[GAIN]) c->din[GAIN][d] += (kk_real)b;
    if (c->din[BIAS]) c->din[BIAS][d] += (kk_real)a;
    j->k[d] = (kk_real)g;
    j->k[j->D + d] = bn_given(c) ? 0 : (kk_real)(g * rstd * b / N);
    j->k[2 * j->D + d] = bn_given(c) ? 0 : (kk_real)(g * a / N);
  }
}

KK_CLONES static void bn_backward_rows(void *arg, int64_t begin, int64_t end) {
  const bn_job *j = arg;
  const kk_real *restrict k0 = j->k, *restrict k1 = j->k + j->D, *restrict k2 = k1 + j->D;
  const kk_real *restrict mean = kk_out(j->c, 1);
  for (int64_t n = begin; n < end; n++) {
    const kk_real *restrict x = kk_in(j->c, X) + n * j->D, *restrict dy = kk_dout(j->c, 0) + n * j->D;
    kk_real *restrict dx = j->c->din[X] + n * j->D;
    for (int64_t d = 0; d < j->D; d++) dx[d] += k0[d] * dy[d] - k1[d] * (x[d] - mean[d]) - k2[d];
  }
}

/* Batch statistics: dx = gain rstd (dy - mean(dy) - xhat mean(dy xhat)); given ones: dx = gain rstd dy */
static void batch_norm_backward(kk_call *c) {
  bn_job j = bn_start(c);
  kk_pool_for(bn_pieces(c) * j.strips, 1, bn_gradients, &j);
  kk_pool_for(j.D, WIDTH, bn_backward_columns, &j);
  if (c->din[X]) kk_pool_for(j.N, bn_grain(&j), bn_backward_rows, &j);
}

static kk_status batch_norm_check(const kk_call *c, kk_err *e) {
  if (!c->in[MEAN] != !c->in[VAR]) return kk_fail(e, KK_EARG, "batch_norm: give both mean and var, or neither");
  if (!bn_given(c) && KK_DIM(c, 'N') < 2)
    return kk_fail(e, KK_EARG, "batch_norm: statistics of a batch of %lld rows; give mean and var, or more rows",
                   (long long)KK_DIM(c, 'N'));
  return KK_OK;
}

static bool batch_norm_sample(int variant, kk_sample *s) {
  s->dim['N' - 'A'] = 5;
  s->absent[MEAN] = s->absent[VAR] = variant == 0;
  s->lo[VAR] = 0.5;
  return variant < 2;
}

const kk_op kk_op_batch_norm = {
  .name = "batch_norm",
  .sig = "x[N,D] gain[D] bias[D] mean[D]?! var[D]?! -> y[N,D] batch_mean[D]! batch_var[D]!",
  .about = "y = (x - mean) / sqrt(var + eps) gain + bias for each column; without mean and var those of the batch, "
           "variance divided by N (Ioffe & Szegedy 2015, algorithm 1)",
  .opts = {{"eps", 1e-5, 1e-12, 1, "added to the variance", NULL}},
  .check = batch_norm_check,
  .scratch = batch_norm_scratch,
  .forward = batch_norm_forward,
  .backward = batch_norm_backward,
  .sample = batch_norm_sample,
};
