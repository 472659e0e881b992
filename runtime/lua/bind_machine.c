/* bind_machine.c -- kooka.core.machine: measured facts about the processor, the memory and OpenBLAS. */
#include "base/mem.h"
#include "base/pool.h"
#include "linalg/blas.h"
#include "linalg/peak.h"
#include "lua/lua_util.h"

static int machine_peak(lua_State *L) {
  static const char *const names[] = {"threads", "seconds", NULL};
  lua_settop(L, 1);
  kk_lua_check_opts(L, 1, names, "machine.peak");
  int threads = (int)kk_lua_opt_integer(L, 1, "threads", 0, 0, 1);
  double seconds = kk_lua_opt_number(L, 1, "seconds", .005, 1e-4, 10);
  lua_pushnumber(L, kk_peak_fma(threads == 1 ? 1 : kk_pool_threads(), seconds) / 1e9);
  return 1;
}

static int machine_bandwidth(lua_State *L) {
  static const char *const names[] = {"threads", "bytes", "rounds", NULL};
  double rate;
  kk_err e;
  lua_settop(L, 1);
  kk_lua_check_opts(L, 1, names, "machine.bandwidth");
  int threads = (int)kk_lua_opt_integer(L, 1, "threads", 0, 0, 1);
  lua_Integer bytes = kk_lua_opt_integer(L, 1, "bytes", 1 << 28, 1 << 10, (lua_Integer)1 << 36);
  int rounds = (int)kk_lua_opt_integer(L, 1, "rounds", 5, 1, 1000);
  if (kk_peak_triad((size_t)bytes, threads == 1 ? 1 : kk_pool_threads(), rounds, &rate, &e)) return kk_lua_fail(L, &e);
  lua_pushnumber(L, rate / 1e9);
  return 1;
}

static int machine_variant(lua_State *L) {
  lua_pushstring(L, kk_peak_variant());
  return 1;
}

static int machine_blas(lua_State *L) {
  kk_err e;
  if (kk_blas_ready(&e)) return kk_lua_fail(L, &e);
  lua_pushstring(L, kk_blas_core());
  lua_pushstring(L, kk_blas_config());
  return 2;
}

static int machine_trim(lua_State *L) {
  (void)L;
  kk_mem_trim();
  return 0;
}

static const kk_reg machine_funcs[] = {
  {"peak", machine_peak,
   "machine.peak([{threads = 0, seconds = .005}]) -> GFLOP/s\nFloat32 multiply-adds in registers, each counted as two operations. "
   "threads: 1, or 0 for the whole pool. On a machine that does other work too it is what was left."},
  {"bandwidth", machine_bandwidth,
   "machine.bandwidth([{threads = 0, bytes = 2^28, rounds = 5}]) -> GB/s\nThe triad a = b + 3 c over three arrays that take bytes together, "
   "best of rounds; each array counted once. Raises without memory for it."},
  {"variant", machine_variant, "machine.variant() -> \"avx512f\", \"avx2+fma\" or \"portable\"\nThe instructions that peak uses."},
  {"blas", machine_blas,
   "machine.blas() -> core, config | nil, message, code\nOpens OpenBLAS: the kernel it chose and what it says of itself."},
  {"trim", machine_trim, "machine.trim()\nGives the memory that is kept for reuse back to the system."},
  {0},
};

KK_BIND(machine) {
  luaL_getsubtable(L, -1, "machine");
  kk_lua_funcs(L, machine_funcs);
  lua_pop(L, 1);
}
