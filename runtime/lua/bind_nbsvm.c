/* bind_nbsvm.c -- kooka.core.nbsvm: the linear baseline. Classes count from 1; of two, 2 is "positive". */
#include <stdlib.h>

#include "lua/lua_texts.h"
#include "lua/lua_util.h"
#include "tensor/tensor.h"
#include "text/nbsvm.h"

#define NBSVM_TYPE "kooka.nbsvm"

static kk_nbsvm *nbsvm_check(lua_State *L) {
  kk_nbsvm **h = luaL_checkudata(L, 1, NBSVM_TYPE);
  luaL_argcheck(L, *h, 1, "the model was closed");
  return *h;
}

static int nbsvm_gc(lua_State *L) {
  kk_nbsvm **h = luaL_checkudata(L, 1, NBSVM_TYPE);
  kk_nbsvm_free(*h);
  *h = NULL;
  return 0;
}

#define CLASSES_MAX 10000

/* Pushes a userdata with the class of each text, from 0. Takes a list or an int32 tensor of 1..classes. */
static int32_t *nbsvm_labels(lua_State *L, int arg, size_t n, int classes) {
  kk_tensor *t = kk_lua_testtensor(L, arg);
  if (t) t = kk_lua_checktensor(L, arg);
  else luaL_checktype(L, arg, LUA_TTABLE);
  size_t have = t ? (size_t)kk_numel(&t->shape) : (size_t)lua_rawlen(L, arg);
  if (have != n)
    luaL_argerror(L, arg, lua_pushfstring(L, "%I labels for %I texts", (lua_Integer)have, (lua_Integer)n));
  if (t) luaL_argcheck(L, kk_type(t) == KK_I32 || kk_type(t) == KK_I64, arg, "expected an int32 or int64 tensor");
  int32_t *y = lua_newuserdatauv(L, (n + 1) * sizeof *y, 0);
  for (size_t i = 0; i < n; i++) {
    lua_Integer v = 0;
    if (t) {
      v = (lua_Integer)kk_get_int(t, kk_element_offset(t, (int64_t)i));
    } else {
      lua_rawgeti(L, arg, (lua_Integer)i + 1);
      v = lua_tointeger(L, -1);
      lua_pop(L, 1);
    }
    if (v < 1 || v > classes)
      luaL_argerror(L, arg, lua_pushfstring(L, "label %I is %I, expected a class 1..%d", (lua_Integer)i + 1, v, classes));
    y[i] = (int32_t)v - 1;
  }
  return y;
}

/* Pushes a userdata with one number a text, the list of option `name`; NULL where that is not given. */
static double *nbsvm_numbers(lua_State *L, const char *name, size_t n, double most) {
  if (lua_isnoneornil(L, 3) || lua_getfield(L, 3, name) == LUA_TNIL) return NULL;
  luaL_argcheck(L, lua_istable(L, -1), 3, lua_pushfstring(L, "option %s: expected a list", name));
  if (lua_rawlen(L, -1) != n)
    luaL_argerror(L, 3, lua_pushfstring(L, "%I %s for %I texts", (lua_Integer)lua_rawlen(L, -1), name, (lua_Integer)n));
  double *out = lua_newuserdatauv(L, (n + 1) * sizeof *out, 0);
  for (size_t i = 0; i < n; i++) {
    lua_rawgeti(L, -2, (lua_Integer)i + 1);
    out[i] = lua_isnumber(L, -1) ? lua_tonumber(L, -1) : -1;
    lua_pop(L, 1);
    if (!(out[i] >= 0 && out[i] <= most))
      luaL_argerror(L, 3, lua_pushfstring(L, "%s: number %I is not one of 0..%f", name, (lua_Integer)i + 1, most));
  }
  return out;
}

static int nbsvm_fit(lua_State *L) {
  static const char *const names[] = {"ngrams", "min_df",    "max_df", "sublinear", "tokens",  "nb",
                                      "c",      "tolerance", "seed",   "classes",   "weights", "shares", NULL};
  kk_nbsvm_opts o = KK_NBSVM_DEFAULTS;
  kk_err e;
  kk_lua_check_opts(L, 3, names, "nbsvm.fit");
  lua_settop(L, 3);
  o.tfidf = kk_lua_terms(L, 3);
  o.nb = kk_lua_opt_boolean(L, 3, "nb", o.nb);
  o.c = kk_lua_opt_number(L, 3, "c", o.c, 1e-9, 1e9);
  o.tolerance = kk_lua_opt_number(L, 3, "tolerance", o.tolerance, 1e-12, 1);
  o.seed = (uint64_t)kk_lua_opt_integer(L, 3, "seed", (lua_Integer)o.seed, 0, LUA_MAXINTEGER);
  const kk_texts list = kk_lua_texts(L, 1);
  kk_nbsvm_texts t = {.n = list.n, .texts = list.p, .lens = list.len,
                      .classes = (int)kk_lua_opt_integer(L, 3, "classes", 2, 2, CLASSES_MAX)};
  t.share = nbsvm_numbers(L, "shares", t.n, 1);
  t.weight = nbsvm_numbers(L, "weights", t.n, 1e9);
  luaL_argcheck(L, !t.share || t.classes == 2, 3, "shares are of two classes");
  if (!t.share) t.label = nbsvm_labels(L, 2, t.n, t.classes);
  kk_nbsvm **h = lua_newuserdatauv(L, sizeof *h, 0);
  *h = NULL;
  luaL_setmetatable(L, NBSVM_TYPE);
  return kk_nbsvm_fit(&t, &o, h, &e) ? kk_lua_fail(L, &e) : 1;
}

static int nbsvm_predict(lua_State *L) {
  kk_err e;
  kk_nbsvm *m = nbsvm_check(L);
  kk_texts t = kk_lua_texts(L, 2);
  size_t models = (size_t)kk_nbsvm_models(m);
  double *prob = lua_newuserdatauv(L, (t.n * models + 1) * sizeof *prob, 0);
  if (kk_nbsvm_predict(m, t.n, t.p, t.len, prob, &e)) return kk_lua_fail(L, &e);
  lua_createtable(L, (int)t.n, 0);
  for (size_t i = 0; i < t.n; i++) {
    if (models > 1) lua_createtable(L, (int)models, 0);
    for (size_t k = 0; k < models; k++) {
      lua_pushnumber(L, prob[i * models + k]);
      if (models > 1) lua_rawseti(L, -2, (lua_Integer)k + 1);
    }
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

static int nbsvm_size(lua_State *L) {
  lua_pushinteger(L, kk_nbsvm_size(nbsvm_check(L)));
  return 1;
}

typedef struct ranked { double weight; int32_t col; } ranked;

static int ranked_order(const void *a, const void *b) {
  const ranked *x = a, *y = b;
  return x->weight != y->weight ? (x->weight > y->weight ? -1 : 1) : (x->col > y->col) - (x->col < y->col);
}

static int nbsvm_top(lua_State *L) {
  kk_nbsvm *m = nbsvm_check(L);
  lua_Integer n = luaL_optinteger(L, 2, 20), size = kk_nbsvm_size(m), models = kk_nbsvm_models(m);
  lua_Integer k = models == 1 ? 0 : luaL_checkinteger(L, 3) - 1;
  size_t len;
  luaL_argcheck(L, n >= 1, 2, "expected 1 or more");
  luaL_argcheck(L, k >= 0 && k < models, 3, "no such class");
  if (n > size) n = size;
  ranked *r = lua_newuserdatauv(L, (size_t)size * sizeof *r, 0);
  for (int32_t c = 0; c < size; c++) {
    r[c].col = c;
    kk_nbsvm_term(m, (int)k, c, &len, &r[c].weight);
  }
  qsort(r, (size_t)size, sizeof *r, ranked_order);
  for (int side = 0; side < 2; side++) {
    lua_createtable(L, (int)n, 0);
    for (lua_Integer i = 0; i < n; i++) {
      double weight;
      const char *term = kk_nbsvm_term(m, (int)k, r[side ? size - 1 - i : i].col, &len, &weight);
      lua_createtable(L, 0, 2);
      lua_pushlstring(L, term, len);
      lua_setfield(L, -2, "term");
      lua_pushnumber(L, weight);
      lua_setfield(L, -2, "weight");
      lua_rawseti(L, -2, i + 1);
    }
  }
  return 2;
}

static const kk_reg nbsvm_meta[] = {{"__gc", nbsvm_gc, NULL}, {"__close", nbsvm_gc, NULL}, {0}};

static const kk_reg nbsvm_methods[] = {
  {"predict", nbsvm_predict, "model:predict(texts) -> list of probabilities | nil, message, \"format\"\nOf class 2; of more than two classes a list "
   "for each text: of each class against the rest, so they do not sum to 1, and 0 for a class that no text had."},
  {"size", nbsvm_size, "model:size() -> number of terms"},
  {"top", nbsvm_top, "model:top([n = 20 [, class]]) -> for_class, against_it\nTwo lists of {term=, weight=}: the terms that speak most for and "
   "against class 2; of more than two classes, for and against `class`."},
  {0},
};

static const kk_reg nbsvm_funcs[] = {
  {"fit", nbsvm_fit,
   "fit(texts, labels [, options]) -> model | nil, message, code\nNB-SVM (Wang and Manning 2012): tf-idf of words and word pairs, "
   "times the log-count ratio of the classes, then L2 logistic regression (dual coordinate descent, Yu, Huang & Lin 2011). labels: list or int32 tensor of "
   "classes from 1. Two classes make one model, of class 2; more make one a class, against the rest, on the same terms. "
   "Options: ngrams = 2, min_df = 3 texts, max_df = 0.9 of the texts, sublinear = true, tokens = \"signs\" | \"words\" | \"characters\" | "
   "\"cased characters\", weights: how much each text counts, shares: how much of each text, 0..1, is of class 2 (labels may then be nil), "
   "nb = true, "
   "c = 4, tolerance = 1e-4, seed = 1, classes = 2."},
  {0},
};

KK_BIND(nbsvm) {
  kk_lua_type(L, NBSVM_TYPE, nbsvm_meta, nbsvm_methods);
  lua_newtable(L);
  kk_lua_funcs(L, nbsvm_funcs);
  lua_setfield(L, -2, "nbsvm");
}
