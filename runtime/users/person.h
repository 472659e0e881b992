/* person.h -- the rows of one person, gathered and scaled for the solvers, and the solvers themselves. Everything lives
** in one block of scratch; vectors and matrices are padded with zeros to whole vectors, so that loops have no rest. */
#ifndef KK_PERSON_H
#define KK_PERSON_H

#include "users/heads.h"

typedef struct kk_person {
  const kk_users *u;
  const int64_t *row;            /* the person's rows */
  int64_t who;
  int m, wide;                   /* rows; padded */
  int64_t d, dp;                 /* features in use (0: an intercept alone); padded */
  int bad;                       /* some feature is not finite */
  int gram;                      /* k is [M, wide] of z.z'; else [d, wide], z transposed */
  float *z, *k;                  /* z [M, dp] */
  double *offset, *y;            /* [wide] */
  double *a, *f;                 /* dual variables y - p; logits */
  double *on;                    /* 1: in training, 0: held out */
  double *p, *w, *r, *q, *s, *g, *dir, *kd, *kv, *ks;
  double *t, *v;                 /* [dp] */
  double c;                      /* intercept, beside v */
  double *system;                /* FIRTH: [(d+1), (d+1)] and 3 (d+1) */
} kk_person;

size_t kk_person_bytes(const kk_users *u, int64_t d);
void kk_person_open(kk_person *s, const kk_users *u, int64_t k, int64_t d, char *mem);
void kk_person_fold(kk_person *s, int fold);                    /* holds out the rows of a fold; -1: none */

/* out = z v for all rows; t = z' v for features. */
void kk_person_logits(const kk_person *s, const double *v, double *out);
void kk_person_back(const kk_person *s, const double *v, double *t);
/* out = (z z'/lambda + 1/lambda0) v */
void kk_person_kernel(const kk_person *s, double lambda, double lambda0, const double *v, double *out);
void kk_person_sigmoid(const kk_person *s, const double *f, double *p);
/* Sum of log(1 + exp(v)) over wide values, a multiple of 16; e: scratch [wide]. -INFINITY counts as nothing. */
double kk_person_softplus(const double *v, double *e, int64_t wide);
static inline double kk_person_dot(const double *a, const double *b, int64_t wide) {   /* wide: a multiple of 8 */
  double sum[8] = {0};
  for (int64_t i = 0; i < wide; i += 8)
    for (int l = 0; l < 8; l++) sum[l] += a[i + l] * b[i + l];
  return ((sum[0] + sum[4]) + (sum[1] + sum[5])) + ((sum[2] + sum[6]) + (sum[3] + sum[7]));
}

/* Each leaves the logits of all rows in f, held out or not. v and c only where weights is set, but FIRTH and PROTO. */
void kk_solve_map(kk_person *s, double lambda, double lambda0, int steps);   /* from a; steps = 1: ridge, from 0 */
void kk_solve_weights(kk_person *s, double lambda, double lambda0);          /* a -> v, c */
void kk_solve_firth(kk_person *s, int flic);
void kk_solve_proto_begin(kk_person *s);                                     /* e1 - e0 of this fold */
void kk_solve_proto(kk_person *s, double lambda, double lambda0);

#endif
