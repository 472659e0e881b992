/* Products with weights of eight bits: each kernel against plain integers, the ops against plain loops. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

#include "base/mem.h"
#include "base/pool.h"
#include "grad/tape.h"
#include "linalg/q8.h"
#include "tensor/derived.h"

static kk_err err;

/* ---- kernels */
enum { MOST_K = 1152 };
enum { RANDOM, LOWEST, HIGHEST, ZERO, FILLS };

static uint8_t byte(int fill, uint64_t key, int64_t i) {
  switch (fill) {
    case LOWEST: return 0;
    case HIGHEST: return 255;
    case ZERO: return KK_Q8_ZERO;
    default: return (uint8_t)(kk_random_uniform(key, (uint64_t)i) * 256);
  }
}

static void tile_equals_integers(const kk_q8_kernel *kernel, int rows, int64_t k, int fill_a, int fill_b) {
  static uint8_t a[KK_Q8_ROWS * (MOST_K + 4)], q[KK_Q8_PANEL * MOST_K];
  const int64_t lda = kk_q8_width(k), size = (int64_t)kk_q8_bytes(k, KK_Q8_PANEL, 1);
  int32_t c[KK_Q8_ROWS][KK_Q8_PANEL];
  void *room = kk_alloc((size_t)size);
  for (int64_t i = 0; i < rows * lda; i++) a[i] = byte(fill_a, 1, i);
  for (int64_t i = 0; i < KK_Q8_PANEL * k; i++) q[i] = byte(fill_b, 2, i);
  const kk_q8 w = kk_q8_pack(k, KK_Q8_PANEL, 1, q, room);
  kernel->tile(rows, kk_q8_groups(k), a, lda, w.data, c);
  for (int r = 0; r < rows; r++)
    for (int64_t j = 0; j < KK_Q8_PANEL; j++) {
      int64_t want = 0;
      for (int64_t i = 0; i < k; i++) want += (int64_t)a[r * lda + i] * (q[j * k + i] - 128);
      if (c[r][j] != want) fail_msg("%s: %d rows, k %d: %d, expected %lld", kernel->name, rows, (int)k, c[r][j], (long long)want);
    }
  kk_free(room, (size_t)size);
}

static void every_kernel_gives_the_same_integers(void **state) {
  static const int64_t ks[] = {1, 2, 3, 4, 5, 8, 9, 33, 400, 1150, MOST_K};
  int ran = 0;
  (void)state;
  for (int v = 0; kk_q8_kernels[v]; v++) {
    if (!kk_q8_kernels[v]->have()) continue;
    ran++;
    for (int rows = 1; rows <= KK_Q8_ROWS; rows++)
      for (size_t i = 0; i < sizeof ks / sizeof *ks; i++) tile_equals_integers(kk_q8_kernels[v], rows, ks[i], RANDOM, RANDOM);
    for (int fill = 0; fill < FILLS * FILLS; fill++)
      for (int rows = 1; rows <= KK_Q8_ROWS; rows++) tile_equals_integers(kk_q8_kernels[v], rows, MOST_K, fill / FILLS, fill % FILLS);
  }
  assert_true(ran >= 1);
  print_message("# %d kernels, the one in use: %s\n", ran, kk_q8_kernel_used()->name);
}

/* ---- to eight bits */
static void rounding_is_within_half_a_step(void **state) {
  kk_real x[37], s[1];
  uint8_t u[40];
  (void)state;
  for (int shift = -60; shift <= 100; shift += 20) {
    double most = 0;
    for (int i = 0; i < 37; i++) {
      x[i] = (kk_real)ldexp(2 * kk_random_uniform(3, (uint64_t)i) - 1, shift);
      most = fmax(most, fabs((double)x[i]));
    }
    kk_q8_activations(x, 1, 37, u, s);
    assert_true(fabs((double)s[0] / (most / 127) - 1) < 1e-6);
    for (int i = 0; i < 37; i++) {
      assert_true(u[i] >= 1);
      assert_true(fabs((double)s[0] * (u[i] - KK_Q8_ZERO) - (double)x[i]) <= (double)s[0] * 0.50001);
    }
    for (int i = 37; i < 40; i++) assert_int_equal(u[i], KK_Q8_ZERO);
  }
}

static void rows_of_zeros_and_rows_that_are_not_finite(void **state) {
  kk_real x[5][3] = {{0, 0, 0}, {1, (kk_real)NAN, 2}, {(kk_real)INFINITY, 1, 1}, {(kk_real)1e-38, 0, 0}, {-2, 1, 0}}, s[5];
  uint8_t u[5][4];
  (void)state;
  kk_q8_activations(x[0], 5, 3, u[0], s);
  for (int r = 0; r < 4; r++)
    for (int i = 0; i < 4; i++) assert_int_equal(u[r][i], KK_Q8_ZERO);
  assert_true(s[0] == 0 && s[3] == 0);
  assert_true(isnan((double)s[1]) && isnan((double)s[2]));
  assert_int_equal(u[4][0], 1);
  assert_int_equal(u[4][1], KK_Q8_ZERO + 64);         /* 63.5: ties to even */
}

/* ---- ops */
static kk_tensor *numbers(int ndim, int64_t n0, int64_t n1, int64_t n2, uint64_t key, double scale) {
  kk_shape s = {ndim, {n0, n1, n2}};
  kk_tensor *t = NULL;
  check_ok(kk_tensor_new(KK_F32, &s, &t, &err), &err);
  for (int64_t i = 0; i < kk_numel(&s); i++)
    kk_real_data(t)[i] = (kk_real)(scale * (2 * kk_random_uniform(key, (uint64_t)i) - 1));
  return t;
}

static void apply(const char *name, kk_args *a, kk_tensor **out) { check_ok(kk_op_run(kk_op_find(name), a, NULL, out, &err), &err); }

static void quantize(kk_tensor *w, kk_tensor **q_scale) {
  kk_args a = {.nin = 1, .in = {w}};
  apply("quantize_rows", &a, q_scale);
}

/* sum over d of x[d] w[d], both as eight bits have them: exact but for the last factors. */
static double dot(const kk_real *x, int64_t k, kk_tensor *const *w, int64_t row) {
  static uint8_t u[2 * MOST_K];
  const uint8_t *q = (const uint8_t *)kk_data(w[0]) + row * k;
  kk_real s;
  int64_t sum = 0;
  kk_q8_activations(x, 1, k, u, &s);
  for (int64_t d = 0; d < k; d++) sum += (u[d] - KK_Q8_ZERO) * (q[d] - KK_Q8_ZERO);
  return (double)s * (double)kk_real_data(w[1])[row] * (double)sum;
}

static void drop(kk_tensor **t, int n) {
  for (int i = 0; i < n; i++) kk_unref(t[i]);
}

static void linear_equals_plain_loops(void **state) {
  static const int64_t Hs[] = {1, 63, 64, 65, 200}, Ds[] = {1, 5, 33, 400}, Ns[] = {1, 3, 17, 33};
  (void)state;
  for (int k = 0; k < 5 * 4 * 4; k++) {
    const int64_t H = Hs[k % 5], D = Ds[k / 5 % 4], N = Ns[k / 20];
    kk_tensor *x = numbers(2, N, D, 0, 1, 3), *w = numbers(2, H, D, 0, 2, 0.5), *b = numbers(1, H, 0, 0, 3, 1), *q[2], *y[1];
    quantize(w, q);
    for (int bias = 0; bias < 2; bias++) {
      kk_args a = {.nin = 4, .in = {x, q[0], q[1], bias ? b : NULL}};
      for (int again = 0; again < 2; again++) {
        apply("linear_q8", &a, y);
        for (int64_t i = 0; i < N * H; i++) {
          const double want = dot(kk_real_data(x) + i / H * D, D, q, i % H) + (bias ? (double)kk_real_data(b)[i % H] : 0);
          assert_true(fabs((double)kk_real_data(y[0])[i] - want) < 1e-5 * (1 + fabs(want)));
        }
        kk_unref(y[0]);
      }
    }
    assert_true((q[0]->store->derived != NULL) == (H * D >= 1 << 14));
    drop((kk_tensor *[]){x, w, b, q[0], q[1]}, 5);
  }
}

static void changed_bytes_change_the_result(void **state) {
  kk_tensor *x = numbers(2, 1, 100, 0, 1, 1), *w = numbers(2, 200, 100, 0, 2, 1), *q[2], *y[2];
  (void)state;
  quantize(w, q);
  kk_args a = {.nin = 4, .in = {x, q[0], q[1], NULL}};
  apply("linear_q8", &a, y);
  assert_non_null(q[0]->store->derived);
  check_ok(kk_writable(q[0], "test", &err), &err);
  ((uint8_t *)kk_data(q[0]))[0] ^= 0x40;
  apply("linear_q8", &a, y + 1);
  assert_true(kk_real_data(y[0])[0] != kk_real_data(y[1])[0]);
  assert_memory_equal(kk_real_data(y[0]) + 1, kk_real_data(y[1]) + 1, 199 * sizeof(kk_real));
  drop((kk_tensor *[]){x, w, q[0], q[1], y[0], y[1]}, 6);
}

enum { IX, IH, IC, IWI, ISI, IWH, ISH, IB, ILENS, NIN };
typedef struct layer { int64_t T, B, D, H; bool states, bias; const int32_t *lens; kk_args a; } layer;

static void layer_open(layer *l) {
  const int64_t B = l->B, D = l->D, H = l->H;
  kk_tensor *wi = numbers(2, 4 * H, D, 0, 4, 1 / sqrt((double)D)), *wh = numbers(2, 4 * H, H, 0, 5, 1 / sqrt((double)H)), *q[2];
  kk_shape s = {1, {B}};
  l->a = (kk_args){.nin = NIN, .in = {numbers(3, l->T, B, D, 1, 1)}};
  if (l->states) l->a.in[IH] = numbers(2, B, H, 0, 2, 1), l->a.in[IC] = numbers(2, B, H, 0, 3, 1);
  if (l->bias) l->a.in[IB] = numbers(1, 4 * H, 0, 0, 6, 1);
  quantize(wi, q);
  l->a.in[IWI] = q[0], l->a.in[ISI] = q[1];
  quantize(wh, q);
  l->a.in[IWH] = q[0], l->a.in[ISH] = q[1];
  kk_unref(wi);
  kk_unref(wh);
  if (!l->lens) return;
  check_ok(kk_tensor_new(KK_I32, &s, &l->a.in[ILENS], &err), &err);
  memcpy(kk_i32_data(l->a.in[ILENS]), l->lens, (size_t)B * sizeof(int32_t));
}

static double squash(double v) { return 1 / (1 + exp(-v)); }
static void near(double got, double want, const char *what) {
  if (!(fabs(got - want) < 2e-5)) fail_msg("%s is %.9g, the plain loops say %.9g", what, got, want);
}

/* Step by step, each from the hidden state that the layer itself gave, so that rounding to eight bits is the same. */
static void layer_check(const layer *l, kk_tensor **out) {
  const int64_t T = l->T, B = l->B, D = l->D, H = l->H;
  const kk_real *y = kk_real_data(out[0]);
  kk_real *none = kk_calloc((size_t)H * sizeof *none);
  for (int64_t b = 0; b < B; b++) {
    const int64_t len = l->lens ? l->lens[b] : T;
    double *c = kk_calloc((size_t)H * sizeof *c);
    for (int64_t u = 0; l->states && u < H; u++) c[u] = (double)kk_real_data(l->a.in[IC])[b * H + u];
    for (int64_t t = 0; t < T; t++) {
      const kk_real *h = t ? y + ((t - 1) * B + b) * H : l->states ? kk_real_data(l->a.in[IH]) + b * H : none;
      for (int64_t u = 0; u < H; u++) {
        double a[4];
        if (t >= len) {
          assert_true(y[(t * B + b) * H + u] == 0);
          continue;
        }
        for (int64_t g = 0; g < 4; g++)
          a[g] = dot(kk_real_data(l->a.in[IX]) + (t * B + b) * D, D, &l->a.in[IWI], g * H + u) +
                 dot(h, H, &l->a.in[IWH], g * H + u) + (l->bias ? (double)kk_real_data(l->a.in[IB])[g * H + u] : 0);
        c[u] = squash(a[1]) * c[u] + squash(a[0]) * tanh(a[2]);
        near((double)y[(t * B + b) * H + u], squash(a[3]) * tanh(c[u]), "y");
      }
    }
    for (int64_t u = 0; u < H; u++) {
      near((double)kk_real_data(out[1])[b * H + u], (double)y[((len - 1) * B + b) * H + u], "h_n");
      near((double)kk_real_data(out[2])[b * H + u], c[u], "c_n");
    }
    kk_free(c, (size_t)H * sizeof *c);
  }
  kk_free(none, (size_t)H * sizeof *none);
}

static const int32_t lens17[17] = {7, 7, 7, 6, 5, 5, 4, 4, 4, 4, 3, 2, 2, 2, 1, 1, 1};
static const layer layers[] = {
  {1, 1, 1, 1, false, false, NULL, {0}},  {1, 3, 1, 5, true, true, NULL, {0}},       {4, 1, 7, 33, true, true, NULL, {0}},
  {7, 17, 5, 33, true, true, lens17, {0}}, {7, 17, 1, 5, false, true, lens17, {0}},   {7, 3, 4, 33, true, false, NULL, {0}},
  {5, 3, 6, 1, true, true, NULL, {0}},    {7, 17, 40, 134, false, true, lens17, {0}}, {80, 17, 3, 10, true, true, NULL, {0}},
};

static void layer_equals_plain_loops(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
    layer l = layers[i];
    kk_tensor *out[3];
    layer_open(&l);
    for (int again = 0; again < 2; again++) {
      apply("lstm_q8", &l.a, out);
      layer_check(&l, out);
      drop(out, 3);
    }
    drop(l.a.in, NIN);
  }
}

static void bits_do_not_depend_on_threads(void **state) {
  layer l = layers[7];
  kk_tensor *one[3], *more[3];
  (void)state;
  layer_open(&l);
  kk_pool_set_threads(1);
  apply("lstm_q8", &l.a, one);
  for (int threads = 2; threads <= 3; threads++) {
    kk_pool_set_threads(threads);
    apply("lstm_q8", &l.a, more);
    for (int k = 0; k < 3; k++)
      assert_memory_equal(kk_real_data(one[k]), kk_real_data(more[k]), (size_t)one[k]->store->n * sizeof(kk_real));
    drop(more, 3);
  }
  kk_pool_set_threads(0);
  drop(one, 3);
  drop(l.a.in, NIN);
}

static void weights_that_are_not_finite_are_refused(void **state) {
  kk_tensor *w = numbers(2, 3, 4, 0, 1, 1), *q[2] = {0};
  kk_args a = {.nin = 1, .in = {w}};
  (void)state;
  kk_real_data(w)[6] = (kk_real)NAN;
  check_fails(kk_op_run(kk_op_find("quantize_rows"), &a, NULL, q, &err), KK_EARG, &err, "w[2,3] is nan, expected finite numbers");
  kk_unref(w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(every_kernel_gives_the_same_integers),
    cmocka_unit_test(rounding_is_within_half_a_step),
    cmocka_unit_test(rows_of_zeros_and_rows_that_are_not_finite),
    cmocka_unit_test(linear_equals_plain_loops),
    cmocka_unit_test(changed_bytes_change_the_result),
    cmocka_unit_test(layer_equals_plain_loops),
    cmocka_unit_test(bits_do_not_depend_on_threads),
    cmocka_unit_test(weights_that_are_not_finite_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
