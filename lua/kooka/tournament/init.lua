--- kooka.tournament: strategies against imbalance on the same repeated stratified folds, with one linear head for all.
--
-- Within each fold the penalty is chosen for each strategy by cross-validation inside the training side, where the
-- strategy works anew on each inner training side; so no held-out row has any part in what is resampled, weighted or
-- tuned. Judged is every strategy as it is (the cut at .5) and repaired: probabilities brought back to the training
-- side's balance of classes, and the cut of each metric tuned on the other folds. Rows of different folds are ranked
-- (average precision) and cut together as if the classes were equally many, which takes out how many positives a
-- training side happens to hold. The reference is `nothing`, repaired: doing nothing with a tuned threshold.
local calibrate = require "kooka.eval.calibrate"
local core = require "kooka.core"
local repeats = require "kooka.eval.repeats"
local split = require "kooka.data.split"
local threshold = require "kooka.eval.threshold"

local tournament = {}

--- tournament.metrics: what is judged; tuned: label metrics, each at its own cut.
tournament.metrics = { "average_precision", "mcc", "f1", "balanced_accuracy", "brier", "log_loss" }
tournament.tuned = { "mcc", "f1", "balanced_accuracy" }
--- tournament.l2: the penalties that are tried, strong to weak (core.logistic.path).
tournament.l2 = { 1, .1, .03, .01, 3e-3, 1e-3, 3e-4, 1e-4, 1e-5 }

local function count(labels, rows)
  local c = { 0, 0 }
  for _, row in ipairs(rows) do c[labels[row]] = c[labels[row]] + 1 end
  return c
end

local function take(x, rows) return core.index_select(x, core.tensor(rows, "int32")) end

-- What a strategy makes of a training side: features, labels, options of the head, and under which balance its answers
-- are right.
local function prepared(strategy, data, s, seed)
  local own = count(data.labels, s.train)
  local got = strategy.prepare { split = s, labels = data.labels, x = data.x, count = own, seed = seed, given = data.given }
  local labels = got.labels
  if not labels then
    labels = {}
    for i, row in ipairs(s.train) do labels[i] = data.labels[row] end
  end
  local from = got.from
  if not from and got.labels then
    from = { 0, 0 }
    for _, y in ipairs(labels) do from[y] = from[y] + 1 end
  end
  for c = 1, 2 do
    if from and from[c] <= 0 then error(("it leaves none of the %d training rows of class %d"):format(own[c], c), 0) end
  end
  return { x = got.x or take(data.x, got.rows or s.train), labels = labels, options = got.options or {}, own = own,
    from = from or own, text = got.text }
end

local function heads(p, l2)
  local o = { l2 = l2, tolerance = 1e-5 }
  for k, v in pairs(p.options) do o[k] = v end
  return core.logistic.path(p.x, p.labels, o)
end

-- Splits of a training side, as splits of the whole.
local function inner_splits(data, s, o)
  local labels, groups = {}, data.keys and {}
  for i, row in ipairs(s.train) do
    labels[i] = data.labels[row]
    if groups then groups[i] = data.keys[row] end
  end
  local out, own = {}, count(data.labels, s.train)
  local k = math.min(o.inner, own[2])
  if k < 2 then return out end
  for _, part in ipairs(split.kfold(labels, { k = k, seed = o.seed, groups = groups })) do
    local train, valid = {}, {}
    for i, at in ipairs(part.train) do train[i] = s.train[at] end
    for i, at in ipairs(part.valid) do valid[i] = s.train[at] end
    local c = count(data.labels, train)
    if c[1] > 0 and c[2] > 0 then out[#out + 1] = split.given(train, valid) end
  end
  return out
end

-- The place of the best penalty by log-loss of repaired probabilities over the inner held-out rows.
local function best_penalty(strategy, data, inner, o)
  if #inner == 0 then return (#tournament.l2 + 1) // 2 end
  local loss = {}
  for k in ipairs(tournament.l2) do loss[k] = 0 end
  for j, s in ipairs(inner) do
    local scope <close> = core.scope()
    local p = prepared(strategy, data, s, o.seed + j)
    local w, b = heads(p, tournament.l2)
    for k, prob in ipairs(core.logistic.prob(take(data.x, s.valid), w, b)) do
      prob = calibrate.prior_shift(prob, p.from, p.own)
      for i, row in ipairs(s.valid) do
        local q = data.labels[row] == 2 and prob[i] or 1 - prob[i]
        loss[k] = loss[k] - math.log(math.max(q, 1e-7))
      end
    end
  end
  local best = 1
  for k = 2, #loss do
    if loss[k] < loss[best] then best = k end
  end
  return best
end

--- tournament.splits(data, {folds =, repeats =, seed =, inner = 3}) -> list of repeats, each a list of {split =, inner =}
-- The same for every strategy. Raises where a training side lacks a class.
function tournament.splits(data, o)
  local out = {}
  for r = 1, o.repeats do
    out[r] = {}
    for k, s in ipairs(split.kfold(data.labels, { k = o.folds, seed = o.seed + 1000 * r, groups = data.keys })) do
      local c = count(data.labels, s.train)
      if c[1] == 0 or c[2] == 0 then
        error(("fold %d of repeat %d has no row of class %d to train on: rows that belong together (one text, one group) hold them all")
          :format(k, r, c[1] == 0 and 1 or 2), 0)
      end
      out[r][k] = { split = s, inner = inner_splits(data, s, { inner = o.inner or 3, seed = o.seed + 1000 * r + k }) }
    end
  end
  return out
end

--- tournament.play(strategy, data, splits, {seed =, step = nil}) -> {prob =, from =, own =, l2 =, text =, seconds =} | {failed =}
-- data: x [N,D] (kept), labels (1 and 2: 2 is the class of interest), keys (groups that stay on one side; nil), given
-- (weights). prob[r][i]: out of fold, as the head says it; from[r][k] and own[r][k]: the balances of classes;
-- l2[r][k]: chosen penalties; text: what the strategy did in the first fold. failed: why it cannot be played on these
-- rows. step(): called behind each fold.
function tournament.play(strategy, data, splits, o)
  local out = { prob = {}, from = {}, own = {}, l2 = {} }
  local began = core.sys.now()
  local ok, why = pcall(function()
    for r, folds in ipairs(splits) do
      out.prob[r], out.from[r], out.own[r], out.l2[r] = {}, {}, {}, {}
      for k, f in ipairs(folds) do
        local scope <close> = core.scope()
        local seed = o.seed + 1000 * r + 10 * k
        local best = best_penalty(strategy, data, f.inner, { seed = seed })
        local p = prepared(strategy, data, f.split, seed)
        local w, b = heads(p, table.move(tournament.l2, 1, best, 1, {}))
        local prob = core.logistic.prob(take(data.x, f.split.valid), w:narrow(1, best, 1):contiguous(), { b[best] })[1]
        local from = strategy.to or p.from
        if strategy.to then prob = calibrate.prior_shift(prob, p.from, strategy.to) end
        for i, row in ipairs(f.split.valid) do out.prob[r][row] = prob[i] end
        out.from[r][k], out.own[r][k], out.l2[r][k], out.text = from, p.own, tournament.l2[best], out.text or p.text
        if o.step then o.step() end
      end
    end
  end)
  if not ok then
    if core.sys.stopped() or tostring(why):find("interrupted", 1, true) then error(why, 0) end
    return { failed = tostring(why):gsub("^%S+:%d+: ", "") }
  end
  out.seconds = core.sys.now() - began
  return out
end

--- tournament.repaired(strategy, result, labels, splits) -> prob[r][i]
-- The prior shift that undoes what the strategy did to the balance of classes, fold by fold; or Platt's method fitted
-- on the other folds.
function tournament.repaired(strategy, result, labels, splits)
  local out = {}
  for r, folds in ipairs(splits) do
    if strategy.repair == "platt" then
      local pairs_of, fold, at = {}, split.folds((function(list)
        for k, f in ipairs(folds) do list[k] = f.split end
        return list
      end) {}), {}
      for i, p in ipairs(result.prob[r]) do pairs_of[i] = { 1 - p, p } end
      for i, row in ipairs(calibrate.crossfit(pairs_of, labels, fold, "platt")) do at[i] = row[2] end
      out[r] = at
    else
      local at = {}
      for k, f in ipairs(folds) do
        local mine = {}
        for i, row in ipairs(f.split.valid) do mine[i] = result.prob[r][row] end
        mine = calibrate.prior_shift(mine, result.from[r][k], result.own[r][k])
        for i, row in ipairs(f.split.valid) do at[row] = mine[i] end
      end
      out[r] = at
    end
  end
  return out
end

-- Fold by fold as if the classes were equally many: probabilities by which rows of different folds can be ranked and
-- cut together. A training side with one positive more says a little more of everything, and just that fold holds one
-- positive less: with few of them, ranks over folds would be turned upside down (Forman & Scholz 2010).
local function ranks(result, splits)
  local out = {}
  for r, folds in ipairs(splits) do
    out[r] = {}
    for k, f in ipairs(folds) do
      local mine = {}
      for i, row in ipairs(f.split.valid) do mine[i] = result.prob[r][row] end
      for i, p in ipairs(calibrate.prior_shift(mine, result.from[r][k], { 1, 1 })) do out[r][f.split.valid[i]] = p end
    end
  end
  return out
end

local function at_half(prob)
  local out = {}
  for i, p in ipairs(prob) do out[i] = p > .5 and 2 or 1 end
  return out
end

-- Entries of the table: {strategy =, name =, prob[r], rank[r], pred[metric][r], seconds =, repaired =}, the reference
-- first.
local function entries(played, labels, splits)
  local list = {}
  for _, e in ipairs(played) do
    if not e.result.failed then
      local prob, rank = e.result.prob, ranks(e.result, splits)
      local raw = { strategy = e.strategy, name = e.strategy.name, prob = prob, rank = rank, pred = {}, seconds = e.result.seconds }
      local half = {}
      for r = 1, #prob do half[r] = at_half(prob[r]) end
      for _, m in ipairs(tournament.tuned) do raw.pred[m] = half end
      list[#list + 1] = raw
      if not e.strategy.to then
        local fixed = { strategy = e.strategy, repaired = true, rank = rank, pred = {}, cuts = {}, seconds = e.result.seconds,
          prob = tournament.repaired(e.strategy, e.result, labels, splits) }
        local what = e.strategy.repair == "platt" and " + Platt" or (e.strategy.id ~= "nothing") and " + prior shift" or ""
        fixed.name = e.strategy.name .. what .. " + tuned cut"
        for _, m in ipairs(tournament.tuned) do fixed.pred[m] = {} end
        for r, folds in ipairs(splits) do
          local of = {}
          for k, f in ipairs(folds) do of[k] = f.split end
          of = split.folds(of)
          for _, m in ipairs(tournament.tuned) do
            local cut = threshold.crossfit(rank[r], labels, of, m, { resamples = 0 })
            fixed.pred[m][r] = cut.pred
            fixed.cuts[m] = fixed.cuts[m] or {}
            fixed.cuts[m][r] = cut.cut
          end
        end
        list[#list + 1] = fixed
      end
    end
  end
  for i, e in ipairs(list) do
    if e.strategy.id == "nothing" and e.repaired then
      table.insert(list, 1, table.remove(list, i))
      break
    end
  end
  list[1].reference = true
  return list
end

local function mean_loss(prob, label)
  local sum = 0
  for i, p in ipairs(prob) do sum = sum - math.log(math.max(label[i] == 2 and p or 1 - p, 1e-7)) end
  return sum / #prob
end

-- A label metric of a fold; nil where it is not defined.
local function of_labels(metric, pred, label)
  local said = {}
  for i, y in ipairs(pred) do said[i] = y - 1 end
  return core.eval.binary(said, label, { resamples = 0 })[metric].value
end

-- Metrics of an entry in each fold of each repeat: {[metric] = {value or false, ...}}.
local function of_folds(entry, labels, splits)
  local out = {}
  for _, m in ipairs(tournament.metrics) do out[m] = {} end
  local at = 0
  for r, folds in ipairs(splits) do
    for _, f in ipairs(folds) do
      at = at + 1
      local prob, label = {}, {}
      for i, row in ipairs(f.split.valid) do prob[i], label[i] = entry.prob[r][row], labels[row] end
      local plain = core.eval.binary(prob, label, { resamples = 0 })
      out.average_precision[at], out.brier[at] = plain.average_precision.value or false, plain.brier.value
      out.log_loss[at] = mean_loss(prob, label)
      for _, m in ipairs(tournament.tuned) do
        local pred = {}
        for i, row in ipairs(f.split.valid) do pred[i] = entry.pred[m][r][row] end
        out[m][at] = of_labels(m, pred, label) or false
      end
    end
  end
  return out
end

-- Differences over folds by the corrected resampled t; nil where fewer than two folds define the metric for both.
local function over_folds(mine, base, share)
  local d = {}
  for k, v in ipairs(mine) do
    if v and base[k] then d[#d + 1] = v - base[k] end
  end
  return #d > 1 and repeats.corrected_t(d, share) or nil
end

-- Why so few rows allow no verdict (the least that kooka.eval.paired wants), or nil.
local function too_few(labels)
  local all = {}
  for i = 1, #labels do all[i] = i end
  local c = count(labels, all)
  local few = math.min(c[1], c[2])
  if #labels >= 20 and few >= 3 then return nil end
  return ("Not enough data for a verdict: %d rows, %d of the smaller class; 20 and 3 are the least."):format(#labels, few)
end

--- tournament.judge(played, data, splits, {resamples = 1000, seed = 1, groups = nil}) -> list of entries
-- played: a list of {strategy =, result =}. Each entry: name, strategy, repaired, reference, prob, seconds,
-- metrics[name] and differences[name] from the reference (kooka.eval.repeats; p after Holm over all entries in `holm`;
-- `folds`: the same difference over folds by the corrected resampled t of Nadeau & Bengio 2003, which also holds what
-- other training rows would change). A difference below 1e-6 is none. The reference is entry 1. With fewer than 20 rows
-- or 3 of a class `holm` is missing, so that nothing is sure, and list.short says so.
function tournament.judge(played, data, splits, o)
  local list = entries(played, data.labels, splits)
  local names = {}
  for i, e in ipairs(list) do names[i], e.metrics, e.differences = e.name, {}, {} end
  list.short = too_few(data.labels)
  local function take_from(what, tuned, wanted)
    local prob, pred = {}, {}
    for i, e in ipairs(list) do prob[i], pred[i] = e[what], e.pred[tuned] end
    local got = repeats.compare { prob = prob, pred = pred, label = data.labels, names = names, reference = 1, resamples = o.resamples,
      seed = o.seed, groups = o.groups }
    for i, e in ipairs(list) do
      for _, m in ipairs(wanted) do e.metrics[m], e.differences[m] = got.metrics[i][m], got.differences[i][m] end
    end
  end
  take_from("rank", "mcc", { "average_precision", "mcc" })
  take_from("prob", "f1", { "f1", "brier", "log_loss" })
  take_from("prob", "balanced_accuracy", { "balanced_accuracy" })
  for _, m in ipairs(tournament.metrics) do
    local p = {}
    for i = 2, #list do
      local d = list[i].differences[m]
      if d.value and math.abs(d.value) < 1e-6 then
        d.value, d.low, d.high = 0.0, math.min(0.0, d.low or 0.0), math.max(0.0, d.high or 0.0)
        d.p, d.better = 1, nil
      end
      p[i - 1] = d.p or false
    end
    for i, adjusted in ipairs(repeats.holm(p)) do list[i + 1].differences[m].holm = not list.short and adjusted or nil end
  end
  local base, share = of_folds(list[1], data.labels, splits), 1 / #splits[1]
  for i = 2, #list do
    local mine = of_folds(list[i], data.labels, splits)
    for _, m in ipairs(tournament.metrics) do list[i].differences[m].folds = over_folds(mine[m], base[m], share) end
  end
  return list
end

return tournament
