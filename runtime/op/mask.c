/* mask.c -- dropout masks: Philox blocks, many at a time, the same bits as kk_random_keep one by one.
**
** A block's four words lie in the low halves of four 64-bit lanes; what the high halves hold does not matter,
** because a 32 by 32 bit product reads the low halves only. So a round is two products, two shuffles and
** two three-way xors for 8 (AVX-512) or 4 (AVX2) blocks. */
#include "op/mask.h"

#include <math.h>
#include <stdbool.h>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(KK_NO_CLONES)
#define MASK_X86 1
#include <immintrin.h>
#endif

enum { ROUNDS = 10 };
#define M0 0xD2511F53u
#define M1 0xCD9E8D57u
#define W0 0x9E3779B9u
#define W1 0xBB67AE85u

/* limit: an element stays when its word is not below it; m gets 4 elements from each block. */
typedef void mask_fn(uint64_t key, uint64_t block, int64_t blocks, uint32_t limit, kk_real scale, kk_real *m);

static void mask_plain(uint64_t key, uint64_t block, int64_t blocks, uint32_t limit, kk_real scale, kk_real *m) {
  for (int64_t q = 0; q < blocks; q++) {
    uint32_t w[4];
    kk_philox(key, block + (uint64_t)q, w);
    for (int k = 0; k < 4; k++) m[4 * q + k] = w[k] >= limit ? scale : 0;
  }
}

#ifdef MASK_X86
/* Elements 4q .. of n blocks from their words in order. */
static inline void mask_words(const uint32_t *w, int64_t n, uint32_t limit, kk_real scale, kk_real *m) {
  for (int64_t k = 0; k < n; k++) m[k] = w[k] >= limit ? scale : 0;
}

__attribute__((target("avx512f"))) static void mask_avx512(uint64_t key, uint64_t block, int64_t blocks, uint32_t limit,
                                                           kk_real scale, kk_real *m) {
  const __m512i m0 = _mm512_set1_epi64(M0), m1 = _mm512_set1_epi64(M1), lim = _mm512_set1_epi32((int)limit);
  const __m512i lo = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11), hi = _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15);
  const __m512i step = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
  int64_t q = 0;
  for (; q + 8 <= blocks; q += 8) {
    __m512i x0 = _mm512_add_epi64(_mm512_set1_epi64((long long)(block + (uint64_t)q)), step);
    __m512i x1 = _mm512_srli_epi64(x0, 32), x2 = _mm512_setzero_si512(), x3 = x2;
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int r = 0; r < ROUNDS; r++, k0 += W0, k1 += W1) {
      const __m512i p0 = _mm512_mul_epu32(m0, x0), p1 = _mm512_mul_epu32(m1, x2);
      x0 = _mm512_ternarylogic_epi64(_mm512_shuffle_epi32(p1, _MM_PERM_DDBB), x1, _mm512_set1_epi32((int)k0), 0x96);
      x2 = _mm512_ternarylogic_epi64(_mm512_shuffle_epi32(p0, _MM_PERM_DDBB), x3, _mm512_set1_epi32((int)k1), 0x96);
      x1 = p1;
      x3 = p0;
    }
    const __m512i a = _mm512_mask_shuffle_epi32(x0, 0xAAAA, x1, _MM_PERM_CCAA);      /* words 0 and 1 of each block */
    const __m512i b = _mm512_mask_shuffle_epi32(x2, 0xAAAA, x3, _MM_PERM_CCAA);
    const __m512i u = _mm512_permutex2var_epi64(a, lo, b), v = _mm512_permutex2var_epi64(a, hi, b);
    if (sizeof(kk_real) == 4) {
      const __m512 s = _mm512_set1_ps((float)scale);
      _mm512_storeu_ps((void *)(m + 4 * q), _mm512_maskz_mov_ps(_mm512_cmpge_epu32_mask(u, lim), s));
      _mm512_storeu_ps((void *)(m + 4 * q + 16), _mm512_maskz_mov_ps(_mm512_cmpge_epu32_mask(v, lim), s));
    } else {
      uint32_t w[32];
      _mm512_storeu_si512((void *)w, u);
      _mm512_storeu_si512((void *)(w + 16), v);
      mask_words(w, 32, limit, scale, m + 4 * q);
    }
  }
  mask_plain(key, block + (uint64_t)q, blocks - q, limit, scale, m + 4 * q);
}

__attribute__((target("avx2"))) static void mask_avx2(uint64_t key, uint64_t block, int64_t blocks, uint32_t limit,
                                                      kk_real scale, kk_real *m) {
  const __m256i m0 = _mm256_set1_epi64x(M0), m1 = _mm256_set1_epi64x(M1), step = _mm256_setr_epi64x(0, 1, 2, 3);
  int64_t q = 0;
  for (; q + 4 <= blocks; q += 4) {
    __m256i x0 = _mm256_add_epi64(_mm256_set1_epi64x((long long)(block + (uint64_t)q)), step);
    __m256i x1 = _mm256_srli_epi64(x0, 32), x2 = _mm256_setzero_si256(), x3 = x2;
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32), w[16];
    for (int r = 0; r < ROUNDS; r++, k0 += W0, k1 += W1) {
      const __m256i p0 = _mm256_mul_epu32(m0, x0), p1 = _mm256_mul_epu32(m1, x2);
      x0 = _mm256_xor_si256(_mm256_xor_si256(_mm256_shuffle_epi32(p1, 0xF5), x1), _mm256_set1_epi32((int)k0));
      x2 = _mm256_xor_si256(_mm256_xor_si256(_mm256_shuffle_epi32(p0, 0xF5), x3), _mm256_set1_epi32((int)k1));
      x1 = p1;
      x3 = p0;
    }
    const __m256i a = _mm256_blend_epi32(x0, _mm256_shuffle_epi32(x1, 0xA0), 0xAA);
    const __m256i b = _mm256_blend_epi32(x2, _mm256_shuffle_epi32(x3, 0xA0), 0xAA);
    const __m256i u = _mm256_unpacklo_epi64(a, b), v = _mm256_unpackhi_epi64(a, b);   /* blocks 0 2, 1 3 */
    _mm256_storeu_si256((void *)w, _mm256_permute2x128_si256(u, v, 0x20));
    _mm256_storeu_si256((void *)(w + 8), _mm256_permute2x128_si256(u, v, 0x31));
    mask_words(w, 16, limit, scale, m + 4 * q);
  }
  mask_plain(key, block + (uint64_t)q, blocks - q, limit, scale, m + 4 * q);
}
#endif

static mask_fn *mask_choose(void) {
#ifdef MASK_X86
  if (__builtin_cpu_supports("avx512f")) return mask_avx512;
  if (__builtin_cpu_supports("avx2")) return mask_avx2;
#endif
  return mask_plain;
}

static void mask_from(mask_fn *blocks, uint64_t key, uint64_t first, int64_t n, double p, kk_real *m) {
  /* the upper 24 bits u of a word decide: u / 2^24 >= p exactly when the word >= 2^8 ceil(2^24 p) */
  const uint32_t limit = (uint32_t)ceil(p * 16777216.0) << 8;
  const kk_real scale = (kk_real)(1 / (1 - p));
  kk_real part[4];
  int64_t k = 0;
  if (first & 3) {
    int at = (int)(first & 3);
    mask_plain(key, first >> 2, 1, limit, scale, part);
    while (k < n && at < 4) m[k++] = part[at++];
  }
  blocks(key, (first + (uint64_t)k) >> 2, (n - k) / 4, limit, scale, m + k);
  k += (n - k) / 4 * 4;
  if (k < n) {
    mask_plain(key, (first + (uint64_t)k) >> 2, 1, limit, scale, part);
    for (int at = 0; k < n; k++) m[k] = part[at++];
  }
}

void kk_mask_fill(uint64_t key, uint64_t first, int64_t n, double p, kk_real *m) {
  static mask_fn *chosen;            /* whoever comes first writes it; all write the same */
  mask_fn *f = __atomic_load_n(&chosen, __ATOMIC_RELAXED);
  if (!f) {
    f = mask_choose();
    __atomic_store_n(&chosen, f, __ATOMIC_RELAXED);
  }
  mask_from(f, key, first, n, p, m);
}

int kk_mask_variant(int i, uint64_t key, uint64_t first, int64_t n, double p, kk_real *m) {
#ifdef MASK_X86
  mask_fn *const all[] = {mask_plain, __builtin_cpu_supports("avx2") ? mask_avx2 : mask_plain,
                          __builtin_cpu_supports("avx512f") ? mask_avx512 : mask_plain};
#else
  mask_fn *const all[] = {mask_plain};
#endif
  if (i < 0 || i >= (int)(sizeof all / sizeof *all)) return 0;
  mask_from(all[i], key, first, n, p, m);
  return 1;
}
