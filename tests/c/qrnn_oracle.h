/* qrnn_oracle.h -- the QRNN as plain loops in double, forward and backward, and the harness that compares
** the op with it. Included by tests/c/test_qrnn.c (the float core) and tests/double/test_qrnn_double.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/pool.h"
#include "grad/tape.h"
#include "op/mask.h"

enum { IX, IP, IC, IW, IB, ILENS, NIN };
enum { OY, OC, OX, NOUT };

typedef struct qrnn_case {
  int64_t T, B, D, H;
  int window;
  bool prev, cell, bias, open;         /* open: no output gate */
  const int32_t *lens;
  double weight_drop, input_drop, zoneout;
} qrnn_case;

/* One application: the inputs as tensors, and the key that the op will draw. */
typedef struct qrnn_run {
  qrnn_case k;
  int64_t G, K;                        /* gates' columns; inputs of a gate */
  kk_args a;
  double opt[4];
  uint64_t key;
} qrnn_run;

static kk_err err;

static kk_tensor *tensor_random(int ndim, int64_t n0, int64_t n1, int64_t n2, uint64_t key, double scale) {
  kk_shape s = {ndim, {n0, n1, n2}};
  kk_tensor *t = NULL;
  if (kk_tensor_new(KK_F32, &s, &t, &err)) fail_msg("%s", err.msg);
  for (int64_t i = 0, n = kk_numel(&s); i < n; i++)
    kk_real_data(t)[i] = (kk_real)(scale * (2 * kk_random_uniform(key, (uint64_t)i) - 1));
  return t;
}

static void run_open(qrnn_run *r, qrnn_case k, bool grad) {
  kk_stream stream = {.seed = 5};
  kk_shape s = {1, {k.B}};
  *r = (qrnn_run){.k = k, .G = (k.open ? 2 : 3) * k.H, .K = k.window * k.D, .key = kk_stream_key(&stream),
                  .opt = {k.weight_drop, k.input_drop, k.zoneout, !k.open}};
  r->a.nin = NIN;
  r->a.in[IX] = tensor_random(3, k.T, k.B, k.D, 1, 1);
  if (k.prev) r->a.in[IP] = tensor_random(2, k.B, k.D, 0, 2, 1);
  if (k.cell) r->a.in[IC] = tensor_random(2, k.B, k.H, 0, 3, 1);
  r->a.in[IW] = tensor_random(2, r->G, r->K, 0, 4, 2 / sqrt((double)r->K));
  if (k.bias) r->a.in[IB] = tensor_random(1, r->G, 0, 0, 6, 1);
  for (int i = 0; grad && i < NIN; i++)
    if (r->a.in[i]) r->a.in[i]->store->wants_grad = true;
  if (k.lens) {
    if (kk_tensor_new(KK_I32, &s, &r->a.in[ILENS], &err)) fail_msg("%s", err.msg);
    memcpy(kk_i32_data(r->a.in[ILENS]), k.lens, (size_t)k.B * sizeof(int32_t));
  }
}

static void run_close(qrnn_run *r) {
  for (int i = 0; i < NIN; i++) kk_unref(r->a.in[i]);
}

static kk_status run_apply(qrnn_run *r, kk_tape *tape, kk_tensor **out) {
  kk_stream stream = {.seed = 5};
  r->a.stream = &stream;
  r->a.opt = r->opt;
  return kk_op_run(kk_op_find("qrnn"), &r->a, tape, out, &err);
}

static double above(int out, int64_t i) { return kk_random_uniform(90 + (uint64_t)out, (uint64_t)i) - 0.5; }

/* Forward, then backward with the gradients above() of all three outputs. The outputs stay with the caller. */
static void run_backward(qrnn_run *r, kk_tape **tape, kk_tensor **out) {
  kk_tensor *seed = NULL;
  if (kk_tape_new(true, tape, &err) || run_apply(r, *tape, out)) fail_msg("%s", err.msg);
  for (int k = 0; k < NOUT; k++) {
    kk_real *g;
    if (k == 0) {
      if (kk_tensor_new(KK_F32, &out[k]->shape, &seed, &err)) fail_msg("%s", err.msg);
      g = kk_real_data(seed);
    } else {
      if (kk_tensor_need_grad(out[k], &err)) fail_msg("%s", err.msg);
      g = out[k]->store->grad;
    }
    for (int64_t i = 0, n = kk_numel(&out[k]->shape); i < n; i++) g[i] = (kk_real)above(k, i);
  }
  if (kk_tape_backward(*tape, out[0], seed, &err)) fail_msg("%s", err.msg);
  kk_unref(seed);
}

static void run_end(qrnn_run *r, kk_tape *tape, kk_tensor **out) {
  for (int k = 0; k < NOUT; k++) kk_unref(out[k]);
  kk_tape_free(tape);
  run_close(r);
}

/* ---- the oracle: every array has its own name and its full size */
typedef struct oracle { double *in, *w, *gate, *cell, *out[NOUT], *d[NIN]; } oracle;

static double *numbers(int64_t n) {
  double *p = kk_calloc((size_t)n * sizeof *p);
  assert_non_null(p);
  return p;
}

static double value(const qrnn_run *r, int in, int64_t i) {
  return r->a.in[in] ? (double)kk_real_data(r->a.in[in])[i] : 0;
}
static double squash(double v) { return 1 / (1 + exp(-v)); }
static double keep(const qrnn_run *r, uint64_t i, double p) {
  return p <= 0 ? 1 : kk_random_keep(r->key, i, p) ? 1 / (1 - p) : 0;
}
static double keep_input(const qrnn_run *r, int64_t i) {
  return keep(r, KK_MASK_SECOND + (uint64_t)i, r->k.input_drop);
}
static double keep_forget(const qrnn_run *r, int64_t i) {
  return keep(r, 2 * KK_MASK_SECOND + (uint64_t)i, r->k.zoneout);
}
static int64_t length(const qrnn_run *r, int64_t b) { return r->k.lens ? r->k.lens[b] : r->k.T; }

/* Sizes of in, w, gate, cell, then of the outputs. */
static void oracle_sizes(const qrnn_run *r, int64_t *n) {
  const qrnn_case k = r->k;
  n[0] = k.T * k.B * r->K, n[1] = r->G * r->K, n[2] = k.T * k.B * 3 * k.H, n[3] = k.T * k.B * k.H;
  n[4] = k.T * k.B * k.H, n[5] = k.B * k.H, n[6] = k.B * k.D;
}

/* in [T,B,K]: x_t and, for window 2, x_{t-1} beside it. */
static void oracle_inputs(const qrnn_run *r, oracle *o) {
  const int64_t B = r->k.B, D = r->k.D;
  for (int64_t n = 0; n < r->k.T * B; n++)
    for (int64_t d = 0; d < D; d++) {
      const int64_t i = n % B * D + d;
      o->in[n * r->K + d] = value(r, IX, n * D + d) * keep_input(r, i);
      if (r->k.window == 2)
        o->in[n * r->K + D + d] = n < B ? value(r, IP, i) : value(r, IX, (n - B) * D + d) * keep_input(r, i);
    }
}

static void oracle_forward(const qrnn_run *r, oracle *o) {
  const int64_t B = r->k.B, D = r->k.D, H = r->k.H, G = r->G, K = r->K;
  double *all[7];
  int64_t n[7];
  oracle_sizes(r, n);
  for (int i = 0; i < 7; i++) all[i] = numbers(n[i]);
  o->in = all[0], o->w = all[1], o->gate = all[2], o->cell = all[3];
  for (int i = 0; i < NOUT; i++) o->out[i] = all[4 + i];
  oracle_inputs(r, o);
  for (int64_t i = 0; i < G * K; i++) o->w[i] = value(r, IW, i) * keep(r, (uint64_t)i, r->k.weight_drop);
  for (int64_t i = 0; i < B * H; i++) o->out[OC][i] = value(r, IC, i);
  for (int64_t b = 0; b < B; b++)
    for (int64_t t = 0; t < length(r, b); t++) {
      double *g = o->gate + (t * B + b) * 3 * H;
      for (int64_t q = 0; q < G; q++) {
        double a = value(r, IB, q);
        for (int64_t j = 0; j < K; j++) a += o->w[q * K + j] * o->in[(t * B + b) * K + j];
        g[q] = q < H ? tanh(a) : squash(a);
      }
      for (int64_t h = 0; h < H; h++) {
        const int64_t i = (t * B + b) * H + h;
        const double f = g[H + h] * keep_forget(r, i);
        o->cell[i] = o->out[OC][b * H + h] = f * g[h] + (1 - f) * o->out[OC][b * H + h];
        o->out[OY][i] = (r->k.open ? 1 : g[2 * H + h]) * o->cell[i];
      }
      for (int64_t d = 0; d < D; d++) o->out[OX][b * D + d] = o->in[(t * B + b) * K + d];
    }
}

/* One step back of row b: da [3H], and the gradient of the cells carried in d[IC]. */
static void oracle_step_back(const qrnn_run *r, oracle *o, int64_t t, int64_t b, double *da) {
  const int64_t B = r->k.B, H = r->k.H;
  const double *g = o->gate + (t * B + b) * 3 * H;
  for (int64_t h = 0; h < H; h++) {
    const int64_t i = b * H + h, at = (t * B + b) * H + h;
    const double m = keep_forget(r, at), f = g[H + h], z = g[h], og = r->k.open ? 1 : g[2 * H + h];
    const double before = t ? o->cell[at - B * H] : value(r, IC, i), dc = o->d[IC][i] + above(OY, at) * og;
    da[h] = dc * f * m * (1 - z * z);
    da[H + h] = dc * (z - before) * m * f * (1 - f);
    da[2 * H + h] = above(OY, at) * o->cell[at] * og * (1 - og);
    o->d[IC][i] = dc * (1 - f * m);
  }
}

static void oracle_backward(const qrnn_run *r, oracle *o) {
  const int64_t T = r->k.T, B = r->k.B, D = r->k.D, H = r->k.H, G = r->G, K = r->K;
  const int64_t sizes[NIN] = {T * B * D, B * D, B * H, G * K, G, 1};
  double *da = numbers(3 * H);
  for (int i = 0; i < NIN; i++) o->d[i] = numbers(sizes[i]);
  for (int64_t i = 0; i < B * H; i++) o->d[IC][i] = above(OC, i);
  for (int64_t b = 0; b < B; b++) {
    for (int64_t d = 0; d < D; d++)
      o->d[IX][((length(r, b) - 1) * B + b) * D + d] = above(OX, b * D + d) * keep_input(r, b * D + d);
    for (int64_t t = length(r, b) - 1; t >= 0; t--) {
      oracle_step_back(r, o, t, b, da);
      for (int64_t q = 0; q < G; q++) {
        o->d[IB][q] += da[q];
        for (int64_t j = 0; j < K; j++) {
          const int64_t i = b * D + j % D, back = j / D;
          const double dx = da[q] * o->w[q * K + j];
          o->d[IW][q * K + j] += da[q] * o->in[(t * B + b) * K + j] * keep(r, (uint64_t)(q * K + j), r->k.weight_drop);
          if (t >= back) o->d[IX][(t - back) * B * D + i] += dx * keep_input(r, i);
          else o->d[IP][i] += dx;
        }
      }
    }
  }
  kk_free(da, (size_t)(3 * H) * sizeof *da);
}

static void oracle_close(const qrnn_run *r, oracle *o) {
  const qrnn_case k = r->k;
  const int64_t sizes[NIN] = {k.T * k.B * k.D, k.B * k.D, k.B * k.H, r->G * r->K, r->G, 1};
  double *all[] = {o->in, o->w, o->gate, o->cell, o->out[0], o->out[1], o->out[2]};
  int64_t n[7];
  oracle_sizes(r, n);
  for (int i = 0; i < 7; i++) kk_free(all[i], (size_t)n[i] * sizeof(double));
  for (int i = 0; i < NIN; i++) kk_free(o->d[i], (size_t)sizes[i] * sizeof(double));
}

/* got and want agree to tolerance, relative to the largest of want and at least to 1. */
static void same(const char *what, const qrnn_run *r, const kk_real *got, const double *want, int64_t n,
                 double tolerance) {
  double scale = 1;
  for (int64_t i = 0; i < n; i++) scale = fabs(want[i]) > scale ? fabs(want[i]) : scale;
  for (int64_t i = 0; i < n; i++)
    if (!(fabs((double)got[i] - want[i]) <= tolerance * scale))
      fail_msg("T%d B%d D%d H%d window %d%s: %s[%d] is %.15g, the plain loops say %.15g", (int)r->k.T, (int)r->k.B,
               (int)r->k.D, (int)r->k.H, r->k.window, r->k.lens ? " lens" : "", what, (int)i, (double)got[i], want[i]);
}

static void check_case(qrnn_case k, double tolerance) {
  static const char *const outs[NOUT] = {"y", "c_n", "x_last"};
  static const char *const names[NIN] = {"dx", "dprev_x", "dc", "dw", "db", ""};
  qrnn_run r;
  oracle o = {0};
  kk_tape *tape = NULL;
  kk_tensor *out[NOUT] = {0};
  run_open(&r, k, true);
  oracle_forward(&r, &o);
  oracle_backward(&r, &o);
  run_backward(&r, &tape, out);
  for (int i = 0; i < NOUT; i++) same(outs[i], &r, kk_real_data(out[i]), o.out[i], out[i]->store->n, tolerance);
  for (int i = 0; i < ILENS; i++)
    if (r.a.in[i]) same(names[i], &r, r.a.in[i]->store->grad, o.d[i], r.a.in[i]->store->n, tolerance);
  oracle_close(&r, &o);
  run_end(&r, tape, out);
}

static const int32_t lens17[17] = {7, 7, 7, 6, 5, 5, 4, 4, 4, 4, 3, 2, 2, 2, 1, 1, 1}, ones3[3] = {1, 1, 1};

/* Odd sizes: one row, one unit, one step, one input; more rows than are multiplied at a time; several blocks
** of units. */
static const qrnn_case cases[] = {
  {1, 1, 1, 1, 1, false, false, false, false, NULL, 0, 0, 0},
  {1, 1, 1, 1, 2, false, false, false, false, NULL, 0, 0, 0},
  {1, 3, 1, 5, 2, true, true, true, false, NULL, 0, 0, 0},
  {1, 17, 3, 5, 2, false, true, true, true, NULL, 0.3, 0.3, 0.3},
  {4, 1, 7, 33, 1, false, true, true, false, NULL, 0, 0, 0},
  {4, 1, 7, 33, 2, true, true, true, false, NULL, 0, 0, 0},
  {7, 17, 5, 33, 1, false, true, true, false, lens17, 0, 0, 0},
  {7, 17, 5, 33, 2, true, true, true, false, lens17, 0, 0, 0},
  {7, 17, 1, 5, 2, false, false, true, false, lens17, 0, 0, 0},
  {4, 3, 2, 5, 2, true, false, true, false, ones3, 0, 0, 0},
  {7, 3, 4, 33, 2, true, true, false, false, NULL, 0.5, 0, 0},
  {5, 3, 6, 1, 1, false, true, true, true, NULL, 0.3, 0.4, 0},
  {7, 17, 9, 33, 2, true, true, true, false, lens17, 0.5, 0.3, 0.2},
  {7, 17, 9, 33, 1, false, false, true, false, lens17, 0.5, 0.3, 0.2},
  {7, 17, 9, 33, 2, false, false, true, true, lens17, 0, 0.3, 0.6},
  {3, 3, 6, 1034, 2, true, true, true, false, NULL, 0.2, 0, 0.2},
  {80, 17, 3, 10, 2, true, true, true, false, NULL, 0, 0.2, 0.1},
  {80, 17, 3, 10, 1, false, true, true, false, NULL, 0.2, 0, 0},
};

static void equals_the_plain_loops(double tolerance) {
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_case(cases[i], tolerance);
}
