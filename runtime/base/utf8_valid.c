#include "base/utf8_valid.h"

#include <stdint.h>
#include <string.h>

size_t kk_utf8_valid_to(const char *s, size_t n) {
  const unsigned char *p = (const unsigned char *)s;
  size_t i = 0;
  while (i < n) {
    unsigned c = p[i], low = 0x80, high = 0xBF;
    size_t more;
    uint64_t eight;
    if (c < 0x80) {
      if (n - i >= 8) {
        memcpy(&eight, p + i, 8);
        if (!(eight & 0x8080808080808080u)) {
          i += 8;
          continue;
        }
      }
      i++;
      continue;
    }
    if (c >= 0xC2 && c <= 0xDF) more = 1;
    else if (c >= 0xE0 && c <= 0xEF) more = 2, low = c == 0xE0 ? 0xA0 : 0x80, high = c == 0xED ? 0x9F : 0xBF;
    else if (c >= 0xF0 && c <= 0xF4) more = 3, low = c == 0xF0 ? 0x90 : 0x80, high = c == 0xF4 ? 0x8F : 0xBF;
    else return i;
    if (n - i <= more || p[i + 1] < low || p[i + 1] > high) return i;
    for (size_t k = 2; k <= more; k++)
      if ((p[i + k] & 0xC0) != 0x80) return i;
    i += more + 1;
  }
  return n;
}
