/* q16.c -- see q16.h. */
#include "linalg/q16.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clones.h"
#include "base/pool.h"
#include "linalg/q8.h"

static bool portable_have(void) { return true; }

static void portable_tile(int rows, int64_t pairs, const int16_t *a, int64_t lda, const int16_t *b,
                          int32_t c[][KK_Q16_PANEL]) {
  for (int r = 0; r < rows; r++) {
    int32_t sum[KK_Q16_PANEL] = {0};
    for (int64_t p = 0; p < pairs; p++)
      for (int j = 0; j < KK_Q16_PANEL; j++) {
        const int16_t *w = b + (p * KK_Q16_PANEL + j) * KK_Q16_PAIR;
        sum[j] += a[r * lda + 2 * p] * w[0] + a[r * lda + 2 * p + 1] * w[1];
      }
    memcpy(c[r], sum, sizeof sum);
  }
}

static const kk_q16_kernel portable = {"portable", portable_have, portable_tile};

#if defined(__x86_64__) && defined(__GNUC__)
extern const kk_q16_kernel kk_q16_avx2;
#endif

const kk_q16_kernel *const kk_q16_kernels[] = {
#if defined(__x86_64__) && defined(__GNUC__)
  &kk_q16_avx2,
#endif
  &portable, NULL};

static const kk_q16_kernel *kernel;

const kk_q16_kernel *kk_q16_kernel_used(void) {
  const char *want = getenv("KOOKA_KERNEL");
  const bool plain = want && (strcmp(want, "portable") == 0 || strcmp(want, "neon") == 0);
  for (int i = 0; !kernel; i++)
    if ((!plain || !kk_q16_kernels[i + 1]) && kk_q16_kernels[i]->have()) kernel = kk_q16_kernels[i];
  return kernel;
}

/* ---- to words */
/* k most^2 < 2^31; -32768 is no word: a pair of them times a pair of them would not fit either. */
int32_t kk_q16_most(int64_t k) {
  const double most = floor(sqrt(2147483647.0 / (double)k));
  return most < 32767 ? (int32_t)most : 32767;
}

KK_CLONES static void q16_round(const kk_real *x, int64_t n, float by, int16_t *to) {
  for (int64_t i = 0; i < n; i++) to[i] = (int16_t)(int32_t)rintf((float)x[i] * by);
}

void kk_q16_row(const kk_real *x, int64_t k, int16_t *to, kk_real *scale) {
  const float largest = kk_q8_largest(x, k), most = (float)kk_q16_most(k) - .5f;    /* rounding up may not pass it */
  const bool fine = largest > 1e-30f && largest <= 3.4e38f;
  if (fine) q16_round(x, k, most / largest, to);
  else memset(to, 0, (size_t)k * sizeof *to);
  *scale = fine ? (kk_real)largest / (kk_real)most : largest <= 1e-30f ? 0 : (kk_real)NAN;
  for (int64_t i = k; i < kk_q16_width(k); i++) to[i] = 0;
}

/* ---- packing */
size_t kk_q16_bytes(int64_t k, int64_t n) {
  return (size_t)((n + KK_Q16_PANEL - 1) / KK_Q16_PANEL * KK_Q16_PANEL * kk_q16_width(k)) * sizeof(int16_t);
}

typedef struct q16_job { int64_t k, n; const int16_t *q; int16_t *to; } q16_job;

static void q16_pack_panels(void *arg, int64_t begin, int64_t end) {
  const q16_job *j = arg;
  const int64_t width = kk_q16_width(j->k), pairs = width / KK_Q16_PAIR;
  for (int64_t column = begin * KK_Q16_PANEL; column < end * KK_Q16_PANEL; column++) {
    const int64_t in = column % KK_Q16_PANEL;
    int16_t *to = j->to + (column - in) * width + in * KK_Q16_PAIR;
    for (int64_t p = 0; p < pairs; p++, to += KK_Q16_PANEL * KK_Q16_PAIR) {
      static const int16_t none[KK_Q16_PAIR];
      memcpy(to, column < j->n ? j->q + column * width + p * KK_Q16_PAIR : none, sizeof none);
    }
  }
}

void kk_q16_pack(int64_t k, int64_t n, const int16_t *q, void *to) {
  q16_job j = {k, n, q, to};
  kk_pool_for((n + KK_Q16_PANEL - 1) / KK_Q16_PANEL, 4, q16_pack_panels, &j);
}

/* ---- products */
KK_CLONES static void q16_scale(int64_t m, int32_t sum[][KK_Q16_PANEL], const kk_real *s, const kk_real *scale, kk_real *y,
                                int64_t ldy) {
  for (int64_t i = 0; i < m; i++, y += ldy)
    for (int64_t j = 0; j < KK_Q16_PANEL; j++) y[j] = s[i] * scale[j] * (kk_real)sum[i][j];
}

void kk_q16_panel(int64_t k, const void *packed, int64_t n0, int64_t m, const int16_t *rows, const kk_real *s,
                  const kk_real *scale, kk_real *y, int64_t ldy) {
  const int64_t width = kk_q16_width(k);
  const int16_t *b = (const int16_t *)packed + n0 * width;
  int32_t sum[KK_Q16_ROWS][KK_Q16_PANEL];
  for (int64_t i = 0, some; i < m; i += some) {
    some = m - i < KK_Q16_ROWS ? m - i : KK_Q16_ROWS;
    kernel->tile((int)some, width / KK_Q16_PAIR, rows + i * width, width, b, sum);
    q16_scale(some, sum, s + i, scale, y + i * ldy, ldy);
  }
}
