--- sources: batch makers (kooka.data.batches) as what the learner eats: steps() and epoch(e, from).
local core = require "kooka.core"

local sources = {}

local Source = {}
Source.__index = Source

--- source:steps([epoch = 1]) -> steps, items (tokens or documents)
-- The same for each epoch, but for language model batches with variable = "merity".
function Source:steps(epoch) return self.maker:steps(epoch) end

--- source:epoch(e[, from]) -> iterator of step, batch
function Source:epoch(e, from)
  local next_item, shape = self.maker:epoch(e, from), self.shape
  return function()
    local step, a, b, c, d = next_item()
    if step then return step, shape(a, b, c, d) end
  end
end

--- sources.lm(maker) -> source of {x=, y=, rate=}, whose state is carried from step to step
-- rate: factor of the learning rate for this step, 1 where lengths are fixed.
function sources.lm(maker)
  return setmetatable({ maker = maker, unit = "tok", carries = true,
    shape = function(x, y, rate) return { x = x, y = y, n = x:numel(), rate = rate or 1 } end }, Source)
end

--- sources.documents(maker, targets) -> source of {x=, lens=, rows=, places=, n=, ...}
-- targets: name -> tensor [N] or [N,...] by document; of each the batch has the documents' elements under that name.
-- Raises when there are not as many as documents.
function sources.documents(maker, targets)
  for name, t in pairs(targets) do
    if maker.documents and t:shape(1) ~= maker.documents then
      error(("sources: %d targets (%s) for %d documents"):format(t:shape(1), name, maker.documents), 2)
    end
  end
  return setmetatable({ maker = maker, unit = "doc",
    shape = function(x, lens, rows, places)
      local batch = { x = x, lens = lens, rows = rows, places = places, n = lens:numel() }
      for name, t in pairs(targets) do batch[name] = t:index_select(rows) end
      return batch
    end }, Source)
end

--- sources.classes(maker[, targets[, weight]]) -> source of {x=, lens=, y= or soft=, weight=, places=}
-- targets, by document: an int32 tensor [N] of class labels from 1, or a float32 tensor [N,C] of class shares. weight: float32 [N].
function sources.classes(maker, targets, weight)
  return sources.documents(maker, { [targets and targets:ndim() == 2 and "soft" or "y"] = targets, weight = weight })
end

local function float_tensor(list, what)
  if type(list) ~= "table" then return list end
  local out = {}
  for i = 1, #list do
    out[i] = list[i] or 0 / 0                                       -- false: missing
    if type(out[i]) ~= "number" then error(("%s %d is a %s, expected a number or false"):format(what, i, type(list[i])), 3) end
  end
  return core.tensor(out):keep()
end

-- Scores without nan, and 1 where there was one; nil where none is missing.
local function mask(scores)
  local there = scores:eq(scores):where(1.0, 0.0)
  for i, v in ipairs(scores:tolist()) do
    if math.abs(v) == math.huge then error(("score %d is %s, expected a finite number"):format(i, v), 3) end
  end
  if there:min():item() == 1 then return scores, nil end
  return scores:eq(scores):where(scores, 0.0):keep(), there:keep()
end

--- sources.scores(maker, scores) -> source of {x=, lens=, score=, weight=, places=}
-- scores by document: a float32 tensor [N] with nan, or a list with false, where there is none. weight: 0 for those, else 1; absent
-- where no score is missing.
function sources.scores(maker, scores)
  local score, there = mask(float_tensor(scores, "score"))
  return sources.documents(maker, { score = score, weight = there })
end

--- sources.pairs(maker, targets, scores[, weight]) -> source of {x=, lens=, y= or soft=, score=, has_score=, weight=, places=}
-- For kooka.nn.multi_task: class labels (0: none) or shares as sources.classes takes them, scores as sources.scores does.
function sources.pairs(maker, targets, scores, weight)
  local score, there = mask(float_tensor(scores, "score"))
  return sources.documents(maker, { [targets:ndim() == 2 and "soft" or "y"] = targets, weight = weight, score = score,
    has_score = there })
end

--- sources.votes(counts[, {prior = 0, weigh = false}]) -> shares [N,C], weight [N] or nil
-- Vote counts of N texts, a list of lists of C counts, as soft labels: (votes + prior) / (sum + C prior). weigh = true: each
-- text weighs as many as it has votes, divided by the mean of them, so that the loss keeps its size. A text without votes has
-- equal shares and, with weigh, weight 0; raises where there is no vote at all.
function sources.votes(counts, o)
  local prior, shares, sums, all = o and o.prior or 0, {}, {}, 0
  for i, row in ipairs(counts) do
    local sum = 0
    if #row ~= #counts[1] then error(("votes: text %d has %d counts, the first %d"):format(i, #row, #counts[1]), 2) end
    for c = 1, #row do
      if not (row[c] >= 0 and row[c] < math.huge) then
        error(("votes: text %d, class %d: %s votes, expected 0 or more"):format(i, c, tostring(row[c])), 2)
      end
      sum = sum + row[c]
    end
    shares[i], sums[i], all = {}, sum, all + sum
    for c = 1, #row do
      local whole = sum + #row * prior
      shares[i][c] = whole > 0 and (row[c] + prior) / whole or 1 / #row
    end
  end
  if all == 0 then error("votes: no votes at all", 2) end
  if not (o and o.weigh) then return core.tensor(shares):keep() end
  for i, sum in ipairs(sums) do sums[i] = sum * #counts / all end
  return core.tensor(shares):keep(), core.tensor(sums):keep()
end

return sources
