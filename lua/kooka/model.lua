--- model: a classifier with the tokenizer and the cleaning rules it was trained with: text in, probabilities or states out.
-- On disk a folder: model.safetensors (weights), tokenizer.model (SentencePiece), config.json.
local core = require "kooka.core"
local batches = require "kooka.data.batches"
local check_options = require "kooka.options"
local eval = require "kooka.eval"
local sources = require "kooka.learn.sources"
local learner = require "kooka.learn.learner"
local nn = require "kooka.nn"
local rules = require "kooka.text.rules"
local tokenizer = require "kooka.text.tokenizer"

local Model = {}
Model.__index = Model

local model = {}

--- model.new{network=, tokenizer=, config=} -> model
-- network: kooka.nn.classifier. config: the options it was built with, kept beside the weights.
function model.new(o)
  return setmetatable({ network = o.network, tokenizer = o.tokenizer, config = o.config }, Model)
end

--- m:encode(texts) -> corpus
-- Cleaned and cut into pieces, each text between xxbos and its end. Raises when a text is not UTF-8.
function Model:encode(texts)
  local corpus, message = self.tokenizer:encode_all(rules.clean_all(texts), { bos = true })
  if not corpus then error(message, 2) end
  return corpus
end

local function source(self, corpus, labels, o)
  return sources.classes(batches.buckets(corpus, { batch = o and o.batch or 64, pad = self.tokenizer.pad,
    max_len = o and o.max_len, rows = o and o.rows, train = o and o.train, seed = o and o.seed }), labels)
end

--- m:source(corpus, labels, {rows=, batch=64, train=false, seed=1, max_len=}) -> source for the learner
function Model:source(corpus, labels, o) return source(self, corpus, labels, o) end

--- m:predict(texts) -> list of lists of class probabilities, in the order given
function Model:predict(texts)
  local corpus = self:encode(texts)
  return learner.predict(self.network, source(self, corpus), #corpus, "predict")
end

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
  local config = { int8 = true }
  for k, v in pairs(self.config) do config[k] = v end
  local small = model.new { network = nn.quantize(self.network), tokenizer = self.tokenizer, config = config }
  local a, b = small:predict(texts), self:predict(texts)
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
  for _, line in ipairs(lines) do (o.say or print)(line) end
  return small, cost
end

--- m:save(folder) -> true | nil, message, code
function Model:save(folder)
  local ok, message, code = core.sys.mkdir_p(folder)
  if ok then ok, message, code = self.network:save(folder .. "/model.safetensors", { format = "kooka" }) end
  if ok then ok, message, code = core.sys.read_file(self.tokenizer.path) end
  if ok then ok, message, code = core.sys.write_file(folder .. "/tokenizer.model", ok) end
  if ok then
    ok, message, code = core.sys.write_file(folder .. "/config.json", core.json.encode(self.config, { pretty = true }) .. "\n")
  end
  return ok, message, code
end

--- model.load(folder) -> model | nil, message, code
function model.load(folder)
  local text, message, code = core.sys.read_file(folder .. "/config.json")
  if not text then return nil, message, code end
  local config
  config, message, code = core.json.decode(text)
  if not config then return nil, message, code end
  local tok
  tok, message, code = tokenizer.load(folder .. "/tokenizer.model")
  if not tok then return nil, message, code end
  local network = nn.classifier(config)
  if config.int8 then network = nn.quantize(network) end
  local ok
  ok, message, code = network:load(folder .. "/model.safetensors")
  if not ok then return nil, message, code end
  return model.new { network = network:eval(), tokenizer = tok, config = config }
end

return model
