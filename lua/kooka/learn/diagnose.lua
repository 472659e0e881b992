--- diagnose: where a number that is none came from: the batch, and the first weights or gradients that are not finite.
local core = require "kooka.core"

local diagnose = {}

-- Parameters with names, in the order of the model's layers.
local function named(model)
  if model.named_parameters then return model:named_parameters() end
  local list = {}
  for i, params in ipairs(model:groups()) do
    for k, p in ipairs(params) do list[#list + 1] = { name = ("group %d, parameter %d"):format(i, k), tensor = p } end
  end
  return list
end

local function finite(t)
  local scope <close> = core.scope()
  local zero = (t * 0):sum():item()               -- 0 * inf and 0 * nan are nan
  return zero == zero
end

local function first_bad(list, of)
  local first, bad, seen = nil, 0, 0
  for _, p in ipairs(list) do
    local t = of(p.tensor)
    if t then
      seen = seen + 1
      if not finite(t) then first, bad = first or p.name, bad + 1 end
    end
  end
  return first, bad, seen
end

local function some(list, most)
  local text = table.concat(list, ", ", 1, math.min(#list, most))
  return #list > most and text .. (", ... (%d in all)"):format(#list) or text
end

--- diagnose.batch(batch) -> text or nil
-- The documents of a batch: rows of the corpus where the source says them, else their places in the maker's rows.
function diagnose.batch(batch)
  for _, key in ipairs { "rows", "places" } do
    local list = batch[key]
    if list then
      return ("the batch has %s %s"):format(key, some(type(list) == "table" and list or list:tolist(), 16))
    end
  end
  return nil
end

--- diagnose.model(model) -> text
-- The first parameter, in the order of the layers, whose weights are not finite; else the first such gradient.
function diagnose.model(model)
  local list = named(model)
  local name, bad, seen = first_bad(list, function(p) return p end)
  if name then return ("the weights of %s are not finite (%d of %d parameters)"):format(name, bad, seen) end
  name, bad, seen = first_bad(list, function(p) return p:wants_grad() and p:grad() or nil end)
  if name then return ("weights are finite; the gradient of %s is not (%d of %d parameters)"):format(name, bad, seen) end
  return "weights and gradients are finite"
end

return diagnose
