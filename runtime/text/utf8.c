/* utf8.c -- UTF-8 over utf8proc, with quick ways for what most text is made of. */
#include "text/utf8.h"

#include <string.h>
#include <utf8proc.h>

#include "base/mem.h"

size_t kk_utf8_check(const char *s, size_t n) {
  const unsigned char *p = (const unsigned char *)s;
  size_t i = 0;
  while (i < n) {
    unsigned c = p[i];
    size_t more = c < 0x80 ? 0 : c < 0xC2 ? 9 : c < 0xE0 ? 1 : c < 0xF0 ? 2 : c < 0xF5 ? 3 : 9;
    if (more == 9 || i + more >= n) return i;
    if (more) {
      /* the second byte has a narrower range after four of the first bytes */
      unsigned low = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80, high = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
      if (p[i + 1] < low || p[i + 1] > high) return i;
      for (size_t k = 2; k <= more; k++)
        if ((p[i + k] & 0xC0) != 0x80) return i;
    }
    i += more + 1;
  }
  return n;
}

kk_status kk_utf8_require(const char *s, size_t n, const char *what, kk_err *e) {
  size_t bad = kk_utf8_check(s, n);
  if (bad == n) return KK_OK;
  return kk_fail(e, KK_EFORMAT, "%s: byte %zu is not UTF-8 (0x%02X)", what, bad + 1, (unsigned char)s[bad]);
}

size_t kk_utf8_next(const char *s, size_t n, int32_t *cp) {
  const unsigned char *p = (const unsigned char *)s;
  unsigned c = p[0];
  if (c < 0x80) return *cp = (int32_t)c, 1;
  if (c < 0xE0 && n > 1) return *cp = (int32_t)((c & 31u) << 6 | (p[1] & 63u)), 2;
  if (c < 0xF0 && n > 2) return *cp = (int32_t)((c & 15u) << 12 | (p[1] & 63u) << 6 | (p[2] & 63u)), 3;
  if (n > 3) return *cp = (int32_t)((c & 7u) << 18 | (p[1] & 63u) << 12 | (p[2] & 63u) << 6 | (p[3] & 63u)), 4;
  return *cp = 0xFFFD, 1;
}

size_t kk_utf8_put(int32_t cp, char to[4]) { return (size_t)utf8proc_encode_char(cp, (utf8proc_uint8_t *)to); }

/* True when the code point can neither change under NFC nor take part in a composition: all below
** U+0300, and the punctuation, signs and emoji that tweets are full of. */
static bool utf8_is_inert(int32_t cp) {
  return cp < 0x300 || (cp >= 0x2010 && cp <= 0x2027) || (cp >= 0x2030 && cp <= 0x205E) ||
         (cp >= 0x20A0 && cp <= 0x20C0) || (cp >= 0x2500 && cp <= 0x27FF) || (cp >= 0x1F000 && cp <= 0x1FAFF) ||
         cp == 0x200B || cp == 0x200D || cp == 0xFE0F;
}

static bool utf8_is_nfc(const char *s, size_t n) {
  int32_t cp;
  for (size_t i = 0; i < n;) {
    if ((unsigned char)s[i] < 0x80) {
      i++;
      continue;
    }
    i += kk_utf8_next(s + i, n - i, &cp);
    if (!utf8_is_inert(cp)) return false;
  }
  return true;
}

/* The whole text through utf8proc: decompose to code points, recompose, write back as UTF-8. */
static kk_status utf8_proc(const char *s, size_t n, int options, kk_buf *out, kk_err *e) {
  utf8proc_option_t opt = (utf8proc_option_t)options;
  utf8proc_ssize_t want = utf8proc_decompose((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)n, NULL, 0, opt), got;
  if (want < 0) return kk_buf_free(out), kk_fail(e, KK_EFORMAT, "%s", utf8proc_errmsg(want));
  size_t size = ((size_t)want + 1) * sizeof(utf8proc_int32_t);
  utf8proc_int32_t *cps = kk_alloc(size);
  kk_status st;
  if (!cps) return kk_buf_free(out), kk_fail(e, KK_ENOMEM, "out of memory at %zu bytes", size);
  got = utf8proc_decompose((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)n, cps, want, opt);
  if (got >= 0) got = utf8proc_reencode(cps, got, opt);
  if (got < 0) {
    st = kk_fail(e, KK_EFORMAT, "%s", utf8proc_errmsg(got));
    kk_buf_free(out);
  } else {
    st = kk_buf_add(out, cps, (size_t)got, e);
  }
  kk_free(cps, size);
  return st;
}

static kk_status utf8_add(kk_buf *out, int32_t cp, kk_err *e) {
  char b[4];
  return kk_buf_add(out, b, kk_utf8_put(cp, b), e);
}

/* LOWER and STRIP go code point by code point; runs of ASCII that stay as they are go at once. */
static kk_status utf8_each(kk_utf8_form form, const char *s, size_t n, kk_buf *out, kk_err *e) {
  kk_status st = KK_OK;
  int32_t cp, parts[32];
  size_t i = 0, run = 0;
  while (i < n && !st) {
    unsigned char c = (unsigned char)s[i];
    if (c < 0x80 && !(form == KK_UTF8_LOWER && c >= 'A' && c <= 'Z')) {
      i++;
      continue;
    }
    st = kk_buf_add(out, s + run, i - run, e);
    i += kk_utf8_next(s + i, n - i, &cp);
    run = i;
    if (st) break;
    if (form == KK_UTF8_LOWER) {
      st = utf8_add(out, kk_utf8_lower(cp), e);
      continue;
    }
    int bound = 0;
    utf8proc_ssize_t k = utf8proc_decompose_char(cp, parts, 32, UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT, &bound);
    for (utf8proc_ssize_t j = 0; j < k && k <= 32 && !st; j++)
      if (utf8proc_get_property(parts[j])->combining_class == 0) st = utf8_add(out, parts[j], e);
  }
  return st ? st : kk_buf_add(out, s + run, n - run, e);
}

kk_status kk_utf8_map(kk_utf8_form form, const char *s, size_t n, kk_buf *out, kk_err *e) {
  switch (form) {
  case KK_UTF8_NFC:
    if (utf8_is_nfc(s, n)) return kk_buf_add(out, s, n, e);
    return utf8_proc(s, n, UTF8PROC_STABLE | UTF8PROC_COMPOSE, out, e);
  case KK_UTF8_NFKC: return utf8_proc(s, n, UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT, out, e);
  case KK_UTF8_FOLD: return utf8_proc(s, n, UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD, out, e);
  default: return utf8_each(form, s, n, out, e);
  }
}

bool kk_utf8_is_upper(int32_t cp) {
  if (cp < 0x80) return cp >= 'A' && cp <= 'Z';
  utf8proc_category_t c = utf8proc_category(cp);
  return c == UTF8PROC_CATEGORY_LU || c == UTF8PROC_CATEGORY_LT;
}

bool kk_utf8_is_letter(int32_t cp) {
  if (cp < 0x80) return (cp | 32) >= 'a' && (cp | 32) <= 'z';
  utf8proc_category_t c = utf8proc_category(cp);
  return c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO;
}

bool kk_utf8_is_word(int32_t cp) {
  if (cp < 0x80) return cp == '_' || (cp >= '0' && cp <= '9') || kk_utf8_is_letter(cp);
  utf8proc_category_t c = utf8proc_category(cp);
  return c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_NO && cp != 0xFE0F && cp != 0x20E3;
}

bool kk_utf8_is_space(int32_t cp) {
  if (cp < 0x80) return cp == ' ' || (cp >= '\t' && cp <= '\r') || (cp >= 0x1C && cp <= 0x1F);
  utf8proc_category_t c = utf8proc_category(cp);
  return cp == 0x85 || (c >= UTF8PROC_CATEGORY_ZS && c <= UTF8PROC_CATEGORY_ZP);
}

int32_t kk_utf8_lower(int32_t cp) {
  if (cp < 0x80) return cp >= 'A' && cp <= 'Z' ? cp + 32 : cp;
  return utf8proc_tolower(cp);
}

size_t kk_utf8_grapheme(const char *s, size_t n) {
  utf8proc_int32_t state = 0;
  int32_t a, b;
  size_t i = kk_utf8_next(s, n, &a);
  while (i < n) {
    size_t k = kk_utf8_next(s + i, n - i, &b);
    if (utf8proc_grapheme_break_stateful(a, b, &state)) break;
    i += k;
    a = b;
  }
  return i;
}

size_t kk_utf8_width(const char *s, size_t n) {
  size_t w = 0;
  for (size_t i = 0; i < n;) {
    size_t k = kk_utf8_grapheme(s + i, n - i), widest = 0;
    int32_t cp = 0, prev = 0;
    for (size_t j = 0; j < k;) {
      prev = cp;
      j += kk_utf8_next(s + i + j, k - j, &cp);
      int c = utf8proc_charwidth(cp);
      if (c > 0 && (size_t)c > widest) widest = (size_t)c;
    }
    /* a pair of flag letters, or a sign shown as emoji by U+FE0F, is as wide as an emoji */
    if (prev && widest == 1 && (cp == 0xFE0F || (cp >= 0x1F1E6 && cp <= 0x1F1FF))) widest = 2;
    w += widest;
    i += k;
  }
  return w;
}
