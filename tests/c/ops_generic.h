/* ops_generic.h -- what is asked of every op, from its record alone. Included by tests/c/test_ops.c
** (the float core) and tests/double/test_ops_double.c (the double core, where gradients are exact).
**
** 1. The gradient equals four-point differences, starting from a non-zero gradient: an `=` where
**    `+=` belongs fails here.       2. Each axis of each input one longer is refused, with nothing made.
** 3. Options outside their range are refused.   4. Each allocation of forward and backward failing in
** turn is reported and leaves nothing behind.   5. A released input is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "grad/tape.h"

enum { RUN_SEED = 7 };

typedef struct bench {
  const kk_op *op;
  kk_sig sig;
  kk_sample s;
  kk_args a;
} bench;

static const kk_term *bench_term(const bench *b, int i) { return &b->sig.in[i < b->sig.nin ? i : b->sig.nin - 1]; }

static int64_t bench_dim(bench *b, char letter) {
  int k = letter - 'A', used = 0;
  for (int i = 0; i < 26; i++) used += b->s.dim[i] != 0;
  if (!b->s.dim[k]) b->s.dim[k] = 2 + used;
  return b->s.dim[k];
}

static kk_shape bench_shape(bench *b, int i) {
  const kk_term *t = bench_term(b, i);
  kk_shape s = {0};
  if (b->s.shape[i].ndim >= 0) return b->s.shape[i];
  for (const char *p = t->dims; p < t->dims + t->dims_len;) {
    int64_t k = 1;
    if (*p == '.') {
      s.n[s.ndim++] = 2;
      p += 3;
    } else if (*p == '&' || *p == '?') {
      s.n[s.ndim++] = 3;
      s.n[s.ndim++] = 4;
      p++;
    } else if (*p == ',') {
      p++;
    } else {
      if (*p >= '0' && *p <= '9') k = *p++ - '0';
      s.n[s.ndim++] = k * bench_dim(b, *p++);
    }
  }
  return s;
}

static kk_tensor *bench_input(bench *b, int i) {
  const kk_term *t = bench_term(b, i);
  kk_shape s = bench_shape(b, i);
  kk_tensor *x = NULL;
  kk_err e;
  uint64_t key = 1000 + (uint64_t)i;
  kk_dtype d = t->type == 'i' || t->type == 'n' ? KK_I32 : t->type == 'b' ? KK_U8 : KK_F32;
  assert_int_equal(kk_tensor_new(d, &s, &x, &e), KK_OK);
  for (int64_t j = 0, n = kk_numel(&s); j < n; j++) {
    double u = kk_random_uniform(key, (uint64_t)j);
    if (t->type == 'i') kk_i32_data(x)[j] = (int32_t)(u * b->s.index[i]);
    else if (t->type == 'n') kk_i32_data(x)[j] = b->s.numbers[i] ? b->s.numbers[i][j] : 1;
    else if (t->type == 'b') ((uint8_t *)kk_data(x))[j] = u < 0.5;
    else kk_real_data(x)[j] = (kk_real)(b->s.lo[i] + (b->s.hi[i] - b->s.lo[i]) * u);
  }
  return x;
}

/* Inputs for one variant of the op's sample; false when there is none. */
static bool bench_open(bench *b, const kk_op *op, int variant) {
  *b = (bench){.op = op};
  kk_sig_parse(op->sig, &b->sig);
  b->s.nin = b->sig.nin;
  for (int i = 0; i < KK_MAXIN; i++) {
    b->s.shape[i].ndim = -1;
    b->s.lo[i] = -1;
    b->s.hi[i] = 1;
    b->s.index[i] = 2;
  }
  for (int i = 0, n = kk_op_nopt(op); i < n; i++) b->s.opt[i] = op->opts[i].dflt;
  if (op->sample ? !op->sample(variant, &b->s) : variant > 0) return false;
  b->a.nin = b->s.nin;
  b->a.opt = b->s.opt;
  for (int i = 0; i < b->s.nin; i++)
    if (!b->s.absent[i]) b->a.in[i] = bench_input(b, i);
  return true;
}

static void bench_close(bench *b) {
  for (int i = 0; i < b->a.nin; i++) kk_unref(b->a.in[i]);
}

static kk_status bench_run(bench *b, kk_tape *tape, kk_tensor **out, kk_err *e) {
  kk_stream stream = {.seed = RUN_SEED};
  b->a.stream = &stream;
  return kk_op_run(b->op, &b->a, tape, out, e);
}

static bool bench_float_input(const bench *b, int i) {
  return b->a.in[i] && kk_type(b->a.in[i]) == KK_F32 && !bench_term(b, i)->constant;
}

/* The weight of element j of output k in the scalar that is differentiated. */
static double bench_weight(int k, int64_t j) { return kk_random_uniform(77 + (uint64_t)k, (uint64_t)j) - 0.4; }

static double bench_loss(bench *b) {
  kk_tensor *out[KK_MAXOUT] = {0};
  kk_err e = {0};
  double sum = 0;
  if (bench_run(b, NULL, out, &e)) fail_msg("%s: %s", b->op->name, e.msg);
  for (int k = 0; k < b->sig.nout; k++) {
    if (kk_type(out[k]) == KK_F32 && !b->sig.out[k].constant)
      for (int64_t j = 0, n = kk_numel(&out[k]->shape); j < n; j++) sum += bench_weight(k, j) * (double)kk_real_data(out[k])[j];
    kk_unref(out[k]);
  }
  return sum;
}

static double bench_difference(bench *b, int i, int64_t j) {
  const double h = 1e-3;
  kk_real *p = kk_real_data(b->a.in[i]) + j, was = *p;
  double f[4];
  static const double at[4] = {-2, -1, 1, 2};
  for (int q = 0; q < 4; q++) {
    *p = (kk_real)((double)was + at[q] * h);
    f[q] = bench_loss(b);
  }
  *p = was;
  return (8 * (f[2] - f[1]) - (f[3] - f[0])) / (12 * h);
}

static double start_gradient(int i, int64_t j) { return 0.5 + kk_random_uniform(500 + (uint64_t)i, (uint64_t)j); }

/* Runs forward and backward on a tape, with output gradients bench_weight. */
static kk_status bench_backward(bench *b, kk_tape *tape, kk_err *e) {
  kk_tensor *out[KK_MAXOUT] = {0}, *seed = NULL;
  kk_status st = bench_run(b, tape, out, e);
  int first = -1;
  if (st) return st;
  for (int k = 0; k < b->sig.nout && !st; k++) {
    if (!kk_wants_grad(out[k])) continue;
    if (first < 0) {
      first = k;
      st = kk_tensor_new(KK_F32, &out[k]->shape, &seed, e);
      for (int64_t j = 0, n = kk_numel(&out[k]->shape); !st && j < n; j++) kk_real_data(seed)[j] = (kk_real)bench_weight(k, j);
    } else if (!(st = kk_tensor_need_grad(out[k], e))) {
      for (int64_t j = 0, n = kk_numel(&out[k]->shape); j < n; j++) out[k]->store->grad[j] = (kk_real)bench_weight(k, j);
    }
  }
  if (!st) st = kk_tape_backward(tape, out[first], seed, e);
  kk_unref(seed);
  for (int k = 0; k < b->sig.nout; k++) kk_unref(out[k]);
  return st;
}

static bool bench_differentiable(bench *b) {
  bool any = false;
  if (!b->op->backward) return false;
  for (int i = 0; i < b->a.nin; i++)
    if (bench_float_input(b, i)) {
      b->a.in[i]->store->wants_grad = true;
      any = true;
    }
  return any;
}

static void check_gradient(const kk_op *op, double tolerance) {
  bench b;
  for (int variant = 0; bench_open(&b, op, variant); variant++) {
    kk_tape *tape = NULL;
    kk_err e = {0};
    if (bench_differentiable(&b)) {
      assert_int_equal(kk_tape_new(true, &tape, &e), KK_OK);
      for (int i = 0; i < b.a.nin; i++)
        if (bench_float_input(&b, i)) {
          assert_int_equal(kk_tensor_need_grad(b.a.in[i], &e), KK_OK);
          for (int64_t j = 0, n = b.a.in[i]->store->n; j < n; j++) b.a.in[i]->store->grad[j] = (kk_real)start_gradient(i, j);
        }
      if (bench_backward(&b, tape, &e)) fail_msg("%s: %s", op->name, e.msg);
      kk_tape_free(tape);
      for (int i = 0; i < b.a.nin; i++)
        for (int64_t j = 0; bench_float_input(&b, i) && j < b.a.in[i]->store->n; j++) {
          double want = bench_difference(&b, i, j), got = (double)b.a.in[i]->store->grad[j] - start_gradient(i, j);
          double scale = fabs(want) > 1 ? fabs(want) : 1;
          if (!(fabs(got - want) <= tolerance * scale))
            fail_msg("%s, variant %d: d/d %.*s[%lld] is %.12g, differences say %.12g", op->name, variant,
                     bench_term(&b, i)->len, bench_term(&b, i)->name, (long long)j, got, want);
        }
    }
    bench_close(&b);
  }
}

/* How many of the present inputs use this letter (or the common "..." when letter is '.')? */
static int bench_uses(const bench *b, char letter) {
  int n = 0;
  for (int i = 0; i < b->a.nin; i++) {
    const kk_term *t = bench_term(b, i);
    for (int k = 0; b->a.in[i] && k < t->dims_len; k++)
      if (t->dims[k] == letter) {
        n++;
        if (letter == '.') k += 2;
      }
  }
  return n;
}

/* The letter that rules axis d of input i ('.': the common shape, 0: free). */
static char bench_letter(const bench *b, int i, int d) {
  const kk_term *t = bench_term(b, i);
  char letters[KK_MAXDIM + 1] = {0};
  int n = 0;
  for (int k = 0; k < t->dims_len; k++) {
    if (t->dims[k] == '?' || t->dims[k] == '&') return 0;
    if (t->dims[k] >= 'A' && t->dims[k] <= 'Z') letters[n++] = t->dims[k];
  }
  d -= b->a.in[i]->shape.ndim - n;
  return d < 0 ? '.' : letters[d];
}

static void check_refusals(const kk_op *op) {
  bench b;
  for (int variant = 0; bench_open(&b, op, variant); variant++) {
    kk_tensor *out[KK_MAXOUT] = {0};
    kk_err e;
    for (int i = 0; i < b.a.nin; i++) {
      kk_tensor *was = b.a.in[i], *longer = NULL;
      if (!was) continue;
      for (int d = 0; d < was->shape.ndim; d++) {
        char letter = bench_letter(&b, i, d);
        kk_shape s = was->shape;
        if (!letter || bench_uses(&b, letter) < 2) continue;
        s.n[d]++;
        assert_int_equal(kk_tensor_zeros(kk_type(was), &s, &longer, &e), KK_OK);
        b.a.in[i] = longer;
        size_t live = kk_mem_live();
        kk_status st = bench_run(&b, NULL, out, &e);
        b.a.in[i] = was;
        kk_unref(longer);
        if (st != KK_ESHAPE) fail_msg("%s: %.*s one longer on axis %d gave status %d", op->name, bench_term(&b, i)->len,
                                      bench_term(&b, i)->name, d, st);
        assert_true(kk_mem_live() < live);
        assert_null(out[0]);
        assert_non_null(strstr(e.msg, op->name));
      }
      kk_storage_clear(was->store);
      assert_int_equal(bench_run(&b, NULL, out, &e), KK_ESTATE);
      kk_unref(was);
      b.a.in[i] = bench_input(&b, i);
    }
    for (int k = 0, n = kk_op_nopt(op); k < n; k++) {
      double was = b.s.opt[k], bad[3] = {op->opts[k].min - 1, op->opts[k].max * 2 + 1, 0.0 / 0.0};
      for (int q = 0; q < 3; q++) {
        b.s.opt[k] = bad[q];
        if (bad[q] >= op->opts[k].min && bad[q] <= op->opts[k].max) continue;
        assert_int_equal(bench_run(&b, NULL, out, &e), KK_EARG);
      }
      b.s.opt[k] = was;
    }
    bench_close(&b);
  }
}

static void check_allocations(const kk_op *op) {
  bench b;
  for (int variant = 0; bench_open(&b, op, variant); variant++) {
    bool grad = bench_differentiable(&b);
    kk_status st = KK_ENOMEM;
    kk_err e;
    if (op->blas) {                           /* the library is loaded once, outside of the count */
      kk_tensor *out[KK_MAXOUT] = {0};
      assert_int_equal(bench_run(&b, NULL, out, &e), KK_OK);
      for (int k = 0; k < b.sig.nout; k++) kk_unref(out[k]);
    }
    size_t live = kk_mem_live();
    for (long n = 0; st != KK_OK; n++) {
      kk_tape *tape = NULL;
      kk_tensor *out[KK_MAXOUT] = {0};
      assert_int_equal(kk_tape_new(true, &tape, &e), KK_OK);
      kk_mem_fail_after(n);
      st = grad ? bench_backward(&b, tape, &e) : bench_run(&b, tape, out, &e);
      kk_mem_fail_after(-1);
      if (st != KK_OK && st != KK_ENOMEM) fail_msg("%s: allocation %ld failing gave: %s", op->name, n, e.msg);
      kk_tape_free(tape);
      for (int k = 0; k < b.sig.nout; k++) kk_unref(out[k]);
      for (int i = 0; i < b.a.nin; i++)
        if (b.a.in[i] && b.a.in[i]->store->grad) {
          kk_free(b.a.in[i]->store->grad, (size_t)b.a.in[i]->store->n * sizeof(kk_real));
          b.a.in[i]->store->grad = NULL;
        }
      if (kk_mem_live() != live) fail_msg("%s: allocation %ld failing left %zu bytes", op->name, n, kk_mem_live() - live);
    }
    bench_close(&b);
  }
}
