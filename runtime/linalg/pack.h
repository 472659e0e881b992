/* pack.h -- puts operands into the order in which the kernels walk through them. */
#ifndef KK_PACK_H
#define KK_PACK_H

#include "linalg/gemm.h"
#include "linalg/kernel.h"

/* Rows k0 .. k1-1 of panels p0 .. p1-1 of op(B). In `to` a panel's rows begin rows * kk_panel() kk_reals behind
** those of the panel before it; row k0 of panel p0 is written at its beginning. */
typedef struct kk_pack_job {
  const kk_kernel *kernel;
  bool tb;
  int64_t k0, k1, n, p0, p1;
  const kk_real *b;
  int64_t ldb;
  kk_row_fn *row;                        /* instead of b */
  void *arg;
  int64_t rows;
  kk_real *to;
} kk_pack_job;

void kk_pack_parallel(const kk_pack_job *j);
void kk_pack_serial(const kk_pack_job *j);

/* Rows m0 .. m0+m-1, columns k0 .. k0+k-1 of A', A stored [k,m]: tiles of kk_tile_rows, each [k][rows]. */
void kk_pack_a(const kk_kernel *kernel, const kk_real *a, int64_t lda, int64_t m, int64_t k, kk_real *to);

/* m rows are cut into the fewest tiles that the kernel allows, as even as they go: rows of the tile at row i. */
static inline int kk_tile_rows(const kk_kernel *kernel, int64_t m, int64_t i) {
  const int64_t tiles = (m + kernel->rows - 1) / kernel->rows, least = m / tiles, longer = m % tiles;
  return (int)(i < longer * (least + 1) ? least + 1 : least);
}

#endif
