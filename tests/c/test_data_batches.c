/* Batches: every token and every document arrives once, where and as often as promised. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "data/batches.h"

enum { DOCS = 37 };

/* Document d has d % 7 tokens; token i of it is 100 * d + i. */
static kk_corpus *numbered(void) {
  kk_corpus *c = NULL;
  kk_err e;
  assert_int_equal(kk_corpus_new(100 * DOCS, &c, &e), KK_OK);
  for (int32_t d = 0; d < DOCS; d++) {
    int32_t ids[8];
    for (int32_t i = 0; i < d % 7; i++) ids[i] = 100 * d + i;
    assert_int_equal(kk_corpus_add(c, ids, d % 7, &e), KK_OK);
  }
  return c;
}

/* The stream of one epoch, written down the obvious way. */
static int64_t stream(const kk_lm_batches *b, int32_t *out) {
  int64_t n = 0;
  for (int64_t d = 0; d < b->c->ndocs; d++)
    for (int64_t i = 0; i < kk_corpus_length(b->c, b->order[d]); i++) out[n++] = kk_corpus_doc(b->c, b->order[d])[i];
  if (b->backwards)
    for (int64_t i = 0; i < n / 2; i++) {
      int32_t t = out[i];
      out[i] = out[n - 1 - i];
      out[n - 1 - i] = t;
    }
  return n;
}

static void check_lm(kk_corpus *c, int64_t rows, int64_t length, bool backwards, bool shuffle) {
  kk_lm_batches *b = NULL;
  kk_err e;
  int32_t all[256], x[1024], y[1024];
  assert_int_equal(kk_lm_batches_new(c, rows, length, backwards, &b, &e), KK_OK);
  if (shuffle) kk_lm_batches_order(b, true, 7);
  int64_t n = stream(b, all), covered = 0;
  assert_int_equal(n, c->nids);
  for (int64_t k = 0; k < b->steps; k++) {
    int64_t time = kk_lm_batches_length(b, k);
    assert_in_range(time, 2, length);
    assert_int_equal(kk_lm_batches_fill(b, k, x, y, &e), KK_OK);
    for (int64_t r = 0; r < rows; r++)
      for (int64_t t = 0; t < time; t++) {
        int64_t at = r * b->row + k * length + t;
        assert_int_equal(x[t * rows + r], all[at] + 1);
        assert_int_equal(y[t * rows + r], all[at + 1] + 1);
      }
    covered += time;
  }
  assert_true(b->row - covered <= 1);
  assert_true(n - 1 - rows * b->row < rows);
  kk_lm_batches_free(b);
}

static void a_stream_gives_every_token_and_its_successor(void **state) {
  (void)state;
  kk_corpus *c = numbered();
  for (int64_t rows = 1; rows <= 9; rows++)
    for (int64_t length = 2; length <= 12; length += 5)
      for (int mode = 0; mode < 4; mode++) check_lm(c, rows, length, mode & 1, mode & 2);
  kk_corpus_unref(c);
}

static void a_stream_that_is_too_short_is_refused(void **state) {
  (void)state;
  kk_corpus *c = numbered();
  kk_lm_batches *b = NULL;
  kk_err e;
  assert_int_equal(kk_lm_batches_new(c, c->nids / 2, 70, false, &b, &e), KK_EARG);
  assert_int_equal(kk_lm_batches_new(c, 0, 70, false, &b, &e), KK_EARG);
  assert_int_equal(kk_lm_batches_new(c, 1, 1, false, &b, &e), KK_EARG);
  kk_corpus_unref(c);
}

static void the_order_depends_on_the_key_alone(void **state) {
  (void)state;
  kk_corpus *c = numbered();
  kk_lm_batches *a = NULL, *b = NULL;
  kk_err e;
  assert_int_equal(kk_lm_batches_new(c, 2, 5, false, &a, &e), KK_OK);
  assert_int_equal(kk_lm_batches_new(c, 2, 5, false, &b, &e), KK_OK);
  kk_lm_batches_order(a, true, 1);
  kk_lm_batches_order(b, true, 2);
  assert_memory_not_equal(a->order, b->order, DOCS * sizeof *a->order);
  kk_lm_batches_order(b, true, 1);
  assert_memory_equal(a->order, b->order, DOCS * sizeof *a->order);
  kk_lm_batches_free(a);
  kk_lm_batches_free(b);
  kk_corpus_unref(c);
}

static void check_buckets(kk_corpus *c, const int64_t *docs, int64_t n, int64_t size, int64_t max_len, bool backwards, uint64_t key) {
  kk_buckets *b = NULL;
  kk_err e;
  int seen[128] = {0};
  int32_t ids[512], lens[64], doc[64], place[64], longest = 0, longest_first = 0;
  int64_t sum = 0;
  assert_int_equal(kk_buckets_new(c, docs, n, size, max_len, 0, backwards, &b, &e), KK_OK);
  if (key) kk_buckets_shuffle(b, key);
  for (int64_t k = 0; k < b->batches; k++) {
    int64_t time, width;
    kk_buckets_shape(b, k, &time, &width);
    assert_in_range(width, n / b->batches, n / b->batches + 1);
    assert_in_range(width, 1, size);
    kk_buckets_fill(b, k, ids, lens, doc, place);
    assert_int_equal(lens[0], time);
    if (lens[0] > longest) longest = lens[0];
    if (!k) longest_first = lens[0];
    for (int64_t r = 0; r < width; r++) {
      if (r) assert_true(lens[r] <= lens[r - 1]);
      seen[place[r] - 1]++;
      assert_int_equal(doc[r] - 1, docs ? docs[place[r] - 1] : place[r] - 1);
      int64_t all = kk_corpus_length(c, doc[r] - 1), kept = all < max_len ? all : max_len;
      assert_int_equal(lens[r], kept ? kept : 1);
      for (int64_t t = 0; t < time; t++) {
        int64_t from = all - kept + (backwards ? kept - 1 - t : t);
        assert_int_equal(ids[t * width + r], t < kept ? kk_corpus_doc(c, doc[r] - 1)[from] + 1 : 1);
      }
    }
    sum += width;
  }
  assert_int_equal(sum, n);
  assert_int_equal(longest, longest_first);
  for (int64_t i = 0; i < n; i++) assert_int_equal(seen[i], 1);
  kk_buckets_free(b);
}

static void buckets_hold_every_place_once_padded_at_the_end(void **state) {
  (void)state;
  static const int64_t some[] = {5, 6, 6, 6, 13, 0, 36, 20, 6, 5, 4};
  kk_corpus *c = numbered();
  for (int64_t size = 1; size <= 40; size += 3)
    for (int64_t max_len = 1; max_len <= 7; max_len += 3)
      for (int mode = 0; mode < 4; mode++) {
        check_buckets(c, NULL, DOCS, size, max_len, mode & 1, (uint64_t)(mode & 2));
        check_buckets(c, some, 11, size, max_len, mode & 1, (uint64_t)(mode & 2));
      }
  kk_corpus_unref(c);
}

static void buckets_refuse_what_they_cannot_do(void **state) {
  (void)state;
  static const int64_t bad[] = {DOCS};
  kk_corpus *c = numbered();
  kk_buckets *b = NULL;
  kk_err e;
  assert_int_equal(kk_buckets_new(c, bad, 1, 4, 5, 0, false, &b, &e), KK_EARG);
  assert_int_equal(kk_buckets_new(c, bad, 0, 4, 5, 0, false, &b, &e), KK_EARG);
  assert_int_equal(kk_buckets_new(c, NULL, 0, 0, 5, 0, false, &b, &e), KK_EARG);
  assert_int_equal(kk_buckets_new(c, NULL, 0, 4, 5, 100 * DOCS, false, &b, &e), KK_EARG);
  kk_corpus_unref(c);
}

static void every_failing_allocation_leaves_nothing_behind(void **state) {
  (void)state;
  kk_corpus *c = numbered();
  kk_lm_batches *lm = NULL;
  kk_buckets *b = NULL;
  kk_err e;
  size_t before = kk_mem_live();
  for (long k = 0; k < 3; k++) {
    kk_mem_fail_after(k);
    assert_int_equal(kk_lm_batches_new(c, 2, 5, false, &lm, &e), KK_ENOMEM);
    assert_int_equal(kk_mem_live(), before);
  }
  for (long k = 0; k < 5; k++) {
    kk_mem_fail_after(k);
    assert_int_equal(kk_buckets_new(c, NULL, 0, 4, 5, 0, false, &b, &e), KK_ENOMEM);
    assert_int_equal(kk_mem_live(), before);
  }
  kk_mem_fail_after(-1);
  kk_corpus_unref(c);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_stream_gives_every_token_and_its_successor),
    cmocka_unit_test(a_stream_that_is_too_short_is_refused),
    cmocka_unit_test(the_order_depends_on_the_key_alone),
    cmocka_unit_test(buckets_hold_every_place_once_padded_at_the_end),
    cmocka_unit_test(buckets_refuse_what_they_cannot_do),
    cmocka_unit_test(every_failing_allocation_leaves_nothing_behind),
  };
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
