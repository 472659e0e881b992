/* q8.h -- products with weights of eight bits, for prediction.
**
** Weights by row of W [n,k]:  w ~ scale (q - 128), q in 1..255 as stored (unsigned: what safetensors and tensors
** hold).  Activations by row of A [m,k], as they come:  a ~ s (u - 128), s = max |a| / 127, to nearest, ties to even.
** Then  (A W')[i,j] ~ s_i scale_j sum over k of (u - 128)(q - 128), and that sum is exact in 32 bits for k up to
** KK_Q8_MOST: every kernel gives the same integers. A row of A that is not finite gives NaN. */
#ifndef KK_Q8_H
#define KK_Q8_H

#include "tensor/tensor.h"

enum { KK_Q8_ZERO = 128, KK_Q8_PANEL = 64, KK_Q8_GROUP = 4, KK_Q8_ROWS = 6, KK_Q8_MOST = 1 << 16 };

/* c[r][j] = sum over k of a[r][k] b[k][j], for the 64 columns of a panel: b holds groups of 4 k, each 64 x 4
** bytes, as kk_q8_pack leaves it. 1 <= rows <= KK_Q8_ROWS. */
typedef void kk_q8_tile_fn(int rows, int64_t groups, const uint8_t *a, int64_t lda, const int8_t *b,
                           int32_t c[][KK_Q8_PANEL]);

typedef struct kk_q8_kernel { const char *name; bool (*have)(void); kk_q8_tile_fn *tile; } kk_q8_kernel;

extern const kk_q8_kernel kk_q8_portable;
#if defined(__x86_64__) && defined(__GNUC__)
extern const kk_q8_kernel kk_q8_avx2, kk_q8_avxvnni, kk_q8_avx512vnni;
#endif
extern const kk_q8_kernel *const kk_q8_kernels[];       /* the best first, ends with NULL */

/* The kernel in use: the best one here; none better than what the environment variable KOOKA_KERNEL names. */
const kk_q8_kernel *kk_q8_kernel_used(void);

static inline int64_t kk_q8_groups(int64_t k) { return (k + KK_Q8_GROUP - 1) / KK_Q8_GROUP; }
static inline int64_t kk_q8_width(int64_t k) { return kk_q8_groups(k) * KK_Q8_GROUP; }   /* bytes of a row u */

/* Rows of x [m,k] as bytes u, kk_q8_width(k) apart, and their scales. */
void kk_q8_activations(const kk_real *x, int64_t m, int64_t k, uint8_t *u, kk_real *s);
/* Largest |x| of n numbers, in the order of bits: what is not finite is above all others. */
float kk_q8_largest(const kk_real *x, int64_t n);
/* A row of weights as bytes q, and its scale. */
void kk_q8_weights(const kk_real *w, int64_t k, uint8_t *q, kk_real *scale);

/* W packed. parts > 1: W consists of that many blocks of n / parts rows (the gates of a layer), and the rows of a
** panel are 64 / parts from each, so that a panel has all gates of its units. */
typedef struct kk_q8 { int64_t k, n, parts, panels; const int8_t *data; const int32_t *zero; } kk_q8;

int64_t kk_q8_panels(int64_t n, int64_t parts);
size_t kk_q8_bytes(int64_t k, int64_t n, int64_t parts);      /* of the memory that kk_q8_pack writes */
kk_q8 kk_q8_pack(int64_t k, int64_t n, int64_t parts, const uint8_t *q, void *to);
kk_q8 kk_q8_packed(int64_t k, int64_t n, int64_t parts, const void *at);     /* what kk_q8_pack left there */
/* v [n] in the order of the columns, 64 a panel, zeros where there is no row; NULL: zeros. */
void kk_q8_order(const kk_q8 *w, const kk_real *v, kk_real *to);

/* Panel p for m rows, after kk_q8_kernel_used: y[i][0..63] = s_i scale_j sum + add_j (add: 64 numbers, or NULL for what
** y holds). scale and add stand at the panel's first column, y at its first row, ldy from row to row. In the calling
** thread. */
void kk_q8_panel(const kk_q8 *w, int64_t p, int64_t m, const uint8_t *u, const kk_real *s, const kk_real *scale,
                 const kk_real *add, kk_real *y, int64_t ldy);

#endif
