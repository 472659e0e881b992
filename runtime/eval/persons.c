#include "eval/persons.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/slots.h"
#include "base/stop.h"
#include "eval/special.h"

#define EPS 1e-7

enum { DRAWN = 4 };                                          /* statistics that need the bootstrap, of each side */
static const kk_binary_id drawn[DRAWN] = {KK_BIN_MCC, KK_BIN_AP, KK_BIN_AUC, KK_BIN_BALANCED};

typedef struct persons_job {
  const double *prob[2];
  const uint8_t *label;
  int64_t *start, *row;
  int64_t widest;
  double threshold;
  const kk_plan *plan;
  kk_person_score *out;
  kk_status *status;
  kk_slots slots;
} persons_job;

typedef struct persons_pair { kk_ranked side[2]; } persons_pair;

static void persons_stat(const void *arg, const int32_t *w, void *scratch, double *out) {
  const persons_pair *p = arg;
  double *all = scratch;
  for (int s = 0; s < 2; s++) {
    kk_binary_metrics(&p->side[s], w, all, NULL);
    for (int i = 0; i < DRAWN; i++) out[s * DRAWN + i] = all[drawn[i]];
  }
}

static double persons_log_loss(double prob, int label) {
  double p = label ? prob : 1 - prob;
  return -log(p < EPS ? EPS : p > 1 - EPS ? 1 - EPS : p);
}

static kk_range persons_mean(const double *v, int64_t n, double level) {
  kk_ttest t;
  kk_err e;
  if (n < 2 || kk_paired_t(v, n, NULL, 0, level, &t, &e)) return (kk_range){NAN, NAN};
  return (kk_range){t.low, t.high};
}

static void persons_closed(kk_person_side *s, int64_t n, double level) {
  const kk_confusion *c = &s->c;
  s->range[KK_BIN_ACCURACY] = kk_clopper_pearson(c->tp + c->tn, n, level);
  s->range[KK_BIN_PRECISION] = kk_clopper_pearson(c->tp, c->tp + c->fp, level);
  s->range[KK_BIN_RECALL] = kk_clopper_pearson(c->tp, c->tp + c->fn, level);
  s->range[KK_BIN_F1] = kk_f1_from_star(kk_clopper_pearson(c->tp, c->tp + c->fp + c->fn, level));
}

/* One model on one person; prob and label are turned so that the smaller class is 1; d: scratch [rows]. */
static kk_status persons_side(const persons_job *j, const double *prob, const uint8_t *label, double *d, kk_ranked *r,
                              kk_person_score *o, int side, kk_err *e) {
  kk_person_side *s = &o->side[side];
  kk_status st = kk_ranked_new(r, prob, label, o->n, j->threshold, EPS, e);
  if (st) return st;
  for (int i = 0; i < KK_BIN_N; i++) s->range[i] = (kk_range){NAN, NAN};
  kk_binary_metrics(r, NULL, s->value, &s->c);
  persons_closed(s, o->n, j->plan->level);
  for (int64_t i = 0; i < o->n; i++) d[i] = persons_log_loss(prob[i], label[i]);
  s->range[KK_BIN_LOGLOSS] = persons_mean(d, o->n, j->plan->level);
  for (int64_t i = 0; i < o->n; i++) d[i] = (prob[i] - label[i]) * (prob[i] - label[i]);
  s->range[KK_BIN_BRIER] = persons_mean(d, o->n, j->plan->level);
  return KK_OK;
}

static kk_status persons_draw(const persons_job *j, const persons_pair *pair, kk_person_score *o, kk_err *e) {
  kk_interval got[2 * DRAWN];
  kk_plan plan = *j->plan;
  plan.n = o->n;
  plan.group = plan.stratum = NULL;
  kk_status st = kk_bootstrap(&plan, persons_stat, pair, 2 * DRAWN, KK_BIN_N * sizeof(double), got, e);
  for (int i = 0; !st && i < 2 * DRAWN; i++)
    o->side[i / DRAWN].range[drawn[i % DRAWN]] = (kk_range){got[i].low, got[i].high};
  return st;
}

static void persons_compare(const persons_job *j, const double *a, const double *b, const uint8_t *label, double *d,
                            kk_person_score *o) {
  kk_err e;
  for (int64_t i = 0; i < o->n; i++) {
    int right_a = (a[i] > j->threshold) == label[i], right_b = (b[i] > j->threshold) == label[i];
    d[i] = persons_log_loss(a[i], label[i]) - persons_log_loss(b[i], label[i]);
    o->only_a += right_a && !right_b;
    o->only_b += right_b && !right_a;
  }
  o->mcnemar = kk_mcnemar(o->only_a, o->only_b);
  o->loss = (kk_ttest){.mean = d[0], .se = NAN, .low = NAN, .high = NAN, .p = NAN};
  if (o->n > 1) (void)kk_paired_t(d, o->n, NULL, 0, j->plan->level, &o->loss, &e);
}

static kk_status persons_one(const persons_job *j, int64_t k, char *mem, kk_err *e) {
  kk_person_score *o = &j->out[k];
  const int64_t *row = j->row + j->start[k];
  double *prob[2] = {(double *)(void *)mem, (double *)(void *)mem + j->widest}, *d = prob[1] + j->widest;
  uint8_t *label = (uint8_t *)(d + j->widest);
  *o = (kk_person_score){.n = j->start[k + 1] - j->start[k]};
  int64_t ones = 0;
  for (int64_t i = 0; i < o->n; i++) ones += j->label[row[i]];
  o->positive = ones * 2 <= o->n;
  o->few = o->positive ? ones : o->n - ones;
  for (int64_t i = 0; i < o->n; i++) {
    label[i] = j->label[row[i]] == o->positive;
    for (int s = 0; s < 2; s++) prob[s][i] = o->positive ? j->prob[s][row[i]] : 1 - j->prob[s][row[i]];
  }
  persons_pair pair;
  kk_status st = persons_side(j, prob[0], label, d, &pair.side[0], o, 0, e);
  if (st) return st;
  st = persons_side(j, prob[1], label, d, &pair.side[1], o, 1, e);
  if (!st) {
    if (j->plan->resamples > 0) st = persons_draw(j, &pair, o, e);
    kk_ranked_free(&pair.side[1]);
  }
  kk_ranked_free(&pair.side[0]);
  persons_compare(j, prob[0], prob[1], label, d, o);
  return st;
}

static void persons_chunk(void *arg, int64_t begin, int64_t end) {
  persons_job *j = arg;
  kk_err e;
  char *mem = kk_slots_take(&j->slots);
  for (int64_t k = begin; k < end && !kk_stop_requested(); k++)
    if (j->start[k + 1] > j->start[k]) j->status[k] = persons_one(j, k, mem, &e);
  kk_slots_give(&j->slots, mem);
}

static kk_status persons_check(const double *a, const double *b, const uint8_t *label, const int32_t *user, int64_t n,
                               int64_t nuser, kk_err *e) {
  if (n < 1 || nuser < 1) return kk_fail(e, KK_EARG, "users: there are no rows");
  for (int64_t i = 0; i < n; i++) {
    long long at = (long long)i + 1;
    if (user[i] < 0 || user[i] >= nuser) return kk_fail(e, KK_EARG, "users: person of row %lld is out of range", at);
    if (label[i] > 1) return kk_fail(e, KK_EARG, "users: label of row %lld is %d, expected 0 or 1", at, label[i]);
    for (int s = 0; s < 2; s++) {
      double p = s ? b[i] : a[i];
      if (!(p >= 0 && p <= 1)) return kk_fail(e, KK_EARG, "users: probability of row %lld is %g, expected 0 to 1", at, p);
    }
  }
  return KK_OK;
}

static void persons_deal(persons_job *j, const int32_t *user, int64_t n, int64_t nuser) {
  memset(j->start, 0, (size_t)(nuser + 1) * sizeof *j->start);
  for (int64_t i = 0; i < n; i++) j->start[user[i] + 1]++;
  for (int64_t k = 0; k < nuser; k++) {
    if (j->start[k + 1] > j->widest) j->widest = j->start[k + 1];
    j->start[k + 1] += j->start[k];
  }
  for (int64_t i = 0; i < n; i++) j->row[j->start[user[i]]++] = i;
  for (int64_t k = nuser; k > 0; k--) j->start[k] = j->start[k - 1];
  j->start[0] = 0;
}

kk_status kk_score_persons(const double *a, const double *b, const uint8_t *label, const int32_t *user, int64_t n,
                           int64_t nuser, double threshold, const kk_plan *plan, kk_person_score *out, kk_err *e) {
  kk_status st = persons_check(a, b, label, user, n, nuser, e);
  if (st) return st;
  const size_t bytes = (size_t)(nuser + 1 + n) * sizeof(int64_t) + (size_t)nuser * sizeof(kk_status);
  char *mem = kk_alloc(bytes);
  if (!mem) return kk_fail(e, KK_ENOMEM, "users: no memory for the scores of %lld persons", (long long)nuser);
  persons_job j = {.prob = {a, b}, .label = label, .start = (int64_t *)(void *)mem, .threshold = threshold, .plan = plan, .out = out};
  j.row = j.start + nuser + 1;
  j.status = (kk_status *)(void *)(j.row + n);
  for (int64_t k = 0; k < nuser; k++) {
    j.status[k] = KK_OK;
    out[k] = (kk_person_score){0};
  }
  persons_deal(&j, user, n, nuser);
  st = kk_slots_new(&j.slots, (size_t)j.widest * (3 * sizeof(double) + 1) + 64, e, "users");
  if (!st) {
    kk_pool_for(nuser, 1, persons_chunk, &j);
    kk_slots_free(&j.slots);
    st = kk_stop_check(e, "users");
  }
  for (int64_t k = 0; k < nuser && !st; k++)
    if (j.status[k]) st = kk_fail(e, j.status[k], "users: the scores of person %lld failed (no memory, or the plan is wrong)", (long long)k + 1);
  kk_free(mem, bytes);
  return st;
}
