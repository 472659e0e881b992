/* bind_sys_proc.c -- kooka.core.sys.spawn: child programs and the pipes to them. */
#include <signal.h>
#include <string.h>

#include "base/proc.h"
#include "lua/lua_util.h"

#define PROC_TYPE "kooka.child"

static kk_child *proc_check(lua_State *L) { return luaL_checkudata(L, 1, PROC_TYPE); }

/* Pushes a block of n + 1 pointers that Lua owns; the last stays NULL. */
static const char **proc_pointers(lua_State *L, size_t n) {
  const char **p = lua_newuserdatauv(L, (n + 1) * sizeof *p, 0);
  memset(p, 0, (n + 1) * sizeof *p);
  return p;
}

/* argv: strings of the list at arg, which stays on the stack and so keeps them alive. */
static const char **proc_argv(lua_State *L, int arg) {
  luaL_checktype(L, arg, LUA_TTABLE);
  size_t n = lua_rawlen(L, arg);
  luaL_argcheck(L, n > 0 && n < 100000, arg, "expected a list of strings: the program and its arguments");
  const char **argv = proc_pointers(L, n);
  for (size_t i = 0; i < n; i++) {
    size_t len;
    if (lua_rawgeti(L, arg, (lua_Integer)i + 1) != LUA_TSTRING)
      luaL_argerror(L, arg, lua_pushfstring(L, "item %d must be a string, got %s", (int)i + 1, luaL_typename(L, -1)));
    argv[i] = lua_tolstring(L, -1, &len);
    luaL_argcheck(L, strlen(argv[i]) == len, arg, "an item holds a zero byte");
    lua_pop(L, 1);
  }
  return argv;
}

/* env: {NAME = value, NAME = false} as NAME=value and NAME. Pushes the pointers and a table that keeps the strings. */
static const char **proc_env(lua_State *L, int arg) {
  size_t n = 0;
  if (lua_isnoneornil(L, arg) || lua_getfield(L, arg, "env") == LUA_TNIL) return NULL;
  luaL_argcheck(L, lua_istable(L, -1), arg, "option env must be a table NAME = value");
  int env = lua_absindex(L, -1);
  for (lua_pushnil(L); lua_next(L, env); lua_pop(L, 1)) n++;
  lua_newtable(L);
  int keep = lua_absindex(L, -1);
  const char **list = proc_pointers(L, n);
  size_t i = 0;
  for (lua_pushnil(L); lua_next(L, env); lua_pop(L, 1), i++) {
    luaL_argcheck(L, lua_type(L, -2) == LUA_TSTRING, arg, "option env: names are strings");
    const char *name = lua_tostring(L, -2);
    luaL_argcheck(L, *name && !strchr(name, '='), arg, "option env: a name is empty or holds '='");
    if (lua_type(L, -1) == LUA_TBOOLEAN && !lua_toboolean(L, -1)) lua_pushstring(L, name);
    else lua_pushfstring(L, "%s=%s", name, luaL_tolstring(L, -1, NULL)), lua_remove(L, -2);
    list[i] = lua_tostring(L, -1);
    lua_rawseti(L, keep, (lua_Integer)i + 1);
  }
  return list;
}

static kk_stdio proc_stdio(lua_State *L, int arg, const char *name) {
  const char *v = kk_lua_opt_string(L, arg, name, "inherit");
  int is_err = strcmp(name, "stderr") == 0;
  if (strcmp(v, "inherit") == 0) return KK_STDIO_INHERIT;
  if (strcmp(v, "null") == 0) return KK_STDIO_NULL;
  if (strcmp(v, "pipe") == 0 && !is_err) return KK_STDIO_PIPE;
  if (strcmp(v, "stdout") == 0 && is_err) return KK_STDIO_STDOUT;
  luaL_argerror(L, arg, lua_pushfstring(L, "option %s is '%s', expected inherit, null or %s", name, v,
      is_err ? "stdout" : "pipe"));
  return KK_STDIO_INHERIT;
}

static int proc_spawn(lua_State *L) {
  static const char *const names[] = {"stdin", "stdout", "stderr", "env", "own_group", NULL};
  kk_child_opts o = {0};
  kk_err e;
  lua_settop(L, 2);
  kk_lua_check_opts(L, 2, names, "spawn");
  const char **argv = proc_argv(L, 1);
  o.in = proc_stdio(L, 2, "stdin");
  o.out = proc_stdio(L, 2, "stdout");
  o.err = proc_stdio(L, 2, "stderr");
  o.own_group = kk_lua_opt_boolean(L, 2, "own_group", 0);
  o.env = proc_env(L, 2);
  kk_child *c = lua_newuserdatauv(L, sizeof *c, 0);
  *c = (kk_child){.in = -1, .out = -1};
  luaL_setmetatable(L, PROC_TYPE);
  if (kk_child_start(c, argv, &o, &e)) return kk_lua_fail(L, &e);
  return 1;
}

static int proc_read_line(lua_State *L) {
  kk_child *c = proc_check(L);
  const char *line;
  size_t n;
  kk_err e;
  if (kk_child_line(c, &line, &n, &e)) return kk_lua_fail(L, &e);
  if (line) lua_pushlstring(L, line, n);
  else lua_pushnil(L);
  return 1;
}

static int proc_read_all(lua_State *L) {
  kk_child *c = proc_check(L);
  const char *text;
  size_t n;
  kk_err e;
  if (kk_child_rest(c, &text, &n, &e)) return kk_lua_fail(L, &e);
  lua_pushlstring(L, text, n);
  return 1;
}

static int proc_write(lua_State *L) {
  kk_child *c = proc_check(L);
  size_t n;
  const char *text = luaL_checklstring(L, 2, &n);
  kk_err e;
  if (kk_child_write(c, text, n, &e)) return kk_lua_fail(L, &e);
  lua_pushboolean(L, 1);
  return 1;
}

static int proc_close(lua_State *L) {
  kk_child_close_in(proc_check(L));
  return 0;
}

static int proc_wait(lua_State *L) {
  kk_child *c = proc_check(L);
  double seconds = luaL_optnumber(L, 2, -1);
  int done;
  kk_err e;
  if (lua_isnoneornil(L, 2)) kk_child_close_in(c);      /* a child that reads to the end would wait for us */
  if (kk_child_wait(c, seconds, &done, &e)) return kk_lua_fail(L, &e);
  if (done) {
    lua_pushinteger(L, c->status);
    return 1;
  }
  lua_pushnil(L);
  lua_pushfstring(L, "wait: the child program still runs after %f s", seconds);
  lua_pushliteral(L, "timeout");
  return 3;
}

static int proc_kill(lua_State *L) {
  static const char *const names[] = {"term", "int", "kill", NULL};
  static const int signals[] = {SIGTERM, SIGINT, SIGKILL};
  kk_child *c = proc_check(L);
  kk_err e;
  if (kk_child_kill(c, signals[luaL_checkoption(L, 2, "term", names)], &e)) return kk_lua_fail(L, &e);
  lua_pushboolean(L, 1);
  return 1;
}

static int proc_pid(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)proc_check(L)->pid);
  return 1;
}

static int proc_gc(lua_State *L) {
  kk_child_free(proc_check(L));
  return 0;
}

static int proc_tostring(lua_State *L) {
  kk_child *c = proc_check(L);
  if (c->pid) lua_pushfstring(L, "child program %d", (int)c->pid);
  else lua_pushfstring(L, "child program, ended with %d", c->status);
  return 1;
}

static const kk_reg proc_meta[] = {
  {"__gc", proc_gc, NULL},
  {"__close", proc_gc, NULL},
  {"__tostring", proc_tostring, NULL},
  {0},
};

static const kk_reg proc_methods[] = {
  {"read_line", proc_read_line, "child:read_line() -> line or nil at the end | nil, message, code\nWithout the newline. Needs stdout = \"pipe\"."},
  {"read_all", proc_read_all, "child:read_all() -> text | nil, message, code\nAll it prints until it closes its stdout."},
  {"write", proc_write, "child:write(text) -> true | nil, message, code\nNeeds stdin = \"pipe\". What the child prints meanwhile is kept."},
  {"close_stdin", proc_close, "child:close_stdin()\nThe child sees the end of its input."},
  {"wait", proc_wait,
   "child:wait([seconds]) -> status | nil, message, \"timeout\"\nThe exit status, or 128 + the signal that ended it. Without a time "
   "limit its stdin is closed first."},
  {"kill", proc_kill, "child:kill([\"term\" | \"int\" | \"kill\"]) -> true | nil, message, code"},
  {"pid", proc_pid, "child:pid() -> integer\n0 after it was waited for."},
  {0},
};

static const kk_reg proc_funcs[] = {
  {"spawn", proc_spawn,
   "spawn(argv [, {stdin, stdout, stderr, env, own_group}]) -> child | nil, message, code\n"
   "Starts the program argv[1], looked up along PATH, with the arguments argv[2]...; never through a shell. stdin and stdout: "
   "\"inherit\", \"pipe\" or \"null\"; stderr: \"inherit\", \"null\" or \"stdout\". env = {NAME = value, OTHER = false} changes "
   "the environment. own_group: Ctrl-C does not reach it. A child that is closed (<close>) or collected while it runs is killed."},
  {0},
};

KK_BIND(sys_proc) {
  kk_lua_type(L, PROC_TYPE, proc_meta, proc_methods);
  luaL_getsubtable(L, -1, "sys");
  kk_lua_funcs(L, proc_funcs);
  lua_pop(L, 1);
}
