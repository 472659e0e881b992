/* sparse.h -- products of a sparse matrix, row by row as text/tfidf.h has it, with a dense one. */
#ifndef KK_SPARSE_H
#define KK_SPARSE_H

#include <stdint.h>

/* Row i holds columns col[k] with val[k], start[i] <= k < start[i+1]. */
typedef struct kk_sparse { int64_t rows, cols; const int64_t *start; const int32_t *col; const double *val; } kk_sparse;

/* y [rows, D] = a x, x [cols, D]; or y [cols, D] = a' x, x [rows, D]. */
void kk_sparse_times(const kk_sparse *a, const float *x, int64_t d, float *y);
void kk_sparse_transposed_times(const kk_sparse *a, const float *x, int64_t d, float *y);

#endif
