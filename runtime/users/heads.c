#include "users/heads.h"

#include <math.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "base/clones.h"
#include "base/mem.h"
#include "base/slots.h"
#include "base/stop.h"
#include "tensor/random.h"
#include "users/person.h"

/* ---- the problem: who has which rows, which fold, how features are scaled */

static kk_status users_check(int64_t n, int64_t d, const uint8_t *label, const int32_t *user, int64_t nuser,
                             const double *offset, kk_err *e) {
  if (n < 1 || nuser < 1 || d < 0) return kk_fail(e, KK_EARG, "users: there are no rows");
  for (int64_t i = 0; i < n; i++) {
    long long at = (long long)i + 1;
    if (user[i] < 0 || user[i] >= nuser) return kk_fail(e, KK_EARG, "users: person of row %lld is out of range", at);
    if (label[i] > 1) return kk_fail(e, KK_EARG, "users: label of row %lld is %d, expected 0 or 1", at, label[i]);
    if (!isfinite(offset[i])) return kk_fail(e, KK_EARG, "users: general logit of row %lld is %g", at, offset[i]);
  }
  return KK_OK;
}

enum { PART = 2048, ENOUGH = 65536 };    /* rows of a partial sum: fixed, so that bits do not depend on threads; rows that say it */

/* Sums of x - x[0] over the rows of class 0, of its squares over all, and over the rows of class 1, part by part. */
typedef struct sums_job { const kk_users *u; double *part; int64_t stride; } sums_job;

/* Two rows of one class at a time (the last may be one: both = 0). */
KK_CLONES static void users_add(const float *restrict x, const float *restrict y, const float *restrict first, int64_t d,
                                double both, double *restrict sum, double *restrict square) {
  for (int64_t j = 0; j < d; j++) {
    double v = (double)x[j] - (double)first[j], w = both * ((double)y[j] - (double)first[j]);
    sum[j] += v + w;
    square[j] += v * v + w * w;
  }
}

static void users_sums(void *arg, int64_t begin, int64_t end) {
  const sums_job *job = arg;
  const kk_users *u = job->u;
  double *sum = job->part + begin / PART * 3 * u->d;
  memset(sum, 0, (size_t)(3 * u->d) * sizeof *sum);
  int64_t waiting[2] = {-1, -1};
  for (int64_t taken = begin; taken < end; taken++) {
    const int64_t i = taken * job->stride;
    int64_t *w = &waiting[u->label[i]];
    if (*w >= 0) users_add(u->x + *w * u->d, u->x + i * u->d, u->x, u->d, 1, u->label[i] ? sum + 2 * u->d : sum, sum + u->d);
    *w = *w >= 0 ? -1 : i;
  }
  for (int c = 0; c < 2; c++)
    if (waiting[c] >= 0)
      users_add(u->x + waiting[c] * u->d, u->x, u->x, u->d, 0, c ? sum + 2 * u->d : sum, sum + u->d);
}

static kk_status users_bad_feature(const kk_users *u, kk_err *e) {
  for (int64_t k = 0; k < u->nuser; k++)
    for (int64_t r = u->start[k]; r < u->start[k + 1]; r++)
      for (int64_t i = u->row[r], j = 0; j < u->d; j++)
        if (!isfinite(u->x[i * u->d + j]))
          return kk_fail(e, KK_EARG, "users: feature %lld of row %lld (person %lld) is %g", (long long)j + 1, (long long)i + 1,
                         (long long)k + 1, (double)u->x[i * u->d + j]);
  return kk_fail(e, KK_EARG, "users: features are too large: their squares have no finite sum");
}

/* Over all rows, or every stride-th where there are many: centre and scale only say where lambda counts from, and reading
** 1.6 GB once more for them took a third of the time of 10,000 persons. mean and 1/scale are numbers of float, so that z is made in
** float without a difference to what is said of it. */
static kk_status users_scale(kk_users *u, int64_t stride, kk_err *e) {
  const int64_t n = (u->n + stride - 1) / stride, parts = (n + PART - 1) / PART, d = u->d;
  const size_t bytes = (size_t)(parts * 3 * d) * sizeof(double);
  double square = 0, n1 = 0;
  for (int64_t i = 0; i < n; i++) n1 += u->label[i * stride];
  sums_job job = {u, kk_alloc(bytes), stride};
  if (!job.part) return kk_fail(e, KK_ENOMEM, "users: no memory for the means of %lld features", (long long)d);
  kk_pool_for(n, PART, users_sums, &job);
  for (int64_t p = 1; p < parts; p++)
    for (int64_t j = 0; j < 3 * d; j++) job.part[j] += job.part[p * 3 * d + j];
  for (int64_t j = 0; j < d; j++) {
    double m = (job.part[j] + job.part[2 * d + j]) / (double)n;
    square += job.part[d + j] - m * m * (double)n;
    u->mean[j] = (double)(float)((double)u->x[j] + m);
    u->mean1[j] = n1 > 0 ? (double)u->x[j] + job.part[2 * d + j] / n1 : u->mean[j];
  }
  kk_free(job.part, bytes);
  if (stride == 1 && !isfinite(square)) return users_bad_feature(u, e);
  if (isfinite(square) && square > 0) u->scale = 1 / (double)(float)(1 / sqrt(square / (double)n));
  return KK_OK;
}

/* How many folds a person gets. folds < 0: at most -folds, each with a row of the smaller class; one such row alone: leave
** one out. */
static int32_t users_folds(int folds, int64_t m, int64_t positives) {
  int64_t few = positives < m - positives ? positives : m - positives, k = folds;
  if (folds < 0) k = few < 2 ? m : few < -folds ? few : -folds;
  return (int32_t)(k == 0 || k > m ? m : k);
}

/* Rows of each person, shuffled, and dealt to folds in that order. folds < 0: positives first and then negatives, each
** shuffled, so that each class spreads over the folds as evenly as it can. That flatters: the share of a class among the rows held
** out is then the one among the rows trained on, chance included, and an intercept that follows it gains about 1/(2 rows) of log-loss
** that no new row will give back. So it is for those who ask. */
typedef struct deal_job { const kk_users *u; int folds; uint64_t seed; } deal_job;

static void users_deal_some(void *arg, int64_t begin, int64_t end) {
  const deal_job *job = arg;
  const kk_users *u = job->u;
  const int folds = job->folds;
  for (int64_t k = begin; k < end; k++) {
    int64_t *row = u->row + u->start[k], m = u->start[k + 1] - u->start[k], pos = u->positives[k];
    kk_stream s = {job->seed, (uint64_t)k * 2};
    if (folds < 0) {
      kk_random_shuffle(kk_stream_key(&s), row, pos);
      kk_random_shuffle(kk_stream_key(&s), row + pos, m - pos);
    } else {
      kk_random_shuffle(kk_stream_key(&s), row, m);
    }
    u->folds[k] = users_folds(folds, m, pos);
    for (int64_t i = 0; i < m; i++) u->fold[row[i]] = (int32_t)(i % u->folds[k]);
  }
}

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
  deal_job job = {u, folds, seed};
  kk_pool_for(u->nuser, 64, users_deal_some, &job);
}

kk_status kk_users_new(kk_users *u, const float *x, int64_t n, int64_t d, const uint8_t *label, const int32_t *user,
                       int64_t nuser, const double *offset, int folds, uint64_t seed, kk_err *e) {
  *u = (kk_users){.n = n, .d = d, .nuser = nuser, .x = x, .label = label, .offset = offset, .pseudo = 4};
  if (folds == 1 || folds == -1)
    return kk_fail(e, KK_EARG, "users: %d folds, expected 2 or more, or 0 to leave one out", folds);
  kk_status st = users_check(n, d, label, user, nuser, offset, e);
  if (st) return st;
  size_t un = (size_t)n, uu = (size_t)nuser;
  u->bytes = (uu + 1 + un + uu) * sizeof(int64_t) + 2 * (size_t)d * sizeof(double) + (un + uu) * sizeof(int32_t);
  char *p = u->block = kk_alloc(u->bytes);
  if (!p)
    return kk_fail(e, KK_ENOMEM, "users: no memory for %lld rows of %lld persons", (long long)n, (long long)nuser);
  u->start = (int64_t *)p;
  u->row = u->start + nuser + 1;
  u->positives = u->row + n;
  u->mean = (double *)(u->positives + nuser);
  u->mean1 = u->mean + d;
  u->fold = (int32_t *)(u->mean1 + d);
  u->folds = u->fold + n;
  users_deal(u, user, folds, seed);
  u->scale = 1;
  for (int64_t i = 0; i < n; i++) u->n1 += label[i];
  if (d) st = users_scale(u, n > ENOUGH ? (n + ENOUGH - 1) / ENOUGH : 1, e);
  if (st) kk_users_free(u);
  return st;
}

kk_status kk_users_whole(kk_users *u, kk_err *e) { return u->d ? users_scale(u, 1, e) : KK_OK; }

void kk_users_free(kk_users *u) {
  kk_free(u->block, u->bytes);
  *u = (kk_users){0};
}

/* ---- all persons */

typedef struct cross {
  const kk_users *u;
  const double *lambda;
  int nlambda;
  double lambda0, *logit, *loss, *db;   /* logit, loss NULL: no folds; db NULL: no heads (at lambda[0]) */
  float *dw;
  int64_t d;
  atomic_bool *bad;                     /* somebody has a feature that is no number */
  kk_slots slots;
} cross;

static double users_softplus(double v) { return v > 0 ? v + log1p(exp(-v)) : log1p(exp(v)); }

/* Logits in f, with the rows that are on; begun: this fold has had another lambda. */
static void users_solve(kk_person *s, const cross *c, double lambda, int begun) {
  switch (c->u->rung) {
    case KK_RUNG_FIRTH:
    case KK_RUNG_FLIC:
      if (!begun) kk_solve_firth(s, c->u->rung == KK_RUNG_FLIC);
      return;
    case KK_RUNG_PROTO:
      if (!begun) kk_solve_proto_begin(s);
      kk_solve_proto(s, lambda, c->lambda0);
      return;
    case KK_RUNG_RIDGE: kk_solve_map(s, lambda, c->lambda0, 1); return;
    case KK_RUNG_MAP: kk_solve_map(s, lambda, c->lambda0, 60); return;
  }
}

/* v and c of z become what to add to w and b of x. */
static void users_write_head(kk_person *s, const cross *c) {
  const kk_users *u = c->u;
  float *dw = c->dw ? c->dw + s->who * u->d : NULL;
  double shift = 0;
  if (u->rung == KK_RUNG_MAP || u->rung == KK_RUNG_RIDGE) kk_solve_weights(s, c->lambda[0], c->lambda0);
  for (int64_t j = 0; dw && j < u->d; j++) {
    double v = j < s->d ? s->v[j] / u->scale : 0;
    dw[j] = (float)v;
    shift += v * u->mean[j];
  }
  c->db[s->who] = s->c - shift;
}

/* What the solved head adds to every logit: c of its v and c. */
static double users_intercept(const kk_person *s, const cross *c) {
  double sum = 0;
  if (c->u->rung != KK_RUNG_MAP && c->u->rung != KK_RUNG_RIDGE) return s->c;
  for (int i = 0; i < s->m; i++) sum += s->a[i];
  return sum / c->lambda0;
}

/* Every fold at every lambda, from strong to weak: each starts at the one before, the first at the general head: a
** start from another fold's solution would bring in the labels held out here, if only in the last bits. */
static void users_cross_folds(kk_person *s, const cross *c) {
  const kk_users *u = c->u;
  for (int fold = 0; fold < u->folds[s->who]; fold++) {
    kk_person_fold(s, fold);
    memset(s->a, 0, (size_t)s->wide * sizeof *s->a);
    for (int l = 0; l < c->nlambda; l++) {
      users_solve(s, c, c->lambda[l], l);
      const double shift = u->shift ? users_intercept(s, c) : 0;
      for (int i = 0; i < s->m; i++) {
        if (s->on[i] > 0) continue;
        c->logit[l * u->n + s->row[i]] = s->f[i];
        if (u->shift) u->shift[l * u->n + s->row[i]] = shift;
      }
    }
  }
}

/* Summed log-loss of the held-out logits at every lambda. */
static void users_cross_losses(kk_person *s, const cross *c) {
  for (int i = s->m; i < s->wide; i++) s->g[i] = -INFINITY;
  for (int l = 0; l < c->nlambda; l++) {
    const double *logit = c->logit + l * c->u->n;
    for (int i = 0; i < s->m; i++) s->g[i] = s->y[i] > 0 ? -logit[s->row[i]] : logit[s->row[i]];
    c->loss[s->who * c->nlambda + l] = kk_person_softplus(s->g, s->q, s->wide);
  }
}

static void users_one(const cross *c, int64_t k, char *mem) {
  const kk_users *u = c->u;
  const int both = !kk_users_one_class(u, k), folds = c->logit && (!u->take || u->take[k]);
  kk_person s;
  if (c->dw) memset(c->dw + k * u->d, 0, (size_t)u->d * sizeof *c->dw);
  if (c->db) c->db[k] = 0;
  for (int l = 0; c->loss && l < c->nlambda; l++) c->loss[k * c->nlambda + l] = 0;
  if (!both && !folds) return;
  if (both && (folds || c->db)) {
    kk_person_open(&s, u, k, c->d, mem);
    if (s.bad) {
      atomic_store(c->bad, true);
      return;
    }
    if (c->db) {
      users_solve(&s, c, c->lambda[0], 0);
      users_write_head(&s, c);
    }
    if (folds) users_cross_folds(&s, c);
  }
  if (folds && both) users_cross_losses(&s, c);
  for (int64_t i = u->start[k]; folds && !both && i < u->start[k + 1]; i++)
    for (int l = 0; l < c->nlambda; l++) {
      int64_t row = u->row[i];
      double v = c->logit[l * u->n + row] = u->offset[row];
      c->loss[k * c->nlambda + l] += users_softplus(u->label[row] ? -v : v);
    }
}

static void users_chunk(void *arg, int64_t begin, int64_t end) {
  cross *c = arg;
  char *mem = kk_slots_take(&c->slots);
  for (int64_t k = begin; k < end && !kk_stop_requested(); k++) users_one(c, k, mem);
  kk_slots_give(&c->slots, mem);
}

static kk_status users_check_lambda(double lambda, double lambda0, kk_err *e) {
  if (!(lambda > 0)) return kk_fail(e, KK_EARG, "users: lambda is %g, expected more than 0", lambda);
  if (!(lambda0 > 0) || isinf(lambda0))
    return kk_fail(e, KK_EARG, "users: lambda0 is %g, expected more than 0", lambda0);
  return KK_OK;
}

static kk_status users_run(cross c, kk_err *e) {
  kk_status st = KK_OK;
  const int all = c.u->rung == KK_RUNG_FIRTH || c.u->rung == KK_RUNG_FLIC;
  for (int l = 0; l < c.nlambda && !st; l++) {
    st = users_check_lambda(c.lambda[l], c.lambda0, e);
    if (isfinite(c.lambda[l]) || all) c.d = c.u->d;
  }
  if (st) return st;
  if (all && c.d > 64)
    return kk_fail(e, KK_EARG, "users: Firth's likelihood of %lld features, expected 64 at most", (long long)c.d);
  st = kk_slots_new(&c.slots, kk_person_bytes(c.u, c.d), e, "users");
  if (st) return st;
  atomic_bool bad = false;
  c.bad = &bad;
  kk_pool_for(c.u->nuser, 1, users_chunk, &c);
  kk_slots_free(&c.slots);
  if (bad) return users_bad_feature(c.u, e);
  return kk_stop_check(e, "users");
}

kk_status kk_users_cross(const kk_users *u, const double *lambda, int nlambda, double lambda0, double *logit,
                         double *loss, kk_err *e) {
  return users_run((cross){.u = u, .lambda = lambda, .nlambda = nlambda, .lambda0 = lambda0, .logit = logit, .loss = loss}, e);
}

kk_status kk_users_fit(const kk_users *u, double lambda, double lambda0, float *dw, double *db, kk_err *e) {
  return users_run((cross){.u = u, .lambda = &lambda, .nlambda = 1, .lambda0 = lambda0, .dw = dw, .db = db}, e);
}

kk_status kk_users_both(const kk_users *u, double lambda, double lambda0, double *logit, double *loss, float *dw,
                        double *db, kk_err *e) {
  return users_run((cross){.u = u, .lambda = &lambda, .nlambda = 1, .lambda0 = lambda0, .logit = logit, .loss = loss,
                           .dw = dw, .db = db}, e);
}

enum { BLOCK = 64 };

/* Persons b0 .. b1-1: the losses of the others are summed anew, not total - own: exactly free of the person. What lies
** outside the block is summed once for all of it. */
static void users_choose_block(const double *loss, int64_t nuser, int nlambda, int64_t b0, int64_t b1, int *best) {
  double least[BLOCK];
  for (int64_t k = b0; k < b1; k++) best[k] = 0, least[k - b0] = INFINITY;
  for (int l = 0; l < nlambda; l++) {
    double outside = 0;
    for (int64_t k = 0; k < nuser; k++) outside += k < b0 || k >= b1 ? loss[k * nlambda + l] : 0;
    for (int64_t k = b0; k < b1; k++) {
      double others = outside;
      for (int64_t j = b0; j < b1; j++) others += j == k ? 0 : loss[j * nlambda + l];
      if (others < least[k - b0]) least[k - b0] = others, best[k] = l;
    }
  }
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
  for (int64_t b = 0; b < nuser; b += BLOCK) users_choose_block(loss, nuser, nlambda, b, b + BLOCK < nuser ? b + BLOCK : nuser, best);
  return top;
}
