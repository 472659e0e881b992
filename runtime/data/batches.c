#include "data/batches.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tensor/random.h"

/* ---- language model */

kk_status kk_lm_batches_new(kk_corpus *c, int64_t rows, int64_t length, bool backwards, kk_lm_batches **out, kk_err *e) {
  if (rows < 1 || length < 2)
    return kk_fail(e, KK_EARG, "batches: %lld rows of %lld time steps, expected 1 or more of 2 or more", (long long)rows, (long long)length);
  int64_t row = (c->nids - 1) / rows;
  if (c->nids < 1 || row < 2)
    return kk_fail(e, KK_EARG, "batches: %lld tokens are too few for %lld rows, each needs 2 and one more behind", (long long)c->nids,
                   (long long)rows);
  kk_lm_batches *b = kk_calloc(sizeof *b);
  if (!b) return kk_fail(e, KK_ENOMEM, "batches: out of memory");
  b->c = kk_corpus_ref(c);
  b->order = kk_alloc((size_t)c->ndocs * sizeof *b->order);
  b->start = kk_alloc((size_t)(c->ndocs + 1) * sizeof *b->start);
  if (!b->order || !b->start) {
    kk_lm_batches_free(b);
    return kk_fail(e, KK_ENOMEM, "batches: out of memory for %lld documents", (long long)c->ndocs);
  }
  b->rows = rows;
  b->length = length;
  b->row = row;
  b->steps = row / length + (row % length >= 2);
  b->backwards = backwards;
  kk_lm_batches_order(b, false, 0);
  *out = b;
  return KK_OK;
}

void kk_lm_batches_free(kk_lm_batches *b) {
  if (!b) return;
  kk_free(b->order, (size_t)b->c->ndocs * sizeof *b->order);
  kk_free(b->start, (size_t)(b->c->ndocs + 1) * sizeof *b->start);
  kk_corpus_unref(b->c);
  kk_free(b, sizeof *b);
}

void kk_lm_batches_order(kk_lm_batches *b, bool shuffle, uint64_t key) {
  int64_t at = 0;
  for (int64_t d = 0; d < b->c->ndocs; d++) b->order[d] = d;
  if (shuffle) kk_random_shuffle(key, b->order, b->c->ndocs);
  for (int64_t d = 0; d < b->c->ndocs; d++) {
    b->start[d] = at;
    at += kk_corpus_length(b->c, b->order[d]);
  }
  b->start[b->c->ndocs] = at;
}

int64_t kk_lm_batches_length(const kk_lm_batches *b, int64_t step) {
  int64_t left = b->row - step * b->length;
  return left < b->length ? left : b->length;
}

/* Tokens at .. at+n-1 of the stream read forwards. */
static void lm_forward(const kk_lm_batches *b, int64_t at, int64_t n, int32_t *out) {
  int64_t low = 0, high = b->c->ndocs;            /* start[low] <= at < start[high] */
  while (high - low > 1) {
    int64_t mid = low + (high - low) / 2;
    if (b->start[mid] <= at) low = mid;
    else high = mid;
  }
  while (n > 0) {
    int64_t skip = at - b->start[low], take = b->start[low + 1] - at;
    if (take > n) take = n;
    memcpy(out, kk_corpus_doc(b->c, b->order[low]) + skip, (size_t)take * sizeof *out);
    out += take;
    at += take;
    n -= take;
    low++;
  }
}

static void lm_read(const kk_lm_batches *b, int64_t at, int64_t n, int32_t *out) {
  if (!b->backwards) {
    lm_forward(b, at, n, out);
    return;
  }
  lm_forward(b, b->c->nids - at - n, n, out);
  for (int64_t i = 0, j = n - 1; i < j; i++, j--) {
    int32_t t = out[i];
    out[i] = out[j];
    out[j] = t;
  }
}

kk_status kk_lm_batches_span(const kk_lm_batches *b, int64_t at, int64_t n, int32_t *x, int32_t *y, kk_err *e) {
  int64_t rows = b->rows;
  size_t bytes = (size_t)(n + 1) * sizeof(int32_t);
  int32_t *line = kk_alloc(bytes);
  if (!line) return kk_fail(e, KK_ENOMEM, "batches: out of memory");
  for (int64_t r = 0; r < rows; r++) {
    lm_read(b, r * b->row + at, n + 1, line);
    for (int64_t t = 0; t < n; t++) {
      x[t * rows + r] = line[t] + 1;
      y[t * rows + r] = line[t + 1] + 1;
    }
  }
  kk_free(line, bytes);
  return KK_OK;
}

kk_status kk_lm_batches_fill(const kk_lm_batches *b, int64_t step, int32_t *x, int32_t *y, kk_err *e) {
  return kk_lm_batches_span(b, step * b->length, kk_lm_batches_length(b, step), x, y, e);
}

/* ---- classification */

kk_status kk_buckets_new(kk_corpus *c, const int64_t *docs, int64_t n, int64_t size, int64_t max_len, int32_t pad,
                         bool backwards, kk_buckets **out, kk_err *e) {
  if (!docs) n = c->ndocs;
  if (n < 1) return kk_fail(e, KK_EARG, "batches: no documents");
  if (n > INT32_MAX || c->ndocs > INT32_MAX) return kk_fail(e, KK_EARG, "batches: more than %d documents", INT32_MAX);
  if (size < 1 || max_len < 1) return kk_fail(e, KK_EARG, "batches: size %lld, max_len %lld, expected 1 or more", (long long)size, (long long)max_len);
  if (pad < 0 || pad >= c->vocab) return kk_fail(e, KK_EARG, "batches: pad is %lld, expected 1..%d", (long long)pad + 1, c->vocab);
  for (int64_t i = 0; docs && i < n; i++)
    if (docs[i] < 0 || docs[i] >= c->ndocs)
      return kk_fail(e, KK_EARG, "batches: row %lld is %lld, expected 1..%lld", (long long)i + 1, (long long)docs[i] + 1, (long long)c->ndocs);
  kk_buckets *b = kk_calloc(sizeof *b);
  if (!b) return kk_fail(e, KK_ENOMEM, "batches: out of memory");
  b->c = kk_corpus_ref(c);
  b->n = n;
  b->size = size;
  b->batches = (n + size - 1) / size;
  b->docs = kk_alloc((size_t)n * sizeof *b->docs);
  b->order = kk_alloc((size_t)n * sizeof *b->order);
  b->turn = kk_alloc((size_t)b->batches * sizeof *b->turn);
  b->keys = kk_alloc((size_t)n * sizeof *b->keys);
  if (!b->docs || !b->order || !b->turn || !b->keys) {
    kk_buckets_free(b);
    return kk_fail(e, KK_ENOMEM, "batches: out of memory for %lld documents", (long long)n);
  }
  for (int64_t i = 0; i < n; i++) b->docs[i] = docs ? docs[i] : i;
  b->max_len = max_len;
  b->pad = pad;
  b->backwards = backwards;
  kk_buckets_sort(b);
  *out = b;
  return KK_OK;
}

void kk_buckets_free(kk_buckets *b) {
  if (!b) return;
  kk_free(b->docs, (size_t)b->n * sizeof *b->docs);
  kk_free(b->order, (size_t)b->n * sizeof *b->order);
  kk_free(b->turn, (size_t)b->batches * sizeof *b->turn);
  kk_free(b->keys, (size_t)b->n * sizeof *b->keys);
  kk_corpus_unref(b->c);
  kk_free(b, sizeof *b);
}

static int64_t buckets_length(const kk_buckets *b, int64_t place) {
  int64_t n = kk_corpus_length(b->c, b->docs[place]);
  return n < 1 ? 1 : n > b->max_len ? b->max_len : n;
}

static int64_t buckets_begin(const kk_buckets *b, int64_t batch) {       /* at most 2^62: n and batches are below 2^31 */
  return batch * b->n / b->batches;
}

typedef struct kk_bucket_key bucket_key;

static int buckets_compare(const void *x, const void *y) {
  const bucket_key *a = x, *b = y;
  if (a->len != b->len) return a->len > b->len ? -1 : 1;
  return a->rank < b->rank ? -1 : a->rank > b->rank;
}

/* Sorts places begin .. end-1 of the order by length, long first; equal lengths keep their order. */
static void buckets_sort_span(kk_buckets *b, int64_t begin, int64_t end) {
  bucket_key *k = b->keys;
  for (int64_t i = begin; i < end; i++)
    k[i - begin] = (bucket_key){(int32_t)buckets_length(b, b->order[i]), (int32_t)i, b->order[i]};
  qsort(k, (size_t)(end - begin), sizeof *k, buckets_compare);
  for (int64_t i = begin; i < end; i++) b->order[i] = k[i - begin].place;
}

void kk_buckets_sort(kk_buckets *b) {
  for (int64_t i = 0; i < b->n; i++) b->order[i] = i;
  for (int64_t k = 0; k < b->batches; k++) b->turn[k] = k;
  buckets_sort_span(b, 0, b->n);
}

/* Time steps of a batch: its first document is its longest. */
static int64_t buckets_time(const kk_buckets *b, int64_t batch) {
  return buckets_length(b, b->order[buckets_begin(b, b->turn[batch])]);
}

void kk_buckets_shuffle(kk_buckets *b, uint64_t key) {
  enum { SPAN = 50 };
  int64_t span = b->batches / 4 < SPAN ? b->batches / 4 : SPAN, longest = 0;
  if (span < 1) span = 1;
  for (int64_t i = 0; i < b->n; i++) b->order[i] = i;
  kk_random_shuffle(key, b->order, b->n);
  for (int64_t k = 0; k < b->batches; k += span) {
    int64_t last = k + span < b->batches ? k + span : b->batches;
    buckets_sort_span(b, buckets_begin(b, k), buckets_begin(b, last));
  }
  for (int64_t k = 0; k < b->batches; k++) b->turn[k] = k;
  kk_random_shuffle(~key, b->turn, b->batches);
  for (int64_t k = 1; k < b->batches; k++)
    if (buckets_time(b, k) > buckets_time(b, longest)) longest = k;
  int64_t first = b->turn[longest];
  b->turn[longest] = b->turn[0];
  b->turn[0] = first;
}

void kk_buckets_shape(const kk_buckets *b, int64_t batch, int64_t *time, int64_t *size) {
  int64_t cut = b->turn[batch];
  *time = buckets_time(b, batch);
  *size = buckets_begin(b, cut + 1) - buckets_begin(b, cut);
}

void kk_buckets_fill(const kk_buckets *b, int64_t batch, int32_t *ids, int32_t *lens, int32_t *docs, int32_t *places) {
  int64_t begin = buckets_begin(b, b->turn[batch]), time, size;
  kk_buckets_shape(b, batch, &time, &size);
  for (int64_t r = 0; r < size; r++) {
    int64_t place = b->order[begin + r], doc = b->docs[place];
    int64_t n = buckets_length(b, place), all = kk_corpus_length(b->c, doc);
    const int32_t *p = kk_corpus_doc(b->c, doc) + (all > n ? all - n : 0);
    for (int64_t t = 0; t < time; t++)
      ids[t * size + r] = 1 + (t >= n || !all ? b->pad : p[b->backwards ? n - 1 - t : t]);
    lens[r] = (int32_t)n;
    docs[r] = (int32_t)doc + 1;
    places[r] = (int32_t)place + 1;
  }
}
