/* gemm.h -- matrix products by our own kernels, for operands as they lie and for operands packed once and used
** often (the weights of a recurrent layer, at each step).
**
** Everything is row-major. Sums over k are cut into blocks by k alone and tiles by the shape alone, so a product
** has the same bits packed or not, for any number of threads; only the kernel, which is chosen by what the
** processor has, makes a difference of rounding. Lessons behind it: Goto & van de Geijn, Anatomy of
** High-Performance Matrix Multiplication, 2008. */
#ifndef KK_GEMM_H
#define KK_GEMM_H

#include "tensor/tensor.h"

/* Chooses the kernel and gets the workspace. KK_ENOMEM; KK_EARG when the environment variable KOOKA_KERNEL
** names a kernel that does not exist or that this processor cannot run. */
kk_status kk_gemm_ready(kk_err *e);
const char *kk_gemm_kernel(void);        /* "avx512", "avx2", "neon", "portable" */

/* C[m,n] = alpha op(A) op(B) + beta C; ta/tb: use the transpose of what is stored. */
void kk_gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const kk_real *a, int64_t lda, const kk_real *b,
             int64_t ldb, bool add, kk_real *c, int64_t ldc);
/* The same in the calling thread: for use inside a chunk of the pool. */
void kk_gemm_serial(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const kk_real *a, int64_t lda, const kk_real *b,
                    int64_t ldb, bool add, kk_real *c, int64_t ldc);

/* op(B)[k,n], packed: panels of kk_panel() columns (the last may be narrower), each with its k rows one behind the
** other, padded with zeros to whole vectors. */
typedef struct kk_packed { int64_t k, n; const kk_real *data; } kk_packed;

/* Where B comes from when it does not simply lie in memory: writes elements j .. j+n-1 of its stored row to `to`. */
typedef void kk_row_fn(void *arg, int64_t row, int64_t j, int64_t n, kk_real *to);

int64_t kk_panel(void);                                      /* columns of a panel: of one block of work */
int64_t kk_packed_count(int64_t k, int64_t n);               /* kk_reals of kk_packed.data, which is aligned to 64 bytes */
kk_packed kk_pack(bool tb, int64_t k, int64_t n, const kk_real *b, int64_t ldb, kk_real *to);
kk_packed kk_pack_rows(bool tb, int64_t k, int64_t n, kk_row_fn *row, void *arg, kk_real *to);

/* C[m,n] (+)= A B. */
void kk_gemm_packed(int64_t m, const kk_real *a, int64_t lda, const kk_packed *b, bool add, kk_real *c, int64_t ldc);
/* Columns n0 .. n1-1 of it in the calling thread; n0 is a multiple of kk_panel(), n1 too or n; c stands at column n0.
** `next`: what this thread will probably read after that (kk_packed_at), or NULL. */
void kk_gemm_packed_serial(int64_t m, const kk_real *a, int64_t lda, const kk_packed *b, int64_t n0, int64_t n1, bool add,
                           kk_real *c, int64_t ldc, const kk_real *next);
static inline const kk_real *kk_packed_at(const kk_packed *b, int64_t n0) { return b->data + n0 * b->k; }

#endif
