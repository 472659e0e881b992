--- kooka.baseline.fasttext: words and hashed word pairs, their vectors averaged, a softmax on top (Joulin et al. 2017).
-- The baseline between counting words and reading them in order. Unlike the original it is trained with Adam (one cycle) in
-- batches, has no vectors from elsewhere and no pieces of words.
local core = require "kooka.core"
local batches = require "kooka.data.batches"
local check_options = require "kooka.options"
local learner = require "kooka.learn.learner"
local linear = require "kooka.nn.linear"
local module = require "kooka.nn.module"
local sources = require "kooka.learn.sources"

local fasttext = {}

local PAD = 1

-- ---- the network

local Network = module.class "fasttext"

local function network(o)
  local self = module.new(Network)
  local stream = core.random("fasttext", o.seed)
  self.drop = o.drop
  self:parameter("vectors", stream:fill_uniform(core.zeros(o.features, o.dim), -1 / o.dim, 1 / o.dim))
  self:add("out", linear { inputs = o.dim, outputs = o.classes, stream = stream })
  return self
end

--- network:forward(ids [T,B], lens [B]) -> logits [B,C]
function Network:forward(ids, lens)
  local sum = core.embedding(ids, self.vectors, { padding = PAD, row_drop = self.training and self.drop or nil }):sum(1)
  return self.out(sum / lens:to("float32"):unsqueeze(2))
end

--- network:loss(batch {x=, lens=, y=}) -> loss, stats [3]
function Network:loss(batch) return core.cross_entropy(self:forward(batch.x, batch.lens), batch.y) end

--- network:groups() -> one group
function Network:groups() return { self:parameters() } end

-- ---- features

--- fasttext.tokens(text) -> list of words
-- Lower case (ASCII). A word is letters, digits, bytes above 127 and ' inside, with # or @ before; other signs stand alone.
function fasttext.tokens(text)
  local out, at = {}, 1
  text = text:lower()
  while true do
    local from, to = text:find("[#@]?[%w\128-\255][%w\128-\255']*", at)
    for sign in text:sub(at, (from or 0) - 1):gmatch("%S") do out[#out + 1] = sign end
    if not from then return out end
    out[#out + 1], at = text:sub(from, to), to + 1
  end
end

local Model = {}
Model.__index = Model
Model.__name = "kooka.fasttext_model"

function Model.__tostring(m)
  return ("fastText-like: %d words, %d buckets of pairs, %d classes"):format(m.words, m.buckets, m.classes)
end

local function encode(m, texts)
  local corpus, known, words, buckets = core.corpus.new(m.features), m.known, m.words, m.buckets
  for _, text in ipairs(texts) do
    local ids, before = {}, 0                -- 0: the beginning, or a word nobody knows
    for _, word in ipairs(fasttext.tokens(text)) do
      local id = known[word]
      if id then
        ids[#ids + 1] = id
        if buckets > 0 and before > 0 then ids[#ids + 1] = words + 2 + (before * 116049371 + id) % buckets end
      end
      before = id or 0
    end
    corpus:add(ids)
  end
  return corpus
end

-- Draws of the ops come from a place of the seed's own until the block ends: the same seed gives the same model wherever it is
-- fitted, and what follows draws as if there had been no baseline.
local function own_draws(seed)
  local stream = core.op_stream()
  local before, drawn = stream:state()
  stream:state(seed, 0)
  return setmetatable({}, { __close = function() stream:state(before, drawn) end })
end

local options = { texts = true, labels = true, classes = true, dim = true, buckets = true, min_count = true, epochs = true,
  lr = true, batch = true, drop = true, seed = true, say = true, log = true }

--- fit{texts =, labels =, classes = nil, dim = 64, buckets = 65536, min_count = 1, epochs = 10, lr = .01, ...} -> model
-- labels: classes from 1; classes: how many there are (default: the largest label). buckets: word pairs share so many
-- vectors by hashing (0: words only). Further: batch = 64, drop = .5 (share of the words' vectors that a step leaves out),
-- seed = 1, say = nothing (where the epochs' table goes), log.
function fasttext.fit(o)
  check_options("fasttext.fit", o, options)
  if type(o) ~= "table" or type(o.texts) ~= "table" or type(o.labels) ~= "table" or #o.texts == 0 then
    error("fasttext.fit: expected a table with texts and labels", 2)
  end
  if #o.texts ~= #o.labels then error(("fasttext.fit: %d labels for %d texts"):format(#o.labels, #o.texts), 2) end
  local m = setmetatable({ classes = o.classes or 0, words = 0, known = {}, buckets = o.buckets or 1 << 16 }, Model)
  for i, y in ipairs(o.labels) do
    if math.type(y) ~= "integer" or y < 1 or (o.classes and y > o.classes) then
      error(("fasttext.fit: label %d is %s, expected a class 1..%s"):format(i, tostring(y), o.classes or "n"), 2)
    end
    m.classes = math.max(m.classes, y)
  end
  local count, order = {}, {}
  for _, text in ipairs(o.texts) do
    for _, word in ipairs(fasttext.tokens(text)) do
      if not count[word] then order[#order + 1] = word end
      count[word] = (count[word] or 0) + 1
    end
  end
  for _, word in ipairs(order) do
    if count[word] >= (o.min_count or 1) then
      m.words = m.words + 1
      m.known[word] = m.words + PAD
    end
  end
  m.features = m.words + PAD + m.buckets
  m.network = network { features = m.features, dim = o.dim or 64, classes = m.classes, seed = o.seed or 1, drop = o.drop or .5 }
  local targets = core.tensor(o.labels, "int32"):keep()
  local _ <close> = own_draws(o.seed or 1)
  learner.fit {
    model = m.network, label = "fasttext", epochs = o.epochs or 10, lr = o.lr or 1e-2, clip = 1, moms = { .9, .9 },
    train = sources.classes(batches.buckets(encode(m, o.texts), { batch = o.batch or 64, pad = PAD, train = true,
      seed = o.seed or 1 }), targets),
    say = o.say or function() end, log = o.log,
  }
  return m
end

--- model:predict(texts) -> list of lists of class probabilities, in the order given
function Model:predict(texts)
  if #texts == 0 then return {} end
  local _ <close> = own_draws(1)
  local source = sources.classes(batches.buckets(encode(self, texts), { batch = 256, pad = PAD }))
  return learner.predict(self.network, source, #texts, "fasttext")
end

return fasttext
