/* bind_sys_files.c -- kooka.core.sys: folders, facts about files, checksums, facts about this machine. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/sha256.h"
#include "lua/lua_util.h"

enum { TREE_DEPTH = 32, TREE_ENTRIES = 1000000 };

static int files_errno(lua_State *L, int code, const char *what, const char *path) {
  kk_err e;
  kk_fail_errno(&e, code, "%s: %s", what, path);
  return kk_lua_fail(L, &e);
}

static int files_true(lua_State *L) {
  lua_pushboolean(L, 1);
  return 1;
}

static int files_exists(lua_State *L) {
  struct stat s;
  lua_pushboolean(L, stat(luaL_checkstring(L, 1), &s) == 0);
  return 1;
}

static const char *files_kind(mode_t m) {
  return S_ISREG(m) ? "file" : S_ISDIR(m) ? "folder" : S_ISLNK(m) ? "link" : "other";
}

static int files_stat(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  struct stat s;
  if (stat(path, &s) != 0 && lstat(path, &s) != 0) return files_errno(L, errno, "stat", path);
  lua_createtable(L, 0, 4);
  lua_pushstring(L, files_kind(s.st_mode));
  lua_setfield(L, -2, "type");
  lua_pushinteger(L, (lua_Integer)s.st_size);
  lua_setfield(L, -2, "size");
  lua_pushnumber(L, (double)s.st_mtim.tv_sec + 1e-9 * (double)s.st_mtim.tv_nsec);
  lua_setfield(L, -2, "modified");
  lua_pushboolean(L, (s.st_mode & 0111) != 0);
  lua_setfield(L, -2, "executable");
  return 1;
}

static int files_mkdir_p(lua_State *L) {
  size_t n;
  const char *path = luaL_checklstring(L, 1, &n);
  char part[PATH_MAX];
  struct stat s;
  luaL_argcheck(L, n > 0 && n < sizeof part && !memchr(path, 0, n), 1, "expected a path of 1 to 4095 bytes");
  memcpy(part, path, n + 1);
  for (size_t i = 1; i <= n; i++) {
    if (part[i] != '/' && part[i] != 0) continue;
    part[i] = 0;
    if (mkdir(part, 0777) != 0) {
      int code = errno;
      if (stat(part, &s) != 0 || !S_ISDIR(s.st_mode)) return files_errno(L, code, "mkdir_p", part);
    }
    if (i < n) part[i] = '/';
  }
  return files_true(L);
}

/* The folder is an object of Lua's while names are pushed, because each push may raise. */
static int files_dir_close(lua_State *L) {
  DIR **d = luaL_checkudata(L, 1, "kooka.dir");
  if (*d) closedir(*d);
  *d = NULL;
  return 0;
}

static int files_list(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  DIR **d = lua_newuserdatauv(L, sizeof *d, 0);
  struct dirent *entry;
  *d = NULL;
  luaL_setmetatable(L, "kooka.dir");
  lua_getglobal(L, "table");
  lua_getfield(L, -1, "sort");
  lua_newtable(L);
  *d = opendir(path);
  if (!*d) return files_errno(L, errno, "list", path);
  for (lua_Integer i = 1; (entry = readdir(*d));) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    lua_pushstring(L, entry->d_name);
    lua_rawseti(L, -2, i++);
  }
  closedir(*d);
  *d = NULL;
  lua_pushvalue(L, -2);
  lua_pushvalue(L, -2);
  lua_call(L, 1, 0);
  return 1;
}

static int files_remove(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  if (remove(path) != 0) return files_errno(L, errno, "remove", path);
  return files_true(L);
}

/* Removes what the folder behind fd holds; follows no link. Takes fd over. */
static int files_empty(int fd, int depth, long *left) {
  DIR *d = fdopendir(fd);
  struct dirent *entry;
  int code = 0;
  if (!d) {
    code = errno;
    close(fd);
    return code;
  }
  while (!code && (entry = readdir(d))) {
    const char *name = entry->d_name;
    struct stat s;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
    if (--*left < 0) code = EFBIG;
    else if (fstatat(fd, name, &s, AT_SYMLINK_NOFOLLOW) != 0) code = errno;
    else if (!S_ISDIR(s.st_mode)) code = unlinkat(fd, name, 0) ? errno : 0;
    else if (depth <= 0) code = ELOOP;
    else {
      int sub = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
      code = sub < 0 ? errno : files_empty(sub, depth - 1, left);
      if (!code && unlinkat(fd, name, AT_REMOVEDIR)) code = errno;
    }
  }
  closedir(d);
  return code;
}

/* The roots nobody means: /, a folder directly under it, the home folder, the current one and its parents. */
static int files_protected(const char *real) {
  char cwd[PATH_MAX];
  const char *home = getenv("HOME");
  size_t n = strlen(real);
  if (strchr(real + 1, '/') == NULL) return 1;
  if (home && strcmp(home, real) == 0) return 1;
  return getcwd(cwd, sizeof cwd) && strncmp(cwd, real, n) == 0 && (cwd[n] == 0 || cwd[n] == '/');
}

static int files_remove_tree(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  char real[PATH_MAX];
  struct stat s;
  long left = TREE_ENTRIES;
  int fd, code;
  if (lstat(path, &s) != 0) return files_errno(L, errno, "remove_tree", path);
  if (!S_ISDIR(s.st_mode)) return files_errno(L, ENOTDIR, "remove_tree", path);
  if (!realpath(path, real)) return files_errno(L, errno, "remove_tree", path);
  if (files_protected(real)) return luaL_error(L, "remove_tree: refuses %s", real);
  fd = open(real, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return files_errno(L, errno, "remove_tree", path);
  code = files_empty(fd, TREE_DEPTH, &left);
  if (!code && rmdir(real) != 0) code = errno;
  if (code) return files_errno(L, code, "remove_tree", path);
  return files_true(L);
}

static int files_rename(lua_State *L) {
  const char *from = luaL_checkstring(L, 1), *to = luaL_checkstring(L, 2);
  if (rename(from, to) != 0) return files_errno(L, errno, "rename", from);
  return files_true(L);
}

static int files_realpath(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  char real[PATH_MAX];
  if (!realpath(path, real)) return files_errno(L, errno, "realpath", path);
  lua_pushstring(L, real);
  return 1;
}

static int files_cwd(lua_State *L) {
  char cwd[PATH_MAX];
  if (!getcwd(cwd, sizeof cwd)) return files_errno(L, errno, "cwd", ".");
  lua_pushstring(L, cwd);
  return 1;
}

static int files_exe(lua_State *L) {
  char path[PATH_MAX];
  ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
  if (n < 0) return files_errno(L, errno, "exe", "/proc/self/exe");
  lua_pushlstring(L, path, (size_t)n);
  return 1;
}

/* The bytes belong to a Lua object while they become a string, because that may raise. */
static int files_bytes_close(lua_State *L) {
  kk_buf_free(luaL_checkudata(L, 1, "kooka.bytes"));
  return 0;
}

static int files_read(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  lua_Integer max = luaL_optinteger(L, 2, (lua_Integer)1 << 30);
  luaL_argcheck(L, max > 0, 2, "expected the largest size in bytes, above 0");
  kk_buf *b = lua_newuserdatauv(L, sizeof *b, 0);
  kk_err e;
  kk_buf_init(b, (size_t)max);
  luaL_setmetatable(L, "kooka.bytes");
  if (kk_file_read(path, b, &e)) {
    if (e.code == KK_EFORMAT) kk_fail(&e, KK_EFORMAT, "%s: more than %lld bytes", path, (long long)max);
    return kk_lua_fail(L, &e);
  }
  lua_pushlstring(L, b->n ? b->p : "", b->n);
  kk_buf_free(b);
  return 1;
}

static int files_sha256(lua_State *L) {
  size_t n;
  const char *text = luaL_checklstring(L, 1, &n);
  kk_sha256 s;
  char hex[65];
  kk_sha256_start(&s);
  kk_sha256_add(&s, text, n);
  kk_sha256_hex(&s, hex);
  lua_pushstring(L, hex);
  return 1;
}

static int files_sha256_file(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  char hex[65];
  kk_err e;
  if (kk_sha256_file(path, hex, &e)) return kk_lua_fail(L, &e);
  lua_pushstring(L, hex);
  return 1;
}

static int files_terminal(lua_State *L) {
  struct winsize w;
  int fd = (int)luaL_optinteger(L, 1, 2);
  if (ioctl(fd, TIOCGWINSZ, &w) != 0 || w.ws_col == 0) {
    lua_pushinteger(L, 80);
    lua_pushinteger(L, 24);
  } else {
    lua_pushinteger(L, w.ws_col);
    lua_pushinteger(L, w.ws_row);
  }
  return 2;
}

/* The first "key : value" line of a /proc file, into out; empty when there is none. */
static void files_proc_field(const char *path, const char *key, char *out, size_t max) {
  char line[512];
  size_t n = strlen(key);
  FILE *f = fopen(path, "r");
  *out = 0;
  if (!f) return;
  while (!*out && fgets(line, sizeof line, f)) {
    char *v = strchr(line, ':');
    if (strncmp(line, key, n) != 0 || !v) continue;
    v += 1 + strspn(v + 1, " \t");
    v[strcspn(v, "\n")] = 0;
    snprintf(out, max, "%s", v);
  }
  fclose(f);
}

static int files_machine(lua_State *L) {
  struct utsname u;
  char cpu[256], memory[64];
  files_proc_field("/proc/cpuinfo", "model name", cpu, sizeof cpu);
  files_proc_field("/proc/meminfo", "MemTotal", memory, sizeof memory);
  lua_createtable(L, 0, 5);
  lua_pushstring(L, *cpu ? cpu : "unknown");
  lua_setfield(L, -2, "cpu");
  lua_pushinteger(L, (lua_Integer)sysconf(_SC_NPROCESSORS_ONLN));
  lua_setfield(L, -2, "cores");
  lua_pushinteger(L, (lua_Integer)strtoll(memory, NULL, 10) * 1024);
  lua_setfield(L, -2, "memory");
  if (uname(&u) == 0) {
    lua_pushfstring(L, "%s %s", u.sysname, u.release);
    lua_setfield(L, -2, "system");
    lua_pushstring(L, u.machine);
    lua_setfield(L, -2, "arch");
  }
  return 1;
}

static const kk_reg files_meta[] = {
  {"__gc", files_dir_close, NULL},
  {"__close", files_dir_close, NULL},
  {0},
};

static const kk_reg bytes_meta[] = {
  {"__gc", files_bytes_close, NULL},
  {0},
};

static const kk_reg files_funcs[] = {
  {"exists", files_exists, "exists(path) -> boolean"},
  {"stat", files_stat,
   "stat(path) -> {type, size, modified, executable} | nil, message, code\ntype is file, folder, link (a dangling one) or "
   "other; size in bytes; modified in seconds since 1970 UTC."},
  {"mkdir_p", files_mkdir_p, "mkdir_p(path) -> true | nil, message, code\nMakes the folder and those above it; fine when it is there."},
  {"list", files_list, "list(path) -> names | nil, message, code\nSorted names in a folder, without . and .."},
  {"remove", files_remove, "remove(path) -> true | nil, message, code\nA file or an empty folder."},
  {"remove_tree", files_remove_tree,
   "remove_tree(path) -> true | nil, message, code\nA folder and all in it, at most 32 levels and a million entries; follows no "
   "links. Refuses /, folders directly under it, the home folder, the current folder and those above it."},
  {"rename", files_rename, "rename(from, to) -> true | nil, message, code\nReplaces to when it is a file."},
  {"realpath", files_realpath, "realpath(path) -> path | nil, message, code\nAbsolute, without links, . and .."},
  {"cwd", files_cwd, "cwd() -> path"},
  {"exe", files_exe, "exe() -> path | nil, message, code\nThe running program."},
  {"read_file", files_read, "read_file(path [, max = 2^30]) -> text | nil, message, code\nRefuses files of more than max bytes."},
  {"sha256", files_sha256, "sha256(text) -> 64 hexadecimal digits (FIPS 180-4)"},
  {"sha256_file", files_sha256_file, "sha256_file(path) -> 64 hexadecimal digits | nil, message, code"},
  {"terminal_size", files_terminal, "terminal_size([fd = 2]) -> columns, rows\n80, 24 when it is no terminal."},
  {"machine", files_machine, "machine() -> {cpu, cores, memory, system, arch}\nNo host name, no user name. memory in bytes."},
  {0},
};

KK_BIND(sys_files) {
  kk_lua_type(L, "kooka.dir", files_meta, NULL);
  kk_lua_type(L, "kooka.bytes", bytes_meta, NULL);
  luaL_getsubtable(L, -1, "sys");
  kk_lua_funcs(L, files_funcs);
  lua_pop(L, 1);
}
