/* blas.h -- LAPACK through OpenBLAS, opened when first used, after the environment is put right: OPENBLAS_CORETYPE
** below the processor costs a factor of 2 to 4. Matrix products are our own (gemm.h). */
#ifndef KK_BLAS_H
#define KK_BLAS_H

#include "tensor/tensor.h"

kk_status kk_blas_ready(kk_err *e);              /* KK_ELIB when OpenBLAS is missing */
const char *kk_blas_config(void);                /* what OpenBLAS says of itself; "" before first use */
const char *kk_blas_core(void);                  /* the kernel it chose: "SkylakeX", ... */

/* LAPACK on row-major double copies made by the callers. info != 0 says what went wrong (LAPACK's meaning). */
int kk_lapack_syevd(int n, double *a, double *w);                       /* a: n x n symmetric -> eigenvectors in rows, w ascending */
int kk_lapack_gesdd(int m, int n, double *a, double *s, double *u, double *vt);   /* thin svd; k = min(m,n): u m x k, vt k x n */
int kk_lapack_gesv(int n, int nrhs, double *a, double *b);              /* a: n x n, b: n x nrhs, row-major; b becomes x */
int kk_lapack_posv(int n, int nrhs, double *a, double *b);              /* the same for symmetric positive definite a */

#endif
