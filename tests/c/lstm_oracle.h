/* lstm_oracle.h -- the LSTM as plain loops in double, forward and backward, and the harness that compares
** the op with it. Included by tests/c/test_lstm.c (the float core) and tests/double/test_lstm_double.c. */
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

enum { IX, IH, IC, IWI, IWH, IB, ILENS, NIN };
enum { OY, OH, OC };

typedef struct lstm_case {
  int64_t T, B, D, H;
  bool states, bias;
  const int32_t *lens;
  double weight_drop, input_drop;
} lstm_case;

/* One application: the inputs as tensors, and numbers for the gradients that come from above. */
typedef struct lstm_run {
  lstm_case k;
  kk_args a;
  double opt[2];
  uint64_t key;                     /* that the op will draw */
} lstm_run;

static kk_err err;

static kk_tensor *tensor_random(int ndim, int64_t n0, int64_t n1, int64_t n2, uint64_t key, double scale) {
  kk_shape s = {ndim, {n0, n1, n2}};
  kk_tensor *t = NULL;
  if (kk_tensor_new(KK_F32, &s, &t, &err)) fail_msg("%s", err.msg);
  for (int64_t i = 0, n = kk_numel(&s); i < n; i++)
    kk_real_data(t)[i] = (kk_real)(scale * (2 * kk_random_uniform(key, (uint64_t)i) - 1));
  return t;
}

static void run_open(lstm_run *r, lstm_case k, bool grad) {
  kk_stream stream = {.seed = 5};
  kk_shape s = {1, {k.B}};
  *r = (lstm_run){.k = k, .opt = {k.weight_drop, k.input_drop}, .key = kk_stream_key(&stream)};
  r->a.nin = NIN;
  r->a.in[IX] = tensor_random(3, k.T, k.B, k.D, 1, 1);
  if (k.states) r->a.in[IH] = tensor_random(2, k.B, k.H, 0, 2, 1);
  if (k.states) r->a.in[IC] = tensor_random(2, k.B, k.H, 0, 3, 1);
  r->a.in[IWI] = tensor_random(2, 4 * k.H, k.D, 0, 4, 1 / sqrt((double)k.D));
  r->a.in[IWH] = tensor_random(2, 4 * k.H, k.H, 0, 5, 1 / sqrt((double)k.H));
  if (k.bias) r->a.in[IB] = tensor_random(1, 4 * k.H, 0, 0, 6, 1);
  for (int i = 0; grad && i < NIN; i++)
    if (r->a.in[i]) r->a.in[i]->store->wants_grad = true;
  if (k.lens) {
    if (kk_tensor_new(KK_I32, &s, &r->a.in[ILENS], &err)) fail_msg("%s", err.msg);
    memcpy(kk_i32_data(r->a.in[ILENS]), k.lens, (size_t)k.B * sizeof(int32_t));
  }
}

static void run_close(lstm_run *r) {
  for (int i = 0; i < NIN; i++) kk_unref(r->a.in[i]);
}

static kk_status run_apply(lstm_run *r, kk_tape *tape, kk_tensor **out) {
  kk_stream stream = {.seed = 5};
  r->a.stream = &stream;
  r->a.opt = r->opt;
  return kk_op_run(kk_op_find("lstm"), &r->a, tape, out, &err);
}

static double above(int out, int64_t i) { return kk_random_uniform(90 + (uint64_t)out, (uint64_t)i) - 0.5; }

/* Forward, then backward with the gradients above() of all three outputs. The outputs stay with the caller. */
static void run_backward(lstm_run *r, kk_tape **tape, kk_tensor **out) {
  kk_tensor *seed = NULL;
  if (kk_tape_new(true, tape, &err) || run_apply(r, *tape, out)) fail_msg("%s", err.msg);
  for (int k = 0; k < 3; k++) {
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

/* ---- the oracle: every array has its own name and its full size */
typedef struct oracle { double *x, *wi, *wh, *y, *hn, *cn, *gate, *cell, *d[NIN]; } oracle;

static double *numbers(int64_t n) {
  double *p = kk_calloc((size_t)n * sizeof *p);
  assert_non_null(p);
  return p;
}

static double value(const lstm_run *r, int in, int64_t i) {
  return r->a.in[in] ? (double)kk_real_data(r->a.in[in])[i] : 0;
}
static double squash(double v) { return 1 / (1 + exp(-v)); }
static double keep(const lstm_run *r, uint64_t i, double p) {
  return p <= 0 ? 1 : kk_random_keep(r->key, i, p) ? 1 / (1 - p) : 0;
}
static bool alive(const lstm_run *r, int64_t t, int64_t b) { return !r->k.lens || t < r->k.lens[b]; }

static void oracle_forward(const lstm_run *r, oracle *o) {
  const int64_t T = r->k.T, B = r->k.B, D = r->k.D, H = r->k.H;
  o->x = numbers(T * B * D), o->wi = numbers(4 * H * D), o->wh = numbers(4 * H * H), o->y = numbers(T * B * H);
  o->hn = numbers(B * H), o->cn = numbers(B * H), o->gate = numbers(T * B * 4 * H), o->cell = numbers(T * B * H);
  for (int64_t i = 0; i < T * B * D; i++)
    o->x[i] = value(r, IX, i) * keep(r, KK_MASK_SECOND + (uint64_t)(i % (B * D)), r->k.input_drop);
  for (int64_t i = 0; i < 4 * H * D; i++) o->wi[i] = value(r, IWI, i);
  for (int64_t i = 0; i < 4 * H * H; i++) o->wh[i] = value(r, IWH, i) * keep(r, (uint64_t)i, r->k.weight_drop);
  for (int64_t i = 0; i < B * H; i++) o->hn[i] = value(r, IH, i), o->cn[i] = value(r, IC, i);
  for (int64_t t = 0; t < T; t++)
    for (int64_t b = 0; b < B; b++) {
      double *g = o->gate + (t * B + b) * 4 * H;
      if (!alive(r, t, b)) continue;
      for (int64_t q = 0; q < 4 * H; q++) {
        double a = value(r, IB, q);
        for (int64_t d = 0; d < D; d++) a += o->wi[q * D + d] * o->x[(t * B + b) * D + d];
        for (int64_t h = 0; h < H; h++) a += o->wh[q * H + h] * o->hn[b * H + h];
        g[q] = q / H == 2 ? tanh(a) : squash(a);
      }
      for (int64_t h = 0; h < H; h++) {
        double c = g[H + h] * o->cn[b * H + h] + g[h] * g[2 * H + h];
        o->cell[(t * B + b) * H + h] = o->cn[b * H + h] = c;
        o->y[(t * B + b) * H + h] = o->hn[b * H + h] = g[3 * H + h] * tanh(c);
      }
    }
}

static double oracle_before(const lstm_run *r, const double *seq, int in, int64_t t, int64_t i) {
  return t ? seq[(t - 1) * r->k.B * r->k.H + i] : value(r, in, i);
}

static void oracle_backward(const lstm_run *r, oracle *o) {
  const int64_t T = r->k.T, B = r->k.B, D = r->k.D, H = r->k.H;
  const int64_t sizes[NIN] = {T * B * D, B * H, B * H, 4 * H * D, 4 * H * H, 4 * H, 1};
  double *da = numbers(4 * H);
  for (int i = 0; i < NIN; i++) o->d[i] = numbers(sizes[i]);
  for (int64_t i = 0; i < B * H; i++) o->d[IH][i] = above(OH, i), o->d[IC][i] = above(OC, i);
  for (int64_t t = T - 1; t >= 0; t--)
    for (int64_t b = 0; b < B; b++) {
      const double *g = o->gate + (t * B + b) * 4 * H;
      if (!alive(r, t, b)) continue;
      for (int64_t h = 0; h < H; h++) {
        const int64_t i = b * H + h, at = (t * B + b) * H + h;
        const double dh = o->d[IH][i] + above(OY, at), th = tanh(o->cell[at]);
        const double dc = o->d[IC][i] + dh * g[3 * H + h] * (1 - th * th);
        da[h] = dc * g[2 * H + h] * g[h] * (1 - g[h]);
        da[H + h] = dc * oracle_before(r, o->cell, IC, t, i) * g[H + h] * (1 - g[H + h]);
        da[2 * H + h] = dc * g[h] * (1 - g[2 * H + h] * g[2 * H + h]);
        da[3 * H + h] = dh * th * g[3 * H + h] * (1 - g[3 * H + h]);
        o->d[IC][i] = dc * g[H + h];
        o->d[IH][i] = 0;
      }
      for (int64_t q = 0; q < 4 * H; q++) {
        o->d[IB][q] += da[q];
        for (int64_t d = 0; d < D; d++) {
          o->d[IWI][q * D + d] += da[q] * o->x[(t * B + b) * D + d];
          o->d[IX][(t * B + b) * D + d] +=
            da[q] * o->wi[q * D + d] * keep(r, KK_MASK_SECOND + (uint64_t)(b * D + d), r->k.input_drop);
        }
        for (int64_t h = 0; h < H; h++) {
          o->d[IWH][q * H + h] +=
            da[q] * oracle_before(r, o->y, IH, t, b * H + h) * keep(r, (uint64_t)(q * H + h), r->k.weight_drop);
          o->d[IH][b * H + h] += da[q] * o->wh[q * H + h];
        }
      }
    }
  kk_free(da, (size_t)(4 * H) * sizeof *da);
}

static void oracle_close(const lstm_run *r, oracle *o) {
  const int64_t T = r->k.T, B = r->k.B, D = r->k.D, H = r->k.H;
  const int64_t sizes[NIN] = {T * B * D, B * H, B * H, 4 * H * D, 4 * H * H, 4 * H, 1};
  double *all[] = {o->x, o->wi, o->wh, o->y, o->hn, o->cn, o->gate, o->cell};
  const int64_t n[] = {T * B * D, 4 * H * D, 4 * H * H, T * B * H, B * H, B * H, T * B * 4 * H, T * B * H};
  for (int i = 0; i < 8; i++) kk_free(all[i], (size_t)n[i] * sizeof(double));
  for (int i = 0; i < NIN; i++) kk_free(o->d[i], (size_t)sizes[i] * sizeof(double));
}

/* got and want agree to tolerance, relative to the largest of want and at least to 1. */
static void same(const char *what, const lstm_run *r, const kk_real *got, const double *want, int64_t n,
                 double tolerance) {
  double scale = 1;
  for (int64_t i = 0; i < n; i++) scale = fabs(want[i]) > scale ? fabs(want[i]) : scale;
  for (int64_t i = 0; i < n; i++)
    if (!(fabs((double)got[i] - want[i]) <= tolerance * scale))
      fail_msg("T%d B%d D%d H%d%s%s: %s[%d] is %.15g, the plain loops say %.15g", (int)r->k.T, (int)r->k.B, (int)r->k.D,
               (int)r->k.H, r->k.lens ? " lens" : "", r->k.states ? " states" : "", what, (int)i, (double)got[i],
               want[i]);
}

static void check_case(lstm_case k, double tolerance) {
  static const char *const names[NIN] = {"dx", "dh", "dc", "dw_ih", "dw_hh", "db", ""};
  lstm_run r;
  oracle o = {0};
  kk_tape *tape = NULL;
  kk_tensor *out[3] = {0};
  run_open(&r, k, true);
  oracle_forward(&r, &o);
  oracle_backward(&r, &o);
  run_backward(&r, &tape, out);
  same("y", &r, kk_real_data(out[OY]), o.y, k.T * k.B * k.H, tolerance);
  same("h_n", &r, kk_real_data(out[OH]), o.hn, k.B * k.H, tolerance);
  same("c_n", &r, kk_real_data(out[OC]), o.cn, k.B * k.H, tolerance);
  for (int i = 0; i < ILENS; i++)
    if (r.a.in[i]) same(names[i], &r, r.a.in[i]->store->grad, o.d[i], r.a.in[i]->store->n, tolerance);
  for (int i = 0; i < 3; i++) kk_unref(out[i]);
  kk_tape_free(tape);
  oracle_close(&r, &o);
  run_close(&r);
}

static const int32_t lens17[17] = {7, 7, 7, 6, 5, 5, 4, 4, 4, 4, 3, 2, 2, 2, 1, 1, 1};

/* Odd sizes: one row, one unit, one step, one input; blocks that do not divide the units. */
static const lstm_case cases[] = {
  {1, 1, 1, 1, false, false, NULL, 0, 0},   {1, 3, 1, 5, true, true, NULL, 0, 0},
  {4, 1, 7, 33, true, true, NULL, 0, 0},    {7, 17, 5, 33, true, true, lens17, 0, 0},
  {7, 17, 1, 5, false, true, lens17, 0, 0}, {7, 3, 4, 33, true, false, lens17, 0.5, 0},
  {5, 3, 6, 1, true, true, NULL, 0.3, 0.4}, {7, 17, 9, 33, true, true, lens17, 0.5, 0.3},
  {9, 17, 8, 47, false, true, NULL, 0, 0},  {7, 17, 6, 134, true, true, lens17, 0.2, 0.6},
  {80, 17, 3, 10, true, true, NULL, 0, 0.2}, {3, 40, 6, 33, true, true, NULL, 0.2, 0.3},
  {2, 64, 50, 100, false, true, NULL, 0, 0}, {2, 2, 3, 1150, true, true, NULL, 0, 0},
};

__attribute__((unused)) static void equals_the_plain_loops(double tolerance) {
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_case(cases[i], tolerance);
}
