/* safetensors_save.c -- the writer. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/utf8_valid.h"
#include "tensor/safetensors.h"

typedef struct out_item {
  kk_st_text name;
  kk_tensor *t;
  const kk_raw *type;
  uint64_t bytes;
} out_item;

static int save_compare_text(kk_st_text a, kk_st_text b) {
  int c = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
  return c ? c : a.n < b.n ? -1 : a.n > b.n;
}
static int save_by_key(const void *a, const void *b) {
  return save_compare_text((*(const kk_st_meta *const *)a)->key, (*(const kk_st_meta *const *)b)->key);
}
/* Large elements first keeps every tensor aligned; the name makes the file repeatable. */
static int save_by_size(const void *a, const void *b) {
  const out_item *x = a, *y = b;
  if (x->type->size != y->type->size) return x->type->size > y->type->size ? -1 : 1;
  return save_compare_text(x->name, y->name);
}
static int save_by_name(const void *a, const void *b) {
  return save_compare_text(((const out_item *)a)->name, ((const out_item *)b)->name);
}

static kk_status save_string(kk_buf *b, kk_st_text s, kk_err *e) {
  kk_status st = kk_buf_add(b, "\"", 1, e);
  if (kk_utf8_valid_to(s.p, s.n) < s.n || memchr(s.p, 0, s.n)) {
    kk_buf_free(b);
    return kk_fail(e, KK_EARG, "safetensors: a name or a metadata string is not UTF-8 text");
  }
  for (size_t i = 0; i < s.n && !st; i++) {
    unsigned char c = (unsigned char)s.p[i];
    if (c == '"' || c == '\\') st = kk_buf_fmt(b, e, "\\%c", c);
    else if (c < 0x20) st = kk_buf_fmt(b, e, "\\u%04x", c);
    else st = kk_buf_add(b, s.p + i, 1, e);
  }
  return st ? st : kk_buf_add(b, "\"", 1, e);
}

static kk_status save_metadata(kk_buf *b, const kk_st_meta *meta, int64_t n, kk_err *e) {
  size_t bytes = (size_t)n * sizeof(kk_st_meta *);
  const kk_st_meta **order = kk_alloc(bytes);
  kk_status st = order ? kk_buf_str(b, "\"__metadata__\":{", e) : kk_fail(e, KK_ENOMEM, "safetensors: out of memory");
  for (int64_t i = 0; i < n && order; i++) order[i] = &meta[i];
  if (!st) qsort(order, (size_t)n, sizeof *order, save_by_key);
  for (int64_t i = 0; i < n && !st; i++) {
    if (i) st = kk_buf_add(b, ",", 1, e);
    if (!st) st = save_string(b, order[i]->key, e);
    if (!st) st = kk_buf_add(b, ":", 1, e);
    if (!st) st = save_string(b, order[i]->value, e);
  }
  if (!st) st = kk_buf_str(b, "}", e);
  kk_free(order, bytes);
  return st;
}

/* "name":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]} */
static kk_status save_item(kk_buf *b, const out_item *it, uint64_t at, kk_err *e) {
  kk_status st = save_string(b, it->name, e);
  if (!st) st = kk_buf_fmt(b, e, ":{\"dtype\":\"%s\",\"shape\":[", it->type->safetensors);
  for (int d = 0; d < it->t->shape.ndim && !st; d++) st = kk_buf_fmt(b, e, "%s%lld", d ? "," : "", (long long)it->t->shape.n[d]);
  if (!st)
    st = kk_buf_fmt(b, e, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)at, (unsigned long long)(at + it->bytes));
  return st;
}

static kk_status save_header(kk_buf *b, const out_item *items, int64_t n, const kk_st_meta *meta, int64_t nmeta, kk_err *e) {
  uint64_t at = 0;
  kk_status st = kk_buf_add(b, "{", 1, e);
  if (!st && nmeta) st = save_metadata(b, meta, nmeta, e);
  for (int64_t i = 0; i < n && !st; at += items[i++].bytes) {
    if (i || nmeta) st = kk_buf_add(b, ",", 1, e);
    if (!st) st = save_item(b, &items[i], at, e);
  }
  if (!st) st = kk_buf_add(b, "}", 1, e);
  while (!st && b->n % 8) st = kk_buf_add(b, " ", 1, e);
  return st;
}

static kk_status save_check_names(out_item *items, int64_t n, const kk_st_meta *meta, int64_t nmeta, kk_err *e) {
  qsort(items, (size_t)n, sizeof *items, save_by_name);
  for (int64_t i = 0; i < n; i++) {
    if (items[i].name.n == 12 && memcmp(items[i].name.p, "__metadata__", 12) == 0)
      return kk_fail(e, KK_EARG, "safetensors: no tensor can be named __metadata__");
    if (i && save_compare_text(items[i - 1].name, items[i].name) == 0)
      return kk_fail(e, KK_EARG, "safetensors: two tensors are named \"%.100s\"", items[i].name.p);
  }
  for (int64_t i = 0; i < nmeta; i++)
    for (int64_t j = 0; j < i; j++)
      if (save_compare_text(meta[i].key, meta[j].key) == 0) return kk_fail(e, KK_EARG, "safetensors: metadata \"%.100s\" twice", meta[i].key.p);
  return KK_OK;
}

static kk_status save_data(kk_outfile *o, const out_item *it, kk_err *e) {
  kk_tensor *copy = NULL;
  kk_status st = kk_contiguous(it->t) ? KK_OK : kk_contiguous_copy(it->t, kk_type(it->t), &copy, e);
  if (!st) st = kk_outfile_write(o, kk_data(copy ? copy : it->t), (size_t)it->bytes, e);
  kk_unref(copy);
  return st;
}

static kk_status save_file(const char *path, const kk_buf *header, const out_item *items, int64_t n, kk_err *e) {
  uint64_t length = header->n;
  kk_outfile o;
  kk_status st = kk_outfile_open(&o, path, e);
  if (st) return st;
  st = kk_outfile_write(&o, &length, sizeof length, e);
  if (!st) st = kk_outfile_write(&o, header->p, header->n, e);
  for (int64_t i = 0; i < n && !st; i++) st = save_data(&o, &items[i], e);
  if (!st) return kk_outfile_commit(&o, e);
  kk_outfile_abort(&o);
  return st;
}

kk_status kk_st_save(const char *path, const kk_st_text *names, kk_tensor *const *tensors, int64_t n, const kk_st_meta *meta,
                     int64_t nmeta, kk_err *e) {
  size_t bytes = (size_t)n * sizeof(out_item);
  out_item *items = kk_alloc(bytes);
  kk_buf header;
  kk_status st;
  if (!items) return kk_fail(e, KK_ENOMEM, "safetensors: out of memory");
  for (int64_t i = 0; i < n; i++) {
    const kk_raw *type = kk_raw_of(kk_type(tensors[i]));
    items[i] = (out_item){names[i], tensors[i], type, (uint64_t)kk_numel(&tensors[i]->shape) * type->size};
  }
  kk_buf_init(&header, KK_ST_MAX_HEADER);
  st = save_check_names(items, n, meta, nmeta, e);
  if (!st) {
    qsort(items, (size_t)n, sizeof *items, save_by_size);
    st = save_header(&header, items, n, meta, nmeta, e);
  }
  if (!st) st = save_file(path, &header, items, n, e);
  kk_buf_free(&header);
  kk_free(items, bytes);
  return st;
}
