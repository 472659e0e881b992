/* bind_text.c -- kooka.core.unicode and kooka.core.rules: strings in, strings out. */
#include <string.h>

#include "base/mem.h"
#include "base/pool.h"
#include "lua/lua_texts.h"
#include "lua/lua_util.h"
#include "text/rules.h"
#include "text/utf8.h"

#define BUF_TYPE "kooka.textbuf"
enum { MAX_RULES = 64, TEXTS_A_CHUNK = 64 };
static const size_t MAX_TEXT = (size_t)1 << 30;

/* ---- unicode */

static int buf_gc(lua_State *L) {
  kk_buf_free(luaL_checkudata(L, 1, BUF_TYPE));
  return 0;
}

static kk_buf *text_newbuf(lua_State *L) {
  kk_buf *b = lua_newuserdatauv(L, sizeof *b, 0);
  kk_buf_init(b, MAX_TEXT);
  luaL_setmetatable(L, BUF_TYPE);
  return b;
}

static int text_pushbuf(lua_State *L, kk_buf *b) {
  lua_pushlstring(L, b->p ? b->p : "", b->n);
  kk_buf_free(b);
  return 1;
}

static int text_map(lua_State *L, kk_utf8_form form) {
  size_t n;
  kk_err e;
  const char *s = luaL_checklstring(L, 1, &n);
  kk_buf *b = text_newbuf(L);
  kk_status st = kk_utf8_require(s, n, "text", &e);
  if (!st) st = kk_utf8_map(form, s, n, b, &e);
  return st ? kk_lua_fail(L, &e) : text_pushbuf(L, b);
}

static int text_nfc(lua_State *L) { return text_map(L, KK_UTF8_NFC); }
static int text_nfkc(lua_State *L) { return text_map(L, KK_UTF8_NFKC); }
static int text_lower(lua_State *L) { return text_map(L, KK_UTF8_LOWER); }
static int text_fold(lua_State *L) { return text_map(L, KK_UTF8_FOLD); }
static int text_strip(lua_State *L) { return text_map(L, KK_UTF8_STRIP); }

static int text_valid(lua_State *L) {
  size_t n;
  kk_err e;
  const char *s = luaL_checklstring(L, 1, &n);
  if (kk_utf8_require(s, n, "text", &e)) return kk_lua_fail(L, &e);
  lua_pushboolean(L, 1);
  return 1;
}

static int text_width(lua_State *L) {
  size_t n;
  kk_err e;
  const char *s = luaL_checklstring(L, 1, &n);
  if (kk_utf8_require(s, n, "text", &e)) return kk_lua_fail(L, &e);
  lua_pushinteger(L, (lua_Integer)kk_utf8_width(s, n));
  return 1;
}

static int text_graphemes(lua_State *L) {
  size_t n, i = 0;
  kk_err e;
  lua_Integer count = 0;
  const char *s = luaL_checklstring(L, 1, &n);
  if (kk_utf8_require(s, n, "text", &e)) return kk_lua_fail(L, &e);
  lua_newtable(L);
  while (i < n) {
    size_t k = kk_utf8_grapheme(s + i, n - i);
    lua_pushlstring(L, s + i, k);
    lua_rawseti(L, -2, ++count);
    i += k;
  }
  return 1;
}

/* ---- rules */

/* The names at arg as rules; raises on an unknown one. */
static size_t text_rules(lua_State *L, int arg, const kk_rule *list[MAX_RULES]) {
  luaL_checktype(L, arg, LUA_TTABLE);
  size_t n = (size_t)lua_rawlen(L, arg);
  luaL_argcheck(L, n <= MAX_RULES, arg, "more than 64 rules");
  for (size_t i = 0; i < n; i++) {
    lua_rawgeti(L, arg, (lua_Integer)i + 1);
    const char *name = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "?";
    list[i] = kk_rule_find(name);
    if (!list[i]) luaL_argerror(L, arg, lua_pushfstring(L, "there is no rule '%s'", name));
    lua_pop(L, 1);
  }
  return n;
}

static int text_apply(lua_State *L) {
  const kk_rule *list[MAX_RULES];
  size_t n, nrules = text_rules(L, 2, list);
  kk_err e;
  const char *s = luaL_checklstring(L, 1, &n);
  kk_buf *b = text_newbuf(L);
  return kk_rules_apply(list, nrules, s, n, b, &e) ? kk_lua_fail(L, &e) : text_pushbuf(L, b);
}

/* The work of apply_all. One chunk of texts has one buffer; ends[i] is where text i ends in it. */
typedef struct text_job {
  kk_texts texts;
  const kk_rule *list[MAX_RULES];
  size_t nrules, nchunks;
  kk_buf *out;        /* nchunks */
  size_t *ends;       /* texts.n */
  kk_err *errs;       /* nchunks */
} text_job;

static int job_gc(lua_State *L) {
  text_job *j = luaL_checkudata(L, 1, "kooka.textjob");
  for (size_t c = 0; j->out && c < j->nchunks; c++) kk_buf_free(&j->out[c]);
  kk_free(j->out, j->nchunks * sizeof *j->out);
  kk_free(j->errs, j->nchunks * sizeof *j->errs);
  kk_free(j->ends, j->texts.n * sizeof *j->ends);
  j->out = NULL;
  j->errs = NULL;
  j->ends = NULL;
  return 0;
}

static void job_chunk(void *arg, int64_t begin, int64_t end) {
  text_job *j = arg;
  size_t c = (size_t)begin / TEXTS_A_CHUNK;
  kk_err e;
  for (int64_t i = begin; i < end; i++) {
    kk_status st = kk_rules_apply(j->list, j->nrules, j->texts.p[i], j->texts.len[i], &j->out[c], &e);
    j->ends[i] = j->out[c].n;
    if (!st) continue;
    kk_fail(&j->errs[c], st, "text %lld: %s", (long long)i + 1, e.msg);
    return;
  }
}

static kk_status job_run(text_job *j, kk_err *e) {
  size_t n = j->texts.n;
  j->nchunks = (n + TEXTS_A_CHUNK - 1) / TEXTS_A_CHUNK;
  j->out = kk_calloc(j->nchunks * sizeof *j->out);
  j->errs = kk_calloc(j->nchunks * sizeof *j->errs);
  j->ends = kk_alloc(n * sizeof *j->ends);
  if (!j->out || !j->errs || !j->ends) return kk_fail(e, KK_ENOMEM, "rules: out of memory for %zu texts", n);
  for (size_t c = 0; c < j->nchunks; c++) kk_buf_init(&j->out[c], MAX_TEXT);
  kk_pool_for((int64_t)n, TEXTS_A_CHUNK, job_chunk, j);
  for (size_t c = 0; c < j->nchunks; c++)
    if (j->errs[c].code) return *e = j->errs[c], e->code;
  return KK_OK;
}

static int text_apply_all(lua_State *L) {
  const kk_rule *list[MAX_RULES];
  size_t nrules = text_rules(L, 2, list);
  kk_texts texts = kk_lua_texts(L, 1);
  kk_err e;
  text_job *j = lua_newuserdatauv(L, sizeof *j, 0);
  *j = (text_job){.texts = texts, .nrules = nrules};
  memcpy(j->list, list, sizeof list);
  luaL_setmetatable(L, "kooka.textjob");
  if (job_run(j, &e)) return kk_lua_fail(L, &e);
  lua_createtable(L, (int)texts.n, 0);
  for (size_t i = 0; i < texts.n; i++) {
    size_t from = i % TEXTS_A_CHUNK ? j->ends[i - 1] : 0;
    const char *p = j->out[i / TEXTS_A_CHUNK].p;
    lua_pushlstring(L, p ? p + from : "", j->ends[i] - from);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

static int text_list(lua_State *L) {
  lua_newtable(L);
  for (int i = 0; kk_rules[i].name; i++) {
    lua_createtable(L, 0, 3);
    lua_pushstring(L, kk_rules[i].name);
    lua_setfield(L, -2, "name");
    lua_pushstring(L, kk_rules[i].about);
    lua_setfield(L, -2, "about");
    lua_pushboolean(L, kk_rules[i].standard);
    lua_setfield(L, -2, "standard");
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

static const kk_reg buf_meta[] = {{"__gc", buf_gc, NULL}, {0}};
static const kk_reg job_meta[] = {{"__gc", job_gc, NULL}, {0}};

static const kk_reg unicode_funcs[] = {
  {"valid", text_valid, "valid(s) -> true | nil, message, \"format\"\nIs s UTF-8? The message names the first bad byte."},
  {"nfc", text_nfc, "nfc(s) -> string | nil, message, \"format\"\nCanonical composition (NFC): one spelling of each accented letter."},
  {"nfkc", text_nfkc, "nfkc(s) -> string | nil, message, \"format\"\nCompatibility composition (NFKC): ligatures, widths and fractions spelt out."},
  {"lower", text_lower, "lower(s) -> string | nil, message, \"format\"\nLower case, one code point to one."},
  {"fold", text_fold, "fold(s) -> string | nil, message, \"format\"\nFull case folding, for comparing without regard to case: fold(\"STRASSE\") == fold(\"straße\")."},
  {"strip_marks", text_strip, "strip_marks(s) -> string | nil, message, \"format\"\nWithout accents: NFKD, then combining characters removed. \"año\" -> \"ano\"."},
  {"width", text_width, "width(s) -> integer | nil, message, \"format\"\nColumns that s takes in a terminal; emoji and East Asian wide characters take 2."},
  {"graphemes", text_graphemes, "graphemes(s) -> list of strings | nil, message, \"format\"\ns cut into what people call characters (extended grapheme clusters)."},
  {0},
};

static const kk_reg rules_funcs[] = {
  {"list", text_list, "list() -> list of {name=, about=, standard=}\nThe cleaning rules in the order they belong in."},
  {"apply", text_apply, "apply(text, names) -> string | nil, message, \"format\"\nThe rules of these names, one after the other. text must be UTF-8."},
  {"apply_all", text_apply_all, "apply_all(texts, names) -> list of strings | nil, message, \"format\"\nThe same for a list, on all threads. The message names the text that is not UTF-8."},
  {0},
};

KK_BIND(text) {
  kk_lua_type(L, BUF_TYPE, buf_meta, NULL);
  kk_lua_type(L, "kooka.textjob", job_meta, NULL);
  lua_newtable(L);
  kk_lua_funcs(L, unicode_funcs);
  lua_setfield(L, -2, "unicode");
  lua_newtable(L);
  kk_lua_funcs(L, rules_funcs);
  lua_setfield(L, -2, "rules");
}
