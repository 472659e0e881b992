/* bind_batches.c -- kooka.batches: the two batch makers below kooka.data.batches. */
#include "data/batches.h"
#include "lua/lua_util.h"
#include "tensor/random.h"
#include "tensor/tensor.h"

#define LM "kooka.batches.lm"
#define BUCKETS "kooka.batches.buckets"

static kk_lm_batches **batches_lm(lua_State *L) {
  kk_lm_batches **h = luaL_checkudata(L, 1, LM);
  if (!*h) luaL_error(L, "batches: closed");
  return h;
}

static kk_buckets **batches_buckets(lua_State *L) {
  kk_buckets **h = luaL_checkudata(L, 1, BUCKETS);
  if (!*h) luaL_error(L, "batches: closed");
  return h;
}

/* The key of epoch (from 1) of a seed: the same whatever was asked before. */
static uint64_t batches_key(lua_State *L, int arg, const char *name) {
  lua_Integer seed = luaL_checkinteger(L, arg), epoch = luaL_checkinteger(L, arg + 1);
  luaL_argcheck(L, epoch >= 1, arg + 1, "epochs count from 1");
  kk_stream s = kk_stream_named((uint64_t)seed, name);
  s.count = (uint64_t)epoch - 1;
  return kk_stream_key(&s);
}

static int64_t batches_step(lua_State *L, int arg, int64_t n) {
  lua_Integer k = luaL_checkinteger(L, arg);
  if (k < 1 || k > n) luaL_argerror(L, arg, lua_pushfstring(L, "batch %I, expected 1..%I", k, (lua_Integer)n));
  return (int64_t)k - 1;
}

/* Pushes an int32 tensor with undefined contents; NULL with e filled when refused. */
static int32_t *batches_tensor(lua_State *L, kk_shape s, kk_err *e) {
  kk_tensor **h = kk_lua_newtensor(L);
  if (kk_tensor_new(KK_I32, &s, h, e)) return NULL;
  kk_lua_adopt(L, *h);
  return kk_i32_data(*h);
}

static int lm_new(lua_State *L) {
  kk_corpus *c = kk_lua_checkcorpus(L, 1);
  lua_Integer rows = luaL_checkinteger(L, 2), length = luaL_checkinteger(L, 3);
  bool backwards = lua_toboolean(L, 4) != 0;
  kk_err e;
  luaL_argcheck(L, rows <= 1 << 20, 2, "more than 1048576 rows");
  luaL_argcheck(L, length <= 1 << 20, 3, "more than 1048576 time steps");
  kk_lm_batches **h = lua_newuserdatauv(L, sizeof *h, 0);
  *h = NULL;
  luaL_setmetatable(L, LM);
  if (kk_lm_batches_new(c, rows, length, backwards, h, &e)) return kk_lua_fail(L, &e);
  return 1;
}

static int lm_close(lua_State *L) {
  kk_lm_batches **h = luaL_checkudata(L, 1, LM);
  kk_lm_batches_free(*h);
  *h = NULL;
  return 0;
}

static int lm_shuffle(lua_State *L) {
  kk_lm_batches *b = *batches_lm(L);
  kk_lm_batches_order(b, true, batches_key(L, 2, "batches.lm"));
  return 0;
}

static int lm_get(lua_State *L) {
  kk_lm_batches *b = *batches_lm(L);
  int64_t step = batches_step(L, 2, b->steps);
  kk_shape s = {2, {kk_lm_batches_length(b, step), b->rows}};
  int32_t *x, *y;
  kk_err e;
  kk_lua_pressure(L);
  if (!(x = batches_tensor(L, s, &e)) || !(y = batches_tensor(L, s, &e)) || kk_lm_batches_fill(b, step, x, y, &e))
    return kk_lua_fail(L, &e);
  return 2;
}

static int lm_span(lua_State *L) {
  kk_lm_batches *b = *batches_lm(L);
  lua_Integer at = luaL_checkinteger(L, 2), n = luaL_checkinteger(L, 3);
  int32_t *x, *y;
  kk_err e;
  luaL_argcheck(L, at >= 1 && at <= b->row, 2, "no such place in a row");
  luaL_argcheck(L, n >= 1 && n <= b->row - at + 1, 3, "more steps than are left in a row, or none");
  kk_shape s = {2, {(int64_t)n, b->rows}};
  kk_lua_pressure(L);
  if (!(x = batches_tensor(L, s, &e)) || !(y = batches_tensor(L, s, &e)) ||
      kk_lm_batches_span(b, (int64_t)at - 1, (int64_t)n, x, y, &e))
    return kk_lua_fail(L, &e);
  return 2;
}

static int lm_row(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)(*batches_lm(L))->row);
  return 1;
}

static int lm_steps(lua_State *L) {
  kk_lm_batches *b = *batches_lm(L);
  lua_pushinteger(L, (lua_Integer)b->steps);
  lua_pushinteger(L, (lua_Integer)(b->rows * (b->row - (b->row % b->length == 1))));
  return 2;
}

static int buckets_new(lua_State *L) {
  static const char *const names[] = {"size", "pad", "max_len", "backwards", NULL};
  kk_corpus *c = kk_lua_checkcorpus(L, 1);
  int64_t n = 0, *docs = NULL;
  kk_err e;
  lua_settop(L, 3);
  kk_lua_check_opts(L, 3, names, "batches.buckets");
  lua_Integer size = kk_lua_opt_integer(L, 3, "size", 64, 1, 1 << 20), max_len = kk_lua_opt_integer(L, 3, "max_len", 1400, 1, INT32_MAX);
  lua_Integer pad = kk_lua_opt_integer(L, 3, "pad", 1, 1, c->vocab);
  bool backwards = kk_lua_opt_boolean(L, 3, "backwards", 0) != 0;
  if (!lua_isnil(L, 2)) docs = kk_lua_checkrows(L, 2, c->ndocs, &n);
  kk_buckets **h = lua_newuserdatauv(L, sizeof *h, 0);
  *h = NULL;
  luaL_setmetatable(L, BUCKETS);
  if (kk_buckets_new(c, docs, n, size, max_len, (int32_t)pad - 1, backwards, h, &e)) return kk_lua_fail(L, &e);
  return 1;
}

static int buckets_close(lua_State *L) {
  kk_buckets **h = luaL_checkudata(L, 1, BUCKETS);
  kk_buckets_free(*h);
  *h = NULL;
  return 0;
}

static int buckets_shuffle(lua_State *L) {
  kk_buckets *b = *batches_buckets(L);
  kk_buckets_shuffle(b, batches_key(L, 2, "batches.buckets"));
  return 0;
}

static int buckets_sort(lua_State *L) {
  kk_buckets_sort(*batches_buckets(L));
  return 0;
}

static int buckets_steps(lua_State *L) {
  kk_buckets *b = *batches_buckets(L);
  lua_pushinteger(L, (lua_Integer)b->batches);
  lua_pushinteger(L, (lua_Integer)b->n);
  return 2;
}

static int buckets_get(lua_State *L) {
  kk_buckets *b = *batches_buckets(L);
  int64_t k = batches_step(L, 2, b->batches), time, size;
  int32_t *ids, *lens, *docs, *places;
  kk_err e;
  kk_buckets_shape(b, k, &time, &size);
  kk_shape s2 = {2, {time, size}}, s1 = {1, {size}};
  kk_lua_pressure(L);
  if (!(ids = batches_tensor(L, s2, &e)) || !(lens = batches_tensor(L, s1, &e)) || !(docs = batches_tensor(L, s1, &e)) ||
      !(places = batches_tensor(L, s1, &e)))
    return kk_lua_fail(L, &e);
  kk_buckets_fill(b, k, ids, lens, docs, places);
  return 4;
}

static const kk_reg batches_funcs[] = {
  {"lm", lm_new,
   "lm(corpus, rows, length[, backwards]) -> maker\nBatches for a language model; see kooka.data.batches.lm. Raises when the corpus is too short."},
  {"buckets", buckets_new,
   "buckets(corpus, rows or nil[, {size = 64, pad = 1, max_len = 1400, backwards = false}]) -> maker\n"
   "Batches of documents of like length; see kooka.data.batches.buckets."},
  {0},
};

static const kk_reg lm_methods[] = {
  {"shuffle", lm_shuffle, "maker:shuffle(seed, epoch)\nPuts the documents into the order of that epoch (from 1)."},
  {"get", lm_get, "maker:get(step) -> x, y\nint32 tensors [T,B], ids from 1; y is x one token later."},
  {"span", lm_span, "maker:span(at, n) -> x, y\nTokens at .. at + n - 1 (from 1) of each row and their successors: int32 tensors [n,B]."},
  {"row", lm_row, "maker:row() -> tokens that a row has to predict"},
  {"steps", lm_steps, "maker:steps() -> steps, tokens\nBatches of one epoch, and the tokens predicted in it."},
  {"close", lm_close, "maker:close()"},
  {0},
};

static const kk_reg buckets_methods[] = {
  {"shuffle", buckets_shuffle, "maker:shuffle(seed, epoch)\nThe order for training of that epoch (from 1)."},
  {"sort", buckets_sort, "maker:sort()\nThe order for validation: longest first."},
  {"get", buckets_get,
   "maker:get(k) -> ids, lens, docs, places\nids int32 [T,B] padded at the end, lens [B] from long to short, document numbers [B], and their places [B]\n"
   "in the list that the maker was made from."},
  {"steps", buckets_steps, "maker:steps() -> batches, documents"},
  {"close", buckets_close, "maker:close()"},
  {0},
};

static const kk_reg lm_meta[] = {{"__gc", lm_close, NULL}, {"__close", lm_close, NULL}, {0}};
static const kk_reg buckets_meta[] = {{"__gc", buckets_close, NULL}, {"__close", buckets_close, NULL}, {0}};

KK_BIND(batches) {
  kk_lua_type(L, LM, lm_meta, lm_methods);
  kk_lua_type(L, BUCKETS, buckets_meta, buckets_methods);
  lua_newtable(L);
  kk_lua_funcs(L, batches_funcs);
  lua_setfield(L, -2, "batches");
}
