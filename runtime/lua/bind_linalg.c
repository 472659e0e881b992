/* bind_linalg.c -- decompositions and linear systems through LAPACK, in double inside, float32 out. Not differentiable. */
#include <math.h>

#include "base/mem.h"
#include "linalg/blas.h"
#include "lua/lua_tensor.h"

/* Room for n doubles inside an int64 tensor (the same size) on the Lua stack: freed whatever raises. */
static double *linalg_room(lua_State *L, int64_t n) {
  kk_shape s = {1, {n}};
  kk_tensor **h = kk_lua_newtensor(L);
  kk_err e;
  if (kk_tensor_new(KK_I64, &s, h, &e)) kk_lua_fail(L, &e);
  return (*h)->store->data;
}

static kk_tensor *linalg_result(lua_State *L, int ndim, int64_t m, int64_t n) {
  kk_shape s = {ndim, {m, n}};
  kk_tensor **h = kk_lua_newtensor(L);
  kk_err e;
  if (kk_tensor_new(KK_F32, &s, h, &e)) kk_lua_fail(L, &e);
  kk_lua_adopt(L, *h);
  return *h;
}

static void linalg_store(kk_tensor *t, const double *p) {
  for (int64_t i = 0, n = kk_numel(&t->shape); i < n; i++) kk_real_data(t)[i] = (kk_real)p[i];
}

/* A matrix argument as row-major doubles; refuses other shapes, nan and infinity. */
static double *linalg_matrix(lua_State *L, int arg, const char *who, bool square, int64_t *m, int64_t *n) {
  kk_tensor *t = kk_lua_checktensor(L, arg);
  char b[KK_SHAPE_STR];
  kk_err e;
  double *p;
  if (kk_blas_ready(&e)) luaL_error(L, "%s: %s", who, e.msg);
  if (t->shape.ndim != 2 || kk_numel(&t->shape) == 0 || (square && t->shape.n[0] != t->shape.n[1]) ||
      t->shape.n[0] > 32768 || t->shape.n[1] > 32768)
    luaL_argerror(L, arg, lua_pushfstring(L, "%s: expected a %smatrix [%s] of at most 32768 rows and columns, got %s", who,
                                          square ? "square " : "", square ? "N,N" : "M,N", kk_shape_str(&t->shape, b)));
  *m = t->shape.n[0];
  *n = t->shape.n[1];
  kk_lua_pressure(L);
  p = linalg_room(L, *m * *n);
  for (int64_t i = 0; i < *m * *n; i++) {
    p[i] = kk_get(t, kk_element_offset(t, i));
    if (!isfinite(p[i]))
      luaL_argerror(L, arg, lua_pushfstring(L, "%s: element (%I,%I) is %f", who, (lua_Integer)(i / *n) + 1, (lua_Integer)(i % *n) + 1, p[i]));
  }
  return p;
}

static int linalg_fail(lua_State *L, const char *who, int info, const char *what) {
  if (info == -1000) return luaL_error(L, "%s: out of memory", who);
  if (info < 0) return luaL_error(L, "%s: LAPACK refused argument %d", who, -info);
  return luaL_error(L, "%s: %s (LAPACK info %d)", who, what, info);
}

static int linalg_svd(lua_State *L) {
  int64_t m, n, k;
  double *a = linalg_matrix(L, 1, "svd", false, &m, &n);
  k = m < n ? m : n;
  double *s = linalg_room(L, k), *u = linalg_room(L, m * k), *vt = linalg_room(L, k * n);
  kk_tensor *tu = linalg_result(L, 2, m, k), *ts = linalg_result(L, 1, k, 0), *tv = linalg_result(L, 2, k, n);
  int info = kk_lapack_gesdd((int)m, (int)n, a, s, u, vt);
  if (info) return linalg_fail(L, "svd", info, "did not converge");
  linalg_store(tu, u);
  linalg_store(ts, s);
  linalg_store(tv, vt);
  return 3;
}

static int linalg_eigh(lua_State *L) {
  int64_t n, m;
  double *a = linalg_matrix(L, 1, "eigh", true, &n, &m), *w = linalg_room(L, n), most = 0;
  kk_tensor *tw = linalg_result(L, 1, n, 0), *tv = linalg_result(L, 2, n, n);
  for (int64_t i = 0; i < n * n; i++)
    if (fabs(a[i]) > most) most = fabs(a[i]);
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < i; j++)
      if (fabs(a[i * n + j] - a[j * n + i]) > 1e-4 * most)
        return luaL_argerror(L, 1, lua_pushfstring(L, "eigh: not symmetric: (%I,%I) is %f, (%I,%I) is %f", (lua_Integer)i + 1, (lua_Integer)j + 1,
                                                   a[i * n + j], (lua_Integer)j + 1, (lua_Integer)i + 1, a[j * n + i]));
  int info = kk_lapack_syevd((int)n, a, w);
  if (info) return linalg_fail(L, "eigh", info, "did not converge");
  linalg_store(tw, w);
  for (int64_t i = 0; i < n; i++)                       /* LAPACK leaves eigenvectors in rows, here they are columns */
    for (int64_t j = 0; j < n; j++) kk_real_data(tv)[i * n + j] = (kk_real)a[j * n + i];
  return 2;
}

/* Both solvers of a x = b; b [N] or [N,K]. */
static int linalg_system(lua_State *L, const char *who, bool positive) {
  int64_t n, k;
  double *a = linalg_matrix(L, 1, who, true, &n, &n), *x;
  kk_tensor *b = kk_lua_checktensor(L, 2), *y;
  char s[KK_SHAPE_STR];
  if (b->shape.ndim < 1 || b->shape.ndim > 2 || b->shape.n[0] != n)
    return luaL_argerror(L, 2, lua_pushfstring(L, "%s: expected [%I] or [%I,K], got %s", who, (lua_Integer)n, (lua_Integer)n, kk_shape_str(&b->shape, s)));
  k = b->shape.ndim == 2 ? b->shape.n[1] : 1;
  luaL_argcheck(L, k <= 32768, 2, "at most 32768 right sides");
  x = linalg_room(L, n * k);
  y = linalg_result(L, b->shape.ndim, n, k);
  for (int64_t i = 0; i < n * k; i++) {
    x[i] = kk_get(b, kk_element_offset(b, i));
    if (!isfinite(x[i])) return luaL_argerror(L, 2, lua_pushfstring(L, "%s: element %I is %f", who, (lua_Integer)i + 1, x[i]));
  }
  if (k == 0) return 1;
  int info = positive ? kk_lapack_posv((int)n, (int)k, a, x) : kk_lapack_gesv((int)n, (int)k, a, x);
  if (info) return linalg_fail(L, who, info, positive ? "the matrix is not positive definite" : "the matrix is singular");
  linalg_store(y, x);
  return 1;
}

static int linalg_solve(lua_State *L) { return linalg_system(L, "solve", false); }
static int linalg_cholesky_solve(lua_State *L) { return linalg_system(L, "cholesky_solve", true); }

static int linalg_inverse(lua_State *L) {
  int64_t n;
  double *a = linalg_matrix(L, 1, "inverse", true, &n, &n), *x = linalg_room(L, n * n);
  kk_tensor *y = linalg_result(L, 2, n, n);
  for (int64_t i = 0; i < n * n; i++) x[i] = i % (n + 1) == 0;
  int info = kk_lapack_gesv((int)n, (int)n, a, x);
  if (info) return linalg_fail(L, "inverse", info, "the matrix is singular");
  linalg_store(y, x);
  return 1;
}

static const kk_reg linalg_funcs[] = {
  {"svd", linalg_svd, "svd(x [M,N]) -> u [M,K], s [K], vt [K,N]\nx = u diag(s) vt, K = min(M,N), s descending (LAPACK dgesdd, in double). Raises "
   "on nan. Not differentiable."},
  {"eigh", linalg_eigh, "eigh(x [N,N]) -> w [N], v [N,N]\nEigenvalues of a symmetric matrix, ascending, and eigenvectors in the columns of v: "
   "x v = v diag(w)\n(LAPACK dsyevd, in double). Raises on nan and on a matrix that is not symmetric. Not differentiable."},
  {"solve", linalg_solve, "solve(a [N,N], b [N] or [N,K]) -> x\na x = b (LAPACK dgesv, in double). Raises when a is singular. Not differentiable."},
  {"cholesky_solve", linalg_cholesky_solve, "cholesky_solve(a [N,N], b [N] or [N,K]) -> x\na x = b for a symmetric positive definite a, of which the "
   "lower triangle is read\n(LAPACK dposv, in double). Raises when a is not positive definite. Not differentiable."},
  {"inverse", linalg_inverse, "inverse(a [N,N]) -> tensor [N,N]\n(LAPACK dgesv, in double.) Raises when a is singular. Not differentiable."},
  {0},
};

KK_BIND(linalg) {
  kk_lua_funcs(L, linalg_funcs);
  kk_lua_type(L, KK_TENSOR, NULL, linalg_funcs);
}
