/* kernel_q8_vnni.c -- products of bytes by vpdpbusd: four products and their sum, added to 32 bits, in one
** instruction. With vectors of 64 bytes (AVX512-VNNI) or of 32 (AVX-VNNI: processors without AVX-512). */
#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#include <string.h>

#include "linalg/q8.h"

enum { STEP = KK_Q8_PANEL * KK_Q8_GROUP, AHEAD = 16 * STEP };   /* bytes of a group; how far ahead they are brought near */

static bool avx512vnni_have(void) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vnni");
}

static bool avxvnni_have(void) {
  unsigned a, b, c, d;
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2")) return false;
  __asm__("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(7), "c"(1));     /* leaf 7, sub-leaf 1: bit 4 of eax */
  return a >> 4 & 1;
}

static inline int32_t vnni_four(const uint8_t *u) {
  int32_t four;
  memcpy(&four, u, sizeof four);
  return four;
}

/* rows, vecs and chains are constants wherever this is inlined. Few rows need several chains of sums to hide the
** latency of 5 cycles; integers may be summed in any order. */
#define VNNI_TILE(name, TARGET, vec, BYTES, zero, load, spread, dot, sum, store) \
  TARGET static inline __attribute__((always_inline)) void name(const int rows, const int vecs, const int chains, \
      int64_t groups, const uint8_t *a, int64_t lda, const int8_t *b, int at, int32_t c[][KK_Q8_PANEL]) { \
    vec acc[KK_Q8_ROWS][8]; \
    int64_t g = 0; \
    _Pragma("GCC unroll 6") for (int r = 0; r < rows; r++) \
      _Pragma("GCC unroll 8") for (int v = 0; v < vecs * chains; v++) acc[r][v] = zero(); \
    b += at * KK_Q8_GROUP; \
    for (; g + chains <= groups; g += chains, a += chains * KK_Q8_GROUP, b += chains * STEP) \
      _Pragma("GCC unroll 2") for (int q = 0; q < chains; q++) { \
        vec u[KK_Q8_ROWS]; \
        _Pragma("GCC unroll 6") for (int r = 0; r < rows; r++) \
          u[r] = spread(vnni_four(a + r * lda + q * KK_Q8_GROUP)); \
        _Pragma("GCC unroll 8") for (int v = 0; v < vecs; v++) { \
          const vec w = load((const void *)(b + q * STEP + v * BYTES)); \
          if (v * BYTES % 64 == 0) __builtin_prefetch(b + AHEAD + q * STEP + v * BYTES, 0, 2); \
          _Pragma("GCC unroll 6") for (int r = 0; r < rows; r++) \
            acc[r][q * vecs + v] = dot(acc[r][q * vecs + v], u[r], w); \
        } \
      } \
    for (; g < groups; g++, a += KK_Q8_GROUP, b += STEP) \
      _Pragma("GCC unroll 6") for (int r = 0; r < rows; r++) \
        _Pragma("GCC unroll 8") for (int v = 0; v < vecs; v++) \
          acc[r][v] = dot(acc[r][v], spread(vnni_four(a + r * lda)), load((const void *)(b + v * BYTES))); \
    _Pragma("GCC unroll 6") for (int r = 0; r < rows; r++) \
      _Pragma("GCC unroll 8") for (int v = 0; v < vecs; v++) \
        store((void *)(c[r] + at + v * (BYTES / 4)), chains == 2 ? sum(acc[r][v], acc[r][vecs + v]) : acc[r][v]); \
  }

#define TARGET_512 __attribute__((target("avx512f,avx512vnni")))
#define TARGET_256 __attribute__((target("avx2,avxvnni")))

VNNI_TILE(wide, TARGET_512, __m512i, 64, _mm512_setzero_si512, _mm512_load_si512, _mm512_set1_epi32,
          _mm512_dpbusd_epi32, _mm512_add_epi32, _mm512_storeu_si512)
VNNI_TILE(narrow, TARGET_256, __m256i, 32, _mm256_setzero_si256, _mm256_load_si256, _mm256_set1_epi32,
          _mm256_dpbusd_avx_epi32, _mm256_add_epi32, _mm256_storeu_si256)

TARGET_512 static void avx512vnni_tile(int rows, int64_t groups, const uint8_t *a, int64_t lda, const int8_t *b,
                                       int32_t c[][KK_Q8_PANEL]) {
  switch (rows) {
    case 1: wide(1, 4, 2, groups, a, lda, b, 0, c); break;
    case 2: wide(2, 4, 1, groups, a, lda, b, 0, c); break;
    case 3: wide(3, 4, 1, groups, a, lda, b, 0, c); break;
    case 4: wide(4, 4, 1, groups, a, lda, b, 0, c); break;
    case 5: wide(5, 4, 1, groups, a, lda, b, 0, c); break;
    default: wide(6, 4, 1, groups, a, lda, b, 0, c); break;
  }
}

/* 16 registers: half a panel for three rows at a time. */
TARGET_256 static void avxvnni_tile(int rows, int64_t groups, const uint8_t *a, int64_t lda, const int8_t *b,
                                    int32_t c[][KK_Q8_PANEL]) {
  for (int r = 0; r < rows; r += 3, a += 3 * lda, c += 3) {
    if (rows - r == 1) {
      narrow(1, 8, 1, groups, a, lda, b, 0, c);
      return;
    }
    for (int at = 0; at < KK_Q8_PANEL; at += KK_Q8_PANEL / 2) {
      if (rows - r == 2) narrow(2, 4, 1, groups, a, lda, b, at, c);
      else narrow(3, 4, 1, groups, a, lda, b, at, c);
    }
  }
}

const kk_q8_kernel kk_q8_avx512vnni = {"avx512vnni", avx512vnni_have, avx512vnni_tile};
const kk_q8_kernel kk_q8_avxvnni = {"avxvnni", avxvnni_have, avxvnni_tile};
#else
typedef int kk_q8_vnni_absent;
#endif
