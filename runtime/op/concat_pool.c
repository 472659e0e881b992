/* concat_pool.c -- last, maximum and mean over the valid steps of each sequence, or over its last ones, side by side. */
#include <string.h>

#include "base/clones.h"
#include "base/pool.h"
#include "op/op.h"

static int64_t pool_end(const kk_call *c, int64_t b) { return c->in[1] ? kk_idx(c, 1)[b] : KK_DIM(c, 'T'); }
static int64_t pool_start(const kk_call *c, int64_t b) { return c->in[2] ? kk_idx(c, 2)[b] : 0; }

enum { WIDTH = 256 };     /* columns at a time, in the first cache with their results */

/* Columns d .. d + w of sequence b. */
KK_CLONES static void pool_forward_columns(kk_call *c, int64_t b, int64_t d, int64_t w) {
  const int64_t S = pool_start(c, b), T = pool_end(c, b) - S, B = KK_DIM(c, 'B'), D = KK_DIM(c, 'D');
  const kk_real *h = kk_in(c, 0) + (S * B + b) * D + d;
  kk_real *y = kk_out(c, 0) + b * 3 * D + d, most[WIDTH], sum[WIDTH];
  int32_t at[WIDTH] = {0};
  for (int64_t i = 0; i < w; i++) most[i] = sum[i] = h[i];
  for (int64_t t = 1; t < T; t++) {
    const kk_real *x = h + t * B * D;
    for (int64_t i = 0; i < w; i++) {
      const bool more = x[i] > most[i];
      sum[i] += x[i];
      most[i] = more ? x[i] : most[i];
      at[i] = more ? (int32_t)t : at[i];
    }
  }
  for (int64_t i = 0; i < w; i++) {
    y[i] = h[(T - 1) * B * D + i];
    y[D + i] = most[i];
    y[2 * D + i] = sum[i] / (kk_real)T;
  }
  if (c->nsave) memcpy(kk_i32_data(c->save[0]) + b * D + d, at, (size_t)w * sizeof *at);
}

static void pool_forward_rows(void *arg, int64_t begin, int64_t end) {
  kk_call *c = arg;
  const int64_t D = KK_DIM(c, 'D');
  for (int64_t b = begin; b < end; b++)
    for (int64_t d = 0; d < D; d += WIDTH) pool_forward_columns(c, b, d, D - d < WIDTH ? D - d : WIDTH);
}

static void concat_pool_forward(kk_call *c) { kk_pool_for(KK_DIM(c, 'B'), 4, pool_forward_rows, c); }

static void pool_backward_rows(void *arg, int64_t begin, int64_t end) {
  kk_call *c = arg;
  const int64_t B = KK_DIM(c, 'B'), D = KK_DIM(c, 'D');
  for (int64_t b = begin; b < end; b++) {
    const int64_t S = pool_start(c, b), T = pool_end(c, b) - S;
    const kk_real *dy = kk_dout(c, 0) + b * 3 * D;
    const int32_t *at = kk_i32_data(c->save[0]) + b * D;
    kk_real *dh = c->din[0] + (S * B + b) * D, share = (kk_real)(1.0 / (double)T);
    for (int64_t d = 0; d < D; d++) {
      dh[(T - 1) * B * D + d] += dy[d];
      dh[at[d] * B * D + d] += dy[D + d];
    }
    for (int64_t t = 0; t < T; t++)
      for (int64_t d = 0; d < D; d++) dh[t * B * D + d] += dy[2 * D + d] * share;
  }
}

static void concat_pool_backward(kk_call *c) { kk_pool_for(KK_DIM(c, 'B'), 4, pool_backward_rows, c); }

static kk_status concat_pool_check(const kk_call *c, kk_err *e) {
  const int32_t *len = kk_idx(c, 1);
  if (KK_DIM(c, 'T') < 1) return kk_fail(e, KK_EARG, "concat_pool: no steps");
  for (int64_t b = 0; len && b < KK_DIM(c, 'B'); b++)
    if (len[b] < 1 || len[b] > KK_DIM(c, 'T'))
      return kk_fail(e, KK_EARG, "concat_pool: length %lld is %d, expected 1..%lld", (long long)b + 1, len[b],
                     (long long)KK_DIM(c, 'T'));
  for (int64_t b = 0; c->in[2] && b < KK_DIM(c, 'B'); b++)
    if (kk_idx(c, 2)[b] < 0 || kk_idx(c, 2)[b] >= pool_end(c, b))
      return kk_fail(e, KK_EARG, "concat_pool: skip %lld is %d, expected 0..%lld", (long long)b + 1, kk_idx(c, 2)[b],
                     (long long)pool_end(c, b) - 1);
  return KK_OK;
}

static bool concat_pool_sample(int variant, kk_sample *s) {
  static const int32_t lens[3] = {4, 2, 1}, skip[3] = {2, 1, 0};
  s->dim['T' - 'A'] = 4;
  s->dim['B' - 'A'] = 3;
  s->numbers[1] = lens;
  s->numbers[2] = skip;
  s->absent[1] = variant == 0;
  s->absent[2] = variant < 2;
  return variant < 3;
}

const kk_op kk_op_concat_pool = {
  .name = "concat_pool",
  .sig = "h[T,B,D] lens:n[B]? skip:n[B]? -> y[B,3D]; at:i[B,D]",
  .about = "y = [last, max, mean] over the first lens steps of each sequence, but for the first skip of them (Howard & Ruder 2018, section 3.3)",
  .check = concat_pool_check,
  .forward = concat_pool_forward,
  .backward = concat_pool_backward,
  .sample = concat_pool_sample,
};
