/* bind_corpus.c -- kooka.corpus: documents as token ids, in memory or mapped from a file. */
#include <math.h>

#include "data/corpus.h"
#include "lua/lua_util.h"
#include "tensor/random.h"
#include "tensor/tensor.h"

#define CORPUS "kooka.corpus"

kk_corpus **kk_lua_newcorpus(lua_State *L) {
  kk_corpus **h = lua_newuserdatauv(L, sizeof *h, 0);
  *h = NULL;
  luaL_setmetatable(L, CORPUS);
  return h;
}

kk_corpus *kk_lua_checkcorpus(lua_State *L, int arg) {
  kk_corpus **h = luaL_checkudata(L, arg, CORPUS);
  if (!*h) luaL_argerror(L, arg, "the corpus is closed");
  return *h;
}

/* Integer i (from 0) of the list or tensor at arg. */
static lua_Integer corpus_integer(lua_State *L, int arg, const kk_tensor *t, int64_t i) {
  int ok = 1;
  lua_Integer v;
  if (t) return (lua_Integer)kk_get_int(t, kk_element_offset(t, i));
  lua_rawgeti(L, arg, (lua_Integer)i + 1);
  v = lua_tointegerx(L, -1, &ok);
  if (!ok) luaL_argerror(L, arg, lua_pushfstring(L, "element %I is no integer (%s)", (lua_Integer)i + 1, luaL_typename(L, -1)));
  lua_pop(L, 1);
  return v;
}

/* Length of a list or of an integer tensor with one dimension; *t is NULL for a list. */
static int64_t corpus_list(lua_State *L, int arg, kk_tensor **t) {
  *t = kk_lua_testtensor(L, arg);
  if (!*t) {
    luaL_argexpected(L, lua_istable(L, arg), arg, "list of integers or int32 tensor");
    return (int64_t)lua_rawlen(L, arg);
  }
  *t = kk_lua_checktensor(L, arg);
  luaL_argcheck(L, (kk_type(*t) == KK_I32 || kk_type(*t) == KK_I64) && (*t)->shape.ndim == 1, arg,
                "expected a tensor of int32 or int64 with one dimension");
  return (*t)->shape.n[0];
}

int64_t *kk_lua_checkrows(lua_State *L, int arg, int64_t max, int64_t *n) {
  kk_tensor *t;
  int64_t *rows;
  *n = corpus_list(L, arg, &t);
  rows = lua_newuserdatauv(L, (size_t)*n * sizeof *rows + 1, 0);
  for (int64_t i = 0; i < *n; i++) {
    lua_Integer v = corpus_integer(L, arg, t, i);
    if (v < 1 || v > max)
      luaL_argerror(L, arg, lua_pushfstring(L, "element %I is %I, expected 1..%I", (lua_Integer)i + 1, v, (lua_Integer)max));
    rows[i] = (int64_t)v - 1;
  }
  return rows;
}

static int corpus_new(lua_State *L) {
  lua_Integer vocab = luaL_checkinteger(L, 1);
  kk_err e;
  luaL_argcheck(L, vocab >= 1 && vocab <= INT32_MAX, 1, "the size of the vocabulary must be 1..2147483647");
  kk_corpus **h = kk_lua_newcorpus(L);
  if (kk_corpus_new((int32_t)vocab, h, &e)) return kk_lua_fail(L, &e);
  return 1;
}

static int corpus_open(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  kk_corpus **h = kk_lua_newcorpus(L);
  kk_err e;
  if (kk_corpus_open(path, h, &e)) return kk_lua_fail(L, &e);
  return 1;
}

static int corpus_save(lua_State *L) {
  kk_corpus *c = kk_lua_checkcorpus(L, 1);
  kk_err e;
  if (kk_corpus_save(c, luaL_checkstring(L, 2), &e)) return kk_lua_fail(L, &e);
  lua_pushboolean(L, 1);
  return 1;
}

static int corpus_add(lua_State *L) {
  kk_corpus *c = kk_lua_checkcorpus(L, 1);
  kk_tensor *t;
  int64_t n = corpus_list(L, 2, &t);
  kk_err e;
  int32_t *ids = lua_newuserdatauv(L, (size_t)n * sizeof *ids + 1, 0);
  for (int64_t i = 0; i < n; i++) {
    lua_Integer v = corpus_integer(L, 2, t, i);
    if (v < 1 || v > c->vocab)
      luaL_argerror(L, 2, lua_pushfstring(L, "token %I has id %I, expected 1..%d", (lua_Integer)i + 1, v, (int)c->vocab));
    ids[i] = (int32_t)(v - 1);
  }
  if (kk_corpus_add(c, ids, n, &e)) return kk_lua_fail(L, &e);
  lua_settop(L, 1);
  return 1;
}

static int corpus_len(lua_State *L) { lua_pushinteger(L, (lua_Integer)kk_lua_checkcorpus(L, 1)->ndocs); return 1; }
static int corpus_tokens(lua_State *L) { lua_pushinteger(L, (lua_Integer)kk_lua_checkcorpus(L, 1)->nids); return 1; }
static int corpus_vocab(lua_State *L) { lua_pushinteger(L, kk_lua_checkcorpus(L, 1)->vocab); return 1; }

static int64_t corpus_checkdoc(lua_State *L, const kk_corpus *c) {
  lua_Integer i = luaL_checkinteger(L, 2);
  if (i < 1 || i > c->ndocs) luaL_argerror(L, 2, lua_pushfstring(L, "document %I, expected 1..%I", i, (lua_Integer)c->ndocs));
  return (int64_t)i - 1;
}

static int corpus_length(lua_State *L) {
  kk_corpus *c = kk_lua_checkcorpus(L, 1);
  lua_pushinteger(L, (lua_Integer)kk_corpus_length(c, corpus_checkdoc(L, c)));
  return 1;
}

/* An int32 vector on top of the stack, contents undefined; NULL with e filled when refused. */
static int32_t *corpus_vector(lua_State *L, int64_t n, kk_err *e) {
  kk_lua_pressure(L);
  kk_tensor **h = kk_lua_newtensor(L);
  kk_shape s = {1, {n}};
  if (kk_tensor_new(KK_I32, &s, h, e)) return NULL;
  kk_lua_adopt(L, *h);
  return kk_i32_data(*h);
}

static int corpus_doc(lua_State *L) {
  kk_corpus *c = kk_lua_checkcorpus(L, 1);
  int64_t d = corpus_checkdoc(L, c), n = kk_corpus_length(c, d);
  kk_err e;
  int32_t *out = corpus_vector(L, n, &e);
  if (!out) return kk_lua_fail(L, &e);
  const int32_t *in = kk_corpus_doc(c, d);
  for (int64_t i = 0; i < n; i++) out[i] = in[i] + 1;
  return 1;
}

static int corpus_lengths(lua_State *L) {
  kk_corpus *c = kk_lua_checkcorpus(L, 1);
  kk_err e;
  int32_t *out = corpus_vector(L, c->ndocs, &e);
  if (!out) return kk_lua_fail(L, &e);
  for (int64_t d = 0; d < c->ndocs; d++) out[d] = (int32_t)kk_corpus_length(c, d);
  return 1;
}

static int corpus_select(lua_State *L) {
  kk_corpus *c = kk_lua_checkcorpus(L, 1);
  int64_t n, *rows = kk_lua_checkrows(L, 2, c->ndocs, &n);
  kk_corpus **h = kk_lua_newcorpus(L);
  kk_err e;
  if (kk_corpus_select(c, rows, n, h, &e)) return kk_lua_fail(L, &e);
  return 1;
}

/* split(fraction, seed): both sides keep the order of the documents. */
static int corpus_split(lua_State *L) {
  kk_corpus *c = kk_lua_checkcorpus(L, 1);
  double fraction = luaL_checknumber(L, 2);
  lua_Integer seed = luaL_optinteger(L, 3, 1);
  int64_t n = c->ndocs, held, in = 0, out = 0;
  kk_err e;
  luaL_argcheck(L, fraction > 0 && fraction < 1, 2, "expected a fraction above 0 and below 1");
  luaL_argcheck(L, n >= 2, 1, "the corpus has fewer than two documents");
  held = (int64_t)llround(fraction * (double)n);
  if (held < 1) held = 1;
  if (held > n - 1) held = n - 1;
  int64_t *order = lua_newuserdatauv(L, (size_t)n * sizeof *order, 0);
  int64_t *rows = lua_newuserdatauv(L, (size_t)n * sizeof *rows, 0);
  char *side = lua_newuserdatauv(L, (size_t)n, 0);
  kk_corpus **train = kk_lua_newcorpus(L), **valid = kk_lua_newcorpus(L);
  kk_stream s = kk_stream_named((uint64_t)seed, "corpus.split");
  for (int64_t i = 0; i < n; i++) order[i] = i;
  kk_random_shuffle(kk_stream_key(&s), order, n);
  for (int64_t i = 0; i < n; i++) side[order[i]] = i < held;
  for (int64_t i = 0; i < n; i++) {
    if (side[i]) rows[n - held + out++] = i;
    else rows[in++] = i;
  }
  if (kk_corpus_select(c, rows, n - held, train, &e) || kk_corpus_select(c, rows + n - held, held, valid, &e))
    return kk_lua_fail(L, &e);
  return 2;
}

static int corpus_close(lua_State *L) {
  kk_corpus **h = luaL_checkudata(L, 1, CORPUS);
  kk_corpus_unref(*h);
  *h = NULL;
  return 0;
}

static int corpus_tostring(lua_State *L) {
  kk_corpus **h = luaL_checkudata(L, 1, CORPUS);
  if (!*h) lua_pushliteral(L, "corpus (closed)");
  else lua_pushfstring(L, "corpus (%I documents, %I tokens, vocabulary %d%s)", (lua_Integer)(*h)->ndocs, (lua_Integer)(*h)->nids,
                       (int)(*h)->vocab, (*h)->mapped ? ", mapped" : "");
  return 1;
}

static const kk_reg corpus_funcs[] = {
  {"new", corpus_new, "new(vocab) -> corpus\nAn empty corpus whose token ids are 1..vocab."},
  {"open", corpus_open,
   "open(path) -> corpus | nil, message, code\nMaps a file written by c:save and checks all of it: a truncated or altered file is refused.\n"
   "Documents cannot be added to it. Do not overwrite the file in place while it is open (c:save never does)."},
  {0},
};

static const kk_reg corpus_methods[] = {
  {"add", corpus_add, "c:add(ids) -> c\nOne more document: a list or an int32 tensor of ids, from 1. Raises for an id outside the vocabulary."},
  {"doc", corpus_doc, "c:doc(i) -> int32 tensor [n]\nThe ids of document i, from 1; a copy."},
  {"length", corpus_length, "c:length(i) -> integer\nTokens of document i."},
  {"lengths", corpus_lengths, "c:lengths() -> int32 tensor [#c]"},
  {"tokens", corpus_tokens, "c:tokens() -> integer\nTokens of all documents."},
  {"vocab", corpus_vocab, "c:vocab() -> integer\nThe largest id allowed."},
  {"select", corpus_select, "c:select(rows) -> corpus\nThe documents of a list (or int32 or int64 tensor) of numbers, in that order, repeats allowed; a copy."},
  {"split", corpus_split,
   "c:split(fraction[, seed = 1]) -> rest, part\nTwo corpora: part holds the fraction of the documents drawn by seed, rest the others; both keep their order."},
  {"save", corpus_save, "c:save(path) -> true | nil, message, code\nWritten aside, fsynced, renamed."},
  {"close", corpus_close, "c:close()\nFrees or unmaps now; batches made from it keep what they need."},
  {0},
};

static const kk_reg corpus_meta[] = {
  {"__len", corpus_len, NULL}, {"__gc", corpus_close, NULL}, {"__close", corpus_close, NULL}, {"__tostring", corpus_tostring, NULL}, {0},
};

KK_BIND(corpus) {
  kk_lua_type(L, CORPUS, corpus_meta, corpus_methods);
  lua_newtable(L);
  kk_lua_funcs(L, corpus_funcs);
  lua_setfield(L, -2, "corpus");
}
