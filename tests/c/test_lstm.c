/* LSTM, embedding, dropouts and the functions they rest on, in the float core. */
#include "linalg/gemm.h"
#define KK_AMX_IN_C
#include "linalg/kernel_amx.c"
#include "lstm_oracle.h"
#include "op/vmath.h"

static void layer_equals_plain_loops_forward_and_backward(void **state) {
  (void)state;
  equals_the_plain_loops(1e-5);
}

/* In other precisions, by the processor's own kernel, fast or not, or by AMX's in plain C. */
static void layer_equals_plain_loops_in_bfloat16(void **state) {
  static const struct { kk_precision precision; double tolerance; } low[] = {{KK_BF16, 2e-2}, {KK_BF16X3, 1e-4}};
  (void)state;
  kk_gemm_use16(&kk_kernel_amx_in_c);
#if defined(__x86_64__)
  if (kk_kernel_avx512_bf16.have()) kk_gemm_use16(&kk_kernel_avx512_bf16);
  if (kk_kernel_amx.have()) kk_gemm_use16(&kk_kernel_amx);
#endif
  for (size_t i = 0; i < sizeof low / sizeof *low; i++) {
    assert_int_equal(kk_gemm_precision(low[i].precision, &err), KK_OK);
    equals_the_plain_loops(low[i].tolerance);
  }
  assert_int_equal(kk_gemm_precision(KK_FLOAT32, &err), KK_OK);
}

/* ---- same bits */
static uint64_t digest(uint64_t h, const void *p, size_t n) {
  for (size_t i = 0; i < n; i++) h = (h ^ ((const uint8_t *)p)[i]) * 0x100000001B3u;
  return h;
}

static uint64_t layer_bits(lstm_case k, int threads) {
  lstm_run r;
  kk_tape *tape = NULL;
  kk_tensor *out[3] = {0};
  uint64_t h = 0xCBF29CE484222325u;
  kk_pool_set_threads(threads);
  run_open(&r, k, true);
  run_backward(&r, &tape, out);
  for (int i = 0; i < 3; i++) {
    h = digest(h, kk_real_data(out[i]), (size_t)out[i]->store->n * sizeof(kk_real));
    kk_unref(out[i]);
  }
  for (int i = 0; i < ILENS; i++)
    if (r.a.in[i]) h = digest(h, r.a.in[i]->store->grad, (size_t)r.a.in[i]->store->n * sizeof(kk_real));
  kk_tape_free(tape);
  run_close(&r);
  kk_pool_set_threads(0);
  return h;
}

static void bits_do_not_depend_on_threads(void **state) {
  const lstm_case k[] = {{7, 17, 40, 132, true, true, lens17, 0.5, 0.3}, {70, 17, 90, 132, true, true, NULL, 0, 0},
                         {3, 2, 5, 520, true, true, NULL, 0.5, 0}};
  (void)state;
  for (int i = 0; i < 3; i++) {
    uint64_t one = layer_bits(k[i], 1);
    assert_true(one == layer_bits(k[i], 2));
    assert_true(one == layer_bits(k[i], 3));
  }
}

static void recording_changes_no_bit(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    lstm_run r;
    kk_tape *tape = NULL;
    kk_tensor *a[3] = {0}, *b[3] = {0};
    run_open(&r, cases[i], true);
    assert_int_equal(kk_tape_new(true, &tape, &err), KK_OK);
    assert_int_equal(run_apply(&r, tape, a), KK_OK);
    assert_int_equal(run_apply(&r, NULL, b), KK_OK);
    for (int k = 0; k < 3; k++)
      assert_memory_equal(kk_real_data(a[k]), kk_real_data(b[k]), (size_t)a[k]->store->n * sizeof(kk_real));
    for (int k = 0; k < 3; k++) kk_unref(a[k]), kk_unref(b[k]);
    kk_tape_free(tape);
    run_close(&r);
  }
}

/* ---- memory */
static void without_a_tape_memory_does_not_grow_with_the_gates(void **state) {
  const lstm_case k = {600, 8, 16, 32, false, true, NULL, 0, 0};
  const size_t gates = 600 * 8 * 4 * 32 * sizeof(kk_real);
  lstm_run r;
  kk_tensor *out[3] = {0};
  (void)state;
  run_open(&r, k, false);
  size_t live = kk_mem_live();
  kk_mem_peak_reset();
  assert_int_equal(run_apply(&r, NULL, out), KK_OK);
  assert_true(kk_mem_peak() - live < gates);      /* y alone is a quarter of them */
  assert_true(kk_mem_live() - live < gates / 3);
  for (int i = 0; i < 3; i++) kk_unref(out[i]);
  assert_true(kk_mem_live() == live);
  run_close(&r);
}

/* ---- padding */
static void padding_is_never_read(void **state) {
  const lstm_case k = {7, 17, 5, 33, true, true, lens17, 0, 0};
  lstm_run r;
  kk_tape *tape = NULL;
  kk_tensor *out[3] = {0};
  (void)state;
  run_open(&r, k, true);
  for (int64_t t = 0; t < k.T; t++)
    for (int64_t i = 0; i < k.B * k.D; i++)
      if (t >= lens17[i / k.D]) kk_real_data(r.a.in[IX])[t * k.B * k.D + i] = (kk_real)NAN;
  run_backward(&r, &tape, out);
  for (int64_t i = 0; i < out[OY]->store->n; i++) {
    kk_real v = kk_real_data(out[OY])[i];
    assert_false(isnan((double)v));
    if (i / (k.B * k.H) >= lens17[i / k.H % k.B]) assert_true(v == 0);
  }
  for (int i = 0; i < ILENS; i++)
    for (int64_t j = 0; j < r.a.in[i]->store->n; j++) assert_false(isnan((double)r.a.in[i]->store->grad[j]));
  for (int i = 0; i < 3; i++) kk_unref(out[i]);
  kk_tape_free(tape);
  run_close(&r);
}

static void bad_lengths_are_refused(void **state) {
  static const struct { int32_t lens[3]; const char *says; } bad[] = {
    {{4, 2, 3}, "row 3 has 3 after 2; sort the rows"}, {{5, 3, 1}, "length 1 is 5, expected 1..4"},
    {{4, 3, 0}, "length 3 is 0, expected 1..4"},
  };
  (void)state;
  for (int i = 0; i < 3; i++) {
    lstm_run r;
    kk_tensor *out[3] = {0};
    run_open(&r, (lstm_case){4, 3, 2, 2, false, false, bad[i].lens, 0, 0}, false);
    assert_int_equal(run_apply(&r, NULL, out), KK_EARG);
    if (!strstr(err.msg, bad[i].says)) fail_msg("'%s' does not say '%s'", err.msg, bad[i].says);
    assert_null(out[0]);
    run_close(&r);
  }
}

/* ---- lstm_cell */
static void cell_is_a_layer_of_one_step(void **state) {
  (void)state;
  for (int bias = 0; bias < 2; bias++) {
    lstm_run r;
    oracle o = {0};
    kk_tensor *out[3] = {0};
    run_open(&r, (lstm_case){1, 3, 7, 33, true, bias, NULL, 0, 0}, false);
    oracle_forward(&r, &o);
    kk_tensor *x = NULL;
    assert_int_equal(kk_view_select(r.a.in[IX], 0, 0, &x, &err), KK_OK);
    kk_args a = {.nin = 6, .in = {x, r.a.in[IH], r.a.in[IC], r.a.in[IWI], r.a.in[IWH], r.a.in[IB]}};
    assert_int_equal(kk_op_run(kk_op_find("lstm_cell"), &a, NULL, out, &err), KK_OK);
    same("h_next", &r, kk_real_data(out[0]), o.hn, 3 * 33, 1e-5);
    same("c_next", &r, kk_real_data(out[1]), o.cn, 3 * 33, 1e-5);
    same("gates", &r, kk_real_data(out[2]), o.gate, 3 * 4 * 33, 1e-5);
    for (int i = 0; i < 3; i++) kk_unref(out[i]);
    kk_unref(x);
    oracle_close(&r, &o);
    run_close(&r);
  }
}

/* ---- vmath */
static double ulps(float got, double want) {
  double unit = (double)nextafterf(fabsf((float)want), INFINITY) - (double)fabsf((float)want);
  return fabs((double)got - want) / unit;
}

static void exp_is_within_two_units_in_the_last_place(void **state) {
  double worst = 0;
  (void)state;
  for (double x = -87.3; x < 88.7; x += 0.000731) worst = fmax(worst, ulps(kk_expf((float)x), exp((double)(float)x)));
  if (worst > 2) fail_msg("exp is off by %.2f units", worst);
  assert_true(kk_expf(0) == 1);
  assert_true(isinf(kk_expf(89)) && isinf(kk_expf(INFINITY)));
  assert_true(kk_expf(-105) == 0 && kk_expf(-INFINITY) == 0);
  assert_true(isnan(kk_expf(NAN)));
}

static void tanh_and_sigmoid_are_within_1e_6_also_near_zero(void **state) {
  double worst_tanh = 0, worst_sigmoid = 0;
  (void)state;
  for (double x = -20; x < 20; x += 0.000217) {
    float v = (float)x;
    worst_tanh = fmax(worst_tanh, fabs((double)kk_tanhf(v) / tanh((double)v) - 1));
    worst_sigmoid = fmax(worst_sigmoid, fabs((double)kk_sigmoid(v) * (1 + exp(-(double)v)) - 1));
  }
  for (float v = 1e-30f; v < 1; v *= 1.37f)
    worst_tanh = fmax(worst_tanh, fabs((double)kk_tanhf(-v) / tanh(-(double)v) - 1));
  if (worst_tanh > 1e-6 || worst_sigmoid > 1e-6) fail_msg("tanh %.2e, sigmoid %.2e", worst_tanh, worst_sigmoid);
  assert_true(kk_tanhf(INFINITY) == 1 && kk_tanhf(-INFINITY) == -1 && kk_tanhf(0) == 0 && signbit(kk_tanhf(-0.0f)));
  assert_true(kk_sigmoid(INFINITY) == 1 && kk_sigmoid(-INFINITY) == 0 && kk_sigmoid(0) == 0.5f);
  assert_true(isnan(kk_tanhf(NAN)) && isnan(kk_sigmoid(NAN)));
}

/* ---- masks and dropouts */
static void masks_are_the_same_for_every_cut(void **state) {
  static const double ps[] = {0, 0.25, 1.0 / 3, 0.99};
  kk_real m[64];
  (void)state;
  for (int p = 0; p < 4; p++)
    for (uint64_t first = 0; first < 9; first++)
      for (int64_t n = 0; n < 40; n++) {
        for (int i = 0; i < 64; i++) m[i] = 7;
        kk_mask_fill(3, KK_MASK_SECOND + first, n, ps[p], m);
        for (int64_t i = 0; i < n; i++) {
          int kept = kk_random_keep(3, KK_MASK_SECOND + first + (uint64_t)i, ps[p]);
          assert_true(m[i] == (kept ? (kk_real)(1 / (1 - ps[p])) : 0));
        }
        assert_true(m[n] == 7);
      }
}

static kk_tensor *apply(const char *name, kk_tape *tape, double o0, double o1, kk_tensor *a, kk_tensor *b) {
  kk_stream stream = {.seed = 5};
  const double opt[KK_MAXOPT] = {o0, o1};
  kk_args args = {.nin = b ? 2 : 1, .in = {a, b}, .opt = opt, .stream = &stream};
  kk_tensor *out[1] = {0};
  if (kk_op_run(kk_op_find(name), &args, tape, out, &err)) return NULL;
  return out[0];
}

static void dropout_keeps_the_mean_and_p_0_changes_nothing(void **state) {
  kk_tensor *x = tensor_random(1, 40001, 0, 0, 1, 1);
  (void)state;
  for (int64_t i = 0; i < 40001; i++) kk_real_data(x)[i] += 2;
  kk_tensor *y = apply("dropout", NULL, 0.3, 0, x, NULL), *z = apply("dropout", NULL, 0, 0, x, NULL);
  int64_t zeros = 0;
  for (int64_t i = 0; i < 40001; i++) {
    kk_real v = kk_real_data(y)[i];
    zeros += v == 0;
    if (v != 0) assert_true(fabs((double)v - (double)kk_real_data(x)[i] / 0.7) < 1e-5);
  }
  assert_true(labs((long)zeros - 12000) < 500);      /* sd 92 */
  assert_memory_equal(kk_real_data(z), kk_real_data(x), 40001 * sizeof(kk_real));
  kk_unref(x), kk_unref(y), kk_unref(z);
}

static void variational_dropout_has_one_mask_for_all_steps(void **state) {
  kk_tensor *x = tensor_random(3, 5, 3, 7, 1, 1);
  (void)state;
  for (int64_t i = 0; i < 105; i++) kk_real_data(x)[i] = 1;
  kk_tensor *y = apply("variational_dropout", NULL, 0.5, 0, x, NULL);
  int zeros = 0;
  for (int64_t i = 0; i < 105; i++) {
    assert_true(kk_real_data(y)[i] == kk_real_data(y)[i % 21]);
    if (i < 21) zeros += kk_real_data(y)[i] == 0;
  }
  assert_in_range(zeros, 3, 18);
  kk_unref(x), kk_unref(y);
}

/* ---- embedding */
static kk_tensor *ids_new(int64_t n, int (*id)(int64_t)) {
  kk_shape s = {1, {n}};
  kk_tensor *t = NULL;
  assert_int_equal(kk_tensor_new(KK_I32, &s, &t, &err), KK_OK);
  for (int64_t i = 0; i < n; i++) kk_i32_data(t)[i] = id(i);
  return t;
}

static int id_any(int64_t i) { return (int)(i * 7919 % 50); }
static int id_bad(int64_t i) { return i == 6 ? 50 : (int)i; }

static void embedding_drops_whole_rows_and_padding_has_no_gradient(void **state) {
  enum { N = 300, V = 50, W = 130 };
  kk_tensor *ids = ids_new(N, id_any), *w = tensor_random(2, V, W, 0, 9, 1);
  kk_tape *tape = NULL;
  int dropped = 0;
  (void)state;
  w->store->wants_grad = true;
  assert_int_equal(kk_tape_new(true, &tape, &err), KK_OK);
  kk_tensor *y = apply("embedding", tape, 0.4, 4, ids, w), *seed = tensor_random(2, N, W, 0, 10, 1);
  assert_non_null(y);
  assert_int_equal(kk_tape_backward(tape, y, seed, &err), KK_OK);
  for (int v = 0; v < V; v++) {
    double scale = -1;
    for (int64_t n = 0; n < N; n++) {
      if (id_any(n) != v) continue;
      for (int64_t d = 0; d < W; d++) {
        double s = (double)kk_real_data(y)[n * W + d] / (double)kk_real_data(w)[v * W + d];
        if (scale < 0) scale = s;
        assert_true(fabs(s - scale) < 1e-5);
      }
    }
    assert_true(fabs(scale) < 1e-6 || fabs(scale - 1 / 0.6) < 1e-5);
    if (v == 3) assert_true(scale == 0);               /* id 4, counted from 1, is padding */
    dropped += scale == 0;
    for (int64_t d = 0; d < W; d++) {
      double want = 0;
      for (int64_t n = 0; n < N; n++)
        if (id_any(n) == v) want += scale * (double)kk_real_data(seed)[n * W + d];
      assert_true(fabs((double)w->store->grad[v * W + d] - want) < 1e-5);
    }
  }
  assert_in_range(dropped, 10, 32);
  kk_unref(y), kk_unref(seed), kk_unref(ids);
  kk_tape_free(tape);
  kk_unref(w);
}

static void embedding_names_the_id_out_of_range(void **state) {
  kk_tensor *ids = ids_new(8, id_bad), *w = tensor_random(2, 50, 3, 0, 9, 1);
  (void)state;
  assert_null(apply("embedding", NULL, 0, 0, ids, w));
  assert_string_equal(err.msg, "embedding: ids has 51 at position 7, but w has rows 1..50");
  kk_unref(ids), kk_unref(w);
}

/* The layer's own tests run with every kernel that this processor has. */
static int use_kernel(const char *name) {
  kk_err e;
  return kk_gemm_choose(name, &e) == KK_OK;
}

int main(void) {
  const struct CMUnitTest layer[] = {
    cmocka_unit_test(layer_equals_plain_loops_forward_and_backward),
    cmocka_unit_test(bits_do_not_depend_on_threads),
    cmocka_unit_test(recording_changes_no_bit),
    cmocka_unit_test(padding_is_never_read),
    cmocka_unit_test(cell_is_a_layer_of_one_step),
  };
  const struct CMUnitTest once[] = {
    cmocka_unit_test(layer_equals_plain_loops_in_bfloat16),
    cmocka_unit_test(without_a_tape_memory_does_not_grow_with_the_gates),
    cmocka_unit_test(bad_lengths_are_refused),
    cmocka_unit_test(exp_is_within_two_units_in_the_last_place),
    cmocka_unit_test(tanh_and_sigmoid_are_within_1e_6_also_near_zero),
    cmocka_unit_test(masks_are_the_same_for_every_cut),
    cmocka_unit_test(dropout_keeps_the_mean_and_p_0_changes_nothing),
    cmocka_unit_test(variational_dropout_has_one_mask_for_all_steps),
    cmocka_unit_test(embedding_drops_whole_rows_and_padding_has_no_gradient),
    cmocka_unit_test(embedding_names_the_id_out_of_range),
  };
  int failed = 0;
  if (use_kernel("portable") || use_kernel("neon")) failed += cmocka_run_group_tests_name("lstm, portable kernel", layer, NULL, NULL);
  if (use_kernel("avx2")) failed += cmocka_run_group_tests_name("lstm, AVX2 kernel", layer, NULL, NULL);
  if (use_kernel("avx512")) failed += cmocka_run_group_tests_name("lstm, AVX-512 kernel", layer, NULL, NULL);
  if (!use_kernel(NULL)) return 1;
  return failed + cmocka_run_group_tests_name("lstm", once, NULL, NULL);
}
