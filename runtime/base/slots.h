/* slots.h -- scratch memory for pool work: one block a thread instead of one a chunk. A chunk takes
** any free slot and gives it back; results must not depend on which one it was. */
#ifndef KK_SLOTS_H
#define KK_SLOTS_H

#include <stdatomic.h>
#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/pool.h"

typedef struct kk_slots {
  int n;
  size_t each, bytes;
  atomic_flag *busy;
  char *mem;
} kk_slots;

/* bytes of scratch for every thread of the pool. */
static inline kk_status kk_slots_new(kk_slots *s, size_t bytes, kk_err *e, const char *what) {
  *s = (kk_slots){.n = kk_pool_threads(), .each = (bytes + 63) / 64 * 64};
  size_t head = ((size_t)s->n * sizeof(atomic_flag) + 63) / 64 * 64;
  s->bytes = head + (size_t)s->n * s->each;
  s->busy = kk_alloc(s->bytes);
  if (!s->busy) return kk_fail(e, KK_ENOMEM, "%s: no memory for %zu bytes of scratch", what, s->bytes);
  for (int i = 0; i < s->n; i++) atomic_flag_clear(&s->busy[i]);
  s->mem = (char *)s->busy + head;
  return KK_OK;
}
/* Never more chunks at work than slots, so one is free. */
static inline void *kk_slots_take(kk_slots *s) {
  for (int i = 0;; i = (i + 1) % s->n)
    if (!atomic_flag_test_and_set(&s->busy[i])) return s->mem + (size_t)i * s->each;
}
static inline void kk_slots_give(kk_slots *s, void *p) {
  size_t i = (size_t)((char *)p - s->mem) / (s->each ? s->each : 1);
  atomic_flag_clear(&s->busy[i]);
}
static inline void kk_slots_free(kk_slots *s) {
  kk_free(s->busy, s->bytes);
  s->busy = NULL;
}

#endif
