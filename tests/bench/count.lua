-- count.lua -- three fixed small pieces of work between marks, for `make test-callgrind` (tests/bench/callgrind.lua).
-- Run under callgrind with --dump-before=machine_variant: each call of kooka.core.machine.variant() is a mark.
local core = require "kooka.core"
local nn = require "kooka.nn"
local optim = require "kooka.learn.optim"

core.sys.threads(1)
local s = core.random("count", 1)

local function lstm()
  local layer = nn.lstm { inputs = 32, hidden = 48, stream = s }
  local x = core.randn(8, 8, 32, s):keep():param()
  local params = layer:parameters()
  params[#params + 1] = x
  return function()
    local tape <close> = core.tape()
    tape:backward((layer(x)):sum())
    core.optim.zero_grad(params)
  end
end

local function lm()
  local model = nn.language_model { vocab = 200, embed = 32, hidden = 48, layers = 2, stream = s }
  local opt, state = optim.adam(model:groups()), nil
  local batch = { x = core.randint(1, 200, 8, 8, s):keep(), y = core.randint(1, 200, 8, 8, s):keep() }
  return function()
    local tape <close> = core.tape()
    local loss, _, new = model:loss(batch, state)
    tape:backward(loss)
    opt:step(1e-3, .9, .1)
    state = new
  end
end

local function linear_ce()
  local layer = nn.linear { inputs = 32, outputs = 300, stream = s }
  local x, y = core.randn(64, 32, s):keep():param(), core.randint(1, 300, 64, s):keep()
  local params = layer:parameters()
  params[#params + 1] = x
  local fused = core.linear_cross_entropy
  return function()
    local tape <close> = core.tape()
    tape:backward((fused and fused(x, layer.weight, layer.bias, y) or core.cross_entropy(layer(x), y)))
    core.optim.zero_grad(params)
  end
end

collectgarbage("stop")
print(core.machine.kernel())
local mark = core.machine.variant
for _, make in ipairs { lstm, lm, linear_ce } do
  local step = make()
  for _ = 1, 3 do step() end           -- memory that is kept for reuse is there from now on
  mark()
  step()
  mark()
end
