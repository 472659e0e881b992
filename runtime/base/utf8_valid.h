/* utf8_valid.h -- is it UTF-8? Strict: overlong forms, surrogates and what lies above U+10FFFF are not. */
#ifndef KK_UTF8_VALID_H
#define KK_UTF8_VALID_H

#include <stddef.h>

/* Index of the first byte that is no part of valid UTF-8, or n. */
size_t kk_utf8_valid_to(const char *p, size_t n);

#endif
