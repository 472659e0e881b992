#include "op/forget_mult.h"

#include "base/clones.h"
#include "op/vmath.h"

/* One expression for both directions: cells that backward makes again must be those of forward. */
static inline kk_real fo_cell(kk_real f, kk_real z, kk_real c) { return c + f * (z - c); }

/* ivdep: the gates, cells and results of a unit are its own. */
KK_CLONES void kk_fo_forward(const kk_fo *s, const kk_real *b, kk_real *c, kk_real *y) {
  const int64_t n = s->next;
  const kk_real *m = s->m;
  kk_real *a = s->g;
#pragma GCC ivdep
  for (int64_t u = 0; u < s->units; u++) {
    const kk_real z = kk_tanh(a[u] + b[u]), f = kk_sigmoid(a[n + u] + b[n + u]);
    a[u] = z;
    a[n + u] = f;
    c[u] = y[u] = fo_cell(f * m[u], z, c[u]);
  }
  if (!s->output) return;
#pragma GCC ivdep
  for (int64_t u = 0; u < s->units; u++) {
    const kk_real o = kk_sigmoid(a[2 * n + u] + b[2 * n + u]);
    a[2 * n + u] = o;
    y[u] = o * c[u];
  }
}

KK_CLONES void kk_fo_cells(const kk_fo *s, const kk_real *c0, kk_real *c1) {
  const kk_real *z = s->g, *f = s->g + s->next, *m = s->m;
#pragma GCC ivdep
  for (int64_t u = 0; u < s->units; u++) c1[u] = fo_cell(f[u] * m[u], z[u], c0[u]);
}

KK_CLONES void kk_fo_backward(const kk_fo *s, const kk_real *c0, const kk_real *c1, const kk_real *dy, kk_real *dc) {
  const int64_t n = s->next;
  const kk_real *m = s->m;
  kk_real *g = s->g;
  if (s->output) {
#pragma GCC ivdep
    for (int64_t u = 0; u < s->units; u++) {
      const kk_real o = g[2 * n + u];
      dc[u] += dy[u] * o;
      g[2 * n + u] = dy[u] * c1[u] * o * (1 - o);
    }
  } else {
    for (int64_t u = 0; u < s->units; u++) dc[u] += dy[u];
  }
#pragma GCC ivdep
  for (int64_t u = 0; u < s->units; u++) {
    const kk_real z = g[u], f = g[n + u], k = dc[u];
    g[u] = k * f * m[u] * (1 - z * z);
    g[n + u] = k * m[u] * (z - c0[u]) * f * (1 - f);
    dc[u] = k * (1 - f * m[u]);
  }
}

KK_CLONES void kk_fo_bias(const kk_fo *s, double *sum) {
  for (int64_t at = 0, q = s->output ? 3 : 2; q > 0; q--, at += s->next)
    for (int64_t u = at; u < at + s->units; u++) sum[u] += (double)s->g[u];
}
