/* bind_sys_stdin.c -- kooka.core.sys: standard input as it comes, for commands that answer while they are asked. */
#include <errno.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/stop.h"
#include "lua/lua_util.h"

/* Waits for the first bytes only; then takes what is there already. Errors of the first read only: others come again.
** The answer grows in Lua's own buffer, so nothing is held when a push raises. */
static int stdin_read(lua_State *L) {
  lua_Integer max = luaL_optinteger(L, 1, 65536), n = 0;
  luaL_Buffer b;
  luaL_argcheck(L, max >= 1 && max <= 1 << 30, 1, "expected 1 to 2^30 bytes");
  luaL_buffinit(L, &b);
  while (n < max) {
    struct pollfd p = {0, POLLIN, 0};
    size_t room = (size_t)(max - n < 65536 ? max - n : 65536);
    char *to = luaL_prepbuffsize(&b, room);
    if (n && poll(&p, 1, 0) != 1) break;
    ssize_t got = read(0, to, room);
    if (got < 0 && errno == EINTR && !kk_stop_asked()) continue;
    if (got < 0 && !n) {
      kk_err e;
      if (errno == EINTR) return luaL_error(L, "stdin: interrupted");
      kk_fail_errno(&e, errno, "read: %s", "standard input");
      return kk_lua_fail(L, &e);
    }
    if (got <= 0) break;
    luaL_addsize(&b, (size_t)got);
    n += got;
  }
  luaL_pushresult(&b);
  if (!n) lua_pushnil(L);
  return 1;
}

static int stdin_size(lua_State *L) {
  struct stat s;
  if (fstat(0, &s) == 0 && S_ISREG(s.st_mode)) lua_pushinteger(L, (lua_Integer)s.st_size);
  else lua_pushnil(L);
  return 1;
}

static const kk_reg stdin_funcs[] = {
  {"stdin_read", stdin_read,
   "stdin_read([max = 65536]) -> bytes, or nil at the end | nil, message, code\nWaits until there is something, then takes what has "
   "come already and no more, past Lua's buffers: not together with io.read. Raises \"interrupted\" after Ctrl-C."},
  {"stdin_size", stdin_size, "stdin_size() -> bytes, or nil when standard input is no file"},
  {0},
};

KK_BIND(sys_stdin) {
  luaL_getsubtable(L, -1, "sys");
  kk_lua_funcs(L, stdin_funcs);
  lua_pop(L, 1);
}
