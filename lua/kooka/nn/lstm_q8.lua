--- lstm_q8: an LSTM layer whose weights have eight bits. For prediction only.
local core = require "kooka.core"
local module = require "kooka.nn.module"

local LstmQ8 = module.class "lstm_q8"

--- lstm_q8(layer) -> layer of kooka.nn.lstm's kind
-- layer: a kooka.nn.lstm. Its weights are rounded to eight bits, a scale for each row (core.quantize_rows); two biases
-- become one, one is shared.
local function lstm_q8(layer)
  local self = module.new(LstmQ8)
  for _, name in ipairs { "weight_ih", "weight_hh" } do
    local q, scale = core.quantize_rows(layer[name])
    self:buffer(name, q)
    self:buffer(name .. "_scale", scale)
  end
  self.bias = layer.bias_hh and (layer.bias:detach() + layer.bias_hh:detach()):keep() or layer.bias
  self.own[1] = { name = "bias", tensor = self.bias }         -- as it is: wanting a gradient or not
  self.training = false
  return self
end

--- lstm_q8(x [T,B,D], state or nil, lens [B] or nil) -> y [T,B,H], state {h, c}
-- As kooka.nn.lstm's; raises while training.
function LstmQ8:forward(x, state, lens)
  if self.training then error("a layer with weights of eight bits cannot be trained: train the float one, then quantize it", 2) end
  local y, h, c = core.lstm_q8(x, state and state.h, state and state.c, self.weight_ih, self.weight_ih_scale, self.weight_hh,
    self.weight_hh_scale, self.bias, lens)
  return y, { h = h, c = c }
end

return lstm_q8
