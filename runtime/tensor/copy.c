/* copy.c -- reading and writing elements through strides. */
#include <math.h>
#include <string.h>

#include "base/pool.h"
#include "tensor/rowset.h"
#include "tensor/tensor.h"

int64_t kk_element_offset(const kk_tensor *t, int64_t i) {
  int64_t off = t->offset;
  for (int d = t->shape.ndim - 1; d >= 0; d--) {
    off += i % t->shape.n[d] * t->stride[d];
    i /= t->shape.n[d];
  }
  return off;
}

double kk_get(const kk_tensor *t, int64_t off) {
  switch (kk_type(t)) {
    case KK_F32: return (double)((const kk_real *)t->store->data)[off];
    case KK_I32: return ((const int32_t *)t->store->data)[off];
    case KK_I64: return (double)((const int64_t *)t->store->data)[off];
    default: return ((const uint8_t *)t->store->data)[off];
  }
}

int64_t kk_get_int(const kk_tensor *t, int64_t off) {
  if (kk_type(t) == KK_I64) return ((const int64_t *)t->store->data)[off];
  return (int64_t)kk_get(t, off);
}

/* Can v be stored as d without losing its integer part? */
static bool copy_fits(kk_dtype d, double v) {
  switch (d) {
    case KK_F32: return true;
    case KK_I32: return v > -2147483649.0 && v < 2147483648.0;
    case KK_I64: return v >= -9223372036854775808.0 && v < 9223372036854775808.0;
    default: return v > -1.0 && v < 256.0;
  }
}

static void copy_store(kk_tensor *t, int64_t off, double v) {
  switch (kk_type(t)) {
    case KK_F32: ((kk_real *)t->store->data)[off] = (kk_real)v; break;
    case KK_I32: ((int32_t *)t->store->data)[off] = (int32_t)v; break;
    case KK_I64: ((int64_t *)t->store->data)[off] = (int64_t)v; break;
    default: ((uint8_t *)t->store->data)[off] = (uint8_t)v; break;
  }
}

bool kk_put(kk_tensor *t, int64_t off, double v) {
  if (!copy_fits(kk_type(t), v)) return false;
  copy_store(t, off, v);
  return true;
}

/* Walks all rows (runs of the last dimension) of two tensors of one shape. */
typedef struct walk {
  const kk_shape *s;
  const int64_t *sa, *sb;
  int64_t a, b, at[KK_MAXDIM];
} walk;

static walk walk_start(const kk_shape *s, const int64_t *sa, int64_t a, const int64_t *sb, int64_t b) {
  return (walk){.s = s, .sa = sa, .sb = sb, .a = a, .b = b};
}

static bool walk_next(walk *w) {
  for (int d = w->s->ndim - 2; d >= 0; d--) {
    w->a += w->sa[d];
    w->b += w->sb[d];
    if (++w->at[d] < w->s->n[d]) return true;
    w->a -= w->sa[d] * w->s->n[d];
    w->b -= w->sb[d] * w->s->n[d];
    w->at[d] = 0;
  }
  return false;
}

static void copy_row(char *dst, int64_t sd, const char *src, int64_t ss, int64_t n, size_t size) {
  if (sd == 1 && ss == 1) memcpy(dst, src, (size_t)n * size);
  else if (size == 4)
    for (int64_t i = 0; i < n; i++) ((uint32_t *)(void *)dst)[i * sd] = ((const uint32_t *)(const void *)src)[i * ss];
  else if (size == 8)
    for (int64_t i = 0; i < n; i++) ((uint64_t *)(void *)dst)[i * sd] = ((const uint64_t *)(const void *)src)[i * ss];
  else
    for (int64_t i = 0; i < n; i++) dst[i * sd] = src[i * ss];
}

/* dst and src of one shape and type. */
static void copy_same(kk_tensor *dst, const kk_tensor *src) {
  const kk_shape *s = &dst->shape;
  size_t size = kk_dtype_size(kk_type(dst));
  int last = s->ndim - 1;
  int64_t n = s->ndim ? s->n[last] : 1;
  if (kk_numel(s) == 0) return;
  if (kk_contiguous(dst) && kk_contiguous(src)) {
    memcpy(kk_data(dst), kk_data(src), (size_t)kk_numel(s) * size);
    return;
  }
  walk w = walk_start(s, dst->stride, dst->offset, src->stride, src->offset);
  do {
    copy_row((char *)dst->store->data + w.a * (int64_t)size, s->ndim ? dst->stride[last] : 1,
             (const char *)src->store->data + w.b * (int64_t)size, s->ndim ? src->stride[last] : 1, n, size);
  } while (walk_next(&w));
}

static int64_t copy_place(const kk_tensor *t, bool plain, int64_t i) { return plain ? t->offset + i : kk_element_offset(t, i); }

static kk_status copy_convert(kk_tensor *dst, const kk_tensor *src, kk_err *e) {
  int64_t n = kk_numel(&dst->shape);
  bool dst_plain = kk_contiguous(dst), src_plain = kk_contiguous(src);
  for (int64_t i = 0; i < n; i++) {          /* all values first: a failing copy writes nothing */
    double v = kk_get(src, copy_place(src, src_plain, i));
    if (!copy_fits(kk_type(dst), v))
      return kk_fail(e, KK_ETYPE, "copy: %g does not fit %s", v, kk_dtype_name(kk_type(dst)));
  }
  for (int64_t i = 0; i < n; i++) {
    int64_t to = copy_place(dst, dst_plain, i), from = copy_place(src, src_plain, i);
    if (kk_type(dst) == KK_I64)
      ((int64_t *)dst->store->data)[to] = kk_type(src) == KK_F32 ? (int64_t)kk_get(src, from) : kk_get_int(src, from);
    else copy_store(dst, to, kk_get(src, from));
  }
  return KK_OK;
}

kk_status kk_copy(kk_tensor *dst, const kk_tensor *src, kk_err *e) {
  kk_tensor *x = NULL;
  kk_status st;
  if (!kk_live(src)) return kk_fail(e, KK_ESTATE, "copy: the source was released when its scope closed");
  if ((st = kk_view_expand((kk_tensor *)(uintptr_t)src, &dst->shape, &x, e))) return st;
  if (kk_type(dst) == kk_type(src)) copy_same(dst, x);
  else st = copy_convert(dst, x, e);
  kk_unref(x);
  return st;
}

void kk_fill(kk_tensor *dst, double value) {
  int64_t n = kk_numel(&dst->shape);
  bool plain = kk_contiguous(dst);
  if (plain && kk_type(dst) == KK_F32) {
    kk_real *p = kk_real_data(dst);
    for (int64_t i = 0; i < n; i++) p[i] = (kk_real)value;
    return;
  }
  for (int64_t i = 0; i < n; i++) copy_store(dst, copy_place(dst, plain, i), value);
}

kk_status kk_contiguous_copy(const kk_tensor *t, kk_dtype as, kk_tensor **out, kk_err *e) {
  kk_tensor *c = NULL;
  kk_status st = kk_tensor_new(as, &t->shape, &c, e);
  if (!st && (st = kk_copy(c, t, e))) kk_unref(c);
  if (!st) *out = c;
  return st;
}

/* Expanded dimensions have stride 0, so this is also the sum that broadcasting's gradient needs.
** The order is fixed: row-major over the view. */
void kk_grad_add(const kk_tensor *view, const kk_real *g) {
  const kk_shape *s = &view->shape;
  kk_real *to = view->store->grad;
  if (view->store->rows) view->store->rows->all = true;
  int last = s->ndim - 1;
  int64_t n = s->ndim ? s->n[last] : 1, step = s->ndim ? view->stride[last] : 1;
  if (kk_numel(s) == 0) return;
  walk w = walk_start(s, view->stride, view->offset, view->stride, view->offset);
  do {
    kk_real *row = to + w.a;
    if (step == 1)
      for (int64_t i = 0; i < n; i++) row[i] += g[i];
    else if (step == 0) {
      double sum = 0;
      for (int64_t i = 0; i < n; i++) sum += (double)g[i];
      row[0] += (kk_real)sum;
    } else
      for (int64_t i = 0; i < n; i++) row[i * step] += g[i];
    g += n;
  } while (walk_next(&w));
}
