/* bind_tfidf.c -- kooka.core.tfidf: texts as sparse rows of weighted words, and products with them. */
#include "linalg/sparse.h"
#include "linalg/sparse_nearest.h"
#include "lua/lua_tensor.h"
#include "lua/lua_texts.h"
#include "text/tfidf.h"

#define TFIDF_TYPE "kooka.tfidf"

typedef struct tfidf { kk_tfidf *terms; kk_csr x; int open; } tfidf;   /* x: the rows of the texts it was fitted on */

static tfidf *tfidf_check(lua_State *L) {
  tfidf *t = luaL_checkudata(L, 1, TFIDF_TYPE);
  luaL_argcheck(L, t->open, 1, "the terms were closed");
  return t;
}

static int tfidf_gc(lua_State *L) {
  tfidf *t = luaL_checkudata(L, 1, TFIDF_TYPE);
  kk_tfidf_free(t->terms);
  if (t->open) kk_csr_free(&t->x);
  *t = (tfidf){0};
  return 0;
}

static int tfidf_fit(lua_State *L) {
  static const char *const names[] = {"ngrams", "min_df", "max_df", "sublinear", "tokens", NULL};
  kk_err e;
  kk_lua_check_opts(L, 2, names, "tfidf.fit");
  const kk_tfidf_opts o = kk_lua_terms(L, 2);
  kk_texts texts = kk_lua_texts(L, 1);
  tfidf *t = lua_newuserdatauv(L, sizeof *t, 0);
  *t = (tfidf){0};
  luaL_setmetatable(L, TFIDF_TYPE);
  if (kk_tfidf_fit(texts.n, texts.p, texts.len, &o, &t->terms, &t->x, &e)) return kk_lua_fail(L, &e);
  t->open = 1;
  return 1;
}

/* A dense float32 argument of `rows` rows; *d its columns. */
static const float *tfidf_dense(lua_State *L, int arg, int64_t rows, int64_t *d) {
  kk_tensor *x = kk_lua_checktensor(L, arg);
  char b[KK_SHAPE_STR];
  if (x->shape.ndim != 2 || x->shape.n[0] != rows || kk_type(x) != KK_F32 || !kk_contiguous(x))
    luaL_argerror(L, arg, lua_pushfstring(L, "expected contiguous float32 [%I,D], got %s", (lua_Integer)rows,
                                          kk_shape_str(&x->shape, b)));
  *d = x->shape.n[1];
  return kk_data(x);
}

static kk_tensor *tfidf_result(lua_State *L, kk_dtype type, int64_t rows, int64_t d) {
  kk_shape s = {2, {rows, d}};
  kk_err e;
  kk_lua_pressure(L);
  kk_tensor **h = kk_lua_newtensor(L);
  if (kk_tensor_new(type, &s, h, &e)) kk_lua_fail(L, &e);
  kk_lua_adopt(L, *h);
  return *h;
}

static kk_sparse tfidf_matrix(const kk_csr *x) { return (kk_sparse){x->rows, x->cols, x->start, x->col, x->val}; }

static int tfidf_times(lua_State *L) {
  const tfidf *t = tfidf_check(L);
  int64_t d;
  const float *x = tfidf_dense(L, 2, t->x.cols, &d);
  kk_tensor *y = tfidf_result(L, KK_F32, t->x.rows, d);
  const kk_sparse a = tfidf_matrix(&t->x);
  kk_sparse_times(&a, x, d, (float *)kk_real_data(y));
  return 1;
}

static int tfidf_transposed_times(lua_State *L) {
  const tfidf *t = tfidf_check(L);
  int64_t d;
  const float *x = tfidf_dense(L, 2, t->x.rows, &d);
  kk_tensor *y = tfidf_result(L, KK_F32, t->x.cols, d);
  const kk_sparse a = tfidf_matrix(&t->x);
  kk_sparse_transposed_times(&a, x, d, (float *)kk_real_data(y));
  return 1;
}

static int tfidf_project(lua_State *L) {
  const tfidf *t = tfidf_check(L);
  kk_texts texts = kk_lua_texts(L, 2);
  int64_t d;
  kk_err e;
  kk_csr rows;
  const float *x = tfidf_dense(L, 3, t->x.cols, &d);
  kk_tensor *y = tfidf_result(L, KK_F32, (int64_t)texts.n, d);
  if (kk_tfidf_rows(t->terms, texts.n, texts.p, texts.len, &rows, &e)) return kk_lua_fail(L, &e);
  const kk_sparse a = tfidf_matrix(&rows);
  kk_sparse_times(&a, x, d, (float *)kk_real_data(y));
  kk_csr_free(&rows);
  return 1;
}

static int tfidf_nearest(lua_State *L) {
  const tfidf *t = tfidf_check(L);
  kk_texts texts = kk_lua_texts(L, 2);
  const lua_Integer k = luaL_checkinteger(L, 3);
  luaL_argcheck(L, k >= 1 && k <= 100000, 3, "expected 1 to 100000 rows");
  kk_err e;
  kk_csr rows;
  kk_tensor *at = tfidf_result(L, KK_I32, (int64_t)texts.n, k), *product = tfidf_result(L, KK_F32, (int64_t)texts.n, k);
  if (kk_tfidf_rows(t->terms, texts.n, texts.p, texts.len, &rows, &e)) return kk_lua_fail(L, &e);
  const kk_sparse a = tfidf_matrix(&t->x), q = tfidf_matrix(&rows);
  int32_t *ids = kk_data(at);
  const kk_status st = kk_sparse_nearest(&a, &q, k, ids, kk_data(product), &e);
  kk_csr_free(&rows);
  if (st) return kk_lua_fail(L, &e);
  for (int64_t i = 0; i < (int64_t)texts.n * k; i++) ids[i]++;
  return 2;
}

static int tfidf_shape(lua_State *L) {
  const tfidf *t = tfidf_check(L);
  lua_pushinteger(L, t->x.rows);
  lua_pushinteger(L, t->x.cols);
  lua_pushinteger(L, t->x.start[t->x.rows]);
  return 3;
}

static const kk_reg tfidf_meta[] = {{"__gc", tfidf_gc, NULL}, {"__close", tfidf_gc, NULL}, {0}};

static const kk_reg tfidf_methods[] = {
  {"times", tfidf_times, "tfidf:times(x [F,D]) -> tensor [N,D]\nThe product of the rows of its texts with x."},
  {"transposed_times", tfidf_transposed_times, "tfidf:transposed_times(y [N,D]) -> tensor [F,D]\nThe product of the transposed rows with y."},
  {"project", tfidf_project, "tfidf:project(texts, x [F,D]) -> tensor [M,D] | nil, message, code\nRows of other texts over the same terms, times x."},
  {"nearest", tfidf_nearest, "tfidf:nearest(texts, k) -> rows int32 [M,k], cosines [M,k] | nil, message, code\nThe k of its own texts that are most "
   "like each of these, the most alike first; 0 behind the last where fewer share a term."},
  {"shape", tfidf_shape, "tfidf:shape() -> texts, terms, values that are not 0"},
  {0},
};

static const kk_reg tfidf_funcs[] = {
  {"fit", tfidf_fit,
   "fit(texts [, options]) -> tfidf | nil, message, code\nWords and word pairs of the texts as sparse rows of length 1: (1 + log count) * (log((1 + N) / "
   "(1 + df)) + 1). Options: ngrams = 2, min_df = 3 texts, max_df = 0.9 of the texts, sublinear = true, tokens = \"signs\" | \"words\" | \"characters\" | "
   "\"cased characters\"."},
  {0},
};

KK_BIND(tfidf) {
  kk_lua_type(L, TFIDF_TYPE, tfidf_meta, tfidf_methods);
  lua_newtable(L);
  kk_lua_funcs(L, tfidf_funcs);
  lua_setfield(L, -2, "tfidf");
}
