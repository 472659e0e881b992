/* corpus.h -- documents as token ids: one array of ids, one array of offsets, in memory or mapped.
**
** Document d (from 0) is ids[offsets[d]] .. ids[offsets[d+1]-1]; ids count from 0 and are below
** vocab. The file holds the same two arrays behind a header, so a corpus of any size opens in the
** time that one pass over it takes, and is shared between processes by the page cache. */
#ifndef KK_CORPUS_H
#define KK_CORPUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/file.h"

typedef struct kk_corpus {
  int refs;
  bool mapped;                /* read from a file: documents cannot be added  */
  int32_t vocab;              /* every id is in 0 .. vocab-1                  */
  int64_t ndocs, nids;
  const int64_t *offsets;     /* ndocs + 1 of them, offsets[0] = 0            */
  const int32_t *ids;         /* nids of them                                 */
  int64_t docs_cap, ids_cap;  /* room in the two arrays when they are ours    */
  kk_map map;                 /* when they are not                            */
} kk_corpus;

/* Each gives a reference that the caller owns. vocab is 1 or more. */
kk_status kk_corpus_new(int32_t vocab, kk_corpus **out, kk_err *e);
/* Takes over two blocks made by kk_alloc: ids of exactly nids * 4 bytes, offsets of exactly
** (ndocs + 1) * 8 bytes. Checks them as kk_corpus_open does; on failure (KK_EARG) they stay the caller's. */
kk_status kk_corpus_take(int32_t *ids, int64_t nids, int64_t *offsets, int64_t ndocs, int32_t vocab,
                         kk_corpus **out, kk_err *e);
/* Maps a file and checks all of it: KK_EIO when it cannot be read, KK_EFORMAT when it is not a corpus. */
kk_status kk_corpus_open(const char *path, kk_corpus **out, kk_err *e);
/* The documents rows[0..n-1] (from 0, in that order, repeats allowed) as a new corpus. */
kk_status kk_corpus_select(const kk_corpus *c, const int64_t *rows, int64_t n, kk_corpus **out, kk_err *e);
kk_corpus *kk_corpus_ref(kk_corpus *c);
void kk_corpus_unref(kk_corpus *c);            /* NULL is fine */

kk_status kk_corpus_add(kk_corpus *c, const int32_t *ids, int64_t n, kk_err *e);
/* Header "KKCORPUS", u32 version, u32 vocab, u64 documents, u64 tokens; offsets as i64; ids as i32;
** everything little-endian. Written aside and renamed. */
kk_status kk_corpus_save(const kk_corpus *c, const char *path, kk_err *e);

static inline int64_t kk_corpus_length(const kk_corpus *c, int64_t doc) {
  return c->offsets[doc + 1] - c->offsets[doc];
}
static inline const int32_t *kk_corpus_doc(const kk_corpus *c, int64_t doc) { return c->ids + c->offsets[doc]; }

#endif
