/* kernel_amx.c -- tiles of 32 x 32 by AMX: four 16 x 16 accumulators, 32 elements of depth at a time.
**
** The kernel must be asked once per process for the right to use the tile registers. Their configuration lies in
** constant memory, and a compiler fence follows each store of a tile: the intrinsics do not say that they touch memory.
** The streamed operand is loaded past the first-level cache (TILELOADDT1). A run of tile instructions without any
** 512-bit one makes the next store slow; those that bring the sums to C are enough of them.
** Compiled with KK_AMX_IN_C the tile instructions are plain C: the tests run it so where there is no AMX. It adds up in
** another order, and keeps numbers below 2^-126, which the instructions take for zero. */
#include "linalg/kernel16.h"

#if defined(KK_AMX_IN_C) || (defined(__x86_64__) && defined(__GNUC__))
#include <string.h>

enum { SIDE = 16, DEEP = 32 };       /* rows of a tile, 64 bytes each: 16 floats, or 32 bfloat16 */

#ifdef KK_AMX_IN_C
#define KERNEL kk_kernel_amx_in_c
#define NAME "amx in C"
#define TARGET
static _Thread_local uint8_t tiles[8][SIDE][64];
static void tile_load(int t, const void *from, int64_t bytes) {
  for (int r = 0; r < SIDE; r++) memcpy(tiles[t][r], (const char *)from + r * bytes, 64);
}
static void tile_store(int t, void *to, int64_t bytes) {
  for (int r = 0; r < SIDE; r++) memcpy((char *)to + r * bytes, tiles[t][r], 64);
}
static float tile_float(const uint8_t *at) {
  uint16_t low;
  float x;
  memcpy(&low, at, 2);
  const uint32_t bits = (uint32_t)low << 16;
  memcpy(&x, &bits, 4);
  return x;
}
static void tile_dot(int c, int a, int b) {
  for (int m = 0; m < SIDE; m++)
    for (int n = 0; n < SIDE; n++) {
      float sum;
      memcpy(&sum, &tiles[c][m][4 * n], 4);
      for (int k = 0; k < DEEP; k++) sum += tile_float(&tiles[a][m][2 * k]) * tile_float(&tiles[b][k / 2][4 * n + k % 2 * 2]);
      memcpy(&tiles[c][m][4 * n], &sum, 4);
    }
}
#define ZERO(t) memset(tiles[t], 0, sizeof tiles[t])
#define LOAD(t, from, bytes) tile_load(t, from, bytes)
#define STREAM(t, from, bytes) tile_load(t, from, bytes)
#define STORE(t, to, bytes) tile_store(t, to, bytes)
#define DOT(c, a, b) tile_dot(c, a, b)
static bool have(void) { return true; }
static void enter(void) {}
static void leave(void) {}
static void put(int rows, int columns, const float *sums, float *c, int64_t ldc, bool add) {
  for (int r = 0; r < rows; r++)
    for (int j = 0; j < columns; j++) c[r * ldc + j] = add ? c[r * ldc + j] + sums[r * 32 + j] : sums[r * 32 + j];
}
#else
#include <cpuid.h>
#include <immintrin.h>
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif
#define KERNEL kk_kernel_amx
#define NAME "amx"
#define TARGET __attribute__((target("amx-tile,amx-bf16,avx512f")))
#define ZERO(t) _tile_zero(t)
#define LOAD(t, from, bytes) _tile_loadd(t, from, bytes)
#define STREAM(t, from, bytes) _tile_stream_loadd(t, from, bytes)
#define STORE(t, to, bytes) \
  do { \
    _tile_stored(t, to, bytes); \
    __asm__ volatile("" ::: "memory"); \
  } while (0)
#define DOT(c, a, b) _tile_dpbf16ps(c, a, b)

static const struct { uint8_t palette, start, none[14]; uint16_t bytes[16]; uint8_t rows[16]; } __attribute__((aligned(64)))
  config = {.palette = 1, .bytes = {64, 64, 64, 64, 64, 64, 64, 64}, .rows = {16, 16, 16, 16, 16, 16, 16, 16}};

static bool have(void) {
#if defined(__linux__) && defined(SYS_arch_prctl)
  enum { LEAF = 7, BF16 = 1 << 22, TILE = 1 << 24, REQUEST = 0x1023, TILE_DATA = 18 };
  static int asked;                  /* 0: not yet, 1: granted, -1: refused */
  unsigned a, b, c, d;
  if (!asked)
    asked = __get_cpuid_count(LEAF, 0, &a, &b, &c, &d) && (d & BF16) && (d & TILE) && __builtin_cpu_supports("avx512f") &&
            syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0 ? 1 : -1;
  return asked > 0;
#else
  return false;
#endif
}

TARGET static void enter(void) { _tile_loadconfig(&config); }
TARGET static void leave(void) { _tile_release(); }

/* The plain loop becomes a call of memcpy for each row, or some code for the columns that are left over. */
TARGET static void put(int rows, int columns, const float *sums, float *c, int64_t ldc, bool add) {
  for (int j = 0; j < columns; j += SIDE) {
    const __mmask16 those = (__mmask16)(columns - j < SIDE ? (1u << (columns - j)) - 1 : 0xFFFF);
    for (int r = 0; r < rows; r++) {
      float *to = c + r * ldc + j;
      __m512 x = _mm512_load_ps(sums + r * 32 + j);
      if (add) x = _mm512_add_ps(_mm512_maskz_loadu_ps(those, to), x);
      _mm512_mask_storeu_ps(to, those, x);
    }
  }
}
#endif

/* Accumulators 0..3: rows 0..15 and 16..31 by columns 0..15 and 16..31; tiles 4, 5: A; 6, 7: B. */
TARGET static inline __attribute__((always_inline)) void tile_fixed(const bool low, const bool right, int64_t depth,
    const uint16_t *a, int64_t as, const uint16_t *b, int wide, float *sums, const char *next) {
  const int64_t a_bytes = as * 2, b_bytes = (int64_t)wide * 4;
  const char *at = (const char *)a, *from = (const char *)b;
  ZERO(0);
  if (right) ZERO(1);
  if (low) ZERO(2);
  if (low && right) ZERO(3);
  for (int64_t k = 0; k < depth; k += DEEP) {
    STREAM(6, from, b_bytes);
    if (right) STREAM(7, from + 64, b_bytes);
    LOAD(4, at, a_bytes);
    DOT(0, 4, 6);
    if (right) DOT(1, 4, 7);
    if (low) {
      LOAD(5, at + SIDE * a_bytes, a_bytes);
      DOT(2, 5, 6);
      if (right) DOT(3, 5, 7);
    }
    for (int i = 0; i < 16; i++) __builtin_prefetch(next + 64 * i, 0, 2);
    next += 16 * 64;
    at += 64;
    from += SIDE * b_bytes;
  }
  STORE(0, sums, 128);
  if (right) STORE(1, sums + SIDE, 128);
  if (low) STORE(2, sums + SIDE * 32, 128);
  if (low && right) STORE(3, sums + SIDE * 32 + SIDE, 128);
}

TARGET static void tile(int rows, int columns, int wide, int64_t depth, const uint16_t *a, int64_t as, const uint16_t *b,
                        float *c, int64_t ldc, bool add, const void *next) {
  _Alignas(64) float sums[32][32];
  const bool low = rows > SIDE, right = wide > SIDE;
  if (low && right) tile_fixed(true, true, depth, a, as, b, wide, sums[0], next);
  else if (low) tile_fixed(true, false, depth, a, as, b, wide, sums[0], next);
  else if (right) tile_fixed(false, true, depth, a, as, b, wide, sums[0], next);
  else tile_fixed(false, false, depth, a, as, b, wide, sums[0], next);
  put(rows, columns, sums[0], c, ldc, add);
}

const kk_kernel16 KERNEL = {.name = NAME, .rows = 2 * SIDE, .columns = 2 * SIDE, .deep = DEEP, .have = have, .enter = enter,
                            .leave = leave, .tile = tile};
#else
typedef int kk_kernel_amx_absent;
#endif
