--- random: rows repeated, left out, or drawn by weight, without a look at where they lie.
local core = require "kooka.core"
local training = require "kooka.imbalance.training"

local random = {}

-- Rows of the answer: all of t, then what add(label, how many) lists, class by class.
local function with_copies(t, want, pick)
  local positions, labels = {}, {}
  for i, row in ipairs(t.rows) do positions[i], labels[i] = i, t.labels[row] end
  for _, y in ipairs(t.classes) do
    for _, i in ipairs(pick(y, want[y] - t.before[y])) do
      positions[#positions + 1], labels[#labels + 1] = i, y
    end
  end
  return positions, labels
end

--- bandwidth(n, d) -> number
-- Silverman's rule for n points in d dimensions, as the smoothed bootstrap takes it: (4 / ((d + 2) n)) ^ (1 / (d + 4)).
function random.bandwidth(n, d)
  return (4 / ((d + 2) * n)) ^ (1 / (d + 4))
end

local function shrinkage_of(t, y)
  local s = t.options.shrinkage
  if type(s) == "table" then
    if s[y] == nil then error(("%s: shrinkage has nothing for class %s"):format(t.who, tostring(y)), 4) end
    s = s[y]
  end
  if type(s) ~= "number" or s < 0 then error(("%s: shrinkage is %s, expected 0 or more"):format(t.who, tostring(s)), 4) end
  return s
end

--- random_over(split, labels[, {to =, x =, shrinkage =, seed = 1, say = print, classes =}]) -> resampled, counts
-- Random oversampling: every training row stays, rows of the smaller classes are drawn with replacement behind them.
-- shrinkage (a number of 0 or more, or one for each class; needs x): the drawn rows are shaken by normal noise of shrinkage
-- times Silverman's bandwidth times the class's standard deviation of each column: the smoothed bootstrap, ROSE (Menardi and
-- Torelli 2014). Their place in `rows` is then false.
function random.over(what, labels, options)
  local t = training.open("random_over", what, labels, options, { to = true, shrinkage = true },
    options and options.shrinkage ~= nil)
  local want = t:wanted(true)
  local positions, all = with_copies(t, want, function(y, n)
    local stream, mine, out = t:stream(y), t.by_class[y], {}
    for i = 1, n do out[i] = mine[stream:below(#mine)] end
    return out
  end)
  local rows, x = t:source(positions), nil
  if t.x then
    x = core.sample.room(#rows, t.d)
    core.sample.copy(x, 1, t.x, rows)
  end
  if t.options.shrinkage then
    local at, h = #t.rows + 1, random.bandwidth(#t.rows, t.d)
    for _, y in ipairs(t.classes) do
      local n, factor = want[y] - t.before[y], h * shrinkage_of(t, y)
      if n > 0 then
        local scale = core.sample.deviation(t.x, t:source(t.by_class[y]))
        for c = 1, #scale do scale[c] = scale[c] * factor end
        core.sample.shake(x, at, t.x, table.move(rows, at, at + n - 1, 1, {}), scale, t:stream(("noise of %s"):format(tostring(y))))
        for i = at, at + n - 1 do rows[i] = false end
        at = at + n
      end
    end
  end
  return t:answer { rows = rows, labels = all, x = x }
end

--- random_under(split, labels[, {to =, x =, replacement = false, seed = 1, say = print, classes =}]) -> resampled, counts
-- Random undersampling: of each larger class as many rows as the smallest has are kept, drawn without replacement (or with).
-- The order of the training side stays.
function random.under(what, labels, options)
  local t = training.open("random_under", what, labels, options, { to = true, replacement = true })
  local want, keep = t:wanted(false), {}
  for _, y in ipairs(t.classes) do
    local mine, stream = t.by_class[y], t:stream(y)
    if want[y] == #mine then
      table.move(mine, 1, #mine, #keep + 1, keep)
    elseif t.options.replacement then
      for _ = 1, want[y] do keep[#keep + 1] = mine[stream:below(#mine)] end
    else
      local turn = stream:shuffle(#mine)
      for i = 1, want[y] do keep[#keep + 1] = mine[turn[i]] end
    end
  end
  table.sort(keep)
  return t:kept(keep)
end

local function weight_of(t, weights)
  local out = {}
  for _, y in ipairs(t.classes) do
    local w = not weights and 1 / t.before[y] or weights[y]
    if type(w) ~= "number" or w < 0 or w == math.huge or w ~= w then
      error(("weighted: the weight of class %s is %s, expected 0 or more"):format(tostring(y), tostring(w)), 4)
    end
    out[y] = w
  end
  return out
end

--- weighted(split, labels[, {n =, weights =, x =, seed = 1, say = print, classes =}]) -> resampled, counts
-- n training rows drawn with replacement, each with a chance in proportion to its class's weight; default 1 / count, so that
-- classes are equally likely, and n = classes times the largest class. What weighted samplers do: counts vary with the seed and a
-- row may not come at all (1/e of the largest class's, by default). random_over and batches leave none out.
function random.weighted(what, labels, options)
  local t = training.open("weighted", what, labels, options, { n = true, weights = true })
  local n = t:whole_number("n", #t.classes * t.before[t:largest()], 1)
  local weight, edge, sum = weight_of(t, t.options.weights), {}, 0
  for c, y in ipairs(t.classes) do
    sum = sum + weight[y] * t.before[y]
    edge[c] = sum
  end
  if sum <= 0 then error("weighted: all weights are 0", 2) end
  local stream, rows, all, came = t:stream("draws"), {}, {}, {}
  for i = 1, n do
    local u, c = stream:uniform() * sum, 1
    while c < #edge and u >= edge[c] do c = c + 1 end
    local mine = t.by_class[t.classes[c]]
    rows[i], all[i] = t.rows[mine[stream:below(#mine)]], t.classes[c]
    came[rows[i]] = true
  end
  local missed = 0
  for _, row in ipairs(t.rows) do
    if not came[row] then missed = missed + 1 end
  end
  if missed > 0 then t:note("%d of %d training rows were not drawn", missed, #t.rows) end
  local x
  if t.x then
    x = core.sample.room(n, t.d)
    core.sample.copy(x, 1, t.x, rows)
  end
  return t:answer { rows = rows, labels = all, x = x, removed = missed }
end

return random
