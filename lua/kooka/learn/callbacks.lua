--- callbacks: what a fit does besides fitting: keeps the best weights, stops early, lowers the rate, writes logs.
-- A callback is a table with any of the methods before_fit, before_epoch, before_step, after_backward, after_step,
-- after_epoch and after_fit, called as cb:method(fit) (kooka.learn.learner). What state() answers is kept in
-- checkpoints, and load_state(table) gets it back, behind before_fit, when a fit goes on. A recipe's own:
--
--   local norms = { before_fit = function(self) self.most = 0 end,
--     after_step = function(self, fit) self.most = math.max(self.most, fit.norm) end,
--     after_epoch = function(self, fit) fit.record.most_norm = self.most end,
--     state = function(self) return { most = self.most } end,
--     load_state = function(self, kept) self.most = kept.most end }
local check = require "kooka.options"
local core = require "kooka.core"
local sys = core.sys

local callbacks = {}

---- watching a field of the record ------------------------------------------------------------------

local Watch = {}
Watch.__index = Watch

local function new(class) return setmetatable(class, { __index = Watch }) end

local function lower_is_better(monitor)
  for _, word in ipairs { "loss", "error", "rmse", "mae", "perplexity", "objective" } do
    if monitor:find(word, 1, true) then return true end
  end
  return false
end

local TEXT, SHARE = { "string" }, { "number", min = 0, max = 1 }

-- Options of a callback that watches a field: its own and the common ones.
local function watched(own)
  own.monitor, own.mode, own.min_delta = TEXT, true, { "number", min = 0 }
  return own
end

-- The common part: monitor, mode, min_delta; best so far and the epochs since then.
local function watch(class, o, patience)
  local self = setmetatable({ monitor = o.monitor or "valid_loss", min_delta = o.min_delta or 0, patience = o.patience or patience },
    { __index = class })
  local mode = o.mode or "auto"
  if mode ~= "auto" and mode ~= "min" and mode ~= "max" then
    error(("callbacks: mode is '%s', expected auto, min or max"):format(tostring(mode)), 3)
  end
  self.lower = mode == "min" or mode == "auto" and lower_is_better(self.monitor)
  return self
end

--- watch:before_fit()
-- A new fit begins: nothing is best yet.
function Watch:before_fit() self.best, self.at, self.wait = nil, nil, 0 end

--- watch:better(fit) -> boolean
-- Whether the record is better than all before it; nan never is.
function Watch:better(fit)
  local value = fit.record[self.monitor]
  if type(value) ~= "number" then
    local names = {}
    for k, v in pairs(fit.record) do
      if type(v) == "number" then names[#names + 1] = k end
    end
    table.sort(names)
    error(("callbacks: the record has no number '%s' to watch (it has %s)%s"):format(self.monitor, table.concat(names, ", "),
      fit.options.valid and "" or "; the fit has no valid source"), 0)
  end
  local gain = self.best and (self.lower and self.best - value or value - self.best)
  if value == value and (not self.best or gain > self.min_delta) then
    self.best, self.at, self.wait = value, fit.epoch, 0
    return true
  end
  self.wait = self.wait + 1
  return false
end

--- watch:state() -> plain table, for checkpoints
function Watch:state() return { best = self.best, at = self.at, wait = self.wait } end
--- watch:load_state(table)
function Watch:load_state(kept) self.best, self.at, self.wait = kept.best, kept.at, kept.wait end

---- the best weights --------------------------------------------------------------------------------

local SaveBest = new {}

--- callbacks.save_best{path=nil, monitor="valid_loss", mode="auto", min_delta=0, reload=true} -> callback
-- Writes the weights (of an averaging optimizer the averages) whenever the record's field is better than ever, and has them
-- in the model at the end, unless reload = false. mode: "min", "max", or "auto" (min for losses, errors and perplexity).
-- path: a safetensors file; default: beside the fit's checkpoint, or, where there is none, in memory. self.best and self.at
-- say the value and the epoch.
function callbacks.save_best(o)
  o = o or {}
  check("save_best", o, watched { path = TEXT, reload = { "boolean" } })
  local self = watch(SaveBest, o)
  self.path, self.reload = o.path, o.reload ~= false
  return self
end

--- save_best:before_fit(fit)
-- Where the weights are kept in this fit.
function SaveBest:before_fit(fit)
  Watch.before_fit(self)
  self.file = self.path or fit.checkpoint and fit.checkpoint:gsub("%.safetensors$", "") .. "-best.safetensors"
  self.kept = nil
end

--- save_best:after_epoch(fit)
-- Keeps the weights of an epoch that is better than all before it.
function SaveBest:after_epoch(fit)
  if not self:better(fit) then return end
  if self.file then
    local ok, message = fit.model:save(self.file, { epoch = tostring(fit.epoch), [self.monitor] = ("%.9g"):format(self.best) })
    if not ok then error(message, 0) end
  else
    self.kept = self.kept or {}
    for name, t in pairs(fit.model:state()) do
      if self.kept[name] then self.kept[name]:copy_(t) else self.kept[name] = t:clone():detach():keep() end
    end
  end
end

--- save_best:after_fit(fit)
-- The best weights go back into the model.
function SaveBest:after_fit(fit)
  if not self.reload or not self.at then return end
  if self.file then
    local ok, message = fit.model:load(self.file)
    if not ok then error(message, 0) end
  else
    fit.model:load_state(self.kept)
  end
  if self.at < fit.epoch then
    fit.say(("%s: weights of epoch %d (%s %.4f)"):format(fit.label, self.at, self.monitor, self.best))
  end
end

---- early end, lower rates --------------------------------------------------------------------------

local EarlyStopping = new {}

--- callbacks.early_stopping{monitor="valid_loss", patience=3, min_delta=0, mode="auto"} -> callback
-- Ends the fit when the field has not become better by more than min_delta for `patience` epochs.
function callbacks.early_stopping(o)
  o = o or {}
  check("early_stopping", o, watched { patience = { "integer", min = 1 } })
  return watch(EarlyStopping, o, 3)
end

--- early_stopping:after_epoch(fit)
-- Stops the fit when its patience is at an end.
function EarlyStopping:after_epoch(fit)
  if not self:better(fit) and self.wait >= self.patience then
    fit.stop(("%s is not better than in epoch %d"):format(self.monitor, self.at or 0))
  end
end

local Plateau = new {}

--- callbacks.reduce_on_plateau{monitor="valid_loss", patience=1, factor=.1, min_factor=0, min_delta=0, mode="auto"} -> callback
-- Multiplies the learning rate by `factor` when the field has not become better for `patience` epochs; never below
-- min_factor of the schedule's (fastai v2 divides by 10, v1 by 5).
function callbacks.reduce_on_plateau(o)
  o = o or {}
  check("reduce_on_plateau", o, watched { patience = { "integer", min = 1 }, factor = SHARE, min_factor = SHARE })
  local self = watch(Plateau, o, 1)
  self.factor, self.min_factor = o.factor or .1, o.min_factor or 0
  return self
end

--- reduce_on_plateau:after_epoch(fit)
-- Lowers fit.lr_factor when its patience is at an end.
function Plateau:after_epoch(fit)
  if self:better(fit) or self.wait < self.patience then return end
  self.wait = 0
  local factor = math.max(fit.lr_factor * self.factor, self.min_factor)
  if factor < fit.lr_factor then
    fit.lr_factor = factor
    fit.say(("%s: %s is no better than in epoch %d: the learning rate is multiplied by %.3g from here"):format(fit.label, self.monitor,
      self.at or 0, factor))
  end
end

---- logs --------------------------------------------------------------------------------------------

local ORDER = { "label", "fold", "epoch", "train_loss", "train_true", "valid_loss", "valid_objective", "perplexity", "accuracy", "rmse",
  "mae", "lr", "seconds", "items_per_second" }

-- Known fields in their order, then the others by name.
local function fields_of(history)
  local there, list, more = {}, {}, {}
  for _, record in ipairs(history) do
    for k in pairs(record) do there[k] = true end
  end
  for _, k in ipairs(ORDER) do
    if there[k] then list[#list + 1] = k end
    there[k] = nil
  end
  for k in pairs(there) do more[#more + 1] = k end
  table.sort(more)
  return table.move(more, 1, #more, #list + 1, list)
end

local function csv_cell(v)
  if v == nil then return "" end
  if math.type(v) == "float" then return ("%.9g"):format(v) end
  local text = tostring(v)
  return text:find('[",\r\n]') and '"' .. text:gsub('"', '""') .. '"' or text
end

local function check_path(who, path)
  if type(path) ~= "string" then error(("%s: the path is %s, expected a text"):format(who, tostring(path)), 3) end
end

local function write(path, lines)
  local ok, message = sys.write_file(path, table.concat(lines, "\n") .. "\n")
  if not ok then error(message, 0) end
end

--- callbacks.csv_log(path) -> callback
-- The history as a CSV file, a line an epoch, whole on the disk after each; a fit that goes on writes no line twice.
function callbacks.csv_log(path)
  check_path("csv_log", path)
  return { after_epoch = function(_, fit)
    local fields, lines = fields_of(fit.history), {}
    lines[1] = table.concat(fields, ",")
    for _, record in ipairs(fit.history) do
      local cells = {}
      for i, k in ipairs(fields) do cells[i] = csv_cell(record[k]) end
      lines[#lines + 1] = table.concat(cells, ",")
    end
    write(path, lines)
  end }
end

--- callbacks.jsonl_log(path) -> callback
-- The same as one JSON object a line; numbers that are not finite are texts.
function callbacks.jsonl_log(path)
  check_path("jsonl_log", path)
  return { after_epoch = function(_, fit)
    local lines = {}
    for i, record in ipairs(fit.history) do
      local plain = {}
      for k, v in pairs(record) do
        plain[k] = type(v) == "number" and (v ~= v or math.abs(v) == math.huge) and tostring(v) or v
      end
      lines[i] = core.json.encode(plain)
    end
    write(path, lines)
  end }
end

return callbacks
