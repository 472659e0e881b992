#include "tensor/npy.h"

#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "tensor/raw.h"

typedef struct npy_header {
  const char *path, *p, *end;
  const kk_raw *type;
  bool fortran;
  kk_shape shape;
} npy_header;

static void npy_space(npy_header *h) {
  while (h->p < h->end && (*h->p == ' ' || *h->p == '\t' || *h->p == '\n')) h->p++;
}

static bool npy_take(npy_header *h, const char *word) {
  size_t n = strlen(word);
  npy_space(h);
  if ((size_t)(h->end - h->p) < n || memcmp(h->p, word, n) != 0) return false;
  h->p += n;
  return true;
}

static kk_status npy_bad(const npy_header *h, const char *what, kk_err *e) {
  return kk_fail(e, KK_EFORMAT, "%s: npy header: %s", h->path, what);
}

/* '<f4' */
static kk_status npy_type(npy_header *h, kk_err *e) {
  const char *begin, *stop;
  npy_space(h);
  if (h->p == h->end || (*h->p != '\'' && *h->p != '"')) return npy_bad(h, "descr is no simple type", e);
  begin = h->p + 1;
  stop = memchr(begin, *h->p, (size_t)(h->end - begin));
  if (!stop) return npy_bad(h, "descr does not end", e);
  h->type = kk_raw_npy(begin, (size_t)(stop - begin));
  h->p = stop + 1;
  if (h->type) return KK_OK;
  return kk_fail(e, KK_EFORMAT, "%s: elements of type \"%.*s\", expected <f2 <f4 <f8 |i1 <i2 <i4 <i8 |u1 <u2 <u4 or |b1", h->path,
                 (int)(stop - begin > 20 ? 20 : stop - begin), begin);
}

/* (2, 3), (7,) or () */
static kk_status npy_shape(npy_header *h, kk_err *e) {
  h->shape.ndim = 0;
  if (!npy_take(h, "(")) return npy_bad(h, "shape does not begin with (", e);
  while (!npy_take(h, ")")) {
    uint64_t v = 0;
    const char *begin = h->p;
    if (h->shape.ndim == KK_MAXDIM) return npy_bad(h, "more than 6 dimensions", e);
    for (; h->p < h->end && *h->p >= '0' && *h->p <= '9'; h->p++) {
      v = v * 10 + (uint64_t)(*h->p - '0');
      if (v >> 58) return npy_bad(h, "a size is too large", e);
    }
    if (h->p == begin) return npy_bad(h, "shape holds something that is no size", e);
    h->shape.n[h->shape.ndim++] = (int64_t)v;
    if (!npy_take(h, ",")) {
      if (!npy_take(h, ")")) return npy_bad(h, "shape does not end with )", e);
      break;
    }
  }
  return KK_OK;
}

/* {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), } with the keys in any order, each once. */
static kk_status npy_dict(npy_header *h, kk_err *e) {
  enum { DESCR = 1, ORDER = 2, SHAPE = 4 };
  int seen = 0;
  if (!npy_take(h, "{")) return npy_bad(h, "it does not begin with {", e);
  while (!npy_take(h, "}")) {
    int bit = npy_take(h, "'descr'") ? DESCR : npy_take(h, "'fortran_order'") ? ORDER : npy_take(h, "'shape'") ? SHAPE : 0;
    kk_status st = KK_OK;
    if (!bit || seen & bit) return npy_bad(h, "expected descr, fortran_order and shape, each once", e);
    seen |= bit;
    if (!npy_take(h, ":")) return npy_bad(h, "expected :", e);
    if (bit == DESCR) st = npy_type(h, e);
    else if (bit == SHAPE) st = npy_shape(h, e);
    else if (npy_take(h, "True")) h->fortran = true;
    else if (!npy_take(h, "False")) st = npy_bad(h, "fortran_order is neither True nor False", e);
    if (st) return st;
    if (!npy_take(h, ",")) {
      if (!npy_take(h, "}")) return npy_bad(h, "expected , or }", e);
      break;
    }
  }
  npy_space(h);
  if (h->p != h->end) return npy_bad(h, "text behind the closing }", e);
  return seen == (DESCR | ORDER | SHAPE) ? KK_OK : npy_bad(h, "expected descr, fortran_order and shape, each once", e);
}

/* The header of a mapped file; *at is where the data begins. */
static kk_status npy_read_header(const kk_map *m, npy_header *h, size_t *at, kk_err *e) {
  const unsigned char *p = m->p;
  size_t n, begin;
  uint64_t bytes = 0;
  kk_status st;
  if (m->n < 10 || memcmp(p, "\x93NUMPY", 6) != 0) return kk_fail(e, KK_EFORMAT, "%s: not an npy file", h->path);
  if (p[6] < 1 || p[6] > 3 || p[7] != 0) return kk_fail(e, KK_EFORMAT, "%s: npy version %d.%d, expected 1.0 to 3.0", h->path, p[6], p[7]);
  if (p[6] > 1 && m->n < 12) return kk_fail(e, KK_EFORMAT, "%s: not an npy file", h->path);
  n = (size_t)p[8] | (size_t)p[9] << 8;
  if (p[6] > 1) n |= (size_t)p[10] << 16 | (size_t)p[11] << 24;
  begin = p[6] > 1 ? 12 : 10;
  if (n > m->n - begin) return kk_fail(e, KK_EFORMAT, "%s: npy header of %zu bytes in a file of %zu", h->path, n, m->n);
  h->p = (const char *)p + begin;
  h->end = h->p + n;
  *at = begin + n;
  st = npy_dict(h, e);
  if (st) return st;
  if (!kk_raw_bytes(&h->shape, h->type->size, &bytes) || bytes != m->n - *at) {
    char shape[KK_SHAPE_STR];
    return kk_fail(e, KK_EFORMAT, "%s: npy shape %s of %s does not fit %zu bytes of data (truncated?)", h->path,
                   kk_shape_str(&h->shape, shape), h->type->npy, m->n - *at);
  }
  return KK_OK;
}

/* Data whose first axis runs fastest: read as the reversed shape, then seen from the other side. */
static kk_status npy_from_fortran(kk_tensor *reversed, kk_tensor **out, kk_err *e) {
  int order[KK_MAXDIM];
  kk_tensor *view = NULL;
  kk_status st;
  for (int d = 0; d < reversed->shape.ndim; d++) order[d] = reversed->shape.ndim - 1 - d;
  st = kk_view_permute(reversed, order, &view, e);
  if (!st) st = kk_contiguous_copy(view, kk_type(view), out, e);
  kk_unref(view);
  return st;
}

kk_status kk_npy_load(const char *path, kk_tensor **out, kk_err *e) {
  npy_header h = {.path = path};
  kk_tensor *t = NULL;
  size_t at = 0;
  kk_map m;
  kk_status st = kk_map_open(&m, path, e);
  if (st) return st;
  st = npy_read_header(&m, &h, &at, e);
  if (!st) {
    kk_shape s = h.shape;
    for (int d = 0; h.fortran && d < s.ndim; d++) s.n[d] = h.shape.n[s.ndim - 1 - d];
    st = kk_tensor_new(h.type->as, &s, &t, e);
  }
  if (!st) {
    kk_raw_read(h.type, (const char *)m.p + at, kk_numel(&h.shape), kk_data(t));
    if (h.fortran && h.shape.ndim > 1) {
      st = npy_from_fortran(t, out, e);
      kk_unref(t);
    } else {
      *out = t;
    }
  }
  kk_map_close(&m);
  return st;
}

static kk_status npy_write_header(kk_buf *b, const kk_tensor *t, kk_err *e) {
  const kk_raw *type = kk_raw_of(kk_type(t));
  kk_status st = kk_buf_add(b, "\x93NUMPY\1\0\0\0", 10, e);
  if (!st) st = kk_buf_fmt(b, e, "{'descr': '%s', 'fortran_order': False, 'shape': (", type->npy);
  for (int d = 0; d < t->shape.ndim && !st; d++) st = kk_buf_fmt(b, e, d ? ", %lld" : "%lld", (long long)t->shape.n[d]);
  if (!st) st = kk_buf_str(b, t->shape.ndim == 1 ? ",), }" : "), }", e);
  while (!st && b->n % 64 != 63) st = kk_buf_str(b, " ", e);
  if (!st) st = kk_buf_str(b, "\n", e);
  if (!st) {
    b->p[8] = (char)((b->n - 10) & 0xFF);
    b->p[9] = (char)((b->n - 10) >> 8);
  }
  return st;
}

kk_status kk_npy_save(const char *path, const kk_tensor *t, kk_err *e) {
  kk_tensor *copy = NULL;
  kk_outfile o;
  kk_buf b;
  kk_buf_init(&b, 1024);
  kk_status st = npy_write_header(&b, t, e);
  if (!st && !kk_contiguous(t)) st = kk_contiguous_copy(t, kk_type(t), &copy, e);
  if (!st) st = kk_outfile_open(&o, path, e);
  if (!st) {
    st = kk_outfile_write(&o, b.p, b.n, e);
    if (!st) st = kk_outfile_write(&o, kk_data(copy ? copy : t), (size_t)kk_numel(&t->shape) * kk_dtype_size(kk_type(t)), e);
    if (!st) st = kk_outfile_commit(&o, e);
    else kk_outfile_abort(&o);
  }
  kk_buf_free(&b);
  kk_unref(copy);
  return st;
}
