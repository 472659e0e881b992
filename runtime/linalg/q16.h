/* q16.h -- products of rows of 16-bit words, exact in 32 bits: for processors that multiply words in pairs (AVX2's
** vpmaddwd: 16 products an instruction, twice what a float32 instruction has) and have nothing for bytes.
**
** A row x [k] ~ s w, s = max |x| / kk_q16_most(k), to nearest, ties to even; the more numbers a row has, the fewer bits
** a word may use for the sum over k to fit. */
#ifndef KK_Q16_H
#define KK_Q16_H

#include "tensor/tensor.h"

enum { KK_Q16_PANEL = 16, KK_Q16_PAIR = 2, KK_Q16_ROWS = 6, KK_Q16_MOST = 1 << 16 };   /* columns a panel; k at most */

/* c[r][j] = sum over k of a[r][k] b[k][j]: b holds pairs of k, each 16 x 2 words, as kk_q16_pack leaves it, aligned
** to 32 bytes. 1 <= rows <= KK_Q16_ROWS. */
typedef void kk_q16_tile_fn(int rows, int64_t pairs, const int16_t *a, int64_t lda, const int16_t *b,
                            int32_t c[][KK_Q16_PANEL]);

typedef struct kk_q16_kernel { const char *name; bool (*have)(void); kk_q16_tile_fn *tile; } kk_q16_kernel;
extern const kk_q16_kernel *const kk_q16_kernels[];       /* the best first, ends with NULL: the last one runs everywhere */

/* The kernel in use: the best one here; "portable" where the environment variable KOOKA_KERNEL names that or NEON. */
const kk_q16_kernel *kk_q16_kernel_used(void);

static inline int64_t kk_q16_width(int64_t k) { return (k + 1) / KK_Q16_PAIR * KK_Q16_PAIR; }   /* words of a row */
/* The largest word for rows of k numbers. */
int32_t kk_q16_most(int64_t k);
/* A row as kk_q16_width(k) words, and its scale: 0 where it is below 1e-30, NaN where it is not finite. */
void kk_q16_row(const kk_real *x, int64_t k, int16_t *to, kk_real *scale);

/* Rows q [n,k] (kk_q16_width(k) apart) as columns, in panels: what lies behind the last one is zero. */
size_t kk_q16_bytes(int64_t k, int64_t n);
void kk_q16_pack(int64_t k, int64_t n, const int16_t *q, void *to);
/* y[i][0..15] = s_i scale_j sum for the columns from n0, a multiple of 16, of what was packed, and m rows, ldy apart; scale
** stands at that column. In the calling thread, after kk_q16_kernel_used. */
void kk_q16_panel(int64_t k, const void *packed, int64_t n0, int64_t m, const int16_t *rows, const kk_real *s,
                  const kk_real *scale, kk_real *y, int64_t ldy);

#endif
