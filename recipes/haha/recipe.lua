--- haha: is this Spanish tweet meant to be funny? ULMFiT on HAHA 2019 (Chiruzzo et al. 2019), with honest scores.
--
-- Data: a folder with haha_2019_train.csv (id,text,is_humor,...) and haha_2019_test.csv (id,text). Not shipped: bring your copy.
-- Method: SentencePiece BPE -> AWD-LSTM language model on Spanish texts of your own (--texts), then on the training texts ->
-- classifier with concat pooling (Howard & Ruder 2018; Farzin, Czapla & Howard 2019), random oversampling of the smaller
-- class inside the training side only. --lm RUN takes the tokenizer and language model of an earlier run.
-- Every score stands beside the majority class and NB-SVM (Wang & Manning 2012) on the very same rows.
local kooka = require "kooka"
local csv = require "kooka.data.csv"
local eval = require "kooka.eval"
local leaks = require "kooka.data.leaks"
local nbsvm = require "kooka.baseline.nbsvm"
local oversample = require "kooka.data.oversample"
local report = require "kooka.report"
local runs = require "kooka.runs"
local plot = require "kooka.plot"
local split = require "kooka.data.split"
local tables = require "kooka.table"
local tokenizer = require "kooka.text.tokenizer"
local texts_of = require "kooka.data.texts"
local ulmfit = require "kooka.ulmfit"

local FUNNY = 2                            -- class labels count from 1: 1 no humour, 2 humour

local function read(p)
  local train = kooka.try(csv.read(p.data .. "/haha_2019_train.csv", { columns = { "id", "text", "is_humor", "funniness_average" } }))
  local test = kooka.try(csv.read(p.data .. "/haha_2019_test.csv", { columns = { "id", "text" } }))
  local flags = kooka.try(csv.numbers(train, "is_humor", { min = 0, max = 1, integer = true }))
  local labels, funny = {}, kooka.try(csv.numbers(train, "funniness_average", { null = "NULL" }))
  for i, flag in ipairs(flags) do labels[i] = flag + 1 end
  if p.rows > 0 and p.rows < #labels then   -- smoke runs: a part of the rows
    for i = #labels, p.rows + 1, -1 do labels[i], train.text[i], train.id[i] = nil, nil, nil end
  end
  return { texts = train.text, ids = train.id, labels = labels, funny = funny, test = test.text, test_ids = test.id }
end

-- Texts from outside, each once, without those of the contest (which come later) and without its test texts.
local function outside_texts(p, run, d, lm_texts)
  local all, told = kooka.try(texts_of.read(p.texts))
  local seen, out = {}, {}
  for _, list in ipairs { leaks.keys(d.test), leaks.keys(lm_texts), leaks.keys(d.texts) } do
    for _, key in ipairs(list) do seen[key] = true end
  end
  for i, key in ipairs(leaks.keys(all)) do
    if not seen[key] then
      seen[key] = true
      out[#out + 1] = all[i]
    end
  end
  for _, file in ipairs(told) do run:say("texts: %s: %d", file.path, file.n) end
  run:say("texts: %d read, %d left without repeats and without texts of the contest", #all, #out)
  return out
end

-- The network of an earlier run must be the one that this run builds.
local function earlier_run(p, run)
  local dir = kooka.try(runs.find(p.lm))
  local before = kooka.try(runs.read(dir))
  for _, name in ipairs { "cell", "embed", "hidden", "layers" } do
    local had = (before.params or {})[name]
    if had ~= p[name] then
      error(("--lm %s: its %s is %s, this run's %s; set --%s"):format(p.lm, name, tostring(had), tostring(p[name]), name), 0)
    end
  end
  run:stage("language-model", function()
    for _, name in ipairs { "tokenizer.model", "language-model.safetensors" } do
      kooka.try(kooka.sys.write_file(run:path(name), kooka.try(kooka.sys.read_file(dir .. "/" .. name))))
    end
    run:say("language model and tokenizer: those of %s", dir)
  end)
  return kooka.try(tokenizer.load(run.dir .. "/tokenizer.model")), "language-model.safetensors"
end

-- Tokenizer and language model: of an earlier run, or on texts from outside (if any) and then on the contest's.
local function language_model(p, run, d, lm_texts)
  if p.lm ~= "" then return earlier_run(p, run) end
  local outside = p.texts ~= "" and outside_texts(p, run, d, lm_texts) or {}
  local every = table.move(outside, 1, #outside, #lm_texts + 1, table.move(lm_texts, 1, #lm_texts, 1, {}))
  local tok = ulmfit.tokenizer(run, every, { vocab = p.vocab })
  local cut = math.max(1, #lm_texts // 20)
  local own, valid = table.move(lm_texts, cut + 1, #lm_texts, 1, {}), table.move(lm_texts, 1, cut, 1, {})
  local o = { valid = valid, cell = p.cell, embed = p.embed, hidden = p.hidden, layers = p.layers, drop = p.lm_drop,
    batch = p.lm_batch, bptt = p.bptt, seed = p.seed }
  if #outside > 0 then
    o.name, o.epochs, o.lr = "general", p.general_epochs, p.general_lr
    o.texts = table.move(outside, 1, #outside, #own + 1, table.move(own, 1, #own, 1, {}))
    o.from = ulmfit.language_model(run, tok, o)
  end
  o.name, o.texts, o.epochs, o.lr = "language-model", own, p.lm_epochs, p.lm_lr
  return tok, (ulmfit.language_model(run, tok, o))
end

local function of(list, rows)
  local out = {}
  for i, row in ipairs(rows) do out[i] = list[row] end
  return out
end

local function positive(probs)
  local out = {}
  for i, row in ipairs(probs) do out[i] = row[FUNNY] end
  return out
end

-- One fold: oversample, train, predict. Answers probabilities for the held-out rows and for the test texts.
local function fold(p, run, tok, d, s, k, lm)
  local resampled, counts = oversample.random(s, d.labels, { seed = p.seed })
  if p.oversample then run:say("fold %d: %s", k, tostring(counts)) else resampled = s end
  leaks.assert_none(s, d.texts)
  local name = "classifier-" .. k
  local m = ulmfit.classifier(run, tok, {
    name = name, from = lm, texts = d.texts, labels = d.labels, rows = resampled.train, valid_rows = s.valid,
    cell = p.cell, embed = p.embed, hidden = p.hidden, layers = p.layers, drop = p.drop, smoothing = p.smoothing,
    head_epochs = p.head_epochs, head_lr = p.head_lr, epochs = p.epochs, lr = p.lr, batch = p.batch, seed = p.seed + k - 1,
  })
  return run:stage("predict-" .. k, function()
    local bayes = kooka.try(nbsvm.fit { texts = of(d.texts, s.train), labels = of(d.labels, s.train) })
    return {
      rows = s.valid,
      prob = positive(m:predict(of(d.texts, s.valid))),
      nbsvm = kooka.try(bayes:predict(of(d.texts, s.valid))),
      test = positive(m:predict(d.test)),
    }
  end)
end

local function splits(p, d)
  local groups = leaks.keys(d.texts)        -- the same text twice stays on one side
  if p.folds == 1 then return { split.holdout(d.labels, { valid = p.valid, seed = p.seed, groups = groups }) } end
  return split.kfold(d.labels, { k = p.folds, seed = p.seed, groups = groups })
end

local function write_predictions(run, p, d, out, mean_funny)
  local rows = {}
  for i, id in ipairs(d.test_ids) do
    local prob = 0
    for _, o in ipairs(out) do prob = prob + o.test[i] / #out end
    rows[i] = { id, prob >= .5 and 1 or 0, ("%.4f"):format(prob * mean_funny), ("%.6f"):format(prob) }
  end
  kooka.try(csv.write(run:path("predictions/haha.csv"), { "id", "is_humor", "funniness_average", "prob_humor" }, rows))
  rows = {}
  for k, o in ipairs(out) do
    for i, row in ipairs(o.rows) do
      rows[#rows + 1] = { d.ids[row], o.prob[i] >= .5 and 1 or 0, ("%.4f"):format(o.prob[i] * mean_funny), ("%.6f"):format(o.prob[i]), k }
    end
  end
  kooka.try(csv.write(run:path("predictions/haha_oof.csv"), { "id", "is_humor", "funniness_average", "prob_humor", "fold" }, rows))
  run:say("predictions: %s (%d test texts), %s (held-out rows of the training file)", run:path("predictions/haha.csv"), #d.test_ids,
    run:path("predictions/haha_oof.csv"))
end

-- Mean funniness of the humorous training rows: prob times it is the expected score when other rows count 0.
local function mean_funniness(d)
  local sum, n = 0, 0
  for i, y in ipairs(d.labels) do
    if y == FUNNY and d.funny and d.funny[i] then sum, n = sum + d.funny[i], n + 1 end
  end
  return n > 0 and sum / n or 0
end

local SHOWN = { "f1", "precision", "recall", "accuracy", "mcc", "average_precision", "roc_auc", "log_loss", "brier" }

local function score(run, p, d, out)
  local prob, bayes, labels, groups = {}, {}, {}, {}
  for _, o in ipairs(out) do
    for i, row in ipairs(o.rows) do
      prob[#prob + 1], bayes[#bayes + 1], labels[#labels + 1] = o.prob[i], o.nbsvm[i], d.labels[row]
    end
  end
  local options = { positive = FUNNY, seed = p.seed, resamples = p.resamples }
  local ours, theirs = eval.binary(prob, labels, options), eval.binary(bayes, labels, options)
  local rows = {}
  for _, name in ipairs(SHOWN) do
    local a, b = ours[name], theirs[name]
    run:metric(name .. "_humor", a)
    run:metric("nbsvm_" .. name .. "_humor", b)
    rows[#rows + 1] = { name, tables.metric(a), tables.metric(b), a.baseline and ("%.3f"):format(a.baseline) or "-" }
  end
  local against = eval.paired(prob, bayes, labels, { positive = FUNNY, seed = p.seed, resamples = p.resamples, metric = "f1",
    names = { "ULMFiT", "NB-SVM" } })
  local columns = { "metric", "ULMFiT", "NB-SVM", "majority" }
  run:say("%s", tables.text { columns = columns, rows = rows })
  run:say("%s", against.text)
  return { columns = columns, rows = rows, paired = against, prob = prob, labels = labels, groups = groups }
end

local function write_report(run, p, d, out, s, told)
  local r = report.new { title = "HAHA 2019", first_line = told }
  r:section "Held-out rows of the training file"
  r:table { columns = s.columns, rows = s.rows }
  r:text(s.paired.text)
  r:section "Calibration"
  r:svg(plot.svg.calibration { prob = s.prob, label = s.labels })
  r:section "Settings"
  local rows = {}
  for k, v in pairs(p) do rows[#rows + 1] = { k, tostring(v) } end
  table.sort(rows, function(a, b) return a[1] < b[1] end)
  r:table { columns = { "option", "value" }, rows = rows }
  kooka.try(r:write(run:path("report.html")))
end

return {
  name = "haha",
  about = "Humour in Spanish tweets (HAHA 2019): ULMFiT beside NB-SVM and the majority, with intervals and a prediction file",
  params = ulmfit.params({
    vocab = 10000, cell = "lstm", embed = 320, hidden = 768, layers = 3, lm_epochs = 6, lm_lr = 5e-3, lm_drop = .5,
    lm_batch = 64, bptt = 70, head_epochs = 1, head_lr = 1e-2, epochs = 3, lr = 2.5e-3, drop = .5,
    smoothing = .1, batch = 64
  }, {
    data = { default = "../shared/data/haha2019", help = "folder with haha_2019_train.csv and haha_2019_test.csv" },
    texts = { default = "", help = "more Spanish texts for the language model: files or folders, with commas between" },
    lm = { default = "", help = "an earlier run of this recipe whose tokenizer and language model to take" },
    general_epochs = { default = 3, min = 1, max = 100, help = "epochs of the language model on `texts`, before its own" },
    general_lr = { default = 5e-3, min = 1e-6, max = 1, help = "largest learning rate of those epochs" },
    transductive = { default = false, help = "let the language model read the test texts too (never their labels)" },
    folds = { default = 5, min = 1, max = 20, help = "cross-validation folds; 1: a single hold-out of share `valid`" },
    valid = { default = .2, min = .05, max = .5, help = "share held out when folds = 1" },
    rows = { default = 0, min = 0, help = "use the first so many training rows (0: all)" },
    oversample = { default = true, help = "repeat rows of the smaller class inside the training side" },
    resamples = { default = 1000, min = 100, max = 100000, help = "bootstrap resamples of an interval" },
  }),
  quick = { folds = 1, vocab = 6000, embed = 200, hidden = 400, layers = 2, lm_epochs = 5, lm_batch = 24, bptt = 50, epochs = 3 },
  smoke = { folds = 1, rows = 600, vocab = 500, embed = 16, hidden = 24, layers = 2, lm_epochs = 1, epochs = 1, resamples = 100,
    lm_batch = 8, bptt = 20 },
  run = function(p, run)
    p.seed = run.seed
    local d = read(p)
    local parts = splits(p, d)
    local own = #parts == 1 and parts[1].train
    local texts = own and of(d.texts, own) or d.texts
    local told = own
      and ("One stratified split of %d training rows: %d to train on, %d held out; no model of this run read the held-out texts.")
        :format(#d.labels, #parts[1].train, #parts[1].valid)
      or ("%d stratified folds of %d training rows; the language model read all training texts without their labels.")
        :format(#parts, #d.labels)
    if p.transductive then
      told = told .. " TRANSDUCTIVE: the language model read the test texts too, without labels, as the 2019 entry did."
    end
    if p.lm ~= "" then told = told .. (" The language model is the one of %s: what it read stands there."):format(p.lm) end
    run:say("%s", told)
    local lm_texts = table.move(texts, 1, #texts, 1, {})
    if p.transductive then table.move(d.test, 1, #d.test, #lm_texts + 1, lm_texts) end
    local tok, lm = language_model(p, run, d, lm_texts)
    local out = {}
    for k, s in ipairs(parts) do out[k] = fold(p, run, tok, d, s, k, lm) end
    local s = score(run, p, d, out)
    write_predictions(run, p, d, out, mean_funniness(d))
    write_report(run, p, d, out, s, told)
  end,
}
