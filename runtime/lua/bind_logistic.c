/* bind_logistic.c -- kooka.core.logistic: linear heads on frozen features. Classes are 1 and 2; 2 is "positive". */
#include <string.h>

#include "linalg/logistic.h"
#include "lua/lua_tensor.h"

enum { MOST_PENALTIES = 100 };

static const float *logistic_features(lua_State *L, int arg, int64_t *n, int64_t *d) {
  kk_tensor *t = kk_lua_checktensor(L, arg);
  char b[KK_SHAPE_STR];
  if (t->shape.ndim != 2 || kk_type(t) != KK_F32)
    luaL_argerror(L, arg, lua_pushfstring(L, "expected float32 features [N,D], got %s", kk_shape_str(&t->shape, b)));
  if (!kk_contiguous(t)) luaL_argerror(L, arg, "features must be contiguous (call :contiguous())");
  *n = t->shape.n[0];
  *d = t->shape.n[1];
  luaL_argcheck(L, *n > 0 && *d > 0, arg, "there are no rows, or no features");
  return kk_data(t);
}

/* Number i of the list or tensor at `at`. */
static double logistic_number(lua_State *L, int at, kk_tensor *t, int64_t i) {
  if (t) return kk_get(t, kk_element_offset(t, i));
  lua_rawgeti(L, at, i + 1);
  const double v = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : -1;
  lua_pop(L, 1);
  return v;
}

static int64_t logistic_count(lua_State *L, int at, int arg, kk_tensor **t) {
  *t = lua_isuserdata(L, at) ? kk_lua_testtensor(L, at) : NULL;
  if (!*t && !lua_istable(L, at)) luaL_argerror(L, arg, "expected a list or a tensor");
  return *t ? kk_numel(&(*t)->shape) : (int64_t)lua_rawlen(L, at);
}

static uint8_t *logistic_labels(lua_State *L, int arg, int64_t n) {
  kk_tensor *t;
  const int64_t have = logistic_count(L, arg, arg, &t);
  if (have != n)
    luaL_argerror(L, arg, lua_pushfstring(L, "%I labels for %I rows", (lua_Integer)have, (lua_Integer)n));
  uint8_t *y = lua_newuserdatauv(L, (size_t)n + 1, 0);
  for (int64_t i = 0; i < n; i++) {
    const double v = logistic_number(L, arg, t, i);
    if (v != 1 && v != 2)
      luaL_argerror(L, arg, lua_pushfstring(L, "label %I is %f, expected class 1 or 2", (lua_Integer)i + 1, v));
    y[i] = v == 2;
  }
  return y;
}

/* Field name of the options as n numbers (n = -1: 1 to MOST_PENALTIES of them, or a single number); NULL when it is absent. */
static double *logistic_list(lua_State *L, int arg, const char *name, int64_t n, int *got) {
  kk_tensor *t;
  if (lua_isnoneornil(L, arg) || lua_getfield(L, arg, name) == LUA_TNIL) return NULL;
  const int at = lua_gettop(L);
  const int single = n == -1 && lua_type(L, at) == LUA_TNUMBER;
  const int64_t have = single ? 1 : logistic_count(L, at, arg, &t);
  if (n >= 0 ? have != n : have < 1 || have > MOST_PENALTIES)
    luaL_argerror(L, arg, lua_pushfstring(L, "%s has %I numbers, expected %I", name, (lua_Integer)have,
                                          (lua_Integer)(n < 0 ? 1 : n)));
  double *v = lua_newuserdatauv(L, (size_t)have * sizeof *v + 1, 0);
  for (int64_t i = 0; i < have; i++) v[i] = single ? lua_tonumber(L, at) : logistic_number(L, at, t, i);
  if (got) *got = (int)have;
  return v;
}

static kk_tensor **logistic_new(lua_State *L, int64_t rows, int64_t cols) {
  kk_shape s = {2, {rows, cols}};
  kk_tensor **h = kk_lua_newtensor(L);
  kk_err e;
  if (kk_tensor_new(KK_F32, &s, h, &e)) kk_lua_fail(L, &e);
  kk_lua_adopt(L, *h);
  return h;
}

static int logistic_path(lua_State *L) {
  static const char *const known[] = {"l2", "class_weights", "row_weights", "margins", "shift", "gamma", "tolerance", "steps", NULL};
  static const double one = 1e-2;
  kk_logistic q = {.class_weight = {1, 1}};
  int nl2 = 1;
  kk_err e;
  lua_settop(L, 3);
  luaL_checkstack(L, 20, "logistic");
  kk_lua_check_opts(L, 3, known, "logistic.path");
  q.x = logistic_features(L, 1, &q.n, &q.d);
  q.label = logistic_labels(L, 2, q.n);
  q.shift = kk_lua_opt_number(L, 3, "shift", 0, -1e6, 1e6);
  q.gamma = kk_lua_opt_number(L, 3, "gamma", 0, 0, 100);
  q.tolerance = kk_lua_opt_number(L, 3, "tolerance", 1e-6, 1e-14, 1);
  q.most_steps = (int)kk_lua_opt_integer(L, 3, "steps", 500, 1, 1000000);
  const double *l2 = logistic_list(L, 3, "l2", -1, &nl2);
  const double *weights = logistic_list(L, 3, "class_weights", 2, NULL), *margins = logistic_list(L, 3, "margins", 2, NULL);
  double *rows = logistic_list(L, 3, "row_weights", q.n, NULL);
  for (int c = 0; c < 2; c++) {
    if (weights) q.class_weight[c] = weights[c];
    if (margins) q.margin[c] = margins[c];
    luaL_argcheck(L, q.class_weight[c] >= 0 && q.class_weight[c] <= 1e30, 3, "class_weights: expected 0 or more");
  }
  if (rows) {                                       /* doubles become floats in place, first to last */
    float *to = (float *)rows;
    for (int64_t i = 0; i < q.n; i++) {
      const float v = (float)rows[i];
      memcpy(to + i, &v, sizeof v);
    }
    q.row_weight = to;
  }
  double *b = lua_newuserdatauv(L, (size_t)nl2 * sizeof *b, 0);
  int *steps = lua_newuserdatauv(L, (size_t)nl2 * sizeof *steps, 0);
  kk_lua_pressure(L);
  kk_tensor *w = *logistic_new(L, nl2, q.d);
  const int at = lua_gettop(L);
  if (kk_logistic_path(&q, l2 ? l2 : &one, nl2, (float *)kk_real_data(w), b, steps, &e)) return kk_lua_fail(L, &e);
  lua_pushvalue(L, at);
  lua_createtable(L, nl2, 0);
  lua_createtable(L, nl2, 0);
  for (int k = 0; k < nl2; k++) {
    lua_pushnumber(L, b[k]);
    lua_rawseti(L, -3, k + 1);
    lua_pushinteger(L, steps[k]);
    lua_rawseti(L, -2, k + 1);
  }
  return 3;
}

static int logistic_prob(lua_State *L) {
  int64_t n, d, nl2, dw;
  lua_settop(L, 3);
  const float *x = logistic_features(L, 1, &n, &d), *w = logistic_features(L, 2, &nl2, &dw);
  if (dw != d)
    return luaL_argerror(L, 2, lua_pushfstring(L, "weights of %I features, the rows have %I", (lua_Integer)dw, (lua_Integer)d));
  kk_tensor *t;
  if (logistic_count(L, 3, 3, &t) != nl2) return luaL_argerror(L, 3, "expected one constant for each row of weights");
  double *b = lua_newuserdatauv(L, (size_t)nl2 * sizeof *b, 0);
  for (int64_t k = 0; k < nl2; k++) b[k] = logistic_number(L, 3, t, k);
  double *prob = lua_newuserdatauv(L, (size_t)(nl2 * n) * sizeof *prob, 0);
  kk_logistic_prob(x, n, d, w, b, (int)nl2, prob);
  lua_createtable(L, (int)nl2, 0);
  for (int64_t k = 0; k < nl2; k++) {
    lua_createtable(L, (int)n, 0);
    for (int64_t i = 0; i < n; i++) {
      lua_pushnumber(L, prob[k * n + i]);
      lua_rawseti(L, -2, i + 1);
    }
    lua_rawseti(L, -2, k + 1);
  }
  return 1;
}

static const kk_reg logistic_funcs[] = {
  {"path", logistic_path,
   "path(x [N,D], labels [N], {l2 = .01 or a list, ...}) -> w [K,D], list of constants, list of steps\nLinear heads for classes 1 and 2, "
   "one for each of K penalties: the minimum of sum v loss / sum v + l2/2 |u|^2, u the weights in units in which the centred rows have a "
   "mean squared norm of 1; the constant is free. Each begins at the one before: give penalties from strong to weak.\nOptions: class_weights {w1, w2}; "
   "row_weights [N]; gamma (0; above: the focal loss, Lin et al. 2017); shift (0), added to the logit in training (logit adjustment, Menon "
   "et al. 2021: log(n2/n1)); margins {m1, m2} (LDAM, Cao et al. 2019); tolerance = 1e-6 of the gradient; steps = 500 at most.\nL-BFGS. Raises for "
   "one class only, and for features that are not finite, by row and feature."},
  {"prob", logistic_prob, "prob(x [N,D], w [K,D], constants) -> K lists of N probabilities of class 2\nsigmoid(w x + b)."},
  {0},
};

KK_BIND(logistic) {
  lua_newtable(L);
  kk_lua_funcs(L, logistic_funcs);
  lua_setfield(L, -2, "logistic");
}
