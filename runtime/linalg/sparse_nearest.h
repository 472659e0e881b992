/* sparse_nearest.h -- which rows of a sparse matrix have the largest products with another's: cosines, where rows have length 1. */
#ifndef KK_SPARSE_NEAREST_H
#define KK_SPARSE_NEAREST_H

#include "base/err.h"
#include "linalg/sparse.h"

/* For each row of q the k >= 1 rows of a with the largest products above 0, the larger first, of equal ones the lower row: row and
** product [q->rows, k]; -1 and 0 behind the last where there are fewer. q->cols = a->cols. KK_EINTR on Ctrl-C. */
kk_status kk_sparse_nearest(const kk_sparse *a, const kk_sparse *q, int64_t k, int32_t *row, float *product, kk_err *e);

#endif
