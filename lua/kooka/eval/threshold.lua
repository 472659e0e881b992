--- kooka.eval.threshold: the cut above which a probability means yes, chosen without looking at the rows it is judged on.
-- tune() finds the best cut on given rows exactly, in one pass over the sorted scores. crossfit() chooses the cut of each
-- fold on the other folds, so that what it then scores is held out from the choice too.
local core = require "kooka.core"
local check_options = require "kooka.options"

local threshold = {}

-- What the core knows; everything else is a function of the confusion counts.
local CORE = { f1 = true, f1_macro = true, balanced_accuracy = true, mcc = true, accuracy = true }

local function as_list(x)
  return type(x) == "userdata" and x:tolist() or x
end

-- F beta = (1 + b²) tp / ((1 + b²) tp + b² fn + fp); 0 where nothing is found.
local function f_beta(beta)
  local b = beta * beta
  return function(tp, fp, fn) return tp == 0 and 0 or (1 + b) * tp / ((1 + b) * tp + b * fn + fp) end
end

local COSTS <const> = { fp = true, fn = true }

-- The cost of a false positive or of a false negative; 1 where it is not given.
local function cost_of(costs, name, who)
  check_options(who .. ": cost", costs, COSTS, 5)
  local v = costs[name] or 1
  if type(v) ~= "number" or not (v >= 0 and v < math.huge) then
    error(("%s: the cost of %s is %s, expected 0 or more"):format(who, name, tostring(v)), 5)
  end
  return v
end

-- The metric as a function of counts, and its name; nil for those of the core.
local function counting(metric, who)
  if type(metric) == "function" then return metric, "a function" end
  if type(metric) == "table" and metric.cost then        -- {cost = {fp = 1, fn = 5}}: what a mistake of each kind costs
    local a, b = cost_of(metric.cost, "fp", who), cost_of(metric.cost, "fn", who)
    return function(_, fp, fn) return -(a * fp + b * fn) end, "cost"
  end
  if CORE[metric] then return nil, metric end
  local beta = type(metric) == "string" and tonumber(metric:match("^f([%d.]+)$"))
  if beta and beta > 0 then return f_beta(beta), metric end
  error(("%s: metric is %s, expected f1, f1_macro, balanced_accuracy, mcc, accuracy, f2, f0.5, {cost = {fp =, fn =}} or a "
    .. "function of tp, fp, fn, tn"):format(who, tostring(metric)), 3)
end

local function positive_rows(labels, positive)
  local y, n = {}, 0
  for i, label in ipairs(labels) do
    y[i] = label == true or label == positive
    n = n + (y[i] and 1 or 0)
  end
  return y, n
end

-- The best cut for a function of counts: walks down the sorted scores and may cut between two that differ.
local function walk(prob, y, positives, f)
  local n, order = #prob, {}
  for i = 1, n do order[i] = i end
  table.sort(order, function(a, b)
    if prob[a] ~= prob[b] then return prob[a] > prob[b] end
    return a < b
  end)
  local tp, fp, at, best = 0, 0, 1.0, f(0, 0, positives, n - positives)
  for k, i in ipairs(order) do
    if y[i] then tp = tp + 1 else fp = fp + 1 end
    local below = order[k + 1] and prob[order[k + 1]]
    if below ~= prob[i] and prob[i] > 0 then                -- no cut of 0 or more calls a score of 0 positive
      local cut = below and (prob[i] + below) / 2 or 0
      if below and cut >= prob[i] then cut = below end      -- neighbours in float: the cut must lie below prob[i]
      local value = f(tp, fp, positives - tp, n - positives - fp)
      if value > best or value == best and math.abs(cut - .5) < math.abs(at - .5) then best, at = value, cut end
    end
  end
  return at, best
end

local function tune(prob, labels, metric, f, positive)
  if not f then return core.eval.threshold(prob, labels, metric, positive) end
  local y, positives = positive_rows(labels, positive)
  return walk(prob, y, positives, f)
end

local function counts(prob, y, cut_of)
  local tp, fp, fn, tn = 0, 0, 0, 0
  for i, p in ipairs(prob) do
    if p > cut_of(i) then
      if y[i] then tp = tp + 1 else fp = fp + 1 end
    elseif y[i] then fn = fn + 1 else tn = tn + 1 end
  end
  return tp, fp, fn, tn
end

-- The value of a metric for predictions made with a cut for each row.
local function value_at(prob, labels, metric, f, positive, cut_of)
  local y = positive_rows(labels, positive)
  if f then return f(counts(prob, y, cut_of)) end
  local hard, truth = {}, {}
  for i, p in ipairs(prob) do hard[i], truth[i] = p > cut_of(i) and 1 or 0, y[i] and 2 or 1 end
  return core.eval.binary(hard, truth, { resamples = 0 })[metric].value
end

-- Lists, of one length; the names stand in the messages.
local function check_rows(who, prob, labels)
  if type(prob) ~= "table" or type(labels) ~= "table" then error(who .. ": prob and labels must be lists or tensors", 3) end
  if #prob ~= #labels then error(("%s: %d probabilities but %d labels"):format(who, #prob, #labels), 3) end
  if #prob == 0 then error(who .. ": there are no rows", 3) end
  for i, p in ipairs(prob) do
    if type(p) ~= "number" or not (p >= 0 and p <= 1) then
      error(("%s: prob in row %d is %s, expected a number in 0..1"):format(who, i, tostring(p)), 3)
    end
    local y = labels[i]
    if y ~= 1 and y ~= 2 and type(y) ~= "boolean" then
      error(("%s: label in row %d is %s, expected class 1 or 2, or a boolean"):format(who, i, tostring(y)), 3)
    end
  end
end

local function quantile(sorted, q)
  local at = 1 + q * (#sorted - 1)
  local low = math.floor(at)
  local high = math.min(low + 1, #sorted)
  return sorted[low] + (at - low) * (sorted[high] - sorted[low])
end

-- Where the best cut moves when the rows are drawn anew: {low, high, sd, level, resamples}.
local function bootstrap(prob, labels, metric, f, positive, o)
  local n, cuts, stream = #prob, {}, core.random("threshold.tune", o.seed or 1)
  for _ = 1, o.resamples do
    local p, y = {}, {}
    for i = 1, n do
      local k = stream:below(n)
      p[i], y[i] = prob[k], labels[k]
    end
    local _, positives = positive_rows(y, positive)
    if positives > 0 and positives < n then cuts[#cuts + 1] = (tune(p, y, metric, f, positive)) end
  end
  if #cuts == 0 then return nil end                        -- one class in every resample: nothing can be said
  table.sort(cuts)
  local mean, square = 0, 0
  for _, c in ipairs(cuts) do mean = mean + c / #cuts end
  for _, c in ipairs(cuts) do square = square + (c - mean) ^ 2 end
  local level = o.level or .95
  return { low = quantile(cuts, (1 - level) / 2), high = quantile(cuts, (1 + level) / 2), level = level,
    sd = math.sqrt(square / math.max(1, #cuts - 1)), resamples = o.resamples }
end

local KNOWN = { positive = true, resamples = true, seed = true, level = true }

--- tune(prob, labels, metric[, {positive = 2, resamples = 0, seed = 1, level = .95}]) -> cut, value, spread
-- The cut (above it is positive) with the best metric on these rows: exact, a midpoint between neighbouring scores, or 0 or
-- 1; ties go to the cut nearest .5. metric: "f1", "f1_macro", "balanced_accuracy", "mcc", "accuracy", "f2", "f0.5" (any
-- beta), {cost = {fp = 1, fn = 5}} (the value is minus the total cost), or a function(tp, fp, fn, tn) that is larger when
-- better. The value flatters: it is that of the rows the cut was chosen on. With resamples, spread = {low, high, sd, level,
-- resamples}: where the cut moves when the rows are drawn anew.
function threshold.tune(prob, labels, metric, options)
  local o = options or {}
  check_options("threshold.tune", o, KNOWN)
  prob, labels = as_list(prob), as_list(labels)
  check_rows("threshold.tune", prob, labels)
  local f, name = counting(metric or "f1", "threshold.tune")
  local positive = o.positive or 2
  local cut, value = tune(prob, labels, name, f, positive)
  if (o.resamples or 0) > 0 then return cut, value, bootstrap(prob, labels, name, f, positive, o) end
  return cut, value
end

--- at(prob, labels, metric, cut[, {positive = 2}]) -> value
-- The metric when everything above cut is called positive.
function threshold.at(prob, labels, metric, cut, options)
  prob, labels = as_list(prob), as_list(labels)
  check_rows("threshold.at", prob, labels)
  local f, name = counting(metric or "f1", "threshold.at")
  return value_at(prob, labels, name, f, options and options.positive or 2, function() return cut end)
end

--- crossfit(prob, labels, folds, metric[, {positive = 2, resamples = 200, seed = 1, level = .95}]) -> result
-- folds: the fold of each row (any value). The cut of a fold is tuned on the rows of all other folds. result: pred (list of
-- classes 1 and 2, or 2 where positive = 1 was found), row_cut (the cut of each row), cuts ({[fold] = cut}), names (folds in
-- order of appearance), value (the metric of pred over all rows: nothing was chosen on the rows it is judged on), at_half
-- (with .5 everywhere), flattered (with one cut tuned on these very rows), cut (that one: for new rows), spread (its bootstrap).
function threshold.crossfit(prob, labels, folds, metric, options)
  local o = options or {}
  check_options("threshold.crossfit", o, KNOWN)
  prob, labels, folds = as_list(prob), as_list(labels), as_list(folds)
  check_rows("threshold.crossfit", prob, labels)
  if #folds ~= #prob then error(("threshold.crossfit: %d rows but %d folds"):format(#prob, #folds), 2) end
  local f, name = counting(metric or "f1", "threshold.crossfit")
  local positive, names, cuts = o.positive or 2, {}, {}
  for _, k in ipairs(folds) do
    if cuts[k] == nil then
      cuts[k] = false
      names[#names + 1] = k
    end
  end
  if #names < 2 then error("threshold.crossfit: one fold: there are no other rows to choose the cut on", 2) end
  for _, k in ipairs(names) do
    local p, y = {}, {}
    for i, fold in ipairs(folds) do
      if fold ~= k then p[#p + 1], y[#y + 1] = prob[i], labels[i] end
    end
    local _, positives = positive_rows(y, positive)
    if positives == 0 or positives == #y then
      error(("threshold.crossfit: the %d rows outside fold %s are all of one class"):format(#y, tostring(k)), 2)
    end
    cuts[k] = tune(p, y, name, f, positive)
  end
  local r = { pred = {}, row_cut = {}, cuts = cuts, names = names, metric = name }
  for i, p in ipairs(prob) do
    r.row_cut[i] = cuts[folds[i]]
    r.pred[i] = p > r.row_cut[i] and positive or 3 - positive
  end
  r.value = value_at(prob, labels, name, f, positive, function(i) return r.row_cut[i] end)
  r.at_half = value_at(prob, labels, name, f, positive, function() return .5 end)
  r.cut, r.flattered = tune(prob, labels, name, f, positive)
  local resamples = o.resamples or 200
  if resamples > 0 then
    r.spread = bootstrap(prob, labels, name, f, positive, { resamples = resamples, seed = o.seed, level = o.level })
  end
  return r
end

--- centre(prob, cuts) -> list
-- Probabilities moved so that the cut of each row stands at .5: logit p minus logit of the cut. Order is kept among rows
-- with one cut, so what is counted above .5 (F1, accuracy, precision) is that of the cuts, with every tool that knows only
-- one threshold. cuts: a number, or one for each row.
function threshold.centre(prob, cuts)
  local out = {}
  for i, p in ipairs(as_list(prob)) do
    local c = type(cuts) == "number" and cuts or cuts[i]
    if c <= 0 then out[i] = p > 0 and math.max(p, .5 + 1e-9) or 0.0
    elseif c >= 1 then out[i] = math.min(p, .5)
    else
      local up, down = p * (1 - c), (1 - p) * c             -- p' = up / (up + down): the odds divided by those of the cut
      out[i] = up + down > 0 and up / (up + down) or .5
      if p > c and out[i] <= .5 then out[i] = .5 + 1e-12 elseif p <= c and out[i] > .5 then out[i] = .5 end
    end
  end
  return out
end

return threshold
