/* test_pool.c -- the thread pool: every element once, whatever the threads do. Also run under -fsanitize=thread. */
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/pool.h"

enum { MOST = 4096 };
typedef struct job { int marks[MOST]; int64_t n; } job;

static void mark(void *arg, int64_t begin, int64_t end) {
  job *j = arg;
  for (int64_t i = begin; i < end; i++) j->marks[i]++;        /* not atomic: a chunk that ran twice is a race */
}

static int wrong(const job *j) {
  int bad = 0;
  for (int64_t i = 0; i < MOST; i++) bad += j->marks[i] != (i < j->n);
  return bad;
}

static int loop(job *j, int64_t n, int64_t grain) {
  memset(j, 0, sizeof *j);
  j->n = n;
  kk_pool_for(n, grain, mark, j);
  return wrong(j);
}

static void every_element_of_tiny_loops_comes_once(void **state) {
  static job j;
  int bad = 0;
  (void)state;
  kk_pool_set_threads(4);
  for (int r = 0; r < 100000; r++) {
    j.n = r % 7 + 1;
    kk_pool_for(j.n, 1 + r % 3, mark, &j);
    for (int64_t i = 0; i < 8; i++) {
      bad += j.marks[i] != (i < j.n);
      j.marks[i] = 0;
    }
  }
  assert_int_equal(bad, 0);
}

static void the_number_of_threads_may_change_between_loops(void **state) {
  static job j;
  int bad = 0;
  (void)state;
  for (int r = 0; r < 3000; r++) {
    kk_pool_set_threads(1 + r * 7 % 9);
    bad += loop(&j, r % MOST, 1 + r % 64);
  }
  assert_int_equal(bad, 0);
  kk_pool_set_threads(4);
}

typedef struct nest { atomic_int sum; pthread_t self; } nest;

static void inner(void *arg, int64_t begin, int64_t end) {
  nest *n = arg;
  atomic_fetch_add(&n->sum, (int)(end - begin));
}
static void same_thread(void *arg, int64_t begin, int64_t end) {
  nest *n = arg;
  if (pthread_equal(n->self, pthread_self())) atomic_fetch_add(&n->sum, (int)(end - begin));
}
static void outer(void *arg, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; i++) {
    nest own = {.self = pthread_self()};
    kk_pool_for(100, 3, same_thread, &own);
    if (atomic_load(&own.sum) == 100) kk_pool_for(10, 1, inner, arg);
  }
}

static void nested_loops_run_whole_in_the_thread_that_calls(void **state) {
  (void)state;
  for (int r = 0; r < 500; r++) {
    nest n = {0};
    kk_pool_for(64, 1, outer, &n);
    assert_int_equal(atomic_load(&n.sum), 640);
  }
}

static void *other_caller(void *arg) {
  job *j = kk_calloc(sizeof *j);
  int bad = j == NULL;
  for (int r = 0; j && r < 2000; r++) bad += loop(j, 500 + r % 100, 1 + r % 40);
  kk_free(j, sizeof *j);
  *(int *)arg = bad;
  return NULL;
}

static void two_threads_may_call_at_once(void **state) {
  pthread_t a, b;
  int bad[2] = {-1, -1};
  (void)state;
  assert_int_equal(pthread_create(&a, NULL, other_caller, &bad[0]), 0);
  assert_int_equal(pthread_create(&b, NULL, other_caller, &bad[1]), 0);
  pthread_join(a, NULL);
  pthread_join(b, NULL);
  assert_int_equal(bad[0], 0);
  assert_int_equal(bad[1], 0);
}

static void a_forked_child_has_a_pool_of_its_own(void **state) {
  static job j;
  int status = -1;
  (void)state;
#ifdef __SANITIZE_THREAD__
  skip();                              /* starting threads after a fork is not supported there */
#endif
  assert_int_equal(loop(&j, 1000, 7), 0);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    int bad = 0;
    for (int r = 0; r < 200; r++) bad += loop(&j, 1000, 1 + r % 50);
    _exit(bad ? 1 : 0);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  assert_int_equal(loop(&j, 1000, 7), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(every_element_of_tiny_loops_comes_once),
    cmocka_unit_test(the_number_of_threads_may_change_between_loops),
    cmocka_unit_test(nested_loops_run_whole_in_the_thread_that_calls),
    cmocka_unit_test(two_threads_may_call_at_once),
    cmocka_unit_test(a_forked_child_has_a_pool_of_its_own),
  };
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
