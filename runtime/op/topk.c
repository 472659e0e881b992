/* topk.c -- the k largest or smallest elements. */
#include <math.h>

#include "op/extreme.h"
#include "op/sort.h"

enum { K, DIM, SMALLEST };

static kk_axis topk_axis(const kk_call *c) { return kk_axis_of(&c->in[0]->shape, c->opt[DIM]); }

static kk_status topk_check(const kk_call *c, kk_err *e) {
  if (c->opt[K] != floor(c->opt[K])) return kk_fail(e, KK_EARG, "topk: option k is %g, expected an integer", c->opt[K]);
  return kk_axis_check(c, 0, DIM, false, (int64_t)c->opt[K], e);
}

static kk_status topk_shape(kk_call *c, kk_shape *out, kk_err *e) {
  kk_shape s = c->in[0]->shape;
  (void)e;
  if (s.ndim) s.n[c->opt[DIM] < 0 ? (int)c->opt[DIM] + s.ndim : (int)c->opt[DIM] - 1] = (int64_t)c->opt[K];
  out[0] = out[1] = out[2] = s;
  return KK_OK;
}

/* Before: smaller key, then smaller place. */
static bool topk_before(const kk_sort_item *a, const kk_sort_item *b) {
  return a->key != b->key ? a->key < b->key : a->at < b->at;
}

/* A heap of the best k so far, the worst on top. */
static void topk_sink(kk_sort_item *h, int64_t n, int64_t i) {
  for (;;) {
    int64_t worst = i, l = 2 * i + 1;
    if (l < n && topk_before(&h[worst], &h[l])) worst = l;
    if (l + 1 < n && topk_before(&h[worst], &h[l + 1])) worst = l + 1;
    if (worst == i) return;
    kk_sort_item t = h[i];
    h[i] = h[worst];
    h[worst] = t;
    i = worst;
  }
}

static void topk_line(kk_call *c, int64_t line, int64_t base, int64_t n, int64_t stride) {
  int64_t k = (int64_t)c->opt[K], to = line / stride * k * stride + line % stride;
  kk_sort_item *h = (kk_sort_item *)c->scratch + 2 * line * k;
  bool descending = c->opt[SMALLEST] == 0;
  for (int64_t i = 0; i < k; i++) h[i] = (kk_sort_item){kk_sort_key(c->in[0], base + i * stride, descending), i};
  for (int64_t i = k / 2 - 1; i >= 0; i--) topk_sink(h, k, i);
  for (int64_t i = k; i < n; i++) {
    kk_sort_item x = {kk_sort_key(c->in[0], base + i * stride, descending), i};
    if (!topk_before(&x, &h[0])) continue;
    h[0] = x;
    topk_sink(h, k, 0);
  }
  for (int64_t i = k - 1; i > 0; i--) {                  /* the worst goes to the end */
    kk_sort_item t = h[0];
    h[0] = h[i];
    h[i] = t;
    topk_sink(h, i, 0);
  }
  for (int64_t i = 0; i < k; i++) {
    kk_extreme_copy(c->out[0], to + i * stride, c->in[0], base + h[i].at * stride);
    kk_i32_data(c->out[1])[to + i * stride] = (int32_t)h[i].at;
    if (c->save[0]) kk_i32_data(c->save[0])[to + i * stride] = (int32_t)h[i].at;
  }
}

static size_t topk_scratch(const kk_call *c, bool backward) {
  kk_axis a = topk_axis(c);
  return backward ? 0 : 2 * (size_t)(a.outer * a.inner) * (size_t)c->opt[K] * sizeof(kk_sort_item);
}

static void topk_forward(kk_call *c) { kk_axis_each(c, topk_axis(c), topk_line); }

static void topk_line_backward(kk_call *c, int64_t line, int64_t base, int64_t n, int64_t stride) {
  int64_t k = (int64_t)c->opt[K], to = line / stride * k * stride + line % stride;
  (void)n;
  for (int64_t i = 0; i < k; i++)
    c->din[0][base + kk_i32_data(c->save[0])[to + i * stride] * stride] += kk_dout(c, 0)[to + i * stride];
}

static void topk_backward(kk_call *c) { kk_axis_each(c, topk_axis(c), topk_line_backward); }

static bool topk_sample(int variant, kk_sample *s) {
  static const kk_shape flat = {2, {3, 4}};
  s->shape[0] = flat;
  s->opt[K] = 2;
  s->opt[DIM] = variant ? 1 : -1;
  s->opt[SMALLEST] = variant;
  s->lo[0] = -20;
  s->hi[0] = 20;
  return variant < 2;
}

const kk_op kk_op_topk = {
  .name = "topk",
  .sig = "x:a[?] -> y:a[?] at:i[?] ; kept:i[?]",
  .about = "y = the k largest elements along a dimension, largest first, at = their places; of equals the first. nan is the largest",
  .opts = {{"k", 1, 1, 2147483647, "how many", NULL}, KK_OPT_DIM(-1), {"smallest", 0, 0, 1, "the smallest instead, smallest first", NULL}},
  .shape = topk_shape,
  .check = topk_check,
  .scratch = topk_scratch,
  .forward = topk_forward,
  .backward = topk_backward,
  .sample = topk_sample,
};
