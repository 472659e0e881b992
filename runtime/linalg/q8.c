#include "linalg/q8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clones.h"
#include "base/pool.h"

const kk_q8_kernel *const kk_q8_kernels[] = {
#if defined(__x86_64__) && defined(__GNUC__)
  &kk_q8_avx512vnni, &kk_q8_avxvnni, &kk_q8_avx2,
#endif
  &kk_q8_portable, NULL};

static const kk_q8_kernel *kernel;

/* Families in which KOOKA_KERNEL speaks: "portable" and "neon" < "avx2" < all others. */
static int q8_family(const char *name) {
  if (strcmp(name, "portable") == 0 || strcmp(name, "neon") == 0) return 0;
  return strcmp(name, "avx2") == 0 ? 1 : 2;
}

const kk_q8_kernel *kk_q8_kernel_used(void) {
  const char *want = getenv("KOOKA_KERNEL");
  const int most = want && *want ? q8_family(want) : 2;
  for (int i = 0; !kernel; i++)          /* the last one runs everywhere */
    if (q8_family(kk_q8_kernels[i]->name) <= most && kk_q8_kernels[i]->have()) kernel = kk_q8_kernels[i];
  return kernel;
}

/* ---- to eight bits */
KK_CLONES float kk_q8_largest(const kk_real *x, int64_t n) {
  uint32_t most = 0;
  float v;
  for (int64_t i = 0; i < n; i++) {
    const float xi = (float)x[i];
    uint32_t bits;
    memcpy(&bits, &xi, sizeof bits);
    bits &= 0x7FFFFFFFu;
    most = bits > most ? bits : most;
  }
  memcpy(&v, &most, sizeof v);
  return v;
}

KK_CLONES static void q8_round(const kk_real *x, int64_t n, float by, uint8_t *to) {
  for (int64_t i = 0; i < n; i++) to[i] = (uint8_t)(KK_Q8_ZERO + (int32_t)rintf((float)x[i] * by));
}

/* Rows below 1e-30 are zero: 127 / max would not be finite. */
static void q8_row(const kk_real *x, int64_t n, uint8_t *to, kk_real *scale) {
  const float most = kk_q8_largest(x, n);
  if (most > 1e-30f && most <= 3.4e38f) {
    q8_round(x, n, 127 / most, to);
    *scale = (kk_real)most / 127;
  } else {
    memset(to, KK_Q8_ZERO, (size_t)n);
    *scale = most <= 1e-30f ? 0 : (kk_real)NAN;
  }
}

void kk_q8_weights(const kk_real *w, int64_t k, uint8_t *q, kk_real *scale) { q8_row(w, k, q, scale); }

typedef struct q8_rows { const kk_real *x; int64_t k; uint8_t *u; kk_real *s; } q8_rows;

static void q8_rows_chunk(void *arg, int64_t begin, int64_t end) {
  const q8_rows *j = arg;
  const int64_t width = kk_q8_width(j->k);
  for (int64_t i = begin; i < end; i++) {
    q8_row(j->x + i * j->k, j->k, j->u + i * width, j->s + i);
    memset(j->u + i * width + j->k, KK_Q8_ZERO, (size_t)(width - j->k));
  }
}

void kk_q8_activations(const kk_real *x, int64_t m, int64_t k, uint8_t *u, kk_real *s) {
  q8_rows j = {x, k, u, s};
  if (m * k < 1 << 15) q8_rows_chunk(&j, 0, m);
  else kk_pool_for(m, 8, q8_rows_chunk, &j);
}

/* ---- packing */
int64_t kk_q8_panels(int64_t n, int64_t parts) {
  const int64_t rows = n / parts, each = KK_Q8_PANEL / parts;
  return (rows + each - 1) / each;
}

static size_t q8_data_bytes(int64_t k, int64_t n, int64_t parts) {
  return (size_t)(kk_q8_panels(n, parts) * kk_q8_groups(k)) * KK_Q8_PANEL * KK_Q8_GROUP;
}

size_t kk_q8_bytes(int64_t k, int64_t n, int64_t parts) {
  return q8_data_bytes(k, n, parts) + (size_t)(kk_q8_panels(n, parts) * KK_Q8_PANEL) * sizeof(int32_t);
}

kk_q8 kk_q8_packed(int64_t k, int64_t n, int64_t parts, const void *at) {
  return (kk_q8){k, n, parts, kk_q8_panels(n, parts), at,
                 (const int32_t *)(const void *)((const char *)at + q8_data_bytes(k, n, parts))};
}

/* The row of W that is column j, or -1. */
static int64_t q8_source(const kk_q8 *w, int64_t j) {
  const int64_t rows = w->n / w->parts, each = KK_Q8_PANEL / w->parts, in = j % KK_Q8_PANEL;
  const int64_t row = j / KK_Q8_PANEL * each + in % each;
  return row < rows ? in / each * rows + row : -1;
}

typedef struct q8_job { kk_q8 w; const uint8_t *q; int8_t *data; int32_t *zero; } q8_job;

static void q8_pack_panels(void *arg, int64_t begin, int64_t end) {
  const q8_job *j = arg;
  const int64_t k = j->w.k, groups = kk_q8_groups(k);
  for (int64_t column = begin * KK_Q8_PANEL; column < end * KK_Q8_PANEL; column++) {
    const int64_t row = q8_source(&j->w, column);
    const int64_t panel = column / KK_Q8_PANEL * KK_Q8_PANEL;
    int8_t *to = j->data + (panel * groups + column - panel) * KK_Q8_GROUP;
    int32_t sum = 0;
    for (int64_t g = 0; g < groups; g++, to += KK_Q8_PANEL * KK_Q8_GROUP)
      for (int64_t i = 0; i < KK_Q8_GROUP; i++) {
        const int64_t at = g * KK_Q8_GROUP + i;
        to[i] = row >= 0 && at < k ? (int8_t)(j->q[row * k + at] - KK_Q8_ZERO) : 0;
        sum += to[i];
      }
    j->zero[column] = KK_Q8_ZERO * sum;
  }
}

kk_q8 kk_q8_pack(int64_t k, int64_t n, int64_t parts, const uint8_t *q, void *to) {
  q8_job j = {kk_q8_packed(k, n, parts, to), q, to, (int32_t *)(void *)((char *)to + q8_data_bytes(k, n, parts))};
  kk_pool_for(j.w.panels, 1, q8_pack_panels, &j);
  return j.w;
}

void kk_q8_order(const kk_q8 *w, const kk_real *v, kk_real *to) {
  for (int64_t j = 0; j < w->panels * KK_Q8_PANEL; j++) {
    const int64_t row = v ? q8_source(w, j) : -1;
    to[j] = row >= 0 ? v[row] : 0;
  }
}

/* ---- products */
KK_CLONES static void q8_scale(int64_t m, int32_t sum[][KK_Q8_PANEL], const int32_t *zero, const kk_real *s,
                               const kk_real *scale, const kk_real *add, kk_real *y, int64_t ldy) {
  for (int64_t i = 0; i < m; i++, y += ldy) {
    const kk_real *more = add ? add : y;
    for (int64_t j = 0; j < KK_Q8_PANEL; j++) y[j] = more[j] + s[i] * scale[j] * (kk_real)(sum[i][j] - zero[j]);
  }
}

void kk_q8_panel(const kk_q8 *w, int64_t p, int64_t m, const uint8_t *u, const kk_real *s, const kk_real *scale,
                 const kk_real *add, kk_real *y, int64_t ldy) {
  const int64_t groups = kk_q8_groups(w->k), width = kk_q8_width(w->k);
  const int8_t *b = w->data + p * groups * KK_Q8_PANEL * KK_Q8_GROUP;
  int32_t sum[KK_Q8_ROWS][KK_Q8_PANEL];
  for (int64_t i = 0, rows; i < m; i += rows) {
    rows = m - i < KK_Q8_ROWS ? m - i : KK_Q8_ROWS;
    kernel->tile((int)rows, groups, u + i * width, width, b, sum);
    q8_scale(rows, sum, w->zero + p * KK_Q8_PANEL, s + i, scale, add, y + i * ldy, ldy);
  }
}
