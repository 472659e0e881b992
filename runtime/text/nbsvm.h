/* nbsvm.h -- NB-SVM, the linear baseline that is hard to beat on short texts (Wang and Manning 2012,
** "Baselines and Bigrams"; here with the logistic loss, as in the HAHA 2019 entry's notebook).
**
** With rows x of tfidf.h and classes y: r_j = ln(p_j / q_j), p_j = (1 + sum of x_j over class 2) /
** (1 + texts of class 2), q_j likewise for class 1; then sparse_logistic.h on x * r. A text whose class is a share, or which has a
** weight, counts as that much of a text. Of more than two classes each is told from the rest in this way, on the same rows. */
#ifndef KK_NBSVM_H
#define KK_NBSVM_H

#include "text/tfidf.h"

typedef struct kk_nbsvm kk_nbsvm;

typedef struct kk_nbsvm_opts {
  kk_tfidf_opts tfidf;
  double c;            /* weight of the errors against the size of the weights */
  double tolerance;    /* of the solver                                        */
  bool nb;             /* false: plain logistic regression on the rows         */
  uint64_t seed;       /* of the order in which the solver visits the texts    */
} kk_nbsvm_opts;

#define KK_NBSVM_DEFAULTS \
  ((kk_nbsvm_opts){.tfidf = KK_TFIDF_DEFAULTS, .c = 4, .tolerance = 1e-4, .nb = true, .seed = 1})

/* What to learn from. label[i]: the class of text i, from 0 and below classes; or with two classes share[i]: how much of
** text i, 0..1, is of the second. weight[i] >= 0: how much text i counts; NULL: each 1. */
typedef struct kk_nbsvm_texts {
  size_t n;
  const char *const *texts;
  const size_t *lens;
  int classes;
  const int32_t *label;
  const double *share, *weight;
} kk_nbsvm_texts;

/* Two classes at least must occur. Two make one model, of the second; more make one a class. */
kk_status kk_nbsvm_fit(const kk_nbsvm_texts *t, const kk_nbsvm_opts *o, kk_nbsvm **out, kk_err *e);
int kk_nbsvm_models(const kk_nbsvm *m);
/* prob[i * models + k] = probability that model k gives text i: of its class against the rest, so that they do not sum to 1.
** A class without a text has 0. */
kk_status kk_nbsvm_predict(const kk_nbsvm *m, size_t n, const char *const *texts, const size_t *lens, double *prob,
                           kk_err *e);
int32_t kk_nbsvm_size(const kk_nbsvm *m);
/* Term col and its weight: what one unit of its tf-idf adds to the log-odds of model k's class. */
const char *kk_nbsvm_term(const kk_nbsvm *m, int k, int32_t col, size_t *len, double *weight);
void kk_nbsvm_free(kk_nbsvm *m);   /* NULL is fine */

#endif
