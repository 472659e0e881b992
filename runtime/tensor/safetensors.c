/* safetensors.c -- the reader: a parser for exactly this header, then the checks of the format. */
#include "tensor/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8_valid.h"

typedef struct parser {
  const char *path, *begin, *p, *end;
  kk_st_file *f;
  kk_err *e;
} parser;

static kk_status st_bad(const parser *s, const char *what) {
  return kk_fail(s->e, KK_EFORMAT, "%s: safetensors header, byte %zu: %s", s->path, (size_t)(s->p - s->begin) + 1, what);
}

static void st_space(parser *s) {
  while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\r' || *s->p == '\t')) s->p++;
}

static kk_status st_expect(parser *s, char c, const char *what) {
  st_space(s);
  if (s->p == s->end || *s->p != c) return st_bad(s, what);
  s->p++;
  return KK_OK;
}

static bool st_hex4(parser *s, uint32_t *out) {
  *out = 0;
  if (s->end - s->p < 4) return false;
  for (int i = 0; i < 4; i++) {
    char c = *s->p++;
    int v = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    if (v < 0) return false;
    *out = *out << 4 | (uint32_t)v;
  }
  return true;
}

static void st_put(kk_st_file *f, uint32_t byte) { f->text[f->text_n++] = (char)byte; }

static void st_put_utf8(kk_st_file *f, uint32_t c) {
  if (c < 0x80) {
    st_put(f, c);
  } else if (c < 0x800) {
    st_put(f, 0xC0 | c >> 6), st_put(f, 0x80 | (c & 63));
  } else if (c < 0x10000) {
    st_put(f, 0xE0 | c >> 12), st_put(f, 0x80 | (c >> 6 & 63)), st_put(f, 0x80 | (c & 63));
  } else {
    st_put(f, 0xF0 | c >> 18), st_put(f, 0x80 | (c >> 12 & 63)), st_put(f, 0x80 | (c >> 6 & 63)), st_put(f, 0x80 | (c & 63));
  }
}

/* Behind a backslash. The result is never longer than what it stands for, so text suffices. */
static kk_status st_escape(parser *s) {
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  const char *k;
  uint32_t c, d;
  if (s->p == s->end) return st_bad(s, "the string does not end");
  if (*s->p != 'u') {
    k = *s->p ? strchr(from, *s->p) : NULL;
    if (!k) return st_bad(s, "unknown escape");
    st_put(s->f, (uint8_t)to[k - from]);
    s->p++;
    return KK_OK;
  }
  s->p++;
  if (!st_hex4(s, &c)) return st_bad(s, "expected four hexadecimal digits");
  if (c >= 0xD800 && c < 0xDC00) {
    if (s->end - s->p < 2 || s->p[0] != '\\' || s->p[1] != 'u') return st_bad(s, "half a surrogate pair");
    s->p += 2;
    if (!st_hex4(s, &d) || d < 0xDC00 || d > 0xDFFF) return st_bad(s, "half a surrogate pair");
    c = 0x10000 + ((c - 0xD800) << 10) + (d - 0xDC00);
  } else if (c >= 0xDC00 && c < 0xE000) {
    return st_bad(s, "half a surrogate pair");
  }
  if (c == 0) return st_bad(s, "a zero character");
  st_put_utf8(s->f, c);
  return KK_OK;
}

static kk_status st_string(parser *s, kk_st_text *out) {
  kk_status st = st_expect(s, '"', "expected a string");
  size_t begin = s->f->text_n;
  while (!st) {
    if (s->p == s->end) return st_bad(s, "the string does not end");
    unsigned char c = (unsigned char)*s->p;
    if (c < 0x20) return st_bad(s, "a control character in a string");
    s->p++;
    if (c == '"') break;
    if (c == '\\') st = st_escape(s);
    else st_put(s->f, c);
  }
  if (st) return st;
  *out = (kk_st_text){s->f->text + begin, s->f->text_n - begin};
  st_put(s->f, 0);                          /* takes the place of the closing quote */
  return KK_OK;
}

/* A number without sign, fraction or leading zero. */
static kk_status st_integer(parser *s, uint64_t *out) {
  uint64_t v = 0;
  const char *begin;
  st_space(s);
  begin = s->p;
  for (; s->p < s->end && *s->p >= '0' && *s->p <= '9'; s->p++)
    if (__builtin_mul_overflow(v, (uint64_t)10, &v) || __builtin_add_overflow(v, (uint64_t)(*s->p - '0'), &v) || v > INT64_MAX)
      return st_bad(s, "the number is too large");
  if (s->p == begin || (*begin == '0' && s->p > begin + 1)) return st_bad(s, "expected an integer of 0 or more");
  if (s->p < s->end && (*s->p == '.' || *s->p == 'e' || *s->p == 'E')) return st_bad(s, "expected an integer");
  *out = v;
  return KK_OK;
}

/* Behind a member or element: a comma (*more) or the closing bracket. */
static kk_status st_more(parser *s, char close, bool *more) {
  st_space(s);
  if (s->p == s->end || (*s->p != ',' && *s->p != close)) return st_bad(s, close == '}' ? "expected , or }" : "expected , or ]");
  *more = *s->p++ == ',';
  return KK_OK;
}

/* Is the next thing the closing bracket? Takes it. */
static bool st_empty(parser *s, char close) {
  st_space(s);
  if (s->p == s->end || *s->p != close) return false;
  s->p++;
  return true;
}

static kk_status st_integers(parser *s, uint64_t *out, int max, int *n, const char *too_many) {
  kk_status st = st_expect(s, '[', "expected [");
  bool more = true;
  *n = 0;
  if (st) return st;
  if (st_empty(s, ']')) return KK_OK;
  while (!st && more) {
    if (*n == max) return st_bad(s, too_many);
    st = st_integer(s, &out[*n]);
    if (!st) st = st_more(s, ']', &more);
    ++*n;
  }
  return st;
}

static bool st_is(kk_st_text t, const char *s) { return t.n == strlen(s) && memcmp(t.p, s, t.n) == 0; }

/* {"dtype": "F32", "shape": [2,3], "data_offsets": [0,24]}, in any order, each once. */
static kk_status st_item(parser *s, kk_st_item *it) {
  enum { DTYPE = 1, SHAPE = 2, OFFSETS = 4 };
  int seen = 0, n;
  bool more = true;
  uint64_t v[KK_MAXDIM];
  kk_status st = st_expect(s, '{', "expected { with dtype, shape and data_offsets");
  while (!st && more) {
    kk_st_text key;
    if ((st = st_string(s, &key)) || (st = st_expect(s, ':', "expected :"))) break;
    int bit = st_is(key, "dtype") ? DTYPE : st_is(key, "shape") ? SHAPE : st_is(key, "data_offsets") ? OFFSETS : 0;
    if (!bit || seen & bit) return st_bad(s, bit ? "the same field twice" : "unknown field, expected dtype, shape or data_offsets");
    seen |= bit;
    if (bit == DTYPE) {
      st = st_string(s, &it->dtype);
    } else if (bit == SHAPE) {
      st = st_integers(s, v, KK_MAXDIM, &n, "a tensor of more than 6 dimensions");
      if (!st) it->shape.ndim = n;
      for (int d = 0; !st && d < n; d++) it->shape.n[d] = (int64_t)v[d];
    } else {
      st = st_integers(s, v, 2, &n, "expected two offsets");
      if (!st && n != 2) return st_bad(s, "expected two offsets");
      if (!st) it->begin = v[0], it->end = v[1];
    }
    if (!st) st = st_more(s, '}', &more);
  }
  if (!st && seen != (DTYPE | SHAPE | OFFSETS)) return st_bad(s, "dtype, shape or data_offsets is missing");
  return st;
}

/* Room for one more element. */
static kk_status st_grow(parser *s, void **p, int64_t *cap, int64_t n, size_t size) {
  int64_t want = *cap ? 2 * *cap : 32;
  void *q;
  if (n < *cap) return KK_OK;
  if (n >= KK_ST_MAX_ITEMS) return st_bad(s, "more than a million entries");
  q = kk_realloc(*p, (size_t)*cap * size, (size_t)want * size);
  if (!q) return kk_fail(s->e, KK_ENOMEM, "%s: out of memory", s->path);
  *p = q;
  *cap = want;
  return KK_OK;
}

static kk_status st_metadata(parser *s) {
  kk_st_file *f = s->f;
  bool more = true;
  kk_status st = st_expect(s, '{', "expected { with strings");
  if (!st && st_empty(s, '}')) return KK_OK;
  while (!st && more) {
    void *p = f->meta;
    st = st_grow(s, &p, &f->meta_cap, f->nmeta, sizeof *f->meta);
    f->meta = p;
    if (!st) st = st_string(s, &f->meta[f->nmeta].key);
    if (!st) st = st_expect(s, ':', "expected :");
    if (!st) st = st_string(s, &f->meta[f->nmeta].value);
    if (!st) f->nmeta++;
    if (!st) st = st_more(s, '}', &more);
  }
  return st;
}

static kk_status st_header(parser *s) {
  kk_st_file *f = s->f;
  bool more = true, metadata = false;
  if (s->p == s->end || *s->p != '{') return st_bad(s, "it must begin with {");
  s->p++;
  kk_status st = KK_OK;
  if (st_empty(s, '}')) more = false;
  while (!st && more) {
    kk_st_text key;
    if ((st = st_string(s, &key)) || (st = st_expect(s, ':', "expected :"))) break;
    if (st_is(key, "__metadata__")) {
      if (metadata) return st_bad(s, "__metadata__ twice");
      metadata = true;
      st = st_metadata(s);
    } else {
      void *p = f->items;
      st = st_grow(s, &p, &f->items_cap, f->nitems, sizeof *f->items);
      f->items = p;
      if (!st) {
        f->items[f->nitems] = (kk_st_item){.name = key};
        st = st_item(s, &f->items[f->nitems]);
      }
      if (!st) f->nitems++;
    }
    if (!st) st = st_more(s, '}', &more);
  }
  if (st) return st;
  st_space(s);
  return s->p == s->end ? KK_OK : st_bad(s, "text behind the closing }");
}

static int st_compare_text(kk_st_text a, kk_st_text b) {
  int c = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
  return c ? c : a.n < b.n ? -1 : a.n > b.n;
}
static int st_by_name(const void *a, const void *b) {
  return st_compare_text((*(const kk_st_item *const *)a)->name, (*(const kk_st_item *const *)b)->name);
}
static int st_by_offset(const void *a, const void *b) {
  const kk_st_item *x = *(const kk_st_item *const *)a, *y = *(const kk_st_item *const *)b;
  if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
  return x->end < y->end ? -1 : x->end > y->end;
}
static int st_by_key(const void *a, const void *b) {
  return st_compare_text(((const kk_st_meta *)a)->key, ((const kk_st_meta *)b)->key);
}

static kk_status st_check_item(const char *path, kk_st_item *it, kk_err *e) {
  uint64_t bytes;
  if (it->end < it->begin)
    return kk_fail(e, KK_EFORMAT, "%s: tensor \"%.100s\" ends (%llu) before it begins (%llu)", path, it->name.p,
                   (unsigned long long)it->end, (unsigned long long)it->begin);
  it->type = kk_raw_safetensors(it->dtype.p, it->dtype.n);
  if (!it->type) return KK_OK;
  if (!kk_raw_bytes(&it->shape, it->type->size, &bytes) || bytes != it->end - it->begin) {
    char shape[KK_SHAPE_STR];
    return kk_fail(e, KK_EFORMAT, "%s: tensor \"%.100s\" is %s%s but has %llu bytes", path, it->name.p, it->dtype.p,
                   kk_shape_str(&it->shape, shape), (unsigned long long)(it->end - it->begin));
  }
  return KK_OK;
}

/* Sizes, then: no name twice, the data covered from its first byte to its last without holes or overlaps. */
static kk_status st_check(const char *path, kk_st_file *f, uint64_t size, kk_err *e) {
  kk_status st = KK_OK;
  uint64_t at = 0;
  size_t bytes = (size_t)f->nitems * sizeof(kk_st_item *);
  kk_st_item **order = kk_alloc(bytes);
  if (!order) return kk_fail(e, KK_ENOMEM, "%s: out of memory", path);
  for (int64_t i = 0; i < f->nitems && !st; i++) {
    order[i] = &f->items[i];
    st = st_check_item(path, &f->items[i], e);
  }
  if (!st) qsort(order, (size_t)f->nitems, sizeof *order, st_by_name);
  for (int64_t i = 1; i < f->nitems && !st; i++)
    if (st_compare_text(order[i - 1]->name, order[i]->name) == 0)
      st = kk_fail(e, KK_EFORMAT, "%s: two tensors are named \"%.100s\"", path, order[i]->name.p);
  if (!st) qsort(order, (size_t)f->nitems, sizeof *order, st_by_offset);
  for (int64_t i = 0; i < f->nitems && !st; at = order[i++]->end)
    if (order[i]->begin != at)
      st = kk_fail(e, KK_EFORMAT, "%s: tensor \"%.100s\" begins at byte %llu, expected %llu (a hole or an overlap)", path,
                   order[i]->name.p, (unsigned long long)order[i]->begin, (unsigned long long)at);
  if (!st && at != size)
    st = kk_fail(e, KK_EFORMAT, "%s: the tensors need %llu bytes, the file has %llu (truncated?)", path, (unsigned long long)at,
                 (unsigned long long)size);
  kk_free(order, bytes);
  if (f->nmeta) qsort(f->meta, (size_t)f->nmeta, sizeof *f->meta, st_by_key);
  for (int64_t i = 1; i < f->nmeta && !st; i++)
    if (st_compare_text(f->meta[i - 1].key, f->meta[i].key) == 0)
      st = kk_fail(e, KK_EFORMAT, "%s: metadata \"%.100s\" twice", path, f->meta[i].key.p);
  return st;
}

kk_status kk_st_open(const char *path, kk_st_file *f, kk_err *e) {
  uint64_t n = 0;
  kk_status st;
  *f = (kk_st_file){0};
  st = kk_map_open(&f->map, path, e);
  if (st) return st;
  if (f->map.n >= 8) memcpy(&n, f->map.p, 8);
  if (f->map.n < 8) st = kk_fail(e, KK_EFORMAT, "%s: not safetensors: %zu bytes", path, f->map.n);
  else if (n > KK_ST_MAX_HEADER || n > f->map.n - 8)
    st = kk_fail(e, KK_EFORMAT, "%s: not safetensors: a header of %llu bytes in a file of %zu", path, (unsigned long long)n, f->map.n);
  if (!st) {
    f->text_cap = (size_t)n + 1;
    f->text = kk_alloc(f->text_cap);
    if (!f->text) st = kk_fail(e, KK_ENOMEM, "%s: out of memory", path);
  }
  if (!st) {
    const char *begin = (const char *)f->map.p + 8;
    parser s = {path, begin, begin, begin + n, f, e};
    f->data = begin + n;
    size_t good = kk_utf8_valid_to(begin, (size_t)n);
    if (good < n) {
      s.p += good;
      st = st_bad(&s, "not UTF-8");
    }
    if (!st) st = st_header(&s);
    if (!st) st = st_check(path, f, f->map.n - 8 - n, e);
  }
  if (st) kk_st_close(f);
  return st;
}

kk_status kk_st_load(const kk_st_file *f, int64_t i, kk_tensor **out, kk_err *e) {
  const kk_st_item *it = &f->items[i];
  kk_tensor *t = NULL;
  kk_status st;
  if (!it->type)
    return kk_fail(e, KK_EFORMAT, "safetensors: tensor \"%.100s\" is %.20s, which cannot be held here (F16, BF16, F32, F64, I8 to I64, U8 to U32, BOOL can)",
                   it->name.p, it->dtype.p);
  st = kk_tensor_new(it->type->as, &it->shape, &t, e);
  if (st) return st;
  kk_raw_read(it->type, f->data + it->begin, kk_numel(&it->shape), kk_data(t));
  *out = t;
  return KK_OK;
}

void kk_st_close(kk_st_file *f) {
  kk_map_close(&f->map);
  kk_free(f->items, (size_t)f->items_cap * sizeof *f->items);
  kk_free(f->meta, (size_t)f->meta_cap * sizeof *f->meta);
  kk_free(f->text, f->text_cap);
  *f = (kk_st_file){0};
}
