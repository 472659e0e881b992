/* rules.h -- cleaning rules for tweets: tiny named functions from text to text, applied in order.
**
** The thresholds are those of the HAHA 2019 entry (arXiv 1907.03187, section 3.1) where it had a rule,
** made aware of Unicode (an É is a capital, a heart with its variation selector is one character); the
** others are for what tweets contain besides. Unlike there, letters are lowered before repeats of a
** character are counted: GOOOOOL becomes "xxup g xxrep 5 o l", where counting first loses the xxup.
** Marks that rules leave (xxrep, xxurl, ...) always stand between spaces. Cleaning clean text changes nothing
** (1 of 191,588 tweets: an escaped <br> that came to light). */
#ifndef KK_RULES_H
#define KK_RULES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

typedef struct kk_rule {
  const char *name, *about;
  bool standard;   /* part of the usual list; the others are asked for by name */
  kk_status (*apply)(const char *s, size_t n, kk_buf *out, kk_err *e);   /* appends; s passed kk_utf8_check */
} kk_rule;

extern const kk_rule kk_rules[];          /* in the order they belong in; ends with a NULL name */
const kk_rule *kk_rule_find(const char *name);   /* NULL when there is none */

/* Appends to out what the rules make of s, one after the other. KK_EFORMAT when s is not UTF-8. */
kk_status kk_rules_apply(const kk_rule *const *rules, size_t nrules, const char *s, size_t n, kk_buf *out, kk_err *e);

/* Texts that one rule may make of one text are never longer than this; more is KK_EFORMAT. */
enum { KK_RULES_MAX = 1 << 28 };

#endif
