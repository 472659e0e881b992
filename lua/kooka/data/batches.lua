--- batches: what a training step eats, as int32 tensors cut from a corpus.
local core = require "kooka.core"
local check_options = require "kooka.options"

local batches = {}

local Lm = {}
Lm.__index = Lm

-- Steps of variable length, as two programs of the field drew them: nearly always around `length`, in one case of twenty
-- around half of it, with a standard deviation of 5, at least 5. scheme(epoch, row, length, stream) -> list of {at, steps, rate}.
local function draw(length, stream)
  local base = stream:uniform() < .95 and length or length / 2
  return math.max(5, math.floor(stream:normal(base, 5)))
end

-- awd-lstm-lm's main.py: until fewer than two steps are left; the rate goes by the length drawn.
local function merity(_, row, length, stream)
  local plan, at = {}, 0
  while at < row - 1 do
    local n = draw(length, stream)
    plan[#plan + 1] = { at = at + 1, steps = math.min(n, row - at), rate = n / length }
    at = at + n
  end
  return plan
end

-- fastai 1.0's LanguageModelLoader: the very first step has length + 25, an epoch as many steps as a fixed length would give
-- (what is left of the rows waits for the next one's shuffle); its RNNTrainer takes the rate by the length seen.
local function fastai(epoch, row, length, stream)
  local plan, at = {}, 0
  while at < row and #plan < row // length do
    local n = epoch == 1 and at == 0 and length + 25 or draw(length, stream)
    local steps = math.min(n, row - at)
    plan[#plan + 1] = { at = at + 1, steps = steps, rate = steps / length }
    at = at + n
  end
  return plan
end

local SCHEMES = {merity = merity, fastai = fastai}

--- lm(corpus[, {batch = 64, length = 70, seed = 1, shuffle = true, backwards = false, variable = nil}]) -> maker
-- Batches for a language model. Each epoch puts the documents into an order of its own (by `seed` and the number of
-- the epoch; `shuffle = false` keeps the given one), joins them into one stream and cuts it into `batch` rows. Step k
-- holds tokens (k-1)·length + 1 ... of every row, so a row goes on where it stopped and the state of the model is
-- carried from step to step; reset it when an epoch begins. The last, shorter step is kept when it has 2 time steps or
-- more. `backwards` reads the stream from its end. `variable`: lengths that vary around `length`, drawn anew each epoch
-- (by seed and epoch): "merity", awd-lstm-lm's way (bptt, or half of it in 5 % of the steps, sd 5, at least 5, rate of the
-- step times length drawn / bptt), or "fastai", version 0.7's and 1.0's (the same, with a first step of length + 25 and
-- row // length steps). Raises when the corpus is too short for so many rows.
function batches.lm(corpus, options)
  local o = options or {}
  check_options("batches.lm", o, {batch = true, length = true, seed = true, shuffle = true, backwards = true, variable = true})
  if o.variable and not SCHEMES[o.variable] then
    error(("batches.lm: variable is %s, expected merity or fastai"):format(tostring(o.variable)), 2)
  end
  local length = o.length or 70
  local maker = core.batches.lm(corpus, o.batch or 64, length, o.backwards or false)
  if o.variable == "fastai" and maker:row() < length then
    error(("batches.lm: rows of %d tokens are shorter than a step of %d"):format(maker:row(), length), 2)
  end
  return setmetatable({maker = maker, seed = o.seed or 1, shuffle = o.shuffle ~= false, variable = o.variable,
    batch = o.batch or 64, length = length, current = 1}, Lm)
end

-- The steps of an epoch of variable length; the last epoch asked for is remembered.
local function plan_of(self, epoch)
  if self.planned ~= epoch then
    local stream = core.random(("batches.lm lengths of epoch %d"):format(epoch), self.seed)
    self.plan, self.planned = SCHEMES[self.variable](epoch, self.maker:row(), self.length, stream), epoch
  end
  return self.plan
end

--- maker:steps([epoch = 1]) -> steps, tokens
-- Steps of an epoch, known before it starts, and the tokens predicted in it. Only with variable = "merity" do epochs differ.
function Lm:steps(epoch)
  if not self.variable then return self.maker:steps() end
  local plan = plan_of(self, epoch or 1)
  local last = plan[#plan]
  return #plan, (last.at + last.steps - 1) * self.batch
end

--- maker:get(step) -> x, y, rate
-- int32 tensors [T,B], time-major, ids from 1; y is x one token later. Of the order that `epoch` set last. rate: what the
-- learning rate of this step is multiplied with, 1 where lengths are fixed.
function Lm:get(step)
  if not self.variable then
    local x, y = self.maker:get(step)
    return x, y, 1
  end
  local plan = plan_of(self, self.current)
  local p = plan[step] or error(("batches.lm: step %s, expected 1..%d"):format(tostring(step), #plan), 2)
  local x, y = self.maker:span(p.at, p.steps)
  return x, y, p.rate
end

--- maker:epoch([epoch = 1[, from = 1]]) -> iterator of step, x, y, rate
-- `for step, x, y in maker:epoch(e) do`; `from` goes on in the middle of an epoch after an interruption.
function Lm:epoch(epoch, from)
  local step = (from or 1) - 1
  self.current = epoch or 1
  local steps = self:steps(self.current)
  if self.shuffle then self.maker:shuffle(self.seed, self.current) end
  return function()
    step = step + 1
    if step <= steps then return step, self:get(step) end
  end
end

local Buckets = {}
Buckets.__index = Buckets

--- buckets(corpus[, {rows =, batch = 64, train = false, seed = 1, pad = 1, max_len = 1400, backwards = false}]) -> maker
-- Batches of documents of like length, for classification. `rows`: the documents to use (a list with repeats allowed,
-- as from a split or from oversampling); default all. The n documents are cut into ceil(n/batch) batches whose sizes
-- differ by at most one. For validation the longest come first. `train = true`: a new order each epoch, sorted by
-- length inside spans of 50 batches, batches shuffled, the longest first. A document keeps its last `max_len` tokens;
-- an empty one counts as one `pad`. `backwards` puts the last token first.
function batches.buckets(corpus, options)
  local o = options or {}
  check_options("batches.buckets", o, {
    rows = true, batch = true, train = true, seed = true, pad = true, max_len = true, backwards = true,
  })
  local maker = core.batches.buckets(corpus, o.rows, {
    size = o.batch or 64, pad = o.pad or 1, max_len = o.max_len or 1400, backwards = o.backwards,
  })
  return setmetatable({maker = maker, documents = #corpus, seed = o.seed or 1, train = o.train or false}, Buckets)
end

--- maker:steps() -> batches, documents
function Buckets:steps()
  return self.maker:steps()
end

--- maker:get(k) -> ids, lens, rows, places
-- ids int32 [T,B], time-major, padded at the end; lens int32 [B], from long to short; rows int32 [B]: the documents in
-- the corpus, to look up labels; places int32 [B]: where each stood in `rows`, to bring predictions back into the
-- given order.
function Buckets:get(k)
  return self.maker:get(k)
end

--- maker:epoch([epoch = 1[, from = 1]]) -> iterator of k, ids, lens, rows, places
function Buckets:epoch(epoch, from)
  local maker, k = self.maker, (from or 1) - 1
  local n = maker:steps()
  if self.train then maker:shuffle(self.seed, epoch or 1) end
  return function()
    k = k + 1
    if k <= n then return k, maker:get(k) end
  end
end

local Collector = {}
Collector.__index = Collector

--- collector(n) -> collector
-- Brings the results of batches back into the given order: `c:add(places, values)` for every batch, then `c:list()`.
function batches.collector(n)
  return setmetatable({n = n, filled = 0, values = {}}, Collector)
end

--- c:add(places, values)
-- places int32 [B] and values [B] or [B,C] (tensors or lists). Raises when a place comes twice or is out of range.
function Collector:add(places, values)
  local p = type(places) == "table" and places or places:tolist()
  local v = type(values) == "table" and values or values:tolist()
  if #p ~= #v then error(("collector: %d places but %d values"):format(#p, #v), 2) end
  for i, place in ipairs(p) do
    if place < 1 or place > self.n then error(("collector: place %d, expected 1..%d"):format(place, self.n), 2) end
    if self.values[place] ~= nil then error(("collector: place %d came twice"):format(place), 2) end
    self.values[place] = v[i]
    self.filled = self.filled + 1
  end
end

--- c:list() -> list of n values
-- Raises when a place never came.
function Collector:list()
  if self.filled ~= self.n then error(("collector: %d of %d places came"):format(self.filled, self.n), 2) end
  return self.values
end

return batches
