/* axis.c -- lines of a tensor along one dimension, and sums over them in a fixed order. */
#include "op/axis.h"

#include <math.h>

#include "base/clones.h"

enum { BLOCK = 16384, COLUMNS = 64 };

static int axis_dim(const kk_shape *s, double dim) { return dim < 0 ? (int)dim + s->ndim : (int)dim - 1; }

kk_axis kk_axis_of(const kk_shape *s, double dim) {
  kk_axis a = {1, 1, 1};
  int d = axis_dim(s, dim);
  if (dim == 0 || s->ndim == 0) {
    a.n = kk_numel(s);
    return a;
  }
  for (int i = 0; i < s->ndim; i++) *(i < d ? &a.outer : i == d ? &a.n : &a.inner) *= s->n[i];
  return a;
}

kk_status kk_axis_check(const kk_call *c, int in, int opt, bool all, int64_t least, kk_err *e) {
  const kk_shape *s = &c->in[in]->shape;
  double dim = c->opt[opt];
  int n = s->ndim ? s->ndim : 1;               /* a scalar is a line of one */
  char b[KK_SHAPE_STR];
  if (dim != floor(dim) || fabs(dim) > n || (dim == 0 && !all))
    return kk_fail(e, KK_EARG, "%s: option %s is %g, expected %s1..%d or -%d..-1 for %s", c->op->name, c->op->opts[opt].name,
                   dim, all ? "0 (all), " : "", n, n, kk_shape_str(s, b));
  kk_axis a = kk_axis_of(s, dim);
  if (a.n < least && a.outer * a.inner > 0)
    return kk_fail(e, KK_EARG, "%s: %s has %lld elements there, needs at least %lld", c->op->name, kk_shape_str(s, b),
                   (long long)a.n, (long long)least);
  return KK_OK;
}

void kk_axis_reduced(const kk_shape *s, double dim, bool keep, kk_shape *out) {
  int d = axis_dim(s, dim), n = 0;
  kk_shape r = {0};
  for (int i = 0; i < s->ndim; i++) {
    bool gone = dim == 0 || i == d;
    if (gone && keep) r.n[n++] = 1;
    else if (!gone) r.n[n++] = s->n[i];
  }
  r.ndim = n;
  *out = r;
}

kk_status kk_reduce_check(const kk_call *c, kk_err *e) { return kk_axis_check(c, 0, 0, true, 0, e); }
kk_status kk_reduce_check_some(const kk_call *c, kk_err *e) { return kk_axis_check(c, 0, 0, true, 1, e); }

kk_status kk_reduce_shape(kk_call *c, kk_shape *out, kk_err *e) {
  kk_sig s;
  (void)e;
  kk_sig_parse(c->op->sig, &s);
  for (int i = 0; i < s.nout + s.nsave; i++) kk_axis_reduced(&c->in[0]->shape, c->opt[0], c->opt[1] != 0, &out[i]);
  return KK_OK;
}

bool kk_reduce_sample(int variant, kk_sample *s) {
  static const kk_shape flat = {2, {3, 4}}, deep = {3, {2, 3, 2}};
  s->shape[0] = variant == 1 ? deep : flat;
  s->opt[0] = variant == 0 ? 0 : variant == 1 ? 2 : -1;
  s->opt[1] = variant == 2;
  return variant < 3;
}

bool kk_reduce_sample_apart(int variant, kk_sample *s) {
  s->lo[0] = -20;
  s->hi[0] = 20;
  return kk_reduce_sample(variant, s);
}

bool kk_axis_sample(int variant, kk_sample *s) {
  static const kk_shape flat = {2, {3, 4}};
  s->shape[0] = flat;
  s->opt[0] = variant ? 1 : -1;
  return variant < 2;
}

typedef struct axis_job {
  kk_call *c;
  kk_axis a;
  kk_line_fn *fn;
  const kk_real *x;
  kk_real *y;
  double scale, minus, *part;
  int power;
} axis_job;

static void axis_lines(void *arg, int64_t begin, int64_t end) {
  const axis_job *j = arg;
  int64_t n = j->a.n, inner = j->a.inner;
  for (int64_t l = begin; l < end; l++) j->fn(j->c, l, l / inner * n * inner + l % inner, n, inner);
}

void kk_axis_each(kk_call *c, kk_axis a, kk_line_fn *fn) {
  axis_job j = {.c = c, .a = a, .fn = fn};
  kk_pool_for(a.outer * a.inner, 1 + BLOCK / (a.n + 8), axis_lines, &j);
}

KK_CLONES double kk_line_sum(const kk_real *x, int64_t n, int64_t stride, double minus, int power) {
  enum { LANES = 8 };
  double s[LANES] = {0}, rest = 0;
  int64_t i = 0;
  if (stride == 1 && power == 1)
    for (; i + LANES <= n; i += LANES)
      for (int k = 0; k < LANES; k++) s[k] += (double)x[i + k] - minus;
  else if (stride == 1)
    for (; i + LANES <= n; i += LANES)
      for (int k = 0; k < LANES; k++) {
        double v = (double)x[i + k] - minus;
        s[k] += v * v;
      }
  for (; i < n; i++) {
    double v = (double)x[i * stride] - minus;
    rest += power == 1 ? v : v * v;
  }
  return ((s[0] + s[4]) + (s[1] + s[5])) + ((s[2] + s[6]) + (s[3] + s[7])) + rest;
}

static void sum_block(void *arg, int64_t begin, int64_t end) {
  const axis_job *j = arg;
  j->part[begin / BLOCK] = kk_line_sum(j->x + begin, end - begin, 1, j->minus, j->power);
}

double kk_sum_all(const kk_real *x, int64_t n, double minus, int power, double *scratch) {
  axis_job j = {.x = x, .minus = minus, .power = power, .part = scratch};
  double s = 0;
  kk_pool_for(n, BLOCK, sum_block, &j);
  for (int64_t b = 0; b * BLOCK < n; b++) s += scratch[b];
  return s;
}

size_t kk_axis_sum_scratch(kk_axis a) {
  return a.outer * a.inner == 1 ? (size_t)(a.n / BLOCK + 1) * sizeof(double) : 0;
}

static void sum_rows(void *arg, int64_t begin, int64_t end) {
  const axis_job *j = arg;
  for (int64_t r = begin; r < end; r++)
    j->y[r] = (kk_real)(j->scale * kk_line_sum(j->x + r * j->a.n, j->a.n, 1, 0, 1));
}

/* Blocks of columns: element (o, q .. q + w) sums n rows. */
static void sum_columns(void *arg, int64_t begin, int64_t end) {
  const axis_job *j = arg;
  int64_t inner = j->a.inner, across = (inner + COLUMNS - 1) / COLUMNS;
  for (int64_t t = begin; t < end; t++) {
    int64_t o = t / across, q = t % across * COLUMNS, w = inner - q < COLUMNS ? inner - q : COLUMNS;
    const kk_real *x = j->x + o * j->a.n * inner + q;
    double s[COLUMNS] = {0};
    for (int64_t k = 0; k < j->a.n; k++)
      for (int64_t i = 0; i < w; i++) s[i] += (double)x[k * inner + i];
    for (int64_t i = 0; i < w; i++) j->y[o * inner + q + i] = (kk_real)(j->scale * s[i]);
  }
}

void kk_axis_sum(const kk_real *x, kk_axis a, double scale, void *scratch, kk_real *y) {
  axis_job j = {.a = a, .x = x, .y = y, .scale = scale};
  if (a.outer * a.inner == 1) y[0] = (kk_real)(scale * kk_sum_all(x, a.n, 0, 1, scratch));
  else if (a.inner == 1) kk_pool_for(a.outer, 1 + BLOCK / (a.n + 8), sum_rows, &j);
  else kk_pool_for(a.outer * ((a.inner + COLUMNS - 1) / COLUMNS), 1 + BLOCK / COLUMNS / (a.n + 1), sum_columns, &j);
}

/* Row r = (o, k) of dx takes row o of dy. */
static void spread_rows(void *arg, int64_t begin, int64_t end) {
  const axis_job *j = arg;
  int64_t inner = j->a.inner;
  kk_real scale = (kk_real)j->scale;
  if (inner == 1) {                          /* rows of one element: as runs with one gradient */
    for (int64_t r = begin; r < end;) {
      const int64_t o = r / j->a.n, next = (o + 1) * j->a.n, stop = next < end ? next : end;
      const kk_real g = scale * j->x[o];
      for (; r < stop; r++) j->y[r] += g;
    }
    return;
  }
  for (int64_t r = begin; r < end; r++) {
    kk_real *d = j->y + r * inner;
    const kk_real *g = j->x + r / j->a.n * inner;
    for (int64_t i = 0; i < inner; i++) d[i] += scale * g[i];
  }
}

void kk_axis_spread(kk_real *dx, const kk_real *dy, kk_axis a, double scale) {
  axis_job j = {.a = a, .x = dy, .y = dx, .scale = scale};
  kk_pool_for(a.outer * a.n, 1 + BLOCK / (a.inner + 4), spread_rows, &j);
}
