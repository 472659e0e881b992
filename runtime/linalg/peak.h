/* peak.h -- what the machine can do: arithmetic operations a second, bytes a second from caches and memory. */
#ifndef KK_PEAK_H
#define KK_PEAK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

typedef enum kk_peak_kind {
  KK_PEAK_F32,     /* float32 multiply-adds, the widest there are                   */
  KK_PEAK_BF16,    /* vdpbf16ps: bfloat16 pairs, float32 sums (AVX512-BF16)         */
  KK_PEAK_INT8,    /* vpdpbusd: groups of four bytes, int32 sums (AVX512-VNNI)      */
  KK_PEAK_AMX,     /* tdpbf16ps: bfloat16 tiles, float32 sums (AMX-BF16)            */
  KK_PEAK_KINDS,
} kk_peak_kind;

/* What runs: "avx512f", "avx2+fma", "portable", "vdpbf16ps", ...; NULL when the processor has nothing of the kind. */
const char *kk_peak_variant(kk_peak_kind kind);

/* The kind's instructions on registers, on the calling thread alone (threads = 1) or on the pool (0), for about `seconds`.
** Answers operations a second, a multiply-add being two, and 0 when there is nothing of the kind; what other
** programs take of the processor is missing from it. */
double kk_peak_rate(kk_peak_kind kind, int threads, double seconds);

/* peak_amx.c: whether this process may use bfloat16 tiles. Asks the kernel once. */
bool kk_peak_amx_allowed(void);
void kk_peak_amx_run(int rounds);      /* only if allowed: rounds x KK_PEAK_AMX_OPS operations */
enum { KK_PEAK_AMX_OPS = 4 * 16 * 16 * 32 * 2 };

/* peak_memory.c. a = b + s c over three arrays of `bytes` together, best of `rounds`. *rate: bytes
** a second, each array counted once. */
kk_status kk_peak_triad(size_t bytes, int threads, int rounds, double *rate, kk_err *e);

/* Each thread reads `bytes` of its own over and over for about `seconds`. *rate: bytes a second of all together, the
** best of five parts: from the level of the caches that the size fits. */
kk_status kk_peak_read(size_t bytes, int threads, double seconds, double *rate, kk_err *e);

#endif
