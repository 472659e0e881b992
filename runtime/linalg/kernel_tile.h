/* kernel_tile.h -- the text of a product kernel (kernel.h), included once by each variant after it has defined
** KERNEL (the variable's name), NAME, TARGET (a function attribute), BYTES (of a vector), ROWS, VECS and HAVE.
** ROWS x VECS accumulators, VECS vectors of B and one broadcast element of A fill the registers. */
#include "linalg/kernel.h"

enum { LANES = BYTES / (int)sizeof(kk_real) };
typedef kk_real vec __attribute__((vector_size(BYTES)));
typedef kk_real loose __attribute__((vector_size(BYTES), aligned(sizeof(kk_real)), may_alias));

/* rows and vecs are constants wherever this is inlined. Three rows share a pointer: with one each there would
** be more of them than registers. */
TARGET static inline __attribute__((always_inline)) void tile_fixed(const int rows, const int vecs, int64_t k,
    const kk_real *a, int64_t rs, int64_t ks, const kk_real *b, kk_real *c, int64_t ldc, bool add, const kk_real *next) {
  const kk_real *a0 = a, *a3 = a + 3 * rs, *a6 = a + 6 * rs;
  vec acc[ROWS][VECS];
  _Pragma("GCC unroll 8") for (int r = 0; r < rows; r++)
    _Pragma("GCC unroll 8") for (int v = 0; v < vecs; v++) acc[r][v] = (vec){0};
  for (int64_t q = 0; q < k; q++) {
    vec w[VECS];
    _Pragma("GCC unroll 8") for (int v = 0; v < vecs; v++) w[v] = *(const vec *)(b + v * LANES);
    __builtin_prefetch(next, 0, 2);
    _Pragma("GCC unroll 8") for (int r = 0; r < rows; r++) {
      const vec x = *((r < 3 ? a0 : r < 6 ? a3 : a6) + r % 3 * rs) - (vec){0};
      _Pragma("GCC unroll 8") for (int v = 0; v < vecs; v++) acc[r][v] += x * w[v];
    }
    next += 64 / sizeof(kk_real);
    b += vecs * LANES;
    a0 += ks;
    a3 += ks;
    a6 += ks;
  }
  _Pragma("GCC unroll 8") for (int r = 0; r < rows; r++)
    _Pragma("GCC unroll 8") for (int v = 0; v < vecs; v++) {
      loose *to = (loose *)(c + r * ldc + v * LANES);
      *to = add ? (vec)*to + acc[r][v] : acc[r][v];
    }
}

#define TILE(r, v) case 8 * (v) + (r) - 1: tile_fixed(r, v, k, a, rs, ks, b, c, ldc, add, next); break;
#define TILES_4(v) TILE(1, v) TILE(2, v) TILE(3, v) TILE(4, v)
#if ROWS == 8
#define TILES(v) TILES_4(v) TILE(5, v) TILE(6, v) TILE(7, v) TILE(8, v)
#elif ROWS == 6
#define TILES(v) TILES_4(v) TILE(5, v) TILE(6, v)
#else
#define TILES(v) TILES_4(v)
#endif

TARGET static void tile(int rows, int vecs, int64_t k, const kk_real *a, int64_t rs, int64_t ks, const kk_real *b,
                        kk_real *c, int64_t ldc, bool add, const kk_real *next) {
  switch (8 * vecs + rows - 1) {
    TILES(1)
    TILES(2)
#if VECS > 2
    TILES(3)
#endif
  }
}

const kk_kernel KERNEL = {.name = NAME, .rows = ROWS, .vecs = VECS, .lanes = LANES, .have = HAVE, .tile = tile};
