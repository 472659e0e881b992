/* heads.h -- one small logistic head a person on a frozen encoder, shrunk toward the general head.
**
** Person u with rows i: logit_i = offset_i + v.z_i + c, where offset is the general head's logit and
** z the features, centred and divided by one number so that their mean squared norm is 1. A rung says how v and c
** are found; the general head is the prior mean of all of them:
**   MAP    min sum_i log(1 + exp(-s_i logit_i)) + lambda/2 |v|^2 + lambda0/2 c^2, s_i = +-1: the posterior mode under
**          v ~ N(0, I/lambda); 1/sqrt(lambda) is how many logits a person's taste typically differs. INFINITY: c alone.
**   RIDGE  one Newton step toward it from the general head: weighted least squares, in closed form.
**   FIRTH  no penalty but Jeffreys' prior (Firth 1993): for very few features, or none (d = 0: c alone).
**   FLIC   the same, then c anew by maximum likelihood (Puhr et al. 2017): mean probability = share of class 1.
**   PROTO  v = (e1 - e0) / lambda, e the distance of the person's class mean from that of all others, each pulled to 0
**          by `pseudo` rows; c as in MAP.
** Persons are solved in parallel; bits do not depend on the thread count. */
#ifndef KK_HEADS_H
#define KK_HEADS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef enum kk_rung { KK_RUNG_MAP, KK_RUNG_RIDGE, KK_RUNG_FIRTH, KK_RUNG_FLIC, KK_RUNG_PROTO } kk_rung;

typedef struct kk_users {
  int64_t n, d, nuser, widest;   /* rows, features, persons, rows of the busiest person */
  const float *x;                /* [N,D], borrowed; NULL when d is 0 */
  const uint8_t *label;          /* [N] 0 or 1, borrowed */
  const double *offset;          /* [N] general logit, borrowed */
  int64_t *start, *row;          /* rows of person u: row[start[u] .. start[u+1]) */
  int32_t *fold;                 /* [N] 0-based, random within a person */
  int32_t *folds;                /* [U] folds of person u: no more than rows */
  int64_t *positives;            /* [U] */
  double *mean, *mean1, scale;   /* [D]; z = (x - mean) / scale; mean1: of the rows of class 1 */
  int64_t n1;                    /* rows of class 1 */
  const uint8_t *take;           /* [U] kk_users_cross works on these persons; NULL = all. Borrowed. */
  double *shift;                 /* [nlambda, N] kk_users_cross says what the intercept of the fold's head adds to each held-out
                                    row; kk_users_tune: [N]; NULL: not wanted. Borrowed, zeros before. */
  kk_rung rung;                  /* MAP unless the caller says otherwise */
  double pseudo;                 /* PROTO: rows that pull a class mean to that of the others (4) */
  void *block;
  size_t bytes;
} kk_users;

/* user [N] in 0..nuser-1; folds = 0: leave one out; folds = -k: at most k, and each holds a row of the person's smaller
** class (leave one out where there is a single one): stratified, which flatters intercepts by about 1/(2 rows).
** mean and scale may be overwritten before a solver runs; above 65,536 rows they are those of that many. KK_EARG names
** the first bad row (from 1). */
kk_status kk_users_new(kk_users *u, const float *x, int64_t n, int64_t d, const uint8_t *label, const int32_t *user,
                       int64_t nuser, const double *offset, int folds, uint64_t seed, kk_err *e);
/* Means over all rows, however many: PROTO wants them. */
kk_status kk_users_whole(kk_users *u, kk_err *e);
void kk_users_free(kk_users *u);
/* A person whose rows are all of one class keeps the general head. */
static inline int kk_users_one_class(const kk_users *u, int64_t k) {
  return u->positives[k] == 0 || u->positives[k] == u->start[k + 1] - u->start[k];
}

/* Out-of-fold logits [nlambda, N] and each person's summed log-loss [U, nlambda] for every lambda. */
kk_status kk_users_cross(const kk_users *u, const double *lambda, int nlambda, double lambda0, double *logit,
                         double *loss, kk_err *e);
/* The lambda with the least total loss, and for each person the one with the least total over the
** OTHER persons, so that nobody's report is tuned on his own labels. best may be NULL. */
int kk_users_choose(const double *loss, int64_t nuser, int nlambda, int *best);
/* Out-of-fold logits [N] of everybody at lambda_of [U]. The grid is searched on at most `sample` persons
** (evenly spread; 0 = all) who have both classes: each of them gets the lambda that the others of the sample
** chose, everybody else the one that the sample chose. total [nlambda]: mean log-loss over the sample.
** dw, db: kk_users_fit at the sample's choice in the same pass, unless db is NULL. */
kk_status kk_users_tune(kk_users *u, const double *lambda, int nlambda, double lambda0, int64_t sample, double *logit,
                        double *lambda_of, double *total, int *top, float *dw, double *db, kk_err *e);
/* Heads on all rows: what to add to the general w [U,D] and b [U], in units of x. dw may be NULL. */
kk_status kk_users_fit(const kk_users *u, double lambda, double lambda0, float *dw, double *db, kk_err *e);
/* Both at one lambda. */
kk_status kk_users_both(const kk_users *u, double lambda, double lambda0, double *logit, double *loss, float *dw,
                        double *db, kk_err *e);

#endif
