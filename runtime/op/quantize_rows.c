/* quantize_rows.c -- weights of eight bits, for lstm_q8 and linear_q8. */
#include <math.h>

#include "base/pool.h"
#include "linalg/q8.h"
#include "op/op.h"

static void quantize_chunk(void *arg, int64_t begin, int64_t end) {
  kk_call *c = arg;
  const int64_t D = KK_DIM(c, 'D');
  for (int64_t h = begin; h < end; h++)
    kk_q8_weights(kk_in(c, 0) + h * D, D, (uint8_t *)kk_data(c->out[0]) + h * D, kk_out(c, 1) + h);
}

static void quantize_forward(kk_call *c) { kk_pool_for(KK_DIM(c, 'H'), 16, quantize_chunk, c); }

static kk_status quantize_check(const kk_call *c, kk_err *e) {
  const kk_real *w = kk_in(c, 0);
  const int64_t D = KK_DIM(c, 'D');
  for (int64_t i = 0; i < KK_DIM(c, 'H') * D; i++)
    if (!isfinite((double)w[i]))
      return kk_fail(e, KK_EARG, "quantize_rows: w[%lld,%lld] is %g, expected finite numbers", (long long)(i / D) + 1,
                     (long long)(i % D) + 1, (double)w[i]);
  return KK_OK;
}

const kk_op kk_op_quantize_rows = {
  .name = "quantize_rows",
  .sig = "w[H,D] -> q:b[H,D] scale[H]",
  .about = "weights of eight bits, a scale a row: scale = max |w| / 127, q = 128 + w / scale to the nearest; w ~ scale (q - 128)",
  .check = quantize_check,
  .forward = quantize_forward,
};
