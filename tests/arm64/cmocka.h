/* cmocka.h -- the few macros of cmocka that the product and LSTM tests use, for a processor whose libraries are not
** installed: `make test-arm64` builds those tests with a cross compiler and runs them under qemu-user. */
#ifndef KK_ARM64_CMOCKA_H
#define KK_ARM64_CMOCKA_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct CMUnitTest { const char *name; void (*run)(void **state); };
#define cmocka_unit_test(f) {#f, f}

static jmp_buf cm_out;
#define fail_msg(...) \
  do { \
    printf("# %s:%d: ", __FILE__, __LINE__); \
    printf(__VA_ARGS__); \
    printf("\n"); \
    longjmp(cm_out, 1); \
  } while (0)
#define assert_true(c) \
  do { \
    if (!(c)) fail_msg("not so: %s", #c); \
  } while (0)
#define assert_false(c) assert_true(!(c))
#define assert_null(p) assert_true((p) == NULL)
#define assert_non_null(p) assert_true((p) != NULL)
#define assert_int_equal(a, b) assert_true((a) == (b))
#define assert_in_range(x, low, high) assert_true((x) >= (low) && (x) <= (high))
#define assert_string_equal(a, b) assert_true(strcmp(a, b) == 0)
#define assert_memory_equal(a, b, n) assert_true(memcmp(a, b, n) == 0)

static inline int cm_group(const char *name, const struct CMUnitTest *tests, size_t n, int (*setup)(void **)) {
  int failed = setup && setup(NULL) ? 1 : 0;
  for (size_t i = 0; i < n; i++) {
    const bool bad = setjmp(cm_out) != 0;
    if (!bad) tests[i].run(NULL);
    failed += bad;
    printf("%s %s: %s\n", bad ? "not ok" : "ok", name, tests[i].name);
  }
  fflush(stdout);
  return failed;
}
#define cmocka_run_group_tests_name(name, tests, setup, teardown) cm_group(name, tests, sizeof(tests) / sizeof *(tests), setup)
#define cmocka_run_group_tests(tests, setup, teardown) cmocka_run_group_tests_name("tests", tests, setup, teardown)

#endif
