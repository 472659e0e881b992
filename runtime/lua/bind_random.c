/* bind_random.c -- named deterministic random streams. */
#include <string.h>

#include "base/mem.h"
#include "lua/lua_scope.h"
#include "tensor/tensor.h"

#define KK_STREAM "kooka.stream"

static const char op_stream_key = 0;      /* registry key of the ops' default stream */

kk_stream *kk_lua_checkstream(lua_State *L, int arg) { return luaL_checkudata(L, arg, KK_STREAM); }

static kk_stream *stream_push(lua_State *L, uint64_t seed, const char *name) {
  kk_stream *s = lua_newuserdatauv(L, sizeof *s, 0);
  *s = kk_stream_named(seed, name);
  luaL_setmetatable(L, KK_STREAM);
  return s;
}

kk_stream *kk_lua_stream(lua_State *L) {
  kk_stream *s;
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &op_stream_key) != LUA_TUSERDATA) {
    lua_pop(L, 1);
    stream_push(L, 1, "op");
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &op_stream_key);
  }
  s = lua_touserdata(L, -1);               /* the registry keeps it alive */
  lua_pop(L, 1);
  return s;
}

static int stream_new(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  stream_push(L, (uint64_t)luaL_optinteger(L, 2, 1), name);
  return 1;
}

static int stream_seed(lua_State *L) {
  *kk_lua_stream(L) = kk_stream_named((uint64_t)luaL_checkinteger(L, 1), "op");
  return 0;
}

static int stream_ops(lua_State *L) {      /* the default stream itself, for checkpoints */
  kk_lua_stream(L);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &op_stream_key);
  return 1;
}

static int stream_uniform(lua_State *L) {
  kk_stream *s = kk_lua_checkstream(L, 1);
  double lo = luaL_optnumber(L, 2, 0), hi = luaL_optnumber(L, 3, 1);
  lua_pushnumber(L, lo + (hi - lo) * kk_random_uniform(kk_stream_key(s), 0));
  return 1;
}

static int stream_normal(lua_State *L) {
  kk_stream *s = kk_lua_checkstream(L, 1);
  double mean = luaL_optnumber(L, 2, 0), sd = luaL_optnumber(L, 3, 1);
  lua_pushnumber(L, mean + sd * kk_random_normal(kk_stream_key(s), 0));
  return 1;
}

static int stream_below(lua_State *L) {
  kk_stream *s = kk_lua_checkstream(L, 1);
  lua_Integer n = luaL_checkinteger(L, 2);
  luaL_argcheck(L, n >= 1, 2, "expected 1 or more");
  lua_pushinteger(L, (lua_Integer)kk_random_below(kk_stream_key(s), 0, (uint64_t)n) + 1);
  return 1;
}

static int stream_shuffle(lua_State *L) {
  kk_stream *s = kk_lua_checkstream(L, 1);
  lua_Integer n;
  uint64_t key;
  if (lua_isinteger(L, 2)) {
    n = lua_tointeger(L, 2);
    luaL_argcheck(L, n >= 0 && n <= INT32_MAX, 2, "expected 0 .. 2^31-1");
    lua_createtable(L, (int)n, 0);
    for (lua_Integer i = 1; i <= n; i++) {
      lua_pushinteger(L, i);
      lua_rawseti(L, -2, i);
    }
  } else {
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    n = (lua_Integer)lua_rawlen(L, 2);
  }
  key = kk_stream_key(s);
  for (lua_Integer i = n; i > 1; i--) {
    lua_Integer j = (lua_Integer)kk_random_below(key, (uint64_t)i - 1, (uint64_t)i) + 1;
    lua_rawgeti(L, -1, i);
    lua_rawgeti(L, -2, j);
    lua_rawseti(L, -3, i);
    lua_rawseti(L, -2, j);
  }
  return 1;
}

static int stream_fork(lua_State *L) {
  kk_stream *s = kk_lua_checkstream(L, 1);
  const char *name = luaL_checkstring(L, 2);
  stream_push(L, s->seed, name);
  return 1;
}

static int stream_state(lua_State *L) {
  kk_stream *s = kk_lua_checkstream(L, 1);
  if (!lua_isnoneornil(L, 2)) {
    s->seed = (uint64_t)luaL_checkinteger(L, 2);
    s->count = (uint64_t)luaL_checkinteger(L, 3);
  }
  lua_pushinteger(L, (lua_Integer)s->seed);
  lua_pushinteger(L, (lua_Integer)s->count);
  return 2;
}

/* Fills a float32 tensor in place; element i is drawn from counter i of one key. */
static int stream_fill(lua_State *L, int normal) {
  kk_stream *s = kk_lua_checkstream(L, 1);
  kk_tensor *t = kk_lua_checktensor(L, 2);
  double a = luaL_optnumber(L, 3, 0), b = luaL_optnumber(L, 4, 1);
  kk_err e;
  uint64_t key;
  luaL_argcheck(L, kk_type(t) == KK_F32, 2, "expected a float32 tensor");
  if (kk_writable(t, "fill", &e)) return kk_lua_fail(L, &e);
  key = kk_stream_key(s);
  for (int64_t i = 0, n = kk_numel(&t->shape); i < n; i++) {
    double v = normal ? a + b * kk_random_normal(key, (uint64_t)i) : a + (b - a) * kk_random_uniform(key, (uint64_t)i);
    ((kk_real *)t->store->data)[kk_element_offset(t, i)] = (kk_real)v;
  }
  lua_settop(L, 2);
  return 1;
}
static int stream_fill_uniform(lua_State *L) { return stream_fill(L, 0); }
static int stream_fill_normal(lua_State *L) { return stream_fill(L, 1); }

static const kk_reg stream_methods[] = {
  {"uniform", stream_uniform, "stream:uniform([lo = 0[, hi = 1]]) -> number in [lo, hi)"},
  {"normal", stream_normal, "stream:normal([mean = 0[, sd = 1]]) -> number"},
  {"below", stream_below, "stream:below(n) -> integer in 1 .. n"},
  {"shuffle", stream_shuffle, "stream:shuffle(list) -> list, shuffled in place\nstream:shuffle(n) -> a random order of 1 .. n"},
  {"fork", stream_fork, "stream:fork(name) -> stream\nA stream of its own, decided by this stream's seed and the name."},
  {"state", stream_state, "stream:state([seed, count]) -> seed, count\nReads or sets the whole state, for checkpoints."},
  {"fill_uniform", stream_fill_uniform, "stream:fill_uniform(t[, lo = 0[, hi = 1]]) -> t"},
  {"fill_normal", stream_fill_normal, "stream:fill_normal(t[, mean = 0[, sd = 1]]) -> t"},
  {0},
};

static const kk_reg stream_funcs[] = {
  {"random", stream_new, "random(name[, seed = 1]) -> stream\nThe stream of that name and seed: counter-based Philox4x32-10 (Salmon et al., SC 2011).\n"
   "What one stream draws does not depend on the others."},
  {"seed", stream_seed, "seed(n)\nStarts the ops' own stream (dropout and the like) from n."},
  {"op_stream", stream_ops, "op_stream() -> stream\nThe stream that random ops draw from."},
  {0},
};

KK_BIND(random) {
  kk_lua_type(L, KK_STREAM, NULL, stream_methods);
  kk_lua_funcs(L, stream_funcs);
}
