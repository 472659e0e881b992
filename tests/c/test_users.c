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
  static double tuned[N], of[U], total[L];
  int top, best[U];
  kk_users u;
  simulate(16, 2, .7);
  for (int i = 0; i < N; i++) label[i] = user[i] == 7 ? 0 : label[i];
  assert_int_equal(kk_users_new(&u, x, N, 16, label, user, U, offset, 5, 1, &err), KK_OK);
  assert_int_equal(kk_users_cross(&u, grid, L, .5, logit, loss, &err), KK_OK);
  memset(loss + 7 * L, 0, L * sizeof *loss);          /* one class: no say */
  int want = kk_users_choose(loss, U, L, best);
  assert_int_equal(kk_users_tune(&u, grid, L, .5, 0, tuned, of, total, &top, NULL, NULL, &err), KK_OK);
  assert_int_equal(top, want);
  for (int i = 0; i < N; i++)
    if (user[i] != 7) assert_true(of[user[i]] == grid[best[user[i]]] && tuned[i] == logit[best[user[i]] * N + i]);
    else assert_true(tuned[i] == offset[i]);
  assert_int_equal(kk_users_tune(&u, grid, L, .5, 10, tuned, of, total, &top, NULL, NULL, &err), KK_OK);
  for (int i = 0; i < N; i++) {                       /* the solver's start differs, not its end */
    int l = 0;
    while (grid[l] != of[user[i]]) l++;
    if (user[i] != 7) assert_true(fabs(tuned[i] - logit[l * N + i]) < 1e-4);
  }
  assert_true(mean_loss(tuned) < mean_loss(offset) - .01);
  kk_users_free(&u);
}

static void folds_are_stratified_within_a_person(void **state) {
  (void)state;
  kk_users u;
  simulate(16, 0, 0);
  for (int i = 0; i < N; i++)
    if (user[i] == 3) label[i] = i / U < 4;           /* 96 to 4 */
  assert_int_equal(kk_users_new(&u, x, N, 16, label, user, U, offset, 4, 1, &err), KK_OK);
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

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(cholesky_solves),
    cmocka_unit_test(primal_form_is_at_the_optimum),
    cmocka_unit_test(kernel_form_is_at_the_optimum),
    cmocka_unit_test(heads_toward_the_general_one_beat_it_and_heads_of_ones_own),
    cmocka_unit_test(equal_tastes_choose_a_strong_pull_and_cost_nothing),
    cmocka_unit_test(a_person_is_not_judged_by_a_lambda_chosen_on_his_labels),
    cmocka_unit_test(tuning_on_a_sample_leaves_each_person_out),
    cmocka_unit_test(folds_are_stratified_within_a_person),
    cmocka_unit_test(one_class_keeps_the_general_head),
    cmocka_unit_test(a_row_out_of_fold_does_not_see_its_own_label),
    cmocka_unit_test(bits_do_not_depend_on_threads),
    cmocka_unit_test(bad_rows_and_refused_memory_leave_nothing),
  };
  return cmocka_run_group_tests_name("users", tests, NULL, NULL);
}
