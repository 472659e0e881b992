/* kernel_q8_avx2.c -- products of bytes without VNNI: both sides widened to 16 bits for vpmaddwd, which is exact.
** (vpmaddubsw takes the bytes as they are, but its 16-bit sums saturate.) */
#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#include <string.h>

#include "linalg/q8.h"

#define TARGET __attribute__((target("avx2")))
enum { COLUMNS = 16, VECS = 4 };         /* 4 vectors of 4 columns x 2 sums */

static bool avx2_have(void) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2");
}

/* Four bytes of a row as 16-bit numbers, again and again. */
TARGET static inline __m256i avx2_spread(const uint8_t *u) {
  int32_t four;
  memcpy(&four, u, sizeof four);
  return _mm256_cvtepu8_epi16(_mm_set1_epi32(four));
}

TARGET static inline __attribute__((always_inline)) void avx2_columns(const int rows, int64_t groups, const uint8_t *a,
    int64_t lda, const int8_t *b, int at, int32_t c[][KK_Q8_PANEL]) {
  __m256i acc[2][VECS];
  _Pragma("GCC unroll 2") for (int r = 0; r < rows; r++)
    _Pragma("GCC unroll 4") for (int v = 0; v < VECS; v++) acc[r][v] = _mm256_setzero_si256();
  for (int64_t g = 0; g < groups; g++, a += KK_Q8_GROUP, b += KK_Q8_PANEL * KK_Q8_GROUP) {
    __m256i u[2];
    _Pragma("GCC unroll 2") for (int r = 0; r < rows; r++) u[r] = avx2_spread(a + r * lda);
    _Pragma("GCC unroll 4") for (int v = 0; v < VECS; v++) {
      const __m256i w = _mm256_cvtepi8_epi16(_mm_load_si128((const __m128i *)(const void *)b + at / 4 + v));
      _Pragma("GCC unroll 2") for (int r = 0; r < rows; r++)
        acc[r][v] = _mm256_add_epi32(acc[r][v], _mm256_madd_epi16(u[r], w));
    }
  }
  _Pragma("GCC unroll 2") for (int r = 0; r < rows; r++)
    _Pragma("GCC unroll 2") for (int v = 0; v < VECS; v += 2) {   /* pairs of sums: columns 0 1 4 5 | 2 3 6 7 */
      const __m256i pairs = _mm256_hadd_epi32(acc[r][v], acc[r][v + 1]);
      _mm256_storeu_si256((__m256i *)(void *)(c[r] + at + 4 * v), _mm256_permute4x64_epi64(pairs, 0xD8));
    }
}

TARGET static void avx2_tile(int rows, int64_t groups, const uint8_t *a, int64_t lda, const int8_t *b,
                             int32_t c[][KK_Q8_PANEL]) {
  int r = 0;
  for (; r + 1 < rows; r += 2)
    for (int at = 0; at < KK_Q8_PANEL; at += COLUMNS) avx2_columns(2, groups, a + r * lda, lda, b, at, c + r);
  for (; r < rows; r++)
    for (int at = 0; at < KK_Q8_PANEL; at += COLUMNS) avx2_columns(1, groups, a + r * lda, lda, b, at, c + r);
}

const kk_q8_kernel kk_q8_avx2 = {"avx2", avx2_have, avx2_tile};
#else
typedef int kk_q8_avx2_absent;
#endif
