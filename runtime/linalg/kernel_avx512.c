/* kernel_avx512.c -- tiles of 8 x 48: 24 accumulators of 16 floats. */
#if defined(__x86_64__) && defined(__GNUC__)
#include <stdbool.h>

static bool avx512_have(void) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512f");
}

#define KERNEL kk_kernel_avx512
#define NAME "avx512"
#define TARGET __attribute__((target("avx512f")))
#define HAVE avx512_have
#define BYTES 64
#define ROWS 8
#define VECS 3
#include "linalg/kernel_tile.h"
#else
typedef int kk_kernel_avx512_absent;
#endif
