/* bind_sys.c -- kooka.core.sys: clock, memory, threads, the stop flag, whole files. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/stop.h"
#include "linalg/blas.h"
#include "lua/lua_util.h"

static int sys_now(lua_State *L) { lua_pushnumber(L, kk_clock_now()); return 1; }
static int sys_wall(lua_State *L) { lua_pushnumber(L, kk_clock_wall()); return 1; }

static int sys_sleep(lua_State *L) {
  double s = luaL_checknumber(L, 1);
  if (kk_clock_sleep(s)) return luaL_error(L, "sleep: interrupted");
  return 0;
}

static int sys_memory(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)kk_mem_live());
  lua_pushinteger(L, (lua_Integer)kk_mem_peak());
  lua_pushinteger(L, (lua_Integer)kk_mem_cached());
  lua_pushinteger(L, (lua_Integer)kk_mem_taken());
  return 4;
}

static int sys_threads(lua_State *L) {
  if (!lua_isnoneornil(L, 1)) {
    lua_Integer n = luaL_checkinteger(L, 1);
    luaL_argcheck(L, n >= 0 && n <= 4096, 1, "expected 0 (as many as the process may use) to 4096");
    kk_pool_set_threads((int)n);
  }
  lua_pushinteger(L, kk_pool_threads());
  return 1;
}

static int sys_stopped(lua_State *L) { lua_pushboolean(L, kk_stop_asked() > 0); return 1; }
static int sys_stop(lua_State *L) { (void)L; kk_stop_request(); return 0; }
static int sys_stop_clear(lua_State *L) { (void)L; kk_stop_clear(); return 0; }

/* A hold is an object so that an error or a forgotten close cannot leave the flag held. */
static int sys_hold_close(lua_State *L) {
  int *held = luaL_checkudata(L, 1, "kooka.stop_hold");
  if (*held) kk_stop_release();
  *held = 0;
  return 0;
}

static int sys_stop_hold(lua_State *L) {
  int *held = lua_newuserdatauv(L, sizeof *held, 0);
  *held = 0;
  luaL_setmetatable(L, "kooka.stop_hold");
  kk_stop_hold();
  *held = 1;
  return 1;
}

static int sys_isatty(lua_State *L) { lua_pushboolean(L, isatty((int)luaL_optinteger(L, 1, 2))); return 1; }
static int sys_blas(lua_State *L) {
  const char *text = kk_blas_config();
  if (*text) lua_pushstring(L, text);
  else lua_pushnil(L);
  return 1;
}
static int sys_pid(lua_State *L) { lua_pushinteger(L, (lua_Integer)getpid()); return 1; }

static int sys_write_file(lua_State *L) {
  size_t n;
  const char *path = luaL_checkstring(L, 1), *text = luaL_checklstring(L, 2, &n);
  kk_outfile o;
  kk_err e;
  kk_status st = kk_outfile_open(&o, path, &e);
  if (st) return kk_lua_fail(L, &e);
  st = kk_outfile_write(&o, text, n, &e);
  if (!st) st = kk_outfile_commit(&o, &e);
  if (st) {
    kk_outfile_abort(&o);
    return kk_lua_fail(L, &e);
  }
  lua_pushboolean(L, 1);
  return 1;
}

static const kk_reg sys_funcs[] = {
  {"now", sys_now, "now() -> seconds\nA clock that never goes back."},
  {"wall", sys_wall, "wall() -> seconds since 1970-01-01 UTC"},
  {"sleep", sys_sleep, "sleep(seconds)\nRaises \"interrupted\" when Ctrl-C ends it early."},
  {"memory", sys_memory, "memory() -> live, peak, cached, taken\nBytes held by tensors and the rest of the core, their highest value, bytes kept for reuse, and how many blocks were\n"
   "asked of the system so far: a training step in its steady state asks for none."},
  {"threads", sys_threads, "threads([n]) -> n\nSets (0: as many as the process may use) and returns the number of threads. Results do not depend on it."},
  {"stopped", sys_stopped, "stopped() -> boolean\nTrue after Ctrl-C, until stop_clear()."},
  {"stop", sys_stop, "stop()\nAsks long loops to end, as Ctrl-C does."},
  {"stop_clear", sys_stop_clear, "stop_clear()\nForgets a Ctrl-C that was dealt with."},
  {"stop_hold", sys_stop_hold,
   "stop_hold() -> hold\nFor a loop that ends by itself at a good place: `local hold <close> = sys.stop_hold()`. Until it is closed the "
   "first Ctrl-C only makes stopped() true; the second one raises \"interrupted\" as usual."},
  {"isatty", sys_isatty, "isatty([fd = 2]) -> boolean"},
  {"blas", sys_blas, "blas() -> text or nil\nWhat OpenBLAS says of itself; nil before it was first used."},
  {"pid", sys_pid, "pid() -> integer"},
  {"write_file", sys_write_file, "write_file(path, text) -> true | nil, message, code\nWritten aside, fsynced, renamed: path holds all of text or what it held before."},
  {0},
};

static const kk_reg hold_meta[] = {
  {"__gc", sys_hold_close, NULL},
  {"__close", sys_hold_close, NULL},
  {0},
};

KK_BIND(sys) {
  kk_lua_type(L, "kooka.stop_hold", hold_meta, NULL);
  luaL_getsubtable(L, -1, "sys");
  kk_lua_funcs(L, sys_funcs);
  lua_pop(L, 1);
}
