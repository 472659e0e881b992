/* mem.h -- every byte the core owns passes through here: counted, and failable in tests. */
#ifndef KK_MEM_H
#define KK_MEM_H

#include <stddef.h>

/* Blocks are aligned to 64 bytes. The caller gives the size back when it frees: large blocks
** are then kept by size class, because a training step asks for the same shapes again. */
void *kk_alloc(size_t n);              /* contents undefined; NULL when refused; n = 0 gives a block */
void *kk_calloc(size_t n);             /* zeroed */
void *kk_realloc(void *p, size_t old, size_t n);  /* NULL when refused: p is then untouched */
void kk_free(void *p, size_t n);       /* NULL is fine */
char *kk_strdup(const char *s);        /* release with kk_strfree */
void kk_strfree(char *s);

size_t kk_mem_live(void);              /* bytes now held by callers       */
size_t kk_mem_peak(void);              /* highest kk_mem_live so far      */
void kk_mem_peak_reset(void);
size_t kk_mem_cached(void);            /* bytes kept for reuse            */
size_t kk_mem_taken(void);             /* blocks asked of the system so far: a steady step adds none */
void kk_mem_trim(void);                /* gives the kept blocks back      */

/* Tests: the n-th allocation from now fails (0 = the next one), -1 = none. */
void kk_mem_fail_after(long n);
/* Tests: fill new blocks with NaN patterns and freed ones with another. */
void kk_mem_poison(int on);

#endif
