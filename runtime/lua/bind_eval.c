/* bind_eval.c -- kooka.core.eval: metrics, intervals and paired tests. kooka.eval gives them names,
** baselines and words; these functions only move numbers. Arrays come as tensors or as lists and are
** copied into memory that Lua owns, so an error can be raised at any point. */
#include <math.h>
#include <string.h>

#include "eval/intervals.h"
#include "eval/score.h"
#include "eval/special.h"
#include "lua/lua_util.h"
#include "tensor/tensor.h"

typedef struct eval_array { double *v; int64_t n, rows, cols; } eval_array;

/* A fresh block of Lua's, left on the stack. */
static void *eval_block(lua_State *L, size_t n, size_t size) {
  if (size && n > PTRDIFF_MAX / size) luaL_error(L, "eval: too large");
  return lua_newuserdatauv(L, n * size + 1, 0);
}

static double eval_number(lua_State *L, int arg, const char *what, int64_t i) {
  int ok;
  if (lua_isboolean(L, -1)) return lua_toboolean(L, -1) ? 2 : 1;      /* true is class 2 */
  double v = lua_tonumberx(L, -1, &ok);
  if (!ok || lua_type(L, -1) != LUA_TNUMBER)
    luaL_argerror(L, arg, lua_pushfstring(L, "%s: row %I is a %s, expected a number", what, (lua_Integer)i,
      luaL_typename(L, -1)));
  return v;
}

/* The numbers at stack index at (a tensor [N] or [N,C], a list, or a list of C-lists) as doubles in a
** block that is pushed. arg and what are for messages. */
static eval_array eval_numbers(lua_State *L, int at, int arg, const char *what) {
  at = lua_absindex(L, at);
  kk_tensor *t = lua_isuserdata(L, at) ? kk_lua_testtensor(L, at) : NULL;
  eval_array a = {0};
  if (t) {
    char b[KK_SHAPE_STR];
    if (!kk_live(t)) luaL_argerror(L, arg, lua_pushfstring(L, "%s was released when its scope closed", what));
    if (t->shape.ndim < 1 || t->shape.ndim > 2)
      luaL_argerror(L, arg, lua_pushfstring(L, "%s: shape %s, expected [N] or [N,C]", what,
                                            kk_shape_str(&t->shape, b)));
    a.rows = t->shape.n[0];
    a.cols = t->shape.ndim == 2 ? t->shape.n[1] : 1;
    a.n = a.rows * a.cols;
    a.v = eval_block(L, (size_t)a.n, sizeof(double));
    for (int64_t i = 0; i < a.n; i++) a.v[i] = kk_get(t, kk_element_offset(t, i));
    return a;
  }
  if (!lua_istable(L, at))
    luaL_argerror(L, arg, lua_pushfstring(L, "%s: expected a tensor or a list, got %s", what, luaL_typename(L, at)));
  a.rows = (int64_t)lua_rawlen(L, at);
  a.cols = 1;
  int nested = lua_rawgeti(L, at, 1) == LUA_TTABLE;
  if (nested) a.cols = (int64_t)lua_rawlen(L, -1);
  lua_pop(L, 1);
  a.n = a.rows * a.cols;
  a.v = eval_block(L, (size_t)a.n, sizeof(double));
  for (int64_t i = 0; i < a.rows; i++) {
    lua_rawgeti(L, at, i + 1);
    if (nested && (!lua_istable(L, -1) || (int64_t)lua_rawlen(L, -1) != a.cols))
      luaL_argerror(L, arg, lua_pushfstring(L, "%s: row %I is not a list of %I numbers", what, (lua_Integer)i + 1,
        (lua_Integer)a.cols));
    for (int64_t c = 0; nested && c < a.cols; c++) {
      lua_rawgeti(L, -1, c + 1);
      a.v[i * a.cols + c] = eval_number(L, arg, what, i + 1);
      lua_pop(L, 1);
    }
    if (!nested) a.v[i] = eval_number(L, arg, what, i + 1);
    lua_pop(L, 1);
  }
  return a;
}

static void eval_same_rows(lua_State *L, int arg, const char *what, int64_t got, int64_t want) {
  if (got != want)
    luaL_argerror(L, arg, lua_pushfstring(L, "%s has %I rows, the first argument has %I", what, (lua_Integer)got,
      (lua_Integer)want));
  if (want < 1) luaL_argerror(L, 1, "there are no rows");
}

/* Labels 1 and 2 (or booleans) as 0 and 1, 1 where the label is `positive`. */
static uint8_t *eval_labels(lua_State *L, int arg, int64_t n, int positive) {
  eval_array a = eval_numbers(L, arg, arg, "label");
  eval_same_rows(L, arg, "label", a.n, n);
  uint8_t *y = eval_block(L, (size_t)n, 1);
  for (int64_t i = 0; i < n; i++) {
    if (a.v[i] != 1 && a.v[i] != 2)
      luaL_argerror(L, arg, lua_pushfstring(L, "label in row %I is %f, expected class 1 or 2 (classes count from 1; "
                                            "add 1 to a 0/1 mask)", (lua_Integer)i + 1, a.v[i]));
    y[i] = a.v[i] == positive;
  }
  return y;
}

/* Probabilities of the positive class: [N], or column `positive` of [N,2]. */
static double *eval_prob(lua_State *L, int arg, int64_t *n, int positive) {
  eval_array a = eval_numbers(L, arg, arg, "prob");
  if (a.cols != 1 && a.cols != 2) luaL_argerror(L, arg, "prob: expected [N] or [N,2]");
  *n = a.rows;
  if (a.cols == 2) {
    for (int64_t i = 0; i < a.rows; i++) a.v[i] = a.v[2 * i + positive - 1];
  }
  return a.v;
}

static const char *const eval_opts[] = {"positive", "threshold", "threshold_b", "eps", "resamples", "seed", "level",
                                        "groups", "ngroup", "strata", "nstrata", "bca", "classes", NULL};

/* Dense group numbers 1..count of field `name` as int32 from 0; NULL when the field is absent. */
static const int32_t *eval_ids(lua_State *L, int arg, const char *name, const char *count, int64_t n, int64_t *total) {
  *total = 0;
  if (lua_isnoneornil(L, arg) || lua_getfield(L, arg, name) == LUA_TNIL) return NULL;
  eval_array a = eval_numbers(L, -1, arg, name);
  eval_same_rows(L, arg, name, a.n, n);
  *total = kk_lua_opt_integer(L, arg, count, 0, 1, INT32_MAX);
  int32_t *id = eval_block(L, (size_t)n, sizeof *id);
  for (int64_t i = 0; i < n; i++) {
    if (!(a.v[i] >= 1 && a.v[i] <= (double)*total && a.v[i] == floor(a.v[i])))
      luaL_argerror(L, arg, lua_pushfstring(L, "%s: row %I is %f, expected 1..%I", name, (lua_Integer)i + 1, a.v[i],
        (lua_Integer)*total));
    id[i] = (int32_t)a.v[i] - 1;
  }
  return id;
}

static kk_plan eval_plan(lua_State *L, int arg, int64_t n, const char *who) {
  kk_plan p = {.n = n};
  kk_lua_check_opts(L, arg, eval_opts, who);
  p.resamples = (int)kk_lua_opt_integer(L, arg, "resamples", 1000, 0, 1000000);
  p.seed = (uint64_t)kk_lua_opt_integer(L, arg, "seed", 1, 0, LUA_MAXINTEGER);
  p.level = kk_lua_opt_number(L, arg, "level", 0.95, 0.5, 0.9999);
  p.bca = kk_lua_opt_boolean(L, arg, "bca", 0);
  luaL_checkstack(L, 20, "eval");
  p.group = eval_ids(L, arg, "groups", "ngroup", n, &p.ngroup);
  p.stratum = eval_ids(L, arg, "strata", "nstrata", n, &p.nstratum);
  return p;
}

static int eval_positive(lua_State *L, int arg) { return (int)kk_lua_opt_integer(L, arg, "positive", 2, 1, 2); }
static double eval_threshold(lua_State *L, int arg) { return kk_lua_opt_number(L, arg, "threshold", 0.5, 0, 1); }
static double eval_eps(lua_State *L, int arg) { return kk_lua_opt_number(L, arg, "eps", 1e-7, 0, 0.1); }

static void eval_field(lua_State *L, const char *name, double v) {    /* NaN is an absent field */
  if (isnan(v)) return;
  lua_pushnumber(L, v);
  lua_setfield(L, -2, name);
}
static void eval_count(lua_State *L, const char *name, int64_t v) {
  lua_pushinteger(L, (lua_Integer)v);
  lua_setfield(L, -2, name);
}
static void eval_interval(lua_State *L, const kk_interval *v) {
  lua_createtable(L, 0, 6);
  eval_field(L, "value", v->value);
  eval_field(L, "low", v->low);
  eval_field(L, "high", v->high);
  eval_field(L, "se", v->se);
  eval_field(L, "p", v->p);
  eval_count(L, "defined", v->defined);
}

static void eval_binary_table(lua_State *L, const kk_interval *out) {
  lua_createtable(L, 0, KK_BIN_N);
  for (int i = 0; i < KK_BIN_N; i++) {
    eval_interval(L, &out[i]);
    lua_setfield(L, -2, kk_binary_name(i));
  }
}

static int eval_binary(lua_State *L) {
  int64_t n;
  lua_settop(L, 3);
  int positive = eval_positive(L, 3);
  double *prob = eval_prob(L, 1, &n, positive), threshold = eval_threshold(L, 3), eps = eval_eps(L, 3);
  uint8_t *label = eval_labels(L, 2, n, positive);
  kk_plan plan = eval_plan(L, 3, n, "binary");
  kk_interval out[KK_BIN_N];
  kk_confusion c;
  kk_err e;
  if (kk_score_binary(prob, label, threshold, eps, &plan, out, &c, &e)) return kk_lua_fail(L, &e);
  eval_binary_table(L, out);
  lua_createtable(L, 0, 4);
  eval_count(L, "tp", c.tp);
  eval_count(L, "fp", c.fp);
  eval_count(L, "fn", c.fn);
  eval_count(L, "tn", c.tn);
  return 2;
}

static void eval_ttest(lua_State *L, const kk_ttest *t) {
  lua_createtable(L, 0, 6);
  eval_field(L, "value", t->mean);
  eval_field(L, "se", t->se);
  eval_field(L, "df", t->df);
  eval_field(L, "low", t->low);
  eval_field(L, "high", t->high);
  eval_field(L, "p", t->p);
}

/* -ln p(label), as metrics.c clips it. */
static double eval_loss(double p, int y, double eps) {
  p = y ? p : 1 - p;
  return -log(p < eps ? eps : p > 1 - eps ? 1 - eps : p);
}

static int eval_paired(lua_State *L) {
  int64_t n, nb, only_a = 0, only_b = 0;
  lua_settop(L, 4);
  int positive = eval_positive(L, 4);
  double *a = eval_prob(L, 1, &n, positive), *b = eval_prob(L, 2, &nb, positive), eps = eval_eps(L, 4);
  double ta = eval_threshold(L, 4), tb = kk_lua_opt_number(L, 4, "threshold_b", ta, 0, 1);
  eval_same_rows(L, 2, "prob of b", nb, n);
  uint8_t *label = eval_labels(L, 3, n, positive);
  kk_plan plan = eval_plan(L, 4, n, "paired");
  double *d = eval_block(L, (size_t)n, sizeof *d);
  kk_interval diff[KK_BIN_N];
  kk_ttest t;
  kk_err e;
  if (kk_score_paired(a, b, label, ta, tb, eps, &plan, diff, &e)) return kk_lua_fail(L, &e);
  for (int64_t i = 0; i < n; i++) {
    int right_a = (a[i] > ta) == label[i], right_b = (b[i] > tb) == label[i];
    only_a += right_a && !right_b;
    only_b += right_b && !right_a;
    d[i] = eval_loss(a[i], label[i], eps) - eval_loss(b[i], label[i], eps);
  }
  if (kk_paired_t(d, n, plan.group, plan.ngroup, plan.level, &t, &e)) return kk_lua_fail(L, &e);
  eval_binary_table(L, diff);
  eval_ttest(L, &t);
  lua_createtable(L, 0, 3);
  eval_count(L, "only_a", only_a);
  eval_count(L, "only_b", only_b);
  eval_field(L, "p", kk_mcnemar(only_a, only_b));
  return 3;
}

static int eval_delong(lua_State *L) {
  int64_t n, nb = 0;
  lua_settop(L, 4);
  int positive = eval_positive(L, 4);
  double *a = eval_prob(L, 1, &n, positive), *b = lua_isnoneornil(L, 2) ? NULL : eval_prob(L, 2, &nb, positive);
  if (b) eval_same_rows(L, 2, "prob of b", nb, n);
  uint8_t *label = eval_labels(L, 3, n, positive);
  kk_delong d;
  kk_err e;
  if (kk_delong_test(a, b, label, n, &d, &e)) return kk_lua_fail(L, &e);
  lua_createtable(L, 0, 7);
  eval_field(L, "a", d.auc[0]);
  eval_field(L, "b", d.auc[1]);
  eval_field(L, "var_a", d.var[0]);
  eval_field(L, "var_b", d.var[1]);
  eval_field(L, "difference", d.diff);
  eval_field(L, "se", d.se);
  eval_field(L, "p", d.p);
  return 1;
}

static int eval_threshold_tune(lua_State *L) {
  int64_t n;
  const char *metric = luaL_checkstring(L, 3);
  int positive = (int)luaL_optinteger(L, 4, 2), id = 0;
  luaL_argcheck(L, positive == 1 || positive == 2, 4, "positive must be class 1 or 2");
  while (id < KK_BIN_N && strcmp(metric, kk_binary_name(id)) != 0) id++;
  luaL_argcheck(L, id < KK_BIN_N, 3, "expected f1, f1_macro, balanced_accuracy, mcc or accuracy");
  double *prob = eval_prob(L, 1, &n, positive), at = 0, value = 0;
  uint8_t *label = eval_labels(L, 2, n, positive);
  kk_ranked r;
  kk_err e;
  if (kk_ranked_new(&r, prob, label, n, 0.5, 1e-7, &e)) return kk_lua_fail(L, &e);
  kk_status st = kk_best_threshold(&r, (kk_binary_id)id, &at, &value, &e);
  kk_ranked_free(&r);
  if (st) return kk_lua_fail(L, &e);
  lua_pushnumber(L, at);
  lua_pushnumber(L, value);
  return 2;
}

static const uint8_t *eval_classes(lua_State *L, int arg, int classes) {
  if (lua_isnoneornil(L, arg) || lua_getfield(L, arg, "classes") == LUA_TNIL) return NULL;
  eval_array a = eval_numbers(L, -1, arg, "classes");
  uint8_t *in = eval_block(L, (size_t)classes, 1);
  memset(in, 0, (size_t)classes);
  for (int64_t i = 0; i < a.n; i++) {
    if (!(a.v[i] >= 1 && a.v[i] <= classes && a.v[i] == floor(a.v[i])))
      luaL_argerror(L, arg, lua_pushfstring(L, "classes: %f, expected 1..%d", a.v[i], classes));
    in[(int)a.v[i] - 1] = 1;
  }
  return in;
}

static int eval_multi(lua_State *L) {
  static const char *const names[KK_CLASS_N] = {"precision", "recall", "f1", "roc_auc", "average_precision"};
  lua_settop(L, 3);
  eval_array q = eval_numbers(L, 1, 1, "probs");
  luaL_argcheck(L, q.cols >= 2 && q.cols <= 10000, 1, "probs: expected [N,C] with 2 to 10000 classes");
  int classes = (int)q.cols;
  eval_array t = eval_numbers(L, 2, 2, "label");
  eval_same_rows(L, 2, "label", t.n, q.rows);
  int32_t *label = eval_block(L, (size_t)q.rows, sizeof *label);
  for (int64_t i = 0; i < q.rows; i++) {
    if (!(t.v[i] >= 1 && t.v[i] <= classes && t.v[i] == floor(t.v[i])))
      return luaL_argerror(L, 2, lua_pushfstring(L, "label in row %I is %f, expected class 1..%d", (lua_Integer)i + 1,
        t.v[i], classes));
    label[i] = (int32_t)t.v[i] - 1;
  }
  const uint8_t *in = eval_classes(L, 3, classes);
  double eps = eval_eps(L, 3);
  kk_plan plan = eval_plan(L, 3, q.rows, "multiclass");
  kk_interval *out = eval_block(L, (size_t)kk_multi_count(classes), sizeof *out);
  int64_t *count = eval_block(L, 3 * (size_t)classes, sizeof *count);
  kk_err e;
  if (kk_score_multi(q.v, label, classes, in, eps, &plan, out, count, &e)) return kk_lua_fail(L, &e);
  lua_createtable(L, 0, KK_MULTI_N);
  for (int i = 0; i < KK_MULTI_N; i++) {
    eval_interval(L, &out[i]);
    lua_setfield(L, -2, kk_multi_name(i));
  }
  lua_createtable(L, classes, 0);
  for (int c = 0; c < classes; c++) {
    lua_createtable(L, 0, KK_CLASS_N + 3);
    for (int i = 0; i < KK_CLASS_N; i++) {
      eval_interval(L, &out[KK_MULTI_N + KK_CLASS_N * c + i]);
      lua_setfield(L, -2, names[i]);
    }
    eval_count(L, "right", count[c]);
    eval_count(L, "said", count[classes + c]);
    eval_count(L, "truth", count[2 * classes + c]);
    lua_rawseti(L, -2, c + 1);
  }
  return 2;
}

static int eval_regression(lua_State *L) {
  static const char *const names[KK_REG_N] = {"rmse", "mae", "r2", "pearson"};
  lua_settop(L, 3);
  eval_array a = eval_numbers(L, 1, 1, "pred"), b = eval_numbers(L, 2, 2, "target");
  eval_same_rows(L, 2, "target", b.n, a.n);
  kk_plan plan = eval_plan(L, 3, a.n, "regression");
  kk_interval out[KK_REG_N];
  kk_err e;
  if (kk_score_regression(a.v, b.v, &plan, out, &e)) return kk_lua_fail(L, &e);
  lua_createtable(L, 0, KK_REG_N);
  for (int i = 0; i < KK_REG_N; i++) {
    eval_interval(L, &out[i]);
    lua_setfield(L, -2, names[i]);
  }
  return 1;
}

static int eval_perplexity(lua_State *L) {
  lua_settop(L, 3);
  eval_array a = eval_numbers(L, 1, 1, "nll"), b = eval_numbers(L, 2, 2, "tokens");
  eval_same_rows(L, 2, "tokens", b.n, a.n);
  kk_plan plan = eval_plan(L, 3, a.n, "perplexity");
  kk_interval out;
  kk_err e;
  if (kk_score_perplexity(a.v, b.v, &plan, &out, &e)) return kk_lua_fail(L, &e);
  eval_interval(L, &out);
  return 1;
}

static int eval_mean(lua_State *L) {
  lua_settop(L, 2);
  eval_array a = eval_numbers(L, 1, 1, "values");
  luaL_argcheck(L, a.n > 0, 1, "there are no rows");
  kk_plan plan = eval_plan(L, 2, a.n, "mean");
  kk_interval out;
  kk_err e;
  if (kk_score_mean(a.v, &plan, &out, &e)) return kk_lua_fail(L, &e);
  eval_interval(L, &out);
  return 1;
}

/* low, high of a proportion; nil, nil for none of none. */
static int eval_range(lua_State *L, kk_range (*f)(int64_t, int64_t, double)) {
  lua_Integer k = luaL_checkinteger(L, 1), n = luaL_checkinteger(L, 2);
  double level = luaL_optnumber(L, 3, 0.95);
  luaL_argcheck(L, n >= 0, 2, "expected 0 or more");
  luaL_argcheck(L, k >= 0 && k <= n, 1, "expected 0..n");
  luaL_argcheck(L, level > 0 && level < 1, 3, "expected a level between 0 and 1");
  kk_range r = f(k, n, level);
  if (isnan(r.low)) return 0;
  lua_pushnumber(L, r.low);
  lua_pushnumber(L, r.high);
  return 2;
}
static int eval_wilson(lua_State *L) { return eval_range(L, kk_wilson); }
static int eval_clopper(lua_State *L) { return eval_range(L, kk_clopper_pearson); }
static int eval_normal(lua_State *L) { return eval_range(L, kk_normal_proportion); }

static int eval_mcnemar(lua_State *L) {
  lua_Integer b = luaL_checkinteger(L, 1), c = luaL_checkinteger(L, 2);
  luaL_argcheck(L, b >= 0, 1, "expected 0 or more");
  luaL_argcheck(L, c >= 0, 2, "expected 0 or more");
  lua_pushnumber(L, kk_mcnemar(b, c));
  return 1;
}

static int eval_hanley(lua_State *L) {
  double v = kk_hanley_mcneil(luaL_checknumber(L, 1), luaL_checkinteger(L, 2), luaL_checkinteger(L, 3));
  luaL_argcheck(L, !isnan(v), 1, "expected an AUC in 0..1 and at least one row of each class");
  lua_pushnumber(L, v);
  return 1;
}

static int eval_none(lua_State *L) {
  double v = kk_hypergeometric_none(luaL_checkinteger(L, 1), luaL_checkinteger(L, 2), luaL_checkinteger(L, 3));
  luaL_argcheck(L, !isnan(v), 1, "expected total >= marked and total >= drawn, none negative");
  lua_pushnumber(L, v);
  return 1;
}

static int eval_normal_cdf(lua_State *L) {
  lua_pushnumber(L, kk_normal_cdf(luaL_checknumber(L, 1)));
  return 1;
}

static int eval_t_quantile(lua_State *L) {
  double p = luaL_checknumber(L, 1), df = luaL_checknumber(L, 2);
  luaL_argcheck(L, p > 0 && p < 1, 1, "expected a probability between 0 and 1");
  luaL_argcheck(L, df > 0, 2, "expected degrees of freedom above 0");
  lua_pushnumber(L, kk_t_quantile(p, df));
  return 1;
}

/* P(F > f) = I_{d2/(d2 + d1 f)}(d2/2, d1/2). */
static int eval_f_tail(lua_State *L) {
  double f = luaL_checknumber(L, 1), d1 = luaL_checknumber(L, 2), d2 = luaL_checknumber(L, 3);
  luaL_argcheck(L, f >= 0, 1, "expected a ratio of 0 or more");
  luaL_argcheck(L, d1 > 0 && d2 > 0, 2, "expected degrees of freedom above 0");
  lua_pushnumber(L, isinf(f) ? 0 : kk_beta_inc(d2 / 2, d1 / 2, d2 / (d2 + d1 * f)));
  return 1;
}

#define EVAL_PLAN \
  "Options: resamples (1000), seed (1), level (.95), groups (dense numbers 1..ngroup) with ngroup, strata with\n" \
  "nstrata, bca.\n"
static const kk_reg eval_funcs[] = {
  {"binary", eval_binary, "binary(prob, label[, opts]) -> metrics, confusion\nprob [N] or [N,2] in 0..1, label classes "
   "1 and 2; "
   "14 metrics, each {value, low, high, se, p, defined}; fields that are not defined are absent.\n" EVAL_PLAN
   "Also positive (2), threshold (.5; above it is positive), eps (1e-7; clip of log_loss).\nRaises on bad rows, by "
   "number."},
  {"paired", eval_paired, "paired(prob_a, prob_b, label[, opts]) -> differences, log_loss_t, mcnemar\nEvery metric of "
   "a minus that of b on the same "
   "resamples; the paired t test of the log-loss (by groups when given); rows that only one has right and the exact "
   "McNemar p.\n" EVAL_PLAN
   "Also positive, threshold, threshold_b, eps."},
  {"delong", eval_delong, "delong(prob_a, prob_b or nil, label[, {positive = 2}]) -> {a, b, var_a, var_b, difference, "
   "se, p}\n"
   "ROC-AUC of two models on the same rows (DeLong et al. 1988). Raises when there is one class only."},
  {"threshold", eval_threshold_tune, "threshold(prob, label, metric[, positive = 2]) -> threshold, value\nThe best cut "
   "for f1, f1_macro, "
   "balanced_accuracy, mcc or accuracy on these rows; ties go to the one nearest .5."},
  {"multiclass", eval_multi, "multiclass(probs, label[, opts]) -> metrics, classes\nprobs [N,C] rows that sum to 1, "
   "label 1..C.\n" EVAL_PLAN
   "Also eps, classes (a list: the macro averages take these only)."},
  {"regression", eval_regression, "regression(pred, target[, opts]) -> {rmse, mae, r2, pearson}\n" EVAL_PLAN},
  {"perplexity", eval_perplexity, "perplexity(nll, tokens[, opts]) -> interval\nexp(sum nll / sum tokens) over "
   "documents; nll in nats.\n" EVAL_PLAN},
  {"mean", eval_mean, "mean(values[, opts]) -> interval\nMean of the finite values, with a bootstrap "
   "interval.\n" EVAL_PLAN},
  {"wilson", eval_wilson, "wilson(k, n[, level = .95]) -> low, high\nWilson's interval of k of n. Nothing when n is "
   "0."},
  {"clopper_pearson", eval_clopper, "clopper_pearson(k, n[, level = .95]) -> low, high\nThe exact interval of k of n. "
   "Nothing when n is 0."},
  {"normal", eval_normal, "normal(k, n[, level = .95]) -> low, high\np +- z sqrt(p(1-p)/n), cut to 0..1. Too short for "
   "small n: for comparison."},
  {"mcnemar", eval_mcnemar, "mcnemar(b, c) -> p\nExact two-sided p of b against c disagreements."},
  {"hanley_mcneil", eval_hanley, "hanley_mcneil(auc, positives, negatives) -> standard error\nHanley and McNeil 1982."},
  {"normal_cdf", eval_normal_cdf, "normal_cdf(z) -> P(Z <= z) of a standard normal"},
  {"t_quantile", eval_t_quantile, "t_quantile(p, df) -> t\nThe t with P(T <= t) = p of Student's distribution."},
  {"f_tail", eval_f_tail, "f_tail(f, df1, df2) -> p\nP(F > f): the p of a ratio of mean squares."},
  {"hypergeometric_none", eval_none, "hypergeometric_none(total, marked, drawn) -> P(no marked item among the drawn)"},
  {0},
};

KK_BIND(eval) {
  lua_newtable(L);
  kk_lua_funcs(L, eval_funcs);
  lua_setfield(L, -2, "eval");
}
