/* test_alloc.c -- the bindings while memory runs out: every Lua allocation and every core allocation of
** the scripts in snippets.h fails in turn. Nothing may crash or leak, and the state must live on. */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "lauxlib.h"
#include "lua.h"
#include "lua/lua_core.h"
#include "lualib.h"
#include "snippets.h"

enum { SNIPPETS = sizeof snippets / sizeof *snippets, POINTS = 1500 };

/* An allocator that refuses every growth once `left` requests were granted (-1: never). Refusing only
** one would test nothing: Lua collects and asks again. */
typedef struct lua_memory { long left, asked; } lua_memory;

static void *lua_allocator(void *ud, void *p, size_t old, size_t n) {
  lua_memory *m = ud;
  if (n == 0) {
    free(p);
    return NULL;
  }
  if (p && n <= old) return realloc(p, n);     /* Lua relies on shrinking never failing */
  m->asked++;
  if (m->left >= 0 && m->left-- == 0) {
    m->left = 0;
    return NULL;
  }
  return realloc(p, n);
}

static char folder[64];                       /* for the files of the scripts */

static int make_folder(void **state) {
  (void)state;
  strcpy(folder, "/tmp/kooka-bind-XXXXXX");
  return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
  char command[128];
  (void)state;
  snprintf(command, sizeof command, "rm -rf %s", folder);
  return system(command);
}

static int open_core(lua_State *L) {
  luaL_openlibs(L);
  luaL_requiref(L, "kooka.core", luaopen_kooka_core, 0);
  lua_setglobal(L, "core");
  lua_pushstring(L, folder);
  lua_setglobal(L, "folder");
  return 0;
}

static lua_State *new_state(lua_memory *m) {
  lua_State *L;
  *m = (lua_memory){.left = -1};
  L = lua_newstate(lua_allocator, m);
  assert_non_null(L);
  lua_pushcfunction(L, open_core);
  if (lua_pcall(L, 0, 0, 0) != LUA_OK) fail_msg("%s", lua_tostring(L, -1));
  return L;
}

/* Compiles and runs one snippet. Leaves the message on the stack when it fails. */
static int run_snippet(lua_State *L, int i) {
  int st = luaL_loadbuffer(L, snippets[i].code, strlen(snippets[i].code), snippets[i].name);
  return st != LUA_OK ? st : lua_pcall(L, 0, 0, 0);
}

/* Live bytes after a run without failures: what is made once for the whole process is there by then. */
static size_t settled(int i) {
  lua_memory m;
  lua_State *L = new_state(&m);
  if (run_snippet(L, i) != LUA_OK) fail_msg("%s: %s", snippets[i].name, lua_tostring(L, -1));
  lua_close(L);
  return kk_mem_live();
}

static void check_still_works(lua_State *L, int i, const char *what, long n) {
  lua_settop(L, 0);
  if (run_snippet(L, i) != LUA_OK)
    fail_msg("%s: after %s allocation %ld failed, the same script says: %s", snippets[i].name, what, n, lua_tostring(L, -1));
}

static void opening_the_core_without_lua_memory_leaks_nothing(void **state) {
  size_t live;
  long total, step;
  lua_memory m;
  lua_State *L;
  (void)state;
  L = new_state(&m);
  total = m.asked;
  lua_close(L);
  live = kk_mem_live();
  step = total / POINTS + 1;
  for (long n = 0; n < total; n += step) {
    m = (lua_memory){.left = n};
    L = lua_newstate(lua_allocator, &m);
    if (!L) continue;                       /* not even the state itself */
    lua_pushcfunction(L, open_core);
    if (lua_pcall(L, 0, 0, 0) == LUA_OK) assert_true(n > total / 2);   /* a few more or less from run to run */
    lua_close(L);
    if (kk_mem_live() != live) fail_msg("Lua allocation %ld of %ld: %zd bytes leaked", n, total, (ssize_t)(kk_mem_live() - live));
  }
}

static void each_lua_allocation_may_fail(void **state) {
  (void)state;
  for (int i = 0; i < SNIPPETS; i++) {
    size_t live = settled(i);
    for (long n = 0, step = 1;; n += step) {
      lua_memory m;
      lua_State *L = new_state(&m);
      int st;
      lua_gc(L, LUA_GCSTOP);                /* Lua forgets a finalizer for whose call it finds no memory */
      lua_gc(L, LUA_GCSTOP);                /* Lua forgets a finalizer for whose call it finds no memory */
      m.left = n;
      m.asked = 0;
      st = run_snippet(L, i);
      m.left = -1;
      lua_gc(L, LUA_GCRESTART);
      lua_gc(L, LUA_GCRESTART);
      if (st == LUA_OK) {
        lua_close(L);
        break;                              /* n is behind the last allocation */
      }
      check_still_works(L, i, "Lua", n);
      lua_close(L);
      if (kk_mem_live() != live)
        fail_msg("%s: Lua allocation %ld: %zd bytes leaked", snippets[i].name, n, (ssize_t)(kk_mem_live() - live));
      if (n >= POINTS) step = n / 100;      /* a long script: a point here and there is enough */
    }
  }
}

/* True when the failure that was ordered for allocation n has not come yet; takes the order back. */
static int order_is_open(long n) {
  int open = 0;
  for (long k = 0; k <= n && !open; k++) {
    void *p = kk_alloc(1);
    open = p == NULL;
    kk_free(p, 1);
  }
  kk_mem_fail_after(-1);
  return open;
}

static void each_core_allocation_may_fail(void **state) {
  (void)state;
  for (int i = 0; i < SNIPPETS; i++) {
    size_t live = settled(i);
    for (long n = 0;; n++) {
      lua_memory m;
      lua_State *L = new_state(&m);
      int st;
      kk_mem_fail_after(n);
      st = run_snippet(L, i);
      if (order_is_open(n)) {
        lua_close(L);
        break;
      }
      if (st != LUA_OK && !strstr(luaL_tolstring(L, -1, NULL), "memory"))
        fail_msg("%s: core allocation %ld: the message '%s' does not speak of memory", snippets[i].name, n, lua_tostring(L, -1));
      check_still_works(L, i, "core", n);
      lua_close(L);
      if (kk_mem_live() != live)
        fail_msg("%s: core allocation %ld: %zd bytes leaked", snippets[i].name, n, (ssize_t)(kk_mem_live() - live));
    }
  }
}

/* A collector that never rests, new blocks full of NaN, freed ones full of 0xA5. */
static void a_restless_collector_and_poisoned_memory_change_nothing(void **state) {
  (void)state;
  for (int i = 0; i < SNIPPETS; i++) {
    size_t live = settled(i);
    lua_memory m;
    lua_State *L = new_state(&m);
    kk_mem_trim();
    kk_mem_poison(1);
    lua_gc(L, LUA_GCINC, 1, 1000, 1);
    check_still_works(L, i, "no", 0);
    lua_gc(L, LUA_GCGEN, 0, 0);
    check_still_works(L, i, "no", 0);
    lua_close(L);
    kk_mem_poison(0);
    assert_int_equal(kk_mem_live(), live);
  }
}

static void two_states_share_nothing(void **state) {
  (void)state;
  for (int i = 0; i < SNIPPETS; i++) {
    size_t live = settled(i);
    lua_memory m1, m2;
    lua_State *a = new_state(&m1), *b = new_state(&m2);
    check_still_works(a, i, "no", 0);
    check_still_works(b, i, "no", 0);
    lua_close(a);
    check_still_works(b, i, "no", 0);
    lua_close(b);
    assert_int_equal(kk_mem_live(), live);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(opening_the_core_without_lua_memory_leaks_nothing),
    cmocka_unit_test(each_lua_allocation_may_fail),
    cmocka_unit_test(each_core_allocation_may_fail),
    cmocka_unit_test(a_restless_collector_and_poisoned_memory_change_nothing),
    cmocka_unit_test(two_states_share_nothing),
  };
  return cmocka_run_group_tests_name("bindings without memory", tests, make_folder, remove_folder);
}
