--- diagnose: where a number that is none came from: the batch, its targets, and the first weights, answers or gradients that are
-- not finite.
local core = require "kooka.core"
local listen = require "kooka.learn.listen"

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

local function numbers(list) return type(list) == "table" and list or list:tolist() end

--- diagnose.batch(batch) -> text or nil
-- The documents of a batch: rows of the corpus where the source says them, else their places in the maker's rows.
function diagnose.batch(batch)
  for _, key in ipairs { "rows", "places" } do
    if batch[key] then return ("the batch has %s %s"):format(key, some(numbers(batch[key]), 16)) end
  end
  return nil
end

local function infinite(v) return type(v) == "number" and (v ~= v or math.abs(v) == math.huge) end

--- diagnose.targets(batch) -> text or nil
-- The first target that is no finite number, though it counts.
function diagnose.targets(batch)
  local counts = batch.has_score or batch.weight
  counts = counts and numbers(counts)
  for _, key in ipairs { "score", "soft", "weight" } do
    for i, v in ipairs(batch[key] and numbers(batch[key]) or {}) do
      for _, x in ipairs(type(v) == "table" and v or { v }) do
        if infinite(x) and not (counts and counts[i] == 0) then
          local rows = batch.rows or batch.places
          return ("the %s of %s %d is %s"):format(key, batch.rows and "row" or "place", rows and numbers(rows)[i] or i, x)
        end
      end
    end
  end
  return nil
end

-- The first layer whose answer to the batch is not finite, without dropout; nil where none is, or the model is no kooka.nn module.
local function first_layer(model, batch)
  if not (model.children and model.eval) then return nil end
  local found
  local undo = listen(model, function(m, name, answer)
    if not found and type(answer) == "userdata" and answer.shape and not finite(answer) then
      found = ("what %s (%s) answers is not finite"):format(name == "" and "the model" or name, getmetatable(m).__name)
    end
  end)
  local was, scope <close> = model.training, core.scope()
  model:eval()
  pcall(model.loss, model, batch)               -- a loss that refuses such numbers has been heard all the same
  model:train(was)
  undo()
  return found
end

--- diagnose.model(model, batch) -> text
-- The first parameter, in the order of the layers, whose weights are not finite; else the first layer whose answer to the batch is
-- not; else the first gradient.
function diagnose.model(model, batch)
  local list = named(model)
  local name, bad, seen = first_bad(list, function(p) return p end)
  if name then return ("the weights of %s are not finite (%d of %d parameters)"):format(name, bad, seen) end
  local layer = first_layer(model, batch)
  if layer then return "weights are finite; " .. layer end
  name, bad, seen = first_bad(list, function(p) return p:wants_grad() and p:grad() or nil end)
  if name then return ("weights are finite; the gradient of %s is not (%d of %d parameters)"):format(name, bad, seen) end
  return "weights and gradients are finite"
end

return diagnose
