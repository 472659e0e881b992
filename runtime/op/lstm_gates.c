#include "op/lstm_gates.h"

#include "base/clones.h"
#include "op/vmath.h"

/* ivdep: places are either the same for the same u (a and g, g and dg, c0 and c1) or never meet. */
KK_CLONES void kk_gates_forward(const kk_gates *s) {
  const int64_t n = s->g_next, m = s->a_next, v = s->b_next;
  const kk_real *b = s->b;
  for (int64_t row = 0; row < s->rows; row++) {
    const kk_real *a = s->a + row * s->a_ld, *c0 = s->c0 + row * s->c0_ld;
    kk_real *to = s->g + row * s->g_ld, *c1 = s->c1 + row * s->c_ld, *h = s->h + row * s->h_ld;
#pragma GCC ivdep
    for (int64_t u = 0; u < s->units; u++) {
      const kk_real i = kk_sigmoid(a[u] + b[u]);
      const kk_real f = kk_sigmoid(a[m + u] + b[v + u]);
      const kk_real g = kk_tanh(a[2 * m + u] + b[2 * v + u]);
      const kk_real o = kk_sigmoid(a[3 * m + u] + b[3 * v + u]);
      const kk_real c = f * c0[u] + i * g;
      to[u] = i;
      to[n + u] = f;
      to[2 * n + u] = g;
      to[3 * n + u] = o;
      c1[u] = c;
      h[u] = o * kk_tanh(c);
    }
  }
}

/* dc = dc' + dh o (1 - tanh^2 c'), then each gate through its own derivative. */
KK_CLONES static void gates_back_row(const kk_gates *s, int64_t row) {
  const int64_t n = s->g_next;
  const kk_real *a = s->g + row * s->g_ld, *c0 = s->c0 + row * s->c0_ld, *c1 = s->c1 + row * s->c_ld;
  const kk_real *dy = s->dy + row * s->dy_ld, *dh = s->dh + row * s->dh_ld;
  kk_real *dc = s->dc + row * s->dc_ld, *d = s->dg + row * s->g_ld;
#pragma GCC ivdep
  for (int64_t u = 0; u < s->units; u++) {
    const kk_real i = a[u], f = a[n + u], g = a[2 * n + u], o = a[3 * n + u];
    const kk_real t = kk_tanh(c1[u]), e = dy[u] + dh[u], k = dc[u] + e * o * (1 - t * t);
    d[u] = k * g * i * (1 - i);
    d[n + u] = k * c0[u] * f * (1 - f);
    d[2 * n + u] = k * i * (1 - g * g);
    d[3 * n + u] = e * t * o * (1 - o);
    dc[u] = k * f;
  }
}

/* What reaches the activated gates from outside, through the same derivatives. */
static void gates_back_outside(const kk_gates *s, int64_t row) {
  const int64_t n = s->g_next;
  const kk_real *a = s->g + row * s->g_ld, *e = s->dact + row * s->g_ld;
  kk_real *d = s->dg + row * s->g_ld;
  for (int k = 0; k < 4; k++)
    for (int64_t u = k * n; u < k * n + s->units; u++) d[u] += e[u] * (k == 2 ? 1 - a[u] * a[u] : a[u] * (1 - a[u]));
}

void kk_gates_backward(const kk_gates *s) {
  for (int64_t row = 0; row < s->rows; row++) {
    gates_back_row(s, row);
    if (s->dact) gates_back_outside(s, row);
  }
}

KK_CLONES void kk_gates_bias(const kk_gates *s, double *sum) {
  for (int q = 0; q < 4; q++)
    for (int64_t row = 0; row < s->rows; row++) {
      const kk_real *dg = s->dg + row * s->g_ld + q * s->g_next;
      double *to = sum + q * s->g_next;
      for (int64_t u = 0; u < s->units; u++) to[u] += (double)dg[u];
    }
}
