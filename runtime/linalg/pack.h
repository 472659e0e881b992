/* pack.h -- puts operands into the order in which the kernels walk through them.
**
** A mode says how: in float32, in bfloat16, or in two bfloat16 parts (x = hi + lo) whose three products that matter
** stand one behind the other along k: A as [hi hi lo], B as [hi; lo; hi]. */
#ifndef KK_PACK_H
#define KK_PACK_H

#include "linalg/gemm.h"
#include "linalg/kernel.h"
#include "linalg/kernel16.h"

enum { KK_K_BLOCK = 1152 };            /* depth of one pass of a kernel, at most */

typedef struct kk_mode {
  const kk_kernel *kernel;             /* float32, or */
  const kk_kernel16 *kernel16;         /* bfloat16    */
  int64_t rows, columns, lanes;        /* a tile is rows x columns; widths are padded to lanes */
  int64_t deep, copies, bytes;         /* k is padded to deep, and stands there in copies; bytes of an element */
  int64_t block;                       /* of k, at most */
} kk_mode;

static inline int64_t kk_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

/* The sum over k is cut into equal blocks. */
static inline int64_t kk_mode_block(const kk_mode *mode, int64_t k) {
  const int64_t blocks = (k + mode->block - 1) / mode->block;
  return blocks > 1 ? kk_up((k + blocks - 1) / blocks, 32) : k;
}
/* Elements along k of one block, and of k cut into blocks. */
static inline int64_t kk_mode_depth(const kk_mode *mode, int64_t k) { return mode->copies * kk_up(k, mode->deep); }
static inline int64_t kk_mode_depths(const kk_mode *mode, int64_t k, int64_t block) {
  return block ? k / block * kk_mode_depth(mode, block) + kk_mode_depth(mode, k % block) : 0;
}

/* Rows k0 .. k1-1 of panels p0 .. p1-1 of op(B), packed at `to`: panel after panel, each kk_mode_depths(k1 - k0)
** elements deep. k0 is a multiple of block. */
typedef struct kk_pack_job {
  const kk_mode *mode;
  bool tb;
  int64_t k0, k1, block, n, p0, p1;
  const kk_real *b;
  int64_t ldb;
  kk_row_fn *row;                        /* instead of b */
  void *arg;
  void *to;
} kk_pack_job;

void kk_pack_parallel(const kk_pack_job *j);
void kk_pack_serial(const kk_pack_job *j);

/* One block of A for a kernel. Float32: A stored [k,m], as tiles of [k][rows]. Bfloat16: m rows of kk_mode_depth(k)
** elements; ta: A is stored [k,m], else [m,k]. */
void kk_pack_a(const kk_mode *mode, const kk_real *a, int64_t lda, int64_t m, int64_t k, kk_real *to);
void kk_pack_a16(const kk_mode *mode, bool ta, const kk_real *a, int64_t lda, int64_t m, int64_t k, uint16_t *to);

/* m rows are cut into the fewest tiles that the kernel allows: rows of the tile at row i. As even as they go, but for
** AMX, whose tiles cost the same half full. */
static inline int64_t kk_tile_rows(const kk_mode *mode, int64_t m, int64_t i) {
  const int64_t tiles = (m + mode->rows - 1) / mode->rows, least = m / tiles, longer = m % tiles;
  if (mode->deep > 2) return m - i < mode->rows ? m - i : mode->rows;
  return i < longer * (least + 1) ? least + 1 : least;
}

#endif
