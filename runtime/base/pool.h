/* pool.h -- the one thread pool. Work is cut into chunks by its size alone, never by the number
** of threads, so 1, 2 or 16 threads give the same bits. */
#ifndef KK_POOL_H
#define KK_POOL_H

#include <stdint.h>

typedef void (*kk_chunk_fn)(void *arg, int64_t begin, int64_t end);

/* Calls fn on [0,n) cut into pieces of grain (the last may be shorter). Pieces run in any
** order, on any thread. Nested calls run in the calling thread. */
void kk_pool_for(int64_t n, int64_t grain, kk_chunk_fn fn, void *arg);

int kk_pool_threads(void);
int kk_pool_self(void);               /* which thread this is: 0 the caller, 1 .. the pool's */
void kk_pool_set_threads(int n);      /* n < 1: as many as the process may use */

#endif
