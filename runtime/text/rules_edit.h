/* rules_edit.h -- a cursor for rules: copies what stays in long runs, replaces the rest. */
#ifndef KK_RULES_EDIT_H
#define KK_RULES_EDIT_H

#include <string.h>

#include "text/rules.h"
#include "text/utf8.h"

typedef struct kk_edit {
  const char *s;
  size_t n, kept;   /* bytes before kept are in out already */
  kk_buf *out;
  kk_err *e;
  kk_status st;     /* the first failure; later calls do nothing */
} kk_edit;

#define KK_EDIT(name) kk_edit name = {s, n, 0, out, e, KK_OK}

static inline void kk_edit_add(kk_edit *d, const char *p, size_t k) {
  if (!d->st) d->st = kk_buf_add(d->out, p, k, d->e);
}
static inline void kk_edit_str(kk_edit *d, const char *p) { kk_edit_add(d, p, strlen(p)); }

/* Copies up to byte from and skips to byte to; the caller adds what stands there instead. */
static inline void kk_edit_cut(kk_edit *d, size_t from, size_t to) {
  if (from > d->kept) kk_edit_add(d, d->s + d->kept, from - d->kept);
  d->kept = to;
}
static inline kk_status kk_edit_done(kk_edit *d) {
  kk_edit_cut(d, d->n, d->n);
  return d->st;
}

static inline bool kk_ascii_digit(char c) { return c >= '0' && c <= '9'; }
static inline bool kk_ascii_letter(char c) { return (c | 32) >= 'a' && (c | 32) <= 'z'; }
static inline bool kk_ascii_word(char c) { return kk_ascii_digit(c) || kk_ascii_letter(c) || c == '_'; }
static inline bool kk_starts(const char *s, size_t n, size_t i, const char *with) {
  size_t k = strlen(with);
  return n - i >= k && memcmp(s + i, with, k) == 0;
}

#define KK_RULE(name) kk_status kk_rule_##name(const char *s, size_t n, kk_buf *out, kk_err *e)
KK_RULE(entities);
KK_RULE(escapes);
KK_RULE(fancy);
KK_RULE(nfc);
KK_RULE(control);
KK_RULE(urls);
KK_RULE(users);
KK_RULE(hashtags);
KK_RULE(newlines);
KK_RULE(char_repeats);
KK_RULE(word_repeats);
KK_RULE(caps);
KK_RULE(maj);
KK_RULE(lower);
KK_RULE(spaces);
KK_RULE(squeeze);

#endif
