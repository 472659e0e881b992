/* bind_machine.c -- kooka.core.machine: measured facts about the processor, the memory and what computes products. */
#include <string.h>

#include "base/mem.h"
#include "base/pool.h"
#include "linalg/blas.h"
#include "linalg/gemm.h"
#include "linalg/peak.h"
#include "lua/lua_util.h"

/* Index of a choice: as kk_peak_kind. */
static const char *const kinds[] = {"float32", "bf16", "int8", "amx", NULL};

static kk_peak_kind machine_kind(lua_State *L, const char *name) {
  int kind = KK_PEAK_F32;
  if (lua_istable(L, 1) && lua_getfield(L, 1, "kind") != LUA_TNIL) {
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
    while (kinds[kind] && strcmp(kinds[kind], text) != 0) kind++;
    if (!kinds[kind])
      luaL_argerror(L, 1, lua_pushfstring(L, "%s: option kind is '%s', expected float32, bf16, int8 or amx", name,
                                          luaL_tolstring(L, -1, NULL)));
  }
  lua_settop(L, 1);
  return (kk_peak_kind)kind;
}

static int machine_peak(lua_State *L) {
  static const char *const names[] = {"threads", "seconds", "kind", NULL};
  lua_settop(L, 1);
  kk_lua_check_opts(L, 1, names, "machine.peak");
  int threads = (int)kk_lua_opt_integer(L, 1, "threads", 0, 0, 1);
  double seconds = kk_lua_opt_number(L, 1, "seconds", .005, 1e-4, 10);
  kk_peak_kind kind = machine_kind(L, "machine.peak");
  if (!kk_peak_variant(kind)) return 0;
  lua_pushnumber(L, kk_peak_rate(kind, threads == 1 ? 1 : kk_pool_threads(), seconds) / 1e9);
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

static int machine_read(lua_State *L) {
  static const char *const names[] = {"threads", "bytes", "seconds", NULL};
  double rate;
  kk_err e;
  lua_settop(L, 1);
  kk_lua_check_opts(L, 1, names, "machine.read");
  int threads = (int)kk_lua_opt_integer(L, 1, "threads", 0, 0, 1);
  lua_Integer bytes = kk_lua_opt_integer(L, 1, "bytes", 1 << 14, 1 << 10, (lua_Integer)1 << 32);
  double seconds = kk_lua_opt_number(L, 1, "seconds", .02, 1e-4, 10);
  if (kk_peak_read((size_t)bytes, threads == 1 ? 1 : kk_pool_threads(), seconds, &rate, &e)) return kk_lua_fail(L, &e);
  lua_pushnumber(L, rate / 1e9);
  return 1;
}

static int machine_variant(lua_State *L) {
  static const char *const names[] = {"kind", NULL};
  lua_settop(L, 1);
  kk_lua_check_opts(L, 1, names, "machine.variant");
  lua_pushstring(L, kk_peak_variant(machine_kind(L, "machine.variant")));
  return 1;
}

static int machine_kernel(lua_State *L) {
  kk_err e;
  if (kk_gemm_ready(&e)) return kk_lua_fail(L, &e);
  lua_pushstring(L, kk_gemm_kernel());
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
   "machine.peak([{threads = 0, seconds = .005, kind = \"float32\"}]) -> GFLOP/s or nothing\nMultiply-adds in registers, each counted as two "
   "operations. kind: float32, bf16 (vdpbf16ps), int8 (vpdpbusd) or amx (tiles of bfloat16); nothing when the processor has "
   "no such instruction. threads: 1, or 0 for the whole pool. On a machine that does other work too it is what was left."},
  {"bandwidth", machine_bandwidth,
   "machine.bandwidth([{threads = 0, bytes = 2^28, rounds = 5}]) -> GB/s\nThe triad a = b + 3 c over three arrays that take bytes together, "
   "best of rounds; each array counted once. Raises without memory for it."},
  {"read", machine_read,
   "machine.read([{threads = 0, bytes = 2^14, seconds = .02}]) -> GB/s\nEach thread reads bytes of its own over and over: from the level of the "
   "caches that they fit. All threads together, the best of five parts. Raises without memory for it."},
  {"variant", machine_variant,
   "machine.variant([{kind = \"float32\"}]) -> name or nil\nThe instructions that peak uses: \"avx512f\", \"avx2+fma\", \"portable\", ...; nil when "
   "there are none of the kind."},
  {"kernel", machine_kernel,
   "machine.kernel() -> \"avx512\", \"avx2\", \"neon\" or \"portable\"\nWhich of our kernels computes matrix products: the best that "
   "the processor has, or what the environment's KOOKA_KERNEL names. Raises when that one cannot run here."},
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
