#include "lua/lua_users.h"

#include "lua/lua_util.h"
#include "tensor/tensor.h"

void *kk_lua_users_block(lua_State *L, size_t n, size_t size) {
  if (n > PTRDIFF_MAX / size - 1) luaL_error(L, "users: too large");
  return lua_newuserdatauv(L, n * size + 1, 0);
}

/* Field name of the table at 1 as n doubles (n = -1: any length, returned in *got). */
double *kk_lua_users_field(lua_State *L, const char *name, int64_t n, int64_t *got) {
  lua_getfield(L, 1, name);
  int at = lua_gettop(L);
  kk_tensor *t = lua_isuserdata(L, at) ? kk_lua_testtensor(L, at) : NULL;
  if (!t && !lua_istable(L, at))
    luaL_error(L, "users: %s is a %s, expected a tensor or a list", name, luaL_typename(L, at));
  if (t && !kk_live(t)) luaL_error(L, "users: %s was released when its scope closed", name);
  int64_t m = t ? kk_numel(&t->shape) : (int64_t)lua_rawlen(L, at);
  if (n >= 0 && m != n) luaL_error(L, "users: %s has %I rows, labels have %I", name, (lua_Integer)m, (lua_Integer)n);
  double *v = kk_lua_users_block(L, (size_t)m, sizeof *v);
  for (int64_t i = 0; i < m; i++) {
    if (t) {
      v[i] = kk_get(t, kk_element_offset(t, i));
      continue;
    }
    int type = lua_rawgeti(L, at, i + 1);
    if (type != LUA_TNUMBER && type != LUA_TBOOLEAN)
      luaL_error(L, "users: %s in row %I is a %s, expected a number", name, (lua_Integer)i + 1, luaL_typename(L, -1));
    v[i] = type == LUA_TBOOLEAN ? lua_toboolean(L, -1) + 1 : lua_tonumber(L, -1);
    lua_pop(L, 1);
  }
  if (got) *got = m;
  return v;
}

/* features [N,D] as float, contiguous; a tensor or a list of lists. NULL and d = 0 when absent. */
const float *kk_lua_users_features(lua_State *L, int64_t n, int64_t *d) {
  char b[KK_SHAPE_STR];
  *d = 0;
  if (lua_getfield(L, 1, "features") == LUA_TNIL) return NULL;
  int at = lua_gettop(L);
  kk_tensor *t = lua_isuserdata(L, at) ? kk_lua_testtensor(L, at) : NULL;
  if (t) {
    if (!kk_live(t)) luaL_error(L, "users: features were released when their scope closed");
    if (t->shape.ndim != 2 || t->shape.n[0] != n)
      luaL_error(L, "users: features %s, expected [N,D] with N = %I", kk_shape_str(&t->shape, b), (lua_Integer)n);
    *d = t->shape.n[1];
    if (kk_type(t) == KK_F32 && sizeof(kk_real) == sizeof(float) && kk_contiguous(t))
      return kk_data(t);   /* lent: the tensor stays on the stack */
    float *x = kk_lua_users_block(L, (size_t)(n * *d), sizeof *x);
    for (int64_t i = 0; i < n * *d; i++) x[i] = (float)kk_get(t, kk_element_offset(t, i));
    return x;
  }
  if (!lua_istable(L, at) || (int64_t)lua_rawlen(L, at) != n)
    luaL_error(L, "users: features must be a tensor [N,D] or a list of %I lists", (lua_Integer)n);
  lua_rawgeti(L, at, 1);
  *d = lua_istable(L, -1) ? (int64_t)lua_rawlen(L, -1) : 0;
  lua_pop(L, 1);
  float *x = kk_lua_users_block(L, (size_t)(n * *d), sizeof *x);
  for (int64_t i = 0; i < n; i++) {
    lua_rawgeti(L, at, i + 1);
    if (!lua_istable(L, -1) || (int64_t)lua_rawlen(L, -1) != *d)
      luaL_error(L, "users: row %I of features is not a list of %I numbers", (lua_Integer)i + 1, (lua_Integer)*d);
    for (int64_t j = 0; j < *d; j++) {
      lua_rawgeti(L, -1, j + 1);
      if (lua_type(L, -1) != LUA_TNUMBER)
        luaL_error(L, "users: feature %I of row %I is not a number", (lua_Integer)j + 1, (lua_Integer)i + 1);
      x[i * *d + j] = (float)lua_tonumber(L, -1);
      lua_pop(L, 1);
    }
    lua_pop(L, 1);
  }
  return x;
}

void kk_lua_users_pushlist(lua_State *L, const double *v, int64_t n) {
  lua_createtable(L, n < INT32_MAX ? (int)n : 0, 0);
  for (int64_t i = 0; i < n; i++) {
    lua_pushnumber(L, v[i]);
    lua_rawseti(L, -2, i + 1);
  }
}

uint8_t *kk_lua_users_labels(lua_State *L, int64_t n, int64_t *got) {
  int64_t m;
  double *v = kk_lua_users_field(L, "labels", n, &m);
  uint8_t *label = kk_lua_users_block(L, (size_t)m, 1);
  for (int64_t i = 0; i < m; i++) {
    if (v[i] != 1 && v[i] != 2)
      luaL_error(L, "users: label in row %I is %f, expected class 1 or 2 (classes count from 1)", (lua_Integer)i + 1, v[i]);
    label[i] = v[i] == 2;
  }
  if (got) *got = m;
  return label;
}

int32_t *kk_lua_users_ids(lua_State *L, int64_t n, int64_t nuser) {
  double *v = kk_lua_users_field(L, "users", n, NULL);
  int32_t *user = kk_lua_users_block(L, (size_t)n, sizeof *user);
  for (int64_t i = 0; i < n; i++) {
    if (!(v[i] >= 1 && v[i] <= (double)nuser))
      luaL_error(L, "users: person in row %I is %f, expected 1..%I", (lua_Integer)i + 1, v[i], (lua_Integer)nuser);
    user[i] = (int32_t)v[i] - 1;
  }
  return user;
}

void kk_lua_users_table(lua_State *L) {
  if (lua_getfield(L, -1, "users") == LUA_TTABLE) return;
  lua_pop(L, 1);
  lua_newtable(L);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "users");
}
