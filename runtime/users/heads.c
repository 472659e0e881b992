#include "users/heads.h"

#include <math.h>
#include <string.h>

#include "base/clones.h"
#include "base/mem.h"
#include "base/slots.h"
#include "base/stop.h"
#include "tensor/random.h"
#include "users/dense.h"

/* ---- the problem: who has which rows, which fold, how features are scaled */

static kk_status users_check(const float *x, int64_t n, int64_t d, const uint8_t *label, const int32_t *user,
                             int64_t nuser, const double *offset, kk_err *e) {
  if (n < 1 || nuser < 1 || d < 0) return kk_fail(e, KK_EARG, "users: there are no rows");
  for (int64_t i = 0; i < n; i++) {
    long long at = (long long)i + 1;
    if (user[i] < 0 || user[i] >= nuser) return kk_fail(e, KK_EARG, "users: person of row %lld is out of range", at);
    if (label[i] > 1) return kk_fail(e, KK_EARG, "users: label of row %lld is %d, expected 0 or 1", at, label[i]);
    if (!isfinite(offset[i])) return kk_fail(e, KK_EARG, "users: general logit of row %lld is %g", at, offset[i]);
    for (int64_t j = 0; j < d; j++)
      if (!isfinite(x[i * d + j]))
        return kk_fail(e, KK_EARG, "users: feature %lld of row %lld is %g", (long long)j + 1, at, (double)x[i * d + j]);
  }
  return KK_OK;
}

static void users_scale(kk_users *u) {
  double square = 0;
  for (int64_t j = 0; j < u->d; j++) u->mean[j] = 0;
  for (int64_t i = 0; i < u->n; i++)
    for (int64_t j = 0; j < u->d; j++) u->mean[j] += u->x[i * u->d + j];
  for (int64_t j = 0; j < u->d; j++) u->mean[j] /= (double)u->n;
  for (int64_t i = 0; i < u->n; i++)
    for (int64_t j = 0; j < u->d; j++) {
      double z = u->x[i * u->d + j] - u->mean[j];
      square += z * z;
    }
  u->scale = square > 0 ? sqrt(square / (double)u->n) : 1;
}

/* Rows of each person, positives first and then negatives, each shuffled; folds are dealt in that
** order, so each class spreads over the folds as evenly as it can. */
static void users_deal(kk_users *u, const int32_t *user, int folds, uint64_t seed) {
  memset(u->start, 0, (size_t)(u->nuser + 1) * sizeof *u->start);
  memset(u->positives, 0, (size_t)u->nuser * sizeof *u->positives);
  for (int64_t i = 0; i < u->n; i++) u->start[user[i] + 1]++;
  for (int64_t k = 0; k < u->nuser; k++) {
    if (u->start[k + 1] > u->widest) u->widest = u->start[k + 1];
    u->start[k + 1] += u->start[k];
  }
  for (int pass = 1; pass >= 0; pass--) {
    for (int64_t i = 0; i < u->n; i++)
      if (u->label[i] == pass) u->row[u->start[user[i]]++] = i;
    if (pass) for (int64_t i = 0; i < u->n; i++) u->positives[user[i]] += u->label[i];
  }
  for (int64_t k = u->nuser; k > 0; k--) u->start[k] = u->start[k - 1];   /* each had moved to its end */
  u->start[0] = 0;
  for (int64_t k = 0; k < u->nuser; k++) {
    int64_t *row = u->row + u->start[k], m = u->start[k + 1] - u->start[k], pos = u->positives[k];
    kk_stream s = {seed, (uint64_t)k * 2};
    kk_random_shuffle(kk_stream_key(&s), row, pos);
    kk_random_shuffle(kk_stream_key(&s), row + pos, m - pos);
    u->folds[k] = (int32_t)(folds == 0 || folds > m ? m : folds);
    for (int64_t i = 0; i < m; i++) u->fold[row[i]] = (int32_t)(i % u->folds[k]);
  }
}

kk_status kk_users_new(kk_users *u, const float *x, int64_t n, int64_t d, const uint8_t *label, const int32_t *user,
                       int64_t nuser, const double *offset, int folds, uint64_t seed, kk_err *e) {
  *u = (kk_users){.n = n, .d = d, .nuser = nuser, .x = x, .label = label, .offset = offset};
  if (folds < 0 || folds == 1)
    return kk_fail(e, KK_EARG, "users: %d folds, expected 2 or more, or 0 to leave one out", folds);
  kk_status st = users_check(x, n, d, label, user, nuser, offset, e);
  if (st) return st;
  size_t un = (size_t)n, uu = (size_t)nuser;
  u->bytes = (uu + 1 + un + uu) * sizeof(int64_t) + (size_t)d * sizeof(double) + (un + uu) * sizeof(int32_t);
  char *p = u->block = kk_alloc(u->bytes);
  if (!p)
    return kk_fail(e, KK_ENOMEM, "users: no memory for %lld rows of %lld persons", (long long)n, (long long)nuser);
  u->start = (int64_t *)p;
  u->row = u->start + nuser + 1;
  u->positives = u->row + n;
  u->mean = (double *)(u->positives + nuser);
  u->fold = (int32_t *)(u->mean + d);
  u->folds = u->fold + n;
  users_deal(u, user, folds, seed);
  users_scale(u);
  return KK_OK;
}

void kk_users_free(kk_users *u) {
  kk_free(u->block, u->bytes);
  *u = (kk_users){0};
}

/* ---- one person: Newton's method in one of two forms */

typedef struct solver {
  const kk_users *u;
  int64_t *row;        /* the person's rows */
  int m, r;            /* rows; features, 0 for an intercept alone */
  int kernel;          /* more features than rows */
  double *z;           /* primal: [m, r] scaled features */
  double *gram;        /* kernel: [m, m] of z.z' */
  double *system;      /* [q, q], q = rows or r + 1 */
  double *theta, *step, *grad;   /* [q] */
  double *f, *k;       /* [m] logits; [m, m] kernel of the rows in training */
  double *mid, *weight;
  int *train;          /* local rows in training */
  int nt;
} solver;

static double users_softplus(double v) { return v > 0 ? v + log1p(exp(-v)) : log1p(exp(v)); }
static double users_sigmoid(double v) { return 1 / (1 + exp(-v)); }

static size_t users_scratch(const kk_users *u, int64_t r) {
  size_t m = (size_t)u->widest, q = (size_t)r, dual = r + 1 > u->widest;
  size_t a = dual ? m * m : m * q, k = dual ? m * m : 0, s = dual ? m : q + 1;
  return (a + k + s * s + 3 * s + 3 * m) * sizeof(double) + m * sizeof(int) + (size_t)(u->d + 1) * sizeof(double);
}

/* Lays the scratch out for person k, whose system may be smaller than the widest one. */
static void users_open(solver *s, const kk_users *u, int64_t k, int64_t r, char *mem) {
  size_t wide = (size_t)u->widest;
  *s = (solver){.u = u, .row = u->row + u->start[k], .m = (int)(u->start[k + 1] - u->start[k]), .r = (int)r};
  s->kernel = r + 1 > u->widest;
  size_t q = s->kernel ? wide : (size_t)r + 1, first = s->kernel ? wide * wide : wide * (size_t)r;
  double *p = (double *)mem;
  s->z = s->gram = p;
  s->k = p + first;
  s->system = s->k + (s->kernel ? wide * wide : 0);
  s->theta = s->system + q * q;
  s->step = s->theta + q;
  s->grad = s->step + q;
  s->f = s->grad + q;
  s->mid = s->f + wide;
  s->weight = s->mid + wide;
  double *line = s->weight + wide;                     /* [D] one scaled row */
  s->train = (int *)(line + u->d + 1);
  for (int i = 0; i < s->m && r; i++) {
    const float *xi = u->x + s->row[i] * u->d;
    if (!s->kernel) {
      for (int64_t j = 0; j < u->d; j++) s->z[(int64_t)i * r + j] = (xi[j] - u->mean[j]) / u->scale;
      continue;
    }
    for (int64_t j = 0; j < u->d; j++) line[j] = (xi[j] - u->mean[j]) / (u->scale * u->scale);
    for (int t = 0; t <= i; t++) {
      const float *xt = u->x + s->row[t] * u->d;
      double a[4] = {0, 0, 0, 0};                      /* four sums: the order is fixed, the chain is short */
      int64_t j = 0;
      for (; j + 4 <= u->d; j += 4)
        for (int l = 0; l < 4; l++) a[l] += line[j + l] * (xt[j + l] - u->mean[j + l]);
      for (; j < u->d; j++) a[0] += line[j] * (xt[j] - u->mean[j]);
      s->gram[(int64_t)i * s->m + t] = s->gram[(int64_t)t * s->m + i] = (a[0] + a[1]) + (a[2] + a[3]);
    }
  }
}

static double users_offset(const solver *s, int i) { return s->u->offset[s->row[i]]; }
static int users_label(const solver *s, int i) { return s->u->label[s->row[i]]; }

/* Logits of the training rows at theta, and the objective. */
static double users_objective(solver *s, double lambda, double lambda0) {
  double loss = 0, penalty = 0;
  int r = s->r, nt = s->nt;
  for (int i = 0; i < nt; i++) {
    double v = 0;
    if (s->kernel) {
      const double *ki = s->k + (int64_t)i * nt;
      for (int j = 0; j < nt; j++) v += ki[j] * s->theta[j];
      penalty += v * s->theta[i];
    } else {
      const double *zi = s->z + (int64_t)s->train[i] * r;
      v = s->theta[r];
      for (int j = 0; j < r; j++) v += zi[j] * s->theta[j];
    }
    s->f[i] = users_offset(s, s->train[i]) + v;
    loss += users_softplus(users_label(s, s->train[i]) ? -s->f[i] : s->f[i]);
  }
  for (int j = 0; !s->kernel && j < r; j++) penalty += lambda * s->theta[j] * s->theta[j];
  if (!s->kernel) penalty += lambda0 * s->theta[r] * s->theta[r];
  return loss + penalty / 2;
}

/* step = (Newton's next theta) - theta, primal: H step = -gradient. 0 when H is not positive. */
KK_CLONES static int users_step_primal(solver *s, double lambda, double lambda0) {
  int r = s->r, q = r + 1;
  memset(s->system, 0, (size_t)q * (size_t)q * sizeof(double));
  for (int j = 0; j < q; j++) {
    s->system[(int64_t)j * q + j] = j < r ? lambda : lambda0;
    s->step[j] = -(j < r ? lambda : lambda0) * s->theta[j];
  }
  for (int i = 0; i < s->nt; i++) {
    const double *zi = s->z + (int64_t)s->train[i] * r;
    double p = users_sigmoid(s->f[i]), w = p * (1 - p), g = users_label(s, s->train[i]) - p;
    for (int a = 0; a < r; a++) {
      double *row = s->system + (int64_t)a * q, c = w * zi[a];
      for (int b = a; b < r; b++) row[b] += c * zi[b];
      row[r] += c;
      s->step[a] += g * zi[a];
    }
    s->system[(int64_t)r * q + r] += w;
    s->step[r] += g;
  }
  if (kk_chol(s->system, q)) return 0;
  kk_chol_solve(s->system, q, s->step);
  return 1;
}

/* The same in the kernel form: with a = theta, f - offset = K a. */
static int users_step_kernel(solver *s) {
  int nt = s->nt;
  for (int i = 0; i < nt; i++) {
    double p = users_sigmoid(s->f[i]), w = p * (1 - p);
    s->weight[i] = sqrt(w);
    s->grad[i] = w * (s->f[i] - users_offset(s, s->train[i])) + users_label(s, s->train[i]) - p;
  }
  for (int i = 0; i < nt; i++) {
    const double *ki = s->k + (int64_t)i * nt;
    double *bi = s->system + (int64_t)i * nt, v = 0;
    for (int j = 0; j < nt; j++) v += ki[j] * s->grad[j];
    s->mid[i] = s->weight[i] * v;
    for (int j = i; j < nt; j++) bi[j] = s->weight[i] * ki[j] * s->weight[j];
    bi[i] += 1;
  }
  if (kk_chol(s->system, nt)) return 0;
  kk_chol_solve(s->system, nt, s->mid);
  for (int i = 0; i < nt; i++) s->step[i] = s->grad[i] - s->weight[i] * s->mid[i] - s->theta[i];
  return 1;
}

/* Newton with halving from the present theta. */
static void users_solve(solver *s, double lambda, double lambda0) {
  int q = s->kernel ? s->nt : s->r + 1;
  for (int i = 0; s->kernel && i < s->nt; i++)
    for (int j = 0; j < s->nt; j++)
      s->k[(int64_t)i * s->nt + j] = s->gram[(int64_t)s->train[i] * s->m + s->train[j]] / lambda + 1 / lambda0;
  double best = users_objective(s, lambda, lambda0);
  for (int iter = 0; iter < 60; iter++) {
    if (!(s->kernel ? users_step_kernel(s) : users_step_primal(s, lambda, lambda0))) return;
    double before = best, scale = 1;
    for (int j = 0; j < q; j++) s->theta[j] += s->step[j];
    best = users_objective(s, lambda, lambda0);
    for (int half = 0; best > before && half < 30; half++) {
      scale /= 2;
      for (int j = 0; j < q; j++) s->theta[j] -= scale * s->step[j];
      best = users_objective(s, lambda, lambda0);
    }
    if (before - best <= 1e-11 * (1 + fabs(best))) return;
  }
}

static double users_predict(const solver *s, int i, double lambda, double lambda0) {
  double v = users_offset(s, i);
  if (s->kernel) {
    const double *gi = s->gram + (int64_t)i * s->m;
    for (int j = 0; j < s->nt; j++) v += (gi[s->train[j]] / lambda + 1 / lambda0) * s->theta[j];
    return v;
  }
  const double *zi = s->z + (int64_t)i * s->r;
  for (int j = 0; j < s->r; j++) v += zi[j] * s->theta[j];
  return v + s->theta[s->r];
}

static void users_start(solver *s) {
  int q = s->kernel ? s->nt : s->r + 1;
  memset(s->theta, 0, (size_t)q * sizeof(double));
}

/* ---- all persons */

typedef struct cross {
  const kk_users *u;
  const double *lambda;
  int nlambda;
  double lambda0, *logit, *loss, *db;
  float *dw;
  int64_t r;
  kk_slots slots;
} cross;

static void users_cross_one(const cross *c, int64_t k, char *mem) {
  const kk_users *u = c->u;
  solver s;
  double *loss = c->loss + k * c->nlambda;
  for (int l = 0; l < c->nlambda; l++) loss[l] = 0;
  if (u->take && !u->take[k]) return;
  if (!kk_users_one_class(u, k)) {
    users_open(&s, u, k, c->r, mem);
    for (int fold = 0; fold < u->folds[k]; fold++) {
      s.nt = 0;
      for (int i = 0; i < s.m; i++)
        if (u->fold[s.row[i]] != fold) s.train[s.nt++] = i;
      users_start(&s);
      for (int l = 0; l < c->nlambda; l++) {          /* from strong to weak: each starts at the one before */
        users_solve(&s, c->lambda[l], c->lambda0);
        for (int i = 0; i < s.m; i++)
          if (u->fold[s.row[i]] == fold) c->logit[l * u->n + s.row[i]] = users_predict(&s, i, c->lambda[l], c->lambda0);
      }
    }
  }
  for (int64_t i = u->start[k]; i < u->start[k + 1]; i++)
    for (int l = 0; l < c->nlambda; l++) {
      int64_t row = u->row[i];
      double *v = &c->logit[l * u->n + row];
      if (kk_users_one_class(u, k)) *v = u->offset[row];
      loss[l] += users_softplus(u->label[row] ? -*v : *v);
    }
}

static void users_cross_chunk(void *arg, int64_t begin, int64_t end) {
  cross *c = arg;
  char *mem = kk_slots_take(&c->slots);
  for (int64_t k = begin; k < end && !kk_stop_requested(); k++) users_cross_one(c, k, mem);
  kk_slots_give(&c->slots, mem);
}

static kk_status users_check_lambda(double lambda, double lambda0, kk_err *e) {
  if (!(lambda > 0)) return kk_fail(e, KK_EARG, "users: lambda is %g, expected more than 0", lambda);
  if (!(lambda0 > 0) || isinf(lambda0))
    return kk_fail(e, KK_EARG, "users: lambda0 is %g, expected more than 0", lambda0);
  return KK_OK;
}

kk_status kk_users_cross(const kk_users *u, const double *lambda, int nlambda, double lambda0, double *logit,
                         double *loss, kk_err *e) {
  cross c = {.u = u, .lambda = lambda, .nlambda = nlambda, .lambda0 = lambda0, .logit = logit, .loss = loss};
  kk_status st = KK_OK;
  for (int l = 0; l < nlambda && !st; l++) {
    st = users_check_lambda(lambda[l], lambda0, e);
    if (isfinite(lambda[l])) c.r = u->d;
  }
  if (st) return st;
  st = kk_slots_new(&c.slots, users_scratch(u, c.r), e, "users");
  if (st) return st;
  kk_pool_for(u->nuser, 1, users_cross_chunk, &c);
  kk_slots_free(&c.slots);
  return kk_stop_check(e, "users");
}

int kk_users_choose(const double *loss, int64_t nuser, int nlambda, int *best) {
  int top = 0;
  double least = INFINITY;
  for (int l = 0; l < nlambda; l++) {
    double total = 0;
    for (int64_t k = 0; k < nuser; k++) total += loss[k * nlambda + l];
    if (total < least) least = total, top = l;
  }
  if (!best) return top;
  for (int64_t k = 0; k < nuser; k++) {
    best[k] = 0;
    least = INFINITY;
    for (int l = 0; l < nlambda; l++) {
      double others = 0;                   /* summed anew, not total - own: exactly free of the person */
      for (int64_t other = 0; other < nuser; other++) others += other == k ? 0 : loss[other * nlambda + l];
      if (others < least) least = others, best[k] = l;
    }
  }
  return top;
}

static void users_fit_one(const cross *c, int64_t k, char *mem) {
  const kk_users *u = c->u;
  solver s;
  double lambda = c->lambda[0], shift = 0;
  float *dw = c->dw ? c->dw + k * u->d : NULL;
  for (int64_t j = 0; dw && j < u->d; j++) dw[j] = 0;
  c->db[k] = 0;
  if (kk_users_one_class(u, k)) return;
  users_open(&s, u, k, c->r, mem);
  for (s.nt = 0; s.nt < s.m; s.nt++) s.train[s.nt] = s.nt;
  users_start(&s);
  users_solve(&s, lambda, c->lambda0);
  for (int i = 0; s.kernel && i < s.m; i++) c->db[k] += s.theta[i] / c->lambda0;
  if (!s.kernel) c->db[k] = s.theta[s.r];
  for (int64_t j = 0; dw && c->r && j < u->d; j++) {
    double v = 0;
    for (int i = 0; s.kernel && i < s.m; i++)
      v += s.theta[i] / lambda * (u->x[s.row[i] * u->d + j] - u->mean[j]) / u->scale;
    if (!s.kernel) v = s.theta[j];
    dw[j] = (float)(v / u->scale);
    shift += v / u->scale * u->mean[j];
  }
  c->db[k] -= shift;
}

static void users_fit_chunk(void *arg, int64_t begin, int64_t end) {
  cross *c = arg;
  char *mem = kk_slots_take(&c->slots);
  for (int64_t k = begin; k < end && !kk_stop_requested(); k++) users_fit_one(c, k, mem);
  kk_slots_give(&c->slots, mem);
}

kk_status kk_users_fit(const kk_users *u, double lambda, double lambda0, float *dw, double *db, kk_err *e) {
  cross c = {.u = u, .lambda = &lambda, .lambda0 = lambda0, .dw = dw, .db = db, .r = isfinite(lambda) ? u->d : 0};
  kk_status st = users_check_lambda(lambda, lambda0, e);
  if (!st) st = kk_slots_new(&c.slots, users_scratch(u, c.r), e, "users");
  if (st) return st;
  kk_pool_for(u->nuser, 1, users_fit_chunk, &c);
  kk_slots_free(&c.slots);
  return kk_stop_check(e, "users");
}
