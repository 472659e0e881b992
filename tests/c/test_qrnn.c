/* The QRNN layer in the float core. */
#include "linalg/gemm.h"
#include "qrnn_oracle.h"

static void layer_equals_plain_loops_forward_and_backward(void **state) {
  (void)state;
  equals_the_plain_loops(1e-5);
}

/* Products in other precisions, by AVX512-BF16 whether it is fast here or not; AMX where that is missing. */
static void products_in_bfloat16_stay_near_the_plain_loops(void **state) {
  static const struct { kk_precision precision; double tolerance; } low[] = {{KK_BF16, 2e-2}, {KK_BF16X3, 1e-4}};
  (void)state;
  if (!getenv("KOOKA_KERNEL16")) setenv("KOOKA_KERNEL16", "avx512_bf16", 1);
  assert_int_equal(kk_gemm_ready(&err), KK_OK);
  if (kk_gemm_precision(KK_BF16, &err)) {
    print_message("%s\n", err.msg);
    skip();
  }
  for (int i = 0; i < 2; i++) {
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

static uint64_t layer_bits(qrnn_case k, int threads) {
  qrnn_run r;
  kk_tape *tape = NULL;
  kk_tensor *out[NOUT] = {0};
  uint64_t h = 0xCBF29CE484222325u;
  kk_pool_set_threads(threads);
  run_open(&r, k, true);
  run_backward(&r, &tape, out);
  for (int i = 0; i < NOUT; i++) h = digest(h, kk_real_data(out[i]), (size_t)out[i]->store->n * sizeof(kk_real));
  for (int i = 0; i < ILENS; i++)
    if (r.a.in[i]) h = digest(h, r.a.in[i]->store->grad, (size_t)r.a.in[i]->store->n * sizeof(kk_real));
  run_end(&r, tape, out);
  kk_pool_set_threads(0);
  return h;
}

static void bits_do_not_depend_on_threads(void **state) {
  const qrnn_case k[] = {{7, 17, 40, 132, 2, true, true, true, false, lens17, 0.5, 0.3, 0.2},
                         {70, 17, 90, 132, 1, false, true, true, false, NULL, 0, 0, 0},
                         {3, 2, 5, 1040, 2, false, true, true, false, NULL, 0.5, 0, 0}};
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
    qrnn_run r;
    kk_tape *tape = NULL;
    kk_tensor *a[NOUT] = {0}, *b[NOUT] = {0};
    run_open(&r, cases[i], true);
    assert_int_equal(kk_tape_new(true, &tape, &err), KK_OK);
    assert_int_equal(run_apply(&r, tape, a), KK_OK);
    assert_int_equal(run_apply(&r, NULL, b), KK_OK);
    for (int k = 0; k < NOUT; k++) {
      assert_memory_equal(kk_real_data(a[k]), kk_real_data(b[k]), (size_t)a[k]->store->n * sizeof(kk_real));
      kk_unref(b[k]);
    }
    run_end(&r, tape, a);
  }
}

/* ---- segments */
static kk_tensor *steps_of(kk_tensor *x, int64_t from, int64_t n) {
  kk_tensor *v = NULL;
  if (kk_view_narrow(x, 0, from, n, 1, &v, &err)) fail_msg("%s", err.msg);
  return v;
}

/* Two segments, cells and last input carried, against the whole sequence; 1e-6 because products of other sizes
** may sum in another order. */
static void carried_segments_are_one_long_sequence(void **state) {
  static const int64_t cuts[] = {1, 4, 8};
  (void)state;
  for (int window = 1; window <= 2; window++)
    for (int q = 0; q < 3; q++) {
      qrnn_run r;
      kk_tensor *whole[NOUT] = {0}, *part[2][NOUT] = {{0}}, *x;
      int64_t done = 0;
      run_open(&r, (qrnn_case){9, 3, 5, 33, window, window == 2, true, true, false, NULL, 0, 0, 0}, false);
      assert_int_equal(run_apply(&r, NULL, whole), KK_OK);
      x = r.a.in[IX];
      for (int p = 0; p < 2; p++) {
        kk_args a = r.a;
        kk_stream stream = {.seed = 5};
        a.stream = &stream;
        a.in[IX] = steps_of(x, p ? cuts[q] : 0, p ? 9 - cuts[q] : cuts[q]);
        if (p) a.in[IC] = part[0][OC];
        if (p && window == 2) a.in[IP] = part[0][OX];
        assert_int_equal(kk_op_run(kk_op_find("qrnn"), &a, NULL, part[p], &err), KK_OK);
        for (int64_t i = 0; i < part[p][OY]->store->n; i++)
          assert_true(fabs((double)(kk_real_data(part[p][OY])[i] - kk_real_data(whole[OY])[done + i])) < 1e-6);
        done += part[p][OY]->store->n;
        kk_unref(a.in[IX]);
      }
      for (int k = OC; k < NOUT; k++)
        for (int64_t i = 0; i < whole[k]->store->n; i++)
          assert_true(fabs((double)(kk_real_data(part[1][k])[i] - kk_real_data(whole[k])[i])) < 1e-6);
      for (int k = 0; k < NOUT; k++) kk_unref(whole[k]), kk_unref(part[0][k]), kk_unref(part[1][k]);
      run_close(&r);
    }
}

/* ---- lengths */
static kk_tensor *row_of(kk_tensor *t, int axis, int64_t b) {
  kk_tensor *v = NULL;
  if (kk_view_narrow(t, axis, b, 1, 1, &v, &err)) fail_msg("%s", err.msg);
  return v;
}

static void rows_with_lengths_are_sequences_of_their_own(void **state) {
  const qrnn_case k = {7, 17, 5, 33, 2, true, true, true, false, lens17, 0, 0, 0};
  qrnn_run r;
  kk_tensor *all[NOUT] = {0};
  (void)state;
  run_open(&r, k, false);
  assert_int_equal(run_apply(&r, NULL, all), KK_OK);
  for (int64_t b = 0; b < k.B; b++) {
    kk_args a = r.a;
    kk_stream stream = {.seed = 5};
    kk_tensor *column = row_of(r.a.in[IX], 1, b), *out[NOUT] = {0};
    a.stream = &stream;
    a.in[IX] = steps_of(column, 0, lens17[b]);
    a.in[IP] = row_of(r.a.in[IP], 0, b);
    a.in[IC] = row_of(r.a.in[IC], 0, b);
    a.in[ILENS] = NULL;
    assert_int_equal(kk_op_run(kk_op_find("qrnn"), &a, NULL, out, &err), KK_OK);
    for (int64_t t = 0; t < k.T; t++)
      for (int64_t h = 0; h < k.H; h++) {
        const kk_real got = kk_real_data(all[OY])[(t * k.B + b) * k.H + h];
        if (t >= lens17[b]) assert_true(got == 0);
        else assert_true(fabs((double)(got - kk_real_data(out[OY])[t * k.H + h])) < 1e-6);
      }
    for (int64_t h = 0; h < k.H; h++)
      assert_true(fabs((double)(kk_real_data(all[OC])[b * k.H + h] - kk_real_data(out[OC])[h])) < 1e-6);
    for (int64_t d = 0; d < k.D; d++) assert_true(kk_real_data(all[OX])[b * k.D + d] == kk_real_data(out[OX])[d]);
    for (int i = 0; i < NOUT; i++) kk_unref(out[i]);
    kk_unref(column), kk_unref(a.in[IX]), kk_unref(a.in[IP]), kk_unref(a.in[IC]);
  }
  for (int i = 0; i < NOUT; i++) kk_unref(all[i]);
  run_close(&r);
}

static void padding_is_never_read(void **state) {
  (void)state;
  for (int drop = 0; drop < 2; drop++) {
    const qrnn_case k = {7, 17, 5, 33, 2, true, true, true, false, lens17, 0, 0.3 * drop, 0};
    qrnn_run r;
    kk_tape *tape = NULL;
    kk_tensor *out[NOUT] = {0};
    run_open(&r, k, true);
    for (int64_t t = 0; t < k.T; t++)
      for (int64_t i = 0; i < k.B * k.D; i++)
        if (t >= lens17[i / k.D]) kk_real_data(r.a.in[IX])[t * k.B * k.D + i] = (kk_real)NAN;
    run_backward(&r, &tape, out);
    for (int o = 0; o < NOUT; o++)
      for (int64_t i = 0; i < out[o]->store->n; i++) assert_false(isnan((double)kk_real_data(out[o])[i]));
    for (int i = 0; i < ILENS; i++)
      for (int64_t j = 0; j < r.a.in[i]->store->n; j++) assert_false(isnan((double)r.a.in[i]->store->grad[j]));
    run_end(&r, tape, out);
  }
}

/* ---- memory */
static void only_gates_and_results_are_kept(void **state) {
  const qrnn_case k = {600, 8, 16, 32, 2, true, true, true, false, NULL, 0, 0, 0};
  const size_t unit = 600 * 8 * 32 * sizeof(kk_real);           /* y, or one gate */
  (void)state;
  for (int grad = 0; grad < 2; grad++) {
    qrnn_run r;
    kk_tape *tape = NULL;
    kk_tensor *out[NOUT] = {0};
    run_open(&r, k, grad);
    assert_int_equal(kk_tape_new(true, &tape, &err), KK_OK);
    size_t live = kk_mem_live();
    kk_mem_peak_reset();
    assert_int_equal(run_apply(&r, grad ? tape : NULL, out), KK_OK);
    assert_true(kk_mem_live() - live < (grad ? 4 : 1) * unit + unit / 2);            /* blocks are rounded up */
    assert_true(kk_mem_peak() - live < (grad ? 4 : 2) * unit + unit / 2);   /* else: gates of 1024 rows of 4800 */
    run_end(&r, tape, out);
  }
}

/* ---- what is wrong is said */
static void refused(qrnn_case k, int in, kk_tensor *instead, kk_status status, const char *says) {
  qrnn_run r;
  kk_tensor *out[NOUT] = {0};
  run_open(&r, k, false);
  if (instead) {
    kk_unref(r.a.in[in]);
    r.a.in[in] = instead;
  }
  assert_int_equal(run_apply(&r, NULL, out), status);
  if (!strstr(err.msg, says)) fail_msg("'%s' does not say '%s'", err.msg, says);
  assert_null(out[0]);
  run_close(&r);
}

static void bad_arguments_are_refused(void **state) {
  static const int32_t rise[3] = {4, 2, 3}, long5[3] = {5, 3, 1}, none[3] = {4, 3, 0};
  const qrnn_case k = {4, 3, 2, 2, 1, false, true, true, false, NULL, 0, 0, 0};
  qrnn_case l = k;
  (void)state;
  l.lens = rise;
  refused(l, 0, NULL, KK_EARG, "row 3 has 3 after 2; sort the rows");
  l.lens = long5;
  refused(l, 0, NULL, KK_EARG, "length 1 is 5, expected 1..4");
  l.lens = none;
  refused(l, 0, NULL, KK_EARG, "length 3 is 0, expected 1..4");
  l = k;
  l.bias = false;
  refused(l, IW, tensor_random(2, 7, 2, 0, 1, 1), KK_ESHAPE,
          "w(7,2) has 7 rows, expected a multiple of 3 (gates z f o");
  refused(l, IW, tensor_random(2, 6, 5, 0, 1, 1), KK_ESHAPE,
          "w(6,5) has 5 columns, expected D = 2 of x(4,3,2) (window 1) or 2 D (window 2)");
  refused(k, IC, tensor_random(2, 3, 4, 0, 1, 1), KK_ESHAPE, "H is 4 in c(3,4) but 2 in w(6,2), which has 3 gates");
  l = k;
  l.prev = true;
  refused(l, 0, NULL, KK_ESHAPE, "prev_x is for window 2, but w(6,2) has D columns");
  l.open = true;
  l.window = 2;
  l.T = 0;
  refused(l, 0, NULL, KK_EARG, "qrnn: an empty sequence");
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(layer_equals_plain_loops_forward_and_backward),
    cmocka_unit_test(products_in_bfloat16_stay_near_the_plain_loops),
    cmocka_unit_test(bits_do_not_depend_on_threads),
    cmocka_unit_test(recording_changes_no_bit),
    cmocka_unit_test(carried_segments_are_one_long_sequence),
    cmocka_unit_test(rows_with_lengths_are_sequences_of_their_own),
    cmocka_unit_test(padding_is_never_read),
    cmocka_unit_test(only_gates_and_results_are_kept),
    cmocka_unit_test(bad_arguments_are_refused),
  };
  return cmocka_run_group_tests_name("qrnn", tests, NULL, NULL);
}
