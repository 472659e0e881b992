#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

void kk_buf_init(kk_buf *b, size_t max) {
  *b = (kk_buf){.max = max};
}

kk_status kk_buf_add(kk_buf *b, const void *p, size_t n, kk_err *e) {
  if (n > b->max || b->n > b->max - n) {
    size_t max = b->max;
    kk_buf_free(b);
    return kk_fail(e, KK_EFORMAT, "more than %zu bytes", max);
  }
  if (b->n + n + 1 > b->cap) {
    size_t cap = b->cap ? b->cap : 64;
    char *q;
    while (cap < b->n + n + 1) cap *= 2;
    q = kk_realloc(b->p, b->cap, cap);
    if (!q) {
      kk_buf_free(b);
      return kk_fail(e, KK_ENOMEM, "out of memory at %zu bytes", cap);
    }
    b->p = q;
    b->cap = cap;
  }
  if (n) memcpy(b->p + b->n, p, n);
  b->n += n;
  b->p[b->n] = 0;
  return KK_OK;
}

kk_status kk_buf_str(kk_buf *b, const char *s, kk_err *e) { return kk_buf_add(b, s, strlen(s), e); }

kk_status kk_buf_fmt(kk_buf *b, kk_err *e, const char *fmt, ...) {
  char small[512];
  va_list ap;
  kk_status st;
  int n;
  va_start(ap, fmt);
  n = vsnprintf(small, sizeof small, fmt, ap);
  va_end(ap);
  if (n < 0) return kk_fail(e, KK_EARG, "bad format");
  if ((size_t)n < sizeof small) return kk_buf_add(b, small, (size_t)n, e);
  char *large = kk_alloc((size_t)n + 1);
  if (!large) {
    kk_buf_free(b);
    return kk_fail(e, KK_ENOMEM, "out of memory at %d bytes", n);
  }
  va_start(ap, fmt);
  vsnprintf(large, (size_t)n + 1, fmt, ap);
  va_end(ap);
  st = kk_buf_add(b, large, (size_t)n, e);
  kk_free(large, (size_t)n + 1);
  return st;
}

void kk_buf_clear(kk_buf *b) {
  b->n = 0;
  if (b->p) b->p[0] = 0;
}

void kk_buf_free(kk_buf *b) {
  kk_free(b->p, b->cap);
  b->p = NULL;
  b->n = b->cap = 0;
}
