/* derived.h -- what was worked out from the contents of a storage and lies beside them until they change: weights in
** the order in which a kernel reads them, made once for many messages.
**
** Who writes into a storage counts it (kk_writable), so a form made before is known to be stale. Forms are made, found
** and dropped by the thread that applies ops; the pool's threads only read them. */
#ifndef KK_DERIVED_H
#define KK_DERIVED_H

#include "tensor/tensor.h"

typedef struct kk_derived {
  struct kk_derived *next;
  const void *kind;           /* which form: the address of something that its maker owns */
  const void *layout;         /* which of several ways to lay it out: likewise            */
  kk_shape shape;             /* of the part it was made from, and where that begins      */
  int64_t offset;
  uint64_t writes;            /* of the storage, when it was made                         */
  bool filled;                /* false until the maker says so                            */
  size_t size;
  void *data;                 /* aligned to 64 bytes                                      */
} kk_derived;

/* The form of t, contiguous, of this kind: NULL where there is none, or it is stale or in
** another layout (then it is dropped). Lent. */
kk_derived *kk_derived_find(const kk_tensor *t, const void *kind, const void *layout);
/* The same, or room for a new one, not filled; NULL when memory was refused. */
kk_derived *kk_derived_get(const kk_tensor *t, const void *kind, const void *layout, size_t size);
void kk_derived_drop(kk_storage *s);         /* all of them */

#endif
