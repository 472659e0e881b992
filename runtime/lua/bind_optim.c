/* bind_optim.c -- kooka.core.optim: optimizers over groups of parameters. lua/kooka/learn/optim.lua is what
** recipes use. */
#include <float.h>
#include <math.h>

#include "grad/optim.h"
#include "lua/lua_util.h"
#include "tensor/tensor.h"

#define OPTIMIZER "kooka.optimizer"
static const char *const rules[] = {"adam", "sgd", "asgd", NULL};

/* Element i of the list at arg, as a tensor that the list keeps alive. */
static kk_tensor *optim_item(lua_State *L, int arg, lua_Integer i) {
  kk_tensor *t;
  lua_rawgeti(L, arg, i);
  t = luaL_testudata(L, -1, KK_TENSOR) ? kk_lua_rawtensor(L, -1) : NULL;
  if (!t) luaL_argerror(L, arg, lua_pushfstring(L, "element %I is %s, expected a tensor", i, luaL_typename(L, -1)));
  lua_pop(L, 1);
  return t;
}

static lua_Integer optim_list(lua_State *L, int arg) {
  luaL_checktype(L, arg, LUA_TTABLE);
  luaL_argcheck(L, lua_rawlen(L, arg) < 1 << 24, arg, "too many parameters");
  return (lua_Integer)lua_rawlen(L, arg);
}

/* Part 2: an owner, still empty. */
static kk_optim **optim_owner(lua_State *L) {
  kk_optim **h = lua_newuserdatauv(L, sizeof *h, 0);
  *h = NULL;
  luaL_setmetatable(L, OPTIMIZER);
  return h;
}

static kk_optim *optim_self(lua_State *L, kk_rule *rule) {
  kk_optim *o = *(kk_optim **)luaL_checkudata(L, 1, OPTIMIZER);
  luaL_argcheck(L, o, 1, "the optimizer is closed");
  if (rule) luaL_argcheck(L, kk_optim_rule(o) == *rule, 1, "the optimizer follows another rule");
  return o;
}

/* Slots of the n parameters listed at arg with their states at arg + 1 .. in a block that Lua owns and that is pushed. */
static kk_slot *optim_slots(lua_State *L, int arg, int states) {
  const lua_Integer n = optim_list(L, arg);
  kk_slot *s = lua_newuserdatauv(L, (size_t)(n + 1) * sizeof *s, 0);
  for (lua_Integer i = 0; i < n; i++) {
    s[i] = (kk_slot){.p = optim_item(L, arg, i + 1)};
    for (int k = 0; k < states; k++) s[i].state[k] = optim_item(L, arg + 1 + k, i + 1);
  }
  return s;
}

/* One step that is not remembered, over lists; the gradients stay. */
static int optim_once(lua_State *L, kk_rule rule, int states, kk_group g, const kk_step *step) {
  kk_slot *s = optim_slots(L, 1, states);
  kk_optim **h = optim_owner(L);
  kk_err e;
  double norm;
  kk_status st = kk_optim_new(rule, s, (int)lua_rawlen(L, 1), 1, false, h, &e);
  if (!st) {
    kk_optim_group(*h, 0, g);
    st = kk_optim_step(*h, step, &norm, &e);
    kk_optim_free(*h);
    *h = NULL;
  }
  return st ? kk_lua_fail(L, &e) : 0;
}

static int optim_adam(lua_State *L) {
  static const char *const names[] = {"lr", "beta1", "beta2", "eps", "decay", "scale", "step", NULL};
  lua_Integer n = optim_list(L, 1);
  kk_step s = {.clip = INFINITY, .leave = true};
  kk_group g = {.rate = 1};
  luaL_argcheck(L, optim_list(L, 2) == n, 2, "one first moment for each parameter");
  luaL_argcheck(L, optim_list(L, 3) == n, 3, "one second moment for each parameter");
  kk_lua_check_opts(L, 4, names, "adam");
  s.lr = kk_lua_opt_number(L, 4, "lr", 1e-3, 0, 1e6);
  s.momentum = kk_lua_opt_number(L, 4, "beta1", 0.9, 0, 1);
  s.beta2 = kk_lua_opt_number(L, 4, "beta2", 0.99, 0, 1);
  s.eps = kk_lua_opt_number(L, 4, "eps", 1e-8, 0, 1);
  g.decay = kk_lua_opt_number(L, 4, "decay", 0, 0, 1e6);
  s.scale = kk_lua_opt_number(L, 4, "scale", 1, 0, 1e30);
  s.count = kk_lua_opt_integer(L, 4, "step", 1, 1, INT64_MAX);
  return optim_once(L, KK_ADAM, 2, g, &s);
}

static int optim_sgd(lua_State *L) {
  static const char *const names[] = {"lr", "momentum", "decay", "scale", "nesterov", NULL};
  lua_Integer n = optim_list(L, 1);
  bool moments = !lua_isnoneornil(L, 2);
  kk_step s = {.clip = INFINITY, .leave = true};
  kk_group g = {.rate = 1};
  if (moments) luaL_argcheck(L, optim_list(L, 2) == n, 2, "one buffer for each parameter");
  kk_lua_check_opts(L, 3, names, "sgd");
  s.lr = kk_lua_opt_number(L, 3, "lr", 0.1, 0, 1e6);
  s.momentum = kk_lua_opt_number(L, 3, "momentum", 0, 0, 1);
  g.decay = kk_lua_opt_number(L, 3, "decay", 0, 0, 1e6);
  s.scale = kk_lua_opt_number(L, 3, "scale", 1, 0, 1e30);
  s.nesterov = kk_lua_opt_boolean(L, 3, "nesterov", 0);
  luaL_argcheck(L, moments || s.momentum == 0, 3, "momentum needs buffers");
  return optim_once(L, KK_SGD, moments, g, &s);
}

static int optim_grad_norm(lua_State *L) {
  kk_slot *s = optim_slots(L, 1, 0);
  kk_optim **h = optim_owner(L);
  kk_err e;
  double norm = 0;
  kk_status st = kk_optim_new(KK_SGD, s, (int)lua_rawlen(L, 1), 1, false, h, &e);
  if (!st) st = kk_optim_norm(*h, &norm, &e);
  kk_optim_free(*h);
  *h = NULL;
  if (st) return kk_lua_fail(L, &e);
  lua_pushnumber(L, norm);
  return 1;
}

static int optim_zero_grad(lua_State *L) {
  for (lua_Integer i = 1, n = optim_list(L, 1); i <= n; i++) kk_grad_zero(optim_item(L, 1, i)->store);
  return 0;
}

/* ---- optimizers that are kept */

/* groups: {{params = {...}, [1] = {...}, [2] = {...}}, ...} */
static int optim_new(lua_State *L) {
  const kk_rule rule = (kk_rule)luaL_checkoption(L, 1, NULL, rules);
  const int states = rule == KK_ADAM ? 2 : 1;
  const lua_Integer groups = optim_list(L, 2);
  lua_Integer n = 0, at = 0;
  kk_slot *s;
  kk_optim **h;
  kk_err e;
  lua_settop(L, 2);
  for (lua_Integer g = 1; g <= groups; g++) {                                   /* 1. arguments */
    luaL_argcheck(L, lua_rawgeti(L, 2, g) == LUA_TTABLE && lua_getfield(L, 3, "params") == LUA_TTABLE, 2, "groups of params");
    n += optim_list(L, 4);
    for (int k = 0; k < states; k++) {
      int there = lua_rawgeti(L, 3, k + 1) == LUA_TTABLE;
      luaL_argcheck(L, there ? optim_list(L, 5) == optim_list(L, 4) : rule == KK_SGD, 2, "one state for each parameter");
      lua_settop(L, 4);
    }
    lua_settop(L, 2);
  }
  s = lua_newuserdatauv(L, (size_t)(n + 1) * sizeof *s, 0);
  for (lua_Integer g = 1; g <= groups; g++) {
    lua_rawgeti(L, 2, g);
    lua_getfield(L, 4, "params");
    for (int k = 0; k < states; k++) lua_rawgeti(L, 4, k + 1);
    for (lua_Integer i = 1, m = optim_list(L, 5); i <= m; i++, at++) {
      s[at] = (kk_slot){.p = optim_item(L, 5, i), .group = (int)g - 1};
      for (int k = 0; k < states; k++)
        if (lua_istable(L, 6 + k)) s[at].state[k] = optim_item(L, 6 + k, i);
    }
    lua_settop(L, 3);
  }
  kk_lua_pressure(L);
  h = optim_owner(L);                                                           /* 2. owner  3. work  4. answer */
  if (kk_optim_new(rule, s, (int)n, (int)groups, true, h, &e)) return kk_lua_fail(L, &e);
  return 1;
}

static int optim_group(lua_State *L) {
  kk_optim *o = optim_self(L, NULL);
  const lua_Integer i = luaL_checkinteger(L, 2);
  const double rate = luaL_checknumber(L, 3), decay = luaL_checknumber(L, 4);
  luaL_argcheck(L, i >= 1 && i <= kk_optim_groups(o), 2, "no such group");
  luaL_argcheck(L, rate >= 0 && rate <= 1e6, 3, "rate is expected in 0..1e6");
  luaL_argcheck(L, decay >= 0 && decay <= 1e6, 4, "decay is expected in 0..1e6");
  kk_optim_group(o, (int)i - 1, (kk_group){rate, decay});
  return 0;
}

static double optim_number(lua_State *L, int arg, double min, double max, const char *what) {
  const double v = luaL_checknumber(L, arg);
  if (!(v >= min && v <= max))
    luaL_argerror(L, arg, lua_pushfstring(L, "%s is %f, expected %f..%f", what, v, min, max));
  return v;
}

static int optim_run(lua_State *L, kk_optim *o, const kk_step *s) {
  double norm = 0;
  kk_err e;
  if (kk_optim_step(o, s, &norm, &e)) return kk_lua_fail(L, &e);
  lua_pushnumber(L, norm);
  return 1;
}

static double optim_clip(lua_State *L, int arg) {
  return lua_isnoneornil(L, arg) ? INFINITY : optim_number(L, arg, 0, DBL_MAX, "clip");
}

static int optimizer_adam(lua_State *L) {
  kk_optim *o = optim_self(L, &(kk_rule){KK_ADAM});
  kk_step s = {.scale = 1, .clip = optim_clip(L, 4)};
  s.lr = optim_number(L, 2, 0, 1e6, "lr");
  s.momentum = optim_number(L, 3, 0, 1, "beta1");
  s.count = (int64_t)luaL_checkinteger(L, 5);
  luaL_argcheck(L, s.count >= 1, 5, "steps count from 1");
  s.beta2 = optim_number(L, 6, 0, 1, "beta2");
  s.eps = optim_number(L, 7, 0, 1, "eps");
  return optim_run(L, o, &s);
}

static int optimizer_sgd(lua_State *L) {
  kk_optim *o = optim_self(L, &(kk_rule){KK_SGD});
  kk_step s = {.scale = 1, .clip = optim_clip(L, 4), .count = 1};
  s.lr = optim_number(L, 2, 0, 1e6, "lr");
  s.momentum = optim_number(L, 3, 0, 1, "momentum");
  s.nesterov = lua_toboolean(L, 5);
  return optim_run(L, o, &s);
}

static int optimizer_asgd(lua_State *L) {
  kk_optim *o = optim_self(L, &(kk_rule){KK_ASGD});
  kk_step s = {.scale = 1, .clip = optim_clip(L, 3), .since = INT64_MAX};
  s.lr = optim_number(L, 2, 0, 1e6, "lr");
  s.count = (int64_t)luaL_checkinteger(L, 4);
  luaL_argcheck(L, s.count >= 1, 4, "steps count from 1");
  if (!lua_isnoneornil(L, 5)) s.since = (int64_t)luaL_checkinteger(L, 5);
  s.lambd = optim_number(L, 6, 0, 1e6, "lambd");
  s.alpha = optim_number(L, 7, 0, 1e3, "alpha");
  return optim_run(L, o, &s);
}

static int optimizer_settle(lua_State *L) {
  kk_optim_settle(optim_self(L, NULL));
  lua_settop(L, 1);
  return 1;
}

static int optimizer_swap(lua_State *L) {
  kk_err e;
  if (kk_optim_swap(optim_self(L, NULL), &e)) return kk_lua_fail(L, &e);
  lua_settop(L, 1);
  return 1;
}

static int optimizer_gc(lua_State *L) {
  kk_optim **h = luaL_checkudata(L, 1, OPTIMIZER);
  kk_optim_free(*h);
  *h = NULL;
  return 0;
}

static const kk_reg optimizer_meta[] = {{"__gc", optimizer_gc, NULL}, {"__close", optimizer_gc, NULL}, {0}};

static const kk_reg optimizer_methods[] = {
  {"adam", optimizer_adam, "o:adam(lr, beta1, clip or nil, step, beta2, eps) -> norm of all gradients before clipping\n"
   "Clip, decay, step and back to zero gradients in one pass. A norm that is infinite or no number: nothing is touched."},
  {"sgd", optimizer_sgd, "o:sgd(lr, momentum, clip or nil, nesterov) -> norm"},
  {"asgd", optimizer_asgd, "o:asgd(lr, clip or nil, step, since or nil, lambd, alpha) -> norm\nsince: the average begins behind this step."},
  {"group", optim_group, "o:group(i, rate, decay)\nThe factor of the learning rate and the weight decay of group i."},
  {"settle", optimizer_settle, "o:settle() -> o\nRows of tables that are updated late, and their moments, catch up. Reading a parameter does so by itself;\n"
   "reading moments does not."},
  {"swap", optimizer_swap, "o:swap() -> o\nExchanges the parameters with their averages (asgd)."},
  {"close", optimizer_gc, "o:close()\nSettles and gives back what the optimizer holds."},
  {0},
};

static const kk_reg optim_funcs[] = {
  {"new", optim_new, "new(\"adam\" | \"sgd\" | \"asgd\", {{params = {...}, {states 1}, {states 2}}, ...}) -> optimizer\n"
   "States have the shape of their parameter: adam m and v, sgd a buffer (or no list), asgd the average."},
  {"adam", optim_adam, "adam(params, m, v, {lr, beta1 = .9, beta2 = .99, eps = 1e-8, decay = 0, scale = 1, step})\n"
   "One Adam step (Kingma & Ba 2015, algorithm 1) with decoupled weight decay (Loshchilov & Hutter 2019): p *= 1 - lr decay, then\n"
   "p -= lr mhat / (sqrt(vhat) + eps). scale multiplies the gradient (clipping); step counts from 1. Parameters without a gradient\n"
   "stay, and gradients stay as they are. Where one parameter cannot be stepped, none is."},
  {"sgd", optim_sgd, "sgd(params, buffers or nil, {lr, momentum = 0, decay = 0, scale = 1, nesterov = false})\n"
   "One step of gradient descent; decay is added to the gradient."},
  {"grad_norm", optim_grad_norm, "grad_norm(params) -> number\nEuclidean norm of all gradients together; the same for any number of threads."},
  {"zero_grad", optim_zero_grad, "zero_grad(params)\nSets the gradients to zero."},
  {0},
};

KK_BIND(optim) {
  kk_lua_type(L, OPTIMIZER, optimizer_meta, optimizer_methods);
  lua_newtable(L);
  kk_lua_funcs(L, optim_funcs);
  lua_setfield(L, -2, "optim");
}
