/* tf-idf and NB-SVM: golden numbers of scikit-learn, and refusing memory at every point.
** Goldens: scikit-learn 1.9.1, TfidfVectorizer(ngram_range=(1,2), min_df=2, max_df=.9,
** strip_accents="unicode", sublinear_tf=True), tokens of the HAHA 2019 notebook or the default ones; characters:
** TfidfVectorizer(analyzer="char_wb", ngram_range=(1,3), min_df=2, max_df=.9, sublinear_tf=True);
** LogisticRegression(C=4, dual=True, solver="liblinear", tol=1e-12) on x * r. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "text/nbsvm.h"
#include "text/tfidf.h"

enum { DOCS = 5 };
static const char *const docs[DOCS] = {
  "El pato dijo: \xC2\xA1" "cuac, cuac!", "El gato no dijo nada.", "\xC2\xBFQu\xC3\xA9 dijo el pato? Nada, nada",
  "un gato y un pato", "EL PAT\xC3\x93 canta; el gato no",
};
static size_t lens[DOCS];   /* filled by main */
static const int32_t label[DOCS] = {1, 0, 1, 0, 1};

typedef struct golden { int row; const char *term; double value; } golden;
static const golden signs[] = {
  {0, ",", 0.546086159036169}, {0, "el pato", 0.453300841981332}, {0, "pato", 0.381330958766237},
  {1, "gato no", 0.412894717876124}, {1, "el", 0.288323620791108}, {2, "nada", 0.678885369799369},
  {2, ",", 0.400960635669518}, {3, "gato", 0.765240531372336}, {3, "pato", 0.643744459506243},
  {4, "el", 0.472414744714386}, {4, "no", 0.399565365276271}, {0},
};
static const golden words[] = {
  {0, "dijo", 0.541106768972176}, {2, "nada", 0.741064146873198}, {2, "el pato", 0.363317608788735}, {0},
};

enum { CHAR_COLS = 45 };
static const golden characters[] = {
  {0, "pat", 0.142839504792519}, {0, " di", 0.169798088254193}, {1, "no ", 0.186028529455623}, {2, ", ", 0.159413742242037},
  {3, " g", 0.254307867497685}, {3, "to ", 0.362218016039173}, {4, "pat", 0.144841798982218}, {4, " el", 0.245238483573972}, {0},
};

static double value_of(const kk_tfidf *t, const kk_csr *x, int row, const char *term) {
  for (int64_t k = x->start[row]; k < x->start[row + 1]; k++) {
    size_t len;
    const char *p = kk_tfidf_term(t, x->col[k], &len);
    if (len == strlen(term) && memcmp(p, term, len) == 0) return x->val[k];
  }
  return 0;
}

static void check_rows(kk_tokens tokens, int ngrams, int64_t cols, const golden *want) {
  kk_tfidf_opts o = KK_TFIDF_DEFAULTS;
  kk_tfidf *t;
  kk_csr x, again;
  kk_err e;
  o.min_df = 2;
  o.tokens = tokens;
  o.ngrams = ngrams;
  assert_int_equal(kk_tfidf_fit(DOCS, docs, lens, &o, &t, &x, &e), KK_OK);
  assert_int_equal(x.cols, cols);
  for (; want->term; want++) assert_true(fabs(value_of(t, &x, want->row, want->term) - want->value) < 1e-14);
  assert_int_equal(kk_tfidf_rows(t, DOCS, docs, lens, &again, &e), KK_OK);
  assert_memory_equal(again.start, x.start, (DOCS + 1) * sizeof *x.start);
  assert_memory_equal(again.val, x.val, (size_t)x.start[DOCS] * sizeof *x.val);
  kk_csr_free(&x);
  kk_csr_free(&again);
  kk_tfidf_free(t);
}

static void rows_equal_scikit_learn(void **state) {
  (void)state;
  check_rows(KK_SIGNS, 2, 10, signs);
  check_rows(KK_WORDS, 2, 9, words);
  check_rows(KK_CHARACTERS, 3, CHAR_COLS, characters);
}

static void probabilities_equal_scikit_learn(void **state) {
  static const double want[DOCS] = {0.6738886268755503, 0.5369757081991945, 0.6576490294804269, 0.4487445076636089,
                                    0.5703120031007604};
  kk_nbsvm_opts o = KK_NBSVM_DEFAULTS;
  kk_nbsvm *m;
  kk_err e;
  double p[DOCS];
  (void)state;
  o.tfidf.min_df = 2;
  o.tolerance = 1e-12;
  kk_status st = kk_nbsvm_fit(DOCS, docs, lens, label, 2, &o, &m, &e);
  if (st == KK_ELIB) skip();
  assert_int_equal(st, KK_OK);
  assert_int_equal(kk_nbsvm_predict(m, DOCS, docs, lens, p, &e), KK_OK);
  for (int i = 0; i < DOCS; i++) assert_true(fabs(p[i] - want[i]) < 1e-9);
  kk_nbsvm_free(m);
}

static void many_classes_are_as_many_models(void **state) {
  static const int32_t three[DOCS] = {3, 0, 1, 0, 1};       /* of five: 2 and 4 occur nowhere */
  kk_nbsvm_opts o = KK_NBSVM_DEFAULTS;
  kk_nbsvm *m, *one;
  kk_err e;
  double p[DOCS * 5], q[DOCS];
  (void)state;
  o.tfidf.min_df = 2;
  kk_status st = kk_nbsvm_fit(DOCS, docs, lens, three, 5, &o, &m, &e);
  if (st == KK_ELIB) skip();
  assert_int_equal(st, KK_OK);
  assert_int_equal(kk_nbsvm_models(m), 5);
  assert_int_equal(kk_nbsvm_predict(m, DOCS, docs, lens, p, &e), KK_OK);
  for (int c = 0; c < 5; c++) {
    int32_t against[DOCS];
    if (c == 2 || c == 4) {
      for (int i = 0; i < DOCS; i++) assert_true(p[i * 5 + c] == 0);
      continue;
    }
    for (int i = 0; i < DOCS; i++) against[i] = three[i] == c;
    assert_int_equal(kk_nbsvm_fit(DOCS, docs, lens, against, 2, &o, &one, &e), KK_OK);
    assert_int_equal(kk_nbsvm_models(one), 1);
    assert_int_equal(kk_nbsvm_predict(one, DOCS, docs, lens, q, &e), KK_OK);
    for (int i = 0; i < DOCS; i++) assert_true(p[i * 5 + c] == q[i]);
    kk_nbsvm_free(one);
  }
  kk_nbsvm_free(m);
}

static void texts_without_terms_and_one_class_are_refused(void **state) {
  static const int32_t same[DOCS] = {1, 1, 1, 1, 1};
  kk_nbsvm_opts o = KK_NBSVM_DEFAULTS;
  kk_tfidf *t;
  kk_nbsvm *m;
  kk_csr x;
  kk_err e;
  (void)state;
  o.tfidf.min_df = 100;
  assert_int_equal(kk_tfidf_fit(DOCS, docs, lens, &o.tfidf, &t, &x, &e), KK_EARG);
  assert_int_equal(kk_tfidf_fit(0, docs, lens, &o.tfidf, &t, &x, &e), KK_EARG);
  kk_status st = kk_nbsvm_fit(DOCS, docs, lens, same, 2, &o, &m, &e);
  assert_true(st == KK_EARG || st == KK_ELIB);
  const char *bad = "a\xFF";
  const size_t two = 2;
  assert_int_equal(kk_tfidf_fit(1, &bad, &two, &o.tfidf, &t, &x, &e), KK_EFORMAT);
  assert_non_null(strstr(e.msg, "text 1: text: byte 2"));
}

static void every_refused_allocation_is_an_error_that_leaks_nothing(void **state) {
  kk_tfidf_opts o = KK_TFIDF_DEFAULTS;
  size_t before = kk_mem_live();
  (void)state;
  o.min_df = 2;
  for (long fail = 0;; fail++) {
    kk_tfidf *t;
    kk_csr x;
    kk_err e;
    kk_mem_fail_after(fail);
    kk_status st = kk_tfidf_fit(DOCS, docs, lens, &o, &t, &x, &e);
    kk_mem_fail_after(-1);
    if (st == KK_OK) {
      assert_true(fail > 8);
      kk_csr_free(&x);
      kk_tfidf_free(t);
      break;
    }
    assert_int_equal(st, KK_ENOMEM);
    assert_int_equal(kk_mem_live(), before);
  }
  assert_int_equal(kk_mem_live(), before);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(rows_equal_scikit_learn),
    cmocka_unit_test(probabilities_equal_scikit_learn),
    cmocka_unit_test(many_classes_are_as_many_models),
    cmocka_unit_test(texts_without_terms_and_one_class_are_refused),
    cmocka_unit_test(every_refused_allocation_is_an_error_that_leaks_nothing),
  };
  for (int i = 0; i < DOCS; i++) lens[i] = strlen(docs[i]);
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
