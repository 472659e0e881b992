/* bind_safetensors.c -- kooka.save_safetensors, kooka.load_safetensors. */
#include "lua/lua_util.h"
#include "tensor/safetensors.h"

#define ST_FILE "kooka.safetensors.file"

/* Number of entries of the table at arg; every key must be a string. */
static int64_t st_count(lua_State *L, int arg) {
  int64_t n = 0;
  for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1), n++)
    if (lua_type(L, -2) != LUA_TSTRING) luaL_argerror(L, arg, lua_pushfstring(L, "a key is a %s, expected strings", luaL_typename(L, -2)));
  return n;
}

static kk_st_text st_text(lua_State *L, int index) {
  kk_st_text t;
  t.p = lua_tolstring(L, index, &t.n);
  return t;
}

/* Names, tensors and strings stay alive because the two tables do. */
static int st_save(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  int64_t n, nmeta = 0, i = 0;
  kk_err e;
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 3);
  n = st_count(L, 2);
  if (!lua_isnil(L, 3)) {
    luaL_checktype(L, 3, LUA_TTABLE);
    nmeta = st_count(L, 3);
  }
  kk_st_text *names = lua_newuserdatauv(L, (size_t)n * sizeof *names + 1, 0);
  kk_tensor **tensors = lua_newuserdatauv(L, (size_t)n * sizeof *tensors + 1, 0);
  kk_st_meta *meta = lua_newuserdatauv(L, (size_t)nmeta * sizeof *meta + 1, 0);
  for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1), i++) {
    kk_tensor *t = kk_lua_testtensor(L, -1);
    if (!t || !kk_live(t))
      luaL_argerror(L, 2, lua_pushfstring(L, "\"%s\" is %s, expected a tensor", lua_tostring(L, -2), t ? "released" : luaL_typename(L, -1)));
    names[i] = st_text(L, -2);
    tensors[i] = t;
  }
  i = 0;
  if (nmeta)
    for (lua_pushnil(L); lua_next(L, 3); lua_pop(L, 1), i++) {
      if (lua_type(L, -1) != LUA_TSTRING)
        luaL_argerror(L, 3, lua_pushfstring(L, "metadata \"%s\" is a %s, expected a string", lua_tostring(L, -2), luaL_typename(L, -1)));
      meta[i] = (kk_st_meta){st_text(L, -2), st_text(L, -1)};
    }
  if (kk_st_save(path, names, tensors, n, meta, nmeta, &e)) return kk_lua_fail(L, &e);
  lua_pushboolean(L, 1);
  return 1;
}

static int st_close(lua_State *L) {
  kk_st_close(luaL_checkudata(L, 1, ST_FILE));
  return 0;
}

static int st_load(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  kk_err e;
  lua_settop(L, 1);
  kk_st_file *f = lua_newuserdatauv(L, sizeof *f, 0);
  *f = (kk_st_file){0};
  luaL_setmetatable(L, ST_FILE);
  if (kk_st_open(path, f, &e)) return kk_lua_fail(L, &e);
  lua_newtable(L);
  for (int64_t i = 0; i < f->nitems; i++) {
    lua_pushlstring(L, f->items[i].name.p, f->items[i].name.n);
    kk_lua_pressure(L);
    kk_tensor **h = kk_lua_newtensor(L);
    if (kk_st_load(f, i, h, &e)) {
      kk_st_close(f);
      return kk_lua_fail(L, &e);
    }
    kk_lua_adopt(L, *h);
    lua_rawset(L, 3);
  }
  lua_newtable(L);
  for (int64_t i = 0; i < f->nmeta; i++) {
    lua_pushlstring(L, f->meta[i].key.p, f->meta[i].key.n);
    lua_pushlstring(L, f->meta[i].value.p, f->meta[i].value.n);
    lua_rawset(L, 4);
  }
  kk_st_close(f);
  return 2;
}

static const kk_reg st_funcs[] = {
  {"save_safetensors", st_save,
   "save_safetensors(path, {name = tensor, ...}[, metadata]) -> true | nil, message, code\n"
   "Named tensors and metadata (strings by strings) in the safetensors format. Equal contents give equal files; the file\n"
   "appears under its name only when it is complete. Views are written as they look."},
  {"load_safetensors", st_load,
   "load_safetensors(path) -> {name = tensor, ...}, metadata | nil, message, code\n"
   "Reads a safetensors file after checking its whole header. F16, BF16 and F64 become float32, I8, I16 and U16 int32, U32\n"
   "int64, BOOL uint8; other types (U64, complex, 8 bits and less of float) are refused."},
  {0},
};

static const kk_reg st_meta[] = {{"__gc", st_close, NULL}, {0}};

KK_BIND(safetensors) {
  kk_lua_type(L, ST_FILE, st_meta, NULL);
  kk_lua_funcs(L, st_funcs);
}
