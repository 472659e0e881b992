--- batches: an oversampler inside the epoch: each epoch has exact counts of every class, every training row comes, and texts of
-- like length stand together.
local buckets = require "kooka.data.batches"
local training = require "kooka.imbalance.training"

local balanced = {}

local Balanced = {}
Balanced.__index = Balanced

-- A class of n rows that is to come w times: each row w // n times, and w % n of them, drawn anew each epoch, once more.
local function rows_of_epoch(self, epoch)
  local t, rows = self.training, {}
  for _, y in ipairs(t.classes) do
    local mine, want = t.by_class[y], self.want[y]
    local whole, rest = want // #mine, want % #mine
    for _ = 1, whole do
      for _, i in ipairs(mine) do rows[#rows + 1] = t.rows[i] end
    end
    if rest > 0 then
      local turn = t:stream(("epoch %d of %s"):format(epoch, tostring(y))):shuffle(#mine)
      for i = 1, rest do rows[#rows + 1] = t.rows[mine[turn[i]]] end
    end
  end
  return rows
end

local function prepare(self, epoch)
  if self.current ~= epoch then
    self.rows = rows_of_epoch(self, epoch)
    self.maker = buckets.buckets(self.corpus, { rows = self.rows, batch = self.batch, train = true, seed = self.training.seed,
      pad = self.options.pad, max_len = self.options.max_len, backwards = self.options.backwards })
    self.current = epoch
  end
  return self.maker
end

--- batches(corpus, split, labels[, {to =, batch = 64, pad = 1, max_len = 1400, backwards = false, seed = 1, say = print, classes =}])
-- -> maker, counts
-- Batches of a balanced epoch, as kooka.data.batches.buckets gives them: m:steps(), m:get(k), m:epoch(epoch[, from]). In every epoch
-- each class comes exactly counts.after[label] times and every training row at least once; a row of a smaller class comes as
-- often as any other of it, or once more, and who does changes from epoch to epoch. The length bucketing stays.
-- (A sampler that draws rows by weight leaves out 1/e of the largest class in each epoch.)
function balanced.batches(corpus, what, labels, options)
  local t = training.open("batches", what, labels, options, { to = true, batch = true, pad = true, max_len = true, backwards = true })
  if t.x then error("batches: x has no use here: batches are of texts", 2) end
  local self = setmetatable({ corpus = corpus, training = t, want = t:wanted(true), options = t.options, batch = t.options.batch or 64 },
    Balanced)
  prepare(self, 1)
  local names = {}
  for i, row in ipairs(self.rows) do names[i] = t.labels[row] end
  local resampled, counts = t:answer { rows = self.rows, labels = names }
  self.counts, self.split, self.train_rows = counts, resampled.split, resampled.train
  return self, counts
end

--- m:steps() -> batches, documents
-- The same in every epoch.
function Balanced:steps() return self.maker:steps() end

--- m:get(k) -> ids, lens, rows, places
-- Batch k of the epoch at hand.
function Balanced:get(k) return self.maker:get(k) end

--- m:epoch([epoch = 1[, from = 1]]) -> iterator of k, ids, lens, rows, places
function Balanced:epoch(epoch, from)
  return prepare(self, epoch or 1):epoch(epoch or 1, from)
end

return balanced
