/* bind_torch.c -- kooka.load_torch: checkpoints of PyTorch and plain pickles as Lua tables. */
#include <string.h>

#include "data/torch_file.h"
#include "lua/lua_util.h"

#define TF_FILE "kooka.torch.file"
enum { DEPTH = 64 };

static const char null_key = 0;           /* registry key of kooka.json.null */
static const char open_mark = 0;          /* in the cache: a container whose values are being read */

typedef struct walk {
  lua_State *L;
  kk_torch_file *f;
  const char *path;
  int cache;                              /* stack index: value number -> what it became */
  kk_err *e;
} walk;

static kk_status tf_push(walk *w, kk_pref ref, int depth);

static kk_status tf_bad(const walk *w, const char *what, const char *more) {
  return kk_fail(w->e, KK_EFORMAT, "%s: the file holds %s%s", w->path, what, more);
}

static kk_status tf_push_key(walk *w, kk_pref ref) {
  const kk_pvalue *v = &w->f->pickle.v[ref];
  switch (v->kind) {
    case KK_P_INT: lua_pushinteger(w->L, v->u.i); return KK_OK;
    case KK_P_BOOL: lua_pushboolean(w->L, v->u.i != 0); return KK_OK;
    case KK_P_STR: lua_pushlstring(w->L, v->u.s.p, v->u.s.n); return KK_OK;
    default: return tf_bad(w, "a dict or a set with a key of type ", kk_pkind_name(v->kind));
  }
}

/* Values that are None are left out of a dict. */
static kk_status tf_push_dict(walk *w, const kk_pvalue *v, int depth) {
  kk_status st = KK_OK;
  for (uint32_t i = 0; i + 1 < v->u.c.n && !st; i += 2) {
    kk_pref value = v->u.c.p[i + 1];
    st = tf_push_key(w, v->u.c.p[i]);
    if (st) return st;
    if (w->f->pickle.v[value].kind == KK_P_NONE) lua_pushnil(w->L);
    else st = tf_push(w, value, depth);
    if (!st) lua_rawset(w->L, -3);
  }
  return st;
}

static kk_status tf_push_container(walk *w, kk_pref ref, int depth) {
  const kk_pvalue *v = &w->f->pickle.v[ref];
  kk_status st = KK_OK;
  if (depth > DEPTH) return tf_bad(w, "containers nested more than 64 deep", "");
  luaL_checkstack(w->L, 8, "nested too deeply");
  lua_pushlightuserdata(w->L, (void *)(uintptr_t)&open_mark);
  lua_rawseti(w->L, w->cache, ref);
  lua_newtable(w->L);
  if (v->kind == KK_P_DICT) st = tf_push_dict(w, v, depth + 1);
  for (uint32_t i = 0; v->kind == KK_P_SET && i < v->u.c.n && !st; i++) {
    st = tf_push_key(w, v->u.c.p[i]);
    if (st) return st;
    lua_pushboolean(w->L, 1);
    lua_rawset(w->L, -3);
  }
  for (uint32_t i = 0; (v->kind == KK_P_LIST || v->kind == KK_P_TUPLE) && i < v->u.c.n && !st; i++) {
    st = tf_push(w, v->u.c.p[i], depth + 1);
    if (!st) lua_rawseti(w->L, -2, (lua_Integer)i + 1);
  }
  if (st) return st;
  lua_pushvalue(w->L, -1);
  lua_rawseti(w->L, w->cache, ref);
  return KK_OK;
}

static kk_status tf_push_tensor(walk *w, kk_pref ref) {
  kk_lua_pressure(w->L);
  luaL_checkstack(w->L, 8, "nested too deeply");
  kk_tensor **h = kk_lua_newtensor(w->L);
  kk_status st = kk_torch_tensor(w->f, &w->f->pickle.v[ref], h, w->e);
  if (st) return st;
  kk_lua_adopt(w->L, *h);
  lua_pushvalue(w->L, -1);
  lua_rawseti(w->L, w->cache, ref);
  return KK_OK;
}

/* What many places share becomes one table or tensor. */
static kk_status tf_push(walk *w, kk_pref ref, int depth) {
  const kk_pvalue *v = &w->f->pickle.v[ref];
  switch (v->kind) {
    case KK_P_NONE: lua_rawgetp(w->L, LUA_REGISTRYINDEX, &null_key); return KK_OK;
    case KK_P_FLOAT: lua_pushnumber(w->L, v->u.f); return KK_OK;
    case KK_P_BYTES: lua_pushlstring(w->L, v->u.s.p, v->u.s.n); return KK_OK;
    case KK_P_INT:
    case KK_P_BOOL:
    case KK_P_STR: return tf_push_key(w, ref);
    case KK_P_LONG: return tf_bad(w, "an integer of more than 64 bits", "");
    case KK_P_GLOBAL: return tf_bad(w, "a name instead of a value: ", v->u.g->name);
    case KK_P_PERSISTENT: return tf_bad(w, "a storage without its tensor", "");
    default: break;
  }
  if (lua_rawgeti(w->L, w->cache, ref) != LUA_TNIL)
    return lua_touserdata(w->L, -1) == (void *)(uintptr_t)&open_mark ? tf_bad(w, "a value that contains itself", "") : KK_OK;
  lua_pop(w->L, 1);
  if (v->kind != KK_P_CALL) return tf_push_container(w, ref, depth);
  if (kk_torch_is_tensor(w->f, v)) return tf_push_tensor(w, ref);
  return tf_bad(w, "a value that is not read: ", w->f->pickle.v[v->u.pair.a].u.g->name);
}

static int tf_close(lua_State *L) {
  kk_torch_close(luaL_checkudata(L, 1, TF_FILE));
  return 0;
}

static int tf_load(lua_State *L) {
  static const char *const names[] = {"unwrap", "crc", NULL};
  const char *path = luaL_checkstring(L, 1), *unwrap;
  kk_torch_opts opts = {.memory = KK_PICKLE_MEMORY};
  kk_err e;
  lua_settop(L, 2);
  kk_lua_check_opts(L, 2, names, "load_torch");
  unwrap = kk_lua_opt_string(L, 2, "unwrap", NULL);
  opts.crc = kk_lua_opt_boolean(L, 2, "crc", 1);
  kk_torch_file *f = lua_newuserdatauv(L, sizeof *f, 0);
  *f = (kk_torch_file){0};
  luaL_setmetatable(L, TF_FILE);
  if (kk_torch_open(path, f, opts, &e)) return kk_lua_fail(L, &e);
  lua_newtable(L);
  walk w = {L, f, path, lua_gettop(L), &e};
  const kk_pvalue *inside = unwrap ? kk_pickle_field(&f->pickle, &f->pickle.v[f->pickle.root], unwrap) : NULL;
  kk_status st = tf_push(&w, inside ? (kk_pref)(inside - f->pickle.v) : f->pickle.root, 1);
  kk_torch_close(f);
  return st ? kk_lua_fail(L, &e) : 1;
}

static const kk_reg tf_funcs[] = {
  {"load_torch", tf_load,
   "load_torch(path[, {unwrap=, crc=true}]) -> value | nil, message, code\n"
   "What torch.save wrote, as a zip archive or in the legacy format of PyTorch before 1.6, or a plain pickle (a list of\n"
   "words): tables, strings, numbers, tensors, nested as in the file. Nothing in the file is run: a pickle may ask for tensors\n"
   "and plain values, and anything else is refused by its name. Half, bfloat16 and double become float32, int8 and int16\n"
   "int32; tensors that share a storage in the file share it here. A dict loses its order and what is None in it; in a list\n"
   "None is kooka.json.null. unwrap: where the file holds a dict with this key, only what is under it (\"model\" of a file with\n"
   "an optimizer). crc = false reads archives written without sums. Nested 64 deep at most."},
  {0},
};

static const kk_reg tf_meta[] = {{"__gc", tf_close, NULL}, {0}};

KK_BIND(torch) {
  kk_lua_type(L, TF_FILE, tf_meta, NULL);
  kk_lua_funcs(L, tf_funcs);
  lua_getfield(L, -1, "json");             /* bind_json.c came before */
  lua_getfield(L, -1, "null");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &null_key);
  lua_pop(L, 1);
}
