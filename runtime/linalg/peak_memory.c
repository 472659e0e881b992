/* peak_memory.c -- probes of the memory's bandwidth: a triad through memory, reads from each level of the caches. */
#include <stdint.h>
#include <string.h>

#include "base/clock.h"
#include "base/clones.h"
#include "base/mem.h"
#include "base/pool.h"
#include "linalg/peak.h"

typedef struct triad { float *a, *b, *c; } triad;

KK_CLONES static void triad_chunk(void *arg, int64_t begin, int64_t end) {
  const triad *t = arg;
  float *restrict a = t->a;
  const float *restrict b = t->b, *restrict c = t->c;
  for (int64_t i = begin; i < end; i++) a[i] = b[i] + 3.0f * c[i];
}

static void triad_run(triad *t, int64_t n, int threads) {
  if (threads == 1) triad_chunk(t, 0, n);
  else kk_pool_for(n, 1 << 16, triad_chunk, t);
}

kk_status kk_peak_triad(size_t bytes, int threads, int rounds, double *rate, kk_err *e) {
  const size_t each = bytes / 3 / sizeof(float) * sizeof(float);
  const int64_t n = (int64_t)(each / sizeof(float));
  triad t = {kk_alloc(each), kk_alloc(each), kk_alloc(each)};
  const bool have = t.a && t.b && t.c;
  *rate = 0;
  if (have) {
    memset(t.a, 0, each);
    memset(t.b, 0, each);
    memset(t.c, 0, each);
    for (int k = 0; k < rounds; k++) {
      double from = kk_clock_now(), took;
      triad_run(&t, n, threads);
      took = kk_clock_now() - from;
      if (took > 0 && 3.0 * (double)each / took > *rate) *rate = 3.0 * (double)each / took;
    }
  }
  kk_free(t.a, each);
  kk_free(t.b, each);
  kk_free(t.c, each);
  return have ? KK_OK : kk_fail(e, KK_ENOMEM, "machine.bandwidth: no memory for %zu bytes", bytes);
}

/* ---- reads. Two loads a cycle, and adds enough under way to hide their latency: 8 sums, each in a register of the
** processor that runs the kernel. (Vectors of 64 bytes on AVX2 lie on the stack: on Zen 3 they read
** 17 GB/s from L1 and L2 alike, those of 32 bytes 180 and 94.) ---- */

enum { SUMS = 8, BLOCK = 512 };

#define READ_KERNEL(name, BYTES) \
  static int32_t name(const char *p, int64_t blocks) { \
    typedef int32_t vec __attribute__((vector_size(BYTES), may_alias)); \
    vec acc[SUMS] = {{0}}; \
    int32_t sum = 0; \
    for (int64_t i = 0; i < blocks; i++) { \
      const vec *v = (const vec *)(const void *)(p + i * BLOCK); \
      _Pragma("GCC unroll 32") for (int k = 0; k < BLOCK / BYTES; k++) acc[k % SUMS] ^= v[k]; \
    } \
    _Pragma("GCC unroll 8") for (int k = 0; k < SUMS; k++) sum ^= acc[k][0]; \
    return sum; \
  }

READ_KERNEL(read_portable, 16)
#if defined(__x86_64__) && defined(__GNUC__)
__attribute__((target("avx2"))) READ_KERNEL(read_avx2, 32)
__attribute__((target("avx512f"))) READ_KERNEL(read_avx512, 64)
#endif

typedef int32_t read_fn(const char *p, int64_t blocks);

static read_fn *read_choose(void) {
#if defined(__x86_64__) && defined(__GNUC__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f")) return read_avx512;
  if (__builtin_cpu_supports("avx2")) return read_avx2;
#endif
  return read_portable;
}

typedef struct read_job { read_fn *run; const char *data; size_t bytes; int64_t times; int32_t sink[64]; } read_job;

static void read_chunk(void *arg, int64_t begin, int64_t end) {
  read_job *j = arg;
  for (int64_t k = begin; k < end; k++) {
    const char *own = j->data + (size_t)k * j->bytes;
    int32_t sum = 0;
    for (int64_t t = 0; t < j->times; t++) {
      sum ^= j->run(own, (int64_t)(j->bytes / BLOCK));
      __asm__ volatile("" ::: "memory");
    }
    __atomic_store(&j->sink[k & 63], &sum, __ATOMIC_RELAXED);
  }
}

static double read_part(read_job *j, int threads, double seconds) {
  double begin = kk_clock_now(), now, done = 0;
  do {
    if (threads == 1) read_chunk(j, 0, 1);
    else kk_pool_for(threads, 1, read_chunk, j);
    done += (double)threads * (double)j->times * (double)j->bytes;
    now = kk_clock_now();
  } while (now - begin < seconds);
  return done / (now - begin);
}

kk_status kk_peak_read(size_t bytes, int threads, double seconds, double *rate, kk_err *e) {
  enum { PARTS = 5 };
  read_job j = {.run = read_choose(), .bytes = (bytes + BLOCK - 1) / BLOCK * BLOCK};
  if (threads < 1) threads = kk_pool_threads();
  const size_t all = j.bytes * (size_t)threads;
  char *data = kk_alloc(all);
  *rate = 0;
  if (!data) return kk_fail(e, KK_ENOMEM, "machine.read: no memory for %zu bytes", all);
  memset(data, 1, all);
  j.data = data;
  j.times = (int64_t)((4u << 20) / j.bytes) + 1;       /* a piece of at least 4 MB: 20 microseconds from the fastest level */
  read_part(&j, threads, 0);                           /* wakes the workers */
  for (int k = 0; k < PARTS; k++) {
    double r = read_part(&j, threads, seconds / PARTS);
    if (r > *rate) *rate = r;
  }
  kk_free(data, all);
  return KK_OK;
}
