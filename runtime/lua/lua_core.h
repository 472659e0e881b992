/* lua_core.h -- the entry point of the bindings. */
#ifndef KK_LUA_CORE_H
#define KK_LUA_CORE_H

#include "lua.h"

#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
int luaopen_kooka_core(lua_State *L);

#endif
