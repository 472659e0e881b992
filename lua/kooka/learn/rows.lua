--- rows: the live table of a fit, a row an epoch; its columns follow from what the first epoch says.
local progress = require "kooka.progress"
local stats = require "kooka.learn.stats"
local tables = require "kooka.table"

local rows = {}

local Rows = {}
Rows.__index = Rows

-- key of the record, title, format; those with a key in `always` stand there even when they are empty.
local COLUMNS = {
  { "epoch", "epoch", "%d" }, { "train_loss", "train loss", "%.4f" }, { "train_true", "train true", "%.4f" },
  { "valid_loss", "valid loss", "%.4f" }, { "valid_objective", "valid objective", "%.4f" },
  { "perplexity", "perplexity", "%.1f" }, { "accuracy", "accuracy", "%.4f" }, { "rmse", "rmse", "%.4f" },
  { "mae", "mae", "%.4f" },
}

--- rows.new{title=nil, say=print, perplexity=false, unit="doc", columns=nil} -> rows
-- title: a line above the table. perplexity: whether it is shown where there is one. columns: further fields of the record that a
-- callback sets, each {key, title, format}.
function rows.new(o)
  return setmetatable({ title = o.title, write = o.say or print, perplexity = o.perplexity, unit = o.unit or "item",
    extra = o.columns or {} }, Rows)
end

local function shown(self, key, record)
  if key == "epoch" or key == "train_loss" or key == "valid_loss" then return true end
  if key == "perplexity" then return self.perplexity end
  if key == "train_true" then return stats.differ(record.train_loss, record.train_true) end
  if key == "valid_objective" then return stats.differ(record.valid_objective, record.valid_loss) end
  if key == "accuracy" and not record.rmse then return true end
  return record[key] ~= nil
end

local function open(self, record)
  local list, heads = {}, {}
  for _, c in ipairs(COLUMNS) do
    if shown(self, c[1], record) then list[#list + 1] = c end
  end
  table.move(self.extra, 1, #self.extra, #list + 1, list)
  for i, c in ipairs(list) do heads[i] = { c[2], align = "right" } end
  if self.title then self.write(self.title) end
  heads[#heads + 1] = { "items/s", align = "right" }
  heads[#heads + 1] = { "time", align = "right" }
  self.list, self.stream = list, tables.stream { columns = heads, write = self.write }
end

--- rows:add(record, seconds)
-- The record of an epoch; seconds: what it took with its validation.
function Rows:add(record, seconds)
  if not self.stream then open(self, record) end
  local cells = {}
  for i, c in ipairs(self.list) do
    local value = record[c[1]]
    cells[i] = value == nil and "-" or type(value) == "number" and c[3]:format(value) or tostring(value)
  end
  cells[#cells + 1] = ("%.0f %s"):format(record.items_per_second, self.unit)
  cells[#cells + 1] = progress.duration(seconds)
  self.stream:row(cells)
end

return rows
