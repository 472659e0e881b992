/* nbsvm.c -- NB-SVM: log-count ratios of tfidf.h's rows, and sparse_logistic.h on the rows times these. */
#include "text/nbsvm.h"

#include <math.h>

#include "base/mem.h"
#include "text/sparse_logistic.h"

struct kk_nbsvm {
  kk_tfidf *terms;
  int models;
  double *weight, *bias;     /* [models, terms] on the plain rows: the solver's weight times r; [models] */
};

/* The rows, and what one model after the other makes of them. */
typedef struct nbsvm_job {
  kk_csr x;
  const kk_nbsvm_texts *t;
  const kk_nbsvm_opts *o;
  double *target;            /* how much of each text is of the model's class */
  double *r, *other;
} nbsvm_job;

static void job_free(nbsvm_job *j) {
  kk_free(j->target, j->t->n * sizeof *j->target);
  kk_free(j->r, (size_t)j->x.cols * sizeof *j->r);
  kk_free(j->other, (size_t)j->x.cols * sizeof *j->other);
  kk_csr_free(&j->x);
}

/* The log-count ratio of each column, or 1 for plain logistic regression. */
static void job_ratio(nbsvm_job *j) {
  const kk_csr *x = &j->x;
  double n2 = 0, n1 = 0;
  for (int64_t c = 0; c < x->cols; c++) j->r[c] = j->other[c] = 1;
  if (!j->o->nb) return;
  for (int64_t i = 0; i < x->rows; i++) {
    const double u = j->t->weight ? j->t->weight[i] : 1, yes = u * j->target[i], no = u - yes;
    n2 += yes;
    n1 += no;
    for (int64_t k = x->start[i]; k < x->start[i + 1]; k++) {
      j->r[x->col[k]] += yes * x->val[k];
      j->other[x->col[k]] += no * x->val[k];
    }
  }
  for (int64_t c = 0; c < x->cols; c++) j->r[c] = log(j->r[c] / (n2 + 1) / (j->other[c] / (n1 + 1)));
}

/* Model k, which tells class `of` from the rest; a class that no text has is never said. */
static kk_status job_run(nbsvm_job *j, int k, int32_t of, kk_nbsvm *m, kk_err *e) {
  double *w = m->weight + (int64_t)k * j->x.cols, n = 0;
  for (size_t i = 0; i < j->t->n; i++) n += j->target[i] = j->t->share ? j->t->share[i] : j->t->label[i] == of;
  if (n == 0) {
    for (int64_t c = 0; c < j->x.cols; c++) w[c] = 0;
    m->bias[k] = -INFINITY;
    return KK_OK;
  }
  job_ratio(j);
  const kk_sparse_logistic_opts o = {.c = j->o->c, .tolerance = j->o->tolerance, .seed = j->o->seed};
  kk_status st = kk_sparse_logistic_fit(&j->x, j->r, j->target, j->t->weight, &o, w, &m->bias[k], e);
  for (int64_t c = 0; c < j->x.cols; c++) w[c] *= j->r[c];
  return st;
}

static kk_status nbsvm_check(const kk_nbsvm_texts *t, kk_err *e) {
  size_t alike = 0;
  if (t->n == 0) return kk_fail(e, KK_EARG, "nbsvm: no texts");
  if (t->share) {
    while (alike < t->n && t->share[alike] == t->share[0]) alike++;
    if (alike < t->n || (t->share[0] > 0 && t->share[0] < 1)) return KK_OK;
    return kk_fail(e, KK_EARG, "nbsvm: the shares of all %zu texts are %g, another class must occur", t->n, t->share[0]);
  }
  while (alike < t->n && t->label[alike] == t->label[0]) alike++;
  if (alike < t->n) return KK_OK;
  return kk_fail(e, KK_EARG, "nbsvm: all %zu texts are of class %d, another class must occur", t->n, (int)t->label[0] + 1);
}

kk_status kk_nbsvm_fit(const kk_nbsvm_texts *t, const kk_nbsvm_opts *o, kk_nbsvm **out, kk_err *e) {
  nbsvm_job job = {.t = t, .o = o};
  kk_status st = nbsvm_check(t, e);
  if (st) return st;
  kk_nbsvm *m = kk_calloc(sizeof *m);
  if (!m) return kk_fail(e, KK_ENOMEM, "nbsvm: out of memory");
  m->models = t->classes == 2 ? 1 : t->classes;
  st = kk_tfidf_fit(t->n, t->texts, t->lens, &o->tfidf, &m->terms, &job.x, e);
  if (!st) {
    const size_t cols = (size_t)job.x.cols, models = (size_t)m->models;
    m->weight = kk_alloc(models * cols * sizeof *m->weight);
    m->bias = kk_alloc(models * sizeof *m->bias);
    job.target = kk_alloc(t->n * sizeof *job.target);
    job.r = kk_alloc(cols * sizeof *job.r);
    job.other = kk_alloc(cols * sizeof *job.other);
    if (!m->weight || !m->bias || !job.target || !job.r || !job.other)
      st = kk_fail(e, KK_ENOMEM, "nbsvm: out of memory for %d models of %zu terms", m->models, cols);
  }
  for (int k = 0; k < m->models && !st; k++) st = job_run(&job, k, t->classes == 2 ? 1 : k, m, e);
  job_free(&job);
  if (st) kk_nbsvm_free(m);
  else *out = m;
  return st;
}

kk_status kk_nbsvm_predict(const kk_nbsvm *m, size_t n, const char *const *texts, const size_t *lens, double *prob,
                           kk_err *e) {
  kk_csr x;
  kk_status st = kk_tfidf_rows(m->terms, n, texts, lens, &x, e);
  if (st) return st;
  for (size_t i = 0; i < n; i++) {
    for (int c = 0; c < m->models; c++) {
      const double *weight = m->weight + (int64_t)c * x.cols;
      double z = m->bias[c];
      for (int64_t k = x.start[i]; k < x.start[i + 1]; k++) z += x.val[k] * weight[x.col[k]];
      prob[i * (size_t)m->models + (size_t)c] = 1 / (1 + exp(-z));
    }
  }
  kk_csr_free(&x);
  return KK_OK;
}

int kk_nbsvm_models(const kk_nbsvm *m) { return m->models; }

int32_t kk_nbsvm_size(const kk_nbsvm *m) { return kk_tfidf_size(m->terms); }

const char *kk_nbsvm_term(const kk_nbsvm *m, int k, int32_t col, size_t *len, double *weight) {
  *weight = m->weight[(int64_t)k * kk_tfidf_size(m->terms) + col];
  return kk_tfidf_term(m->terms, col, len);
}

void kk_nbsvm_free(kk_nbsvm *m) {
  if (!m) return;
  size_t models = (size_t)m->models;
  kk_free(m->weight, m->terms ? models * (size_t)kk_tfidf_size(m->terms) * sizeof *m->weight : 0);
  kk_free(m->bias, models * sizeof *m->bias);
  kk_tfidf_free(m->terms);
  kk_free(m, sizeof *m);
}
