--- qrnn: one quasi-recurrent layer over a whole sequence (Bradbury et al. 2017), with weight drop and zoneout.
local core = require "kooka.core"
local module = require "kooka.nn.module"

local Qrnn = module.class "qrnn"

--- qrnn{inputs=, hidden=, window=1, weight_drop=0, zoneout=0, output_gate=true, stream=} -> layer
-- Gates z, f, o as in fastai: c = f tanh(z) + (1 - f) c, y = o c. window: 1, or 2 to see the step before as well.
-- weight_drop drops the one matrix there is, [3H, window D]. Weights and bias start uniform in ±1/sqrt(window D).
local function qrnn(o)
  local self = module.new(Qrnn)
  local stream = o.stream or core.random("init", o.seed)
  self.window, self.output_gate = o.window or 1, o.output_gate ~= false
  if self.window ~= 1 and self.window ~= 2 then
    error(("qrnn: window is %s, expected 1 or 2"):format(tostring(o.window)), 2)
  end
  self.weight_drop, self.zoneout = o.weight_drop or 0, o.zoneout or 0
  local rows, columns = (self.output_gate and 3 or 2) * o.hidden, self.window * o.inputs
  local bound = 1 / math.sqrt(columns)
  self:parameter("weight", stream:fill_uniform(core.zeros(rows, columns), -bound, bound))
  self:parameter("bias", stream:fill_uniform(core.zeros(rows), -bound, bound))
  return self
end

--- qrnn(x [T,B,D], state or nil, lens [B] or nil, input_drop = 0) -> y [T,B,H], state {c} or, with window 2, {c, x}
-- state.x is the last input, which the next segment's first step sees. lens: valid steps of each row, sorted from long
-- to short; nothing is computed beyond. input_drop: share of x dropped while training, one mask [B,D] for all steps.
function Qrnn:forward(x, state, lens, input_drop)
  local on = self.training
  local y, c, last = core.qrnn(x, state and state.x, state and state.c, self.weight, self.bias, lens,
    { weight_drop = on and self.weight_drop or 0, input_drop = on and input_drop or 0, zoneout = on and self.zoneout or 0,
      output_gate = self.output_gate })
  return y, { c = c, x = self.window == 2 and last or nil }
end

return qrnn
