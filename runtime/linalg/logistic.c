/* logistic.c -- see logistic.h. One pass over the rows gives loss and gradient: x is read once a step. */
#include "linalg/logistic.h"

#include <math.h>
#include <string.h>

#include "base/clones.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/stop.h"

enum { ROWS = 256, PAIRS = 10, LANES = 8 };
typedef float narrow __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float)), may_alias));
typedef double lanes __attribute__((vector_size(LANES * sizeof(double)), aligned(sizeof(double)), may_alias));

typedef struct fit {
  const kk_logistic *q;
  int64_t chunks, dims;        /* dims = D + 1: the last unknown is the constant */
  double l2, scale, total;     /* total: sum of v */
  double *mean;                /* [D] */
  double *w;                   /* [D] of the point, in units of x */
  double c;                    /* the constant of the point, in units of x */
  double *part;                /* [chunks, D + 2]: sum of r x, sum of r, loss */
  double *now, *next, *grad, *grad_next, *way, *s, *y, rho[PAIRS], alpha[PAIRS];
  void *block;
  size_t bytes;
} fit;

/* In double: the rounding of float32 sums stops a line search at the fourth digit of the weights. */
static KK_CLONES double fit_dot(const float *x, const double *w, int64_t d) {
  lanes sum = {0};
  double total = 0;
  int64_t k = 0;
  for (; k + LANES <= d; k += LANES)
    sum += __builtin_convertvector(*(const narrow *)(x + k), lanes) * *(const lanes *)(w + k);
  for (int i = 0; i < LANES; i++) total += sum[i];
  for (; k < d; k++) total += (double)x[k] * w[k];
  return total;
}

static KK_CLONES void fit_add(double *to, const float *x, double r, int64_t d) {
  for (int64_t k = 0; k < d; k++) to[k] += r * (double)x[k];
}

static double fit_weight(const kk_logistic *q, int64_t i) {
  return q->class_weight[q->label[i]] * (q->row_weight ? (double)q->row_weight[i] : 1);
}

/* l(m), and dl/dm in *slope. */
static double fit_loss(double m, double gamma, double *slope) {
  const double nll = m > 0 ? log1p(exp(-m)) : log1p(exp(m)) - m, p = exp(-nll), rest = -expm1(-nll);
  if (gamma <= 0) {
    *slope = -rest;
    return nll;
  }
  const double f = rest > 0 ? pow(rest, gamma) : 0;
  *slope = -f * rest - (rest > 0 ? gamma * f * p * nll : 0);   /* d nll/dm = -(1-p), d(1-p)/dm = -p(1-p) */
  return f * nll;
}

static void fit_rows(void *arg, int64_t begin, int64_t end) {
  fit *f = arg;
  const kk_logistic *q = f->q;
  for (int64_t chunk = begin; chunk < end; chunk++) {
    double *part = f->part + chunk * (q->d + 2), sum = 0, loss = 0;
    const int64_t last = (chunk + 1) * ROWS < q->n ? (chunk + 1) * ROWS : q->n;
    memset(part, 0, (size_t)q->d * sizeof *part);
    for (int64_t i = chunk * ROWS; i < last; i++) {
      const float *x = q->x + i * q->d;
      const double sign = q->label[i] ? 1 : -1, v = fit_weight(q, i);
      double slope, m = sign * (fit_dot(x, f->w, q->d) + f->c + q->shift) - q->margin[q->label[i]];
      if (v <= 0) continue;
      loss += v * fit_loss(m, q->gamma, &slope);
      slope *= sign * v;
      sum += slope;
      fit_add(part, x, slope, q->d);
    }
    part[q->d] = sum;
    part[q->d + 1] = loss;
  }
}

/* Value and gradient at p [D + 1] (the scaled weights, the constant). */
static double fit_value(fit *f, const double *p, double *grad) {
  const kk_logistic *q = f->q;
  const int64_t d = q->d;
  double value = 0, sum = 0, square = 0;
  f->c = p[d];
  for (int64_t k = 0; k < d; k++) {
    f->w[k] = p[k] / f->scale;
    f->c -= f->mean[k] * f->w[k];
  }
  kk_pool_for(f->chunks, 1, fit_rows, f);
  memset(grad, 0, (size_t)(d + 1) * sizeof *grad);
  for (int64_t chunk = 0; chunk < f->chunks; chunk++) {
    const double *part = f->part + chunk * (d + 2);
    for (int64_t k = 0; k < d; k++) grad[k] += part[k];
    sum += part[d];
    value += part[d + 1];
  }
  for (int64_t k = 0; k < d; k++) {
    grad[k] = (grad[k] - f->mean[k] * sum) / f->scale / f->total + f->l2 * p[k];
    square += p[k] * p[k];
  }
  grad[d] = sum / f->total;
  return value / f->total + .5 * f->l2 * square;
}

static double fit_inner(const double *a, const double *b, int64_t n) {
  double s = 0;
  for (int64_t k = 0; k < n; k++) s += a[k] * b[k];
  return s;
}

/* way = -H grad from the last `have` pairs, of which `last` is the newest. */
static void fit_direction(fit *f, int have, int last) {
  const int64_t n = f->dims;
  for (int64_t k = 0; k < n; k++) f->way[k] = -f->grad[k];
  for (int j = 0; j < have; j++) {
    const int at = (last - j + PAIRS) % PAIRS;
    f->alpha[at] = f->rho[at] * fit_inner(f->s + at * n, f->way, n);
    for (int64_t k = 0; k < n; k++) f->way[k] -= f->alpha[at] * f->y[at * n + k];
  }
  if (have) {
    const double scale = 1 / (f->rho[last] * fit_inner(f->y + last * n, f->y + last * n, n));
    for (int64_t k = 0; k < n; k++) f->way[k] *= scale;
  }
  for (int j = have - 1; j >= 0; j--) {
    const int at = (last - j + PAIRS) % PAIRS;
    const double beta = f->rho[at] * fit_inner(f->y + at * n, f->way, n);
    for (int64_t k = 0; k < n; k++) f->way[k] += (f->alpha[at] - beta) * f->s[at * n + k];
  }
}

/* From f->now to the minimum for f->l2; the steps taken. Interrupted: what was reached. */
static int fit_descend(fit *f) {
  const int64_t n = f->dims;
  int have = 0, last = PAIRS - 1, step = 0;
  double value = fit_value(f, f->now, f->grad);
  while (step < f->q->most_steps && !kk_stop_requested()) {
    double most = 0, slope, t = 1, reached = 0;
    int halved = 0;
    for (int64_t k = 0; k < n; k++) most = fmax(most, fabs(f->grad[k]));
    if (most < f->q->tolerance) break;
    fit_direction(f, have, last);
    slope = fit_inner(f->way, f->grad, n);
    if (slope >= 0) {                                      /* rounding, or focal's bends: begin again */
      if (!have) break;
      have = 0;
      continue;
    }
    for (; halved < 40; halved++, t /= 2) {
      for (int64_t k = 0; k < n; k++) f->next[k] = f->now[k] + t * f->way[k];
      reached = fit_value(f, f->next, f->grad_next);
      if (reached <= value + 1e-4 * t * slope) break;
    }
    if (halved == 40) {
      if (!have) break;
      have = 0;
      continue;
    }
    const int at = (last + 1) % PAIRS;
    double *s = f->s + at * n, *y = f->y + at * n, curve;
    for (int64_t k = 0; k < n; k++) {
      s[k] = f->next[k] - f->now[k];
      y[k] = f->grad_next[k] - f->grad[k];
    }
    curve = fit_inner(s, y, n);
    if (curve > 1e-12 * fit_inner(y, y, n)) {
      f->rho[at] = 1 / curve;
      last = at;
      if (have < PAIRS) have++;
    }
    memcpy(f->now, f->next, (size_t)n * sizeof *f->now);
    memcpy(f->grad, f->grad_next, (size_t)n * sizeof *f->grad);
    value = reached;
    step++;
  }
  return step;
}

static kk_status fit_check(const kk_logistic *q, const double *l2, int nl2, double weight[2], kk_err *e) {
  weight[0] = weight[1] = 0;
  for (int k = 0; k < nl2; k++)
    if (!(l2[k] > 0 && l2[k] <= 1e9)) return kk_fail(e, KK_EARG, "logistic: l2 is %g, expected a number above 0", l2[k]);
  for (int64_t i = 0; i < q->n; i++) {
    for (int64_t k = 0; k < q->d; k++)
      if (!isfinite(q->x[i * q->d + k]))
        return kk_fail(e, KK_EARG, "logistic: row %lld, feature %lld is %g", (long long)i + 1, (long long)k + 1,
                       (double)q->x[i * q->d + k]);
    if (q->row_weight && !(q->row_weight[i] >= 0 && q->row_weight[i] <= 1e30f))
      return kk_fail(e, KK_EARG, "logistic: row %lld has weight %g, expected 0 or more", (long long)i + 1,
                     (double)q->row_weight[i]);
    weight[q->label[i]] += fit_weight(q, i);
  }
  for (int c = 0; c < 2; c++)
    if (!(weight[c] > 0))
      return kk_fail(e, KK_EARG, "logistic: none of %lld rows is of class %d, or they have no weight", (long long)q->n, c + 1);
  return KK_OK;
}

static kk_status fit_new(fit *f, kk_err *e) {
  const int64_t d = f->q->d, n = f->dims;
  const size_t doubles = (size_t)(2 * d + f->chunks * (d + 2) + n * (5 + 2 * PAIRS));
  f->bytes = doubles * sizeof(double);
  f->block = kk_alloc(f->bytes);
  if (!f->block) return kk_fail(e, KK_ENOMEM, "logistic: out of memory (%zu bytes)", f->bytes);
  f->mean = f->block;
  f->part = f->mean + d;
  f->now = f->part + f->chunks * (d + 2);
  f->next = f->now + n;
  f->grad = f->next + n;
  f->grad_next = f->grad + n;
  f->way = f->grad_next + n;
  f->s = f->way + n;
  f->y = f->s + PAIRS * n;
  f->w = f->y + PAIRS * n;
  return KK_OK;
}

/* Means of the features, and the number that makes the mean squared norm 1. */
static void fit_scale(fit *f) {
  const kk_logistic *q = f->q;
  double square = 0;
  memset(f->mean, 0, (size_t)q->d * sizeof *f->mean);
  for (int64_t i = 0; i < q->n; i++) fit_add(f->mean, q->x + i * q->d, 1 / (double)q->n, q->d);
  for (int64_t i = 0; i < q->n; i++)
    for (int64_t k = 0; k < q->d; k++) {
      const double z = (double)q->x[i * q->d + k] - f->mean[k];
      square += z * z;
    }
  f->scale = square > 0 ? sqrt(square / (double)q->n) : 1;
}

kk_status kk_logistic_path(const kk_logistic *q, const double *l2, int nl2, float *w, double *b, int *steps, kk_err *e) {
  fit f = {.q = q, .chunks = (q->n + ROWS - 1) / ROWS, .dims = q->d + 1};
  double weight[2];
  kk_status st = fit_check(q, l2, nl2, weight, e);
  if (!st) st = fit_new(&f, e);
  if (st) return st;
  f.total = weight[0] + weight[1];
  fit_scale(&f);
  memset(f.now, 0, (size_t)f.dims * sizeof *f.now);
  f.now[q->d] = log(weight[1] / weight[0]) - q->shift;
  for (int k = 0; k < nl2 && !st; k++) {
    f.l2 = l2[k];
    const int taken = fit_descend(&f);
    st = kk_stop_check(e, "logistic");
    if (steps) steps[k] = taken;
    b[k] = f.now[q->d];
    for (int64_t j = 0; j < q->d; j++) {
      w[k * q->d + j] = (float)(f.now[j] / f.scale);
      b[k] -= f.mean[j] * (double)w[k * q->d + j];
    }
  }
  kk_free(f.block, f.bytes);
  return st;
}

typedef struct answer { const float *x, *w; const double *b; int64_t n, d; int nl2; double *prob; } answer;

static KK_CLONES double prob_dot(const float *x, const float *w, int64_t d) {
  lanes sum = {0};
  double total = 0;
  int64_t k = 0;
  for (; k + LANES <= d; k += LANES)
    sum += __builtin_convertvector(*(const narrow *)(x + k), lanes) * __builtin_convertvector(*(const narrow *)(w + k), lanes);
  for (int i = 0; i < LANES; i++) total += sum[i];
  for (; k < d; k++) total += (double)x[k] * (double)w[k];
  return total;
}

static void prob_rows(void *arg, int64_t begin, int64_t end) {
  const answer *a = arg;
  for (int64_t i = begin; i < end; i++)
    for (int k = 0; k < a->nl2; k++) {
      const double z = prob_dot(a->x + i * a->d, a->w + k * a->d, a->d) + a->b[k];
      a->prob[k * a->n + i] = 1 / (1 + exp(-z));
    }
}

void kk_logistic_prob(const float *x, int64_t n, int64_t d, const float *w, const double *b, int nl2, double *prob) {
  answer a = {x, w, b, n, d, nl2, prob};
  kk_pool_for(n, ROWS, prob_rows, &a);
}
