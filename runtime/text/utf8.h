/* utf8.h -- UTF-8 text: checking, normal forms, letter case, graphemes, width. Tables: utf8proc. */
#ifndef KK_UTF8_H
#define KK_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/* Offset of the first byte that is not UTF-8 (over-long forms, surrogates and values above
** U+10FFFF count as bad), or n when all of it is. */
size_t kk_utf8_check(const char *s, size_t n);
/* KK_OK, or KK_EFORMAT "<what>: byte <k> is not UTF-8 (0x<hh>)", k counted from 1. */
kk_status kk_utf8_require(const char *s, size_t n, const char *what, kk_err *e);

/* The functions below take text that passed the check. */

/* Reads one code point at s[0], n > 0; answers the number of its bytes. */
size_t kk_utf8_next(const char *s, size_t n, int32_t *cp);
/* Writes one code point, answers the number of bytes (1 to 4). */
size_t kk_utf8_put(int32_t cp, char to[4]);

typedef enum kk_utf8_form {
  KK_UTF8_NFC,      /* canonical composition                                             */
  KK_UTF8_NFKC,     /* compatibility composition: ﬁ -> fi, ½ -> 1⁄2                      */
  KK_UTF8_LOWER,    /* simple lower case, one code point to one                          */
  KK_UTF8_FOLD,     /* full case folding, then NFC: equal when two texts differ in case  */
  KK_UTF8_STRIP,    /* NFKD without combining characters: é -> e, as scikit-learn does   */
} kk_utf8_form;

/* Appends the form of s to out. */
kk_status kk_utf8_map(kk_utf8_form form, const char *s, size_t n, kk_buf *out, kk_err *e);

bool kk_utf8_is_upper(int32_t cp);    /* category Lu or Lt                  */
bool kk_utf8_is_letter(int32_t cp);   /* categories L*                      */
bool kk_utf8_is_word(int32_t cp);     /* letters, marks, digits, underscore */
bool kk_utf8_is_space(int32_t cp);    /* ASCII space, \t..\r, Z*, U+0085    */
int32_t kk_utf8_lower(int32_t cp);

/* Bytes of the first extended grapheme cluster of s, n > 0: what a person calls one character. */
size_t kk_utf8_grapheme(const char *s, size_t n);
/* Columns in a terminal: graphemes, wide ones and emoji are 2, control characters 0. */
size_t kk_utf8_width(const char *s, size_t n);

#endif
