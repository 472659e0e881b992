/* kernel.h -- the innermost loop of every matrix product, in one variant for each kind of processor. */
#ifndef KK_KERNEL_H
#define KK_KERNEL_H

#include "tensor/tensor.h"

/* C[rows, lanes vecs] (+)= A B, accumulated in registers over all of k. A is read by strides (element r, q at
** a[r rs + q ks]); B is a panel: row q at b[q lanes vecs], as kk_pack leaves it, aligned to a vector. While it
** works, k cache lines from `next` on are brought near (any address will do). */
typedef void kk_tile_fn(int rows, int vecs, int64_t k, const kk_real *a, int64_t rs, int64_t ks, const kk_real *b,
                        kk_real *c, int64_t ldc, bool add, const kk_real *next);

typedef struct kk_kernel {
  const char *name;
  int rows, vecs, lanes;             /* the largest tile: rows x (vecs lanes); a smaller one has fewer of either */
  bool (*have)(void);                /* may this processor run it? */
  kk_tile_fn *tile;
} kk_kernel;

enum { KK_KERNEL_ROWS = 8, KK_KERNEL_COLUMNS = 48 * 4 / (int)sizeof(kk_real) };   /* no tile is larger */

extern const kk_kernel kk_kernel_portable;
#if defined(__x86_64__) && defined(__GNUC__)
extern const kk_kernel kk_kernel_avx2, kk_kernel_avx512;
#endif

#endif
