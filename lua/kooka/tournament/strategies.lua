--- strategies: what can be done about few examples of a class, as data: each says what a linear head is trained on, with which loss, and
-- what classes its probabilities then take for granted.
--
-- A strategy is {id =, name =, about =, prepare = function(t)}. t: split (its training side may be used, nothing
-- else), labels (classes 1 and 2 of all rows), x (features [N,D] of all rows), count (of the training side), seed,
-- given (weights or nil). prepare answers {x =, labels =} for rows of its own, nothing for the training side as it is;
-- options for core.logistic.path; from = the class weights or counts under which its probabilities are right (nil: the
-- training side's own); text = what was done. repair: "shift" (the default: the prior shift from `from` to the
-- training side's counts) or "platt" (a calibration fitted on the other folds), where a loss bends probabilities in a
-- way that no shift undoes.
local class_weights = require "kooka.nn.class_weights"
local oversample = require "kooka.data.oversample"

local strategies = {}

local function weighted(kind, options)
  return function(t)
    local o = { split = t.split, classes = 2 }
    for k, v in pairs(options or {}) do o[k] = v end
    if kind == "given" then
      o.given = t.given
      if not o.given then                       -- half-way between none and balanced
        o.given = class_weights.of("balanced", t.labels, o)
        for c = 1, 2 do o.given[c] = math.sqrt(o.given[c]) end
      end
    end
    local w, count = class_weights.of(kind, t.labels, o)
    return { options = { class_weights = w }, from = { w[1] * count[1], w[2] * count[2] },
      text = ("weights %.3f and %.3f"):format(w[1], w[2]) }
  end
end

local function margins(w) return function(t)
  local m = class_weights.margins(t.count, 1)
  local weights = w and class_weights.of(w, t.labels, { split = t.split, classes = 2 }) or nil
  return { options = { margins = m, class_weights = weights }, text = ("margins %.2f and %.2f"):format(m[1], m[2]) }
end end

-- A resampler of kooka.imbalance by its name there; its options go through.
local function resampler(name, options)
  return function(t)
    local o = { x = t.x, seed = t.seed, say = false }
    for k, v in pairs(options or {}) do o[k] = v end
    local got, counts = require("kooka.imbalance")[name](t.split, t.labels, o)
    local notes = counts.notes and #counts.notes > 0 and "; " .. table.concat(counts.notes, "; ") or ""
    return { x = got.x, labels = got.labels, text = tostring(counts) .. notes }
  end
end

local function with_replacement(t)
  local s, counts = oversample.random(t.split, t.labels, { seed = t.seed })
  local labels = {}
  for i, row in ipairs(s.train) do labels[i] = t.labels[row] end
  return { rows = s.train, labels = labels, text = tostring(counts) }
end

local nothing = function() return {} end

--- strategies.list: all of them, in the order of the table. needs: the function of kooka.imbalance that must be there.
strategies.list = {
  { id = "nothing", name = "nothing", about = "logistic regression", prepare = nothing },
  { id = "weights_balanced", name = "class weights, balanced", about = "n / (C n_c)",
    prepare = weighted "balanced" },
  { id = "weights_effective", name = "class weights, effective number", about = "Cui et al. 2019, beta .999",
    prepare = weighted "effective" },
  { id = "weights_given", name = "class weights, given", about = "--weights, else the square root of balanced",
    prepare = weighted "given" },
  { id = "focal", name = "focal loss", about = "gamma 2, Lin et al. 2017", repair = "platt",
    prepare = function() return { options = { gamma = 2 } } end },
  { id = "logit_adjustment", name = "logit adjustment", about = "log-prior in training, Menon et al. 2021", prepare = function(t)
    return { options = { shift = math.log(t.count[2] / t.count[1]) }, from = { 1, 1 } }
  end },
  { id = "logit_adjustment_after", name = "logit adjustment, afterwards", about = "log-prior taken from the logits of `nothing`",
    prepare = nothing, to = { 1, 1 } },
  { id = "ldam", name = "LDAM", about = "margins ~ n_c^-1/4, the largest 1 logit; Cao et al. 2019", repair = "platt",
    prepare = margins() },
  { id = "ldam_drw", name = "LDAM, re-weighted", repair = "platt",
    about = "with effective-number weights: the last stage of DRW, which decides a linear head", prepare = margins "effective" },
  { id = "over", name = "random oversampling", about = "with replacement", prepare = with_replacement },
  { id = "over_shrinkage", name = "smoothed oversampling", about = "ROSE, Menardi & Torelli 2014", needs = "random_over",
    prepare = resampler("random_over", { shrinkage = 1 }) },
  { id = "under", name = "random undersampling", about = "", needs = "random_under", prepare = resampler "random_under" },
  { id = "smote", name = "SMOTE", about = "Chawla et al. 2002", needs = "smote", prepare = resampler "smote" },
  { id = "borderline1", name = "Borderline-SMOTE 1", about = "Han et al. 2005", needs = "borderline_smote",
    prepare = resampler("borderline_smote", { kind = 1 }) },
  { id = "borderline2", name = "Borderline-SMOTE 2", about = "Han et al. 2005", needs = "borderline_smote",
    prepare = resampler("borderline_smote", { kind = 2 }) },
  { id = "adasyn", name = "ADASYN", about = "He et al. 2008", needs = "adasyn", prepare = resampler "adasyn" },
  { id = "tomek", name = "Tomek links", about = "Tomek 1976", needs = "tomek", prepare = resampler "tomek" },
  { id = "enn", name = "edited nearest neighbours", about = "Wilson 1972", needs = "enn", prepare = resampler "enn" },
  { id = "smote_tomek", name = "SMOTE + Tomek", about = "Batista et al. 2003",
    needs = "smote_tomek", prepare = resampler "smote_tomek" },
  { id = "smote_enn", name = "SMOTE + ENN", about = "Batista et al. 2004", needs = "smote_enn", prepare = resampler "smote_enn" },
  { id = "near_miss", name = "NearMiss 1", about = "Mani & Zhang 2003",
    needs = "near_miss", prepare = resampler("near_miss", { version = 1 }) },
}

--- strategies.choose(ids = "") -> list, missing
-- Those named (separated by commas; "": all), `nothing` always first. missing: names of those that this build cannot
-- do.
function strategies.choose(ids)
  local ok, imbalance = pcall(require, "kooka.imbalance")
  local known, wanted, list, missing = {}, nil, {}, {}
  for _, s in ipairs(strategies.list) do known[#known + 1] = s.id end
  for id in (ids or ""):gmatch("[^%s,]+") do
    wanted = wanted or { nothing = true }
    local found = false
    for _, k in ipairs(known) do found = found or k == id end
    if not found then error(("there is no strategy %q; there are %s"):format(id, table.concat(known, ", ")), 0) end
    wanted[id] = true
  end
  for _, s in ipairs(strategies.list) do
    if not wanted or wanted[s.id] then
      if s.needs and not (ok and imbalance[s.needs]) then missing[#missing + 1] = s.name else list[#list + 1] = s end
    end
  end
  return list, missing
end

return strategies
