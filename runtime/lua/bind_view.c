/* bind_view.c -- other views of a tensor, copies of it and writes into it. Indexing: bind_tensor_index.c. */
#include <math.h>
#include <string.h>

#include "lua/lua_tensor.h"

static int view_narrow(lua_State *L) {
  kk_tensor *t = kk_lua_checktensor(L, 1);
  int dim = kk_lua_checkdim(L, 2, t->shape.ndim, 0);
  lua_Integer start = luaL_checkinteger(L, 3), len = luaL_checkinteger(L, 4);
  kk_err e = {0};
  if (start < 0 && t->shape.ndim) start += t->shape.n[dim] + 1;
  return kk_lua_done(L, kk_view_narrow(t, dim, start - 1, len, 1, kk_lua_newtensor(L), &e), &e);
}

static int view_select(lua_State *L) {
  kk_tensor *t = kk_lua_checktensor(L, 1);
  int dim = kk_lua_checkdim(L, 2, t->shape.ndim, 0);
  lua_Integer i = luaL_checkinteger(L, 3);
  kk_err e = {0};
  if (i < 0 && t->shape.ndim) i += t->shape.n[dim] + 1;
  return kk_lua_done(L, kk_view_select(t, dim, i - 1, kk_lua_newtensor(L), &e), &e);
}

static int view_swap(lua_State *L, kk_tensor *t, int a, int b) {
  int order[KK_MAXDIM] = {0, 1, 2, 3, 4, 5};
  kk_err e = {0};
  order[a] = b;
  order[b] = a;
  return kk_lua_done(L, kk_view_permute(t, order, kk_lua_newtensor(L), &e), &e);
}

static int view_transpose(lua_State *L) {
  kk_tensor *t = kk_lua_checktensor(L, 1);
  luaL_checkinteger(L, 2);
  luaL_checkinteger(L, 3);
  return view_swap(L, t, kk_lua_checkdim(L, 2, t->shape.ndim, 0), kk_lua_checkdim(L, 3, t->shape.ndim, 0));
}

static int view_t(lua_State *L) {
  kk_tensor *t = kk_lua_checktensor(L, 1);
  char b[KK_SHAPE_STR];
  if (t->shape.ndim != 2)
    return luaL_argerror(L, 1, lua_pushfstring(L, "t() needs 2 dimensions, got %s; use transpose(d1, d2)", kk_shape_str(&t->shape, b)));
  return view_swap(L, t, 0, 1);
}

static int view_permute(lua_State *L) {
  kk_tensor *t = kk_lua_checktensor(L, 1);
  int order[KK_MAXDIM] = {0}, n = 0, top = lua_gettop(L);
  kk_err e = {0};
  if (lua_istable(L, 2)) {
    n = (int)lua_rawlen(L, 2);
    luaL_argcheck(L, n <= KK_MAXDIM, 2, "at most 6 dimensions");
    for (int i = 1; i <= n; i++) lua_rawgeti(L, 2, i);
    lua_remove(L, 2);
    top = lua_gettop(L);
  }
  n = top - 1;
  if (n != t->shape.ndim) return luaL_argerror(L, 2, lua_pushfstring(L, "%d dimensions named, the tensor has %d", n, t->shape.ndim));
  for (int i = 0; i < n; i++) order[i] = kk_lua_checkdim(L, 2 + i, t->shape.ndim, -1);
  return kk_lua_done(L, kk_view_permute(t, order, kk_lua_newtensor(L), &e), &e);
}

static int view_reshape(lua_State *L) {
  kk_tensor *t = kk_lua_checktensor(L, 1);
  int next;
  kk_shape s = kk_lua_checkshape(L, 2, true, &next);
  kk_tensor **h;
  kk_err e = {0};
  kk_status st;
  luaL_argcheck(L, lua_isnone(L, next), next, "sizes are integers");
  h = kk_lua_newtensor(L);
  st = kk_view_reshape(t, &s, h, &e);
  if (st != KK_ESHAPE || kk_contiguous(t)) return kk_lua_done(L, st, &e);
  t = kk_lua_apply(L, "contiguous", 1, &t, NULL);      /* strides do not allow a view: copy, with gradient */
  h = kk_lua_newtensor(L);
  return kk_lua_done(L, kk_view_reshape(t, &s, h, &e), &e);
}

static int view_flatten(lua_State *L) {
  lua_settop(L, 1);
  lua_pushinteger(L, -1);
  return view_reshape(L);
}

static int view_squeeze(lua_State *L) {
  kk_tensor *t = kk_lua_checktensor(L, 1);
  int dim = kk_lua_checkdim(L, 2, t->shape.ndim, -1);
  kk_err e = {0};
  return kk_lua_done(L, kk_view_squeeze(t, dim, kk_lua_newtensor(L), &e), &e);
}

static int view_unsqueeze(lua_State *L) {
  kk_tensor *t = kk_lua_checktensor(L, 1);
  int dim;
  kk_err e = {0};
  luaL_checkinteger(L, 2);
  dim = kk_lua_checkdim(L, 2, t->shape.ndim + 1, 0);
  return kk_lua_done(L, kk_view_unsqueeze(t, dim, kk_lua_newtensor(L), &e), &e);
}

static int view_expand(lua_State *L) {
  kk_tensor *t = kk_lua_checktensor(L, 1);
  int next;
  kk_shape s = kk_lua_checkshape(L, 2, true, &next);
  kk_err e = {0};
  int lead = s.ndim - t->shape.ndim;
  for (int i = 0; i < s.ndim; i++)
    if (s.n[i] == -1) {
      luaL_argcheck(L, i >= lead && lead >= 0, 2, "-1 (as it is) where the tensor has no dimension");
      s.n[i] = t->shape.n[i - lead];
    }
  return kk_lua_done(L, kk_view_expand(t, &s, kk_lua_newtensor(L), &e), &e);
}

static int view_detach(lua_State *L) {
  kk_tensor *t = kk_lua_checktensor(L, 1);
  kk_err e = {0};
  return kk_lua_done(L, kk_view_detach(t, kk_lua_newtensor(L), &e), &e);
}

static int view_clone(lua_State *L) {
  kk_tensor *t = kk_lua_checktensor(L, 1);
  kk_lua_apply(L, "contiguous", 1, &t, NULL);
  return 1;
}

static int view_contiguous(lua_State *L) {
  kk_tensor *t = kk_lua_checktensor(L, 1);
  lua_settop(L, 1);
  if (!kk_contiguous(t)) kk_lua_apply(L, "contiguous", 1, &t, NULL);
  return 1;
}

static int view_is_contiguous(lua_State *L) {
  lua_pushboolean(L, kk_contiguous(kk_lua_checktensor(L, 1)));
  return 1;
}

static int view_to(lua_State *L) {
  kk_tensor *t = kk_lua_checktensor(L, 1), **h;
  kk_dtype d;
  kk_err e = {0};
  luaL_checkstring(L, 2);
  d = kk_lua_optdtype(L, 2, KK_F32);
  if (d == kk_type(t)) {
    lua_settop(L, 1);
    return 1;
  }
  kk_lua_pressure(L);
  h = kk_lua_newtensor(L);
  if (kk_contiguous_copy(t, d, h, &e)) return kk_lua_fail(L, &e);
  kk_lua_adopt(L, *h);
  return 1;
}

/* Copies src into dst; src may lie in the same storage. */
static void view_assign(lua_State *L, kk_tensor *dst, kk_tensor *src) {
  kk_err e = {0};
  if (src->store == dst->store) {
    kk_tensor **h = kk_lua_newtensor(L);
    if (kk_contiguous_copy(src, kk_type(src), h, &e)) kk_lua_fail(L, &e);
    src = *h;
  }
  if (kk_copy(dst, src, &e)) kk_lua_fail(L, &e);
}

void kk_lua_checkvalue(lua_State *L, int arg, kk_dtype d) {
  static const double lo[] = {0, -2147483648.0, -9223372036854775808.0, 0}, hi[] = {0, 2147483647.0, 9223372036854774784.0, 255};
  double v = luaL_checknumber(L, arg);
  if (d == KK_I64 && lua_isinteger(L, arg)) return;
  if (d != KK_F32 && !(v == floor(v) && v >= lo[d] && v <= hi[d]))
    luaL_argerror(L, arg, lua_pushfstring(L, "%f does not fit %s", v, kk_dtype_name(d)));
}

void kk_lua_fill(lua_State *L, kk_tensor *t, int arg) {
  if (kk_type(t) != KK_I64 || !lua_isinteger(L, arg)) {
    kk_fill(t, lua_tonumber(L, arg));
    return;
  }
  int64_t v = lua_tointeger(L, arg);                    /* not through double, which is exact to 2^53 only */
  for (int64_t i = 0, n = kk_numel(&t->shape); i < n; i++) ((int64_t *)t->store->data)[kk_element_offset(t, i)] = v;
}

void kk_lua_write(lua_State *L, kk_tensor *t, int arg, const char *who) {
  if (lua_type(L, arg) == LUA_TNUMBER) {
    kk_lua_checkvalue(L, arg, kk_type(t));
    kk_lua_checkwrite(L, t, who);
    kk_lua_fill(L, t, arg);
  } else {
    kk_tensor *src = kk_lua_checktensor(L, arg);
    kk_lua_checkwrite(L, t, who);
    view_assign(L, t, src);
  }
}

static int view_fill(lua_State *L) {
  kk_tensor *t = kk_lua_checktensor(L, 1);
  luaL_checknumber(L, 2);
  kk_lua_write(L, t, 2, "fill_");
  lua_settop(L, 1);
  return 1;
}

static int view_zero(lua_State *L) {
  lua_settop(L, 1);
  lua_pushinteger(L, 0);
  kk_lua_write(L, kk_lua_checktensor(L, 1), 2, "zero_");
  lua_settop(L, 1);
  return 1;
}

static int view_copy(lua_State *L) {
  kk_tensor *t = kk_lua_checktensor(L, 1);
  kk_lua_checktensor(L, 2);
  kk_lua_write(L, t, 2, "copy_");
  lua_settop(L, 1);
  return 1;
}

/* Pieces of length len along dim as a list of views; the last may be shorter. */
static int view_pieces(lua_State *L, kk_tensor *t, int dim, int64_t len) {
  int64_t n = t->shape.n[dim], count = (n + len - 1) / len;
  kk_err e = {0};
  lua_createtable(L, (int)count, 0);
  for (int64_t i = 0; i < count; i++) {
    int64_t rest = n - i * len;
    if (kk_view_narrow(t, dim, i * len, rest < len ? rest : len, 1, kk_lua_newtensor(L), &e)) return kk_lua_fail(L, &e);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

static int view_split(lua_State *L) {
  kk_tensor *t = kk_lua_checktensor(L, 1);
  int dim = kk_lua_checkdim(L, 3, t->shape.ndim, 0);
  int64_t at = 0;
  kk_err e = {0};
  luaL_argcheck(L, t->shape.ndim > 0, 1, "a scalar cannot be split");
  if (!lua_istable(L, 2)) {
    lua_Integer len = luaL_checkinteger(L, 2);
    luaL_argcheck(L, len >= 1, 2, "expected 1 or more");
    return view_pieces(L, t, dim, len > t->shape.n[dim] ? t->shape.n[dim] + 1 : len);
  }
  lua_newtable(L);
  for (lua_Integer i = 1, count = (lua_Integer)lua_rawlen(L, 2); i <= count; i++) {
    int64_t len;
    lua_rawgeti(L, 2, i);
    len = luaL_checkinteger(L, -1);
    lua_pop(L, 1);
    if (kk_view_narrow(t, dim, at, len, 1, kk_lua_newtensor(L), &e)) return kk_lua_fail(L, &e);
    lua_rawseti(L, -2, i);
    at += len;
  }
  if (at != t->shape.n[dim])
    return luaL_argerror(L, 2, lua_pushfstring(L, "the sizes add up to %I, the dimension has %I", (lua_Integer)at, (lua_Integer)t->shape.n[dim]));
  return 1;
}

static int view_chunk(lua_State *L) {
  kk_tensor *t = kk_lua_checktensor(L, 1);
  lua_Integer n = luaL_checkinteger(L, 2);
  int dim = kk_lua_checkdim(L, 3, t->shape.ndim, 0);
  luaL_argcheck(L, t->shape.ndim > 0, 1, "a scalar cannot be split");
  luaL_argcheck(L, n >= 1, 2, "expected 1 or more");
  if (n > t->shape.n[dim]) n = t->shape.n[dim] + 1;
  int64_t len = (t->shape.n[dim] + n - 1) / n;
  return view_pieces(L, t, dim, len < 1 ? 1 : len);
}

/* One dimension after the other: a new dimension in front of it, expanded, copied, folded in. */
static int view_tile(lua_State *L) {
  kk_tensor *t = kk_lua_checktensor(L, 1), **h;
  int next;
  kk_shape times = kk_lua_checkshape(L, 2, false, &next), s;
  kk_err e = {0};
  luaL_argcheck(L, times.ndim >= t->shape.ndim, 2, "one count for every dimension");
  lua_settop(L, 1);
  s = (kk_shape){.ndim = times.ndim};
  for (int i = 0; i < s.ndim; i++) s.n[i] = i < s.ndim - t->shape.ndim ? 1 : t->shape.n[i - (s.ndim - t->shape.ndim)];
  luaL_checkstack(L, 4 * KK_MAXDIM + 4, "tile");
  h = kk_lua_newtensor(L);
  if (kk_view_expand(t, &s, h, &e)) return kk_lua_fail(L, &e);
  for (int d = s.ndim - 1; d >= 0; d--) {
    kk_shape wide = (*h)->shape, folded = wide;
    kk_tensor *v = *h;
    if (times.n[d] == 1) continue;
    h = kk_lua_newtensor(L);
    if (kk_view_unsqueeze(v, d, h, &e)) return kk_lua_fail(L, &e);
    v = *h;
    wide = v->shape;
    wide.n[d] = times.n[d];
    h = kk_lua_newtensor(L);
    if (kk_view_expand(v, &wide, h, &e)) return kk_lua_fail(L, &e);
    v = *h;
    v = kk_lua_apply(L, "contiguous", 1, &v, NULL);
    folded.n[d] *= times.n[d];
    h = kk_lua_newtensor(L);
    if (kk_view_reshape(v, &folded, h, &e)) return kk_lua_fail(L, &e);
  }
  return 1;
}

static const kk_reg view_methods[] = {
  {"narrow", view_narrow, "t:narrow(dim, start, len) -> view\nElements start .. start + len - 1 of a dimension."},
  {"select", view_select, "t:select(dim, i) -> view\nElement i of a dimension, which goes; i may be negative: from the end."},
  {"transpose", view_transpose, "t:transpose(d1, d2) -> view\nTwo dimensions exchanged."},
  {"t", view_t, "t:t() -> view [N,M] of t [M,N]"},
  {"permute", view_permute, "t:permute(d1, d2, ...) -> view\nThe dimensions in another order, every one named once."},
  {"reshape", view_reshape, "t:reshape(sizes...) or t:reshape({sizes}) -> tensor\nThe same elements in row-major order in another "
   "shape; one size may be -1: inferred.\nA view where strides allow it, else a copy. The gradient passes either way."},
  {"view", view_reshape, "t:view(sizes...) -> tensor\nThe same as t:reshape."},
  {"flatten", view_flatten, "t:flatten() -> tensor [n]"},
  {"squeeze", view_squeeze, "t:squeeze([dim]) -> view\nWithout that dimension if its size is 1; without dim: without all of size 1."},
  {"unsqueeze", view_unsqueeze, "t:unsqueeze(dim) -> view\nWith a dimension of size 1 at dim."},
  {"expand", view_expand, "t:expand(sizes...) or t:expand({sizes}) -> view\nDimensions of size 1 repeated without a copy, new ones in "
   "front; -1: as it is."},
  {"tile", view_tile, "t:tile(n1, n2, ...) -> tensor\nCopies beside each other, n1 along the first dimension, and so on."},
  {"repeat_tensor", view_tile, "t:repeat_tensor(n1, n2, ...) -> tensor\nThe same as t:tile."},
  {"split", view_split, "t:split(len[, dim = 1]) or t:split({lens}[, dim = 1]) -> list of views"},
  {"chunk", view_chunk, "t:chunk(n[, dim = 1]) -> list of views\nAt most n pieces of one length; the last may be shorter."},
  {"detach", view_detach, "t:detach() -> view\nShares the data but not the gradient: what follows from it is not recorded."},
  {"clone", view_clone, "t:clone() -> tensor\nA copy with memory of its own; the gradient passes through."},
  {"contiguous", view_contiguous, "t:contiguous() -> tensor\nt itself if its elements lie in row-major order, else a copy; the gradient "
   "passes through."},
  {"is_contiguous", view_is_contiguous, "t:is_contiguous() -> boolean"},
  {"to", view_to, "t:to(dtype) -> tensor\nt itself if it has that type, else a copy, rounded toward zero. Raises when a value does not "
   "fit. The gradient does not pass."},
  {"fill_", view_fill, "t:fill_(number) -> t\nWrites in place."},
  {"zero_", view_zero, "t:zero_() -> t\nWrites in place."},
  {"copy_", view_copy, "t:copy_(source) -> t\nWrites in place; the source is broadcast and converted."},
  {0},
};

KK_BIND(view) {
  kk_lua_type(L, KK_TENSOR, NULL, view_methods);
}
