/* The last layer and its loss in one op, against plain loops in double: sizes around the blocks, rows whose exponents
** overflow, ignored rows, the same bits for any number of threads, no logits of all rows in memory. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "check.h"

#include "base/mem.h"
#include "base/pool.h"
#include "grad/tape.h"
#include "linalg/gemm.h"
#include "linalg/kernel16.h"

#define KK_AMX_IN_C
#include "linalg/kernel_amx.c"

enum { X, W, B, IDS, WEIGHT, NIN };

typedef struct lce_case {
  int64_t N, D, V;
  bool bias, weights, ignored;
  double smoothing, scale;          /* x is uniform in +-scale */
  uint32_t frozen;                  /* bit i: nobody wants the gradient of input i */
} lce_case;

typedef struct run { lce_case k; kk_tensor *in[NIN], *loss, *stats, *nll, *hit; kk_tape *tape; } run;
static kk_err err;
static bool rough;                  /* logits are rounded: a hit may differ */

static kk_tensor *filled(kk_dtype d, kk_shape s, uint64_t key, double low, double high) {
  kk_tensor *t = NULL;
  check_ok(kk_tensor_new(d, &s, &t, &err), &err);
  for (int64_t i = 0; i < kk_numel(&s); i++) {
    double u = low + (high - low) * kk_random_uniform(key, (uint64_t)i);
    if (d == KK_F32) kk_real_data(t)[i] = (kk_real)u;
    else kk_i32_data(t)[i] = (int32_t)floor(u);
  }
  return t;
}

static void run_open(run *r, lce_case k) {
  *r = (run){.k = k};
  r->in[X] = filled(KK_F32, (kk_shape){2, {k.N, k.D}}, 1, -k.scale, k.scale);
  r->in[W] = filled(KK_F32, (kk_shape){2, {k.V, k.D}}, 2, -1, 1);
  if (k.bias) r->in[B] = filled(KK_F32, (kk_shape){1, {k.V}}, 3, -1, 1);
  r->in[IDS] = filled(KK_I32, (kk_shape){1, {k.N}}, 4, 0, (double)k.V);
  if (k.weights) r->in[WEIGHT] = filled(KK_F32, (kk_shape){1, {k.V}}, 5, 0.5, 2);
  for (int64_t n = 0; k.ignored && n < k.N; n++)
    if (n % 3 == 1) kk_i32_data(r->in[IDS])[n] = -1;
  for (int i = X; i <= B; i++)
    if (r->in[i]) r->in[i]->store->wants_grad = !(k.frozen & 1u << i);
}

static kk_status run_apply(run *r, bool record) {
  const double opt[1] = {r->k.smoothing};
  kk_tensor *out[KK_MAXOUT] = {0};
  kk_args a = {.nin = NIN, .opt = opt};
  kk_status st;
  for (int i = 0; i < NIN; i++) a.in[i] = r->in[i];
  if (record) check_ok(kk_tape_new(true, &r->tape, &err), &err);
  st = kk_op_run(kk_op_find("linear_cross_entropy"), &a, r->tape, out, &err);
  r->loss = out[0];
  r->stats = out[1];
  r->nll = out[2];
  r->hit = out[3];
  return st;
}

static void run_backward(run *r) {
  kk_tensor *seed = filled(KK_F32, (kk_shape){0}, 6, 0.5, 0.5);
  check_ok(kk_tape_backward(r->tape, r->loss, seed, &err), &err);
  kk_unref(seed);
}

static void run_close(run *r) {
  kk_tape_free(r->tape);
  kk_unref(r->loss);
  kk_unref(r->stats);
  kk_unref(r->nll);
  kk_unref(r->hit);
  for (int i = 0; i < NIN; i++) kk_unref(r->in[i]);
}

/* ---- plain loops */
typedef struct oracle { double loss, nll, counted, hits, *dx, *dw, *db, *p, *rows, *hit; } oracle;

static double *zeros(int64_t n) {
  double *p = kk_calloc((size_t)n * sizeof *p);
  assert_non_null(p);
  return p;
}

static void oracle_row(oracle *o, const run *r, int64_t n, double norm) {
  const lce_case *k = &r->k;
  const kk_real *x = kk_real_data(r->in[X]) + n * k->D, *w = kk_real_data(r->in[W]);
  const int32_t y = kk_i32_data(r->in[IDS])[n];
  double most = -INFINITY, sum = 0, mass = 0, row = 0;
  for (int64_t v = 0; v < k->V; v++) {
    o->p[v] = r->in[B] ? (double)kk_real_data(r->in[B])[v] : 0;
    for (int64_t d = 0; d < k->D; d++) o->p[v] += (double)x[d] * (double)w[v * k->D + d];
    most = o->p[v] > most ? o->p[v] : most;
  }
  for (int64_t v = 0; v < k->V; v++) sum += exp(o->p[v] - most);
  o->rows[n] = most + log(sum) - o->p[y];
  o->hit[n] = o->p[y] >= most;
  o->nll += o->rows[n];
  o->hits += o->hit[n];
  o->counted++;
  for (int64_t v = 0; v < k->V; v++) {
    double wv = r->in[WEIGHT] ? (double)kk_real_data(r->in[WEIGHT])[v] : 1;
    double q = wv * ((v == y ? 1 - k->smoothing : 0) + k->smoothing / (double)k->V);
    row += q * (most + log(sum) - o->p[v]);
    mass += q;
  }
  o->loss += row / norm;
  for (int64_t v = 0; v < k->V; v++) {
    double wv = r->in[WEIGHT] ? (double)kk_real_data(r->in[WEIGHT])[v] : 1;
    double q = wv * ((v == y ? 1 - k->smoothing : 0) + k->smoothing / (double)k->V);
    double g = (exp(o->p[v] - most) / sum * mass - q) / norm;
    o->db[v] += g;
    for (int64_t d = 0; d < k->D; d++) {
      o->dx[n * k->D + d] += g * (double)w[v * k->D + d];
      o->dw[v * k->D + d] += g * (double)x[d];
    }
  }
}

static oracle oracle_of(const run *r) {
  const lce_case *k = &r->k;
  oracle o = {.dx = zeros(k->N * k->D), .dw = zeros(k->V * k->D), .db = zeros(k->V), .p = zeros(k->V),
              .rows = zeros(k->N), .hit = zeros(k->N)};
  double norm = 0;
  for (int64_t n = 0; n < k->N; n++) {
    int32_t y = kk_i32_data(r->in[IDS])[n];
    if (y >= 0) norm += r->in[WEIGHT] ? (double)kk_real_data(r->in[WEIGHT])[y] : 1;
  }
  for (int64_t n = 0; n < k->N; n++)
    if (kk_i32_data(r->in[IDS])[n] >= 0) oracle_row(&o, r, n, norm);
  return o;
}

static void oracle_free(oracle *o, const lce_case *k) {
  kk_free(o->dx, (size_t)(k->N * k->D) * sizeof(double));
  kk_free(o->dw, (size_t)(k->V * k->D) * sizeof(double));
  kk_free(o->db, (size_t)k->V * sizeof(double));
  kk_free(o->p, (size_t)k->V * sizeof(double));
  kk_free(o->rows, (size_t)k->N * sizeof(double));
  kk_free(o->hit, (size_t)k->N * sizeof(double));
}

/* Errors relative to the largest number. */
static void same(const char *what, const lce_case *k, const kk_real *got, double scale, const double *want, int64_t n,
                 double tolerance) {
  double most = 1e-30, worst = 0;
  for (int64_t i = 0; i < n; i++) {
    double d = fabs((double)got[i] - scale * want[i]);
    if (fabs(scale * want[i]) > most) most = fabs(scale * want[i]);
    if (!(d <= worst)) worst = d;
  }
  if (!(worst <= tolerance * most))
    fail_msg("N %lld D %lld V %lld bias %d weights %d ignored %d smoothing %g scale %g: %s is %g off, largest %g",
             (long long)k->N, (long long)k->D, (long long)k->V, k->bias, k->weights, k->ignored, k->smoothing, k->scale,
             what, worst, most);
}

static void check_gradients(run *r, const oracle *o, double tolerance) {
  const lce_case *k = &r->k;
  const double *want[3] = {o->dx, o->dw, o->db};
  static const char *const name[3] = {"dx", "dw", "db"};
  for (int i = 0; i < 3; i++) {
    if (!r->in[i] || k->frozen & 1u << i) continue;
    if (k->V == 1)       /* p is 1: what is left is rounding */
      for (int64_t j = 0; j < r->in[i]->store->n; j++) assert_true(fabs((double)r->in[i]->store->grad[j]) < 1e-5);
    else same(name[i], k, r->in[i]->store->grad, 0.5, want[i], r->in[i]->store->n, tolerance);
  }
}

static void check_case(lce_case k, double tolerance) {
  for (int record = 0; record < 2; record++) {
    run r;
    run_open(&r, k);
    oracle o = oracle_of(&r);
    check_ok(run_apply(&r, record), &err);
    same("loss", &k, kk_real_data(r.loss), 1, &o.loss, 1, k.V == 1 ? 1e30 : tolerance);
    assert_true(fabs((double)kk_real_data(r.loss)[0] - o.loss) < tolerance * (1 + fabs(o.loss)));
    assert_true(fabs((double)kk_real_data(r.stats)[0] - o.nll) <= tolerance * (1 + o.nll));
    assert_true((double)kk_real_data(r.stats)[1] == o.counted);
    if (!rough) assert_true((double)kk_real_data(r.stats)[2] == o.hits);
    for (int64_t n = 0; n < k.N; n++) {
      assert_true(fabs((double)kk_real_data(r.nll)[n] - o.rows[n]) <= tolerance * (1 + o.rows[n]));
      if (!rough) assert_true(((uint8_t *)kk_data(r.hit))[n] == o.hit[n]);
    }
    if (record) {
      run_backward(&r);
      check_gradients(&r, &o, tolerance);
    }
    oracle_free(&o, &k);
    run_close(&r);
  }
}

static const int64_t sizes_n[] = {1, 3, 2500}, sizes_d[] = {1, 3, 400}, sizes_v[] = {1, 7, 1000};

static void every_size_equals_plain_loops(void **state) {
  (void)state;
  for (int a = 0; a < 3; a++)
    for (int b = 0; b < 3; b++)
      for (int c = 0; c < 3; c++) {
        lce_case k = {.N = sizes_n[a], .D = sizes_d[b], .V = sizes_v[c], .bias = (a + b + c) % 2 == 0,
                      .weights = c == 1, .ignored = b != 1, .smoothing = b == 1 ? 0.1 : 0, .scale = sizes_d[b] > 100 ? 0.3 : 2};
        if (k.N * k.D * k.V > 400000000) k.N = 1100;
        check_case(k, 3e-5);
      }
}

static void all_options_together_over_several_blocks(void **state) {
  const lce_case k = {.N = 2100, .D = 20, .V = 2300, .bias = true, .weights = true, .ignored = true,
                      .smoothing = 0.2, .scale = 1};
  (void)state;
  check_case(k, 3e-5);
}

/* Logits reach +-200 while a target's may lie 400 below the largest. */
static void rows_that_overflow_are_done_with_their_maximum(void **state) {
  (void)state;
  check_case((lce_case){.N = 300, .D = 2, .V = 1500, .bias = true, .scale = 100}, 1e-4);
  check_case((lce_case){.N = 1100, .D = 3, .V = 300, .smoothing = 0.1, .scale = 66}, 1e-4);
}

static void a_frozen_input_is_passed_over(void **state) {
  (void)state;
  for (uint32_t frozen = 1; frozen < 7; frozen++) {
    lce_case k = {.N = 70, .D = 5, .V = 600, .bias = true, .scale = 1, .frozen = frozen};
    run r;
    check_case(k, 3e-5);
    run_open(&r, k);
    check_ok(run_apply(&r, true), &err);
    run_backward(&r);
    for (int i = 0; i < 3; i++)
      if (frozen & 1u << i) assert_null(r.in[i]->store->grad);
    run_close(&r);
  }
}

/* t:param(true) between the op and backward */
static void an_input_that_is_wanted_later_gets_its_gradient(void **state) {
  lce_case k = {.N = 70, .D = 5, .V = 600, .bias = true, .ignored = true, .scale = 1, .frozen = 1u << W | 1u << B};
  run r;
  (void)state;
  run_open(&r, k);
  oracle o = oracle_of(&r);
  check_ok(run_apply(&r, true), &err);
  r.in[W]->store->wants_grad = r.in[B]->store->wants_grad = true;
  r.k.frozen = 0;
  run_backward(&r);
  check_gradients(&r, &o, 3e-5);
  oracle_free(&o, &k);
  run_close(&r);
}

/* The tile unit's kernel in plain C: the same on any machine. Once w is packed, once (few rows) it is not. */
static void bfloat16_is_as_good_as_its_bits(void **state) {
  (void)state;
  kk_gemm_use16(&kk_kernel_amx_in_c);
  for (int three = 0; three < 2; three++) {
    check_ok(kk_gemm_precision(three ? KK_BF16X3 : KK_BF16, &err), &err);
    rough = true;
    for (int rows = 0; rows < 2; rows++) {
      lce_case k = {.N = rows ? 1100 : 70, .D = 50, .V = 777, .bias = true, .ignored = true,
                    .smoothing = 0.1, .scale = 0.5};
      check_case(k, three ? 1e-4 : 2e-2);
    }
    rough = false;
  }
  check_ok(kk_gemm_precision(KK_FLOAT32, &err), &err);
}

static void all_rows_ignored_is_no_loss(void **state) {
  lce_case k = {.N = 5, .D = 4, .V = 9, .bias = true, .smoothing = 0.1, .scale = 1};
  run r;
  (void)state;
  run_open(&r, k);
  for (int n = 0; n < 5; n++) kk_i32_data(r.in[IDS])[n] = -1;
  check_ok(run_apply(&r, true), &err);
  assert_true(kk_real_data(r.loss)[0] == 0 && kk_real_data(r.stats)[1] == 0);
  run_backward(&r);
  for (int i = 0; i < 3; i++)
    for (int64_t j = 0; j < r.in[i]->store->n; j++) assert_true(r.in[i]->store->grad[j] == 0);
  run_close(&r);
}

static void nan_stays_visible(void **state) {
  lce_case k = {.N = 5, .D = 4, .V = 9, .scale = 1};
  run r;
  (void)state;
  run_open(&r, k);
  kk_real_data(r.in[X])[6] = (kk_real)NAN;
  check_ok(run_apply(&r, true), &err);
  assert_true(isnan((double)kk_real_data(r.loss)[0]));
  run_close(&r);
}

static void a_target_outside_is_refused(void **state) {
  run r;
  (void)state;
  run_open(&r, (lce_case){.N = 3, .D = 2, .V = 4, .scale = 1});
  kk_i32_data(r.in[IDS])[1] = 4;
  check_fails(run_apply(&r, false), KK_EARG, &err, "linear_cross_entropy: target 2 is 5, expected 1..4");
  run_close(&r);
}

static uint64_t digest(uint64_t h, const kk_real *p, int64_t n) {
  const uint8_t *b = (const uint8_t *)p;
  for (size_t i = 0; i < (size_t)n * sizeof *p; i++) h = (h ^ b[i]) * 0x100000001B3u;
  return h;
}

static uint64_t bits(lce_case k, int threads) {
  run r;
  uint64_t h = 0xCBF29CE484222325u;
  kk_pool_set_threads(threads);
  run_open(&r, k);
  check_ok(run_apply(&r, true), &err);
  run_backward(&r);
  h = digest(digest(h, kk_real_data(r.loss), 1), kk_real_data(r.stats), 3);
  for (int i = 0; i < 3; i++) h = digest(h, r.in[i]->store->grad, r.in[i]->store->n);
  run_close(&r);
  kk_pool_set_threads(0);
  return h;
}

static void bits_do_not_depend_on_threads(void **state) {
  const lce_case k[] = {{.N = 2500, .D = 33, .V = 1500, .bias = true, .scale = 1},
                        {.N = 700, .D = 2, .V = 9000, .bias = true, .ignored = true, .weights = true, .smoothing = 0.1,
                         .scale = 100}};
  (void)state;
  for (int i = 0; i < 2; i++) {
    uint64_t one = bits(k[i], 1);
    assert_true(one == bits(k[i], 2));
    assert_true(one == bits(k[i], 3));
  }
}

static void recording_does_not_change_loss_or_stats(void **state) {
  run a, b;
  (void)state;
  run_open(&a, (lce_case){.N = 1300, .D = 20, .V = 3000, .bias = true, .scale = 1});
  run_open(&b, a.k);
  check_ok(run_apply(&a, false), &err);
  check_ok(run_apply(&b, true), &err);
  assert_memory_equal(kk_real_data(a.loss), kk_real_data(b.loss), sizeof(kk_real));
  assert_memory_equal(kk_real_data(a.stats), kk_real_data(b.stats), 3 * sizeof(kk_real));
  run_close(&a);
  run_close(&b);
}

/* 6,000 x 3,000 logits would be 72 MB; a block of them is 13. */
static void memory_does_not_hold_the_logits_of_all_rows(void **state) {
  const lce_case k = {.N = 6000, .D = 8, .V = 3000, .bias = true, .scale = 1};
  const size_t logits = (size_t)(k.N * k.V) * sizeof(kk_real);
  (void)state;
  for (int record = 0; record < 2; record++) {
    run r;
    run_open(&r, k);
    size_t live = kk_mem_live();
    kk_mem_peak_reset();
    check_ok(run_apply(&r, record), &err);
    if (record) run_backward(&r);
    if (kk_mem_peak() - live > logits / (record ? 4 : 8)) fail_msg("%zu bytes of %zu", kk_mem_peak() - live, logits);
    run_close(&r);
  }
}

/* With every kernel that this processor has. */
static int use_kernel(const char *name) {
  kk_err e;
  return kk_gemm_choose(name, &e) == KK_OK;
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(every_size_equals_plain_loops),
    cmocka_unit_test(all_options_together_over_several_blocks),
    cmocka_unit_test(rows_that_overflow_are_done_with_their_maximum),
    cmocka_unit_test(a_frozen_input_is_passed_over),
    cmocka_unit_test(an_input_that_is_wanted_later_gets_its_gradient),
    cmocka_unit_test(all_rows_ignored_is_no_loss),
    cmocka_unit_test(nan_stays_visible),
    cmocka_unit_test(a_target_outside_is_refused),
    cmocka_unit_test(bits_do_not_depend_on_threads),
    cmocka_unit_test(recording_does_not_change_loss_or_stats),
    cmocka_unit_test(memory_does_not_hold_the_logits_of_all_rows),
  };
  const struct CMUnitTest once[] = {cmocka_unit_test(bfloat16_is_as_good_as_its_bits)};
  int failed = 0;
  if (use_kernel("portable") || use_kernel("neon"))
    failed += cmocka_run_group_tests_name("linear_cross_entropy, portable kernel", tests, NULL, NULL);
  if (use_kernel("avx2")) failed += cmocka_run_group_tests_name("linear_cross_entropy, AVX2 kernel", tests, NULL, NULL);
  if (!use_kernel(NULL)) return 1;
  failed += cmocka_run_group_tests_name("linear_cross_entropy, best kernel", tests, NULL, NULL);
  return failed + cmocka_run_group_tests_name("linear_cross_entropy", once, NULL, NULL);
}
