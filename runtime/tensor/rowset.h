/* rowset.h -- a table that is used a few rows at a time: which rows have a gradient, which values are late.
**
** An embedding's step touches some thousand of its rows. Its gradient is an ordinary tensor; beside it stands which
** rows were added to since it was zero, so that nobody need walk the others. The optimizer that made the record may
** leave the other rows' values behind and catch up when they are read. Nobody sees late values: the dispatcher and the
** bindings call kk_settle before they read or write a tensor, and ops that read single rows (op->by_rows) call
** kk_rowset_read. */
#ifndef KK_ROWSET_H
#define KK_ROWSET_H

#include <string.h>

#include "tensor/tensor.h"

/* Brings rows ids[0..n) of the owner's table up to date, or all where ids is NULL; cannot fail. */
typedef void (*kk_settle_fn)(void *owner, const int32_t *ids, int64_t n);

typedef struct kk_rowset {
  int64_t n, width;
  uint8_t *seen;              /* [n] 1: the row's gradient was added to                                */
  bool all;                   /* any row's may have been                                               */
  bool late;                  /* some rows' values may be behind                                       */
  void *owner;
  kk_settle_fn settle;
} kk_rowset;

/* Gives the whole 2-dimensional tensor t a record. A record of another owner is settled and dropped first. */
kk_status kk_rowset_new(kk_tensor *t, void *owner, kk_settle_fn settle, kk_err *e);
void kk_rowset_drop(kk_storage *s);             /* settles nothing */
/* Zeroes the gradient of the rows seen. false: nothing says which they are, and all of it is to be zeroed. */
bool kk_rowset_zero(kk_storage *s);

/* The first row from i on, before end, whose gradient was added to; end where there is none. Eight rows at a time are passed over. */
static inline int64_t kk_rowset_next(const kk_rowset *r, int64_t i, int64_t end) {
  for (uint64_t eight; i < end && !r->seen[i];) {
    i++;
    while (i + 8 <= end && (memcpy(&eight, r->seen + i, 8), !eight)) i += 8;
  }
  return i;
}

/* The record where t is the table itself, not a view of a part of it. */
static inline kk_rowset *kk_rowset_of(const kk_tensor *t) {
  kk_rowset *r = t->store->rows;
  return r && t->shape.ndim == 2 && t->shape.n[0] == r->n && t->shape.n[1] == r->width && kk_contiguous(t) ? r : NULL;
}
static inline void kk_settle(const kk_tensor *t) {
  kk_rowset *r = t->store->rows;
  if (r && r->late) r->settle(r->owner, NULL, 0);
}
/* Before the rows ids[0..n) (counted from 0, in range) of table t are read. */
static inline void kk_rowset_read(const kk_tensor *t, const int32_t *ids, int64_t n) {
  kk_rowset *r = t->store->rows;
  if (r && r->late) r->settle(r->owner, ids, n);
}

#endif
