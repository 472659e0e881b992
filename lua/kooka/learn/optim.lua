--- optim: optimizers over groups of parameters.
local core = require "kooka.core"

local Adam = {}
Adam.__index = Adam

local optim = {}

--- optim.adam(groups, {beta2=.99, eps=1e-8, decay=0}) -> optimizer
-- groups: list of lists of parameters, or of {params=, rate=1, decay=}; rate multiplies the learning rate of a group.
-- Weight decay is decoupled. Moments live outside scopes.
function optim.adam(groups, o)
  o = o or {}
  local self = setmetatable({ groups = {}, beta2 = o.beta2 or .99, eps = o.eps or 1e-8, count = 0 }, Adam)
  for i, g in ipairs(groups) do
    local group = { params = g.params or g, rate = g.rate or 1, decay = g.decay or o.decay or 0, m = {}, v = {} }
    for k, p in ipairs(group.params) do
      group.m[k] = core.zeros(p:shape()):keep()
      group.v[k] = core.zeros(p:shape()):keep()
    end
    self.groups[i] = group
  end
  return self
end

--- optimizer:parameters() -> list of all parameters
function Adam:parameters()
  local list = {}
  for _, g in ipairs(self.groups) do table.move(g.params, 1, #g.params, #list + 1, list) end
  return list
end

--- optimizer:step(lr, momentum[, clip]) -> norm of the gradient before clipping
-- One step over all groups and back to zero gradients. clip: largest norm of all gradients together (nil: none).
function Adam:step(lr, momentum, clip)
  local all = self:parameters()
  local norm = core.optim.grad_norm(all)
  if norm ~= norm or norm == math.huge then return norm end      -- the caller says what happened: nothing is touched
  local scale = clip and norm > clip and clip / norm or 1
  self.count = self.count + 1
  for _, g in ipairs(self.groups) do
    core.optim.adam(g.params, g.m, g.v, { lr = lr * g.rate, beta1 = momentum, beta2 = self.beta2, eps = self.eps,
      decay = g.decay, scale = scale, step = self.count })
  end
  core.optim.zero_grad(all)
  return norm
end

--- optimizer:state() -> table name -> tensor, count
-- The moments, for checkpoints; optimizer:load_state(state, count) puts them back.
function Adam:state()
  local state = {}
  for i, g in ipairs(self.groups) do
    for k in ipairs(g.params) do
      state[("m.%d.%d"):format(i, k)] = g.m[k]
      state[("v.%d.%d"):format(i, k)] = g.v[k]
    end
  end
  return state, self.count
end

--- optimizer:load_state(state, count)
function Adam:load_state(state, count)
  for name, t in pairs((self:state())) do
    if not state[name] then error("optimizer: the checkpoint lacks " .. name, 2) end
    t:copy_(state[name])
  end
  self.count = count
end

return optim
