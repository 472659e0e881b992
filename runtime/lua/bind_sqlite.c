/* bind_sqlite.c -- kooka.sqlite: databases as closeable handles, statements with bound values. */
#include <string.h>

#include "lua/lua_util.h"
#include "store/sqlite.h"

#define SQLITE_DB "kooka.sqlite.db"
#define SQLITE_STMT "kooka.sqlite.statement"

typedef struct sqlite_handle {
  kk_db *db;
  int busy;                              /* statements and transactions under way: close is refused */
} sqlite_handle;

static int sqlite_close(lua_State *L) {
  sqlite_handle *h = luaL_checkudata(L, 1, SQLITE_DB);
  if (h->busy) return luaL_error(L, "sqlite: close: a statement or transaction of this database is under way");
  kk_db_close(h->db);
  h->db = NULL;
  return 0;
}

static int sqlite_collect(lua_State *L) {    /* unlike close, never raises */
  sqlite_handle *h = luaL_checkudata(L, 1, SQLITE_DB);
  kk_db_close(h->db);
  h->db = NULL;
  return 0;
}

static int sqlite_name(lua_State *L) {
  sqlite_handle *h = luaL_checkudata(L, 1, SQLITE_DB);
  lua_pushstring(L, h->db ? "sqlite database" : "sqlite database (closed)");
  return 1;
}

static int sqlite_stmt_close(lua_State *L) {
  kk_stmt **s = luaL_checkudata(L, 1, SQLITE_STMT);
  kk_stmt_free(*s);
  *s = NULL;
  return 0;
}

static sqlite_handle *sqlite_check(lua_State *L) {
  sqlite_handle *h = luaL_checkudata(L, 1, SQLITE_DB);
  if (!h->db) luaL_error(L, "sqlite: the database is closed");
  return h;
}

static int sqlite_open(lua_State *L) {
  static const char *const names[] = {"readonly", "busy_ms", NULL};
  const char *path = luaL_checkstring(L, 1);
  sqlite_handle *h;
  int flags, busy_ms;
  kk_err e;
  kk_lua_check_opts(L, 2, names, "sqlite.open");
  flags = kk_lua_opt_boolean(L, 2, "readonly", 0) ? KK_DB_READONLY : 0;
  busy_ms = (int)kk_lua_opt_integer(L, 2, "busy_ms", 5000, 0, 3600000);
  h = lua_newuserdatauv(L, sizeof *h, 0);
  *h = (sqlite_handle){0};
  luaL_setmetatable(L, SQLITE_DB);
  if (kk_db_open(&h->db, path, flags, busy_ms, &e)) return kk_lua_fail(L, &e);
  return 1;
}

/* Argument arg becomes parameter i. Types were checked before anything was compiled. */
static kk_status sqlite_bind(lua_State *L, kk_stmt *s, int i, int arg, kk_err *e) {
  size_t n;
  const char *p;
  switch (lua_type(L, arg)) {
  case LUA_TBOOLEAN: return kk_stmt_bind_int(s, i, lua_toboolean(L, arg), e);
  case LUA_TNUMBER:
    if (lua_isinteger(L, arg)) return kk_stmt_bind_int(s, i, lua_tointeger(L, arg), e);
    return kk_stmt_bind_double(s, i, lua_tonumber(L, arg), e);
  case LUA_TSTRING:
    p = lua_tolstring(L, arg, &n);
    return kk_stmt_bind_text(s, i, p, n, e);
  default: return kk_stmt_bind_null(s, i, e);
  }
}

static void sqlite_check_values(lua_State *L, int top) {
  for (int i = 3; i <= top; i++) {
    int t = lua_type(L, i);
    if (t != LUA_TNIL && t != LUA_TBOOLEAN && t != LUA_TNUMBER && t != LUA_TSTRING)
      luaL_argerror(L, i, lua_pushfstring(L, "nil, boolean, number or string expected, got %s", luaL_typename(L, i)));
  }
}

/* Compiles the statement at sql and binds arguments 3..top to it. */
static kk_status sqlite_prepare(lua_State *L, kk_db *db, kk_stmt **s, const char *sql, size_t n, int top, size_t *used,
                                kk_err *e) {
  kk_status st = kk_stmt_new(s, db, sql, n, used, e);
  int values = top - 2, wanted;
  if (st || !*s) return st;
  wanted = kk_stmt_parameters(*s);
  if (wanted != values)
    return kk_fail(e, KK_EARG, "sqlite: the statement has %d parameters, got %d values: %.80s", wanted, values, sql);
  for (int i = 0; i < values && !st; i++) st = sqlite_bind(L, *s, i, i + 3, e);
  return st;
}

static int sqlite_only_blanks(const char *p, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (!strchr(" \t\r\n;", p[i])) return 0;
  return 1;
}

/* Every statement of the text; values only where there is one statement. */
static int sqlite_exec(lua_State *L) {
  sqlite_handle *h = sqlite_check(L);
  size_t n, used = 0;
  const char *sql = luaL_checklstring(L, 2, &n);
  int top = lua_gettop(L), row = 1;
  kk_status st = KK_OK;
  kk_stmt *s = NULL;
  kk_err e;
  sqlite_check_values(L, top);
  while (n > 0 && !st) {                 /* nothing in this loop can jump, so a plain pointer owns the statement */
    st = sqlite_prepare(L, h->db, &s, sql, n, top, &used, &e);
    if (!st && s && top > 2 && !sqlite_only_blanks(sql + used, n - used))
      st = kk_fail(&e, KK_EARG, "sqlite: values need a single statement, more follows: %.80s", sql + used);
    for (row = 1; !st && s && row;) st = kk_stmt_step(s, &row, &e);
    kk_stmt_free(s);
    sql += used, n -= used;
  }
  if (st) return kk_lua_fail(L, &e);
  lua_pushinteger(L, (lua_Integer)kk_db_changes(h->db));
  lua_pushinteger(L, (lua_Integer)kk_db_last_id(h->db));
  return 2;
}

static void sqlite_push_cell(lua_State *L, const kk_cell *c) {
  switch (c->type) {
  case KK_CELL_INT: lua_pushinteger(L, (lua_Integer)c->i); break;
  case KK_CELL_DOUBLE: lua_pushnumber(L, c->d); break;
  case KK_CELL_TEXT: lua_pushlstring(L, c->p, c->n); break;
  default: lua_pushnil(L); break;
  }
}

static int sqlite_rows(lua_State *L) {
  sqlite_handle *h = sqlite_check(L);
  size_t n, used = 0;
  const char *sql = luaL_checklstring(L, 2, &n);
  int top = lua_gettop(L), columns, names;
  kk_status st;
  kk_stmt **s;
  kk_err e;
  sqlite_check_values(L, top);
  s = lua_newuserdatauv(L, sizeof *s, 1);
  *s = NULL;
  luaL_setmetatable(L, SQLITE_STMT);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);           /* the statement keeps its database alive */
  st = sqlite_prepare(L, h->db, s, sql, n, top, &used, &e);
  if (!st && !*s) st = kk_fail(&e, KK_EARG, "sqlite: rows needs a statement");
  if (!st && !sqlite_only_blanks(sql + used, n - used))
    st = kk_fail(&e, KK_EARG, "sqlite: rows needs a single statement, more follows: %.80s", sql + used);
  if (st) goto failed;
  columns = kk_stmt_columns(*s);
  luaL_checkstack(L, columns + 10, "sqlite: too many columns");
  names = lua_gettop(L);
  for (int i = 0; i < columns; i++) lua_pushstring(L, kk_stmt_name(*s, i));
  lua_newtable(L);
  for (lua_Integer r = 1;; r++) {
    int row;
    st = kk_stmt_step(*s, &row, &e);
    if (st) goto failed;
    if (!row) break;
    lua_createtable(L, 0, columns);
    for (int i = 0; i < columns; i++) {
      kk_cell c = kk_stmt_cell(*s, i);
      lua_pushvalue(L, names + 1 + i);
      sqlite_push_cell(L, &c);
      lua_rawset(L, -3);
    }
    lua_rawseti(L, -2, r);
  }
  kk_stmt_free(*s);
  *s = NULL;
  return 1;
failed:
  kk_stmt_free(*s);
  *s = NULL;
  return kk_lua_fail(L, &e);
}

static int sqlite_transaction(lua_State *L) {
  sqlite_handle *h = sqlite_check(L);
  kk_err e, e2;
  int ok, keep;
  luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_settop(L, 2);
  luaL_checkstack(L, 10, NULL);
  if (kk_db_in_transaction(h->db)) return luaL_error(L, "sqlite: transaction inside a transaction");
  if (kk_db_run(h->db, "BEGIN IMMEDIATE", &e)) return kk_lua_fail(L, &e);
  h->busy++;
  lua_pushvalue(L, 1);
  ok = kk_lua_callback(L, 2, 1, LUA_MULTRET);
  h->busy--;
  keep = ok && !(lua_gettop(L) >= 4 && lua_isnil(L, 3) && !lua_isnil(L, 4));   /* nil, message: the world said no */
  if (!kk_db_in_transaction(h->db)) {    /* fn, or SQLite after a grave error, ended it */
    if (!ok) return lua_error(L);
    if (!keep) return lua_gettop(L) - 2;
    return luaL_error(L, "sqlite: the transaction was ended by the function itself or by SQLite");
  }
  if (keep && kk_db_run(h->db, "COMMIT", &e)) {
    kk_db_run(h->db, "ROLLBACK", &e2);
    return kk_lua_fail(L, &e);
  }
  if (!keep) kk_db_run(h->db, "ROLLBACK", &e2);
  if (!ok) return lua_error(L);
  return lua_gettop(L) - 2;
}

static const kk_reg sqlite_methods[] = {
  {"exec", sqlite_exec,
   "exec(db, sql, ...) -> changed, last_id | nil, message, code\n"
   "Runs one statement with its values in place of the question marks (nil, boolean as 0 or 1, integer, number,\n"
   "string), or several statements without values. changed: rows of the last insert, update or delete. Raises for a\n"
   "wrong number of values. Code: database."},
  {"rows", sqlite_rows,
   "rows(db, sql, ...) -> list | nil, message, code\n"
   "The rows of one statement, each a table by column name; NULL is nil, 64-bit integers are exact, text and blobs are\n"
   "strings. Code: database."},
  {"transaction", sqlite_transaction,
   "transaction(db, fn) -> results of fn | nil, message, code\n"
   "Calls fn(db) between BEGIN IMMEDIATE and COMMIT. Everything is undone when fn raises (the error goes on) or\n"
   "answers nil, message. Transactions do not nest. Code: database."},
  {"close", sqlite_close, "close(db)\nCloses the database; fine when it is closed already."},
  {0},
};

static const kk_reg sqlite_funcs[] = {
  {"open", sqlite_open,
   "open(path[, {readonly = false, busy_ms = 5000}]) -> db | nil, message, code\n"
   "Opens or makes a SQLite database; \":memory:\" keeps it in memory. Waits busy_ms for another writer. The handle\n"
   "closes itself when collected or as a <close> variable. Codes: database, library."},
  {0},
};

KK_BIND(sqlite) {
  static const kk_reg meta[] = {
    {"__gc", sqlite_collect, NULL}, {"__close", sqlite_close, NULL}, {"__tostring", sqlite_name, NULL}, {0}};
  static const kk_reg stmt_meta[] = {{"__gc", sqlite_stmt_close, NULL}, {0}};
  kk_lua_type(L, SQLITE_DB, meta, sqlite_methods);
  kk_lua_type(L, SQLITE_STMT, stmt_meta, NULL);
  lua_newtable(L);
  kk_lua_funcs(L, sqlite_funcs);
  lua_setfield(L, -2, "sqlite");
}
