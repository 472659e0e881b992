/* bind_optim.c -- kooka.core.optim: steps over lists of parameters. lua/kooka/learn/optim.lua is what
** recipes use. */
#include <math.h>
#include <string.h>

#include "grad/optim.h"
#include "lua/lua_util.h"

/* Element i of the list at arg, as a tensor that the list keeps alive. */
static kk_tensor *optim_item(lua_State *L, int arg, lua_Integer i) {
  kk_tensor *t;
  lua_rawgeti(L, arg, i);
  t = kk_lua_testtensor(L, -1);
  if (!t) luaL_argerror(L, arg, lua_pushfstring(L, "element %I is %s, expected a tensor", i, luaL_typename(L, -1)));
  lua_pop(L, 1);
  return t;
}

static lua_Integer optim_list(lua_State *L, int arg) {
  luaL_checktype(L, arg, LUA_TTABLE);
  return (lua_Integer)lua_rawlen(L, arg);
}

static int optim_adam(lua_State *L) {
  static const char *const names[] = {"lr", "beta1", "beta2", "eps", "decay", "scale", "step", NULL};
  lua_Integer n = optim_list(L, 1);
  kk_adam a;
  kk_err e;
  luaL_argcheck(L, optim_list(L, 2) == n, 2, "one first moment for each parameter");
  luaL_argcheck(L, optim_list(L, 3) == n, 3, "one second moment for each parameter");
  kk_lua_check_opts(L, 4, names, "adam");
  a.lr = kk_lua_opt_number(L, 4, "lr", 1e-3, 0, 1e6);
  a.beta1 = kk_lua_opt_number(L, 4, "beta1", 0.9, 0, 1);
  a.beta2 = kk_lua_opt_number(L, 4, "beta2", 0.99, 0, 1);
  a.eps = kk_lua_opt_number(L, 4, "eps", 1e-8, 0, 1);
  a.decay = kk_lua_opt_number(L, 4, "decay", 0, 0, 1e6);
  a.scale = kk_lua_opt_number(L, 4, "scale", 1, 0, 1e30);
  a.step = kk_lua_opt_integer(L, 4, "step", 1, 1, INT64_MAX);
  for (lua_Integer i = 1; i <= n; i++)
    if (kk_adam_step(optim_item(L, 1, i), optim_item(L, 2, i), optim_item(L, 3, i), &a, &e)) return kk_lua_fail(L, &e);
  return 0;
}

static int optim_sgd(lua_State *L) {
  static const char *const names[] = {"lr", "momentum", "decay", "scale", "nesterov", NULL};
  lua_Integer n = optim_list(L, 1);
  bool moments = !lua_isnoneornil(L, 2);
  kk_sgd s;
  kk_err e;
  if (moments) luaL_argcheck(L, optim_list(L, 2) == n, 2, "one buffer for each parameter");
  kk_lua_check_opts(L, 3, names, "sgd");
  s.lr = kk_lua_opt_number(L, 3, "lr", 0.1, 0, 1e6);
  s.momentum = kk_lua_opt_number(L, 3, "momentum", 0, 0, 1);
  s.decay = kk_lua_opt_number(L, 3, "decay", 0, 0, 1e6);
  s.scale = kk_lua_opt_number(L, 3, "scale", 1, 0, 1e30);
  s.nesterov = kk_lua_opt_boolean(L, 3, "nesterov", 0);
  luaL_argcheck(L, moments || s.momentum == 0, 3, "momentum needs buffers");
  for (lua_Integer i = 1; i <= n; i++)
    if (kk_sgd_step(optim_item(L, 1, i), moments ? optim_item(L, 2, i) : NULL, &s, &e)) return kk_lua_fail(L, &e);
  return 0;
}

static int optim_grad_norm(lua_State *L) {
  lua_Integer n = optim_list(L, 1);
  double sum = 0, one;
  kk_err e;
  for (lua_Integer i = 1; i <= n; i++) {
    if (kk_grad_sumsq(optim_item(L, 1, i), &one, &e)) return kk_lua_fail(L, &e);
    sum += one;
  }
  lua_pushnumber(L, sqrt(sum));
  return 1;
}

static int optim_zero_grad(lua_State *L) {
  for (lua_Integer i = 1, n = optim_list(L, 1); i <= n; i++) {
    kk_storage *s = optim_item(L, 1, i)->store;
    if (s->grad) memset(s->grad, 0, (size_t)s->n * sizeof *s->grad);
  }
  return 0;
}

static const kk_reg optim_funcs[] = {
  {"adam", optim_adam, "adam(params, m, v, {lr, beta1 = .9, beta2 = .99, eps = 1e-8, decay = 0, scale = 1, step})\n"
   "One Adam step (Kingma & Ba 2015, algorithm 1) with decoupled weight decay (Loshchilov & Hutter 2019): p *= 1 - lr decay, then\n"
   "p -= lr mhat / (sqrt(vhat) + eps). scale multiplies the gradient (clipping); step counts from 1. Parameters without a gradient stay."},
  {"sgd", optim_sgd, "sgd(params, buffers or nil, {lr, momentum = 0, decay = 0, scale = 1, nesterov = false})\n"
   "One step of gradient descent; decay is added to the gradient."},
  {"grad_norm", optim_grad_norm, "grad_norm(params) -> number\nEuclidean norm of all gradients together; the same for any number of threads."},
  {"zero_grad", optim_zero_grad, "zero_grad(params)\nSets the gradients to zero."},
  {0},
};

KK_BIND(optim) {
  lua_newtable(L);
  kk_lua_funcs(L, optim_funcs);
  lua_setfield(L, -2, "optim");
}
