/* log.c -- the natural logarithm. */
#include "op/each.h"
#include "op/vmath.h"

KK_CLONES KK_ROW1(log_row, kk_real, kk_real, kk_log(x))
KK_GRAD1(log_grad, g / x)

static void log_forward(kk_call *c) { kk_each1(c, log_row, KK_GRAIN_SLOW); }
static void log_backward(kk_call *c) { kk_each1_grad(c, log_grad); }

static bool log_sample(int variant, kk_sample *s) {
  s->lo[0] = 0.5;
  s->hi[0] = 2;
  return variant == 0;
}

const kk_op kk_op_log = {
  .name = "log",
  .sig = "x[...] -> y[...]",
  .about = "y = ln x; -inf at 0, nan below",
  .forward = log_forward,
  .backward = log_backward,
  .sample = log_sample,
};
