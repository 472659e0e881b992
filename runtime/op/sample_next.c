/* sample_next.c -- the next token of a text: what may follow, by the usual filters, and one drawn from it. */
#include <math.h>
#include <string.h>

#include "op/softmax.h"
#include "op/sort.h"

enum { TEMPERATURE, TOP_K, TOP_P, MIN_P, TYPICAL, PENALTY };

/* One row at work: p holds the weights e^(x - max) of all V classes; item[0 .. n-1] the candidates that are left. */
typedef struct next_row { const kk_call *c; const kk_real *p; kk_sort_item *item, *spare; int64_t n; } next_row;

static kk_status sample_next_check(const kk_call *c, kk_err *e) {
  const int64_t V = KK_DIM(c, 'V'), R = c->in[1] ? KK_DIM(c, 'R') : 0, U = c->in[2] ? KK_DIM(c, 'U') : 0, N = kk_rows(c);
  if (c->opt[TOP_K] != floor(c->opt[TOP_K]))
    return kk_fail(e, KK_EARG, "sample_next: option top_k is %g, expected an integer", c->opt[TOP_K]);
  for (int64_t i = 0; i < N * R; i++)
    if (kk_idx(c, 1)[i] < -1 || kk_idx(c, 1)[i] >= V)
      return kk_fail(e, KK_EARG, "sample_next: seen class %d, expected 1..%lld, or 0 for none", kk_idx(c, 1)[i] + 1, (long long)V);
  for (int64_t i = 0; i < U; i++)
    if (kk_idx(c, 2)[i] < 0 || kk_idx(c, 2)[i] >= V)
      return kk_fail(e, KK_EARG, "sample_next: banned class %d, expected 1..%lld", kk_idx(c, 2)[i] + 1, (long long)V);
  for (int64_t row = 0; row < N; row++) {
    const kk_real *x = kk_in(c, 0) + row * V;
    int64_t possible = 0;
    for (int64_t i = 0; i < V; i++) {
      if (x[i] != x[i] || x[i] == (kk_real)INFINITY)
        return kk_fail(e, KK_EARG, "sample_next: logit %lld of row %lld is %g", (long long)i + 1, (long long)row + 1, (double)x[i]);
      possible += x[i] > (kk_real)-INFINITY;
    }
    for (int64_t i = 0; i < U; i++) {                    /* each banned class once, however often it is named */
      bool before = false;
      for (int64_t k = 0; k < i && !before; k++) before = kk_idx(c, 2)[k] == kk_idx(c, 2)[i];
      possible -= !before && x[kk_idx(c, 2)[i]] > (kk_real)-INFINITY;
    }
    if (possible < 1) return kk_fail(e, KK_EARG, "sample_next: row %lld: no class may follow", (long long)row + 1);
  }
  return KK_OK;
}

static size_t sample_next_scratch(const kk_call *c, bool backward) {
  return backward ? 0 : (size_t)KK_DIM(c, 'V') * (2 * sizeof(kk_sort_item) + sizeof(double));
}

/* x = the logits after penalty (Keskar et al. 2019: divided by it, as in the field multiplied where negative), bans and
** temperature; mark: V bytes that are 0 and are 0 afterwards. */
static void next_scale(const kk_call *c, int64_t row, kk_real *x, uint8_t *mark) {
  const int64_t V = KK_DIM(c, 'V'), R = c->in[1] ? KK_DIM(c, 'R') : 0, U = c->in[2] ? KK_DIM(c, 'U') : 0;
  const int32_t *seen = R ? kk_idx(c, 1) + row * R : NULL;
  const kk_real penalty = (kk_real)c->opt[PENALTY], t = (kk_real)c->opt[TEMPERATURE];
  memcpy(x, kk_in(c, 0) + row * V, (size_t)V * sizeof *x);
  for (int64_t i = 0; i < R; i++) {
    if (seen[i] < 0 || mark[seen[i]]) continue;
    mark[seen[i]] = 1;
    x[seen[i]] = x[seen[i]] > 0 ? x[seen[i]] / penalty : x[seen[i]] * penalty;
  }
  for (int64_t i = 0; i < R; i++)
    if (seen[i] >= 0) mark[seen[i]] = 0;
  for (int64_t i = 0; i < U; i++) x[kk_idx(c, 2)[i]] = (kk_real)-INFINITY;
  if (t > 0 && t != 1)
    for (int64_t i = 0; i < V; i++) x[i] /= t;
}

static uint64_t next_bits(double v) {                    /* order of numbers that are not negative */
  uint64_t k;
  v += 0.0;
  memcpy(&k, &v, sizeof k);
  return k;
}

static bool next_before(const kk_sort_item *a, const kk_sort_item *b) {
  return a->key != b->key ? a->key < b->key : a->at < b->at;
}

/* The k smallest items come first, in any order (Hoare's selection; the middle item is the pivot). */
static void next_select(kk_sort_item *v, int64_t n, int64_t k) {
  int64_t lo = 0, hi = n - 1;
  while (lo < hi) {
    kk_sort_item pivot = v[lo + (hi - lo) / 2];
    int64_t i = lo, j = hi;
    while (i <= j) {
      while (next_before(&v[i], &pivot)) i++;
      while (next_before(&pivot, &v[j])) j--;
      if (i > j) break;
      kk_sort_item t = v[i];
      v[i++] = v[j];
      v[j--] = t;
    }
    if (k - 1 <= j) hi = j;
    else if (k - 1 >= i) lo = i;
    else return;
  }
}

static double next_total(const next_row *r) {
  double s = 0;
  for (int64_t i = 0; i < r->n; i++) s += (double)r->p[r->item[i].at];
  return s;
}

/* Keeps candidates of at least that weight. */
static void next_at_least(next_row *r, double weight) {
  int64_t n = 0;
  for (int64_t i = 0; i < r->n; i++)
    if ((double)r->p[r->item[i].at] >= weight) r->item[n++] = r->item[i];
  r->n = n;
}

/* Sorts by key and keeps the shortest beginning that weighs `mass`. */
static void next_prefix(next_row *r, double mass) {
  double s = 0;
  int64_t n = 0;
  kk_sort_items(r->item, r->spare, r->n);
  while (n < r->n && s < mass) s += (double)r->p[r->item[n++].at];
  r->n = n > 0 ? n : 1;
}

/* Keys: the largest weight first, equal ones by class. */
static void next_by_weight(next_row *r) {
  for (int64_t i = 0; i < r->n; i++) r->item[i].key = ~next_bits((double)r->p[r->item[i].at]);
}

/* Nucleus (Holtzman et al. 2020). Classes below (1 - top_p) / n of the mass weigh less than 1 - top_p together: the
** nucleus is found without them, and only the others are sorted. */
static void next_nucleus(next_row *r, double top_p) {
  const double total = next_total(r);
  if (r->n > 1) next_at_least(r, (1 - top_p) * total / (double)r->n);
  next_by_weight(r);
  next_prefix(r, top_p * total);
}

/* Locally typical (Meister et al. 2023): those whose surprise is nearest to the entropy. Candidates come in order of
** class, so that kk_sort_items, which is stable, leaves equal ones in that order. */
static void next_typical(next_row *r, double mass) {
  const double total = next_total(r), log_total = log(total);
  double entropy = 0;
  for (int64_t i = 0; i < r->n; i++) {
    double w = (double)r->p[r->item[i].at];
    entropy -= w / total * (log(w) - log_total);
  }
  for (int64_t i = 0; i < r->n; i++)
    r->item[i].key = next_bits(fabs(log_total - log((double)r->p[r->item[i].at]) - entropy));
  next_prefix(r, mass * total);
}

static void next_in_class_order(next_row *r) {
  for (int64_t i = 0; i < r->n; i++) r->item[i].key = (uint64_t)r->item[i].at;
  kk_sort_items(r->item, r->spare, r->n);
}

/* What the filters leave, in order of class. */
static void next_filter(next_row *r) {
  const double *o = r->c->opt;
  if (o[TOP_K] > 0 && (double)r->n > o[TOP_K]) {
    next_by_weight(r);
    next_select(r->item, r->n, (int64_t)o[TOP_K]);
    r->n = (int64_t)o[TOP_K];
    next_in_class_order(r);
  }
  if (o[TOP_P] < 1) {
    next_nucleus(r, o[TOP_P]);
    next_in_class_order(r);
  }
  if (o[MIN_P] > 0) {
    double most = 0;
    for (int64_t i = 0; i < r->n; i++) most = fmax(most, (double)r->p[r->item[i].at]);
    next_at_least(r, o[MIN_P] * most);
  }
  if (o[TYPICAL] < 1) {
    next_typical(r, o[TYPICAL]);
    next_in_class_order(r);
  }
}

/* Turns the weights in p into probabilities of the candidates and answers the class that is drawn. */
static int32_t next_draw(next_row *r, kk_real *p, int64_t V, int64_t row) {
  const double total = next_total(r);
  const double u = (double)(kk_random_u32(r->c->key, 2 * (uint64_t)row) >> 5) * 67108864.0
                 + (double)(kk_random_u32(r->c->key, 2 * (uint64_t)row + 1) >> 6);
  const double want = u / 9007199254740992.0 * total;
  double s = 0;
  int64_t id = -1, next = 0;
  for (int64_t i = 0; i < r->n; i++) {
    int64_t at = r->item[i].at;
    s += (double)p[at];
    if (id < 0 && (s > want || i == r->n - 1)) id = at;
    for (; next < at; next++) p[next] = 0;
    p[at] = (kk_real)((double)p[at] / total);
    next = at + 1;
  }
  for (; next < V; next++) p[next] = 0;
  return (int32_t)id;
}

static int32_t next_greedy(const kk_real *x, kk_real *p, int64_t V) {
  int64_t best = 0;
  for (int64_t i = 1; i < V; i++)
    if (x[i] > x[best]) best = i;
  memset(p, 0, (size_t)V * sizeof *p);
  p[best] = 1;
  return (int32_t)best;
}

static void sample_next_forward(kk_call *c) {
  const int64_t V = KK_DIM(c, 'V');
  kk_sort_item *item = c->scratch;
  kk_real *x = (kk_real *)(void *)(item + 2 * V);
  for (int64_t row = 0; row < kk_rows(c); row++) {
    kk_real *p = kk_out(c, 1) + row * V;
    next_row r = {c, p, item, item + V, 0};
    memset(item, 0, (size_t)V);                          /* marks for a while */
    next_scale(c, row, x, (uint8_t *)(void *)item);
    if (c->opt[TEMPERATURE] <= 0) {
      kk_i32_data(c->out[0])[row] = next_greedy(x, p, V);
      continue;
    }
    kk_softmax_exp(x, p, V, 1, kk_softmax_max(x, V, 1));
    for (int64_t i = 0; i < V; i++)
      if (p[i] > 0) item[r.n++] = (kk_sort_item){0, i};
    next_filter(&r);
    kk_i32_data(c->out[0])[row] = next_draw(&r, p, V, row);
  }
}

static bool sample_next_sample(int variant, kk_sample *s) {
  s->dim['V' - 'A'] = 9;
  s->dim['R' - 'A'] = 3;
  s->dim['U' - 'A'] = 2;
  s->index[1] = s->index[2] = 9;
  s->lo[0] = -4;
  s->hi[0] = 4;
  s->opt[TEMPERATURE] = variant == 2 ? 0 : .8;
  s->opt[PENALTY] = 1.3;
  if (variant == 1) {
    s->opt[TOP_K] = 5;
    s->opt[TOP_P] = .9;
    s->opt[MIN_P] = .05;
    s->opt[TYPICAL] = .9;
    s->absent[1] = s->absent[2] = true;
  }
  return variant < 3;
}

const kk_op kk_op_sample_next = {
  .name = "sample_next",
  .sig = "logits[...,V] seen:i[...,R]? banned:i[U]? -> id:i[...] p[...,V]",
  .about = "p = softmax(logits / temperature) without banned, logits of classes in seen made less likely by penalty (Keskar et al. 2019), "
           "then cut by top_k, top_p (Holtzman et al. 2020), min_p (Nguyen et al. 2024) and typical (Meister et al. 2023), each on "
           "what the one before left, renormalised; id drawn from p. temperature 0: the largest. 0 in seen is none",
  .opts = {{"temperature", 1, 0, 1000, "divides the logits; 0: the most probable class, no filter", NULL},
           {"top_k", 0, 0, 2147483646, "the k most probable classes; 0: all", NULL},
           {"top_p", 1, 1e-9, 1, "the fewest most probable classes that weigh so much together", NULL},
           {"min_p", 0, 0, 1, "classes of at least this share of the most probable one's probability", NULL},
           {"typical", 1, 1e-9, 1, "the fewest classes of the most ordinary surprise that weigh so much together", NULL},
           {"penalty", 1, .01, 100, "divides a seen class's logit, multiplies it where negative", NULL}},
  .random = true,
  .check = sample_next_check,
  .scratch = sample_next_scratch,
  .forward = sample_next_forward,
  .sample = sample_next_sample,
};
