/* tf-idf and NB-SVM: golden numbers of scikit-learn, and refusing memory at every point.
** Goldens: scikit-learn 1.9.1, TfidfVectorizer(ngram_range=(1,2), min_df=2, max_df=.9,
** strip_accents="unicode", sublinear_tf=True), tokens of the HAHA 2019 notebook or the default ones; characters:
** TfidfVectorizer(analyzer="char_wb", ngram_range=(1,3), min_df=2, max_df=.9, sublinear_tf=True), cased ones: analyzer="char",
** lowercase=False; LogisticRegression(C=4, dual=True, solver="liblinear", tol=1e-12) on x * r, of shares: each row twice, once a
** class, with sample_weight = weight * share. */
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
static const kk_nbsvm_texts texts_of_two = {.n = DOCS, .texts = docs, .lens = lens, .classes = 2, .label = label};

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

enum { CASED_COLS = 51 };
static const golden cased[] = {
  {0, "El ", 0.1918915978261656}, {0, "pat", 0.15928736047306177}, {1, "to ", 0.12153250194181445}, {2, " pa", 0.13811341605869895},
  {2, "da", 0.281711919178678}, {4, "el", 0.23134705062847813}, {4, "no", 0.23134705062847813}, {0},
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
  check_rows(KK_CASED, 3, CASED_COLS, cased);
}

/* Two spaces or more are one; a line's end alone stays. */
static void cased_characters_keep_all_but_runs_of_spaces(void **state) {
  static const char *const spaced[] = {"a  b\n\nc\nd", "a b c\nd", "a b\xC2\xA0 c d"};
  static const size_t length[] = {9, 7, 9};
  kk_tfidf_opts o = {.ngrams = 3, .min_df = 1, .max_df = 1, .tokens = KK_CASED};
  kk_tfidf *t;
  kk_csr x;
  kk_err e;
  (void)state;
  assert_int_equal(kk_tfidf_fit(3, spaced, length, &o, &t, &x, &e), KK_OK);
  const int64_t n = x.start[1];
  assert_int_equal(x.start[2] - n, n);
  assert_memory_equal(x.col, x.col + n, (size_t)n * sizeof *x.col);
  assert_memory_equal(x.val, x.val + n, (size_t)n * sizeof *x.val);
  assert_true(value_of(t, &x, 0, "c\nd") > 0);
  assert_true(value_of(t, &x, 2, "c d") > 0 && value_of(t, &x, 2, "b c") > 0 && value_of(t, &x, 2, "c\nd") == 0);
  kk_csr_free(&x);
  kk_tfidf_free(t);
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
  assert_int_equal(kk_nbsvm_fit(&texts_of_two, &o, &m, &e), KK_OK);
  assert_int_equal(kk_nbsvm_predict(m, DOCS, docs, lens, p, &e), KK_OK);
  for (int i = 0; i < DOCS; i++) assert_true(fabs(p[i] - want[i]) < 1e-9);
  kk_nbsvm_free(m);
}

static void shares_and_weights_equal_scikit_learn(void **state) {
  static const double share[DOCS] = {.9, .2, 1, 0, .5}, weight[DOCS] = {1, 2, .5, 1, 3};
  static const double want[DOCS] = {0.5413482312587735, 0.42078749401270577, 0.5125120106814394, 0.39659531224276157,
                                    0.44375866912597195};
  static const double hard[DOCS] = {1, 0, 1, 0, 1}, none[DOCS] = {1, 1, 1, 1, 0}, one[DOCS] = {1, 1, 1, 1, 1};
  kk_nbsvm_opts o = KK_NBSVM_DEFAULTS;
  kk_nbsvm_texts t = texts_of_two;
  kk_nbsvm *m;
  kk_err e;
  double p[DOCS], q[DOCS];
  (void)state;
  o.tfidf.min_df = 2;
  o.tolerance = 1e-12;
  t.share = share;
  t.weight = weight;
  assert_int_equal(kk_nbsvm_fit(&t, &o, &m, &e), KK_OK);
  assert_int_equal(kk_nbsvm_predict(m, DOCS, docs, lens, p, &e), KK_OK);
  for (int i = 0; i < DOCS; i++) assert_true(fabs(p[i] - want[i]) < 1e-9);
  kk_nbsvm_free(m);
  t.share = hard;                                           /* labels, and weights of one, are nothing special */
  t.weight = one;
  assert_int_equal(kk_nbsvm_fit(&t, &o, &m, &e), KK_OK);
  assert_int_equal(kk_nbsvm_predict(m, DOCS, docs, lens, p, &e), KK_OK);
  kk_nbsvm_free(m);
  assert_int_equal(kk_nbsvm_fit(&texts_of_two, &o, &m, &e), KK_OK);
  assert_int_equal(kk_nbsvm_predict(m, DOCS, docs, lens, q, &e), KK_OK);
  assert_memory_equal(p, q, sizeof p);
  kk_nbsvm_free(m);
  t.weight = none;                                          /* a text that counts nothing moves nothing but the terms */
  assert_int_equal(kk_nbsvm_fit(&t, &o, &m, &e), KK_OK);
  assert_int_equal(kk_nbsvm_predict(m, DOCS, docs, lens, p, &e), KK_OK);
  assert_true(p[4] < .5 && q[4] > .5);
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
  kk_nbsvm_texts t = texts_of_two;
  t.label = three;
  t.classes = 5;
  assert_int_equal(kk_nbsvm_fit(&t, &o, &m, &e), KK_OK);
  t.classes = 2;
  assert_int_equal(kk_nbsvm_models(m), 5);
  assert_int_equal(kk_nbsvm_predict(m, DOCS, docs, lens, p, &e), KK_OK);
  for (int c = 0; c < 5; c++) {
    int32_t against[DOCS];
    if (c == 2 || c == 4) {
      for (int i = 0; i < DOCS; i++) assert_true(p[i * 5 + c] == 0);
      continue;
    }
    for (int i = 0; i < DOCS; i++) against[i] = three[i] == c;
    t.label = against;
    assert_int_equal(kk_nbsvm_fit(&t, &o, &one, &e), KK_OK);
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
  kk_nbsvm_texts alike = texts_of_two;
  alike.label = same;
  assert_int_equal(kk_nbsvm_fit(&alike, &o, &m, &e), KK_EARG);
  assert_non_null(strstr(e.msg, "all 5 texts are of class 2"));
  static const double all[DOCS] = {1, 1, 1, 1, 1};
  alike.share = all;
  assert_int_equal(kk_nbsvm_fit(&alike, &o, &m, &e), KK_EARG);
  const char *bad = "a\xFF";
  const size_t two = 2;
  assert_int_equal(kk_tfidf_fit(1, &bad, &two, &o.tfidf, &t, &x, &e), KK_EFORMAT);
  assert_non_null(strstr(e.msg, "text 1: text: byte 2"));
}

/* Whatever allocation fails, `work` says so and leaves nothing behind. */
static void refuse_each(kk_status (*work)(kk_err *e), long least) {
  size_t before = kk_mem_live();
  for (long fail = 0;; fail++) {
    kk_err e;
    kk_mem_fail_after(fail);
    kk_status st = work(&e);
    kk_mem_fail_after(-1);
    assert_int_equal(kk_mem_live(), before);
    if (st == KK_OK) {
      assert_true(fail > least);
      return;
    }
    assert_int_equal(st, KK_ENOMEM);
  }
}

static kk_status tfidf_work(kk_err *e) {
  kk_tfidf_opts o = KK_TFIDF_DEFAULTS;
  kk_tfidf *t;
  kk_csr x;
  o.min_df = 2;
  kk_status st = kk_tfidf_fit(DOCS, docs, lens, &o, &t, &x, e);
  if (st) return st;
  kk_csr_free(&x);
  kk_tfidf_free(t);
  return KK_OK;
}

static kk_status nbsvm_work(kk_err *e) {
  kk_nbsvm_opts o = KK_NBSVM_DEFAULTS;
  kk_nbsvm *m;
  o.tfidf.min_df = 2;
  kk_status st = kk_nbsvm_fit(&texts_of_two, &o, &m, e);
  if (!st) kk_nbsvm_free(m);
  return st;
}

static void every_refused_allocation_is_an_error_that_leaks_nothing(void **state) {
  (void)state;
  refuse_each(tfidf_work, 8);
  refuse_each(nbsvm_work, 20);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(rows_equal_scikit_learn),
    cmocka_unit_test(probabilities_equal_scikit_learn),
    cmocka_unit_test(cased_characters_keep_all_but_runs_of_spaces),
    cmocka_unit_test(shares_and_weights_equal_scikit_learn),
    cmocka_unit_test(many_classes_are_as_many_models),
    cmocka_unit_test(texts_without_terms_and_one_class_are_refused),
    cmocka_unit_test(every_refused_allocation_is_an_error_that_leaks_nothing),
  };
  for (int i = 0; i < DOCS; i++) lens[i] = strlen(docs[i]);
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
