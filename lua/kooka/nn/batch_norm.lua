--- batch_norm: normalises columns by the batch while training, by running statistics after.
local core = require "kooka.core"
local module = require "kooka.nn.module"

local BatchNorm = module.class "batch_norm"
BatchNorm.always_trainable = true

--- batch_norm{features=, momentum=.1, eps=1e-5} -> layer
-- x [N,D] -> y [N,D] (Ioffe & Szegedy 2015). Running variance is the unbiased one, as in PyTorch.
local function batch_norm(o)
  local self = module.new(BatchNorm)
  self.momentum, self.eps = o.momentum or 0.1, o.eps or 1e-5
  self:parameter("weight", core.ones(o.features))
  self:parameter("bias", core.zeros(o.features))
  self:buffer("running_mean", core.zeros(o.features))
  self:buffer("running_var", core.ones(o.features))
  return self
end

--- layer:forward(x [N,D]) -> y [N,D]
-- While training by the batch's mean and variance, which also move the running ones; else by the running ones.
function BatchNorm:forward(x)
  if not self.training then
    return (core.batch_norm(x, self.weight, self.bias, self.running_mean, self.running_var, { eps = self.eps }))
  end
  if x:shape(1) < 2 then
    error("batch_norm: one row has no variance to train by: make batches of two rows or more", 2)
  end
  local y, mean, var = core.batch_norm(x, self.weight, self.bias, nil, nil, { eps = self.eps })
  local n, m = x:shape(1), self.momentum
  self.running_mean:copy_(self.running_mean * (1 - m) + mean * m)
  self.running_var:copy_(self.running_var * (1 - m) + var * (m * n / (n - 1)))
  return y
end

return batch_norm
