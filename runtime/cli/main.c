/* main.c -- the program kooka: Lua 5.4 with kooka's modules inside. Everything that may raise runs
** under one protected call; the command line itself is read by lua/kooka/cli.lua. */
#define _GNU_SOURCE
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/stop.h"
#include "lauxlib.h"
#include "lua.h"
#include "lua/lua_core.h"
#include "lualib.h"

/* Generated: the Lua modules of lua/ and the recipes, as source text. */
typedef struct kk_module { const char *name, *chunk, *text; size_t n; } kk_module;
extern const kk_module kk_modules[];

static volatile sig_atomic_t main_term;        /* SIGTERM came */

static int main_loader(lua_State *L) {
  const kk_module *m = lua_touserdata(L, lua_upvalueindex(1));
  if (luaL_loadbufferx(L, m->text, m->n, m->chunk, "t") != LUA_OK) return lua_error(L);
  lua_pushvalue(L, 1);
  lua_pushstring(L, m->chunk);
  lua_call(L, 2, 1);
  return 1;
}

/* kooka.core.module_source(name): the text of an embedded module, for help(). */
static int main_source(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  for (const kk_module *m = kk_modules; m->name; m++)
    if (strcmp(m->name, name) == 0 || strcmp(m->chunk, name) == 0) {
      lua_pushlstring(L, m->text, m->n);
      return 1;
    }
  lua_pushnil(L);
  return 1;
}

static int main_names(lua_State *L) {
  lua_newtable(L);
  for (int i = 0; kk_modules[i].name; i++) {
    lua_pushstring(L, kk_modules[i].name);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

/* kooka.core.terminating(): somebody asked the whole program to end, not only the work at hand. */
static int main_terminating(lua_State *L) {
  lua_pushboolean(L, main_term);
  return 1;
}

static int main_core(lua_State *L) {
  luaopen_kooka_core(L);
  lua_pushcfunction(L, main_source);
  lua_setfield(L, -2, "module_source");
  lua_pushcfunction(L, main_names);
  lua_setfield(L, -2, "module_names");
  lua_pushcfunction(L, main_terminating);
  lua_setfield(L, -2, "terminating");
  return 1;
}

/* Ctrl-C and SIGTERM: the first asks. Loops in C poll the flag; Lua code is stopped by a hook on the
** state that runs now, which resume and wrap below record. The fourth in a row ends the program. */
static lua_State *volatile main_state;

static void main_hook(lua_State *L, lua_Debug *ar) {
  (void)ar;
  lua_sethook(L, NULL, 0, 0);
  if (kk_stop_requested()) luaL_error(L, "interrupted");
}

static void main_arm(lua_State *L) {
  lua_sethook(L, main_hook, LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
}

static void main_signal(int sig) {
  if (sig == SIGTERM) main_term = 1;
  if (kk_stop_asked() >= 3) _exit(130);
  kk_stop_request();
  main_arm(main_state);
}

/* Without SA_RESTART: a read that waits for input ends too. */
static void main_signals(void) {
  struct sigaction a;
  memset(&a, 0, sizeof a);
  a.sa_handler = main_signal;
  sigemptyset(&a.sa_mask);
  sigaction(SIGINT, &a, NULL);
  sigaction(SIGTERM, &a, NULL);
  signal(SIGPIPE, SIG_IGN);
}

/* coroutine.resume and wrap, as in Lua's lcorolib.c, but recording the running state. Moves n arguments from
** the top of L; returns the number of results on L, or -1 with the error object there. */
static int main_auxresume(lua_State *L, lua_State *co, int n) {
  lua_State *outer = main_state;
  int status, nres;
  if (!lua_checkstack(co, n)) {
    lua_pushliteral(L, "too many arguments to resume");
    return -1;
  }
  lua_xmove(L, co, n);
  main_state = co;
  status = lua_resume(co, L, n, &nres);
  main_state = outer;
  if (status != LUA_OK && status != LUA_YIELD) {
    lua_xmove(co, L, 1);
    return -1;
  }
  if (!lua_checkstack(L, nres + 1)) {
    lua_pop(co, nres);
    lua_pushliteral(L, "too many results to resume");
    return -1;
  }
  lua_xmove(co, L, nres);
  return nres;
}

static int main_resume(lua_State *L) {
  lua_State *co = lua_tothread(L, 1);
  int n;
  luaL_argexpected(L, co, 1, "coroutine");
  n = main_auxresume(L, co, lua_gettop(L) - 1);
  if (n < 0 && kk_stop_requested()) main_arm(L);   /* the caller may look away: it is stopped too */
  lua_pushboolean(L, n >= 0);
  lua_insert(L, -(n < 0 ? 2 : n + 1));
  return n < 0 ? 2 : n + 1;
}

static int main_wrap_next(lua_State *L) {
  lua_State *co = lua_tothread(L, lua_upvalueindex(1));
  int n = main_auxresume(L, co, lua_gettop(L)), status;
  if (n >= 0) return n;
  status = lua_status(co);
  if (status != LUA_OK && status != LUA_YIELD) {       /* an error inside: run its pending __close */
    if (lua_resetthread(co) != LUA_OK && lua_gettop(co) > 0) {
      lua_pop(L, 1);
      lua_xmove(co, L, 1);
    }
  }
  if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
    luaL_where(L, 1);
    lua_insert(L, -2);
    lua_concat(L, 2);
  }
  return lua_error(L);
}

static int main_wrap(lua_State *L) {
  lua_State *co;
  luaL_checktype(L, 1, LUA_TFUNCTION);
  co = lua_newthread(L);
  lua_pushvalue(L, 1);
  lua_xmove(L, co, 1);
  lua_pushcclosure(L, main_wrap_next, 1);
  return 1;
}

static int main_protected(lua_State *L) {
  int argc = (int)lua_tointeger(L, 1);
  char **argv = lua_touserdata(L, 2);
  luaL_openlibs(L);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  for (const kk_module *m = kk_modules; m->name; m++) {
    lua_pushlightuserdata(L, (void *)(size_t)m);
    lua_pushcclosure(L, main_loader, 1);
    lua_setfield(L, -2, m->name);
  }
  lua_pushcfunction(L, main_core);
  lua_setfield(L, -2, "kooka.core");
  lua_pop(L, 1);
  lua_getglobal(L, "coroutine");
  lua_pushcfunction(L, main_resume);
  lua_setfield(L, -2, "resume");
  lua_pushcfunction(L, main_wrap);
  lua_setfield(L, -2, "wrap");
  lua_pop(L, 1);
  lua_createtable(L, argc, 1);
  for (int i = 0; i < argc; i++) {
    lua_pushstring(L, argv[i]);
    lua_rawseti(L, -2, i);
  }
  lua_setglobal(L, "arg");
  lua_getglobal(L, "require");
  lua_pushliteral(L, "kooka.cli");
  lua_call(L, 1, 1);
  lua_getglobal(L, "arg");
  lua_call(L, 1, 1);             /* kooka.cli(arg) -> exit status */
  return 1;
}

static int main_trace(lua_State *L) {
  luaL_traceback(L, L, luaL_tolstring(L, 1, NULL), 1);
  return 1;
}

int main(int argc, char **argv) {
  lua_State *L = luaL_newstate();
  int status;
  if (!L) {
    fputs("kooka: out of memory\n", stderr);
    return 1;
  }
  setlocale(LC_CTYPE, "");       /* never LC_NUMERIC: it would change how numbers are read */
  main_state = L;
  main_signals();
  lua_pushcfunction(L, main_trace);
  lua_pushcfunction(L, main_protected);
  lua_pushinteger(L, argc);
  lua_pushlightuserdata(L, argv);
  if (lua_pcall(L, 2, 1, -4) != LUA_OK) {
    const char *msg = lua_tostring(L, -1);
    fprintf(stderr, "kooka: %s\n", msg ? msg : "an error without a message");
    status = kk_stop_requested() ? 130 : 1;
  } else {
    status = (int)lua_tointeger(L, -1);
  }
  lua_close(L);
  return status;
}
