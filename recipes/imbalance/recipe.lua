--- imbalance: few examples of one class: which trick works? All of them on the same folds, against doing nothing with a tuned cut.
--
-- Data: a table of texts and classes (columns named by --text, --label, --group or found), or a folder of ratings
-- (votes.tsv, ratings.csv + jokes.csv, ...), of all persons or of one (--user). The class of interest is the smallest,
-- or --positive; all others are the other class. Features: pooled states of a model (--model FOLDER), or TF-IDF
-- reduced by subspace iteration; on them one linear head for all. Method: kooka.tournament: repeated stratified
-- cross-validation, penalty chosen inside each fold, bootstrap over rows, Holm's correction. Evidence before: van den
-- Goorbergh et al. 2022; Elor & Averbuch-Elor 2022: resampling seldom beats a moved threshold and bends probabilities.
local kooka = require "kooka"
local csv = require "kooka.data.csv"
local eval = require "kooka.eval"
local labelled = require "kooka.data.labelled"
local leaks = require "kooka.data.leaks"
local likes = require "kooka.data.likes"
local lsa = require "kooka.text.lsa"
local plot = require "kooka.plot"
local reliability = require "kooka.eval.reliability"
local report = require "kooka.report"
local strategies = require "kooka.tournament.strategies"
local tables = require "kooka.table"
local tell = require "kooka.tournament.tell"
local threshold = require "kooka.eval.threshold"
local tournament = require "kooka.tournament"

-- ---- reading

-- Ratings of persons as texts with a class each; the rows of a text stay on one side.
local function ratings(p)
  local all = kooka.try(likes.read(p.data))
  local d = { texts = {}, labels = {}, groups = {}, lines = {}, names = { "no like", "like" }, text_column = "text", label_column = all.positive,
    left_out = likes.left_out(all) }
  for i, y in ipairs(all.labels) do
    if p.user == "" or all.users[i] == p.user then
      local n = #d.labels + 1
      d.texts[n], d.labels[n], d.groups[n], d.lines[n] = all.texts[all.text_of[i]], y, all.items[i], i
    end
  end
  if #d.labels == 0 then error(("%s: nobody is called %q; persons are, for example, %s"):format(p.data, p.user, tostring(all.users[1])), 0) end
  return d
end

local function table_of(p)
  return kooka.try(labelled.read(p.data, { text = p.text, label = p.label, group = p.group, skip_bad = p.skip_bad }))
end

local function read(p)
  if p.data == "" then error("imbalance needs --data: a table with a text and a class in each row, or a folder of ratings", 0) end
  local facts = kooka.try(kooka.sys.stat(p.data))
  local d = (facts.type == "folder" or p.user ~= "") and ratings(p) or table_of(p)
  for i = #d.labels, p.rows > 0 and p.rows + 1 or #d.labels + 1, -1 do
    d.texts[i], d.labels[i], d.lines[i] = nil, nil, nil
    if d.groups then d.groups[i] = nil end
  end
  return d
end

-- Classes 1 (the others) and 2 (the one of interest), in place.
local function two_classes(p, d)
  local count, best = {}, nil
  for _, y in ipairs(d.labels) do count[y] = (count[y] or 0) + 1 end
  for c, name in ipairs(d.names) do
    if p.positive == name then best = c end
    if p.positive == "" and count[c] and (not best or count[c] < count[best]) then best = c end
  end
  if not best then error(("there is no class %q; classes are %s"):format(p.positive, table.concat(d.names, ", ")), 0) end
  d.positive, d.count = d.names[best], { 0, 0 }
  for i, y in ipairs(d.labels) do
    d.labels[i] = y == best and 2 or 1
    d.count[d.labels[i]] = d.count[d.labels[i]] + 1
  end
  local whose = p.user ~= "" and " of " .. p.user or ""
  if d.count[1] == 0 or d.count[2] == 0 then
    error(("one class only: all %d rows%s are %s%s"):format(#d.labels, whose, d.count[1] == 0 and "" or "not ", d.positive), 0)
  end
  local few = math.min(d.count[1], d.count[2])
  if few < 2 then
    error(("class %s has one row of the %d%s: with that row held out there is nothing to learn it from; two are the least"):format(
      d.count[2] == 1 and d.positive or "other than " .. d.positive, #d.labels, whose), 0)
  end
  d.others = #d.names == 2 and d.names[3 - best] or "all other classes"
end

local function folds_of(p, d)
  local k = math.min(p.folds, #d.labels)
  local groups = labelled.together(leaks.keys(d.texts), d.groups)
  local seen, n = {}, 0
  for _, g in ipairs(groups) do
    if not seen[g] then seen[g], n = true, n + 1 end
  end
  if n < k then error(("%d texts that differ, for %d folds"):format(n, k), 0) end
  return groups, k
end

-- ---- features

local function features(p, run, d)
  local file = "features.npy"
  local told = run:stage("features", function()
    local x, about, kept
    if p.model ~= "" then
      local model = kooka.try(require("kooka.model").load(p.model))
      local states = kooka.try(model:states(d.texts, { pool = "concat" }))
      local wide = states:shape(2)
      x, kept = lsa.pca(states, p.dims)
      about = ("pooled states of %s (%d numbers a text), on %d directions that hold %.0f %% of their variance"):format(p.model, wide,
        x:shape(2), 100 * kept)
    else
      local facts
      x, facts = kooka.try(lsa.fit(d.texts, { dims = p.dims, seed = p.seed }))
      about = facts.text
    end
    kooka.try(kooka.save_npy(run:path(file), x))
    return { about = about }
  end)
  run:say("features: %s; %s", told.about, p.model == "" and "made of all texts, without any label"
    or "right only if that model was not trained with these labels")
  return kooka.try(kooka.load_npy(run.dir .. "/" .. file)):keep(), told.about
end

-- ---- playing

local function rounded(list)
  local out = {}
  for i, v in ipairs(list) do out[i] = tonumber(("%.9g"):format(v)) end
  return out
end

local function play(p, run, data, splits, list)
  local played = {}
  local folds = #splits * #splits[1]
  for _, strategy in ipairs(list) do
    local result = run:stage("play-" .. strategy.id, function()
      local bar <close> = run:progress { label = strategy.name, total = folds, unit = "fold" }
      local r = tournament.play(strategy, data, splits, { seed = p.seed, step = function() bar:step() end })
      for i = 1, #(r.prob or {}) do r.prob[i] = rounded(r.prob[i]) end
      return r
    end)
    played[#played + 1] = { strategy = strategy, result = result }
    if result.failed then
      run:say("%s: not played: %s", strategy.name, result.failed)
    else
      run:say("%s: %.1f s%s", strategy.name, result.seconds, result.text and "; first fold: " .. result.text or "")
    end
  end
  return played
end

-- ---- telling

local function mean_over(repeats)
  local out = {}
  for i = 1, #repeats[1] do
    local sum = 0
    for r = 1, #repeats do sum = sum + repeats[r][i] end
    out[i] = sum / #repeats
  end
  return out
end

local function write_predictions(run, d, list, splits)
  local columns, rows, of = { "row", "line", "truth", "fold" }, {}, {}
  for k, f in ipairs(splits[1]) do
    for _, row in ipairs(f.split.valid) do of[row] = k end
  end
  for i in ipairs(d.labels) do rows[i] = { i, d.lines[i], d.labels[i] == 2 and d.positive or d.others, of[i] } end
  for _, e in ipairs(list) do
    columns[#columns + 1] = "prob: " .. e.name
    for i, v in ipairs(mean_over(e.prob)) do rows[i][#rows[i] + 1] = ("%.6f"):format(v) end
  end
  kooka.try(csv.write(run:path("predictions/oof.csv"), columns, rows))
  run:say("predictions: %s (mean over repeats; fold of the first)", run:path("predictions/oof.csv"))
end

local function forest(page, list, metric)
  local rows = {}
  for i, e in ipairs(list) do
    local m = e.metrics[metric]
    rows[i] = { label = e.name, value = m.value, low = m.low, high = m.high, group = e.reference and 3 or e.repaired and 2 or 1 }
  end
  page:svg(plot.svg.intervals { title = tell.title(metric), rows = rows, reference = list[1].metrics[metric].value, width = 900,
    groups = { "as it is, cut at .5", "repaired, tuned cut", "nothing + tuned cut" } })
end

-- Of the reference, of what bends probabilities most, and of that repaired.
local function reliability_plots(page, list, labels)
  local worst
  for _, e in ipairs(list) do
    if not e.repaired and (not worst or e.metrics.log_loss.value > worst.metrics.log_loss.value) then worst = e end
  end
  local shown = { list[1], worst }
  for _, e in ipairs(list) do
    if e.repaired and worst and e.strategy.id == worst.strategy.id and not e.reference then shown[3] = e end
  end
  page:section "Do the probabilities mean what they say?"
  for _, e in ipairs(shown) do
    local r = reliability.measure(e.prob[1], labels, {})
    page:subsection(e.name)
    page:svg(r:svg {})
    page:table(r:table())
    page:text(r:text() .. ".")
  end
end

local function write_report(run, p, d, list, told)
  local page = report.new { title = "Few of one class: " .. d.positive, first_line = told.first }
  page:section "Before anything is trained"
  page:pre(told.expect)
  page:section "What was found"
  for _, s in ipairs(told.verdict) do page:text(s) end
  page:table(tell.table(list))
  page:note(told.how)
  page:subsection "Paired differences"
  page:table(tell.differences(list))
  page:subsection "Differences over folds (corrected resampled t)"
  page:table(tell.differences(list, "folds"))
  for _, s in ipairs(told.left_out) do page:note(s) end
  page:section "Pictures"
  for _, m in ipairs { "average_precision", "mcc", "log_loss" } do forest(page, list, m) end
  reliability_plots(page, list, d.labels)
  page:section "Cuts of doing nothing"
  page:table(told.cuts)
  page:note "First repeat; a cost is the sum over rows, with a minus."
  page:section "Strategies"
  local rows = {}
  for _, e in ipairs(told.played) do
    rows[#rows + 1] = { e.strategy.name, e.strategy.about, e.result.failed and "not played: " .. e.result.failed or e.result.text or "",
      e.result.l2 and ("%g"):format(e.result.l2[1][1]) or "" }
  end
  page:table { columns = { "strategy", "what", "in the first fold", "penalty there" }, rows = rows }
  page:section "Settings"
  rows = {}
  for k, v in pairs(p) do rows[#rows + 1] = { k, tostring(v) } end
  table.sort(rows, function(a, b) return a[1] < b[1] end)
  page:table { columns = { "option", "value" }, rows = rows }
  kooka.try(page:write(run:path("report.html")))
  run:say("report: %s", run:path("report.html"))
end

local function pair(text, name, what)
  if text == "" then return nil end
  local a, b = text:match("^%s*([%d.eE+-]+)%s*,%s*([%d.eE+-]+)%s*$")
  a, b = tonumber(a), tonumber(b)
  if not a or not b or a <= 0 or b <= 0 then error(("--%s is %q, expected two numbers above 0: %s"):format(name, text, what), 0) end
  return { a, b }
end

-- Where the cut of the reference stands for each aim, how sure that is, and what it gives on rows that had no part in it.
local function cuts(run, reference, labels, splits, cost)
  local of, rows, aims = {}, {}, table.move(tournament.tuned, 1, #tournament.tuned, 1, {})
  for k, f in ipairs(splits[1]) do
    for _, row in ipairs(f.split.valid) do of[row] = k end
  end
  if cost then aims[#aims + 1] = { cost = { fp = cost[1], fn = cost[2] } } end
  for i, aim in ipairs(aims) do
    local r = threshold.crossfit(reference.prob[1], labels, of, aim, { resamples = 100 })
    local s = r.spread
    rows[i] = { type(aim) == "table" and ("cost %g of a false alarm, %g of a miss"):format(cost[1], cost[2]) or tell.title(aim),
      ("%.3f"):format(r.cut), s and ("[%.3f, %.3f]"):format(s.low, s.high) or "–", ("%.3f"):format(r.value), ("%.3f"):format(r.at_half) }
  end
  local t = { columns = { "aim", "cut", "where it moves when rows are drawn anew", "held out", "at .5" }, rows = rows }
  run:say("cuts of doing nothing (first repeat):\n%s", tables.text(t))
  return t
end

local function run_recipe(p, run)
  p.seed = run.seed
  local weights = pair(p.weights, "weights", "of the other class and of the class of interest, as 1,24")
  local cost = pair(p.cost, "cost", "of a false alarm and of a miss, as 1,5")
  local list, missing = strategies.choose(p.strategies)
  local d = read(p)
  two_classes(p, d)
  run:data(p.data)
  local first = ("%d rows, %d of them %s (%.1f %%), the others %s; text: %s%s."):format(#d.labels, d.count[2], d.positive,
    100 * d.count[2] / #d.labels, d.others, d.text_column, d.left_out or "")
  run:say("%s: %s", p.data, first)
  local keys, k = folds_of(p, d)
  local expect = eval.expect { n = #d.labels, minority = math.min(d.count[1], d.count[2]), folds = k }
  run:say("%s", expect.text)
  local x, about = features(p, run, d)
  local data = { x = x, labels = d.labels, keys = keys, given = weights }
  local splits = tournament.splits(data, { folds = k, repeats = p.repeats, seed = p.seed, inner = p.inner })
  local played = play(p, run, data, splits, list)
  if played[1].result.failed then error("the reference could not be trained: " .. played[1].result.failed, 0) end
  local entries = tournament.judge(played, data, splits, { resamples = p.resamples, seed = p.seed, groups = d.groups })
  local left_out = {}
  if #missing > 0 then left_out[1] = "Not in this build: " .. table.concat(missing, ", ") .. "." end
  for _, e in ipairs(played) do
    if e.result.failed then left_out[#left_out + 1] = ("%s was not played: %s."):format(e.strategy.name, e.result.failed) end
  end
  local how = ("%d x %d stratified folds, texts that are alike together; %s. Means over repeats of metrics over all held-out rows; F1 is of \"%s\"; "
    .. "95 %% intervals and paired differences from the reference (*) by %d bootstrap resamples over %s: what another sample of rows would "
    .. "change, with these models. + and -: better or worse than the reference beyond the interval; ++ and --: beyond Holm's correction and the "
    .. "corrected resampled t over folds (Nadeau & Bengio 2003), too. Rows with a tuned cut: each of MCC, F1 and "
    .. "balanced accuracy at its own cut, tuned on the other folds. Ranks and cuts over folds are of probabilities at equal classes, so how many of "
    .. "%s a training side happens to hold does not count."):format(p.repeats, k, about, d.positive, p.resamples,
    d.groups and "groups" or "rows", d.positive)
  local verdict, beats = tell.verdict(entries)
  local cut = cuts(run, entries[1], d.labels, splits, cost)
  run:say("%s", tables.text(tell.table(entries)))
  run:say("%s", tables.text(tell.differences(entries)))
  run:say("%s", how)
  for _, s in ipairs(left_out) do run:say("%s", s) end
  for _, s in ipairs(verdict) do run:say("%s", s) end
  for _, e in ipairs(entries) do
    for _, m in ipairs(tournament.metrics) do
      local name = (m .. "_" .. e.strategy.id .. (e.repaired and "_repaired" or ""))
      run:metric(name, e.metrics[m])
      if not e.reference then run:metric("difference_" .. name, e.differences[m]) end
    end
  end
  run:metric("beats_reference", { value = #beats, n = #entries - 1, baseline = 0,
    method = "Holm over the bootstrap, and corrected resampled t" })
  write_predictions(run, d, entries, splits)
  write_report(run, p, d, entries, { first = first, expect = expect.text, verdict = verdict, how = how, left_out = left_out,
    played = played, cuts = cut })
end

return {
  name = "imbalance",
  about = "Few examples of one class: every trick on the same folds, against doing nothing with a tuned cut",
  params = {
    data = { default = "", help = "a table (CSV with comma, tab or semicolon) of texts and classes, or a folder of ratings" },
    text = { default = "", help = "its column of texts; found where not given" },
    label = { default = "", help = "its column of classes; found where not given" },
    group = { default = "", help = "a column (a person, a thread) whose rows stay on one side of every split, and are resampled together" },
    user = { default = "", help = "of a file of ratings: this person's alone" },
    positive = { default = "", help = "the class of interest; default: the smallest" },
    skip_bad = { default = false, help = "leave out rows without text or class instead of stopping" },
    rows = { default = 0, min = 0, help = "use the first so many rows (0: all)" },
    model = { default = "", help = "folder of a model: its pooled states are the features; default: TF-IDF" },
    dims = { default = 100, min = 1, max = 2000, help = "directions that features are reduced to" },
    strategies = { default = "", help = "those to play, separated by commas (nothing, weights_balanced, focal, smote, ...); default: all" },
    weights = { default = "", help = "class weights of `class weights, given`: other class, class of interest, as 1,24" },
    cost = { default = "", help = "what a false alarm and a miss cost, as 1,5: the cut of least cost is told, too" },
    folds = { default = 5, min = 2, max = 20, help = "folds of a repeat" },
    repeats = { default = 5, min = 1, max = 100, help = "repeats of the cross-validation" },
    inner = { default = 3, min = 2, max = 10, help = "folds inside a training side, which choose the penalty" },
    resamples = { default = 1000, min = 50, max = 100000, help = "bootstrap resamples of an interval" },
  },
  quick = { repeats = 2, dims = 50 },
  smoke = { data = "../shared/data/other/davidson_hate_en/labeled_data.csv", rows = 400, repeats = 1, folds = 3, inner = 2,
    dims = 10, resamples = 100 },
  run = run_recipe,
}
