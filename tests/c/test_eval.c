/* Metrics, intervals and tests against scikit-learn and scipy (tests/golden/eval.h), and what they must refuse. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../golden/eval.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/pool.h"
#include "eval/intervals.h"
#include "eval/score.h"
#include "eval/special.h"
#include "tensor/random.h"

enum { MAXN = 6000 };
static double prob[MAXN], other[MAXN];
static uint8_t label[MAXN];
static kk_err err;

#define COUNT(a) ((int)(sizeof(a) / sizeof *(a)))

static void near(double got, double want, double tol, const char *what) {
  double scale = fabs(want) > 1 ? fabs(want) : 1;
  if (!(fabs(got - want) <= tol * scale)) fail_msg("%s: got %.17g, want %.17g", what, got, want);
}

/* The formulas of tests/golden/eval.py. */
static void inputs(int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    int64_t h = (i * 7919 + 104729) * 31 % 1009;
    prob[i] = (double)(h % 63 + 1) / 64.0;
    label[i] = (double)((i * 5171 + h * 13) % 97) < 20 + 40 * prob[i];
  }
}

static void special_functions_equal_scipy(void **state) {
  (void)state;
  for (int i = 0; i < COUNT(golden_beta); i++) {
    const double *g = golden_beta[i];
    near(kk_beta_inc(g[0], g[1], g[2]), g[3], 1e-10, "beta_inc");
    near(kk_beta_inv(g[0], g[1], g[3]), g[2], 1e-9, "beta_inv");
  }
  for (int i = 0; i < COUNT(golden_t); i++) {
    const double *g = golden_t[i];
    near(kk_t_quantile(g[0], g[1]), g[2], 1e-10, "t quantile");
    near(kk_t_cdf(g[2], g[1]), g[0], 1e-10, "t cdf");
  }
  const double p[] = {.975, .5, .3, .01, 1e-8, .9999};
  for (int i = 0; i < COUNT(p); i++) near(kk_normal_quantile(p[i]), golden_normal[i], 1e-11, "normal quantile");
  assert_true(isnan(kk_beta_inc(0, 1, .5)) && isnan(kk_beta_inv(1, 1, 2)) && isnan(kk_t_quantile(.5, -1)));
  assert_true(isnan(kk_normal_quantile(1.5)) && isnan(kk_binomial_cdf(1, -1, .5)));
}

static void proportions_equal_scipy(void **state) {
  (void)state;
  for (int i = 0; i < COUNT(golden_proportion); i++) {
    const double *g = golden_proportion[i];
    int64_t k = (int64_t)g[0], n = (int64_t)g[1];
    kk_range w = kk_wilson(k, n, g[2]), c = kk_clopper_pearson(k, n, g[2]);
    near(w.low, g[3], 1e-10, "wilson low");
    near(w.high, g[4], 1e-10, "wilson high");
    near(c.low, g[5], 1e-10, "clopper-pearson low");
    near(c.high, g[6], 1e-10, "clopper-pearson high");
  }
  assert_true(isnan(kk_wilson(0, 0, .95).low) && isnan(kk_clopper_pearson(0, 0, .95).high));
}

static void what_96_to_4_means_in_numbers(void **state) {
  (void)state;
  near(kk_clopper_pearson(4, 4, .95).low, .40, .005, "4 of 4 found");
  near(kk_clopper_pearson(4, 4, .95).high, 1, 0, "4 of 4 found");
  near(kk_wilson(3, 4, .95).low, .30, .005, "3 of 4 found");
  near(kk_wilson(3, 4, .95).high, .95, .005, "3 of 4 found");
  near(kk_hypergeometric_none(100, 4, 30), .234, .0005, "30 % without minority");
  near(kk_hypergeometric_none(100, 4, 20), .403, .0005, "20 % without minority");
  near(kk_hypergeometric_none(100, 4, 30), golden_hypergeometric[0], 1e-11, "hypergeometric");
  near(kk_hypergeometric_none(100, 4, 20), golden_hypergeometric[1], 1e-11, "hypergeometric");
  near(kk_hypergeometric_none(100, 4, 97), 0, 0, "more drawn than the majority");
  near(kk_hanley_mcneil(.8, 4, 96), .135, .0005, "SE of AUC .8 with 96/4");
}

static void binary_metrics_equal_scikit_learn_with_ties(void **state) {
  (void)state;
  inputs(301);
  kk_ranked r;
  kk_confusion c;
  double out[KK_BIN_N];
  assert_int_equal(kk_ranked_new(&r, prob, label, 301, .5, 1e-15, &err), KK_OK);
  kk_binary_metrics(&r, NULL, out, &c);
  for (int i = 0; i < KK_BIN_N; i++) near(out[i], golden_binary[i], 1e-12, kk_binary_name(i));
  assert_int_equal(c.tn, golden_confusion[0]);
  assert_int_equal(c.fp, golden_confusion[1]);
  assert_int_equal(c.fn, golden_confusion[2]);
  assert_int_equal(c.tp, golden_confusion[3]);
  kk_ranked_free(&r);
}

static void counts_mean_the_same_as_copies(void **state) {
  (void)state;
  enum { N = 60 };
  int32_t w[N];
  double copy[4 * N], a[KK_BIN_N], b[KK_BIN_N];
  uint8_t copy_label[4 * N];
  int64_t m = 0;
  inputs(N);
  for (int i = 0; i < N; i++) {
    w[i] = i * 7 % 4;
    for (int k = 0; k < w[i]; k++, m++) copy[m] = prob[i], copy_label[m] = label[i];
  }
  kk_ranked r, s;
  assert_int_equal(kk_ranked_new(&r, prob, label, N, .5, 1e-15, &err), KK_OK);
  assert_int_equal(kk_ranked_new(&s, copy, copy_label, m, .5, 1e-15, &err), KK_OK);
  kk_binary_metrics(&r, w, a, NULL);
  kk_binary_metrics(&s, NULL, b, NULL);
  for (int i = 0; i < KK_BIN_N; i++) near(a[i], b[i], 1e-12, kk_binary_name(i));
  kk_ranked_free(&r);
  kk_ranked_free(&s);
}

static void what_is_not_defined_is_nan_and_not_zero(void **state) {
  (void)state;
  const double p[4] = {.1, .2, .3, .9};
  const uint8_t none[4] = {0, 0, 0, 0}, some[4] = {0, 1, 0, 1};
  const double low[4] = {.1, .2, .3, .4};
  double out[KK_BIN_N];
  kk_ranked r;
  assert_int_equal(kk_ranked_new(&r, p, none, 4, .5, 1e-15, &err), KK_OK);
  kk_binary_metrics(&r, NULL, out, NULL);
  assert_true(isnan(out[KK_BIN_RECALL]) && isnan(out[KK_BIN_AUC]) && isnan(out[KK_BIN_AP]) && isnan(out[KK_BIN_MCC]));
  assert_true(isnan(out[KK_BIN_BALANCED]) && out[KK_BIN_PRECISION] == 0 && out[KK_BIN_F1] == 0);
  kk_ranked_free(&r);
  assert_int_equal(kk_ranked_new(&r, low, some, 4, .5, 1e-15, &err), KK_OK);
  kk_binary_metrics(&r, NULL, out, NULL);
  assert_true(isnan(out[KK_BIN_PRECISION]) && out[KK_BIN_RECALL] == 0 && out[KK_BIN_F1] == 0 && out[KK_BIN_MCC] == 0);
  near(out[KK_BIN_BALANCED], .5, 0, "balanced accuracy of a constant");
  kk_ranked_free(&r);
  assert_int_equal(kk_ranked_new(&r, low, none, 4, .5, 1e-15, &err), KK_OK);
  kk_binary_metrics(&r, NULL, out, NULL);
  assert_true(isnan(out[KK_BIN_F1]) && out[KK_BIN_ACCURACY] == 1);
  kk_ranked_free(&r);
}

static void bad_rows_are_refused_by_number(void **state) {
  (void)state;
  const double p[3] = {.5, NAN, .5}, q[3] = {.5, .5, 1.5}, ok[3] = {.1, .2, .3};
  const uint8_t y[3] = {0, 1, 0}, bad[3] = {0, 1, 2};
  kk_ranked r;
  assert_int_equal(kk_ranked_new(&r, p, y, 3, .5, 1e-15, &err), KK_EARG);
  assert_non_null(strstr(err.msg, "row 2"));
  assert_int_equal(kk_ranked_new(&r, q, y, 3, .5, 1e-15, &err), KK_EARG);
  assert_non_null(strstr(err.msg, "row 3"));
  assert_int_equal(kk_ranked_new(&r, ok, bad, 3, .5, 1e-15, &err), KK_EARG);
  assert_int_equal(kk_ranked_new(&r, ok, y, 0, .5, 1e-15, &err), KK_EARG);
}

static void multiclass_equals_scikit_learn(void **state) {
  (void)state;
  enum { N = 211, C = 4 };
  static double q[N * C];
  int32_t t[N];
  for (int i = 0; i < N; i++) {
    double raw[C], sum = 0;
    int top = 0;
    for (int c = 0; c < C; c++) {
      raw[c] = (i * (17 + 6 * c) + c * 29 + 3) % 23 + 1;
      sum += raw[c];
      if (raw[c] > raw[top]) top = c;
    }
    for (int c = 0; c < C; c++) q[i * C + c] = raw[c] / sum;
    t[i] = i % 3 == 0 ? top : ((i * 11 + i / 7) % 3 + (i % 5 == 0)) % C;
  }
  kk_plan plan = {.n = N, .resamples = 0, .level = .95};
  kk_interval out[KK_MULTI_N + KK_CLASS_N * C];
  int64_t count[3 * C];
  assert_int_equal(kk_score_multi(q, t, C, NULL, 1e-15, &plan, out, count, &err), KK_OK);
  for (int i = 0; i < KK_MULTI_N; i++) near(out[i].value, golden_multi[i], 1e-12, kk_multi_name(i));
  for (int i = 0; i < KK_CLASS_N; i++) near(out[KK_MULTI_N + i].value, golden_multi_first[i], 1e-12, "class 1");
  const uint8_t two[C] = {1, 0, 0, 1};
  double mean = (out[KK_MULTI_N + KK_CLASS_F1].value + out[KK_MULTI_N + 3 * KK_CLASS_N + KK_CLASS_F1].value) / 2;
  assert_int_equal(kk_score_multi(q, t, C, two, 1e-15, &plan, out, count, &err), KK_OK);
  near(out[KK_MULTI_F1_MACRO].value, mean, 1e-14, "macro over two classes");
  t[5] = C;
  assert_int_equal(kk_score_multi(q, t, C, NULL, 1e-15, &plan, out, count, &err), KK_EARG);
  assert_non_null(strstr(err.msg, "row 6"));
}

static void regression_and_perplexity_have_their_values(void **state) {
  (void)state;
  static double a[301], b[301];
  kk_interval out[KK_REG_N], ppl;
  kk_plan plan = {.n = 301, .resamples = 200, .seed = 3, .level = .95};
  inputs(301);
  for (int i = 0; i < 301; i++) a[i] = prob[i] * 5, b[i] = label[i] * 3 + prob[i];
  assert_int_equal(kk_score_regression(a, b, &plan, out, &err), KK_OK);
  for (int i = 0; i < KK_REG_N; i++) {
    near(out[i].value, golden_regression[i], 1e-12, "regression");
    assert_true(out[i].low < out[i].value && out[i].value < out[i].high);
  }
  const double nll[3] = {6, 2, 4}, tokens[3] = {2, 1, 3};
  plan.n = 3;
  assert_int_equal(kk_score_perplexity(nll, tokens, &plan, &ppl, &err), KK_OK);
  near(ppl.value, exp(2), 1e-14, "perplexity");
  const double zero[3] = {2, 0, 3};
  assert_int_equal(kk_score_perplexity(nll, zero, &plan, &ppl, &err), KK_EARG);
}

static void mcnemar_t_test_and_delong_equal_scipy(void **state) {
  (void)state;
  const int64_t pairs[][2] = {{3, 9}, {10, 10}, {0, 5}, {40, 61}};
  for (int i = 0; i < 4; i++) near(kk_mcnemar(pairs[i][0], pairs[i][1]), golden_mcnemar[i], 1e-11, "mcnemar");
  near(kk_mcnemar(0, 0), 1, 0, "mcnemar of no disagreement");
  inputs(301);
  for (int i = 0; i < 301; i++) other[i] = prob[i] - label[i] * prob[i] * prob[i];
  kk_ttest t;
  assert_int_equal(kk_paired_t(other, 301, NULL, 0, .95, &t, &err), KK_OK);
  near(t.mean, golden_t_test[0], 1e-12, "t mean");
  near(t.p, golden_t_test[1], 1e-11, "t p");
  near(t.low, golden_t_test[2], 1e-12, "t low");
  near(t.high, golden_t_test[3], 1e-12, "t high");
  int32_t own[301];
  for (int i = 0; i < 301; i++) own[i] = i;
  kk_ttest g;
  assert_int_equal(kk_paired_t(other, 301, own, 301, .95, &g, &err), KK_OK);
  near(g.se, t.se, 1e-13, "every row its own group");
  kk_delong d;
  for (int i = 0; i < 121; i++) other[i] = (prob[i] * 3 + prob[i + 1]) / 4;
  assert_int_equal(kk_delong_test(prob, other, label, 121, &d, &err), KK_OK);
  const double got[] = {d.auc[0], d.auc[1], d.var[0], d.var[1], d.cov, d.p};
  for (int i = 0; i < 6; i++) near(got[i], golden_delong[i], 1e-11, "delong");
  assert_int_equal(kk_delong_test(prob, prob, label, 121, &d, &err), KK_OK);
  assert_true(isnan(d.p) && d.diff == 0);
}

static void f1_interval_from_star_has_the_ends_of_the_proportion(void **state) {
  (void)state;
  kk_range r = kk_f1_from_star(kk_wilson(76, 76 + 72 + 48, .95));
  assert_true(r.low < golden_binary[KK_BIN_F1] && golden_binary[KK_BIN_F1] < r.high);
  kk_range all = kk_f1_from_star(kk_clopper_pearson(4, 4, .95));
  near(all.high, 1, 0, "upper end");
  near(all.low, 2 * .3976354 / 1.3976354, 1e-6, "lower end");
}

static void stat_mean(const void *arg, const int32_t *w, void *scratch, double *out) {
  double sum = 0, n = 0;
  (void)scratch;
  for (int i = 0; i < 301; i++) {
    sum += (w ? w[i] : 1) * ((const double *)arg)[i];
    n += w ? w[i] : 1;
  }
  *out = sum / n;
}

static void bootstrap_agrees_with_scipy_within_its_noise(void **state) {
  (void)state;
  kk_interval mean, out[KK_BIN_N];
  kk_confusion c;
  kk_plan plan = {.n = 301, .resamples = 4000, .seed = 7, .level = .95, .bca = 1};
  inputs(301);
  for (int i = 0; i < 301; i++) other[i] = prob[i] - label[i] * prob[i] * prob[i];
  assert_int_equal(kk_bootstrap(&plan, stat_mean, other, 1, 0, &mean, &err), KK_OK);
  near(mean.low, golden_bootstrap[0], .003, "BCa mean low");
  near(mean.high, golden_bootstrap[1], .003, "BCa mean high");
  near(mean.se, (golden_bootstrap[1] - golden_bootstrap[0]) / 3.92, .001, "se");
  assert_int_equal(kk_score_binary(prob, label, .5, 1e-15, &plan, out, &c, &err), KK_OK);
  near(out[KK_BIN_AP].low, golden_bootstrap[4], .01, "BCa AP low");
  near(out[KK_BIN_AP].high, golden_bootstrap[5], .01, "BCa AP high");
  plan.bca = 0;
  assert_int_equal(kk_score_binary(prob, label, .5, 1e-15, &plan, out, &c, &err), KK_OK);
  near(out[KK_BIN_AUC].low, golden_bootstrap[2], .008, "percentile AUC low");
  near(out[KK_BIN_AUC].high, golden_bootstrap[3], .008, "percentile AUC high");
}

static void bootstrap_bits_do_not_depend_on_threads(void **state) {
  (void)state;
  static int32_t group[MAXN], stratum[MAXN];
  kk_interval a[KK_BIN_N], b[KK_BIN_N];
  kk_confusion c;
  inputs(2000);
  for (int i = 0; i < 2000; i++) group[i] = i % 37, stratum[i] = label[i];
  for (int kind = 0; kind < 3; kind++) {
    kk_plan plan = {.n = 2000, .resamples = 300, .seed = 5, .level = .9};
    if (kind == 1) plan.group = group, plan.ngroup = 37;
    if (kind == 2) plan.stratum = stratum, plan.nstratum = 2;
    kk_pool_set_threads(1);
    assert_int_equal(kk_score_binary(prob, label, .5, 1e-15, &plan, a, &c, &err), KK_OK);
    kk_pool_set_threads(3);
    assert_int_equal(kk_score_binary(prob, label, .5, 1e-15, &plan, b, &c, &err), KK_OK);
    kk_pool_set_threads(0);
    assert_memory_equal(a, b, sizeof a);
    plan.seed = 6;
    assert_int_equal(kk_score_binary(prob, label, .5, 1e-15, &plan, b, &c, &err), KK_OK);
    assert_true(a[KK_BIN_AUC].low != b[KK_BIN_AUC].low);
  }
}

static void strata_keep_their_size_and_groups_move_together(void **state) {
  (void)state;
  static int32_t group[600], stratum[600];
  kk_interval plain[KK_BIN_N], strat[KK_BIN_N], clus[KK_BIN_N];
  kk_confusion c;
  inputs(600);
  /* 20 persons of 30 rows; the rows of a person are all right or all wrong */
  for (int i = 0; i < 600; i++) {
    group[i] = i / 30;
    label[i] = (uint8_t)(i % 2);
    stratum[i] = label[i];
    prob[i] = (group[i] % 4 == 0) == (label[i] == 1) ? .2 : .8;
  }
  kk_plan plan = {.n = 600, .resamples = 1000, .seed = 1, .level = .95};
  assert_int_equal(kk_score_binary(prob, label, .5, 1e-15, &plan, plain, &c, &err), KK_OK);
  plan.stratum = stratum, plan.nstratum = 2;
  assert_int_equal(kk_score_binary(prob, label, .5, 1e-15, &plan, strat, &c, &err), KK_OK);
  plan.stratum = NULL, plan.group = group, plan.ngroup = 20;
  assert_int_equal(kk_score_binary(prob, label, .5, 1e-15, &plan, clus, &c, &err), KK_OK);
  near(plain[KK_BIN_ACCURACY].se, sqrt(.75 * .25 / 600), .002, "rows are independent draws");
  near(clus[KK_BIN_ACCURACY].se, sqrt(.75 * .25 / 20), .01, "persons are the draws");
  near(strat[KK_BIN_BALANCED].value, strat[KK_BIN_ACCURACY].value, 1e-12, "half and half");
  near(strat[KK_BIN_BALANCED].se, strat[KK_BIN_ACCURACY].se, 1e-12, "each half keeps its size");
}

static void resamples_without_minority_are_not_counted_as_zero(void **state) {
  (void)state;
  kk_interval out[KK_BIN_N];
  kk_confusion c;
  for (int i = 0; i < 100; i++) label[i] = i < 2, prob[i] = i < 1 ? .9 : .1;
  kk_plan plan = {.n = 100, .resamples = 2000, .seed = 1, .level = .95};
  assert_int_equal(kk_score_binary(prob, label, .5, 1e-15, &plan, out, &c, &err), KK_OK);
  near((double)out[KK_BIN_RECALL].defined / 2000, 1 - pow(.98, 100), .03, "share of resamples with a positive");
  assert_int_equal(out[KK_BIN_ACCURACY].defined, 2000);
  for (int i = 0; i < 100; i++) label[i] = 0;
  assert_int_equal(kk_score_binary(prob, label, .5, 1e-15, &plan, out, &c, &err), KK_OK);
  assert_true(isnan(out[KK_BIN_RECALL].value) && isnan(out[KK_BIN_RECALL].low));
}

static void paired_difference_is_narrower_than_two_intervals(void **state) {
  (void)state;
  kk_interval diff[KK_BIN_N], one[KK_BIN_N];
  kk_confusion c;
  kk_plan plan = {.n = 1000, .resamples = 1000, .seed = 2, .level = .95};
  inputs(1000);
  for (int i = 0; i < 1000; i++) other[i] = prob[i] * .8 + .1 + (label[i] ? .01 : 0);
  assert_int_equal(kk_score_paired(prob, other, label, .5, .5, 1e-15, &plan, diff, &err), KK_OK);
  assert_int_equal(kk_score_binary(prob, label, .5, 1e-15, &plan, one, &c, &err), KK_OK);
  assert_true(diff[KK_BIN_LOGLOSS].value > 0 && diff[KK_BIN_LOGLOSS].low > 0 && diff[KK_BIN_LOGLOSS].p < .05);
  double narrow = diff[KK_BIN_LOGLOSS].high - diff[KK_BIN_LOGLOSS].low;
  assert_true(narrow < one[KK_BIN_LOGLOSS].high - one[KK_BIN_LOGLOSS].low);
}

static void tuned_threshold_is_the_best_of_all_cuts(void **state) {
  (void)state;
  const kk_binary_id ids[] = {KK_BIN_F1, KK_BIN_MCC, KK_BIN_ACCURACY, KK_BIN_BALANCED, KK_BIN_F1_MACRO};
  inputs(301);
  for (int k = 0; k < 5; k++) {
    double at, value, best = -2, out[KK_BIN_N];
    kk_ranked r;
    assert_int_equal(kk_ranked_new(&r, prob, label, 301, .5, 1e-15, &err), KK_OK);
    assert_int_equal(kk_best_threshold(&r, ids[k], &at, &value, &err), KK_OK);
    kk_ranked_free(&r);
    for (int cut = -1; cut <= 64; cut++) {
      assert_int_equal(kk_ranked_new(&r, prob, label, 301, (cut + .5) / 64, 1e-15, &err), KK_OK);
      kk_binary_metrics(&r, NULL, out, NULL);
      best = out[ids[k]] > best ? out[ids[k]] : best;
      kk_ranked_free(&r);
    }
    near(value, best, 1e-12, kk_binary_name((int)ids[k]));
    assert_int_equal(kk_ranked_new(&r, prob, label, 301, at, 1e-15, &err), KK_OK);
    kk_binary_metrics(&r, NULL, out, NULL);
    near(out[ids[k]], best, 1e-12, "value at the threshold");
    assert_int_equal(kk_best_threshold(&r, KK_BIN_AUC, &at, &value, &err), KK_EARG);
    kk_ranked_free(&r);
  }
}

static void two_thousand_resamples_of_six_thousand_rows_are_quick(void **state) {
  (void)state;
  kk_interval out[KK_BIN_N];
  kk_confusion c;
  kk_plan plan = {.n = MAXN, .resamples = 2000, .seed = 1, .level = .95};
  inputs(MAXN);
  double t = kk_clock_now();
  assert_int_equal(kk_score_binary(prob, label, .5, 1e-15, &plan, out, &c, &err), KK_OK);
  print_message("# 2,000 resamples x 6,000 rows x %d metrics: %.3f s\n", KK_BIN_N, kk_clock_now() - t);
  assert_true(kk_clock_now() - t < 20);   /* generous: sanitizers and busy machines */
}

static void refused_memory_leaves_nothing_behind(void **state) {
  (void)state;
  kk_interval out[KK_BIN_N];
  kk_confusion c;
  int32_t stratum[200];
  inputs(200);
  for (int i = 0; i < 200; i++) stratum[i] = label[i];
  kk_plan plan = {.n = 200, .resamples = 20, .seed = 1, .level = .95, .bca = 1, .stratum = stratum, .nstratum = 2};
  size_t before = kk_mem_live();
  int refused = 0;
  for (long k = 0;; k++) {
    kk_mem_fail_after(k);
    kk_status st = kk_score_paired(prob, prob, label, .5, .5, 1e-15, &plan, out, &err);
    kk_mem_fail_after(-1);
    assert_int_equal(kk_mem_live(), before);
    if (st == KK_OK) break;
    assert_int_equal(st, KK_ENOMEM);
    refused++;
  }
  assert_true(refused >= 5);
  (void)c;
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(special_functions_equal_scipy),
    cmocka_unit_test(proportions_equal_scipy),
    cmocka_unit_test(what_96_to_4_means_in_numbers),
    cmocka_unit_test(binary_metrics_equal_scikit_learn_with_ties),
    cmocka_unit_test(counts_mean_the_same_as_copies),
    cmocka_unit_test(what_is_not_defined_is_nan_and_not_zero),
    cmocka_unit_test(bad_rows_are_refused_by_number),
    cmocka_unit_test(multiclass_equals_scikit_learn),
    cmocka_unit_test(regression_and_perplexity_have_their_values),
    cmocka_unit_test(mcnemar_t_test_and_delong_equal_scipy),
    cmocka_unit_test(f1_interval_from_star_has_the_ends_of_the_proportion),
    cmocka_unit_test(bootstrap_agrees_with_scipy_within_its_noise),
    cmocka_unit_test(bootstrap_bits_do_not_depend_on_threads),
    cmocka_unit_test(strata_keep_their_size_and_groups_move_together),
    cmocka_unit_test(resamples_without_minority_are_not_counted_as_zero),
    cmocka_unit_test(paired_difference_is_narrower_than_two_intervals),
    cmocka_unit_test(tuned_threshold_is_the_best_of_all_cuts),
    cmocka_unit_test(two_thousand_resamples_of_six_thousand_rows_are_quick),
    cmocka_unit_test(refused_memory_leaves_nothing_behind),
  };
  return cmocka_run_group_tests_name("eval", tests, NULL, NULL);
}
