/* test_peak.c -- the probes of the machine answer what is there, and nothing for what is not. */
#include "check.h"

#include "linalg/peak.h"

static void every_kind_has_a_rate_if_and_only_if_it_has_a_variant(void **state) {
  (void)state;
  for (int kind = 0; kind < KK_PEAK_KINDS; kind++) {
    const char *variant = kk_peak_variant((kk_peak_kind)kind);
    double one = kk_peak_rate((kk_peak_kind)kind, 1, .001), all = kk_peak_rate((kk_peak_kind)kind, 0, .001);
    assert_true(variant ? one > 1e6 && all > 1e6 : one == 0 && all == 0);
  }
  assert_non_null(kk_peak_variant(KK_PEAK_F32));
}

static void tiles_are_allowed_or_not_the_same_each_time_one_asks(void **state) {
  (void)state;
  bool first = kk_peak_amx_allowed();
  assert_int_equal(kk_peak_amx_allowed(), first);
  assert_true((kk_peak_variant(KK_PEAK_AMX) != NULL) == first);
}

static void reads_have_a_rate_for_odd_sizes_and_more_threads(void **state) {
  static const size_t sizes[] = {1, 511, 513, 24 << 10, 5 << 20};
  (void)state;
  kk_err e;
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    for (int threads = 0; threads <= 3; threads++) {
      double rate = -1;
      assert_int_equal(kk_peak_read(sizes[i], threads, .001, &rate, &e), KK_OK);
      assert_true(rate > 0);
    }
}

static void the_triad_has_a_rate(void **state) {
  double rate = 0;
  kk_err e;
  (void)state;
  assert_int_equal(kk_peak_triad(1 << 16, 0, 2, &rate, &e), KK_OK);
  assert_true(rate > 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(every_kind_has_a_rate_if_and_only_if_it_has_a_variant),
    cmocka_unit_test(tiles_are_allowed_or_not_the_same_each_time_one_asks),
    cmocka_unit_test(reads_have_a_rate_for_odd_sizes_and_more_threads),
    cmocka_unit_test(the_triad_has_a_rate),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
