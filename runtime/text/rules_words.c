/* rules_words.c -- rules for how tweets are written: repeats, capitals, spaces. */
#include <stdio.h>

#include "text/rules_edit.h"

enum { WORDS_REPEATS = 4, WORDS_MOST = 999 };   /* a larger count would itself be a repeat: 1111 */

/* ---- repeats */

/* Bytes of one character as people count: a code point with what joins it (marks, variation
** selectors, skin tones, joined emoji), or a pair of flag letters. Far quicker than the general
** grapheme rules and equal to them on tweets. */
static size_t words_char(const char *s, size_t n) {
  int32_t cp, next;
  size_t i = kk_utf8_next(s, n, &cp);
  bool flag = cp >= 0x1F1E6 && cp <= 0x1F1FF;
  while (i < n && (unsigned char)s[i] >= 0xCC) {             /* U+0300 and above */
    size_t k = kk_utf8_next(s + i, n - i, &next);
    if (flag && next >= 0x1F1E6 && next <= 0x1F1FF) {
      flag = false;
    } else if (next == 0x200D && i + k < n) {
      int32_t joined;
      k += kk_utf8_next(s + i + k, n - i - k, &joined);
    } else if (!((next >= 0x300 && next <= 0x36F) || (next >= 0xFE00 && next <= 0xFE0F) || next == 0x20E3 ||
                 (next >= 0x1F3FB && next <= 0x1F3FF))) {
      break;
    }
    i += k;
  }
  return i;
}

static void words_mark(kk_edit *d, const char *mark, size_t count, const char *what, size_t k) {
  char head[48];
  int w = snprintf(head, sizeof head, " %s %zu ", mark, count < WORDS_MOST ? count : (size_t)WORDS_MOST);
  kk_edit_add(d, head, (size_t)w);
  kk_edit_add(d, what, k);
  kk_edit_add(d, " ", 1);
}

KK_RULE(char_repeats) {
  KK_EDIT(d);
  for (size_t i = 0; i < n;) {
    bool alone = (unsigned char)s[i] < 0x80 && (i + 1 == n || (unsigned char)s[i + 1] < 0xCC);
    size_t k = alone ? 1 : words_char(s + i, n - i);
    size_t j = i + k, count = 1;
    if (k == 1 && (s[i] == ' ' || s[i] == '\n')) {
      i++;
      continue;
    }
    while (n - j >= k && s[j] == s[i] && memcmp(s + j, s + i, k) == 0 &&
           (k > 1 || j + 1 == n || (unsigned char)s[j + 1] < 0xCC || words_char(s + j, n - j) == k)) {
      j += k;
      count++;
    }
    if (count >= WORDS_REPEATS) {
      kk_edit_cut(&d, i, j);
      words_mark(&d, "xxrep", count, s + i, k);
      i = j;
    } else {
      i += k;
    }
  }
  return kk_edit_done(&d);
}

/* Bytes of the run of word characters at i. */
static size_t words_span(const char *s, size_t n, size_t i) {
  size_t from = i;
  int32_t cp;
  while (i < n) {
    size_t k = kk_utf8_next(s + i, n - i, &cp);
    if (!kk_utf8_is_word(cp)) break;
    i += k;
  }
  return i - from;
}

/* True for what may stand between two of the same word: spaces and one comma, dot, ! or hyphen. */
static size_t words_gap(const char *s, size_t n, size_t i) {
  size_t from = i;
  while (i < n && s[i] == ' ') i++;
  if (i < n && strchr(",.!-", s[i])) i++;
  while (i < n && s[i] == ' ') i++;
  return i - from;
}

/* The same k bytes of letters, whatever their case. */
static bool words_same(const char *a, const char *b, size_t k) {
  int32_t x, y;
  if (memcmp(a, b, k) == 0) return true;
  for (size_t i = 0; i < k;) {
    size_t step = kk_utf8_next(a + i, k - i, &x);
    if (kk_utf8_next(b + i, k - i, &y) != step || kk_utf8_lower(x) != kk_utf8_lower(y)) return false;
    i += step;
  }
  return true;
}

KK_RULE(word_repeats) {
  KK_EDIT(d);
  for (size_t i = 0; i < n;) {
    size_t k = words_span(s, n, i), j = i + k, end = j, count = 1;
    int32_t cp;
    if (!k) {
      i += kk_utf8_next(s + i, n - i, &cp);
      continue;
    }
    for (;;) {
      size_t g = words_gap(s, n, j);
      if (!g || words_span(s, n, j + g) != k || !words_same(s + j + g, s + i, k)) break;
      j += g + k;
      end = j;
      count++;
    }
    if (count >= WORDS_REPEATS) {
      kk_edit_cut(&d, i, end);
      words_mark(&d, "xxwrep", count, s + i, k);
    }
    i = count >= WORDS_REPEATS ? end : i + k;
  }
  return kk_edit_done(&d);
}

/* ---- capitals */

typedef struct words_seen { size_t bytes, letters, upper, first_upper; } words_seen;

static words_seen words_look(const char *s, size_t n, size_t i) {
  words_seen w = {0};
  int32_t cp;
  while (i + w.bytes < n) {
    size_t k = kk_utf8_next(s + i + w.bytes, n - i - w.bytes, &cp);
    if (!kk_utf8_is_letter(cp)) break;
    bool up = kk_utf8_is_upper(cp);
    w.upper += up;
    if (w.letters++ == 0) w.first_upper = up;
    w.bytes += k;
  }
  return w;
}

static void words_lower(kk_edit *d, const char *mark, const char *p, size_t k) {
  kk_edit_str(d, mark);
  if (!d->st) d->st = kk_utf8_map(KK_UTF8_LOWER, p, k, d->out, d->e);
}

/* Words whose letters are as asked get the mark and become lower case. */
static kk_status words_mark_case(kk_edit *d, const char *mark, bool all) {
  for (size_t i = 0; i < d->n;) {
    words_seen w = words_look(d->s, d->n, i);
    int32_t cp;
    if (!w.bytes) {
      i += kk_utf8_next(d->s + i, d->n - i, &cp);
      continue;
    }
    if (all ? w.letters >= 3 && w.upper == w.letters : w.first_upper && w.upper == 1 && w.letters > 1) {
      bool spaced = i == 0 || d->s[i - 1] == ' ';
      kk_edit_cut(d, i, i + w.bytes);
      if (!spaced) kk_edit_add(d, " ", 1);
      words_lower(d, mark, d->s + i, w.bytes);
    }
    i += w.bytes;
  }
  return kk_edit_done(d);
}

KK_RULE(caps) {
  KK_EDIT(d);
  return words_mark_case(&d, "xxup ", true);
}
KK_RULE(maj) {
  KK_EDIT(d);
  return words_mark_case(&d, "xxmaj ", false);
}
KK_RULE(lower) { return kk_utf8_map(KK_UTF8_LOWER, s, n, out, e); }

/* ---- spaces */

KK_RULE(spaces) {
  KK_EDIT(d);
  for (size_t i = 0; i < n; i++) {
    char c = s[i];
    size_t k = c == '/' || c == '#' || c == '?' || c == '!' || c == '@' || c == ',' ? 1 : 0;
    if (c == '\xC2' && i + 1 < n && (s[i + 1] == '\xBF' || s[i + 1] == '\xA1')) k = 2;   /* ¿ ¡ */
    if (!k) continue;
    bool before = i == 0 || s[i - 1] == ' ', after = i + k == n || s[i + k] == ' ';
    if (!before || !after) {
      kk_edit_cut(&d, i, i + k);
      kk_edit_add(&d, " ", !before && d.out->n && d.out->p[d.out->n - 1] != ' ');
      kk_edit_add(&d, s + i, k);
      kk_edit_add(&d, " ", !after);
    }
    i += k - 1;
  }
  return kk_edit_done(&d);
}

KK_RULE(squeeze) {
  size_t i = 0;
  while (n && s[n - 1] == ' ') n--;
  while (i < n && s[i] == ' ') i++;
  KK_EDIT(d);
  d.kept = i;
  for (; i < n; i++) {
    size_t j = i;
    if (s[i] != ' ') continue;
    while (s[j + 1] == ' ') j++;
    if (j > i) kk_edit_cut(&d, i + 1, j + 1);
    i = j;
  }
  return kk_edit_done(&d);
}
