/* bind_tensor_index.c -- t[i], t[{ {1,3}, 2 }], t[mask], t[index] and assignment to them; operators; cat, stack and matmul. */
#include <string.h>

#include "lua/lua_tensor.h"

/* The index of one dimension on top of the stack applied to *h, dimension *dim: {}, {a}, {a,b}, {a,b,step}
** narrow it and move on, a number selects. Counts from 1, negative from the end. */
static kk_tensor **index_one(lua_State *L, kk_tensor **h, int *dim) {
  kk_tensor *t = *h;
  kk_err e = {0};
  lua_Integer v[3] = {1, -1, 1};
  int n, ok, entry = lua_gettop(L);
  char b[KK_SHAPE_STR];
  if (*dim >= t->shape.ndim) luaL_error(L, "index: more indices than dimensions in %s", kk_shape_str(&t->shape, b));
  int64_t size = t->shape.n[*dim];
  if (lua_isinteger(L, entry) || lua_type(L, entry) == LUA_TNUMBER) {
    lua_Integer i = lua_tointegerx(L, entry, &ok);
    if (!ok) luaL_error(L, "index: %f is not an integer", lua_tonumber(L, entry));
    h = kk_lua_newtensor(L);
    if (kk_view_select(t, *dim, i < 0 ? i + size : i - 1, h, &e)) kk_lua_fail(L, &e);
    return h;
  }
  if (!lua_istable(L, entry)) luaL_error(L, "index: %s in dimension %d, expected a number or a range {from, to[, step]}",
                                         luaL_typename(L, entry), *dim + 1);
  n = (int)lua_rawlen(L, entry);
  if (n > 3) luaL_error(L, "index: a range has at most 3 numbers: {from, to, step}");
  for (int i = 0; i < n; i++) {
    lua_rawgeti(L, entry, i + 1);
    v[i] = lua_tointegerx(L, -1, &ok);
    if (!ok) luaL_error(L, "index: a range holds integers, got %s", luaL_typename(L, -1));
    lua_pop(L, 1);
  }
  if (n == 1) v[1] = v[0];
  for (int i = 0; i < 2; i++)
    if (v[i] < 0) v[i] += size + 1;
  if (v[2] < 1) luaL_error(L, "index: step %I, expected 1 or more", v[2]);
  for (int i = 0; i < 2; i++)                         /* far outside is as wrong as just outside, and does not overflow */
    v[i] = v[i] < 0 ? 0 : v[i] == LUA_MAXINTEGER ? LUA_MAXINTEGER - 1 : v[i];
  h = kk_lua_newtensor(L);
  if (kk_view_narrow(t, *dim, v[0] - 1, v[1] < v[0] ? 0 : (v[1] - v[0]) / v[2] + 1, v[2], h, &e)) kk_lua_fail(L, &e);
  ++*dim;
  return h;
}

/* The view that the number or table at arg means; pushes it. */
static kk_tensor *index_view(lua_State *L, kk_tensor *t, int arg) {
  int dim = 0, n;
  kk_err e = {0};
  kk_tensor **h = &t;
  if (!lua_istable(L, arg)) {
    lua_pushvalue(L, arg);
    return *index_one(L, h, &dim);
  }
  n = (int)lua_rawlen(L, arg);
  luaL_checkstack(L, 4 * n + 8, "too many indices");
  if (n == 0) {
    h = kk_lua_newtensor(L);
    if (kk_view_expand(t, &t->shape, h, &e)) kk_lua_fail(L, &e);
  }
  for (int i = 1; i <= n; i++) {
    lua_rawgeti(L, arg, i);
    h = index_one(L, h, &dim);
  }
  return *h;
}

/* A mask for t: of t's shape, or of its first dimensions; then dimensions of size 1 are added. Pushes it. */
static kk_tensor *index_mask(lua_State *L, const kk_tensor *t, kk_tensor *mask) {
  kk_shape s = mask->shape;
  kk_tensor **h = kk_lua_newtensor(L);
  kk_err e = {0};
  char a[KK_SHAPE_STR], b[KK_SHAPE_STR];
  bool fits = s.ndim <= t->shape.ndim && s.ndim > 0;
  for (int i = 0; fits && i < s.ndim; i++) fits = s.n[i] == t->shape.n[i];
  if (!fits)
    luaL_error(L, "index: a mask %s for a tensor %s; it must have its shape, or that of its first dimensions",
               kk_shape_str(&s, a), kk_shape_str(&t->shape, b));
  while (s.ndim < t->shape.ndim) s.n[s.ndim++] = 1;
  *h = kk_ref(mask);
  for (int i = mask->shape.ndim; i < s.ndim; i++) {
    kk_tensor *v = *h;
    h = kk_lua_newtensor(L);
    if (kk_view_unsqueeze(v, i, h, &e)) kk_lua_fail(L, &e);
  }
  return *h;
}

/* t[mask]: a copy. A mask of the whole shape gives [n]; one of the first dimensions gives [n, the others]. */
static int index_read_mask(lua_State *L, kk_tensor *t, kk_tensor *mask) {
  int lead = mask->shape.ndim;
  kk_shape s = {.ndim = 1, .n = {-1}};
  kk_tensor *in[2] = {t, index_mask(L, t, mask)}, *flat, **h;
  kk_err e = {0};
  flat = kk_lua_apply(L, "masked_select", 2, in, NULL);
  if (lead == t->shape.ndim) return 1;
  int64_t row = 1;
  for (int i = lead; i < t->shape.ndim; i++) row *= s.n[s.ndim++] = t->shape.n[i];
  s.n[0] = row ? flat->shape.n[0] / row : 0;
  h = kk_lua_newtensor(L);
  return kk_lua_done(L, kk_view_reshape(flat, &s, h, &e), &e);
}

/* An index tensor counted from 0, as int32. Pushes it. */
static kk_tensor *index_numbers(lua_State *L, kk_tensor *index) {
  kk_tensor **h = kk_lua_newtensor(L);
  kk_err e = {0};
  if (kk_contiguous_copy(index, KK_I32, h, &e)) kk_lua_fail(L, &e);
  for (int64_t i = 0, n = kk_numel(&(*h)->shape); i < n; i++) kk_i32_data(*h)[i] -= kk_i32_data(*h)[i] > INT32_MIN;
  return *h;
}

static int index_read(lua_State *L) {
  kk_tensor *t, *by, *in[2];
  if (lua_type(L, 2) == LUA_TSTRING) {               /* a method: the frequent case */
    lua_settop(L, 2);
    lua_rawget(L, lua_upvalueindex(2));
    return 1;
  }
  t = kk_lua_checktensor(L, 1);
  if (!kk_lua_testtensor(L, 2)) {
    index_view(L, t, 2);
    return 1;
  }
  by = kk_lua_checktensor(L, 2);
  if (kk_type(by) == KK_U8) return index_read_mask(L, t, by);
  if (kk_type(by) == KK_F32) return luaL_argerror(L, 2, "index: a float32 tensor; masks are uint8, indices int32");
  in[0] = t;
  in[1] = index_numbers(L, by);
  kk_lua_apply(L, "index_select", 2, in, NULL);
  return 1;
}

/* t[mask] = tensor: its elements go, one after the other, where the mask is set. */
static void index_write_mask(lua_State *L, kk_tensor *t, kk_tensor *mask) {
  kk_tensor *m = index_mask(L, t, mask), **wide = kk_lua_newtensor(L), **src = NULL;
  kk_err e = {0};
  bool number = lua_type(L, 3) == LUA_TNUMBER;
  int64_t n = kk_numel(&t->shape), marked = 0, k = 0;
  if (m->store == t->store) {                       /* the writes below would change the mask */
    kk_tensor *view = m;
    if (kk_contiguous_copy(view, KK_U8, wide, &e)) kk_lua_fail(L, &e);
    m = *wide;
    wide = kk_lua_newtensor(L);
  }
  if (kk_view_expand(m, &t->shape, wide, &e)) kk_lua_fail(L, &e);
  for (int64_t i = 0; i < n; i++) marked += kk_get(*wide, kk_element_offset(*wide, i)) != 0;
  src = kk_lua_newtensor(L);
  if (number) {                                     /* a picture of one element, of t's type */
    kk_shape one = {0};
    if (kk_tensor_new(kk_type(t), &one, src, &e)) kk_lua_fail(L, &e);
    kk_lua_write(L, *src, 3, "assignment");
  } else {
    if (kk_contiguous_copy(kk_lua_checktensor(L, 3), kk_type(t), src, &e)) kk_lua_fail(L, &e);
    int64_t have = kk_numel(&(*src)->shape);
    if (have != 1 && have != marked)
      luaL_error(L, "assignment: the mask marks %I elements, the tensor has %I", (lua_Integer)marked, (lua_Integer)have);
  }
  kk_lua_checkwrite(L, t, "assignment");
  size_t size = kk_dtype_size(kk_type(t));
  int64_t step = kk_numel(&(*src)->shape) == 1 ? 0 : 1;
  for (int64_t i = 0; i < n; i++)
    if (kk_get(*wide, kk_element_offset(*wide, i)) != 0)
      memcpy((char *)t->store->data + (size_t)kk_element_offset(t, i) * size,
             (char *)(*src)->store->data + (size_t)(step * k++) * size, size);
}

static int index_write(lua_State *L) {
  kk_tensor *t = kk_lua_checktensor(L, 1), *by;
  if (lua_type(L, 2) == LUA_TSTRING)
    return luaL_error(L, "a tensor has no field '%s' to assign to", lua_tostring(L, 2));
  lua_settop(L, 3);
  if (!kk_lua_testtensor(L, 2)) {
    kk_lua_write(L, index_view(L, t, 2), 3, "assignment");
    return 0;
  }
  by = kk_lua_checktensor(L, 2);
  if (kk_type(by) != KK_U8)
    return luaL_argerror(L, 2, lua_pushfstring(L, "assignment to t[%s tensor]: only masks (uint8); for rows use index_add, or a loop",
                                               kk_dtype_name(kk_type(by))));
  index_write_mask(L, t, by);
  return 0;
}

static int index_len(lua_State *L) {
  kk_tensor *t = kk_lua_checktensor(L, 1);
  luaL_argcheck(L, t->shape.ndim > 0, 1, "a scalar has no length");
  lua_pushinteger(L, t->shape.n[0]);
  return 1;
}

/* -t: Lua passes the operand twice. */
static int index_unm(lua_State *L) {
  kk_tensor *t = kk_lua_checktensor(L, 1);
  kk_lua_apply(L, "neg", 1, &t, NULL);
  return 1;
}

/* The tensors of the list at arg 1, or all leading arguments, moved to a list at index 1; option dim behind them. */
static int index_list(lua_State *L, const char *who) {
  if (!lua_istable(L, 1)) {
    int n = 0;
    while (kk_lua_testtensor(L, n + 1)) n++;
    lua_createtable(L, n, 0);
    for (int i = 1; i <= n; i++) {
      lua_pushvalue(L, i);
      lua_rawseti(L, -2, i);
    }
    lua_insert(L, n + 1);
    for (int i = 0; i < n; i++) lua_remove(L, 1);
  }
  if (lua_rawlen(L, 1) == 0) luaL_argerror(L, 1, lua_pushfstring(L, "%s: a list of tensors, or tensors", who));
  if (lua_istable(L, 2)) {
    static const char *const names[] = {"dim", NULL};
    kk_lua_check_opts(L, 2, names, who);
    lua_getfield(L, 2, "dim");
    lua_replace(L, 2);
  }
  lua_settop(L, 2);
  return (int)luaL_optinteger(L, 2, 1);
}

/* Joins the list at index 1, KK_MAXIN at a time, then the results, so that n tensors are copied log n times. */
static int index_join(lua_State *L, double dim) {
  for (;;) {
    lua_Integer n = (lua_Integer)lua_rawlen(L, 1), m = 0;
    lua_settop(L, 1);
    lua_createtable(L, (int)(n / KK_MAXIN + 1), 0);
    for (lua_Integer i = 0; i < n; i += KK_MAXIN) {
      kk_tensor *in[KK_MAXIN];
      int k = (int)(n - i < KK_MAXIN ? n - i : KK_MAXIN);
      luaL_checkstack(L, k + 4, "too many tensors");
      for (int j = 0; j < k; j++) {
        lua_rawgeti(L, 1, i + j + 1);
        if (!kk_lua_testtensor(L, -1)) return luaL_error(L, "cat: element %I of the list is %s, expected a tensor", i + j + 1, luaL_typename(L, -1));
        in[j] = kk_lua_checktensor(L, -1);
      }
      kk_lua_apply(L, "cat", k, in, &dim);
      lua_rawseti(L, 2, ++m);
      lua_settop(L, 2);
    }
    lua_replace(L, 1);
    if (m == 1) {
      lua_rawgeti(L, 1, 1);
      return 1;
    }
  }
}

static int index_cat(lua_State *L) {
  int dim = index_list(L, "cat");
  return index_join(L, dim);
}

static int index_stack(lua_State *L) {
  int dim = index_list(L, "stack"), n = (int)lua_rawlen(L, 1);
  kk_err e = {0};
  lua_settop(L, 1);
  lua_createtable(L, n, 0);
  for (int i = 1; i <= n; i++) {
    lua_rawgeti(L, 1, i);
    if (!kk_lua_testtensor(L, -1)) return luaL_error(L, "stack: element %d of the list is %s, expected a tensor", i, luaL_typename(L, -1));
    kk_tensor *t = kk_lua_checktensor(L, -1);
    int d = dim < 0 ? dim + t->shape.ndim + 1 : dim - 1;
    if (kk_view_unsqueeze(t, d, kk_lua_newtensor(L), &e)) return kk_lua_fail(L, &e);
    lua_rawseti(L, 2, i);
    lua_pop(L, 1);
  }
  lua_replace(L, 1);
  return index_join(L, dim);
}

/* Is t a transposed view of the last two dimensions of something contiguous? Then pushes that. */
static kk_tensor *matmul_untransposed(lua_State *L, kk_tensor *t) {
  int n = t->shape.ndim, order[KK_MAXDIM] = {0, 1, 2, 3, 4, 5};
  kk_tensor **h;
  kk_err e = {0};
  if (kk_contiguous(t)) return NULL;
  order[n - 2] = n - 1;
  order[n - 1] = n - 2;
  h = kk_lua_newtensor(L);
  if (kk_view_permute(t, order, h, &e)) kk_lua_fail(L, &e);
  return kk_contiguous(*h) ? *h : NULL;
}

static kk_tensor *matmul_reshaped(lua_State *L, kk_tensor *t, kk_shape s) {
  kk_tensor **h = kk_lua_newtensor(L);
  kk_err e = {0};
  kk_status st = kk_view_reshape(t, &s, h, &e);
  if (st == KK_ESHAPE && !kk_contiguous(t)) {
    t = kk_lua_apply(L, "contiguous", 1, &t, NULL);
    h = kk_lua_newtensor(L);
    st = kk_view_reshape(t, &s, h, &e);
  }
  if (st) kk_lua_fail(L, &e);
  return *h;
}

/* Vectors become matrices, a batch times one matrix becomes one product, transposed views stay as they are. */
static int index_matmul(lua_State *L) {
  kk_tensor *a = kk_lua_checktensor(L, 1), *b = kk_lua_checktensor(L, 2), *in[2], *y, *u;
  kk_shape sa = a->shape, sb = b->shape, out;
  char p[KK_SHAPE_STR], q[KK_SHAPE_STR];
  lua_settop(L, 2);
  luaL_checkstack(L, 20, "matmul");
  if (sa.ndim == 0 || sb.ndim == 0) return luaL_error(L, "matmul: a scalar in %s x %s; use *", kk_shape_str(&sa, p), kk_shape_str(&sb, q));
  int64_t K = sa.n[sa.ndim - 1], M = sb.ndim == 1 ? sb.n[0] : sb.n[sb.ndim - 2];
  if (K != M)
    return luaL_error(L, "matmul: %s x %s: the last size of the first is %I, the %s of the second %I", kk_shape_str(&sa, p),
                      kk_shape_str(&sb, q), (lua_Integer)K, sb.ndim == 1 ? "size" : "last but one", (lua_Integer)M);
  out = sa;
  out.ndim--;                                       /* what the result looks like */
  if (sb.ndim > 1) out.n[out.ndim++] = sb.n[sb.ndim - 1];
  if (sb.ndim > 2 && sa.ndim == 1) {
    out = sb;
    out.n[sb.ndim - 2] = out.n[sb.ndim - 1];
    out.ndim--;
  }
  int64_t rows = 1;
  for (int i = 0; i + 1 < sa.ndim; i++) rows *= sa.n[i];
  if (sb.ndim == 1) b = matmul_reshaped(L, b, (kk_shape){2, {K, 1}});
  if (b->shape.ndim == 2 && sa.ndim != 2) a = matmul_reshaped(L, a, (kk_shape){2, {rows, K}});
  else if (sa.ndim == 1) {                          /* a vector times a batch: the same row for each */
    kk_shape s = sb;
    kk_tensor **h;
    kk_err e = {0};
    s.n[s.ndim - 2] = 1;
    s.n[s.ndim - 1] = K;
    h = kk_lua_newtensor(L);
    if (kk_view_expand(a, &s, h, &e)) return kk_lua_fail(L, &e);
    a = *h;
  }
  in[0] = a;
  in[1] = b;
  if ((u = matmul_untransposed(L, b))) {
    in[1] = u;
    y = kk_lua_apply(L, "matmul_nt", 2, in, NULL);
  } else if ((u = matmul_untransposed(L, a))) {
    in[0] = u;
    y = kk_lua_apply(L, "matmul_tn", 2, in, NULL);
  } else {
    y = kk_lua_apply(L, "matmul", 2, in, NULL);
  }
  if (!kk_shape_same(&y->shape, &out)) matmul_reshaped(L, y, out);
  return 1;
}

static const kk_reg index_meta[] = {{"__newindex", index_write, NULL}, {"__len", index_len, NULL}, {"__unm", index_unm, NULL}, {0}};

static const kk_reg index_funcs[] = {
  {"cat", index_cat, "cat(list[, dim = 1]) or cat(a, b, ...[, {dim = 1}]) -> tensor\nThe tensors one behind the other along a dimension; "
   "the other sizes agree. Differentiable."},
  {"stack", index_stack, "stack(list[, dim = 1]) or stack(a, b, ...[, {dim = 1}]) -> tensor\nTensors of one shape along a new dimension. "
   "Differentiable."},
  {"matmul", index_matmul, "matmul(a, b) -> tensor\na[...,M,K] x b[...,K,N] -> [...,M,N] with the same sizes in front, or none in front of b;\n"
   "a vector [K] is a row on the left and a column on the right. Transposed views are not copied. Differentiable."},
  {0},
};

KK_BIND(tensor_index) {                            /* runs behind the ops: their functions become operators */
  static const char *const operators[][2] = {{"add", "__add"}, {"sub", "__sub"}, {"mul", "__mul"}, {"div", "__div"},
                                             {"floordiv", "__idiv"}, {"mod", "__mod"}, {"pow", "__pow"}};
  int module = lua_gettop(L);
  kk_lua_funcs(L, index_funcs);
  kk_lua_type(L, KK_TENSOR, index_meta, index_funcs);
  luaL_newmetatable(L, KK_TENSOR);
  for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
    lua_getfield(L, module, operators[i][0]);
    lua_setfield(L, -2, operators[i][1]);
  }
  kk_lua_pushclosure(L, index_read, NULL);
  kk_lua_methods(L, KK_TENSOR);
  lua_setupvalue(L, -2, 2);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}
