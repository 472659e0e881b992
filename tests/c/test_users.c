/* Per-person heads on simulated persons whose taste is known: general + deviation. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/pool.h"
#include "eval/persons.h"
#include "tensor/random.h"
#include "users/dense.h"
#include "users/heads.h"

enum { U = 40, M = 100, D = 160, N = U * M, L = 7 };
static float x[N * D];
static uint8_t label[N];
static int32_t user[N];
static double offset[N], zero[N], truth[N], logit[L * N], loss[U * L];
static float dw[U * D];
static double db[U];
static const double grid[L] = {300, 100, 30, 10, 3, 1, .3};
static kk_err err;

/* d features of variance 1/d, so |z|^2 is near 1; tastes differ by sd `differ`. Rows are interleaved. */
static void simulate(int d, double differ, double shift) {
  for (int i = 0; i < N; i++) {
    user[i] = i % U;
    double general = -1, own = 0;
    for (int j = 0; j < d; j++) {
      double v = kk_random_normal(11, (uint64_t)(i * d + j)) / sqrt(d);
      x[i * d + j] = (float)v;
      general += 1.5 * kk_random_normal(12, (uint64_t)j) * v;
      own += differ * kk_random_normal(13, (uint64_t)(user[i] * d + j)) * v;
    }
    own += shift * kk_random_normal(14, (uint64_t)user[i]);
    offset[i] = general;
    truth[i] = general + own;
    label[i] = kk_random_uniform(15, (uint64_t)i) < 1 / (1 + exp(-truth[i]));
  }
}

static double mean_loss(const double *v) {
  double sum = 0;
  for (int i = 0; i < N; i++) sum += log1p(exp(label[i] ? -v[i] : v[i]));
  return sum / N;
}

static void cholesky_solves(void **state) {
  (void)state;
  double a[9] = {4, 1, 2, 0, 5, 3, 0, 0, 6}, b[3] = {1, 2, 3};
  assert_int_equal(kk_chol(a, 3), 0);
  kk_chol_solve(a, 3, b);
  assert_true(fabs(4 * b[0] + b[1] + 2 * b[2] - 1) < 1e-12);
  assert_true(fabs(b[0] + 5 * b[1] + 3 * b[2] - 2) < 1e-12);
  assert_true(fabs(2 * b[0] + 3 * b[1] + 6 * b[2] - 3) < 1e-12);
  double bad[4] = {1, 2, 2, 1};
  assert_int_equal(kk_chol(bad, 2), 2);
}

/* At the optimum lambda v = sum (y - p) z and lambda0 c = sum (y - p), in both forms. */
static void check_stationary(int d) {
  kk_users u;
  simulate(d, 1, .5);
  assert_int_equal(kk_users_new(&u, x, N, d, label, user, U, offset, 5, 1, &err), KK_OK);
  assert_int_equal(kk_users_fit(&u, 3, .5, dw, db, &err), KK_OK);
  for (int k = 0; k < U; k += 13) {
    double g[D] = {0}, g0 = 0, c = db[k];
    for (int j = 0; j < d; j++) c += (double)dw[k * d + j] * u.mean[j];
    for (int i = k; i < N; i += U) {
      double f = offset[i] + db[k];
      for (int j = 0; j < d; j++) f += (double)dw[k * d + j] * (double)x[i * d + j];
      double r = label[i] - 1 / (1 + exp(-f));
      g0 += r;
      for (int j = 0; j < d; j++) g[j] += r * ((double)x[i * d + j] - u.mean[j]) / u.scale;
    }
    assert_true(fabs(g0 - .5 * c) < 1e-4);
    for (int j = 0; j < d; j++) assert_true(fabs(g[j] - 3 * (double)dw[k * d + j] * u.scale) < 1e-4);
  }
  kk_users_free(&u);
}
static void primal_form_is_at_the_optimum(void **state) { (void)state; check_stationary(16); }
static void kernel_form_is_at_the_optimum(void **state) { (void)state; check_stationary(D); }

static void heads_toward_the_general_one_beat_it_and_heads_of_ones_own(void **state) {
  (void)state;
  for (int big = 0; big < 2; big++) {
    int d = big ? D : 16;
    kk_users u, own;
    simulate(d, 2, .7);
    assert_int_equal(kk_users_new(&u, x, N, d, label, user, U, offset, 5, 1, &err), KK_OK);
    assert_int_equal(kk_users_new(&own, x, N, d, label, user, U, zero, 5, 1, &err), KK_OK);
    double t = kk_clock_now();
    assert_int_equal(kk_users_cross(&u, grid, L, .5, logit, loss, &err), KK_OK);
    t = kk_clock_now() - t;
    int top = kk_users_choose(loss, U, L, NULL);
    double map = mean_loss(logit + top * N), none = mean_loss(offset), best = mean_loss(truth);
    assert_int_equal(kk_users_cross(&own, grid, L, .05, logit, loss, &err), KK_OK);
    double alone = mean_loss(logit + kk_users_choose(loss, U, L, NULL) * N);
    const double inf[1] = {INFINITY};
    assert_int_equal(kk_users_cross(&u, inf, 1, .5, logit, loss, &err), KK_OK);
    double intercept = mean_loss(logit);
    print_message("# %d features: true %.4f, toward general %.4f (lambda %g), intercept %.4f, general %.4f, own %.4f; "
                  "%d heads x 5 folds x %d lambdas in %.2f s\n",
                  d, best, map, grid[top], intercept, none, alone, U, L, t);
    assert_true(map < none - .01 && map < alone - .01 && map < intercept && best < map);
    assert_true(intercept < none);
    kk_users_free(&u);
    kk_users_free(&own);
  }
}

static void equal_tastes_choose_a_strong_pull_and_cost_nothing(void **state) {
  (void)state;
  kk_users u;
  int best[U];
  simulate(16, 0, 0);
  assert_int_equal(kk_users_new(&u, x, N, 16, label, user, U, offset, 5, 1, &err), KK_OK);
  assert_int_equal(kk_users_cross(&u, grid, L, 20, logit, loss, &err), KK_OK);
  int top = kk_users_choose(loss, U, L, best);
  assert_true(grid[top] >= 3);
  for (int k = 0; k < U; k++) assert_true(grid[best[k]] >= 3);
  assert_true(mean_loss(logit + top * N) < mean_loss(offset) + .002);
  assert_true(mean_loss(logit + (L - 1) * N) > mean_loss(offset) + .02);   /* a weak pull would have cost */
  kk_users_free(&u);
}

static void a_person_is_not_judged_by_a_lambda_chosen_on_his_labels(void **state) {
  (void)state;
  const double l[3 * 2] = {1, 9, 5, 4, 5, 4};   /* the first alone wants lambda 1; the others want lambda 2 */
  int best[3];
  assert_int_equal(kk_users_choose(l, 3, 2, best), 0);
  assert_int_equal(best[0], 1);
  assert_int_equal(best[1], 0);
}

static void tuning_on_a_sample_leaves_each_person_out(void **state) {
  (void)state;
  static double tuned[N], of[U], total[L], shift[N], shifts[L * N];
  int top, best[U];
  kk_users u;
  simulate(16, 2, .7);
  for (int i = 0; i < N; i++) label[i] = user[i] == 7 ? 0 : label[i];
  assert_int_equal(kk_users_new(&u, x, N, 16, label, user, U, offset, 5, 1, &err), KK_OK);
  u.shift = shifts;
  assert_int_equal(kk_users_cross(&u, grid, L, .5, logit, loss, &err), KK_OK);
  u.shift = shift;
  memset(loss + 7 * L, 0, L * sizeof *loss);          /* one class: no say */
  int want = kk_users_choose(loss, U, L, best);
  assert_int_equal(kk_users_tune(&u, grid, L, .5, 0, tuned, of, total, &top, NULL, NULL, &err), KK_OK);
  assert_int_equal(top, want);
  for (int i = 0; i < N; i++)
    if (user[i] != 7) {
      assert_true(of[user[i]] == grid[best[user[i]]] && tuned[i] == logit[best[user[i]] * N + i]);
      assert_true(shift[i] == shifts[best[user[i]] * N + i] && shift[i] != 0);
    } else {
      assert_true(tuned[i] == offset[i] && shift[i] == 0);
    }
  assert_int_equal(kk_users_tune(&u, grid, L, .5, 10, tuned, of, total, &top, NULL, NULL, &err), KK_OK);
  for (int i = 0; i < N; i++) {                       /* the solver's start differs, not its end */
    int l = 0;
    while (grid[l] != of[user[i]]) l++;
    if (user[i] != 7) assert_true(fabs(tuned[i] - logit[l * N + i]) < 1e-4);
  }
  assert_true(mean_loss(tuned) < mean_loss(offset) - .01);
  kk_users_free(&u);
}

static void folds_are_stratified_within_a_person_when_asked(void **state) {
  (void)state;
  kk_users u;
  simulate(16, 0, 0);
  for (int i = 0; i < N; i++)
    if (user[i] == 3) label[i] = i / U < 4;           /* 96 to 4 */
  assert_int_equal(kk_users_new(&u, x, N, 16, label, user, U, offset, -4, 1, &err), KK_OK);
  int pos[4] = {0}, all[4] = {0};
  for (int i = 0; i < N; i++)
    if (user[i] == 3) pos[u.fold[i]] += label[i], all[u.fold[i]]++;
  for (int f = 0; f < 4; f++) {
    assert_int_equal(pos[f], 1);
    assert_int_equal(all[f], 25);
  }
  kk_users_free(&u);
  assert_int_equal(kk_users_new(&u, x, N, 16, label, user, U, offset, 0, 1, &err), KK_OK);
  int seen[M] = {0};
  for (int i = 0; i < N; i++)
    if (user[i] == 3) seen[u.fold[i]]++;
  for (int f = 0; f < M; f++) assert_int_equal(seen[f], 1);
  kk_users_free(&u);
}

static void one_class_keeps_the_general_head(void **state) {
  (void)state;
  kk_users u;
  simulate(16, 1, 1);
  for (int i = 0; i < N; i++) label[i] = user[i] == 7 ? 0 : label[i];
  assert_int_equal(kk_users_new(&u, x, N, 16, label, user, U, offset, 5, 1, &err), KK_OK);
  assert_true(kk_users_one_class(&u, 7) && !kk_users_one_class(&u, 8));
  assert_int_equal(kk_users_cross(&u, grid, L, .5, logit, loss, &err), KK_OK);
  for (int i = 0; i < N; i++)
    if (user[i] == 7) assert_true(logit[2 * N + i] == offset[i]);
  assert_int_equal(kk_users_fit(&u, 1, .5, dw, db, &err), KK_OK);
  assert_true(db[7] == 0 && dw[7 * 16] == 0 && db[8] != 0);
  kk_users_free(&u);
}

static void a_row_out_of_fold_does_not_see_its_own_label(void **state) {
  (void)state;
  kk_users u;
  simulate(16, 1, 1);
  assert_int_equal(kk_users_new(&u, x, N, 16, label, user, U, offset, 0, 1, &err), KK_OK);
  assert_int_equal(kk_users_cross(&u, grid + 4, 1, .5, logit, loss, &err), KK_OK);
  double before = logit[5], neighbour = logit[5 + U];
  label[5] = !label[5];
  u.positives[5] += label[5] ? 1 : -1;
  assert_int_equal(kk_users_cross(&u, grid + 4, 1, .5, logit, loss, &err), KK_OK);
  assert_true(logit[5] == before && logit[5 + U] != neighbour);
  kk_users_free(&u);
}

static void bits_do_not_depend_on_threads(void **state) {
  (void)state;
  static double again[L * N];
  kk_users u;
  simulate(D, 1, 1);
  assert_int_equal(kk_users_new(&u, x, N, D, label, user, U, offset, 3, 1, &err), KK_OK);
  kk_pool_set_threads(1);
  assert_int_equal(kk_users_cross(&u, grid, 2, .5, logit, loss, &err), KK_OK);
  kk_pool_set_threads(3);
  assert_int_equal(kk_users_cross(&u, grid, 2, .5, again, loss, &err), KK_OK);
  kk_pool_set_threads(0);
  assert_memory_equal(logit, again, 2 * N * sizeof(double));
  kk_users_free(&u);
}

static void bad_rows_and_refused_memory_leave_nothing(void **state) {
  (void)state;
  kk_users u;
  simulate(16, 1, 1);
  size_t before = kk_mem_live();
  x[16 * 4 + 2] = NAN;
  assert_int_equal(kk_users_new(&u, x, N, 16, label, user, U, offset, 5, 1, &err), KK_EARG);
  assert_non_null(strstr(err.msg, "feature 3 of row 5"));
  x[16 * 4 + 2] = 0;
  offset[9] = INFINITY;
  assert_int_equal(kk_users_new(&u, x, N, 16, label, user, U, offset, 5, 1, &err), KK_EARG);
  offset[9] = 0;
  assert_int_equal(kk_users_new(&u, x, N, 16, label, user, U, offset, 1, 1, &err), KK_EARG);
  user[2] = U;
  assert_int_equal(kk_users_new(&u, x, N, 16, label, user, U, offset, 5, 1, &err), KK_EARG);
  user[2] = 2;
  kk_mem_fail_after(0);
  assert_int_equal(kk_users_new(&u, x, N, 16, label, user, U, offset, 5, 1, &err), KK_ENOMEM);
  kk_mem_fail_after(-1);
  assert_int_equal(kk_users_new(&u, x, N, 16, label, user, U, offset, 5, 1, &err), KK_OK);
  kk_mem_fail_after(0);
  assert_int_equal(kk_users_fit(&u, 1, .5, dw, db, &err), KK_ENOMEM);
  kk_mem_fail_after(-1);
  assert_int_equal(kk_users_fit(&u, -1, .5, dw, db, &err), KK_EARG);
  kk_users_free(&u);
  assert_int_equal(kk_mem_live(), before);
}

/* The general head is the truth here: whatever an intercept gains out of fold is made of nothing. Random folds show a
** loss, stratified ones hide it (by 1/(2 rows) or so). */
static void random_folds_do_not_flatter_an_intercept(void **state) {
  (void)state;
  const double inf[1] = {INFINITY};
  double gain[2] = {0};
  for (int round = 0; round < 8; round++)
    for (int stratified = 0; stratified < 2; stratified++) {
      kk_users u;
      simulate(16, 0, 0);
      for (int i = 0; i < N; i++) label[i] = kk_random_uniform(100 + (uint64_t)round, (uint64_t)i) < 1 / (1 + exp(-truth[i]));
      assert_int_equal(kk_users_new(&u, NULL, N, 0, label, user, U, offset, stratified ? -5 : 5, 1, &err), KK_OK);
      assert_int_equal(kk_users_cross(&u, inf, 1, .5, logit, loss, &err), KK_OK);
      gain[stratified] += (mean_loss(offset) - mean_loss(logit)) / 8;
      kk_users_free(&u);
    }
  print_message("# an intercept that is not needed gains %+.5f with random folds, %+.5f with stratified ones\n", gain[0], gain[1]);
  assert_true(gain[0] < -.001 && gain[1] > gain[0] + .004);
}

/* ---- the other rungs, against plain formulas */

/* min sum w (t - offset-free f)^2 is one Newton step from the general head: normal equations with a Cholesky factor. */
static void ridge_is_one_newton_step_from_the_general_head(void **state) {
  (void)state;
  for (int big = 0; big < 2; big++) {
    const int d = big ? D : 16, q = d + 1;
    static double h[(D + 1) * (D + 1)], g[D + 1];
    kk_users u;
    simulate(d, 1, .5);
    assert_int_equal(kk_users_new(&u, x, N, d, label, user, U, offset, 5, 1, &err), KK_OK);
    u.rung = KK_RUNG_RIDGE;
    assert_int_equal(kk_users_fit(&u, 2, .5, dw, db, &err), KK_OK);
    for (int k = 3; k < U; k += 17) {
      memset(h, 0, sizeof h);
      memset(g, 0, sizeof g);
      for (int j = 0; j < q; j++) h[j * q + j] = j < d ? 2 : .5;
      for (int i = k; i < N; i += U) {
        double p = 1 / (1 + exp(-offset[i])), z[D + 1];
        for (int j = 0; j < d; j++) z[j] = ((double)x[i * d + j] - u.mean[j]) / u.scale;
        z[d] = 1;
        for (int a = 0; a < q; a++) {
          g[a] += (label[i] - p) * z[a];
          for (int b = a; b < q; b++) h[a * q + b] += p * (1 - p) * z[a] * z[b];
        }
      }
      assert_int_equal(kk_chol(h, q), 0);
      kk_chol_solve(h, q, g);
      double c = db[k];
      for (int j = 0; j < d; j++) {
        assert_true(fabs(g[j] / u.scale - (double)dw[k * d + j]) < 2e-4 * (1 + fabs(g[j] / u.scale)));
        c += (double)dw[k * d + j] * u.mean[j];
      }
      assert_true(fabs(c - g[d]) < 1e-4);
    }
    kk_users_free(&u);
  }
}

/* Without offset and features Firth's estimate is (k + 1/2) / (n + 1), and FLIC's the share itself. */
static void firth_intercept_adds_half_a_row_and_flic_takes_it_back(void **state) {
  (void)state;
  kk_users u;
  simulate(16, 1, 1);
  assert_int_equal(kk_users_new(&u, NULL, N, 0, label, user, U, zero, 5, 1, &err), KK_OK);
  for (int flic = 0; flic < 2; flic++) {
    u.rung = flic ? KK_RUNG_FLIC : KK_RUNG_FIRTH;
    assert_int_equal(kk_users_fit(&u, 1, 1, NULL, db, &err), KK_OK);
    for (int k = 0; k < U; k++) {
      double n = (double)(u.start[k + 1] - u.start[k]), ones = (double)u.positives[k];
      double want = flic ? ones / n : (ones + .5) / (n + 1);
      assert_true(fabs(1 / (1 + exp(-db[k])) - want) < 1e-9);
    }
  }
  kk_users_free(&u);
}

/* A class of its own side of a line: maximum likelihood does not exist, Firth's estimate does. */
static void firth_is_finite_where_classes_are_separated(void **state) {
  (void)state;
  static float z[40];
  static double none[40];
  static uint8_t y[40];
  static int32_t who[40];
  float w[1];
  double b[1];
  for (int i = 0; i < 40; i++) z[i] = (float)i - 20, y[i] = i >= 36, none[i] = 0, who[i] = 0;
  kk_users u;
  assert_int_equal(kk_users_new(&u, z, 40, 1, y, who, 1, none, 0, 1, &err), KK_OK);
  u.rung = KK_RUNG_FIRTH;
  assert_int_equal(kk_users_fit(&u, 1, 1, w, b, &err), KK_OK);
  assert_true(isfinite(b[0]) && w[0] > .1f && w[0] < 5.f);
  assert_true(-b[0] / (double)w[0] > 14 && -b[0] / (double)w[0] < 18);   /* the boundary lies between the classes */
  kk_users_free(&u);
}

static void prototypes_are_class_means_pulled_to_those_of_the_others(void **state) {
  (void)state;
  enum { d = 16, k = 5 };
  kk_users u;
  simulate(d, 2, .5);
  assert_int_equal(kk_users_new(&u, x, N, d, label, user, U, offset, 5, 1, &err), KK_OK);
  u.rung = KK_RUNG_PROTO;
  u.pseudo = 3;
  assert_int_equal(kk_users_fit(&u, .5, .5, dw, db, &err), KK_OK);
  for (int j = 0; j < d; j++) {
    double own[2] = {0}, others[2] = {0}, n[2] = {0}, m[2] = {0}, e[2];
    for (int i = 0; i < N; i++) {
      double z = ((double)x[i * d + j] - u.mean[j]) / u.scale;
      if (user[i] == k) own[label[i]] += z, n[label[i]]++;
      else others[label[i]] += z, m[label[i]]++;
    }
    for (int c = 0; c < 2; c++) e[c] = n[c] / (n[c] + 3) * (own[c] / n[c] - others[c] / m[c]);
    assert_true(fabs((e[1] - e[0]) / .5 / u.scale - (double)dw[k * d + j]) < 1e-4);
  }
  double before = mean_loss(offset);
  const double strong[1] = {3};
  assert_int_equal(kk_users_cross(&u, strong, 1, .5, logit, loss, &err), KK_OK);
  assert_true(mean_loss(logit) < before);
  kk_users_free(&u);
}

/* Persons of every size from one row on, features of odd counts: both forms of the solver against each other. */
static void odd_sizes_agree_in_both_forms(void **state) {
  (void)state;
  enum { P = 23, ROWS = P * (P + 1) / 2, d = 19 };
  static float z[ROWS * 3 * d];
  static uint8_t y[ROWS];
  static int32_t who[ROWS];
  static float w[P * 3 * d], w3[P * 3 * d];
  static double b[P], b3[P], none[ROWS];
  int at = 0;
  for (int k = 0; k < P; k++)
    for (int r = 0; r <= k; r++, at++) who[at] = k, y[at] = kk_random_uniform(5, (uint64_t)at) < .4;
  for (int wide = 0; wide < 2; wide++) {                     /* the same features, or each three times (over sqrt 3) */
    const int dd = wide ? 3 * d : d;
    for (int i = 0; i < ROWS; i++)
      for (int j = 0; j < dd; j++)
        z[i * dd + j] = (float)(kk_random_normal(6, (uint64_t)(i * d + j % d)) / (wide ? sqrt(3) : 1));
    kk_users u;
    assert_int_equal(kk_users_new(&u, z, ROWS, dd, y, who, P, none, 0, 1, &err), KK_OK);
    assert_int_equal(kk_users_fit(&u, .5, .5, wide ? w3 : w, wide ? b3 : b, &err), KK_OK);
    kk_users_free(&u);
  }
  for (int k = 0; k < P; k++) {
    assert_true(fabs(b[k] - b3[k]) < 1e-4);
    for (int j = 0; j < d; j++) assert_true(fabs((double)w[k * d + j] - sqrt(3) * (double)w3[k * 3 * d + j]) < 1e-4);
  }
}

static void every_rung_gives_the_same_bits_for_any_number_of_threads(void **state) {
  (void)state;
  static double again[N];
  kk_users u;
  simulate(24, 1, 1);
  assert_int_equal(kk_users_new(&u, x, N, 24, label, user, U, offset, 3, 1, &err), KK_OK);
  for (int rung = KK_RUNG_MAP; rung <= KK_RUNG_PROTO; rung++) {
    u.rung = (kk_rung)rung;
    kk_pool_set_threads(1);
    assert_int_equal(kk_users_both(&u, 3, .5, logit, loss, dw, db, &err), KK_OK);
    kk_pool_set_threads(3);
    assert_int_equal(kk_users_both(&u, 3, .5, again, loss, dw, db, &err), KK_OK);
    assert_memory_equal(logit, again, N * sizeof(double));
  }
  kk_pool_set_threads(0);
  kk_users_free(&u);
}

/* ---- the table of persons */

static void scores_of_all_persons_are_those_of_each(void **state) {
  (void)state;
  static double head[N], general[N];
  static kk_person_score all[U];
  simulate(16, 1, 1);
  for (int i = 0; i < N; i++) head[i] = 1 / (1 + exp(-truth[i])), general[i] = 1 / (1 + exp(-offset[i]));
  const kk_plan plan = {.resamples = 100, .seed = 3, .level = .9};
  assert_int_equal(kk_score_persons(head, general, label, user, N, U, .5, &plan, all, &err), KK_OK);
  for (int k = 0; k < U; k += 9) {
    double p[M], d[M];
    uint8_t y[M];
    kk_interval want[KK_BIN_N];
    kk_confusion c;
    int few = 0;
    for (int r = 0; r < M; r++) few += label[r * U + k] == all[k].positive;
    assert_true(all[k].n == M && all[k].few == few && few * 2 <= M);
    for (int r = 0; r < M; r++) {
      int i = r * U + k;
      double q = all[k].positive ? general[i] : 1 - general[i];
      p[r] = all[k].positive ? head[i] : 1 - head[i];
      y[r] = label[i] == all[k].positive;
      d[r] = log(y[r] ? q : 1 - q) - log(y[r] ? p[r] : 1 - p[r]);
    }
    kk_plan one = plan;
    one.n = M;
    assert_int_equal(kk_score_binary(p, y, .5, 1e-7, &one, want, &c, &err), KK_OK);
    const kk_person_side *s = &all[k].side[0];
    const kk_binary_id drawn[] = {KK_BIN_MCC, KK_BIN_AP, KK_BIN_AUC, KK_BIN_BALANCED};
    for (int i = 0; i < 4; i++) {
      assert_true(s->value[drawn[i]] == want[drawn[i]].value);
      assert_true(s->range[drawn[i]].low == want[drawn[i]].low && s->range[drawn[i]].high == want[drawn[i]].high);
    }
    assert_true(s->range[KK_BIN_RECALL].low == kk_clopper_pearson(c.tp, c.tp + c.fn, .9).low);
    kk_ttest t;
    assert_int_equal(kk_paired_t(d, M, NULL, 0, .9, &t, &err), KK_OK);
    assert_true(fabs(t.mean - all[k].loss.mean) < 1e-9 && fabs(t.high - all[k].loss.high) < 1e-9);
  }
  size_t before = kk_mem_live();
  for (int at = 0; at < 2; at++) {
    kk_mem_fail_after(at);
    assert_int_equal(kk_score_persons(head, general, label, user, N, U, .5, &plan, all, &err), KK_ENOMEM);
    kk_mem_fail_after(-1);
  }
  head[7] = NAN;
  assert_int_equal(kk_score_persons(head, general, label, user, N, U, .5, &plan, all, &err), KK_EARG);
  assert_non_null(strstr(err.msg, "row 8"));
  assert_int_equal(kk_mem_live(), before);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(cholesky_solves),
    cmocka_unit_test(primal_form_is_at_the_optimum),
    cmocka_unit_test(kernel_form_is_at_the_optimum),
    cmocka_unit_test(heads_toward_the_general_one_beat_it_and_heads_of_ones_own),
    cmocka_unit_test(equal_tastes_choose_a_strong_pull_and_cost_nothing),
    cmocka_unit_test(a_person_is_not_judged_by_a_lambda_chosen_on_his_labels),
    cmocka_unit_test(tuning_on_a_sample_leaves_each_person_out),
    cmocka_unit_test(folds_are_stratified_within_a_person_when_asked),
    cmocka_unit_test(random_folds_do_not_flatter_an_intercept),
    cmocka_unit_test(one_class_keeps_the_general_head),
    cmocka_unit_test(a_row_out_of_fold_does_not_see_its_own_label),
    cmocka_unit_test(bits_do_not_depend_on_threads),
    cmocka_unit_test(ridge_is_one_newton_step_from_the_general_head),
    cmocka_unit_test(firth_intercept_adds_half_a_row_and_flic_takes_it_back),
    cmocka_unit_test(firth_is_finite_where_classes_are_separated),
    cmocka_unit_test(prototypes_are_class_means_pulled_to_those_of_the_others),
    cmocka_unit_test(odd_sizes_agree_in_both_forms),
    cmocka_unit_test(every_rung_gives_the_same_bits_for_any_number_of_threads),
    cmocka_unit_test(scores_of_all_persons_are_those_of_each),
    cmocka_unit_test(bad_rows_and_refused_memory_leave_nothing),
  };
  return cmocka_run_group_tests_name("users", tests, NULL, NULL);
}
