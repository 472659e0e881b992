/* pack.c -- operands in the kernels' order: B in panels, A in tiles or rows. */
#include "linalg/pack.h"

#include <string.h>

#include "base/clones.h"
#include "base/pool.h"

enum { ROWS = 32, SPAN = KK_ROW_SPAN };  /* rows of B that are one piece of work; of a transposed B, elements looked at together */

static int64_t pack_columns(const kk_pack_job *j, int64_t p, int64_t *wide) {
  const int64_t left = j->n - p * j->mode->columns, w = left < j->mode->columns ? left : j->mode->columns;
  *wide = kk_up(w, j->mode->lanes);
  return w;
}

static const kk_real *pack_source(const kk_pack_job *j, int64_t row, int64_t at, int64_t n, kk_real *buffer) {
  if (!j->row) return j->b + row * j->ldb + at;
  j->row(j->arg, row, at, n, buffer);
  return buffer;
}

/* B as it lies: a row of a panel is a piece of a row of B. */
static void pack_straight(const kk_pack_job *j, int64_t p, int64_t r0, int64_t r1, kk_real *to) {
  kk_real buffer[KK_KERNEL_COLUMNS];
  int64_t wide, w = pack_columns(j, p, &wide);
  for (int64_t r = r0; r < r1; r++, to += wide) {
    memcpy(to, pack_source(j, r, p * j->mode->columns, w, buffer), (size_t)w * sizeof *to);
    for (int64_t i = w; i < wide; i++) to[i] = 0;
  }
}

KK_CLONES static void pack_turn(const kk_real *const *from, int64_t w, int64_t wide, int64_t n, kk_real *to) {
  for (int64_t q = 0; q < n; q++, to += wide) {
    for (int64_t i = 0; i < w; i++) to[i] = from[i][q];
    for (int64_t i = w; i < wide; i++) to[i] = 0;
  }
}

/* B transposed: a column of a panel is a piece of a row of B. At most SPAN rows of the panel. */
static void pack_turned(const kk_pack_job *j, int64_t p, int64_t r0, int64_t r1, kk_real *to) {
  kk_real buffer[KK_KERNEL_COLUMNS][SPAN];
  const kk_real *from[KK_KERNEL_COLUMNS];
  int64_t wide, w = pack_columns(j, p, &wide);
  for (int64_t i = 0; i < w; i++) from[i] = pack_source(j, p * j->mode->columns + i, r0, r1 - r0, buffer[i]);
  pack_turn(from, w, wide, r1 - r0, to);
}

/* To the nearest bfloat16, ties to even; a NaN stays one. */
static inline uint16_t pack_low(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  const uint32_t up = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
  return (uint16_t)((bits & 0x7FFFFFFF) > 0x7F800000 ? bits >> 16 | 0x40 : up);
}

/* What is left of x when its bfloat16 is taken away; 0 where that is not finite. */
static inline uint16_t pack_rest(float x, uint16_t high) {
  const uint32_t bits = (uint32_t)high << 16;
  float h;
  memcpy(&h, &bits, sizeof h);
  return (bits & 0x7F800000) == 0x7F800000 ? 0 : pack_low(x - h);
}

/* Rows 2q and 2q+1 of [n][wide] side by side; a row that is missing is zero. */
KK_CLONES static void pack_pairs(const kk_real *rows, int64_t n, int64_t wide, bool rest, uint16_t *restrict to) {
  for (int64_t q = 0; q < n; q += 2)
    for (int64_t i = 0; i < wide; i++) {
      const float x = (float)rows[q * wide + i], y = q + 1 < n ? (float)rows[(q + 1) * wide + i] : 0;
      const uint16_t a = pack_low(x), b = pack_low(y);
      to[q * wide + 2 * i] = rest ? pack_rest(x, a) : a;
      to[q * wide + 2 * i + 1] = rest ? pack_rest(y, b) : b;
    }
}

/* Rows r0 .. r1-1, which lie in one block, of panel p as bfloat16; the last ones of a block with the padding behind. */
static void pack_low_rows(const kk_pack_job *j, int64_t p, int64_t r0, int64_t r1, const kk_real *rows, uint16_t *panel) {
  const int64_t at = (r0 - j->k0) % j->block, first = r0 - at, end = first + j->block < j->k1 ? first + j->block : j->k1;
  const int64_t one = kk_up(end - first, j->mode->deep);
  int64_t wide, padding = r1 == end ? one - kk_up(r1 - first, 2) : 0;
  pack_columns(j, p, &wide);
  uint16_t *to = panel + kk_mode_depths(j->mode, first - j->k0, j->block) * wide;
  for (int64_t copy = 0; copy < j->mode->copies; copy++, to += one * wide) {
    pack_pairs(rows, r1 - r0, wide, copy == 1, to + at * wide);
    memset(to + (one - padding) * wide, 0, (size_t)(padding * wide) * sizeof *to);
  }
}

static void pack_rows(const kk_pack_job *j, int64_t p, int64_t r0, int64_t r1) {
  const int64_t deep = kk_mode_depths(j->mode, j->k1 - j->k0, j->block);
  char *panel = (char *)j->to + (p - j->p0) * deep * j->mode->columns * j->mode->bytes;
  kk_real buffer[SPAN * KK_KERNEL_COLUMNS], *to = buffer;
  int64_t wide;
  pack_columns(j, p, &wide);
  if (!j->mode->kernel16) to = (kk_real *)(void *)panel + (r0 - j->k0) * wide;
  if (j->tb) pack_turned(j, p, r0, r1, to);
  else pack_straight(j, p, r0, r1, to);
  if (j->mode->kernel16) pack_low_rows(j, p, r0, r1, buffer, (uint16_t *)(void *)panel);
}

/* Of B transposed a piece of work is a panel, else some rows of all panels: as memory lies. */
static void pack_piece(void *arg, int64_t begin, int64_t end) {
  const kk_pack_job *j = arg;
  const int64_t p0 = j->tb ? j->p0 + begin : j->p0, p1 = j->tb ? j->p0 + end : j->p1;
  const int64_t r0 = j->tb ? j->k0 : j->k0 + begin, r1 = j->tb ? j->k1 : j->k0 + end;
  for (int64_t p = p0; p < p1; p++)
    for (int64_t r = r0, next; r < r1; r = next) {
      const int64_t first = j->k0 + (r - j->k0) / j->block * j->block;
      next = r + SPAN < first + j->block ? r + SPAN : first + j->block;
      if (next > r1) next = r1;
      pack_rows(j, p, r, next);
    }
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

void kk_pack_a(const kk_mode *mode, const kk_real *a, int64_t lda, int64_t m, int64_t k, kk_real *to) {
  if (mode->rows == KK_KERNEL_ROWS && m % KK_KERNEL_ROWS == 0) {
    pack_tiles(a, lda, m / KK_KERNEL_ROWS, k, to);
    return;
  }
  for (int64_t i = 0, rows; i < m; i += rows) {
    rows = kk_tile_rows(mode, m, i);
    for (int64_t q = 0; q < k; q++)
      for (int64_t r = 0; r < rows; r++) to[i * k + q * rows + r] = a[q * lda + i + r];
  }
}

KK_CLONES static void pack_low_row(const kk_real *from, int64_t n, bool rest, uint16_t *restrict to) {
  for (int64_t q = 0; q < n; q++) {
    const float x = (float)from[q];
    const uint16_t high = pack_low(x);
    to[q] = rest ? pack_rest(x, high) : high;
  }
}

void kk_pack_a16(const kk_mode *mode, bool ta, const kk_real *a, int64_t lda, int64_t m, int64_t k, uint16_t *to) {
  enum { SIDE = 64 };
  const int64_t one = kk_up(k, mode->deep), depth = mode->copies * one;
  kk_real turned[SIDE];
  for (int64_t q = 0; q < k; q += SIDE)
    for (int64_t r = 0; r < m; r++) {
      const int64_t n = k - q < SIDE ? k - q : SIDE;
      const kk_real *from = ta ? turned : a + r * lda + q;
      for (int64_t i = 0; ta && i < n; i++) turned[i] = a[(q + i) * lda + r];
      for (int64_t copy = 0; copy < mode->copies; copy++) pack_low_row(from, n, copy == 2, to + r * depth + copy * one + q);
    }
  for (int64_t r = 0; one > k && r < m; r++)
    for (int64_t copy = 0; copy < mode->copies; copy++)
      memset(to + r * depth + copy * one + k, 0, (size_t)(one - k) * sizeof *to);
}
