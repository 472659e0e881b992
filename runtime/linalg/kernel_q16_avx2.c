/* kernel_q16_avx2.c -- products of words by vpmaddwd: 6 x 16 sums in 12 registers, two vectors of B, one pair of A spread. */
#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#include <string.h>

#include "linalg/q16.h"

#define TARGET __attribute__((target("avx2")))
enum { VECS = 2 };

extern const kk_q16_kernel kk_q16_avx2;

static bool avx2_have(void) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2");
}

TARGET static inline __m256i avx2_spread(const int16_t *a) {
  int32_t pair;
  memcpy(&pair, a, sizeof pair);
  return _mm256_set1_epi32(pair);
}

/* rows is a constant wherever this is inlined. Three rows share a pointer: with one each there would be more of them than
** registers. The sums are stored as they are: with their scaling in here GCC 12 spills half of them, and the neighbours of 5,000
** points take 190 ms instead of 140. */
TARGET static inline __attribute__((always_inline)) void avx2_rows(const int rows, int64_t pairs, const int16_t *a, int64_t lda,
                                                                   const int16_t *b, int32_t c[][KK_Q16_PANEL]) {
  const int16_t *a3 = a + 3 * lda;
  __m256i acc[KK_Q16_ROWS][VECS];
  _Pragma("GCC unroll 6") for (int r = 0; r < rows; r++)
    _Pragma("GCC unroll 2") for (int v = 0; v < VECS; v++) acc[r][v] = _mm256_setzero_si256();
  for (int64_t p = 0; p < pairs; p++, a += KK_Q16_PAIR, a3 += KK_Q16_PAIR, b += KK_Q16_PANEL * KK_Q16_PAIR) {
    const __m256i w[VECS] = {_mm256_load_si256((const __m256i *)(const void *)b), _mm256_load_si256((const __m256i *)(const void *)b + 1)};
    _Pragma("GCC unroll 6") for (int r = 0; r < rows; r++) {
      const __m256i u = avx2_spread((r < 3 ? a : a3) + r % 3 * lda);
      _Pragma("GCC unroll 2") for (int v = 0; v < VECS; v++)
        acc[r][v] = _mm256_add_epi32(acc[r][v], _mm256_madd_epi16(u, w[v]));
    }
  }
  _Pragma("GCC unroll 6") for (int r = 0; r < rows; r++)
    _Pragma("GCC unroll 2") for (int v = 0; v < VECS; v++) _mm256_storeu_si256((__m256i *)(void *)c[r] + v, acc[r][v]);
}

TARGET static void avx2_tile(int rows, int64_t pairs, const int16_t *a, int64_t lda, const int16_t *b,
                             int32_t c[][KK_Q16_PANEL]) {
  switch (rows) {
    case 1: avx2_rows(1, pairs, a, lda, b, c); break;
    case 2: avx2_rows(2, pairs, a, lda, b, c); break;
    case 3: avx2_rows(3, pairs, a, lda, b, c); break;
    case 4: avx2_rows(4, pairs, a, lda, b, c); break;
    case 5: avx2_rows(5, pairs, a, lda, b, c); break;
    default: avx2_rows(6, pairs, a, lda, b, c); break;
  }
}

const kk_q16_kernel kk_q16_avx2 = {"avx2", avx2_have, avx2_tile};
#else
typedef int kk_q16_avx2_absent;
#endif
