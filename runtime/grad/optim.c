#include "grad/optim.h"

#include <math.h>

#include "base/clones.h"
#include "base/mem.h"
#include "base/pool.h"

enum { CHUNK = 1 << 15 };

typedef struct optim_job {
  kk_real *p, *m, *v;
  const kk_real *g;
  double *sums;
  const kk_adam *adam;
  const kk_sgd *sgd;
} optim_job;

static kk_status optim_check(const char *who, kk_tensor *p, const kk_tensor *const *moments, int n, kk_err *e) {
  char a[KK_SHAPE_STR], b[KK_SHAPE_STR];
  if (!kk_live(p) || kk_type(p) != KK_F32 || !kk_contiguous(p) || kk_numel(&p->shape) != p->store->n)
    return kk_fail(e, KK_EARG, "%s: a parameter must be a whole float32 tensor, not a view", who);
  for (int i = 0; i < n; i++)
    if (!kk_live(moments[i]) || kk_type(moments[i]) != KK_F32 || !kk_contiguous(moments[i]) ||
        !kk_shape_same(&p->shape, &moments[i]->shape))
      return kk_fail(e, KK_ESHAPE, "%s: moment %d is %s, the parameter is %s", who, i + 1,
                     kk_shape_str(&moments[i]->shape, a), kk_shape_str(&p->shape, b));
  if (!p->store->grad) return KK_OK;
  for (int i = 0; i < n; i++)
    if (kk_writable((kk_tensor *)(uintptr_t)moments[i], who, e)) return e->code;
  return kk_writable(p, who, e);
}

static inline kk_real optim_sqrt(kk_real x) { return sizeof(kk_real) == 4 ? (kk_real)sqrtf((float)x) : (kk_real)sqrt((double)x); }

KK_CLONES static void adam_span(kk_real *restrict p, kk_real *restrict m, kk_real *restrict v, const kk_real *restrict g,
                                int64_t n, const kk_adam *a) {
  const kk_real b1 = (kk_real)a->beta1, b2 = (kk_real)a->beta2, c1 = 1 - b1, c2 = 1 - b2, scale = (kk_real)a->scale;
  const kk_real keep = (kk_real)(1 - a->lr * a->decay), eps = (kk_real)a->eps;
  const kk_real fix1 = (kk_real)(a->lr / (1 - pow(a->beta1, (double)a->step)));
  const kk_real fix2 = (kk_real)(1 / (1 - pow(a->beta2, (double)a->step)));
  for (int64_t i = 0; i < n; i++) {
    kk_real gi = g[i] * scale;
    m[i] = b1 * m[i] + c1 * gi;
    v[i] = b2 * v[i] + c2 * gi * gi;
    p[i] = keep * p[i] - fix1 * m[i] / (optim_sqrt(v[i] * fix2) + eps);
  }
}

static void adam_chunk(void *arg, int64_t begin, int64_t end) {
  const optim_job *j = arg;
  adam_span(j->p + begin, j->m + begin, j->v + begin, j->g + begin, end - begin, j->adam);
}

kk_status kk_adam_step(kk_tensor *p, kk_tensor *m, kk_tensor *v, const kk_adam *a, kk_err *e) {
  const kk_tensor *moments[2] = {m, v};
  optim_job j = {.adam = a};
  if (optim_check("adam", p, moments, 2, e)) return e->code;
  if (!p->store->grad) return KK_OK;
  j.p = kk_real_data(p);
  j.m = kk_real_data(m);
  j.v = kk_real_data(v);
  j.g = p->store->grad;
  kk_pool_for(p->store->n, CHUNK, adam_chunk, &j);
  return KK_OK;
}

static void sgd_chunk(void *arg, int64_t begin, int64_t end) {
  const optim_job *j = arg;
  const kk_sgd *s = j->sgd;
  const kk_real lr = (kk_real)s->lr, mu = (kk_real)s->momentum, decay = (kk_real)s->decay, scale = (kk_real)s->scale;
  for (int64_t i = begin; i < end; i++) {
    kk_real g = j->g[i] * scale + decay * j->p[i];
    if (j->m) {
      j->m[i] = mu * j->m[i] + g;
      g = s->nesterov ? g + mu * j->m[i] : j->m[i];
    }
    j->p[i] -= lr * g;
  }
}

kk_status kk_sgd_step(kk_tensor *p, kk_tensor *buf, const kk_sgd *s, kk_err *e) {
  const kk_tensor *moments[1] = {buf};
  optim_job j = {.sgd = s};
  if (optim_check("sgd", p, moments, buf ? 1 : 0, e)) return e->code;
  if (!p->store->grad) return KK_OK;
  j.p = kk_real_data(p);
  j.m = buf ? kk_real_data(buf) : NULL;
  j.g = p->store->grad;
  kk_pool_for(p->store->n, CHUNK, sgd_chunk, &j);
  return KK_OK;
}

static void sumsq_chunk(void *arg, int64_t begin, int64_t end) {
  const optim_job *j = arg;
  double s = 0;
  for (int64_t i = begin; i < end; i++) s += (double)j->g[i] * (double)j->g[i];
  j->sums[begin / CHUNK] = s;
}

kk_status kk_grad_sumsq(const kk_tensor *p, double *out, kk_err *e) {
  int64_t n = p->store->n, chunks = (n + CHUNK - 1) / CHUNK;
  optim_job j = {.g = p->store->grad};
  *out = 0;
  if (!j.g) return KK_OK;
  j.sums = kk_alloc((size_t)chunks * sizeof(double));
  if (!j.sums) return kk_fail(e, KK_ENOMEM, "grad_norm: out of memory");
  kk_pool_for(n, CHUNK, sumsq_chunk, &j);
  for (int64_t i = 0; i < chunks; i++) *out += j.sums[i];
  kk_free(j.sums, (size_t)chunks * sizeof(double));
  return KK_OK;
}
