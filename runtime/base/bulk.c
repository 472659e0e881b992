/* bulk.c -- see bulk.h. SSE2, which every x86-64 has: the processor gathers its 16 bytes to whole lines, wider
** stores are no faster. */
#include "base/bulk.h"

#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#include <stdint.h>

void kk_bulk_copy(void *to, const void *from, size_t n) {
  const size_t head = (size_t)(-(uintptr_t)to & 15), start = head < n ? head : n;
  char *p = to;
  const char *q = from;
  memcpy(p, q, start);
  p += start, q += start, n -= start;
  for (; n >= 16; p += 16, q += 16, n -= 16)
    _mm_stream_si128((__m128i *)(void *)p, _mm_loadu_si128((const __m128i *)(const void *)q));
  memcpy(p, q, n);
}

void kk_bulk_end(void) { _mm_sfence(); }
#else
void kk_bulk_copy(void *to, const void *from, size_t n) { memcpy(to, from, n); }
void kk_bulk_end(void) {}
#endif
