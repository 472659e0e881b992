--- awd_lstm: the encoder of AWD-LSTM (Merity, Keskar & Socher 2018) with its five dropouts, as fastai has it; or of
-- AWD-QRNN, the same with quasi-recurrent layers (Bradbury et al. 2017).
local check = require "kooka.options"
local core = require "kooka.core"
local module = require "kooka.nn.module"
local lstm = require "kooka.nn.lstm"
local qrnn = require "kooka.nn.qrnn"
local settings = require "kooka.nn.settings"

local AwdLstm = module.class "awd_lstm"

-- Width and depth where nothing is said: fastai's.
local CELLS = {
  lstm = { hidden = 1152, layers = 3, layer = function(_, o) return lstm(o) end },
  qrnn = { hidden = 1552, layers = 4, layer = function(i, o)
    o.window = i == 1 and 2 or 1
    return qrnn(o)
  end },
}

--- awd_lstm{vocab=, cell="lstm", embed=400, hidden=1152, layers=3, padding=0, drop=1, ...} -> encoder
-- Further options: embed_p = .02, input_p = .25, hidden_p = .15, weight_p = .2, biases = 2 (kooka.nn.lstm), stream.
-- cell = "qrnn": AWD-QRNN, hidden = 1552 and layers = 4 by default; the first layer sees the token before as well
-- (window 2), across segments too, and weight_p drops from each layer's one matrix.
-- The last layer is as wide as the embedding, so that the decoder can share its weights. drop multiplies every
-- probability. embed_p drops whole word types, input_p and hidden_p share one mask over time, weight_p drops
-- recurrent weights once per sequence. padding: id whose embedding is zero (0: none). Raises for an option that is none.
local function awd_lstm(o)
  check("awd_lstm", o, settings.encoder)
  local self = module.new(AwdLstm)
  local stream = o.stream or core.random("init", o.seed)
  local cell = CELLS[o.cell or "lstm"]
  if not cell then error(("awd_lstm: cell is '%s', expected lstm or qrnn"):format(tostring(o.cell)), 2) end
  self.config = { vocab = o.vocab, cell = o.cell or "lstm", embed = o.embed or 400, hidden = o.hidden or cell.hidden,
    layers = o.layers or cell.layers, padding = o.padding or 0 }
  local c = self.config
  local function p(name, default) return settings.dropout("awd_lstm", o, name, default) end
  self.embed_p, self.input_p, self.hidden_p = p("embed_p", .02), p("input_p", .25), p("hidden_p", .15)
  local weight_p = p("weight_p", .2)
  self:parameter("embedding", stream:fill_uniform(core.zeros(c.vocab, c.embed), -.1, .1))
  self.cells = {}
  for i = 1, c.layers do
    self.cells[i] = self:add("layer" .. i, cell.layer(i, {
      inputs = i == 1 and c.embed or c.hidden,
      hidden = i == c.layers and c.embed or c.hidden,
      weight_drop = weight_p,
      biases = o.biases,
      stream = stream,
    }))
  end
  return self
end

--- encoder(ids [T,B], state or nil, lens or nil) -> last [T,B,E], state
-- last is the raw output of the last layer.
function AwdLstm:forward(ids, state, lens)
  local on = self.training
  local x = core.embedding(ids, self.embedding, { row_drop = on and self.embed_p or 0, padding = self.config.padding })
  local new = {}
  for i, cell in ipairs(self.cells) do
    x, new[i] = cell(x, state and state[i], lens, i == 1 and self.input_p or self.hidden_p)
  end
  return x, new
end

--- encoder:carry(state) -> state
-- The state (of each layer h and c, or for a QRNN c and x) cut off from the tape that made it, to go on with in the
-- next batch.
function AwdLstm:carry(state)
  local out = {}
  for i, s in ipairs(state) do
    out[i] = {}
    for name, t in pairs(s) do out[i][name] = t:detach():keep() end
  end
  return out
end

--- encoder:groups() -> list of lists of parameters
-- Layer groups for discriminative rates: the embedding, then each layer.
function AwdLstm:groups()
  local groups = { { self.embedding } }
  for i, cell in ipairs(self.cells) do groups[i + 1] = cell:parameters() end
  return groups
end

return awd_lstm
