--- kooka.sweep.report: what a sweep found: scores seed by fold, the seed report of each set of options, options compared.
local core = require "kooka.core"
local eval = require "kooka.eval"
local files = require "kooka.ensemble.files"
local seeds = require "kooka.eval.seeds"
local tables = require "kooka.table"

local report = {}

-- The metric of kooka.eval behind a recipe's name for it: f1 behind f1_humor and stack_f1_humor.
local BASES = { "precision_negative", "recall_negative", "f1_negative", "balanced_accuracy", "average_precision", "log_loss", "roc_auc",
  "f1_macro", "accuracy", "precision", "recall", "brier", "mcc", "f1" }
local function base_of(metric)
  for _, name in ipairs(BASES) do
    if ("_" .. metric .. "_"):find("_" .. name .. "_", 1, true) then return name end
  end
end

-- 1. metrics named METRIC_fold_K, as a recipe may record them.
local function from_metrics(job, metric)
  local out, n
  for name, m in pairs(job.metrics or {}) do
    local k = name:sub(1, #metric) == metric and name:sub(#metric + 1):match("^_fold_(%d+)$")
    if k and m.value then
      out = out or {}
      out[math.tointeger(tonumber(k))] = m.value
      n = (n or 0) + 1
    end
  end
  return n and n > 1 and out or nil
end

-- Metrics that only see the decision: they are those of the labels that the run wrote, with its own cuts.
local DECIDED = { f1 = true, f1_macro = true, f1_negative = true, accuracy = true, precision = true, recall = true,
  precision_negative = true, recall_negative = true, balanced_accuracy = true, mcc = true }

-- 2. held-out predictions with the true labels.
local function from_predictions(job, metric, options)
  local base = base_of(metric)
  if not base then return nil end
  local m = files.read(job.dir, options)
  if not m or not m.fold then return nil end
  local truth = files.truth(m, options)
  if not truth then return nil end
  local classes = type(m.prob[1]) == "table"
  if classes and base ~= metric then return nil end          -- f1_NAME is of one class
  local score = classes and eval.multiclass or eval.binary
  local prob = DECIDED[base] and not classes and m.said or m.prob
  local by = {}
  for i, k in ipairs(m.fold) do
    by[k] = by[k] or { prob = {}, labels = {} }
    table.insert(by[k].prob, prob[i])
    table.insert(by[k].labels, truth.labels[i])
  end
  local out, n = {}, 0
  for k, rows in pairs(by) do
    local value = score(rows.prob, rows.labels, { resamples = 0 })[base]
    value = value and value.value
    if not value then return nil end
    out[k], n = value, n + 1
  end
  local pooled = score(prob, truth.labels, { resamples = 0 })[base].value
  return n > 0 and out or nil, { ids = m.ids, fold = m.fold, prob = prob, labels = truth.labels, base = base, pooled = pooled, job = job }
end

-- The name under which all runs recorded what their predictions score: the metric itself, or another one of its kind (the
-- predictions of a recipe may be those of its ensemble), or none.
local function name_of(rows, metric)
  local function fits(name)
    for _, r in ipairs(rows) do
      local m = r.job.metrics[name]
      if not (m and m.value and math.abs(m.value - r.pooled) < 5e-4) then return false end
    end
    return true
  end
  if fits(metric) then return metric end
  local names = {}
  for name in pairs(rows[1].job.metrics) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    if base_of(name) == rows[1].base and fits(name) then return name end
  end
  return rows[1].base .. " of the predictions"
end

-- Whether two runs held the same rows out together.
local function same_folds(a, b)
  if #a.ids ~= #b.ids then return false end
  local fold = {}
  for i, id in ipairs(a.ids) do fold[id] = a.fold[i] end
  for i, id in ipairs(b.ids) do
    if fold[id] ~= b.fold[i] then return false end
  end
  return true
end

-- Scores of finished jobs, all from one source: predictions, metrics of folds, epochs of the log, or one number a run.
local function scores_of(jobs, metric, options)
  local out = { scores = {}, crossed = true, source = "metrics by fold" }
  local function all(read)
    local got = {}
    for _, job in ipairs(jobs) do
      got[job.seed] = read(job)
      if not got[job.seed] then return nil end
    end
    return got
  end
  out.scores = all(function(job) return from_metrics(job, metric) end)
  if out.scores then return out end
  local first, kept = nil, {}
  out.source, out.predictions = "held-out predictions", {}
  out.scores = all(function(job)
    local scores, rows = from_predictions(job, metric, options)
    if not scores then return nil end
    first = first or rows
    kept[#kept + 1] = rows
    out.crossed = out.crossed and same_folds(first, rows)
    out.predictions[#out.predictions + 1] = { seed = job.seed, prob = rows.prob, ids = rows.ids }
    return scores
  end)
  if out.scores then
    out.labels, out.base, out.metric = first.labels, first.base, name_of(kept, metric)
    return out
  end
  out.predictions, out.crossed = nil, true
  out.source = "one number a run"
  out.scores = all(function(job)
    local m = job.metrics and job.metrics[metric]
    return m and m.value and { m.value }
  end)
  return out.scores and out or nil
end

-- The watched metric by fold and epoch: what choosing an epoch flatters by.
local function epochs_of(jobs)
  local out, watch
  for _, job in ipairs(jobs) do
    job.log:update()
    local folds = job.log:folds()
    if not folds then return nil end
    out = out or {}
    out[job.seed], watch = folds, job.log.watch
  end
  return out, watch
end

local function build(jobs, metric, name, options)
  local s = scores_of(jobs, metric, options)
  if not s then return nil end
  local predictions
  if s.predictions and #s.predictions > 0 and s.crossed then predictions = s.predictions end
  local r = seeds.report { scores = s.scores, metric = s.metric or metric, crossed = s.crossed, name = name,
    lower = seeds.lower_is_better(metric) }
  if predictions and s.base and type(predictions[1].prob[1]) == "number" then
    for _, p in ipairs(predictions) do
      if p.seed == r.best.seed then r.sampling, r.sampling_n = seeds.sampling_error(p.prob, s.labels, s.base) end
    end
  end
  r.source = s.source
  local epochs, watch = epochs_of(jobs)
  if epochs then
    local e = seeds.report { scores = epochs, metric = watch, resamples = 0 }
    r.epochs, r.epochs_of = e.epochs, watch
  end
  return r
end

-- Mean difference of two lists with a t interval.
local function paired(a, b)
  local n, mean, square = #a, 0, 0
  if n < 2 then return nil end
  for i = 1, n do mean = mean + (a[i] - b[i]) / n end
  for i = 1, n do square = square + (a[i] - b[i] - mean) ^ 2 end
  local half = core.eval.t_quantile(.975, n - 1) * math.sqrt(square / (n - 1) / n)
  return { value = mean, low = mean - half, high = mean + half, level = .95, method = "paired t over seeds", n = n }
end

-- Sets of options beside the first, on the seeds that both finished.
local function compare(groups, metric)
  local rows = {}
  local first = groups[1]
  for i, g in ipairs(groups) do
    local own, mine, theirs = {}, {}, {}
    for _, job in ipairs(g.jobs) do
      local m = job.metrics[metric]
      if m and m.value then
        own[#own + 1] = m.value
        for _, other in ipairs(first.jobs) do
          local o = other.seed == job.seed and other.metrics[metric]
          if o and o.value then mine[#mine + 1], theirs[#theirs + 1] = m.value, o.value end
        end
      end
    end
    local mean, square = 0, 0
    for _, v in ipairs(own) do mean = mean + v / #own end
    for _, v in ipairs(own) do square = square + (v - mean) ^ 2 end
    rows[i] = { g.options, #own > 0 and mean or "-", #own > 1 and math.sqrt(square / (#own - 1)) or "-", #own, i > 1 and paired(mine, theirs) or "" }
  end
  return { columns = { "options", { metric, align = "right", digits = 4 }, { "sd of seeds", align = "right", digits = 4 }, { "seeds", align = "right" },
    { "minus the first, paired over seeds", align = "right", digits = 4 } }, rows = rows }
end

--- report.make(sweep[, {task =, labels =}]) -> {metric, groups = {{options, jobs, seeds}}, compare, text} | nil, message
-- For finished runs: a seed report for each set of options and, when there are several, a table of them. Scores by fold come
-- from metrics named METRIC_fold_K, else from predictions/*_oof.csv with the true labels (see kooka.ensemble.files.truth), else a
-- run is one number. task, labels: as there.
function report.make(sweep, options)
  local metric = sweep:choose_metric()
  if not metric then return nil, "no finished run has a metric" end
  local groups, by = {}, {}
  for _, job in ipairs(sweep.jobs) do
    if job.status == "done" then
      local g = by[job.options]
      if not g then
        g = { options = job.options, jobs = {} }
        by[job.options], groups[#groups + 1] = g, g
      end
      g.jobs[#g.jobs + 1] = job
    end
  end
  local r, lines = { metric = metric, groups = groups }, {}
  for _, g in ipairs(groups) do
    g.seeds = build(g.jobs, metric, g.options ~= "" and g.options or nil, options)
    if g.seeds then
      lines[#lines + 1] = tostring(g.seeds)
      if g.seeds.metric ~= metric then
        lines[#lines + 1] = ("(by fold from the held-out predictions, which are those of %s, not of %s)"):format(g.seeds.metric, metric)
      end
      if g.seeds.epochs_of then lines[#lines + 1] = ("(epochs: %s in log.jsonl)"):format(g.seeds.epochs_of) end
      if not g.seeds.crossed then
        lines[#lines + 1] = "Each seed cut its own folds, so a seed's luck with its folds counts as seed: give every run the same folds."
      end
    else
      lines[#lines + 1] = ("%sno score of %s in every run"):format(g.options ~= "" and g.options .. ": " or "", metric)
    end
    lines[#lines + 1] = ""
  end
  if #groups > 1 then
    r.compare = compare(groups, metric)
    lines[#lines + 1] = tables.text(r.compare)
  end
  for _, job in ipairs(sweep.jobs) do
    if job.status == "stopped" then
      lines[#lines + 1] = ("%s was ended early and counts in no number above: %s"):format(job.name, job.reason or "")
    end
  end
  r.text = table.concat(lines, "\n"):gsub("\n+$", "")
  return r
end

--- report.write(sweep, r) -> path | nil, message, code
-- report.html in the sweep's folder, with the dots of every seed in every fold.
function report.write(sweep, r)
  local html, first = require "kooka.report", nil
  for _, g in ipairs(r.groups) do
    if g.seeds and not first then first = g.seeds.text end
  end
  local page = html.new { title = "Sweep of " .. sweep.state.recipe, first_line = #r.groups == 1 and first or nil }
  if r.compare then
    page:section "Options"
    page:table(r.compare)
  end
  for _, g in ipairs(r.groups) do
    if g.seeds then g.seeds:section(page, g.options ~= "" and "Seeds with " .. g.options or "Seeds") end
  end
  page:section "Runs"
  local rows = {}
  for i, job in ipairs(sweep.jobs) do
    rows[i] = { job.name, job.status, job.metrics and job.metrics[r.metric] or "", job.seconds and require("kooka.progress").duration(job.seconds)
      or "", job.reason or "" }
  end
  page:table { columns = { "run", "status", { r.metric, digits = 4 }, "time", "" }, rows = rows }
  local path = sweep.dir .. "/report.html"
  local ok, message, code = page:write(path)
  if not ok then return nil, message, code end
  return path
end

return report
