/* dense.h -- Cholesky for the small systems of one person (up to a few hundred unknowns), in double
** and in the calling thread. Written as sums of rows, so the compiler vectorises it without
** reordering a sum. */
#ifndef KK_DENSE_H
#define KK_DENSE_H

/* a [n,n] row-major: the upper triangle becomes U with a = U'U; the rest is not touched.
** 0, or the 1-based pivot that is not positive. */
int kk_chol(double *a, int n);
void kk_chol_solve(const double *u, int n, double *x);   /* x becomes a^-1 x */

#endif
