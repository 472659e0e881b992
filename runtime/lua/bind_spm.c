/* bind_spm.c -- kooka.core.spm: SentencePiece models. Ids count from 1 here. */

#include "base/mem.h"
#include "data/corpus.h"
#include "lua/lua_texts.h"
#include "lua/lua_util.h"
#include "text/spm.h"

#define SPM_TYPE "kooka.spm"
#define IDS_TYPE "kooka.spmids"

static kk_spm *spm_check(lua_State *L, int arg) {
  kk_spm **h = luaL_checkudata(L, arg, SPM_TYPE);
  luaL_argcheck(L, *h, arg, "the model was closed");
  return *h;
}

static int spm_gc(lua_State *L) {
  kk_spm **h = luaL_checkudata(L, 1, SPM_TYPE);
  kk_spm_unref(*h);
  *h = NULL;
  return 0;
}

static kk_spm **spm_new(lua_State *L) {
  kk_spm **h = lua_newuserdatauv(L, sizeof *h, 0);
  *h = NULL;
  luaL_setmetatable(L, SPM_TYPE);
  return h;
}

static int spm_load(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  kk_spm **h = spm_new(L);
  kk_err e;
  return kk_spm_load(path, h, &e) ? kk_lua_fail(L, &e) : 1;
}

static int spm_parse(lua_State *L) {
  size_t n;
  const char *bytes = luaL_checklstring(L, 1, &n), *what = luaL_optstring(L, 2, "model");
  kk_spm **h = spm_new(L);
  kk_err e;
  return kk_spm_parse(bytes, n, what, h, &e) ? kk_lua_fail(L, &e) : 1;
}

/* ---- ids: a block with an owner, because making the Lua table may raise */

typedef struct spm_ids { int32_t *p; size_t n; int64_t *offsets; size_t ntexts; } spm_ids;

static int ids_gc(lua_State *L) {
  spm_ids *v = luaL_checkudata(L, 1, IDS_TYPE);
  kk_free(v->p, v->n * sizeof *v->p);
  kk_free(v->offsets, (v->ntexts + 1) * sizeof *v->offsets);
  *v = (spm_ids){0};
  return 0;
}

static spm_ids *ids_new(lua_State *L) {
  spm_ids *v = lua_newuserdatauv(L, sizeof *v, 0);
  *v = (spm_ids){0};
  luaL_setmetatable(L, IDS_TYPE);
  return v;
}

static int ids_push(lua_State *L, spm_ids *v) {
  lua_createtable(L, (int)v->n, 0);
  for (size_t i = 0; i < v->n; i++) {
    lua_pushinteger(L, (lua_Integer)v->p[i] + 1);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

static int spm_encode(lua_State *L) {
  size_t n;
  kk_err e;
  kk_spm *m = spm_check(L, 1);
  const char *text = luaL_checklstring(L, 2, &n);
  spm_ids *v = ids_new(L);
  return kk_spm_encode(m, text, n, &v->p, &v->n, &e) ? kk_lua_fail(L, &e) : ids_push(L, v);
}

static int spm_sample(lua_State *L) {
  size_t n;
  kk_err e;
  kk_spm *m = spm_check(L, 1);
  const char *text = luaL_checklstring(L, 2, &n);
  double alpha = luaL_optnumber(L, 3, .1);
  lua_Integer seed = luaL_optinteger(L, 4, 1);
  luaL_argcheck(L, alpha >= 0 && alpha <= 10, 3, "alpha: expected 0..10");
  spm_ids *v = ids_new(L);
  return kk_spm_sample(m, text, n, alpha, (uint32_t)seed, &v->p, &v->n, &e) ? kk_lua_fail(L, &e) : ids_push(L, v);
}

/* An id argument that may be missing, as C counts them; -1 = none. */
static int32_t spm_optid(lua_State *L, kk_spm *m, int arg) {
  if (lua_isnoneornil(L, arg)) return -1;
  lua_Integer id = luaL_checkinteger(L, arg);
  luaL_argcheck(L, id >= 1 && id <= kk_spm_size(m), arg, "no such id in the model");
  return (int32_t)id - 1;
}

static int spm_encode_all(lua_State *L) {
  kk_err e;
  kk_spm *m = spm_check(L, 1);
  int32_t prefix = spm_optid(L, m, 3), suffix = spm_optid(L, m, 4);
  kk_texts t = kk_lua_texts(L, 2);
  spm_ids *v = ids_new(L);
  kk_corpus **h = kk_lua_newcorpus(L);
  v->ntexts = t.n;
  kk_status st = kk_spm_encode_many(m, t.n, t.p, t.len, prefix, suffix, &v->p, &v->n, &v->offsets, &e);
  if (!st) st = kk_corpus_take(v->p, (int64_t)v->n, v->offsets, (int64_t)t.n, kk_spm_size(m), h, &e);
  if (st) return kk_lua_fail(L, &e);
  *v = (spm_ids){0};                     /* the corpus has them now */
  return 1;
}

static int spm_decode(lua_State *L) {
  kk_err e;
  kk_spm *m = spm_check(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  size_t n = (size_t)lua_rawlen(L, 2);
  int32_t *ids = lua_newuserdatauv(L, n * sizeof *ids + 1, 0);
  for (size_t i = 0; i < n; i++) {
    int ok;
    lua_rawgeti(L, 2, (lua_Integer)i + 1);
    lua_Integer id = lua_tointegerx(L, -1, &ok);
    if (!ok || id < 1 || id > kk_spm_size(m))
      luaL_argerror(L, 2, lua_pushfstring(L, "id %I is %s, the model has ids 1 to %d", (lua_Integer)i + 1,
                                          luaL_tolstring(L, -1, NULL), (int)kk_spm_size(m)));
    ids[i] = (int32_t)id - 1;
    lua_pop(L, 1);
  }
  kk_buf *b = lua_newuserdatauv(L, sizeof *b, 0);
  kk_buf_init(b, (size_t)1 << 30);
  luaL_setmetatable(L, "kooka.textbuf");
  if (kk_spm_decode(m, ids, n, b, &e)) return kk_lua_fail(L, &e);
  lua_pushlstring(L, b->p ? b->p : "", b->n);
  kk_buf_free(b);
  return 1;
}

static int spm_id(lua_State *L) {
  int32_t id = kk_spm_id(spm_check(L, 1), luaL_checkstring(L, 2));
  if (id < 0) lua_pushnil(L);
  else lua_pushinteger(L, (lua_Integer)id + 1);
  return 1;
}

static int spm_piece(lua_State *L) {
  kk_spm *m = spm_check(L, 1);
  lua_Integer id = luaL_checkinteger(L, 2);
  luaL_argcheck(L, id >= 1 && id <= kk_spm_size(m), 2, "no such id in the model");
  lua_pushstring(L, kk_spm_piece(m, (int32_t)id - 1));
  lua_pushnumber(L, kk_spm_score(m, (int32_t)id - 1));
  return 2;
}

static int spm_size(lua_State *L) {
  lua_pushinteger(L, kk_spm_size(spm_check(L, 1)));
  return 1;
}

static int spm_special(lua_State *L) {
  static const char *const names[] = {"unk", "bos", "eos", "pad", NULL};
  int32_t id = kk_spm_special_id(spm_check(L, 1), (kk_spm_special)luaL_checkoption(L, 2, NULL, names));
  if (id < 0) lua_pushnil(L);
  else lua_pushinteger(L, (lua_Integer)id + 1);
  return 1;
}

static int spm_train_here(lua_State *L) {
  enum { MAX_ARGS = 64 };
  const char *args[MAX_ARGS + 1] = {0}, *input = luaL_checkstring(L, 1), *path = luaL_checkstring(L, 2);
  kk_err e;
  luaL_checktype(L, 3, LUA_TTABLE);
  lua_Integer n = (lua_Integer)lua_rawlen(L, 3);
  luaL_argcheck(L, n % 2 == 0 && n <= MAX_ARGS, 3, "expected up to 32 names and values");
  luaL_checkstack(L, (int)n, NULL);
  for (lua_Integer i = 1; i <= n; i++) {
    lua_rawgeti(L, 3, i);
    args[i - 1] = luaL_checkstring(L, -1);
  }
  if (kk_spm_train(input, path, args, lua_toboolean(L, 4), &e)) return kk_lua_fail(L, &e);
  lua_pushboolean(L, 1);
  return 1;
}

static const kk_reg ids_meta[] = {{"__gc", ids_gc, NULL}, {0}};
static const kk_reg spm_meta[] = {{"__gc", spm_gc, NULL}, {"__close", spm_gc, NULL}, {0}};

static const kk_reg spm_methods[] = {
  {"encode", spm_encode, "model:encode(text) -> list of ids | nil, message, \"format\"\nIds count from 1. text must be UTF-8."},
  {"sample", spm_sample,
   "model:sample(text [, alpha = 0.1 [, seed = 1]]) -> list of ids | nil, message, \"format\"\nCut at random. BPE: each merge "
   "is left out with probability alpha (arXiv 1910.13267); unigram: drawn with probability ~ p^alpha (arXiv 1804.10959)."},
  {"encode_all", spm_encode_all,
   "model:encode_all(texts [, prefix [, suffix]]) -> corpus | nil, message, \"format\"\nOn all threads; prefix and suffix are ids "
   "put around each text. The message names the text that is not UTF-8."},
  {"decode", spm_decode, "model:decode(ids) -> text"},
  {"id", spm_id, "model:id(piece) -> id or nil"},
  {"piece", spm_piece, "model:piece(id) -> piece, score"},
  {"size", spm_size, "model:size() -> number of pieces"},
  {"special", spm_special, "model:special(\"unk\" | \"bos\" | \"eos\" | \"pad\") -> id, or nil when the model has none"},
  {0},
};

static const kk_reg spm_funcs[] = {
  {"load", spm_load, "load(path) -> model | nil, message, code\nA SentencePiece model file. Damaged files are refused."},
  {"parse", spm_parse, "parse(bytes [, name]) -> model | nil, message, \"format\"\nThe same from a string; name stands in messages."},
  {"train_here", spm_train_here,
   "train_here(input, path, {name, value, ...} [, verbose]) -> true | nil, message, code\nTrains inside this process, which the "
   "library may end, and which ends when its standard input closes. Use kooka.text.tokenizer.train, which starts one for it."},
  {0},
};

KK_BIND(spm) {
  kk_lua_type(L, IDS_TYPE, ids_meta, NULL);
  kk_lua_type(L, SPM_TYPE, spm_meta, spm_methods);
  lua_newtable(L);
  kk_lua_funcs(L, spm_funcs);
  lua_setfield(L, -2, "spm");
}
