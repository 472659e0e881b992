/* random.h -- counter-based random numbers: Philox4x32-10 (Salmon et al., SC 2011).
**
** A value depends on (key, counter) alone, so a kernel draws element i from counter i in any
** order on any number of threads, and backward redraws a dropout mask instead of storing it. */
#ifndef KK_RANDOM_H
#define KK_RANDOM_H

#include <math.h>
#include <stdint.h>

/* Four independent 32-bit words for one counter value. */
static inline void kk_philox(uint64_t key, uint64_t counter, uint32_t out[4]) {
  uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
  uint32_t x0 = (uint32_t)counter, x1 = (uint32_t)(counter >> 32), x2 = 0, x3 = 0;
  for (int round = 0; round < 10; round++) {
    uint64_t p0 = (uint64_t)0xD2511F53u * x0, p1 = (uint64_t)0xCD9E8D57u * x2;
    uint32_t y0 = (uint32_t)(p1 >> 32) ^ x1 ^ k0, y2 = (uint32_t)(p0 >> 32) ^ x3 ^ k1;
    x1 = (uint32_t)p1;
    x3 = (uint32_t)p0;
    x0 = y0;
    x2 = y2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  out[0] = x0, out[1] = x1, out[2] = x2, out[3] = x3;
}

static inline uint32_t kk_random_u32(uint64_t key, uint64_t i) {
  uint32_t w[4];
  kk_philox(key, i >> 2, w);
  return w[i & 3];
}
/* Uniform in [0,1) with 24 bits. */
static inline double kk_random_uniform(uint64_t key, uint64_t i) {
  return (double)(kk_random_u32(key, i) >> 8) * (1.0 / 16777216.0);
}
/* Keeps element i with probability 1 - p. */
static inline int kk_random_keep(uint64_t key, uint64_t i, double p) {
  return kk_random_uniform(key, i) >= p;
}
double kk_random_normal(uint64_t key, uint64_t i);            /* Box-Muller */
uint64_t kk_random_below(uint64_t key, uint64_t i, uint64_t n);   /* 0 .. n-1, without bias to 2^-32 */

/* A named stream: every draw of a key moves it on by one. The stream "dropout" of seed 1 is the
** same whatever other streams did. Its whole state is these two numbers, which go into checkpoints. */
typedef struct kk_stream { uint64_t seed, count; } kk_stream;
kk_stream kk_stream_named(uint64_t seed, const char *name);
uint64_t kk_stream_key(kk_stream *s);                         /* the key for one op or one shuffle */

void kk_random_shuffle(uint64_t key, int64_t *order, int64_t n);   /* Fisher-Yates in place */

#endif
