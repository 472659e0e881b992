/* UTF-8: what is text and what is not, forms, and refusing memory at every point. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "text/rules.h"
#include "text/utf8.h"

static void every_code_point_goes_out_and_in(void **state) {
  (void)state;
  for (int32_t cp = 0; cp < 0x110000; cp++) {
    char b[4];
    int32_t back;
    if (cp >= 0xD800 && cp < 0xE000) continue;
    size_t n = kk_utf8_put(cp, b);
    assert_int_equal(kk_utf8_check(b, n), n);
    assert_int_equal(kk_utf8_next(b, n, &back), n);
    assert_int_equal(back, cp);
    if (n > 1) assert_int_equal(kk_utf8_check(b, n - 1), 0);
  }
}

static void bad_bytes_are_found_where_they_stand(void **state) {
  static const struct { const char *s; size_t bad; } cases[] = {
    {"a\xFF", 1}, {"\x80", 0}, {"\xC0\xAF", 0}, {"\xC1\xBF", 0}, {"\xE0\x80\xAF", 0}, {"\xE0\x9F\xBF", 0},
    {"\xED\xA0\x80", 0}, {"\xF0\x80\x80\x80", 0}, {"\xF4\x90\x80\x80", 0}, {"\xF5\x80\x80\x80", 0},
    {"ok \xE2\x82", 3}, {"\xC3(", 0}, {"\xF0\x9F\x98", 0}, {"\xC3\xA9\xE9", 2},
  };
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    assert_int_equal(kk_utf8_check(cases[i].s, strlen(cases[i].s)), cases[i].bad);
}

static void check_form(kk_utf8_form form, const char *s, const char *want) {
  kk_buf b;
  kk_err e;
  kk_buf_init(&b, 1 << 16);
  assert_int_equal(kk_utf8_map(form, s, strlen(s), &b, &e), KK_OK);
  assert_string_equal(b.p, want);
  kk_buf_free(&b);
}

static void forms_give_what_unicode_says(void **state) {
  (void)state;
  check_form(KK_UTF8_NFC, "e\xCC\x81 \xE1\x84\x92\xE1\x85\xA1", "\xC3\xA9 \xED\x95\x98");
  check_form(KK_UTF8_NFC, "\xE2\x84\xAB", "\xC3\x85");                 /* the Angstrom sign is an A with a ring */
  check_form(KK_UTF8_NFC, "\xF0\x9F\x98\x82 a", "\xF0\x9F\x98\x82 a");
  check_form(KK_UTF8_NFKC, "\xEF\xAC\x81\xC2\xBD", "fi1\xE2\x81\x84" "2");
  check_form(KK_UTF8_LOWER, "\xC3\x89LITE \xC3\x91", "\xC3\xA9lite \xC3\xB1");
  check_form(KK_UTF8_FOLD, "Stra\xC3\x9F" "e", "strasse");
  check_form(KK_UTF8_STRIP, "A\xC3\xB1o ping\xC3\xBCino e\xCC\x81", "Ano pinguino e");
}

static void a_person_counts_graphemes_and_columns(void **state) {
  static const struct { const char *s; size_t graphemes, width; } cases[] = {
    {"hola", 4, 4}, {"e\xCC\x81", 1, 1}, {"\xF0\x9F\x91\xA8\xE2\x80\x8D\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x91\xA7", 1, 2},
    {"\xF0\x9F\x87\xAA\xF0\x9F\x87\xB8", 1, 2}, {"\xF0\x9F\x91\x8D\xF0\x9F\x8F\xBD", 1, 2}, {"\xE6\xBC\xA2", 1, 2}, {"", 0, 0},
  };
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    size_t n = strlen(cases[i].s), g = 0;
    for (size_t at = 0; at < n; at += kk_utf8_grapheme(cases[i].s + at, n - at)) g++;
    assert_int_equal(g, cases[i].graphemes);
    assert_int_equal(kk_utf8_width(cases[i].s, n), cases[i].width);
  }
}

static void every_refused_allocation_is_an_error_that_leaks_nothing(void **state) {
  static const char text[] = "e\xCC\x81 &amp;lt; GOOOOOL <U+1F923> no no no no @yo https://t.co/x";
  const kk_rule *list[32];
  size_t n = 0, before = kk_mem_live();
  kk_err e;
  kk_buf b;
  (void)state;
  for (const kk_rule *r = kk_rules; r->name; r++) list[n++] = r;
  for (long fail = 0;; fail++) {
    kk_buf_init(&b, 1 << 16);
    kk_mem_fail_after(fail);
    kk_status st = kk_rules_apply(list, n, text, strlen(text), &b, &e);
    kk_mem_fail_after(-1);
    kk_buf_free(&b);
    assert_int_equal(kk_mem_live(), before);
    if (st == KK_OK) {
      assert_true(fail > 3);
      break;
    }
    assert_int_equal(st, KK_ENOMEM);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(every_code_point_goes_out_and_in),
    cmocka_unit_test(bad_bytes_are_found_where_they_stand),
    cmocka_unit_test(forms_give_what_unicode_says),
    cmocka_unit_test(a_person_counts_graphemes_and_columns),
    cmocka_unit_test(every_refused_allocation_is_an_error_that_leaks_nothing),
  };
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
