#include "grad/update.h"

#include <math.h>

#include "base/clones.h"

enum { PART = 1024 };     /* elements: a row that catches up stays in the first-level cache */

/* Second moments below it count as zero: the processor is slow on denormals. */
#define V_TINY ((kk_real)(sizeof(kk_real) == 4 ? 1e-37 : 1e-300))

static inline kk_real update_sqrt(kk_real x) {
  return sizeof(kk_real) == 4 ? (kk_real)sqrtf((float)x) : (kk_real)sqrt((double)x);
}
static inline kk_real update_abs(kk_real x) { return x < 0 ? -x : x; }

static inline void adam_one(kk_real *p, kk_real *m, kk_real *v, kk_real g, const kk_hyper *h) {
  kk_real m1 = h->b1 * *m + h->c1 * g, v1 = h->b2 * *v + h->c2 * g * g;
  m1 = update_abs(m1) < h->tiny ? 0 : m1;
  v1 = v1 < V_TINY ? 0 : v1;
  *m = m1;
  *v = v1;
  *p = h->keep * *p - h->rate * m1 / (update_sqrt(v1 * h->fix) + h->eps);
}

KK_CLONES static void adam_run(kk_real *restrict p, kk_real *restrict m, kk_real *restrict v, kk_real *restrict g,
                               int64_t n, const kk_hyper *hyper) {
  const kk_hyper h = *hyper;
  if (h.leave)
    for (int64_t i = 0; i < n; i++) adam_one(&p[i], &m[i], &v[i], g[i] * h.scale, &h);
  else
    for (int64_t i = 0; i < n; i++) {
      adam_one(&p[i], &m[i], &v[i], g[i] * h.scale, &h);
      g[i] = 0;
    }
}

/* Adam without a gradient where every first moment is zero: p and v only shrink. */
KK_CLONES static void adam_rest(kk_real *restrict p, kk_real *restrict v, int64_t n, const kk_hyper *h) {
  const kk_real keep = h->keep, b2 = h->b2;
  for (int64_t i = 0; i < n; i++) {
    kk_real v1 = b2 * v[i];
    v[i] = v1 < V_TINY ? 0 : v1;
    p[i] = keep * p[i];
  }
}

static inline void sgd_one(kk_real *p, kk_real *m, kk_real g, const kk_hyper *h) {
  *m = h->b1 * *m + g;
  *p = *p - h->rate * (h->nesterov ? g + h->b1 * *m : *m);
}

KK_CLONES static void sgd_run(kk_real *restrict p, kk_real *restrict m, kk_real *restrict g, int64_t n,
                              const kk_hyper *hyper) {
  const kk_hyper h = *hyper;
  for (int64_t i = 0; i < n; i++) {
    const kk_real gi = g[i] * h.scale + h.l2 * p[i];
    g[i] = h.leave ? g[i] : 0;
    if (m) sgd_one(&p[i], &m[i], gi, &h);
    else p[i] = p[i] - h.rate * gi;
  }
}

static inline void asgd_one(kk_real *p, kk_real *a, kk_real g, const kk_hyper *h) {
  *p = h->keep * *p - h->rate * g;
  *a = h->share == 1 ? *p : *a + (*p - *a) * h->share;
}

KK_CLONES static void asgd_run(kk_real *restrict p, kk_real *restrict a, kk_real *restrict g, int64_t n,
                               const kk_hyper *hyper) {
  const kk_hyper h = *hyper;
  for (int64_t i = 0; i < n; i++) {
    const kk_real gi = g[i] * h.scale + h.l2 * p[i];
    g[i] = h.leave ? g[i] : 0;
    asgd_one(&p[i], &a[i], gi, &h);
  }
}

static void update_part(kk_rule rule, kk_real *p, kk_real *s0, kk_real *s1, kk_real *g, int64_t n, const kk_hyper *h) {
  switch (rule) {
    case KK_ADAM: adam_run(p, s0, s1, g, n, h); break;
    case KK_SGD: sgd_run(p, s0, g, n, h); break;
    case KK_ASGD: asgd_run(p, s0, g, n, h); break;
  }
}

void kk_update(kk_rule rule, kk_real *p, kk_real *s0, kk_real *s1, kk_real *g, int64_t n, const kk_hyper *h) {
  for (int64_t i = 0; i < n; i += PART)
    update_part(rule, p + i, s0 ? s0 + i : NULL, s1 ? s1 + i : NULL, g + i, n - i < PART ? n - i : PART, h);
}

static bool update_zero(const kk_real *x, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    if (x[i] != 0) return false;          /* NaN is no zero */
  return true;
}

/* The very code of a step with a gradient, on a gradient of zeros: how products and sums are fused cannot differ. */
static void update_idle_part(kk_rule rule, kk_real *p, kk_real *s0, kk_real *s1, int64_t n, const kk_hyper *past,
                             int64_t mask, int64_t from, int64_t to) {
  kk_real zero[PART] = {0};
  bool rest = false;
  for (int64_t t = from; t < to; t++) {
    const kk_hyper *h = &past[t & mask];
    if (rule == KK_ADAM && !rest && ((t - from) & 15) == 0) rest = update_zero(s0, n);
    if (!rest) update_part(rule, p, s0, s1, zero, n, h);
    else if (h->keep != 1 || !update_zero(s1, n)) adam_rest(p, s1, n, h);
  }
}

void kk_update_idle(kk_rule rule, kk_real *p, kk_real *s0, kk_real *s1, int64_t n, const kk_hyper *past, int64_t mask,
                    int64_t from, int64_t to) {
  if (update_zero(p, n) && (!s0 || update_zero(s0, n)) && (!s1 || update_zero(s1, n))) return;    /* as it began: zero stays zero */
  for (int64_t i = 0; i < n; i += PART)
    update_idle_part(rule, p + i, s0 ? s0 + i : NULL, s1 ? s1 + i : NULL, n - i < PART ? n - i : PART, past, mask,
                     from, to);
}

bool kk_update_moves(kk_rule rule, const kk_hyper *h, bool state) {
  if (rule == KK_ASGD) return h->l2 != 0 || h->keep != 1 || h->share != 0;
  return state || h->l2 != 0;          /* without momentum a buffer becomes the gradient, which is zero */
}

typedef kk_real part __attribute__((vector_size(8 * sizeof(kk_real)), aligned(sizeof(kk_real))));
typedef double wide __attribute__((vector_size(64)));

KK_CLONES static double update_sumsq(const kk_real *g, int64_t n) {
  wide a = {0}, b = {0};
  double s = 0;
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const wide x = __builtin_convertvector(*(const part *)(g + i), wide);
    const wide y = __builtin_convertvector(*(const part *)(g + i + 8), wide);
    a += x * x;
    b += y * y;
  }
  for (; i < n; i++) s += (double)g[i] * (double)g[i];
  a += b;
  for (int k = 0; k < 8; k++) s += a[k];
  return s;
}

double kk_update_sumsq(const kk_real *g, int64_t n) { return update_sumsq(g, n); }
