/* peak.c -- probes of the processor's float32 peak and of the memory's bandwidth. */
#include "linalg/peak.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/clock.h"
#include "base/clones.h"
#include "base/mem.h"
#include "base/pool.h"

/* Not KK_CLONES: its "avx2" has no FMA. ACCS chains of multiply-adds hide the latency of 4 cycles
** on two units and fit 16 registers. Every loop over them is unrolled, else they live in memory. */
enum { ACCS = 12, ROUNDS = 4000 };

#define PEAK_KERNEL(name, lanes) \
  static float name(int64_t rounds) { \
    typedef float vec __attribute__((vector_size(4 * (lanes)))); \
    vec acc[ACCS], m = {0}, s = {0}; \
    float sum = 0; \
    m += 0.999f; \
    s += 0.001f; \
    _Pragma("GCC unroll 12") for (int i = 0; i < ACCS; i++) acc[i] = s * (float)i; \
    for (int64_t r = 0; r < rounds; r++) { \
      _Pragma("GCC unroll 12") for (int i = 0; i < ACCS; i++) acc[i] = acc[i] * m + s; \
    } \
    _Pragma("GCC unroll 12") for (int i = 0; i < ACCS; i++) sum += acc[i][0]; \
    return sum; \
  }

PEAK_KERNEL(peak_portable, 4)
#if defined(__x86_64__) && defined(__GNUC__)
__attribute__((target("avx2,fma"))) PEAK_KERNEL(peak_avx2, 8)
__attribute__((target("avx512f"))) PEAK_KERNEL(peak_avx512, 16)
#endif

typedef struct peak_kernel { float (*run)(int64_t rounds); int lanes; const char *name; } peak_kernel;

static peak_kernel peak_choose(void) {
#if defined(__x86_64__) && defined(__GNUC__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f")) return (peak_kernel){peak_avx512, 16, "avx512f"};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return (peak_kernel){peak_avx2, 8, "avx2+fma"};
#endif
  return (peak_kernel){peak_portable, 4, "portable"};
}

const char *kk_peak_variant(void) { return peak_choose().name; }

typedef struct peak_job { peak_kernel kernel; float sink[64]; } peak_job;

static void peak_chunk(void *arg, int64_t begin, int64_t end) {
  peak_job *j = arg;
  for (int64_t k = begin; k < end; k++) {
    float sum = j->kernel.run(ROUNDS);
    __atomic_store(&j->sink[k & 63], &sum, __ATOMIC_RELAXED);
  }
}

double kk_peak_fma(int threads, double seconds) {
  peak_job j = {.kernel = peak_choose()};
  const double flops = 2.0 * ACCS * ROUNDS * j.kernel.lanes;
  /* pieces of some ten microseconds: a thread that is late leaves its share to the others */
  const int64_t pieces = threads == 1 ? 8 : 16 * (int64_t)threads;
  double begin, now, done = 0;
  if (threads != 1) kk_pool_for(pieces, 1, peak_chunk, &j);        /* wakes the workers */
  begin = now = kk_clock_now();
  do {
    if (threads == 1) peak_chunk(&j, 0, pieces);
    else kk_pool_for(pieces, 1, peak_chunk, &j);
    done += flops * (double)pieces;
    now = kk_clock_now();
  } while (now - begin < seconds);
  return done / (now - begin);
}

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
