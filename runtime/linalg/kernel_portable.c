/* kernel_portable.c -- vectors of 16 bytes, which every compiler can make: NEON on arm64 (8 x 12 in 32
** registers), SSE2 on x86-64 (4 x 8 in 16). */
#include <stdbool.h>

static bool portable_have(void) { return true; }

#define KERNEL kk_kernel_portable
#define TARGET
#define HAVE portable_have
#define BYTES 16
#if defined(__aarch64__)
#define NAME "neon"
#define ROWS 8
#define VECS 3
#else
#define NAME "portable"
#define ROWS 4
#define VECS 2
#endif
#include "linalg/kernel_tile.h"
