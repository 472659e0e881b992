/* buf.h -- a growable byte buffer with a mandatory maximum. On failure it frees itself, so
** callers need no clean-up. Always followed by a NUL that is not counted. */
#ifndef KK_BUF_H
#define KK_BUF_H

#include <stddef.h>

#include "base/err.h"

typedef struct kk_buf {
  char *p;
  size_t n, cap, max;   /* used, allocated, never more than */
} kk_buf;

void kk_buf_init(kk_buf *b, size_t max);
kk_status kk_buf_add(kk_buf *b, const void *p, size_t n, kk_err *e);
kk_status kk_buf_str(kk_buf *b, const char *s, kk_err *e);
kk_status kk_buf_fmt(kk_buf *b, kk_err *e, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void kk_buf_clear(kk_buf *b);           /* empties, keeps the memory */
void kk_buf_free(kk_buf *b);

#endif
