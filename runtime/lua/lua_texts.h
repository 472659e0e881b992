/* lua_texts.h -- a Lua list of strings as C arrays, for bindings that work on many texts at once. */
#ifndef KK_LUA_TEXTS_H
#define KK_LUA_TEXTS_H

#include <stddef.h>

#include "lua/lua_util.h"
#include "text/tfidf.h"

typedef struct kk_texts {
  size_t n;
  const char *const *p;
  const size_t *len;
} kk_texts;

/* Checks that arg is a list of strings (raises otherwise) and pushes a userdata that holds the
** arrays. They live while that userdata and the list do; the strings are the list's own. */
kk_texts kk_lua_texts(lua_State *L, int arg);

/* The options of terms in the table arg: ngrams, min_df, max_df, sublinear, tokens; raises for bad ones. */
kk_tfidf_opts kk_lua_terms(lua_State *L, int arg);

#endif
