/* rungs.c -- heads of one person that are not MAP: Firth's penalised likelihood with and without FLIC, and prototypes. */
#include <math.h>
#include <string.h>

#include "users/dense.h"
#include "users/person.h"

/* The intercept alone, given the rest of the logits in base: sum (y - p) = penalty c. Steps of 1.7 logits at most
** always lower the objective (Bach 2010). */
static double rungs_intercept(kk_person *s, const double *base, double c, double penalty) {
  for (int iter = 0; iter < 200; iter++) {
    double g = -penalty * c, h = penalty;
    for (int i = 0; i < s->wide; i++) s->f[i] = base[i] + c;
    kk_person_sigmoid(s, s->f, s->p);
    for (int i = 0; i < s->m; i++) {
      g += s->on[i] * (s->y[i] - s->p[i]);
      h += s->on[i] * s->p[i] * (1 - s->p[i]);
    }
    double step = g / h;
    c += step > 1.7 ? 1.7 : step < -1.7 ? -1.7 : step;
    if (fabs(step) <= 1e-10) break;
  }
  for (int i = 0; i < s->wide; i++) s->f[i] = base[i] + c;
  return c;
}

/* ---- Firth: X = [z, 1] has q = d + 1 columns, beta = [v, c] */

static void firth_logits(kk_person *s, const double *beta) {
  if (s->d) kk_person_logits(s, beta, s->f);
  else memset(s->f, 0, (size_t)s->wide * sizeof *s->f);
  for (int i = 0; i < s->wide; i++) s->f[i] += s->offset[i] + beta[s->d];
}

static void firth_row(const kk_person *s, int i, double *x) {
  for (int64_t j = 0; j < s->d; j++) x[j] = (double)s->z[i * s->dp + j];
  x[s->d] = 1;
}

/* Fisher information at the logits f, factored; *value: the penalised log-likelihood. 0 when it is singular. */
static int firth_information(kk_person *s, double *x, double *value) {
  const int q = (int)s->d + 1;
  double sum = 0;
  memset(s->system, 0, (size_t)q * (size_t)q * sizeof *s->system);
  kk_person_sigmoid(s, s->f, s->p);
  for (int i = 0; i < s->m; i++) {
    if (!(s->on[i] > 0)) continue;
    double w = s->p[i] * (1 - s->p[i]), f = s->y[i] > 0 ? s->f[i] : -s->f[i];
    sum -= f > 0 ? log1p(exp(-f)) : log1p(exp(f)) - f;
    firth_row(s, i, x);
    for (int a = 0; a < q; a++)
      for (int b = a; b < q; b++) s->system[a * q + b] += w * x[a] * x[b];
  }
  if (kk_chol(s->system, q)) return 0;
  for (int a = 0; a < q; a++) sum += log(s->system[a * q + a]);       /* half of log det */
  *value = sum;
  return 1;
}

/* Score of Firth (1993) for logistic models: X' (y - p + h (1/2 - p)), h the diagonal of the hat matrix. */
static void firth_score(kk_person *s, double *x, double *t, double *score) {
  const int q = (int)s->d + 1;
  memset(score, 0, (size_t)q * sizeof *score);
  for (int i = 0; i < s->m; i++) {
    if (!(s->on[i] > 0)) continue;
    double h = 0;
    firth_row(s, i, x);
    for (int a = 0; a < q; a++) {                                     /* U' t = x */
      double v = x[a];
      for (int b = 0; b < a; b++) v -= s->system[b * q + a] * t[b];
      t[a] = v / s->system[a * q + a];
      h += t[a] * t[a];
    }
    h *= s->p[i] * (1 - s->p[i]);
    double g = s->y[i] - s->p[i] + h * (.5 - s->p[i]);
    for (int a = 0; a < q; a++) score[a] += g * x[a];
  }
}

static void firth_ml_intercept(kk_person *s) {
  int rows = 0, ones = 0;
  for (int i = 0; i < s->m; i++)
    if (s->on[i] > 0) rows++, ones += s->y[i] > 0;
  if (ones == 0 || ones == rows) return;                              /* no finite one: Firth's stays */
  for (int i = 0; i < s->wide; i++) s->ks[i] = s->f[i] - s->c;
  s->c = rungs_intercept(s, s->ks, s->c, 0);
}

void kk_solve_firth(kk_person *s, int flic) {
  const int q = (int)s->d + 1;
  double *beta = s->v, *x = s->system + q * q, *t = x + q, *score = t + q, value = 0;
  memset(beta, 0, (size_t)q * sizeof *beta);
  firth_logits(s, beta);
  int ok = firth_information(s, x, &value);
  for (int iter = 0; ok && iter < 100; iter++) {
    double most = 0, t0 = 1, next = value;
    firth_score(s, x, t, score);
    kk_chol_solve(s->system, q, score);                               /* now the step */
    for (int a = 0; a < q; a++) most = fmax(most, fabs(score[a]));
    if (most > 5) t0 = 5 / most;
    for (int half = 0; half < 30; half++) {
      for (int a = 0; a < q; a++) beta[a] += t0 * score[a];
      firth_logits(s, beta);
      ok = firth_information(s, x, &next);
      if (ok && next >= value - 1e-10) break;
      for (int a = 0; a < q; a++) beta[a] -= t0 * score[a];
      t0 /= 2;
    }
    value = next;
    if (most <= 1e-9) break;
  }
  firth_logits(s, beta);
  s->c = beta[s->d];
  if (flic) firth_ml_intercept(s);
}

/* ---- prototypes */

/* Class means of the other persons, in units of z. Adds +-e to out. */
static void proto_distance(kk_person *s, int class, double sign, double *out) {
  const kk_users *u = s->u;
  int64_t own = 0, train = 0, all = class ? u->n1 : u->n - u->n1;
  for (int i = 0; i < s->m; i++)
    if ((s->y[i] > 0) == class) own++, train += s->on[i] > 0;
  if (!train) return;                                                 /* nothing to tell it from the others */
  double pull = (double)train / ((double)train + u->pseudo), others = (double)(all - own);
  for (int64_t j = 0; j < s->d; j++) {
    double sum1 = u->mean1[j] * (double)u->n1, sum = class ? sum1 : u->mean[j] * (double)u->n - sum1;
    sum = (sum - u->mean[j] * (double)all) / u->scale;
    double mine = 0, trained = 0;
    for (int i = 0; i < s->m; i++) {
      double z = (s->y[i] > 0) == class ? (double)s->k[j * s->wide + i] : 0;
      mine += z;
      trained += z * s->on[i];
    }
    double mean = others > 0 ? (sum - mine) / others : 0;
    out[j] += sign * pull * (trained / (double)train - mean);
  }
}

void kk_solve_proto_begin(kk_person *s) {
  memset(s->t, 0, (size_t)s->dp * sizeof *s->t);
  memset(s->ks, 0, (size_t)s->wide * sizeof *s->ks);
  if (!s->d) return;
  proto_distance(s, 1, 1, s->t);
  proto_distance(s, 0, -1, s->t);
  kk_person_logits(s, s->t, s->ks);
}

void kk_solve_proto(kk_person *s, double lambda, double lambda0) {
  for (int i = 0; i < s->wide; i++) s->kv[i] = s->offset[i] + s->ks[i] / lambda;
  for (int64_t j = 0; j < s->d; j++) s->v[j] = s->t[j] / lambda;
  s->c = rungs_intercept(s, s->kv, 0, lambda0);
}
