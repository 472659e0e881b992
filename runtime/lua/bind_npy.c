/* bind_npy.c -- kooka.save_npy, kooka.load_npy. */
#include "lua/lua_util.h"
#include "tensor/npy.h"

static int npy_save(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  kk_tensor *t = kk_lua_checktensor(L, 2);
  kk_err e;
  if (kk_npy_save(path, t, &e)) return kk_lua_fail(L, &e);
  lua_pushboolean(L, 1);
  return 1;
}

static int npy_load(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  kk_err e;
  kk_lua_pressure(L);
  kk_tensor **h = kk_lua_newtensor(L);
  if (kk_npy_load(path, h, &e)) return kk_lua_fail(L, &e);
  kk_lua_adopt(L, *h);
  return 1;
}

static const kk_reg npy_funcs[] = {
  {"save_npy", npy_save, "save_npy(path, t) -> true | nil, message, code\nA tensor in NumPy's format (np.load reads it); appears under its name only when complete."},
  {"load_npy", npy_load,
   "load_npy(path) -> tensor | nil, message, code\nAn array that np.save wrote: booleans, integers up to 64 bits (not uint64) and floats, either order of axes.\n"
   "float16 and float64 become float32, int8, int16 and uint16 int32, uint32 int64, bool uint8."},
  {0},
};

KK_BIND(npy) { kk_lua_funcs(L, npy_funcs); }
