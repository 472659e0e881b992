#include "data/corpus.h"

#include <string.h>

#include "base/mem.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "corpus files are mapped as they are: this needs a little-endian machine"
#endif

static const char corpus_magic[8] = {'K', 'K', 'C', 'O', 'R', 'P', 'U', 'S'};

typedef struct corpus_header {
  char magic[8];
  uint32_t version, vocab;
  uint64_t ndocs, nids;
} corpus_header;

enum { CORPUS_VERSION = 1 };

/* What every corpus promises; who names the file or the operation. */
static kk_status corpus_check(const char *who, kk_status code, const int32_t *ids, int64_t nids, const int64_t *offsets,
                              int64_t ndocs, int32_t vocab, kk_err *e) {
  if (vocab < 1) return kk_fail(e, code, "%s: vocabulary size %d, expected 1 or more", who, vocab);
  if (offsets[0] != 0) return kk_fail(e, code, "%s: the first document starts at token %lld, expected 0", who, (long long)offsets[0]);
  for (int64_t d = 0; d < ndocs; d++) {
    if (offsets[d + 1] < offsets[d] || offsets[d + 1] > nids)
      return kk_fail(e, code, "%s: document %lld runs from token %lld to %lld of %lld", who, (long long)d + 1,
                     (long long)offsets[d], (long long)offsets[d + 1], (long long)nids);
    if (offsets[d + 1] - offsets[d] > INT32_MAX)
      return kk_fail(e, code, "%s: document %lld has %lld tokens, at most %d are allowed", who, (long long)d + 1,
                     (long long)(offsets[d + 1] - offsets[d]), INT32_MAX);
  }
  if (offsets[ndocs] != nids)
    return kk_fail(e, code, "%s: the documents end at token %lld of %lld", who, (long long)offsets[ndocs], (long long)nids);
  uint32_t most = 0;                       /* a negative id becomes a large one */
  for (int64_t i = 0; i < nids; i++) most = (uint32_t)ids[i] > most ? (uint32_t)ids[i] : most;
  if (most >= (uint32_t)vocab) {
    int64_t i = 0;
    while ((uint32_t)ids[i] < (uint32_t)vocab) i++;
    return kk_fail(e, code, "%s: token %lld has id %d, expected 0..%d", who, (long long)i + 1, ids[i], vocab - 1);
  }
  return KK_OK;
}

static kk_status corpus_make(kk_corpus **out, kk_err *e) {
  kk_corpus *c = kk_calloc(sizeof *c);
  if (!c) return kk_fail(e, KK_ENOMEM, "corpus: out of memory");
  c->refs = 1;
  *out = c;
  return KK_OK;
}

kk_status kk_corpus_take(int32_t *ids, int64_t nids, int64_t *offsets, int64_t ndocs, int32_t vocab, kk_corpus **out,
                         kk_err *e) {
  kk_corpus *c = NULL;
  kk_status st = corpus_check("corpus", KK_EARG, ids, nids, offsets, ndocs, vocab, e);
  if (!st) st = corpus_make(&c, e);
  if (st) return st;
  c->vocab = vocab;
  c->ids = ids;
  c->nids = c->ids_cap = nids;
  c->offsets = offsets;
  c->ndocs = ndocs;
  c->docs_cap = ndocs + 1;
  *out = c;
  return KK_OK;
}

kk_status kk_corpus_new(int32_t vocab, kk_corpus **out, kk_err *e) {
  int32_t *ids = kk_alloc(0);
  int64_t *offsets = kk_calloc(sizeof *offsets);
  kk_status st = ids && offsets ? kk_corpus_take(ids, 0, offsets, 0, vocab, out, e)
                                : kk_fail(e, KK_ENOMEM, "corpus: out of memory");
  if (st) {
    kk_free(ids, 0);
    kk_free(offsets, sizeof *offsets);
  }
  return st;
}

kk_corpus *kk_corpus_ref(kk_corpus *c) {
  c->refs++;
  return c;
}

void kk_corpus_unref(kk_corpus *c) {
  if (!c || --c->refs > 0) return;
  if (c->mapped) {
    kk_map_close(&c->map);
  } else {
    kk_free((void *)(uintptr_t)c->ids, (size_t)c->ids_cap * sizeof *c->ids);
    kk_free((void *)(uintptr_t)c->offsets, (size_t)c->docs_cap * sizeof *c->offsets);
  }
  kk_free(c, sizeof *c);
}

/* Room for at least want elements of the given size, half as much again as before. */
static kk_status corpus_grow(const void **p, int64_t *cap, int64_t want, size_t size, kk_err *e) {
  int64_t n = *cap + *cap / 2 < want ? want : *cap + *cap / 2;
  void *q;
  if (want <= *cap) return KK_OK;
  if (n < 16) n = 16;
  q = kk_realloc((void *)(uintptr_t)*p, (size_t)*cap * size, (size_t)n * size);
  if (!q) return kk_fail(e, KK_ENOMEM, "corpus: out of memory at %lld tokens", (long long)n);
  *p = q;
  *cap = n;
  return KK_OK;
}

kk_status kk_corpus_add(kk_corpus *c, const int32_t *ids, int64_t n, kk_err *e) {
  const void *p;
  kk_status st;
  if (c->mapped) return kk_fail(e, KK_ESTATE, "corpus: it was read from a file, documents cannot be added");
  if (n > INT32_MAX) return kk_fail(e, KK_EARG, "corpus: a document of %lld tokens, at most %d are allowed", (long long)n, INT32_MAX);
  for (int64_t i = 0; i < n; i++)
    if ((uint32_t)ids[i] >= (uint32_t)c->vocab)
      return kk_fail(e, KK_EARG, "corpus: token %lld has id %lld, expected 1..%d", (long long)i + 1, (long long)ids[i] + 1, c->vocab);
  p = c->ids;
  st = corpus_grow(&p, &c->ids_cap, c->nids + n, sizeof *c->ids, e);
  if (st) return st;
  c->ids = p;
  p = c->offsets;
  st = corpus_grow(&p, &c->docs_cap, c->ndocs + 2, sizeof *c->offsets, e);
  if (st) return st;
  c->offsets = p;
  if (n) memcpy((int32_t *)(uintptr_t)c->ids + c->nids, ids, (size_t)n * sizeof *ids);
  c->nids += n;
  c->ndocs++;
  ((int64_t *)(uintptr_t)c->offsets)[c->ndocs] = c->nids;
  return KK_OK;
}

kk_status kk_corpus_select(const kk_corpus *c, const int64_t *rows, int64_t n, kk_corpus **out, kk_err *e) {
  int64_t total = 0;
  int64_t *offsets;
  int32_t *ids;
  kk_status st;
  for (int64_t i = 0; i < n; i++) {
    if (rows[i] < 0 || rows[i] >= c->ndocs)
      return kk_fail(e, KK_EARG, "corpus: row %lld is %lld, expected 1..%lld", (long long)i + 1, (long long)rows[i] + 1, (long long)c->ndocs);
    total += kk_corpus_length(c, rows[i]);
  }
  ids = kk_alloc((size_t)total * sizeof *ids);
  offsets = kk_alloc((size_t)(n + 1) * sizeof *offsets);
  st = ids && offsets ? KK_OK : kk_fail(e, KK_ENOMEM, "corpus: out of memory at %lld tokens", (long long)total);
  if (!st) {
    offsets[0] = 0;
    for (int64_t i = 0; i < n; i++) {
      int64_t len = kk_corpus_length(c, rows[i]);
      memcpy(ids + offsets[i], kk_corpus_doc(c, rows[i]), (size_t)len * sizeof *ids);
      offsets[i + 1] = offsets[i] + len;
    }
    st = kk_corpus_take(ids, total, offsets, n, c->vocab, out, e);
  }
  if (st) {
    kk_free(ids, (size_t)total * sizeof *ids);
    kk_free(offsets, (size_t)(n + 1) * sizeof *offsets);
  }
  return st;
}

kk_status kk_corpus_save(const kk_corpus *c, const char *path, kk_err *e) {
  corpus_header h = {.version = CORPUS_VERSION, .vocab = (uint32_t)c->vocab};
  kk_outfile o;
  kk_status st = kk_outfile_open(&o, path, e);
  if (st) return st;
  memcpy(h.magic, corpus_magic, sizeof h.magic);
  h.ndocs = (uint64_t)c->ndocs;
  h.nids = (uint64_t)c->nids;
  st = kk_outfile_write(&o, &h, sizeof h, e);
  if (!st) st = kk_outfile_write(&o, c->offsets, (size_t)(c->ndocs + 1) * sizeof *c->offsets, e);
  if (!st) st = kk_outfile_write(&o, c->ids, (size_t)c->nids * sizeof *c->ids, e);
  if (!st) return kk_outfile_commit(&o, e);
  kk_outfile_abort(&o);
  return st;
}

/* The header against the size of the file: nothing behind it has been touched yet. */
static kk_status corpus_check_header(const char *path, const kk_map *m, corpus_header *h, kk_err *e) {
  if (m->n < sizeof *h) return kk_fail(e, KK_EFORMAT, "%s: not a corpus: %zu bytes, expected %zu or more", path, m->n, sizeof *h);
  memcpy(h, m->p, sizeof *h);
  if (memcmp(h->magic, corpus_magic, sizeof h->magic) != 0)
    return kk_fail(e, KK_EFORMAT, "%s: not a corpus: it does not begin with KKCORPUS", path);
  if (h->version != CORPUS_VERSION)
    return kk_fail(e, KK_EFORMAT, "%s: corpus version %u, this program reads %d", path, h->version, CORPUS_VERSION);
  if (h->vocab < 1 || h->vocab > INT32_MAX) return kk_fail(e, KK_EFORMAT, "%s: vocabulary size %u, expected 1..%d", path, h->vocab, INT32_MAX);
  uint64_t room = m->n - sizeof *h;
  if (h->ndocs >= room / 8 || h->nids > (room - 8 * (h->ndocs + 1)) / 4 || room != 8 * (h->ndocs + 1) + 4 * h->nids)
    return kk_fail(e, KK_EFORMAT, "%s: the header says %llu documents and %llu tokens, which does not fit %zu bytes (truncated?)",
                   path, (unsigned long long)h->ndocs, (unsigned long long)h->nids, m->n);
  return KK_OK;
}

kk_status kk_corpus_open(const char *path, kk_corpus **out, kk_err *e) {
  corpus_header h = {0};
  kk_map m;
  kk_corpus *c = NULL;
  kk_status st = kk_map_open(&m, path, e);
  if (st) return st;
  st = corpus_check_header(path, &m, &h, e);
  if (!st) st = corpus_make(&c, e);
  if (st) {
    kk_map_close(&m);
    return st;
  }
  c->mapped = true;
  c->map = m;
  c->vocab = (int32_t)h.vocab;
  c->ndocs = (int64_t)h.ndocs;
  c->nids = (int64_t)h.nids;
  c->offsets = (const int64_t *)(const void *)((const char *)m.p + sizeof h);
  c->ids = (const int32_t *)(const void *)(c->offsets + c->ndocs + 1);
  st = corpus_check(path, KK_EFORMAT, c->ids, c->nids, c->offsets, c->ndocs, c->vocab, e);
  if (st) kk_corpus_unref(c);
  else *out = c;
  return st;
}
