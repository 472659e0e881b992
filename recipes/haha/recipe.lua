--- haha: is this Spanish tweet meant to be funny? ULMFiT on HAHA 2019 (Chiruzzo et al. 2019), with honest scores.
--
-- Data: a folder with haha_2019_train.csv (id,text,is_humor,...) and haha_2019_test.csv (id,text). Not shipped: bring your copy.
-- Method: SentencePiece BPE -> AWD-LSTM language model on Spanish texts of your own (--texts), then on the training texts ->
-- classifier with concat pooling (Howard & Ruder 2018; Farzin, Czapla & Howard 2019), beside whose network a linear layer
-- reads the n-grams of pieces (Cheng et al. 2016); random oversampling of the smaller class inside the training side only, on
-- wish. Classes are shares of votes; --votes brings more texts that were voted on.
-- --start MODEL takes the tokenizer and language model that an earlier run left.
-- Every score stands beside the majority class, NB-SVM (Wang & Manning 2012) and logistic regression on characters, on the very
-- same rows, and beside two that learn from the votes, as the network does: logistic regression on characters with their capitals, and
-- what the votes of the most similar texts were. The cut that F1 needs is chosen on the other folds. The predictions are those of all
-- stacked where there are folds.
-- Funniness (task 2) comes from the same network.
local kooka = require "kooka"
local calibrate = require "kooka.eval.calibrate"
local characters = require "kooka.baseline.characters"
local csv = require "kooka.data.csv"
local ensemble = require "kooka.ensemble"
local eval = require "kooka.eval"
local leaks = require "kooka.data.leaks"
local model = require "kooka.model"
local nbsvm = require "kooka.baseline.nbsvm"
local neighbours = require "kooka.baseline.neighbours"
local oversample = require "kooka.data.oversample"
local report = require "kooka.report"
local scores = require "kooka.ensemble.scores"
local plot = require "kooka.plot"
local split = require "kooka.data.split"
local tables = require "kooka.table"
local texts_of = require "kooka.data.texts"
local threshold = require "kooka.eval.threshold"
local ulmfit = require "kooka.ulmfit"
local votes_of = require "kooka.data.votes"

local FUNNY = 2                            -- class labels count from 1: 1 no humour, 2 humour

-- The baselines as people know them, and two that see what the network is told: shares of votes, and the texts from outside.
local BASELINES = {
  { name = "nbsvm", title = "NB-SVM", fit = nbsvm.fit },
  { name = "characters", title = "characters", fit = characters.fit },
  { name = "cased", title = "cased characters", fit = characters.fit, material = true, options = { cased = true } },
  { name = "neighbours", title = "neighbours", fit = neighbours.fit, material = true },
}
local SURE = 3                             -- votes that it takes to know how funny a text from outside is

local function of(list, rows)
  local out = {}
  for i, row in ipairs(rows) do out[i] = list[row] end
  return out
end

local function of_field(rows, name)
  local out = {}
  for i, row in ipairs(rows) do out[i] = row[name] end
  return out
end

local function read(p, run)
  local train = kooka.try(csv.read(p.data .. "/haha_2019_train.csv", { columns = { "id", "text", "is_humor", "funniness_average" } }))
  local test = kooka.try(csv.read(p.data .. "/haha_2019_test.csv", { columns = { "id", "text" } }))
  local flags = kooka.try(csv.numbers(train, "is_humor", { min = 0, max = 1, integer = true }))
  local labels, funny = {}, kooka.try(csv.numbers(train, "funniness_average", { null = "NULL" }))
  for i, flag in ipairs(flags) do labels[i] = flag + 1 end
  run:data(p.data .. "/haha_2019_train.csv")
  run:data(p.data .. "/haha_2019_test.csv")
  if p.rows > 0 and p.rows < #labels then   -- smoke runs: a part of the rows
    for i = #labels, p.rows + 1, -1 do labels[i], train.text[i], train.id[i] = nil, nil, nil end
  end
  return { texts = train.text, ids = train.id, labels = labels, funny = funny, test = test.text, test_ids = test.id }
end

-- The votes of each contest text, as the training file counts them.
local function contest_votes(p, d)
  local counts, message = votes_of.counts(kooka.try(csv.read(p.data .. "/haha_2019_train.csv")))
  if not counts then error(message .. "; --labels majority does without votes", 0) end
  local rows = {}
  for i = 1, #d.labels do
    local row = { no = counts.no[i], stars = {}, n = counts.no[i] }
    for k, list in ipairs(counts.stars) do row.stars[k], row.n = list[i], row.n + list[i] end
    rows[i] = row
  end
  return rows
end

-- Texts with votes from outside, none of them like a text of the contest: those would tell a fold the labels that it is judged on.
local function outside_votes(p, run, d)
  local rows, told = kooka.try(votes_of.read(p.votes))
  for _, file in ipairs(told) do
    run:data(file.path, { role = "votes" })
    run:say("votes: %s: %d texts with votes", file.path, file.n)
  end
  local texts, contest = of_field(rows, "text"), table.move(d.texts, 1, #d.texts, 1, {})
  local like, known, out = leaks.similar(texts, table.move(d.test, 1, #d.test, #contest + 1, contest)), {}, {}
  for _, key in ipairs(leaks.keys(contest)) do known[key] = true end
  for i, key in ipairs(leaks.keys(texts)) do
    if not like[i] and not known[key] then out[#out + 1] = rows[i] end
  end
  run:say("votes: %d texts train beside each fold's own; %d that resemble a text of the contest are left out", #out, #rows - #out)
  return out
end

-- What the classifiers train on: the contest's texts, then those of --votes, with class shares, weights and scores. Rows of the contest
-- keep their numbers; more lists the others, which no fold holds out.
local function training_material(p, run, d)
  local m = { texts = table.move(d.texts, 1, #d.texts, 1, {}), labels = table.move(d.labels, 1, #d.labels, 1, {}),
    scores = table.move(d.scores, 1, #d.scores, 1, {}), more = {} }
  local own = p.labels == "votes" and contest_votes(p, d)
  local rows = own or {}
  if p.votes ~= "" then
    for _, row in ipairs(outside_votes(p, run, d)) do
      local at, yes, stars = #m.texts + 1, row.n - row.no, votes_of.stars(row)
      m.texts[at], m.labels[at], m.more[#m.more + 1] = row.text, yes > row.no and FUNNY or 1, at
      m.scores[at] = row.n >= SURE and (yes > row.no and stars or 0.0)
      rows[#rows + 1] = row
    end
  end
  if own then
    m.shares = {}
    local shares, rate
    shares, m.weights, rate = votes_of.soft(rows)
    for i, s in ipairs(shares) do m.shares[i] = { 1 - s, s } end
    run:say("labels: shares of %d texts' votes, %.1f %% of them for humour; a text counts by the reliability of its votes", #rows,
      100 * rate)
  end
  return m
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
  for _, file in ipairs(told) do
    run:data(file.path, { role = "texts" })
    run:say("texts: %s: %d", file.path, file.n)
  end
  run:say("texts: %d read, %d left without repeats and without texts of the contest", #all, #out)
  return out
end

-- Tokenizer and language model: from --start or from nothing, on texts from outside (if any), then on the contest's.
local function language_model(p, run, d, lm_texts)
  local outside = p.texts ~= "" and outside_texts(p, run, d, lm_texts) or {}
  local every = table.move(outside, 1, #outside, #lm_texts + 1, table.move(lm_texts, 1, #lm_texts, 1, {}))
  local tok, from = ulmfit.beginning(run, every, p)
  if p.lm_epochs == 0 then
    if from and #outside == 0 then return tok, from end
    p.lm_epochs = #outside > 0 and 3 or 6
  end
  local cut = math.max(1, #lm_texts // 20)
  local own, valid = table.move(lm_texts, cut + 1, #lm_texts, 1, {}), table.move(lm_texts, 1, cut, 1, {})
  local o = { valid = valid, from = from, cell = p.cell, embed = p.embed, hidden = p.hidden, layers = p.layers, drop = p.lm_drop,
    decay = p.lm_decay, backwards = p.backwards, batch = p.lm_batch, bptt = p.bptt, seed = p.seed, pretrained = p.pretrained,
    itos = p.itos }
  if #outside > 0 then
    o.name, o.epochs, o.lr = "general", p.general_epochs, p.general_lr
    o.texts = table.move(outside, 1, #outside, #own + 1, table.move(own, 1, #own, 1, {}))
    o.from = ulmfit.language_model(run, tok, o)
  end
  o.name, o.texts, o.epochs, o.lr = "language-model", own, p.lm_epochs, p.lm_lr
  return tok, (ulmfit.language_model(run, tok, o))
end

local function split_answers(answers)
  local prob, score = {}, {}
  for i, a in ipairs(answers) do prob[i], score[i] = a.prob[FUNNY], math.max(a.score, 0) end
  return prob, score
end

-- Funniness where it counts: rows that are no humour (or have no stars) count 0, as in the contest.
local function scores_of(d)
  local out = {}
  for i, y in ipairs(d.labels) do out[i] = y == FUNNY and d.funny[i] or 0.0 end
  return out
end

-- The texts of a fold's training side as a baseline of BASELINES wants them.
local function baseline_material(d, s, b)
  local o, m, rows = {}, d.material, s.train
  for k, v in pairs(b.options or {}) do o[k] = v end
  if b.material then rows = table.move(m.more, 1, #m.more, #rows + 1, table.move(rows, 1, #rows, 1, {})) end
  o.texts, o.labels = of(m.texts, rows), of(m.labels, rows)
  if b.material and m.shares then
    o.shares, o.weights = {}, of(m.weights, rows)
    for i, row in ipairs(rows) do o.shares[i] = m.shares[row][FUNNY] end
  end
  return o
end

-- One fold: train, predict. Answers probabilities and funniness for the held-out rows and for the test texts.
local function fold(p, run, tok, d, s, k, lm)
  local resampled, counts = oversample.random(s, d.labels, { seed = p.seed })
  if p.oversample then run:say("fold %d: %s", k, tostring(counts)) else resampled = s end
  leaks.assert_none(s, d.texts)
  local name, train = "classifier-" .. k, d.material
  local rows = table.move(train.more, 1, #train.more, #resampled.train + 1, table.move(resampled.train, 1, #resampled.train, 1, {}))
  local m = ulmfit.classifier(run, tok, {
    name = name, from = lm, texts = train.texts, labels = train.labels, shares = train.shares, text_weights = train.weights,
    scores = train.scores, score_weight = p.score_weight, rows = rows, valid_rows = s.valid, backwards = p.backwards, cell = p.cell,
    embed = p.embed, hidden = p.hidden, layers = p.layers, drop = p.drop, ngrams = p.ngrams, smoothing = p.smoothing, decay = p.decay,
    head_epochs = p.head_epochs, head_lr = p.head_lr, epochs = p.epochs, lr = p.lr, batch = p.batch, unfreeze = p.unfreeze,
    seed = p.seed + k - 1, fold = k, classes_names = { "no humour", "humour" },
  })
  return run:stage("predict-" .. k, function()
    local held = of(d.texts, s.valid)
    local out = { rows = s.valid }
    out.prob, out.score = split_answers(m:predict(held))
    out.test, out.test_score = split_answers(m:predict(d.test))
    for _, b in ipairs(BASELINES) do
      local baseline = kooka.try(b.fit(baseline_material(d, s, b)))
      out[b.name], out[b.name .. "_test"] = kooka.try(baseline:predict(held)), kooka.try(baseline:predict(d.test))
    end
    return out
  end)
end

local function splits(p, d)
  local groups = leaks.keys(d.texts)        -- the same text twice stays on one side
  if p.folds == 1 then return { split.holdout(d.labels, { valid = p.valid, seed = p.split_seed, groups = groups }) } end
  return split.kfold(d.labels, { k = p.folds, seed = p.split_seed, groups = groups })
end

-- What the folds answered, row by row in the order of the folds; answers for the test texts are the mean of the folds'.
local function gather(d, out)
  local g = { row = {}, fold = {}, label = {}, funny = {} }
  local held, test = { "prob", "score" }, { "test", "test_score" }
  for _, b in ipairs(BASELINES) do held[#held + 1], test[#test + 1] = b.name, b.name .. "_test" end
  for _, list in ipairs { held, test } do
    for _, name in ipairs(list) do g[name] = {} end
  end
  for k, o in ipairs(out) do
    for i, row in ipairs(o.rows) do
      local at = #g.row + 1
      g.row[at], g.fold[at], g.label[at], g.funny[at] = row, k, d.labels[row], d.scores[row]
      for _, name in ipairs(held) do g[name][at] = o[name][i] end
    end
    for _, name in ipairs(test) do
      for i, x in ipairs(o[name]) do g[name][i] = (g[name][i] or 0) + x / #out end
    end
  end
  return g
end

-- The cut above which a probability means humour: chosen on the other folds for each fold; on one hold-out there are none, and
-- one half stands.
local function cuts_of(p, prob, g)
  if p.folds == 1 then return .5, .5, "at .5" end
  local c = threshold.crossfit(prob, g.label, g.fold, "f1", { positive = FUNNY, seed = p.seed })
  return c.row_cut, c.cut, ("at a cut chosen on the other folds (%.3f on all)"):format(c.cut)
end

local function write_predictions(run, d, g, prob, cuts, test, cut)
  local rows, centred = {}, threshold.centre(prob, cuts)
  for i, id in ipairs(d.test_ids) do
    rows[i] = { id, test[i] > cut and 1 or 0, ("%.4f"):format(g.test_blend[i]), ("%.6f"):format(test[i]) }
  end
  kooka.try(csv.write(run:path("predictions/haha.csv"), { "id", "is_humor", "funniness_average", "prob_humor" }, rows))
  rows = {}
  for i, row in ipairs(g.row) do
    rows[i] = { d.ids[row], centred[i] > .5 and 1 or 0, ("%.4f"):format(g.blend[i]), ("%.6f"):format(prob[i]), g.fold[i] }
  end
  kooka.try(csv.write(run:path("predictions/haha_oof.csv"), { "id", "is_humor", "funniness_average", "prob_humor", "fold" }, rows))
  run:say("predictions: %s (%d test texts), %s (held-out rows of the training file)", run:path("predictions/haha.csv"), #d.test_ids,
    run:path("predictions/haha_oof.csv"))
end

local AT_CUT = { "f1", "precision", "recall", "accuracy", "mcc" }
local ANYWHERE = { "average_precision", "roc_auc", "log_loss", "brier" }

-- Metrics of probabilities, those that need a cut at theirs.
local function judged(p, g, prob)
  local cuts, cut, told = cuts_of(p, prob, g)
  local o = { positive = FUNNY, seed = p.seed, resamples = p.resamples }
  local at, free, out = eval.binary(threshold.centre(prob, cuts), g.label, o), eval.binary(prob, g.label, o), {}
  for _, name in ipairs(AT_CUT) do out[name] = at[name] end
  for _, name in ipairs(ANYWHERE) do out[name] = free[name] end
  return { prob = prob, cuts = cuts, cut = cut, told = told, metrics = out }
end

local function stacked(g)
  local members = { { name = "ULMFiT", prob = g.prob, test = g.test } }
  for j, b in ipairs(BASELINES) do members[j + 1] = { name = b.title, prob = g[b.name], test = g[b.name .. "_test"] } end
  return ensemble.combine { members = members, labels = g.label, folds = g.fold, method = "stack", nonnegative = true, resamples = 0 }
end

local function score(run, p, g)
  local models = { { "", "ULMFiT", judged(p, g, g.prob) } }
  for j, b in ipairs(BASELINES) do models[j + 1] = { b.name .. "_", b.title, judged(p, g, g[b.name]) } end
  local stack = p.folds > 1 and stacked(g) or nil
  if stack then models[#models + 1] = { "stack_", "all, stacked", judged(p, g, stack.prob) } end
  local columns, rows = { "metric" }, {}
  for j, m in ipairs(models) do columns[j + 1] = m[2] end
  columns[#columns + 1] = "majority"
  for _, list in ipairs { AT_CUT, ANYWHERE } do
    for _, name in ipairs(list) do
      local row, base = { name }, models[1][3].metrics[name].baseline
      for j, m in ipairs(models) do
        row[j + 1] = tables.metric(m[3].metrics[name])
        run:metric(m[1] .. name .. "_humor", m[3].metrics[name])
      end
      row[#row + 1] = base and ("%.3f"):format(base) or "-"
      rows[#rows + 1] = row
    end
  end
  run:say("%s", tables.text { columns = columns, rows = rows })
  local lines = { ("F1, precision, recall, accuracy and MCC of ULMFiT %s."):format(models[1][3].told) }
  local function against(a, b)
    lines[#lines + 1] = eval.paired(threshold.centre(a[3].prob, a[3].cuts), threshold.centre(b[3].prob, b[3].cuts), g.label,
      { positive = FUNNY, seed = p.seed, resamples = p.resamples, metric = "f1", names = { a[2], b[2] } }).text
  end
  for j = 1, #BASELINES do against(models[1], models[j + 1]) end
  if stack then against(models[#models], models[1]) end
  for _, line in ipairs(lines) do run:say("%s", line) end
  return { columns = columns, rows = rows, lines = lines, ours = models[1][3], stack = stack, stacked = stack and models[#models][3] }
end

-- The network's funniness and what all models think of the class, weighed on the other folds: the mean over all rows, those that are no
-- humour counting 0, is that of a mixture. Without folds: the network's own.
local function blend_funniness(p, g)
  g.blend, g.test_blend = g.score, g.test_score
  if p.folds == 1 then return end
  local function columns(funny, prob, suffix)
    local product = {}
    for i, s in ipairs(funny) do product[i] = s * prob[i] end
    local list = { funny, prob, product }
    for _, b in ipairs(BASELINES) do list[#list + 1] = g[b.name .. suffix] end
    return list
  end
  g.blend, g.test_blend = scores.crossfit { columns = columns(g.score, g.prob, ""), target = g.funny, folds = g.fold,
    test = columns(g.test_score, g.test, "_test"), min = 0 }
end

-- Funniness: on all rows, and on the humorous rows alone.
local function score_funniness(run, p, g)
  blend_funniness(p, g)
  local columns, rows = { "RMSE of the funniness", "rows", "ULMFiT", "with all models' classes", "always the mean" }, {}
  local humorous = {}
  for i, y in ipairs(g.label) do
    if y == FUNNY then humorous[#humorous + 1] = i end
  end
  local every = {}
  for i = 1, #g.label do every[i] = i end
  for _, part in ipairs { { "all", "all rows (no humour: 0)", every }, { "humor", "humorous rows", humorous } } do
    if #part[3] > 1 then
      local target, row = of(g.funny, part[3]), { part[2], #part[3] }
      for _, by in ipairs { { "funniness_rmse_", g.score }, { "funniness_blend_rmse_", g.blend } } do
        local m = eval.regression(of(by[2], part[3]), target, { seed = p.seed, resamples = p.resamples }).rmse
        run:metric(by[1] .. part[1], m)
        row[#row + 1], row[5] = tables.metric(m), ("%.3f"):format(m.baseline)
      end
      rows[#rows + 1] = row
    end
  end
  run:say("%s", tables.text { columns = columns, rows = rows })
  return { columns = columns, rows = rows }
end

local function folders(run, out)
  local list = {}
  for k = 1, #out do list[k] = ("%s/model/classifier-%d"):format(run.dir, k) end
  return list
end

local LIMITS = "humour of 2018 and 2019, of accounts that the contest chose and people of Uruguay voted on; texts of another place or time "
  .. "score lower, and what is offensive is not judged"

-- Each fold's model: calibrated on its held-out rows, with the scores of what it then says on its card, where each row is calibrated
-- by others. `kooka predict` takes them all as one.
local function finish_models(run, p, d, out, told)
  run:stage("models", function()
    for k, o in ipairs(out) do
      local folder = ("model/classifier-%d"):format(k)
      local m, probs, labels = kooka.try(model.load(run.dir .. "/" .. folder)), {}, of(d.labels, o.rows)
      local said = {}
      for i, x in ipairs(o.prob) do probs[i] = { 1 - x, x } end
      for i, row in ipairs(calibrate.crossfit(probs, labels, nil, "platt")) do said[i] = row[FUNNY] end
      m:calibrate { probs = probs, labels = labels, method = "platt", seed = p.seed }    -- from shares of votes to what most say
      m.card = { name = ("humour in Spanish tweets, model %d of %d"):format(k, #out), language = "Spanish", limits = LIMITS,
        split = told .. " Scores are of calibrated answers, each row calibrated by the others.",
        data = { name = "HAHA 2019, training file (Chiruzzo et al. 2019)", terms = "those of the contest; not shipped",
          texts = #d.material.texts - #o.rows },
        scores = eval.binary(said, labels, { positive = FUNNY, seed = p.seed, resamples = p.resamples }),
        use = "ranking and counting humorous tweets in Spanish", precision = kooka.precision(),
        training = { labels = p.labels, votes = p.votes, lm_epochs = p.lm_epochs > 0 and p.lm_epochs or nil,
          head_epochs = p.head_epochs, epochs = p.epochs, lr = p.lr, oversample = p.oversample } }
      kooka.try(m:save(run.dir .. "/" .. folder))
      for _, file in ipairs(kooka.try(kooka.sys.list(run.dir .. "/" .. folder))) do run:path(folder .. "/" .. file) end
    end
    run:say("models: kooka predict %s", table.concat(folders(run, out), " "))
  end)
end

local function write_report(run, p, g, s, f, told)
  local r = report.new { title = "HAHA 2019", first_line = told }
  r:section "Held-out rows of the training file"
  r:table { columns = s.columns, rows = s.rows }
  for _, line in ipairs(s.lines) do r:text(line) end
  if s.stack then
    r:section "All together"
    r:text(tostring(s.stack.against.text))
  end
  r:section "Funniness"
  r:table { columns = f.columns, rows = f.rows }
  r:section "Calibration"
  r:svg(plot.svg.calibration { prob = g.prob, label = g.label })
  r:section "Settings"
  local rows = {}
  for k, v in pairs(p) do rows[#rows + 1] = { k, tostring(v) } end
  table.sort(rows, function(x, y) return x[1] < y[1] end)
  r:table { columns = { "option", "value" }, rows = rows }
  kooka.try(r:write(run:path("report.html")))
end

return {
  name = "haha",
  about = "Humour in Spanish tweets (HAHA 2019): ULMFiT beside NB-SVM, characters and the majority, with intervals and a prediction file",
  params = ulmfit.params({
    vocab = 8000, cell = "lstm", embed = 224, hidden = 448, layers = 3, lm_lr = 5e-3, lm_drop = .5,
    lm_batch = 64, bptt = 70, head_epochs = 1, head_lr = 1e-2, epochs = 3, lr = 2.5e-3, drop = .5, ngrams = 3,
    smoothing = 0.0, batch = 64, unfreeze = "at once", pretrained = "", itos = "",
  }, {
    data = { default = "../shared/data/haha2019", help = "folder with haha_2019_train.csv and haha_2019_test.csv" },
    texts = { default = "", help = "more Spanish texts for the language model: files or folders, with commas between" },
    start = { default = "", help = "folder of a language model to take, as an earlier run keeps it in model/language-model: its pieces, weights "
      .. "and sizes" },
    labels = { default = "votes", choices = { "votes", "majority" }, help = "what a text's class is: the share of its votes, or 0 or 1" },
    votes = { default = "", help = "more texts with votes to train on, one .tsv or .csv file or several with commas between: columns text, "
      .. "votes_no, votes_1 .. votes_5, or text, vote" },
    lm_epochs = { default = 0, min = 0, max = 100, help = "epochs of the language model on the contest's texts; 0: 3 behind `texts`, none behind "
      .. "`start` alone, else 6" },
    general_epochs = { default = 1, min = 1, max = 100, help = "epochs of the language model on `texts`, before its own" },
    general_lr = { default = 5e-3, min = 1e-6, max = 1, help = "largest learning rate of those epochs" },
    transductive = { default = false, help = "let the language model read the test texts too (never their labels)" },
    folds = { default = 5, min = 1, max = 20, help = "cross-validation folds; 1: a single hold-out of share `valid`" },
    split_seed = { default = 1, min = 0, help = "seed of the folds, apart from --seed: runs of several seeds then share them" },
    valid = { default = .2, min = .05, max = .5, help = "share held out when folds = 1" },
    rows = { default = 0, min = 0, help = "use the first so many training rows (0: all)" },
    backwards = { default = false, help = "read the texts from their end: another model for an ensemble" },
    score_weight = { default = .2, min = 0, max = 100, help = "weight of the funniness (mean squared error) in the loss" },
    decay = { default = .01, min = 0, max = 1, help = "weight decay of the classifier" },
    lm_decay = { default = .01, min = 0, max = 1, help = "weight decay of the language model" },
    oversample = { default = false, help = "repeat rows of the smaller class inside the training side" },
    resamples = { default = 1000, min = 100, max = 100000, help = "bootstrap resamples of an interval" },
  }),
  quick = { folds = 1, oversample = true, vocab = 6000, embed = 200, hidden = 400, layers = 2, lm_epochs = 5, lm_batch = 24,
    bptt = 50, epochs = 3 },
  -- Farzin, Czapla & Howard 2019, on your --texts instead of their 475,143 tweets; their epochs as one cycle a stage.
  paper = { vocab = 30000, cell = "qrnn", embed = 400, hidden = 2304, layers = 3, general_epochs = 16, general_lr = 1e-3, lm_drop = 1.0,
    lm_decay = .1, lm_epochs = 15, lm_lr = 3e-3, transductive = true, labels = "majority", oversample = true, drop = .7, decay = .1,
    ngrams = 0, smoothing = .1, head_epochs = 2, head_lr = 1e-2, epochs = 15, lr = 5e-3, batch = 64, score_weight = 0.0 },
  smoke = { folds = 1, rows = 600, vocab = 500, embed = 16, hidden = 24, layers = 2, lm_epochs = 1, epochs = 1, resamples = 100,
    lm_batch = 8, bptt = 20 },
  run = function(p, run)
    p.seed = run.seed
    local d = read(p, run)
    d.scores = scores_of(d)
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
    if p.votes ~= "" then told = told .. " Texts with votes from outside train beside them; what resembles a text of the contest is left out." end
    if p.start ~= "" then told = told .. (" The language model began as %s: what that had read stands there."):format(p.start) end
    run:say("%s", told)
    d.material = training_material(p, run, d)
    local lm_texts = table.move(texts, 1, #texts, 1, {})
    if p.transductive then table.move(d.test, 1, #d.test, #lm_texts + 1, lm_texts) end
    local tok, lm = language_model(p, run, d, lm_texts)
    local out = {}
    for k, s in ipairs(parts) do out[k] = fold(p, run, tok, d, s, k, lm) end
    local g = gather(d, out)
    local s, f = score(run, p, g), score_funniness(run, p, g)
    local best = s.stacked or s.ours
    write_predictions(run, d, g, best.prob, best.cuts, s.stack and s.stack.test or g.test, best.cut)
    finish_models(run, p, d, out, told)
    write_report(run, p, g, s, f, told)
  end,
}
