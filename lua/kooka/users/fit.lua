--- users.fit: the rungs of the ladder that have a closed form or Newton's method. One interface: rows of persons, features of a
-- frozen encoder, the general head's logits, options -> heads and out-of-fold predictions. All persons at once, in C.
local core = require "kooka.core"
local check_options = require "kooka.options"
local fault = require "kooka.users.fault"
local rungs = require "kooka.users.rungs"
local solver = core.users

local fit = {}

-- From strong to weak. 1/sqrt(lambda) is the usual distance of a person's taste from the general one, in logits.
local LAMBDA = { 1000, 300, 100, 30, 10, 3, 1, .3, .1, .03, .01 }
local LAMBDA0 = { 1000, 100, 30, 10, 3, 1, .3, .1 }
local PSEUDO = { 1, 4, 16 }
local NONE <const> = { math.huge }

local OPTIONS = { mean = true, scale = true, features = true, labels = true, users = true, head = true, offset = true,
  method = true, lambda = true,
  lambda0 = true, folds = true, seed = true, components = true, pseudo = true }

local function as_list(x) return type(x) == "userdata" and x:tolist() or x end

local function sigmoid(v) return 1 / (1 + math.exp(-v)) end

local function map(list, f)
  local out = {}
  for i = 1, #list do out[i] = f(list[i]) end
  return out
end

local function flat(list)      -- a weight may come as [D], [1,D] or [D,1]
  local out = {}
  for _, v in ipairs(as_list(list)) do
    if type(v) == "table" then table.move(v, 1, #v, #out + 1, out) else out[#out + 1] = v end
  end
  return out
end

local function filled(n, v)
  local t = {}
  for i = 1, n do t[i] = v end
  return t
end

-- The general logit of each row.
local function general(opts, n)
  if opts.offset then return as_list(opts.offset) end
  local head = opts.head
  if type(head) ~= "table" or not head.w then
    error("users: expected head = {w =, b =} or offset = general logits", 0)
  end
  if not opts.features then error("users: a head needs features", 0) end
  local b = head.b
  if type(b) ~= "number" then b = b and flat(b)[1] or 0 end
  return solver.apply { features = opts.features, users = filled(n, 1), offset = filled(n, 0), w = flat(head.w),
    b = { b } }
end

local function class(y)
  if y == true then return 2 elseif y == false then return 1 end
  return y
end

-- One person's counts; rows, the numbers of his rows, are listed when first asked for.
local function persons(result, got)
  local per, rows = {}, nil
  local lazy = { __index = function(u, key)
    if key ~= "rows" then return nil end
    if not rows then
      rows = {}
      for k = 1, #per do rows[k] = {} end
      for i, k in ipairs(result.ids) do rows[k][#rows[k] + 1] = i end
    end
    return rows[u.number]
  end }
  for k, name in ipairs(result.users) do
    local n, positives = got.rows[k], got.positives[k]
    local u = { user = name, number = k, n = n, positives = positives, lambda = result.lambdas and result.lambdas[k] }
    u.one_class = positives == 0 or positives == n
    if u.one_class then
      u.message = ("%s: %s of class %d; the general head is kept"):format(tostring(name),
        n == 1 and "the only row is" or ("all %d rows are"):format(n), positives == 0 and 1 or 2)
    end
    per[k] = setmetatable(u, lazy)
  end
  return per
end

local function tensor_of(features)
  return type(features) == "userdata" and features or core.tensor(features)
end

-- The main directions of features: [N,k] of the rows, and what turns heads on them into heads on the features.
local function directions(features, k)
  local x = tensor_of(features)
  local width = x:shape(2)
  if k >= width then return x, function(w, b) return w, b end end
  local mean = x:mean { dim = 1, keepdim = true }:keep()
  local centred = x - mean
  local _, vectors = core.eigh(centred:t():matmul(centred))
  local basis = vectors:narrow(2, width - k + 1, k):contiguous():keep()
  return centred:matmul(basis), function(w, b)
    if not w then return nil, b end
    local wide = w:matmul(basis:t():contiguous())
    local shift = wide:matmul(mean:t():contiguous()):reshape(#b):tolist()
    for i = 1, #b do b[i] = b[i] - shift[i] end
    return wide, b
  end
end

-- lambda0 with the least out-of-fold log-loss of intercepts alone; a number that all persons share.
local function choose_lambda0(ask)
  local best, least = LAMBDA0[1], math.huge
  for _, l0 in ipairs(LAMBDA0) do
    local loss = ask(NONE, l0).losses[1]
    if loss < least then best, least = l0, loss end
  end
  return best
end

local function prepare(opts)
  local method = opts.method or "map"
  local rung = rungs.named[method]
  if rung and rung.network then error(("users.fit: %s trains the network: see kooka.users.network"):format(method), 0) end
  if not rung then
    local names = rungs.names(function(r) return not r.network end)
    error(("users.fit: method is '%s', expected %s"):format(tostring(method), names), 0)
  end
  if not opts.labels or not opts.users then error("users.fit: expected labels and users, one of each a row", 0) end
  local labels, booleans = as_list(opts.labels), false
  if #labels == 0 then error("users.fit: there are no rows", 0) end
  for i = 1, #labels do
    if labels[i] == true or labels[i] == false then booleans = true end
  end
  if booleans then labels = map(labels, class) end
  local ids, nuser, names = solver.index(as_list(opts.users))
  if #ids ~= #labels then error(("users.fit: users has %d rows, labels have %d"):format(#ids, #labels), 0) end
  if rung.features and not opts.features then
    error(("users.fit: method %s needs features"):format(method), 0)
  end
  return method, labels, ids, nuser, names
end

-- What a method asks of the solver.
local function plan(method, opts)
  local p = { rung = "map", lambda = opts.lambda and { opts.lambda } or LAMBDA, features = opts.features }
  local few = opts.components
  if few and (math.type(few) ~= "integer" or few < 0) then
    error(("users.fit: components is %s, expected a whole number from 0"):format(tostring(few)), 0)
  end
  if method == "intercept" or method == "global" then
    p.lambda, p.features = NONE, nil
  elseif method == "components" then
    few = few or 8
  elseif method == "firth" or method == "flic" then
    p.rung, p.lambda, few = method, { 1 }, few or 0
    if few == 0 then p.features, few = nil, nil end
  elseif method == "ridge" or method == "prototypes" then
    p.rung = method
  end
  p.back = function(w, b) return w, b end
  if few and few > 0 and p.features then
    local scope <close> = core.scope()
    local x
    x, p.back = directions(p.features, few)
    p.features, p.few = x:keep(), true
  end
  return p
end

-- Without folds: heads on all rows at given strengths, and no predictions to judge them by.
local function heads_alone(result, p, ask, opts, lambda0, base)
  if #p.lambda > 1 then error("users.fit: folds = false wants lambda: without folds there is nothing to choose it by", 0) end
  local scope <close> = core.scope()
  local w, b, got = ask(p.lambda, lambda0, { features = p.features, rung = p.rung, pseudo = opts.pseudo, mean = opts.mean,
    scale = opts.scale }, solver.fit)
  w, b = p.back(w, b)
  if w then w = w:keep() end
  result.lambda0, result.lambda, result.global, result.heads = lambda0, p.lambda[1], map(base, sigmoid), { w = w, b = b }
  result.mean, result.scale = not p.few and got.mean or nil, not p.few and got.scale or nil
  result.per = persons(result, got)
  return result
end

local function fitted(opts)
  local method, labels, ids, nuser, names = prepare(opts)
  local base = method == "own" and filled(#labels, 0) or general(opts, #labels)
  local p = plan(method, opts)
  local folds = opts.folds == "minority" and -5 or opts.folds or nil
  local function ask(lambda, lambda0, more, how)
    local q = { labels = labels, users = ids, nuser = nuser, offset = base, lambda = lambda, lambda0 = lambda0,
      folds = folds, seed = opts.seed, rung = "map" }
    for k, v in pairs(more or {}) do q[k] = v end
    return (how or solver.cross)(q)
  end
  local result = { method = method, labels = labels, ids = ids, users = names }
  if method == "global" then
    local got = ask(NONE, 1)      -- the same checks of the rows as the other methods
    result.global, result.prob, result.rank, result.fold = got.global, got.global, got.global, got.fold
    result.heads, result.per = { b = filled(nuser, 0) }, persons(result, got)
    return result
  end
  local needs0 = p.rung ~= "firth" and p.rung ~= "flic"
  local lambda0 = opts.lambda0 or needs0 and choose_lambda0(ask) or 1
  if opts.folds == false then return heads_alone(result, p, ask, opts, lambda0, base) end
  local got, pseudo
  for _, m in ipairs(method == "prototypes" and not opts.pseudo and PSEUDO or { opts.pseudo or 4 }) do
    local try = ask(p.lambda, lambda0, { features = p.features, rung = p.rung, heads = true, pseudo = m, mean = opts.mean,
      scale = opts.scale })
    if not got or try.losses[try.best] < got.losses[got.best] then got, pseudo = try, m end
  end
  result.lambda0, result.lambda, result.lambdas, result.fold = lambda0, p.lambda[got.best], got.lambdas, got.fold
  result.pseudo = method == "prototypes" and pseudo or nil
  result.mean, result.scale = not p.few and got.mean or nil, not p.few and got.scale or nil
  result.prob, result.rank, result.global, result.losses = got.prob, got.rank, got.global, {}
  if method == "own" and (opts.offset or opts.head) then result.global = map(general(opts, #labels), sigmoid) end
  for l, loss in ipairs(got.losses) do result.losses[l] = { lambda = p.lambda[l], loss = loss } end
  local scope <close> = core.scope()
  local w, b = p.back(got.w, got.b)
  if w then w = w:keep() end
  result.heads, result.per = { w = w, b = b }, persons(result, got)
  return result
end

--- fit.fit(opts) -> result: users.fit
function fit.fit(opts)
  check_options("users.fit", opts, OPTIONS)
  local result = fault.guarded("users.fit", opts, fitted, opts)
  return result
end

local function predicted(result, opts)
  local known, ids = {}, {}
  for k, name in ipairs(result.users) do known[name] = k end
  for i, id in ipairs(as_list(opts.users)) do ids[i] = known[id] or 0 end
  local offset = result.method == "own" and filled(#ids, 0) or general(opts, #ids)
  local w = result.heads.w
  if w and not opts.features then error("users.predict: these heads need features", 0) end
  return map(solver.apply { features = w and opts.features or nil, users = ids, offset = offset, w = w,
    b = result.heads.b }, sigmoid)
end

--- fit.predict(result, opts) -> list of P(class 2): users.predict
function fit.predict(result, opts)
  check_options("users.predict", opts, { features = true, users = true, offset = true, head = true })
  if not opts.users then error("users.predict: expected users, the id of each row", 2) end
  if not result.heads then error(("users.predict: %s keeps no heads for new rows"):format(result.method), 2) end
  local prob = fault.guarded("users.predict", opts, predicted, result, opts)
  return prob
end

return fit
