/* Dropout masks: every variant draws the elements that kk_random_keep says, wherever a run begins. */
#include <string.h>

#include "check.h"
#include "op/mask.h"

enum { MOST = 300 };

static void every_variant_equals_one_by_one(void **state) {
  (void)state;
  static const double rates[] = {0, 1.0 / 16777216, 0.02, 0.25, 0.5, 0.99};
  static const uint64_t keys[] = {0, 1, 0x123456789ABCDEF0u, UINT64_MAX};
  static const uint64_t firsts[] = {0, 1, 2, 3, 30, ((uint64_t)1 << 34) - 17, KK_MASK_SECOND, KK_MASK_SECOND + 5};
  static const int64_t sizes[] = {0, 1, 3, 4, 5, 16, 31, 32, 33, 64, 67, 299};
  kk_real m[MOST + 1];
  int variants = 0;
  for (int i = 0; kk_mask_variant(i, 0, 0, 0, 0.5, m); i++) variants++;
  assert_true(variants >= 1);
  for (int i = -1; i < variants; i++)
    for (size_t r = 0; r < sizeof rates / sizeof *rates; r++)
      for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
        for (size_t f = 0; f < sizeof firsts / sizeof *firsts; f++)
          for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            int64_t n = sizes[s];
            m[n] = 7;
            if (i < 0) kk_mask_fill(keys[k], firsts[f], n, rates[r], m);
            else kk_mask_variant(i, keys[k], firsts[f], n, rates[r], m);
            for (int64_t j = 0; j < n; j++) {
              kk_real want = kk_random_keep(keys[k], firsts[f] + (uint64_t)j, rates[r]) ? (kk_real)(1 / (1 - rates[r])) : 0;
              if (m[j] != want) fail_msg("variant %d, rate %g, first %llu, n %lld: element %lld is %g", i, rates[r],
                                         (unsigned long long)firsts[f], (long long)n, (long long)j, (double)m[j]);
            }
            assert_true(m[n] == 7);
          }
}

static void a_mask_keeps_as_many_as_it_should(void **state) {
  (void)state;
  enum { N = 300 };
  static kk_real m[N];
  double kept = 0;
  for (uint64_t k = 0; k < 1000; k++) {
    kk_mask_fill(99, k * N, N, 0.3, m);
    for (int i = 0; i < N; i++) kept += m[i] > 0;
  }
  /* 300,000 draws: standard deviation 0.00084 */
  if (kept / (1000.0 * N) < 0.696 || kept / (1000.0 * N) > 0.704) fail_msg("%g kept", kept / (1000.0 * N));
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(every_variant_equals_one_by_one),
    cmocka_unit_test(a_mask_keeps_as_many_as_it_should),
  };
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
