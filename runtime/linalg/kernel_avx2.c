/* kernel_avx2.c -- tiles of 6 x 16: 12 accumulators of 8 floats. */
#if defined(__x86_64__) && defined(__GNUC__)
#include <stdbool.h>

static bool avx2_have(void) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

#define KERNEL kk_kernel_avx2
#define NAME "avx2"
#define TARGET __attribute__((target("avx2,fma")))
#define HAVE avx2_have
#define BYTES 32
#define ROWS 6
#define VECS 2
#include "linalg/kernel_tile.h"
#else
typedef int kk_kernel_avx2_absent;
#endif
