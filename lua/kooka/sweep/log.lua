--- kooka.sweep.log: what a run says of its epochs, read from its log.jsonl while it grows.
-- A record with `epoch` and a number under the watched name is a point; points of one label and epoch count once, the last
-- one: a run that goes on may do an epoch again.
local core = require "kooka.core"

local log = {}

local Log = {}
Log.__index = Log

-- Names to watch when none is given, the first that a record has.
local WATCH = { "f1", "accuracy", "rmse", "perplexity", "valid_loss" }

--- log.open(dir[, {watch =, stage =}]) -> log
-- watch: the field of a record (default: the first of f1, accuracy, rmse, perplexity, valid_loss that comes up); stage: only
-- labels that begin so. The file need not be there yet. log.points = {{label =, epoch =, value =, fold =}, ...}.
function log.open(dir, options)
  local o = options or {}
  return setmetatable({ path = dir .. "/log.jsonl", offset = 0, watch = o.watch, stage = o.stage, points = {}, place = {} }, Log)
end

-- The fold that a record speaks of.
local function fold_of(record) return math.tointeger(record.fold) end

--- log:take(record)
-- One record; those without an epoch, or of another stage, are passed over.
function Log:take(record)
  if math.type(record.epoch) ~= "integer" then return end
  local label = tostring(record.label or "")
  if self.stage and label:sub(1, #self.stage) ~= self.stage then return end
  if not self.watch then
    for _, name in ipairs(WATCH) do
      if type(record[name]) == "number" then
        self.watch = name
        break
      end
    end
  end
  local value = self.watch and record[self.watch]
  if type(value) ~= "number" then return end
  local key = label .. "\0" .. record.epoch
  local point = { key = key, label = label, epoch = record.epoch, value = value, fold = fold_of(record) }
  local at = self.place[key]
  if not at then
    at = #self.points + 1
    self.place[key] = at
  end
  self.points[at] = point
end

--- log:update() -> points
-- Reads the lines that were finished since the last call.
function Log:update()
  local file = io.open(self.path, "rb")
  if not file then return self.points end
  local size = file:seek("end")
  if size < self.offset then self.offset = 0 end           -- it was mended: a half line at its end is gone
  file:seek("set", self.offset)
  local text = file:read("a") or ""
  file:close()
  local whole = text:match("^(.*\n)")
  if not whole then return self.points end
  self.offset = self.offset + #whole
  for line in whole:gmatch("[^\n]+") do
    if line:find('"epoch"', 1, true) then
      local record = core.json.decode(line)
      if type(record) == "table" then self:take(record) end
    end
  end
  return self.points
end

--- log:last() -> point | nil
function Log:last() return self.points[#self.points] end

--- log:at(key) -> value | nil
-- The value at a point of another run with the same label and epoch.
function Log:at(key)
  local place = self.place[key]
  return place and self.points[place].value
end

--- log:folds() -> {[fold] = list of values by epoch} | nil
-- Of each fold the label that came last (all layers after the head alone); nil when no record names a fold.
function Log:folds()
  local label, out = {}, nil
  for _, p in ipairs(self.points) do
    if p.fold then label[p.fold] = p.label end
  end
  for _, p in ipairs(self.points) do
    if p.fold and label[p.fold] == p.label then
      out = out or {}
      out[p.fold] = out[p.fold] or {}
      table.insert(out[p.fold], p.value)
    end
  end
  return out
end

return log
