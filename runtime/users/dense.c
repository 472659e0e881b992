#include "users/dense.h"

#include <math.h>

#include "base/clones.h"

KK_CLONES int kk_chol(double *a, int n) {
  for (int k = 0; k < n; k++) {
    double *rk = a + (long)k * n;
    if (!(rk[k] > 0) || !isfinite(rk[k])) return k + 1;
    double s = 1 / sqrt(rk[k]);
    for (int j = k; j < n; j++) rk[j] *= s;
    for (int i = k + 1; i < n; i++) {
      double *ri = a + (long)i * n, c = rk[i];
      for (int j = i; j < n; j++) ri[j] -= c * rk[j];
    }
  }
  return 0;
}

void kk_chol_solve(const double *u, int n, double *x) {
  for (int k = 0; k < n; k++) {            /* U' y = x, by rows of U */
    const double *rk = u + (long)k * n;
    double y = x[k] / rk[k];
    x[k] = y;
    for (int j = k + 1; j < n; j++) x[j] -= y * rk[j];
  }
  for (int k = n - 1; k >= 0; k--) {       /* U x = y */
    const double *rk = u + (long)k * n;
    double s = x[k];
    for (int j = k + 1; j < n; j++) s -= rk[j] * x[j];
    x[k] = s / rk[k];
  }
}
