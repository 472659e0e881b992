/* bind_readline.c -- kooka.core.readline: line editing, history and completion through GNU readline when
** the machine has it. The library is opened at run time and only by the session of a person at a
** terminal: kooka neither contains nor links it (it is GPL, kooka is MIT; see LICENSE-NOTES).
**
** Readline's callback interface is used with its signal handlers off, so that Ctrl-C stays kooka's. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dl.h"
#include "base/stop.h"
#include "lua/lua_util.h"

typedef char *(*rl_generator)(const char *text, int state);
typedef char **(*rl_attempt)(const char *text, int start, int end);

/* The part of readline 6 to 8 that is used, as its manual declares it. */
static struct {
  void (*handler_install)(const char *prompt, void (*line)(char *));
  void (*read_char)(void);
  void (*handler_remove)(void);
  void (*sigcleanup)(void);
  void (*free_line_state)(void);
  void (*release)(void *);
  char **(*matches)(const char *text, rl_generator g);
  void (*add_history)(const char *line);
  int (*read_history)(const char *path);
  int (*write_history)(const char *path);
  void (*stifle_history)(int max);
  int *catch_signals, *attempted_over, *append_character;
  const char **word_breaks, **name, **line;
  rl_attempt *attempt;
} rl;

static const kk_dl_sym rl_syms[] = {
  {"rl_callback_handler_install", (void **)&rl.handler_install},
  {"rl_callback_read_char", (void **)&rl.read_char},
  {"rl_callback_handler_remove", (void **)&rl.handler_remove},
  {"rl_callback_sigcleanup", (void **)&rl.sigcleanup},
  {"rl_free_line_state", (void **)&rl.free_line_state},
  {"rl_free", (void **)&rl.release},
  {"rl_completion_matches", (void **)&rl.matches},
  {"add_history", (void **)&rl.add_history},
  {"read_history", (void **)&rl.read_history},
  {"write_history", (void **)&rl.write_history},
  {"stifle_history", (void **)&rl.stifle_history},
  {"rl_catch_signals", (void **)&rl.catch_signals},
  {"rl_attempted_completion_over", (void **)&rl.attempted_over},
  {"rl_completion_append_character", (void **)&rl.append_character},
  {"rl_completer_word_break_characters", (void **)&rl.word_breaks},
  {"rl_readline_name", (void **)&rl.name},
  {"rl_line_buffer", (void **)&rl.line},
  {"rl_attempted_completion_function", (void **)&rl.attempt},
  {NULL, NULL},
};

static kk_dl rl_library;
static lua_State *rl_lua;        /* set while read() runs */
static int rl_completer;         /* stack index of the completing function, 0 when there is none */
static char *rl_line;            /* what the person entered; readline's memory */
static int rl_done;

/* Hands out the strings of the list on top of the Lua stack, one a call. Readline frees them, so they
** must come from the C library's allocator. */
static char *readline_next(const char *text, int state) {
  static lua_Integer i;
  char *copy = NULL;
  (void)text;
  if (!state) i = 0;
  if (lua_rawgeti(rl_lua, -1, ++i) == LUA_TSTRING) copy = strdup(lua_tostring(rl_lua, -1));
  lua_pop(rl_lua, 1);
  return copy;
}

static char **readline_attempt(const char *text, int start, int end) {
  lua_State *L = rl_lua;
  int top = lua_gettop(L);
  char **found = NULL;
  (void)start;
  *rl.append_character = 0;
  if (!rl_completer || !lua_checkstack(L, 8)) return NULL;
  lua_pushlightuserdata(L, (void *)(size_t)*rl.line);
  lua_pushinteger(L, end);
  lua_pushlightuserdata(L, (void *)(size_t)text);
  if (kk_lua_callback(L, rl_completer, 3, 1) && lua_istable(L, -1)) {
    *rl.attempted_over = 1;                /* no file names */
    found = rl.matches(text, readline_next);
  }
  lua_settop(L, top);
  return found;
}

/* Turns the borrowed pointers of readline_attempt into strings, under the protected call. */
static int readline_call(lua_State *L) {
  const char *line = lua_touserdata(L, 1), *text = lua_touserdata(L, 3);
  size_t end = (size_t)lua_tointeger(L, 2);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushlstring(L, line, end);
  lua_pushstring(L, text);
  lua_call(L, 2, 1);
  return 1;
}

static void readline_entered(char *line) {
  rl_line = line;
  rl_done = 1;
  rl.handler_remove();
}

static int readline_open(lua_State *L) {
  static const char *const files[] = {"libreadline.so.8", "libreadline.so.7", "libreadline.so", "libreadline.8.dylib",
      NULL};
  kk_err e;
  if (kk_dl_load(&rl_library, "line editing", files, rl_syms, &e)) return kk_lua_fail(L, &e);
  *rl.catch_signals = 0;
  *rl.name = "kooka";
  *rl.word_breaks = " \t\n\"\\'`><=;+-*%^~#{}()[],|&";
  *rl.attempt = readline_attempt;
  rl.stifle_history(2000);
  lua_pushboolean(L, 1);
  return 1;
}

static void readline_check(lua_State *L, const char *who) {
  if (!rl_library.handle) luaL_error(L, "%s: call readline.open() first", who);
}

/* Waits for a line. 1 entered, 0 interrupted. Nothing here touches Lua but the completer, which is protected. */
static int readline_wait(const char *prompt) {
  struct pollfd p = {.fd = 0, .events = POLLIN};
  rl_done = 0;
  rl_line = NULL;
  rl.handler_install(prompt, readline_entered);
  while (!rl_done) {
    int n = poll(&p, 1, -1);
    if (kk_stop_asked()) {
      fputs("^C\n", stdout);            /* before readline goes back to column 0 */
      fflush(stdout);
      rl.free_line_state();
      rl.sigcleanup();
      rl.handler_remove();
      return 0;
    }
    if (n > 0) rl.read_char();
    else if (n < 0 && errno != EINTR) readline_entered(NULL);
  }
  return 1;
}

static int readline_read(lua_State *L) {
  const char *prompt = luaL_checkstring(L, 1);
  int entered;
  readline_check(L, "read");
  lua_settop(L, 2);
  if (!lua_isnil(L, 2)) {
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_pushcclosure(L, readline_call, 1);        /* takes index 2 as its upvalue */
  }
  char **owner = lua_newuserdatauv(L, sizeof *owner, 0);   /* owns the line while it becomes a string */
  *owner = NULL;
  luaL_setmetatable(L, "kooka.readline_line");
  rl_lua = L;
  rl_completer = lua_isfunction(L, 2) ? 2 : 0;
  entered = readline_wait(prompt);
  rl_lua = NULL;
  *owner = rl_line;
  rl_line = NULL;
  if (!entered) {
    kk_stop_clear();
    lua_pushnil(L);
    lua_pushliteral(L, "interrupted");
    return 2;
  }
  if (!*owner) return 0;                                  /* Ctrl-D */
  lua_pushstring(L, *owner);
  rl.release(*owner);
  *owner = NULL;
  return 1;
}

static int readline_line_gc(lua_State *L) {
  char **owner = luaL_checkudata(L, 1, "kooka.readline_line");
  if (*owner) rl.release(*owner);
  *owner = NULL;
  return 0;
}

static int readline_add(lua_State *L) {
  const char *line = luaL_checkstring(L, 1);
  readline_check(L, "add_history");
  rl.add_history(line);
  return 0;
}

static int readline_answer(lua_State *L, int code, const char *path) {
  kk_err e;
  if (code) {
    kk_fail_errno(&e, code, "%s", path);
    return kk_lua_fail(L, &e);
  }
  lua_pushboolean(L, 1);
  return 1;
}

static int readline_load(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  readline_check(L, "load_history");
  return readline_answer(L, rl.read_history(path), path);
}

static int readline_save(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  readline_check(L, "save_history");
  int code = rl.write_history(path);
  if (!code && chmod(path, 0600) != 0) code = errno;
  return readline_answer(L, code, path);
}

static const kk_reg line_meta[] = {
  {"__gc", readline_line_gc, NULL},
  {0},
};

static const kk_reg readline_funcs[] = {
  {"open", readline_open, "open() -> true | nil, message, code\nOpens the readline library of this machine."},
  {"read", readline_read,
   "read(prompt [, complete]) -> line | nothing at the end of input | nil, \"interrupted\"\ncomplete(line, word) -> list of words "
   "that word may become, or nil for file names."},
  {"add_history", readline_add, "add_history(line)"},
  {"load_history", readline_load, "load_history(path) -> true | nil, message, code"},
  {"save_history", readline_save,
      "save_history(path) -> true | nil, message, code\nThe last 2000 lines; readable by the owner only."},
  {0},
};

KK_BIND(readline) {
  kk_lua_type(L, "kooka.readline_line", line_meta, NULL);
  lua_newtable(L);
  kk_lua_funcs(L, readline_funcs);
  lua_setfield(L, -2, "readline");
}
