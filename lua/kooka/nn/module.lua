--- module: what every layer and model has: named parameters, sub-modules, train and eval, save and load.
-- A layer is a table made by `module.class`. Nothing is hidden in it but weights: states are passed in
-- and returned (`h, state = lstm(x, state)`).
local core = require "kooka.core"

local Module = {}
Module.__index = Module
Module.__call = function(self, ...) return self:forward(...) end
Module.__name = "module"

local module = {}

--- module.class(name) -> class
-- A class whose objects are called like functions: `class:forward(...)` is what the call does.
function module.class(name)
  local class = setmetatable({}, { __index = Module })
  class.__index = class
  class.__call = Module.__call
  class.__tostring = Module.__tostring
  class.__name = name
  return class
end

--- module.new(class) -> object without parameters
function module.new(class)
  return setmetatable({ training = true, own = {}, children = {}, buffers = {} }, class)
end

--- m:parameter(name, tensor[, beside]) -> tensor
-- Registers a parameter; it is marked to have a gradient. beside: name of another one of this module: weights saved before
-- this parameter was there, which have that one, are loaded with zeros here.
function Module:parameter(name, tensor, beside)
  self.own[#self.own + 1] = { name = name, tensor = tensor:param(), beside = beside }
  self[name] = tensor
  return tensor
end

--- m:buffer(name, tensor) -> tensor
-- Registers a tensor that is saved with the module and is not trained (running statistics).
function Module:buffer(name, tensor)
  self.buffers[#self.buffers + 1] = { name = name, tensor = tensor:keep() }
  self[name] = tensor
  return tensor
end

--- m:add(name, child) -> child
function Module:add(name, child)
  self.children[#self.children + 1] = { name = name, module = child }
  self[name] = child
  return child
end

local function collect(self, field, prefix, list, seen)
  for _, item in ipairs(self[field]) do
    if not seen[item.tensor] then
      seen[item.tensor] = true
      list[#list + 1] = { name = prefix .. item.name, tensor = item.tensor, beside = item.beside and prefix .. item.beside }
    end
  end
  for _, child in ipairs(self.children) do
    collect(child.module, field, prefix .. child.name .. ".", list, seen)
  end
  return list
end

--- m:named_parameters() -> list of {name=, tensor=}
-- In order of registration; a tensor that two modules share (tied weights) is listed once.
function Module:named_parameters() return collect(self, "own", "", {}, {}) end

--- m:parameters() -> list of tensors
function Module:parameters()
  local list = {}
  for i, p in ipairs(self:named_parameters()) do list[i] = p.tensor end
  return list
end

--- m:count() -> number of weights, each counted once
function Module:count()
  local n = 0
  for _, p in ipairs(self:named_parameters()) do n = n + p.tensor:numel() end
  return n
end

--- m:train([on = true]) -> m
-- Training mode: dropout acts, batch norm uses the batch. m:train(false) is evaluation.
function Module:train(on)
  self.training = on ~= false
  for _, child in ipairs(self.children) do child.module:train(on) end
  return self
end

--- m:eval() -> m
function Module:eval() return self:train(false) end

--- m:freeze([on = true]) -> m
-- A frozen module's parameters get no gradient. Batch norm layers inside stay trainable, as in fastai.
function Module:freeze(on)
  local frozen = on ~= false
  if not self.always_trainable then
    for _, p in ipairs(self.own) do p.tensor:param(not frozen) end
  end
  for _, child in ipairs(self.children) do child.module:freeze(on) end
  return self
end

--- m:state() -> table name -> tensor
-- Parameters and buffers, for kooka.save_safetensors.
function Module:state()
  local state = {}
  for _, field in ipairs { "own", "buffers" } do
    for _, p in ipairs(collect(self, field, "", {}, {})) do state[p.name] = p.tensor end
  end
  return state
end

local function shape_text(t) return "(" .. table.concat(t:shape(), ",") .. ")" end

--- m:load_state(state[, {partial = false}]) -> m
-- Copies tensors by name. Raises with every name that is missing, left over or of another shape; with
-- partial = true names that the module lacks, or that state lacks, are passed over.
function Module:load_state(state, opts)
  local partial = opts and opts.partial
  local wrong, mine, zeros = {}, self:state(), {}
  local names = {}
  for _, p in ipairs(self:named_parameters()) do zeros[p.name] = p.beside and not state[p.name] and state[p.beside] ~= nil end
  for name in pairs(mine) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local want, got = mine[name], state[name]
    if not got then
      if not partial and not zeros[name] then wrong[#wrong + 1] = ("%s %s is missing"):format(name, shape_text(want)) end
    elseif shape_text(want) ~= shape_text(got) then
      wrong[#wrong + 1] = ("%s is %s in the file, %s in the model"):format(name, shape_text(got), shape_text(want))
    end
  end
  if not partial then
    local left = {}
    for name in pairs(state) do
      if not mine[name] then left[#left + 1] = name end
    end
    table.sort(left)
    for _, name in ipairs(left) do wrong[#wrong + 1] = ("%s is not in the model"):format(name) end
  end
  if #wrong > 0 then error("load_state: " .. table.concat(wrong, "; "), 2) end
  for _, name in ipairs(names) do
    if state[name] then mine[name]:copy_(state[name]) elseif zeros[name] then mine[name]:fill_(0) end
  end
  return self
end

--- m:save(path[, metadata]) -> true | nil, message, code
function Module:save(path, metadata) return core.save_safetensors(path, self:state(), metadata) end

--- m:load(path[, {partial = false}]) -> m, metadata | nil, message, code
function Module:load(path, opts)
  local state, metadata, code = core.load_safetensors(path)
  if not state then return nil, metadata, code end
  return self:load_state(state, opts), metadata
end

--- tostring(m): the class and its weights.
function Module:__tostring()
  local lines = { ("%s: %d weights"):format(getmetatable(self).__name, self:count()) }
  for _, p in ipairs(self:named_parameters()) do
    lines[#lines + 1] = ("  %-32s %s"):format(p.name, shape_text(p.tensor))
  end
  return table.concat(lines, "\n")
end

return module
