/* peak_amx.c -- the probe of Intel's bfloat16 tiles, and the permission that a process needs for them. */
#define _GNU_SOURCE
#include "linalg/peak.h"

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__)
#include <cpuid.h>
#include <immintrin.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18, TILE_STATE = 3 << 17 };

/* cpuid leaf 7: AMX-BF16 is bit 22 of edx, AMX-TILE bit 24; OSXSAVE is bit 27 of leaf 1's ecx. The system keeps
** tiles when bits 17 and 18 of XCR0 are set, and gives them to a process that asked (Linux 5.16). */
static bool amx_ask(void) {
  unsigned a, b, c, d, low, high;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & 1u << 27)) return false;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & 1u << 22) || !(d & 1u << 24)) return false;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if ((low & TILE_STATE) != TILE_STATE) return false;
  return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}

static bool allowed;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void amx_ask_once(void) { allowed = amx_ask(); }

bool kk_peak_amx_allowed(void) {
  pthread_once(&once, amx_ask_once);
  return allowed;
}

/* Eight tiles of 16 rows of 64 bytes. In constant memory, and behind a fence: gcc 12's intrinsics
** do not say that they read memory. */
static const struct tile_config {
  uint8_t palette, start, reserved[14];
  uint16_t bytes[16];
  uint8_t rows[16];
} amx_config __attribute__((aligned(64))) = {
  .palette = 1, .bytes = {64, 64, 64, 64, 64, 64, 64, 64}, .rows = {16, 16, 16, 16, 16, 16, 16, 16}};

/* Numbers in bfloat16 of mixed sign and size: with zeros the tiles run a quarter faster than they ever do. */
static void amx_fill(uint16_t *v, int n) {
  uint32_t s = 12345;
  for (int i = 0; i < n; i++) {
    s = s * 1664525u + 1013904223u;
    v[i] = (uint16_t)((s >> 16 & 0x807f) | (0x3d80 + (s >> 9 & 0x180)));
  }
}

__attribute__((target("amx-tile,amx-bf16"))) void kk_peak_amx_run(int rounds) {
  uint16_t data[16 * 32] __attribute__((aligned(64)));
  amx_fill(data, 16 * 32);
  _tile_loadconfig(&amx_config);
  __asm__ volatile("" ::: "memory");
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_loadd(4, data, 64);
  _tile_loadd(5, data, 64);
  _tile_loadd(6, data, 64);
  _tile_loadd(7, data, 64);
  __asm__ volatile("" ::: "memory");
  for (int r = 0; r < rounds; r++) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_release();
  __asm__ volatile("" ::: "memory");
}
#else
bool kk_peak_amx_allowed(void) { return false; }
void kk_peak_amx_run(int rounds) { (void)rounds; }
#endif
