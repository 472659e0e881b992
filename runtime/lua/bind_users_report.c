/* bind_users_report.c -- kooka.core.users.judge: two models scored for each of many persons in one call. */
#include <math.h>
#include <string.h>

#include "eval/persons.h"
#include "lua/lua_users.h"
#include "lua/lua_util.h"

static const kk_binary_id kept[] = {KK_BIN_PRECISION, KK_BIN_RECALL, KK_BIN_F1, KK_BIN_MCC, KK_BIN_AP, KK_BIN_AUC,
                                    KK_BIN_ACCURACY, KK_BIN_BALANCED, KK_BIN_LOGLOSS, KK_BIN_BRIER};

static void report_number(lua_State *L, const char *name, double v) {
  if (isnan(v)) return;
  lua_pushnumber(L, v);
  lua_setfield(L, -2, name);
}

static void report_metric(lua_State *L, double value, kk_range r, double level, int64_t n, double baseline) {
  lua_createtable(L, 0, 6);
  report_number(L, "value", value);
  if (!isnan(value)) {
    report_number(L, "low", r.low);
    report_number(L, "high", r.high);
  }
  report_number(L, "level", level);
  report_number(L, "baseline", baseline);
  lua_pushinteger(L, n);
  lua_setfield(L, -2, "n");
}

static void report_side(lua_State *L, const kk_person_score *s, int side, double level) {
  const kk_person_side *p = &s->side[side];
  const double share = (double)s->few / (double)s->n;
  lua_createtable(L, 0, 10);
  for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
    const kk_binary_id id = kept[i];
    const kk_confusion *c = &p->c;
    int64_t n = id == KK_BIN_PRECISION ? c->tp + c->fp : id == KK_BIN_RECALL ? c->tp + c->fn
                : id == KK_BIN_F1 ? c->tp + c->fp + c->fn : s->n;
    double base = id == KK_BIN_ACCURACY ? 1 - share : id == KK_BIN_AP || id == KK_BIN_PRECISION ? share
                  : id == KK_BIN_AUC || id == KK_BIN_BALANCED ? .5 : id == KK_BIN_F1 ? 2 * share / (1 + share)
                  : id == KK_BIN_BRIER ? share * (1 - share)
                  : id == KK_BIN_LOGLOSS ? (s->few ? -share * log(share) - (1 - share) * log(1 - share) : 0) : 0;
    report_metric(L, p->value[id], p->range[id], level, n, base);
    lua_setfield(L, -2, kk_binary_name(id));
  }
}

static void report_person(lua_State *L, const kk_person_score *s, double level) {
  lua_createtable(L, 0, 12);
  lua_pushinteger(L, s->n);
  lua_setfield(L, -2, "n");
  lua_pushinteger(L, s->few);
  lua_setfield(L, -2, "minority_n");
  lua_pushinteger(L, s->positive + 1);
  lua_setfield(L, -2, "minority_class");
  report_side(L, s, 0, level);
  lua_setfield(L, -2, "head");
  report_side(L, s, 1, level);
  lua_setfield(L, -2, "global");
  report_metric(L, s->loss.mean, (kk_range){s->loss.low, s->loss.high}, level, s->n, 0);
  report_number(L, "p", s->loss.p);
  lua_pushliteral(L, "paired t");
  lua_setfield(L, -2, "method");
  lua_setfield(L, -2, "log_loss_difference");
  lua_createtable(L, 0, 3);
  lua_pushinteger(L, s->only_a);
  lua_setfield(L, -2, "only_a");
  lua_pushinteger(L, s->only_b);
  lua_setfield(L, -2, "only_b");
  report_number(L, "p", s->mcnemar);
  lua_setfield(L, -2, "mcnemar");
}

static int report_judge(lua_State *L) {
  static const char *const known[] = {"prob", "global", "labels", "users", "nuser", "threshold", "level", "resamples", "seed", NULL};
  int64_t n;
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  luaL_checkstack(L, 30, "users");
  kk_lua_check_opts(L, 1, known, "users");
  uint8_t *label = kk_lua_users_labels(L, -1, &n);
  int64_t nuser = kk_lua_opt_integer(L, 1, "nuser", 1, 1, INT32_MAX);
  int32_t *user = kk_lua_users_ids(L, n, nuser);
  double *head = kk_lua_users_field(L, "prob", n, NULL), *global = kk_lua_users_field(L, "global", n, NULL);
  double threshold = kk_lua_opt_number(L, 1, "threshold", .5, 0, 1);
  kk_plan plan = {.resamples = (int)kk_lua_opt_integer(L, 1, "resamples", 300, 0, 1000000),
                  .seed = (uint64_t)kk_lua_opt_integer(L, 1, "seed", 1, 0, LUA_MAXINTEGER),
                  .level = kk_lua_opt_number(L, 1, "level", .95, 0, 1)};
  kk_person_score *out = kk_lua_users_block(L, (size_t)nuser, sizeof *out);
  kk_err e;
  if (kk_score_persons(head, global, label, user, n, nuser, threshold, &plan, out, &e)) return kk_lua_fail(L, &e);
  lua_createtable(L, (int)nuser, 0);
  for (int64_t k = 0; k < nuser; k++) {
    report_person(L, out + k, plan.level);
    lua_rawseti(L, -2, k + 1);
  }
  return 1;
}

static const kk_reg report_funcs[] = {
  {"judge", report_judge, "judge{prob=, global=, labels=, users=, nuser=, threshold=.5, level=.95, resamples=300, seed=1} -> list\n"
   "One table a person: n, minority_class, minority_n, head and global (precision, recall, f1, mcc, average_precision, roc_auc, "
   "accuracy, balanced_accuracy, log_loss, brier of the smaller class: {value, low, high, level, n, baseline}), log_loss_difference "
   "(prob minus global, paired t), mcnemar {only_a, only_b, p}. Intervals: Clopper-Pearson for the first three and accuracy (F1: of "
   "tp/(tp+fp+fn)), t for log-loss and Brier, bootstrap over the person's rows for the rest. All persons in one call, in parallel."},
  {0},
};

KK_BIND(users_report) {
  kk_lua_users_table(L);
  kk_lua_funcs(L, report_funcs);
  lua_pop(L, 1);
}
