--- board.score: one number for a column of answers, with its interval, and the paired difference of two columns.
local eval = require "kooka.eval"
local kooka = require "kooka"

local score = {}

-- What a metric looks at: "answer" (the class that was said), "prob" (of the positive class) or "value".
local BINARY = { f1 = "answer", accuracy = "answer", precision = "answer", recall = "answer", f1_macro = "answer", mcc = "answer",
  balanced_accuracy = "answer", log_loss = "prob", brier = "prob", roc_auc = "prob", average_precision = "prob" }
local MULTI = { accuracy = "answer", f1_macro = "answer" }
local REGRESSION = { rmse = "value", mae = "value" }
local TASKS = { binary = BINARY, multiclass = MULTI, regression = REGRESSION }
local LOWER = { log_loss = true, brier = true, rmse = true, mae = true }
local RESAMPLES = 1000

--- score.needs(task, metric) -> "answer", "prob" or "value", or nil and the names there are
-- task: "binary", "multiclass" or "regression".
function score.needs(task, metric)
  local found = TASKS[task][metric]
  if found then return found end
  local names = {}
  for name in pairs(TASKS[task]) do names[#names + 1] = name end
  table.sort(names)
  return nil, names
end

--- score.is_regression(metric) -> boolean
function score.is_regression(metric) return REGRESSION[metric] ~= nil end

--- score.lower(metric) -> boolean
-- Whether less is better.
function score.lower(metric) return LOWER[metric] == true end

local function one_hot(x, classes)
  local rows = {}
  for i, c in ipairs(x) do
    local row = {}
    for k = 1, classes do row[k] = k == c and 1 or 0 end
    rows[i] = row
  end
  return rows
end

--- score.value(task, x, truth) -> metric
-- task: {task, metric, classes}; truth: classes from 1 (2 is the positive one of two) or numbers; x: for "answer" of two classes 0
-- and 1, of more classes from 1; probabilities; numbers.
function score.value(task, x, truth)
  local options = { resamples = RESAMPLES, seed = 1 }
  if task.task == "binary" then return (eval.binary(x, truth, options))[task.metric] end
  if task.task == "regression" then return eval.regression(x, truth, options)[task.metric] end
  return (eval.multiclass(one_hot(x, #task.classes), truth, options))[task.metric]
end

-- ---- differences that kooka.eval has not: by resampling rows

local function macro_f1(right, said, there)
  local sum, used = 0, 0
  for k, t in ipairs(there) do
    if t > 0 then
      sum, used = sum + 2 * right[k] / (t + said[k]), used + 1
    end
  end
  return used > 0 and sum / used or 0
end

local function zeros(n)
  local t = {}
  for k = 1, n do t[k] = 0 end
  return t
end

-- A function of a list of rows: the metric of a minus that of b.
local function difference_of(task, a, b, truth)
  if task.task == "regression" then
    local square = task.metric == "rmse"
    return function(rows)
      local x, y = 0, 0
      for _, i in ipairs(rows) do
        local u, v = a[i] - truth[i], b[i] - truth[i]
        x, y = x + (square and u * u or math.abs(u)), y + (square and v * v or math.abs(v))
      end
      x, y = x / #rows, y / #rows
      if square then return math.sqrt(x) - math.sqrt(y) end
      return x - y
    end
  end
  local classes, macro = #task.classes, task.metric == "f1_macro"
  return function(rows)
    local there, said_a, said_b, right_a, right_b = zeros(classes), zeros(classes), zeros(classes), zeros(classes), zeros(classes)
    local x, y = 0, 0
    for _, i in ipairs(rows) do
      local t, u, v = truth[i], a[i], b[i]
      there[t], said_a[u], said_b[v] = there[t] + 1, said_a[u] + 1, said_b[v] + 1
      if t == u then right_a[t], x = right_a[t] + 1, x + 1 end
      if t == v then right_b[t], y = right_b[t] + 1, y + 1 end
    end
    if macro then return macro_f1(right_a, said_a, there) - macro_f1(right_b, said_b, there) end
    return (x - y) / #rows
  end
end

local function resampled(task, a, b, truth)
  local f, n = difference_of(task, a, b, truth), #truth
  local rows, times, stream = {}, math.max(200, math.min(RESAMPLES, 6000000 // n)), kooka.random("board", 1)
  for i = 1, n do rows[i] = i end
  local m, drawn = { value = f(rows), level = .95, n = n }, {}
  for r = 1, times do
    for i = 1, n do rows[i] = stream:below(n) end
    drawn[r] = f(rows)
  end
  table.sort(drawn)
  m.low, m.high = drawn[math.max(1, math.floor(.025 * times + .5))], drawn[math.min(times, math.ceil(.975 * times))]
  m.method = ("bootstrap percentile, %d resamples"):format(times)
  return m
end

--- score.difference(task, a, b, truth) -> {value, low, high}, verdict
-- a minus b on the same rows, with a bootstrap interval of 95 % of the paired difference; verdict "better", "worse",
-- "no difference" or "not enough data" is about a.
function score.difference(task, a, b, truth)
  local m
  if task.task == "binary" then
    local r = eval.paired(a, b, truth, { metric = task.metric, resamples = RESAMPLES, seed = 1 })
    m = task.metric == "log_loss" and r.log_loss or r.differences[task.metric]
    return { value = m.value, low = m.low, high = m.high }, r.verdict
  end
  m = resampled(task, a, b, truth)
  if m.n < 20 then return m, "not enough data" end
  if m.low <= 0 and m.high >= 0 then return m, "no difference" end
  return m, (m.value < 0) == score.lower(task.metric) and "better" or "worse"
end

return score
