--- summary: what a model is made of: layers, output shapes, parameters, multiplications a token, memory of a step.
local core = require "kooka.core"
local listen = require "kooka.learn.listen"
local tables = require "kooka.table"

-- Of a layer's answer, where it is a tensor.
local function shape_of(value)
  if type(value) == "userdata" and value.shape then return value:shape() end
  return nil
end

local LOOKED_UP = { embedding = true, table = true }

-- Multiplications and additions for one item of the output: two for each weight of a matrix. A table that is only looked up
-- in (the embedding, the n-grams' one) costs nothing; tied to a decoder it costs as one.
local function flops_of(m)
  local n = 0
  for _, p in ipairs(m.own) do
    if p.tensor:ndim() > 1 and not LOOKED_UP[p.name] then n = n + 2 * p.tensor:numel() end
  end
  return n
end

local function rows_of(model, seen)
  local list = {}
  local function walk(m, name, depth)
    local own, trained, flops = 0, 0, flops_of(m)
    for _, p in ipairs(m.own) do
      own = own + p.tensor:numel()
      if p.tensor:wants_grad() then trained = trained + p.tensor:numel() end
    end
    list[#list + 1] = { name = (" "):rep(2 * depth) .. name, kind = getmetatable(m).__name, shape = seen[m], parameters = own,
      trained = trained, flops = flops, per = seen[m] and #seen[m] == 2 and "document" or "token" }
    for _, child in ipairs(m.children) do walk(child.module, child.name, depth + 1) end
  end
  walk(model, "model", 0)
  return list
end

local Summary = {}
Summary.__index = Summary

local function count(n)
  local text = ("%d"):format(n):reverse():gsub("(%d%d%d)", "%1,"):reverse()
  return (text:gsub("^,", ""))
end

local function bytes(n) return n >= 1e9 and ("%.2f GB"):format(n / 1e9) or ("%.1f MB"):format(n / 1e6) end

function Summary:__tostring()
  local rows = {}
  for i, r in ipairs(self.layers) do
    rows[i] = { r.name, r.kind, r.shape and table.concat(r.shape, " x ") or "", r.parameters > 0 and count(r.parameters) or "",
      r.parameters > 0 and (r.trained == r.parameters and "yes" or r.trained == 0 and "no" or "partly") or "",
      r.flops > 0 and ("%s a %s"):format(count(r.flops), r.per) or "" }
  end
  local text = tables.text { columns = { "layer", "kind", "output", { "parameters", align = "right" }, "trained",
    { "FLOPs forward", align = "right" } }, rows = rows }
  local m = self.memory
  return ("%s\n\n%s parameters, %s of them trained\n%s FLOPs a token forward, about three times that with the gradient\n"
    .. "memory: weights %s, gradients %s, Adam's moments %s, a step of this batch %s more"):format(text, count(self.parameters),
      count(self.trained), count(self.flops_per_token), bytes(m.weights), bytes(m.gradients), bytes(m.moments), bytes(m.step))
end

--- summary(model, batch) -> summary
-- batch: one of a source; it is run forward once, recorded as in training but without dropout, and nothing is changed.
-- summary: {layers = {{name, kind, shape, parameters, trained, flops, per = "token" | "document"}}, parameters, trained,
-- flops_per_token, memory = {weights, gradients, moments, step}}, bytes; tostring() is a table. Output shapes are those of
-- the first call of each layer; a module whose layers are fused away (a decoder in its loss) has none. FLOPs: two for each
-- weight of a matrix, elementwise work and lookups not counted.
return function(model, batch)
  local seen, was = {}, model.training
  local stream = core.op_stream()
  local seed, drawn = stream:state()
  model:eval()
  local undo = listen(model, function(m, _, answer) seen[m] = seen[m] or shape_of(answer) end)
  local live, step = core.sys.memory(), 0
  local ok, message = pcall(function()
    local tape <close> = core.tape()
    model:loss(batch)
    step = core.sys.memory() - live
  end)
  undo()
  model:train(was)
  stream:state(seed, drawn)
  if not ok then error(message, 0) end
  local self = setmetatable({ layers = rows_of(model, seen), parameters = 0, trained = 0, flops_per_token = 0 }, Summary)
  for _, p in ipairs(model:named_parameters()) do
    self.parameters = self.parameters + p.tensor:numel()
    if p.tensor:wants_grad() then self.trained = self.trained + p.tensor:numel() end
  end
  for _, r in ipairs(self.layers) do
    if r.per == "token" then self.flops_per_token = self.flops_per_token + r.flops end
  end
  -- a tied decoder: the embedding's table is a matrix there
  if batch.y and batch.y:ndim() == 2 and model.encoder and model.encoder.embedding and not model.adaptive then
    local tied = 2 * model.encoder.embedding:numel()
    self.layers[1].flops, self.layers[1].per = self.layers[1].flops + tied, "token"
    self.flops_per_token = self.flops_per_token + tied
  end
  self.memory = { weights = 4 * self.parameters, gradients = 4 * self.trained, moments = 8 * self.trained, step = step }
  return self
end
