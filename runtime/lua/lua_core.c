/* lua_core.c -- luaopen_kooka_core: one table with everything the bindings define. */
#include "lua/lua_core.h"

#include "lua/lua_util.h"

extern void (*const kk_binds[])(lua_State *L);   /* generated from the files lua/bind_*.c */

static const kk_reg core_funcs[] = {
  {"doc", kk_lua_getdoc, "doc(f) -> string or nil\nThe help text of a function of the core."},
  {0},
};

int luaopen_kooka_core(lua_State *L) {
  luaL_checkversion(L);
  lua_newtable(L);
  kk_lua_funcs(L, core_funcs);
  for (int i = 0; kk_binds[i]; i++) kk_binds[i](L);
  return 1;
}
