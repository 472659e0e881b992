/* bind_tensor.c -- the tensor handle: a userdata that holds one counted reference. Creation, reading,
** gradients. Views and indexing: bind_view.c; printing: bind_print.c. */
#include <math.h>
#include <string.h>

#include "lua/lua_tensor.h"
#include "tensor/rowset.h"

/* The handle exists, empty and collectable, before the tensor does: if anything raises in between,
** __gc finds NULL and there is nothing to leak. */
kk_tensor **kk_lua_newtensor(lua_State *L) {
  kk_tensor **h = lua_newuserdatauv(L, sizeof *h, 0);
  *h = NULL;
  luaL_setmetatable(L, KK_TENSOR);
  return h;
}

void kk_lua_adopt(lua_State *L, kk_tensor *t) {
  kk_tape *scope = kk_lua_scope(L);
  kk_err e;
  if (scope && kk_tape_own(scope, t->store, &e)) luaL_error(L, "%s", e.msg);
}

kk_tensor *kk_lua_testtensor(lua_State *L, int arg) {
  kk_tensor **h = luaL_testudata(L, arg, KK_TENSOR);
  if (h && *h) kk_settle(*h);
  return h ? *h : NULL;
}

kk_tensor *kk_lua_checktensor(lua_State *L, int arg) {
  kk_tensor *t = kk_lua_rawtensor(L, arg);
  kk_settle(t);
  return t;
}

kk_tensor *kk_lua_rawtensor(lua_State *L, int arg) {
  kk_tensor **h = luaL_checkudata(L, arg, KK_TENSOR);
  luaL_argcheck(L, *h && kk_live(*h), arg, "the tensor was released when its scope closed (t:keep() lets it live)");
  return *h;
}

kk_dtype kk_lua_optdtype(lua_State *L, int arg, kk_dtype dflt) {
  kk_dtype d = dflt;
  const char *name = luaL_optstring(L, arg, NULL);
  if (name && !kk_dtype_parse(name, &d))
    luaL_argerror(L, arg, lua_pushfstring(L, "dtype '%s', expected float32, int32, int64 or uint8", name));
  return d;
}

kk_shape kk_lua_checkshape(lua_State *L, int arg, bool hole, int *next) {
  kk_shape s = {0};
  bool list = lua_istable(L, arg);
  lua_Integer n = list ? (lua_Integer)lua_rawlen(L, arg) : 0;
  *next = arg + 1;
  if (!list) {
    while (lua_type(L, arg + (int)n) == LUA_TNUMBER) n++;
    *next = arg + (int)n;
  }
  luaL_argcheck(L, n <= KK_MAXDIM, arg, "at most 6 dimensions");
  for (int i = 0; i < (int)n; i++) {
    int ok;
    if (list) lua_rawgeti(L, arg, i + 1);
    else lua_pushvalue(L, arg + i);
    s.n[i] = lua_tointegerx(L, -1, &ok);
    luaL_argcheck(L, ok && (s.n[i] >= 0 || (hole && s.n[i] == -1)), arg, "sizes are integers, 0 or more");
    lua_pop(L, 1);
  }
  s.ndim = (int)n;
  return s;
}

int kk_lua_checkdim(lua_State *L, int arg, int ndim, int dflt) {
  lua_Integer d;
  if (lua_isnoneornil(L, arg)) return dflt;
  d = luaL_checkinteger(L, arg);
  if (d < 0) d += ndim + 1;
  if (d < 1 || d > ndim)
    luaL_argerror(L, arg, lua_pushfstring(L, "dimension %I, expected 1..%d or -%d..-1", luaL_checkinteger(L, arg), ndim, ndim));
  return (int)d - 1;
}

kk_tensor *kk_lua_apply(lua_State *L, const char *name, int nin, kk_tensor *const *in, const double *opt) {
  const kk_op *op = kk_op_find(name);
  kk_args a = {.nin = nin, .opt = opt};
  kk_tensor *out[KK_MAXOUT] = {0}, **h;
  kk_err e;
  kk_tape *scope = kk_lua_scope(L);
  kk_lua_pressure(L);
  h = kk_lua_newtensor(L);
  memcpy(a.in, in, sizeof in[0] * (size_t)nin);
  if (kk_op_run(op, &a, scope, out, &e)) luaL_error(L, "%s", e.msg);
  *h = out[0];
  for (int i = 1; i < KK_MAXOUT; i++) kk_unref(out[i]);
  return *h;
}

void kk_lua_checkwrite(lua_State *L, kk_tensor *t, const char *who) {
  kk_err e;
  if (kk_wants_grad(t))
    for (const kk_ltape *h = kk_lua_ctx(L)->current; h; h = h->older)
      if (h->thread == L && h->t && h->t->records && !h->t->used)
        luaL_error(L, "%s: the gradient of this tensor is being recorded; write before the tape opens, into t:detach() "
                   "outside it, or build a new tensor with where, masked_fill, index_add or cat", who);
  if (kk_writable(t, who, &e)) kk_lua_fail(L, &e);
}

int kk_lua_done(lua_State *L, kk_status st, const kk_err *e) { return st ? kk_lua_fail(L, e) : 1; }

static int tensor_filled(lua_State *L, double value) {
  int next;
  kk_shape s = kk_lua_checkshape(L, 1, false, &next);
  kk_dtype d = kk_lua_optdtype(L, next, KK_F32);
  kk_tensor **h;
  kk_err e;
  kk_lua_pressure(L);
  h = kk_lua_newtensor(L);
  if (kk_tensor_new(d, &s, h, &e)) return kk_lua_fail(L, &e);
  kk_fill(*h, value);
  kk_lua_adopt(L, *h);
  return 1;
}
static int tensor_zeros(lua_State *L) { return tensor_filled(L, 0); }
static int tensor_ones(lua_State *L) { return tensor_filled(L, 1); }

static int tensor_full(lua_State *L) {
  kk_shape s;
  int next;
  kk_dtype d = kk_lua_optdtype(L, 3, KK_F32);
  kk_tensor **h;
  kk_err e;
  kk_lua_checkvalue(L, 2, d);
  luaL_checktype(L, 1, LUA_TTABLE);
  s = kk_lua_checkshape(L, 1, false, &next);
  kk_lua_pressure(L);
  h = kk_lua_newtensor(L);
  if (kk_tensor_new(d, &s, h, &e)) return kk_lua_fail(L, &e);
  kk_lua_fill(L, *h, 2);
  kk_lua_adopt(L, *h);
  return 1;
}

/* Shape of a nested list; raises when it is ragged later, in tensor_read. */
static kk_shape tensor_listshape(lua_State *L, int arg) {
  kk_shape s = {0};
  lua_pushvalue(L, arg);
  while (lua_istable(L, -1)) {
    luaL_argcheck(L, s.ndim < KK_MAXDIM, arg, "at most 6 dimensions");
    s.n[s.ndim++] = (int64_t)lua_rawlen(L, -1);
    luaL_checkstack(L, 2, "nested too deeply");
    lua_rawgeti(L, -1, 1);
    lua_remove(L, -2);
  }
  lua_pop(L, 1);
  return s;
}

static void tensor_misfit(lua_State *L, int arg, int64_t at, double v, const char *dtype) {
  luaL_argerror(L, arg, lua_pushfstring(L, "element %I is %f, which does not fit %s", (lua_Integer)at + 1, v, dtype));
}

/* Reads the list on top into t from element *at on. */
static void tensor_read(lua_State *L, int arg, kk_tensor *t, int dim, int64_t *at) {
  if (dim == t->shape.ndim) {
    int isnum;
    if (kk_type(t) == KK_I64) {
      ((int64_t *)t->store->data)[*at] = lua_tointegerx(L, -1, &isnum);
      if (!isnum && lua_isnumber(L, -1)) tensor_misfit(L, arg, *at, lua_tonumber(L, -1), "int64");
      ++*at;
    } else {
      double v = lua_tonumberx(L, -1, &isnum);
      if (kk_type(t) == KK_F32) ((kk_real *)t->store->data)[*at] = (kk_real)v;
      else if (kk_type(t) == KK_I32) {
        if (isnum && !(v >= INT32_MIN && v <= INT32_MAX && v == floor(v))) tensor_misfit(L, arg, *at, v, "int32");
        ((int32_t *)t->store->data)[*at] = (int32_t)v;
      } else {
        if (isnum && !(v >= 0 && v <= 255 && v == floor(v))) tensor_misfit(L, arg, *at, v, "uint8");
        ((uint8_t *)t->store->data)[*at] = (uint8_t)v;
      }
      ++*at;
    }
    if (!isnum) luaL_argerror(L, arg, lua_pushfstring(L, "element %I is %s, expected a number", (lua_Integer)*at, luaL_typename(L, -1)));
    return;
  }
  if (!lua_istable(L, -1) || (int64_t)lua_rawlen(L, -1) != t->shape.n[dim])
    luaL_argerror(L, arg, lua_pushfstring(L, "ragged list: expected %I elements in dimension %d", (lua_Integer)t->shape.n[dim], dim + 1));
  luaL_checkstack(L, 2, "nested too deeply");
  for (int64_t i = 0; i < t->shape.n[dim]; i++) {
    lua_rawgeti(L, -1, i + 1);
    tensor_read(L, arg, t, dim + 1, at);
    lua_pop(L, 1);
  }
}

static int tensor_new(lua_State *L) {
  kk_dtype d = kk_lua_optdtype(L, 2, KK_F32);
  kk_shape s = tensor_listshape(L, 1);
  kk_tensor **h;
  kk_err e;
  int64_t at = 0;
  kk_lua_pressure(L);
  h = kk_lua_newtensor(L);
  if (kk_tensor_new(d, &s, h, &e)) return kk_lua_fail(L, &e);
  lua_pushvalue(L, 1);
  tensor_read(L, 1, *h, 0, &at);
  lua_pop(L, 1);
  kk_lua_adopt(L, *h);
  return 1;
}

static int tensor_arange(lua_State *L) {
  double from = luaL_checknumber(L, 1), to = luaL_checknumber(L, 2), step = luaL_optnumber(L, 3, 1);
  kk_dtype d = kk_lua_optdtype(L, 4, KK_F32);
  kk_shape s = {.ndim = 1};
  kk_tensor **h;
  kk_err e;
  luaL_argcheck(L, step != 0 && step == step, 3, "step must not be 0");
  double n = (to - from) / step;
  luaL_argcheck(L, n < 1e12, 2, "too many elements");
  s.n[0] = n < 0 ? 0 : (int64_t)(n + 1e-9) + 1;
  kk_lua_pressure(L);
  h = kk_lua_newtensor(L);
  if (kk_tensor_new(d, &s, h, &e)) return kk_lua_fail(L, &e);
  for (int64_t i = 0; i < s.n[0]; i++) {
    double v = from + step * (double)i;       /* float32 would lose integers above 2^24 */
    if (!kk_put(*h, i, v)) return luaL_error(L, "arange: %f does not fit %s", v, kk_dtype_name(d));
  }
  kk_lua_adopt(L, *h);
  return 1;
}

static int tensor_shape(lua_State *L) {
  kk_tensor *t = kk_lua_rawtensor(L, 1);
  if (!lua_isnoneornil(L, 2)) {
    lua_Integer i = luaL_checkinteger(L, 2);
    if (i < 0) i += t->shape.ndim + 1;
    luaL_argcheck(L, i >= 1 && i <= t->shape.ndim, 2, "no such dimension");
    lua_pushinteger(L, t->shape.n[i - 1]);
    return 1;
  }
  lua_createtable(L, t->shape.ndim, 0);
  for (int i = 0; i < t->shape.ndim; i++) {
    lua_pushinteger(L, t->shape.n[i]);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

static int tensor_dtype(lua_State *L) { lua_pushstring(L, kk_dtype_name(kk_type(kk_lua_rawtensor(L, 1)))); return 1; }
static int tensor_ndim(lua_State *L) { lua_pushinteger(L, kk_lua_rawtensor(L, 1)->shape.ndim); return 1; }
static int tensor_numel(lua_State *L) { lua_pushinteger(L, kk_numel(&kk_lua_rawtensor(L, 1)->shape)); return 1; }

static void tensor_pushvalue(lua_State *L, const kk_tensor *t, int64_t off) {
  if (kk_type(t) == KK_F32) lua_pushnumber(L, kk_get(t, off));
  else lua_pushinteger(L, kk_get_int(t, off));
}

static int tensor_item(lua_State *L) {
  kk_tensor *t = kk_lua_checktensor(L, 1);
  char b[KK_SHAPE_STR];
  if (kk_numel(&t->shape) != 1)
    return luaL_argerror(L, 1, lua_pushfstring(L, "item() needs one number, got %s", kk_shape_str(&t->shape, b)));
  tensor_pushvalue(L, t, t->offset);
  return 1;
}

static void tensor_pushlist(lua_State *L, const kk_tensor *t, int dim, int64_t off) {
  if (dim == t->shape.ndim || dim == KK_MAXDIM) {
    tensor_pushvalue(L, t, off);
    return;
  }
  luaL_checkstack(L, 3, "nested too deeply");
  lua_createtable(L, (int)t->shape.n[dim], 0);
  for (int64_t i = 0; i < t->shape.n[dim]; i++) {
    tensor_pushlist(L, t, dim + 1, off + i * t->stride[dim]);
    lua_rawseti(L, -2, i + 1);
  }
}

static int tensor_tolist(lua_State *L) {
  kk_tensor *t = kk_lua_checktensor(L, 1);
  tensor_pushlist(L, t, 0, t->offset);
  return 1;
}

static int tensor_param(lua_State *L) {
  kk_tensor *t = kk_lua_rawtensor(L, 1);
  luaL_argcheck(L, kk_type(t) == KK_F32, 1, "only float32 tensors have gradients");
  t->store->wants_grad = lua_isnone(L, 2) || lua_toboolean(L, 2);
  t->store->kept = true;
  lua_settop(L, 1);
  return 1;
}

static int tensor_keep(lua_State *L) {
  kk_lua_rawtensor(L, 1)->store->kept = true;
  lua_settop(L, 1);
  return 1;
}

static int tensor_wants_grad(lua_State *L) { lua_pushboolean(L, kk_wants_grad(kk_lua_rawtensor(L, 1))); return 1; }

/* The gradient as a tensor of its own: a copy, so that it stays what it was. */
static int tensor_grad(lua_State *L) {
  kk_tensor *t = kk_lua_rawtensor(L, 1), view = *t, **h;
  kk_storage store = *t->store;
  kk_err e;
  if (!store.grad) {
    lua_pushnil(L);
    return 1;
  }
  kk_lua_pressure(L);
  h = kk_lua_newtensor(L);
  store.refs = 2;                          /* a picture on the stack: never released */
  store.data = store.grad;
  view.store = &store;
  if (kk_contiguous_copy(&view, KK_F32, h, &e)) return kk_lua_fail(L, &e);
  kk_lua_adopt(L, *h);
  return 1;
}

static int tensor_release(lua_State *L) {
  kk_storage_clear(kk_lua_rawtensor(L, 1)->store);
  return 0;
}

static int tensor_zero_grad(lua_State *L) {
  kk_grad_zero(kk_lua_rawtensor(L, 1)->store);
  lua_settop(L, 1);
  return 1;
}

static int tensor_gc(lua_State *L) {
  kk_tensor **h = luaL_checkudata(L, 1, KK_TENSOR);
  kk_unref(*h);
  *h = NULL;
  return 0;
}

static const kk_reg tensor_meta[] = {{"__gc", tensor_gc, NULL}, {"__close", tensor_gc, NULL}, {0}};

static const kk_reg tensor_methods[] = {
  {"shape", tensor_shape, "t:shape() -> list of sizes\nt:shape(i) -> size of dimension i (negative: from the end)"},
  {"dtype", tensor_dtype, "t:dtype() -> \"float32\", \"int32\", \"int64\" or \"uint8\""},
  {"ndim", tensor_ndim, "t:ndim() -> number of dimensions"},
  {"numel", tensor_numel, "t:numel() -> number of elements"},
  {"item", tensor_item, "t:item() -> number\nThe value of a tensor of one element."},
  {"tolist", tensor_tolist, "t:tolist() -> nested list of numbers"},
  {"param", tensor_param, "t:param([on = true]) -> t\nMarks a parameter: it lives outside scopes and backward gives it a gradient."},
  {"keep", tensor_keep, "t:keep() -> t\nLets the tensor outlive the tape or scope that made it."},
  {"wants_grad", tensor_wants_grad, "t:wants_grad() -> boolean"},
  {"grad", tensor_grad, "t:grad() -> a copy of the gradient, or nil when there is none"},
  {"release", tensor_release, "t:release()\nGives the memory back at once, without waiting for the collector. t, and every view of the same storage, is\n"
   "released from then on, as after the close of a scope."},
  {"zero_grad", tensor_zero_grad, "t:zero_grad() -> t\nSets the gradient to zero."},
  {0},
};

static const kk_reg tensor_funcs[] = {
  {"tensor", tensor_new, "tensor(nested list or number[, dtype = \"float32\"]) -> tensor\n"
   "Indices count from 1, negative ones from the end. Views (memory and gradient shared): t[i], t[{i, {from, to[, step]}, {}}].\n"
   "Copies: t[mask] (uint8, of t's shape or of its first dimensions), t[index] (int32 [N]: rows). t[...] = number or tensor writes\n"
   "in place; t[index] = ... does not exist. + - * / // % ^ and unary - take tensors and numbers and broadcast; == compares\n"
   "handles: t:eq(u) compares elements. #t is the size of dimension 1."},
  {"zeros", tensor_zeros, "zeros(sizes...[, dtype]) or zeros({sizes}[, dtype]) -> tensor"},
  {"ones", tensor_ones, "ones(sizes...[, dtype]) or ones({sizes}[, dtype]) -> tensor"},
  {"full", tensor_full, "full({sizes}, value[, dtype]) -> tensor"},
  {"arange", tensor_arange, "arange(from, to[, step = 1[, dtype]]) -> tensor [n]\nfrom, from + step, ... up to and with to."},
  {0},
};

KK_BIND(tensor) {
  kk_lua_type(L, KK_TENSOR, tensor_meta, tensor_methods);
  kk_lua_funcs(L, tensor_funcs);
}
