/* bind_create.c -- tensors of random numbers and of simple patterns. Random ones draw one key from the ops' own
** stream (kooka.seed sets it) or from a stream given last: the same numbers for any number of threads. */
#include "base/pool.h"
#include "lua/lua_tensor.h"

enum { GRAIN = 16384 };
typedef enum create_kind { UNIFORM, NORMAL, INTEGER, BERNOULLI } create_kind;

typedef struct fill_job {
  kk_tensor *t;
  const kk_tensor *p;       /* bernoulli: probabilities */
  create_kind kind;
  uint64_t key;
  double a, b;
} fill_job;

static void create_chunk(void *arg, int64_t begin, int64_t end) {
  const fill_job *j = arg;
  for (int64_t i = begin; i < end; i++) {
    uint64_t u = (uint64_t)i;
    switch (j->kind) {
      case UNIFORM: kk_real_data(j->t)[i] = (kk_real)kk_random_uniform(j->key, u); break;
      case NORMAL: kk_real_data(j->t)[i] = (kk_real)kk_random_normal(j->key, u); break;
      case INTEGER:
        kk_i32_data(j->t)[i] = (int32_t)(j->a + (double)kk_random_below(j->key, u, (uint64_t)(j->b - j->a) + 1));
        break;
      default: {
        double p = j->p ? kk_get(j->p, kk_element_offset(j->p, i)) : j->a;
        kk_real_data(j->t)[i] = kk_random_uniform(j->key, u) < p;
      }
    }
  }
}

static kk_stream *create_stream(lua_State *L, int arg) {
  return lua_isnoneornil(L, arg) ? kk_lua_stream(L) : kk_lua_checkstream(L, arg);
}

static int create_filled(lua_State *L, kk_dtype d, const kk_shape *s, kk_stream *stream, fill_job j) {
  kk_tensor **h;
  kk_err e;
  kk_lua_pressure(L);
  h = kk_lua_newtensor(L);
  if (kk_tensor_new(d, s, h, &e)) return kk_lua_fail(L, &e);
  j.t = *h;
  j.key = kk_stream_key(stream);
  kk_pool_for(kk_numel(s), GRAIN, create_chunk, &j);
  kk_lua_adopt(L, *h);
  return 1;
}

static int create_sized(lua_State *L, create_kind kind) {
  int next;
  kk_shape s = kk_lua_checkshape(L, 1, false, &next);
  return create_filled(L, KK_F32, &s, create_stream(L, next), (fill_job){.kind = kind});
}
static int create_rand(lua_State *L) { return create_sized(L, UNIFORM); }
static int create_randn(lua_State *L) { return create_sized(L, NORMAL); }

static int create_randint(lua_State *L) {
  lua_Integer lo = luaL_checkinteger(L, 1), hi = luaL_checkinteger(L, 2);
  int next;
  kk_shape s = kk_lua_checkshape(L, 3, false, &next);
  luaL_argcheck(L, lo >= INT32_MIN && hi <= INT32_MAX && lo <= hi, 2, "expected lo <= hi, both in the range of int32");
  return create_filled(L, KK_I32, &s, create_stream(L, next), (fill_job){.kind = INTEGER, .a = (double)lo, .b = (double)hi});
}

static int create_bernoulli(lua_State *L) {
  fill_job j = {.kind = BERNOULLI};
  kk_shape s;
  int next = 2;
  if (kk_lua_testtensor(L, 1)) {
    j.p = kk_lua_checktensor(L, 1);
    luaL_argcheck(L, kk_type(j.p) == KK_F32, 1, "probabilities are float32");
    s = j.p->shape;
    for (int64_t i = 0, n = kk_numel(&s); i < n; i++) {
      double p = kk_get(j.p, kk_element_offset(j.p, i));
      if (!(p >= 0 && p <= 1)) return luaL_argerror(L, 1, lua_pushfstring(L, "element %I is %f, expected 0..1", (lua_Integer)i + 1, p));
    }
  } else {
    j.a = luaL_checknumber(L, 1);
    luaL_argcheck(L, j.a >= 0 && j.a <= 1, 1, "a probability lies in 0..1");
    s = kk_lua_checkshape(L, 2, false, &next);
  }
  return create_filled(L, KK_F32, &s, create_stream(L, next), j);
}

static int create_randperm(lua_State *L) {
  lua_Integer n = luaL_checkinteger(L, 1);
  kk_stream *stream = create_stream(L, 2);
  kk_shape s = {1, {n}};
  kk_tensor **h;
  kk_err e;
  uint64_t key;
  luaL_argcheck(L, n >= 0 && n <= INT32_MAX, 1, "expected 0 .. 2^31-1");
  kk_lua_pressure(L);
  h = kk_lua_newtensor(L);
  if (kk_tensor_new(KK_I32, &s, h, &e)) return kk_lua_fail(L, &e);
  key = kk_stream_key(stream);
  for (int64_t i = 0; i < n; i++) kk_i32_data(*h)[i] = (int32_t)i + 1;
  for (int64_t i = n - 1; i > 0; i--) {
    int64_t k = (int64_t)kk_random_below(key, (uint64_t)i, (uint64_t)i + 1);
    int32_t v = kk_i32_data(*h)[i];
    kk_i32_data(*h)[i] = kk_i32_data(*h)[k];
    kk_i32_data(*h)[k] = v;
  }
  kk_lua_adopt(L, *h);
  return 1;
}

static int create_eye(lua_State *L) {
  lua_Integer n = luaL_checkinteger(L, 1), m = luaL_optinteger(L, 2, n);
  kk_shape s = {2, {n, m}};
  kk_tensor **h;
  kk_err e;
  luaL_argcheck(L, n >= 0, 1, "expected 0 or more");
  luaL_argcheck(L, m >= 0, 2, "expected 0 or more");
  kk_lua_pressure(L);
  h = kk_lua_newtensor(L);
  if (kk_tensor_zeros(KK_F32, &s, h, &e)) return kk_lua_fail(L, &e);
  for (int64_t i = 0; i < n && i < m; i++) kk_real_data(*h)[i * m + i] = 1;
  kk_lua_adopt(L, *h);
  return 1;
}

static int create_linspace(lua_State *L) {
  double a = luaL_checknumber(L, 1), b = luaL_checknumber(L, 2);
  lua_Integer n = luaL_checkinteger(L, 3);
  kk_shape s = {1, {n}};
  kk_tensor **h;
  kk_err e;
  luaL_argcheck(L, n >= 1, 3, "expected 1 or more");
  kk_lua_pressure(L);
  h = kk_lua_newtensor(L);
  if (kk_tensor_new(KK_F32, &s, h, &e)) return kk_lua_fail(L, &e);
  for (int64_t i = 0; i < n; i++) kk_real_data(*h)[i] = (kk_real)(n == 1 ? a : i == n - 1 ? b : a + (b - a) * (double)i / (double)(n - 1));
  kk_lua_adopt(L, *h);
  return 1;
}

/* Draws from one row of weights (contiguous). Without replacement: a weight that was drawn becomes 0. */
static void create_draw(double *w, int64_t n, int64_t count, bool replace, uint64_t key, uint64_t row, int32_t *out) {
  double total = 0;
  for (int64_t i = 0; i < n; i++) total += w[i];
  for (int64_t k = 0; k < count; k++) {
    double u = kk_random_uniform(key, 2 * (row * (uint64_t)count + (uint64_t)k)) +
               kk_random_uniform(key, 2 * (row * (uint64_t)count + (uint64_t)k) + 1) / 16777216.0;
    double x = u * total, sum = 0;
    int64_t pick = -1;
    for (int64_t i = 0; i < n; i++) {
      sum += w[i];
      if (w[i] > 0) pick = i;           /* the last possible one when rounding runs over the end */
      if (w[i] > 0 && x < sum) break;
    }
    out[k] = (int32_t)pick + 1;
    if (replace) continue;
    w[pick] = 0;
    total = 0;
    for (int64_t i = 0; i < n; i++) total += w[i];
  }
}

static int create_multinomial(lua_State *L) {
  static const char *const names[] = {"replacement", "stream", NULL};
  kk_tensor *w = kk_lua_checktensor(L, 1), **h, **copy;
  lua_Integer count = luaL_checkinteger(L, 2);
  kk_stream *stream = kk_lua_stream(L);
  bool replace;
  kk_shape s = w->shape, room;
  kk_err e;
  kk_lua_check_opts(L, 3, names, "multinomial");
  replace = kk_lua_opt_boolean(L, 3, "replacement", 1);
  if (lua_istable(L, 3) && lua_getfield(L, 3, "stream") != LUA_TNIL) stream = kk_lua_checkstream(L, -1);
  luaL_argcheck(L, kk_type(w) == KK_F32 && (s.ndim == 1 || s.ndim == 2), 1, "weights are float32 [N] or [rows,N]");
  luaL_argcheck(L, count >= 1, 2, "expected 1 or more");
  int64_t n = s.n[s.ndim - 1], rows = s.ndim == 2 ? s.n[0] : 1;
  for (int64_t r = 0; r < rows; r++) {
    int64_t possible = 0;
    for (int64_t i = 0; i < n; i++) {
      double v = kk_get(w, kk_element_offset(w, r * n + i));
      if (!(v >= 0 && v < 1e300)) return luaL_argerror(L, 1, lua_pushfstring(L, "weight %I is %f, expected 0 or more", (lua_Integer)(r * n + i) + 1, v));
      possible += v > 0;
    }
    if (possible < (replace ? 1 : count))
      return luaL_argerror(L, 1, lua_pushfstring(L, "row %I has %I weights above 0, needs %I", (lua_Integer)r + 1, (lua_Integer)possible,
                                                 replace ? (lua_Integer)1 : count));
  }
  s.n[s.ndim - 1] = count;
  room = (kk_shape){1, {n}};
  kk_lua_pressure(L);
  copy = kk_lua_newtensor(L);           /* int64 has the size of double: room for one row */
  h = kk_lua_newtensor(L);
  if (kk_tensor_new(KK_I64, &room, copy, &e) || kk_tensor_new(KK_I32, &s, h, &e)) return kk_lua_fail(L, &e);
  double *p = (*copy)->store->data;
  uint64_t key = kk_stream_key(stream);
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t i = 0; i < n; i++) p[i] = kk_get(w, kk_element_offset(w, r * n + i));
    create_draw(p, n, count, replace, key, (uint64_t)r, kk_i32_data(*h) + r * count);
  }
  kk_lua_adopt(L, *h);
  return 1;
}

static const kk_reg create_funcs[] = {
  {"rand", create_rand, "rand(sizes...[, stream]) -> float32 tensor\nUniform in [0,1), 24 bits."},
  {"randn", create_randn, "randn(sizes...[, stream]) -> float32 tensor\nNormal with mean 0 and standard deviation 1 (Box and Muller)."},
  {"randint", create_randint, "randint(lo, hi, sizes...[, stream]) -> int32 tensor\nUniform integers lo .. hi, both included."},
  {"randperm", create_randperm, "randperm(n[, stream]) -> int32 tensor [n]\n1 .. n in random order (Fisher and Yates)."},
  {"bernoulli", create_bernoulli, "bernoulli(p, sizes...[, stream]) or bernoulli(tensor of p[, stream]) -> float32 tensor of 0 and 1"},
  {"multinomial", create_multinomial, "multinomial(weights, n[, {replacement = true, stream = s}]) -> int32 tensor [n] or [rows,n]\n"
   "Places 1 .. N drawn with chances in proportion to weights [N] or [rows,N], 0 or more. Without replacement no place comes twice."},
  {"eye", create_eye, "eye(n[, m = n]) -> float32 tensor [n,m]\n1 on the diagonal, else 0."},
  {"linspace", create_linspace, "linspace(a, b, n) -> float32 tensor [n]\nn numbers from a to b in equal steps."},
  {0},
};

KK_BIND(create) {
  kk_lua_funcs(L, create_funcs);
}
