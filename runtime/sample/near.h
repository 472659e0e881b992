/* near.h -- exact k nearest (or farthest) neighbours by Euclidean distance.
**
** Products in float32, in sixteen or in eight bits only sieve: each gives every squared distance between two bounds that hold for
** sure, and what could be among the k is measured again in double from the points as given. So the answer is the exact
** one, ordered by distance and then by position, and has the same bits for any sieve, kernel, precision and thread count. */
#ifndef KK_NEAR_H
#define KK_NEAR_H

#include "tensor/tensor.h"

/* Point i is the d numbers at x + rows[i] d; rows = NULL: at x + i d. Borrowed. No number is NaN or
** beyond KK_POINT_MOST either way: squares would not fit. */
#define KK_POINT_MOST 1e15
typedef struct kk_points {
  const kk_real *x;
  int64_t d, n;
  const int64_t *rows;
} kk_points;

static inline int64_t kk_point_row(const kk_points *p, int64_t i) { return p->rows ? p->rows[i] : i; }
static inline const kk_real *kk_point(const kk_points *p, int64_t i) { return p->x + kk_point_row(p, i) * p->d; }

enum {
  KK_NEAR_OTHERS = 1,      /* a row of x is no neighbour of itself (both sides lie in the same x)       */
  KK_NEAR_FAR = 2,         /* the k farthest, farthest first                                            */
  KK_NEAR_FLOAT = 4,       /* sieve in kk_gemm's precision, whatever the processor has; or              */
  KK_NEAR_BYTES = 8,       /* in eight bits; or                                                         */
  KK_NEAR_WORDS = 16,      /* in sixteen; none of them: what is fastest here                            */
  KK_NEAR_GIVEN = KK_NEAR_FLOAT | KK_NEAR_BYTES | KK_NEAR_WORDS,
};

/* index [q.n,k]: positions in data, from 0; square [q.n,k]: squared distances, or NULL. 1 <= k <= data.n, less one
** with KK_NEAR_OTHERS, else KK_EARG. KK_EINTR when the stop flag is seen. */
kk_status kk_near(const kk_points *query, const kk_points *data, int64_t k, unsigned how, int32_t *index, double *square,
                  kk_err *e);

/* Are n numbers so? */
bool kk_point_fine(const kk_real *x, int64_t n);
/* The first number that is not so: its point and column; false when there is none. */
bool kk_points_bad(const kk_points *p, int64_t *point, int64_t *column);

#endif
