--- classify: any table of texts with a class each: ULMFiT beside NB-SVM and the majority, out of fold, and a model to use.
--
-- Data: CSV (comma, tab or semicolon; columns named by --text, --label, --group or found), or a file with a text a line and
-- --labels FILE. Any number of classes, under the names they have in the table.
-- Method: SentencePiece -> AWD-LSTM language model on these texts (and those of --texts) -> classifier (Howard & Ruder 2018), one
-- for each fold; rows whose texts are alike, or whose group is the same, stay on one side. The network and the n-grams beside it count
-- by weights that held-out rows gave them. At last one model on all rows.
local kooka = require "kooka"
local calibrate = require "kooka.eval.calibrate"
local confusion = require "kooka.plot.confusion"
local csv = require "kooka.data.csv"
local ensemble = require "kooka.ensemble"
local eval = require "kooka.eval"
local labelled = require "kooka.data.labelled"
local leaks = require "kooka.data.leaks"
local nbsvm = require "kooka.baseline.nbsvm"
local plot = require "kooka.plot"
local report = require "kooka.report"
local split = require "kooka.data.split"
local stack = require "kooka.ensemble.stack"
local tables = require "kooka.table"
local texts = require "kooka.data.texts"
local ulmfit = require "kooka.ulmfit"

local function of(list, rows)
  local out = {}
  for i, row in ipairs(rows) do out[i] = list[row] end
  return out
end

-- ---- reading

-- The first n rows; classes that none of them has are gone, too.
local function first_rows(d, n)
  if n < 1 or n >= #d.labels then return d end
  local values = {}
  for i = 1, n do values[i] = d.names[d.labels[i]] end
  d.names, d.number = labelled.names(values)
  if #d.names < 2 then error(("the first %d rows of %s hold only one class (%q)"):format(n, d.path, d.names[1]), 0) end
  for i, v in ipairs(values) do d.labels[i] = d.number[v] end
  for i = #d.labels, n + 1, -1 do
    d.labels[i], d.texts[i], d.lines[i] = nil, nil, nil
    if d.groups then d.groups[i] = nil end
  end
  return d
end

local function read(p, run)
  if p.data == "" then error("classify needs --data FILE: a table with a text and a class in each row", 0) end
  local d = first_rows(kooka.try(labelled.read(p.data, { text = p.text, label = p.label, group = p.group, labels = p.labels,
    skip_bad = p.skip_bad })), p.rows)
  d.count = {}
  for _, y in ipairs(d.labels) do d.count[y] = (d.count[y] or 0) + 1 end
  if p.test ~= "" then
    -- the test file may lack a label column; its text column has the same name where there is one
    local lines = p.labels ~= ""
    d.test = lines and kooka.try(labelled.lines(p.test))
      or kooka.try(labelled.read(p.test, { text = d.text_column, label = false })).texts
  end
  d.more = {}
  for _, name in ipairs { "data", "labels", "test" } do
    if p[name] ~= "" then run:data(p[name]) end
  end
  if p.texts ~= "" then
    local files
    d.more, files = kooka.try(texts.read(p.texts))
    for _, file in ipairs(files) do run:data(file.path, { role = "texts" }) end
  end
  return d
end

local function splits(p, d)
  local groups = labelled.together(leaks.keys(d.texts), d.groups)
  if p.folds == 1 then return { split.holdout(d.labels, { valid = p.valid, seed = p.split_seed, groups = groups }) } end
  return split.kfold(d.labels, { k = p.folds, seed = p.split_seed, groups = groups })
end

local function describe(run, d)
  local shares = {}
  for c, name in ipairs(d.names) do
    shares[c] = ("%s %d"):format(name, d.count[c])
  end
  run:say("%s: %d rows; text: %s; label: %s", d.path, #d.labels, d.text_column, d.label_column)
  run:say("classes: %s", table.concat(shares, ", "))
  if d.skipped > 0 then run:say("left out: %d rows without text or label", d.skipped) end
  for c, name in ipairs(d.names) do
    if d.count[c] < 10 then run:say("class %s has %d rows: what is said of it below is vague", name, d.count[c]) end
  end
end

-- ---- training

local function classifier(p, run, tok, d, o)
  return ulmfit.classifier(run, tok, {
    name = o.name, from = o.from, texts = d.texts, labels = d.labels, rows = o.rows, classes = #d.names,
    classes_names = d.names, cell = p.cell, backwards = p.backwards, fold = o.fold,
    embed = p.embed, hidden = p.hidden, layers = p.layers, drop = p.drop, ngrams = p.ngrams, smoothing = p.smoothing,
    head_epochs = p.head_epochs, head_lr = p.head_lr, epochs = p.epochs, lr = p.lr, batch = p.batch, seed = o.seed,
    balance = p.balance,
  })
end

-- One fold: train, and predict the held-out rows; the test texts too where no final model will. What is to be weighed is kept by side:
-- prob_network and prob_grams instead of prob.
local function fold(p, run, tok, d, s, k, lm)
  leaks.assert_none(s, d.texts)
  run:say("fold %d: %d rows to train on, %d held out", k, #s.train, #s.valid)
  local m = classifier(p, run, tok, d, { name = "classifier-" .. k, from = lm, rows = s.train, seed = p.seed + k - 1, fold = k })
  return run:stage("predict-" .. k, function()
    local bayes = kooka.try(nbsvm.fit { texts = of(d.texts, s.train), labels = of(d.labels, s.train), classes = #d.names })
    local held_out = of(d.texts, s.valid)
    local out = { rows = s.valid, nbsvm = kooka.try(bayes:predict(held_out)),
      nbsvm_test = d.test and kooka.try(bayes:predict(d.test)) or nil }
    for name, list in pairs { prob = held_out, test = not p.final and d.test or nil } do
      if d.weigh then
        local sides = m:sides(list)
        out[name .. "_network"], out[name .. "_grams"] = sides[1], sides[2]
      else
        out[name] = m:predict(list)
      end
    end
    return out
  end)
end

-- ---- telling

-- The mean of what the folds' models say under `name`.
local function average(out, name)
  if not out[1] or not out[1][name] then return nil end
  local mean = {}
  for i, first in ipairs(out[1][name]) do
    mean[i] = {}
    for c in ipairs(first) do
      local sum = 0
      for _, o in ipairs(out) do sum = sum + o[name][i][c] end
      mean[i][c] = sum / #out
    end
  end
  return mean
end

-- How much the network and the n-grams count: for each fold as the rows of the others want it, which makes its prob, and for new texts
-- as all rows do. Answers weights and bias (kooka.ensemble.stack), and what the folds' models together say of the test texts.
local function weigh(run, d, out)
  local network, grams = { name = "network", prob = {} }, { name = "n-grams", prob = {} }
  local labels, folds = {}, {}
  for k, o in ipairs(out) do
    o.prob = {}
    for i, row in ipairs(o.rows) do
      local at = #labels + 1
      labels[at], folds[at], network.prob[at], grams.prob[at] = d.labels[row], k, o.prob_network[i], o.prob_grams[i]
    end
  end
  network.test, grams.test = average(out, "test_network"), average(out, "test_grams")
  local r = ensemble.combine { members = { network, grams }, labels = labels, folds = folds, method = "stack", nonnegative = true,
    resamples = 0 }
  for at, prob in ipairs(r.prob) do table.insert(out[folds[at]].prob, prob) end
  run:say("weights: %.2f for the network, %.2f for the n-grams; each fold was judged with those of the others", r.weights[1],
    r.weights[2])
  return { weights = r.weights, bias = r.bias }, r.test
end

local function prob_columns(d, columns, prefix)
  for _, name in ipairs(d.names) do columns[#columns + 1] = prefix .. name end
  return columns
end

local function add_probs(row, probs)
  for _, v in ipairs(probs) do row[#row + 1] = ("%.6f"):format(v) end
  return row
end

-- classify_oof.csv and classify.csv, as `kooka ensemble` reads them: NB-SVM's probabilities stand beside ours.
local function write_predictions(run, d, out, test)
  local rows, columns = {}, prob_columns(d, { "row", "line", "label" }, "prob_")
  columns[#columns + 1], columns[#columns + 2] = "fold", "truth"
  prob_columns(d, columns, "nbsvm_")
  for k, o in ipairs(out) do
    local said = confusion.best(o.prob)
    for i, at in ipairs(o.rows) do
      local row = add_probs({ at, d.lines[at], d.names[said[i]] }, o.prob[i])
      row[#row + 1], row[#row + 2] = k, d.names[d.labels[at]]
      rows[#rows + 1] = add_probs(row, o.nbsvm[i])
    end
  end
  kooka.try(csv.write(run:path("predictions/classify_oof.csv"), columns, rows))
  run:say("predictions: %s (%d held-out rows)", run:path("predictions/classify_oof.csv"), #rows)
  if not test then return end
  local said, bayes = confusion.best(test), average(out, "nbsvm_test")
  rows = {}
  for i, probs in ipairs(test) do rows[i] = add_probs(add_probs({ i, d.names[said[i]] }, probs), bayes[i]) end
  columns = prob_columns(d, prob_columns(d, { "row", "label" }, "prob_"), "nbsvm_")
  kooka.try(csv.write(run:path("predictions/classify.csv"), columns, rows))
  run:say("predictions: %s (%d texts)", run:path("predictions/classify.csv"), #rows)
end

-- Right or wrong, row by row, of ours minus NB-SVM's: an interval of the difference in accuracy.
local function against(said, theirs, labels, options)
  local differences = {}
  for i, y in ipairs(labels) do differences[i] = (said[i] == y and 1 or 0) - (theirs[i] == y and 1 or 0) end
  local m = eval.mean(differences, options)
  if not m.low then return ("no verdict between ULMFiT and NB-SVM: %s"):format(m.note or "no interval") end
  local verdict = m.low > 0 and "ULMFiT is better than NB-SVM" or m.high < 0 and "ULMFiT is worse than NB-SVM"
    or "no difference shown between ULMFiT and NB-SVM"
  return ("%s: accuracy differs by %+.4f [%+.4f, %+.4f] on the same %d rows"):format(verdict, m.value, m.low, m.high, #labels)
end

local SHOWN = { "f1_macro", "accuracy", "mcc", "log_loss", "balanced_accuracy" }

local function score(run, p, d, out)
  local prob, bayes, labels, folds, groups = {}, {}, {}, {}, d.groups and {}
  for k, o in ipairs(out) do
    for i, row in ipairs(o.rows) do
      local n = #labels + 1
      prob[n], bayes[n], labels[n], folds[n] = o.prob[i], o.nbsvm[i], d.labels[row], k
      if groups then groups[n] = d.groups[row] end
    end
  end
  local options = { seed = p.seed, resamples = p.resamples, groups = groups }
  local function of_classes(x)
    return eval.multiclass(x, labels, { seed = p.seed, resamples = p.resamples, groups = groups, names = d.names })
  end
  local ours, theirs, rows, shown = of_classes(prob), of_classes(bayes), {}, {}
  local names = table.move(SHOWN, 1, #SHOWN, 1, {})
  for _, name in ipairs(d.names) do names[#names + 1] = "f1_" .. name end
  for _, name in ipairs(names) do
    local a, b = ours[name], theirs[name]
    shown[name] = a
    run:metric(name, a)
    run:metric("nbsvm_" .. name, b)
    rows[#rows + 1] = { name, tables.metric(a), tables.metric(b), a.baseline and ("%.3f"):format(a.baseline) or "-" }
  end
  local said = confusion.best(prob)
  local verdict = against(said, confusion.best(bayes), labels, options)
  local columns = { "metric", "ULMFiT", "NB-SVM", "majority" }
  run:say("%s", tables.text { columns = columns, rows = rows })
  run:say("%s", verdict)
  return { columns = columns, rows = rows, verdict = verdict, prob = prob, labels = labels, ours = ours, theirs = theirs,
    fold = #out > 1 and folds or nil, groups = groups, shown = shown,
    counts = confusion.count(said, labels, #d.names) }
end

local function curve(history)
  local train, valid = {}, {}
  for i, h in ipairs(history) do train[i], valid[i] = h.train_loss, h.valid_loss or 0 / 0 end
  return { { name = "training texts", y = train }, { name = "held-out texts", y = valid } }
end

-- The model of all rows, in model/final: calibrated by the held-out predictions of its siblings, with their scores on its card.
-- Answers what it says of the test texts.
local function final(p, run, tok, d, lm, s, told, mix)
  local m = classifier(p, run, tok, d, { name = "all-rows", from = lm, seed = p.seed })
  return run:stage("model", function()
    if mix then m:weigh(mix) end
    m.calibration = calibrate.fit(s.prob, s.labels, { fold = s.fold, groups = s.groups, seed = p.seed })
    local data = run:sources()
    data[1].terms, data[1].texts, data[1].about = p.terms, #d.labels, "classes: " .. table.concat(d.names, ", ")
    m.card = { name = "classes of " .. d.path:match("[^/]*$"), split = told, scores = s.shown,
      data = data, precision = kooka.precision(),
      use = "texts like those of the table, in its language", training = ("%d epochs behind a language model's %d"):format(p.epochs, p.lm_epochs),
      limits = "scores and calibration are of models that saw fewer rows; other texts (another place, another time) score lower" }
    kooka.try(m:save(run.dir .. "/model/final"))
    for _, file in ipairs { "model.safetensors", "tokenizer.model", "config.json", "card.md", "calibration.json" } do
      run:path("model/final/" .. file)
    end
    local loss = m.calibration.log_loss
    run:say("model: %s (%s); calibrated: log-loss %s, before %s", run.dir .. "/model/final", table.concat(d.names, ", "),
      tables.metric(loss.after), tables.metric(loss.before))
    return { test = d.test and m:predict(d.test) or nil }
  end).test
end

local function write_report(run, p, d, s, told, history)
  local r = report.new { title = "Classes of " .. (d.path:match("[^/]*$")), first_line = told }
  r:section "Held-out rows"
  r:table { columns = s.columns, rows = s.rows }
  r:text(s.verdict .. ".")
  local rows = {}
  for c, name in ipairs(d.names) do
    local a, b = s.ours["f1_" .. name], s.theirs["f1_" .. name]
    rows[#rows + 1] = { label = name, value = a.value, low = a.low, high = a.high, mark = b.value, group = 1 }
    rows[#rows].label = ("%s (%d)"):format(name, d.count[c])
  end
  r:svg(plot.svg.intervals { title = "F1 of each class", rows = rows, xmin = 0, xmax = 1, mark_name = "NB-SVM" })
  r:section "What is taken for what"
  r:svg(confusion.svg { counts = s.counts, names = d.names })
  rows = {}
  for i, w in ipairs(confusion.worst(s.counts, d.names, 8)) do
    rows[i] = { w.truth, w.said, w.n, ("%.1f %%"):format(100 * w.share) }
  end
  r:table { columns = { "true class", "said", "rows", "of that class" }, rows = rows, caption = "the most frequent mistakes" }
  if #d.names == 2 then
    local second = {}
    for i, row in ipairs(s.prob) do second[i] = row[2] end
    r:section "Calibration"
    r:svg(plot.svg.calibration { prob = second, label = s.labels }, "probability of " .. d.names[2])
  end
  r:section "The language model"
  r:svg(plot.svg.line { series = curve(history), xlabel = "epoch", ylabel = "nats a piece" })
  r:section "Settings"
  rows = {}
  for k, v in pairs(p) do rows[#rows + 1] = { k, tostring(v) } end
  table.sort(rows, function(a, b) return a[1] < b[1] end)
  r:table { columns = { "option", "value" }, rows = rows }
  kooka.try(r:write(run:path("report.html")))
  run:say("report: %s", run:path("report.html"))
end

local STEPS <const> = 300          -- of the optimizer, at least: with 64 texts a batch, 4 epochs of 300 texts are 16 and teach nothing
local SMALL <const>, USUAL <const> = 16, 64

-- Batches and epochs where 0 leaves them to us: the fewer rows, the smaller the ones and the more of the others.
local function pace(p, run, rows)
  if p.batch == 1 then error("--batch 1: batch norm needs 2 texts at least; 0 chooses", 0) end
  if p.batch == 0 then
    p.batch = USUAL
    while p.batch > SMALL and p.batch > rows // 16 do p.batch = p.batch // 2 end
  end
  if p.epochs == 0 then p.epochs = math.max(4, -(-STEPS * p.batch // rows)) end
  run:say("classifiers: %d rows to train on, batches of %d, %d epochs behind the head's %d", rows, p.batch, p.epochs, p.head_epochs)
end

-- What a reader must know before any number.
local function first_line(p, d, parts)
  local told = #parts == 1
    and ("One stratified split of %d rows: %d to train on, %d held out; the held-out texts were not read by any model that is scored.")
      :format(#d.labels, #parts[1].train, #parts[1].valid)
    or ("%d stratified folds of %d rows; the language model read all of these texts without their labels."):format(#parts, #d.labels)
  if #d.more > 0 then told = told .. (" It read %d more texts from %s."):format(#d.more, p.texts) end
  if p.final then
    told = told .. (" model/final is trained on all %d rows: the scores are of its siblings, which saw fewer.")
      :format(#d.labels)
  end
  return told
end

return {
  name = "classify",
  about = "Classes for the texts of any table: ULMFiT beside NB-SVM and the majority, out of fold, and a model to use",
  params = ulmfit.params({
    vocab = 8000, cell = "lstm", embed = 256, hidden = 512, layers = 2, lm_epochs = 5, lm_lr = 5e-3, lm_drop = .5,
    lm_batch = 32, bptt = 70, head_epochs = 1, head_lr = 1e-2, lr = 2.5e-3, drop = .5, ngrams = 3, smoothing = .05, balance = "none",
    pretrained = "", itos = "",
  }, {
    data = { default = "", help = "the table (CSV with comma, tab or semicolon), or a file with a text a line and --labels" },
    text = { default = "", help = "its column of texts; found where not given" },
    label = { default = "", help = "its column of classes; found where not given" },
    group = { default = "", help = "a column (a person, a thread) whose rows stay on one side of every split" },
    labels = { default = "", help = "a file with a class a line, one for each line of --data" },
    test = { default = "", help = "a file of the same kind to predict: predictions/classify.csv" },
    backwards = { default = false, help = "read the texts from their end: a second run for `kooka ensemble`" },
    texts = { default = "", help = "more texts for the language model: .txt (one a line), .csv, .tsv, .jsonl, folders of them; several with commas" },
    batch = { default = 0, min = 0, max = 1024, help = "texts of a batch of the classifier; 0: 64, fewer where there are fewer than 1,024 rows" },
    epochs = { default = 0, min = 0, max = 200, help = "epochs of the classifier with everything unfrozen; 0: 4, or so many that they "
      .. "make 300 steps" },
    terms = { default = "", help = "who may use the data and for what; for the model's card (\"\": not stated)" },
    start = { default = "", help = "folder of a language model to start from, as `kooka run lm --clean` keeps one in model/lm: its pieces, "
      .. "weights and sizes, trained lm_epochs more on these texts" },
    skip_bad = { default = false, help = "leave out rows without text or class instead of stopping" },
    folds = { default = 5, min = 1, max = 20, help = "cross-validation folds; 1: a single hold-out of share `valid`" },
    split_seed = { default = 1, min = 0, help = "seed of the folds, apart from --seed: runs of several seeds then share them" },
    valid = { default = .2, min = .05, max = .5, help = "share held out when folds = 1" },
    final = { default = true, help = "train one more model on all rows and keep it in model/final; it predicts --test" },
    rows = { default = 0, min = 0, help = "use the first so many rows (0: all)" },
    resamples = { default = 1000, min = 100, max = 100000, help = "bootstrap resamples of an interval" },
  }),
  quick = { folds = 1, vocab = 4000, embed = 160, hidden = 320, lm_epochs = 3, epochs = 3, lm_batch = 16, bptt = 50 },
  smoke = { data = "../shared/data/other/davidson_hate_en/labeled_data.csv", folds = 1, rows = 400, vocab = 400, embed = 16,
    hidden = 24, lm_epochs = 1, epochs = 1, resamples = 100, lm_batch = 8, bptt = 20, batch = 16 },
  run = function(p, run)
    p.seed = run.seed
    local d = read(p, run)
    describe(run, d)
    local parts = splits(p, d)
    local told = first_line(p, d, parts)
    run:say("%s", told)
    pace(p, run, #parts[1].train)
    local known = #parts == 1 and of(d.texts, parts[1].train) or table.move(d.texts, 1, #d.texts, 1, {})
    table.move(d.more, 1, #d.more, #known + 1, known)
    local tok, from = ulmfit.beginning(run, known, p)
    local cut = math.max(1, #known // 20)
    local lm, history = ulmfit.language_model(run, tok, {
      name = "language-model", from = from, texts = table.move(known, cut + 1, #known, 1, {}), valid = table.move(known, 1, cut, 1, {}),
      cell = p.cell, embed = p.embed, hidden = p.hidden, layers = p.layers, epochs = p.lm_epochs, lr = p.lm_lr,
      backwards = p.backwards, drop = p.lm_drop, batch = p.lm_batch, bptt = p.bptt, seed = p.seed,
      pretrained = p.pretrained, itos = p.itos,
    })
    d.weigh = p.ngrams > 0 and #parts > 1 and stack.possible(d.labels, split.folds(parts), #d.names)
    local out, mix, together = {}, nil, nil
    for k, s in ipairs(parts) do out[k] = fold(p, run, tok, d, s, k, lm) end
    if d.weigh then mix, together = weigh(run, d, out) end
    local s = score(run, p, d, out)
    local test = together or average(out, "test")
    if p.final then test = final(p, run, tok, d, lm, s, told, mix) end
    write_predictions(run, d, out, test)
    write_report(run, p, d, s, told, history)
  end,
}
