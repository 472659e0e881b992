--- session: a model with its data and settings, to train, look at and ask from the REPL: learner.new{...}.
-- Everything goes through learner.fit, learner.validate and learner.predict; nothing is trained another way.
local check_options = require "kooka.options"
local groups = require "kooka.learn.groups"
local learner = require "kooka.learn.learner"
local schedule = require "kooka.learn.schedule"
local tables = require "kooka.table"

local Session = {}
Session.__index = Session

local OWN = { model = { "table", needed = true }, train = { "table", needed = true }, valid = { "table" }, encode = { "function" },
  texts = { "table" }, tokenizer = { "table" }, classes = { "table" }, say = { "function" } }

-- Those, and what learner.fit may be told beforehand.
local function known()
  local out = {}
  for name, rule in pairs(learner.options) do out[name] = rule end
  for name, rule in pairs(OWN) do out[name] = rule end
  out.lr = true
  return out
end

--- session{model=, train=, valid=nil, encode=nil, texts=nil, tokenizer=nil, classes=nil, say=print, ...} -> learner object
-- Reached as learner.new. train, valid: sources. encode(texts) -> source, n: what new texts become, for predict. texts: the
-- documents of `valid` in the order of its rows, to be shown; tokenizer: decodes a batch for show_batch; classes: names.
-- All other fields are options of learner.fit for every fit (decay, clip, moms, optimizer, callbacks, checkpoint, ...);
-- with checkpoint = "x.safetensors" the fits of a script have x-1.safetensors, x-2.safetensors, ... in turn.
local function session(o)
  check_options("learner.new", o, known(), 4)
  local self = setmetatable({ options = {}, history = {}, fits = 0 }, Session)
  for k, v in pairs(o) do
    if OWN[k] then self[k] = v else self.options[k] = v end
  end
  self.say = o.say or print
  return self
end

-- lr: a number, a list for the groups, or {low=, high=}: spread over them in equal ratios (low = nil: high/10 but for the last).
local function rates_of(self, lr)
  if type(lr) == "table" and lr.low and not lr.high then error("fit: lr = {low = ...} lacks high", 3) end
  if type(lr) == "table" and lr.high then return schedule.spread(#self.model:groups(), lr.low, lr.high) end
  return lr
end

--- l:fit(epochs, lr[, options]) -> l
-- learner.fit with the settings of the object, then `options`; the schedule is constant where none is said. lr: a number, a
-- list for the layer groups, or {low=, high=}. l.history has the records of all fits.
function Session:fit(epochs, lr, options)
  local fit = { model = self.model, train = self.train, valid = self.valid, say = self.say, schedule = "constant" }
  for k, v in pairs(self.options) do fit[k] = v end
  for k, v in pairs(options or {}) do fit[k] = v end
  self.fits = self.fits + 1
  if fit.checkpoint then fit.checkpoint = fit.checkpoint:gsub("%.safetensors$", "") .. "-" .. self.fits .. ".safetensors" end
  fit.epochs, fit.lr = epochs, rates_of(self, lr or fit.lr)
  if not fit.lr then error("fit: a learning rate is missing (l:lr_find() suggests some)", 2) end
  for _, record in ipairs(learner.fit(fit)) do self.history[#self.history + 1] = record end
  return self
end

local function with(options, defaults)
  local out = {}
  for k, v in pairs(defaults) do out[k] = v end
  for k, v in pairs(options or {}) do out[k] = v end
  return out
end

--- l:fit_one_cycle(epochs, lr[, options]) -> l
-- fastai v2's form by default (schedule.one_cycle_v2); options = {schedule = "one_cycle"} is v1's.
function Session:fit_one_cycle(epochs, lr, options)
  return self:fit(epochs, lr, with(options, { schedule = "one_cycle_v2" }))
end

--- l:fit_flat_cos(epochs, lr[, options]) -> l
function Session:fit_flat_cos(epochs, lr, options) return self:fit(epochs, lr, with(options, { schedule = "flat_cos" })) end

--- l:fine_tune(epochs, {lr=2e-3, freeze_epochs=1, lr_mult=100, pct=.3, div=5, ...}) -> l
-- fastai v2's: the last group alone for freeze_epochs at {high = lr} with the summit at .99, then everything for `epochs` at
-- {low = lr/2/lr_mult, high = lr/2}.
function Session:fine_tune(epochs, o)
  o = with(o, { lr = 2e-3, freeze_epochs = 1, lr_mult = 100, pct = .3, div = 5 })
  local more, half = {}, o.lr / 2
  for k, v in pairs(o) do
    if not ({ lr = 1, freeze_epochs = 1, lr_mult = 1, pct = 1, div = 1 })[k] then more[k] = v end
  end
  self:freeze_to(-1)
  if o.freeze_epochs > 0 then self:fit_one_cycle(o.freeze_epochs, { high = o.lr }, with(more, { pct = .99 })) end
  self:unfreeze()
  return self:fit_one_cycle(epochs, { low = half / o.lr_mult, high = half }, with(more, { pct = o.pct, div = o.div }))
end

--- l:lr_find([options]) -> {valley=, steep=, slide=, minimum=, rates=, losses=}
-- A range test with a plot (kooka.learn.lr_find); the model stays as it is.
function Session:lr_find(options)
  local fit = with(self.options, { model = self.model, train = self.train })
  return require "kooka.learn.lr_find"(with(options, { fit = fit, say = self.say }))
end

--- l:freeze_to(n) -> l
-- Groups before the n-th are frozen, batch norm excepted; n < 0 counts from the last.
function Session:freeze_to(n)
  groups.freeze_to(self.model, n)
  return self
end

--- l:freeze() -> l
-- All but the last group.
function Session:freeze() return self:freeze_to(-1) end

--- l:unfreeze() -> l
function Session:unfreeze() return self:freeze_to(1) end

local function source_or_valid(self, source, who)
  source = source or self.valid
  if not source then error(("%s: no source: the learner has no valid, and none was given"):format(who), 3) end
  return source
end

--- l:validate([source]) -> {loss=, objective=, n=, accuracy=, ...}
-- Of `valid` when no source is given.
function Session:validate(source) return learner.validate(self.model, source_or_valid(self, source, "validate")) end

--- l:predict_all([source or texts]) -> list, in the order given
-- What learner.predict answers for each document of a source, of `valid`, or of a list of texts (wants encode).
function Session:predict_all(what)
  if what ~= nil and type(what) ~= "table" then
    error(("predict_all: expected a source or a list of texts, got a %s"):format(type(what)), 2)
  end
  local source, n = what, nil
  if what and not what.epoch then
    if #what == 0 then return {} end
    if not self.encode then error("predict_all: texts want encode(texts) -> source, n in learner.new", 2) end
    source, n = self.encode(what)
  end
  source = source_or_valid(self, source, "predict_all")
  if not n then
    local _
    _, n = source:steps()
  end
  return learner.predict(self.model, source, n)
end

local function best_of(p)
  local best = 1
  for c = 2, #p do
    if p[c] > p[best] then best = c end
  end
  return best
end

--- l:predict(text) -> class, probability, list of all[, score]; of a regressor: the score
-- class: its name where `classes` are known, else its number from 1.
function Session:predict(text)
  if type(text) ~= "string" then error(("predict: expected a text, got a %s"):format(type(text)), 2) end
  local answer = self:predict_all({ text })[1]
  if type(answer) ~= "table" then return answer end
  local p = answer.prob or answer
  local best = best_of(p)
  return self.classes and self.classes[best] or best, p[best], p, answer.score
end

---- looking ------------------------------------------------------------------------------------------

-- The loss of one document: -log p of its class, cross-entropy with its shares, or the squared error of its score.
local function loss_of(p, y, soft)
  if soft then
    local sum = 0
    for c, share in ipairs(soft) do sum = share > 0 and sum - share * math.log(math.max(p[c], 1e-38)) or sum end
    return sum
  end
  if type(p) == "table" then return -math.log(math.max(p[y], 1e-38)) end
  return (p - y) ^ 2
end

local Losses = {}
Losses.__index = Losses

local function short(v) return type(v) == "number" and tables.number(v, 3) or tostring(v) end

function Losses:__tostring()
  local rows, columns = {}, { "place", "loss", "actual", "predicted", "p(actual)" }
  if self[1] and self[1].text then columns[6] = "text" end
  for i, r in ipairs(self) do
    rows[i] = { r.place, ("%.3f"):format(r.loss), r.actual and short(r.actual) or "shares", short(r.predicted),
      r.probability and ("%.3f"):format(r.probability) or "", r.text and tables.fit((r.text:gsub("%s+", " ")), 80) or nil }
  end
  return tables.text { columns = columns, rows = rows }
end

-- The true label of each document of a batch: class or score, and shares; which of them the model's answer is judged by.
local function targets_of(batch)
  local y, soft, score = batch.y and batch.y:tolist(), batch.soft and batch.soft:tolist(), batch.score and batch.score:tolist()
  if not (y or soft or score) then error("top_losses: the source has no labels", 3) end
  return y, soft, score
end

-- One document's line of top_losses.
local function judged(self, place, answer, y, soft, score)
  local p = type(answer) == "table" and (answer.prob or answer) or nil
  local name, r = self.classes or {}, { place = place, text = self.texts and self.texts[place] }
  if not p then
    r.loss, r.actual, r.predicted = loss_of(answer, score), score, answer
    return r
  end
  local best = best_of(p)
  r.predicted, r.loss = name[best] or best, loss_of(p, y, soft)
  if y then r.actual, r.probability = name[y] or y, p[y] end
  return r
end

local function some(who, n, default)
  if n ~= nil and (math.type(n) ~= "integer" or n < 1) then
    error(("%s: n is %s, expected an integer of 1 or more"):format(who, tostring(n)), 3)
  end
  return n or default
end

--- l:top_losses([n = 10[, source]]) -> list of {place=, loss=, actual=, predicted=, probability=, text=}
-- The n documents with the largest true loss, worst first (probability: of the actual class): -log p of the class, cross-entropy
-- with the shares, or the squared error of a regressor's score; documents without a label (class 0) are passed over.
-- tostring() is a table. A language model has no documents to rank.
function Session:top_losses(n, source)
  n, source = some("top_losses", n, 10), source_or_valid(self, source, "top_losses")
  local answers, list = self:predict_all(source), setmetatable({}, Losses)
  for _, batch in source:epoch(1) do
    local y, soft, score = targets_of(batch)
    local weight = batch.weight and batch.weight:tolist()
    for i, place in ipairs(batch.places:tolist()) do
      if not (y and y[i] == 0) and not (weight and weight[i] == 0) then
        list[#list + 1] = judged(self, place, answers[place], y and y[i], soft and soft[i], score and score[i])
      end
    end
  end
  table.sort(list, function(a, b) return a.loss > b.loss or a.loss == b.loss and a.place < b.place end)
  for i = #list, n + 1, -1 do list[i] = nil end
  return list
end

--- l:show_batch([n = 5]) -> list of {text=, label=}
-- Prints the first n rows of the first training batch as the model sees them (wants tokenizer), with their labels.
function Session:show_batch(n)
  n = some("show_batch", n, 5)
  if not self.tokenizer then error("show_batch: wants tokenizer in learner.new", 2) end
  local next_item = self.train:epoch(1)
  local _, batch = next_item()
  local columns, out, rows = batch.x:t():contiguous():tolist(), {}, {}
  local lens = batch.lens and batch.lens:tolist()
  local labels = batch.lens and (batch.y or batch.score) and (batch.y or batch.score):tolist()
  for i = 1, math.min(n, #columns) do
    local ids = lens and table.move(columns[i], 1, lens[i], 1, {}) or columns[i]
    local label = labels and (self.classes and self.classes[labels[i]] or labels[i])
    out[i] = { text = self.tokenizer:decode(ids), label = label }
    rows[i] = { label or "", tables.fit((out[i].text:gsub("%s+", " ")), 100) }
  end
  self.say(tables.text { columns = { "label", "text" }, rows = rows })
  return out
end

--- l:summary() -> summary
-- Layers, output shapes, parameters, FLOPs a token, memory (kooka.learn.summary); tostring() is a table.
function Session:summary()
  local next_item = self.train:epoch(1)
  local _, batch = next_item()
  return require "kooka.learn.summary"(self.model, batch)
end

function Session:__tostring()
  local steps, items = self.train:steps()
  local last = self.history[#self.history]
  return ("learner: %d weights in %d groups, %d steps an epoch (%s %s), %d epochs done%s"):format(self.model:count(), #self.model:groups(),
    steps, tostring(items or "?"), self.train.unit or "items", #self.history,
    last and last.valid_loss and (", validation loss %.4f"):format(last.valid_loss) or "")
end

return session
