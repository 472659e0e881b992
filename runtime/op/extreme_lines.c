/* extreme_lines.c -- one pass over lines, or over blocks of columns where lines are not contiguous. */
#include "base/clones.h"
#include "op/extreme.h"

enum { COLUMNS = 64 };

#define EXTREME_LINE(name, T, op)                                                   \
  static int64_t name(const T *x, int64_t n, int64_t stride) {                      \
    int64_t best = 0;                                                               \
    T top = x[0];                                                                   \
    if (top != top) return 0;                                                       \
    for (int64_t i = 1; i < n; i++) {                                               \
      T v = x[i * stride];                                                          \
      if (v != v) return i;                                                         \
      if (v op top) top = v, best = i;                                              \
    }                                                                               \
    return best;                                                                    \
  }
/* w columns at once, n rows of them: the same choice, side by side. */
#define EXTREME_COLUMNS(name, op)                                                   \
  KK_CLONES static void name(const kk_real *x, int64_t n, int64_t stride, int64_t w, int32_t *best) { \
    kk_real top[COLUMNS];                                                           \
    for (int64_t i = 0; i < w; i++) top[i] = x[i], best[i] = 0;                     \
    for (int64_t k = 1; k < n; k++)                                                 \
      for (int64_t i = 0; i < w; i++) {                                             \
        kk_real v = x[k * stride + i];                                              \
        bool take = (v op top[i]) | ((v != v) & (top[i] == top[i]));                \
        top[i] = take ? v : top[i];                                                 \
        best[i] = take ? (int32_t)k : best[i];                                      \
      }                                                                             \
  }
EXTREME_LINE(largest_f, kk_real, >)
EXTREME_LINE(largest_i, int32_t, >)
EXTREME_LINE(largest_l, int64_t, >)
EXTREME_LINE(largest_u, uint8_t, >)
EXTREME_LINE(smallest_f, kk_real, <)
EXTREME_LINE(smallest_i, int32_t, <)
EXTREME_LINE(smallest_l, int64_t, <)
EXTREME_LINE(smallest_u, uint8_t, <)
EXTREME_COLUMNS(largest_columns, >)
EXTREME_COLUMNS(smallest_columns, <)

static int64_t extreme_place(const kk_tensor *t, bool largest, int64_t base, int64_t n, int64_t stride) {
  switch (kk_type(t)) {
    case KK_F32: return (largest ? largest_f : smallest_f)(kk_real_data(t) + base, n, stride);
    case KK_I32: return (largest ? largest_i : smallest_i)(kk_i32_data(t) + base, n, stride);
    case KK_I64: return (largest ? largest_l : smallest_l)((const int64_t *)kk_data(t) + base, n, stride);
    default: return (largest ? largest_u : smallest_u)((const uint8_t *)kk_data(t) + base, n, stride);
  }
}

typedef struct extreme_job {
  const kk_tensor *x;
  kk_tensor *y, *at, *kept;
  kk_axis a;
  bool largest;
  int64_t across;
} extreme_job;

static void extreme_store(const extreme_job *j, int64_t line, int64_t base, int64_t place) {
  if (j->y) kk_extreme_copy(j->y, line, j->x, base + place * j->a.inner);
  if (j->at) kk_i32_data(j->at)[line] = (int32_t)place;
  if (j->kept) kk_i32_data(j->kept)[line] = (int32_t)place;
}

/* Blocks of columns of float32, single lines of other types and of contiguous lines. */
static void extreme_blocks(void *arg, int64_t begin, int64_t end) {
  const extreme_job *j = arg;
  int64_t inner = j->a.inner, n = j->a.n;
  for (int64_t t = begin; t < end; t++) {
    int64_t o = t / j->across, q = t % j->across * COLUMNS, w = inner - q < COLUMNS ? inner - q : COLUMNS;
    int64_t base = o * n * inner + q, line = o * inner + q;
    int32_t best[COLUMNS];
    if (inner > 1 && kk_type(j->x) == KK_F32)
      (j->largest ? largest_columns : smallest_columns)(kk_real_data(j->x) + base, n, inner, w, best);
    else
      for (int64_t i = 0; i < w; i++) best[i] = (int32_t)extreme_place(j->x, j->largest, base + i, n, inner);
    for (int64_t i = 0; i < w; i++) extreme_store(j, line + i, base + i, best[i]);
  }
}

void kk_extreme_lines(kk_call *c, bool largest, kk_tensor *y, kk_tensor *at, kk_tensor *kept) {
  kk_axis a = kk_reduce_axis(c);
  extreme_job j = {c->in[0], y, at, kept, a, largest, (a.inner + COLUMNS - 1) / COLUMNS};
  kk_pool_for(a.outer * j.across, 1 + 16384 / ((a.inner < COLUMNS ? a.inner : COLUMNS) * a.n + 8), extreme_blocks, &j);
}
