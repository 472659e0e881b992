/* zip.h -- a reader for archives whose entries are stored, not compressed: what torch.save writes, zip64 included.
** Format: PKWARE APPNOTE 6.3. The whole central directory is checked against the file before an entry is handed out: no name
** twice, no two entries over the same bytes, nothing outside of the file. A compressed or encrypted entry is refused, so an
** archive takes no more memory than its own size. */
#ifndef KK_ZIP_H
#define KK_ZIP_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct kk_zip_entry {
  const char *name;           /* not ended by a NUL; lives as long as the bytes of the archive */
  size_t name_n;
  const uint8_t *p;           /* contents */
  uint64_t n;
  uint32_t crc;
  uint64_t from, to;          /* bytes of the archive it takes, its local header included */
} kk_zip_entry;

typedef struct kk_zip {
  kk_zip_entry *entries;      /* sorted by name */
  int64_t n;
} kk_zip;

/* Is this an archive at all? */
int kk_zip_is(const void *p, size_t n);
/* The n bytes at p, which stay the caller's and must outlive z; path is for messages. KK_EFORMAT. */
kk_status kk_zip_open(kk_zip *z, const char *path, const void *p, size_t n, kk_err *e);
/* NULL: there is none. */
const kk_zip_entry *kk_zip_find(const kk_zip *z, const char *name, size_t n);
/* Do the contents have the sum that the directory says? */
kk_status kk_zip_check(const kk_zip_entry *it, const char *path, kk_err *e);
void kk_zip_close(kk_zip *z);

#endif
