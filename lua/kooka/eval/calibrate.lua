--- calibrate: probabilities that mean what they say: temperature scaling (Guo et al. 2017), Platt's method (Platt 1999) and isotonic
-- regression (Zadrozny & Elkan 2002), fitted on held-out predictions; and the shift that undoes resampling.
local check_options = require "kooka.options"
local eval = require "kooka.eval"
local isotonic = require "kooka.eval.isotonic"

local calibrate = {}

local LEAST = 1e-12                      -- probabilities below count as this one

local function log_of(p) return math.log(p > LEAST and p or LEAST) end

local function softmax(z)
  local most, sum, out = -math.huge, 0, {}
  for _, v in ipairs(z) do most = math.max(most, v) end
  for c, v in ipairs(z) do
    out[c] = math.exp(v - most)
    sum = sum + out[c]
  end
  for c = 1, #out do out[c] = out[c] / sum end
  return out
end

-- log(1 + e^x)
local function softplus(x) return x > 0 and x + math.log(1 + math.exp(-x)) or math.log(1 + math.exp(x)) end

--- calibrate.apply(calibration, probs) -> probs
-- probs: a list of lists of class probabilities; the answer is a new one. calibration: as calibrate.fit gives it, or
-- as it is read from calibration.json. Temperature: softmax(log p / T). Platt: p2 = sigmoid(a log(p2 / p1) + b).
-- Isotonic: kooka.eval.isotonic.
function calibrate.apply(calibration, probs)
  if calibration.method == "isotonic" then return isotonic.apply(calibration, probs) end
  local out = {}
  if calibration.method == "temperature" then
    for i, row in ipairs(probs) do
      local z = {}
      for c, p in ipairs(row) do z[c] = log_of(p) / calibration.temperature end
      out[i] = softmax(z)
    end
  else
    for i, row in ipairs(probs) do
      local x = calibration.a * (log_of(row[2]) - log_of(row[1])) + calibration.b
      local p = 1 / (1 + math.exp(-x))
      out[i] = { 1 / (1 + math.exp(x)), p }
    end
  end
  return out
end

-- The temperature of least log-loss: that is convex in 1 / T, so Newton's method, held inside a bracket.
local function fit_temperature(probs, labels)
  local z = {}
  for i, row in ipairs(probs) do
    z[i] = {}
    for c, p in ipairs(row) do z[i][c] = log_of(p) end
  end
  local low, high, beta = 1e-3, 1e3, 1
  for _ = 1, 100 do
    local slope, bend = 0, 0
    for i, row in ipairs(z) do
      local scaled = {}
      for c, v in ipairs(row) do scaled[c] = beta * v end
      local mean, square = 0, 0
      for c, p in ipairs(softmax(scaled)) do mean, square = mean + p * row[c], square + p * row[c] ^ 2 end
      slope, bend = slope + mean - row[labels[i]], bend + square - mean ^ 2
    end
    if slope > 0 then high = beta else low = beta end
    local next_beta = bend > 0 and beta - slope / bend or nil
    if not next_beta or next_beta <= low or next_beta >= high then next_beta = math.sqrt(low * high) end
    if math.abs(next_beta - beta) <= 1e-12 * beta then break end
    beta = next_beta
  end
  return { method = "temperature", temperature = 1 / beta }
end

-- Loss of Platt's a, b with targets t, and its first and second derivatives.
local function platt_loss(x, t, a, b)
  local loss, ga, gb, haa, hab, hbb = 0, 0, 0, 0, 0, 0
  for i, v in ipairs(x) do
    local s = a * v + b
    local p = 1 / (1 + math.exp(-s))
    loss = loss + softplus(s) - t[i] * s
    local d, w = p - t[i], p * (1 - p)
    ga, gb = ga + d * v, gb + d
    haa, hab, hbb = haa + w * v * v, hab + w * v, hbb + w
  end
  return loss, ga, gb, haa + 1e-10, hab, hbb + 1e-10
end

-- Newton's method with halved steps, and targets that are a little softer than 0 and 1 (Platt 1999; Lin, Lin & Weng
-- 2007).
local function fit_platt(probs, labels)
  local x, t, positive = {}, {}, 0
  for i, row in ipairs(probs) do
    if #row ~= 2 then error(("calibrate: Platt's method is for two classes, row %d has %d; use temperature"):format(i, #row), 3) end
    x[i] = log_of(row[2]) - log_of(row[1])
    positive = positive + (labels[i] == 2 and 1 or 0)
  end
  local high, low = (positive + 1) / (positive + 2), 1 / (#x - positive + 2)
  for i = 1, #x do t[i] = labels[i] == 2 and high or low end
  local a, b = 0, math.log((positive + 1) / (#x - positive + 1))
  local loss, ga, gb, haa, hab, hbb = platt_loss(x, t, a, b)
  for _ = 1, 200 do
    if math.abs(ga) < 1e-9 * #x and math.abs(gb) < 1e-9 * #x then break end
    local det = haa * hbb - hab * hab
    local da, db = -(hbb * ga - hab * gb) / det, -(haa * gb - hab * ga) / det
    local step, slope, moved = 1, ga * da + gb * db, false
    while step > 1e-10 do
      local l, g1, g2, h1, h2, h3 = platt_loss(x, t, a + step * da, b + step * db)
      if l < loss + 1e-4 * step * slope then
        a, b, moved = a + step * da, b + step * db, true
        loss, ga, gb, haa, hab, hbb = l, g1, g2, h1, h2, h3
        break
      end
      step = step / 2
    end
    if not moved then break end
  end
  return { method = "platt", a = a, b = b }
end

local FITS = { temperature = fit_temperature, platt = fit_platt, isotonic = isotonic.fit }

local function checked(probs, labels, o)
  if type(probs) ~= "table" or #probs == 0 then error("calibrate: there are no predictions", 3) end
  if #labels ~= #probs then error(("calibrate: %d predictions but %d labels"):format(#probs, #labels), 3) end
  local C = type(probs[1]) == "table" and #probs[1] or 0
  for i, row in ipairs(probs) do
    if type(row) ~= "table" or #row ~= C or C < 2 then
      error(("calibrate: row %d: expected %s class probabilities"):format(i, C < 2 and "two or more" or tostring(C)), 3)
    end
    for c, p in ipairs(row) do
      if not (p >= 0 and p <= 1 + 1e-6) then error(("calibrate: row %d: probability %d is %s"):format(i, c, tostring(p)), 3) end
    end
    if math.type(labels[i]) ~= "integer" or labels[i] < 1 or labels[i] > C then
      error(("calibrate: label %d is %s, expected a class from 1 to %d"):format(i, tostring(labels[i]), C), 3)
    end
  end
  if o.fold and #o.fold ~= #probs then error(("calibrate: %d predictions but %d folds"):format(#probs, #o.fold), 3) end
end

-- Fold of each row: as given, or in turn through the rows of one class after the other.
local function folds_of(labels, o)
  if o.fold then return o.fold end
  local rows, fold = {}, {}
  for i = 1, #labels do rows[i] = i end
  table.sort(rows, function(a, b)
    if labels[a] ~= labels[b] then return labels[a] < labels[b] end
    return a < b
  end)
  for k, i in ipairs(rows) do fold[i] = (k - 1) % (o.folds or 5) + 1 end
  return fold
end

-- Probabilities of each row from a calibration that was fitted without its fold.
local function cross_fitted(fit, probs, labels, fold)
  local members, out = {}, {}
  for i, f in ipairs(fold) do
    members[f] = members[f] or {}
    table.insert(members[f], i)
  end
  for f, rows in pairs(members) do
    local p, y, own = {}, {}, {}
    for i = 1, #probs do
      if fold[i] ~= f then p[#p + 1], y[#y + 1] = probs[i], labels[i] end
    end
    if #p == 0 then error("calibrate: all rows are in one fold: nothing is left to fit on", 3) end
    local calibration = fit(p, y)
    for k, i in ipairs(rows) do own[k] = probs[i] end
    for k, row in ipairs(calibrate.apply(calibration, own)) do out[rows[k]] = row end
  end
  return out
end

--- calibrate.crossfit(probs, labels, fold = nil, method = "platt") -> probs
-- Each row by a calibration that was fitted on the rows of all other folds: what may be scored. fold: of each row; nil: five, taken in
-- turn, as in calibrate.fit.
function calibrate.crossfit(probs, labels, fold, method)
  local fit = FITS[method or "platt"]
  if not fit then error(("calibrate: method is %s, expected temperature, platt or isotonic"):format(tostring(method)), 2) end
  checked(probs, labels, { fold = fold })
  return cross_fitted(fit, probs, labels, folds_of(labels, { fold = fold }))
end

--- calibrate.fit(probs, labels, {method="temperature", folds=5, fold=nil, groups=nil, seed=nil}) -> calibration
-- probs: held-out class probabilities, a list of lists; labels: classes from 1. method: "temperature" (one number, no
-- label changes) or "platt" (two classes; also moves the balance) or "isotonic" (any rising curve; wants hundreds of
-- rows of each class). calibration: {method, temperature | a, b | curves, n, log_loss = {before, after, difference}},
-- metrics with intervals of the bootstrap. `after` is cross-fitted, each row by a calibration that did not see its
-- fold (fold: of each row, as in cross-validation; or folds, taken in turn), because the rows it was fitted on flatter
-- it; the calibration itself is fitted on all rows. groups: of each row, for the bootstrap.
function calibrate.fit(probs, labels, o)
  o = o or {}
  check_options("calibrate.fit", o, { method = true, folds = true, fold = true, groups = true, seed = true })
  local fit = FITS[o.method or "temperature"]
  if not fit then error(("calibrate: method is %s, expected temperature, platt or isotonic"):format(tostring(o.method)), 2) end
  checked(probs, labels, o)
  local calibration = fit(probs, labels)
  local crossed = cross_fitted(fit, probs, labels, folds_of(labels, o))
  local before, after, difference = {}, {}, {}
  for i, y in ipairs(labels) do
    before[i], after[i] = -log_of(probs[i][y]), -log_of(crossed[i][y])
    difference[i] = after[i] - before[i]
  end
  local b = { groups = o.groups, seed = o.seed }
  calibration.n = #probs
  calibration.log_loss = { before = eval.mean(before, b), after = eval.mean(after, b), difference = eval.mean(difference, b) }
  return calibration
end

--- calibrate.check(calibration) -> true | nil, message
-- Whether a table, as from a file, is a calibration that calibrate.apply can use.
function calibrate.check(calibration)
  local function number(v) return type(v) == "number" and v == v and math.abs(v) < 1e9 end
  if type(calibration) ~= "table" then return nil, "expected an object" end
  if calibration.method == "temperature" then
    if number(calibration.temperature) and calibration.temperature > 0 then return true end
    return nil, ("temperature is %s, expected a number above 0"):format(tostring(calibration.temperature))
  elseif calibration.method == "platt" then
    if number(calibration.a) and number(calibration.b) then return true end
    return nil, "platt: a and b must be numbers"
  elseif calibration.method == "isotonic" then
    return isotonic.check(calibration)
  end
  return nil, ("method is %s, expected temperature, platt or isotonic"):format(tostring(calibration.method))
end

---- the balance of classes ------------------------------------------------------------------------------

-- A list of C numbers above 0 as shares that sum to 1.
local function shares(list, classes, name)
  local sum, out = 0, {}
  if type(list) ~= "table" or #list ~= classes then
    error(("calibrate: %s has %s numbers for %d classes"):format(name, type(list) == "table" and #list or "no", classes), 3)
  end
  for c, v in ipairs(list) do
    if type(v) ~= "number" or not (v > 0 and v < math.huge) then
      error(("calibrate: %s of class %d is %s, expected a share or a count above 0"):format(name, c, tostring(v)), 3)
    end
    sum = sum + v
  end
  for c, v in ipairs(list) do out[c] = v / sum end
  return out
end

local function shifted(row, ratio)
  local sum, out = 0, {}
  for c, p in ipairs(row) do
    out[c] = p * ratio[c]
    sum = sum + out[c]
  end
  for c = 1, #out do out[c] = sum > 0 and out[c] / sum or 1 / #out end
  return out
end

--- calibrate.prior_shift(probs, from, to) -> probs
-- Probabilities of a model that was trained where classes had the shares `from` (behind resampling, or as class
-- weights make them: w_c n_c), as they are where classes have the shares `to`: p_c becomes p_c to_c / from_c, and rows
-- sum to 1 again (Elkan 2001, theorem 2; Saerens et al. 2002, eq. 4). For two classes that adds log(to_2 / to_1) -
-- log(from_2 / from_1) to the logit. probs: a list of lists, or of probabilities of class 2; from, to: shares or
-- counts above 0. Raises where a probability is none, naming the row.
function calibrate.prior_shift(probs, from, to)
  if #probs == 0 then return {} end
  local flat = type(probs[1]) == "number"
  local classes = flat and 2 or #(probs[1] or {})
  from, to = shares(from, classes, "from"), shares(to, classes, "to")
  local ratio, out = {}, {}
  for c = 1, classes do ratio[c] = to[c] / from[c] end
  for i, row in ipairs(probs) do
    local p = flat and { 1 - row, row } or row
    for c = 1, classes do
      if not (p[c] and p[c] >= 0 and p[c] <= 1 + 1e-6) then
        error(("calibrate.prior_shift: row %d: the probability of class %d is %s"):format(i, c, tostring(p[c])), 2)
      end
    end
    out[i] = flat and shifted(p, ratio)[2] or shifted(p, ratio)
  end
  return out
end

--- calibrate.priors(probs, from, {steps = 1000, tolerance = 1e-9}) -> shares, steps
-- The shares of classes among rows without labels, from probabilities of a model trained at the shares `from`:
-- expectation maximisation (Saerens et al. 2002, section 2.2). Right only where the texts of each class are like those
-- trained on.
function calibrate.priors(probs, from, o)
  o = o or {}
  check_options("calibrate.priors", o, { steps = true, tolerance = true })
  if #probs == 0 then error("calibrate.priors: there are no predictions", 2) end
  local start = shares(from, #probs[1], "from")
  local now, limit = start, o.steps or 1000
  for step = 1, limit do
    local sum, most = {}, 0
    local ratio = {}
    for c = 1, #start do ratio[c], sum[c] = now[c] / start[c], 0 end
    for _, row in ipairs(probs) do
      for c, p in ipairs(shifted(row, ratio)) do sum[c] = sum[c] + p end
    end
    for c = 1, #start do
      sum[c] = sum[c] / #probs
      most = math.max(most, math.abs(sum[c] - now[c]))
    end
    now = sum
    if most < (o.tolerance or 1e-9) then return now, step end
  end
  return now, limit
end

return calibrate
