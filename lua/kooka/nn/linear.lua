--- linear: y = x w' + b.
local core = require "kooka.core"
local module = require "kooka.nn.module"

local Linear = module.class "linear"

--- linear{inputs=, outputs=, bias=true, stream=} -> layer
-- x [...,D] -> y [...,H]. Weights start uniform in ±1/sqrt(D), biases too (He et al. 2015 with a = sqrt 5, as in the field).
local function linear(o)
  local self = module.new(Linear)
  local stream = o.stream or core.random("init", o.seed)
  local bound = 1 / math.sqrt(o.inputs)
  self:parameter("weight", stream:fill_uniform(core.zeros(o.outputs, o.inputs), -bound, bound))
  if o.bias ~= false then self:parameter("bias", stream:fill_uniform(core.zeros(o.outputs), -bound, bound)) end
  return self
end

--- layer:forward(x [...,D]) -> y [...,H]
function Linear:forward(x) return core.linear(x, self.weight, self.bias) end

return linear
