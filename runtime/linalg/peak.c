/* peak.c -- probes of the processor's arithmetic: float32, bfloat16, int8 and tiles. */
#include "linalg/peak.h"

#include <stdint.h>

#include "base/clock.h"
#include "base/pool.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define PEAK_X86
#include <immintrin.h>
#endif

/* Not KK_CLONES: its "avx2" has no FMA. ACCS chains of multiply-adds hide the latency of 4 cycles
** on two units and fit 16 registers. Every loop over them is unrolled, else they live in memory. */
enum { ACCS = 12, DOTS = 16, ROUNDS = 4000, TILES = 250 };

#define PEAK_KERNEL(name, lanes) \
  static float name(void) { \
    typedef float vec __attribute__((vector_size(4 * (lanes)))); \
    vec acc[ACCS], m = {0}, s = {0}; \
    float sum = 0; \
    m += 0.999f; \
    s += 0.001f; \
    _Pragma("GCC unroll 12") for (int i = 0; i < ACCS; i++) acc[i] = s * (float)i; \
    for (int r = 0; r < ROUNDS; r++) { \
      _Pragma("GCC unroll 12") for (int i = 0; i < ACCS; i++) acc[i] = acc[i] * m + s; \
    } \
    _Pragma("GCC unroll 12") for (int i = 0; i < ACCS; i++) sum += acc[i][0]; \
    return sum; \
  }

PEAK_KERNEL(peak_portable, 4)
#ifdef PEAK_X86
__attribute__((target("avx2,fma"))) PEAK_KERNEL(peak_avx2, 8)
__attribute__((target("avx512f"))) PEAK_KERNEL(peak_avx512, 16)

/* 16 chains: 6 cycles of latency on two units, with some to spare. */
__attribute__((target("avx512f,avx512bf16"))) static float peak_bf16(void) {
  const __m512bh a = (__m512bh)_mm512_set1_epi16(0x3b81), b = (__m512bh)_mm512_set1_epi16(0x3c43);
  __m512 acc[DOTS];
  float sum = 0;
  _Pragma("GCC unroll 16") for (int i = 0; i < DOTS; i++) acc[i] = _mm512_set1_ps((float)i);
  for (int r = 0; r < ROUNDS; r++) {
    _Pragma("GCC unroll 16") for (int i = 0; i < DOTS; i++) acc[i] = _mm512_dpbf16_ps(acc[i], a, b);
  }
  _Pragma("GCC unroll 16") for (int i = 0; i < DOTS; i++) sum += acc[i][0];
  return sum;
}

__attribute__((target("avx512f,avx512vnni"))) static float peak_int8(void) {
  const __m512i a = _mm512_set1_epi8(91), b = _mm512_set1_epi8(-37);
  __m512i acc[DOTS], all = _mm512_setzero_si512();
  _Pragma("GCC unroll 16") for (int i = 0; i < DOTS; i++) acc[i] = _mm512_set1_epi32(i);
  for (int r = 0; r < ROUNDS; r++) {
    _Pragma("GCC unroll 16") for (int i = 0; i < DOTS; i++) acc[i] = _mm512_dpbusd_epi32(acc[i], a, b);
  }
  _Pragma("GCC unroll 16") for (int i = 0; i < DOTS; i++) all = _mm512_xor_si512(all, acc[i]);
  return (float)_mm_cvtsi128_si32(_mm512_castsi512_si128(all));
}
#endif

static float peak_amx(void) {
  kk_peak_amx_run(TILES);
  return 0;
}

/* ops: operations of one call of run */
typedef struct peak_kernel { float (*run)(void); double ops; const char *name; } peak_kernel;

static peak_kernel peak_float32(void) {
#ifdef PEAK_X86
  if (__builtin_cpu_supports("avx512f")) return (peak_kernel){peak_avx512, 2.0 * ACCS * ROUNDS * 16, "avx512f"};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return (peak_kernel){peak_avx2, 2.0 * ACCS * ROUNDS * 8, "avx2+fma"};
#endif
  return (peak_kernel){peak_portable, 2.0 * ACCS * ROUNDS * 4, "portable"};
}

static peak_kernel peak_choose(kk_peak_kind kind) {
  const peak_kernel none = {0};
#ifdef PEAK_X86
  __builtin_cpu_init();
  if (kind == KK_PEAK_BF16 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bf16"))
    return (peak_kernel){peak_bf16, 4.0 * DOTS * ROUNDS * 16, "vdpbf16ps"};
  if (kind == KK_PEAK_INT8 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vnni"))
    return (peak_kernel){peak_int8, 8.0 * DOTS * ROUNDS * 16, "vpdpbusd"};
#endif
  if (kind == KK_PEAK_AMX && kk_peak_amx_allowed())
    return (peak_kernel){peak_amx, (double)TILES * KK_PEAK_AMX_OPS, "tdpbf16ps"};
  return kind == KK_PEAK_F32 ? peak_float32() : none;
}

const char *kk_peak_variant(kk_peak_kind kind) { return peak_choose(kind).name; }

typedef struct peak_job { peak_kernel kernel; float sink[64]; } peak_job;

static void peak_chunk(void *arg, int64_t begin, int64_t end) {
  peak_job *j = arg;
  for (int64_t k = begin; k < end; k++) {
    float sum = j->kernel.run();
    __atomic_store(&j->sink[k & 63], &sum, __ATOMIC_RELAXED);
  }
}

double kk_peak_rate(kk_peak_kind kind, int threads, double seconds) {
  peak_job j = {.kernel = peak_choose(kind)};
  if (threads < 1) threads = kk_pool_threads();
  /* pieces of some ten microseconds: a thread that is late leaves its share to the others */
  const int64_t pieces = threads == 1 ? 8 : 16 * (int64_t)threads;
  double begin, now, done = 0;
  if (!j.kernel.run) return 0;
  if (threads != 1) kk_pool_for(pieces, 1, peak_chunk, &j);        /* wakes the workers */
  begin = now = kk_clock_now();
  do {
    if (threads == 1) peak_chunk(&j, 0, pieces);
    else kk_pool_for(pieces, 1, peak_chunk, &j);
    done += j.kernel.ops * (double)pieces;
    now = kk_clock_now();
  } while (now - begin < seconds);
  return done / (now - begin);
}
