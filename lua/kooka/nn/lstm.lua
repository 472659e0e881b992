--- lstm: one layer over a whole sequence, with weight drop.
local core = require "kooka.core"
local module = require "kooka.nn.module"

local Lstm = module.class "lstm"

--- lstm{inputs=, hidden=, weight_drop=0, biases=2, stream=} -> layer
-- Gates i, f, g, o as in PyTorch, and as there two biases, of which only the sum counts: under Adam that sum moves twice as
-- fast as one bias would. biases = 1: one. Weights and biases start uniform in ±1/sqrt(H).
local function lstm(o)
  local self = module.new(Lstm)
  local stream = o.stream or core.random("init", o.seed)
  local bound = 1 / math.sqrt(o.hidden)
  self.weight_drop = o.weight_drop or 0
  self:parameter("weight_ih", stream:fill_uniform(core.zeros(4 * o.hidden, o.inputs), -bound, bound))
  self:parameter("weight_hh", stream:fill_uniform(core.zeros(4 * o.hidden, o.hidden), -bound, bound))
  self:parameter("bias", stream:fill_uniform(core.zeros(4 * o.hidden), -bound, bound))
  if o.biases ~= 1 then
    self:parameter("bias_hh", stream:fill_uniform(core.zeros(4 * o.hidden), -bound, bound), "bias")
  end
  return self
end

--- lstm(x [T,B,D], state or nil, lens [B] or nil, input_drop = 0) -> y [T,B,H], state {h, c}
-- lens: valid steps of each row, sorted from long to short; nothing is computed beyond. input_drop: share of x dropped
-- while training, one mask [B,D] for all steps.
function Lstm:forward(x, state, lens, input_drop)
  local bias = self.bias_hh and self.bias + self.bias_hh or self.bias
  local y, h, c = core.lstm(x, state and state.h, state and state.c, self.weight_ih, self.weight_hh, bias, lens,
    { weight_drop = self.training and self.weight_drop or 0, input_drop = self.training and input_drop or 0 })
  return y, { h = h, c = c }
end

return lstm
