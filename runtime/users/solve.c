/* solve.c -- the MAP head of one person, by Newton's method in the dual (Rasmussen and Williams 2006, section 3.4).
**
** With K = z z'/lambda + 1/lambda0 the logits are offset + K a, and at the optimum a = y - p. A step solves
** (I + W K) step = y - p - a, W = p (1 - p), as B s = W^1/2 K r, B = I + W^1/2 K W^1/2, step = r - W^1/2 s. B is 1 plus
** something small in most directions, so conjugate gradients need few products with K, where a Cholesky factor would
** cost a third of rows^3: 100 rows of 400 features take 6 to 8 steps of 0.6 us. A held-out row has W = 0 and a = 0: it takes no
** part, and its prediction is there without further work. */
#include <math.h>
#include <string.h>

#include "base/clones.h"
#include "users/person.h"

/* At logits f + t kd and dual a + t step. */
static double solve_objective(const kk_person *s, double t) {
  double sum = 0;
  for (int i = 0; i < s->wide; i++) {
    double f = s->f[i] + t * s->kd[i];
    s->g[i] = s->on[i] > 0 ? (s->y[i] > 0 ? -f : f) : -INFINITY;
    sum += s->on[i] * (s->a[i] + t * s->s[i]) * (f - s->offset[i]) / 2;
  }
  return sum + kk_person_softplus(s->g, s->q, s->wide);
}

/* s = B^-1 b for b in g, to the relative residual eps; ks = K W^1/2 s on the way. */
KK_CLONES static void solve_cg(kk_person *s, double lambda, double lambda0, double eps) {
  const int wide = s->wide;
  double *restrict x = s->s, *restrict res = s->g, *restrict dir = s->dir, *restrict kv = s->kv, *restrict ks = s->ks;
  memset(x, 0, (size_t)wide * sizeof *x);
  memset(ks, 0, (size_t)wide * sizeof *ks);
  memcpy(dir, res, (size_t)wide * sizeof *dir);
  double rho = kk_person_dot(res, res, wide), enough = eps * eps * rho;
  for (int iter = 0; iter < 2 * s->m + 20 && rho > enough; iter++) {
    for (int i = 0; i < wide; i++) s->q[i] = s->w[i] * dir[i];
    kk_person_kernel(s, lambda, lambda0, s->q, kv);
    for (int i = 0; i < wide; i++) s->q[i] = dir[i] + s->w[i] * kv[i];
    double alpha = rho / kk_person_dot(dir, s->q, wide), before = rho;
    for (int i = 0; i < wide; i++) {
      x[i] += alpha * dir[i];
      ks[i] += alpha * kv[i];
      res[i] -= alpha * s->q[i];
    }
    rho = kk_person_dot(res, res, wide);
    for (int i = 0; i < wide; i++) dir[i] = res[i] + rho / before * dir[i];
  }
}

/* How much of the step to take. Logistic loss is self-concordant in the sense of Bach (2010): a step that moves no logit
** by more than 1.7 lowers the objective; a longer one is tried and halved. */
static double solve_length(const kk_person *s) {
  double most = 0, t = 1;
  for (int i = 0; i < s->m; i++)
    if (s->on[i] > 0) most = fmax(most, fabs(s->kd[i]));
  if (most <= 1.7) return 1;
  double now = solve_objective(s, 0);
  for (int half = 0; half < 40 && !(solve_objective(s, t) < now); half++) t /= 2;
  return t;
}

KK_CLONES static double solve_residual(kk_person *s) {
  double most = 0;
  kk_person_sigmoid(s, s->f, s->p);
  for (int i = 0; i < s->wide; i++) {
    s->r[i] = s->on[i] * (s->y[i] - s->p[i]) - s->a[i];
    s->w[i] = sqrt(s->on[i] * s->p[i] * (1 - s->p[i]));
  }
  for (int i = 0; i < s->m; i++) most = fabs(s->r[i]) > most ? fabs(s->r[i]) : most;
  return most;
}

static void solve_logits(kk_person *s, double lambda, double lambda0) {
  kk_person_kernel(s, lambda, lambda0, s->a, s->f);
  for (int i = 0; i < s->wide; i++) s->f[i] += s->offset[i];
}

void kk_solve_map(kk_person *s, double lambda, double lambda0, int steps) {
  for (int i = 0; i < s->wide; i++) s->a[i] = steps == 1 ? 0 : s->a[i] * s->on[i];
  if (steps == 1) memcpy(s->f, s->offset, (size_t)s->wide * sizeof *s->f);
  else solve_logits(s, lambda, lambda0);
  for (int iter = 0; iter < steps; iter++) {
    double most = solve_residual(s);
    if (most <= 1e-9) return;
    kk_person_kernel(s, lambda, lambda0, s->r, s->kd);
    for (int i = 0; i < s->wide; i++) s->g[i] = s->w[i] * s->kd[i];
    solve_cg(s, lambda, lambda0, steps == 1 ? 1e-9 : fmin(.1, most));
    for (int i = 0; i < s->wide; i++) {
      s->s[i] = s->r[i] - s->w[i] * s->s[i];               /* now the step */
      s->kd[i] -= s->ks[i];
    }
    double t = steps == 1 ? 1 : solve_length(s);
    for (int i = 0; i < s->wide; i++) {
      s->a[i] += t * s->s[i];
      s->f[i] += t * s->kd[i];
    }
    if (most <= 1e-5) break;                               /* the step squared it */
  }
  if (steps > 1) solve_logits(s, lambda, lambda0);
}

void kk_solve_weights(kk_person *s, double lambda, double lambda0) {
  s->c = 0;
  for (int i = 0; i < s->m; i++) s->c += s->a[i] / lambda0;
  if (!s->d) return;
  kk_person_back(s, s->a, s->v);
  for (int64_t j = 0; j < s->d; j++) s->v[j] /= lambda;
}
