--- regressor: one number for each text: encoder, concat pooling and a small head (kooka.nn.pooled).
local check = require "kooka.options"
local core = require "kooka.core"
local pooled = require "kooka.nn.pooled"
local settings = require "kooka.nn.settings"

local Regressor = pooled.class "regressor"
Regressor.stats = { "sse", "sae", "n" }

--- regressor{vocab=, range=nil, loss="mse", delta=1, ...} -> model
-- range = {low, high}: answers low + (high - low) sigmoid(x), never outside, as fastai's sigmoid_range (the ends are reached
-- only at infinity: a range a little wider than the scale learns faster); without it x itself. loss: "mse", "huber" (delta: where
-- the square becomes a line) or "mae". The other options are those of kooka.nn.pooled and of the encoder.
local function regressor(o)
  check("regressor", o, settings.regressor)
  local range = pooled.check_range("regressor", o.range)
  local self = pooled.new(Regressor, o, 1)
  self.range, self.loss_kind, self.delta = range, o.loss or "mse", o.delta or 1
  return self
end

--- model:forward(ids [T,B], lens [B]) -> scores [B]
function Regressor:forward(ids, lens) return pooled.bounded(self:raw(ids, lens):reshape(-1), self.range) end

--- model:outputs(ids [T,B], lens [B]) -> {score = [B]}
function Regressor:outputs(ids, lens) return { score = self:forward(ids, lens) } end

--- model:loss(batch {x=, lens=, score=, weight=nil}) -> loss, stats {sse, sae, n}
-- score: targets [B]; weight [B]: 0 where there is no target.
function Regressor:loss(batch)
  local sides, penalty = self:sides(batch.x, batch.lens)
  return self:loss_of(sides, penalty, function(x)
    return core.regression_loss(pooled.bounded(x:reshape(-1), self.range), batch.score, batch.weight,
      { kind = self.loss_kind, delta = self.delta })
  end)
end

return regressor
