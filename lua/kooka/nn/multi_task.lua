--- multi_task: a class and a score for each text from one head (humour and how funny), on kooka.nn.pooled.
local check = require "kooka.options"
local core = require "kooka.core"
local class_loss = require "kooka.nn.class_loss"
local pooled = require "kooka.nn.pooled"
local settings = require "kooka.nn.settings"

local MultiTask = pooled.class "multi_task"
MultiTask.stats = { "nll", "n", "hits", "sse", "sae", "n_score" }

--- multi_task{vocab=, classes=2, class_weight=1, score_weight=1, range=nil, score_loss="mse", delta=1, ...} -> model
-- The head's last layer has classes + 1 outputs; all below is shared (Caruana 1997). The loss is class_weight times the
-- classifier's (loss, smoothing, weights, gamma: kooka.nn.classifier) plus score_weight times the regressor's (score_loss, delta, range:
-- kooka.nn.regressor) over the texts that have a score.
local function multi_task(o)
  check("multi_task", o, settings.multi_task)
  local range, classes = pooled.check_range("multi_task", o.range), o.classes or 2
  local self = pooled.new(MultiTask, o, classes + 1)
  self.classes, self.range, self.score_loss, self.delta = classes, range, o.score_loss or "mse", o.delta or 1
  self.class_weight, self.score_weight = o.class_weight or 1, o.score_weight or 1
  class_loss.configure(self, o)
  return self
end

local function split(self, x)
  return x:narrow(2, 1, self.classes), pooled.bounded(x:narrow(2, self.classes + 1, 1):reshape(-1), self.range)
end

--- model:forward(ids [T,B], lens [B]) -> logits [B,C], scores [B]
function MultiTask:forward(ids, lens) return split(self, self:raw(ids, lens)) end

--- model:outputs(ids [T,B], lens [B]) -> {prob = [B,C], score = [B]}
function MultiTask:outputs(ids, lens)
  local logits, score = self:forward(ids, lens)
  return { prob = core.softmax(logits), score = score }
end

--- model:loss(batch {x=, lens=, y= or soft=, score=, has_score=nil, weight=nil}) -> loss, stats {nll, n, hits, sse, sae, n_score}
-- y: labels [B], 0: none; score: targets [B]; has_score [B]: 0 where a score is missing (it may be nan there).
function MultiTask:loss(batch)
  local sides, penalty = self:sides(batch.x, batch.lens)
  return self:loss_of(sides, penalty, function(x)
    local logits, score = split(self, x)
    local loss, stats = class_loss.of(self, logits, batch)
    local score_loss, errors = core.regression_loss(score, batch.score, batch.has_score, { kind = self.score_loss, delta = self.delta })
    return loss * self.class_weight + score_loss * self.score_weight, core.cat(stats, errors)
  end)
end

return multi_task
