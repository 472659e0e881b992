#include "linalg/blas.h"

#include <limits.h>
#include <stdlib.h>

#include "base/dl.h"
#include "base/mem.h"

static struct {
  void (*set_threads)(int);
  char *(*config)(void);
  char *(*core)(void);
  void (*syevd)(const char *, const char *, const int *, double *, const int *, double *, double *, const int *, int *,
                const int *, int *);
  void (*gesdd)(const char *, const int *, const int *, double *, const int *, double *, double *, const int *,
                double *, const int *, double *, const int *, int *, int *);
  void (*gesv)(const int *, const int *, double *, const int *, int *, double *, const int *, int *);
  void (*posv)(const char *, const int *, const int *, double *, const int *, double *, const int *, int *);
} blas;

static kk_dl lib;

/* OpenBLAS knows processors by model number and falls back to SSE3 ("Prescott") for one that is newer than
** itself: 0.3.21 does so on Emerald Rapids, at a tenth of the speed. So the kernel is named by features, over
** whatever the environment says. */
static void blas_choose_core(void) {
#if defined(__x86_64__) && defined(__GNUC__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl"))
    setenv("OPENBLAS_CORETYPE", "SkylakeX", 1);
  else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    setenv("OPENBLAS_CORETYPE", "Haswell", 1);
  else
    unsetenv("OPENBLAS_CORETYPE");
#else
  unsetenv("OPENBLAS_CORETYPE");
#endif
}

kk_status kk_blas_ready(kk_err *e) {
  static const char *const files[] = {"libopenblas.so.0", "libopenblas.so", "libopenblas.0.dylib", "libopenblas.dylib",
                                      "/opt/homebrew/opt/openblas/lib/libopenblas.dylib", NULL};
  static const kk_dl_sym syms[] = {
    {"openblas_set_num_threads", (void **)&blas.set_threads},
    {"openblas_get_config", (void **)&blas.config},
    {"openblas_get_corename", (void **)&blas.core},
    {"dsyevd_", (void **)&blas.syevd},
    {"dgesdd_", (void **)&blas.gesdd},
    {"dgesv_", (void **)&blas.gesv},
    {"dposv_", (void **)&blas.posv},
    {NULL, NULL},
  };
  kk_status st;
  if (lib.handle) return KK_OK;
  blas_choose_core();
  setenv("OPENBLAS_NUM_THREADS", "1", 1);
  st = kk_dl_load(&lib, "OpenBLAS", files, syms, e);
  if (!st) blas.set_threads(1);
  return st;
}

const char *kk_blas_config(void) { return blas.config ? blas.config() : ""; }
const char *kk_blas_core(void) { return blas.core ? blas.core() : ""; }

int kk_lapack_syevd(int n, double *a, double *w) {
  int lwork = -1, liwork = -1, info = 0, isize = 0;
  double size = 0;
  blas.syevd("V", "U", &n, a, &n, w, &size, &lwork, &isize, &liwork, &info);
  if (info) return info;
  if (size > INT_MAX) return -1000;
  lwork = (int)size;
  liwork = isize;
  size_t nw = (size_t)lwork * sizeof(double), ni = (size_t)liwork * sizeof(int);
  double *work = kk_alloc(nw);
  int *iwork = kk_alloc(ni);
  if (work && iwork) blas.syevd("V", "U", &n, a, &n, w, work, &lwork, iwork, &liwork, &info);
  else info = -1000;
  kk_free(work, nw);
  kk_free(iwork, ni);
  return info;
}

/* Row-major A is column-major A': svd(A') = V S U', so the roles of u and vt swap. */
int kk_lapack_gesdd(int m, int n, double *a, double *s, double *u, double *vt) {
  int k = m < n ? m : n, lwork = -1, info = 0;
  double size = 0;
  int *iwork = kk_alloc((size_t)k * 8 * sizeof(int));
  if (!iwork) return -1000;
  blas.gesdd("S", &n, &m, a, &n, s, vt, &n, u, &k, &size, &lwork, iwork, &info);
  if (!info && size > INT_MAX) info = -1000;
  if (!info) {
    lwork = (int)size;
    size_t nw = (size_t)lwork * sizeof(double);
    double *work = kk_alloc(nw);
    if (work) blas.gesdd("S", &n, &m, a, &n, s, vt, &n, u, &k, work, &lwork, iwork, &info);
    else info = -1000;
    kk_free(work, nw);
  }
  kk_free(iwork, (size_t)k * 8 * sizeof(int));
  return info;
}

static void lapack_transpose(int m, int n, const double *a, double *t) {
  for (int i = 0; i < m; i++)
    for (int j = 0; j < n; j++) t[(size_t)j * (size_t)m + (size_t)i] = a[(size_t)i * (size_t)n + (size_t)j];
}

/* Both solvers: transposed copies in, b out. */
static int lapack_solve(int spd, int n, int nrhs, double *a, double *b) {
  size_t na = (size_t)n * (size_t)n * sizeof(double), nb = (size_t)n * (size_t)nrhs * sizeof(double),
         np = (size_t)n * sizeof(int);
  double *at = kk_alloc(na), *bt = kk_alloc(nb);
  int *pivot = kk_alloc(np), info = -1000;
  if (at && bt && pivot) {
    lapack_transpose(n, n, a, at);
    lapack_transpose(n, nrhs, b, bt);
    if (spd) blas.posv("L", &n, &nrhs, at, &n, bt, &n, &info);
    else blas.gesv(&n, &nrhs, at, &n, pivot, bt, &n, &info);
    lapack_transpose(nrhs, n, bt, b);
  }
  kk_free(at, na);
  kk_free(bt, nb);
  kk_free(pivot, np);
  return info;
}

int kk_lapack_gesv(int n, int nrhs, double *a, double *b) { return lapack_solve(0, n, nrhs, a, b); }
int kk_lapack_posv(int n, int nrhs, double *a, double *b) { return lapack_solve(1, n, nrhs, a, b); }
