/* bind_tape.c -- tape() and scope(): both own what is created while they are innermost. */
#include "lua/lua_scope.h"

#define KK_TAPE "kooka.tape"

kk_tape *kk_lua_scope(lua_State *L) {
  for (kk_ltape *h = kk_lua_ctx(L)->current; h; h = h->older)
    if (h->thread == L) return h->t;
  return NULL;
}

static kk_tape *tape_leave(lua_State *L) {
  kk_ltape *h = luaL_checkudata(L, 1, KK_TAPE), **p;
  kk_tape *t = h->t;
  for (p = &kk_lua_ctx(L)->current; *p; p = &(*p)->older)
    if (*p == h) {
      *p = h->older;
      break;
    }
  h->t = NULL;
  return t;
}

static int tape_close(lua_State *L) {
  kk_tape_free(tape_leave(L));
  return 0;
}

/* Nobody closed it. The collector comes at any time, also between the check of a tensor and its use, so
** it must not release what a handle still holds. */
static int tape_gc(lua_State *L) {
  kk_tape_abandon(tape_leave(L));
  return 0;
}

static int tape_make(lua_State *L, bool records) {
  kk_ctx *c = kk_lua_ctx(L);
  kk_err e;
  kk_ltape *h = lua_newuserdatauv(L, sizeof *h, 1);
  *h = (kk_ltape){.thread = L};
  lua_pushthread(L);                     /* lives as long as h: no later coroutine gets its address */
  lua_setiuservalue(L, -2, 1);
  luaL_setmetatable(L, KK_TAPE);
  if (kk_tape_new(records, &h->t, &e)) return kk_lua_fail(L, &e);
  h->older = c->current;
  c->current = h;
  return 1;
}
static int tape_new(lua_State *L) { return tape_make(L, true); }
static int tape_scope(lua_State *L) { return tape_make(L, false); }

static int tape_backward(lua_State *L) {
  kk_ltape *h = luaL_checkudata(L, 1, KK_TAPE);
  kk_tensor *loss = kk_lua_checktensor(L, 2), *seed = lua_isnoneornil(L, 3) ? NULL : kk_lua_checktensor(L, 3);
  kk_err e;
  luaL_argcheck(L, h->t, 1, "the tape was closed");
  if (kk_tape_backward(h->t, loss, seed, &e)) return kk_lua_fail(L, &e);
  return 0;
}

static int tape_tostring(lua_State *L) {
  kk_ltape *h = luaL_checkudata(L, 1, KK_TAPE);
  if (!h->t) lua_pushliteral(L, "tape (closed)");
  else lua_pushfstring(L, "%s: %d calls, %d results", h->t->records ? "tape" : "scope", h->t->n, h->t->nowned);
  return 1;
}

static const kk_reg tape_meta[] = {
  {"__gc", tape_gc, NULL}, {"__close", tape_close, NULL}, {"__tostring", tape_tostring, NULL}, {0}};

static const kk_reg tape_methods[] = {
  {"backward", tape_backward, "tape:backward(loss[, gradient])\n"
   "Adds d loss / d x to the gradient of every x that wants one (x:param(), or computed from such). loss is one number, or\n"
   "its gradient is given. Raises when an input was written after it was used, or when the tape ran before."},
  {"close", tape_close, "tape:close()\nReleases every result made while the tape was innermost and not kept (t:keep())."},
  {0},
};

static const kk_reg tape_funcs[] = {
  {"tape", tape_new, "tape() -> tape\nRecords the ops that follow. Write `local tape <close> = kooka.tape()`: results are released when the\n"
   "block ends, normally or by an error."},
  {"scope", tape_scope, "scope() -> scope\nOwns the results made while it is innermost and records nothing: for inference."},
  {0},
};

KK_BIND(tape) {
  kk_lua_type(L, KK_TAPE, tape_meta, tape_methods);
  kk_lua_funcs(L, tape_funcs);
}
