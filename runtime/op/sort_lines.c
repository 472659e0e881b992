/* sort_lines.c -- a stable merge sort over (key, place) pairs. */
#include <string.h>

#include "op/sort.h"

uint64_t kk_sort_key(const kk_tensor *t, int64_t i, bool descending) {
  const uint64_t top = (uint64_t)1 << 63;
  uint64_t k;
  if (kk_type(t) == KK_F32) {
    double v = (double)kk_real_data(t)[i] + 0.0;         /* -0 becomes 0 */
    if (v != v) k = UINT64_MAX;
    else {
      memcpy(&k, &v, sizeof k);
      k = k & top ? ~k : k | top;
    }
  } else {
    k = (uint64_t)kk_get_int(t, t->offset + i) ^ top;
  }
  return descending ? ~k : k;
}

void kk_sort_items(kk_sort_item *v, kk_sort_item *spare, int64_t n) {
  enum { RUN = 16 };
  kk_sort_item *from = v, *to = spare;
  for (int64_t r = 0; r < n; r += RUN)                   /* runs by insertion */
    for (int64_t i = r + 1; i < n && i < r + RUN; i++) {
      kk_sort_item x = v[i];
      int64_t k = i;
      for (; k > r && v[k - 1].key > x.key; k--) v[k] = v[k - 1];
      v[k] = x;
    }
  for (int64_t w = RUN; w < n; w *= 2) {
    for (int64_t r = 0; r < n; r += 2 * w) {
      int64_t a = r, m = r + w < n ? r + w : n, b = m, end = r + 2 * w < n ? r + 2 * w : n;
      for (int64_t k = r; k < end; k++) to[k] = a < m && (b >= end || from[a].key <= from[b].key) ? from[a++] : from[b++];
    }
    kk_sort_item *t = from;
    from = to;
    to = t;
  }
  if (from != v) memcpy(v, from, (size_t)n * sizeof *v);
}

size_t kk_sort_scratch(const kk_call *c, bool backward) {
  return backward ? 0 : 2 * (size_t)kk_numel(&c->in[0]->shape) * sizeof(kk_sort_item);
}

kk_status kk_sort_check(const kk_call *c, kk_err *e) { return kk_axis_check(c, 0, 0, false, 0, e); }

typedef struct sort_job { kk_call *c; kk_axis a; kk_sort_put *put; } sort_job;

static void sort_chunk(void *arg, int64_t begin, int64_t end) {
  const sort_job *j = arg;
  kk_call *c = j->c;
  int64_t n = j->a.n, inner = j->a.inner;
  for (int64_t l = begin; l < end; l++) {
    kk_sort_item *v = (kk_sort_item *)c->scratch + 2 * l * n;
    int64_t base = l / inner * n * inner + l % inner;
    for (int64_t i = 0; i < n; i++) v[i] = (kk_sort_item){kk_sort_key(c->in[0], base + i * inner, c->opt[1] != 0), i};
    kk_sort_items(v, v + n, n);
    for (int64_t i = 0; i < n; i++) j->put(c, base + i * inner, base + v[i].at * inner, v[i].at);
  }
}

void kk_sort_lines(kk_call *c, kk_sort_put *put) {
  sort_job j = {c, kk_axis_of(&c->in[0]->shape, c->opt[0]), put};
  kk_pool_for(j.a.outer * j.a.inner, 1 + 2048 / (j.a.n + 1), sort_chunk, &j);
}
