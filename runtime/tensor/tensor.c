/* tensor.c -- storage and headers: who holds a byte, and when it goes. */
#include "tensor/tensor.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "tensor/derived.h"
#include "tensor/rowset.h"

static const struct { const char *name; size_t size; } dtypes[KK_NDTYPE] = {
  [KK_F32] = {"float32", sizeof(kk_real)},
  [KK_I32] = {"int32", 4},
  [KK_I64] = {"int64", 8},
  [KK_U8] = {"uint8", 1},
};

size_t kk_dtype_size(kk_dtype d) { return dtypes[d].size; }
const char *kk_dtype_name(kk_dtype d) { return dtypes[d].name; }

bool kk_dtype_parse(const char *name, kk_dtype *out) {
  for (int d = 0; d < KK_NDTYPE; d++)
    if (strcmp(name, dtypes[d].name) == 0) {
      *out = (kk_dtype)d;
      return true;
    }
  return false;
}

int64_t kk_numel(const kk_shape *s) {
  int64_t n = 1;
  bool over = false;
  for (int i = 0; i < s->ndim; i++) {
    if (s->n[i] == 0) return 0;
    over |= __builtin_mul_overflow(n, s->n[i], &n);
  }
  return over ? INT64_MAX : n;
}

bool kk_shape_same(const kk_shape *a, const kk_shape *b) {
  if (a->ndim != b->ndim) return false;
  for (int i = 0; i < a->ndim; i++)
    if (a->n[i] != b->n[i]) return false;
  return true;
}

const char *kk_shape_str(const kk_shape *s, char buf[KK_SHAPE_STR]) {
  int n = snprintf(buf, KK_SHAPE_STR, "(");
  for (int i = 0; i < s->ndim; i++)
    n += snprintf(buf + n, KK_SHAPE_STR - (size_t)n, "%s%lld", i ? "," : "", (long long)s->n[i]);
  snprintf(buf + n, KK_SHAPE_STR - (size_t)n, ")");
  return buf;
}

bool kk_shape_broadcast(const kk_shape *a, const kk_shape *b, kk_shape *out) {
  kk_shape r = {.ndim = a->ndim > b->ndim ? a->ndim : b->ndim};
  for (int i = 1; i <= r.ndim; i++) {
    int64_t x = i <= a->ndim ? a->n[a->ndim - i] : 1, y = i <= b->ndim ? b->n[b->ndim - i] : 1;
    if (x != y && x != 1 && y != 1) return false;
    r.n[r.ndim - i] = x == 1 ? y : x;
  }
  *out = r;
  return true;
}

static kk_status tensor_sizes(const kk_shape *s, int64_t *numel, kk_err *e) {
  int64_t n = 1;                         /* an empty dimension counts as one: the strides fit as well */
  char b[KK_SHAPE_STR];
  for (int i = 0; i < s->ndim; i++) {
    if (s->n[i] < 0) return kk_fail(e, KK_ESHAPE, "tensor: size %lld is negative", (long long)s->n[i]);
    if (__builtin_mul_overflow(n, s->n[i] ? s->n[i] : 1, &n) || n > ((int64_t)1 << 46))
      return kk_fail(e, KK_ENOMEM, "tensor: %s is too large", kk_shape_str(s, b));
  }
  *numel = kk_numel(s);
  return KK_OK;
}

/* A header over store, row-major. Takes over one reference to store, also when it fails. */
static kk_status tensor_header(kk_storage *store, const kk_shape *s, kk_tensor **out, kk_err *e) {
  kk_tensor *t = kk_alloc(sizeof *t);
  int64_t stride = 1;
  if (!t) {
    kk_storage_unref(store);
    return kk_fail(e, KK_ENOMEM, "tensor: out of memory");
  }
  *t = (kk_tensor){.refs = 1, .store = store, .shape = *s};
  for (int i = s->ndim - 1; i >= 0; i--) {
    t->stride[i] = stride;
    stride *= s->n[i];
  }
  *out = t;
  return KK_OK;
}

static kk_status tensor_make(kk_dtype d, const kk_shape *s, void *shared, kk_storage **out, kk_err *e) {
  int64_t n = 0;
  char b[KK_SHAPE_STR];
  kk_storage *st;
  if (tensor_sizes(s, &n, e)) return e->code;
  st = kk_alloc(sizeof *st);
  if (!st) return kk_fail(e, KK_ENOMEM, "tensor: out of memory");
  *st = (kk_storage){.refs = 1, .dtype = d, .n = n, .data = shared};
  if (!shared) st->data = kk_alloc((size_t)n * kk_dtype_size(d));
  if (!st->data) {
    kk_free(st, sizeof *st);
    return kk_fail(e, KK_ENOMEM, "tensor: out of memory for %s %s", kk_dtype_name(d), kk_shape_str(s, b));
  }
  *out = st;
  return KK_OK;
}

kk_status kk_tensor_new(kk_dtype d, const kk_shape *s, kk_tensor **out, kk_err *e) {
  kk_storage *st = NULL;
  if (tensor_make(d, s, NULL, &st, e)) return e->code;
  return tensor_header(st, s, out, e);
}

kk_status kk_tensor_zeros(kk_dtype d, const kk_shape *s, kk_tensor **out, kk_err *e) {
  kk_status st = kk_tensor_new(d, s, out, e);
  if (!st) memset((*out)->store->data, 0, (size_t)(*out)->store->n * kk_dtype_size(d));
  return st;
}

kk_status kk_tensor_over(kk_dtype d, const kk_shape *s, void *data, void *owner,
                         void (*release)(void *), kk_tensor **out, kk_err *e) {
  kk_storage *st = NULL;
  if (tensor_make(d, s, data, &st, e)) return e->code;
  st->shared = true;
  st->kept = true;
  kk_status r = tensor_header(st, s, out, e);
  if (r) return r;                       /* owner stays with the caller */
  st->owner = owner;
  st->release = release;
  return KK_OK;
}

kk_tensor *kk_ref(kk_tensor *t) {
  t->refs++;
  return t;
}

void kk_unref(kk_tensor *t) {
  if (!t || --t->refs > 0) return;
  kk_storage_unref(t->store);
  kk_free(t, sizeof *t);
}

kk_storage *kk_storage_ref(kk_storage *s) {
  s->refs++;
  return s;
}

void kk_storage_clear(kk_storage *s) {
  kk_rowset_drop(s);
  kk_free(s->grad, (size_t)s->n * sizeof *s->grad);
  s->grad = NULL;
  kk_derived_drop(s);
  if (s->shared) {
    if (s->release) s->release(s->owner);
    s->release = NULL;
  } else {
    kk_free(s->data, (size_t)s->n * kk_dtype_size(s->dtype));
  }
  s->data = NULL;
}

void kk_storage_unref(kk_storage *s) {
  if (!s || --s->refs > 0) return;
  kk_storage_clear(s);
  kk_free(s, sizeof *s);
}

bool kk_contiguous(const kk_tensor *t) {
  int64_t stride = 1;
  for (int i = t->shape.ndim - 1; i >= 0; i--) {
    if (t->shape.n[i] != 1 && t->stride[i] != stride) return false;
    stride *= t->shape.n[i];
  }
  return true;
}

kk_status kk_tensor_need_grad(kk_tensor *t, kk_err *e) {
  kk_storage *s = t->store;
  char b[KK_SHAPE_STR];
  if (s->grad) return KK_OK;
  s->grad = kk_calloc((size_t)s->n * sizeof *s->grad);
  if (!s->grad) return kk_fail(e, KK_ENOMEM, "backward: out of memory for the gradient of %s", kk_shape_str(&t->shape, b));
  return KK_OK;
}

void kk_grad_zero(kk_storage *s) {
  if (!s->grad) return;
  if (!kk_rowset_zero(s)) memset(s->grad, 0, (size_t)s->n * sizeof *s->grad);
}

kk_status kk_writable(kk_tensor *t, const char *who, kk_err *e) {
  if (!t->store->data) return kk_fail(e, KK_ESTATE, "%s: the tensor was released when its scope closed", who);
  if (t->store->shared) return kk_fail(e, KK_ESTATE, "%s: the tensor is read-only (it lies in a mapped file)", who);
  bool some = kk_numel(&t->shape) > 0;   /* strides of an empty tensor say nothing */
  for (int i = 0; some && i < t->shape.ndim; i++)
    if (t->stride[i] == 0 && t->shape.n[i] > 1)
      return kk_fail(e, KK_ESTATE, "%s: dimension %d is expanded: its elements are one and the same; copy first", who, i + 1);
  t->store->writes++;
  return KK_OK;
}
