/* kernel16.h -- the innermost loop of products whose operands are bfloat16 and whose sums are float32. */
#ifndef KK_KERNEL16_H
#define KK_KERNEL16_H

#include <stdbool.h>
#include <stdint.h>

/* C[rows, columns] (+)= A B over `depth` elements, a multiple of the kernel's. A: row r at a + r as, readable to the
** end of the last whole tile. B: a panel of `wide` columns in pairs, elements 2q and 2q+1 of column j side by side at
** b[(q wide + j) 2]; wide is a multiple of 16, and columns <= wide are stored. next: as in kernel.h. */
typedef void kk_tile16_fn(int rows, int columns, int wide, int64_t depth, const uint16_t *a, int64_t as, const uint16_t *b,
                          float *c, int64_t ldc, bool add, const void *next);

typedef struct kk_kernel16 {
  const char *name;
  int rows, columns, deep;           /* the largest tile; depth is padded to a multiple of deep */
  bool (*have)(void);                /* may this processor run it? */
  void (*enter)(void);               /* before and after some tiles on one thread, or NULL */
  void (*leave)(void);
  kk_tile16_fn *tile;
} kk_kernel16;

#if defined(__x86_64__) && defined(__GNUC__)
extern const kk_kernel16 kk_kernel_amx, kk_kernel_avx512_bf16;
#endif

void kk_gemm_use16(const kk_kernel16 *k);      /* gemm.c: this one from now on; sets the precision back to float32 */

#endif
