/* bind_op.c -- one binding for all ops: kooka.linear(x, w, b), kooka.dropout(x, {p = .3}). A new op
** needs nothing here. Index inputs and outputs count from 1 in Lua; this file converts. */
#include <stdio.h>
#include <string.h>

#include "lua/lua_scope.h"

/* Part 1: a number, a flag or the name of a choice, for option o, from the value on top of the stack. */
static double op_option(lua_State *L, int arg, const kk_op *op, const kk_opt *o) {
  if (o->choices) {
    const char *s = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
    size_t n = strlen(s);
    int index = 0;
    for (const char *p = o->choices; *p; index++) {
      size_t len = strcspn(p, " ");
      if (len == n && memcmp(p, s, n) == 0) return index;
      p += len + (p[len] == ' ');
    }
    luaL_argerror(L, arg, lua_pushfstring(L, "%s: option %s is '%s', expected one of: %s", op->name, o->name,
                                          luaL_tolstring(L, -1, NULL), o->choices));
  }
  if (lua_isboolean(L, -1)) return lua_toboolean(L, -1);
  if (lua_type(L, -1) != LUA_TNUMBER)
    luaL_argerror(L, arg, lua_pushfstring(L, "%s: option %s must be a number, got %s", op->name, o->name, luaL_typename(L, -1)));
  return lua_tonumber(L, -1);
}

static void op_options(lua_State *L, int arg, const kk_op *op, double *opt) {
  int n = kk_op_nopt(op);
  for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1)) {
    const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
    int i = kk_op_index(op, key);
    if (strcmp(key, "stream") == 0 && op->random) continue;
    if (i < 0) {
      luaL_Buffer b;
      luaL_buffinit(L, &b);
      for (int k = 0; k < n; k++) {
        if (k) luaL_addstring(&b, ", ");
        luaL_addstring(&b, op->opts[k].name);
      }
      luaL_pushresult(&b);
      luaL_argerror(L, arg, lua_pushfstring(L, "%s has no option '%s' (options: %s)", op->name, key, lua_tostring(L, -1)));
    }
    opt[i] = op_option(L, arg, op, &op->opts[i]);
  }
}

/* A copy of index tensor t, counted from 0. */
static kk_status op_shift(const kk_op *op, kk_tensor *t, kk_tensor **out, kk_err *e) {
  kk_tensor *c = NULL;
  if (!kk_live(t)) return kk_fail(e, KK_ESTATE, "%s: an index tensor was released when its scope closed", op->name);
  if (kk_type(t) == KK_F32) return kk_fail(e, KK_ETYPE, "%s: %s: an index tensor is float32, expected int32", op->name, op->sig);
  if (kk_contiguous_copy(t, KK_I32, &c, e)) return e->code;
  int32_t *p = kk_i32_data(c);
  for (int64_t i = 0, n = kk_numel(&c->shape); i < n; i++) p[i] -= p[i] > INT32_MIN;     /* INT32_MIN stays: refused as any below 0 */
  *out = c;
  return KK_OK;
}

/* A tensor for a number argument: kooka.add(t, 2), kooka.div(1, t). Terms of any type and of float32 take a
** number as a scalar. */
static int op_number(lua_State *L, int arg) {
  kk_tensor **h = kk_lua_newtensor(L);
  kk_err e;
  kk_shape s = {0};
  int isint = lua_isinteger(L, arg);
  lua_Integer i = lua_tointeger(L, arg);
  kk_dtype d = !isint ? KK_F32 : i >= 0 && i < 256 ? KK_U8 : i >= INT32_MIN && i <= INT32_MAX ? KK_I32 : KK_I64;
  if (kk_tensor_new(d, &s, h, &e)) return kk_lua_fail(L, &e);
  if (d == KK_I64) *(int64_t *)(*h)->store->data = i;
  else kk_fill(*h, lua_tonumber(L, arg));
  lua_replace(L, arg);
  return 0;
}

/* Options may also follow the inputs without their names: t:sum(1, true), t:clamp(0, 1). Puts them into opt. */
static int op_positional(lua_State *L, const kk_op *op, const kk_sig *sig, int nin, double *opt) {
  int n = kk_op_nopt(op);
  if (sig->nin && sig->in[sig->nin - 1].variadic) return nin;
  for (int arg = sig->nin + 1; arg <= nin; arg++) {
    int i = arg - sig->nin - 1;
    if (lua_isnil(L, arg)) continue;
    if (i >= n)
      luaL_argerror(L, arg, lua_pushfstring(L, "%s takes %d tensor%s and %d option%s, got more", op->name, sig->nin,
                                            sig->nin == 1 ? "" : "s", n, n == 1 ? "" : "s"));
    lua_pushvalue(L, arg);
    opt[i] = op_option(L, arg, op, &op->opts[i]);
    lua_pop(L, 1);
  }
  return nin > sig->nin ? sig->nin : nin;
}

static int op_call(lua_State *L) {
  const kk_op *op = lua_touserdata(L, lua_upvalueindex(2));
  kk_sig sig;
  kk_args a = {0};
  kk_tensor *out[KK_MAXOUT] = {0}, *shifted[KK_MAXIN] = {0};
  double opt[KK_MAXOPT];
  kk_err e;
  kk_status st = KK_OK;
  kk_tape *scope;
  bool options = false;
  int top;
  kk_sig_parse(op->sig, &sig);
  top = lua_gettop(L);
  if (top && lua_istable(L, top)) options = true;      /* the table of options comes last */
  for (int i = 0, n = kk_op_nopt(op); i < n; i++) opt[i] = op->opts[i].dflt;
  a.nin = op_positional(L, op, &sig, top - options, opt);
  if (a.nin > KK_MAXIN) return luaL_error(L, "%s: %d inputs, at most %d", op->name, a.nin, KK_MAXIN);
  while (a.nin > sig.nin && lua_isnil(L, a.nin) && !options) a.nin--, lua_settop(L, a.nin);
  if (a.nin < sig.nin) {                               /* optional inputs left out at the end */
    int missing = sig.nin - a.nin;
    for (int i = 0; i < missing; i++) {
      lua_pushnil(L);
      lua_insert(L, a.nin + 1);
    }
    a.nin = sig.nin;
  }
  for (int i = 0; i < a.nin; i++) {                    /* 1. arguments: may raise, owns nothing */
    if (lua_isnil(L, i + 1)) continue;
    char type = sig.in[i < sig.nin ? i : sig.nin - 1].type;
    if (lua_type(L, i + 1) == LUA_TNUMBER && (type == 'a' || type == 'f')) op_number(L, i + 1);
    a.in[i] = kk_lua_rawtensor(L, i + 1);                /* the dispatcher settles */
  }
  if (options) op_options(L, lua_gettop(L), op, opt);
  a.opt = opt;
  if (op->random) {
    a.stream = kk_lua_stream(L);
    if (options && lua_getfield(L, lua_gettop(L), "stream") != LUA_TNIL) a.stream = kk_lua_checkstream(L, -1);
  }
  kk_lua_pressure(L);
  scope = kk_lua_scope(L);
  luaL_checkstack(L, sig.nout, "too many results");
  top = lua_gettop(L);
  for (int i = 0; i < sig.nout; i++) kk_lua_newtensor(L);   /* 2. owners for the results, still empty */
  for (int i = 0; i < a.nin && !st; i++) {             /* 3. the work: cannot jump */
    const kk_term *t = &sig.in[i < sig.nin ? i : sig.nin - 1];
    if (!a.in[i] || t->type != 'i') continue;
    st = op_shift(op, a.in[i], &shifted[i], &e);
    if (!st) a.in[i] = shifted[i];
  }
  if (!st) st = kk_op_run(op, &a, scope, out, &e);
  for (int i = 0; i < a.nin; i++) kk_unref(shifted[i]);
  for (int i = 0; i < sig.nout && !st; i++) {
    if (sig.out[i].type == 'i') {
      int32_t *p = kk_i32_data(out[i]);
      for (int64_t k = 0, n = kk_numel(&out[i]->shape); k < n; k++) p[k]++;
    }
    *(kk_tensor **)lua_touserdata(L, top + 1 + i) = out[i];
  }
  if (st) return kk_lua_fail(L, &e);                   /* 4. errors, when nothing is held */
  return sig.nout;
}

/* The help text: call, meaning, signature, options. */
static void op_pushdoc(lua_State *L, const kk_op *op) {
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  luaL_addstring(&b, op->name);
  luaL_addstring(&b, ": ");
  luaL_addstring(&b, op->sig);
  luaL_addstring(&b, "\n");
  luaL_addstring(&b, op->about);
  for (int i = 0, n = kk_op_nopt(op); i < n; i++) {
    const kk_opt *o = &op->opts[i];
    char line[512];
    if (o->choices) lua_pushfstring(L, "\n  %s: one of %s. %s", o->name, o->choices, o->about);
    else {
      lua_Number lo = o->min, hi = o->max, d = o->dflt;
      snprintf(line, sizeof line, "\n  %s = %g (%g .. %g). ", o->name, d, lo, hi);
      lua_pushfstring(L, "%s%s", line, o->about);
    }
    luaL_addvalue(&b);
  }
  luaL_addstring(&b, op->backward ? "\nDifferentiable." : "\nNot differentiable.");
  luaL_pushresult(&b);
}

static int op_list(lua_State *L) {
  lua_newtable(L);
  for (int i = 0; kk_ops[i]; i++) {
    lua_pushstring(L, kk_ops[i]->name);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

static const kk_reg op_funcs[] = {
  {"ops", op_list, "ops() -> list of the names of all ops\nhelp(kooka[name]) shows one."},
  {0},
};

KK_BIND(op) {
  int module = lua_gettop(L);
  kk_lua_funcs(L, op_funcs);
  kk_lua_methods(L, KK_TENSOR);              /* every op is a method as well: x:tanh() */
  for (const kk_op *const *op = kk_ops; *op; op++) {
    kk_lua_pushclosure(L, op_call, (void *)(size_t)*op);
    op_pushdoc(L, *op);
    kk_lua_setdoc(L, -2, lua_tostring(L, -1));
    lua_pop(L, 1);
    lua_pushvalue(L, -1);
    lua_setfield(L, module, (*op)->name);
    if (lua_getfield(L, -2, (*op)->name) == LUA_TNIL) {
      lua_pop(L, 1);
      lua_setfield(L, -2, (*op)->name);
    } else {
      lua_pop(L, 2);
    }
  }
  lua_pop(L, 1);
}
