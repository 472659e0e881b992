/* mem.c -- the only file of the runtime that calls the C allocator.
**
** Blocks are rounded up to a size class (multiples of 64 bytes, and eight classes for each power of two from 512 on: at
** most 12.5 % waste), kept in a list when freed and handed out again: a training step asks for the same shapes and
** headers as the one before, and takes nothing from the system. Under AddressSanitizer small blocks are not kept, so
** that it sees them freed.
** First touch of fresh pages costs more than most kernels that fill them (227 ms against 12 ms
** for 512 MB), and shapes repeat every step. Large blocks ask for huge pages. */
#define _GNU_SOURCE
#include "base/mem.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

#ifdef __SANITIZE_ADDRESS__
enum { CACHE_MIN = 1 << 14 };
#else
enum { CACHE_MIN = 64 };
#endif
enum { ALIGN = 64, FINE = 512, CLASSES = 7 + 8 * 48, HUGE_MIN = 1 << 21 };

typedef struct block { struct block *next; } block;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static block *cache[CLASSES];
static size_t live, peak, cached, taken;
static long fail_after = -1;
static int poison;

/* Index and rounded size of the class that holds n bytes. */
static int mem_class(size_t n, size_t *rounded) {
  if (n < FINE) {
    *rounded = n ? (n + ALIGN - 1) & ~(size_t)(ALIGN - 1) : ALIGN;
    return (int)(*rounded / ALIGN) - 1;
  }
  int top = 63 - __builtin_clzll((unsigned long long)n);
  size_t step = (size_t)1 << (top - 3), up = (n + step - 1) & ~(step - 1);
  top = 63 - __builtin_clzll((unsigned long long)up);
  step = (size_t)1 << (top - 3);
  *rounded = up;
  return 7 + (top - 9) * 8 + (int)((up - ((size_t)1 << top)) / step);
}

static size_t mem_round(size_t n) {
  size_t r;
  mem_class(n, &r);
  return r;
}

static void *mem_system(size_t n) {
  void *p = aligned_alloc(n >= HUGE_MIN ? 4096 : ALIGN, n >= HUGE_MIN ? (n + 4095) & ~(size_t)4095 : n);
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  if (p && n >= HUGE_MIN) (void)madvise(p, n, MADV_HUGEPAGE);
#endif
  return p;
}

void *kk_alloc(size_t n) {
  size_t size;
  void *p = NULL;
  if (n > PTRDIFF_MAX / 2) return NULL;
  size = mem_round(n);
  pthread_mutex_lock(&lock);
  if (fail_after >= 0 && fail_after-- == 0) {
    fail_after = -1;
    pthread_mutex_unlock(&lock);
    return NULL;
  }
  if (size >= CACHE_MIN) {
    size_t r;
    int k = mem_class(size, &r);
    if (k < CLASSES && cache[k]) {
      p = cache[k];
      cache[k] = cache[k]->next;
      cached -= size;
    }
  }
  if (!p) {
    p = mem_system(size);
    taken += size >= CACHE_MIN;
  }
  if (p) {
    live += size;
    if (live > peak) peak = live;
  }
  pthread_mutex_unlock(&lock);
  if (!p && kk_mem_cached()) {            /* memory is short: give back what is kept, once */
    kk_mem_trim();
    p = mem_system(size);
    if (p) {
      pthread_mutex_lock(&lock);
      live += size;
      if (live > peak) peak = live;
      pthread_mutex_unlock(&lock);
    }
  }
  if (p && poison) memset(p, 0xFF, size);  /* all ones is a NaN in every float format */
  return p;
}

void *kk_calloc(size_t n) {
  void *p = kk_alloc(n);
  if (p) memset(p, 0, n);
  return p;
}

void kk_free(void *p, size_t n) {
  size_t size, r;
  if (!p) return;
  size = mem_round(n);
  if (poison) memset(p, 0xA5, size);
  pthread_mutex_lock(&lock);
  live -= size;
  if (size >= CACHE_MIN && !poison) {
    int k = mem_class(size, &r);
    if (k < CLASSES) {
      block *b = p;
      b->next = cache[k];
      cache[k] = b;
      cached += size;
      p = NULL;
    }
  }
  pthread_mutex_unlock(&lock);
  free(p);
}

void *kk_realloc(void *p, size_t old, size_t n) {
  void *q;
  if (p && mem_round(old) == mem_round(n)) return p;
  q = kk_alloc(n);
  if (!q) return NULL;
  if (p) memcpy(q, p, old < n ? old : n);
  kk_free(p, old);
  return q;
}

char *kk_strdup(const char *s) {
  size_t n = strlen(s) + 1;
  char *d = kk_alloc(n);
  if (d) memcpy(d, s, n);
  return d;
}

void kk_strfree(char *s) {
  if (s) kk_free(s, strlen(s) + 1);
}

static size_t mem_read(const size_t *v) {
  size_t n;
  pthread_mutex_lock(&lock);
  n = *v;
  pthread_mutex_unlock(&lock);
  return n;
}
size_t kk_mem_live(void) { return mem_read(&live); }
size_t kk_mem_peak(void) { return mem_read(&peak); }
size_t kk_mem_cached(void) { return mem_read(&cached); }
size_t kk_mem_taken(void) { return mem_read(&taken); }

void kk_mem_peak_reset(void) {
  pthread_mutex_lock(&lock);
  peak = live;
  pthread_mutex_unlock(&lock);
}

void kk_mem_trim(void) {
  pthread_mutex_lock(&lock);
  for (int k = 0; k < CLASSES; k++)
    while (cache[k]) {
      block *b = cache[k];
      cache[k] = b->next;
      free(b);
    }
  cached = 0;
  pthread_mutex_unlock(&lock);
}

void kk_mem_fail_after(long n) {
  pthread_mutex_lock(&lock);
  fail_after = n;
  pthread_mutex_unlock(&lock);
}

void kk_mem_poison(int on) { poison = on; }
