/* bulk.h -- copies past the caches, for what is written once and is larger than they are: a store that does not first
** read the line it writes. */
#ifndef KK_BULK_H
#define KK_BULK_H

#include <stddef.h>

/* Bytes from which on it pays to write past the caches; below, who reads the result finds it there. */
enum { KK_BULK_LEAST = 32 << 20 };

/* Copies n bytes; both sides are aligned to 4, and do not overlap. Others see what was written after kk_bulk_end only. */
void kk_bulk_copy(void *to, const void *from, size_t n);
/* At the end of a chunk: before it is said to be done. */
void kk_bulk_end(void);

#endif
