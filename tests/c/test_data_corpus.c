/* The corpus: what goes in comes out, files are checked, hostile files are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/mem.h"
#include "data/corpus.h"

static char path[64];

static kk_corpus *small(void) {
  static const int32_t a[] = {3, 1, 4, 1}, b[] = {5, 9};
  kk_corpus *c = NULL;
  kk_err e;
  assert_int_equal(kk_corpus_new(10, &c, &e), KK_OK);
  assert_int_equal(kk_corpus_add(c, a, 4, &e), KK_OK);
  assert_int_equal(kk_corpus_add(c, a, 0, &e), KK_OK);
  assert_int_equal(kk_corpus_add(c, b, 2, &e), KK_OK);
  return c;
}

static void same(const kk_corpus *a, const kk_corpus *b) {
  assert_int_equal(a->ndocs, b->ndocs);
  assert_int_equal(a->nids, b->nids);
  assert_int_equal(a->vocab, b->vocab);
  assert_memory_equal(a->offsets, b->offsets, (size_t)(a->ndocs + 1) * 8);
  if (a->nids) assert_memory_equal(a->ids, b->ids, (size_t)a->nids * 4);
}

static void documents_come_back(void **state) {
  (void)state;
  size_t before = kk_mem_live();
  kk_corpus *c = small();
  assert_int_equal(c->ndocs, 3);
  assert_int_equal(c->nids, 6);
  assert_int_equal(kk_corpus_length(c, 0), 4);
  assert_int_equal(kk_corpus_length(c, 1), 0);
  assert_int_equal(kk_corpus_doc(c, 2)[1], 9);
  kk_corpus_unref(c);
  assert_int_equal(kk_mem_live(), before);
}

static void an_id_outside_the_vocabulary_changes_nothing(void **state) {
  (void)state;
  static const int32_t high[] = {0, 10}, low[] = {-1};
  kk_corpus *c = small();
  kk_err e;
  assert_int_equal(kk_corpus_add(c, high, 2, &e), KK_EARG);
  assert_non_null(strstr(e.msg, "token 2"));
  assert_int_equal(kk_corpus_add(c, low, 1, &e), KK_EARG);
  assert_int_equal(c->ndocs, 3);
  assert_int_equal(c->nids, 6);
  kk_corpus_unref(c);
}

static void a_saved_corpus_opens_equal_and_read_only(void **state) {
  (void)state;
  static const int32_t a[] = {1};
  kk_corpus *c = small(), *d = NULL;
  kk_err e;
  assert_int_equal(kk_corpus_save(c, path, &e), KK_OK);
  assert_int_equal(kk_corpus_open(path, &d, &e), KK_OK);
  same(c, d);
  assert_int_equal(kk_corpus_add(d, a, 1, &e), KK_ESTATE);
  kk_corpus_unref(d);
  kk_corpus_unref(c);
}

static void an_empty_corpus_survives_the_file(void **state) {
  (void)state;
  kk_corpus *c = NULL, *d = NULL;
  kk_err e;
  assert_int_equal(kk_corpus_new(1, &c, &e), KK_OK);
  assert_int_equal(kk_corpus_save(c, path, &e), KK_OK);
  assert_int_equal(kk_corpus_open(path, &d, &e), KK_OK);
  same(c, d);
  kk_corpus_unref(d);
  kk_corpus_unref(c);
}

static void rows_are_selected_in_the_order_asked(void **state) {
  (void)state;
  static const int64_t rows[] = {2, 0, 2}, bad[] = {0, 3};
  kk_corpus *c = small(), *d = NULL;
  kk_err e;
  assert_int_equal(kk_corpus_select(c, rows, 3, &d, &e), KK_OK);
  assert_int_equal(d->ndocs, 3);
  assert_int_equal(d->nids, 8);
  assert_int_equal(kk_corpus_doc(d, 2)[0], 5);
  kk_corpus_unref(d);
  assert_int_equal(kk_corpus_select(c, bad, 2, &d, &e), KK_EARG);
  kk_corpus_unref(c);
}

static void write_bytes(const char *p, size_t n) {
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(p, 1, n, f), n);
  fclose(f);
}

static size_t read_bytes(char *p, size_t max) {
  FILE *f = fopen(path, "rb");
  assert_non_null(f);
  size_t n = fread(p, 1, max, f);
  fclose(f);
  return n;
}

static void every_truncation_is_refused(void **state) {
  (void)state;
  char bytes[256];
  kk_corpus *c = small(), *d = NULL;
  kk_err e;
  assert_int_equal(kk_corpus_save(c, path, &e), KK_OK);
  size_t n = read_bytes(bytes, sizeof bytes);
  assert_int_equal(n, 32 + 4 * 8 + 6 * 4);
  for (size_t k = 0; k < n; k++) {
    write_bytes(bytes, k);
    assert_int_equal(kk_corpus_open(path, &d, &e), KK_EFORMAT);
  }
  bytes[n] = 0;
  write_bytes(bytes, n + 1);
  assert_int_equal(kk_corpus_open(path, &d, &e), KK_EFORMAT);
  kk_corpus_unref(c);
}

static void flipped_bytes_are_refused_or_give_a_sound_corpus(void **state) {
  (void)state;
  char bytes[256], bad[256];
  kk_corpus *c = small();
  kk_err e;
  int refused = 0;
  assert_int_equal(kk_corpus_save(c, path, &e), KK_OK);
  size_t n = read_bytes(bytes, sizeof bytes);
  for (size_t k = 0; k < n; k++)
    for (int bit = 0; bit < 8; bit++) {
      kk_corpus *d = NULL;
      memcpy(bad, bytes, n);
      bad[k] = (char)(bad[k] ^ (1 << bit));
      write_bytes(bad, n);
      if (kk_corpus_open(path, &d, &e) != KK_OK) {
        assert_int_equal(e.code, KK_EFORMAT);
        refused++;
        continue;
      }
      assert_int_equal(d->offsets[0], 0);
      for (int64_t i = 0; i < d->ndocs; i++) assert_true(d->offsets[i] <= d->offsets[i + 1]);
      assert_int_equal(d->offsets[d->ndocs], d->nids);
      for (int64_t i = 0; i < d->nids; i++) assert_in_range(d->ids[i], 0, d->vocab - 1);
      kk_corpus_unref(d);
    }
  assert_true(refused > 500);
  kk_corpus_unref(c);
}

static void arrays_that_lie_are_not_taken(void **state) {
  (void)state;
  kk_corpus *c = NULL;
  kk_err e;
  int32_t *ids = kk_alloc(8);
  int64_t *offsets = kk_alloc(16);
  ids[0] = 1, ids[1] = 2;
  offsets[0] = 0, offsets[1] = 3;
  assert_int_equal(kk_corpus_take(ids, 2, offsets, 1, 3, &c, &e), KK_EARG);
  offsets[1] = 2;
  assert_int_equal(kk_corpus_take(ids, 2, offsets, 1, 2, &c, &e), KK_EARG);
  assert_int_equal(kk_corpus_take(ids, 2, offsets, 1, 3, &c, &e), KK_OK);
  kk_corpus_unref(c);
}

static void a_missing_file_is_an_answer(void **state) {
  (void)state;
  kk_corpus *c = NULL;
  kk_err e;
  assert_int_equal(kk_corpus_open("/nonexistent/x.corpus", &c, &e), KK_EIO);
}

static void every_failing_allocation_leaves_the_world_as_it_was(void **state) {
  (void)state;
  static const int64_t rows[] = {2, 0};
  kk_corpus *c = small(), *d = NULL;
  kk_err e;
  size_t before = kk_mem_live();
  for (long k = 0; k < 3; k++) {
    kk_mem_fail_after(k);
    assert_int_equal(kk_corpus_select(c, rows, 2, &d, &e), KK_ENOMEM);
    assert_int_equal(kk_mem_live(), before);
    kk_mem_fail_after(k);
    assert_int_equal(kk_corpus_new(5, &d, &e), KK_ENOMEM);
    assert_int_equal(kk_mem_live(), before);
  }
  kk_mem_fail_after(-1);
  kk_corpus_unref(c);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(documents_come_back),
    cmocka_unit_test(an_id_outside_the_vocabulary_changes_nothing),
    cmocka_unit_test(a_saved_corpus_opens_equal_and_read_only),
    cmocka_unit_test(an_empty_corpus_survives_the_file),
    cmocka_unit_test(rows_are_selected_in_the_order_asked),
    cmocka_unit_test(every_truncation_is_refused),
    cmocka_unit_test(flipped_bytes_are_refused_or_give_a_sound_corpus),
    cmocka_unit_test(arrays_that_lie_are_not_taken),
    cmocka_unit_test(a_missing_file_is_an_answer),
    cmocka_unit_test(every_failing_allocation_leaves_the_world_as_it_was),
  };
  cmocka_set_message_output(CM_OUTPUT_TAP);
  snprintf(path, sizeof path, "/tmp/kk-corpus-%ld", (long)getpid());
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  unlink(path);
  return failed;
}
