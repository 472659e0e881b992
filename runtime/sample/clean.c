/* clean.c -- see clean.h. */
#include "sample/clean.h"

#include <string.h>

void kk_clean_foreign(const int32_t *near, int64_t m, int64_t k, const int32_t *own, const int32_t *code, int32_t *foreign) {
  for (int64_t i = 0; i < m; i++) {
    foreign[i] = 0;
    for (int64_t c = 0; c < k; c++) foreign[i] += code[near[i * k + c]] != own[i];
  }
}

void kk_clean_most(const int32_t *near, int64_t m, int64_t k, const int32_t *code, int32_t classes, int32_t *count, int32_t *most) {
  memset(count, 0, (size_t)classes * sizeof *count);
  for (int64_t i = 0; i < m; i++) {
    most[i] = code[near[i * k]];
    for (int64_t c = 0; c < k; c++) count[code[near[i * k + c]]]++;
    for (int64_t c = 0; c < k; c++) {
      const int32_t y = code[near[i * k + c]];
      if (count[y] > count[most[i]] || (count[y] == count[most[i]] && y < most[i])) most[i] = y;
    }
    for (int64_t c = 0; c < k; c++) count[code[near[i * k + c]]] = 0;
  }
}

void kk_clean_links(const int32_t *first, int64_t n, const int32_t *code, uint8_t *link) {
  for (int64_t i = 0; i < n; i++) link[i] = code[first[i]] != code[i] && first[first[i]] == i;
}
