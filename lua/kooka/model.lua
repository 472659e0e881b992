--- model: a classifier with the tokenizer and the cleaning rules it was trained with: text in, probabilities or states out.
-- On disk a folder: model.safetensors (weights), tokenizer.model (SentencePiece), config.json.
local core = require "kooka.core"
local batches = require "kooka.data.batches"
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
  local ok
  ok, message, code = network:load(folder .. "/model.safetensors")
  if not ok then return nil, message, code end
  return model.new { network = network:eval(), tokenizer = tok, config = config }
end

return model
