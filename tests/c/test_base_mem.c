/* test_base_mem.c -- base/mem: size classes, reuse, failing on demand, counting. */
#include "check.h"

#include <pthread.h>
#include <string.h>

#include "base/mem.h"

static void every_size_gives_an_aligned_block_that_holds_it(void **state) {
  (void)state;
  for (size_t n = 0; n < (size_t)1 << 23; n = n < 300 ? n + 1 : n + n / 7) {
    size_t before = kk_mem_live();
    unsigned char *p = kk_alloc(n);
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % 64, 0);
    memset(p, 0x5A, n);
    assert_true(kk_mem_live() - before >= n);
    kk_free(p, n);
    assert_int_equal(kk_mem_live(), before);
  }
  kk_mem_trim();
}

static void rounding_wastes_at_most_an_eighth_of_a_large_block(void **state) {
  (void)state;
  for (size_t n = 1 << 14; n < (size_t)1 << 24; n += n / 13 + 1) {
    size_t before = kk_mem_live();
    void *p = kk_alloc(n);
    size_t got = kk_mem_live() - before;
    assert_non_null(p);
    assert_true(got >= n);
    assert_true((double)got <= 1.125 * (double)n + 1);
    kk_free(p, n);
  }
  kk_mem_trim();
}

static void a_freed_large_block_is_handed_out_again(void **state) {
  void *p, *q;
  (void)state;
  kk_mem_trim();
  p = kk_alloc(1000000);
  kk_free(p, 1000000);
  assert_true(kk_mem_cached() >= 1000000);
  q = kk_alloc(1000001);                 /* the same class */
  assert_ptr_equal(p, q);
  assert_int_equal(kk_mem_cached(), 0);
  kk_free(q, 1000001);
  kk_mem_trim();
  assert_int_equal(kk_mem_cached(), 0);
}

static void a_block_of_a_size_seen_before_is_not_asked_of_the_system(void **state) {
  void *p[40];
  (void)state;
#ifdef __SANITIZE_ADDRESS__
  const size_t least = 1 << 14;          /* small blocks are not kept there */
#else
  const size_t least = 1;
#endif
  kk_mem_trim();
  for (size_t n = least; n < (size_t)1 << 20; n = 3 * n + 1) {
    for (int i = 0; i < 40; i++) p[i] = kk_alloc(n);
    for (int i = 0; i < 40; i++) kk_free(p[i], n);
    size_t taken = kk_mem_taken();
    for (int i = 0; i < 40; i++) p[i] = kk_alloc(n);
    assert_int_equal(kk_mem_taken(), taken);
    void *more = kk_alloc(n);
    assert_int_equal(kk_mem_taken(), taken + 1);
    kk_free(more, n);
    for (int i = 0; i < 40; i++) kk_free(p[i], n);
    kk_mem_trim();
  }
}

static void neighbouring_classes_never_share_a_block(void **state) {
  (void)state;
  for (size_t n = 64; n <= (size_t)1 << 20; n *= 2) {
    void *small, *large;
    kk_mem_trim();
    small = kk_alloc(n);
    kk_free(small, n);
    large = kk_alloc(n + 1);             /* one byte more than a power of two */
    assert_ptr_not_equal(small, large);
    memset(large, 1, n + 1);             /* the sanitizer watches this write */
    kk_free(large, n + 1);
  }
  kk_mem_trim();
}

static void an_impossible_size_is_refused(void **state) {
  size_t before = kk_mem_live();
  (void)state;
  assert_null(kk_alloc(SIZE_MAX));
  assert_null(kk_alloc((size_t)PTRDIFF_MAX));
  assert_null(kk_calloc(SIZE_MAX / 2 + 1));
  assert_int_equal(kk_mem_live(), before);
}

static void calloc_zeroes_a_reused_block(void **state) {
  unsigned char *p = kk_alloc(100000);
  (void)state;
  memset(p, 0xEE, 100000);
  kk_free(p, 100000);
  p = kk_calloc(100000);
  for (size_t i = 0; i < 100000; i++) assert_int_equal(p[i], 0);
  kk_free(p, 100000);
  kk_mem_trim();
}

static void realloc_keeps_the_bytes_growing_and_shrinking(void **state) {
  static const size_t sizes[] = {0, 1, 63, 64, 65, 5000, 16384, 16385, 300000, 3000000, 17, 40000, 1};
  size_t n = 0, filled = 0, before = kk_mem_live();
  unsigned char *p = NULL;
  (void)state;
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    p = kk_realloc(p, n, sizes[i]);
    assert_non_null(p);
    n = sizes[i];
    if (filled > n) filled = n;
    for (size_t j = 0; j < filled; j++) assert_int_equal(p[j], (unsigned char)(j * 7));
    for (size_t j = filled; j < n; j++) p[j] = (unsigned char)(j * 7);
    filled = n;
  }
  kk_free(p, n);
  assert_int_equal(kk_mem_live(), before);
  kk_mem_trim();
}

static void a_refused_realloc_leaves_the_block_alone(void **state) {
  char *p = kk_alloc(10), *q;
  size_t before = kk_mem_live();
  (void)state;
  memcpy(p, "kookaburra", 10);
  kk_mem_fail_after(0);
  q = kk_realloc(p, 10, 1000);
  kk_mem_fail_after(-1);
  assert_null(q);
  assert_memory_equal(p, "kookaburra", 10);
  assert_int_equal(kk_mem_live(), before);
  kk_free(p, 10);
}

static void fail_after_refuses_exactly_one_allocation(void **state) {
  (void)state;
  kk_mem_fail_after(2);
  void *a = kk_alloc(1), *b = kk_alloc(100000), *c = kk_alloc(1), *d = kk_alloc(1);
  assert_non_null(a);
  assert_non_null(b);
  assert_null(c);
  assert_non_null(d);
  kk_free(a, 1);
  kk_free(b, 100000);
  kk_free(d, 1);
  kk_mem_trim();
}

static void fail_after_refuses_a_kept_block_too(void **state) {
  void *p = kk_alloc(100000);
  (void)state;
  kk_free(p, 100000);
  kk_mem_fail_after(0);
  assert_null(kk_alloc(100000));
  kk_mem_trim();
}

static void the_peak_is_the_highest_amount_ever_held(void **state) {
  size_t base = kk_mem_live();
  (void)state;
  kk_mem_peak_reset();
  assert_int_equal(kk_mem_peak(), base);
  void *a = kk_alloc(1 << 20), *b = kk_alloc(1 << 20);
  kk_free(a, 1 << 20);
  kk_free(b, 1 << 20);
  void *c = kk_alloc(1 << 20);
  assert_int_equal(kk_mem_peak(), base + (2 << 20));
  kk_free(c, 1 << 20);
  assert_int_equal(kk_mem_live(), base);
  kk_mem_peak_reset();
  assert_int_equal(kk_mem_peak(), base);
  kk_mem_trim();
}

static void poison_fills_new_blocks_with_nan(void **state) {
  float *p;
  (void)state;
  kk_mem_trim();
  kk_mem_poison(1);
  p = kk_alloc(100 * sizeof *p);
  for (int i = 0; i < 100; i++) assert_true(p[i] != p[i]);
  kk_free(p, 100 * sizeof *p);
  kk_mem_poison(0);
}

static void strings_are_copied_and_released(void **state) {
  size_t before = kk_mem_live();
  char *s = kk_strdup("jaja");
  (void)state;
  assert_string_equal(s, "jaja");
  kk_strfree(s);
  kk_strfree(NULL);
  kk_free(NULL, 123);
  kk_mem_fail_after(0);
  assert_null(kk_strdup("jaja"));
  assert_int_equal(kk_mem_live(), before);
}

static void *mem_worker(void *arg) {
  unsigned seed = *(unsigned *)arg;
  for (int i = 0; i < 20000; i++) {
    seed = seed * 1664525u + 1013904223u;
    size_t n = (seed >> 8) % 60000;
    unsigned char *p = kk_alloc(n + 1);
    if (!p) return "refused";
    p[0] = p[n] = (unsigned char)i;
    if (p[0] != (unsigned char)i) return "shared";
    kk_free(p, n + 1);
  }
  return NULL;
}

static void four_threads_lose_no_byte(void **state) {
  pthread_t t[4];
  unsigned seeds[4] = {1, 2, 3, 4};
  size_t before = kk_mem_live();
  (void)state;
  for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&t[i], NULL, mem_worker, &seeds[i]), 0);
  for (int i = 0; i < 4; i++) {
    void *answer;
    pthread_join(t[i], &answer);
    assert_null(answer);
  }
  assert_int_equal(kk_mem_live(), before);
  kk_mem_trim();
  assert_int_equal(kk_mem_cached(), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(every_size_gives_an_aligned_block_that_holds_it),
    cmocka_unit_test(rounding_wastes_at_most_an_eighth_of_a_large_block),
    cmocka_unit_test(a_freed_large_block_is_handed_out_again),
    cmocka_unit_test(a_block_of_a_size_seen_before_is_not_asked_of_the_system),
    cmocka_unit_test(neighbouring_classes_never_share_a_block),
    cmocka_unit_test(an_impossible_size_is_refused),
    cmocka_unit_test(calloc_zeroes_a_reused_block),
    cmocka_unit_test(realloc_keeps_the_bytes_growing_and_shrinking),
    cmocka_unit_test(a_refused_realloc_leaves_the_block_alone),
    cmocka_unit_test(fail_after_refuses_exactly_one_allocation),
    cmocka_unit_test(fail_after_refuses_a_kept_block_too),
    cmocka_unit_test(the_peak_is_the_highest_amount_ever_held),
    cmocka_unit_test(poison_fills_new_blocks_with_nan),
    cmocka_unit_test(strings_are_copied_and_released),
    cmocka_unit_test(four_threads_lose_no_byte),
  };
  return cmocka_run_group_tests_name("base/mem", tests, NULL, NULL);
}
