/* blas.h -- matrix products and LAPACK through OpenBLAS, opened when first used, after the environment
** is put right: OPENBLAS_CORETYPE below the processor costs a factor of 2 to 4.
**
** Products are cut into tiles by their shape alone and each tile is computed by one thread of our
** pool with a single-threaded BLAS: the same bits for any number of threads. */
#ifndef KK_BLAS_H
#define KK_BLAS_H

#include "tensor/tensor.h"

kk_status kk_blas_ready(kk_err *e);              /* KK_ELIB when OpenBLAS is missing */
const char *kk_blas_config(void);                /* what OpenBLAS says of itself; "" before first use */
const char *kk_blas_core(void);                  /* the kernel it chose: "SkylakeX", ... */

/* C[M,N] = alpha op(A) op(B) + beta C, all row-major; ta/tb: use the transpose of what is stored. */
void kk_gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, kk_real alpha, const kk_real *a, int64_t lda,
             const kk_real *b, int64_t ldb, kk_real beta, kk_real *c, int64_t ldc);
/* The same in the calling thread, as one BLAS call: for use inside a chunk of the pool. */
void kk_gemm_serial(bool ta, bool tb, int64_t m, int64_t n, int64_t k, kk_real alpha, const kk_real *a, int64_t lda,
                    const kk_real *b, int64_t ldb, kk_real beta, kk_real *c, int64_t ldc);

/* LAPACK on row-major double copies made by the callers. info != 0 says what went wrong (LAPACK's meaning). */
int kk_lapack_syevd(int n, double *a, double *w);                       /* a: n x n symmetric -> eigenvectors in rows, w ascending */
int kk_lapack_gesdd(int m, int n, double *a, double *s, double *u, double *vt);   /* thin svd; k = min(m,n): u m x k, vt k x n */
int kk_lapack_gesv(int n, int nrhs, double *a, double *b);              /* a: n x n, b: n x nrhs, row-major; b becomes x */
int kk_lapack_posv(int n, int nrhs, double *a, double *b);              /* the same for symmetric positive definite a */

#endif
