/* lua_util.h -- what every binding file shares: the only place that turns a kk_err into a Lua
** error or into nil, message, code, and the only place that talks to Lua's collector.
**
** A binding file lua/bind_<type>.c holds one type or one small library and defines
**   KK_BIND(<type>) { ... }      lua_State *L; stack on entry and exit: the table kooka.core
** The build collects them. Every function has four parts, in this order:
**   1. arguments (may raise, owns nothing)   2. an empty owner (userdata with its metatable)
**   3. the work (cannot jump)                4. raise or answer (nothing held) */
#ifndef KK_LUA_UTIL_H
#define KK_LUA_UTIL_H

#include <stdint.h>

#include "base/err.h"
#include "lauxlib.h"
#include "lua.h"

struct kk_tensor;
struct kk_tape;

#define KK_BIND(type) void kk_bind_##type(lua_State *L); void kk_bind_##type(lua_State *L)

/* One function of a module or type. doc is shown by help(): signature on the first line, then
** meaning, shapes, units, ranges, errors and the source. */
typedef struct kk_reg { const char *name; lua_CFunction f; const char *doc; } kk_reg;

typedef struct kk_ctx {          /* one per Lua universe; upvalue 1 of every function */
  struct kk_ltape *current;      /* innermost open tape or scope, or NULL   */
  size_t hinted, floor;          /* see kk_lua_pressure                     */
} kk_ctx;

kk_ctx *kk_lua_ctx(lua_State *L);                        /* only inside a function set by kk_lua_funcs */
void kk_lua_funcs(lua_State *L, const kk_reg *r);        /* into the table on top; ends with {NULL} */
void kk_lua_setdoc(lua_State *L, int f, const char *doc);   /* help text of the function at index f */
int kk_lua_getdoc(lua_State *L);
void kk_lua_pushclosure(lua_State *L, lua_CFunction f, void *p);   /* upvalues: context, light userdata p */
/* A metatable named type with metamethods meta (may be NULL) and methods (become __index). Leaves the stack as it was. */
void kk_lua_type(lua_State *L, const char *type, const kk_reg *meta, const kk_reg *methods);

/* Pushes the table of methods of a type, made at first use: several files may add to it. */
void kk_lua_methods(lua_State *L, const char *type);

/* Part 4 of a binding. Misuse raises with the position; the world answers nil, message, code. */
int kk_lua_fail(lua_State *L, const kk_err *e);
/* Before an allocation, never from inside one. */
void kk_lua_pressure(lua_State *L);
/* Calls the function at index f with nargs arguments on top from inside C work: never jumps.
** On an error the message stays on the stack and 0 is returned. */
int kk_lua_callback(lua_State *L, int f, int nargs, int nresults);

/* Options of a table argument: kk_lua_opt_* read field name of the table at arg (nil or none: dflt). */
double kk_lua_opt_number(lua_State *L, int arg, const char *name, double dflt, double min, double max);
lua_Integer kk_lua_opt_integer(lua_State *L, int arg, const char *name, lua_Integer dflt, lua_Integer min, lua_Integer max);
int kk_lua_opt_boolean(lua_State *L, int arg, const char *name, int dflt);
const char *kk_lua_opt_string(lua_State *L, int arg, const char *name, const char *dflt);  /* lives as long as the table */
void kk_lua_check_opts(lua_State *L, int arg, const char *const names[], const char *who);   /* unknown names raise */

/* Tensors (bind_tensor.c). */
#define KK_TENSOR "kooka.tensor"
struct kk_tensor **kk_lua_newtensor(lua_State *L);              /* pushes an empty handle */
/* After the work filled *h: hands the storage to the innermost scope. Raises when that fails. */
void kk_lua_adopt(lua_State *L, struct kk_tensor *t);
struct kk_tensor *kk_lua_checktensor(lua_State *L, int arg);    /* live, else raises; rows that are late are settled */
struct kk_tensor *kk_lua_testtensor(lua_State *L, int arg);     /* NULL when it is something else; settled too */
struct kk_tensor *kk_lua_rawtensor(lua_State *L, int arg);      /* as check; values may be late (tensor/rowset.h): not to be read */

/* Corpora and lists of row numbers (bind_corpus.c). */
struct kk_corpus;
struct kk_corpus **kk_lua_newcorpus(lua_State *L);              /* pushes an empty handle */
struct kk_corpus *kk_lua_checkcorpus(lua_State *L, int arg);    /* open, else raises */
/* Row numbers 1..max, given as a list or as an int32 or int64 tensor, counted from 0 in a block that
** Lua owns and that is pushed. Raises for anything else. */
int64_t *kk_lua_checkrows(lua_State *L, int arg, int64_t max, int64_t *n);

#endif
