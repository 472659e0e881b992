/* mask.h -- dropout masks, drawn anew in backward instead of being stored. */
#ifndef KK_MASK_H
#define KK_MASK_H

#include "tensor/random.h"
#include "tensor/tensor.h"

/* m[k] = 1/(1-p) where kk_random_keep(key, first + k, p), else 0, for k in [0,n). */
void kk_mask_fill(uint64_t key, uint64_t first, int64_t n, double p, kk_real *m);
/* Tests: the same by variant i (portable, AVX2, AVX-512); 0 when there is no such variant. */
int kk_mask_variant(int i, uint64_t key, uint64_t first, int64_t n, double p, kk_real *m);

/* One call may need two masks: the second counts from here. No tensor has as many elements. */
#define KK_MASK_SECOND ((uint64_t)1 << 48)

#endif
