--- language_model: an encoder and a decoder that shares the embedding's weights (tied softmax with a bias).
local check = require "kooka.options"
local core = require "kooka.core"
local module = require "kooka.nn.module"
local awd_lstm = require "kooka.nn.awd_lstm"
local adaptive_softmax = require "kooka.nn.adaptive_softmax"
local sampled_softmax = require "kooka.nn.sampled_softmax"
local settings = require "kooka.nn.settings"

local LanguageModel = module.class "language_model"

local penalties = { dropped = true, raw = true }
local kinds = { full = true, adaptive = true, sampled = true }

--- language_model{vocab=, ..., output_p=.1, alpha=2, beta=1, penalty="dropped", softmax="full"} -> model
-- Other options go to the encoder (kooka.nn.awd_lstm). alpha, beta: activation penalties, alpha mean(h^2) (AR) and beta
-- mean((h[t+1] - h[t])^2) (TAR) on the last layer's output, while training. TAR reads the output as it is; AR reads it after
-- the output's dropout (penalty = "dropped": awd-lstm-lm, fastai 2) or before it ("raw": fastai 1).
-- softmax, where the vocabulary is large and its ids come in order of falling frequency (as SentencePiece's nearly do):
--   "adaptive"  rare words in clusters, cutoffs = { vocab // 10, vocab // 3 } (kooka.nn.adaptive_softmax, tied)
--   "sampled"   trains on samples = 8192 drawn words and the batch's targets (kooka.nn.sampled_softmax); in evaluation
--               the full softmax, to which its weights belong
local function language_model(o)
  check("language_model", o, settings.language_model)
  local self = module.new(LanguageModel)
  self.output_p = settings.dropout("language_model", o, "output_p", .1)
  self.alpha, self.beta = o.alpha or 2, o.beta or 1
  self.softmax, self.samples = o.softmax or "full", o.samples or 8192
  self.penalty = o.penalty or "dropped"
  if not penalties[self.penalty] then
    error(("language_model: penalty is %s, expected dropped or raw"):format(self.penalty), 2)
  end
  if not kinds[self.softmax] then
    error(("language_model: softmax is %s, expected full, adaptive or sampled"):format(self.softmax), 2)
  end
  self:add("encoder", awd_lstm(settings.part("encoder", o)))
  self:parameter("bias", core.zeros(o.vocab))
  if self.softmax == "adaptive" then
    self:add("adaptive", adaptive_softmax { inputs = self.encoder.config.embed, classes = o.vocab,
      cutoffs = o.cutoffs or { o.vocab // 10, o.vocab // 3 },
      stream = o.stream or core.random("adaptive softmax", o.seed),
      tied = { weight = self.encoder.embedding, bias = self.bias } })
  end
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
-- Of an adaptive softmax the logits are log-probabilities.
function LanguageModel:forward(ids, state)
  local h, raw, new = states(self, ids, state)
  if self.adaptive then return self.adaptive(h), new, h, raw end
  if self.decoder then return core.linear_q8(h, self.decoder, self.decoder_scale, self.bias), new, h, raw end
  return core.linear(h, self.encoder.embedding, self.bias), new, h, raw
end

local function decode(self, h, y)
  local weight = self.encoder.embedding
  if self.adaptive then return self.adaptive:loss(h, y) end
  if self.decoder then return core.cross_entropy(core.linear_q8(h, self.decoder, self.decoder_scale, self.bias), y) end
  if self.softmax == "sampled" and self.training then
    return sampled_softmax(h, weight, self.bias, y, { samples = self.samples })
  end
  return core.linear_cross_entropy(h, weight, self.bias, y)
end

--- model:loss(batch {x=, y=}, state) -> loss, stats [3], state
-- stats: sum of -log p of the true tokens, tokens, top-1 hits. The loss has the activation penalties while training.
-- Logits are never held for all tokens (kooka.linear_cross_entropy), unless the weights have eight bits.
function LanguageModel:loss(batch, state)
  local h, raw, new = states(self, batch.x, state)
  local loss, stats = decode(self, h, batch.y)
  if self.training and (self.alpha > 0 or self.beta > 0) then
    loss = loss + core.activation_penalty(self.penalty == "raw" and raw or h, raw, { alpha = self.alpha, beta = self.beta })
  end
  return loss, stats, self.encoder:carry(new)
end

--- model:groups() -> layer groups: each layer, then the embedding with the decoder's own parameters, as in fastai
function LanguageModel:groups()
  local groups = self.encoder:groups()
  local last = table.remove(groups, 1)
  last[#last + 1] = self.bias
  if self.adaptive then table.move(self.adaptive:parameters(), 1, 2, #last + 1, last) end
  groups[#groups + 1] = last
  return groups
end

return language_model
