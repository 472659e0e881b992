/* bind_print.c -- how a tensor looks at the prompt: type, shape, gradient flag, then aligned rows of which the
** middle is left out when there are many. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lua/lua_tensor.h"

enum { EDGE = 3, ALL = 1000, CELL = 32, WIDTH = 88 };   /* all elements up to ALL; else EDGE at each end */

/* How numbers are written: one format for the whole tensor. */
typedef struct look {
  const kk_tensor *t;
  bool whole, power;        /* integers only; with an exponent */
  int digits, width, edge;  /* behind the point; of a cell; elements shown at each end, 0: all */
} look;

static void print_cell(const look *k, int64_t off, char s[CELL]) {
  double v;
  if (kk_type(k->t) != KK_F32) {
    snprintf(s, CELL, "%" PRId64, kk_get_int(k->t, off));
    return;
  }
  v = kk_get(k->t, off);
  if (v != v) snprintf(s, CELL, "nan");
  else if (isinf(v)) snprintf(s, CELL, "%s", v > 0 ? "inf" : "-inf");
  else if (k->power) snprintf(s, CELL, "%.*e", k->digits, v);
  else if (k->whole) snprintf(s, CELL, "%.0f.", v);
  else snprintf(s, CELL, "%.*f", k->digits, v);
}

/* Element i of n, or -1 behind the last shown at the front, when the middle is left out. */
static bool print_shown(const look *k, int64_t n, int64_t i) { return !k->edge || n <= 2 * k->edge || i < k->edge || i >= n - k->edge; }

/* Calls visit for every element that is shown. */
typedef struct range { double least, most; bool whole, any; int width; } range;

static void print_visit(look *k, range *r, int dim, int64_t off, bool cells) {
  char s[CELL];
  if (dim == k->t->shape.ndim || dim == KK_MAXDIM) {
    if (cells) {
      print_cell(k, off, s);
      if ((int)strlen(s) > r->width) r->width = (int)strlen(s);
      return;
    }
    double v = fabs(kk_get(k->t, off));
    if (!isfinite(v)) return;
    if (v != floor(v)) r->whole = false;
    if (v > r->most) r->most = v;
    if (v > 0 && (!r->any || v < r->least)) r->least = v, r->any = true;
    return;
  }
  for (int64_t i = 0, n = k->t->shape.n[dim]; i < n; i++) {
    if (!print_shown(k, n, i)) {
      i = n - k->edge - 1;
      continue;
    }
    print_visit(k, r, dim + 1, off + i * k->t->stride[dim], cells);
  }
}

/* Four digits behind the point; an exponent where that would hide the small or be too long. */
static void print_choose(look *k) {
  range r = {.whole = true};
  k->digits = 4;
  if (kk_type(k->t) == KK_F32) {
    print_visit(k, &r, 0, k->t->offset, false);
    k->whole = r.whole && r.most < 1e8;
    k->power = r.any && !k->whole && (r.most >= 1e8 || r.least < 1e-4 || r.most / r.least > 1e6);
    if (k->power && r.most < 1e5 && r.most >= 1e-2) k->power = false;   /* a tiny one among usual ones: 0.0000 */
  }
  print_visit(k, &r, 0, k->t->offset, true);
  k->width = r.width;
}

/* One row of the last dimension, broken after WIDTH columns. */
static void print_row(luaL_Buffer *b, const look *k, int64_t off, int indent) {
  int d = k->t->shape.ndim - 1, column = indent + 1;
  char s[CELL], line[CELL + 8];
  luaL_addchar(b, '[');
  for (int64_t i = 0, n = k->t->shape.n[d]; i < n; i++) {
    const char *gap = i ? ", " : "";
    if (!print_shown(k, n, i)) {
      luaL_addstring(b, ", ...");
      i = n - k->edge - 1;
      column += 5;
      continue;
    }
    if (i && column + k->width + 2 > WIDTH) {
      luaL_addstring(b, ",\n");
      for (int j = 0; j <= indent; j++) luaL_addchar(b, ' ');
      column = indent + 1;
      gap = "";
    }
    print_cell(k, off + i * k->t->stride[d], s);
    snprintf(line, sizeof line, "%s%*s", gap, k->width, s);
    luaL_addstring(b, line);
    column += (int)strlen(line);
  }
  luaL_addchar(b, ']');
}

static void print_block(luaL_Buffer *b, const look *k, int dim, int64_t off, int indent) {
  int left = k->t->shape.ndim - dim;
  if (left == 1) {
    print_row(b, k, off, indent);
    return;
  }
  luaL_addchar(b, '[');
  for (int64_t i = 0, n = k->t->shape.n[dim]; i < n; i++) {
    bool shown = print_shown(k, n, i);
    if (i) {
      luaL_addchar(b, ',');
      for (int j = 1; j < left; j++) luaL_addchar(b, '\n');
      for (int j = 0; j <= indent; j++) luaL_addchar(b, ' ');
    }
    if (shown) print_block(b, k, dim + 1, off + i * k->t->stride[dim], indent + 1);
    else {
      luaL_addstring(b, "...");
      i = n - k->edge - 1;
    }
  }
  luaL_addchar(b, ']');
}

static int print_tostring(lua_State *L) {
  kk_tensor **h = luaL_checkudata(L, 1, KK_TENSOR), *t = *h;
  char s[KK_SHAPE_STR], cell[CELL];
  luaL_Buffer b;
  if (!t || !kk_live(t)) {
    lua_pushliteral(L, "tensor (released when its scope closed; t:keep() lets one live)");
    return 1;
  }
  int64_t n = kk_numel(&t->shape);
  look k = {.t = t, .edge = n > ALL ? EDGE : 0};
  luaL_buffinit(L, &b);
  luaL_addstring(&b, kk_dtype_name(kk_type(t)));
  luaL_addchar(&b, ' ');
  luaL_addstring(&b, kk_shape_str(&t->shape, s));
  if (kk_wants_grad(t)) luaL_addstring(&b, t->store->grad ? " gradient" : " wants gradient");
  if (n == 0) luaL_addstring(&b, " empty");
  else if (t->shape.ndim == 0) {
    k.digits = 6;
    if (kk_type(t) == KK_F32 && isfinite(kk_get(t, t->offset))) snprintf(cell, CELL, "%.7g", kk_get(t, t->offset));
    else print_cell(&k, t->offset, cell);
    luaL_addchar(&b, ' ');
    luaL_addstring(&b, cell);
  } else {
    print_choose(&k);
    luaL_addchar(&b, '\n');
    print_block(&b, &k, 0, t->offset, 0);
  }
  luaL_pushresult(&b);
  return 1;
}

static const kk_reg print_meta[] = {{"__tostring", print_tostring, NULL}, {0}};

KK_BIND(print) {
  kk_lua_type(L, KK_TENSOR, print_meta, NULL);
}
