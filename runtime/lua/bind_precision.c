/* bind_precision.c -- how matrix products round their operands, and which kernels compute them. */
#include "linalg/gemm.h"
#include "lua/lua_util.h"

static const char *const precision_names[] = {"float32", "bf16", "bf16x3", "auto", NULL};

static int precision_use(lua_State *L) {
  enum { AUTO = 3 };
  const int want = lua_isnoneornil(L, 1) ? -1 : luaL_checkoption(L, 1, NULL, precision_names);
  kk_err e = {0};
  kk_status st = KK_OK;
  if (want >= 0) st = kk_gemm_precision(want == AUTO ? KK_BF16 : (kk_precision)want, &e);
  if (st == KK_ELIB) {                             /* nothing to be gained here: float32, and why */
    kk_err other;
    if (kk_gemm_precision(KK_FLOAT32, &other)) return kk_lua_fail(L, &other);
  } else if (st) return kk_lua_fail(L, &e);
  lua_pushstring(L, precision_names[kk_gemm_precision_now()]);
  if (st == KK_ELIB) lua_pushstring(L, e.msg);
  else lua_pushnil(L);
  return 2;
}

static int precision_kernel(lua_State *L) {
  kk_err e;
  if (kk_gemm_ready(&e)) return kk_lua_fail(L, &e);
  lua_pushstring(L, kk_gemm_kernel());
  lua_pushstring(L, kk_gemm_kernel16());
  return 2;
}

static const kk_reg precision_funcs[] = {
  {"precision", precision_use,
   "precision([want]) -> used, why\nHow matrix products (linear, lstm, qrnn, matmul, attention and their gradients) round their operands "
   "from now on; sums, weights and everything else stay float32. \"float32\"; \"bf16\": bfloat16, 8 bits; \"bf16x3\": two bfloat16 "
   "parts and three products, 16 bits; \"auto\": bf16 where it is faster (AMX tiles, or AVX512-BF16 at twice the float32 rate). Where bfloat16 "
   "is not faster float32 is used, and `why` says so; else it is nil. Without an argument only tells. The environment variable "
   "KOOKA_KERNEL16 = amx | avx512_bf16 names a kernel to be used, fast or not."},
  {"kernel", precision_kernel,
   "kernel() -> float32, bf16\nNames of the kernels that compute matrix products: \"avx512\", \"avx2\", \"neon\" or \"portable\" (the environment "
   "variable KOOKA_KERNEL names another); \"amx\", \"avx512_bf16\" or nil as long as no bfloat16 was wanted."},
  {0},
};

KK_BIND(precision) { kk_lua_funcs(L, precision_funcs); }
