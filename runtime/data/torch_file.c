#include "data/torch_file.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { LEGACY_PROTOCOL = 1001, KEY = 1024, MOST = 1000000 };   /* MOST: places in a pickle that name a storage */

typedef struct reader {
  const char *path;
  const uint8_t *p;
  size_t n;
  kk_torch_file *f;
  kk_torch_opts opts;
  kk_err *e;
} reader;

typedef struct wanted {       /* a place in the pickle that names a storage */
  kk_torch_storage s;
  kk_pref at;
} wanted;

static kk_status torch_bad(const reader *r, const char *what) { return kk_fail(r->e, KK_EFORMAT, "%s: %s", r->path, what); }

static const kk_pvalue *torch_item(const kk_pickle *k, const kk_pvalue *tuple, uint32_t i) { return &k->v[tuple->u.c.p[i]]; }

static int torch_compare_key(const kk_torch_storage *a, const kk_torch_storage *b) {
  int c = memcmp(a->key, b->key, a->key_n < b->key_n ? a->key_n : b->key_n);
  return c ? c : a->key_n < b->key_n ? -1 : a->key_n > b->key_n;
}
static int torch_by_key(const void *a, const void *b) { return torch_compare_key(&((const wanted *)a)->s, &((const wanted *)b)->s); }
static int torch_find_key(const void *a, const void *b) { return torch_compare_key(a, b); }

/* ("storage", torch.FloatStorage, key, where it was, elements[, None]) */
static kk_status torch_storage(const reader *r, const kk_pvalue *id, kk_torch_storage *s) {
  const kk_pickle *k = &r->f->pickle;
  uint64_t bytes;
  if (id->kind != KK_P_TUPLE || (id->u.c.n != 5 && id->u.c.n != 6) || !kk_pvalue_is(torch_item(k, id, 0), "storage"))
    return torch_bad(r, "the pickle refers to something that is not a storage");
  const kk_pvalue *type = torch_item(k, id, 1), *key = torch_item(k, id, 2), *count = torch_item(k, id, 4);
  if (type->kind != KK_P_GLOBAL || type->u.g->g != KK_G_STORAGE || key->kind != KK_P_STR || count->kind != KK_P_INT)
    return torch_bad(r, "a storage without type, key and number of elements");
  if (id->u.c.n == 6 && torch_item(k, id, 5)->kind != KK_P_NONE) return torch_bad(r, "a storage that is a view of another one");
  *s = (kk_torch_storage){.key = key->u.s.p, .key_n = key->u.s.n, .n = count->u.i,
                          .raw = kk_raw_safetensors(type->u.g->dtype, strlen(type->u.g->dtype))};
  if (!s->raw || !kk_raw_bytes(&(kk_shape){1, {s->n}}, s->raw->size, &bytes) || bytes > r->n)
    return kk_fail(r->e, KK_EFORMAT, "%s: storage \"%.*s\" has %lld elements, more than the file", r->path, (int)(s->key_n < 60 ? s->key_n : 60),
                   s->key, (long long)s->n);
  return KK_OK;
}

/* Every storage that the pickle names, once; the values that name it get its number. */
static kk_status torch_storages(const reader *r) {
  kk_torch_file *f = r->f;
  uint32_t n = 0, filled = 0, kinds = 0;
  kk_status st = KK_OK;
  for (uint32_t i = 0; i < f->pickle.n; i++) n += f->pickle.v[i].kind == KK_P_PERSISTENT;
  if (n > MOST) return torch_bad(r, "the pickle names more than a million storages");
  wanted *w = kk_calloc(n * sizeof *w);
  f->storages = kk_calloc(n * sizeof *f->storages);
  f->nstorages = n;                         /* for the size of the block until all is well */
  if (!w || !f->storages) st = kk_fail(r->e, KK_ENOMEM, "%s: out of memory", r->path);
  for (uint32_t at = 0; at < f->pickle.n && !st; at++) {
    if (f->pickle.v[at].kind != KK_P_PERSISTENT) continue;
    st = torch_storage(r, &f->pickle.v[f->pickle.v[at].u.pair.a], &w[filled].s);
    w[filled++].at = at;
  }
  if (!st) qsort(w, n, sizeof *w, torch_by_key);
  for (uint32_t i = 0; i < n && !st; i++) {
    kk_torch_storage *last = kinds ? &f->storages[kinds - 1] : NULL;
    if (!last || torch_compare_key(last, &w[i].s) != 0) f->storages[kinds++] = w[i].s;
    else if (last->raw != w[i].s.raw || last->n != w[i].s.n)
      st = torch_bad(r, "a storage is named twice, with two types or sizes");
    f->pickle.v[w[i].at].u.pair.b = kinds - 1;
  }
  kk_free(w, n * sizeof *w);
  if (!st && kinds < n) {                   /* to its true size, so that it can be freed */
    kk_torch_storage *p = kk_realloc(f->storages, n * sizeof *p, kinds * sizeof *p);
    if (!p) return kk_fail(r->e, KK_ENOMEM, "%s: out of memory", r->path);
    f->storages = p;
    f->nstorages = kinds;
  }
  return st;
}

/* ---- the archive ---- */

static const kk_zip_entry *torch_entry(const reader *r, const char *stem, size_t stem_n, const char *name, size_t name_n) {
  char path[KEY];
  if (stem_n + name_n > sizeof path) return NULL;
  memcpy(path, stem, stem_n);
  memcpy(path + stem_n, name, name_n);
  return kk_zip_find(&r->f->zip, path, stem_n + name_n);
}

/* STEM/data.pkl; the stem with its slash. */
static const kk_zip_entry *torch_data(const reader *r, const char **stem, size_t *stem_n) {
  static const char name[] = "/data.pkl";
  const size_t n = sizeof name - 1;
  for (int64_t i = 0; i < r->f->zip.n; i++) {
    const kk_zip_entry *it = &r->f->zip.entries[i];
    if (it->name_n <= n || memcmp(it->name + it->name_n - n, name, n) != 0 || memchr(it->name, '/', it->name_n - n)) continue;
    *stem = it->name;
    *stem_n = it->name_n - n + 1;
    return it;
  }
  return NULL;
}

static kk_status torch_zip_storage(const reader *r, const char *stem, size_t stem_n, kk_torch_storage *s) {
  char name[KEY];
  const kk_zip_entry *it = NULL;
  if (s->key_n + 5 <= sizeof name) {
    memcpy(name, "data/", 5);
    memcpy(name + 5, s->key, s->key_n);
    it = torch_entry(r, stem, stem_n, name, s->key_n + 5);
  }
  int shown = (int)(s->key_n < 60 ? s->key_n : 60);
  if (!it) return kk_fail(r->e, KK_EFORMAT, "%s: storage \"%.*s\" is not in the archive", r->path, shown, s->key);
  if (it->n != (uint64_t)s->n * s->raw->size)
    return kk_fail(r->e, KK_EFORMAT, "%s: storage \"%.*s\" has %llu bytes, expected %lld elements of %zu", r->path, shown, s->key,
                   (unsigned long long)it->n, (long long)s->n, s->raw->size);
  s->p = it->p;
  return r->opts.crc ? kk_zip_check(it, r->path, r->e) : KK_OK;
}

static kk_status torch_zip(const reader *r) {
  kk_torch_file *f = r->f;
  const char *stem = NULL;
  size_t stem_n = 0;
  kk_status st = kk_zip_open(&f->zip, r->path, r->p, r->n, r->e);
  if (st) return st;
  const kk_zip_entry *it = torch_data(r, &stem, &stem_n), *order;
  if (!it) return torch_bad(r, "a zip archive without data.pkl: not a file of torch.save");
  order = torch_entry(r, stem, stem_n, "byteorder", 9);
  f->big_endian = order && order->n == 3 && memcmp(order->p, "big", 3) == 0;
  if (order && !f->big_endian && (order->n != 6 || memcmp(order->p, "little", 6) != 0)) return torch_bad(r, "byteorder is neither little nor big");
  if (r->opts.crc) st = kk_zip_check(it, r->path, r->e);
  if (!st) st = kk_pickle_read(&f->pickle, r->path, it->p, (size_t)it->n, (kk_pickle_limits){r->opts.memory}, r->e);
  if (!st && f->pickle.used != it->n) st = torch_bad(r, "data.pkl has bytes behind its end");
  if (!st) st = torch_storages(r);
  for (int64_t i = 0; i < f->nstorages && !st; i++) st = torch_zip_storage(r, stem, stem_n, &f->storages[i]);
  return st;
}

/* ---- the legacy file: pickles in a row, then the storages ---- */

static bool torch_is_magic(const kk_pvalue *v) {
  return v->kind == KK_P_LONG && v->u.s.n == 10 && memcmp(v->u.s.p, "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 10) == 0;
}

static kk_status torch_pickle(const reader *r, size_t *at, kk_pickle *k) {
  kk_status st = kk_pickle_read(k, r->path, r->p + *at, r->n - *at, (kk_pickle_limits){r->opts.memory}, r->e);
  *at += k->used;
  return st;
}

/* Elements and data of each storage, in the order of the keys. */
static kk_status torch_legacy_storages(const reader *r, const kk_pickle *keys, size_t at) {
  const kk_pvalue *list = &keys->v[keys->root];
  if (list->kind != KK_P_LIST || list->u.c.n != r->f->nstorages) return torch_bad(r, "the list of storages is not that of the pickle");
  for (uint32_t i = 0; i < list->u.c.n; i++) {
    const kk_pvalue *key = torch_item(keys, list, i);
    kk_torch_storage find = {.key = key->u.s.p, .key_n = key->u.s.n}, *s = NULL;
    int64_t n;
    if (key->kind == KK_P_STR && r->f->nstorages)
      s = bsearch(&find, r->f->storages, (size_t)r->f->nstorages, sizeof find, torch_find_key);
    if (!s || s->p) return torch_bad(r, "the list of storages is not that of the pickle");
    if (r->n - at < 8) return torch_bad(r, "the storages are missing (truncated?)");
    memcpy(&n, r->p + at, 8);
    at += 8;
    if (n != s->n) return torch_bad(r, "a storage has another number of elements than the pickle says");
    if ((uint64_t)n * s->raw->size > r->n - at) return torch_bad(r, "a storage ends behind the end of the file (truncated?)");
    s->p = r->p + at;
    at += (size_t)n * s->raw->size;
  }
  return at == r->n ? KK_OK : torch_bad(r, "bytes behind the last storage");
}

static kk_status torch_legacy(const reader *r, size_t at) {
  kk_pickle k;
  kk_status st = torch_pickle(r, &at, &k);
  if (st) return st;
  const kk_pvalue *v = &k.v[k.root];
  bool known = v->kind == KK_P_INT && v->u.i == LEGACY_PROTOCOL;
  kk_pickle_close(&k);
  if (!known) return torch_bad(r, "a legacy file of an unknown version");
  st = torch_pickle(r, &at, &k);            /* sizes of C's types and byte order of the machine; the data are little-endian */
  if (st) return st;
  kk_pickle_close(&k);
  st = torch_pickle(r, &at, &r->f->pickle);
  if (!st) st = torch_storages(r);
  if (!st) st = torch_pickle(r, &at, &k);
  if (st) return st;
  st = torch_legacy_storages(r, &k, at);
  kk_pickle_close(&k);
  return st;
}

/* A legacy file begins with a number that nobody else's pickle is. */
static kk_status torch_plain_or_legacy(const reader *r) {
  kk_torch_file *f = r->f;
  size_t at = 0;
  if (!r->n || (r->p[0] != 0x80 && !memchr("(]}lcGINSVX)", r->p[0], 12))) return torch_bad(r, "neither a file of torch.save nor a pickle");
  kk_status st = torch_pickle(r, &at, &f->pickle);
  if (st) return st;
  if (torch_is_magic(&f->pickle.v[f->pickle.root])) {
    kk_pickle_close(&f->pickle);
    return torch_legacy(r, at);
  }
  if (at != r->n) return torch_bad(r, "bytes behind the end of the pickle");
  for (uint32_t i = 0; i < f->pickle.n; i++)
    if (f->pickle.v[i].kind == KK_P_PERSISTENT) return torch_bad(r, "a plain pickle that refers to storages");
  return KK_OK;
}

/* ---- tensors ---- */

typedef struct view {
  int64_t storage, offset;
  kk_shape shape;
  int64_t stride[KK_MAXDIM];
} view;

static kk_pglobal torch_called(const kk_torch_file *f, const kk_pvalue *v) {
  return v->kind == KK_P_CALL ? f->pickle.v[v->u.pair.a].u.g->g : KK_G_NONE;
}

bool kk_torch_is_tensor(const kk_torch_file *f, const kk_pvalue *v) {
  kk_pglobal g = torch_called(f, v);
  return g == KK_G_TENSOR || g == KK_G_TENSOR_V2 || g == KK_G_PARAMETER;
}

static bool torch_sizes(const kk_torch_file *f, const kk_pvalue *tuple, int64_t out[KK_MAXDIM]) {
  if (tuple->kind != KK_P_TUPLE || tuple->u.c.n > KK_MAXDIM) return false;
  for (uint32_t i = 0; i < tuple->u.c.n; i++) {
    const kk_pvalue *v = torch_item(&f->pickle, tuple, i);
    if (v->kind != KK_P_INT || v->u.i < 0) return false;
    out[i] = v->u.i;
  }
  return true;
}

/* _rebuild_tensor(storage, offset, sizes, strides[, ...]): inside of its storage, and no more elements than that has. */
static const char *torch_view(const kk_torch_file *f, const kk_pvalue *v, view *out) {
  const kk_pvalue *args = &f->pickle.v[v->u.pair.b];
  if (torch_called(f, v) == KK_G_PARAMETER) {
    if (args->u.c.n < 1) return "a parameter without a tensor";
    v = torch_item(&f->pickle, args, 0);
    if (torch_called(f, v) != KK_G_TENSOR && torch_called(f, v) != KK_G_TENSOR_V2) return "a parameter without a tensor";
    args = &f->pickle.v[v->u.pair.b];
  }
  if (args->u.c.n < 4) return "a tensor without storage, offset, sizes and strides";
  const kk_pvalue *storage = torch_item(&f->pickle, args, 0), *offset = torch_item(&f->pickle, args, 1);
  const kk_pvalue *sizes = torch_item(&f->pickle, args, 2), *strides = torch_item(&f->pickle, args, 3);
  *out = (view){0};
  if (storage->kind != KK_P_PERSISTENT || offset->kind != KK_P_INT || offset->u.i < 0) return "a tensor without storage and offset";
  if (!torch_sizes(f, sizes, out->shape.n) || !torch_sizes(f, strides, out->stride) || sizes->u.c.n != strides->u.c.n)
    return "a tensor without sizes and strides, or of more than 6 dimensions";
  out->shape.ndim = (int)sizes->u.c.n;
  out->storage = storage->u.pair.b;
  out->offset = offset->u.i;
  const int64_t have = f->storages[out->storage].n, n = kk_numel(&out->shape);
  int64_t last = out->offset, step;
  if (n == 0) {
    out->offset = 0;
    return kk_raw_bytes(&out->shape, 8, &(uint64_t){0}) ? NULL : "a tensor with impossible sizes";
  }
  for (int d = 0; d < out->shape.ndim; d++)
    if (__builtin_mul_overflow(out->shape.n[d] - 1, out->stride[d], &step) || __builtin_add_overflow(last, step, &last)) last = INT64_MAX;
  if (last >= have) return "a tensor reaches beyond its storage";
  if (n > have) return "a tensor has more elements than its storage (an expanded view)";
  return NULL;
}

static void torch_read(const kk_torch_file *f, const kk_torch_storage *s, kk_tensor *t) {
  enum { BLOCK = 4096 };
  char block[BLOCK * 8], *to = kk_data(t);
  const size_t size = s->raw->size;
  if (!f->big_endian || size == 1) {
    kk_raw_read(s->raw, s->p, s->n, to);
    return;
  }
  for (int64_t at = 0, n; at < s->n; at += n) {
    n = s->n - at < BLOCK ? s->n - at : BLOCK;
    const uint8_t *from = s->p + (size_t)at * size;
    for (size_t i = 0; i < (size_t)n * size; i++) block[i] = (char)from[i - i % size + size - 1 - i % size];
    kk_raw_read(s->raw, block, n, to + (size_t)at * kk_dtype_size(s->raw->as));
  }
}

kk_status kk_torch_tensor(kk_torch_file *f, const kk_pvalue *v, kk_tensor **out, kk_err *e) {
  view w;
  const char *wrong = torch_view(f, v, &w);
  if (wrong) return kk_fail(e, KK_EFORMAT, "torch file: %s", wrong);
  kk_torch_storage *s = &f->storages[w.storage];
  if (!s->t) {
    kk_status st = kk_tensor_new(s->raw->as, &(kk_shape){1, {s->n}}, &s->t, e);
    if (st) return st;
    torch_read(f, s, s->t);
  }
  kk_status st = kk_view_narrow(s->t, 0, 0, s->n, 1, out, e);
  if (st) return st;
  (*out)->shape = w.shape;
  (*out)->offset = w.offset;
  memcpy((*out)->stride, w.stride, sizeof w.stride);
  return KK_OK;
}

kk_status kk_torch_open_bytes(const char *path, const void *p, size_t n, kk_torch_file *f, kk_torch_opts opts, kk_err *e) {
  reader r = {path, p, n, f, opts, e};
  view w;
  *f = (kk_torch_file){0};
  kk_status st = kk_zip_is(p, n) ? torch_zip(&r) : torch_plain_or_legacy(&r);
  for (uint32_t i = 0; i < f->pickle.n && !st; i++) {
    const char *wrong = kk_torch_is_tensor(f, &f->pickle.v[i]) ? torch_view(f, &f->pickle.v[i], &w) : NULL;
    if (wrong) st = torch_bad(&r, wrong);
  }
  if (st) kk_torch_close(f);
  return st;
}

kk_status kk_torch_open(const char *path, kk_torch_file *f, kk_torch_opts opts, kk_err *e) {
  kk_map map;
  *f = (kk_torch_file){0};
  kk_status st = kk_map_open(&map, path, e);
  if (!st) st = kk_torch_open_bytes(path, map.p, map.n, f, opts, e);
  if (st) kk_map_close(&map);
  else f->map = map;
  return st;
}

void kk_torch_close(kk_torch_file *f) {
  for (int64_t i = 0; i < f->nstorages && f->storages; i++) kk_unref(f->storages[i].t);
  kk_free(f->storages, (size_t)f->nstorages * sizeof *f->storages);
  kk_pickle_close(&f->pickle);
  kk_zip_close(&f->zip);
  kk_map_close(&f->map);
  *f = (kk_torch_file){0};
}
