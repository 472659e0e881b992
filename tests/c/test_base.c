/* test_base.c -- base: errors, buffers, files, shared libraries, the pool, clock and stop flag. */
#include "check.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/dl.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/stop.h"

static char dir[64];                      /* a fresh folder for the whole program */

static int make_folder(void **state) {
  (void)state;
  strcpy(dir, "/tmp/kooka-base-XXXXXX");
  return mkdtemp(dir) ? 0 : -1;
}

static int remove_folder(void **state) {
  (void)state;
  return rmdir(dir);                      /* fails when a test left a file behind */
}

static const char *in_folder(const char *name) {
  static char path[256];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  return path;
}

/* ---- errors */

static void a_long_message_is_cut_not_overrun(void **state) {
  char text[2000];
  kk_err e;
  (void)state;
  memset(text, 'x', sizeof text);
  text[sizeof text - 1] = 0;
  assert_int_equal(kk_fail(&e, KK_ESHAPE, "%s", text), KK_ESHAPE);
  assert_int_equal(strlen(e.msg), sizeof e.msg - 1);
  assert_int_equal(kk_fail_errno(&e, ENOENT, "%s", text), KK_EIO);
  assert_int_equal(strlen(e.msg), sizeof e.msg - 1);
}

static void misuse_and_the_world_are_told_apart(void **state) {
  (void)state;
  assert_string_equal(kk_status_name(KK_ESHAPE), "shape");
  assert_string_equal(kk_status_name(KK_ENET), "net");
  assert_false(kk_status_is_world(KK_EARG));
  assert_false(kk_status_is_world(KK_ENOMEM));
  assert_true(kk_status_is_world(KK_EIO));
  assert_true(kk_status_is_world(KK_ELIB));
}

/* ---- buf */

static void a_buffer_grows_and_ends_with_a_nul(void **state) {
  kk_buf b;
  kk_err e;
  (void)state;
  kk_buf_init(&b, 1 << 20);
  for (int i = 0; i < 1000; i++) check_ok(kk_buf_fmt(&b, &e, "%d,", i), &e);
  assert_int_equal(b.n, 3890);
  assert_int_equal(b.p[b.n], 0);
  assert_memory_equal(b.p + b.n - 8, "998,999,", 8);
  kk_buf_clear(&b);
  assert_int_equal(b.n, 0);
  check_ok(kk_buf_str(&b, "again", &e), &e);
  assert_string_equal(b.p, "again");
  kk_buf_free(&b);
}

static void a_long_format_is_written_whole(void **state) {
  kk_buf b;
  kk_err e;
  char text[3000];
  (void)state;
  memset(text, 'y', sizeof text);
  text[sizeof text - 1] = 0;
  kk_buf_init(&b, 1 << 20);
  check_ok(kk_buf_fmt(&b, &e, "<%s>", text), &e);
  assert_int_equal(b.n, sizeof text + 1);
  assert_int_equal(b.p[b.n - 1], '>');
  kk_buf_free(&b);
}

static void a_buffer_takes_its_maximum_and_not_one_byte_more(void **state) {
  kk_buf b;
  kk_err e;
  size_t before = kk_mem_live();
  (void)state;
  kk_buf_init(&b, 10);
  check_ok(kk_buf_add(&b, "0123456789", 10, &e), &e);
  check_fails(kk_buf_add(&b, "x", 1, &e), KK_EFORMAT, &e, "more than 10 bytes");
  assert_null(b.p);                       /* it freed itself */
  assert_int_equal(kk_mem_live(), before);
  kk_buf_init(&b, 10);
  check_fails(kk_buf_add(&b, "", SIZE_MAX, &e), KK_EFORMAT, &e, "more than 10 bytes");
}

static void a_buffer_without_memory_frees_itself(void **state) {
  size_t before = kk_mem_live();
  (void)state;
  for (int n = 0; n < 8; n++) {
    kk_buf b;
    kk_err e;
    kk_status st = KK_OK;
    char text[600];
    memset(text, 'z', sizeof text);
    text[sizeof text - 1] = 0;
    kk_buf_init(&b, 1 << 20);
    kk_mem_fail_after(n);
    for (int i = 0; i < 4 && !st; i++) st = kk_buf_fmt(&b, &e, "%s", text);
    kk_mem_fail_after(-1);
    if (n == 0) check_fails(st, KK_ENOMEM, &e, "out of memory");
    if (st) assert_null(b.p);
    else kk_buf_free(&b);
    assert_int_equal(kk_mem_live(), before);
  }
}

/* ---- files */

static void write_file(const char *path, const char *text) {
  kk_outfile o;
  kk_err e;
  check_ok(kk_outfile_open(&o, path, &e), &e);
  check_ok(kk_outfile_write(&o, text, strlen(text), &e), &e);
  check_ok(kk_outfile_commit(&o, &e), &e);
}

static void check_holds(const char *path, const char *text) {
  kk_buf b;
  kk_err e;
  kk_buf_init(&b, 1 << 20);
  check_ok(kk_file_read(path, &b, &e), &e);
  assert_int_equal(b.n, strlen(text));
  if (b.n) assert_string_equal(b.p, text);
  kk_buf_free(&b);
}

static void a_file_appears_only_when_it_is_complete(void **state) {
  const char *path = in_folder("a");
  kk_outfile o;
  kk_err e;
  (void)state;
  check_ok(kk_outfile_open(&o, path, &e), &e);
  check_ok(kk_outfile_write(&o, "half", 4, &e), &e);
  assert_int_equal(access(path, F_OK), -1);
  check_ok(kk_outfile_commit(&o, &e), &e);
  kk_outfile_abort(&o);                   /* fine after commit */
  check_holds(path, "half");
  assert_int_equal(unlink(path), 0);
}

static void an_aborted_file_leaves_the_old_one_and_nothing_else(void **state) {
  const char *path = in_folder("b");
  kk_outfile o;
  kk_err e;
  size_t before = kk_mem_live();
  (void)state;
  write_file(path, "old");
  check_ok(kk_outfile_open(&o, path, &e), &e);
  check_ok(kk_outfile_write(&o, "new", 3, &e), &e);
  kk_outfile_abort(&o);
  check_holds(path, "old");
  assert_int_equal(unlink(path), 0);
  assert_int_equal(kk_mem_live(), before);
}

/* A file system without room, played by a limit on the size of files. */
static void a_full_disk_leaves_the_old_file(void **state) {
  const char *path = in_folder("c");
  struct rlimit old, small;
  char block[65536] = {0};
  kk_outfile o;
  kk_err e;
  kk_status st;
  (void)state;
  write_file(path, "old");
  signal(SIGXFSZ, SIG_IGN);
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
  small = old;
  small.rlim_cur = 10000;
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
  check_ok(kk_outfile_open(&o, path, &e), &e);
  st = kk_outfile_write(&o, block, sizeof block, &e);
  if (!st) st = kk_outfile_commit(&o, &e);
  kk_outfile_abort(&o);
  setrlimit(RLIMIT_FSIZE, &old);
  check_fails(st, KK_EIO, &e, "cannot write: File too large");
  check_holds(path, "old");
  assert_int_equal(unlink(path), 0);
}

/* A few bytes stay in the stream's buffer: only the flush of commit meets the full disk. */
static void a_disk_that_is_full_at_the_flush_leaves_the_old_file(void **state) {
  const char *path = in_folder("d");
  struct rlimit old, small;
  kk_outfile o;
  kk_err e;
  kk_status st;
  (void)state;
  write_file(path, "old");
  signal(SIGXFSZ, SIG_IGN);
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
  small = old;
  small.rlim_cur = 2;
  check_ok(kk_outfile_open(&o, path, &e), &e);
  check_ok(kk_outfile_write(&o, "brand new", 9, &e), &e);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
  st = kk_outfile_commit(&o, &e);
  setrlimit(RLIMIT_FSIZE, &old);
  check_fails(st, KK_EIO, &e, path);
  check_holds(path, "old");
  assert_int_equal(unlink(path), 0);
}

static void a_folder_that_is_not_there_is_an_error_with_its_path(void **state) {
  kk_outfile o;
  kk_err e;
  kk_buf b;
  kk_map m;
  size_t before = kk_mem_live();
  (void)state;
  check_fails(kk_outfile_open(&o, "/no/such/folder/f", &e), KK_EIO, &e, "/no/such/folder/f: cannot write: No such file");
  kk_buf_init(&b, 100);
  check_fails(kk_file_read("/no/such/file", &b, &e), KK_EIO, &e, "/no/such/file: No such file");
  check_fails(kk_map_open(&m, "/no/such/file", &e), KK_EIO, &e, "/no/such/file: No such file");
  check_fails(kk_map_open(&m, "/tmp", &e), KK_EIO, &e, "not a regular file");
  assert_int_equal(kk_mem_live(), before);
}

static void a_path_that_is_too_long_is_refused(void **state) {
  char path[6000];
  kk_outfile o;
  kk_err e;
  size_t before = kk_mem_live();
  (void)state;
  memset(path, 'p', sizeof path);
  path[sizeof path - 1] = 0;
  check_fails(kk_outfile_open(&o, path, &e), KK_EARG, &e, "too long");
  assert_int_equal(kk_mem_live(), before);
}

static void opening_a_file_without_memory_leaves_nothing(void **state) {
  size_t before = kk_mem_live();
  (void)state;
  for (int n = 0; n < 2; n++) {
    kk_outfile o;
    kk_err e;
    kk_mem_fail_after(n);
    check_fails(kk_outfile_open(&o, in_folder("e"), &e), KK_ENOMEM, &e, "out of memory");
    assert_int_equal(kk_mem_live(), before);
  }
}

static void reading_stops_at_the_maximum(void **state) {
  const char *path = in_folder("f");
  kk_buf b;
  kk_err e;
  (void)state;
  write_file(path, "0123456789");
  kk_buf_init(&b, 9);
  check_fails(kk_file_read(path, &b, &e), KK_EFORMAT, &e, "more than 9 bytes");
  assert_int_equal(unlink(path), 0);
}

static void a_mapped_file_reads_like_the_file_even_when_empty(void **state) {
  const char *path = in_folder("g");
  kk_map m;
  kk_err e;
  (void)state;
  write_file(path, "mapped");
  check_ok(kk_map_open(&m, path, &e), &e);
  assert_int_equal(m.n, 6);
  assert_memory_equal(m.p, "mapped", 6);
  kk_map_close(&m);
  kk_map_close(&m);                       /* twice is fine */
  write_file(path, "");
  check_ok(kk_map_open(&m, path, &e), &e);
  assert_int_equal(m.n, 0);
  kk_map_close(&m);
  assert_int_equal(unlink(path), 0);
}

/* ---- shared libraries */

static void a_missing_library_is_named_with_the_cure(void **state) {
  static const char *const files[] = {"libkooka-no-such.so.9", NULL};
  void *f = NULL;
  const kk_dl_sym syms[] = {{"f", &f}, {NULL, NULL}};
  kk_dl d = {0};
  kk_err e;
  (void)state;
  check_fails(kk_dl_load(&d, "nosuch", files, syms, &e), KK_ELIB, &e, "libkooka-no-such.so.9 is missing");
  assert_non_null(strstr(e.msg, "vendor/install.sh"));
  assert_null(d.handle);
}

static void a_library_without_a_function_is_too_old(void **state) {
  static const char *const files[] = {"libkooka-no-such.so.9", "libm.so.6", "libm.dylib", NULL};
  void *f = NULL, *g = NULL;
  const kk_dl_sym old[] = {{"cos", &f}, {"cos_of_the_next_century", &g}, {NULL, NULL}};
  const kk_dl_sym good[] = {{"cos", &f}, {"sin", &g}, {NULL, NULL}};
  kk_dl d = {0};
  kk_err e;
  (void)state;
  check_fails(kk_dl_load(&d, "math", files, old, &e), KK_ELIB, &e, "no function cos_of_the_next_century");
  assert_null(d.handle);
  check_ok(kk_dl_load(&d, "math", files, good, &e), &e);
  assert_non_null(f);
  assert_non_null(g);
  check_ok(kk_dl_load(&d, "math", files, old, &e), &e);   /* already open: does nothing */
}

/* ---- the pool */

enum { POOL_N = 100003, POOL_GRAIN = 777 };

typedef struct pool_seen {
  int64_t begins[POOL_N / POOL_GRAIN + 2], ends[POOL_N / POOL_GRAIN + 2];
  float partial[POOL_N / POOL_GRAIN + 2];
  unsigned char count[POOL_N];
} pool_seen;

static void pool_visit(void *arg, int64_t begin, int64_t end) {
  pool_seen *s = arg;
  int64_t c = begin / POOL_GRAIN;
  float sum = 0;
  for (int64_t i = begin; i < end; i++) {
    s->count[i]++;
    sum += 1.0f / (float)(i + 1);
  }
  s->begins[c] = begin;
  s->ends[c] = end;
  s->partial[c] = sum;
}

static void chunks_and_sums_are_the_same_for_any_number_of_threads(void **state) {
  pool_seen *first = calloc(1, sizeof *first), *s = calloc(1, sizeof *s);
  (void)state;
  assert_non_null(first);
  assert_non_null(s);
  for (int threads = 1; threads <= 4; threads++) {
    memset(s, 0, sizeof *s);
    kk_pool_set_threads(threads);
    assert_int_equal(kk_pool_threads(), threads);
    kk_pool_for(POOL_N, POOL_GRAIN, pool_visit, s);
    for (int i = 0; i < POOL_N; i++) assert_int_equal(s->count[i], 1);
    if (threads == 1) memcpy(first, s, sizeof *s);
    assert_memory_equal(first, s, sizeof *s);
  }
  kk_pool_set_threads(0);
  free(first);
  free(s);
}

typedef struct pool_nested { int64_t sum[64]; } pool_nested;
static void pool_inner(void *arg, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; i++) *(int64_t *)arg += i;
}
static void pool_outer(void *arg, int64_t begin, int64_t end) {
  pool_nested *p = arg;
  for (int64_t i = begin; i < end; i++) kk_pool_for(100, 7, pool_inner, &p->sum[i]);
}

static void a_nested_call_runs_in_the_calling_thread(void **state) {
  pool_nested p = {0};
  (void)state;
  kk_pool_set_threads(4);
  kk_pool_for(64, 1, pool_outer, &p);
  for (int i = 0; i < 64; i++) assert_int_equal(p.sum[i], 4950);
  kk_pool_set_threads(0);
}

static void pool_count(void *arg, int64_t begin, int64_t end) { *(int64_t *)arg += end - begin; }

static void nothing_to_do_and_a_bad_grain_are_fine(void **state) {
  int64_t n = 0;
  (void)state;
  kk_pool_set_threads(1);
  kk_pool_for(0, 10, pool_count, &n);
  kk_pool_for(-5, 10, pool_count, &n);
  assert_int_equal(n, 0);
  kk_pool_for(10, 0, pool_count, &n);
  assert_int_equal(n, 10);
  kk_pool_set_threads(0);
}

/* ---- clock and stop flag */

static void sleep_lasts_and_the_stop_flag_ends_it(void **state) {
  double from = kk_clock_now();
  kk_err e;
  (void)state;
  assert_int_equal(kk_clock_sleep(0.05), 0);
  assert_true(kk_clock_now() - from >= 0.05);
  check_ok(kk_stop_check(&e, "work"), &e);
  kk_stop_request();
  from = kk_clock_now();
  assert_int_equal(kk_clock_sleep(30), 1);
  assert_true(kk_clock_now() - from < 5);
  check_fails(kk_stop_check(&e, "work"), KK_EINTR, &e, "work: interrupted");
  kk_stop_clear();
  check_ok(kk_stop_check(&e, "work"), &e);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_long_message_is_cut_not_overrun),
    cmocka_unit_test(misuse_and_the_world_are_told_apart),
    cmocka_unit_test(a_buffer_grows_and_ends_with_a_nul),
    cmocka_unit_test(a_long_format_is_written_whole),
    cmocka_unit_test(a_buffer_takes_its_maximum_and_not_one_byte_more),
    cmocka_unit_test(a_buffer_without_memory_frees_itself),
    cmocka_unit_test(a_file_appears_only_when_it_is_complete),
    cmocka_unit_test(an_aborted_file_leaves_the_old_one_and_nothing_else),
    cmocka_unit_test(a_full_disk_leaves_the_old_file),
    cmocka_unit_test(a_disk_that_is_full_at_the_flush_leaves_the_old_file),
    cmocka_unit_test(a_folder_that_is_not_there_is_an_error_with_its_path),
    cmocka_unit_test(a_path_that_is_too_long_is_refused),
    cmocka_unit_test(opening_a_file_without_memory_leaves_nothing),
    cmocka_unit_test(reading_stops_at_the_maximum),
    cmocka_unit_test(a_mapped_file_reads_like_the_file_even_when_empty),
    cmocka_unit_test(a_missing_library_is_named_with_the_cure),
    cmocka_unit_test(a_library_without_a_function_is_too_old),
    cmocka_unit_test(chunks_and_sums_are_the_same_for_any_number_of_threads),
    cmocka_unit_test(a_nested_call_runs_in_the_calling_thread),
    cmocka_unit_test(nothing_to_do_and_a_bad_grain_are_fine),
    cmocka_unit_test(sleep_lasts_and_the_stop_flag_ends_it),
  };
  return cmocka_run_group_tests_name("base", tests, make_folder, remove_folder);
}
