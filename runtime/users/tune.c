/* tune.c -- the penalty of per-person heads, chosen over persons. */
#include <math.h>

#include "base/mem.h"
#include "users/heads.h"

/* Marks at most `sample` of the persons with both classes, evenly spread. */
static void tune_mark(const kk_users *u, int64_t sample, uint8_t *take) {
  int64_t both = 0, seen = 0;
  for (int64_t k = 0; k < u->nuser; k++) both += !kk_users_one_class(u, k);
  if (sample == 0 || sample > both) sample = both;
  for (int64_t k = 0; k < u->nuser; k++) {
    take[k] = 0;
    if (kk_users_one_class(u, k)) continue;
    take[k] = (seen + 1) * sample / both > seen * sample / both;
    seen++;
  }
}

/* Which lambda each person gets; the mean loss over the sample's rows. */
static int tune_choose(const kk_users *u, const uint8_t *take, int nlambda, const double *loss, int *best,
                       double *total) {
  int64_t rows = 0, marked = 0;
  int top = kk_users_choose(loss, u->nuser, nlambda, NULL);
  for (int l = 0; l < nlambda; l++) total[l] = 0;
  for (int64_t k = 0; k < u->nuser; k++) {
    marked += take[k];
    rows += take[k] ? u->start[k + 1] - u->start[k] : 0;
    for (int l = 0; l < nlambda; l++) total[l] += loss[k * nlambda + l];
  }
  if (marked > 1) kk_users_choose(loss, u->nuser, nlambda, best);
  for (int64_t k = 0; k < u->nuser; k++)
    if (!take[k] || marked < 2) best[k] = top;
  for (int l = 0; l < nlambda; l++) total[l] = rows ? total[l] / (double)rows : NAN;
  return top;
}

static kk_status tune_run(kk_users *u, const double *lambda, int nlambda, double lambda0, int64_t sample,
                          double *logit, double *grid, double *loss, uint8_t *take, int *best, double *total, int *top,
                          float *dw, double *db, kk_err *e) {
  if (nlambda == 1) {                       /* nothing to choose: everybody in one pass */
    kk_status one = db ? kk_users_both(u, lambda[0], lambda0, logit, loss, dw, db, e)
                       : kk_users_cross(u, lambda, 1, lambda0, logit, loss, e);
    for (int64_t k = 0; k < u->nuser; k++) take[k] = !kk_users_one_class(u, k);
    for (int64_t k = 0; k < u->nuser; k++) loss[k] = take[k] ? loss[k] : 0;
    *top = tune_choose(u, take, 1, loss, best, total);
    return one;
  }
  double *shift = u->shift, *shifts = grid + (size_t)nlambda * (size_t)u->n;
  tune_mark(u, sample, take);
  u->take = take;
  if (shift) u->shift = shifts;
  kk_status st = kk_users_cross(u, lambda, nlambda, lambda0, grid, loss, e);
  u->shift = shift;
  if (st) return st;
  *top = tune_choose(u, take, nlambda, loss, best, total);
  for (int64_t k = 0; k < u->nuser; k++)
    for (int64_t i = u->start[k]; i < u->start[k + 1]; i++) {
      int64_t row = u->row[i];
      logit[row] = take[k] ? grid[best[k] * u->n + row] : u->offset[row];
      if (shift && take[k]) shift[row] = shifts[best[k] * u->n + row];
    }
  for (int64_t k = 0; k < u->nuser; k++) take[k] = !take[k] && !kk_users_one_class(u, k);
  /* the rest, at the sample's choice, and the heads of all of them */
  return db ? kk_users_both(u, lambda[*top], lambda0, logit, loss, dw, db, e)
            : kk_users_cross(u, lambda + *top, 1, lambda0, logit, loss, e);
}

kk_status kk_users_tune(kk_users *u, const double *lambda, int nlambda, double lambda0, int64_t sample, double *logit,
                        double *lambda_of, double *total, int *top, float *dw, double *db, kk_err *e) {
  size_t grid = (size_t)u->n * (size_t)nlambda * sizeof(double) * (u->shift ? 2 : 1), users = (size_t)u->nuser;
  size_t loss = users * (size_t)nlambda * sizeof(double), bytes = grid + loss + users * (sizeof(int) + 1);
  char *p = kk_alloc(bytes);
  if (!p) return kk_fail(e, KK_ENOMEM, "users: no memory for %d penalties of %lld rows", nlambda, (long long)u->n);
  int *best = (int *)(p + grid + loss);
  kk_status st = tune_run(u, lambda, nlambda, lambda0, sample, logit, (double *)p, (double *)(p + grid),
                          (uint8_t *)(best + u->nuser), best, total, top, dw, db, e);
  u->take = NULL;
  for (int64_t k = 0; !st && k < u->nuser; k++) lambda_of[k] = lambda[best[k]];
  kk_free(p, bytes);
  return st;
}
