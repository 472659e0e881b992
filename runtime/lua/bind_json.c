/* bind_json.c -- kooka.json: Lua values to JSON text and back. Reading is Jansson's (64-bit integers
** stay exact, UTF-8 is strict); writing is done here, so that equal values give equal bytes. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "lua/lua_util.h"

enum { JSON_DEPTH = 512 };
#define JSON_TREE "kooka.json.tree"
#define JSON_TEXT "kooka.json.text"
#define JSON_LIST "kooka.json.array"
#define JSON_NIL "kooka.json.null"

static const char null_key = 0;         /* registry key of the one null */

static void js_pushnull(lua_State *L) { lua_rawgetp(L, LUA_REGISTRYINDEX, &null_key); }

/* ---- reading ------------------------------------------------------------------------------ */

/* The place of the bracket that opens level JSON_DEPTH + 1, or 0 when the text stays within. */
static int js_too_deep(const char *p, size_t n, int *line, int *column) {
  int depth = 0, quoted = 0;
  *line = 1, *column = 0;
  for (size_t i = 0; i < n; i++) {
    char c = p[i];
    if (((unsigned char)c & 0xC0) != 0x80) ++*column;
    if (c == '\n') ++*line, *column = 0;
    if (quoted) {
      if (c == '\\') i++, ++*column;
      else if (c == '"') quoted = 0;
    } else if (c == '"') {
      quoted = 1;
    } else if (c == '[' || c == '{') {
      if (++depth > JSON_DEPTH) return 1;
    } else if (c == ']' || c == '}') {
      depth--;
    }
  }
  return 0;
}

static kk_status js_parse(const char *text, size_t n, const char *name, json_t **tree, kk_err *e) {
  json_error_t je;
  int line, column;
  if (js_too_deep(text, n, &line, &column))
    return kk_fail(e, KK_EFORMAT, "%s: line %d, column %d: nested deeper than %d levels", name, line, column, JSON_DEPTH);
  *tree = json_loadb(text, n, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &je);
  if (*tree) return KK_OK;
  if (json_error_code(&je) == json_error_out_of_memory) return kk_fail(e, KK_ENOMEM, "%s: out of memory", name);
  if (n == 0) return kk_fail(e, KK_EFORMAT, "%s: line 1, column 1: empty, expected a JSON value", name);
  return kk_fail(e, KK_EFORMAT, "%s: line %d, column %d: %s", name, je.line, je.column, je.text);
}

/* Pushes v; may raise, the tree has its owner. drop: members that are null are left out. */
static void js_push(lua_State *L, const json_t *v, int drop) {
  luaL_checkstack(L, 6, "json: too deep");
  switch (json_typeof(v)) {
  case JSON_OBJECT: {
    json_t *o = (json_t *)(size_t)v;
    lua_createtable(L, 0, (int)json_object_size(v));
    for (void *it = json_object_iter(o); it; it = json_object_iter_next(o, it)) {
      const json_t *member = json_object_iter_value(it);
      if (drop && json_is_null(member)) continue;
      lua_pushstring(L, json_object_iter_key(it));
      js_push(L, member, drop);
      lua_rawset(L, -3);
    }
    break;
  }
  case JSON_ARRAY: {
    size_t n = json_array_size(v);
    lua_createtable(L, (int)n, 0);
    luaL_setmetatable(L, JSON_LIST);
    for (size_t i = 0; i < n; i++) {
      js_push(L, json_array_get(v, i), drop);
      lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    break;
  }
  case JSON_STRING: lua_pushlstring(L, json_string_value(v), json_string_length(v)); break;
  case JSON_INTEGER: lua_pushinteger(L, (lua_Integer)json_integer_value(v)); break;
  case JSON_REAL: lua_pushnumber(L, json_real_value(v)); break;
  case JSON_TRUE: lua_pushboolean(L, 1); break;
  case JSON_FALSE: lua_pushboolean(L, 0); break;
  default: js_pushnull(L); break;
  }
}

static int js_tree_close(lua_State *L) {
  json_t **tree = luaL_checkudata(L, 1, JSON_TREE);
  json_decref(*tree);
  *tree = NULL;
  return 0;
}

static int js_decode(lua_State *L) {
  static const char *const names[] = {"name", "nulls", NULL};
  size_t n;
  const char *text = luaL_checklstring(L, 1, &n), *name, *nulls;
  json_t **tree;
  kk_err e;
  kk_lua_check_opts(L, 2, names, "json.decode");
  name = kk_lua_opt_string(L, 2, "name", "json");
  nulls = kk_lua_opt_string(L, 2, "nulls", "keep");
  luaL_argcheck(L, !strcmp(nulls, "keep") || !strcmp(nulls, "drop"), 2, "option nulls must be \"keep\" or \"drop\"");
  tree = lua_newuserdatauv(L, sizeof *tree, 0);
  *tree = NULL;
  luaL_setmetatable(L, JSON_TREE);
  if (js_parse(text, n, name, tree, &e)) return kk_lua_fail(L, &e);
  js_push(L, *tree, *nulls == 'd');
  json_decref(*tree);                   /* early: the collector need not wait for it */
  *tree = NULL;
  return 1;
}

/* ---- writing ------------------------------------------------------------------------------ */

typedef struct js_out {
  kk_buf text;
  int pretty, depth;
  struct { const char *key; lua_Integer index; } path[JSON_DEPTH + 1];
} js_out;

static int js_text_close(lua_State *L) {
  js_out *o = luaL_checkudata(L, 1, JSON_TEXT);
  kk_buf_free(&o->text);
  return 0;
}

/* Raises "json.encode: value.users[3].prob is nan". */
static int js_refuse(lua_State *L, const js_out *o, const char *what) {
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  luaL_addstring(&b, "json.encode: value");
  for (int i = 0; i < o->depth; i++) {
    if (o->path[i].key) {
      luaL_addchar(&b, '.');
      luaL_addstring(&b, o->path[i].key);
    } else {
      lua_pushfstring(L, "[%I]", o->path[i].index);
      luaL_addvalue(&b);
    }
  }
  luaL_addchar(&b, ' ');
  luaL_addstring(&b, what);
  luaL_pushresult(&b);
  return luaL_error(L, "%s", lua_tostring(L, -1));
}

static void js_add(lua_State *L, js_out *o, const char *p, size_t n) {
  kk_err e;
  if (kk_buf_add(&o->text, p, n, &e)) kk_lua_fail(L, &(kk_err){KK_ENOMEM, "json.encode: out of memory"});
}

/* Bytes of the well-formed UTF-8 sequence at p (Unicode table 3-7), 0 when there is none. */
static size_t js_utf8(const unsigned char *p, size_t n) {
  size_t k = p[0] < 0x80 ? 1 : p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : p[0] < 0xF5 ? 4 : 0;
  if (k == 0 || k > n) return 0;
  for (size_t i = 1; i < k; i++)
    if ((p[i] & 0xC0) != 0x80) return 0;
  if (p[0] == 0xE0 && p[1] < 0xA0) return 0;
  if (p[0] == 0xED && p[1] > 0x9F) return 0;
  if (p[0] == 0xF0 && p[1] < 0x90) return 0;
  if (p[0] == 0xF4 && p[1] > 0x8F) return 0;
  return k;
}

static void js_add_string(lua_State *L, js_out *o, const char *s, size_t n) {
  static const char escapes[] = "\"\"\\\\\bb\ff\nn\rr\tt";
  size_t from = 0;
  js_add(L, o, "\"", 1);
  for (size_t i = 0; i < n;) {
    unsigned char c = (unsigned char)s[i];
    size_t k = js_utf8((const unsigned char *)s + i, n - i);
    char esc[8];
    if (k == 0) {
      char what[64];
      snprintf(what, sizeof what, "is not UTF-8 at byte %zu", i + 1);
      js_refuse(L, o, what);
    }
    if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7F) {
      i += k;
      continue;
    }
    js_add(L, o, s + from, i - from);
    const char *short_form = c ? strchr(escapes, c) : NULL;
    if (short_form && (short_form - escapes) % 2 == 0) snprintf(esc, sizeof esc, "\\%c", short_form[1]);
    else snprintf(esc, sizeof esc, "\\u%04x", c);
    js_add(L, o, esc, strlen(esc));
    from = ++i;
  }
  js_add(L, o, s + from, n - from);
  js_add(L, o, "\"", 1);
}

/* The shortest of 15, 16 or 17 digits that reads back as v; always with a point or an exponent, so
** that a float stays a float. */
static void js_add_number(lua_State *L, js_out *o, double v) {
  char s[40];
  if (!isfinite(v)) js_refuse(L, o, isnan(v) ? "is nan, which JSON cannot say" : "is infinite, which JSON cannot say");
  for (int digits = 15; digits <= 17; digits++) {
    snprintf(s, sizeof s - 3, "%.*g", digits, v);
    if (strtod(s, NULL) == v) break;
  }
  if (strchr(s, ',')) *strchr(s, ',') = '.';          /* a locale's decimal comma */
  if (!strpbrk(s, ".e")) memcpy(s + strlen(s), ".0", 3);
  js_add(L, o, s, strlen(s));
}

static void js_newline(lua_State *L, js_out *o) {
  if (!o->pretty) return;
  js_add(L, o, "\n", 1);
  for (int i = 0; i < o->depth; i++) js_add(L, o, "  ", 2);
}

static void js_add_value(lua_State *L, js_out *o, int v);

static void js_enter(lua_State *L, js_out *o, const char *bracket) {
  if (o->depth >= JSON_DEPTH) {
    o->depth = 4;                       /* the beginning of the path is enough */
    js_refuse(L, o, "... is nested deeper than 512 levels (a table that holds itself?)");
  }
  js_add(L, o, bracket, 1);
  o->depth++;
}

static void js_leave(lua_State *L, js_out *o, int any, const char *bracket) {
  o->depth--;
  if (any) js_newline(L, o);
  js_add(L, o, bracket, 1);
}

static void js_add_array(lua_State *L, js_out *o, int t, lua_Integer n) {
  js_enter(L, o, "[");
  for (lua_Integer i = 1; i <= n; i++) {
    o->path[o->depth - 1].key = NULL, o->path[o->depth - 1].index = i;
    if (i > 1) js_add(L, o, ",", 1);
    js_newline(L, o);
    lua_rawgeti(L, t, i);
    js_add_value(L, o, lua_gettop(L));
    lua_pop(L, 1);
  }
  js_leave(L, o, n > 0, "]");
}

typedef struct js_key { const char *s; size_t n; } js_key;

static int js_key_order(const void *a, const void *b) {
  const js_key *x = a, *y = b;
  int c = memcmp(x->s, y->s, x->n < y->n ? x->n : y->n);
  return c ? c : (x->n > y->n) - (x->n < y->n);
}

/* The keys live as long as the table; their list is a userdata, so an error frees it. */
static void js_add_object(lua_State *L, js_out *o, int t, size_t n) {
  js_key *keys = lua_newuserdatauv(L, n * sizeof *keys + 1, 0);
  size_t i = 0;
  for (lua_pushnil(L); lua_next(L, t); lua_pop(L, 1), i++) {
    if (lua_type(L, -2) != LUA_TSTRING)
      js_refuse(L, o, "is neither a list nor a table with string keys only (a list has keys 1..n without holes)");
    keys[i].s = lua_tolstring(L, -2, &keys[i].n);
  }
  qsort(keys, n, sizeof *keys, js_key_order);
  js_enter(L, o, "{");
  for (i = 0; i < n; i++) {
    o->path[o->depth - 1].key = keys[i].s;
    if (i) js_add(L, o, ",", 1);
    js_newline(L, o);
    js_add_string(L, o, keys[i].s, keys[i].n);
    js_add(L, o, ": ", o->pretty ? 2 : 1);
    lua_pushlstring(L, keys[i].s, keys[i].n);
    lua_rawget(L, t);
    js_add_value(L, o, lua_gettop(L));
    lua_pop(L, 1);
  }
  js_leave(L, o, n > 0, "}");
  lua_pop(L, 1);
}

/* t is the top of the stack, before and after. */
static void js_add_table(lua_State *L, js_out *o, int t) {
  lua_Integer length = (lua_Integer)lua_rawlen(L, t), count = 0, listed = 0;
  int marked = luaL_getmetafield(L, t, "__name") == LUA_TSTRING && !strcmp(lua_tostring(L, -1), JSON_LIST);
  lua_settop(L, t);
  for (lua_pushnil(L); lua_next(L, t); lua_pop(L, 1), count++) {
    lua_Integer i = lua_isinteger(L, -2) ? lua_tointeger(L, -2) : 0;
    listed += i >= 1 && i <= length;
  }
  if (marked && (count != length || listed != length)) js_refuse(L, o, "is marked as a list but has holes or other keys");
  if (marked || (length > 0 && count == length && listed == length)) js_add_array(L, o, t, length);
  else js_add_object(L, o, t, (size_t)count);
}

static void js_add_value(lua_State *L, js_out *o, int v) {
  size_t n;
  const char *s;
  luaL_checkstack(L, 12, "json.encode: too deep");
  switch (lua_type(L, v)) {
  case LUA_TNIL: js_add(L, o, "null", 4); break;
  case LUA_TBOOLEAN: lua_toboolean(L, v) ? js_add(L, o, "true", 4) : js_add(L, o, "false", 5); break;
  case LUA_TSTRING:
    s = lua_tolstring(L, v, &n);
    js_add_string(L, o, s, n);
    break;
  case LUA_TNUMBER:
    if (lua_isinteger(L, v)) {
      char digits[32];
      int k = snprintf(digits, sizeof digits, "%lld", (long long)lua_tointeger(L, v));
      js_add(L, o, digits, (size_t)k);
    } else {
      js_add_number(L, o, lua_tonumber(L, v));
    }
    break;
  case LUA_TTABLE: js_add_table(L, o, v); break;
  default: {
    char what[64];
    js_pushnull(L);
    if (lua_rawequal(L, -1, v)) {
      lua_pop(L, 1);
      js_add(L, o, "null", 4);
      break;
    }
    snprintf(what, sizeof what, "is a %s, which JSON cannot say", luaL_typename(L, v));
    js_refuse(L, o, what);
  }
  }
}

static int js_encode(lua_State *L) {
  static const char *const names[] = {"pretty", NULL};
  int pretty;
  js_out *o;
  luaL_checkany(L, 1);
  kk_lua_check_opts(L, 2, names, "json.encode");
  pretty = kk_lua_opt_boolean(L, 2, "pretty", 0);
  lua_settop(L, 1);
  o = lua_newuserdatauv(L, sizeof *o, 0);
  kk_buf_init(&o->text, (size_t)1 << 31);
  o->pretty = pretty, o->depth = 0;
  luaL_setmetatable(L, JSON_TEXT);
  lua_pushvalue(L, 1);                  /* above o, which must stay on the stack while it is written to */
  js_add_value(L, o, 3);
  lua_pushlstring(L, o->text.p, o->text.n);
  kk_buf_free(&o->text);
  return 1;
}

static int js_array(lua_State *L) {
  if (lua_isnoneornil(L, 1)) lua_settop(L, 0), lua_newtable(L);
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  luaL_setmetatable(L, JSON_LIST);
  return 1;
}

static int js_null_name(lua_State *L) {
  lua_pushliteral(L, "json.null");
  return 1;
}

static const kk_reg js_funcs[] = {
  {"decode", js_decode,
   "decode(text[, {name = \"json\", nulls = \"keep\"}]) -> value | nil, message, code\n"
   "Reads one JSON value. Integers of 64 bits stay exact, larger ones are refused; UTF-8 is strict; a key that occurs\n"
   "twice in one object is refused; at most 512 levels. null is json.null, or left out of objects with nulls = \"drop\"\n"
   "(in lists it stays). Lists are marked, so that an empty one is written as a list again. A message begins with\n"
   "name and gives line and column. Code: format."},
  {"encode", js_encode,
   "encode(value[, {pretty = false}]) -> text\n"
   "Writes nil, booleans, numbers, strings, json.null, lists and tables with string keys. Keys are sorted, floats have\n"
   "the fewest digits that read back as the same number, so equal values give equal bytes. An empty table is {}\n"
   "unless it is marked by json.array. pretty indents by two spaces. Raises for nan, infinities, text that is not\n"
   "UTF-8, other types, lists with holes and tables deeper than 512 levels, and names the place in the value."},
  {"array", js_array, "array([t = {}]) -> t\nMarks t as a list, so that it is written as [] when it is empty."},
  {0},
};

KK_BIND(json) {
  static const kk_reg tree_meta[] = {{"__gc", js_tree_close, NULL}, {0}};
  static const kk_reg text_meta[] = {{"__gc", js_text_close, NULL}, {0}};
  static const kk_reg null_meta[] = {{"__tostring", js_null_name, NULL}, {0}};
  kk_lua_type(L, JSON_TREE, tree_meta, NULL);
  kk_lua_type(L, JSON_TEXT, text_meta, NULL);
  kk_lua_type(L, JSON_LIST, NULL, NULL);
  kk_lua_type(L, JSON_NIL, null_meta, NULL);
  lua_newuserdatauv(L, 0, 0);
  luaL_setmetatable(L, JSON_NIL);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &null_key);
  lua_newtable(L);
  kk_lua_funcs(L, js_funcs);
  lua_rotate(L, -2, 1);
  lua_setfield(L, -2, "null");
  lua_setfield(L, -2, "json");
}
