#include "lua/lua_texts.h"

kk_texts kk_lua_texts(lua_State *L, int arg) {
  kk_texts t = {0};
  luaL_checktype(L, arg, LUA_TTABLE);
  t.n = (size_t)lua_rawlen(L, arg);
  for (size_t i = 0; i < t.n; i++) {
    if (lua_rawgeti(L, arg, (lua_Integer)i + 1) != LUA_TSTRING)
      luaL_argerror(L, arg, lua_pushfstring(L, "expected a list of strings, text %I is %s", (lua_Integer)i + 1,
                                            luaL_typename(L, -1)));
    lua_pop(L, 1);
  }
  const char **p = lua_newuserdatauv(L, (t.n + 1) * (sizeof *p + sizeof(size_t)), 0);
  size_t *len = (size_t *)(p + t.n + 1);
  for (size_t i = 0; i < t.n; i++) {
    lua_rawgeti(L, arg, (lua_Integer)i + 1);
    p[i] = lua_tolstring(L, -1, &len[i]);
    lua_pop(L, 1);
  }
  t.p = p;
  t.len = len;
  return t;
}
