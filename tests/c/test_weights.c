/* Packed weights that stay from call to call: used while the weights do not change, never after, and gone in training. */
#include "lstm_oracle.h"
#include "base/turns.h"
#include "linalg/gemm.h"
#include "tensor/derived.h"

static const lstm_case LARGE = {3, 2, 40, 70, false, true, NULL, 0, 0};   /* 4*70*70 weights: enough to be kept */

static uint64_t bits(kk_tensor *t) {
  uint64_t h = 0xCBF29CE484222325u;
  for (int64_t i = 0, n = kk_numel(&t->shape) * (int64_t)sizeof(kk_real); i < n; i++)
    h = (h ^ ((const uint8_t *)kk_data(t))[i]) * 0x100000001B3u;
  return h;
}

static uint64_t predict(lstm_run *r) {
  kk_tensor *out[3] = {0};
  if (run_apply(r, NULL, out)) fail_msg("%s", err.msg);
  const uint64_t h = bits(out[OY]);
  for (int i = 0; i < 3; i++) kk_unref(out[i]);
  return h;
}

/* The same with weights that nobody has seen. */
static uint64_t predict_fresh(lstm_run *r) {
  for (int i = IWI; i <= IWH; i++) kk_derived_drop(r->a.in[i]->store);
  return predict(r);
}

static void the_second_call_packs_nothing_and_gives_the_same_bits(void **state) {
  lstm_run r;
  (void)state;
  run_open(&r, LARGE, false);
  const size_t live = kk_mem_live();
  const uint64_t first = predict(&r);
  const kk_derived *kept = r.a.in[IWH]->store->derived;
  assert_non_null(kept);
  assert_true(kept->filled && !kept->next);
  const size_t held = kk_mem_live();
  assert_true(held > live);
  assert_true(predict(&r) == first);
  assert_ptr_equal(r.a.in[IWH]->store->derived, kept);
  assert_true(kk_mem_live() == held);
  run_close(&r);
}

static void changed_weights_change_the_prediction(void **state) {
  lstm_run r;
  (void)state;
  run_open(&r, LARGE, false);
  for (int in = IWI; in <= IWH; in++) {
    const uint64_t before = predict(&r);
    assert_int_equal(kk_writable(r.a.in[in], "test", &err), KK_OK);
    kk_real_data(r.a.in[in])[5] += (kk_real)0.25;
    const uint64_t after = predict(&r);
    assert_true(after != before);
    assert_true(after == predict_fresh(&r));
  }
  run_close(&r);
}

static void a_part_of_a_storage_has_a_form_of_its_own(void **state) {
  const lstm_case k = {2, 1, 70, 70, false, false, NULL, 0, 0};
  lstm_run r;
  kk_tensor *both = tensor_random(3, 2, 4 * 70, 70, 8, 0.1), *half[2] = {0};
  uint64_t seen[2];
  (void)state;
  run_open(&r, k, false);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(kk_view_select(both, 0, i, &half[i], &err), KK_OK);
    kk_unref(r.a.in[IWH]);
    r.a.in[IWH] = kk_ref(half[i]);
    seen[i] = predict(&r);
  }
  assert_true(seen[0] != seen[1]);
  for (int i = 0; i < 2; i++) {
    kk_unref(r.a.in[IWH]);
    r.a.in[IWH] = kk_ref(half[i]);
    assert_true(predict(&r) == seen[i]);
    kk_unref(half[i]);
  }
  kk_unref(both);
  run_close(&r);
}

static void a_recording_call_drops_what_was_kept(void **state) {
  (void)state;
  for (int drop = 0; drop < 2; drop++) {
    lstm_run r;
    kk_tape *tape = NULL;
    kk_tensor *out[3] = {0};
    run_open(&r, LARGE, true);
    const size_t live = kk_mem_live();
    predict(&r);
    assert_true(kk_mem_live() > live);
    r.opt[0] = drop * 0.5;
    assert_int_equal(kk_tape_new(true, &tape, &err), KK_OK);
    assert_int_equal(run_apply(&r, tape, out), KK_OK);
    assert_null(r.a.in[IWI]->store->derived);
    assert_null(r.a.in[IWH]->store->derived);
    for (int i = 0; i < 3; i++) kk_unref(out[i]);
    kk_tape_free(tape);
    assert_true(kk_mem_live() == live);
    run_close(&r);
  }
}

static void another_kernel_packs_anew(void **state) {
  static const char *const names[] = {"portable", "avx2", "avx512", NULL};
  lstm_run r;
  (void)state;
  run_open(&r, LARGE, false);
  for (int i = 0; i < 4; i++) {
    predict(&r);
    if (kk_gemm_choose(names[i], &err)) continue;
    const uint64_t switched = predict(&r);
    assert_true(switched == predict_fresh(&r));
  }
  run_close(&r);
}

static void weight_drop_keeps_nothing(void **state) {
  lstm_case k = LARGE;
  lstm_run r;
  (void)state;
  k.weight_drop = 0.5;
  run_open(&r, k, false);
  predict(&r);
  assert_null(r.a.in[IWH]->store->derived);
  run_close(&r);
}

static void refused_memory_is_no_error_of_the_layer(void **state) {
  lstm_run r;
  (void)state;
  run_open(&r, LARGE, false);
  const uint64_t want = predict_fresh(&r);
  bool served = false;
  for (int refused = 0; refused < 40; refused++) {
    kk_tensor *out[3] = {0};
    for (int i = IWI; i <= IWH; i++) kk_derived_drop(r.a.in[i]->store);
    kk_mem_fail_after(refused);
    const kk_status st = run_apply(&r, NULL, out);
    kk_mem_fail_after(-1);
    if (st) continue;
    assert_true(bits(out[OY]) == want);
    served |= r.a.in[IWH]->store->derived == NULL;
    for (int i = 0; i < 3; i++) kk_unref(out[i]);
  }
  assert_true(served);
  run_close(&r);
}

static kk_tensor *apply_linear(kk_tensor *x, kk_tensor *w, kk_tensor *b) {
  kk_args a = {.nin = 3, .in = {x, w, b}};
  kk_tensor *out[1] = {0};
  if (kk_op_run(kk_op_find("linear"), &a, NULL, out, &err)) fail_msg("%s", err.msg);
  return out[0];
}

static void linear_keeps_large_weights_for_few_rows(void **state) {
  kk_tensor *w = tensor_random(2, 300, 70, 0, 1, 1), *b = tensor_random(1, 300, 0, 0, 2, 1);
  (void)state;
  for (int64_t n = 1; n <= 65; n += 16) {
    kk_tensor *x = tensor_random(2, n, 70, 0, 3, 1);
    for (int again = 0; again < 2; again++) {
      kk_tensor *y = apply_linear(x, w, b);
      for (int64_t i = 0; i < n * 300; i++) {
        double want = (double)kk_real_data(b)[i % 300];
        for (int64_t d = 0; d < 70; d++) want += (double)kk_real_data(x)[i / 300 * 70 + d] * (double)kk_real_data(w)[i % 300 * 70 + d];
        assert_true(fabs((double)kk_real_data(y)[i] - want) < 1e-5);
      }
      assert_true((w->store->derived != NULL) == (n <= 64));
      kk_unref(y);
      if (again) continue;
      assert_int_equal(kk_writable(w, "test", &err), KK_OK);
      kk_real_data(w)[7] += (kk_real)0.5;
    }
    kk_unref(x);
    kk_derived_drop(w->store);
  }
  kk_unref(w);
  kk_unref(b);
}

/* ---- turns */
typedef struct turns_job { kk_turns turns; _Atomic int seen[40]; } turns_job;

static void turns_mark(void *arg, int64_t begin, int64_t end) {
  turns_job *j = arg;
  for (int64_t i = begin; i < end; i++) {
    const int64_t piece = kk_turns_take(&j->turns), next = kk_turns_next(&j->turns, piece);
    j->seen[piece]++;
    if (next < 0 || next >= j->turns.n) j->seen[0] += 100;
  }
}

static void each_piece_is_taken_once_a_turn(void **state) {
  (void)state;
  for (int threads = 1; threads <= 5; threads += 2)
    for (int64_t n = 1; n <= 40; n += 3) {
      turns_job j = {0};
      kk_pool_set_threads(threads);
      for (int turn = 1; turn <= 4; turn++) {
        kk_turns_begin(&j.turns, n);
        kk_pool_for(n, 1, turns_mark, &j);
        for (int64_t i = 0; i < n; i++) assert_int_equal(j.seen[i], turn);
      }
    }
  kk_pool_set_threads(0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(the_second_call_packs_nothing_and_gives_the_same_bits),
    cmocka_unit_test(changed_weights_change_the_prediction),
    cmocka_unit_test(a_part_of_a_storage_has_a_form_of_its_own),
    cmocka_unit_test(a_recording_call_drops_what_was_kept),
    cmocka_unit_test(another_kernel_packs_anew),
    cmocka_unit_test(weight_drop_keeps_nothing),
    cmocka_unit_test(refused_memory_is_no_error_of_the_layer),
    cmocka_unit_test(linear_keeps_large_weights_for_few_rows),
    cmocka_unit_test(each_piece_is_taken_once_a_turn),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
