--- personal: from (person, text) likes to one head a person on a frozen encoder, judged on texts that no model had read the labels of.
-- Texts are dealt to folds. For each fold a general classifier is trained on the texts outside; its states and its logit are the
-- features and the starting point of every person's head; the predictions for the texts of the fold are kept. So a text that is
-- evaluated never helped to fit the general model, whoever rated it, nor the head that is judged on it.
local core = require "kooka.core"
local csv = require "kooka.data.csv"
local eval = require "kooka.eval"
local leaks = require "kooka.data.leaks"
local likes = require "kooka.data.likes"
local plot = require "kooka.plot"
local split = require "kooka.data.split"
local tables = require "kooka.table"
local ulmfit = require "kooka.ulmfit"
local ladder = require "kooka.users.ladder"
local network = require "kooka.users.network"
local plan = require "kooka.users.plan"
local rungs = require "kooka.users.rungs"
local users = require "kooka.users"

local personal = {}

local function list_of(t, rows)
  local out = {}
  for i, row in ipairs(rows) do out[i] = t[row] end
  return out
end

-- Rows of (person, text) by text.
local function rows_by_text(d)
  local by = {}
  for i, t in ipairs(d.text_of) do
    by[t] = by[t] or {}
    table.insert(by[t], i)
  end
  return by
end

--- personal.shares(d) -> list of {1 - s, s}, labels
-- For each text the share s of its ratings that are likes, smoothed by one rating at the overall rate; the label is 2 where s is above
-- that rate. A text nobody rated has the overall rate.
function personal.shares(d)
  local total, n = 0, #d.labels
  for _, y in ipairs(d.labels) do total = total + (y - 1) end
  local rate, by = total / n, rows_by_text(d)
  local shares, labels = {}, {}
  for t = 1, #d.texts do
    local liked, rated = rate, 1
    for _, i in ipairs(by[t] or {}) do liked, rated = liked + d.labels[i] - 1, rated + 1 end
    local s = liked / rated
    shares[t], labels[t] = { 1 - s, s }, s > rate and 2 or 1
  end
  return shares, labels
end

local function logit(p)
  p = math.min(math.max(p, 1e-6), 1 - 1e-6)
  return math.log(p / (1 - p))
end

-- Pooled states of all texts, reduced to their main directions when there are many.
local function features(m, texts, components)
  local x = m:states(texts)
  if components < 1 or components >= x:shape(2) then return x end
  local centred = x - x:mean { dim = 1, keepdim = true }
  local _, vectors = core.eigh(centred:t():matmul(centred))
  local width = x:shape(2)
  return centred:matmul(vectors:narrow(2, width - components + 1, components):contiguous())
end

local PARAMS = {
  rungs = { default = "", help = "rungs of the ladder to climb, with commas: intercept, firth, flic, components, ridge, prototypes, map, own; "
    .. "and those that train the network for each person: token, biases, low-rank, everything, reptile. Empty: those of a closed form, "
    .. "which take seconds, but own. all: every one; a rung that trains the network goes 5 times through each person's ratings for each "
    .. "fold and epoch, token only once" },
  rank = { default = 4, min = 1, max = 256, help = "rank of what the rung low-rank adds to each recurrent and input matrix" },
  person_epochs = { default = 0, min = 0, max = 100,
    help = "epochs of the rungs that train the network (0: what each has: 1; token and low-rank 2, biases 4)" },
  person_lr = { default = 0, min = 0, max = 1, type = "number",
    help = "their largest learning rate (0: what each has: .001; low-rank .002, biases .005)" },
}

--- personal.params(own) -> own
-- The recipe's parameters with those of the ladder: rungs, rank, person_epochs, person_lr, where it has none of that name.
function personal.params(own)
  for name, param in pairs(PARAMS) do own[name] = own[name] or param end
  return own
end

--- personal.rungs(text) -> names of closed forms, names of those that train the network
-- The rungs that the option `rungs` asks for (kooka.users.rungs.choose); map and intercept are always among them. Raises for an unknown
-- name, with those that there are: ask before any work is done.
function personal.rungs(text)
  local closed, trained, has = {}, {}, {}
  for _, name in ipairs(rungs.choose(text)) do
    local list = rungs.named[name].network and trained or closed
    list[#list + 1], has[name] = name, true
  end
  for _, name in ipairs { "intercept", "map" } do
    if not has[name] then closed[#closed + 1] = name end
  end
  return closed, trained
end

local FOLDS <const> = 5            -- of each person's rows, at random

-- What more labels would bring: the learning curve over the rows `at` of fit, whose texts the general model has not read the labels of.
local function forecast(fit, at, map)
  local o = { features = fit.features:index_select(core.tensor(at, "int32")), labels = list_of(fit.labels, at),
    users = list_of(fit.users, at), offset = list_of(fit.offset, at), lambda = map.lambda, lambda0 = map.lambda0, seed = fit.seed }
  local ok, f = pcall(plan.forecast, o)
  if ok then return f.text end
  if core.sys.stopped() then error(f, 0) end
  return "no forecast: " .. tostring(f):gsub("^%S+%.lua:%d+: ", ""):gsub("^users%.plan%.forecast: ", "")
end

-- Predictions for the rows whose text lies in one fold; of the first fold also the forecast.
local function fold_rows(d, p, m, s, k)
  local texts = d.texts
  local general = {}
  for i, row in ipairs(m:predict(texts)) do general[i] = logit(row[2]) end
  local x = features(m, texts, p.components)
  local judged, held = d.judged, {}
  for _, t in ipairs(s.valid) do held[t] = true end
  local text_rows = list_of(d.text_of, judged)
  local fit = {
    features = x:index_select(core.tensor(text_rows, "int32")), labels = list_of(d.labels, judged), users = list_of(d.users, judged),
    offset = list_of(general, text_rows), seed = p.seed,
  }
  local out, results = { at = {}, global = {} }, {}
  fit.folds = FOLDS
  for _, method in ipairs((personal.rungs(p.rungs))) do
    fit.method = method
    results[method], out[method], out["rank_" .. method] = users.fit(fit), {}, {}
  end
  for i, t in ipairs(text_rows) do
    if held[t] then
      out.at[#out.at + 1] = i
      for method, r in pairs(results) do
        table.insert(out[method], r.prob[i])
        table.insert(out["rank_" .. method], r.rank[i])
      end
      table.insert(out.global, results.map.global[i])
    end
  end
  out.lambda = results.map.lambda
  if k == 1 then out.forecast = forecast(fit, out.at, results.map) end
  return out
end

-- A run of before these options were there has none of them.
local function given(v) return (v or 0) > 0 and v or nil end

-- The same of a rung that trains the network: its predictions of the rows at `at`, and how many persons had nothing to train on.
local function network_rows(d, p, m, s, at, method, label)
  local judged = d.judged
  local r = network.fit { model = m, texts = d.texts, text_of = list_of(d.text_of, judged), labels = list_of(d.labels, judged),
    users = list_of(d.users, judged), folds = FOLDS, seed = p.seed, held = s.valid, method = method, rank = p.rank,
    epochs = given(p.person_epochs), lr = given(p.person_lr), label = label }
  return { prob = list_of(r.prob, at), untrained = r.untrained }
end

-- The result that users.report reads, from the folds' predictions.
local function assemble(d, folds, method)
  local result = users.fit { labels = list_of(d.labels, d.judged), users = list_of(d.users, d.judged), method = "global",
    offset = (function()
      local zero = {}
      for i = 1, #d.judged do zero[i] = 0 end
      return zero
    end)() }
  result.method, result.prob, result.rank, result.global, result.fold = method, {}, {}, {}, {}
  for k, f in ipairs(folds) do
    for j, i in ipairs(f.at) do
      result.prob[i], result.global[i], result.fold[i] = (f[method] or f.global)[j], f.global[j], k
      result.rank[i] = (f["rank_" .. method] or f[method] or f.global)[j]
    end
  end
  return result
end

-- Rows of the persons who have enough of them.
local function judged_rows(d, min)
  local count, rows, persons = {}, {}, 0
  for _, u in ipairs(d.users) do count[u] = (count[u] or 0) + 1 end
  for i, u in ipairs(d.users) do
    if count[u] >= min then rows[#rows + 1] = i end
  end
  for _, n in pairs(count) do
    if n >= min then persons = persons + 1 end
  end
  return rows, persons
end

--- personal.need(d, min)
-- Raises, before any work is done, when nobody in d has min rated texts or more, or when somebody of those rated a text twice.
function personal.need(d, min)
  local rows, persons = judged_rows(d, min)
  local twice = plan.twice(list_of(d.users, rows), list_of(d.items, rows))
  if twice then error(twice, 0) end
  if persons == 0 then error(("no person has %d rated texts or more (option min)"):format(min), 0) end
end

--- personal.heads(run, tok, lm, d, p) -> {rung = result, ...}, general predictions
-- d: as from kooka.data.likes, and general = {labels=, shares=} for the general model (default: personal.shares(d)). p: folds,
-- min (rows a person must have to be judged), components, those of personal.params, and the options of ulmfit.classifier.
-- Stages classifier-K, heads-K and, for each rung that trains the network, RUNG-K. results.map.forecast: the learning curve in
-- words (plan.forecast), over the held-out texts of the first fold.
function personal.heads(run, tok, lm, d, p)
  personal.need(d, p.min)
  local closed, trained = personal.rungs(p.rungs)
  local persons
  d.judged, persons = judged_rows(d, p.min)
  local target = d.general
  if not target then
    local shares, labels = personal.shares(d)
    target = { labels = labels, shares = shares }
  end
  local all = likes.count(d.users)
  run:say("%d persons with %d or more rated texts: %d ratings of %d texts; %d folds by text%s", persons, p.min, #d.judged, #d.texts, p.folds,
    all > persons and ("; %d persons with fewer (%d ratings) are not judged"):format(all - persons, #d.labels - #d.judged) or "")
  run:say("%s", plan.expect { labels = list_of(d.labels, d.judged), users = list_of(d.users, d.judged), holdout = 1 / p.folds,
    folds = p.folds }.text)
  local folds, general = {}, {}
  for k, s in ipairs(split.kfold(target.labels, { k = p.folds, seed = p.seed, groups = leaks.keys(d.texts) })) do
    leaks.assert_none(s, d.texts)
    local m = ulmfit.classifier(run, tok, {
      name = "classifier-" .. k, from = lm, texts = d.texts, labels = target.labels, shares = target.shares, rows = s.train, fold = k,
      valid_rows = s.valid, cell = p.cell, embed = p.embed, hidden = p.hidden, layers = p.layers, drop = p.drop,
      smoothing = p.smoothing, head_epochs = 1, epochs = p.epochs, lr = p.lr, batch = p.batch, seed = p.seed + k - 1,
    })
    folds[k] = run:stage("heads-" .. k, function() return fold_rows(d, p, m, s, k) end)
    general[k] = run:stage("general-" .. k, function()
      local prob = {}
      for i, row in ipairs(m:predict(list_of(d.texts, s.valid))) do prob[i] = row[2] end
      return { rows = s.valid, prob = prob }
    end)
    run:say("fold %d: general model on %d texts, heads on the rest of each person's; lambda %g", k, #s.train, folds[k].lambda)
    for _, name in ipairs(trained) do
      local stage = ("%s-%d"):format(name, k)
      local got = run:stage(stage, function() return network_rows(d, p, m, s, folds[k].at, name, stage) end)
      folds[k][name] = got.prob
      if got.untrained > 0 then
        run:say("%s: %d persons have no rows beside those that are judged; the general model is kept", stage, got.untrained)
      end
    end
  end
  local results = { global = assemble(d, folds, "global") }
  for _, list in ipairs { closed, trained } do
    for _, name in ipairs(list) do results[name] = assemble(d, folds, name) end
  end
  results.map.forecast = folds[1].forecast
  return results, general
end

--- personal.write_predictions(run, d, result)
-- predictions/users.csv: user,item,prob,label,fold; every judged row once, out of fold.
function personal.write_predictions(run, d, result)
  local rows = {}
  for i, at in ipairs(d.judged) do
    rows[i] = { d.users[at], d.items[at], ("%.6f"):format(result.prob[i]), d.labels[at] - 1, result.fold[i] }
  end
  local ok, message = csv.write(run:path("predictions/users.csv"), { "user", "item", "prob", "label", "fold" }, rows)
  if not ok then error(message, 0) end
end

local function metric_cell(m) return m and m.value and tables.metric(m, 2) or "-" end

local function person_rows(report)
  local columns = { "person" }
  for _, name in ipairs { "rated", "smaller class", "precision", "recall", "F1", "MCC", "AP", "prevalence", "majority accuracy",
    "log-loss, head - general" } do
    columns[#columns + 1] = { name, align = "right" }
  end
  if report.best then columns[#columns + 1] = { "of the possible", align = "right" } end
  columns[#columns + 1] = "verdict"
  columns[#columns + 1] = "used"
  local rows = {}
  for i, r in ipairs(report.rows) do
    local row = { tostring(r.user), r.n, r.minority_n, metric_cell(r.head.precision), metric_cell(r.head.recall), metric_cell(r.head.f1),
      metric_cell(r.head.mcc), metric_cell(r.head.average_precision), ("%.2f"):format(r.prevalence), ("%.2f"):format(r.majority_accuracy),
      metric_cell(r.log_loss_difference), r.message or r.verdict, r.use }
    if report.best then
      table.insert(row, 12, r.share_of_possible and ("%.0f %%"):format(100 * r.share_of_possible) or "-")
    end
    rows[i] = row
  end
  return columns, rows
end

local function forest(report, most)
  local rows = {}
  for _, r in ipairs(report.rows) do
    if r.log_loss_difference.low then
      rows[#rows + 1] = { label = tostring(r.user), value = r.log_loss_difference.value, low = r.log_loss_difference.low,
        high = r.log_loss_difference.high }
    end
  end
  table.sort(rows, function(a, b) return a.value < b.value end)
  for i = #rows, most + 1, -1 do rows[i] = nil end
  return rows
end

--- personal.tell(run, results, opts) -> report of users, report of the intercepts alone
-- Says for whom the heads work, records the metrics. opts: truth (P(like) of each judged row), name (prefix of metrics).
function personal.tell(run, results, o)
  local report = users.report(results.map, { truth = o.truth, seed = o.seed, resamples = o.resamples })
  local plain = users.report(results.intercept, { truth = o.truth, seed = o.seed, resamples = o.resamples })
  run:say("%s", users.text(report))
  if results.global then
    local rows = ladder.table(results, { truth = o.truth, seed = o.seed, resamples = o.resamples })
    report.ladder = { rows = rows, text = ladder.text(rows) }
    run:say("The ladder, out of fold, split by text; means over persons, smaller class of each:\n%s", report.ladder.text)
    for _, r in ipairs(rows) do
      if r.name ~= "global" then run:metric(("ladder_%s_log_loss_difference"):format(r.name:gsub("%-", "_")), r.difference) end
    end
  end
  run:say("With nothing but an intercept a person: %s", (plain.pooled.text:gsub("a head a person", "an intercept a person")))
  report.beyond = eval.paired(results.map.prob, results.intercept.prob, results.map.labels, { groups = results.map.ids, seed = o.seed,
    resamples = 0, names = { "a head a person", "an intercept a person" } })
  run:say("Beyond the intercept: %s", report.beyond.text)
  report.forecast = results.map.forecast
  if report.forecast then run:say("Learning curve, held-out texts of the first fold: %s", report.forecast) end
  run:metric("users_log_loss_beyond_intercept", report.beyond.log_loss)
  for name, m in pairs(report.macro) do
    if m.value then run:metric("users_" .. name, m) end
  end
  run:metric("users_log_loss_difference", report.pooled.log_loss)
  run:metric("users_intercept_log_loss_difference", plain.pooled.log_loss)
  for name, n in pairs(report.counts) do run:metric("persons_" .. name:gsub(" ", "_"), n) end
  return report, plain
end

--- personal.show(page, report, plain)
-- The same in a page of kooka.report.
function personal.show(page, report, plain)
  local c = report.counts
  page:section "One head a person"
  page:tiles {
    { label = "persons", value = tostring(c.persons) }, { label = "head better", value = tostring(c.better) },
    { label = "head worse", value = tostring(c.worse) }, { label = "no difference shown", value = tostring(c["no difference"]) },
    { label = "not enough data", value = tostring(c["not enough data"] + c["one class"]) },
  }
  page:text(report.pooled.text)
  page:text("With nothing but an intercept a person: " .. plain.pooled.text:gsub("a head a person", "an intercept a person"))
  page:text("Beyond the intercept: " .. report.beyond.text)
  if report.forecast then page:text("Learning curve, held-out texts of the first fold: " .. report.forecast) end
  if report.ladder then
    local columns, rows = ladder.columns(report.ladder.rows)
    page:table { columns = columns, rows = rows }
    page:text(report.ladder.text:match("([^\n]*\n[^\n]*)$"))
  end
  page:text(("The general head is kept for %d of %d persons: a head is used only where it is shown to be better."):format(c.fall_back,
    c.persons))
  local b = report.best
  if b then
    page:text(("The truth is known here. Expected log-loss: best possible %.4f, general model %.4f, heads %.4f%s."):format(b.best, b.global,
      b.head, b.share and (", which is %.0f %% of what there was to gain"):format(100 * b.share) or ""))
    page:text(("Expected F1 of each person's smaller class: best rule %.3f, general model %.3f, heads %.3f."):format(b.f1_best, b.f1_global,
      b.f1_head))
  end
  page:svg(plot.svg.intervals { rows = forest(report, 60), reference = 0, title = "log-loss, head minus general (below 0: the head is better)" })
  page:text("Precision, recall, F1, MCC and average precision (AP) are of each person's smaller class, out of fold, with 95 % intervals; "
    .. "the baseline of AP is the prevalence, that of accuracy is always naming the larger class.")
  local columns, rows = person_rows(report)
  page:table { columns = columns, rows = rows }
end

return personal
