/* clamp.c -- values brought into a range. */
#include <math.h>

#include "op/each.h"

enum { LO, HI };

KK_ROWS1(clamp_rows, (double)x < opt[LO] ? (double)opt[LO] : (double)x > opt[HI] ? (double)opt[HI] : (double)x)
KK_GRAD1(clamp_grad, (double)x < opt[LO] || (double)x > opt[HI] ? 0 : g)

/* The limits of an integer tensor are integers that its type can hold. */
static kk_status clamp_check(const kk_call *c, kk_err *e) {
  static const double lo[] = {0, -2147483648.0, -9007199254740992.0, 0}, hi[] = {0, 2147483647.0, 9007199254740992.0, 255};
  kk_dtype d = kk_type(c->in[0]);
  if (c->opt[LO] > c->opt[HI]) return kk_fail(e, KK_EARG, "clamp: option min is %g, above max, %g", c->opt[LO], c->opt[HI]);
  if (d == KK_F32) return KK_OK;
  for (int i = LO; i <= HI; i++)
    if (isfinite(c->opt[i]) && (c->opt[i] != floor(c->opt[i]) || c->opt[i] < lo[d] || c->opt[i] > hi[d]))
      return kk_fail(e, KK_EARG, "clamp: option %s is %g, expected an integer of type %s", c->op->opts[i].name, c->opt[i],
                     kk_dtype_name(d));
  return KK_OK;
}

static void clamp_forward(kk_call *c) { kk_each1(c, clamp_rows[kk_type(c->in[0])], KK_GRAIN); }
static void clamp_backward(kk_call *c) { kk_each1_grad(c, clamp_grad); }

static bool clamp_sample(int variant, kk_sample *s) {   /* inside, then below a limit */
  s->opt[LO] = variant ? 2 : -2;
  s->opt[HI] = 3;
  return variant < 2;
}

const kk_op kk_op_clamp = {
  .name = "clamp",
  .sig = "x:a[...] -> y:a[...]",
  .about = "y = min(max(x, min), max); no gradient outside",
  .opts = {{"min", -INFINITY, -INFINITY, INFINITY, "least value", NULL},
           {"max", INFINITY, -INFINITY, INFINITY, "greatest value", NULL}},
  .check = clamp_check,
  .forward = clamp_forward,
  .backward = clamp_backward,
  .sample = clamp_sample,
};
