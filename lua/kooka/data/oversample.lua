--- oversample: random oversampling with replacement inside the training side, and class weights.
-- Resampling before the split puts copies of a row on both sides, and every score that follows is too good. So this
-- takes a split, or its training side, and nothing else.
local core = require "kooka.core"
local split = require "kooka.data.split"
local check_options = require "kooka.options"

local oversample = {}

local function count_rows(rows, labels, who)
  local count, by_label, names = {}, {}, {}
  for _, row in ipairs(rows) do
    local y = labels[row]
    if y == nil then error(("%s: row %s has no label"):format(who, tostring(row)), 3) end
    if not count[y] then
      count[y], by_label[y] = 0, {}
      names[#names + 1] = y
    end
    count[y] = count[y] + 1
    table.insert(by_label[y], row)
  end
  table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  return count, by_label, names
end

local Report = {}
Report.__index = Report

function Report:__tostring()
  local parts = {}
  for i, y in ipairs(self.labels) do parts[i] = ("%s: %d -> %d"):format(tostring(y), self.before[y], self.after[y]) end
  return ("oversampled %s (%d rows added)"):format(table.concat(parts, ", "), self.added)
end

--- random(split or training side, labels[, {counts =, seed = 1, say =}]) -> the same, resampled, and a report
-- Draws rows of the smaller classes with replacement until each class has as many as the largest, or `counts[label]`
-- (at least what it has). Every given row is kept; the drawn ones stand behind them. `report.before[label]`,
-- `report.after[label]` and `report.added` are exact, `tostring(report)` says them, and `say` (a function) gets that
-- text. Raises for rows that are not a training side, and for one that was resampled already.
function oversample.random(what, labels, options)
  local o = options or {}
  check_options("oversample", o, {counts = true, seed = true, say = true})
  local whole = split.is_split(what)
  local rows = whole and what.train or what
  local role, resampled = split.role(rows)
  if role ~= "train" then
    error(("oversample: %s: resample after the split, and only its training side")
      :format(role and "these rows are a held-out side" or "these rows are not marked as a training side"), 2)
  end
  if resampled then error("oversample: this training side was resampled already", 2) end
  if type(labels) == "userdata" then labels = labels:tolist() end
  local before, by_label, names = count_rows(rows, labels, "oversample")
  local largest, after, out = 0, {}, table.move(rows, 1, #rows, 1, {})
  for _, y in ipairs(names) do largest = math.max(largest, before[y]) end
  local stream = core.random("oversample", o.seed or 1)
  for y in pairs(o.counts or {}) do
    if not before[y] then error(("oversample: counts names class %s, which has no row to draw from"):format(tostring(y)), 2) end
  end
  for _, y in ipairs(names) do
    after[y] = not o.counts and largest or o.counts[y] or before[y]
    if after[y] < before[y] then
      error(("oversample: class %s has %d rows, %d were asked for: this only adds"):format(tostring(y), before[y], after[y]), 2)
    end
    for _ = before[y] + 1, after[y] do out[#out + 1] = by_label[y][stream:below(before[y])] end
  end
  local report = setmetatable({before = before, after = after, labels = names, added = #out - #rows}, Report)
  if o.say then o.say(tostring(report)) end
  out = split.resampled(out)
  return whole and what:with_train(out) or out, report
end

--- class_weights(labels[, rows]) -> {[label] = weight}, counts
-- weight = n / (k · n_c): n rows, k classes, n_c rows of the class, so that every class weighs the same in a mean loss
-- ("balanced" in scikit-learn). `rows`: only these count, as the training side of a split.
function oversample.class_weights(labels, rows)
  if type(labels) == "userdata" then labels = labels:tolist() end
  if not rows then
    rows = {}
    for i = 1, #labels do rows[i] = i end
  end
  if #rows == 0 then error("class_weights: no rows", 2) end
  local count, _, names = count_rows(rows, labels, "class_weights")
  local weight = {}
  for _, y in ipairs(names) do weight[y] = #rows / (#names * count[y]) end
  return weight, count
end

return setmetatable(oversample, {__call = function(_, ...) return oversample.random(...) end})
