--- classifier: an encoder, concat pooling (last, max, mean) and a small head (Howard & Ruder 2018, section 3.3).
local core = require "kooka.core"
local module = require "kooka.nn.module"
local awd_lstm = require "kooka.nn.awd_lstm"
local batch_norm = require "kooka.nn.batch_norm"
local linear = require "kooka.nn.linear"

local Classifier = module.class "classifier"

--- classifier{vocab=, classes=2, head=50, head_p=.4, last_p=.1, smoothing=0, weights=nil, drop=1, ...} -> model
-- pool -> batch norm -> dropout -> linear -> ReLU -> batch norm -> dropout -> linear. Other options go to the encoder,
-- with the classifier's probabilities (embed .05, input .4, hidden .3, weight .5, all times drop) as defaults.
-- weights: class weights of the loss, a list.
local function classifier(o)
  local self = module.new(Classifier)
  local drop, width = o.drop or 1, 3 * (o.embed or 400)
  local stream = o.stream or core.random("init", o.seed)
  local e = { embed_p = .05, input_p = .4, hidden_p = .3, weight_p = .5, stream = stream }
  for k, v in pairs(o) do e[k] = v end
  self.head_p, self.last_p, self.smoothing = drop * (o.head_p or .4), o.last_p or .1, o.smoothing or 0
  self.weights = o.weights and core.tensor(o.weights):keep()
  self:add("encoder", awd_lstm(e))
  self:add("norm1", batch_norm { features = width })
  self:add("linear1", linear { inputs = width, outputs = o.head or 50, stream = stream })
  self:add("norm2", batch_norm { features = o.head or 50 })
  self:add("linear2", linear { inputs = o.head or 50, outputs = o.classes or 2, stream = stream })
  return self
end

--- model:pool(ids [T,B], lens [B]) -> pooled states [B,3E]
function Classifier:pool(ids, lens)
  local h = self.encoder(ids, nil, lens)
  return core.concat_pool(h, lens)
end

--- model:head(pooled [B,3E]) -> logits [B,C]
function Classifier:head(x)
  x = self.norm1(x)
  if self.training then x = core.dropout(x, { p = self.head_p }) end
  x = self.norm2(core.relu(self.linear1(x)))
  if self.training then x = core.dropout(x, { p = self.last_p }) end
  return self.linear2(x)
end

--- model:forward(ids [T,B], lens [B]) -> logits [B,C]
function Classifier:forward(ids, lens) return self:head(self:pool(ids, lens)) end

--- model:loss(batch {x=, lens=, y= or soft=}) -> loss, stats [3]
-- y: class labels [B]; soft: class shares [B,C].
function Classifier:loss(batch)
  local logits = self:forward(batch.x, batch.lens)
  return core.cross_entropy(logits, batch.y, batch.soft, self.weights, { smoothing = self.smoothing })
end

--- model:groups() -> layer groups: embedding, each layer, head
function Classifier:groups()
  local groups, head = self.encoder:groups(), {}
  for _, name in ipairs { "norm1", "linear1", "norm2", "linear2" } do
    for _, p in ipairs(self[name]:parameters()) do head[#head + 1] = p end
  end
  groups[#groups + 1] = head
  return groups
end

return classifier
