#include "lua/lua_util.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

static const char ctx_key = 0, docs_key = 0;   /* registry keys: their addresses */

kk_ctx *kk_lua_ctx(lua_State *L) { return lua_touserdata(L, lua_upvalueindex(1)); }

/* Pushes the context of this Lua universe, made at first use. */
static void util_pushctx(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &ctx_key) == LUA_TUSERDATA) return;
  lua_pop(L, 1);
  kk_ctx *c = lua_newuserdatauv(L, sizeof *c, 0);
  *c = (kk_ctx){0};
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &ctx_key);
}

/* Pushes the table function -> help text. Weak keys: a function that goes takes its text along. */
static void util_pushdocs(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &docs_key) == LUA_TTABLE) return;
  lua_pop(L, 1);
  lua_newtable(L);
  lua_newtable(L);
  lua_pushliteral(L, "k");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &docs_key);
}

void kk_lua_setdoc(lua_State *L, int f, const char *doc) {
  f = lua_absindex(L, f);
  util_pushdocs(L);
  lua_pushvalue(L, f);
  lua_pushstring(L, doc);
  lua_rawset(L, -3);
  lua_pop(L, 1);
}

int kk_lua_getdoc(lua_State *L) {       /* kooka.core.doc(f) -> text or nil */
  luaL_checkany(L, 1);
  util_pushdocs(L);
  lua_pushvalue(L, 1);
  lua_rawget(L, -2);
  return 1;
}

void kk_lua_funcs(lua_State *L, const kk_reg *r) {
  int t = lua_absindex(L, -1);
  for (; r->name; r++) {
    util_pushctx(L);
    lua_pushcclosure(L, r->f, 1);
    if (r->doc) kk_lua_setdoc(L, -1, r->doc);
    lua_setfield(L, t, r->name);
  }
}

void kk_lua_pushclosure(lua_State *L, lua_CFunction f, void *p) {
  util_pushctx(L);
  lua_pushlightuserdata(L, p);
  lua_pushcclosure(L, f, 2);
}

void kk_lua_methods(lua_State *L, const char *type) {
  luaL_newmetatable(L, type);
  if (lua_getfield(L, -1, "methods") != LUA_TTABLE) {
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "methods");
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "__index");
  }
  lua_remove(L, -2);
}

void kk_lua_type(lua_State *L, const char *type, const kk_reg *meta, const kk_reg *methods) {
  kk_lua_methods(L, type);
  if (methods) kk_lua_funcs(L, methods);
  lua_pop(L, 1);
  luaL_newmetatable(L, type);
  if (meta) kk_lua_funcs(L, meta);
  lua_pop(L, 1);
}

/* "%s" because a message may itself contain a '%'. */
int kk_lua_fail(lua_State *L, const kk_err *e) {
  if (!kk_status_is_world(e->code)) return luaL_error(L, "%s", e->msg);
  lua_pushnil(L);
  lua_pushstring(L, e->msg);
  lua_pushstring(L, kk_status_name(e->code));
  return 3;
}

/* Lua counts a handle as a few bytes, so garbage tensors never start a collection by themselves.
** - inside a scope nothing is done: the scope frees its tensors by itself; a stopped collector stays stopped;
** - every 8 MB of net growth is told to the collector as a step of that size;
** - when live memory doubles since the last full collection, run a full one, because the
**   generational mode never looks at old handles again otherwise. */
void kk_lua_pressure(lua_State *L) {
  enum { STEP = 8 << 20, FLOOR = 256 << 20 };
  kk_ctx *c = kk_lua_ctx(L);
  size_t live = kk_mem_live(), limit = 2 * c->floor > FLOOR ? 2 * c->floor : FLOOR;
  if (c->current || !lua_gc(L, LUA_GCISRUNNING)) return;
  if (live < c->hinted) c->hinted = live;
  if (live > limit) {
    lua_gc(L, LUA_GCCOLLECT);
    c->floor = c->hinted = kk_mem_live();
  } else if (live - c->hinted > STEP) {
    lua_gc(L, LUA_GCSTEP, (int)((live - c->hinted) >> 10));
    c->hinted = kk_mem_live();
  }
}

int kk_lua_callback(lua_State *L, int f, int nargs, int nresults) {
  f = lua_absindex(L, f);
  lua_pushvalue(L, f);
  lua_insert(L, -(nargs + 1));
  return lua_pcall(L, nargs, nresults, 0) == LUA_OK;
}

/* Pushes field name of the options at arg; returns its type, LUA_TNIL when there are no options. */
static int opt_get(lua_State *L, int arg, const char *name) {
  if (lua_isnoneornil(L, arg)) {
    lua_pushnil(L);
    return LUA_TNIL;
  }
  luaL_checktype(L, arg, LUA_TTABLE);
  return lua_getfield(L, arg, name);
}

double kk_lua_opt_number(lua_State *L, int arg, const char *name, double dflt, double min, double max) {
  double v = dflt;
  if (opt_get(L, arg, name) != LUA_TNIL) {
    if (!lua_isnumber(L, -1)) luaL_argerror(L, arg, lua_pushfstring(L, "option %s must be a number, got %s", name, luaL_typename(L, -1)));
    v = lua_tonumber(L, -1);
    if (!(v >= min && v <= max))
      luaL_argerror(L, arg, lua_pushfstring(L, "option %s is %f, expected %f..%f", name, v, min, max));
  }
  lua_pop(L, 1);
  return v;
}

lua_Integer kk_lua_opt_integer(lua_State *L, int arg, const char *name, lua_Integer dflt, lua_Integer min, lua_Integer max) {
  lua_Integer v = dflt;
  if (opt_get(L, arg, name) != LUA_TNIL) {
    int ok;
    v = lua_tointegerx(L, -1, &ok);
    if (!ok) luaL_argerror(L, arg, lua_pushfstring(L, "option %s must be an integer, got %s", name, luaL_tolstring(L, -1, NULL)));
    if (v < min || v > max)
      luaL_argerror(L, arg, lua_pushfstring(L, "option %s is %I, expected %I..%I", name, v, min, max));
  }
  lua_pop(L, 1);
  return v;
}

int kk_lua_opt_boolean(lua_State *L, int arg, const char *name, int dflt) {
  int v = opt_get(L, arg, name) == LUA_TNIL ? dflt : lua_toboolean(L, -1);
  lua_pop(L, 1);
  return v;
}

const char *kk_lua_opt_string(lua_State *L, int arg, const char *name, const char *dflt) {
  const char *v = dflt;
  if (opt_get(L, arg, name) != LUA_TNIL) {
    if (lua_type(L, -1) != LUA_TSTRING)
      luaL_argerror(L, arg, lua_pushfstring(L, "option %s must be a string, got %s", name, luaL_typename(L, -1)));
    v = lua_tostring(L, -1);
  }
  lua_pop(L, 1);
  return v;
}

void kk_lua_check_opts(lua_State *L, int arg, const char *const names[], const char *who) {
  if (lua_isnoneornil(L, arg)) return;
  luaL_checktype(L, arg, LUA_TTABLE);
  for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1)) {
    const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
    int i = 0;
    while (names[i] && strcmp(names[i], key) != 0) i++;
    if (!names[i]) {
      luaL_Buffer b;
      luaL_buffinit(L, &b);
      for (i = 0; names[i]; i++) {
        if (i) luaL_addstring(&b, ", ");
        luaL_addstring(&b, names[i]);
      }
      luaL_pushresult(&b);
      luaL_argerror(L, arg, lua_pushfstring(L, "%s has no option '%s' (options: %s)", who, key, lua_tostring(L, -1)));
    }
  }
}
