--- users.tuner: some of a network's weights, trained on a few rows and put back: a copy costs what is trained, not the network.
local batches = require "kooka.data.batches"
local core = require "kooka.core"
local groups = require "kooka.learn.groups"
local optim = require "kooka.learn.optim"
local schedule = require "kooka.learn.schedule"

local tuner = {}

local Tuner = {}
Tuner.__index = Tuner

local CLIP <const> = .25            -- largest norm of a step's gradient, as ulmfit.classifier has it

---- what is trained ---------------------------------------------------------------------------------

-- Each answers lists of parameters with their rates, and what is added to the network's matrices.
local PARTS = {}

PARTS["everything"] = function(network)
  local list = network:groups()
  return list, schedule.slice(#list, 1), {}
end

PARTS["biases"] = function(network)
  local list = {}
  for _, p in ipairs(network:named_parameters()) do
    if p.name:match("[^.]+$"):find("^bias") then list[#list + 1] = p.tensor end
  end
  return { list }, { 1 }, {}
end

-- a [R,rank] is normal with variance 1 / rank and b [rank,K] zero, so that a step of Adam moves an element of a b by about the
-- learning rate whatever the rank, and without a step the network is the general one.
PARTS["low-rank"] = function(network, o)
  local list, added = {}, {}
  for i, cell in ipairs(network.encoder.cells) do
    for _, own in ipairs(cell.own) do
      local w = own.tensor
      if w:ndim() == 2 then
        local rows, columns = w:shape(1), w:shape(2)
        if o.rank > math.min(rows, columns) then
          error(("users.network: rank is %d, but layer %d has a matrix (%d,%d)"):format(o.rank, i, rows, columns), 0)
        end
        local stream = core.random(("low-rank %d %s"):format(i, own.name), o.seed)
        local a, b = stream:fill_normal(core.zeros(rows, o.rank), 0, o.rank ^ -.5):param(), core.zeros(o.rank, columns):param()
        added[#added + 1] = { cell = cell, name = own.name, w = w, a = a, b = b }
        list[#list + 1], list[#list + 2] = a, b
      end
    end
  end
  list[#list + 1] = network["linear" .. #network.head_p].bias
  return { list }, { 1 }, added
end

local function copies(list)
  local scope <close> = core.scope()
  local out = {}
  for i, t in ipairs(list) do out[i] = t:clone():keep() end
  return out
end

local function release(list)
  for _, t in ipairs(list) do t:release() end
end

--- tuner.new(network, part, {rank=4, seed=1}) -> tuner
-- network: a classifier of kooka.nn. part: "everything", at discriminative rates, as kooka.ulmfit trains a classifier; "biases"
-- (Ben Zaken et al. 2022): those of the gates and the head, and the shift of batch norm; "low-rank" (Hu et al. 2021): for every
-- matrix w [R,K] of the recurrent layers w + a b, a [R,rank] and b [rank,K] trained, and the bias of the head's last layer.
-- Write `local t <close> = tuner.new(...)`: at the close all weights, which of them are trained, and the network's mode are as
-- they were, to the bit.
function tuner.new(network, part, o)
  local scope <close> = core.scope()
  local list, rates, added = PARTS[part](network, o)
  local self = setmetatable({ network = network, was = network.training, flags = {}, added = added, params = {} }, Tuner)
  for i, p in ipairs(network:parameters()) do
    self.flags[i] = { tensor = p, on = p:wants_grad() }
    p:param(false)
  end
  for _, group in ipairs(list) do
    for _, p in ipairs(group) do self.params[#self.params + 1] = p:param() end
  end
  self.origin = copies(self.params)
  self.start = self.origin
  self.optimizer = optim.adam((groups.build(list, { lr = 1, rates = rates })), {})
  return self
end

--- t:close()
-- Puts everything back.
function Tuner:close()
  self.optimizer.core:close()
  for i, p in ipairs(self.params) do p:zero_grad():copy_(self.origin[i]) end
  for _, m in ipairs(self.added) do
    m.cell[m.name] = m.w
    release { m.a, m.b }
  end
  for _, f in ipairs(self.flags) do f.tensor:param(f.on) end
  self:home()
  release(self.origin)
  self.network:train(self.was)
end
Tuner.__close = Tuner.close

---- from where ----------------------------------------------------------------------------------------

--- t:reset()
-- Back to the start: its weights, and no memory of steps.
function Tuner:reset()
  self.optimizer:reset()
  for i, p in ipairs(self.params) do p:zero_grad():copy_(self.start[i]) end
end

--- t:home()
-- The start is the network as it was given.
function Tuner:home()
  if self.start ~= self.origin then release(self.start) end
  self.start = self.origin
end

--- t:pull(pace)
-- start += pace (weights - start): the step of Reptile (Nichol et al. 2018, algorithm 1). 0 < pace <= 1.
function Tuner:pull(pace)
  if self.start == self.origin then self.start = copies(self.origin) end
  local scope <close> = core.scope()
  for i, p in ipairs(self.params) do self.start[i]:copy_(self.start[i] * (1 - pace) + p * pace) end
end

---- steps and answers ---------------------------------------------------------------------------------

-- w + a b where the layers look for w. The sums belong to the tape or scope at hand.
local function put_added(self)
  for _, m in ipairs(self.added) do m.cell[m.name] = m.w + m.a:matmul(m.b) end
end

-- Layers with running statistics normalise by them in training too: the mean and variance of the ten or twenty texts of a person's
-- batch say more about the draw than about the person, they would differ from those that predictions are made with, and running ones
-- moved by them would be weights that no gradient looks after.
local function hold_statistics(m)
  if #m.buffers > 0 then m:eval() end
  for _, child in ipairs(m.children) do hold_statistics(child.module) end
end

local function step(self, batch, lr)
  local tape <close> = core.tape()
  put_added(self)
  local loss = core.cross_entropy(self.network(batch.x, batch.lens), batch.y)
  tape:backward(loss)
  local norm = self.optimizer:step(lr, .9, CLIP)
  if norm ~= norm or norm == math.huge then
    error(("users.network: the loss is %s and the gradient's norm %s: lower the learning rate"):format(loss:item(), norm), 0)
  end
end

local function check_stop()
  if core.sys.stopped() then error("interrupted", 0) end
end

--- t:train(source, {epochs=, lr=, after=nil})
-- Adam from where the weights are, the rate falling in a line from lr to 0 over all steps. The network's dropouts act, batch norm
-- keeps its running statistics. source: steps() and epoch(e), batches {x [T,B], lens [B], y [B]}. after(): called behind each step.
function Tuner:train(source, o)
  local total, done = o.epochs * source:steps(), 0
  self.network:train()
  hold_statistics(self.network)
  for epoch = 1, o.epochs do
    for _, batch in source:epoch(epoch) do
      step(self, batch, o.lr * (1 - done / total))
      done = done + 1
      if o.after then o.after() end
      check_stop()
    end
  end
end

local function answer(self, batch, got)
  local scope <close> = core.scope()
  got:add(batch.places, core.softmax(self.network(batch.x, batch.lens)))
end

--- t:predict(source, n) -> list of n P(class 2), in the order of the source's rows
function Tuner:predict(source, n)
  local scope <close> = core.scope()
  local got = batches.collector(n)
  self.network:eval()
  put_added(self)
  for _, batch in source:epoch(1) do
    answer(self, batch, got)
    check_stop()
  end
  local prob = got:list()
  for i, p in ipairs(prob) do prob[i] = p[2] end
  return prob
end

return tuner
