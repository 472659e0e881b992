#include "lua/lua_texts.h"

#include <string.h>

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

kk_tfidf_opts kk_lua_terms(lua_State *L, int arg) {
  static const char *const names[] = {"signs", "words", "characters", "cased characters"};
  kk_tfidf_opts o = KK_TFIDF_DEFAULTS;
  o.ngrams = (int)kk_lua_opt_integer(L, arg, "ngrams", o.ngrams, 1, 8);
  o.min_df = kk_lua_opt_integer(L, arg, "min_df", o.min_df, 1, 1 << 30);
  o.max_df = kk_lua_opt_number(L, arg, "max_df", o.max_df, 0, 1);
  o.sublinear = kk_lua_opt_boolean(L, arg, "sublinear", o.sublinear);
  const char *tokens = kk_lua_opt_string(L, arg, "tokens", names[KK_SIGNS]);
  int at = KK_SIGNS;
  while (at <= KK_CASED && strcmp(tokens, names[at]) != 0) at++;
  luaL_argcheck(L, at <= KK_CASED, arg,
                "option tokens: expected \"signs\", \"words\", \"characters\" or \"cased characters\"");
  o.tokens = (kk_tokens)at;
  return o;
}
