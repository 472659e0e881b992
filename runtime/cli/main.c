/* main.c -- the program kooka: Lua 5.4 with kooka's modules inside. Everything that may raise runs
** under one protected call; the command line itself is read by lua/kooka/cli.lua. */
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/stop.h"
#include "lauxlib.h"
#include "lua.h"
#include "lua/lua_core.h"
#include "lualib.h"

/* Generated: the Lua modules of lua/ and the recipes, as source text. */
typedef struct kk_module { const char *name, *chunk, *text; size_t n; } kk_module;
extern const kk_module kk_modules[];

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

static int main_core(lua_State *L) {
  luaopen_kooka_core(L);
  lua_pushcfunction(L, main_source);
  lua_setfield(L, -2, "module_source");
  lua_pushcfunction(L, main_names);
  lua_setfield(L, -2, "module_names");
  return 1;
}

/* The first Ctrl-C asks; loops in C poll the flag, Lua code is stopped by a hook. */
static lua_State *main_state;

static void main_hook(lua_State *L, lua_Debug *ar) {
  (void)ar;
  lua_sethook(L, NULL, 0, 0);
  if (kk_stop_requested()) luaL_error(L, "interrupted");
}

static void main_signal(int sig) {
  (void)sig;
  kk_stop_request();
  lua_sethook(main_state, main_hook, LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
}

/* Wrapped coroutine.resume: records the running state so that Ctrl-C reaches a loop inside it. */
static int main_resume(lua_State *L) {
  lua_State *outer = main_state;
  lua_State *co = lua_tothread(L, 1);
  int n;
  if (co) main_state = co;
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  n = lua_gettop(L) - 1;
  lua_call(L, n, LUA_MULTRET);
  main_state = outer;
  return lua_gettop(L);
}

static int main_wrap_next(lua_State *L) {
  lua_State *co = lua_tothread(L, lua_upvalueindex(1)), *outer = main_state;
  int n = lua_gettop(L), status, nres;
  luaL_checkstack(L, n, "too many arguments");
  if (lua_status(co) == LUA_OK && lua_gettop(co) == 0) return luaL_error(L, "cannot resume dead coroutine");
  lua_xmove(L, co, n);
  main_state = co;
  status = lua_resume(co, L, n, &nres);
  main_state = outer;
  if (status != LUA_OK && status != LUA_YIELD) {
    lua_xmove(co, L, 1);
    lua_resetthread(co);
    return lua_error(L);
  }
  luaL_checkstack(L, nres, "too many results");
  lua_xmove(co, L, nres);
  return nres;
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
  lua_getfield(L, -1, "resume");
  lua_pushcclosure(L, main_resume, 1);
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
  luaL_traceback(L, L, lua_tostring(L, 1), 1);
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
  signal(SIGINT, main_signal);
  signal(SIGPIPE, SIG_IGN);
  lua_pushcfunction(L, main_trace);
  lua_pushcfunction(L, main_protected);
  lua_pushinteger(L, argc);
  lua_pushlightuserdata(L, argv);
  if (lua_pcall(L, 2, 1, -4) != LUA_OK) {
    const char *msg = lua_tostring(L, -1);
    fprintf(stderr, "kooka: %s\n", msg ? msg : "(error object is not a string)");
    status = kk_stop_requested() ? 130 : 1;
  } else {
    status = (int)lua_tointeger(L, -1);
  }
  lua_close(L);
  return status;
}
