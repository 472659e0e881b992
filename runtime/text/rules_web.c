/* rules_web.c -- rules for what the web puts into tweets: entities, escapes, control characters,
** addresses, names, hashtags, line ends. */
#include "text/rules_edit.h"

/* ---- entities */

/* Named entities that occur in tweets, in exported pages and in Spanish text. */
static const struct { const char *name; int32_t cp; } names[] = {
  {"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}, {"nbsp", ' '},
  {"aacute", 0xE1}, {"eacute", 0xE9}, {"iacute", 0xED}, {"oacute", 0xF3}, {"uacute", 0xFA}, {"ntilde", 0xF1},
  {"uuml", 0xFC}, {"Aacute", 0xC1}, {"Eacute", 0xC9}, {"Iacute", 0xCD}, {"Oacute", 0xD3}, {"Uacute", 0xDA},
  {"Ntilde", 0xD1}, {"Uuml", 0xDC}, {"iquest", 0xBF}, {"iexcl", 0xA1}, {"laquo", 0xAB}, {"raquo", 0xBB},
  {"ordm", 0xBA}, {"ordf", 0xAA}, {"hellip", 0x2026}, {"mdash", 0x2014}, {"ndash", 0x2013}, {"lsquo", 0x2018},
  {"rsquo", 0x2019}, {"ldquo", 0x201C}, {"rdquo", 0x201D}, {"euro", 0x20AC}, {"copy", 0xA9}, {"reg", 0xAE},
};

/* Windows-1252's meanings of 128 to 159, which HTML gives to such numbers. */
static const uint16_t windows[32] = {
  0x20AC, 0x81, 0x201A, 0x192, 0x201E, 0x2026, 0x2020, 0x2021, 0x2C6, 0x2030, 0x160, 0x2039, 0x152, 0x8D, 0x17D, 0x8F,
  0x90, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014, 0x2DC, 0x2122, 0x161, 0x203A, 0x153, 0x9D, 0x17E, 0x178,
};

static bool web_scalar(uint32_t v) { return v > 0 && v < 0x110000 && (v < 0xD800 || v > 0xDFFF); }

/* The number behind '#': decimal or x and hexadecimal, then ';'. Answers its bytes or 0. */
static size_t web_number(const char *s, size_t n, size_t i, int32_t *cp) {
  size_t from = i;
  uint32_t v = 0;
  bool hex = i < n && (s[i] | 32) == 'x';
  if (hex) i++;
  size_t digits = i;
  for (; i < n && i - digits < 8; i++) {
    int c = s[i] | 32;
    if (kk_ascii_digit(s[i])) v = v * (hex ? 16 : 10) + (uint32_t)(s[i] - '0');
    else if (hex && c >= 'a' && c <= 'f') v = v * 16 + (uint32_t)(c - 'a' + 10);
    else break;
  }
  if (i == digits || i >= n || s[i] != ';') return 0;
  if (v >= 128 && v < 160) v = windows[v - 128];
  if (!web_scalar(v)) return 0;
  *cp = (int32_t)v;
  return i + 1 - from;
}

/* An entity's body and ';' at i (the '&' stands before). Answers its bytes or 0. */
static size_t web_entity(const char *s, size_t n, size_t i, int32_t *cp) {
  if (i < n && s[i] == '#') {
    size_t k = web_number(s, n, i + 1, cp);
    return k ? k + 1 : 0;
  }
  for (size_t j = 0; j < sizeof names / sizeof *names; j++) {
    size_t k = strlen(names[j].name);
    if (kk_starts(s, n, i, names[j].name) && i + k < n && s[i + k] == ';') return *cp = names[j].cp, k + 1;
  }
  return 0;
}

KK_RULE(entities) {
  static const char *const left[] = {"#39;", "#36;", "#146;", "quot;", "nbsp;", "amp;"};   /* '&' already lost */
  KK_EDIT(d);
  char b[4];
  int32_t cp;
  for (size_t i = 0; i < n;) {
    char c = s[i];
    size_t from = i;
    if (c == '&') {
      size_t k;
      i++;
      while (kk_starts(s, n, i, "amp;")) i += 4;   /* escaped twice: &amp;lt; */
      k = web_entity(s, n, i, &cp);
      if (!k && i == from + 1) continue;
      if (!k) cp = '&';
      i += k;
      kk_edit_cut(&d, from, i);
      kk_edit_add(&d, b, kk_utf8_put(cp, b));
    } else if (c == '<' && (kk_starts(s, n, i, "<br>") || kk_starts(s, n, i, "<br/>") || kk_starts(s, n, i, "<br />"))) {
      while (s[i++] != '>') {}
      kk_edit_cut(&d, from, i);
      kk_edit_add(&d, "\n", 1);
    } else if ((c == '#' || c == 'q' || c == 'n' || c == 'a') && (i == 0 || !kk_ascii_word(s[i - 1]))) {
      size_t j = 0, k = 0;
      while (j < 6 && !kk_starts(s, n, i, left[j])) j++;
      if (j < 6) k = c == '#' ? web_number(s, n, i + 1, &cp) + 1 : web_entity(s, n, i, &cp);
      i += k ? k : 1;
      if (!k) continue;
      kk_edit_cut(&d, from, i);
      kk_edit_add(&d, b, kk_utf8_put(cp, b));
    } else {
      i++;
    }
  }
  return kk_edit_done(&d);
}

/* ---- escapes */

KK_RULE(escapes) {
  KK_EDIT(d);
  char b[4];
  for (size_t i = 0; i < n; i++) {
    if (s[i] != '<' || !kk_starts(s, n, i, "<U+")) continue;
    uint32_t v = 0;
    size_t j = i + 3;
    for (; j < n && j - i < 11; j++) {
      int c = s[j] | 32;
      if (kk_ascii_digit(s[j])) v = v * 16 + (uint32_t)(s[j] - '0');
      else if (c >= 'a' && c <= 'f') v = v * 16 + (uint32_t)(c - 'a' + 10);
      else break;
    }
    if (j - i < 7 || j >= n || s[j] != '>' || !web_scalar(v)) continue;
    kk_edit_cut(&d, i, j + 1);
    kk_edit_add(&d, b, kk_utf8_put((int32_t)v, b));
    i = j;
  }
  return kk_edit_done(&d);
}

/* Letters and digits that Unicode holds in several dresses for mathematics and old terminals. */
static bool web_dressed(int32_t cp) {
  return (cp >= 0x1D400 && cp <= 0x1D7FF) || (cp >= 0xFF01 && cp <= 0xFF5E) || (cp >= 0x24B6 && cp <= 0x24E9) ||
         (cp >= 0x1F130 && cp <= 0x1F149);
}

KK_RULE(fancy) {
  KK_EDIT(d);
  int32_t cp;
  for (size_t i = 0; i < n;) {
    if ((unsigned char)s[i] < 0xE2) {                         /* below U+2000 */
      i++;
      continue;
    }
    size_t k = kk_utf8_next(s + i, n - i, &cp);
    if (web_dressed(cp)) {
      kk_edit_cut(&d, i, i + k);
      if (!d.st) d.st = kk_utf8_map(KK_UTF8_NFKC, s + i, k, out, e);
    }
    i += k;
  }
  return kk_edit_done(&d);
}

KK_RULE(nfc) { return kk_utf8_map(KK_UTF8_NFC, s, n, out, e); }

/* ---- control */

/* What stands for a code point: NULL = itself, otherwise this text. */
static const char *web_control(int32_t cp) {
  if (cp == '\n') return NULL;
  if (cp == '\t' || cp == 0xA0) return " ";
  if (cp == 0x0B || cp == 0x0C || cp == '\r' || cp == 0x85 || cp == 0x2028 || cp == 0x2029) return "\n";
  if (cp < 0x20 || (cp >= 0x7F && cp < 0xA0)) return "";
  if (cp < 0x300) return cp == 0xAD ? "" : NULL;
  if (cp >= 0x2000 && cp <= 0x200A) return " ";
  if (cp == 0x200D || cp == 0x200C) return NULL;             /* joiners: emoji families, some scripts */
  if ((cp >= 0x200B && cp <= 0x200F) || (cp >= 0x202A && cp <= 0x202E)) return "";
  if ((cp >= 0x2060 && cp <= 0x206F) || cp == 0xFEFF || (cp >= 0xFFF9 && cp <= 0xFFFB)) return "";
  if (cp == 0x202F || cp == 0x205F || cp == 0x3000 || cp == 0x1680) return " ";
  if ((cp & 0xFFFE) == 0xFFFE || (cp >= 0xFDD0 && cp <= 0xFDEF)) return "";   /* never characters */
  return NULL;
}

KK_RULE(control) {
  KK_EDIT(d);
  int32_t cp;
  for (size_t i = 0; i < n;) {
    unsigned char c = (unsigned char)s[i];
    if (c >= 0x20 && c < 0x7F) {
      i++;
      continue;
    }
    size_t k = kk_utf8_next(s + i, n - i, &cp);
    const char *to = web_control(cp);
    if (cp == '\r' && i + 1 < n && s[i + 1] == '\n') to = "";
    if (to) {
      kk_edit_cut(&d, i, i + k);
      kk_edit_str(&d, to);
    }
    i += k;
  }
  return kk_edit_done(&d);
}

/* ---- addresses and names */

/* Where an address that begins at i ends: at a space or a quote, without closing punctuation. */
static size_t web_url_end(const char *s, size_t n, size_t i) {
  size_t end = i, solid = i;
  int32_t cp;
  while (end < n) {
    size_t k = kk_utf8_next(s + end, n - end, &cp);
    if (kk_utf8_is_space(cp) || cp < 0x20 || (cp < 0x80 && strchr("<>\"`{}|", cp))) break;
    if (cp == 0xAB || cp == 0xBB || (cp >= 0x2010 && !kk_utf8_is_letter(cp))) break;   /* quotes, dashes, emoji */
    end += k;
    if (!(cp < 0x80 && strchr(".,;:!?)]'*", cp))) solid = end;
  }
  return solid;
}

/* Length of an address at i, or 0. Truncated tweets end in "https…" or "https://t…". */
static size_t web_url(const char *s, size_t n, size_t i) {
  bool fresh = i == 0 || !kk_ascii_word(s[i - 1]);
  size_t j = i;
  if ((s[i] | 32) == 'h') {
    static const char http[] = "http";
    for (int k = 0; k < 4; k++, j++)
      if (j >= n || (s[j] | 32) != http[k]) return 0;
    if (j < n && (s[j] | 32) == 's') j++;
    if (kk_starts(s, n, j, "://")) {
      size_t end = web_url_end(s, n, j + 3);
      return (kk_starts(s, n, end, "…") ? end + strlen("…") : end) - i;
    }
    size_t word = j;
    while (j < n && (s[j] == ':' || s[j] == '/')) j++;
    if (kk_starts(s, n, j, "...")) return j + strlen("...") - i;
    if (kk_starts(s, n, j, "…")) return j + strlen("…") - i;
    /* "http" alone: a mask */
    return fresh && (word == n || !(kk_ascii_word(s[word]) || strchr(":/-.", s[word]))) ? word - i : 0;
  }
  if (!fresh) return 0;
  if (s[i] == '<') return kk_starts(s, n, i, "<url>") || kk_starts(s, n, i, "<URL>") ? 5 : 0;
  if (!kk_starts(s, n, i, "www.") && !kk_starts(s, n, i, "pic.twitter.com/") && !kk_starts(s, n, i, "t.co/")) return 0;
  return web_url_end(s, n, i) - i;
}

KK_RULE(urls) {
  KK_EDIT(d);
  for (size_t i = 0; i < n;) {
    char c = s[i];
    size_t k = (c | 32) == 'h' || c == 'w' || c == 'p' || c == 't' || c == '<' ? web_url(s, n, i) : 0;
    if (k) {
      kk_edit_cut(&d, i, i + k);
      kk_edit_str(&d, " xxurl ");
    }
    i += k ? k : 1;
  }
  return kk_edit_done(&d);
}

KK_RULE(users) {
  KK_EDIT(d);
  for (size_t i = 0; i < n; i++) {
    size_t k = 0;
    if (s[i] == '@' && (i == 0 || !kk_ascii_word(s[i - 1]))) {
      while (i + 1 + k < n && k < 30 && kk_ascii_word(s[i + 1 + k])) k++;
      if (k) k++;
    } else if (s[i] == '<' && (kk_starts(s, n, i, "<user>") || kk_starts(s, n, i, "<USER>"))) {
      k = 6;
    }
    if (!k) continue;
    kk_edit_cut(&d, i, i + k);
    kk_edit_str(&d, " xxuser ");
    i += k - 1;
  }
  return kk_edit_done(&d);
}

/* The kind of a code point inside a hashtag: a word ends where the kind changes, but a capital
** belongs to the small letters after it. */
static int web_kind(int32_t cp) {
  if (cp >= '0' && cp <= '9') return 1;
  if (cp == '_') return 2;
  if (!kk_utf8_is_word(cp)) return 0;
  return kk_utf8_is_upper(cp) ? 3 : 4;
}

KK_RULE(hashtags) {
  KK_EDIT(d);
  int32_t cp, next;
  for (size_t i = 0; i < n; i++) {
    if (s[i] != '#' || (i && kk_ascii_word(s[i - 1]))) continue;
    size_t j = i + 1, k;
    int before = 0, kind;
    for (; j < n; j += k) {
      k = kk_utf8_next(s + j, n - j, &cp);
      kind = web_kind(cp);
      if (!kind) break;
      bool cut = before == 0 || kind == 2 || (kind == 1) != (before == 1) || (kind == 3 && before == 4);
      if (kind == 3 && before == 3 && j + k < n) {            /* the S of "LOLSi" */
        kk_utf8_next(s + j + k, n - j - k, &next);
        cut = web_kind(next) == 4;
      }
      if (before == 2) cut = false;
      if (cut) {
        kk_edit_cut(&d, j, kind == 2 ? j + k : j);
        kk_edit_add(&d, " ", 1);
      }
      before = kind;
    }
    if (j > i + 1) i = j - 1;
  }
  return kk_edit_done(&d);
}

KK_RULE(newlines) {
  KK_EDIT(d);
  for (size_t i = 0; i < n; i++) {
    size_t j = i;
    if (s[i] != '\n' && s[i] != '\r') continue;
    while (j < n && (s[j] == '\n' || s[j] == '\r' || s[j] == ' ')) j++;
    kk_edit_cut(&d, i, j);
    if (i > 0 && j < n) kk_edit_str(&d, " xxnl ");            /* none at the ends: they say nothing */
    i = j - 1;
  }
  return kk_edit_done(&d);
}
