/* bind_server.c -- kooka.server: a loopback HTTP server whose requests are answered by a Lua function. */
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/stop.h"
#include "lua/lua_util.h"
#include "net/server.h"

#define SERVER "kooka.server"
enum { SERVER_HEADERS = 64 };

typedef struct server_handle {
  kk_server *s;
  int busy;
} server_handle;

static int server_collect(lua_State *L) {
  server_handle *h = luaL_checkudata(L, 1, SERVER);
  kk_server_free(h->s);
  h->s = NULL;
  return 0;
}

static int server_close(lua_State *L) {
  server_handle *h = luaL_checkudata(L, 1, SERVER);
  if (h->busy) return luaL_error(L, "server: close: the server is serving");
  return server_collect(L);
}

static server_handle *server_check(lua_State *L) {
  server_handle *h = luaL_checkudata(L, 1, SERVER);
  if (!h->s) luaL_error(L, "server: the server is closed");
  return h;
}

static int server_new(lua_State *L) {
  static const char *const names[] = {"port", "max_body", NULL};
  server_handle *h;
  size_t max_body;
  int port;
  kk_err e;
  kk_lua_check_opts(L, 1, names, "server.new");
  port = (int)kk_lua_opt_integer(L, 1, "port", 0, 0, 65535);
  max_body = (size_t)kk_lua_opt_integer(L, 1, "max_body", 1 << 20, 0, 1 << 30);
  h = lua_newuserdatauv(L, sizeof *h, 0);
  *h = (server_handle){0};
  luaL_setmetatable(L, SERVER);
  if (kk_server_new(&h->s, port, max_body, &e)) return kk_lua_fail(L, &e);
  return 1;
}

static int server_port(lua_State *L) {
  lua_pushinteger(L, kk_server_port(server_check(L)->s));
  return 1;
}

static void server_push_pairs(lua_State *L, const kk_buf *b) {
  lua_newtable(L);
  for (size_t i = 0; i < b->n;) {
    const char *name = b->p + i, *value = name + strlen(name) + 1;
    lua_pushstring(L, value);
    lua_setfield(L, -2, name);
    i = (size_t)(value - b->p) + strlen(value) + 1;
  }
}

static void server_push_request(lua_State *L, const kk_served *r) {
  lua_createtable(L, 0, 5);
  lua_pushstring(L, r->method);
  lua_setfield(L, -2, "method");
  lua_pushstring(L, r->path);
  lua_setfield(L, -2, "path");
  lua_pushlstring(L, r->body.p ? r->body.p : "", r->body.n);
  lua_setfield(L, -2, "body");
  server_push_pairs(L, &r->headers);
  lua_setfield(L, -2, "headers");
  server_push_pairs(L, &r->query);
  lua_setfield(L, -2, "query");
}

/* Answers with the table at t; what is wrong with it raises after the client was told 500. */
static void server_reply(lua_State *L, server_handle *h, int t) {
  static const char *const names[] = {"status", "headers", "body", "truncate", "drop", NULL};
  const char *pairs[2 * SERVER_HEADERS + 1];
  kk_reply r = {.headers = pairs};
  int n = 0;
  kk_err e;
  if (!lua_istable(L, t)) luaL_error(L, "server: the handler must return {status=, headers=, body=}, got %s", luaL_typename(L, t));
  kk_lua_check_opts(L, t, names, "the answer of a handler");
  r.status = (int)kk_lua_opt_integer(L, t, "status", 200, 200, 599);
  r.truncate = kk_lua_opt_integer(L, t, "truncate", -1, -1, (lua_Integer)1 << 40);
  r.drop = kk_lua_opt_boolean(L, t, "drop", 0);
  r.body = kk_lua_opt_string(L, t, "body", "");
  lua_getfield(L, t, "body");
  r.body_n = lua_isnil(L, -1) ? 0 : lua_rawlen(L, -1);
  if (lua_getfield(L, t, "headers") == LUA_TTABLE) {
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
      if (lua_type(L, -2) != LUA_TSTRING || !lua_isstring(L, -1)) luaL_error(L, "server: headers must be {Name = value}");
      if (n == 2 * SERVER_HEADERS) luaL_error(L, "server: more than %d headers", SERVER_HEADERS);
      if (lua_type(L, -1) == LUA_TNUMBER) luaL_error(L, "server: the value of header %s must be a string", lua_tostring(L, -2));
      pairs[n++] = lua_tostring(L, -2);
      pairs[n++] = lua_tostring(L, -1);
    }
  }
  pairs[n] = NULL;
  if (kk_server_answer(h->s, &r, &e)) luaL_error(L, "%s", e.msg);
}

static int server_reply_protected(lua_State *L) {      /* handle, answer */
  server_reply(L, luaL_checkudata(L, 1, SERVER), 2);
  return 0;
}

/* 1 when nobody holds the other end of standard input any more. What is written there is dropped. */
static int server_stdin_ended(void) {
  struct pollfd p = {.fd = 0, .events = POLLIN};
  char drop[512];
  if (poll(&p, 1, 0) <= 0) return 0;
  return !(p.revents & POLLIN) || read(0, drop, sizeof drop) <= 0;
}

/* Calls the handler and sends its answer; 0 with an error message on the stack when either failed. */
static int server_one(lua_State *L, server_handle *h, const kk_served *request) {
  kk_reply sorry = {.status = 500, .body = "the handler failed", .body_n = 18, .truncate = -1};
  int ok;
  kk_err e;
  server_push_request(L, request);
  ok = kk_lua_callback(L, 2, 1, 1);
  if (ok) {
    lua_pushcfunction(L, server_reply_protected);
    lua_pushvalue(L, 1);
    lua_rotate(L, -3, -1);
    ok = lua_pcall(L, 2, 0, 0) == LUA_OK;
  }
  if (!ok && kk_server_request(h->s) == request) kk_server_answer(h->s, &sorry, &e);
  if (!ok) kk_server_poll(h->s, 0, &e);
  return ok;
}

static int server_serve(lua_State *L) {
  static const char *const names[] = {"stop", "stdin", "seconds", "requests", NULL};
  server_handle *h = server_check(L);
  lua_Integer requests, served = 0;
  double left;
  int with_stdin, has_stop, failed = 0;
  kk_err e = {.code = KK_OK};
  luaL_checktype(L, 2, LUA_TFUNCTION);
  kk_lua_check_opts(L, 3, names, "serve");
  with_stdin = kk_lua_opt_boolean(L, 3, "stdin", 0);
  left = kk_lua_opt_number(L, 3, "seconds", 1e9, 0, 1e9);
  requests = kk_lua_opt_integer(L, 3, "requests", LUA_MAXINTEGER, 0, LUA_MAXINTEGER);
  lua_settop(L, 3);
  has_stop = lua_istable(L, 3) && lua_getfield(L, 3, "stop") != LUA_TNIL;
  lua_settop(L, has_stop ? 4 : 3);
  if (has_stop) luaL_checktype(L, 4, LUA_TFUNCTION);
  luaL_checkstack(L, 20, NULL);
  if (h->busy) return luaL_error(L, "server: serve inside a handler");
  h->busy = 1;
  while (served < requests && left > 0 && !failed) {
    double wait = left < 0.1 ? left : 0.1;
    int top = lua_gettop(L);
    const kk_served *request;
    if (kk_stop_check(&e, "serve") || kk_server_poll(h->s, wait, &e)) break;
    request = kk_server_request(h->s);
    if (request) {
      failed = !server_one(L, h, request);
      served++;
    } else {
      left -= wait;
    }
    if (!failed && has_stop) failed = !kk_lua_callback(L, 4, 0, 1);
    if (failed) break;
    if (has_stop && lua_toboolean(L, -1)) break;
    lua_settop(L, top);
    if (with_stdin && server_stdin_ended()) break;
  }
  h->busy = 0;
  if (failed) return lua_error(L);
  if (e.code) return kk_lua_fail(L, &e);
  for (int i = 0; i < 10; i++) kk_server_poll(h->s, 0, &e);   /* lets the last answer leave */
  lua_pushinteger(L, served);
  return 1;
}

static const kk_reg server_methods[] = {
  {"port", server_port, "port(srv) -> integer"},
  {"serve", server_serve,
   "serve(srv, handler[, {stop=function() -> boolean, stdin=false, seconds=, requests=}]) -> served | nil, message, code\n"
   "Answers requests with handler({method=, path=, query={}, headers={}, body=}) -> {status=200, headers={}, body=\"\"}.\n"
   "Ends when stop answers true, standard input is at its end (stdin=true: the parent has gone), so many idle seconds\n"
   "or requests have passed. For tests, truncate=n in an answer closes the connection after n bytes of the body and\n"
   "drop=true closes it without an answer. An error in the handler answers 500 and goes on to the caller. Code: net."},
  {"close", server_close, "close(srv)\nCloses the socket and every connection."},
  {0},
};

static const kk_reg server_funcs[] = {
  {"new", server_new,
   "new([{port=0, max_body=1048576}]) -> srv | nil, message, code\n"
   "A server on 127.0.0.1 only; port 0 takes any free one. Codes: net (the port is taken), library."},
  {0},
};

KK_BIND(server) {
  static const kk_reg meta[] = {{"__gc", server_collect, NULL}, {"__close", server_close, NULL}, {0}};
  kk_lua_type(L, SERVER, meta, server_methods);
  lua_newtable(L);
  kk_lua_funcs(L, server_funcs);
  lua_setfield(L, -2, "server");
}
