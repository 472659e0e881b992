/* turns.h -- pieces of a loop that is run again and again over the same data, as the steps of a recurrent layer are.
**
** A thread takes the pieces that it took the last time, the latest first, so that it finds in its own cache what it
** read last; when its share is done it helps the others. Which thread does what depends on the clock, so a piece must
** give the same bits on any thread, as everywhere in the pool. */
#ifndef KK_TURNS_H
#define KK_TURNS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { KK_TURNS_SHARES = 32 };

typedef struct kk_turns {
  int64_t n;
  int shares;                 /* a share of the pieces for each thread */
  bool back;                  /* this time from the last piece to the first */
  struct { _Alignas(64) _Atomic int64_t taken; } share[KK_TURNS_SHARES];
} kk_turns;

/* Once before each run of the loop kk_pool_for(n, 1, ...), whose chunk calls kk_turns_take once. */
void kk_turns_begin(kk_turns *t, int64_t n);
int64_t kk_turns_take(kk_turns *t);
int64_t kk_turns_next(const kk_turns *t, int64_t piece);   /* what this thread will probably take after this piece */

#endif
