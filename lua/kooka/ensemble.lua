--- kooka.ensemble: several models for the same rows become one: mean of probabilities or logits, given weights, or stacked.
-- A member is {name =, prob =, fold =, seed =, test =}: out-of-fold probabilities ([N] of class 2, or [N] lists of C) of the
-- labelled rows, the fold in which each row was held out, and probabilities of new rows. A stacked ensemble (Wolpert 1992)
-- is cross-fitted: the weights used on a fold come from the other folds, so its score is out of fold as well. Thresholds are
-- chosen in the same way.
local check_options = require "kooka.options"
local eval = require "kooka.eval"
local stack = require "kooka.ensemble.stack"
local tables = require "kooka.table"
local threshold = require "kooka.eval.threshold"

local ensemble = {}

local function as_list(x)
  return type(x) == "userdata" and x:tolist() or x
end

local function name_of(m, i) return m.name or m.seed and "seed " .. tostring(m.seed) or "member " .. i end

-- ---- members that speak of the same rows

local function by_id(m, i)
  local place = {}
  for row, id in ipairs(m.ids) do
    if place[id] then
      error(("ensemble: %s has the id %s twice (rows %d and %d)"):format(name_of(m, i), tostring(id), place[id], row), 3)
    end
    place[id] = row
  end
  return place
end

local function pick(list, rows)
  if not list then return nil end
  local out = {}
  for i, row in ipairs(rows) do out[i] = list[row] end
  return out
end

--- align(members[, {common = false}]) -> members, ids
-- Members with ids (a list beside prob), all in the order of the first. Raises, naming the member and the first ids, when one
-- lacks rows that another has; common = true keeps the rows that all have. Labels (`labels`) of a member move along. Their
-- test predictions, {ids =, prob =}, are put into one order too.
function ensemble.align(members, options)
  check_options("ensemble.align", options, { common = true })
  local common = options and options.common
  local function order(list, what)
    local places, kept = {}, {}
    for i, m in ipairs(list) do places[i] = by_id(m, i) end
    for row, id in ipairs(list[1].ids) do
      local everywhere = true
      for i = 2, #list do
        if not places[i][id] then
          everywhere = false
          if not common then
            error(("ensemble.align: %s has no %s for id %s, which %s has"):format(name_of(list[i], i), what, tostring(id),
              name_of(list[1], 1)), 3)
          end
        end
      end
      if everywhere then kept[#kept + 1] = row end
    end
    for i = 2, #list do
      if not common and #list[i].ids ~= #list[1].ids then
        error(("ensemble.align: %s has %d rows of %s, %s has %d"):format(name_of(list[i], i), #list[i].ids, what,
          name_of(list[1], 1), #list[1].ids), 3)
      end
    end
    if #kept == 0 then error(("ensemble.align: no id has a %s from every member"):format(what), 3) end
    local ids = pick(list[1].ids, kept)
    local rows = {}
    for i in ipairs(list) do
      rows[i] = {}
      for k, id in ipairs(ids) do rows[i][k] = places[i][id] end
    end
    return ids, rows
  end
  local tested = {}
  for i, m in ipairs(members) do
    if not m.ids then error(("ensemble.align: %s has no ids"):format(name_of(m, i)), 2) end
    if m.test and m.test.ids then
      tested[#tested + 1] = { ids = m.test.ids, name = name_of(m, i), prob = m.test.prob, nbsvm = m.test.nbsvm }
    end
  end
  local ids, rows = order(members, "held-out prediction")
  local out = {}
  for i, m in ipairs(members) do
    local copy = {}
    for k, v in pairs(m) do copy[k] = v end
    copy.ids, copy.prob, copy.fold, copy.labels = ids, pick(as_list(m.prob), rows[i]), pick(m.fold, rows[i]), pick(m.labels, rows[i])
    copy.nbsvm, copy.rows, copy.test = pick(m.nbsvm, rows[i]), rows[i], nil
    out[i] = copy
  end
  if #tested == #members then
    local test_ids, test_rows = order(tested, "test prediction")
    for i, t in ipairs(tested) do
      out[i].test, out[i].test_ids, out[i].test_rows = pick(as_list(t.prob), test_rows[i]), test_ids, test_rows[i]
      out[i].nbsvm_test = pick(t.nbsvm, test_rows[i])
    end
  end
  return out, ids
end

local function check_prob(m, i, n)
  local prob = as_list(m.prob)
  if type(prob) ~= "table" then error(("ensemble: %s has no prob"):format(name_of(m, i)), 4) end
  if #prob ~= n then error(("ensemble: %s has %d rows, there are %d labels"):format(name_of(m, i), #prob, n), 4) end
  local classes = type(prob[1]) == "table" and #prob[1] or nil
  for row, p in ipairs(prob) do
    if classes then
      if type(p) ~= "table" or #p ~= classes then error(("ensemble: %s: row %d is not a list of %d"):format(name_of(m, i), row, classes), 4) end
    elseif type(p) ~= "number" or not (p >= 0 and p <= 1) then
      error(("ensemble: %s: prob in row %d is %s, expected a number in 0..1"):format(name_of(m, i), row, tostring(p)), 4)
    end
  end
  return prob, classes
end

-- ---- ways to combine

local function all_rows(n)
  local rows = {}
  for i = 1, n do rows[i] = i end
  return rows
end

-- Weighted mean of probabilities.
local function mean_of(members, weights, n)
  local out, total = {}, 0
  for m = 1, #members do total = total + weights[m] end
  for i = 1, n do
    local first = members[1][i]
    if type(first) == "number" then
      local s = 0
      for m, prob in ipairs(members) do s = s + weights[m] * prob[i] end
      out[i] = math.min(1, math.max(0, s / total))
    else
      local row = {}
      for c = 1, #first do
        local s = 0
        for m, prob in ipairs(members) do s = s + weights[m] * prob[i][c] end
        row[c] = s / total
      end
      out[i] = row
    end
  end
  return out
end

-- Weighted mean of logits: the geometric mean of the odds.
local function logit_mean(members, weights, n, classes)
  local total, w, bias = 0, {}, {}
  for m = 1, #members do total = total + weights[m] end
  for m = 1, #members do w[m] = weights[m] / total end
  for c = 1, classes do bias[c] = 0.0 end
  return stack.apply({ weights = w, bias = bias, classes = classes }, members, all_rows(n))
end

local function distinct(list)
  local seen, names = {}, {}
  for _, k in ipairs(list) do
    if seen[k] == nil then
      seen[k] = true
      names[#names + 1] = k
    end
  end
  return names
end

-- Folds of the rows: those given, those that all members share, or new ones.
local function folds_of(o, members, labels)
  if o.folds then
    if #o.folds ~= #labels then error(("ensemble: %d labels but %d folds"):format(#labels, #o.folds), 4) end
    return o.folds
  end
  local first, note = nil, nil
  for i, m in ipairs(members) do
    if m.fold and not first then first = m.fold
    elseif m.fold then
      for row, k in ipairs(m.fold) do
        if k ~= first[row] then
          note = ("members were held out in different folds (row %d: %s and %s, %s): those of the first are used"):format(row,
            tostring(first[row]), tostring(k), name_of(m, i))
          break
        end
      end
    end
  end
  if first and #distinct(first) > 1 then return first, note end
  local split, folds = require "kooka.data.split", {}
  for k, s in ipairs(split.kfold(labels, { k = 5, seed = o.seed or 1 })) do
    for _, row in ipairs(s.valid) do folds[row] = k end
  end
  return folds, first and "the rows were held out all at once: five folds of them, stratified"
    or "no member says its folds: five new ones, stratified"
end

-- Cross-fitted: weights of a fold from the others; and weights from all rows, for new ones.
local function stacked(probs, labels, folds, classes, o)
  local options = { classes = classes, l2 = o.l2, towards = o.towards, nonnegative = o.nonnegative }
  local out, fold_fits = {}, {}
  local names = distinct(folds)
  if #names < 2 then error("ensemble: stacking wants two folds or more", 4) end
  for _, k in ipairs(names) do
    local inside, outside = {}, {}
    for i, fold in ipairs(folds) do table.insert(fold == k and outside or inside, i) end
    local fit = stack.fit(probs, labels, inside, options)
    for i, p in ipairs(stack.apply(fit, probs, outside)) do out[outside[i]] = p end
    fold_fits[k] = fit
  end
  return out, stack.fit(probs, labels, all_rows(#labels), options), fold_fits
end

-- ---- scores

-- One row of the table: the metric at .5, at cross-fitted cuts, and the proper scores.
local function score(prob, labels, folds, classes, o)
  local plan = { resamples = o.resamples, seed = o.seed or 1, groups = o.groups }
  if classes then
    local m = eval.multiclass(prob, labels, plan)
    if not m[o.metric] then error(("ensemble: there is no metric '%s' for %d classes"):format(tostring(o.metric), classes), 4) end
    return { metric = m[o.metric], log_loss = m.log_loss, other = m.accuracy, all = m }
  end
  local m = eval.binary(prob, labels, plan)
  if not m[o.metric] then error(("ensemble: there is no metric '%s'"):format(tostring(o.metric)), 4) end
  local s = { metric = m[o.metric], log_loss = m.log_loss, other = m.average_precision, all = m }
  if o.tune then
    s.cut = threshold.crossfit(prob, labels, folds, o.metric, { resamples = 0 })
    s.centred = threshold.centre(prob, s.cut.row_cut)
    s.tuned = eval.binary(s.centred, labels, plan)[o.metric]
  end
  return s
end

local TUNED = { f1 = true, f1_macro = true, balanced_accuracy = true, mcc = true, accuracy = true }

local function leading(s) return (s.tuned or s.metric).value or -math.huge end

-- Ensemble against its best member on the same resamples.
local function compare(result, scores, best, labels, classes, o)
  local a, b = scores[#scores], scores[best]
  if classes then
    local diff = {}
    for i = 1, #labels do
      local y = labels[i]
      diff[i] = math.log(math.max(1e-7, result.members[best].prob[i][y])) - math.log(math.max(1e-7, result.prob[i][y]))
    end
    local m = eval.mean(diff, { resamples = o.resamples, seed = o.seed or 1, groups = o.groups })
    return { difference = m, metric = "log_loss", text = ("log_loss of the ensemble minus %s is %+.4f [%+.4f, %+.4f]"):format(
      result.members[best].name, m.value, m.low or m.value, m.high or m.value) }
  end
  local p = eval.paired(a.centred or result.prob, b.centred or result.members[best].prob, labels, { metric = o.metric,
    resamples = o.resamples, seed = o.seed or 1, groups = o.groups, names = { "the ensemble", result.members[best].name } })
  return { difference = p.differences[o.metric] or p.log_loss, metric = o.metric, verdict = p.verdict, text = p.text, paired = p }
end

local Result = { __name = "kooka.ensemble" }
Result.__index = Result

local KNOWN = { members = true, labels = true, method = true, weights = true, nonnegative = true, l2 = true, towards = true,
  folds = true, metric = true, resamples = true, seed = true, groups = true }

local function settle(o)
  check_options("ensemble.combine", o, KNOWN, 3)
  if type(o.members) ~= "table" or #o.members == 0 then error("ensemble.combine: members is an empty list", 3) end
  local labels = as_list(o.labels)
  if type(labels) ~= "table" or #labels == 0 then error("ensemble.combine: labels are missing", 3) end
  local probs, classes = {}, nil
  for i, m in ipairs(o.members) do
    local c
    probs[i], c = check_prob(m, i, #labels)
    if i == 1 then classes = c
    elseif c ~= classes then error(("ensemble: %s has another number of classes than the first"):format(name_of(m, i)), 3) end
  end
  if o.weights and #o.weights ~= #o.members then
    error(("ensemble.combine: %d weights for %d members"):format(#o.weights, #o.members), 3)
  end
  return labels, probs, classes
end

-- Test rows in the same way; nil when a member has none.
local function combine_test(o, method, weights, fit, classes)
  local tests = {}
  for i, m in ipairs(o.members) do
    local t = as_list(m.test)
    if type(t) ~= "table" then return nil end
    if i > 1 and #t ~= #tests[1] then
      error(("ensemble: %s has %d test rows, %s has %d"):format(name_of(m, i), #t, name_of(o.members[1], 1), #tests[1]), 3)
    end
    tests[i] = t
  end
  if #tests[1] == 0 then return {} end
  if method == "stack" then return stack.apply(fit, tests, all_rows(#tests[1])) end
  if method == "logit" then return logit_mean(tests, weights, #tests[1], classes or 2) end
  return mean_of(tests, weights, #tests[1])
end

--- combine{members =, labels =, method = "mean", ...} -> result
-- method: "mean" of probabilities, "logit" (mean of logits), either with `weights` (one a member), or "stack": cross-fitted
-- multinomial logistic regression with one weight a member (nonnegative = true keeps them at 0 or above; l2 = 1, towards =
-- 1/M: see kooka.ensemble.stack). folds: fold of each row; else the members' own, else five new ones. metric ("f1", or
-- "f1_macro" with more classes) with cuts tuned on the other folds; resamples (1000), seed, groups as in kooka.eval.
--
-- result: prob (out of fold), fold, weights, bias, fold_weights (stack), cut ({cut, spread, cuts, value, at_half,
-- flattered}: for new rows use cut.cut), test (probabilities of new rows), scores (one for each member and last the
-- ensemble: {name, metric, tuned, log_loss, other}), best (place of the best member), against ({difference, text}), notes.
-- The best member was chosen on the rows it is compared on, which is in its favour. tostring() is the table.
function ensemble.combine(o)
  local labels, probs, classes = settle(o)
  local n, method = #labels, o.method or "mean"
  if method ~= "mean" and method ~= "logit" and method ~= "stack" then
    error(("ensemble.combine: method is '%s', expected mean, logit or stack"):format(tostring(method)), 2)
  end
  if method == "stack" and o.weights then error("ensemble.combine: stack finds the weights itself", 2) end
  local folds, note = folds_of(o, o.members, labels)
  local weights, fit, fold_fits, prob = {}, nil, nil
  for m = 1, #probs do
    weights[m] = o.weights and o.weights[m] or 1
    if type(weights[m]) ~= "number" or weights[m] ~= weights[m] or weights[m] < 0 then
      error(("ensemble.combine: weight %d is %s, expected 0 or more"):format(m, tostring(weights[m])), 2)
    end
  end
  if method == "mean" then prob = mean_of(probs, weights, n)
  elseif method == "logit" then prob = logit_mean(probs, weights, n, classes or 2)
  else
    prob, fit, fold_fits = stacked(probs, labels, folds, classes or 2, o)
    weights = fit.weights
  end
  local names, members = {}, {}
  for i, m in ipairs(o.members) do
    names[i] = name_of(m, i)
    members[i] = { name = names[i], prob = probs[i] }
  end
  local s = { metric = o.metric or (classes and "f1_macro" or "f1"), resamples = o.resamples or 1000, seed = o.seed, groups = o.groups }
  s.tune = not classes and TUNED[s.metric] and #distinct(folds) > 1
  local r = setmetatable({ prob = prob, fold = folds, method = method, weights = weights, bias = fit and fit.bias,
    fold_weights = fold_fits, members = members, names = names, metric = s.metric, n = n, notes = { note }, scores = {} }, Result)
  for i = 1, #probs + 1 do
    r.scores[i] = score(probs[i] or prob, labels, folds, classes, s)
    r.scores[i].name = names[i] or ("ensemble (%s)"):format(method)
  end
  local best = 1
  for i = 2, #probs do
    if leading(r.scores[i]) > leading(r.scores[best]) then best = i end
  end
  r.best = best
  if s.tune then r.cut = threshold.crossfit(prob, labels, folds, s.metric, { resamples = math.min(200, s.resamples), seed = o.seed }) end
  r.against = compare(r, r.scores, best, labels, classes, s)
  r.test = combine_test(o, method, weights, fit, classes)
  return r
end

--- r:table() -> text
-- Members and ensemble, each with its metric at one half and at cuts tuned on the other folds, and their intervals.
function Result:table()
  local tuned = self.scores[1].tuned ~= nil
  local columns = { "", { self.metric .. (tuned and " at .5" or ""), align = "right", digits = 4 } }
  if tuned then columns[3] = { self.metric .. ", cut tuned", align = "right", digits = 4 } end
  columns[#columns + 1] = { "log loss", align = "right", digits = 4 }
  columns[#columns + 1] = { tuned and "average precision" or "accuracy", align = "right", digits = 4 }
  columns[#columns + 1] = { "weight", align = "right", digits = 3 }
  local rows = {}
  for i, s in ipairs(self.scores) do
    local row = { s.name, s.metric }
    if tuned then row[3] = s.tuned end
    row[#row + 1], row[#row + 2] = s.log_loss, s.other
    row[#columns] = self.weights[i] or ""
    row.strong = i == #self.scores
    rows[i] = row
  end
  return columns, rows
end

function Result:__tostring()
  local columns, rows = self:table()
  local lines = { tables.text { columns = columns, rows = rows }, self.against.text }
  if self.cut then
    lines[#lines + 1] = ("cut for new rows %.3f [%.3f, %.3f]; %s %.4f with cuts of the other folds, %.4f at .5, %.4f with one cut tuned on "
      .. "these rows"):format(self.cut.cut, self.cut.spread and self.cut.spread.low or self.cut.cut, self.cut.spread
      and self.cut.spread.high or self.cut.cut, self.metric, self.cut.value, self.cut.at_half, self.cut.flattered)
  end
  for _, note in ipairs(self.notes) do lines[#lines + 1] = note end
  return table.concat(lines, "\n")
end

--- nbsvm_member{texts =, labels =, folds =, test =} -> member | nil, message, code
-- NB-SVM as a member: for each fold one is fitted on the rows of the others. folds: a list of splits (kooka.data.split) or
-- the fold of each row; test: texts of new rows, predicted by one fitted on all rows. Further options go to
-- kooka.baseline.nbsvm. It sees words where neural members see sentences, so it errs elsewhere; the winners of the 2019
-- and 2021 contests both mixed naive Bayes in.
function ensemble.nbsvm_member(o)
  local nbsvm = require "kooka.baseline.nbsvm"
  local rest = {}
  for k, v in pairs(o) do rest[k] = v end
  rest.texts, rest.labels, rest.folds, rest.test, rest.name = nil, nil, nil, nil, nil
  local fold = o.folds
  if type(fold[1]) == "table" then
    fold = {}
    for k, s in ipairs(o.folds) do
      for _, row in ipairs(s.valid) do fold[row] = k end
    end
  end
  if #o.texts ~= #o.labels or #fold ~= #o.labels then
    error(("ensemble.nbsvm_member: %d texts, %d labels, %d folds"):format(#o.texts, #o.labels, #fold), 2)
  end
  local function fit(rows)
    local t = {}
    for k, v in pairs(rest) do t[k] = v end
    t.texts, t.labels = pick(o.texts, rows), pick(o.labels, rows)
    return nbsvm.fit(t)
  end
  local prob = {}
  for _, k in ipairs(distinct(fold)) do
    local inside, outside = {}, {}
    for i, f in ipairs(fold) do table.insert(f == k and outside or inside, i) end
    local model, message, code = fit(inside)
    if not model then return nil, message, code end
    local got
    got, message, code = model:predict(pick(o.texts, outside))
    if not got then return nil, message, code end
    for i, p in ipairs(got) do prob[outside[i]] = p end
  end
  local member = { name = o.name or "NB-SVM", prob = prob, fold = fold }
  if o.test then
    local model, message, code = fit(all_rows(#o.texts))
    if not model then return nil, message, code end
    member.test, message, code = model:predict(o.test)
    if not member.test then return nil, message, code end
  end
  return member
end

return ensemble
