--- users.features: a vector for each person, for search and clustering, and how far persons are apart.
local core = require "kooka.core"
local check_options = require "kooka.options"
local solver = core.users

local features = {}

local function as_list(x) return type(x) == "userdata" and x:tolist() or x end

local function tensor_of(x) return type(x) == "userdata" and x or core.tensor(x) end

-- Means of the rows that keep takes; zeros where a person has none.
local function means(x, ids, nuser, keep)
  local width, rows = x:shape(2), {}
  for k = 1, nuser do rows[k] = {} end
  for i, k in ipairs(ids) do
    if keep(i) then rows[k][#rows[k] + 1] = i end
  end
  local parts = {}
  for k = 1, nuser do
    local list = rows[k]
    if #list == 0 then parts[k] = core.zeros(1, width)
    else parts[k] = x:index_select(core.tensor(list, "int32")):mean { dim = 1, keepdim = true } end
  end
  return core.cat(parts, { dim = 1 })
end

--- features.vectors{features=, users=, labels=nil, result=nil, reference=nil, reference_offset=nil} -> {names=, centroid=, ...}
-- One row a person: centroid [U,D] (mean of his features), and with labels liking [U,D] (mean of class 2 minus mean of
-- class 1; zeros with
-- one class); with result (users.fit on the same persons) head [U,D], what his head adds to the general one; with
-- reference [R,D] and
-- reference_offset [R] (a shared set of messages and their general logits) tastes [U,R]: his calibrated P(class 2) of
-- each of them.
function features.vectors(o)
  check_options("users.features.vectors", o, { features = true, users = true, labels = true, result = true, reference = true,
    reference_offset = true })
  local ids, nuser, names = solver.index(as_list(o.users))
  local out = { names = names }
  local scope <close> = core.scope()
  local x = tensor_of(o.features)
  if x:shape(1) ~= #ids then error(("users.features: %d rows of features, %d of users"):format(x:shape(1), #ids), 2) end
  out.centroid = means(x, ids, nuser, function() return true end):keep()
  if o.labels then
    local y = as_list(o.labels)
    out.liking = (means(x, ids, nuser, function(i) return y[i] == 2 end) - means(x, ids, nuser, function(i) return y[i] == 1 end)):keep()
  end
  local r = o.result
  if r then
    local order, at = {}, {}
    for k, name in ipairs(r.users) do at[name] = k end
    for k, name in ipairs(names) do
      order[k] = at[name]
      if not order[k] then error(("users.features: %s has no head in result"):format(tostring(name)), 2) end
    end
    local rows = core.tensor(order, "int32")
    local w = r.heads.w and r.heads.w:index_select(rows) or core.zeros(nuser, x:shape(2))
    out.head = (w + 0):keep()
    if o.reference then
      local ref = tensor_of(o.reference)
      local logit = w:matmul(ref:t():contiguous()) + core.tensor(r.heads.b):index_select(rows):reshape(nuser, 1)
        + core.tensor(as_list(o.reference_offset)):reshape(1, ref:shape(1))
      out.tastes = logit:sigmoid():keep()
    end
  end
  return out
end

--- features.distances(vectors, {metric="cosine"}) -> tensor [U,U]
-- Of rows [U,D]: "cosine" (1 - cosine; 1 from a row of zeros) or "euclidean".
function features.distances(vectors, o)
  o = o or {}
  check_options("users.features.distances", o, { metric = true })
  local metric = o.metric or "cosine"
  if metric ~= "cosine" and metric ~= "euclidean" then
    error(("users.features.distances: metric is '%s', expected cosine or euclidean"):format(tostring(metric)), 2)
  end
  local scope <close> = core.scope()
  local x = tensor_of(vectors)
  local square = (x * x):sum { dim = 2, keepdim = true }
  if metric == "cosine" then
    local unit = x / (square + 1e-30):sqrt()
    return (1 - unit:matmul(unit:t():contiguous())):keep()
  end
  return (square + square:t() - 2 * x:matmul(x:t():contiguous())):clamp { min = 0 }:sqrt():keep()
end

--- features.differ{a=, b=, permutations=999, seed=1} -> {value=, p=, permutations=, n_a=, n_b=}
-- Do two persons write (or rate) different messages, in one encoder? a [N,D] and b [M,D]: their features. value:
-- energy distance
-- 2 E|x-y| - E|x-x'| - E|y-y'| (Szekely and Rizzo 2013); p: share of random exchanges of rows between them with as
-- large a value, counted
-- with the one observed. Between two encoders distances mean nothing without alignment.
function features.differ(o)
  check_options("users.features.differ", o, { a = true, b = true, permutations = true, seed = true })
  local scope <close> = core.scope()
  local a, b, turns = tensor_of(o.a), tensor_of(o.b), o.permutations or 999
  local na, nb = a:shape(1), b:shape(1)
  if na < 2 or nb < 2 then error(("users.features.differ: %d and %d rows, expected 2 or more of each"):format(na, nb), 2) end
  local n = na + nb
  local d = features.distances(core.cat({ a, b }, { dim = 1 }), { metric = "euclidean" })
  local sign, stream = {}, core.random("users permutation", o.seed or 1)
  local order = {}
  for i = 1, n do order[i] = i end
  for t = 0, turns do
    if t > 0 then
      for i = n, 2, -1 do
        local j = 1 + math.floor(stream:uniform() * i)
        order[i], order[j] = order[j], order[i]
      end
    end
    local row = {}
    for at, i in ipairs(order) do row[i] = at <= na and 1 / na or -1 / nb end
    sign[t + 1] = row
  end
  local s = core.tensor(sign)
  local values = ((s:matmul(d) * s):sum { dim = 2 } * -1):tolist()
  local least = 0
  for t = 1, turns do
    if values[t + 1] >= values[1] - 1e-7 then least = least + 1 end
  end
  return { value = values[1], p = (least + 1) / (turns + 1), permutations = turns, n_a = na, n_b = nb }
end

return features
