--- optim: optimizers over groups of parameters: Adam (AdamW), gradient descent with momentum, and averaged.
-- A step clips, decays, updates and sets the gradients back to zero in one pass over all parameters. Tables that only
-- kooka.embedding uses are updated row by row: rows without a gradient catch up when they are read, to the same bits.
-- LAMB (You et al. 2020) is left out: its ratio of norms keeps large rates stable in batches of thousands of rows; batches here have
-- 16 to 64, and the steps that two cores can pay for are what limits them, not the rate.
local core = require "kooka.core"
local check = require "kooka.options"

local Optimizer = {}
Optimizer.__index = Optimizer

local optim = {}

-- letters: names of the states in checkpoints.
local function new(rule, groups, o, letters, defaults)
  local self = setmetatable({ groups = {}, count = 0, rule = rule, letters = letters }, Optimizer)
  for k, v in pairs(defaults) do self[k] = v end
  for i, g in ipairs(groups) do
    local group = { params = g.params or g, rate = g.rate or 1, decay = g.decay or o.decay or 0 }
    for j, letter in ipairs(letters) do
      local list = {}
      for k, p in ipairs(group.params) do list[k] = core.zeros(p:shape()):keep() end
      group[j], group[letter] = list, list
    end
    self.groups[i] = group
  end
  self.core = core.optim.new(rule, self.groups)
  return self
end

--- optim.adam(groups, {beta2=.99, eps=1e-8, decay=0}) -> optimizer
-- groups: list of lists of parameters, or of {params=, rate=1, decay=}; rate multiplies the learning rate of a group.
-- Weight decay is decoupled (AdamW). Moments live outside scopes.
function optim.adam(groups, o)
  check("optim.adam", o, { beta2 = true, eps = true, decay = true })
  o = o or {}
  return new("adam", groups, o, { "m", "v" }, { beta2 = o.beta2 or .99, eps = o.eps or 1e-8 })
end

--- optim.sgd(groups, {momentum=true, nesterov=false, decay=0}) -> optimizer
-- Gradient descent; decay is added to the gradient, as in torch.optim.SGD. momentum: false keeps no buffers; a step's
-- momentum must then be 0.
function optim.sgd(groups, o)
  check("optim.sgd", o, { momentum = true, nesterov = true, decay = true })
  o = o or {}
  return new("sgd", groups, o, o.momentum == false and {} or { "b" }, { nesterov = o.nesterov or false })
end

--- optim.asgd(groups, {since=nil, lambd=0, alpha=.75, decay=0}) -> optimizer
-- Averaged gradient descent (Polyak & Juditsky 1992), as torch.optim.ASGD: the rate falls as
-- lr / (1 + lambd lr t)^alpha, p *= 1 - lambd rate, and behind step `since` (nil: not before optimizer:average()) the
-- mean of the weights is kept. Evaluate with it between optimizer:swap() and optimizer:swap().
function optim.asgd(groups, o)
  check("optim.asgd", o, { since = true, lambd = true, alpha = true, decay = true })
  o = o or {}
  return new("asgd", groups, o, { "a" },
    { since = o.since, lambd = o.lambd or 0, alpha = o.alpha or .75, swapped = false })
end

--- optimizer:parameters() -> list of all parameters
function Optimizer:parameters()
  local list = {}
  for _, g in ipairs(self.groups) do table.move(g.params, 1, #g.params, #list + 1, list) end
  return list
end

--- optimizer:step(lr, momentum[, clip]) -> norm of the gradient before clipping
-- One step over all groups and back to zero gradients. momentum: Adam's beta1; asgd has none. clip: largest norm of all
-- gradients together (nil: none). A norm that is infinite or no number: nothing is touched, gradients neither, and the
-- caller says what happened.
function Optimizer:step(lr, momentum, clip)
  local inner, count = self.core, self.count + 1
  local norm
  for i = 1, #self.groups do
    local g = self.groups[i]
    inner:group(i, g.rate, g.decay)
  end
  if self.rule == "adam" then
    norm = inner:adam(lr, momentum, clip, count, self.beta2, self.eps)
  elseif self.rule == "sgd" then
    norm = inner:sgd(lr, momentum or 0, clip, self.nesterov)
  else
    if self.swapped then error("optimizer: the averages are swapped in; swap() them out before a step", 2) end
    norm = inner:asgd(lr, clip, count, self.since, self.lambd, self.alpha)
  end
  if norm == norm and norm ~= math.huge then self.count = count end
  return norm
end

--- optimizer:average() -> optimizer
-- asgd: the average begins behind the last step, where it has not begun yet.
function Optimizer:average()
  if self.rule ~= "asgd" then error(("optimizer: %s keeps no averages"):format(self.rule), 2) end
  self.since = self.since or self.count
  return self
end

--- optimizer:swap() -> true when the averages are in the parameters now
-- asgd: exchanges the parameters with their averages, once to evaluate, once more to go on. Before there is an average
-- nothing is exchanged.
function Optimizer:swap()
  if self.rule ~= "asgd" then error(("optimizer: %s keeps no averages"):format(self.rule), 2) end
  if not self.swapped and not (self.since and self.count > self.since) then return false end
  self.core:swap()
  self.swapped = not self.swapped
  return self.swapped
end

--- optimizer:settle() -> optimizer
-- Rows that are updated late catch up, moments included. Parameters do so by themselves when they are read or saved.
function Optimizer:settle()
  self.core:settle()
  return self
end

--- optimizer:reset() -> optimizer
-- Forgets all steps: moments are zero and the next step is the first, as of a new optimizer for the same parameters. Not for asgd.
function Optimizer:reset()
  if self.rule == "asgd" then error("optimizer: asgd does not forget its averages; make a new one", 2) end
  for _, t in pairs((self:state())) do t:fill_(0) end
  self.count = 0
  return self
end

--- optimizer:state() -> table name -> tensor, count
-- The moments, for checkpoints; optimizer:load_state(state, count) puts them back.
function Optimizer:state()
  if self.swapped then error("optimizer: the averages are swapped in; swap() them out before the state is read", 2) end
  self:settle()
  local state = {}
  for i, g in ipairs(self.groups) do
    for k in ipairs(g.params) do
      for j, letter in ipairs(self.letters) do state[("%s.%d.%d"):format(letter, i, k)] = g[j][k] end
    end
  end
  if self.rule == "asgd" then state.since = core.tensor({ self.since or -1 }, "int64"):keep() end
  return state, self.count
end

--- optimizer:load_state(state, count)
-- Raises, and has changed nothing, where a tensor is missing or has another shape.
function Optimizer:load_state(state, count)
  local mine = self:state()
  for name, t in pairs(mine) do
    local got = state[name]
    if not got then error("optimizer: the checkpoint lacks " .. name, 2) end
    local a, b = table.concat(got:shape(), ","), table.concat(t:shape(), ",")
    if a ~= b then error(("optimizer: %s is (%s) in the checkpoint, (%s) here"):format(name, a, b), 2) end
  end
  for name, t in pairs(mine) do t:copy_(state[name]) end
  if mine.since then
    local since = mine.since:tolist()[1]
    self.since = since >= 0 and since or nil
  end
  self.count = count
end

return optim
