--- kooka.eval.decision: which class to say, where the metric does not ask for the most probable one.
-- Macro F1 and mean recall count a rare class as much as a frequent one, F1 asks for one class only; the class of the largest probability
-- is right for the accuracy alone. Of two classes the cut is tuned (kooka.eval.threshold). Of more the frequent ones are held back: the
-- class of the largest p[c] / share[c]^tau (logit adjustment behind the training: Menon et al. 2021), with one tau between 0 (the most
-- probable) and 1 (as if all classes were of one size, which the mean recall wants). Each fold's is chosen on the rows of the others.
local eval = require "kooka.eval"
local threshold = require "kooka.eval.threshold"

local decision = {}

local STEPS <const> = 20                  -- of tau, between 0 and 1
local OF_TWO <const> = { f1_2 = "f1", f1_macro = "f1_macro", recall_macro = "balanced_accuracy", balanced_accuracy = "balanced_accuracy",
  accuracy = "accuracy", mcc = "mcc" }

-- Rows whose largest probability is that of the class to say.
local function held_back(prob, shares, tau)
  local out, factor = {}, {}
  for c, s in ipairs(shares) do factor[c] = s ^ -tau end
  for i, row in ipairs(prob) do
    local moved, sum = {}, 0
    for c, p in ipairs(row) do
      moved[c] = p * factor[c]
      sum = sum + moved[c]
    end
    for c, p in ipairs(moved) do moved[c] = sum > 0 and p / sum or row[c] end
    out[i] = moved
  end
  return out
end

-- Shares of the classes; one without a row counts as half a row.
local function shares_of(labels, classes)
  local out = {}
  for c = 1, classes do out[c] = .5 end
  for _, y in ipairs(labels) do out[y] = (out[y] == .5 and 0 or out[y]) + 1 end
  for c = 1, classes do out[c] = out[c] / #labels end
  return out
end

-- The tau of the best metric, the smallest where several are as good.
local function best_tau(prob, labels, metric, of)
  local shares, best, tau = shares_of(labels, #prob[1]), -math.huge, 0
  for k = 0, STEPS do
    local m = eval.multiclass(held_back(prob, shares, k / STEPS), labels, { resamples = 0, classes = of })[metric]
    if not m then error(("decision.crossfit: there is no metric '%s'"):format(tostring(metric)), 4) end
    if m.value and m.value > best then best, tau = m.value, k / STEPS end
  end
  return tau, shares
end

local function of_many(prob, labels, folds, metric, of)
  local rows, out = {}, {}
  for i, k in ipairs(folds) do
    rows[k] = rows[k] or {}
    table.insert(rows[k], i)
  end
  for k, mine in pairs(rows) do
    local p, y, judged = {}, {}, {}
    for i = 1, #prob do
      if folds[i] ~= k then p[#p + 1], y[#y + 1] = prob[i], labels[i] end
    end
    for j, i in ipairs(mine) do judged[j] = prob[i] end
    local tau, shares = best_tau(p, y, metric, of)
    for j, row in ipairs(held_back(judged, shares, tau)) do out[mine[j]] = row end
  end
  local tau, shares = best_tau(prob, labels, metric, of)
  return { prob = out, text = ("frequent classes held back, tau %.2f"):format(tau),
    move = function(new) return held_back(new, shares, tau) end }
end

local function pairs_of(second)
  local out = {}
  for i, p in ipairs(second) do out[i] = { 1 - p, p } end
  return out
end

local function of_two(prob, labels, folds, metric)
  local name = OF_TWO[metric] or error(("decision.crossfit: there is no cut for the metric '%s'"):format(tostring(metric)), 3)
  local function second(list)
    local out = {}
    for i, row in ipairs(list) do out[i] = row[2] end
    return out
  end
  local c = threshold.crossfit(second(prob), labels, folds, name, { resamples = 0 })
  return { prob = pairs_of(threshold.centre(second(prob), c.row_cut)), text = ("cut %.3f"):format(c.cut),
    move = function(new) return pairs_of(threshold.centre(second(new), c.cut)) end }
end

--- crossfit(prob, labels, folds, metric, {classes = nil}) -> {prob, move, text}
-- prob: [N] lists of C probabilities; folds: the fold of each row, two or more; metric: one of eval.multiclass (f1_macro, recall_macro,
-- f1_2, accuracy, ...; of two classes those named, balanced_accuracy and mcc); classes: those that its mean takes. Of the answer prob
-- are the same rows, each moved as the other folds want it, so that the class of the largest is the one to say; move(new) does that for
-- new rows as all of these want it; text says what was chosen.
function decision.crossfit(prob, labels, folds, metric, options)
  local several = false
  for _, k in ipairs(folds) do several = several or k ~= folds[1] end
  if #prob ~= #labels or #folds ~= #labels or not several then
    error(("decision.crossfit: %d rows, %d labels, %d folds%s; expected as many of each and two different folds"):format(#prob, #labels,
      #folds, several and "" or ", all the same"), 2)
  end
  if #prob[1] == 2 then return of_two(prob, labels, folds, metric) end
  return of_many(prob, labels, folds, metric, options and options.classes)
end

return decision
