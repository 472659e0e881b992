/* lua_core.c -- luaopen_kooka_core: one table with everything the bindings define. */
#include "lua/lua_core.h"

#include <string.h>

#include "lua/lua_util.h"

extern void (*const kk_binds[])(lua_State *L);   /* generated from the files lua/bind_*.c */

static const kk_reg core_funcs[] = {
  {"doc", kk_lua_getdoc, "doc(f) -> string or nil\nThe help text of a function of the core."},
  {0},
};

/* The last searcher of require: "kooka.json" is the table json of the core unless a file says otherwise. */
static int core_found(lua_State *L) {
  lua_pushvalue(L, lua_upvalueindex(1));
  return 1;
}

static int core_search(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  if (strncmp(name, "kooka.", 6) == 0 && lua_getfield(L, lua_upvalueindex(1), name + 6) == LUA_TTABLE) {
    lua_pushcclosure(L, core_found, 1);
    lua_pushliteral(L, ":kooka.core:");
    return 2;
  }
  lua_pushfstring(L, "no table '%s' in kooka.core", name);
  return 1;
}

static void core_add_searcher(lua_State *L) {
  int core = lua_absindex(L, -1);
  if (lua_getglobal(L, "package") == LUA_TTABLE && lua_getfield(L, -1, "searchers") == LUA_TTABLE) {
    lua_pushvalue(L, core);
    lua_pushcclosure(L, core_search, 1);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  }
  lua_settop(L, core);
}

int luaopen_kooka_core(lua_State *L) {
  luaL_checkversion(L);
  lua_newtable(L);
  kk_lua_funcs(L, core_funcs);
  for (int i = 0; kk_binds[i]; i++) kk_binds[i](L);
  core_add_searcher(L);
  return 1;
}
