/* peak.h -- what the machine can do: float32 multiply-adds a second, bytes a second from memory. */
#ifndef KK_PEAK_H
#define KK_PEAK_H

#include <stddef.h>

#include "base/err.h"

/* Multiply-adds held in registers, on the calling thread alone (threads = 1) or on the pool, for about `seconds`.
** Answers floating point operations a second; what other programs take of the processor is missing from it. */
double kk_peak_fma(int threads, double seconds);
const char *kk_peak_variant(void);     /* "avx512f", "avx2+fma" or "portable": what kk_peak_fma runs */

/* a = b + s c over three arrays of `bytes` together, best of `rounds`. *rate: bytes
** a second, each array counted once. */
kk_status kk_peak_triad(size_t bytes, int threads, int rounds, double *rate, kk_err *e);

#endif
