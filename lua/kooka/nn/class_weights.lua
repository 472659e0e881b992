--- class_weights: how much a class counts in a loss, from the labels of a training side: balanced, effective number, given; and the
-- margins of LDAM and the log-prior of logit adjustment from the same counts.
local split = require "kooka.data.split"

local class_weights = {}

local function as_list(x) return type(x) == "userdata" and x:tolist() or x end

-- The rows of a split's training side, those given, or all; a held-out side has no say in a loss.
local function rows_of(labels, what, who)
  if split.is_split(what) then return what.train end
  if what and split.role(what) == "valid" then
    error(who .. ": these rows are a held-out side; weights come from the training side", 4)
  end
  if what then return what end
  local all = {}
  for i = 1, #labels do all[i] = i end
  return all
end

--- class_weights.counts(labels, {split = nil, classes = largest label, empty = false}) -> list of counts
-- labels: classes from 1, a list or a tensor; split: a kooka.data.split (its training side counts), or a list of rows.
-- A label outside 1..classes is an error that names it; so is a class without a row, unless empty.
function class_weights.counts(labels, options)
  local o = options or {}
  labels = as_list(labels)
  local rows, count, classes = rows_of(labels, o.split, "class_weights"), {}, o.classes or 0
  for _, row in ipairs(rows) do
    local y = labels[row]
    if math.type(y) ~= "integer" or y < 1 or o.classes and y > o.classes then
      error(("class_weights: the label of row %s is %s, expected a class from 1%s"):format(tostring(row), tostring(y),
        o.classes and (" to %d"):format(o.classes) or ""), 2)
    end
    count[y], classes = (count[y] or 0) + 1, math.max(classes, y)
  end
  for c = 1, classes do
    if not count[c] then
      if not o.empty then error(("class_weights: class %d of %d has none of the %d rows"):format(c, classes, #rows), 2) end
      count[c] = 0
    end
  end
  if classes < 2 then error(("class_weights: one class only (%d rows)"):format(#rows), 2) end
  return count
end

local function none(count)
  local w = {}
  for c = 1, #count do w[c] = 1.0 end
  return w
end

local function balanced(count)
  local n, w = 0, {}
  for _, k in ipairs(count) do n = n + k end
  for c, k in ipairs(count) do w[c] = k > 0 and n / (#count * k) or 1.0 end
  return w
end

local function sqrt(count)
  local w = balanced(count)
  for c, v in ipairs(w) do w[c] = math.sqrt(v) end
  return w
end

local function effective(count, o)
  local beta, w, sum = o.beta or .999, {}, 0
  if not (beta >= 0 and beta < 1) then error(("class_weights: beta is %s, expected 0 or more and below 1"):format(tostring(beta)), 3) end
  for c, k in ipairs(count) do
    w[c] = k > 0 and (1 - beta) / (1 - beta ^ k) or 1.0
    sum = sum + w[c]
  end
  for c = 1, #w do w[c] = w[c] * #w / sum end
  return w
end

local function given_weights(count, o)
  local given, w = o.given, {}
  if type(given) ~= "table" or #given ~= #count then
    error(("class_weights: given has %s weights for %d classes"):format(type(given) == "table" and #given or "no", #count), 3)
  end
  for c, v in ipairs(given) do
    if type(v) ~= "number" or not (v > 0 and v < math.huge) then
      error(("class_weights: the weight of class %d is %s, expected a number above 0"):format(c, tostring(v)), 3)
    end
    w[c] = v
  end
  return w
end

local KINDS = { none = none, balanced = balanced, sqrt = sqrt, effective = effective, given = given_weights }

--- class_weights.of(kind, labels, {split = nil, classes =, beta = .999, given =, empty = false}) -> list of weights, counts
-- "balanced": n / (C n_c), so that all classes weigh the same (King & Zeng 2001; scikit-learn's name); "sqrt": the square
-- root of that, half-way there; "effective": (1 - beta) / (1 - beta^n_c), the inverse of the effective number of samples,
-- scaled to sum to C (Cui et al. 2019, eq. 4); beta 0 is no weighting, beta -> 1 is 1 / n_c; "given": the list `given`,
-- checked; "none": ones. empty: a class without a row weighs 1 ("effective": before scaling) instead of being an error.
function class_weights.of(kind, labels, options)
  local o = options or {}
  local f = KINDS[kind]
  if not f then error(("class_weights: kind is %s, expected balanced, sqrt, effective, given or none"):format(tostring(kind)), 2) end
  local count = class_weights.counts(labels, { split = o.split, classes = o.classes, empty = o.empty })
  return f(count, o), count
end

--- class_weights.log_prior(counts, tau = 1) -> list
-- tau log(n_c / n): what logit adjustment adds to the logits in training (Menon et al. 2021, eq. 10), or takes from
-- those of a plainly trained model afterwards (eq. 9).
function class_weights.log_prior(counts, tau)
  local n, out = 0, {}
  for _, k in ipairs(counts) do n = n + k end
  for c, k in ipairs(counts) do out[c] = (tau or 1) * math.log(k / n) end
  return out
end

--- class_weights.margins(counts, largest = .5) -> list
-- Margins proportional to n_c^(-1/4), the rarest class's being `largest` (LDAM; Cao et al. 2019, eq. 13).
function class_weights.margins(counts, largest)
  local out, most = {}, 0
  for c, k in ipairs(counts) do
    out[c] = k ^ -.25
    most = math.max(most, out[c])
  end
  for c = 1, #out do out[c] = out[c] * (largest or .5) / most end
  return out
end

return class_weights
