/* bind_http.c -- kooka.http: one request, one answer. */
#include <ctype.h>
#include <string.h>

#include "lua/lua_util.h"
#include "net/http.h"

#define HTTP_CLIENT "kooka.http.client"
#define HTTP_ANSWER "kooka.http.answer"
enum { HTTP_HEADERS = 64 };

static const char client_key = 0;        /* registry: the client, which keeps connections */

static int http_client_close(lua_State *L) {
  kk_http **h = luaL_checkudata(L, 1, HTTP_CLIENT);
  kk_http_free(*h);
  *h = NULL;
  return 0;
}

static int http_answer_close(lua_State *L) {
  kk_http_answer_free(luaL_checkudata(L, 1, HTTP_ANSWER));
  return 0;
}

/* The client of this Lua universe; NULL and e filled when libcurl is missing. */
static kk_http *http_client(lua_State *L, kk_err *e) {
  kk_http **h;
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &client_key) == LUA_TUSERDATA) {
    h = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return *h;
  }
  h = lua_newuserdatauv(L, sizeof *h, 0);
  *h = NULL;
  luaL_setmetatable(L, HTTP_CLIENT);
  if (kk_http_new(h, e)) return NULL;
  lua_rawsetp(L, LUA_REGISTRYINDEX, &client_key);
  return *h;
}

/* The table headers of the request as lines; the strings are kept by a table left on the stack. */
static void http_header_lines(lua_State *L, const char *lines[HTTP_HEADERS + 1]) {
  int n = 0, kept;
  lua_newtable(L);
  kept = lua_gettop(L);
  if (lua_getfield(L, 1, "headers") != LUA_TNIL) {
    if (!lua_istable(L, -1)) luaL_argerror(L, 1, "http.request: headers must be a table {Name = value}");
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
      if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING)
        luaL_argerror(L, 1, "http.request: headers must be a table {Name = value} of strings");
      if (n == HTTP_HEADERS) luaL_argerror(L, 1, "http.request: more than 64 headers");
      lines[n] = lua_pushfstring(L, "%s: %s", lua_tostring(L, -2), lua_tostring(L, -1));
      lua_rawseti(L, kept, ++n);
    }
  }
  lines[n] = NULL;
  lua_settop(L, kept);
}

/* Pushes {["content-type"] = "..."}; a name that occurs again is joined by ", ". */
static void http_push_headers(lua_State *L, const char *p, size_t n) {
  const char *end = p + n;
  lua_newtable(L);
  while (p < end) {
    const char *eol = memchr(p, '\n', (size_t)(end - p)), *stop = eol ? eol : end, *colon;
    colon = memchr(p, ':', (size_t)(stop - p));
    if (colon) {
      const char *v = colon + 1, *w = stop;
      luaL_Buffer b;
      luaL_buffinit(L, &b);
      for (const char *q = p; q < colon; q++) luaL_addchar(&b, (char)tolower((unsigned char)*q));
      luaL_pushresult(&b);
      while (v < w && (*v == ' ' || *v == '\t')) v++;
      while (w > v && (w[-1] == '\r' || w[-1] == ' ' || w[-1] == '\t')) w--;
      lua_pushvalue(L, -1);
      if (lua_rawget(L, -3) == LUA_TSTRING) {
        lua_pushliteral(L, ", ");
        lua_pushlstring(L, v, (size_t)(w - v));
        lua_concat(L, 3);
      } else {
        lua_pop(L, 1);
        lua_pushlstring(L, v, (size_t)(w - v));
      }
      lua_rawset(L, -3);
    }
    p = eol ? eol + 1 : end;
  }
}

static int http_request(lua_State *L) {
  static const char *const names[] = {"url", "method", "headers", "body", "timeout", "connect_timeout", "max_bytes",
    "redirects", "ca_file", NULL};
  const char *lines[HTTP_HEADERS + 1];
  kk_http_request r = {.headers = lines};
  kk_http_answer *a;
  kk_http *client;
  kk_status st;
  kk_err e;
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  kk_lua_check_opts(L, 1, names, "http.request");
  r.url = kk_lua_opt_string(L, 1, "url", NULL);
  if (!r.url) luaL_argerror(L, 1, "http.request: url is missing");
  r.body = kk_lua_opt_string(L, 1, "body", NULL);
  r.method = kk_lua_opt_string(L, 1, "method", r.body ? "POST" : "GET");
  luaL_argcheck(L, *r.method && strspn(r.method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == strlen(r.method), 1,
                "http.request: method must be a word in capitals");
  r.timeout = kk_lua_opt_number(L, 1, "timeout", 60, 0.001, 86400);
  r.connect_timeout = kk_lua_opt_number(L, 1, "connect_timeout", 10, 0.001, 86400);
  r.max_bytes = (size_t)kk_lua_opt_integer(L, 1, "max_bytes", 64 << 20, 0, (lua_Integer)1 << 40);
  r.redirects = (int)kk_lua_opt_integer(L, 1, "redirects", 0, 0, 20);
  r.ca_file = kk_lua_opt_string(L, 1, "ca_file", NULL);
  if (r.body) {
    lua_getfield(L, 1, "body");
    r.body_n = lua_rawlen(L, -1);
    lua_pop(L, 1);
  }
  http_header_lines(L, lines);
  a = lua_newuserdatauv(L, sizeof *a, 0);
  *a = (kk_http_answer){0};
  luaL_setmetatable(L, HTTP_ANSWER);
  client = http_client(L, &e);
  if (!client) return kk_lua_fail(L, &e);
  st = kk_http_perform(client, &r, a, &e);
  if (st) return kk_lua_fail(L, &e);
  lua_createtable(L, 0, 3);
  lua_pushinteger(L, a->status);
  lua_setfield(L, -2, "status");
  http_push_headers(L, a->headers.p, a->headers.n);
  lua_setfield(L, -2, "headers");
  lua_pushlstring(L, a->body.p ? a->body.p : "", a->body.n);
  lua_setfield(L, -2, "body");
  kk_http_answer_free(a);
  return 1;
}

static const kk_reg http_funcs[] = {
  {"request", http_request,
   "request{url=, method=\"GET\", headers={}, body=, timeout=60, connect_timeout=10, max_bytes=67108864, redirects=0,\n"
   "        ca_file=} -> {status=, headers=, body=} | nil, message, code\n"
   "One HTTP or HTTPS request. Times in seconds; max_bytes counts the decompressed body; redirects are followed only\n"
   "when asked for. Header names of the answer are in lower case. Certificates are always verified; Authorization is\n"
   "sent over https:// or to this machine only. An answer of any status, 500 too, is an answer. Messages never hold\n"
   "headers, user names or the query. Ctrl-C raises \"interrupted\". Codes: net, format (larger than max_bytes), library."},
  {0},
};

KK_BIND(http) {
  static const kk_reg client_meta[] = {{"__gc", http_client_close, NULL}, {0}};
  static const kk_reg answer_meta[] = {{"__gc", http_answer_close, NULL}, {0}};
  kk_lua_type(L, HTTP_CLIENT, client_meta, NULL);
  kk_lua_type(L, HTTP_ANSWER, answer_meta, NULL);
  lua_newtable(L);
  kk_lua_funcs(L, http_funcs);
  lua_setfield(L, -2, "http");
}
