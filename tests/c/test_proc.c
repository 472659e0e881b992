/* test_proc.c -- child programs and checksums without Lua: refused allocations, a full pipe, a stop while waiting. */
#include "check.h"

#include <string.h>

#include "base/mem.h"
#include "base/proc.h"
#include "base/sha256.h"
#include "base/stop.h"

static void sha256_is_the_same_however_the_text_is_cut(void **state) {
  char whole[65], parts[65], text[300];
  kk_sha256 s;
  (void)state;
  memset(text, 'k', sizeof text);
  kk_sha256_start(&s);
  kk_sha256_add(&s, text, sizeof text);
  kk_sha256_hex(&s, whole);
  for (size_t cut = 0; cut <= sizeof text; cut++) {
    kk_sha256_start(&s);
    kk_sha256_add(&s, text, cut);
    kk_sha256_add(&s, text + cut, sizeof text - cut);
    kk_sha256_hex(&s, parts);
    assert_string_equal(parts, whole);
  }
}

static void a_refused_allocation_leaves_no_child_and_no_memory(void **state) {
  const char *const argv[] = {"true", NULL}, *const env[] = {"KK_A=1", NULL};
  kk_child_opts o = {.env = env, .in = KK_STDIO_PIPE, .out = KK_STDIO_PIPE};
  size_t live = kk_mem_live();
  kk_child c;
  kk_err e;
  (void)state;
  kk_mem_fail_after(0);
  assert_int_equal(kk_child_start(&c, argv, &o, &e), KK_ENOMEM);
  kk_mem_fail_after(-1);
  assert_int_equal(c.pid, 0);
  assert_int_equal(c.in, -1);
  assert_int_equal(kk_mem_live(), live);
}

static void output_is_read_while_input_is_written(void **state) {
  static char block[1 << 20];
  const char *const argv[] = {"cat", NULL};
  const char *text;
  size_t n, live = kk_mem_live();
  kk_child c;
  kk_err e;
  int done;
  (void)state;
  memset(block, 'x', sizeof block);
  assert_int_equal(kk_child_start(&c, argv, &(kk_child_opts){.in = KK_STDIO_PIPE, .out = KK_STDIO_PIPE}, &e), KK_OK);
  assert_int_equal(kk_child_write(&c, block, sizeof block, &e), KK_OK);
  kk_child_close_in(&c);
  assert_int_equal(kk_child_rest(&c, &text, &n, &e), KK_OK);
  assert_int_equal(n, sizeof block);
  assert_memory_equal(text, block, n);
  assert_int_equal(kk_child_wait(&c, -1, &done, &e), KK_OK);
  assert_int_equal(c.status, 0);
  kk_child_free(&c);
  assert_int_equal(kk_mem_live(), live);
}

/* SIGPIPE has its default here, as in stock Lua: it must not end us. */
static void writing_to_a_child_that_ended_answers(void **state) {
  static char block[1 << 20];
  const char *const argv[] = {"true", NULL};
  kk_child c;
  kk_err e;
  int done;
  (void)state;
  assert_int_equal(kk_child_start(&c, argv, &(kk_child_opts){.in = KK_STDIO_PIPE}, &e), KK_OK);
  assert_int_equal(kk_child_wait(&c, 10, &done, &e), KK_OK);
  assert_int_equal(done, 1);
  assert_int_equal(kk_child_write(&c, block, sizeof block, &e), KK_EIO);
  kk_child_close_in(&c);
  assert_int_equal(kk_child_write(&c, block, 1, &e), KK_ESTATE);
  kk_child_free(&c);
}

static void a_stop_ends_every_wait(void **state) {
  const char *const argv[] = {"sleep", "20", NULL};
  const char *line;
  size_t n;
  kk_child c;
  kk_err e;
  int done;
  (void)state;
  assert_int_equal(kk_child_start(&c, argv, &(kk_child_opts){.out = KK_STDIO_PIPE}, &e), KK_OK);
  kk_stop_request();
  assert_int_equal(kk_child_line(&c, &line, &n, &e), KK_EINTR);
  assert_int_equal(kk_child_rest(&c, &line, &n, &e), KK_EINTR);
  assert_int_equal(kk_child_wait(&c, -1, &done, &e), KK_EINTR);
  kk_stop_clear();
  kk_child_free(&c);                    /* kills it: this test would last 20 s otherwise */
}

static void a_held_stop_is_seen_by_its_holder_first(void **state) {
  (void)state;
  kk_stop_hold();
  kk_stop_request();
  assert_true(kk_stop_asked());
  assert_false(kk_stop_requested());
  kk_stop_request();
  assert_true(kk_stop_requested());
  kk_stop_clear();
  kk_stop_request();
  kk_stop_release();
  assert_true(kk_stop_requested());
  kk_stop_clear();
  kk_stop_release();                    /* one too many is harmless */
  assert_false(kk_stop_requested());
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(sha256_is_the_same_however_the_text_is_cut),
    cmocka_unit_test(a_refused_allocation_leaves_no_child_and_no_memory),
    cmocka_unit_test(output_is_read_while_input_is_written),
    cmocka_unit_test(writing_to_a_child_that_ended_answers),
    cmocka_unit_test(a_stop_ends_every_wait),
    cmocka_unit_test(a_held_stop_is_seen_by_its_holder_first),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
