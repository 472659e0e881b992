/* bind_csv.c -- kooka.csv: the row reader below kooka.data.csv and kooka.data.jsonl. */
#include "base/utf8_valid.h"
#include "data/csv.h"
#include "lua/lua_util.h"

#define CSV_READER "kooka.csv.reader"

typedef struct csv_owner { kk_csv *r; } csv_owner;

static csv_owner *csv_check(lua_State *L) {
  csv_owner *o = luaL_checkudata(L, 1, CSV_READER);
  if (!o->r) luaL_error(L, "csv: the reader is closed");
  return o;
}

static void csv_push_row(lua_State *L, const kk_csv *r) {
  int n = kk_csv_fields(r);
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    size_t len;
    const char *p = kk_csv_field(r, i, &len);
    lua_pushlstring(L, p, len);
    lua_rawseti(L, -2, i + 1);
  }
}

static int csv_open(lua_State *L) {
  static const char *const names[] = {"delimiter", "quotes", "escapes", "header", "max_row", NULL};
  const char *path = luaL_checkstring(L, 1);
  kk_csv_opts o = {0};
  kk_err e;
  lua_settop(L, 2);
  kk_lua_check_opts(L, 2, names, "csv.open");
  const char *d = kk_lua_opt_string(L, 2, "delimiter", ",");
  luaL_argcheck(L, !d[0] || (!d[1] && d[0] != '"' && d[0] != '\n' && d[0] != '\r' && d[0] > 0), 2,
                "option delimiter must be one ASCII character (not a quote, not a newline) or empty for whole lines");
  o.delimiter = d[0];
  o.quotes = kk_lua_opt_boolean(L, 2, "quotes", d[0] && d[0] != '\t') != 0;
  o.escapes = kk_lua_opt_boolean(L, 2, "escapes", 0) != 0;
  o.header = kk_lua_opt_boolean(L, 2, "header", 1) != 0;
  o.max_row = (size_t)kk_lua_opt_integer(L, 2, "max_row", 64 << 20, 1, (lua_Integer)1 << 40);
  csv_owner *u = lua_newuserdatauv(L, sizeof *u, 1);
  u->r = NULL;
  luaL_setmetatable(L, CSV_READER);
  if (kk_csv_open(path, &o, &u->r, &e)) return kk_lua_fail(L, &e);
  if (o.header) {
    csv_push_row(L, u->r);
    lua_setiuservalue(L, -2, 1);
  }
  return 1;
}

static int csv_header(lua_State *L) {
  csv_check(L);
  lua_getiuservalue(L, 1, 1);
  return 1;
}

static int csv_next(lua_State *L) {
  csv_owner *o = csv_check(L);
  bool more = false;
  kk_err e;
  if (kk_csv_next(o->r, &more, &e)) return kk_lua_fail(L, &e);
  if (more) csv_push_row(L, o->r);
  else lua_pushnil(L);
  return 1;
}

/* read(wanted, limit): wanted is a list of column numbers; answers a list of lists of strings, and how many. */
static int csv_read(lua_State *L) {
  csv_owner *o = csv_check(L);
  lua_Integer limit = luaL_optinteger(L, 3, LUA_MAXINTEGER), rows = 0;
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 3);
  lua_Unsigned n = lua_rawlen(L, 2);
  luaL_argcheck(L, n <= KK_CSV_MAX_COLUMNS, 2, "too many columns");
  int *wanted = lua_newuserdatauv(L, (size_t)n * sizeof *wanted + 1, 0);
  for (lua_Unsigned i = 0; i < n; i++) {
    lua_rawgeti(L, 2, (lua_Integer)i + 1);
    lua_Integer k = luaL_checkinteger(L, -1);
    luaL_argcheck(L, k >= 1 && k <= KK_CSV_MAX_COLUMNS, 2, "a column number is out of range");
    wanted[i] = (int)k - 1;
    lua_pop(L, 1);
  }
  lua_createtable(L, (int)n, 0);
  luaL_checkstack(L, (int)n + 8, "too many columns");
  for (lua_Unsigned i = 0; i < n; i++) {
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_rawseti(L, 5, (lua_Integer)i + 1);
  }
  while (rows < limit) {
    bool more = false;
    kk_err e;
    if (kk_csv_next(o->r, &more, &e)) return kk_lua_fail(L, &e);
    if (!more) break;
    rows++;
    for (lua_Unsigned i = 0; i < n; i++) {
      size_t len = 0;
      const char *p = wanted[i] < kk_csv_fields(o->r) ? kk_csv_field(o->r, wanted[i], &len) : "";
      lua_pushlstring(L, p, len);
      lua_rawseti(L, 6 + (int)i, rows);
    }
  }
  lua_pushvalue(L, 5);
  lua_pushinteger(L, rows);
  return 2;
}

static int csv_where(lua_State *L) {
  csv_owner *o = csv_check(L);
  lua_pushinteger(L, (lua_Integer)kk_csv_row(o->r));
  lua_pushinteger(L, (lua_Integer)kk_csv_line(o->r));
  return 2;
}

static int csv_close(lua_State *L) {
  csv_owner *o = luaL_checkudata(L, 1, CSV_READER);
  kk_csv_close(o->r);
  o->r = NULL;
  return 0;
}

static int csv_valid_utf8(lua_State *L) {
  size_t n;
  const char *p = luaL_checklstring(L, 1, &n);
  size_t good = kk_utf8_valid_to(p, n);
  lua_pushboolean(L, good == n);
  lua_pushinteger(L, (lua_Integer)good + 1);
  return good == n ? 1 : 2;
}

static const kk_reg csv_funcs[] = {
  {"open", csv_open,
   "open(path[, {delimiter = \",\", quotes = true (false for tabs), escapes = false, header = true, max_row = 67108864}])"
   " -> reader | nil, message, code\nReads delimited text row by row: RFC 4180 with quotes (newlines inside quotes, CRLF, byte order mark),\n"
   "or with escapes = true the two-character forms \\n \\r \\t \\\\. delimiter = \"\": one field a line.\nStrict UTF-8; a row holds at most max_row bytes."},
  {"valid_utf8", csv_valid_utf8, "valid_utf8(text) -> true | false, position\nWhether text is strict UTF-8; if not, the first bad byte from 1."},
  {0},
};

static const kk_reg csv_methods[] = {
  {"header", csv_header, "reader:header() -> list of strings or nil"},
  {"next", csv_next, "reader:next() -> list of strings | nil at the end | nil, message, code"},
  {"read", csv_read, "reader:read(columns[, limit]) -> list of lists of strings, rows | nil, message, code\nThe rest of the file (at most limit rows): one list for each column number."},
  {"where", csv_where, "reader:where() -> row, line\nOf the row that next() gave last, both from 1; the header is no row."},
  {"close", csv_close, "reader:close()"},
  {0},
};

static const kk_reg csv_meta[] = {{"__gc", csv_close, NULL}, {"__close", csv_close, NULL}, {0}};

KK_BIND(csv) {
  kk_lua_type(L, CSV_READER, csv_meta, csv_methods);
  lua_newtable(L);
  kk_lua_funcs(L, csv_funcs);
  lua_setfield(L, -2, "csv");
}
