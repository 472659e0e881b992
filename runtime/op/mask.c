#include "op/mask.h"

#include <math.h>

#include "base/clones.h"

/* Four elements from one Philox block; the loop over blocks vectorises. */
KK_CLONES static void mask_blocks(uint64_t key, uint64_t block, int64_t blocks, uint32_t limit, kk_real scale,
                                  kk_real *restrict m) {
  for (int64_t q = 0; q < blocks; q++) {
    uint32_t w[4];
    kk_philox(key, block + (uint64_t)q, w);
    for (int k = 0; k < 4; k++) m[4 * q + k] = (w[k] >> 8) >= limit ? scale : 0;
  }
}

void kk_mask_fill(uint64_t key, uint64_t first, int64_t n, double p, kk_real *m) {
  /* u / 2^24 >= p exactly when the integer u >= ceil(2^24 p) */
  const uint32_t limit = (uint32_t)ceil(p * 16777216.0);
  const kk_real scale = (kk_real)(1 / (1 - p));
  kk_real part[4];
  int64_t k = 0;
  if (first & 3) {
    int at = (int)(first & 3);
    mask_blocks(key, first >> 2, 1, limit, scale, part);
    while (k < n && at < 4) m[k++] = part[at++];
  }
  mask_blocks(key, (first + (uint64_t)k) >> 2, (n - k) / 4, limit, scale, m + k);
  k += (n - k) / 4 * 4;
  if (k < n) {
    mask_blocks(key, (first + (uint64_t)k) >> 2, 1, limit, scale, part);
    for (int at = 0; k < n; k++) m[k] = part[at++];
  }
}
