--- kooka.eval: scores that say how sure they are.
-- Every metric is a table {value=, low=, high=, level=, method=, n=, baseline=, note=}. value is nil,
-- with a note, where the metric is not defined (recall without positives); it is never a silent 0.
-- Labels are classes counted from 1; in a binary task class 2 is "positive" unless told otherwise.
local core = require("kooka.core").eval
local check_options = require "kooka.options"

local eval = {
  wilson = core.wilson, clopper_pearson = core.clopper_pearson, normal = core.normal, mcnemar = core.mcnemar,
  hanley_mcneil = core.hanley_mcneil, hypergeometric_none = core.hypergeometric_none, delong = core.delong,
}

local BINARY = { "accuracy", "precision", "recall", "f1", "precision_negative", "recall_negative", "f1_negative",
  "f1_macro", "balanced_accuracy", "mcc", "roc_auc", "average_precision", "log_loss", "brier" }
local MULTI = { "accuracy", "f1_macro", "precision_macro", "recall_macro", "balanced_accuracy", "mcc",
  "roc_auc_macro", "average_precision_macro", "log_loss", "brier" }
local CLASS = { "precision", "recall", "f1", "roc_auc", "average_precision" }
local LOWER_IS_BETTER = { log_loss = true, brier = true, rmse = true, mae = true, perplexity = true }
local PROPORTION = { wilson = core.wilson, ["clopper-pearson"] = core.clopper_pearson, normal = core.normal }

local function set(text)
  local t = {}
  for name in text:gmatch("%S+") do t[name] = true end
  return t
end

local PLAN = "level resamples seed groups stratified method eps"
local OPTIONS = {
  binary = set(PLAN .. " threshold positive proportion names"),
  multiclass = set(PLAN .. " proportion names classes"),
  regression = set(PLAN), perplexity = set(PLAN .. " vocab"), mean = set(PLAN .. " baseline"),
  paired = set(PLAN .. " threshold threshold_a threshold_b positive names metric"),
}

local function as_list(x)
  return type(x) == "userdata" and x:tolist() or x
end

--- dense(ids) -> list, count, names
-- Numbers 1..count for ids of any kind (names of people, numbers), in order of first appearance.
function eval.dense(ids)
  local list, names, number = {}, {}, {}
  for i, id in ipairs(as_list(ids)) do
    local k = number[id]
    if not k then
      k = #names + 1
      names[k], number[id] = id, k
    end
    list[i] = k
  end
  return list, #names, names
end

-- Options of the core, and how the intervals are called.
local function plan(who, opts, strata)
  opts = opts or {}
  check_options(who, opts, OPTIONS[who])
  local method = opts.method or "percentile"
  if method ~= "percentile" and method ~= "bca" then
    error(("%s: method is '%s', expected percentile or bca"):format(who, tostring(method)), 3)
  end
  local p = { level = opts.level or .95, resamples = opts.resamples or 1000, seed = opts.seed or 1, eps = opts.eps,
    bca = method == "bca" }
  local name = ("bootstrap %s, %d resamples"):format(method, p.resamples)
  if opts.groups then
    p.groups, p.ngroup = eval.dense(opts.groups)
    name = name .. (" of %d groups"):format(p.ngroup)
  elseif opts.stratified and strata then
    p.strata, p.nstrata = eval.dense(strata)
    name = name .. ", stratified"
  end
  if p.resamples == 0 then name = "none" end
  return p, name, opts
end

-- A metric from what the core answered.
local function metric(c, p, method, n, baseline)
  local m = { value = c.value, low = c.low, high = c.high, level = p.level, method = method, n = n,
    baseline = baseline }
  if c.value and p.resamples > 0 then
    if not c.low then
      m.note = "not defined in most resamples: no interval"
    elseif c.low == c.high then
      m.note = "every resample gives the same value: the interval says nothing"
    elseif c.defined < p.resamples then
      m.note = ("not defined in %d of %d resamples"):format(p.resamples - c.defined, p.resamples)
    end
  end
  return m
end

local function proportion(k, n, p, name, baseline)
  local m = { level = p.level, method = name, n = n, baseline = baseline }
  if n > 0 then
    m.value = k / n
    m.low, m.high = PROPORTION[name](k, n, p.level)
  end
  return m
end

-- F1 = 2F/(1+F) for the proportion F = tp/(tp+fp+fn) (Hand, Christen and Kirielle 2021).
local function f1(tp, fp, fn, p, name, baseline)
  local m = proportion(tp, tp + fp + fn, p, name, baseline)
  for _, k in ipairs { "value", "low", "high" } do
    if m[k] then m[k] = 2 * m[k] / (1 + m[k]) end
  end
  m.method = name .. " of tp/(tp+fp+fn)"
  return m
end

local function entropy(shares)
  local h = 0
  for _, s in ipairs(shares) do
    if s > 0 then h = h - s * math.log(s) end
  end
  return h
end

local function f1_of_always(share) return 2 * share / (1 + share) end

-- What one needs no model for: always the majority class, always positive, or the prevalence as probability.
local function binary_baselines(share)
  local most = math.max(share, 1 - share)
  return {
    accuracy = most, precision = share, recall = share > .5 and 1 or 0, f1 = f1_of_always(share),
    precision_negative = 1 - share, recall_negative = share > .5 and 0 or 1, f1_negative = f1_of_always(1 - share),
    f1_macro = f1_of_always(most) / 2, balanced_accuracy = .5, mcc = 0, roc_auc = .5, average_precision = share,
    log_loss = entropy { share, 1 - share }, brier = share * (1 - share),
  }
end

local function binary_notes(out, c)
  local positives, said, n = c.tp + c.fn, c.tp + c.fp, c.tp + c.fp + c.fn + c.tn
  local one = positives == 0 and "there are no positives" or positives == n and "there are only positives" or nil
  local reasons = {
    recall = positives == 0 and "there are no positives", recall_negative = positives == n and "there are no negatives",
    precision = said == 0 and "nothing was predicted positive",
    precision_negative = said == n and "nothing was predicted negative",
    f1 = "no positives and none predicted", f1_negative = "no negatives and none predicted",
    balanced_accuracy = one, mcc = one, roc_auc = one, average_precision = one,
  }
  for name, m in pairs(out) do
    if not m.value then m.note = "not defined: " .. (reasons[name] or "no rows") end
  end
  if said == 0 and positives > 0 then out.mcc.note = "one class predicted for every row: 0 by convention" end
end

-- precision -> precision_funny, recall_negative -> recall_serious
local function rename(metrics, names, positive)
  if not names then return metrics end
  local out = {}
  for k, m in pairs(metrics) do
    local base = k:match("^(.*)_negative$")
    if base then
      k = base .. "_" .. names[3 - positive]
    elseif k == "precision" or k == "recall" or k == "f1" or k == "average_precision" then
      k = k .. "_" .. names[positive]
    end
    out[k] = m
  end
  return out
end

--- binary(prob, label, opts) -> metrics, info
-- prob [N] (or [N,2]) in 0..1, label [N] classes 1 and 2 (or booleans: true is 2), tensors or lists.
-- opts: threshold (.5, above it is positive), positive (2), level (.95), resamples (1000; 0: no bootstrap),
-- seed (1), groups (one id a row: whole persons are resampled), stratified, method ("percentile" or "bca"),
-- proportion ("wilson", "clopper-pearson" or "normal"), eps (1e-7, clip of log_loss), names ({"serious", "funny"}
-- turns f1 into f1_funny). Proportions and F1 get closed intervals unless groups are given, the rest the bootstrap.
-- Baselines: the majority class for accuracy, recall and f1_macro; always-positive for precision and f1; the
-- prevalence for the rest. info: {n, positives, prevalence, threshold, confusion = {tp, fp, fn, tn}, warnings}.
function eval.binary(prob, label, opts)
  local p, method
  p, method, opts = plan("binary", opts, label)
  local prop = opts.proportion or "wilson"
  if not PROPORTION[prop] then
    error(("binary: proportion is '%s', expected wilson, clopper-pearson or normal"):format(tostring(prop)), 2)
  end
  p.positive, p.threshold = opts.positive, opts.threshold
  local got, c = core.binary(prob, label, p)
  local n, positives = c.tp + c.fp + c.fn + c.tn, c.tp + c.fn
  local base, out = binary_baselines(positives / n), {}
  for name, v in pairs(got) do out[name] = metric(v, p, method, n, base[name]) end
  if not opts.groups then
    out.accuracy = proportion(c.tp + c.tn, n, p, prop, base.accuracy)
    out.precision = proportion(c.tp, c.tp + c.fp, p, prop, base.precision)
    out.recall = proportion(c.tp, positives, p, prop, base.recall)
    out.precision_negative = proportion(c.tn, c.tn + c.fn, p, prop, base.precision_negative)
    out.recall_negative = proportion(c.tn, c.tn + c.fp, p, prop, base.recall_negative)
    out.f1 = f1(c.tp, c.fp, c.fn, p, prop, base.f1)
    out.f1_negative = f1(c.tn, c.fn, c.fp, p, prop, base.f1_negative)
  end
  binary_notes(out, c)
  local warnings, few = {}, math.min(positives, n - positives)
  if few < 10 then
    warnings[1] = ("only %d of %d rows are of the smaller class: every number about it is vague"):format(few, n)
  end
  return rename(out, opts.names, opts.positive or 2),
    { n = n, positives = positives, prevalence = positives / n, threshold = opts.threshold or .5, confusion = c,
      warnings = warnings }
end

--- multiclass(probs, label, opts) -> metrics, info
-- probs [N,C] rows that sum to 1, label [N] classes 1..C. Overall metrics and, for class "c" (names[c] or its
-- number), precision_c, recall_c, f1_c, roc_auc_c, average_precision_c (one against the rest). opts as in binary, and
-- classes: the list of classes that the macro averages take (TweetEval's stance: {2, 3}).
function eval.multiclass(probs, label, opts)
  local p, method
  p, method, opts = plan("multiclass", opts, label)
  p.classes = opts.classes
  local prop, names = opts.proportion or "wilson", opts.names or {}
  local got, classes = core.multiclass(probs, label, p)
  local n, shares, most, out = 0, {}, 1, {}
  for _, c in ipairs(classes) do n = n + c.truth end
  for i, c in ipairs(classes) do
    shares[i] = c.truth / n
    if shares[i] > shares[most] then most = i end
  end
  local present, square, used, used_share, used_most = 0, 0, 0, 0, 0
  local take = {}
  for _, c in ipairs(as_list(opts.classes or {})) do take[c] = true end
  for i, s in ipairs(shares) do
    present = present + (s > 0 and 1 or 0)
    square = square + s * s
    if (not opts.classes or take[i]) and s > 0 then
      used, used_share = used + 1, used_share + s
      if i == most then used_most = 1 end
    end
  end
  local base = { accuracy = shares[most], f1_macro = used_most * f1_of_always(shares[most]) / used,
    precision_macro = used_most * shares[most] / used, recall_macro = used_most / used, balanced_accuracy = 1 / present,
    mcc = 0, roc_auc_macro = .5, average_precision_macro = used_share / used, log_loss = entropy(shares),
    brier = 1 - square }
  for name, v in pairs(got) do out[name] = metric(v, p, method, n, base[name]) end
  if not opts.groups then
    local right = 0
    for _, c in ipairs(classes) do right = right + c.right end
    out.accuracy = proportion(right, n, p, prop, base.accuracy)
  end
  for i, c in ipairs(classes) do
    local name = "_" .. tostring(names[i] or i)
    local mine = { precision = shares[i], recall = i == most and 1 or 0, f1 = f1_of_always(shares[i]), roc_auc = .5,
      average_precision = shares[i] }
    for _, k in ipairs(CLASS) do out[k .. name] = metric(c[k], p, method, n, mine[k]) end
    if not opts.groups then
      out["precision" .. name] = proportion(c.right, c.said, p, prop, mine.precision)
      out["recall" .. name] = proportion(c.right, c.truth, p, prop, mine.recall)
      out["f1" .. name] = f1(c.right, c.said - c.right, c.truth - c.right, p, prop, mine.f1)
    end
  end
  for _, m in pairs(out) do
    if not m.value then m.note = "not defined: the class is absent" end
  end
  return out, { n = n, shares = shares, majority = most, classes = #classes }
end

local function mean_of(v)
  local s = 0
  for _, x in ipairs(v) do s = s + x end
  return s / #v
end

--- regression(pred, target, opts) -> metrics
-- rmse, mae, r2, pearson with bootstrap intervals; baselines: the mean of the target (rmse, r2), its median (mae).
function eval.regression(pred, target, opts)
  local p, method = plan("regression", opts)
  local got, t = core.regression(pred, target, p), as_list(target)
  local mean, square, absolute, sorted = mean_of(t), 0, 0, table.move(t, 1, #t, 1, {})
  table.sort(sorted)
  local median = (sorted[(#t + 1) // 2] + sorted[#t // 2 + 1]) / 2
  for _, x in ipairs(t) do
    square, absolute = square + (x - mean) ^ 2, absolute + math.abs(x - median)
  end
  local base, out = { rmse = math.sqrt(square / #t), mae = absolute / #t, r2 = 0, pearson = 0 }, {}
  for name, v in pairs(got) do
    out[name] = metric(v, p, method, #t, base[name])
    if not v.value then out[name].note = "not defined: no spread" end
  end
  return out
end

--- perplexity(nll, tokens, opts) -> metric
-- exp(sum nll / sum tokens): nll in nats and tokens, one of each a document, or two numbers (then without interval).
-- opts: vocab (the baseline: a uniform guess), and those of the bootstrap.
function eval.perplexity(nll, tokens, opts)
  local p, method, o = plan("perplexity", opts)
  if type(nll) == "number" then nll, tokens, p.resamples, method = { nll }, { tokens }, 0, "none" end
  return metric(core.perplexity(nll, tokens, p), p, method, #as_list(tokens), o.vocab)
end

--- mean(values, opts) -> metric
-- Mean of numbers (one a person) with a bootstrap interval; nan values are left out. opts.baseline is passed on.
function eval.mean(values, opts)
  local p, method, o = plan("mean", opts)
  local n = 0
  for _, v in ipairs(as_list(values)) do n = n + (v == v and 1 or 0) end
  local m = metric(core.mean(values, p), p, method, n, o.baseline)
  if not m.value then m.note = "not defined for any" end
  return m
end

local function verdict_text(name, a, b, m, verdict)
  if verdict == "not enough data" then return ("not enough data for a verdict: %s"):format(m.note) end
  local range = ("%s of %s minus %s is %+.4f [%+.4f, %+.4f]"):format(name, a, b, m.value, m.low, m.high)
  if verdict == "no difference" then return "no difference shown: " .. range end
  return ("%s is %s than %s: %s"):format(a, verdict, b, range)
end

--- paired(prob_a, prob_b, label, opts) -> result
-- Two models on the same rows. result: differences (every metric of a minus b, bootstrap on the same resamples),
-- log_loss (paired t interval, over groups when given), mcnemar {only_a, only_b, p}, auc (DeLong; nil with one class),
-- verdict ("better", "worse", "no difference", "not enough data": a against b), text. opts as in binary, and
-- threshold_a, threshold_b, names ({"A", "B"}), metric ("log_loss": the one that the verdict is about).
-- A verdict wants 20 rows and 3 of each class.
function eval.paired(prob_a, prob_b, label, opts)
  local p, method, o = plan("paired", opts, label)
  p.positive, p.threshold, p.threshold_b = o.positive, o.threshold_a or o.threshold, o.threshold_b or o.threshold
  local got, t, mcnemar = core.paired(prob_a, prob_b, label, p)
  local n, positives = 0, 0
  for _, y in ipairs(as_list(label)) do
    n, positives = n + 1, positives + ((y == true or y == (o.positive or 2)) and 1 or 0)
  end
  local r = { differences = {}, mcnemar = mcnemar, n = n, positives = positives }
  for name, v in pairs(got) do
    r.differences[name] = metric(v, p, method, n, 0)
    r.differences[name].p = v.p
  end
  r.log_loss = { value = t.value, low = t.low, high = t.high, level = p.level, n = n, baseline = 0, p = t.p,
    method = o.groups and ("t over %d groups"):format(p.ngroup) or "paired t" }
  if positives > 0 and positives < n then r.auc = core.delong(prob_a, prob_b, label, { positive = o.positive }) end
  local about = o.metric or "log_loss"
  local m = about == "log_loss" and r.log_loss or r.differences[about]
  if not m then error(("paired: there is no metric '%s'"):format(tostring(about)), 2) end
  if n < 20 or positives < 3 or n - positives < 3 then
    r.verdict = "not enough data"
    m.note = ("%d rows, %d of the smaller class"):format(n, math.min(positives, n - positives))
  elseif not m.low then
    r.verdict, m.note = "not enough data", m.note or "no interval"
  elseif m.low <= 0 and m.high >= 0 then
    r.verdict = "no difference"
  else
    r.verdict = (m.value < 0) == (LOWER_IS_BETTER[about] or false) and "better" or "worse"
  end
  local names = o.names or { "A", "B" }
  r.text = verdict_text(about, names[1], names[2], m, r.verdict)
  return r
end

--- threshold(prob, label, opts) -> {threshold, value, metric, at_half, note}
-- The cut with the best opts.metric ("f1", also f1_macro, balanced_accuracy, mcc, accuracy). Give it training or
-- out-of-fold rows: on the rows it was chosen on its value flatters.
function eval.threshold(prob, label, opts)
  opts = opts or {}
  check_options("threshold", opts, { metric = true, positive = true })
  local name = opts.metric or "f1"
  local at, value = core.threshold(prob, label, name, opts.positive)
  local half = core.binary(prob, label, { resamples = 0, positive = opts.positive })
  return { threshold = at, value = value, metric = name, at_half = half[name].value,
    note = "chosen on these rows: report it on others" }
end

--- expect(opts) -> table
-- What n rows with `minority` of the smaller class can show, before anything is trained. opts: n (100), minority (4),
-- holdout (.3), folds (5), level (.95), auc (.8). Result: holdout_n, p_none (chance that the hold-out has nothing of
-- the minority), p_none_fold, minority_in_holdout (rounded expectation), recall_if_all_found and recall_if_half_found
-- ({k, n, low, high}, Clopper-Pearson, over all minority rows as cross-validation gives), auc_se, auc_to_beat_chance
-- (one-sided 5 %), text.
function eval.expect(opts)
  opts = opts or {}
  check_options("expect", opts, set("n minority holdout folds level auc"))
  local n, minority, level, folds = opts.n or 100, opts.minority or 4, opts.level or .95, opts.folds or 5
  local share, auc = opts.holdout or .3, opts.auc or .8
  if math.type(n) ~= "integer" or math.type(minority) ~= "integer" or n < 1 or minority < 0 or minority > n then
    error(("expect: %s of %s rows"):format(minority, n), 2)
  end
  if share <= 0 or share >= 1 then error(("expect: holdout is %s, expected between 0 and 1"):format(share), 2) end
  local held = math.floor(n * share + .5)
  local function range(k)
    local low, high = core.clopper_pearson(k, minority, level)
    return { k = k, n = minority, low = low, high = high }
  end
  local r = { n = n, minority = minority, holdout_n = held, p_none = core.hypergeometric_none(n, minority, held),
    p_none_fold = core.hypergeometric_none(n, minority, math.floor(n / folds + .5)),
    minority_in_holdout = math.floor(minority * share + .5), recall_if_all_found = range(minority),
    recall_if_half_found = range(minority // 2) }
  local lines = { ("%d rows, %d of the smaller class:"):format(n, minority),
    ("  a random hold-out of %d has none of them with probability %.3f; one of %d folds with %.3f"):format(
      held, r.p_none, folds, r.p_none_fold) }
  if minority > 0 then
    local all = r.recall_if_all_found
    local found = "  finding all %d of %d leaves recall anywhere in [%.2f, %.2f]"
    lines[#lines + 1] = found:format(all.k, all.n, all.low, all.high)
    if minority < n then
      r.auc_se = core.hanley_mcneil(auc, minority, n - minority)
      r.auc_to_beat_chance = .5 + 1.6449 * core.hanley_mcneil(.5, minority, n - minority)
      lines[#lines + 1] = ("  an AUC of %.2f has a standard error of %.3f; it beats chance (one-sided 5 %%) %s"):format(auc, r.auc_se,
        r.auc_to_beat_chance < 1 and ("only above %.2f"):format(r.auc_to_beat_chance) or "not even at 1")
    end
  end
  if minority < folds then
    lines[#lines + 1] = ("  %d folds: at least %d of them have none"):format(folds, folds - minority)
  end
  r.text = table.concat(lines, "\n")
  return r
end

local function number(v)
  if not v then return "-" end
  if v ~= v then return "nan" end
  return math.abs(v) >= 1000 and ("%.1f"):format(v) or ("%.4f"):format(v)
end

-- Names in a useful order: the known ones first, then the others by name.
local function ordered(metrics)
  local rank, names = {}, {}
  for _, list in ipairs { BINARY, MULTI } do
    for _, name in ipairs(list) do
      if not rank[name] then
        names[#names + 1] = name
        rank[name] = #names
      end
    end
  end
  names = {}
  for name, m in pairs(metrics) do
    if type(m) == "table" and (m.method or m.note) then names[#names + 1] = name end
  end
  table.sort(names, function(a, b)
    local x, y = rank[a] or 1000, rank[b] or 1000
    if x ~= y then return x < y end
    return a < b
  end)
  return names
end

--- table(metrics, opts) -> text
-- One line a metric: value, interval and baseline side by side. opts.only: the list of names to print, in that order.
function eval.table(metrics, opts)
  local names = opts and opts.only or ordered(metrics)
  local rows, width = { { "metric", "value", "interval", "baseline", "n", "method" } }, {}
  for _, name in ipairs(names) do
    local m = metrics[name]
    if m then
      rows[#rows + 1] = { name, number(m.value), m.low and ("[%s, %s]"):format(number(m.low), number(m.high)) or "-",
        number(m.baseline), tostring(m.n or "-"), (m.method or "-") .. (m.note and "; " .. m.note or "") }
    end
  end
  for _, row in ipairs(rows) do
    for i = 1, 5 do width[i] = math.max(width[i] or 0, #row[i]) end
  end
  local format = ("%%-%ds  %%%ds  %%-%ds  %%%ds  %%%ds  %%s"):format(table.unpack(width))
  local lines = {}
  for i, row in ipairs(rows) do lines[i] = format:format(table.unpack(row)) end
  return table.concat(lines, "\n")
end

return eval
