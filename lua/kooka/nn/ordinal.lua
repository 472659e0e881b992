--- ordinal: ordered classes (stars, grades) of texts: one score and the thresholds between classes, on a head of kooka.nn.pooled.
local check = require "kooka.options"
local core = require "kooka.core"
local pooled = require "kooka.nn.pooled"
local settings = require "kooka.nn.settings"

local Ordinal = pooled.class "ordinal"
Ordinal.stats = { "nll", "n", "hits", "sse", "sae" }

local LEAST_GAP = 1e-3      -- thresholds never meet

--- ordinal{vocab=, classes=, loss="cumulative", ...} -> model
-- P(class > k) = sigmoid(s - theta_k) with theta rising: the first threshold and the gaps' logarithms are learnt. They start
-- where a score of 0 makes all classes equally likely. loss: "cumulative", -log P(class) (McCullagh 1980), or "coral", the binary
-- cross-entropies of class > k (Cao, Mirjalili & Raschka 2020; there the thresholds are free, here they keep their order).
-- The other options are those of kooka.nn.pooled and of the encoder.
local function ordinal(o)
  check("ordinal", o, settings.ordinal)
  local classes = o.classes
  local self = pooled.new(Ordinal, o, 1)
  self.classes, self.loss_kind = classes, o.loss or "cumulative"
  local function logit(k) return math.log(k / (classes - k)) end
  local gaps = {}
  for k = 2, classes - 1 do gaps[k - 1] = math.log(logit(k) - logit(k - 1) - LEAST_GAP) end
  self:parameter("first", core.tensor { logit(1) })
  if classes > 2 then self:parameter("gaps", core.tensor(gaps)) end
  return self
end

--- model:thresholds() -> theta [C-1], rising
function Ordinal:thresholds()
  if not self.gaps then return self.first end
  return core.cumsum(core.cat(self.first, core.exp(self.gaps) + LEAST_GAP), 1)
end

--- model:forward(ids [T,B], lens [B]) -> class probabilities [B,C], scores [B]
-- score: the expected class minus 1 (0 .. C-1), for correlations and squared errors.
function Ordinal:forward(ids, lens)
  local s, theta = self:raw(ids, lens), self:thresholds()
  local above = core.sigmoid(s - theta:reshape(1, -1))                         -- P(class > k) [B,C-1]
  local ends = core.ones(s:shape(1), 1)
  local prob = core.cat({ ends, above }, 2) - core.cat({ above, ends * 0 }, 2)
  return prob, above:sum(2)
end

--- model:outputs(ids [T,B], lens [B]) -> {prob = [B,C], score = [B]}
function Ordinal:outputs(ids, lens)
  local prob, score = self:forward(ids, lens)
  return { prob = prob, score = score }
end

--- model:loss(batch {x=, lens=, y=, weight=nil}) -> loss, stats {nll, n, hits, sse, sae}
-- y: classes [B], from 1. nll: -log P(class) whatever the loss; sse, sae: errors of the expected class.
function Ordinal:loss(batch)
  local sides, penalty = self:sides(batch.x, batch.lens)
  local theta = self:thresholds()
  return self:loss_of(sides, penalty, function(s)
    return core.ordinal_loss(s:reshape(-1), theta, batch.y, batch.weight, { kind = self.loss_kind })
  end)
end

return ordinal
