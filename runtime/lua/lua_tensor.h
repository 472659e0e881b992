/* lua_tensor.h -- what the binding files about tensors share. */
#ifndef KK_LUA_TENSOR_H
#define KK_LUA_TENSOR_H

#include "lua/lua_scope.h"

kk_dtype kk_lua_optdtype(lua_State *L, int arg, kk_dtype dflt);
/* A shape from a list of sizes at arg, or from numbers at arg, arg + 1, ...; *next: the argument behind.
** hole: one size may be -1. */
kk_shape kk_lua_checkshape(lua_State *L, int arg, bool hole, int *next);
/* A dimension 1..ndim or -ndim..-1 as 0..ndim-1; none or nil: dflt as it is. */
int kk_lua_checkdim(lua_State *L, int arg, int ndim, int dflt);
/* Applies op to inputs that are on the Lua stack and pushes its first result; raises. Its other results are dropped. */
kk_tensor *kk_lua_apply(lua_State *L, const char *op, int nin, kk_tensor *const *in, const double *opt);
/* Before a write into t: raises with advice while t's gradient is being recorded, or when t is read-only. */
void kk_lua_checkwrite(lua_State *L, kk_tensor *t, const char *who);
/* Writes the number or tensor at arg into t; who names the operation. Raises. (bind_view.c) */
void kk_lua_write(lua_State *L, kk_tensor *t, int arg, const char *who);
/* Raises unless at arg is a number that tensors of type d can hold; then the number into every element. (bind_view.c) */
void kk_lua_checkvalue(lua_State *L, int arg, kk_dtype d);
void kk_lua_fill(lua_State *L, kk_tensor *t, int arg);
/* Part 4 after a view or a copy was made: raises, or gives 1. */
int kk_lua_done(lua_State *L, kk_status st, const kk_err *e);

#endif
