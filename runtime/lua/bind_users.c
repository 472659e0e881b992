/* bind_users.c -- kooka.core.users: the solver of per-person heads. kooka.users gives it methods,
** defaults and reports. Every array lives in memory that Lua owns, so an error may be raised anywhere;
** what the core allocates is released before anything is pushed. */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "lua/lua_users.h"
#include "lua/lua_util.h"
#include "tensor/tensor.h"
#include "users/heads.h"

typedef struct users_args {
  const float *x;
  uint8_t *label;
  int32_t *user;
  double *offset, *lambda, *mean, lambda0, pseudo, scale;
  int64_t n, d, nuser, nlambda;
  int folds, heads;
  kk_rung rung;
  uint64_t seed;
} users_args;

static kk_rung users_rung(lua_State *L) {
  static const char *const names[] = {"map", "ridge", "firth", "flic", "prototypes"};
  const char *name = kk_lua_opt_string(L, 1, "rung", "map");
  for (int i = 0; i < 5; i++)
    if (strcmp(name, names[i]) == 0) return (kk_rung)i;
  luaL_error(L, "users: rung is '%s', expected map, ridge, firth, flic or prototypes", name);
  return KK_RUNG_MAP;
}

static users_args users_read(lua_State *L) {
  static const char *const known[] = {"features", "labels", "users", "nuser", "offset", "lambda", "lambda0", "folds",
                                      "seed", "sample", "rung", "pseudo", "heads", "mean", "scale", NULL};
  users_args a = {0};
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  luaL_checkstack(L, 30, "users");
  kk_lua_check_opts(L, 1, known, "users");
  a.label = kk_lua_users_labels(L, -1, &a.n);
  a.nuser = kk_lua_opt_integer(L, 1, "nuser", 1, 1, INT32_MAX);
  a.user = kk_lua_users_ids(L, a.n, a.nuser);
  a.offset = kk_lua_users_field(L, "offset", a.n, NULL);
  a.lambda = kk_lua_users_field(L, "lambda", -1, &a.nlambda);
  a.lambda0 = kk_lua_opt_number(L, 1, "lambda0", 0.5, 1e-9, 1e9);
  a.folds = (int)kk_lua_opt_integer(L, 1, "folds", 5, -INT32_MAX, INT32_MAX);
  a.seed = (uint64_t)kk_lua_opt_integer(L, 1, "seed", 1, 0, LUA_MAXINTEGER);
  a.pseudo = kk_lua_opt_number(L, 1, "pseudo", 4, 0, 1e9);
  a.heads = kk_lua_opt_boolean(L, 1, "heads", 0);
  a.rung = users_rung(L);
  if (a.n < 1) luaL_error(L, "users: there are no rows");
  if (a.nlambda < 1) luaL_error(L, "users: lambda is an empty list");
  a.x = kk_lua_users_features(L, a.n, &a.d);
  a.scale = kk_lua_opt_number(L, 1, "scale", 0, 0, 1e300);
  if (a.d && lua_getfield(L, 1, "mean") != LUA_TNIL) a.mean = kk_lua_users_field(L, "mean", a.d, NULL);
  return a;
}

static kk_status users_open(const users_args *a, kk_users *u, kk_err *e) {
  kk_status st = kk_users_new(u, a->x, a->n, a->d, a->label, a->user, a->nuser, a->offset, a->folds, a->seed, e);
  u->rung = a->rung;
  u->pseudo = a->pseudo;
  if (!st && a->rung == KK_RUNG_PROTO) {
    st = kk_users_whole(u, e);
    if (st) kk_users_free(u);
  }
  if (!st && a->mean) memcpy(u->mean, a->mean, (size_t)a->d * sizeof *u->mean);
  if (!st && a->scale > 0) u->scale = a->scale;
  return st;
}

/* Pushes an empty handle; *w is NULL where no heads are wanted. */
static kk_tensor **users_heads(lua_State *L, const users_args *a, int wanted, kk_status *st, kk_err *e) {
  kk_shape s = {.ndim = 2, .n = {a->nuser, a->d}};
  kk_lua_pressure(L);
  kk_tensor **h = kk_lua_newtensor(L);
  *st = a->d && wanted ? kk_tensor_new(KK_F32, &s, h, e) : KK_OK;
  return h;
}

static void users_real(kk_tensor *t, const float *w) {
  if (sizeof(kk_real) == sizeof(float)) return;
  for (int64_t i = 0; i < kk_numel(&t->shape); i++) kk_real_data(t)[i] = (kk_real)w[i];
}

/* Where the core writes weights: straight into the tensor, or beside it where reals are doubles. */
static float *users_weights(lua_State *L, const users_args *a, kk_tensor *t) {
  if (!t) return NULL;
  if (sizeof(kk_real) == sizeof(float)) return (float *)(void *)kk_real_data(t);
  return kk_lua_users_block(L, (size_t)(a->nuser * a->d), sizeof(float));
}

static void users_set_counts(lua_State *L, const char *name, const double *v, int64_t n) {
  lua_createtable(L, n < INT32_MAX ? (int)n : 0, 0);
  for (int64_t i = 0; i < n; i++) {
    lua_pushinteger(L, (lua_Integer)v[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, name);
}

static void users_set(lua_State *L, const char *name, const double *v, int64_t n) {
  kk_lua_users_pushlist(L, v, n);
  lua_setfield(L, -2, name);
}

static void users_tell(const kk_users *u, double *ones, double *rows, double *mean, double *scale) {
  for (int64_t k = 0; k < u->nuser; k++) {
    ones[k] = (double)u->positives[k];
    rows[k] = (double)(u->start[k + 1] - u->start[k]);
  }
  memcpy(mean, u->mean, (size_t)u->d * sizeof *mean);
  *scale = u->scale;
}

/* Logits with the intercepts of a person's folds replaced by their mean, as probabilities in place. A fold's head has not
** seen the labels of its own rows, so its intercept leans away from them: by that alone rows of different folds
** would be ranked upside down (Forman and Scholz 2010). */
static void users_rank(const users_args *a, const double *logit, double *shift, double *mean, const double *rows) {
  memset(mean, 0, (size_t)a->nuser * sizeof *mean);
  for (int64_t i = 0; i < a->n; i++) mean[a->user[i]] += shift[i] / rows[a->user[i]];
  for (int64_t i = 0; i < a->n; i++) shift[i] = 1 / (1 + exp(shift[i] - mean[a->user[i]] - logit[i]));
}

static int users_cross(lua_State *L) {
  users_args a = users_read(L);
  int64_t sample = kk_lua_opt_integer(L, 1, "sample", 400, 0, LUA_MAXINTEGER);
  double *logit = kk_lua_users_block(L, (size_t)a.n, sizeof *logit), *of = kk_lua_users_block(L, (size_t)a.nuser, sizeof *of);
  double *total = kk_lua_users_block(L, (size_t)a.nlambda, sizeof *total), *fold = kk_lua_users_block(L, (size_t)a.n, sizeof *fold);
  double *db = kk_lua_users_block(L, (size_t)a.nuser, sizeof *db), *ones = kk_lua_users_block(L, (size_t)a.nuser, sizeof *ones);
  double *rows = kk_lua_users_block(L, (size_t)a.nuser, sizeof *rows), scale = 1;
  double *mean = kk_lua_users_block(L, (size_t)a.d, sizeof *mean);
  double *shift = a.heads ? kk_lua_users_block(L, (size_t)a.n, sizeof *shift) : NULL;
  int top = 0;
  kk_users u;
  kk_err e;
  kk_status st;
  kk_tensor **h = users_heads(L, &a, a.heads, &st, &e);
  int at = lua_gettop(L);
  if (st) return kk_lua_fail(L, &e);
  float *dw = users_weights(L, &a, *h);
  st = users_open(&a, &u, &e);
  if (!st) {
    u.shift = shift;
    if (shift) memset(shift, 0, (size_t)a.n * sizeof *shift);
    st = kk_users_tune(&u, a.lambda, (int)a.nlambda, a.lambda0, sample, logit, of, total, &top, dw, a.heads ? db : NULL, &e);
    for (int64_t i = 0; i < a.n; i++) fold[i] = u.fold[i] + 1;
    users_tell(&u, ones, rows, mean, &scale);
    kk_users_free(&u);
  }
  if (st) return kk_lua_fail(L, &e);
  if (*h) {
    users_real(*h, dw);
    kk_lua_adopt(L, *h);
  }
  if (shift) users_rank(&a, logit, shift, kk_lua_users_block(L, (size_t)a.nuser, sizeof *shift), rows);
  for (int64_t i = 0; i < a.n; i++) logit[i] = 1 / (1 + exp(-logit[i]));
  for (int64_t i = 0; i < a.n; i++) a.offset[i] = 1 / (1 + exp(-a.offset[i]));
  lua_createtable(L, 0, 12);
  users_set(L, "prob", logit, a.n);
  users_set(L, "global", a.offset, a.n);
  users_set_counts(L, "fold", fold, a.n);
  users_set(L, "lambdas", of, a.nuser);
  users_set(L, "losses", total, a.nlambda);
  users_set_counts(L, "positives", ones, a.nuser);
  users_set_counts(L, "rows", rows, a.nuser);
  if (a.heads) users_set(L, "b", db, a.nuser);
  if (shift) users_set(L, "rank", shift, a.n);
  if (*h) {
    lua_pushvalue(L, at);
    lua_setfield(L, -2, "w");
  }
  if (a.d) users_set(L, "mean", mean, a.d);
  lua_pushnumber(L, scale);
  lua_setfield(L, -2, "scale");
  lua_pushinteger(L, top + 1);
  lua_setfield(L, -2, "best");
  return 1;
}

static int users_fit(lua_State *L) {
  users_args a = users_read(L);
  double *db = kk_lua_users_block(L, (size_t)a.nuser, sizeof *db), *ones = kk_lua_users_block(L, (size_t)a.nuser, sizeof *ones);
  double *rows = kk_lua_users_block(L, (size_t)a.nuser, sizeof *rows), scale = 1;
  double *mean = kk_lua_users_block(L, (size_t)a.d, sizeof *mean);
  kk_users u;
  kk_err e;
  kk_status st;
  kk_tensor **h = users_heads(L, &a, 1, &st, &e);
  int at = lua_gettop(L);
  if (st) return kk_lua_fail(L, &e);
  float *dw = users_weights(L, &a, *h);
  st = users_open(&a, &u, &e);
  if (!st) {
    st = kk_users_fit(&u, a.lambda[0], a.lambda0, dw, db, &e);
    users_tell(&u, ones, rows, mean, &scale);
    kk_users_free(&u);
  }
  if (st) return kk_lua_fail(L, &e);
  if (a.d) {
    users_real(*h, dw);
    kk_lua_adopt(L, *h);
    lua_pushvalue(L, at);
  } else {
    lua_pushnil(L);
  }
  kk_lua_users_pushlist(L, db, a.nuser);
  lua_createtable(L, 0, 4);
  users_set_counts(L, "positives", ones, a.nuser);
  users_set_counts(L, "rows", rows, a.nuser);
  if (a.d) users_set(L, "mean", mean, a.d);
  lua_pushnumber(L, scale);
  lua_setfield(L, -2, "scale");
  return 3;
}

/* index(ids): dense numbers in order of first appearance. */
static int users_index(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  lua_Integer n = (lua_Integer)lua_rawlen(L, 1), count = 0;
  lua_createtable(L, (int)n, 0);                 /* 2: numbers */
  lua_newtable(L);                               /* 3: names */
  lua_newtable(L);                               /* 4: number of a name */
  for (lua_Integer i = 1; i <= n; i++) {
    lua_rawgeti(L, 1, i);
    if (lua_isnil(L, -1) || (lua_type(L, -1) == LUA_TNUMBER && lua_tonumber(L, -1) != lua_tonumber(L, -1)))
      return luaL_error(L, "users: the id of row %I is %s", i, lua_isnil(L, -1) ? "missing" : "nan");
    lua_pushvalue(L, -1);
    if (lua_rawget(L, 4) == LUA_TNIL) {
      lua_pushvalue(L, -2);
      lua_rawseti(L, 3, ++count);
      lua_pushvalue(L, -2);
      lua_pushinteger(L, count);
      lua_rawset(L, 4);
      lua_pop(L, 1);
      lua_pushinteger(L, count);
    }
    lua_rawseti(L, 2, i);
    lua_pop(L, 1);
  }
  lua_pushvalue(L, 2);
  lua_pushinteger(L, count);
  lua_pushvalue(L, 3);
  return 3;
}

/* Field w or b: a float32 tensor as it lies (lent, it stays on the stack), or n numbers (n = -1: any) copied. */
static const float *users_numbers(lua_State *L, const char *name, int64_t n, int64_t *got) {
  lua_getfield(L, 1, name);
  kk_tensor *t = lua_isuserdata(L, -1) ? kk_lua_testtensor(L, -1) : NULL;
  if (t && kk_live(t) && kk_type(t) == KK_F32 && sizeof(kk_real) == sizeof(float) && kk_contiguous(t)) {
    *got = kk_numel(&t->shape);
    if (n >= 0 && *got != n) luaL_error(L, "users: %s has %I numbers, expected %I", name, (lua_Integer)*got, (lua_Integer)n);
    return kk_data(t);
  }
  double *v = kk_lua_users_field(L, name, -1, got);
  float *to = kk_lua_users_block(L, (size_t)*got, sizeof *to);
  for (int64_t i = 0; i < *got; i++) to[i] = (float)v[i];
  return to;
}

static double users_dot(const float *w, const float *x, int64_t d) {
  double sum[4] = {0};
  int64_t j = 0;
  for (; j + 4 <= d; j += 4)
    for (int l = 0; l < 4; l++) sum[l] += (double)w[j + l] * (double)x[j + l];
  for (; j < d; j++) sum[0] += (double)w[j] * (double)x[j];
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* apply{features=, users=, offset=, w=, b=}: offset_i + w[user_i] . x_i + b[user_i]; user 0 has no head. */
static int users_apply(lua_State *L) {
  static const char *const known[] = {"features", "users", "offset", "w", "b", NULL};
  int64_t n, d, nw = 0, nb, nf;
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  luaL_checkstack(L, 30, "users");
  kk_lua_check_opts(L, 1, known, "users");
  double *user = kk_lua_users_field(L, "users", -1, &n), *offset = kk_lua_users_field(L, "offset", n, NULL);
  lua_getfield(L, 1, "b");
  const bool list = lua_istable(L, -1);                    /* doubles, as fit gives them */
  const double *b = list ? kk_lua_users_field(L, "b", -1, &nb) : NULL;
  const float *bf = list ? NULL : users_numbers(L, "b", -1, &nf), *w = NULL;
  if (!list) nb = nf;
  const float *x = kk_lua_users_features(L, n, &d);
  if (x) w = users_numbers(L, "w", nb * d, &nw);
  if (x && nw != nb * d)
    return luaL_error(L, "users: w has %I numbers, expected %I heads of %I features", (lua_Integer)nw, (lua_Integer)nb,
                      (lua_Integer)d);
  for (int64_t i = 0; i < n; i++) {
    if (!(user[i] >= 0 && user[i] <= (double)nb))
      return luaL_error(L, "users: person in row %I is %f, expected 0..%I", (lua_Integer)i + 1, user[i],
        (lua_Integer)nb);
    int64_t k = (int64_t)user[i] - 1;
    if (k >= 0) offset[i] += (x ? users_dot(w + k * d, x + i * d, d) : 0) + (list ? b[k] : (double)bf[k]);
    if (!isfinite(offset[i]))
      return luaL_error(L, "users: the logit of row %I is not finite: its general logit or a feature is not", (lua_Integer)i + 1);
  }
  kk_lua_users_pushlist(L, offset, n);
  return 1;
}

/* one(w, b, k, x, offset): the same for one pair, with nothing made on the way. */
static int users_one(lua_State *L) {
  kk_tensor *w = kk_lua_checktensor(L, 1), *b = kk_lua_checktensor(L, 2), *x = kk_lua_checktensor(L, 4);
  lua_Integer k = luaL_checkinteger(L, 3);
  double v = luaL_checknumber(L, 5);
  int64_t d = w->shape.ndim == 2 ? w->shape.n[1] : 0;
  if (sizeof(kk_real) != sizeof(float) || w->shape.ndim != 2 || kk_type(w) != KK_F32 || kk_type(b) != KK_F32 || kk_type(x) != KK_F32
      || !kk_contiguous(w) || !kk_contiguous(b) || !kk_contiguous(x) || kk_numel(&b->shape) != w->shape.n[0]
      || kk_numel(&x->shape) != d)
    return luaL_error(L, "users: expected contiguous float32 w [U,D], b [U] and x [D]");
  luaL_argcheck(L, k >= 1 && k <= w->shape.n[0], 3, "no such person");
  v += users_dot((const float *)kk_data(w) + (k - 1) * d, kk_data(x), d) + (double)((const float *)kk_data(b))[k - 1];
  lua_pushnumber(L, 1 / (1 + exp(-v)));
  return 1;
}

#define USERS_ARGS \
  "labels [N] classes 1 and 2; users [N] dense numbers 1..nuser; offset [N] the general head's logit; features [N,D]\n" \
  "of a frozen encoder; lambda a list of penalties on the deviation of the weights (math.huge: intercept only), from\n" \
  "strong to weak; lambda0 (.5) the penalty on the intercept; folds (5; 0: leave one out), at random within a\n" \
  "person (-5: at most 5, each with a row of the person's smaller class; one such row alone: leave one out); seed; mean, scale:\n" \
  "of the features, where they are known from elsewhere; rung: map, ridge (one step toward it), firth, flic, prototypes (pseudo: rows that pull a class mean to\n" \
  "the others', 4). Papers: runtime/users/heads.h.\n"
static const kk_reg users_funcs[] = {
  {"cross", users_cross, "cross{labels=, users=, nuser=, offset=, features=, lambda=, heads=false, ...} -> {prob, global, "
   "fold, lambdas, losses, best, rows, positives, w, b}\n" USERS_ARGS
   "Out-of-fold probabilities of class 2, each person at the lambda that is best for the others; losses: mean log-loss of "
   "each lambda over the persons it was searched on: sample (400; 0: all) of them, evenly spread. rows, positives: of "
   "each person. heads: also w and b, as fit gives them, at the best lambda, and rank: prob with the intercepts of a person's "
   "folds replaced by their mean, by which rows of different folds can be ranked."},
  {"fit", users_fit, "fit{labels=, users=, nuser=, offset=, features=, lambda={number}, ...} -> dw [U,D] (nil without "
   "features), db, {rows, positives, mean, scale}\n" USERS_ARGS
   "What to add to the general weights and bias for each person, fitted on all rows."},
  {"one", users_one, "one(w, b, k, x, offset) -> P(class 2)\nsigmoid(offset + w[k].x + b[k]) of one message: float32 tensors w [U,D], "
   "b [U], x [D] (or [1,D]), k from 1."},
  {"index", users_index, "index(ids) -> list of numbers, count, names\nNumbers 1..count for a list of ids of any kind, in "
   "order of first appearance. Raises for a missing id."},
  {"apply", users_apply, "apply{features=, users=, offset=, w=, b=} -> list of logits\noffset + w[user].x + b[user] "
   "for every row; w [U,D], b [U]; "
   "user 0 is somebody without a head. Without features b alone. Raises where a logit is not finite."},
  {0},
};

KK_BIND(users) {
  kk_lua_users_table(L);
  kk_lua_funcs(L, users_funcs);
  lua_pop(L, 1);
}
