/* batches.h -- what a training step eats: token ids in time-major blocks, cut from a corpus.
**
** Everything here is written straight into the caller's arrays: no list, no string, no copy of the
** corpus. Batch k of a given order can be asked for at any time, so training resumes anywhere. */
#ifndef KK_BATCHES_H
#define KK_BATCHES_H

#include <stdbool.h>
#include <stdint.h>

#include "data/corpus.h"

/* Language model: the documents in some order form one stream, cut into B rows of `row` + 1 tokens
** (neighbours share one). Step k holds tokens k*T .. of every row, and their successors. */
typedef struct kk_lm_batches {
  kk_corpus *c;
  int64_t *order, *start;     /* documents in order, and where each begins in the stream (ndocs + 1) */
  int64_t rows, length;       /* B and T                                                          */
  int64_t row;                /* inputs of one row: (tokens - 1) / B                              */
  int64_t steps;              /* row / T, and one more when 2 inputs or more are left             */
  bool backwards;             /* the stream is read from its end                                  */
} kk_lm_batches;

kk_status kk_lm_batches_new(kk_corpus *c, int64_t rows, int64_t length, bool backwards, kk_lm_batches **out, kk_err *e);
void kk_lm_batches_free(kk_lm_batches *b);                  /* NULL is fine */
void kk_lm_batches_order(kk_lm_batches *b, bool shuffle, uint64_t key);
int64_t kk_lm_batches_length(const kk_lm_batches *b, int64_t step);    /* time steps of step (from 0) */
/* Tokens at .. at + n - 1 of each row and their successors, at + n <= row: x and y [n,B], ids + 1. */
kk_status kk_lm_batches_span(const kk_lm_batches *b, int64_t at, int64_t n, int32_t *x, int32_t *y, kk_err *e);
/* Those of a step: x and y [T,B]. */
kk_status kk_lm_batches_fill(const kk_lm_batches *b, int64_t step, int32_t *x, int32_t *y, kk_err *e);

/* Classification: documents of like length together, so that little of a batch is padding. The n
** documents are cut into ceil(n/B) batches whose sizes differ by at most one: no tiny last batch,
** nothing left out. */
typedef struct kk_buckets {
  kk_corpus *c;
  int64_t n, size, max_len, batches;
  int64_t *docs;              /* document of each place 0 .. n-1                       */
  int64_t *order;             /* places in the order in which they are cut             */
  int64_t *turn;              /* which cut is batch k                                  */
  struct kk_bucket_key { int32_t len, rank; int64_t place; } *keys;     /* room to sort in   */
  int32_t pad;                /* id behind the end of a short document, from 0         */
  bool backwards;             /* last token first                                      */
} kk_buckets;

/* docs: n document numbers from 0, repeats allowed; NULL means all. A longer document keeps its
** last max_len tokens; an empty one counts as one pad. */
kk_status kk_buckets_new(kk_corpus *c, const int64_t *docs, int64_t n, int64_t size, int64_t max_len, int32_t pad,
                         bool backwards, kk_buckets **out, kk_err *e);
void kk_buckets_free(kk_buckets *b);                        /* NULL is fine */
void kk_buckets_sort(kk_buckets *b);                        /* longest first: the order for validation */
/* The order for training: a permutation, sorted by length inside spans of 50 batches (a quarter of all when
** that is less, so that few documents still meet new neighbours), the batches then shuffled, the one with the
** longest document first (so that memory that does not suffice shows at once). */
void kk_buckets_shuffle(kk_buckets *b, uint64_t key);
void kk_buckets_shape(const kk_buckets *b, int64_t batch, int64_t *time, int64_t *size);
/* ids [T,B] + 1 padded at the end, lens [B] from long to short, docs and places [B] + 1. */
void kk_buckets_fill(const kk_buckets *b, int64_t batch, int32_t *ids, int32_t *lens, int32_t *docs, int32_t *places);

#endif
