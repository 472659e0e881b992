/* bind_sample.c -- kooka.core.sample: neighbours, rows that are made, and what neighbours say of a row. kooka.imbalance
** gives them classes, splits and counts. Every array lives in memory that Lua owns, so an error may be raised anywhere. */
#include <math.h>

#include "lua/lua_tensor.h"
#include "sample/clean.h"
#include "sample/near.h"
#include "sample/synth.h"

static void *sample_room(lua_State *L, int64_t n, size_t size) {
  if (n < 0 || (uint64_t)n > PTRDIFF_MAX / size - 1) luaL_error(L, "sample: too large");
  return lua_newuserdatauv(L, (size_t)n * size + 1, 0);
}

/* A float32 matrix as it lies. */
static kk_tensor *sample_matrix(lua_State *L, int arg) {
  kk_tensor *t = kk_lua_checktensor(L, arg);
  char b[KK_SHAPE_STR];
  if (t->shape.ndim != 2 || kk_type(t) != KK_F32 || !kk_contiguous(t) || t->shape.n[1] < 1)
    luaL_argerror(L, arg, lua_pushfstring(L, "expected a contiguous float32 tensor [N,D], got %s %s", kk_dtype_name(kk_type(t)),
                                          kk_shape_str(&t->shape, b)));
  return t;
}

/* The rows listed at arg of x; nil: all. */
static kk_points sample_points(lua_State *L, kk_tensor *x, int arg) {
  kk_points p = {kk_real_data(x), x->shape.n[1], x->shape.n[0], NULL};
  if (!lua_isnoneornil(L, arg)) p.rows = kk_lua_checkrows(L, arg, x->shape.n[0], &p.n);
  return p;
}

/* int32 [n] or, k > 0, [n,k] with values 1..most as 0-based numbers in Lua's memory; n = -1: any length. */
static int32_t *sample_codes(lua_State *L, int arg, int64_t most, int64_t *n, int64_t *k) {
  kk_tensor *t = kk_lua_checktensor(L, arg);
  const int dims = k ? 2 : 1;
  char b[KK_SHAPE_STR];
  if (kk_type(t) != KK_I32 || t->shape.ndim != dims || !kk_contiguous(t) || (*n >= 0 && t->shape.n[0] != *n))
    luaL_argerror(L, arg, lua_pushfstring(L, "expected a contiguous int32 tensor %s, got %s %s", k ? "[M,K]" : "[M]",
                                          kk_dtype_name(kk_type(t)), kk_shape_str(&t->shape, b)));
  *n = t->shape.n[0];
  if (k) *k = t->shape.n[1];
  const int64_t all = kk_numel(&t->shape);
  int32_t *v = sample_room(L, all, sizeof *v);
  for (int64_t i = 0; i < all; i++) {
    v[i] = kk_i32_data(t)[i] - 1;
    if (v[i] < 0 || v[i] >= most)
      luaL_argerror(L, arg, lua_pushfstring(L, "element %I is %d, expected 1..%I", (lua_Integer)i + 1, v[i] + 1, (lua_Integer)most));
  }
  return v;
}

static kk_tensor *sample_result(lua_State *L, kk_dtype type, int ndim, int64_t m, int64_t n) {
  kk_shape s = {ndim, {m, n}};
  kk_err e;
  kk_lua_pressure(L);
  kk_tensor **h = kk_lua_newtensor(L);
  if (kk_tensor_new(type, &s, h, &e)) kk_lua_fail(L, &e);
  kk_lua_adopt(L, *h);
  return *h;
}

/* Rows at .. at+n-1 (from 1) of the matrix at argument arg, to be written. */
static kk_real *sample_target(lua_State *L, int arg, int64_t d, int64_t n, int at_arg) {
  kk_tensor *t = sample_matrix(L, arg);
  const lua_Integer at = luaL_checkinteger(L, at_arg);
  if (t->shape.n[1] != d || at < 1 || at - 1 + n > t->shape.n[0])
    luaL_argerror(L, arg, lua_pushfstring(L, "%I rows of %I from row %I on do not fit", (lua_Integer)n, (lua_Integer)d, at));
  kk_lua_checkwrite(L, t, "sample");
  t->store->writes++;
  return kk_real_data(t) + (at - 1) * d;
}

static int sample_near(lua_State *L) {
  static const char *const known[] = {"others", "far", "sieve", "sums", NULL};
  lua_settop(L, 5);
  kk_tensor *x = sample_matrix(L, 1);
  const lua_Integer k = luaL_checkinteger(L, 4);
  unsigned how = 0;
  int sums = 0;
  if (!lua_isnil(L, 5)) {
    kk_lua_check_opts(L, 5, known, "near");
    const char *sieve = kk_lua_opt_string(L, 5, "sieve", "auto");
    how |= kk_lua_opt_boolean(L, 5, "others", 0) ? KK_NEAR_OTHERS : 0;
    how |= kk_lua_opt_boolean(L, 5, "far", 0) ? KK_NEAR_FAR : 0;
    how |= sieve[0] == 'f' ? KK_NEAR_FLOAT : sieve[0] == 'b' ? KK_NEAR_BYTES : sieve[0] == 'w' ? KK_NEAR_WORDS : 0;
    sums = kk_lua_opt_boolean(L, 5, "sums", 0);
  }
  const kk_points q = sample_points(L, x, 2), data = lua_rawequal(L, 2, 3) ? q : sample_points(L, x, 3);
  luaL_argcheck(L, k >= 1 && k <= INT32_MAX, 4, "k must be 1 or more");
  double *square = sample_room(L, q.n, (size_t)k * sizeof *square);
  kk_tensor *index = sample_result(L, KK_I32, 2, q.n, k);
  kk_err e;
  if (kk_near(&q, &data, k, how, kk_i32_data(index), square, &e)) return kk_lua_fail(L, &e);
  for (int64_t i = 0; i < q.n * k; i++) kk_i32_data(index)[i]++;
  if (sums) {
    lua_createtable(L, q.n < INT32_MAX ? (int)q.n : 0, 0);
    for (int64_t i = 0; i < q.n; i++) {
      double sum = 0;
      for (int64_t c = 0; c < k; c++) sum += sqrt(square[i * k + c]);
      lua_pushnumber(L, sum);
      lua_rawseti(L, -2, i + 1);
    }
    return 2;
  }
  kk_tensor *distance = sample_result(L, KK_F32, 2, q.n, k);
  for (int64_t i = 0; i < q.n * k; i++) kk_real_data(distance)[i] = (kk_real)sqrt(square[i]);
  return 2;
}

static int sample_bad(lua_State *L) {
  lua_settop(L, 2);
  kk_tensor *x = sample_matrix(L, 1);
  const kk_points p = sample_points(L, x, 2);
  int64_t point, column;
  if (!kk_points_bad(&p, &point, &column)) return 0;
  lua_pushinteger(L, point + 1);
  lua_pushinteger(L, column + 1);
  lua_pushnumber(L, (double)kk_point(&p, point)[column]);
  return 3;
}

static int sample_foreign(lua_State *L) {
  int64_t m = -1, k = 0, n = -1;
  lua_settop(L, 3);
  int32_t *code = sample_codes(L, 3, INT32_MAX, &n, NULL), *near = sample_codes(L, 1, n, &m, &k);
  int32_t *own = sample_codes(L, 2, INT32_MAX, &m, NULL);
  kk_tensor *t = sample_result(L, KK_I32, 1, m, 0);
  kk_clean_foreign(near, m, k, own, code, kk_i32_data(t));
  return 1;
}

static int sample_most(lua_State *L) {
  int64_t m = -1, k = 0, n = -1;
  lua_settop(L, 3);
  const lua_Integer classes = luaL_checkinteger(L, 3);
  luaL_argcheck(L, classes >= 1 && classes <= INT32_MAX, 3, "expected the number of classes");
  int32_t *code = sample_codes(L, 2, classes, &n, NULL), *near = sample_codes(L, 1, n, &m, &k);
  luaL_argcheck(L, k >= 1, 1, "no neighbours");
  int32_t *count = sample_room(L, classes, sizeof *count);
  kk_tensor *t = sample_result(L, KK_I32, 1, m, 0);
  kk_clean_most(near, m, k, code, (int32_t)classes, count, kk_i32_data(t));
  for (int64_t i = 0; i < m; i++) kk_i32_data(t)[i]++;
  return 1;
}

static int sample_links(lua_State *L) {
  int64_t m = -1, k = 0;
  lua_settop(L, 2);
  int32_t *code = sample_codes(L, 2, INT32_MAX, &m, NULL), *first = sample_codes(L, 1, m, &m, &k);
  luaL_argcheck(L, k == 1, 1, "expected one neighbour a row");
  kk_tensor *t = sample_result(L, KK_U8, 1, m, 0);
  kk_clean_links(first, m, code, kk_data(t));
  return 1;
}

static int sample_shares(lua_State *L) {
  kk_tensor *f = kk_lua_checktensor(L, 1);
  const lua_Integer n = luaL_checkinteger(L, 2);
  luaL_argcheck(L, kk_type(f) == KK_I32 && f->shape.ndim == 1 && kk_contiguous(f), 1, "expected an int32 tensor [M]");
  luaL_argcheck(L, n >= 0, 2, "expected 0 or more");
  const int64_t m = f->shape.n[0];
  int64_t *times = sample_room(L, m, sizeof *times);
  const int64_t sum = kk_synth_shares(kk_i32_data(f), m, n, times);
  lua_createtable(L, m < INT32_MAX ? (int)m : 0, 0);
  for (int64_t i = 0; i < m; i++) {
    lua_pushinteger(L, times[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_pushinteger(L, sum);
  return 2;
}

/* times at arg: a list of m counts, whose sum is returned. */
static int64_t *sample_times(lua_State *L, int arg, int64_t m, int64_t *sum) {
  int64_t *times = sample_room(L, m, sizeof *times);
  luaL_argcheck(L, (int64_t)lua_rawlen(L, arg) == m, arg, "expected a count for each base row");
  *sum = 0;
  for (int64_t i = 0; i < m; i++) {
    lua_rawgeti(L, arg, i + 1);
    times[i] = luaL_checkinteger(L, -1);
    if (times[i] < 0 || *sum > INT32_MAX - times[i]) luaL_argerror(L, arg, "a count is out of range");
    *sum += times[i];
    lua_pop(L, 1);
  }
  return times;
}

/* make(to, at, x, base, near, data, n or times, stream[, code, own]) */
static int sample_make(lua_State *L) {
  lua_settop(L, 10);
  kk_tensor *x = sample_matrix(L, 3);
  const int64_t d = x->shape.n[1];
  const kk_points base = sample_points(L, x, 4), data = sample_points(L, x, 6);
  int64_t m = base.n, k = 0, n, nd = data.n;
  int32_t *near = sample_codes(L, 5, data.n, &m, &k), *code = NULL;
  const int64_t *times = NULL;
  if (lua_istable(L, 7)) times = sample_times(L, 7, m, &n);
  else n = luaL_checkinteger(L, 7);
  luaL_argcheck(L, n >= 0 && n <= INT32_MAX, 7, "too many rows");
  luaL_argcheck(L, (m >= 1 && k >= 1) || n == 0, 5, "no neighbours");
  kk_stream *stream = kk_lua_checkstream(L, 8);
  if (!lua_isnil(L, 9)) code = sample_codes(L, 9, INT32_MAX, &nd, NULL);
  const lua_Integer own = luaL_optinteger(L, 10, 0) - 1;
  kk_real *to = sample_target(L, 1, d, n, 2);
  kk_draw *draw = sample_room(L, n, sizeof *draw);
  int64_t *a = sample_room(L, n, sizeof *a), *b = sample_room(L, n, sizeof *b);
  double *gap = sample_room(L, n, sizeof *gap);
  int32_t *pairs = sample_room(L, m * k, sizeof *pairs), *order = sample_room(L, n, sizeof *order);
  kk_tensor *parents = sample_result(L, KK_I32, 2, n, 2);
  const uint64_t key = kk_stream_key(stream), half = kk_stream_key(stream);
  if (times) kk_synth_draw_times(key, times, m, k, draw);
  else kk_synth_draw(key, m, k, n, draw);
  for (int64_t i = 0; i < n; i++) {
    const int32_t other = near[(int64_t)draw[i].base * k + draw[i].neighbour];
    a[i] = kk_point_row(&base, draw[i].base);
    b[i] = kk_point_row(&data, other);
    gap[i] = draw[i].gap * (code && code[other] != own ? kk_synth_half(half, i) : 1);
    kk_i32_data(parents)[2 * i] = (int32_t)a[i] + 1;
    kk_i32_data(parents)[2 * i + 1] = (int32_t)b[i] + 1;
  }
  kk_synth_order(draw, k, n, m * k, pairs, order);
  kk_synth_between(kk_real_data(x), d, a, b, gap, n, order, to);
  return 1;
}

static int sample_between(lua_State *L) {
  lua_settop(L, 4);
  kk_tensor *x = sample_matrix(L, 1);
  int64_t n, nb;
  const int64_t d = x->shape.n[1], *a = kk_lua_checkrows(L, 2, x->shape.n[0], &n), *b = kk_lua_checkrows(L, 3, x->shape.n[0], &nb);
  luaL_checktype(L, 4, LUA_TTABLE);
  if (nb != n || (int64_t)lua_rawlen(L, 4) != n)
    return luaL_error(L, "between: %I rows, %I neighbours and %I gaps", (lua_Integer)n, (lua_Integer)nb, (lua_Integer)lua_rawlen(L, 4));
  double *gap = sample_room(L, n, sizeof *gap);
  for (int64_t i = 0; i < n; i++) {
    lua_rawgeti(L, 4, i + 1);
    gap[i] = luaL_checknumber(L, -1);
    lua_pop(L, 1);
  }
  kk_tensor *t = sample_result(L, KK_F32, 2, n, d);
  kk_synth_between(kk_real_data(x), d, a, b, gap, n, NULL, kk_real_data(t));
  return 1;
}

static int sample_room_for(lua_State *L) {
  const lua_Integer n = luaL_checkinteger(L, 1), d = luaL_checkinteger(L, 2);
  luaL_argcheck(L, n >= 0, 1, "expected 0 or more");
  luaL_argcheck(L, d >= 1, 2, "expected 1 or more");
  sample_result(L, KK_F32, 2, n, d);
  return 1;
}

static int sample_copy(lua_State *L) {
  lua_settop(L, 4);
  kk_tensor *x = sample_matrix(L, 3);
  const kk_points p = sample_points(L, x, 4);
  lua_pushboolean(L, kk_synth_copy(&p, sample_target(L, 1, p.d, p.n, 2)));
  return 1;
}

/* ---- lists as long as a data set: 1.3 ms for 100,000 elements, a loop of Lua 4 ms */
static int sample_take(lua_State *L) {
  lua_settop(L, 3);
  luaL_checktype(L, 1, LUA_TTABLE);
  int64_t n = (int64_t)lua_rawlen(L, 1);
  const int64_t *rows = lua_isnil(L, 2) ? NULL : kk_lua_checkrows(L, 2, INT32_MAX, &n);
  const lua_Integer room = luaL_optinteger(L, 3, n);
  lua_createtable(L, n <= room && room < INT32_MAX ? (int)room : 0, 0);
  for (int64_t i = 0; i < n; i++) {
    lua_rawgeti(L, 1, rows ? rows[i] + 1 : i + 1);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

static int sample_append(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  const lua_Integer n = luaL_checkinteger(L, 2);
  luaL_checkany(L, 3);
  const lua_Integer from = (lua_Integer)lua_rawlen(L, 1);
  for (lua_Integer i = 1; i <= n; i++) {
    lua_pushvalue(L, 3);
    lua_rawseti(L, 1, from + i);
  }
  return 0;
}

static int sample_deviation(lua_State *L) {
  lua_settop(L, 2);
  kk_tensor *x = sample_matrix(L, 1);
  const kk_points p = sample_points(L, x, 2);
  double *sd = sample_room(L, p.d, sizeof *sd);
  luaL_argcheck(L, p.n >= 1, 2, "no rows");
  kk_synth_deviation(&p, sd);
  lua_createtable(L, (int)p.d, 0);
  for (int64_t c = 0; c < p.d; c++) {
    lua_pushnumber(L, sd[c]);
    lua_rawseti(L, -2, c + 1);
  }
  return 1;
}

/* shake(to, at, x, rows, scale, stream) */
static int sample_shake(lua_State *L) {
  lua_settop(L, 6);
  kk_tensor *x = sample_matrix(L, 3);
  const kk_points p = sample_points(L, x, 4);
  luaL_checktype(L, 5, LUA_TTABLE);
  luaL_argcheck(L, (int64_t)lua_rawlen(L, 5) == p.d, 5, "expected a number for each column");
  double *scale = sample_room(L, p.d, sizeof *scale);
  for (int64_t c = 0; c < p.d; c++) {
    lua_rawgeti(L, 5, c + 1);
    scale[c] = luaL_checknumber(L, -1);
    lua_pop(L, 1);
  }
  kk_stream *stream = kk_lua_checkstream(L, 6);
  kk_real *to = sample_target(L, 1, p.d, p.n, 2);
  kk_synth_shake(&p, scale, kk_stream_key(stream), to);
  return 0;
}

static const kk_reg sample_funcs[] = {
  {"near", sample_near, "near(x [N,D], query, data, k[, {others = false, far = false, sums = false, sieve = \"auto\"}]) -> index [M,K], "
   "distance [M,K]\nThe exact k nearest (far: farthest) rows by Euclidean distance, equal distances by position. query, data: rows of "
   "x as lists or\nint32 tensors, nil: all. index: int32, positions in data from 1. others: a row is no neighbour of itself. sums: the second "
   "result is\na list of the summed distances. sieve: \"float\", \"words\" or \"bytes\" forces how rows are sorted out before they are measured in "
   "double; the\nanswer has the same bits. x must not hold NaN (sample.bad finds it). Raises when k is above the rows there are."},
  {"bad", sample_bad, "bad(x [N,D][, rows]) -> nothing, or position, column, value\nThe first number that is NaN or beyond 1e15 either way."},
  {"foreign", sample_foreign, "foreign(index [M,K], own [M], code [N]) -> int32 [M]\nHow many of the neighbours (positions in code) are of "
   "another class than own. Classes are int32 from 1."},
  {"most", sample_most, "most(index [M,K], code [N], classes) -> int32 [M]\nThe class that most neighbours have; the lowest of those with as many."},
  {"links", sample_links, "links(index [N,1], code [N]) -> uint8 [N]\n1 where a row and its nearest other one are each other's and of two "
   "classes\n(Tomek, Two modifications of CNN, IEEE Transactions on Systems, Man, and Cybernetics 6, 1976)."},
  {"shares", sample_shares, "shares(foreign int32 [M], n) -> list of M counts, their sum\nforeign / sum of foreign times n, rounded to even "
   "(He et al., ADASYN, IJCNN 2008)."},
  {"make", sample_make, "make(to, at, x, base, index [M,K], data, n or counts, stream[, code, own]) -> parents int32 [n,2]\nWrites rows "
   "between a base row and one of its neighbours into the matrix to from row at on: base uniform, or counts[i]\nrows of base row i. base, "
   "data: rows of x as in sample.near. code, own: toward a neighbour whose class is not own only up to half\nway, on average a quarter "
   "(Han et al., Borderline-SMOTE, ICIC 2005). parents: the two rows of x (Chawla et al., SMOTE, JAIR 16, 2002)."},
  {"between", sample_between, "between(x [N,D], a, b, gaps) -> tensor [n,D]\nRow a[i] of x plus gaps[i] (a list of numbers) times the difference "
   "to row b[i]."},
  {"room", sample_room_for, "room(n, d) -> float32 tensor [n,d]\nIts contents are undefined: to be filled by copy, make and shake."},
  {"copy", sample_copy, "copy(to, at, x, rows) -> fine\nWrites rows of x into the matrix to from row at on. fine: whether sample.bad would find nothing in them."},
  {"take", sample_take, "take(list[, rows[, room]]) -> list\nElements rows (nil: all) of a list, as a list that has room for so many without growing. As "
   "fast as a long list\nallows."},
  {"append", sample_append, "append(list, n, value)\nn times value behind what the list has."},
  {"deviation", sample_deviation, "deviation(x [N,D][, rows]) -> list of D numbers\nStandard deviation of each column, divisor N."},
  {"shake", sample_shake, "shake(to, at, x, rows, scale, stream)\nWrites rows of x plus scale[column] times normal noise into the matrix to "
   "from row at on\n(Menardi and Torelli, Training and assessing classification rules with imbalanced data, DMKD 28, 2014)."},
  {0},
};

KK_BIND(sample) {
  lua_newtable(L);
  kk_lua_funcs(L, sample_funcs);
  lua_setfield(L, -2, "sample");
}
