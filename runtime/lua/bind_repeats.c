/* bind_repeats.c -- kooka.core.repeats: many models, predicted several times on the same rows, in one bootstrap. Lists are copied
** into memory that Lua owns, so an error can be raised at any point. */
#include <math.h>

#include "eval/repeats.h"
#include "lua/lua_util.h"

/* Pushes the list at field `key` (or at index i of the list on top); raises unless it has n entries (n < 0: any, but some). */
static int64_t repeats_list(lua_State *L, const char *what, int64_t n) {
  if (!lua_istable(L, -1)) luaL_error(L, "repeats: %s: expected a list, got a %s", what, luaL_typename(L, -1));
  const int64_t have = (int64_t)lua_rawlen(L, -1);
  if (n >= 0 ? have != n : have < 1)
    luaL_error(L, "repeats: %s has %I entries, expected %I", what, (lua_Integer)have, (lua_Integer)(n < 0 ? 1 : n));
  return have;
}

static double repeats_number(lua_State *L, int64_t i, const char *what) {
  lua_rawgeti(L, -1, i + 1);
  if (lua_type(L, -1) != LUA_TNUMBER)
    luaL_error(L, "repeats: %s: row %I is a %s, expected a number", what, (lua_Integer)i + 1, luaL_typename(L, -1));
  const double v = lua_tonumber(L, -1);
  lua_pop(L, 1);
  return v;
}

static void repeats_fill(lua_State *L, const char *field, kk_repeats *q, double *prob, uint8_t *pred) {
  lua_getfield(L, 1, field);
  repeats_list(L, field, q->models);
  for (int k = 0; k < q->models; k++) {
    lua_rawgeti(L, -1, k + 1);
    repeats_list(L, field, q->repeats);
    for (int r = 0; r < q->repeats; r++) {
      lua_rawgeti(L, -1, r + 1);
      repeats_list(L, field, q->n);
      for (int64_t i = 0; i < q->n; i++) {
        const double v = repeats_number(L, i, field);
        const int64_t at = ((int64_t)k * q->repeats + r) * q->n + i;
        if (prob) prob[at] = v;
        else if (v == 1 || v == 2) pred[at] = v == 2;
        else luaL_error(L, "repeats: pred: row %I is %f, expected class 1 or 2", (lua_Integer)i + 1, v);
      }
      lua_pop(L, 1);
    }
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

static void repeats_field(lua_State *L, const char *name, double v) {
  if (isnan(v)) return;
  lua_pushnumber(L, v);
  lua_setfield(L, -2, name);
}

static void repeats_push(lua_State *L, const kk_interval *v, int models) {
  lua_createtable(L, models, 0);
  for (int k = 0; k < models; k++) {
    lua_createtable(L, 0, KK_BIN_N);
    for (int i = 0; i < KK_BIN_N; i++) {
      const kk_interval *one = &v[k * KK_BIN_N + i];
      lua_createtable(L, 0, 6);
      repeats_field(L, "value", one->value);
      repeats_field(L, "low", one->low);
      repeats_field(L, "high", one->high);
      repeats_field(L, "se", one->se);
      repeats_field(L, "p", one->p);
      lua_pushinteger(L, (lua_Integer)one->defined);
      lua_setfield(L, -2, "defined");
      lua_setfield(L, -2, kk_binary_name(i));
    }
    lua_rawseti(L, -2, k + 1);
  }
}

static const int32_t *repeats_groups(lua_State *L, kk_plan *p) {
  if (lua_getfield(L, 1, "groups") == LUA_TNIL) {
    lua_pop(L, 1);
    return NULL;
  }
  repeats_list(L, "groups", p->n);
  p->ngroup = kk_lua_opt_integer(L, 1, "ngroup", 1, 1, INT32_MAX);
  int32_t *g = lua_newuserdatauv(L, (size_t)p->n * sizeof *g, 0);
  lua_insert(L, -2);
  for (int64_t i = 0; i < p->n; i++) {
    const double v = repeats_number(L, i, "groups");
    if (!(v >= 1 && v <= (double)p->ngroup)) luaL_error(L, "repeats: groups: row %I is %f", (lua_Integer)i + 1, v);
    g[i] = (int32_t)v - 1;
  }
  lua_pop(L, 1);
  return g;
}

static int repeats_score(lua_State *L) {
  static const char *const known[] = {"prob", "pred", "label", "reference", "level", "resamples", "seed", "groups", "ngroup", "eps", NULL};
  kk_repeats q = {0};
  kk_plan p = {0};
  kk_err e;
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  luaL_checkstack(L, 30, "repeats");
  kk_lua_check_opts(L, 1, known, "repeats");
  lua_getfield(L, 1, "prob");
  q.models = (int)repeats_list(L, "prob", -1);
  lua_rawgeti(L, -1, 1);
  q.repeats = (int)repeats_list(L, "prob", -1);
  lua_settop(L, 1);
  lua_getfield(L, 1, "label");
  q.n = p.n = repeats_list(L, "label", -1);
  uint8_t *label = lua_newuserdatauv(L, (size_t)q.n, 0);
  lua_insert(L, -2);
  for (int64_t i = 0; i < q.n; i++) {
    const double v = repeats_number(L, i, "label");
    if (v != 1 && v != 2) return luaL_error(L, "repeats: label in row %I is %f, expected class 1 or 2", (lua_Integer)i + 1, v);
    label[i] = v == 2;
  }
  lua_pop(L, 1);
  const size_t all = (size_t)q.models * (size_t)q.repeats * (size_t)q.n;
  double *prob = lua_newuserdatauv(L, all * sizeof *prob, 0);
  uint8_t *pred = lua_newuserdatauv(L, all, 0);
  repeats_fill(L, "prob", &q, prob, NULL);
  repeats_fill(L, "pred", &q, NULL, pred);
  q.prob = prob;
  q.pred = pred;
  q.label = label;
  q.eps = kk_lua_opt_number(L, 1, "eps", 1e-7, 0, .1);
  q.reference = (int)kk_lua_opt_integer(L, 1, "reference", 1, 1, q.models) - 1;
  p.resamples = (int)kk_lua_opt_integer(L, 1, "resamples", 1000, 0, 1000000);
  p.seed = (uint64_t)kk_lua_opt_integer(L, 1, "seed", 1, 0, LUA_MAXINTEGER);
  p.level = kk_lua_opt_number(L, 1, "level", .95, .5, .9999);
  p.group = repeats_groups(L, &p);
  kk_interval *out = lua_newuserdatauv(L, 2 * (size_t)q.models * KK_BIN_N * sizeof *out, 0), *diff = out + q.models * KK_BIN_N;
  if (kk_repeats_score(&q, &p, out, diff, &e)) return kk_lua_fail(L, &e);
  repeats_push(L, out, q.models);
  repeats_push(L, diff, q.models);
  return 2;
}

static const kk_reg repeats_funcs[] = {
  {"repeats", repeats_score,
   "repeats{prob = {{[N], ... a repeat}, ... a model}, pred = the same of classes 1 and 2, label = [N], reference = 1, resamples = 1000, level = .95, seed = 1, "
   "groups = nil, ngroup = nil, eps = 1e-7} -> metrics, differences\nEvery metric of kooka.eval.binary for every model, the mean over its repeats, and the "
   "same less the reference's, with bootstrap intervals over rows (or groups 1..ngroup): one set of resamples for all. kooka.eval.repeats names and words them."},
  {0},
};

KK_BIND(repeats) { kk_lua_funcs(L, repeats_funcs); }
