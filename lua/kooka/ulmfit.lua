--- ulmfit: the road from texts to a classifier, in the steps that recipes share (Howard & Ruder 2018):
-- tokenizer -> language model -> fine-tuned language model -> classifier. Each step is a resumable stage of a run.
local core = require "kooka.core"
local batches = require "kooka.data.batches"
local learner = require "kooka.learn.learner"
local schedule = require "kooka.learn.schedule"
local settle = require "kooka.learn.settle"
local sources = require "kooka.learn.sources"
local stages = require "kooka.learn.stages"
local model = require "kooka.model"
local nn = require "kooka.nn"
local class_weights = require "kooka.nn.class_weights"
local pretrained = require "kooka.pretrained"
local rules = require "kooka.text.rules"
local tokenizer = require "kooka.text.tokenizer"

local ulmfit = {}

-- What recipes let people set of this road: range and meaning; each recipe brings its own defaults.
local PARAMS = {
  vocab = { min = 100, max = 60000, help = "pieces of the tokenizer" },
  embed = { min = 8, max = 1024, help = "width of the embedding" },
  hidden = { min = 8, max = 4096, help = "hidden units of a layer" },
  layers = { min = 1, max = 6, help = "recurrent layers" },
  cell = { choices = { "lstm", "qrnn" }, help = "recurrent layers: lstm, or the faster qrnn" },
  pretrained = { help = "weights to start from: a language model of fastai (.pth) or ours (.safetensors) of the same sizes" },
  itos = { help = "its words: itos.pkl, .json, .txt or a SentencePiece .model" },
  lm_epochs = { min = 1, max = 100, help = "epochs of the language model" },
  lm_lr = { min = 1e-6, max = 1, help = "its largest learning rate" },
  lm_drop = { min = 0, max = 2, help = "multiplies its dropouts" },
  lm_batch = { min = 1, max = 1024, help = "rows of a batch of the language model" },
  bptt = { min = 2, max = 1000, help = "steps of a batch of the language model" },
  head_epochs = { min = 0, max = 100, help = "epochs of the classifier's head alone, before the rest" },
  head_lr = { min = 1e-6, max = 1, help = "largest learning rate of the head alone" },
  epochs = { min = 1, max = 100, help = "epochs of the classifier with everything unfrozen" },
  unfreeze = { choices = { "at once", "gradual" }, help = "how the encoder thaws behind the head's epochs: gradual is a group an epoch" },
  lr = { min = 1e-6, max = 1, help = "largest learning rate of the head; lower layers get 1/2.6 of the next" },
  drop = { min = 0, max = 2, help = "multiplies the classifier's dropouts" },
  ngrams = { min = 0, max = 8, help = "runs of up to so many pieces that the classifier reads beside its network (0: none)" },
  smoothing = { min = 0, max = .9, help = "label smoothing" },
  batch = { min = 2, max = 1024, help = "texts of a batch of the classifier" },
  balance = { choices = { "none", "sqrt", "weights" },
    help = "class weights of the loss: none, by 1/share of a class, or by the square root of that" },
}

--- ulmfit.params(defaults, own) -> params for a recipe
-- own: the recipe's own parameters; defaults: {vocab = 8000, ...}, values of those that this module knows.
function ulmfit.params(defaults, own)
  for name, default in pairs(defaults) do
    local known = PARAMS[name] or error(("ulmfit.params: no parameter '%s'"):format(name), 2)
    own[name] = { default = default, min = known.min, max = known.max, choices = known.choices, help = known.help }
  end
  return own
end

local function must(value, ...)
  if value == nil then error((...), 0) end
  return value, ...
end

--- ulmfit.tokenizer(run, texts, {vocab=8000}) -> tokenizer
-- Trained on the cleaned texts in the stage "tokenizer" and kept in the run.
function ulmfit.tokenizer(run, texts, o)
  run:stage("tokenizer", function()
    run:say("tokenizer: BPE of %d pieces on %d texts", o.vocab, #texts)
    must(tokenizer.train { texts = rules.clean_all(texts), vocab = o.vocab, path = run:path("tokenizer.model") })
  end)
  return must(tokenizer.load(run.dir .. "/tokenizer.model"))
end

local function encode(tok, texts) return must(tok:encode_all(rules.clean_all(texts), { bos = true })) end

local function network_options(tok, p)
  return { vocab = tok:size(), padding = tok.pad, cell = p.cell, embed = p.embed, hidden = p.hidden, layers = p.layers,
    seed = p.seed, backwards = p.backwards or nil }
end

-- The model's folder is an output of the stage.
local function keep(run, m, folder)
  must(m:save(run.dir .. "/" .. folder))
  for _, file in ipairs(must(core.sys.list(run.dir .. "/" .. folder))) do run:path(folder .. "/" .. file) end
end

-- Weights that others trained, moved to this tokenizer's pieces.
local function take_pretrained(run, tok, network, o)
  if (o.itos or "") == "" then error("pretrained weights need --itos, the list of the words they were trained on", 0) end
  local _, info = must(pretrained.load { weights = o.pretrained, itos = o.itos, tokenizer = tok, model = network })
  for _, line in ipairs(pretrained.say(info)) do run:say("%s", line) end
end

local STEPS <const> = 30            -- of an epoch

--- ulmfit.lm_batch(tokens, batch, bptt, steps = 30) -> rows of a batch of a language model
-- batch, or fewer where the corpus of so many tokens is so small that an epoch would not have so many steps.
function ulmfit.lm_batch(tokens, batch, bptt, steps)
  return math.max(1, math.min(batch, tokens // ((steps or STEPS) * bptt)))
end

--- ulmfit.language_model(run, tok, {name=, texts=, valid=, from=nil, epochs=, lr=, drop=, ...}) -> name of the weights' file, history
-- Stage `name`: trains a language model on texts (from: start from that file of the run; else pretrained and itos: from weights
-- that others trained, kooka.pretrained) and writes name.safetensors and the model's folder model/name (kooka.model).
-- valid: texts for the perplexity. backwards: reads texts from their end (so do models made of it). softmax, cutoffs,
-- samples as in kooka.nn.language_model; card: kooka.card; batch, bptt, decay, clip, cell, embed, hidden, layers as in
-- kooka.nn.awd_lstm and the learner.
function ulmfit.language_model(run, tok, o)
  local file = o.name .. ".safetensors"
  local history = run:stage(o.name, function()
    local options = network_options(tok, o)
    options.drop, options.softmax, options.cutoffs, options.samples = o.drop, o.softmax, o.cutoffs, o.samples
    local network = nn.language_model(options)
    if o.from then must(network:load(run.dir .. "/" .. o.from)) end
    if not o.from and (o.pretrained or "") ~= "" then take_pretrained(run, tok, network, o) end
    local corpus, held_out = encode(tok, o.texts), o.valid and encode(tok, o.valid)
    run:say("%s: %d texts, %d pieces; %d weights", o.name, #corpus, corpus:tokens(), network:count())
    local batch = ulmfit.lm_batch(corpus:tokens(), o.batch or 64, o.bptt or 70)
    local past = learner.fit {
      model = network, label = o.name, epochs = o.epochs, lr = o.lr, decay = o.decay or .01, clip = o.clip or .25,
      pct = o.pct, div = o.div, moms = o.moms or { .8, .7 }, perplexity = true,
      train = sources.lm(batches.lm(corpus, { batch = batch, length = o.bptt or 70, seed = o.seed, backwards = o.backwards })),
      valid = held_out and sources.lm(batches.lm(held_out, { batch = math.min(batch, 16), length = o.bptt or 70, shuffle = false,
        backwards = o.backwards })),
      checkpoint = run:path("checkpoints/" .. o.name .. ".safetensors"),
      say = function(line) run:say("%s", line) end, log = function(record) run:log(record) end,
    }
    must(network:save(run:path(file)))
    options.kind = "language_model"
    keep(run, model.new { network = network, tokenizer = tok, config = options, card = o.card }, "model/" .. o.name)
    return past
  end)
  return file, history
end

-- Stage "start": tokenizer and weights of a language model that is there already, copied into the run; answers its sizes.
local function start(run, folder)
  return run:stage("start", function()
    local m, out = must(model.load(folder)), {}
    local wrong = m:kind() ~= "language_model" and ("a %s; expected a language model"):format(m:kind())
      or m.config.tokens == "words" and "its tokens are words; expected pieces, which can spell any text"
      or not m:cleaned() and "it read texts as they were, this recipe cleans them; train it with --clean"
      or m.config.softmax == "adaptive" and "it has an adaptive softmax; expected a whole one"
      or m.config.int8 and "its weights have eight bits; expected the model they were made from"
    if wrong then error(("%s: %s"):format(folder, wrong), 0) end
    must(core.sys.write_file(run:path("tokenizer.model"), must(core.sys.read_file(folder .. "/tokenizer.model"))))
    must(m.network:save(run:path("start.safetensors")))
    run:data(folder .. "/model.safetensors", { role = "language model" })
    for _, name in ipairs { "embed", "hidden", "layers" } do out[name] = m.config[name] end
    out.cell, out.backwards = m.config.cell or "lstm", m.config.backwards == true
    run:say("start: the language model of %s (%s, embedding %d, hidden %d x %d, %d pieces)", folder, out.cell, out.embed,
      out.hidden, out.layers, m.tokenizer:size())
    return out
  end)
end

--- ulmfit.beginning(run, texts, p) -> tokenizer, name of the weights' file | nil
-- p: options of a recipe. Without p.start: a tokenizer of p.vocab pieces, trained on texts. With it: tokenizer and weights of that language
-- model (a folder of kooka.model, such as model/lm of recipe lm), to be given on as `from`; p's sizes become the model's. Raises for
-- what is no language model of pieces of cleaned texts with float32 weights and a whole softmax, and for one that reads the other way.
function ulmfit.beginning(run, texts, p)
  if p.start == "" then return ulmfit.tokenizer(run, texts, { vocab = p.vocab }) end
  if p.pretrained ~= "" then error("--start and --pretrained are two beginnings: give one of them", 0) end
  local shape = start(run, p.start)
  if p.backwards ~= shape.backwards then
    error(("--start %s: it reads texts %s; %s --backwards"):format(p.start, p.backwards and "forward" or "from their end",
      p.backwards and "leave out" or "give"), 0)
  end
  for name, value in pairs(shape) do p[name] = value end
  local tok = must(tokenizer.load(run.dir .. "/tokenizer.model"))
  p.vocab = tok:size()
  return tok, "start.safetensors"
end

-- What the loss wants of training row i: the text's number, class shares (smoothed), and how much it counts.
local function wanted(o, i, classes)
  local row, smoothing, target, weight = o.rows and o.rows[i] or i, o.smoothing or 0, {}, o.weights and 0 or 1
  for c = 1, classes do
    local share = o.shares and o.shares[row][c] or not o.shares and o.labels[row] == c and 1 or 0
    target[c] = (1 - smoothing) * share + smoothing / classes
    if o.weights then weight = weight + share * o.weights[c] end
  end
  return row, target, weight * (o.text_weights and o.text_weights[row] or 1)
end

-- The last biases of the head and of the n-grams' model, where the loss is one whose answers are the classes' shares; others move the
-- logits by the prior themselves.
local function last_biases(network, o)
  local out = {}
  if (o.loss or "cross_entropy") ~= "cross_entropy" then return out end
  out[1] = network["linear" .. #network.head_p].bias
  out[#out + 1] = network.wide and network.wide.bias
  return out
end

local function add_to(bias, shifts)
  local values = bias:tolist()
  for c, shift in ipairs(shifts) do values[c] = values[c] + shift end
  bias:copy_(core.tensor(values))
end

-- The head's last bias begins at the log of the classes' shares among the rows: a head that has seen few batches, as of a hundred
-- texts, then answers the base rate and not one half (Lin et al. 2017, section 4.1).
local function begin_at_prior(network, o, classes)
  local biases, sums, total = last_biases(network, o), {}, 0
  if #biases == 0 then return end
  for c = 1, classes do sums[c] = 0 end
  for i = 1, #(o.rows or o.texts) do
    local _, target, weight = wanted(o, i, classes)
    for c, t in ipairs(target) do sums[c], total = sums[c] + weight * t, total + weight * t end
  end
  for _, bias in ipairs(biases) do
    local had, shifts = bias:tolist(), {}
    for c = 1, classes do shifts[c] = math.log(math.max(sums[c] / total, 1e-3)) - had[c] end
    add_to(bias, shifts)
  end
end

local SETTLED <const> = 4000        -- rows that the bias is settled on, at most

-- And ends where training rows want it (kooka.learn.settle).
local function settle_bias(m, o, classes)
  local biases, n = last_biases(m.network, o), #(o.rows or o.texts)
  if #biases == 0 then return end
  local texts, targets, weights = {}, {}, {}
  for k, i in ipairs(core.random("settle", o.seed):shuffle(n)) do
    if k > SETTLED then break end
    local row
    row, targets[k], weights[k] = wanted(o, i, classes)
    texts[k] = o.texts[row]
  end
  local prob = m:predict(texts, { raw = true, bar = false })
  for k, answer in ipairs(prob) do prob[k] = answer.prob or answer end
  local shifts = settle.bias(prob, targets, weights)
  for _, bias in ipairs(biases) do add_to(bias, shifts) end
end

-- The stages of a fine-tuning: the head alone; with gradual unfreezing one group more an epoch; then everything, at
-- discriminative rates (Howard & Ruder 2018, sections 3.2 and 3.3).
local function plan(o, groups)
  local list, rates = {}, schedule.slice(groups, 1, 2.6)
  local head = o.head_epochs or 1
  if head > 0 then list[1] = { label = o.name .. " head", freeze_to = -1, epochs = head, lr = o.head_lr or 1e-2 } end
  if o.unfreeze == "gradual" then
    for i = 2, groups - 1 do
      list[#list + 1] = { label = ("%s last %d"):format(o.name, i), freeze_to = -i, epochs = 1, lr = o.lr, rates = rates }
    end
  end
  list[#list + 1] = { label = o.name .. " all", epochs = o.epochs, lr = o.lr, rates = rates }
  return list
end

-- The list of class weights that options ask for, if any.
local function weights_of(o)
  if o.weights or (o.balance or "none") == "none" then return o.weights end
  return (class_weights.of(o.balance == "weights" and "balanced" or o.balance, o.labels, { split = o.rows, classes = o.classes or 2,
    empty = true }))
end

-- Rows of the n-grams' table: a tweet brings some 30 n-grams that no other of a few thousand has. 2^20 at most.
local function buckets_for(texts)
  local n = 1 << 10
  while n < 32 * texts and n < 1 << 20 do n = n << 1 end
  return n
end

--- ulmfit.classifier(run, tok, {name=, from=, texts=, labels=, rows=, valid_rows=, classes=2, epochs=, lr=, ...}) -> model
-- Stage `name`: the encoder of language model file `from` and a new head, whose bias begins at the classes' shares and
-- ends settled (kooka.learn.settle). First the head alone (head_epochs at head_lr), then everything at discriminative
-- rates (lr for the head, divided by 2.6 for each group below), one-cycle; unfreeze = "gradual" trains one group more an
-- epoch between the two. labels: class of each text, from 1 (or shares: a list of class shares for each). scores: a
-- number for each text too, false where it has none: then the model is a kooka.nn.multi_task (score_weight, range) and
-- answers both. text_weights: how much each text counts in the loss of its class (1: as usual). rows: texts to train on
-- (repeats allowed: oversampling; default: all); valid_rows: texts to watch; fold: its number, for the records of
-- epochs. callbacks as in kooka.learn.learner; card: kooka.card; loss, gamma, counts, tau, margin, scale as in
-- kooka.nn.classifier; ngrams as in kooka.nn.pooled, buckets too (default: 32 a text); weights: of the classes, or balance: "sqrt" or
-- "weights", which takes them from the rows' labels (kooka.nn.class_weights' sqrt and balanced); smoothing, drop, decay, clip, batch,
-- backwards.
function ulmfit.classifier(run, tok, o)
  o = setmetatable({ weights = weights_of(o) }, { __index = o })
  local options = network_options(tok, o)
  for _, name in ipairs { "drop", "loss", "gamma", "counts", "tau", "margin", "scale", "smoothing", "weights", "score_weight", "range",
    "ngrams", "classes_names" } do
    options[name] = o[name]
  end
  if (o.ngrams or 0) > 0 then options.buckets = o.buckets or buckets_for(#(o.rows or o.texts)) end
  options.kind, options.classes, options.head = o.scores and "multi_task" or "classifier", o.classes or 2, o.head or 50
  local network = nn[options.kind](options)
  local m = model.new { network = network, tokenizer = tok, config = options, card = o.card }
  local folder = "model/" .. o.name
  run:stage(o.name, function()
    begin_at_prior(network, o, options.classes)
    if o.from then
      local weights, message = core.load_safetensors(run.dir .. "/" .. o.from)
      must(weights, message)
      local encoder = {}
      for key, t in pairs(weights) do
        local k = key:match("^encoder%.(.*)")
        if k then encoder[k] = t end
      end
      network.encoder:load_state(encoder)
    end
    local corpus = m:encode(o.texts)
    local targets = (o.shares and core.tensor(o.shares) or core.tensor(o.labels, "int32")):keep()
    local weight = o.text_weights and core.tensor(o.text_weights):keep()
    local function source(rows, batch, train)
      local maker = batches.buckets(corpus, { rows = rows, batch = batch, train = train, seed = o.seed, pad = tok.pad,
        backwards = o.backwards })
      return o.scores and sources.pairs(maker, targets, o.scores, weight) or sources.classes(maker, targets, weight)
    end
    local train, valid = source(o.rows, o.batch or 64, true), o.valid_rows and source(o.valid_rows, 128)
    stages.run {
      stages = plan(o, #network:groups()), model = network, label = o.name, train = train, valid = valid, decay = o.decay or .01,
      clip = o.clip or .25, moms = o.moms or { .8, .7 }, checkpoint = run:path("checkpoints/" .. o.name .. ".safetensors"),
      callbacks = o.callbacks, fold = o.fold, say = function(line) run:say("%s", line) end,
      log = function(record) run:log(record) end,
    }
    settle_bias(m, o, options.classes)
    keep(run, m, folder)
  end)
  return must(model.load(run.dir .. "/" .. folder))
end

return ulmfit
