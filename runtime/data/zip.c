#include "data/zip.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/mem.h"

enum { END = 22, END64 = 56, LOCATOR = 20, CENTRAL = 46, LOCAL = 30 };
enum {
  SIGNED_END = 0x06054b50, SIGNED_END64 = 0x06064b50, SIGNED_LOCATOR = 0x07064b50, SIGNED_CENTRAL = 0x02014b50,
  SIGNED_LOCAL = 0x04034b50,
};
enum { ENCRYPTED = 1 };

typedef struct reader {
  const char *path;
  const uint8_t *p;
  uint64_t n;                 /* bytes of the archive              */
  uint64_t begin, end;        /* where the central directory lies  */
  uint64_t count;             /* entries it says to have           */
  kk_err *e;
} reader;

static uint64_t zip_le(const uint8_t *p, int bytes) {
  uint64_t v = 0;
  while (bytes--) v = v << 8 | p[bytes];
  return v;
}
static uint32_t zip_u32(const uint8_t *p) { return (uint32_t)zip_le(p, 4); }
static uint32_t zip_u16(const uint8_t *p) { return (uint32_t)zip_le(p, 2); }

static kk_status zip_bad(const reader *r, const char *what) { return kk_fail(r->e, KK_EFORMAT, "%s: zip archive: %s", r->path, what); }

int kk_zip_is(const void *p, size_t n) { return n >= 4 && zip_u32(p) == SIGNED_LOCAL; }

/* The record at the end: where its comment ends is where the file ends. */
static const uint8_t *zip_end(const reader *r) {
  for (uint64_t back = END; back <= r->n && back <= END + 65535; back++) {
    const uint8_t *p = r->p + (r->n - back);
    if (zip_u32(p) == SIGNED_END && zip_u16(p + 20) == back - END) return p;
  }
  return NULL;
}

/* Numbers that do not fit stand in a second record, found through a locator in front of the first. */
static kk_status zip_end64(reader *r, const uint8_t *end) {
  const uint8_t *locator = end - LOCATOR, *p;
  uint64_t at;
  if (end - r->p < LOCATOR + END64 || zip_u32(locator) != SIGNED_LOCATOR) return zip_bad(r, "the zip64 record is missing");
  at = zip_le(locator + 8, 8);
  if (at > (uint64_t)(locator - r->p) - END64) return zip_bad(r, "the zip64 record lies outside of the file");
  p = r->p + at;
  if (zip_u32(p) != SIGNED_END64) return zip_bad(r, "the zip64 record is missing");
  if (zip_u32(p + 16) || zip_u32(p + 20) || zip_le(p + 24, 8) != zip_le(p + 32, 8)) return zip_bad(r, "it has several parts");
  r->count = zip_le(p + 32, 8);
  r->begin = zip_le(p + 48, 8);
  r->end = at;
  if (__builtin_add_overflow(r->begin, zip_le(p + 40, 8), &at) || at > r->end) return zip_bad(r, "the directory lies outside of the file");
  r->end = at;
  return KK_OK;
}

static kk_status zip_directory(reader *r) {
  const uint8_t *p = zip_end(r);
  if (!p) return zip_bad(r, "no record at the end (truncated?)");
  if (zip_u16(p + 4) || zip_u16(p + 6) || zip_u16(p + 8) != zip_u16(p + 10)) return zip_bad(r, "it has several parts");
  r->count = zip_u16(p + 10);
  r->begin = zip_u32(p + 16);
  r->end = r->begin + zip_u32(p + 12);
  if (r->count == 0xFFFF || r->begin == 0xFFFFFFFF || zip_u32(p + 12) == 0xFFFFFFFF) {
    kk_status st = zip_end64(r, p);
    if (st) return st;
  } else if (r->end > (uint64_t)(p - r->p)) {
    return zip_bad(r, "the directory lies outside of the file");
  }
  if (r->count > (r->end - r->begin) / CENTRAL) return zip_bad(r, "more entries than the directory has room for");
  return KK_OK;
}

/* The 64-bit numbers of an entry that stand in its extra fields, in this order, each only where the 32 bits are full. */
static kk_status zip_extra64(const reader *r, const uint8_t *p, uint64_t n, uint64_t *size, uint64_t *packed, uint64_t *at) {
  uint64_t *const fields[] = {size, packed, at};
  while (n >= 4) {
    uint64_t length = zip_u16(p + 2);
    if (length > n - 4) break;
    if (zip_u16(p) == 1) {
      const uint8_t *q = p + 4, *q_end = q + length;
      for (int i = 0; i < 3; i++) {
        if (*fields[i] != 0xFFFFFFFF) continue;
        if (q_end - q < 8) return zip_bad(r, "a zip64 field is too short");
        *fields[i] = zip_le(q, 8);
        q += 8;
      }
      return KK_OK;
    }
    p += 4 + length;
    n -= 4 + length;
  }
  return zip_bad(r, "a zip64 field is missing");
}

static kk_status zip_bad_entry(const reader *r, const kk_zip_entry *it, const char *what) {
  return kk_fail(r->e, KK_EFORMAT, "%s: zip archive: entry \"%.*s\" %s", r->path, (int)(it->name_n < 100 ? it->name_n : 100), it->name, what);
}

/* The entry's own header says how far behind it the contents begin; its sizes may be zero (written behind the contents). */
static kk_status zip_local(const reader *r, kk_zip_entry *it) {
  const uint8_t *p;
  uint64_t skip;
  if (it->from > r->begin || r->begin - it->from < LOCAL) return zip_bad_entry(r, it, "lies outside of the file");
  p = r->p + it->from;
  if (zip_u32(p) != SIGNED_LOCAL) return zip_bad_entry(r, it, "has no header");
  skip = LOCAL + (uint64_t)zip_u16(p + 26) + zip_u16(p + 28);
  if (r->begin - it->from < skip || it->n > r->begin - it->from - skip) return zip_bad_entry(r, it, "lies outside of the file");
  if (zip_u16(p + 26) != it->name_n || memcmp(p + LOCAL, it->name, it->name_n) != 0) return zip_bad_entry(r, it, "has another name in its header");
  if (zip_u16(p + 6) & ENCRYPTED || zip_u16(p + 8)) return zip_bad_entry(r, it, "is stored, but its header says otherwise");
  it->p = p + skip;
  it->to = it->from + skip + it->n;
  return KK_OK;
}

static kk_status zip_entry(const reader *r, uint64_t *at, kk_zip_entry *it) {
  const uint8_t *p = r->p + *at;
  uint64_t left = r->end - *at, length, packed;
  kk_status st = KK_OK;
  if (left < CENTRAL || zip_u32(p) != SIGNED_CENTRAL) return zip_bad(r, "the directory is broken");
  length = CENTRAL + (uint64_t)zip_u16(p + 28) + zip_u16(p + 30) + zip_u16(p + 32);
  if (length > left) return zip_bad(r, "the directory is broken");
  *it = (kk_zip_entry){.name = (const char *)p + CENTRAL, .name_n = zip_u16(p + 28), .n = zip_u32(p + 24), .crc = zip_u32(p + 16),
                       .from = zip_u32(p + 42)};
  packed = zip_u32(p + 20);
  *at += length;
  if (!it->name_n || memchr(it->name, 0, it->name_n)) return zip_bad(r, "an entry has no proper name");
  if (zip_u16(p + 8) & ENCRYPTED) return zip_bad_entry(r, it, "is encrypted");
  if (zip_u16(p + 10)) return zip_bad_entry(r, it, "is compressed; torch.save stores, and so must this archive (zip -0)");
  if (it->n == 0xFFFFFFFF || packed == 0xFFFFFFFF || it->from == 0xFFFFFFFF)
    st = zip_extra64(r, p + CENTRAL + it->name_n, zip_u16(p + 30), &it->n, &packed, &it->from);
  if (st) return st;
  if (packed != it->n) return zip_bad_entry(r, it, "is stored, but has two sizes");
  return zip_local(r, it);
}

static int zip_compare(const char *a, size_t an, const char *b, size_t bn) {
  int c = memcmp(a, b, an < bn ? an : bn);
  return c ? c : an < bn ? -1 : an > bn;
}
static int zip_by_name(const void *a, const void *b) {
  const kk_zip_entry *x = a, *y = b;
  return zip_compare(x->name, x->name_n, y->name, y->name_n);
}
static int zip_by_place(const void *a, const void *b) {
  const kk_zip_entry *x = a, *y = b;
  return x->from < y->from ? -1 : x->from > y->from;
}

static kk_status zip_read(reader *r, kk_zip *z) {
  uint64_t at = r->begin;
  kk_status st = KK_OK;
  for (uint64_t i = 0; i < r->count && !st; i++) st = zip_entry(r, &at, &z->entries[i]);
  if (st) return st;
  if (at != r->end) return zip_bad(r, "the directory is longer than its entries");
  qsort(z->entries, (size_t)z->n, sizeof *z->entries, zip_by_place);
  for (int64_t i = 1; i < z->n; i++)
    if (z->entries[i].from < z->entries[i - 1].to) return zip_bad_entry(r, &z->entries[i], "overlaps another one");
  qsort(z->entries, (size_t)z->n, sizeof *z->entries, zip_by_name);
  for (int64_t i = 1; i < z->n; i++)
    if (zip_by_name(&z->entries[i - 1], &z->entries[i]) == 0) return zip_bad_entry(r, &z->entries[i], "is there twice");
  return KK_OK;
}

kk_status kk_zip_open(kk_zip *z, const char *path, const void *p, size_t n, kk_err *e) {
  reader r = {.path = path, .p = p, .n = n, .e = e};
  kk_status st = zip_directory(&r);
  *z = (kk_zip){0};
  if (st) return st;
  z->n = (int64_t)r.count;
  z->entries = kk_calloc((size_t)z->n * sizeof *z->entries);
  if (!z->entries) return kk_fail(e, KK_ENOMEM, "%s: out of memory", path);
  st = zip_read(&r, z);
  if (st) kk_zip_close(z);
  return st;
}

const kk_zip_entry *kk_zip_find(const kk_zip *z, const char *name, size_t n) {
  int64_t low = 0, high = z->n;
  while (low < high) {
    int64_t at = (low + high) / 2;
    int c = zip_compare(z->entries[at].name, z->entries[at].name_n, name, n);
    if (c == 0) return &z->entries[at];
    if (c < 0) low = at + 1;
    else high = at;
  }
  return NULL;
}

kk_status kk_zip_check(const kk_zip_entry *it, const char *path, kk_err *e) {
  uint64_t at = 0;
  uLong sum = crc32(0, NULL, 0);
  for (uint64_t step; at < it->n; at += step) {
    step = it->n - at < 1u << 30 ? it->n - at : 1u << 30;
    sum = crc32(sum, it->p + at, (uInt)step);
  }
  if (sum == it->crc) return KK_OK;
  return kk_fail(e, KK_EFORMAT, "%s: zip archive: entry \"%.*s\" is damaged (its CRC-32 is %08lx, %08lx was written)", path,
                 (int)(it->name_n < 100 ? it->name_n : 100), it->name, (unsigned long)sum, (unsigned long)it->crc);
}

void kk_zip_close(kk_zip *z) {
  kk_free(z->entries, (size_t)z->n * sizeof *z->entries);
  *z = (kk_zip){0};
}
