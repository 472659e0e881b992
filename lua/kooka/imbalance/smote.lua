--- smote: rows made between neighbours of a class. Names as in imbalanced-learn; same neighbours, same counts, and for the same
-- draws the same rows. The neighbours are exact (kooka.core.sample.near).
local core = require "kooka.core"
local training = require "kooka.imbalance.training"
local random = require "kooka.imbalance.random"

local smote = {}

---- the space in which neighbours are sought -----------------------------------------------------

-- The first `count` principal components of the training rows: all rows of x in them, and the axes [D,count].
local function components(t, count)
  if math.type(count) ~= "integer" or count < 1 or count > t.d then
    error(("%s: components is %s, expected 1..%d"):format(t.who, tostring(count), t.d), 4)
  end
  local scope <close> = core.scope()
  local mine = core.sample.room(#t.rows, t.d)
  core.sample.copy(mine, 1, t.x, t.rows)
  local mean = mine:mean(1)
  local centred = mine - mean
  local _, axes = core.eigh(core.matmul_tn(centred, centred) / #t.rows)
  axes = axes:narrow(2, t.d - count + 1, count):contiguous():keep()
  return core.matmul(t.x - mean, axes):keep(), axes
end

-- What rows are made in: the features, or some principal components of them.
local function space_of(t)
  local count = t.options.components
  if count == nil then return { x = t.x } end
  local x, axes = components(t, count)
  return { x = x, axes = axes }
end

-- make() of core.sample in that space; a step along components moves the row itself by as much.
local function make(t, space, to, at, base, near, data, how_many, stream, code, own)
  if not space.axes then return core.sample.make(to, at, t.x, base, near, data, how_many, stream, code, own) end
  local n = how_many
  if type(how_many) == "table" then
    n = 0
    for _, times in ipairs(how_many) do n = n + times end
  end
  local scope <close> = core.scope()
  local inside = core.sample.room(n, space.x:shape(2))
  local parents = core.sample.make(inside, 1, space.x, base, near, data, how_many, stream, code, own):keep()
  local from = parents:select(2, 1):contiguous()
  local start, rows = core.sample.room(n, space.x:shape(2)), core.sample.room(n, t.d)
  core.sample.copy(start, 1, space.x, from)
  core.sample.copy(rows, 1, t.x, from)
  local moved = (rows + core.matmul(inside - start, space.axes:t():contiguous())):contiguous()
  core.sample.copy(to, at, moved)
  return parents
end

---- common parts ---------------------------------------------------------------------------------

-- The rows that are made, after those that were given.
local function begin(t, want)
  local total = 0
  for _, y in ipairs(t.classes) do total = total + want[y] end
  local rows = t.rows
  local a = { rows = core.sample.take(rows, nil, total), labels = core.sample.take(t.labels, rows, total),
    x = core.sample.room(total, t.d), parents = {}, made = {} }
  if not core.sample.copy(a.x, 1, t.x, rows) then t:check_x(4) end
  return a
end

local function made(a, y, n, parents)
  core.sample.append(a.rows, n, false)
  core.sample.append(a.labels, n, y)
  a.made[y] = n
  if n > 0 then a.parents[#a.parents + 1] = parents end
end

-- Fewer rows may have been made than there is room for.
local function finish(a)
  if #a.rows < a.x:shape(1) then
    local fit = core.sample.room(#a.rows, a.x:shape(2))
    core.sample.copy(fit, 1, a.x:narrow(1, 1, #a.rows):contiguous())
    a.x = fit
  end
  a.parents = #a.parents > 1 and core.cat(a.parents, 1) or a.parents[1]
  return a
end

-- A class with one row has no neighbour: its row is shaken, in steps of the spread of all training rows.
local function shake(t, a, y, n)
  local shrinkage = t.options.shrinkage or 1
  if type(shrinkage) ~= "number" or shrinkage < 0 then
    error(("%s: shrinkage is %s, expected 0 or more"):format(t.who, tostring(shrinkage)), 4)
  end
  local row, rows, parents = t.rows[t.by_class[y][1]], {}, {}
  local scale, h = core.sample.deviation(t.x, t.rows), random.bandwidth(#t.rows, t.d)
  for c = 1, #scale do scale[c] = scale[c] * h * shrinkage end
  for i = 1, n do rows[i], parents[i] = row, { row, row } end
  core.sample.shake(a.x, #a.rows + 1, t.x, rows, scale, t:stream(("noise of %s"):format(tostring(y))))
  t:note("class %s has 1 row and so no neighbour: what is added (%s) is that row with noise (shrinkage %g)", tostring(y),
    training.rows_text(n), shrinkage)
  made(a, y, n, core.tensor(parents, "int32"))
end

-- k, or as many neighbours as there are.
local function clipped(t, name, k, most, what)
  if k <= most then return k end
  t:note("%s has %s: %s is %d instead of %d", what, training.rows_text(most + 1), name, most, k)
  return most
end

local function class_text(y) return "class " .. tostring(y) end

local function others(space, query, data, k)
  return (core.sample.near(space.x, query, data, k, { others = true }))
end

---- SMOTE ----------------------------------------------------------------------------------------

-- All smaller classes: rows between a row and one of its k nearest of the class. For the combinations too.
local function smote_rows(t)
  local k, want = t:whole_number("k", 5, 1), t:wanted(true)
  local a, space = begin(t, want), space_of(t)
  for _, y in ipairs(t.classes) do
    local n, mine = want[y] - t.before[y], t:source(t.by_class[y])
    if n > 0 and #mine == 1 then
      shake(t, a, y, n)
    elseif n > 0 then
      local near = others(space, mine, mine, clipped(t, "k", k, #mine - 1, class_text(y)))
      made(a, y, n, make(t, space, a.x, #a.rows + 1, mine, near, mine, n, t:stream(y)))
    end
  end
  return finish(a)
end

local OPTIONS = { to = true, k = true, shrinkage = true, components = true }

--- smote(split, labels, {x =, to =, k = 5, components =, shrinkage = 1, seed = 1, say = print, classes =}) -> resampled, counts
-- SMOTE (Chawla, Bowyer, Hall and Kegelmeyer, Journal of Artificial Intelligence Research 16, 2002): a new row lies at a
-- uniform place between a row of the class and one of its k nearest rows of the class, both drawn uniformly.
-- components: neighbours are sought, and steps taken, along so many principal components of the training rows only.
function smote.over(what, labels, options)
  local t = training.open("smote", what, labels, options, OPTIONS, "copied")
  return t:answer(smote_rows(t))
end

--- rows(training) -> {rows =, labels =, x =, parents =}
-- SMOTE of an opened training side (wants_x may be "copied") with its options, for what goes on from there.
smote.rows = smote_rows

---- Borderline-SMOTE -----------------------------------------------------------------------------

-- Positions (in t.by_class[y]) of the rows of which at least half, and not all, of the m nearest rows are of other classes.
local function in_danger(t, space, y, m)
  local code, number = t:codes()
  local mine = t:source(t.by_class[y])
  local near = others(space, mine, t.rows, m)
  local foreign = core.sample.foreign(near, core.full({ #mine }, number[y], "int32"), code):tolist()
  local danger = {}
  for i, row in ipairs(mine) do
    if foreign[i] >= m / 2 and foreign[i] < m then danger[#danger + 1] = row end
  end
  return danger, mine
end

--- borderline_smote(split, labels, {x =, kind = 1, to =, k = 5, m = 10, components =, ...}) -> resampled, counts
-- Borderline-SMOTE (Han, Wang and Mao, ICIC 2005): only rows in danger are started from, those of whose m nearest training
-- rows at least half but not all are of other classes. kind 1 goes toward one of the k nearest rows of the class; kind 2 toward
-- one of the k nearest of all classes, to a row of another class at most half the way. A class without a row in danger stays as it is,
-- and a note says so.
function smote.borderline(what, labels, options)
  local t = training.open("borderline_smote", what, labels, options, { to = true, k = true, m = true, kind = true, shrinkage = true,
    components = true }, "copied")
  local kind, want = t.options.kind or 1, t:wanted(true)
  if kind ~= 1 and kind ~= 2 then error(("borderline_smote: kind is %s, expected 1 or 2"):format(tostring(kind)), 2) end
  local k, a, space = t:whole_number("k", 5, 1), begin(t, want), space_of(t)
  local m = clipped(t, "m", t:whole_number("m", 10, 1), #t.rows - 1, "the training side")
  local code, number = t:codes()
  for _, y in ipairs(t.classes) do
    local n = want[y] - t.before[y]
    if n > 0 and t.before[y] == 1 and kind == 1 then
      shake(t, a, y, n)
    elseif n > 0 then
      local danger, mine = in_danger(t, space, y, m)
      local data = kind == 1 and mine or t.rows
      if #danger == 0 then
        t:note("class %s has no row in danger (m = %d): no row was made", tostring(y), m)
      else
        local near = others(space, danger, data, clipped(t, "k", k, #data - 1, kind == 1 and class_text(y) or "the training side"))
        made(a, y, n, make(t, space, a.x, #a.rows + 1, danger, near, data, n, t:stream(y), kind == 2 and code or nil,
          kind == 2 and number[y] or nil))
      end
    end
  end
  return t:answer(finish(a))
end

---- ADASYN ---------------------------------------------------------------------------------------

--- adasyn(split, labels, {x =, to =, k = 5, components =, ...}) -> resampled, counts
-- ADASYN (He, Bai, Garcia and Li, IJCNN 2008): each row of the class is started from in proportion to how many of its k
-- nearest training rows are of other classes, and goes toward one of its k nearest rows of the class. Shares are rounded, so the
-- counts miss `to` by a few rows. A class none of whose rows has a neighbour of another class stays as it is, and a note says so.
function smote.adasyn(what, labels, options)
  local t = training.open("adasyn", what, labels, options, OPTIONS, true)
  local k, want, space = t:whole_number("k", 5, 1), t:wanted(true), space_of(t)
  local code, number = t:codes()
  local around = clipped(t, "k", k, #t.rows - 1, "the training side")
  local plans = {}
  for _, y in ipairs(t.classes) do                    -- counts first: rounding may ask for more rows than were wanted
    local n, mine = want[y] - t.before[y], t:source(t.by_class[y])
    if n > 0 and #mine == 1 then
      plans[y] = { n = n }
    elseif n > 0 then
      local near = others(space, mine, t.rows, around)
      local times, sum = core.sample.shares(core.sample.foreign(near, core.full({ #mine }, number[y], "int32"), code), n)
      if sum == 0 then
        t:note("class %s has no neighbour of another class (k = %d), or too few rows to share out: no row was made", tostring(y), around)
        want[y] = t.before[y]
      else
        plans[y], want[y] = { n = sum, times = times, mine = mine }, t.before[y] + sum
      end
    end
  end
  local a = begin(t, want)
  for _, y in ipairs(t.classes) do
    local p = plans[y]
    if p and not p.times then
      shake(t, a, y, p.n)
    elseif p then
      local near = others(space, p.mine, p.mine, clipped(t, "k", k, #p.mine - 1, class_text(y)))
      made(a, y, p.n, make(t, space, a.x, #a.rows + 1, p.mine, near, p.mine, p.times, t:stream(y)))
    end
  end
  return t:answer(finish(a))
end

return smote
