/* pack.c -- operands in the kernels' order: B in panels, A' in tiles. */
#include "linalg/pack.h"

#include <string.h>

#include "base/clones.h"
#include "base/pool.h"

enum { ROWS = 16, SPAN = 32 };           /* rows of one piece of work; elements of a stored row looked at together */

static int64_t pack_columns(const kk_pack_job *j, int64_t p, int64_t *wide) {
  const int64_t panel = (int64_t)j->kernel->vecs * j->kernel->lanes, lanes = j->kernel->lanes;
  const int64_t left = j->n - p * panel, w = left < panel ? left : panel;
  *wide = (w + lanes - 1) / lanes * lanes;
  return w;
}

static kk_real *pack_panel(const kk_pack_job *j, int64_t p) {
  return j->to + (p - j->p0) * j->rows * j->kernel->vecs * j->kernel->lanes;
}

static const kk_real *pack_source(const kk_pack_job *j, int64_t row, int64_t at, int64_t n, kk_real *buffer) {
  if (!j->row) return j->b + row * j->ldb + at;
  j->row(j->arg, row, at, n, buffer);
  return buffer;
}

/* B as it lies: a row of a panel is a piece of a row of B. */
static void pack_straight(const kk_pack_job *j, int64_t r0, int64_t r1) {
  const int64_t panel = (int64_t)j->kernel->vecs * j->kernel->lanes;
  kk_real buffer[KK_KERNEL_COLUMNS];
  for (int64_t p = j->p0; p < j->p1; p++) {
    int64_t wide, w = pack_columns(j, p, &wide);
    kk_real *to = pack_panel(j, p) + (r0 - j->k0) * wide;
    for (int64_t r = r0; r < r1; r++, to += wide) {
      memcpy(to, pack_source(j, r, p * panel, w, buffer), (size_t)w * sizeof *to);
      for (int64_t i = w; i < wide; i++) to[i] = 0;
    }
  }
}

KK_CLONES static void pack_turn(const kk_real *const *from, int64_t w, int64_t wide, int64_t n, kk_real *to) {
  for (int64_t q = 0; q < n; q++, to += wide) {
    for (int64_t i = 0; i < w; i++) to[i] = from[i][q];
    for (int64_t i = w; i < wide; i++) to[i] = 0;
  }
}

/* B transposed: a column of a panel is a piece of a row of B. */
static void pack_turned(const kk_pack_job *j, int64_t p) {
  const int64_t panel = (int64_t)j->kernel->vecs * j->kernel->lanes;
  kk_real buffer[KK_KERNEL_COLUMNS][SPAN], *to = pack_panel(j, p);
  const kk_real *from[KK_KERNEL_COLUMNS];
  int64_t wide, w = pack_columns(j, p, &wide);
  for (int64_t r = j->k0; r < j->k1; r += SPAN) {
    const int64_t n = j->k1 - r < SPAN ? j->k1 - r : SPAN;
    for (int64_t i = 0; i < w; i++) from[i] = pack_source(j, p * panel + i, r, n, buffer[i]);
    pack_turn(from, w, wide, n, to + (r - j->k0) * wide);
  }
}

static void pack_piece(void *arg, int64_t begin, int64_t end) {
  const kk_pack_job *j = arg;
  if (j->tb)
    for (int64_t p = begin; p < end; p++) pack_turned(j, j->p0 + p);
  else pack_straight(j, j->k0 + begin, j->k0 + end);
}

void kk_pack_parallel(const kk_pack_job *j) {
  if (j->tb) kk_pool_for(j->p1 - j->p0, 1, pack_piece, (void *)(uintptr_t)j);
  else kk_pool_for(j->k1 - j->k0, ROWS, pack_piece, (void *)(uintptr_t)j);
}

void kk_pack_serial(const kk_pack_job *j) {
  pack_piece((void *)(uintptr_t)j, 0, j->tb ? j->p1 - j->p0 : j->k1 - j->k0);
}

/* Rows of tiles are short: a copy of a constant size is a few instructions, another one is a call. */
KK_CLONES static void pack_tiles(const kk_real *a, int64_t lda, int64_t tiles, int64_t k, kk_real *to) {
  for (int64_t q = 0; q < k; q++)
    for (int64_t t = 0; t < tiles; t++)
      memcpy(to + (t * k + q) * KK_KERNEL_ROWS, a + q * lda + t * KK_KERNEL_ROWS, KK_KERNEL_ROWS * sizeof *to);
}

void kk_pack_a(const kk_kernel *kernel, const kk_real *a, int64_t lda, int64_t m, int64_t k, kk_real *to) {
  if (kernel->rows == KK_KERNEL_ROWS && m % KK_KERNEL_ROWS == 0) {
    pack_tiles(a, lda, m / KK_KERNEL_ROWS, k, to);
    return;
  }
  for (int64_t i = 0, rows; i < m; i += rows) {
    rows = kk_tile_rows(kernel, m, i);
    for (int64_t q = 0; q < k; q++)
      for (int64_t r = 0; r < rows; r++) to[i * k + q * rows + r] = a[q * lda + i + r];
  }
}
