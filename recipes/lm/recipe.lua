--- lm: a language model of any text, measured so that vocabularies compare: perplexity of a token and of a word, bits a character.
--
-- Data: a folder with a training, a validation and a test file (names that hold train, valid or val or dev, test; Penn Treebank as
-- Mikolov prepared it, WikiText), any other folder of .txt files, or one file: then the last tenth is held out, half for each.
-- Tokens: words, where the text holds <unk> already: its own vocabulary, and an end of line <eos> as a word (Merity, Keskar & Socher
-- 2018; Penn Treebank has 10,000 with both, and the perplexity of a token is the one in papers); else SentencePiece pieces, with
-- xxbos before each line. All lines make one stream; a state is carried along it. In evaluation the stream is cut into eval_batch
-- rows that start from nothing; the first token of each is not predicted. Counts of words and characters include a line's end.
-- Baselines on the same tokens: unigrams and Kneser-Ney n-grams. --cache: also with a neural cache (Grave, Joulin & Usunier 2017) of the
-- last 500 tokens; its two numbers are chosen on the validation text.
-- AWD-LSTM's own run (61.2 / 58.8 behind 500 epochs): --optimizer asgd --dropouts awd --variable merity --lm-batch 20 --lm-epochs 500
local kooka = require "kooka"
local batches = require "kooka.data.batches"
local cache = require "kooka.cache"
local callbacks = require "kooka.learn.callbacks"
local csv = require "kooka.data.csv"
local eval = require "kooka.eval"
local generate = require "kooka.generate"
local labelled = require "kooka.data.labelled"
local learner = require "kooka.learn.learner"
local model = require "kooka.model"
local ngram = require "kooka.baseline.ngram"
local nn = require "kooka.nn"
local plot = require "kooka.plot"
local report = require "kooka.report"
local rules = require "kooka.text.rules"
local sources = require "kooka.learn.sources"
local tables = require "kooka.table"
local tokenizer = require "kooka.text.tokenizer"
local ulmfit = require "kooka.ulmfit"
local words = require "kooka.text.words"

-- embed, input, hidden, weight, output: fastai's, and those of AWD-LSTM's Penn Treebank run of 500 epochs.
local DROPOUTS = { fastai = { .02, .25, .15, .2, .1 }, awd = { .1, .4, .25, .5, .4 } }

local NAMES = { train = { "train" }, valid = { "valid", "val", "dev" }, test = { "test" } }
local SPLITS = { "train", "valid", "test" }

-- ---- reading

-- The file of a folder for each split, by its name; nil where one is missing.
local function split_files(folder)
  local found = {}
  for _, name in ipairs(kooka.try(kooka.sys.list(folder))) do
    for split, marks in pairs(NAMES) do
      for _, mark in ipairs(marks) do
        if name:lower():find("%f[%a]" .. mark) and (kooka.sys.stat(folder .. "/" .. name) or {}).type == "file" then
          if found[split] and found[split] ~= name then
            error(("%s: both %s and %s look like the %s file; give a folder with one of each"):format(folder, found[split], name, split), 0)
          end
          found[split] = name
        end
      end
    end
  end
  return found
end

local function text_files(path)
  local out = {}
  for _, name in ipairs(kooka.try(kooka.sys.list(path))) do
    if name:lower():find("%.txt$") then out[#out + 1] = path .. "/" .. name end
  end
  table.sort(out)
  if #out == 0 then error(path .. ": neither files named train and valid, nor .txt files", 0) end
  return out
end

-- One text: its last tenth is held out, the first half of that for validation.
local function cut(path, lines)
  local n = #lines
  if n < 40 then error(("%s has %d lines: at least 40 are needed to hold some out"):format(path, n), 0) end
  local a, b = n - n // 10, n - n // 20
  return { train = table.move(lines, 1, a, 1, {}), valid = table.move(lines, a + 1, b, 1, {}),
    test = table.move(lines, b + 1, n, 1, {}) }
end

local function read(p, run)
  local facts = kooka.try(kooka.sys.stat(p.data))
  local found = facts.type == "folder" and split_files(p.data) or {}
  if found.train and found.valid then
    local d = { told = ("%s: %s to train on, %s to validate, %s to test"):format(p.data, found.train, found.valid, found.test or "nothing") }
    for _, split in ipairs(SPLITS) do
      if found[split] then
        d[split] = kooka.try(labelled.lines(p.data .. "/" .. found[split]))
        run:data(p.data .. "/" .. found[split])
      end
    end
    return d
  end
  local lines = {}
  for _, path in ipairs(facts.type == "folder" and text_files(p.data) or { p.data }) do
    local more = kooka.try(labelled.lines(path))
    run:data(path)
    table.move(more, 1, #more, #lines + 1, lines)
  end
  local d = cut(p.data, lines)
  d.told = ("%s: the last tenth of %d lines is held out, half of it for validation, half for the test"):format(p.data, #lines)
  return d
end

local function has_unknown(lines)
  for i = 1, math.min(2000, #lines) do
    if (" " .. lines[i] .. " "):find(" <unk> ", 1, true) then return true end
  end
  return false
end

local function shorten(lines, n)
  for i = #lines, n + 1, -1 do lines[i] = nil end
end

-- What a vocabulary cannot change: words, characters and bytes, each with one for the end of a line.
local function measure(texts)
  local m = { lines = #texts, words = #texts, chars = #texts, bytes = #texts }
  for i, text in ipairs(texts) do
    m.words = m.words + select(2, text:gsub("%S+", ""))
    m.chars = m.chars + (utf8.len(text) or error(("line %d is not UTF-8"):format(i), 0))
    m.bytes = m.bytes + #text
  end
  return m
end

-- Texts of pieces: no empty lines; cleaned where wanted.
local function prepare(p, d)
  for _, split in ipairs(SPLITS) do
    local lines = d[split]
    if lines and p.lines > 0 then shorten(lines, split == "train" and p.lines or math.max(20, p.lines // 5)) end
    if lines and not d.words then
      local kept = {}
      for _, line in ipairs(lines) do
        if line:find("%S") then kept[#kept + 1] = line end
      end
      d[split] = p.clean and kooka.try(rules.clean_all(kept)) or kept
    end
    if lines and #d[split] == 0 then error(("%s: the %s part is empty"):format(p.data, split), 0) end
  end
end

local function vocabulary(run, p, d)
  if d.words then
    run:stage("words", function()
      local w = kooka.try(words.train { texts = d.train, vocab = p.vocab, path = run:path("words.txt") })
      run:say("words: %d, of them %s and %s; the most frequent is %s", w:size(), w:piece(w.unk), w:piece(w.eos), (w:piece(1)))
    end)
    local w = kooka.try(words.load(run.dir .. "/words.txt"))
    return w, w.eos, { eos = true }
  end
  run:stage("tokenizer", function()
    run:say("tokenizer: BPE of %d pieces on %d lines", p.vocab, #d.train)
    kooka.try(tokenizer.train { texts = d.train, vocab = p.vocab, path = run:path("tokenizer.model") })
  end)
  local tok = kooka.try(tokenizer.load(run.dir .. "/tokenizer.model"))
  return tok, tok.bos, { bos = true }
end

-- ---- baselines

-- Tables of higher order grow with the text: what fits into a gigabyte.
local function affordable(order, tokens)
  return math.min(order, tokens > 8e6 and 2 or tokens > 2e6 and 3 or 9)
end

local function baselines(run, p, tok, boundary, corpora)
  return run:stage("n-grams", function()
    local out = {}
    local order = affordable(p.ngram, corpora.train:tokens())
    if order < p.ngram then
      run:say("n-grams of order %d instead of %d: the text has %d tokens", order, p.ngram, corpora.train:tokens())
    end
    for _, o in ipairs(order > 1 and { 1, order } or { 1 }) do
      local m = ngram.fit { corpus = corpora.train, order = o, boundary = boundary }
      local row = { name = o == 1 and "unigram" or ("Kneser-Ney %d"):format(o), key = o == 1 and "unigram" or "kneser_ney" }
      for _, split in ipairs { "valid", "test" } do
        if corpora[split] then
          local nll, tokens = m:score(corpora[split])
          row[split] = eval.perplexity(nll, tokens, { seed = p.seed, resamples = p.resamples, vocab = tok:size() })
        end
      end
      out[#out + 1] = row
      run:say("%s: perplexity %s", row.name, tables.metric(row.test or row.valid, 1))
    end
    return out
  end)
end

-- ---- the model

local function network_options(p, tok)
  local drop = DROPOUTS[p.dropouts]
  return { kind = "language_model", vocab = tok:size(), padding = tok.pad, cell = p.cell, embed = p.embed, hidden = p.hidden,
    layers = p.layers, seed = p.seed, drop = p.lm_drop, embed_p = drop[1], input_p = drop[2], hidden_p = drop[3], weight_p = drop[4],
    output_p = drop[5] }
end

-- What 0 means for the rate and the decay: Adam's usual ones, or those of AWD-LSTM's averaged gradient descent.
local function rates(p)
  local adam = p.optimizer == "adam"
  return p.lm_lr > 0 and p.lm_lr or adam and 5e-3 or 30, p.decay > 0 and p.decay or adam and .01 or 1.2e-6
end

local function training_stream(p, corpus)
  return sources.lm(batches.lm(corpus, { batch = p.lm_batch, length = p.bptt, seed = p.seed, shuffle = p.shuffle,
    variable = p.variable ~= "no" and p.variable or nil }))
end

-- eval_batch rows, or fewer: no more than leave two steps.
local function evaluation_stream(p, corpus)
  return sources.lm(batches.lm(corpus, { batch = ulmfit.lm_batch(corpus:tokens(), p.eval_batch, p.bptt, 2), length = p.bptt,
    shuffle = false }))
end

local function train(run, p, tok, corpora)
  local options = network_options(p, tok)
  local network = nn.language_model(options)
  local lr, decay = rates(p)
  local history = run:stage("language-model", function()
    run:say("language model: %d weights, %d tokens an epoch; %s at %g", network:count(), corpora.train:tokens(), p.optimizer, lr)
    local past = learner.fit {
      model = network, label = "language-model", epochs = p.lm_epochs, optimizer = p.optimizer, nonmono = p.nonmono, lr = lr,
      moms = p.optimizer == "adam" and { .8, .7 } or nil, decay = decay, clip = p.clip, perplexity = true,
      train = training_stream(p, corpora.train), valid = evaluation_stream(p, corpora.valid),
      callbacks = p.best and { callbacks.save_best() } or nil,
      checkpoint = run:path("checkpoints/language-model.safetensors"),
      say = function(line) run:say("%s", line) end, log = function(record) run:log(record) end,
    }
    kooka.try(network:save(run:path("language-model.safetensors")))
    return past
  end)
  kooka.try(network:load(run.dir .. "/language-model.safetensors"))
  return network, history, options
end

-- The folder that kooka.model reads, with the scores on its card.
local function keep_model(run, p, d, tok, network, options, told, ours, rate)
  options.cleaned = p.clean and not d.words
  run:stage("model", function()
    local scores = {}
    for split, m in pairs(ours) do scores[split .. " perplexity of a token"] = m end
    local data = run:sources()
    data[1].terms, data[1].texts, data[1].about = p.terms, d.size.train.lines, d.told
    local card = { name = "language model of " .. (p.data:match("([^/]+)/*$") or p.data), split = told, scores = scores,
      data = data,
      use = "texts like those it read: generation, perplexity, a start for a classifier",
      limits = "it continues texts in the manner of what it read and knows nothing of what is true", precision = kooka.precision(),
      training = { epochs = p.lm_epochs, optimizer = p.optimizer, lr = rate, batch = p.lm_batch, bptt = p.bptt, dropouts = p.dropouts,
        drop = p.lm_drop } }
    kooka.try(model.new({ network = network, tokenizer = tok, config = options, card = card }):save(run.dir .. "/model/lm"))
    for _, file in ipairs(kooka.try(kooka.sys.list(run.dir .. "/model/lm"))) do run:path("model/lm/" .. file) end
    run:say("model: kooka generate %s", run.dir .. "/model/lm")
  end)
end

-- What the neural cache adds: theta (in units of 400 over the width: h . h grows with it) and lambda as the validation text likes them.
local function cached(run, p, network, corpora)
  if not p.cache then return nil end
  return run:stage("cache", function()
    local scale, out = 400 / p.embed, {}
    local theta, lambda = {}, { .05, .1, .15, .2, .3 }
    for i, v in ipairs { .1, .3, .6, 1 } do theta[i] = v * scale end
    for _, split in ipairs { "valid", "test" } do
      if corpora[split] then
        local r = cache.perplexity(network, corpora[split], { window = 500, theta = theta, lambda = lambda, length = p.bptt, seed = p.seed,
          resamples = p.resamples })
        theta, lambda = r.theta, r.lambda
        out[split] = { with = r.with, without = r.without, theta = r.theta, lambda = r.lambda }
      end
    end
    run:say("neural cache: theta %.3g, lambda %g, chosen on the validation text", theta, lambda)
    return out
  end)
end

-- A carried state that was used up goes at once: handles weigh nothing to Lua's collector.
local function release(state)
  for _, layer in ipairs(state or {}) do
    for _, t in pairs(layer) do t:release() end
  end
end

-- Perplexity of a token, with an interval from resampled stretches of the stream (a step of the evaluation each).
local function perplexity(run, p, tok, network, corpus)
  local nll, tokens, state = {}, {}, nil
  network:eval()
  local source = evaluation_stream(p, corpus)
  local bar = run:progress { label = "evaluate", total = (source:steps()), unit = "step" }
  for _, batch in source:epoch(1) do
    local scope <close> = kooka.scope()
    local _, stats, new = network:loss(batch, state)
    local s = stats:tolist()
    nll[#nll + 1], tokens[#tokens + 1] = s[1], s[2]
    release(state)
    state = new
    bar:step()
    run:check()
  end
  release(state)
  bar:close()
  local m = eval.perplexity(nll, tokens, { seed = p.seed, resamples = p.resamples, vocab = tok:size() })
  m.method = ("%s of stretches of %d tokens"):format(m.method, tokens[1])
  return m, nll, tokens
end

-- What the model paid for each stretch of the held-out text: eval_batch pieces of bptt tokens, in the order of the evaluation.
local function write_predictions(run, rows)
  kooka.try(csv.write(run:path("predictions/stretches.csv"), { "split", "stretch", "tokens", "nll" }, rows))
end

-- ---- telling

-- exp(ratio log m): the same nats, spread over other units. bits: log2 of that, per unit.
local function per(m, ratio, bits)
  local out = { level = m.level, method = m.method, n = m.n }
  for _, k in ipairs { "value", "low", "high", "baseline" } do
    local nats = m[k] and math.log(m[k]) * ratio
    out[k] = nats and (bits and nats / math.log(2) or math.exp(nats))
  end
  return out
end

-- A row of the table for one model and split; its metrics go into the run.
local function units(run, m, key, split, size, tokens, pieces)
  local word, char, byte = per(m, tokens / size.words), per(m, tokens / size.chars, true), per(m, tokens / size.bytes, true)
  run:metric(("%s_%s_perplexity"):format(split, key), m)
  if pieces then run:metric(("%s_%s_word_perplexity"):format(split, key), word) end
  run:metric(("%s_%s_bits_per_char"):format(split, key), char)
  run:metric(("%s_%s_bits_per_byte"):format(split, key), byte)
  return { tables.metric(m, 1), tables.metric(word, 1), tables.metric(char), tables.metric(byte) }
end

-- Published perplexities of a word, where these are the words they were measured on.
local function published(corpora)
  if corpora.train:tokens() ~= 929589 or corpora.valid:tokens() ~= 73760 then return {} end
  return { { "AWD-LSTM, 500 epochs (published)", 61.2, 58.8 }, { "the same with a cache (published)", 53.9, 52.8 },
    { "Kneser-Ney 5 (published)", nil, 141.2 } }
end

local function table_of(run, d, corpora, ours, base, known, with_cache)
  local rows = {}
  for _, split in ipairs { "valid", "test" } do
    local corpus, size = corpora[split], d.size[split]
    if corpus then
      local function row(name, m, key, strong)
        local line = units(run, m, key, split, size, corpus:tokens(), not d.words)
        table.insert(line, 1, name)
        table.insert(line, 1, split)
        line.strong = strong
        rows[#rows + 1] = line
      end
      row("this model", ours[split], "lm", true)
      if with_cache then
        row("the same, one stream", with_cache[split].without, "stream")
        row("with a neural cache", with_cache[split].with, "cache")
      end
      for k = #base, 1, -1 do row(base[k].name, base[k][split], base[k].key) end
      for _, line in ipairs(known) do
        local value = line[split == "valid" and 2 or 3]
        if value then rows[#rows + 1] = { split, line[1], ("%.1f"):format(value), ("%.1f"):format(value), "-", "-" } end
      end
    end
  end
  return { "split", "model", "perplexity of a token", "of a word", "bits a character", "bits a byte" }, rows
end

local function bars(ours, base, known, with_cache)
  local labels, valid, test = {}, {}, {}
  local function add(name, v, t)
    labels[#labels + 1] = name
    valid[#labels], test[#labels] = v or 0 / 0, t or 0 / 0
  end
  for _, row in ipairs(base) do add(row.name, row.valid.value, row.test and row.test.value) end
  add("this model", ours.valid.value, ours.test and ours.test.value)
  if with_cache then add("with a neural cache", with_cache.valid.with.value, with_cache.test and with_cache.test.with.value) end
  for _, line in ipairs(known) do add(line[1], line[2], line[3]) end
  local series = { { name = "validation", values = valid } }
  if ours.test then series[2] = { name = "test", values = test } end
  return plot.svg.bars { title = "Perplexity of a token", labels = labels, series = series, digits = 1 }
end

local function write_report(run, p, d, told, columns, rows, picture, history, lines, with_cache)
  local page = report.new { title = "Language model of " .. (p.data:match("([^/]+)/*$") or p.data), first_line = told }
  page:section "Scores"
  page:table { columns = columns, rows = rows }
  page:svg(picture)
  if d.warning then page:text("**" .. d.warning .. ".**") end
  page:note("Vocabularies compare by the word, the character and the byte, not by the token. Intervals resample stretches of the text "
    .. "(of the n-grams: lines); they say how far another text of this kind might differ, not another seed.")
  if with_cache then
    page:note(("The neural cache looks back at 500 tokens of the one stream that it reads; theta %.3g and lambda %g were chosen on the "
      .. "validation text, whose row is too good by that."):format(with_cache.valid.theta, with_cache.valid.lambda))
  end
  page:section "Training"
  local train_loss, valid_loss = {}, {}
  for i, h in ipairs(history) do train_loss[i], valid_loss[i] = h.train_true, h.valid_loss or 0 / 0 end
  page:svg(plot.svg.line { series = { { name = "training (with dropout)", y = train_loss },
    { name = "validation", y = valid_loss } }, xlabel = "epoch", ylabel = "nats a token" })
  local epochs = {}
  for i, h in ipairs(history) do
    epochs[i] = { h.epoch, ("%.4f"):format(h.train_true), ("%.4f"):format(h.valid_loss), ("%.1f"):format(math.exp(h.valid_loss)),
      ("%.0f"):format(h.items_per_second) }
  end
  page:table { columns = { "epoch", "training loss", "validation loss", "perplexity", "tokens/s" }, rows = epochs }
  if #lines > 0 then
    page:section "From the model"
    page:pre(table.concat(lines, "\n"))
    page:note "Drawn at temperature .8 from the smallest set of tokens that holds .95 of the probability; up to 40 tokens."
  end
  page:section "The text"
  local sizes = {}
  for _, split in ipairs(SPLITS) do
    local s = d.size[split]
    if s then sizes[#sizes + 1] = { split, s.lines, s.words, s.tokens, s.chars, s.bytes, ("%.2f %%"):format(100 * s.unknown) } end
  end
  page:table { columns = { "split", "lines", "words", "tokens", "characters", "bytes", "unknown tokens" }, rows = sizes }
  page:section "Settings"
  local settings = {}
  for k, v in pairs(p) do settings[#settings + 1] = { k, tostring(v) } end
  table.sort(settings, function(a, b) return a[1] < b[1] end)
  page:table { columns = { "option", "value" }, rows = settings }
  kooka.try(page:write(run:path("report.html")))
  run:say("report: %s", run:path("report.html"))
end

-- Lines of the model's own, from the start of a line.
local function samples(run, p, tok, network, cleaned)
  if p.samples == 0 then return {} end
  return run:stage("samples", function()
    local out = {}
    local texts = generate.texts({ network = network, tokenizer = tok, config = { cleaned = cleaned } }, { n = p.samples, tokens = 40,
      temperature = .8, top_p = .95, seed = p.seed })
    for i, t in ipairs(texts) do out[i] = (t.text:gsub("^%s+", "")) end
    run:say("from the model (temperature .8, nucleus .95):\n  %s", table.concat(out, "\n  "))
    return out
  end)
end

local function unknown_share(corpus, unk)
  local n = 0
  for i = 1, #corpus do
    for _, id in ipairs(corpus:doc(i):tolist()) do
      if id == unk then n = n + 1 end
    end
  end
  return n / corpus:tokens()
end

-- Tokens that the vocabulary lacks cost too little; those that stand in the text as <unk> are not ours to answer for.
local function warn_unknown(run, d)
  local split = d.test and "test" or "valid"
  local given = 0
  for _, line in ipairs(d.words and d[split] or {}) do
    for word in line:gmatch("%S+") do
      if word == "<unk>" then given = given + 1 end
    end
  end
  local lost = d.size[split].unknown - given / d.size[split].tokens
  if lost > .005 then
    d.warning = ("%.1f %% of the held-out tokens are unknown to this vocabulary: their letters cost nothing, so that perplexities and bits "
      .. "are too good by that"):format(100 * lost)
    run:say("%s", d.warning)
  end
end

local function encode(run, d, tok, options)
  local corpora = {}
  d.size = {}
  for _, split in ipairs(SPLITS) do
    if d[split] then
      corpora[split] = kooka.try(tok:encode_all(d[split], options))
      local size = measure(d[split])
      size.tokens, size.unknown = corpora[split]:tokens(), unknown_share(corpora[split], tok.unk)
      d.size[split] = size
      run:say("%s: %d lines, %d words, %d tokens (%.2f %% unknown), %d characters", split, size.lines, size.words, size.tokens,
        100 * size.unknown, size.chars)
    end
  end
  warn_unknown(run, d)
  if corpora.train:tokens() < 200 or corpora.valid:tokens() < 40 then
    error(("%d tokens to train on and %d to validate are too few"):format(corpora.train:tokens(), corpora.valid:tokens()), 0)
  end
  return corpora
end

return {
  name = "lm",
  about = "A language model of any text (Penn Treebank, a book, tweets) beside unigrams and Kneser-Ney, in units that compare",
  params = ulmfit.params({
    vocab = 10000, cell = "lstm", embed = 400, hidden = 1150, layers = 3, lm_drop = 1.0, lm_batch = 40, bptt = 70
  }, {
    lm_epochs = { default = 5, min = 1, max = 2000, help = "epochs" },
    lm_lr = { default = 0.0, min = 0, max = 100, help = "largest learning rate; 0: .005 for adam, 30 for asgd" },
    optimizer = { default = "adam", choices = { "adam", "asgd" },
      help = "adam with one cycle, or asgd: gradient descent whose weights are averaged once nothing improves (NT-ASGD)" },
    nonmono = { default = 5, min = 1, max = 1000, help = "asgd: averages begin behind so many epochs without a better validation loss" },
    variable = { default = "no", choices = { "no", "merity", "fastai" }, help = "steps of varying length around bptt, as AWD-LSTM or fastai 1 drew them" },
    best = { default = true, help = "keep the epoch with the best validation loss, not the last one" },
    data = { default = "../shared/data/lm/ptb", help = "folder with files train, valid and test; or .txt files; or one file" },
    tokens = { default = "auto", choices = { "auto", "words", "pieces" },
      help = "words between spaces, or SentencePiece pieces; auto: words where the text holds <unk>" },
    terms = { default = "", help = "who may use the data and for what; for the model's card (\"\": not stated)" },
    clean = { default = false, help = "pieces: clean the lines as recipes on tweets do (scores are then of the cleaned text)" },
    dropouts = { default = "fastai", choices = { "fastai", "awd" }, help = "which five dropouts lm_drop multiplies: fastai's, or AWD-LSTM's of 500 epochs" },
    shuffle = { default = false, help = "a new order of the lines each epoch: for lines that have nothing to do with each other" },
    decay = { default = 0.0, min = 0, max = 1, help = "weight decay; 0: .01 for adam, 1.2e-6 for asgd" },
    clip = { default = .25, min = 0.0, max = 100, help = "norm of the gradient at most" },
    eval_batch = { default = 10, min = 1, max = 256, help = "rows into which the text is cut for evaluation" },
    ngram = { default = 5, min = 1, max = 9, help = "order of the Kneser-Ney baseline (1: unigrams only)" },
    cache = { default = false, help = "also measure with a neural cache: nothing is trained, recent words are likelier" },
    samples = { default = 5, min = 0, max = 100, help = "lines that the model writes at the end" },
    lines = { default = 0, min = 0, help = "use the first so many lines, and a fifth as many to evaluate (0: all)" },
    resamples = { default = 1000, min = 100, max = 100000, help = "bootstrap resamples of an interval" },
  }),
  quick = { embed = 200, hidden = 400, layers = 2, lm_epochs = 2, lm_batch = 20, lm_drop = .5 },
  smoke = { lines = 400, vocab = 500, embed = 16, hidden = 24, layers = 2, lm_epochs = 1, lm_batch = 8, bptt = 20, ngram = 3,
    resamples = 100 },
  run = function(p, run)
    p.seed = run.seed
    local d = read(p, run)
    d.words = p.tokens == "words" or (p.tokens == "auto" and has_unknown(d.train))
    prepare(p, d)
    local told = ("%s. Tokens are %s. No model read the held-out text; the validation text %s, the test text nothing."):format(d.told,
      d.words and "words between spaces, with <eos> at each line's end" or "SentencePiece pieces, with xxbos before each line"
      .. (p.clean and ", of the CLEANED text" or ""), p.best and "chose the epoch" or "chose nothing")
    if p.lines > 0 then told = told .. (" SHORTENED to the first %d lines: not comparable with any other number."):format(p.lines) end
    run:say("%s", told)
    local tok, boundary, options = vocabulary(run, p, d)
    local corpora = encode(run, d, tok, options)
    p.lm_batch = ulmfit.lm_batch(corpora.train:tokens(), p.lm_batch, p.bptt)
    local base = baselines(run, p, tok, boundary, corpora)
    local network, history, settings = train(run, p, tok, corpora)
    local ours, stretches = {}, {}
    for _, split in ipairs { "valid", "test" } do
      if corpora[split] then
        local m, nll, tokens = perplexity(run, p, tok, network, corpora[split])
        ours[split] = m
        for i, v in ipairs(nll) do stretches[#stretches + 1] = { split, i, math.tointeger(tokens[i]), v } end
      end
    end
    write_predictions(run, stretches)
    keep_model(run, p, d, tok, network, settings, told, ours, (rates(p)))
    local known, with_cache = published(corpora), cached(run, p, network, corpora)
    local columns, rows = table_of(run, d, corpora, ours, base, known, with_cache)
    run:say("%s", tables.text { columns = columns, rows = rows })
    local lines = samples(run, p, tok, network, settings.cleaned)
    write_report(run, p, d, told, columns, rows, bars(ours, base, known, with_cache), history, lines, with_cache)
  end,
}
