/* bind_users.c -- kooka.core.users: the solver of per-person heads. kooka.users gives it methods,
** defaults and reports. Every array lives in memory that Lua owns, so an error may be raised anywhere;
** what the core allocates is released before anything is pushed. */
#include <math.h>
#include <string.h>

#include "lua/lua_util.h"
#include "tensor/tensor.h"
#include "users/heads.h"

static void *users_block(lua_State *L, size_t n, size_t size) {
  if (n > PTRDIFF_MAX / size - 1) luaL_error(L, "users: too large");
  return lua_newuserdatauv(L, n * size + 1, 0);
}

/* Field name of the table at 1 as n doubles (n = -1: any length, returned in *got). */
static double *users_field(lua_State *L, const char *name, int64_t n, int64_t *got) {
  lua_getfield(L, 1, name);
  int at = lua_gettop(L);
  kk_tensor *t = lua_isuserdata(L, at) ? kk_lua_testtensor(L, at) : NULL;
  if (!t && !lua_istable(L, at))
    luaL_error(L, "users: %s is a %s, expected a tensor or a list", name, luaL_typename(L, at));
  if (t && !kk_live(t)) luaL_error(L, "users: %s was released when its scope closed", name);
  int64_t m = t ? kk_numel(&t->shape) : (int64_t)lua_rawlen(L, at);
  if (n >= 0 && m != n) luaL_error(L, "users: %s has %I rows, labels have %I", name, (lua_Integer)m, (lua_Integer)n);
  double *v = users_block(L, (size_t)m, sizeof *v);
  for (int64_t i = 0; i < m; i++) {
    if (t) {
      v[i] = kk_get(t, kk_element_offset(t, i));
      continue;
    }
    int type = lua_rawgeti(L, at, i + 1);
    if (type != LUA_TNUMBER && type != LUA_TBOOLEAN)
      luaL_error(L, "users: %s in row %I is a %s, expected a number", name, (lua_Integer)i + 1, luaL_typename(L, -1));
    v[i] = type == LUA_TBOOLEAN ? lua_toboolean(L, -1) + 1 : lua_tonumber(L, -1);
    lua_pop(L, 1);
  }
  if (got) *got = m;
  return v;
}

/* features [N,D] as float, contiguous; a tensor or a list of lists. NULL and d = 0 when absent. */
static const float *users_features(lua_State *L, int64_t n, int64_t *d) {
  char b[KK_SHAPE_STR];
  *d = 0;
  if (lua_getfield(L, 1, "features") == LUA_TNIL) return NULL;
  int at = lua_gettop(L);
  kk_tensor *t = lua_isuserdata(L, at) ? kk_lua_testtensor(L, at) : NULL;
  if (t) {
    if (!kk_live(t)) luaL_error(L, "users: features were released when their scope closed");
    if (t->shape.ndim != 2 || t->shape.n[0] != n)
      luaL_error(L, "users: features %s, expected [N,D] with N = %I", kk_shape_str(&t->shape, b), (lua_Integer)n);
    *d = t->shape.n[1];
    if (kk_type(t) == KK_F32 && sizeof(kk_real) == sizeof(float) && kk_contiguous(t))
      return kk_data(t);   /* lent: the tensor stays on the stack */
    float *x = users_block(L, (size_t)(n * *d), sizeof *x);
    for (int64_t i = 0; i < n * *d; i++) x[i] = (float)kk_get(t, kk_element_offset(t, i));
    return x;
  }
  if (!lua_istable(L, at) || (int64_t)lua_rawlen(L, at) != n)
    luaL_error(L, "users: features must be a tensor [N,D] or a list of %I lists", (lua_Integer)n);
  lua_rawgeti(L, at, 1);
  *d = lua_istable(L, -1) ? (int64_t)lua_rawlen(L, -1) : 0;
  lua_pop(L, 1);
  float *x = users_block(L, (size_t)(n * *d), sizeof *x);
  for (int64_t i = 0; i < n; i++) {
    lua_rawgeti(L, at, i + 1);
    if (!lua_istable(L, -1) || (int64_t)lua_rawlen(L, -1) != *d)
      luaL_error(L, "users: row %I of features is not a list of %I numbers", (lua_Integer)i + 1, (lua_Integer)*d);
    for (int64_t j = 0; j < *d; j++) {
      lua_rawgeti(L, -1, j + 1);
      if (lua_type(L, -1) != LUA_TNUMBER)
        luaL_error(L, "users: feature %I of row %I is not a number", (lua_Integer)j + 1, (lua_Integer)i + 1);
      x[i * *d + j] = (float)lua_tonumber(L, -1);
      lua_pop(L, 1);
    }
    lua_pop(L, 1);
  }
  return x;
}

typedef struct users_args {
  const float *x;
  uint8_t *label;
  int32_t *user;
  double *offset, *lambda, lambda0;
  int64_t n, d, nuser, nlambda;
  int folds;
  uint64_t seed;
} users_args;

static users_args users_read(lua_State *L) {
  static const char *const known[] = {"features", "labels", "users", "nuser", "offset", "lambda", "lambda0", "folds",
                                      "seed", "sample", NULL};
  users_args a = {0};
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  luaL_checkstack(L, 30, "users");
  kk_lua_check_opts(L, 1, known, "users");
  double *label = users_field(L, "labels", -1, &a.n);
  double *user = users_field(L, "users", a.n, NULL);
  a.offset = users_field(L, "offset", a.n, NULL);
  a.lambda = users_field(L, "lambda", -1, &a.nlambda);
  a.lambda0 = kk_lua_opt_number(L, 1, "lambda0", 0.5, 1e-9, 1e9);
  a.nuser = kk_lua_opt_integer(L, 1, "nuser", 1, 1, INT32_MAX);
  a.folds = (int)kk_lua_opt_integer(L, 1, "folds", 5, 0, INT32_MAX);
  a.seed = (uint64_t)kk_lua_opt_integer(L, 1, "seed", 1, 0, LUA_MAXINTEGER);
  if (a.n < 1) luaL_error(L, "users: there are no rows");
  if (a.nlambda < 1) luaL_error(L, "users: lambda is an empty list");
  a.x = users_features(L, a.n, &a.d);
  a.label = users_block(L, (size_t)a.n, 1);
  a.user = users_block(L, (size_t)a.n, sizeof *a.user);
  for (int64_t i = 0; i < a.n; i++) {
    if (label[i] != 1 && label[i] != 2)
      luaL_error(L, "users: label in row %I is %f, expected class 1 or 2 (classes count from 1)", (lua_Integer)i + 1,
        label[i]);
    if (!(user[i] >= 1 && user[i] <= (double)a.nuser))
      luaL_error(L, "users: person in row %I is %f, expected 1..%I", (lua_Integer)i + 1, user[i], (lua_Integer)a.nuser);
    a.label[i] = label[i] == 2;
    a.user[i] = (int32_t)user[i] - 1;
  }
  return a;
}

static void users_pushlist(lua_State *L, const double *v, int64_t n) {
  lua_createtable(L, n < INT32_MAX ? (int)n : 0, 0);
  for (int64_t i = 0; i < n; i++) {
    lua_pushnumber(L, v[i]);
    lua_rawseti(L, -2, i + 1);
  }
}

static int users_cross(lua_State *L) {
  users_args a = users_read(L);
  int64_t sample = kk_lua_opt_integer(L, 1, "sample", 400, 0, LUA_MAXINTEGER);
  double *logit = users_block(L, (size_t)a.n, sizeof *logit), *of = users_block(L, (size_t)a.nuser, sizeof *of);
  double *total = users_block(L, (size_t)a.nlambda, sizeof *total), *fold = users_block(L, (size_t)a.n, sizeof *fold);
  int top = 0;
  kk_users u;
  kk_err e;
  kk_status st = kk_users_new(&u, a.x, a.n, a.d, a.label, a.user, a.nuser, a.offset, a.folds, a.seed, &e);
  if (!st) {
    st = kk_users_tune(&u, a.lambda, (int)a.nlambda, a.lambda0, sample, logit, of, total, &top, NULL, NULL, &e);
    for (int64_t i = 0; i < a.n; i++) fold[i] = u.fold[i] + 1;
    kk_users_free(&u);
  }
  if (st) return kk_lua_fail(L, &e);
  lua_createtable(L, 0, 5);
  users_pushlist(L, logit, a.n);
  lua_setfield(L, -2, "logit");
  users_pushlist(L, fold, a.n);
  lua_setfield(L, -2, "fold");
  users_pushlist(L, of, a.nuser);
  lua_setfield(L, -2, "lambdas");
  users_pushlist(L, total, a.nlambda);
  lua_setfield(L, -2, "losses");
  lua_pushinteger(L, top + 1);
  lua_setfield(L, -2, "best");
  return 1;
}

static int users_fit(lua_State *L) {
  users_args a = users_read(L);
  double *db = users_block(L, (size_t)a.nuser, sizeof *db);
  float *dw = users_block(L, (size_t)(a.nuser * a.d), sizeof *dw);
  kk_shape s = {.ndim = 2, .n = {a.nuser, a.d}};
  kk_users u;
  kk_err e;
  kk_lua_pressure(L);
  kk_tensor **h = kk_lua_newtensor(L);
  int at = lua_gettop(L);
  kk_status st = a.d ? kk_tensor_new(KK_F32, &s, h, &e) : KK_OK;
  if (!st) st = kk_users_new(&u, a.x, a.n, a.d, a.label, a.user, a.nuser, a.offset, a.folds, a.seed, &e);
  if (!st) {
    st = kk_users_fit(&u, a.lambda[0], a.lambda0, a.d ? dw : NULL, db, &e);
    kk_users_free(&u);
  }
  if (st) return kk_lua_fail(L, &e);
  for (int64_t i = 0; i < a.nuser * a.d; i++) kk_real_data(*h)[i] = dw[i];
  if (a.d) kk_lua_adopt(L, *h);
  if (a.d) lua_pushvalue(L, at);
  else lua_pushnil(L);
  users_pushlist(L, db, a.nuser);
  return 2;
}

/* apply{features=, users=, offset=, w=, b=}: offset_i + w[user_i] . x_i + b[user_i]; user 0 has no head. */
static int users_apply(lua_State *L) {
  static const char *const known[] = {"features", "users", "offset", "w", "b", NULL};
  int64_t n, d, nw = 0, nb;
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  luaL_checkstack(L, 30, "users");
  kk_lua_check_opts(L, 1, known, "users");
  double *user = users_field(L, "users", -1, &n), *offset = users_field(L, "offset", n, NULL);
  double *b = users_field(L, "b", -1, &nb), *w = NULL;
  const float *x = users_features(L, n, &d);
  if (x) w = users_field(L, "w", -1, &nw);
  if (x && nw != nb * d)
    return luaL_error(L, "users: w has %I numbers, expected %I heads of %I features", (lua_Integer)nw, (lua_Integer)nb,
                      (lua_Integer)d);
  for (int64_t i = 0; i < n; i++) {
    if (!(user[i] >= 0 && user[i] <= (double)nb))
      return luaL_error(L, "users: person in row %I is %f, expected 0..%I", (lua_Integer)i + 1, user[i],
        (lua_Integer)nb);
    int64_t k = (int64_t)user[i] - 1;
    double v = offset[i];
    for (int64_t j = 0; k >= 0 && x && j < d; j++) v += w[k * d + j] * x[i * d + j];
    offset[i] = k < 0 ? v : v + b[k];
  }
  users_pushlist(L, offset, n);
  return 1;
}

#define USERS_ARGS \
  "labels [N] classes 1 and 2; users [N] dense numbers 1..nuser; offset [N] the general head's logit; features [N,D]\n" \
  "of a frozen encoder; lambda a list of penalties on the deviation of the weights (math.huge: intercept only), from\n" \
  "strong to weak; lambda0 (.5) the penalty on the intercept; folds (5; 0: leave one out), stratified within a\n" \
  "person; seed.\n"
static const kk_reg users_funcs[] = {
  {"cross", users_cross, "cross{labels=, users=, nuser=, offset=, features=, lambda=, ...} -> {logit, fold, lambdas, "
   "losses, best}\n" USERS_ARGS
   "Out-of-fold logits, each person at the lambda that is best for the others; losses: mean log-loss of each lambda "
   "over the persons it was searched on: sample (400; 0: all) of them, evenly spread."},
  {"fit", users_fit, "fit{labels=, users=, nuser=, offset=, features=, lambda={number}, ...} -> dw [U,D] (nil without "
   "features), db\n" USERS_ARGS
   "What to add to the general weights and bias for each person, fitted on all rows."},
  {"apply", users_apply, "apply{features=, users=, offset=, w=, b=} -> list of logits\noffset + w[user].x + b[user] "
   "for every row; w [U,D], b [U]; "
   "user 0 is somebody without a head. Without features b alone."},
  {0},
};

KK_BIND(users) {
  lua_newtable(L);
  kk_lua_funcs(L, users_funcs);
  lua_setfield(L, -2, "users");
}
