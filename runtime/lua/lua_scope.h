/* lua_scope.h -- the stack of tapes and scopes, and the named random streams, as the bindings see them. */
#ifndef KK_LUA_SCOPE_H
#define KK_LUA_SCOPE_H

#include "grad/tape.h"
#include "lua/lua_util.h"

/* A tape or scope object. The context keeps a list of the open ones, newest first; each belongs to the
** coroutine that opened it, so that interleaved coroutines do not own each other's tensors. */
typedef struct kk_ltape {
  kk_tape *t;
  struct kk_ltape *older;
  lua_State *thread;
} kk_ltape;

kk_tape *kk_lua_scope(lua_State *L);                  /* innermost of this coroutine, or NULL */
kk_stream *kk_lua_stream(lua_State *L);               /* the default stream of ops: "op"      */
kk_stream *kk_lua_checkstream(lua_State *L, int arg); /* a stream made by kooka.random        */

#endif
