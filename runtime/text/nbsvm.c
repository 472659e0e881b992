/* nbsvm.c -- NB-SVM: log-count ratios of tfidf.h's rows, and logistic regression by liblinear. */
#include "text/nbsvm.h"

#include <math.h>
#include <stdlib.h>
#if __has_include(<linear.h>)
#include <linear.h>
#else
#include <liblinear/linear.h>
#endif

#include "base/dl.h"
#include "base/mem.h"
#include "base/stop.h"

struct kk_nbsvm {
  kk_tfidf *terms;
  int models;
  double *weight, *bias;     /* [models, terms] on the plain rows: the solver's weight times r; [models] */
};

static kk_dl library;
static struct {
  __typeof__(train) *train;
  __typeof__(check_parameter) *check;
  __typeof__(free_and_destroy_model) *destroy;
  __typeof__(set_print_string_function) *print;
  int *version;
} ll;

static void nbsvm_quiet(const char *text) { (void)text; }

/* liblinear's structs change between versions without a change of its file's name. */
static kk_status nbsvm_open(kk_err *e) {
  static const char *const files[] = {"liblinear.so.4", "liblinear.so.3", "liblinear.so", "liblinear.dylib", NULL};
  static const kk_dl_sym syms[] = {
    {"train", (void **)&ll.train}, {"check_parameter", (void **)&ll.check},
    {"free_and_destroy_model", (void **)&ll.destroy}, {"set_print_string_function", (void **)&ll.print},
    {"liblinear_version", (void **)&ll.version}, {0},
  };
  kk_status st = kk_dl_load(&library, "nbsvm", files, syms, e);
  if (st) return st;
  if (*ll.version != LIBLINEAR_VERSION)
    return kk_fail(e, KK_ELIB, "nbsvm: liblinear is version %d, kooka was built for %d: build it again", *ll.version,
                   LIBLINEAR_VERSION);
  ll.print(nbsvm_quiet);
  return KK_OK;
}

/* The log-count ratio of each column, or 1 for plain logistic regression. */
static void nbsvm_ratio(const kk_csr *x, const int32_t *label, int32_t of, bool nb, double *r, double *other) {
  double n2 = 0, n1 = 0;
  for (int64_t j = 0; j < x->cols; j++) r[j] = other[j] = 1;
  if (!nb) return;
  for (int64_t i = 0; i < x->rows; i++) {
    double *sum = label[i] == of ? r : other;
    if (label[i] == of) n2++;
    else n1++;
    for (int64_t k = x->start[i]; k < x->start[i + 1]; k++) sum[x->col[k]] += x->val[k];
  }
  for (int64_t j = 0; j < x->cols; j++) r[j] = log(r[j] / (n2 + 1) / (other[j] / (n1 + 1)));
}

/* Everything that liblinear reads. Each row ends with the constant and an index of -1. */
typedef struct nbsvm_job {
  size_t nodes, rows;
  struct feature_node *node, **row;
  double *y, *r, *other;
  int64_t cols;
} nbsvm_job;

static void job_free(nbsvm_job *j) {
  kk_free(j->node, j->nodes * sizeof *j->node);
  kk_free(j->row, j->rows * sizeof *j->row);
  kk_free(j->y, j->rows * sizeof *j->y);
  kk_free(j->r, (size_t)j->cols * sizeof *j->r);
  kk_free(j->other, (size_t)j->cols * sizeof *j->other);
}

static kk_status job_make(nbsvm_job *j, const kk_csr *x, kk_err *e) {
  *j = (nbsvm_job){.rows = (size_t)x->rows, .cols = x->cols};
  j->nodes = (size_t)x->start[x->rows] + 2 * j->rows;
  j->node = kk_alloc(j->nodes * sizeof *j->node);
  j->row = kk_alloc(j->rows * sizeof *j->row);
  j->y = kk_alloc(j->rows * sizeof *j->y);
  j->r = kk_alloc((size_t)j->cols * sizeof *j->r);
  j->other = kk_alloc((size_t)j->cols * sizeof *j->other);
  if (!j->node || !j->row || !j->y || !j->r || !j->other)
    return kk_fail(e, KK_ENOMEM, "nbsvm: out of memory for %zu values", j->nodes);
  return KK_OK;
}

/* Rows and targets that tell class `of` from the rest. */
static void job_fill(nbsvm_job *j, const kk_csr *x, const int32_t *label, int32_t of, bool nb) {
  nbsvm_ratio(x, label, of, nb, j->r, j->other);
  struct feature_node *p = j->node;
  for (int64_t i = 0; i < x->rows; i++) {
    j->row[i] = p;
    j->y[i] = label[i] == of ? 1 : -1;
    for (int64_t k = x->start[i]; k < x->start[i + 1]; k++)
      *p++ = (struct feature_node){x->col[k] + 1, x->val[k] * j->r[x->col[k]]};
    *p++ = (struct feature_node){(int)x->cols + 1, 1};
    *p++ = (struct feature_node){-1, 0};
  }
}

static kk_status nbsvm_solve(nbsvm_job *j, const kk_nbsvm_opts *o, double *weight, double *bias, kk_err *e) {
  struct problem prob = {.l = (int)j->rows, .n = (int)j->cols + 1, .y = j->y, .x = j->row, .bias = 1};
  struct parameter param = {.solver_type = L2R_LR_DUAL, .eps = o->tolerance, .C = o->c};
  const char *wrong = ll.check(&prob, &param);
  if (wrong) return kk_fail(e, KK_EARG, "nbsvm: %s", wrong);
  kk_status st = kk_stop_check(e, "nbsvm");
  if (st) return st;
  srand(o->seed);                        /* the solver visits the texts in the C library's random order */
  struct model *fit = ll.train(&prob, &param);
  double sign = fit->label[0] == 1 ? 1 : -1;
  for (int64_t c = 0; c < j->cols; c++) weight[c] = sign * fit->w[c] * j->r[c];
  *bias = sign * fit->w[j->cols];
  ll.destroy(&fit);
  return KK_OK;
}

/* Model k of the rows; a class that none of them has is never said. */
static kk_status nbsvm_model(kk_nbsvm *m, int k, const kk_csr *x, const int32_t *label, int32_t of, nbsvm_job *job,
                             const kk_nbsvm_opts *o, kk_err *e) {
  double *weight = m->weight + (int64_t)k * x->cols;
  int64_t n = 0;
  for (int64_t i = 0; i < x->rows; i++) n += label[i] == of;
  if (n == 0) {
    for (int64_t c = 0; c < x->cols; c++) weight[c] = 0;
    m->bias[k] = -INFINITY;
    return KK_OK;
  }
  job_fill(job, x, label, of, o->nb);
  return nbsvm_solve(job, o, weight, &m->bias[k], e);
}

kk_status kk_nbsvm_fit(size_t n, const char *const *texts, const size_t *lens, const int32_t *label, int classes,
                       const kk_nbsvm_opts *o, kk_nbsvm **out, kk_err *e) {
  kk_csr x = {0};
  nbsvm_job job = {0};
  kk_status st = nbsvm_open(e);
  if (st) return st;
  if (n == 0 || n > INT32_MAX / 2) return kk_fail(e, KK_EARG, "nbsvm: %zu texts, expected 1 to %d", n, INT32_MAX / 2);
  size_t alike = 1;
  while (alike < n && label[alike] == label[0]) alike++;
  if (alike == n)
    return kk_fail(e, KK_EARG, "nbsvm: all %zu texts are of class %d, another class must occur", n, (int)label[0] + 1);
  kk_nbsvm *m = kk_calloc(sizeof *m);
  if (!m) return kk_fail(e, KK_ENOMEM, "nbsvm: out of memory");
  m->models = classes == 2 ? 1 : classes;
  st = kk_tfidf_fit(n, texts, lens, &o->tfidf, &m->terms, &x, e);
  if (!st) {
    m->weight = kk_alloc((size_t)m->models * (size_t)x.cols * sizeof *m->weight);
    m->bias = kk_alloc((size_t)m->models * sizeof *m->bias);
    if (!m->weight || !m->bias)
      st = kk_fail(e, KK_ENOMEM, "nbsvm: out of memory for %d models of %lld terms", m->models, (long long)x.cols);
  }
  if (!st) st = job_make(&job, &x, e);
  for (int k = 0; k < m->models && !st; k++) st = nbsvm_model(m, k, &x, label, classes == 2 ? 1 : k, &job, o, e);
  job_free(&job);
  kk_csr_free(&x);
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
