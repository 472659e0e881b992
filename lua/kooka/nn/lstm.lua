--- lstm: one layer over a whole sequence, with weight drop.
local core = require "kooka.core"
local module = require "kooka.nn.module"

local Lstm = module.class "lstm"

--- lstm{inputs=, hidden=, weight_drop=0, stream=} -> layer
-- Gates i, f, g, o as in PyTorch; one bias. Weights start uniform in ±1/sqrt(H).
local function lstm(o)
  local self = module.new(Lstm)
  local stream = o.stream or core.random("init", o.seed)
  local bound = 1 / math.sqrt(o.hidden)
  self.weight_drop = o.weight_drop or 0
  self:parameter("weight_ih", stream:fill_uniform(core.zeros(4 * o.hidden, o.inputs), -bound, bound))
  self:parameter("weight_hh", stream:fill_uniform(core.zeros(4 * o.hidden, o.hidden), -bound, bound))
  self:parameter("bias", stream:fill_uniform(core.zeros(4 * o.hidden), -bound, bound))
  return self
end

--- lstm(x [T,B,D], state or nil, lens [B] or nil, input_drop = 0) -> y [T,B,H], state {h, c}
-- lens: valid steps of each row, sorted from long to short; nothing is computed beyond. input_drop: share of x dropped
-- while training, one mask [B,D] for all steps.
function Lstm:forward(x, state, lens, input_drop)
  local y, h, c = core.lstm(x, state and state.h, state and state.c, self.weight_ih, self.weight_hh, self.bias, lens,
    { weight_drop = self.training and self.weight_drop or 0, input_drop = self.training and input_drop or 0 })
  return y, { h = h, c = c }
end

return lstm
