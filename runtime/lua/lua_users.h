/* lua_users.h -- arrays of rows from Lua, for the bindings about persons. Everything lives in memory that Lua owns. */
#ifndef KK_LUA_USERS_H
#define KK_LUA_USERS_H

#include <stdint.h>

#include "lua.h"

void *kk_lua_users_block(lua_State *L, size_t n, size_t size);      /* pushes n items of memory */
/* Field name of the table at 1 as n doubles (n = -1: any length, returned in *got); true is 2. Raises. */
double *kk_lua_users_field(lua_State *L, const char *name, int64_t n, int64_t *got);
/* features [N,D] as float, contiguous; a tensor or a list of lists. NULL and d = 0 when absent. */
const float *kk_lua_users_features(lua_State *L, int64_t n, int64_t *d);
/* Fields labels (classes 1 and 2, as 0 and 1) and users (1..nuser, as 0..). */
uint8_t *kk_lua_users_labels(lua_State *L, int64_t n, int64_t *got);
int32_t *kk_lua_users_ids(lua_State *L, int64_t n, int64_t nuser);
void kk_lua_users_pushlist(lua_State *L, const double *v, int64_t n);
/* Pushes the table kooka.core.users; the table kooka.core is on top before. */
void kk_lua_users_table(lua_State *L);

#endif
