/* view.c -- other shapes over the same storage. No data moves here. */
#include "base/mem.h"
#include "tensor/tensor.h"

static kk_status view_live(const kk_tensor *t, const char *who, kk_err *e) {
  if (kk_live(t)) return KK_OK;
  return kk_fail(e, KK_ESTATE, "%s: the tensor was released when its scope closed", who);
}

static kk_status view_dim(const kk_tensor *t, int dim, int ndim, const char *who, kk_err *e) {
  char b[KK_SHAPE_STR];
  if (dim >= 0 && dim < ndim) return KK_OK;
  return kk_fail(e, KK_EARG, "%s: dimension %d of a tensor %s", who, dim + 1, kk_shape_str(&t->shape, b));
}

/* A copy of t's header with one more reference to the storage. */
static kk_status view_header(kk_tensor *t, kk_tensor **out, kk_err *e) {
  kk_tensor *v = kk_alloc(sizeof *v);
  if (!v) return kk_fail(e, KK_ENOMEM, "view: out of memory");
  *v = *t;
  v->refs = 1;
  kk_storage_ref(v->store);
  *out = v;
  return KK_OK;
}

kk_status kk_view_narrow(kk_tensor *t, int dim, int64_t start, int64_t len, int64_t step, kk_tensor **out, kk_err *e) {
  kk_tensor *v = NULL;
  char b[KK_SHAPE_STR];
  if (view_live(t, "narrow", e) || view_dim(t, dim, t->shape.ndim, "narrow", e)) return e->code;
  if (step < 1) return kk_fail(e, KK_EARG, "narrow: step %lld, expected 1 or more", (long long)step);
  int64_t last = 0, from, to;
  bool over = __builtin_sub_overflow(len, 1, &last) || __builtin_mul_overflow(last, step, &last) ||
              __builtin_add_overflow(start, last, &last);
  if (over || start < 0 || len < 0 || (len > 0 && last >= t->shape.n[dim])) {
    if (__builtin_add_overflow(start, 1, &from)) from = start;
    if (over || __builtin_add_overflow(last, 1, &to)) to = INT64_MAX;
    return kk_fail(e, KK_EARG, "narrow: elements %lld..%lld of dimension %d, size %lld, in %s", (long long)from, (long long)to,
                   dim + 1, (long long)t->shape.n[dim], kk_shape_str(&t->shape, b));
  }
  if (view_header(t, &v, e)) return e->code;
  v->offset += len > 0 ? start * t->stride[dim] : 0;
  v->shape.n[dim] = len;
  v->stride[dim] *= len > 1 ? step : 1;
  *out = v;
  return KK_OK;
}

static void view_drop(kk_tensor *v, int dim) {
  for (int i = dim; i + 1 < v->shape.ndim; i++) {
    v->shape.n[i] = v->shape.n[i + 1];
    v->stride[i] = v->stride[i + 1];
  }
  v->shape.ndim--;
}

kk_status kk_view_select(kk_tensor *t, int dim, int64_t index, kk_tensor **out, kk_err *e) {
  kk_tensor *v = NULL;
  char b[KK_SHAPE_STR];
  if (view_live(t, "select", e) || view_dim(t, dim, t->shape.ndim, "select", e)) return e->code;
  if (index < 0 || index >= t->shape.n[dim])
    return kk_fail(e, KK_EARG, "select: index %lld, expected 1..%lld in dimension %d of %s", (long long)index + 1,
                   (long long)t->shape.n[dim], dim + 1, kk_shape_str(&t->shape, b));
  if (view_header(t, &v, e)) return e->code;
  v->offset += index * t->stride[dim];
  view_drop(v, dim);
  *out = v;
  return KK_OK;
}

kk_status kk_view_permute(kk_tensor *t, const int *order, kk_tensor **out, kk_err *e) {
  kk_tensor *v = NULL;
  unsigned seen = 0;
  if (view_live(t, "permute", e)) return e->code;
  for (int i = 0; i < t->shape.ndim; i++) {
    if (view_dim(t, order[i], t->shape.ndim, "permute", e)) return e->code;
    if (seen & (1u << order[i])) return kk_fail(e, KK_EARG, "permute: dimension %d twice", order[i] + 1);
    seen |= 1u << order[i];
  }
  if (view_header(t, &v, e)) return e->code;
  for (int i = 0; i < t->shape.ndim; i++) {
    v->shape.n[i] = t->shape.n[order[i]];
    v->stride[i] = t->stride[order[i]];
  }
  *out = v;
  return KK_OK;
}

kk_status kk_view_expand(kk_tensor *t, const kk_shape *s, kk_tensor **out, kk_err *e) {
  kk_tensor *v = NULL;
  char a[KK_SHAPE_STR], b[KK_SHAPE_STR];
  int lead = s->ndim - t->shape.ndim;
  bool fits = lead >= 0;
  if (view_live(t, "expand", e)) return e->code;
  for (int i = 0; fits && i < t->shape.ndim; i++)
    fits = t->shape.n[i] == s->n[lead + i] || t->shape.n[i] == 1;
  if (!fits)
    return kk_fail(e, KK_ESHAPE, "expand: %s cannot become %s", kk_shape_str(&t->shape, a), kk_shape_str(s, b));
  if (kk_numel(s) > (int64_t)1 << 62) return kk_fail(e, KK_ENOMEM, "expand: %s is too large", kk_shape_str(s, b));
  if (view_header(t, &v, e)) return e->code;
  v->shape = *s;
  for (int i = 0; i < s->ndim; i++)
    v->stride[i] = i < lead || (t->shape.n[i - lead] == 1 && s->n[i] != 1) ? 0 : t->stride[i - lead];
  *out = v;
  return KK_OK;
}

kk_status kk_view_squeeze(kk_tensor *t, int dim, kk_tensor **out, kk_err *e) {
  kk_tensor *v = NULL;
  if (view_live(t, "squeeze", e) || (dim != -1 && view_dim(t, dim, t->shape.ndim, "squeeze", e))) return e->code;
  if (view_header(t, &v, e)) return e->code;
  for (int i = v->shape.ndim - 1; i >= 0; i--)
    if (v->shape.n[i] == 1 && (dim == -1 || dim == i)) view_drop(v, i);
  *out = v;
  return KK_OK;
}

kk_status kk_view_unsqueeze(kk_tensor *t, int dim, kk_tensor **out, kk_err *e) {
  kk_tensor *v = NULL;
  if (view_live(t, "unsqueeze", e) || view_dim(t, dim, t->shape.ndim + 1, "unsqueeze", e)) return e->code;
  if (t->shape.ndim == KK_MAXDIM) return kk_fail(e, KK_ESHAPE, "unsqueeze: at most %d dimensions", KK_MAXDIM);
  if (view_header(t, &v, e)) return e->code;
  for (int i = v->shape.ndim; i > dim; i--) {
    v->shape.n[i] = v->shape.n[i - 1];
    v->stride[i] = v->stride[i - 1];
  }
  v->shape.n[dim] = 1;
  v->stride[dim] = dim < t->shape.ndim ? t->stride[dim] * t->shape.n[dim] : 1;
  v->shape.ndim++;
  *out = v;
  return KK_OK;
}

/* Strides of shape s over t's elements in row-major order; false when a copy would be needed.
** Walks runs of t's dimensions that are laid out one behind the other. */
static bool view_restride(const kk_tensor *t, const kk_shape *s, int64_t *stride) {
  int64_t n[KK_MAXDIM], st[KK_MAXDIM];
  int nd = 0, j;
  for (int i = 0; i < t->shape.ndim; i++) {
    if (t->shape.n[i] == 1) continue;
    n[nd] = t->shape.n[i];
    st[nd++] = t->stride[i];
  }
  j = s->ndim - 1;
  for (int hi = nd - 1; hi >= 0;) {
    int lo = hi;
    int64_t run = n[hi], step = st[hi], done = 1;
    while (lo > 0 && st[lo - 1] == st[lo] * n[lo]) run *= n[--lo];
    while (j >= 0 && (done < run || s->n[j] == 1)) {
      stride[j] = step * done;
      done *= s->n[j--];
    }
    if (done != run) return false;
    hi = lo - 1;
  }
  for (; j >= 0; j--) stride[j] = 1;
  return true;
}

kk_status kk_view_reshape(kk_tensor *t, const kk_shape *s, kk_tensor **out, kk_err *e) {
  kk_shape want = *s;
  kk_tensor *v = NULL;
  int hole = -1;
  int64_t known, have = kk_numel(&t->shape);
  char a[KK_SHAPE_STR], b[KK_SHAPE_STR];
  if (view_live(t, "reshape", e)) return e->code;
  for (int i = 0; i < want.ndim; i++) {
    if (want.n[i] == -1 && hole < 0) hole = i;
    else if (want.n[i] < 0) return kk_fail(e, KK_EARG, "reshape: size %lld in dimension %d", (long long)want.n[i], i + 1);
  }
  if (hole >= 0) want.n[hole] = 1;
  known = kk_numel(&want);
  if (hole >= 0) want.n[hole] = known ? have / known : 0;
  if (kk_numel(&want) != have)
    return kk_fail(e, KK_ESHAPE, "reshape: %s has %lld elements, %s does not", kk_shape_str(&t->shape, a), (long long)have,
                   kk_shape_str(s, b));
  int64_t stride[KK_MAXDIM] = {0};
  if (have > 0 && !view_restride(t, &want, stride))
    return kk_fail(e, KK_ESHAPE, "reshape: %s is a strided view that cannot become %s without a copy",
                   kk_shape_str(&t->shape, a), kk_shape_str(&want, b));
  if (view_header(t, &v, e)) return e->code;
  v->shape = want;
  for (int i = 0; i < want.ndim; i++) v->stride[i] = stride[i];
  *out = v;
  return KK_OK;
}

kk_status kk_view_detach(kk_tensor *t, kk_tensor **out, kk_err *e) {
  if (view_live(t, "detach", e) || view_header(t, out, e)) return e->code;
  (*out)->detached = true;
  return KK_OK;
}
