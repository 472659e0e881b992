--- model: a network with the tokenizer (pieces or words) and the cleaning rules it was trained with: text in, answers out; a
-- classifier's are calibrated probabilities, a language model continues texts. On disk a folder: kooka.model_folder.
local core = require "kooka.core"
local batches = require "kooka.data.batches"
local calibrate = require "kooka.eval.calibrate"
local check_options = require "kooka.options"
local eval = require "kooka.eval"
local folder = require "kooka.model_folder"
local nn = require "kooka.nn"
local progress = require "kooka.progress"
local rules = require "kooka.text.rules"
local sources = require "kooka.learn.sources"

local Model = {}
Model.__index = Model

local model = {}

local MAX_LEN = 1400       -- tokens of a text that are looked at, as kooka.data.batches' default

--- model.new{network=, tokenizer=, config=, card=nil, calibration=nil} -> model
-- network: of kooka.nn (classifier, language_model, regressor, ordinal, multi_task). config: the options it was built with, kept beside
-- the weights, and kind ("classifier" when absent), classes_names (a list) where classes have names. card: see kooka.card.
-- calibration: of kooka.eval.calibrate.
function model.new(o)
  return setmetatable({ network = o.network, tokenizer = o.tokenizer, config = o.config, card = o.card, calibration = o.calibration },
    Model)
end

--- m:kind() -> "classifier", "language_model", "regressor", "ordinal" or "multi_task"
function Model:kind() return self.config.kind or "classifier" end

--- m:labels() -> list of names of the classes, or nil where there are none
-- config.classes_names, or "1", "2", ...
function Model:labels()
  local kind = self:kind()
  if kind == "language_model" or kind == "regressor" then return nil end
  local names, given = {}, self.config.classes_names
  for c = 1, self.config.classes or 2 do names[c] = given and given[c] and tostring(given[c]) or tostring(c) end
  return names
end

--- m:cleaned() -> true where the texts were cleaned (kooka.text.rules) before they were cut
-- config.cleaned; where it says nothing, pieces are of cleaned texts and words of texts as they are.
function Model:cleaned()
  if self.config.cleaned ~= nil then return self.config.cleaned end
  return self.tokenizer.bos ~= nil
end

-- The mark that stands at a text's side: xxbos before the pieces, or the end behind the words.
local function marked(tok) return tok.bos and { bos = true } or { eos = true } end

--- m:encode(texts) -> corpus
-- Cleaned where the model's texts were, and cut as they were: pieces behind xxbos, or words and the mark of their end. Raises when a
-- text is not UTF-8.
function Model:encode(texts)
  local ready, message = texts, nil
  if self:cleaned() then ready, message = rules.clean_all(texts) end
  local corpus
  if ready then corpus, message = self.tokenizer:encode_all(ready, marked(self.tokenizer)) end
  if not corpus then error(message, 2) end
  return corpus
end

-- A network that reads in pieces (bptt) does so whatever the length; the others see the end of a very long text.
local function limit(self) return self.network.bptt and 1 << 30 or MAX_LEN end

local function source(self, corpus, labels, o)
  return sources.classes(batches.buckets(corpus, { batch = o and o.batch or 64, pad = self.tokenizer.pad or self.tokenizer.eos,
    max_len = o and o.max_len or limit(self), rows = o and o.rows, train = o and o.train, seed = o and o.seed,
    backwards = self.config.backwards }), labels)
end

--- m:source(corpus, labels, {rows=, batch=64, train=false, seed=1, max_len=}) -> source for the learner
function Model:source(corpus, labels, o) return source(self, corpus, labels, o) end

-- ---- answers

local function evaluation(network)
  local was = network.training
  network:eval()
  return setmetatable({}, { __close = function() network:train(was) end })
end

-- {prob = [B,C] or nil, score = [B] or nil}
local function outputs(network, x, lens)
  if network.outputs then return network:outputs(x, lens) end
  return { prob = core.softmax(network(x, lens)) }
end

-- Lists in the form that predict answers: probabilities, scores, or both in a table for each text.
local function shaped(self, prob, score, raw)
  if prob and self.calibration and not raw then prob = calibrate.apply(self.calibration, prob) end
  if not (prob and score) then return prob or score end
  local out = {}
  for i = 1, #prob do out[i] = { prob = prob[i], score = score[i] } end
  return out
end

local function no_language_model(self, who, level)
  if self:kind() == "language_model" then
    error(who .. ": this is a language model: ask it for m:generate or m:perplexity", level + 1)
  end
end

-- visit(batch) for texts in batches of like length.
local function over(self, texts, o, visit)
  local src = source(self, self:encode(texts), nil, o)
  local _ <close> = evaluation(self.network)
  local bar <close> = o.bar ~= false and progress.new { label = "predict", total = (src:steps()), unit = "step" } or nil
  for _, batch in src:epoch(1) do
    local scope <close> = core.scope()
    visit(batch)
    if bar then bar:step() end
    if core.sys.stopped() then error("interrupted", 0) end
  end
end

local PREDICT = { raw = true, batch = true, bar = true }

--- m:predict(texts, {raw=false, batch=64, bar=true}) -> list of answers, in the order given
-- Of a classifier: class probabilities of each text, calibrated where the model has a calibration (raw = true: as the network gives
-- them). Of a regressor: numbers. Of ordinal and multi-task models: {prob = {...}, score =}. Batches hold texts of like length;
-- bar: a progress bar. Raises when a text is not UTF-8, and for a language model.
function Model:predict(texts, o)
  o = o or {}
  check_options("predict", o, PREDICT)
  no_language_model(self, "predict", 2)
  if #texts == 0 then return {} end
  local probs, scores = batches.collector(#texts), batches.collector(#texts)
  over(self, texts, o, function(batch)
    local out = outputs(self.network, batch.x, batch.lens)
    if out.prob then probs:add(batch.places, out.prob) end
    if out.score then scores:add(batch.places, out.score) end
  end)
  return shaped(self, probs.filled > 0 and probs:list() or nil, scores.filled > 0 and scores:list() or nil, o.raw)
end

--- m:sides(texts, {batch=64, bar=true}) -> {network's, n-grams'}: lists of class probabilities, uncalibrated
-- What each of the two sides of a classifier with ngrams (kooka.nn.pooled) says alone. Raises for other models.
function Model:sides(texts, o)
  o = o or {}
  check_options("sides", o, { batch = true, bar = true })
  if self:kind() ~= "classifier" or not self.network.wide then error("sides: only a classifier with ngrams has two", 2) end
  local out = { {}, {} }
  if #texts == 0 then return out end
  for k in ipairs(out) do out[k] = batches.collector(#texts) end
  over(self, texts, o, function(batch)
    for k, logits in ipairs((self.network:sides(batch.x, batch.lens))) do out[k]:add(batch.places, core.softmax(logits)) end
  end)
  return { out[1]:list(), out[2]:list() }
end

--- m:weigh{weights = {network's, n-grams'}, bias = {K numbers} or nil}
-- How the answer is made of the two sides from now on (mix of kooka.nn.pooled), in what m:save writes too.
function Model:weigh(fit)
  if not self.network.wide then error("weigh: only a model with ngrams has two sides", 2) end
  local mix = { weights = fit.weights, bias = fit.bias }
  self.network:set_mix(mix)
  self.config.mix = mix
end

--- m:predict_one(text, {raw=false}) -> answer
-- Of one text, with the least ado: what a message costs while somebody waits.
function Model:predict_one(text, o)
  check_options("predict_one", o, { raw = true })
  no_language_model(self, "predict_one", 2)
  local ready, message = text, nil
  if self:cleaned() then ready, message = rules.clean(text) end
  local ids
  if ready then ids, message = self.tokenizer:encode(ready, marked(self.tokenizer)) end
  if not ids then error(message, 2) end
  ids = table.move(ids, math.max(1, #ids - limit(self) + 1), #ids, 1, {})
  if self.config.backwards then
    for i = 1, #ids // 2 do ids[i], ids[#ids + 1 - i] = ids[#ids + 1 - i], ids[i] end
  end
  local _ <close> = evaluation(self.network)
  local scope <close> = core.scope()
  local out = outputs(self.network, core.tensor(ids, "int32"):reshape(#ids, 1), core.tensor({ #ids }, "int32"))
  return shaped(self, out.prob and out.prob:tolist(), out.score and out.score:tolist(), o and o.raw)[1]
end

--- m:calibrate{probs= or texts=, labels=, method="temperature", ...} -> calibration
-- Fits kooka.eval.calibrate on held-out texts (or on their plain probabilities, which m:predict gives with raw = true) and keeps it:
-- from then on m:predict answers calibrated probabilities, and m:save writes it. Further options: those of calibrate.fit.
function Model:calibrate(o)
  no_language_model(self, "calibrate", 2)
  local fit = {}
  for k, v in pairs(o) do
    if k ~= "probs" and k ~= "texts" and k ~= "labels" then fit[k] = v end
  end
  local probs = o.probs or self:predict(o.texts, { raw = true })
  if type(probs[1]) ~= "table" or probs[1].prob then error("calibrate: a classifier's probabilities are wanted", 2) end
  self.calibration = calibrate.fit(probs, o.labels, fit)
  return self.calibration
end

-- ---- language models

local function only_language_model(self, who)
  if self:kind() ~= "language_model" then
    error(("%s: this is a %s, only language models do that"):format(who, self:kind()), 3)
  end
end

--- m:generate(o) -> list of {text=, ids=, finished=}
-- kooka.generate.texts, whose options they are.
function Model:generate(o)
  only_language_model(self, "generate")
  return require("kooka.generate").texts(self, o)
end

--- m:perplexity(texts, {window=, theta=, lambda=, ...}) -> result
-- kooka.cache.perplexity of the texts one after the other, with and without the neural cache.
function Model:perplexity(texts, o)
  only_language_model(self, "perplexity")
  local settings = { backwards = self.config.backwards }
  for k, v in pairs(o or {}) do settings[k] = v end
  return require("kooka.cache").perplexity(self.network, self:encode(texts), settings)
end

-- ---- states

local POOLS = { none = true, last = true, max = true, mean = true, concat = true }

-- Hidden states of layer `layer` (negative: from the end) for a batch.
local function layer_states(network, batch, layer)
  local encoder = network.encoder
  local x = core.embedding(batch.x, encoder.embedding, { padding = encoder.config.padding })
  local last = layer < 0 and #encoder.cells + 1 + layer or layer
  for i = 1, last do x = encoder.cells[i](x, nil, batch.lens) end
  return x
end

local function pooled(h, lens, pool)
  local all = core.concat_pool(h, lens)
  local width = h:shape(3)
  if pool == "concat" then return all end
  local at = ({ last = 0, max = 1, mean = 2 })[pool]
  return all:narrow(2, at * width + 1, width)
end

--- m:states(texts, {layer=-1, pool="concat"}) -> tensor [N,D], or [N,T,D] and lengths [N] for pool = "none"
-- Encoder states in evaluation mode, in the order given. pool: "none" (every step, before pooling; padded with 0), "last", "max",
-- "mean", "concat" (last, max and mean side by side). layer: -1 is the last one, 1 the first, 0 the embedding.
function Model:states(texts, o)
  o = o or {}
  local pool, layer = o.pool or "concat", o.layer or -1
  if not POOLS[pool] then error(("states: pool '%s', expected none, last, max, mean or concat"):format(pool), 2) end
  local corpus = self:encode(texts)
  local src = source(self, corpus)
  local n, out, lens = #corpus, nil, nil
  local was = self.network.training
  self.network:eval()
  for _, batch in src:epoch(1) do
    local scope <close> = core.scope()
    local h = layer_states(self.network, batch, layer)
    local rows = batch.places
    if pool == "none" then
      if not out then                       -- the first batch holds the longest text
        out = core.zeros(n, h:shape(1), h:shape(3)):keep()
        lens = core.zeros(n, "int32"):keep()
      end
      local steps = h:transpose(1, 2):contiguous()
      for i, row in ipairs(rows:tolist()) do
        local t = batch.lens[i]:item()
        out[row]:narrow(1, 1, t):copy_(steps[i]:narrow(1, 1, t))
        lens[row] = t
      end
    else
      local y = pooled(h, batch.lens, pool)
      out = out or core.zeros(n, y:shape(2)):keep()
      for i, row in ipairs(rows:tolist()) do out[row]:copy_(y[i]) end
    end
  end
  self.network:train(was)
  return out, lens
end

---- eight bits ------------------------------------------------------------------------------------

local function best(row)
  local class = 1
  for c = 2, #row do
    if row[c] > row[class] then class = c end
  end
  return class
end

local function bytes_of(network)
  local n = 0
  for _, t in pairs(network:state()) do n = n + t:numel() * (t:dtype() == "uint8" and 1 or 4) end
  return n
end

-- How far probabilities a (eight bits) and b (float32) are apart.
local function distances(a, b)
  local most, sum, count, changed = 0, 0, 0, 0
  for i, row in ipairs(a) do
    for c, p in ipairs(row) do
      local d = math.abs(p - b[i][c])
      most, sum, count = math.max(most, d), sum + d, count + 1
    end
    if best(row) ~= best(b[i]) then changed = changed + 1 end
  end
  return most, sum / count, changed
end

-- accuracy, and f1 of class 2 where there are two classes: of each, and eight bits minus float32 on the same texts.
local function scores(a, b, labels)
  if #a[1] == 2 then
    local function positive(rows)
      local out = {}
      for i, row in ipairs(rows) do out[i] = row[2] end
      return out
    end
    local pa, pb = positive(a), positive(b)
    local ours, theirs, difference = eval.binary(pa, labels), eval.binary(pb, labels), eval.paired(pa, pb, labels).differences
    return { { "accuracy", ours.accuracy, theirs.accuracy, difference.accuracy }, { "f1", ours.f1, theirs.f1, difference.f1 } }
  end
  local hits = { {}, {}, {} }
  for i, y in ipairs(labels) do
    local x, z = best(a[i]) == y and 1 or 0, best(b[i]) == y and 1 or 0
    hits[1][i], hits[2][i], hits[3][i] = x, z, x - z
  end
  return { { "accuracy", eval.mean(hits[1]), eval.mean(hits[2]), eval.mean(hits[3]) } }
end

local function score_line(name, ours, theirs, difference)
  if not (ours.value and theirs.value and difference.value) then
    return ("%s: not defined (%s)"):format(name, ours.note or theirs.note or difference.note)
  end
  local range = difference.low and (" [%+.4f, %+.4f]"):format(difference.low, difference.high) or ""
  return ("%s: %.4f in float32, %.4f in eight bits: %+.4f%s"):format(name, theirs.value, ours.value, difference.value, range)
end

--- m:int8() -> model
-- A copy for prediction whose recurrent weights have eight bits (kooka.nn.quantize), its cost not measured; it keeps the card, and the
-- calibration as it was fitted, whose field weights = "float32" says so (m:calibrate fits it again). Raises where there is no LSTM layer.
function Model:int8()
  if self.config.int8 then error("int8: this model has eight bits already", 2) end
  local config = {}
  for k, v in pairs(self.config) do config[k] = v end
  config.int8 = true
  local calibration
  if self.calibration then
    calibration = { weights = "float32" }
    for k, v in pairs(self.calibration) do calibration[k] = v end
  end
  return model.new { network = nn.quantize(self.network), tokenizer = self.tokenizer, config = config, card = self.card,
    calibration = calibration }
end

--- m:quantize{texts=, labels=, say=print} -> model, cost
-- A copy for prediction whose recurrent weights have eight bits (kooka.nn.quantize): four times smaller, and one message
-- takes a fifth of the time. What that costs is measured on `texts`, which the model should not have been trained on, and
-- said line by line: how far the probabilities move, how many labels change, and with `labels` (classes from 1) accuracy and F1
-- with the interval of their difference (bootstrap over texts). cost: {n, most, mean (of |p - p'|), changed (labels), share
-- {value, low, high}, bytes = {float32, eight_bits}, scores = {name = {eight_bits, float32, difference}}, lines}. The copy is
-- saved, loaded and asked as the original; what is not recurrent is shared with it. Raises when there are no texts.
function Model:quantize(o)
  check_options("quantize", o or {}, { texts = true, labels = true, say = true })
  local texts, labels = o and o.texts, o and o.labels
  if type(texts) ~= "table" or #texts == 0 then error("quantize: texts: expected a list of texts to measure the cost on", 2) end
  if labels and #labels ~= #texts then error(("quantize: %d texts but %d labels"):format(#texts, #labels), 2) end
  if self.config.int8 then error("quantize: this model has eight bits already", 2) end
  if self:kind() ~= "classifier" then error(("quantize: measures classifiers, this is a %s: use m:int8()"):format(self:kind()), 2) end
  local small = self:int8()
  local a, b = small:predict(texts, { raw = true }), self:predict(texts, { raw = true })
  local most, mean, changed = distances(a, b)
  local low, high = eval.wilson(changed, #texts, .95)
  local cost = { n = #texts, most = most, mean = mean, changed = changed, share = { value = changed / #texts, low = low, high = high },
    bytes = { float32 = bytes_of(self.network), eight_bits = bytes_of(small.network) }, scores = {}, lines = {} }
  local lines = cost.lines
  lines[1] = ("eight bits: %.1f MB instead of %.1f"):format(cost.bytes.eight_bits / 1e6, cost.bytes.float32 / 1e6)
  lines[2] = ("on %d texts probabilities move by %.5f on average, %.5f at most"):format(#texts, mean, most)
  lines[3] = ("labels that change: %d of %d (%.2f %%, interval %.2f to %.2f)"):format(changed, #texts, 100 * changed / #texts,
    100 * low, 100 * high)
  for _, s in ipairs(labels and scores(a, b, labels) or {}) do
    cost.scores[s[1]] = { eight_bits = s[2], float32 = s[3], difference = s[4] }
    lines[#lines + 1] = score_line(table.unpack(s))
  end
  if small.calibration then lines[#lines + 1] = "the calibration is the one of float32 weights, not fitted again (m:calibrate does)" end
  for _, line in ipairs(lines) do (o.say or print)(line) end
  return small, cost
end

-- ---- on disk

--- m:save(folder) -> true | nil, message, code
-- model.safetensors, tokenizer.model (of words: words.txt), config.json, calibration.json where there is one, and card.md from m.card
-- (kooka.card) and what the model knows of itself.
function Model:save(path) return folder.save(self, path) end

--- model.load(folder) -> model | nil, message, code
-- Any kind: config.json says which. Refuses what a later version wrote, naming both (docs/formats.md).
function model.load(path)
  local parts, message, code = folder.load(path)
  if not parts then return nil, message, code end
  return model.new(parts)
end

return model
