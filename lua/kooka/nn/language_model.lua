--- language_model: an encoder and a decoder that shares the embedding's weights (tied softmax with a bias).
local core = require "kooka.core"
local module = require "kooka.nn.module"
local awd_lstm = require "kooka.nn.awd_lstm"

local LanguageModel = module.class "language_model"

--- language_model{vocab=, ..., output_p=.1, alpha=2, beta=1} -> model
-- Other options go to the encoder (kooka.nn.awd_lstm). alpha, beta: activation penalties (AR, TAR).
local function language_model(o)
  local self = module.new(LanguageModel)
  self.output_p = (o.drop or 1) * (o.output_p or .1)
  self.alpha, self.beta = o.alpha or 2, o.beta or 1
  self:add("encoder", awd_lstm(o))
  self:parameter("bias", core.zeros(o.vocab))
  return self
end

-- What the decoder reads: h, with variational dropout while training, of the encoder's output raw.
local function states(self, ids, state)
  local raw, new = self.encoder(ids, state)
  local h = raw
  if self.training and self.output_p > 0 then h = core.variational_dropout(raw, { p = self.output_p }) end
  return h, raw, new
end

--- model(ids [T,B], state or nil) -> logits [T,B,V], state, dropped [T,B,E], raw [T,B,E]
function LanguageModel:forward(ids, state)
  local h, raw, new = states(self, ids, state)
  return core.linear(h, self.encoder.embedding, self.bias), new, h, raw
end

--- model:loss(batch {x=, y=}, state) -> loss, stats [3], state
-- stats: sum of -log p of the true tokens, tokens, top-1 hits. The loss has the activation penalties while training.
-- Logits are never held for all tokens (kooka.linear_cross_entropy).
function LanguageModel:loss(batch, state)
  local h, raw, new = states(self, batch.x, state)
  local loss, stats = core.linear_cross_entropy(h, self.encoder.embedding, self.bias, batch.y)
  if self.training and (self.alpha > 0 or self.beta > 0) then
    loss = loss + core.activation_penalty(h, raw, { alpha = self.alpha, beta = self.beta })
  end
  return loss, stats, self.encoder:carry(new)
end

--- model:groups() -> layer groups; the decoder's bias goes with the embedding
function LanguageModel:groups()
  local groups = self.encoder:groups()
  table.insert(groups[1], self.bias)
  return groups
end

return language_model
