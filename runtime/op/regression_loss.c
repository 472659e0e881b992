/* regression_loss.c -- squared, Huber's or absolute error, with a weight an item, and the plain errors' sums. */
#include <math.h>

#include "op/op.h"

enum { X, TARGET, WEIGHT, KIND = 0, DELTA = 1 };
enum { SQUARED, HUBER, ABSOLUTE };

static double error_loss(const kk_call *c, double e) {
  const double delta = c->opt[DELTA], size = fabs(e);
  switch ((int)c->opt[KIND]) {
    case SQUARED: return e * e;
    case HUBER: return size <= delta ? e * e / 2 : delta * (size - delta / 2);
    default: return size;
  }
}

static double error_slope(const kk_call *c, double e) {
  const double delta = c->opt[DELTA];
  switch ((int)c->opt[KIND]) {
    case SQUARED: return 2 * e;
    case HUBER: return e > delta ? delta : e < -delta ? -delta : e;
    default: return e > 0 ? 1 : e < 0 ? -1 : e;
  }
}

/* An item of weight 0 is not looked at: its target may be nan. */
static void regression_loss_forward(kk_call *c) {
  const kk_real *x = kk_in(c, X), *t = kk_in(c, TARGET), *w = kk_in(c, WEIGHT);
  double loss = 0, norm = 0, squares = 0, sizes = 0, counted = 0;
  for (int64_t i = 0, n = kk_rows(c); i < n; i++) {
    const double wi = w ? (double)w[i] : 1;
    if (wi == 0) continue;
    const double e = (double)x[i] - (double)t[i];
    loss += wi * error_loss(c, e);
    norm += wi;
    squares += e * e;
    sizes += fabs(e);
    counted++;
  }
  if (counted == 0) norm = 1;                          /* every item left out: the loss is 0 */
  kk_out(c, 0)[0] = (kk_real)(loss / norm);
  kk_out(c, 1)[0] = (kk_real)squares;
  kk_out(c, 1)[1] = (kk_real)sizes;
  kk_out(c, 1)[2] = (kk_real)counted;
  if (c->nsave) kk_saved(c, 0)[0] = (kk_real)norm;
}

static void regression_loss_backward(kk_call *c) {
  const kk_real *x = kk_in(c, X), *t = kk_in(c, TARGET), *w = kk_in(c, WEIGHT);
  const double scale = (double)kk_dout(c, 0)[0] / (double)kk_saved(c, 0)[0];
  for (int64_t i = 0, n = kk_rows(c); i < n; i++)
    if (!w || w[i] != 0)
      c->din[X][i] += (kk_real)(scale * (w ? (double)w[i] : 1) * error_slope(c, (double)x[i] - (double)t[i]));
}

static kk_status regression_loss_check(const kk_call *c, kk_err *e) {
  const kk_real *w = kk_in(c, WEIGHT);
  for (int64_t i = 0, n = kk_rows(c); w && i < n; i++)
    if (!(w[i] >= 0 && w[i] <= 1e30))
      return kk_fail(e, KK_EARG, "regression_loss: weight %lld is %g, expected 0 or more", (long long)i + 1, (double)w[i]);
  return KK_OK;
}

static kk_status regression_loss_shape(kk_call *c, kk_shape *out, kk_err *e) {
  (void)c;
  (void)e;
  out[1] = (kk_shape){.ndim = 1, .n = {3}};
  return KK_OK;
}

/* The absolute error has no slope at 0: targets are kept away from x there. */
static bool regression_loss_sample(int variant, kk_sample *s) {
  s->shape[X] = s->shape[TARGET] = s->shape[WEIGHT] = (kk_shape){2, {3, 4}};
  s->lo[WEIGHT] = 0.1;
  s->absent[WEIGHT] = variant % 2 == 0;
  s->opt[KIND] = variant / 2;
  s->opt[DELTA] = 0.4;
  if (variant / 2 == ABSOLUTE) {
    s->lo[TARGET] = variant % 2 ? 1.1 : -2;
    s->hi[TARGET] = variant % 2 ? 2 : -1.1;
  }
  return variant < 6;
}

const kk_op kk_op_regression_loss = {
  .name = "regression_loss",
  .sig = "x[...] target[...]! w[...]?! -> loss[] stats[?]!; norm[]",
  .about = "loss = sum w l(x - target) / sum w. l(e): mse e^2; huber e^2/2 up to delta, delta (|e| - delta/2) beyond (Huber "
           "1964); mae |e|. Items of weight 0 are not read (missing targets). stats: sums of e^2 and |e| and number of the items read",
  .opts = {{"kind", 0, 0, 2, "which error", "mse huber mae"},
           {"delta", 1, 1e-6, 1e30, "huber: where the square becomes a line, in the unit of x", NULL}},
  .shape = regression_loss_shape,
  .check = regression_loss_check,
  .forward = regression_loss_forward,
  .backward = regression_loss_backward,
  .sample = regression_loss_sample,
};
