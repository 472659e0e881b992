/* What surrounds the layers: norms, softmaxes, gelu, losses, pooling and attention against plain loops in double, at
** sizes with several chunks and odd ends, and the same bits with 1, 2 and 3 threads. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "base/mem.h"
#include "base/pool.h"
#include "grad/tape.h"
#include "op/mask.h"

enum { MOST = 8 };
static kk_err err;

/* One application of an op with gradients: inputs in, results and gradients as copies. */
typedef struct trial {
  const char *op;
  double opt[KK_MAXOPT];
  int nin;
  kk_tensor *in[MOST];
  kk_real *y[KK_MAXOUT], *dx[MOST], *dy;    /* dy: gradient of result 0 */
  size_t ny[KK_MAXOUT];
} trial;

static kk_real *copy_of(const kk_real *p, size_t n) {
  kk_real *c = kk_alloc((n + 1) * sizeof *c);
  assert_non_null(c);
  memcpy(c, p, n * sizeof *c);
  return c;
}

static kk_tensor *real_input(const int64_t *n, int nd, double lo, double hi, uint64_t key, bool grad) {
  kk_shape s = {.ndim = nd};
  kk_tensor *x = NULL;
  for (int i = 0; i < nd; i++) s.n[i] = n[i];
  check_ok(kk_tensor_new(KK_F32, &s, &x, &err), &err);
  for (int64_t i = 0; i < kk_numel(&s); i++) kk_real_data(x)[i] = (kk_real)(lo + (hi - lo) * kk_random_uniform(key, (uint64_t)i));
  if (grad) {
    x->store->wants_grad = true;
    check_ok(kk_tensor_need_grad(x, &err), &err);
  }
  return x;
}
#define REAL(key, lo, hi, grad, ...) \
  real_input((const int64_t[]){__VA_ARGS__}, (int)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), lo, hi, key, grad)

static kk_tensor *int_input(const int32_t *v, int64_t n) {
  kk_shape s = {.ndim = 1, .n = {n}};
  kk_tensor *x = NULL;
  check_ok(kk_tensor_new(KK_I32, &s, &x, &err), &err);
  memcpy(kk_i32_data(x), v, (size_t)n * sizeof *v);
  return x;
}

static void trial_drop(trial *t) {
  for (int k = 0; k < KK_MAXOUT; k++)
    if (t->y[k]) kk_free(t->y[k], (t->ny[k] + 1) * sizeof(kk_real));
  for (int i = 0; i < t->nin; i++)
    if (t->dx[i]) kk_free(t->dx[i], ((size_t)t->in[i]->store->n + 1) * sizeof(kk_real));
  if (t->dy) kk_free(t->dy, (t->ny[0] + 1) * sizeof(kk_real));
  memset(t->y, 0, sizeof t->y);
  memset(t->dx, 0, sizeof t->dx);
  t->dy = NULL;
}

/* Runs forward and backward from gradients that start as 0.25. */
static void trial_run(trial *t, int threads) {
  const kk_op *op = kk_op_find(t->op);
  kk_stream stream = {.seed = 11};
  kk_args a = {.nin = t->nin, .opt = t->opt, .stream = &stream};
  kk_tensor *out[KK_MAXOUT] = {0}, *seed = NULL;
  kk_tape *tape = NULL;
  trial_drop(t);
  kk_pool_set_threads(threads);
  for (int i = 0; i < t->nin; i++) {
    a.in[i] = t->in[i];
    for (int64_t k = 0; t->in[i] && t->in[i]->store->grad && k < t->in[i]->store->n; k++) t->in[i]->store->grad[k] = 0.25f;
  }
  check_ok(kk_tape_new(true, &tape, &err), &err);
  check_ok(kk_op_run(op, &a, tape, out, &err), &err);
  for (int k = 0; k < KK_MAXOUT; k++)
    if (out[k] && kk_type(out[k]) == KK_F32) {
      t->ny[k] = (size_t)kk_numel(&out[k]->shape);
      t->y[k] = copy_of(kk_real_data(out[k]), t->ny[k]);
    }
  check_ok(kk_tensor_new(KK_F32, &out[0]->shape, &seed, &err), &err);
  for (size_t k = 0; k < t->ny[0]; k++) kk_real_data(seed)[k] = (kk_real)(kk_random_uniform(99, k) - 0.4);
  t->dy = copy_of(kk_real_data(seed), t->ny[0]);
  check_ok(kk_tape_backward(tape, out[0], seed, &err), &err);
  for (int i = 0; i < t->nin; i++)
    if (t->in[i] && t->in[i]->store->grad) t->dx[i] = copy_of(t->in[i]->store->grad, (size_t)t->in[i]->store->n);
  kk_unref(seed);
  for (int k = 0; k < KK_MAXOUT; k++) kk_unref(out[k]);
  kk_tape_free(tape);
  kk_pool_set_threads(0);
}

static uint64_t digest(uint64_t h, const kk_real *p, size_t n) {
  const uint8_t *b = (const uint8_t *)p;
  for (size_t i = 0; p && i < n * sizeof *p; i++) h = (h ^ b[i]) * 0x100000001B3u;
  return h;
}

static uint64_t trial_bits(trial *t, int threads) {
  uint64_t h = 0xCBF29CE484222325u;
  trial_run(t, threads);
  for (int k = 0; k < KK_MAXOUT; k++) h = digest(h, t->y[k], t->ny[k]);
  for (int i = 0; i < t->nin; i++)
    if (t->dx[i]) h = digest(h, t->dx[i], (size_t)t->in[i]->store->n);
  return h;
}

/* The same bits with 1, 2 and 3 threads; leaves a run behind. */
static void same_bits(trial *t) {
  uint64_t one = trial_bits(t, 1);
  if (one != trial_bits(t, 2) || one != trial_bits(t, 3)) fail_msg("%s: bits depend on the number of threads", t->op);
}

static void trial_close(trial *t) {
  trial_drop(t);
  for (int i = 0; i < t->nin; i++) kk_unref(t->in[i]);
}

static const kk_real *in(const trial *t, int i) { return t->in[i] ? kk_real_data(t->in[i]) : NULL; }

/* got (begun at start) equals want to tolerance, relative to 1 or to what is larger. */
static void same(const trial *t, const char *what, const kk_real *got, const double *want, size_t n, double start, double tolerance) {
  for (size_t i = 0; i < n; i++) {
    double g = (double)got[i] - start, scale = fabs(want[i]) > 1 ? fabs(want[i]) : 1;
    if (!(fabs(g - want[i]) <= tolerance * scale))
      fail_msg("%s: %s[%zu] is %.9g, plain loops say %.9g", t->op, what, i, g, want[i]);
  }
}

static double *zeros(size_t n) {
  double *p = kk_calloc((n + 1) * sizeof *p);
  assert_non_null(p);
  return p;
}
static void drop(double *p, size_t n) { kk_free(p, (n + 1) * sizeof *p); }

/* ---- norms: groups of n numbers, step apart; statistics given (mean, var) or of the group */
static void norm_group(const kk_real *x, const kk_real *dy, int64_t n, int64_t step, double gain(int64_t), const double *given,
                       double eps, double *xhat, double *dx, double *rstd) {
  double m = 0, v = 0, a = 0, b = 0;
  for (int64_t i = 0; i < n; i++) m += (double)x[i * step] / (double)n;
  for (int64_t i = 0; i < n; i++) v += ((double)x[i * step] - m) * ((double)x[i * step] - m) / (double)n;
  if (given) m = given[0], v = given[1];
  *rstd = 1 / sqrt(v + eps);
  for (int64_t i = 0; i < n; i++) {
    xhat[i * step] = ((double)x[i * step] - m) * *rstd;
    a += (double)dy[i * step] * gain(i) / (double)n;
    b += (double)dy[i * step] * gain(i) * xhat[i * step] / (double)n;
  }
  if (given) a = b = 0;
  for (int64_t i = 0; i < n; i++) dx[i * step] = *rstd * ((double)dy[i * step] * gain(i) - a - xhat[i * step] * b);
}

static const kk_real *gains;        /* of the group under way */
static int64_t gains_step;
static double gain_at(int64_t i) { return (double)gains[i * gains_step]; }

static void norm_equals(trial *t, int64_t N, int64_t D, bool rows, double eps) {
  const size_t n = (size_t)(N * D);
  double *xhat = zeros(n), *dx = zeros(n), *y = zeros(n), *dg = zeros((size_t)D), *db = zeros((size_t)D), r;
  same_bits(t);
  for (int64_t g = 0; g < (rows ? N : D); g++) {
    const double given[2] = {t->nin > 3 && t->in[3] ? (double)in(t, 3)[g] : 0, t->nin > 3 && t->in[3] ? (double)in(t, 4)[g] : 0};
    const int64_t at = rows ? g * D : g;
    gains = in(t, 1) + (rows ? 0 : g);
    gains_step = rows ? 1 : 0;
    norm_group(in(t, 0) + at, t->dy + at, rows ? D : N, rows ? 1 : D, gain_at, t->nin > 3 && t->in[3] ? given : NULL, eps, xhat + at,
               dx + at, &r);
  }
  for (size_t i = 0; i < n; i++) {
    const size_t d = i % (size_t)D;
    y[i] = xhat[i] * (double)in(t, 1)[d] + (double)in(t, 2)[d];
    dg[d] += (double)t->dy[i] * xhat[i];
    db[d] += (double)t->dy[i];
  }
  /* a mean of 30 with a deviation of .3 is kept in float: 6e-6 of it */
  same(t, "y", t->y[0], y, n, 0, 5e-5);
  same(t, "dx", t->dx[0], dx, n, 0.25, 5e-5);
  same(t, "dgain", t->dx[1], dg, (size_t)D, 0.25, 5e-5);
  same(t, "dbias", t->dx[2], db, (size_t)D, 0.25, 2e-5);
  drop(xhat, n), drop(dx, n), drop(y, n), drop(dg, (size_t)D), drop(db, (size_t)D);
}

static void batch_norm_equals_plain_loops(void **state) {
  static const int64_t sizes[][2] = {{2, 1}, {5, 3}, {129, 257}, {700, 33}, {64, 600}};
  (void)state;
  for (int i = 0; i < 10; i++) {
    const int64_t N = sizes[i / 2][0], D = sizes[i / 2][1];
    /* columns far from 0 in the last: their squares would cancel */
    trial t = {.op = "batch_norm", .opt = {1e-3}, .nin = 5,
               .in = {REAL(1, i >= 8 ? 30 : -1, i >= 8 ? 31 : 2, true, N, D), REAL(2, 0.5, 1, true, D), REAL(3, -1, 1, true, D)}};
    if (i % 2) {
      t.in[3] = REAL(4, -1, 1, false, D);
      t.in[4] = REAL(5, 0.5, 1, false, D);
    }
    if (i == 9) kk_unref(t.in[0]), t.in[0] = REAL(1, -1, 1, true, N, D);
    norm_equals(&t, N, D, false, 1e-3);
    trial_close(&t);
  }
}

static void layer_norm_equals_plain_loops(void **state) {
  static const int64_t sizes[][2] = {{1, 2}, {3, 1}, {33, 17}, {100, 259}, {7, 1152}};
  (void)state;
  for (int i = 0; i < 5; i++) {
    const int64_t N = sizes[i][0], D = sizes[i][1];
    trial t = {.op = "layer_norm", .opt = {1e-3}, .nin = 3,
               .in = {REAL(1, 4, 7, true, N, D), REAL(2, 0.5, 1, true, D), REAL(3, -1, 1, true, D)}};
    norm_equals(&t, N, D, true, 1e-3);
    trial_close(&t);
  }
}

/* ---- element by element */
static void gelu_equals_libm(void **state) {
  enum { N = 20011 };
  (void)state;
  for (int form = 0; form < 2; form++) {
    trial t = {.op = "gelu", .opt = {form}, .nin = 1, .in = {REAL(1, -14, 14, true, N)}};
    kk_real *x = kk_real_data(t.in[0]);
    static const kk_real ends[] = {0, -INFINITY, INFINITY, -100, 100, -1e30f, 1e30f};
    memcpy(x, ends, sizeof ends);
    same_bits(&t);
    for (int64_t i = 0; i < N; i++) {
      const double v = fmax(fmin((double)x[i], 1e5), -1e5), u = sqrt(2 / acos(-1)) * (v + 0.044715 * v * v * v);
      const double y = form ? v / (1 + exp(-2 * u)) : 0.5 * v * erfc(-v / sqrt(2)), s = 1 / (1 + exp(-2 * u));
      const double d = form ? s + (fabs(v) > 50 ? 0 : 2 * v * s * (1 - s) * sqrt(2 / acos(-1)) * (1 + 3 * 0.044715 * v * v))
                            : 0.5 * erfc(-v / sqrt(2)) + v * exp(-v * v / 2) / sqrt(2 * acos(-1));
      const double bound = (form ? 4 * fabs(u) + 5 : 9) * 0x1p-23;
      if (i >= 7 && fabs(y) > 1.2e-38 * fabs(v) && fabs((double)t.y[0][i] / y - 1) > bound)
        fail_msg("gelu form %d of %.9g is %.9g, exactly %.9g", form, (double)x[i], (double)t.y[0][i], y);
      if (fabs((double)t.dx[0][i] - 0.25 - (double)t.dy[i] * d) > 2e-6)
        fail_msg("gelu form %d at %.9g: slope times %.9g is %.9g, exactly %.9g", form, (double)x[i], (double)t.dy[i],
                 (double)t.dx[0][i] - 0.25, (double)t.dy[i] * d);
    }
    assert_true(t.y[0][0] == 0 && t.y[0][1] == 0 && isinf(t.y[0][2]) && t.y[0][3] == 0 && t.y[0][4] == 100);
    trial_close(&t);
  }
}

static void softmaxes_equal_plain_loops(void **state) {
  static const int64_t sizes[][2] = {{1, 1}, {3, 17}, {65, 401}, {4, 1000}};
  (void)state;
  for (int i = 0; i < 8; i++) {
    const int64_t N = sizes[i / 2][0], D = sizes[i / 2][1];
    const bool logs = i % 2;
    trial t = {.op = logs ? "log_softmax" : "softmax", .opt = {-1}, .nin = 1, .in = {REAL(1, -9, 9, true, N, D)}};
    double *y = zeros((size_t)(N * D)), *dx = zeros((size_t)(N * D));
    if (D > 17) kk_real_data(t.in[0])[3] = -INFINITY;       /* a masked element */
    same_bits(&t);
    for (int64_t n = 0; n < N; n++) {
      const kk_real *x = in(&t, 0) + n * D, *g = t.dy + n * D;
      double sum = 0, dot = 0, most = (double)x[0];
      for (int64_t d = 0; d < D; d++) most = fmax(most, (double)x[d]);
      for (int64_t d = 0; d < D; d++) sum += exp((double)x[d] - most);
      for (int64_t d = 0; d < D; d++) {
        const double p = exp((double)x[d] - most) / sum;
        y[n * D + d] = logs ? (double)x[d] - most - log(sum) : p;
        dot += (double)g[d] * (logs ? 1 : p);
      }
      for (int64_t d = 0; d < D; d++) {
        const double p = exp((double)x[d] - most) / sum;
        dx[n * D + d] = logs ? (double)g[d] - p * dot : p * ((double)g[d] - dot);
      }
    }
    if (D > 17) {
      assert_true(logs ? t.y[0][3] == -INFINITY : t.y[0][3] == 0);
      y[3] = t.y[0][3] = 0;
    }
    same(&t, "y", t.y[0], y, (size_t)(N * D), 0, 1e-6);
    same(&t, "dx", t.dx[0], dx, (size_t)(N * D), 0.25, 2e-6);
    drop(y, (size_t)(N * D)), drop(dx, (size_t)(N * D));
    trial_close(&t);
  }
}

static void bce_equals_plain_loops(void **state) {
  (void)state;
  for (int i = 0; i < 4; i++) {
    const int64_t N = i < 2 ? 9001 : 3;
    trial t = {.op = "bce", .opt = {1.5}, .nin = 3, .in = {REAL(1, -30, 30, true, N), REAL(2, 0, 1, false, N)}};
    double sum = 0, norm = 0, *dx = zeros((size_t)N);
    if (i % 2) t.in[2] = REAL(3, 0, 2, false, N);
    same_bits(&t);
    for (int64_t n = 0; n < N; n++) norm += i % 2 ? (double)in(&t, 2)[n] : 1;
    for (int64_t n = 0; n < N; n++) {
      const double x = (double)in(&t, 0)[n], q = (double)in(&t, 1)[n], w = i % 2 ? (double)in(&t, 2)[n] : 1;
      const double rest = log1p(exp(-fabs(x)));
      sum += w * (1.5 * q * (fmax(-x, 0) + rest) + (1 - q) * (fmax(x, 0) + rest));
      dx[n] = (double)t.dy[0] / norm * w * ((1 - q) / (1 + exp(-x)) - 1.5 * q / (1 + exp(x)));
    }
    sum /= norm;
    same(&t, "loss", t.y[0], &sum, 1, 0, 1e-6);
    same(&t, "dx", t.dx[0], dx, (size_t)N, 0.25, 1e-7);
    drop(dx, (size_t)N);
    trial_close(&t);
  }
}

/* ---- over time */
static void pooling_equals_plain_loops(void **state) {
  enum { T = 7, B = 5, D = 259 };
  static const int32_t lens[B] = {7, 7, 3, 2, 1}, skip[B] = {2, 0, 2, 1, 0};
  (void)state;
  for (int i = 0; i < 3; i++) {
    trial t = {.op = "concat_pool", .nin = 3,
               .in = {REAL(1, -1, 1, true, T, B, D), i ? int_input(lens, B) : NULL, i > 1 ? int_input(skip, B) : NULL}};
    double *y = zeros(B * 3 * D), *dh = zeros(T * B * D);
    same_bits(&t);
    for (int b = 0; b < B; b++)
      for (int d = 0; d < D; d++) {
        const int n = i ? lens[b] : T, from = i > 1 ? skip[b] : 0;
        const kk_real *h = in(&t, 0) + b * D + d, *g = t.dy + b * 3 * D + d;
        int at = from;
        double mean = 0;
        for (int s = from; s < n; s++) {
          if (h[s * B * D] > h[at * B * D]) at = s;
          mean += (double)h[s * B * D] / (n - from);
          dh[(s * B + b) * D + d] += (double)g[2 * D] / (n - from);
        }
        dh[((n - 1) * B + b) * D + d] += (double)g[0];
        dh[(at * B + b) * D + d] += (double)g[D];
        y[b * 3 * D + d] = (double)h[(n - 1) * B * D];
        y[b * 3 * D + D + d] = (double)h[at * B * D];
        y[b * 3 * D + 2 * D + d] = mean;
      }
    same(&t, "y", t.y[0], y, B * 3 * D, 0, 1e-6);
    same(&t, "dh", t.dx[0], dh, T * B * D, 0.25, 1e-6);
    drop(y, B * 3 * D), drop(dh, T * B * D);
    trial_close(&t);
  }
}

static void penalty_equals_plain_loops(void **state) {
  static const int64_t sizes[][3] = {{1, 2, 3}, {2, 1, 1}, {3, 64, 300}, {70, 5, 33}};
  (void)state;
  for (int i = 0; i < 4; i++) {
    const int64_t T = sizes[i][0], M = sizes[i][1] * sizes[i][2];
    trial t = {.op = "activation_penalty", .opt = {2, 3}, .nin = 2,
               .in = {REAL(1, -1, 1, true, T, sizes[i][1], sizes[i][2]), REAL(2, -1, 1, true, T, sizes[i][1], sizes[i][2])}};
    double loss = 0, *dh = zeros((size_t)(T * M)), *dr = zeros((size_t)(T * M));
    same_bits(&t);
    for (int64_t k = 0; k < T * M; k++) {
      const double h = (double)in(&t, 0)[k], g = (double)t.dy[0];
      loss += 2 * h * h / (double)(T * M);
      dh[k] = g * 4 * h / (double)(T * M);
      if (k >= (T - 1) * M) continue;
      const double d = (double)in(&t, 1)[k + M] - (double)in(&t, 1)[k];
      loss += 3 * d * d / (double)((T - 1) * M);
      dr[k + M] += g * 6 * d / (double)((T - 1) * M);
      dr[k] -= g * 6 * d / (double)((T - 1) * M);
    }
    same(&t, "loss", t.y[0], &loss, 1, 0, 1e-6);
    same(&t, "dh", t.dx[0], dh, (size_t)(T * M), 0.25, 1e-6);
    same(&t, "draw", t.dx[1], dr, (size_t)(T * M), 0.25, 1e-6);
    drop(dh, (size_t)(T * M)), drop(dr, (size_t)(T * M));
    trial_close(&t);
  }
}

static void gradients_of_sums_reach_every_element(void **state) {
  (void)state;
  for (int dim = 0; dim <= 2; dim++) {
    enum { N = 37, D = 1001 };
    trial t = {.op = "sum", .opt = {dim, 0}, .nin = 1, .in = {REAL(1, -1, 1, true, N, D)}};
    same_bits(&t);
    for (int64_t i = 0; i < N * D; i++) {
      const kk_real want = t.dy[dim == 0 ? 0 : dim == 1 ? i % D : i / D];
      if (t.dx[0][i] != 0.25f + want) fail_msg("dim %d: element %lld has %g", dim, (long long)i, (double)t.dx[0][i]);
    }
    trial_close(&t);
  }
}

/* ---- attention */
typedef struct att_case {
  int64_t B, H, T, S, D, E;
  bool causal, masked, lens;
  double p;
} att_case;

static const att_case att_cases[] = {
  {1, 1, 1, 1, 1, 1, false, false, false, 0},      {2, 3, 5, 7, 3, 4, false, false, false, 0},
  {1, 2, 65, 129, 8, 8, false, false, false, 0.3}, {1, 2, 200, 300, 16, 5, false, true, true, 0},
  {3, 6, 70, 70, 9, 9, true, false, true, 0.2},    {1, 1, 150, 150, 12, 12, true, true, false, 0},
  {4, 5, 33, 140, 7, 6, false, true, true, 0.5},
};

static trial att_open(const att_case *k) {
  static const int32_t lens[] = {1000, 0, 3, 129};
  trial t = {.op = "attention", .opt = {k->causal, k->p, 0}, .nin = 5,
             .in = {REAL(1, -2, 2, true, k->B, k->H, k->T, k->D), REAL(2, -2, 2, true, k->B, k->H, k->S, k->D),
                    REAL(3, -2, 2, true, k->B, k->H, k->S, k->E)}};
  if (k->lens) {
    int32_t some[4];
    for (int b = 0; b < 4; b++) some[b] = (int32_t)(lens[b] < k->S ? lens[b] : k->S);
    t.in[3] = int_input(some, k->B);
  }
  if (k->masked) {
    t.in[4] = REAL(5, -1, 1, false, k->T, k->S);
    for (int64_t i = 0; i < k->T * k->S; i++)       /* row 2 sees nothing */
      if (i % 5 == 0 || i / k->S == 2) kk_real_data(t.in[4])[i] = -INFINITY;
  }
  return t;
}

/* Query r of matrix m: its weights, after dropout in drop, by the formula; false when it sees no key. */
static bool att_weights(const trial *t, const att_case *k, uint64_t key, int64_t m, int64_t r, double *p, kk_real *keep) {
  const kk_real *q = in(t, 0) + (m * k->T + r) * k->D;
  const int64_t keys = k->lens ? kk_i32_data(t->in[3])[m / k->H] : k->S;
  double most = -INFINITY, sum = 0;
  for (int64_t s = 0; s < k->S; s++) {
    p[s] = 0;
    for (int64_t d = 0; d < k->D; d++) p[s] += (double)q[d] * (double)in(t, 1)[(m * k->S + s) * k->D + d] / sqrt((double)k->D);
    if (k->masked) p[s] += (double)in(t, 4)[r * k->S + s];
    if (s >= keys || (k->causal && s > r)) p[s] = -INFINITY;
    most = fmax(most, p[s]);
  }
  for (int64_t s = 0; s < k->S; s++) sum += p[s] = most == -INFINITY ? 0 : exp(p[s] - most);
  for (int64_t s = 0; s < k->S; s++) {
    p[s] /= sum > 0 ? sum : 1;
    keep[s] = 1;
  }
  if (k->p > 0) kk_mask_fill(key, (uint64_t)((m * k->T + r) * k->S), k->S, k->p, keep);
  return sum > 0;
}

static void attention_equals(const att_case *k) {
  const size_t nq = (size_t)(k->B * k->H * k->T * k->D), nk = (size_t)(k->B * k->H * k->S * k->D);
  const size_t nv = (size_t)(k->B * k->H * k->S * k->E), ny = (size_t)(k->B * k->H * k->T * k->E);
  kk_stream stream = {.seed = 11};
  const uint64_t key = kk_stream_key(&stream);
  trial t = att_open(k);
  double *y = zeros(ny), *dq = zeros(nq), *dk = zeros(nk), *dv = zeros(nv), p[512];
  kk_real keep[512];
  same_bits(&t);
  for (int64_t m = 0; m < k->B * k->H; m++)
    for (int64_t r = 0; r < k->T; r++) {
      const kk_real *g = t.dy + (m * k->T + r) * k->E, *v = in(&t, 2) + m * k->S * k->E;
      double dot = 0, dp[512];
      if (!att_weights(&t, k, key, m, r, p, keep))
        for (int64_t e = 0; e < k->E; e++) assert_true(t.y[0][(m * k->T + r) * k->E + e] == 0);
      for (int64_t s = 0; s < k->S; s++) {
        dp[s] = 0;
        for (int64_t e = 0; e < k->E; e++) {
          y[(m * k->T + r) * k->E + e] += p[s] * (double)keep[s] * (double)v[s * k->E + e];
          dv[(m * k->S + s) * k->E + e] += p[s] * (double)keep[s] * (double)g[e];
          dp[s] += (double)keep[s] * (double)g[e] * (double)v[s * k->E + e];
        }
        dot += p[s] * dp[s];
      }
      for (int64_t s = 0; s < k->S; s++)
        for (int64_t d = 0; d < k->D; d++) {
          const double ds = p[s] * (dp[s] - dot) / sqrt((double)k->D);
          dq[(m * k->T + r) * k->D + d] += ds * (double)in(&t, 1)[(m * k->S + s) * k->D + d];
          dk[(m * k->S + s) * k->D + d] += ds * (double)in(&t, 0)[(m * k->T + r) * k->D + d];
        }
    }
  same(&t, "y", t.y[0], y, ny, 0, 1e-5);
  same(&t, "dq", t.dx[0], dq, nq, 0.25, 1e-5);
  same(&t, "dk", t.dx[1], dk, nk, 0.25, 1e-5);
  same(&t, "dv", t.dx[2], dv, nv, 0.25, 1e-5);
  drop(y, ny), drop(dq, nq), drop(dk, nk), drop(dv, nv);
  trial_close(&t);
}

static void attention_equals_plain_loops(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof att_cases / sizeof *att_cases; i++) attention_equals(&att_cases[i]);
}

/* Self-attention with one tensor for all three: gradients meet in one buffer. */
static void attention_of_a_tensor_to_itself_adds_all_three_gradients(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    const int64_t B = i ? 4 : 1, H = i ? 5 : 1, n = B * H * 70 * 6;
    kk_tensor *x = REAL(1, -1, 1, true, B, H, 70, 6);
    trial a = {.op = "attention", .nin = 5, .in = {x, x, x}};
    trial b = {.op = "attention", .nin = 5, .in = {REAL(1, -1, 1, true, B, H, 70, 6), REAL(1, -1, 1, true, B, H, 70, 6),
                                                    REAL(1, -1, 1, true, B, H, 70, 6)}};
    same_bits(&a);
    trial_run(&b, 1);
    for (int64_t k = 0; k < n; k++) {
      const double want = (double)b.dx[0][k] + (double)b.dx[1][k] + (double)b.dx[2][k] - 0.5;
      if (fabs((double)a.dx[0][k] - want) > 1e-5) fail_msg("element %lld: %g, separately %g", (long long)k, (double)a.dx[0][k], want);
    }
    trial_drop(&a);
    kk_unref(x);
    trial_close(&b);
  }
}

static void attention_refuses_what_it_cannot_mean(void **state) {
  static const int32_t lens[2] = {3, 6};
  (void)state;
  trial t = {.op = "attention", .opt = {1, 0, 0}, .nin = 5,
             .in = {REAL(1, -1, 1, false, 2, 1, 4, 3), REAL(2, -1, 1, false, 2, 1, 5, 3), REAL(3, -1, 1, false, 2, 1, 5, 3)}};
  kk_stream stream = {.seed = 11};
  kk_args a = {.nin = 5, .opt = t.opt, .stream = &stream};
  kk_tensor *out[KK_MAXOUT] = {0};
  memcpy(a.in, t.in, sizeof t.in);
  check_fails(kk_op_run(kk_op_find("attention"), &a, NULL, out, &err), KK_EARG, &err, "as many keys as queries, got 5 and 4");
  t.opt[0] = 0;
  a.in[3] = t.in[3] = int_input(lens, 2);
  check_fails(kk_op_run(kk_op_find("attention"), &a, NULL, out, &err), KK_EARG, &err, "length 2 is 6, expected 0..5");
  trial_close(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(batch_norm_equals_plain_loops),
    cmocka_unit_test(layer_norm_equals_plain_loops),
    cmocka_unit_test(gelu_equals_libm),
    cmocka_unit_test(softmaxes_equal_plain_loops),
    cmocka_unit_test(bce_equals_plain_loops),
    cmocka_unit_test(pooling_equals_plain_loops),
    cmocka_unit_test(penalty_equals_plain_loops),
    cmocka_unit_test(gradients_of_sums_reach_every_element),
    cmocka_unit_test(attention_equals_plain_loops),
    cmocka_unit_test(attention_of_a_tensor_to_itself_adds_all_three_gradients),
    cmocka_unit_test(attention_refuses_what_it_cannot_mean),
  };
  return cmocka_run_group_tests_name("around", tests, NULL, NULL);
}
