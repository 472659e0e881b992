/* sparse_logistic.c -- one dual variable a row, whatever its target. With U = c u the conjugate of U (log(1 + e^z) - t z)
** is U times the negative entropy of p = q / U, where q = U t - alpha and w = sum_i alpha_i x_i; at the optimum p is what the
** model says of the row. A row is visited by solving for its q alone, by Newton: with a = |x|^2 + 1,
** a (q - q0) - z + log(q / (U - q)) = 0. */
#include "text/sparse_logistic.h"

#include <math.h>

#include "base/mem.h"
#include "base/stop.h"

enum { PASSES = 1000, NEWTON_STEPS = 100 };

typedef struct fit {
  const kk_csr *x;
  double *val;         /* of x, scaled */
  double *square;      /* |row|^2 + 1 */
  double *q, *rest;    /* q and U - q, both kept: one of them is tiny in the end */
  double *total;       /* U */
  int64_t *order;
} fit;

static void fit_free(fit *f) {
  const size_t rows = (size_t)f->x->rows;
  kk_free(f->val, (size_t)f->x->start[rows] * sizeof *f->val);
  kk_free(f->square, rows * sizeof *f->square);
  kk_free(f->q, rows * sizeof *f->q);
  kk_free(f->rest, rows * sizeof *f->rest);
  kk_free(f->total, rows * sizeof *f->total);
  kk_free(f->order, rows * sizeof *f->order);
}

static kk_status fit_make(fit *f, const kk_csr *x, const double *scale, kk_err *e) {
  const size_t rows = (size_t)x->rows, values = (size_t)x->start[rows];
  *f = (fit){.x = x, .val = kk_alloc(values * sizeof *f->val), .square = kk_alloc(rows * sizeof *f->square),
             .q = kk_alloc(rows * sizeof *f->q), .rest = kk_alloc(rows * sizeof *f->rest),
             .total = kk_alloc(rows * sizeof *f->total), .order = kk_alloc(rows * sizeof *f->order)};
  if (!f->val || !f->square || !f->q || !f->rest || !f->total || !f->order)
    return kk_fail(e, KK_ENOMEM, "logistic regression: out of memory for %zu values", values);
  for (size_t i = 0; i < rows; i++) {
    double sum = 1;
    for (int64_t k = x->start[i]; k < x->start[i + 1]; k++) {
      f->val[k] = x->val[k] * scale[x->col[k]];
      sum += f->val[k] * f->val[k];
    }
    f->square[i] = sum;
  }
  return KK_OK;
}

static void move(const fit *f, int64_t i, double by, double *w, double *bias) {
  for (int64_t k = f->x->start[i]; k < f->x->start[i + 1]; k++) w[f->x->col[k]] += by * f->val[k];
  *bias += by;
}

static double response(const fit *f, int64_t i, const double *w, double bias) {
  double z = bias;
  for (int64_t k = f->x->start[i]; k < f->x->start[i + 1]; k++) z += w[f->x->col[k]] * f->val[k];
  return z;
}

/* Where q begins: alpha as good as 0, inside the open interval. Rows that count nothing are left out; answers how many do. */
static int64_t fit_begin(fit *f, const double *target, const double *weight, double c, double *w, double *bias) {
  int64_t n = 0;
  for (int64_t j = 0; j < f->x->cols; j++) w[j] = 0;
  *bias = 0;
  for (int64_t i = 0; i < f->x->rows; i++) {
    const double total = c * (weight ? weight[i] : 1), yes = total * target[i], no = total * (1 - target[i]);
    const double least = fmin(.001 * total, 1e-8);
    if (!(total > 0)) continue;
    f->order[n++] = i;
    f->total[i] = total;
    f->q[i] = yes < least ? least : no < least ? total - least : yes;
    f->rest[i] = yes < least ? total - least : no < least ? least : no;
    move(f, i, yes < no ? yes - f->q[i] : f->rest[i] - no, w, bias);
  }
  return n;
}

/* The root of a (v - from) + side + log(v / (total - v)) in (0, total / 2]; *steps counts. Starting left of total / 2 the
** function is concave: Newton comes from the left and stays there, or is sent back towards 0. */
static double root(double a, double side, double from, double total, double enough, int64_t *steps) {
  double v = from > total / 2 ? .1 * from : from;
  for (int s = 0; s < NEWTON_STEPS; s++) {
    const double d = a * (v - from) + side + log(v / (total - v));
    if (fabs(d) < enough) break;
    const double next = v - d / (a + total / (v * (total - v)));
    v = next > 0 ? fmin(next, total / 2) : .1 * v;
    ++*steps;
  }
  return v;
}

/* Visits row i; answers how far it was from its optimum. */
static double visit(fit *f, int64_t i, double enough, double *w, double *bias, int64_t *steps) {
  const double a = f->square[i], total = f->total[i], q = f->q[i], rest = f->rest[i], z = response(f, i, w, *bias);
  const double off = fabs(log(q / rest) - z);
  if (off < enough) return off;
  double by;
  if (.5 * a * (rest - q) - z > 0) {                       /* the derivative at total / 2: q ends below it */
    f->q[i] = root(a, -z, q, total, enough, steps);
    f->rest[i] = total - f->q[i];
    by = q - f->q[i];
  } else {
    f->rest[i] = root(a, z, rest, total, enough, steps);
    f->q[i] = total - f->rest[i];
    by = f->rest[i] - rest;
  }
  move(f, i, by, w, bias);
  return off;
}

/* splitmix64 (Steele et al. 2014). */
static uint64_t draw(uint64_t *state) {
  uint64_t v = *state += 0x9E3779B97F4A7C15u;
  v = (v ^ v >> 30) * 0xBF58476D1CE4E5B9u;
  v = (v ^ v >> 27) * 0x94D049BB133111EBu;
  return v ^ v >> 31;
}

static void shuffle(int64_t *order, int64_t n, uint64_t *state) {
  for (int64_t i = n - 1; i > 0; i--) {
    const int64_t j = (int64_t)(draw(state) % (uint64_t)(i + 1)), at = order[i];
    order[i] = order[j];
    order[j] = at;
  }
}

kk_status kk_sparse_logistic_fit(const kk_csr *x, const double *scale, const double *target, const double *weight,
                                 const kk_sparse_logistic_opts *o, double *w, double *bias, kk_err *e) {
  fit f;
  kk_status st = fit_make(&f, x, scale, e);
  const int64_t n = st ? 0 : fit_begin(&f, target, weight, o->c, w, bias);
  const double closest = fmin(1e-8, o->tolerance);
  double enough = 1e-2;
  uint64_t state = o->seed;
  for (int pass = 0; pass < PASSES && !st; pass++) {
    double worst = 0;
    int64_t steps = 0;
    shuffle(f.order, n, &state);
    for (int64_t k = 0; k < n; k++) worst = fmax(worst, visit(&f, f.order[k], enough, w, bias, &steps));
    if (worst < o->tolerance) break;
    if (steps <= n / 10) enough = fmax(closest, .1 * enough);
    st = kk_stop_check(e, "logistic regression");
  }
  fit_free(&f);
  return st;
}
