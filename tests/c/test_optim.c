/* Optimizers: against plain loops in double, the same bits for any number of threads, all or nothing, and tables that are
** updated row by row against the same tables updated whole, to the bit. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/pool.h"
#include "check.h"
#include "grad/optim.h"
#include "grad/tape.h"
#include "tensor/rowset.h"

enum { PARAMS = 7, STEPS = 12 };
static const int64_t sizes[PARAMS] = {1, 3, 17, 70001, 16384, 33, 1000};

static uint64_t key;
static double draw(void) { return 2 * kk_random_uniform(5, key++) - 1; }

static kk_tensor *make(int ndim, int64_t rows, int64_t width) {
  kk_shape s = {.ndim = ndim, .n = {rows, width}};
  kk_tensor *t;
  kk_err e;
  check_ok(kk_tensor_zeros(KK_F32, &s, &t, &e), &e);
  t->store->kept = true;
  return t;
}

static kk_tensor *param(int ndim, int64_t rows, int64_t width) {
  kk_tensor *t = make(ndim, rows, width);
  for (int64_t i = 0; i < t->store->n; i++) kk_real_data(t)[i] = (kk_real)draw();
  t->store->wants_grad = true;
  return t;
}

static void give_grads(kk_tensor *p) {
  kk_err e;
  check_ok(kk_tensor_need_grad(p, &e), &e);
  if (p->store->rows) p->store->rows->all = true;
  for (int64_t i = 0; i < p->store->n; i++) p->store->grad[i] = (kk_real)(0.1 * draw());
}

typedef struct kit {
  kk_slot slot[PARAMS];
  kk_optim *o;
} kit;

static void kit_open(kit *k, kk_rule rule) {
  kk_err e;
  key = 0;
  for (int i = 0; i < PARAMS; i++) {
    k->slot[i] = (kk_slot){.p = param(1, sizes[i], 0), .group = i % 2};
    for (int j = 0; j < (rule == KK_ADAM ? 2 : 1); j++) k->slot[i].state[j] = make(1, sizes[i], 0);
  }
  check_ok(kk_optim_new(rule, k->slot, PARAMS, 2, true, &k->o, &e), &e);
  kk_optim_group(k->o, 0, (kk_group){1, 0.1});
  kk_optim_group(k->o, 1, (kk_group){0.5, 0});
}

static void kit_close(kit *k) {
  kk_optim_free(k->o);
  for (int i = 0; i < PARAMS; i++) {
    kk_unref(k->slot[i].p);
    kk_unref(k->slot[i].state[0]);
    kk_unref(k->slot[i].state[1]);
  }
}

static kk_step settings(kk_rule rule, int t) {
  kk_step s = {.lr = 0.01 * (1 + 0.3 * t), .momentum = 0.95 - 0.02 * t, .beta2 = 0.99, .eps = 1e-8, .clip = t % 3 ? 2.5 : INFINITY,
               .scale = 1, .count = t, .since = t > 4 ? 4 : INT64_MAX, .lambd = 0.01, .alpha = 0.75, .nesterov = t % 2};
  if (rule == KK_ASGD) s.since = 4;
  return s;
}

/* ---- the oracle */

static double *wide(const kk_real *x, int64_t n) {
  double *y = malloc((size_t)n * sizeof *y);
  for (int64_t i = 0; i < n; i++) y[i] = (double)x[i];
  return y;
}

static void oracle(kk_rule rule, double *p, double *a, double *b, const double *g, int64_t n, const kk_step *s, kk_group w,
                   double norm) {
  const double scale = norm > s->clip ? s->clip / norm : 1, lr = s->lr * w.rate, t = (double)s->count;
  for (int64_t i = 0; i < n; i++) {
    double gi = g[i] * scale;
    if (rule == KK_ADAM) {
      a[i] = s->momentum * a[i] + (1 - s->momentum) * gi;
      b[i] = s->beta2 * b[i] + (1 - s->beta2) * gi * gi;
      p[i] *= 1 - lr * w.decay;
      p[i] -= lr * (a[i] / (1 - pow(s->momentum, t))) / (sqrt(b[i] / (1 - pow(s->beta2, t))) + s->eps);
    } else if (rule == KK_SGD) {
      gi += w.decay * p[i];
      a[i] = s->momentum * a[i] + gi;
      p[i] -= lr * (s->nesterov ? gi + s->momentum * a[i] : a[i]);
    } else {
      const double eta = lr / pow(1 + s->lambd * lr * (t - 1), s->alpha);
      const double mu = 1 / fmax(1, t - 1 - (double)s->since);
      gi += w.decay * p[i];
      p[i] = p[i] * (1 - s->lambd * eta) - eta * gi;
      a[i] += (p[i] - a[i]) * mu;
    }
  }
}

static void follows_its_formula(kk_rule rule) {
  static const kk_group group[2] = {{1, 0.1}, {0.5, 0}};
  double *p[PARAMS], *a[PARAMS], *b[PARAMS];
  kk_err e;
  kit k;
  kit_open(&k, rule);
  for (int i = 0; i < PARAMS; i++) {
    p[i] = wide(kk_real_data(k.slot[i].p), sizes[i]);
    a[i] = calloc((size_t)sizes[i], sizeof(double));
    b[i] = calloc((size_t)sizes[i], sizeof(double));
  }
  for (int t = 1; t <= STEPS; t++) {
    kk_step s = settings(rule, t);
    double sum = 0, norm;
    double *g[PARAMS];
    for (int i = 0; i < PARAMS; i++) {
      give_grads(k.slot[i].p);
      g[i] = wide(k.slot[i].p->store->grad, sizes[i]);
      for (int64_t q = 0; q < sizes[i]; q++) sum += g[i][q] * g[i][q];
    }
    check_ok(kk_optim_step(k.o, &s, &norm, &e), &e);
    assert_true(fabs(norm - sqrt(sum)) < 1e-12 * norm);
    for (int i = 0; i < PARAMS; i++) {
      oracle(rule, p[i], a[i], b[i], g[i], sizes[i], &s, group[i % 2], norm);
      for (int64_t q = 0; q < sizes[i]; q++) {
        const double got = (double)kk_real_data(k.slot[i].p)[q];
        if (!(fabs(got - p[i][q]) < 3e-6)) fail_msg("step %d, parameter %d, element %lld: %.9g, expected %.9g", t, i, (long long)q, got, p[i][q]);
        if (k.slot[i].p->store->grad[q] != 0) fail_msg("the gradient is not back to zero");
      }
      free(g[i]);
    }
  }
  for (int i = 0; i < PARAMS; i++) {
    for (int64_t q = 0; q < sizes[i]; q++) assert_true(fabs((double)kk_real_data(k.slot[i].state[0])[q] - a[i][q]) < 3e-6);
    free(p[i]), free(a[i]), free(b[i]);
  }
  kit_close(&k);
}

static void adam_follows_its_formula(void **state) { (void)state; follows_its_formula(KK_ADAM); }
static void sgd_follows_its_formula(void **state) { (void)state; follows_its_formula(KK_SGD); }
static void asgd_follows_its_formula(void **state) { (void)state; follows_its_formula(KK_ASGD); }

/* ---- threads, refusals */

static void *bits_after(kk_rule rule, int threads, size_t *bytes) {
  kit k;
  kk_err e;
  size_t n = 0, at = 0;
  char *out;
  kk_pool_set_threads(threads);
  kit_open(&k, rule);
  for (int t = 1; t <= STEPS; t++) {
    kk_step s = settings(rule, t);
    double norm;
    for (int i = 0; i < PARAMS; i++) give_grads(k.slot[i].p);
    check_ok(kk_optim_step(k.o, &s, &norm, &e), &e);
  }
  for (int i = 0; i < PARAMS; i++) n += 2 * (size_t)sizes[i] * sizeof(kk_real);
  out = malloc(n);
  for (int i = 0; i < PARAMS; i++) {
    const size_t one = (size_t)sizes[i] * sizeof(kk_real);
    memcpy(out + at, kk_real_data(k.slot[i].p), one);
    memcpy(out + at + one, kk_real_data(k.slot[i].state[0]), one);
    at += 2 * one;
  }
  kit_close(&k);
  kk_pool_set_threads(0);
  *bytes = n;
  return out;
}

static void any_number_of_threads_gives_the_same_bits(void **state) {
  (void)state;
  for (kk_rule rule = KK_ADAM; rule <= KK_ASGD; rule++) {
    size_t n;
    void *one = bits_after(rule, 1, &n);
    for (int threads = 2; threads <= 5; threads++) {
      void *more = bits_after(rule, threads, &n);
      assert_memory_equal(one, more, n);
      free(more);
    }
    free(one);
  }
}

static void a_norm_that_is_no_number_touches_nothing(void **state) {
  (void)state;
  const kk_real bad[] = {(kk_real)NAN, (kk_real)INFINITY, (kk_real)-INFINITY};
  for (int b = 0; b < 3; b++) {
    kit k;
    kk_err e;
    double norm;
    kk_step s = settings(KK_ADAM, 1);
    kit_open(&k, KK_ADAM);
    for (int i = 0; i < PARAMS; i++) give_grads(k.slot[i].p);
    k.slot[4].p->store->grad[4711] = bad[b];
    kk_real first = kk_real_data(k.slot[0].p)[0], grad = k.slot[0].p->store->grad[0];
    check_ok(kk_optim_step(k.o, &s, &norm, &e), &e);
    assert_true(b ? isinf(norm) : isnan(norm));
    assert_true(kk_real_data(k.slot[0].p)[0] == first && k.slot[0].p->store->grad[0] == grad);
    for (int i = 0; i < PARAMS; i++)
      for (int64_t q = 0; q < sizes[i]; q++) assert_true(kk_real_data(k.slot[i].state[0])[q] == 0);
    kit_close(&k);
  }
}

static void a_bad_parameter_leaves_all_as_they_were(void **state) {
  (void)state;
  for (int how = 0; how < 2; how++) {
    kit k;
    kk_err e;
    double norm;
    kk_step s = settings(KK_ADAM, 1);
    kit_open(&k, KK_ADAM);
    for (int i = 0; i < PARAMS; i++) give_grads(k.slot[i].p);
    if (how == 0) kk_storage_clear(k.slot[PARAMS - 1].state[1]->store);
    else k.slot[PARAMS - 1].p->store->shared = true;
    kk_real first = kk_real_data(k.slot[0].p)[0], grad = k.slot[0].p->store->grad[0];
    uint64_t writes = k.slot[0].p->store->writes;
    check_fails(kk_optim_step(k.o, &s, &norm, &e), KK_ESTATE, &e, how ? "parameter 7, or its state, is read-only" : "parameter 7");
    assert_true(kk_real_data(k.slot[0].p)[0] == first && k.slot[0].p->store->grad[0] == grad);
    assert_int_equal(k.slot[0].p->store->writes, writes);
    k.slot[PARAMS - 1].p->store->shared = false;
    kit_close(&k);
  }
}

static void a_parameter_listed_twice_or_misfit_states_are_refused(void **state) {
  (void)state;
  kk_err e;
  kk_optim *o = NULL;
  kk_tensor *p = param(1, 5, 0), *m = make(1, 5, 0), *v = make(1, 5, 0), *w = make(1, 4, 0), *view;
  size_t live = kk_mem_live();
  kk_slot twice[2] = {{.p = p, .state = {m}}, {.p = p, .state = {v}}};
  check_fails(kk_optim_new(KK_SGD, twice, 2, 1, true, &o, &e), KK_EARG, &e, "listed twice");
  kk_slot wrong = {.p = p, .state = {m, w}};
  check_fails(kk_optim_new(KK_ADAM, &wrong, 1, 1, true, &o, &e), KK_ESHAPE, &e, "state 2 of parameter 1 is (4), the parameter is (5)");
  kk_slot none = {.p = p, .state = {m}};
  check_fails(kk_optim_new(KK_ADAM, &none, 1, 1, true, &o, &e), KK_ESHAPE, &e, "missing");
  check_ok(kk_view_narrow(p, 0, 1, 3, 1, &view, &e), &e);
  kk_slot part = {.p = view, .state = {m}};
  check_fails(kk_optim_new(KK_SGD, &part, 1, 1, true, &o, &e), KK_EARG, &e, "not a view");
  kk_unref(view);
  assert_null(o);
  assert_int_equal(kk_mem_live(), live);
  kk_unref(p), kk_unref(m), kk_unref(v), kk_unref(w);
}

static void every_refused_allocation_leaves_nothing(void **state) {
  (void)state;
  kk_err e;
  kk_optim *o = NULL;
  kk_tensor *p = param(2, 600, 60), *m = make(2, 600, 60);
  kk_slot slot = {.p = p, .state = {m}};
  size_t live = kk_mem_live();
  int n = 0;
  for (;; n++) {
    kk_mem_fail_after(n);
    kk_status st = kk_optim_new(KK_SGD, &slot, 1, 1, true, &o, &e);
    kk_mem_fail_after(-1);
    if (st == KK_OK) break;
    assert_int_equal(st, KK_ENOMEM);
    assert_int_equal(kk_mem_live(), live);
    assert_null(p->store->rows);
  }
  assert_true(n > 8);
  kk_optim_free(o);
  assert_int_equal(kk_mem_live(), live);
  kk_unref(p), kk_unref(m);
}

/* ---- tables row by row */

typedef struct side {
  kk_tensor *table, *bias, *state[4];
  kk_optim *o;
} side;

enum { ROWS = 700, WIDTH = 50, TOKENS = 23 };

static void side_open(side *s, kk_rule rule, bool lazy) {
  kk_err e;
  kk_slot slot[2];
  key = 77;
  s->table = param(2, ROWS, WIDTH);
  s->bias = param(1, WIDTH, 0);
  for (int k = 0; k < 4; k++) s->state[k] = k / 2 && rule != KK_ADAM ? NULL : k % 2 ? make(1, WIDTH, 0) : make(2, ROWS, WIDTH);
  slot[0] = (kk_slot){.p = s->table, .state = {s->state[0], s->state[2]}};
  slot[1] = (kk_slot){.p = s->bias, .state = {s->state[1], s->state[3]}};
  check_ok(kk_optim_new(rule, slot, 2, 1, lazy, &s->o, &e), &e);
  assert_int_equal(s->table->store->rows != NULL, lazy);
}

static void side_close(side *s) {
  kk_optim_free(s->o);
  kk_unref(s->table);
  kk_unref(s->bias);
  for (int k = 0; k < 4; k++) kk_unref(s->state[k]);
}

static kk_tensor *run(const char *name, kk_tensor *a, kk_tensor *b, const double *opt, kk_stream *stream, kk_tape *tape) {
  kk_args args = {.nin = b ? 2 : 1, .in = {a, b}, .opt = opt, .stream = stream};
  kk_tensor *out[KK_MAXOUT] = {0};
  kk_err e;
  check_ok(kk_op_run(kk_op_find(name), &args, tape, out, &e), &e);
  return out[0];
}

/* One step; loss = sum((embedding(ids) + bias)^2), now and then with the whole table squared as well. */
static double side_step(side *s, kk_tensor *ids, int t, bool whole, const kk_step *step) {
  kk_err e;
  kk_tape *tape;
  kk_stream stream = {.seed = 3, .count = (uint64_t)t};
  const double opt[2] = {t % 2 ? 0.3 : 0, 9};                       /* row_drop, padding */
  double norm;
  check_ok(kk_tape_new(true, &tape, &e), &e);
  kk_tensor *y = run("embedding", ids, s->table, opt, &stream, tape), *z = run("add", y, s->bias, NULL, NULL, tape);
  kk_tensor *q = run("square", z, NULL, NULL, NULL, tape), *loss = run("sum", q, NULL, (double[]){0, 0, 0}, NULL, tape);
  kk_tensor *q2 = NULL, *l2 = NULL, *both = NULL;
  if (whole) {
    q2 = run("square", s->table, NULL, NULL, NULL, tape);
    l2 = run("sum", q2, NULL, (double[]){0, 0, 0}, NULL, tape);
    both = run("add", loss, l2, NULL, NULL, tape);
  }
  check_ok(kk_tape_backward(tape, both ? both : loss, NULL, &e), &e);
  check_ok(kk_optim_step(s->o, step, &norm, &e), &e);
  kk_tape_free(tape);
  kk_unref(y), kk_unref(z), kk_unref(q), kk_unref(loss), kk_unref(q2), kk_unref(l2), kk_unref(both);
  return norm;
}

static void same(const kk_tensor *a, const kk_tensor *b, int t, const char *what) {
  for (int64_t i = 0; i < a->store->n; i++) {
    const kk_real x = kk_real_data(a)[i], y = kk_real_data(b)[i];
    if (!(x == y)) fail_msg("step %d: %s: element %lld is %.9g row by row, %.9g whole", t, what, (long long)i, (double)x, (double)y);
  }
}

static void same_sides(side *lazy, side *dense, int t) {
  kk_optim_settle(lazy->o);
  same(lazy->table, dense->table, t, "table");
  same(lazy->bias, dense->bias, t, "bias");
  for (int k = 0; k < 4; k++)
    if (lazy->state[k]) same(lazy->state[k], dense->state[k], t, "state");
  for (int64_t i = 0; i < ROWS * WIDTH; i++) assert_true(lazy->table->store->grad[i] == 0);
}

static void late_rows(kk_rule rule, int steps, double decay, bool averages) {
  side lazy, dense;
  kk_err e;
  kk_shape shape = {.ndim = 1, .n = {TOKENS}};
  kk_tensor *ids;
  int64_t late = 0;
  side_open(&lazy, rule, true);
  side_open(&dense, rule, false);
  kk_optim_group(lazy.o, 0, (kk_group){1, decay});
  kk_optim_group(dense.o, 0, (kk_group){1, decay});
  check_ok(kk_tensor_new(KK_I32, &shape, &ids, &e), &e);
  for (int t = 1; t <= steps; t++) {
    kk_step s = settings(rule, 1);
    s.lr = 0.002 * (1.1 + sin(t * 0.01));
    s.momentum = 0.9 + 0.05 * cos(t * 0.02);
    s.count = t;
    s.clip = t % 5 ? 0.5 : INFINITY;
    s.since = averages && t > 20 ? 20 : INT64_MAX;
    if (rule == KK_SGD && t % 7 == 0) s.momentum = 0;
    key = (uint64_t)t * 1000;
    for (int k = 0; k < TOKENS; k++) {             /* few rows often, many seldom */
      const double u = kk_random_uniform(5, key++);
      kk_i32_data(ids)[k] = (int32_t)(ROWS * u * u * u * u);
    }
    const bool whole = t % 97 == 0;
    const double a = side_step(&lazy, ids, t, whole, &s), b = side_step(&dense, ids, t, whole, &s);
    if (a != b) fail_msg("step %d: norm %.17g row by row, %.17g whole", t, a, b);
    late += lazy.table->store->rows->late;
    if (t % 211 == 0) same_sides(&lazy, &dense, t);
    if (t % 101 == 0) {                            /* somebody reads the whole table */
      kk_tensor *q = run("sum", lazy.table, NULL, (double[]){0, 0, 0}, NULL, NULL), *w = run("sum", dense.table, NULL, (double[]){0, 0, 0}, NULL, NULL);
      same(q, w, t, "the sum of the table");
      kk_unref(q), kk_unref(w);
    }
  }
  same_sides(&lazy, &dense, steps);
  if (rule == KK_ADAM || decay > 0) assert_true(late > steps / 2);       /* else this tested nothing */
  side_close(&lazy);
  side_close(&dense);
  kk_unref(ids);
}

static void late_rows_of_adam(void **state) { (void)state; late_rows(KK_ADAM, 700, 0, false); }
static void late_rows_of_adam_with_decay_past_the_ring(void **state) { (void)state; late_rows(KK_ADAM, 2500, 0.1, false); }
static void late_rows_of_sgd(void **state) { (void)state; late_rows(KK_SGD, 400, 0, false), late_rows(KK_SGD, 400, 0.01, false); }
static void late_rows_of_asgd(void **state) { (void)state; late_rows(KK_ASGD, 400, 0, true), late_rows(KK_ASGD, 400, 0.01, true); }

static void a_second_optimizer_takes_the_table_over(void **state) {
  (void)state;
  side one, two, whole;
  kk_err e;
  kk_shape shape = {.ndim = 1, .n = {2}};
  kk_tensor *ids;
  kk_step s = settings(KK_ADAM, 1);
  side_open(&one, KK_ADAM, true);
  side_open(&whole, KK_ADAM, false);
  check_ok(kk_tensor_new(KK_I32, &shape, &ids, &e), &e);
  kk_i32_data(ids)[0] = 3, kk_i32_data(ids)[1] = 5;
  for (int t = 1; t <= 10; t++) {
    s.count = t;
    kk_i32_data(ids)[0] = t;
    side_step(&one, ids, t, false, &s), side_step(&whole, ids, t, false, &s);
  }
  assert_true(one.table->store->rows->late);
  two = one;
  kk_slot slot = {.p = one.table, .state = {make(2, ROWS, WIDTH), make(2, ROWS, WIDTH)}};
  check_ok(kk_optim_new(KK_ADAM, &slot, 1, 1, true, &two.o, &e), &e);
  same(one.table, whole.table, 10, "table");           /* the first owner brought it up to date */
  for (int t = 11; t <= 14; t++) {                     /* and steps it whole from now on */
    s.count = t;
    side_step(&one, ids, t, false, &s), side_step(&whole, ids, t, false, &s);
  }
  same(one.table, whole.table, 14, "table");
  kk_optim_free(two.o);
  assert_null(one.table->store->rows);
  kk_unref(slot.state[0]), kk_unref(slot.state[1]), kk_unref(ids);
  side_close(&one);
  side_close(&whole);
}

static void averages_go_in_and_out(void **state) {
  (void)state;
  kit k;
  kk_err e;
  double norm;
  kit_open(&k, KK_ASGD);
  for (int t = 1; t <= STEPS; t++) {
    kk_step s = settings(KK_ASGD, t);
    for (int i = 0; i < PARAMS; i++) give_grads(k.slot[i].p);
    check_ok(kk_optim_step(k.o, &s, &norm, &e), &e);
  }
  const kk_real p = kk_real_data(k.slot[3].p)[99], a = kk_real_data(k.slot[3].state[0])[99];
  assert_true(p != a);
  check_ok(kk_optim_swap(k.o, &e), &e);
  assert_true(kk_real_data(k.slot[3].p)[99] == a && kk_real_data(k.slot[3].state[0])[99] == p);
  check_ok(kk_optim_swap(k.o, &e), &e);
  assert_true(kk_real_data(k.slot[3].p)[99] == p && kk_real_data(k.slot[3].state[0])[99] == a);
  kit_close(&k);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(adam_follows_its_formula),
    cmocka_unit_test(sgd_follows_its_formula),
    cmocka_unit_test(asgd_follows_its_formula),
    cmocka_unit_test(any_number_of_threads_gives_the_same_bits),
    cmocka_unit_test(a_norm_that_is_no_number_touches_nothing),
    cmocka_unit_test(a_bad_parameter_leaves_all_as_they_were),
    cmocka_unit_test(a_parameter_listed_twice_or_misfit_states_are_refused),
    cmocka_unit_test(every_refused_allocation_leaves_nothing),
    cmocka_unit_test(late_rows_of_adam),
    cmocka_unit_test(late_rows_of_adam_with_decay_past_the_ring),
    cmocka_unit_test(late_rows_of_sgd),
    cmocka_unit_test(late_rows_of_asgd),
    cmocka_unit_test(a_second_optimizer_takes_the_table_over),
    cmocka_unit_test(averages_go_in_and_out),
  };
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
