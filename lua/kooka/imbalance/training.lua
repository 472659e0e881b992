--- training: what every resampler begins and ends with: the training side of a split, its classes and features, how many rows
-- each class is to have, and the counts that say what became of it.
local core = require "kooka.core"
local split = require "kooka.data.split"
local check_options = require "kooka.options"

local training = {}

local function order(a, b)
  if type(a) == "number" and type(b) == "number" then return a < b end
  return tostring(a) < tostring(b)
end

local function as_list(x)
  return type(x) == "userdata" and x:tolist() or x
end

--- rows_text(n) -> "1 row" or "n rows"
function training.rows_text(n) return n == 1 and "1 row" or ("%d rows"):format(n) end
local rows_text = training.rows_text

local COMMON = { x = true, seed = true, say = true, classes = true }

local Training = {}
Training.__index = Training

local function rows_of(who, what)
  local whole = split.is_split(what)
  local rows = whole and what.train or what
  local role, resampled = nil, nil
  if type(rows) == "table" then role, resampled = split.role(rows) end
  if role ~= "train" then
    error(("%s: %s: resample after the split, and only its training side")
      :format(who, role and "these rows are a held-out side" or "these rows are not marked as a training side"), 4)
  end
  if resampled then error(("%s: this training side was resampled already"):format(who), 4) end
  if #rows == 0 then error(("%s: the training side has no rows"):format(who), 4) end
  return rows, whole and what or nil
end

local function count_classes(t, allowed, who)
  local known
  if allowed then
    known = {}
    for _, y in ipairs(allowed) do known[y] = true end
  end
  local by_class, classes, rows, labels, size = {}, {}, t.rows, t.labels, {}
  for i = 1, #rows do                      -- not ipairs, which calls a function for each of perhaps 100,000 rows
    local row = rows[i]
    local y = labels[row]
    local mine = by_class[y]
    if not mine then
      if y == nil then error(("%s: row %s has no label"):format(who, tostring(row)), 4) end
      if known and not known[y] then
        local names = {}
        for k, v in ipairs(allowed) do names[k] = tostring(v) end
        error(("%s: row %d has label %s, which is not one of %s"):format(who, row, tostring(y), table.concat(names, ", ")), 4)
      end
      mine = {}
      by_class[y], classes[#classes + 1], size[y] = mine, y, 0
    end
    local n = size[y] + 1
    mine[n], size[y] = i, n
  end
  table.sort(classes, order)
  if #classes < 2 then
    error(("%s: the training side (%s) has class %s alone: expected two classes or more"):format(who, rows_text(#t.rows),
      tostring(classes[1])), 4)
  end
  t.classes, t.by_class, t.before = classes, by_class, {}
  for _, y in ipairs(classes) do t.before[y] = #by_class[y] end
end

--- t:check_x([level])
-- Raises where x has numbers in the training rows that cannot be measured.
function Training:check_x(level)
  local at, column, value = core.sample.bad(self.x, self.rows)
  if not at then return end
  error(("%s: x is %s in row %d, column %d: expected numbers between -1e15 and 1e15"):format(self.who, tostring(value),
    self.rows[at], column), level or 2)
end

local function take_features(t, o, who, wanted)
  local x = o.x
  if x == nil then
    if wanted then error(("%s: x is missing: expected features [N,D], a row for each label"):format(who), 4) end
    return
  end
  if type(x) == "table" then x = core.tensor(x) end
  if type(x) ~= "userdata" or not x.shape or x:ndim() ~= 2 then error(("%s: x must be a tensor [N,D]"):format(who), 4) end
  local n, d = x:shape(1), x:shape(2)
  if n ~= #t.labels then error(("%s: x has %d rows but labels have %d"):format(who, n, #t.labels), 4) end
  if d < 1 then error(("%s: x has no columns"):format(who), 4) end
  t.x, t.d = x:detach():to("float32"):contiguous(), d
  if wanted ~= "copied" then t:check_x(5) end
end

--- open(who, split or training side, labels, options, known, wants_x) -> training
-- Checks everything that can be wrong with the input and raises, naming rows and counts. known: further options.
-- wants_x: true, or "copied" where the caller copies all training rows before anything else is done with them, and asks for
-- check_x where that copy was not fine: x is read once. Fields: rows (source rows), labels, classes (sorted),
-- by_class[label] = positions in rows, before[label], x, d, notes.
function training.open(who, what, labels, options, known, wants_x)
  local o = options or {}
  local all = {}
  for k in pairs(COMMON) do all[k] = true end
  for k in pairs(known) do all[k] = true end
  check_options(who, o, all, 4)
  if o.seed ~= nil and math.type(o.seed) ~= "integer" then
    error(("%s: seed is %s, expected an integer"):format(who, tostring(o.seed)), 3)
  end
  if o.say ~= nil and o.say ~= false and type(o.say) ~= "function" then
    error(("%s: say is %s, expected a function or false"):format(who, tostring(o.say)), 3)
  end
  local rows, whole = rows_of(who, what)
  if labels == nil then error(("%s: labels are missing"):format(who), 3) end
  local t = setmetatable({ who = who, rows = rows, whole = whole, labels = as_list(labels), options = o, notes = {}, seed = o.seed or 1 },
    Training)
  count_classes(t, o.classes and as_list(o.classes), who)
  take_features(t, o, who, wants_x)
  return t
end

--- t:stream(name) -> random stream of this resampler's seed
function Training:stream(name)
  return core.random(self.who .. " " .. tostring(name), self.seed)
end

--- t:note(format, ...)
-- Something that was done otherwise than asked; stands in counts.notes.
function Training:note(...)
  self.notes[#self.notes + 1] = ("%s: %s"):format(self.who, string.format(...))
end

--- t:source(positions) -> rows of the data
function Training:source(positions)
  local out, rows = {}, self.rows
  for i = 1, #positions do out[i] = rows[positions[i]] end
  return out
end

--- t:codes() -> int32 tensor [n], number of each class
-- The class of each training row as a number from 1, in the order of t.classes.
function Training:codes()
  if not self.code then
    local code, number = {}, {}
    for c, y in ipairs(self.classes) do
      number[y] = c
      for _, i in ipairs(self.by_class[y]) do code[i] = c end
    end
    self.code, self.number = core.tensor(code, "int32"):keep(), number
  end
  return self.code, self.number
end

local function extreme(t, better)
  local best
  for _, y in ipairs(t.classes) do
    if not best or better(t.before[y], t.before[best]) then best = y end
  end
  return best
end

--- t:largest() -> label of the class with most rows
-- The first in the order of classes where several have as many.
function Training:largest() return extreme(self, function(a, b) return a > b end) end

--- t:smallest() -> label of the class with fewest rows
-- The first in the order of classes where several have as few.
function Training:smallest() return extreme(self, function(a, b) return a < b end) end

local function check_count(t, y, n, up)
  local have = t.before[y]
  if math.type(n) ~= "integer" or n < 0 then
    error(("%s: to[%s] is %s, expected a count of rows"):format(t.who, tostring(y), tostring(n)), 4)
  end
  if up and n < have or not up and n > have then
    error(("%s: class %s has %s, %d were asked for: this only %s rows"):format(t.who, tostring(y), rows_text(have), n,
      up and "adds" or "takes away"), 4)
  end
end

local function given_counts(t, to, up)
  local want = {}
  for y in pairs(to) do
    if not t.before[y] then error(("%s: to names class %s, which has no training row"):format(t.who, tostring(y)), 4) end
  end
  for _, y in ipairs(t.classes) do
    want[y] = to[y] or t.before[y]
    check_count(t, y, want[y], up)
  end
  return want
end

local function by_ratio(t, ratio, up)
  if not (ratio > 0 and ratio <= 1) then error(("%s: to is %s, expected a ratio above 0 and at most 1"):format(t.who, ratio), 4) end
  local big, small = t.before[t:largest()], t.before[t:smallest()]
  local goal = math.floor((up and big * ratio or small / ratio) + 1e-9)
  local want, moved = {}, false
  for _, y in ipairs(t.classes) do
    local have = t.before[y]
    want[y] = up and math.max(have, goal) or math.min(have, goal)
    moved = moved or want[y] ~= have
  end
  if not moved and big > small then
    error(("%s: to is %g, but the classes have %d to %d rows: no row to %s"):format(t.who, ratio, small, big, up and "add" or "take away"), 4)
  end
  return want
end

--- t:wanted(up) -> {[label] = rows}
-- What options.to asks for: nil: all classes as many as the largest (up) or the smallest; a table of counts, other classes
-- stay; a ratio of smaller to larger: floor(ratio x largest) at least (up), floor(smallest / ratio) at most.
function Training:wanted(up)
  local to = self.options.to
  if type(to) == "table" then return given_counts(self, to, up) end
  if type(to) == "number" then return by_ratio(self, to, up) end
  if to ~= nil then error(("%s: to is %s, expected a ratio or a table of counts"):format(self.who, tostring(to)), 3) end
  local goal, want = self.before[up and self:largest() or self:smallest()], {}
  for _, y in ipairs(self.classes) do want[y] = goal end
  return want
end

--- t:whole_number(name, default, least) -> options[name] as an integer of at least `least`
function Training:whole_number(name, default, least)
  local v = self.options[name]
  if v == nil then v = default end
  if math.type(v) ~= "integer" or v < least then
    error(("%s: %s is %s, expected an integer of %d or more"):format(self.who, name, tostring(v), least), 3)
  end
  return v
end

---- the answer -------------------------------------------------------------------------------------

local Counts = {}
Counts.__index = Counts

function Counts:__tostring()
  local parts, change = {}, {}
  for i, y in ipairs(self.labels) do parts[i] = ("%s: %d -> %d"):format(tostring(y), self.before[y], self.after[y]) end
  if self.added > 0 then change[1] = rows_text(self.added) .. " added" end
  if self.removed > 0 then change[#change + 1] = rows_text(self.removed) .. " removed" end
  return ("%s (%s)"):format(table.concat(parts, ", "), #change > 0 and table.concat(change, ", ") or "no row added or removed")
end

local Resampled = { __name = "kooka.imbalance.resampled" }
Resampled.__index = Resampled

function Resampled:__tostring() return ("resampled rows (%s)"):format(tostring(self.counts)) end

-- The rows of each class in the answer, and the source rows.
local function count_answer(t, a)
  local after, real, n, rows, labels = {}, {}, 0, a.rows, a.labels
  if a.made then
    for _, y in ipairs(t.classes) do after[y] = t.before[y] + (a.made[y] or 0) end
    return after, core.sample.take(t.rows)
  end
  for _, y in ipairs(t.classes) do after[y] = 0 end
  for i = 1, #labels do
    local y, row = labels[i], rows[i]
    after[y] = after[y] + 1
    if row then
      n = n + 1
      real[n] = row
    end
  end
  return after, real
end

--- t:answer{rows =, labels =, x =, parents =, removed = 0, made =} -> resampled, counts
-- rows: source row of each, false where it was made. The training side of the new split holds the source rows. made: how many
-- were made of each class, where the answer is all training rows as they are and behind them those.
function Training:answer(a)
  local after, real = count_answer(self, a)
  for _, y in ipairs(self.classes) do
    if after[y] == 0 then self:note("class %s lost all it had (%s)", tostring(y), rows_text(self.before[y])) end
  end
  local removed = a.removed or 0
  local added = #a.labels + removed - #self.rows
  local counts = setmetatable({ before = self.before, after = after, labels = self.classes, added = added, removed = removed,
    notes = self.notes, who = self.who }, Counts)
  local side = split.resampled(real)
  local say = self.options.say
  if say == nil then say = print end
  if say then
    say(("%s: %s"):format(self.who, tostring(counts)))
    for _, text in ipairs(self.notes) do say(text) end
  end
  return setmetatable({ rows = a.rows, labels = a.labels, x = a.x, parents = a.parents, train = side, counts = counts,
    split = self.whole and self.whole:with_train(side) or nil }, Resampled), counts
end

--- t:kept(positions) -> resampled, counts
-- The answer that holds these training rows (rising positions) and no other.
function Training:kept(positions)
  local rows, labels = self:source(positions), {}
  for i, row in ipairs(rows) do labels[i] = self.labels[row] end
  local x
  if self.x then
    x = core.sample.room(#rows, self.d)
    core.sample.copy(x, 1, self.x, rows)
  end
  return self:answer { rows = rows, labels = labels, x = x, removed = #self.rows - #rows }
end

return training
