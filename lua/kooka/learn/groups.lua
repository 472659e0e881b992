--- groups: which parameters an optimizer steps, at which rate and with which decay; freezing.
local groups = {}

-- Parameters of layers that stay trainable in frozen groups (batch norm), as a set.
local function always_trainable(module, set)
  for _, p in ipairs(module.always_trainable and module.own or {}) do set[p.tensor] = true end
  for _, child in ipairs(module.children or {}) do always_trainable(child.module, set) end
  return set
end

--- groups.freeze_to(model, n) -> model
-- Groups before the n-th get no gradient, the n-th and those behind do; n < 0 counts from the last (-1: the last group
-- alone). Batch norm stays trainable everywhere, as in fastai (train_bn).
function groups.freeze_to(model, n)
  local list = model:groups()
  local first = math.type(n) == "integer" and (n < 0 and #list + 1 + n or n) or 0
  if first < 1 or first > #list then
    error(("freeze_to: %s, expected 1..%d or -%d..-1"):format(tostring(n), #list, #list), 2)
  end
  local always = always_trainable(model, {})
  for i, params in ipairs(list) do
    for _, p in ipairs(params) do p:param(i >= first or always[p] == true) end
  end
  return model
end

--- groups.unfreeze(model) -> model
-- Every group gets a gradient.
function groups.unfreeze(model) return groups.freeze_to(model, 1) end

local function check_rates(what, rates, n)
  if #rates ~= n then error(("%s: %d rates for %d groups"):format(what, #rates, n), 0) end
  for i, value in ipairs(rates) do
    if type(value) ~= "number" or value ~= value or value < 0 then
      error(("%s: the rate of group %d is %s, expected a number of 0 or more"):format(what, i, tostring(value)), 0)
    end
  end
end

-- Weights and the rest (biases, norms: one dimension) apart.
local function split(params)
  local weights, flat = {}, {}
  for _, p in ipairs(params) do
    local list = p:ndim() > 1 and weights or flat
    list[#list + 1] = p
  end
  return weights, flat
end

--- groups.build(list, {lr=, rates=nil, decay=0, decay_bias=true}) -> groups for kooka.learn.optim, lr
-- list: lists of parameters. lr: one rate, or one for each group; rates: factors of it for each group, 0 leaves a group
-- out. Frozen parameters are left out. decay_bias = false: no weight decay on biases and norms (all that has one
-- dimension), as fastai v2 has it. The lr answered is the largest one; the groups carry their share of it.
function groups.build(list, o)
  local lr, share = o.lr, {}
  if type(lr) == "table" then
    check_rates("lr", lr, #list)
    lr = math.max(table.unpack(o.lr))
    for i, value in ipairs(o.lr) do share[i] = value / lr end
  end
  if o.rates then check_rates("rates", o.rates, #list) end
  local out = {}
  for i, params in ipairs(list) do
    local rate = (share[i] or 1) * (o.rates and o.rates[i] or 1)
    local free = {}
    for _, p in ipairs(params) do
      if p:wants_grad() then free[#free + 1] = p end
    end
    if rate > 0 and #free > 0 then
      if o.decay_bias == false then
        local weights, flat = split(free)
        if #weights > 0 then out[#out + 1] = { params = weights, rate = rate } end
        if #flat > 0 then out[#out + 1] = { params = flat, rate = rate, decay = 0 } end
      else
        out[#out + 1] = { params = free, rate = rate }
      end
    end
  end
  if #out == 0 then error("fit: every group is frozen or has the rate 0: nothing to train", 0) end
  return out, lr
end

return groups
