--- classifier: class probabilities of texts: encoder, concat pooling and a small head (kooka.nn.pooled).
local core = require "kooka.core"
local check = require "kooka.options"
local class_loss = require "kooka.nn.class_loss"
local pooled = require "kooka.nn.pooled"
local settings = require "kooka.nn.settings"

local Classifier = pooled.class "classifier"
Classifier.stats = { "nll", "n", "hits" }

--- classifier{vocab=, classes=2, loss="cross_entropy", smoothing=0, weights=nil, gamma=2, ...} -> model
-- loss: "cross_entropy", with label smoothing, or "focal" (gamma; Lin et al. 2017), both with class weights, a list. The
-- other options are those of kooka.nn.pooled and, behind it, of the encoder.
local function classifier(o)
  check("classifier", o, settings.classifier)
  local self = pooled.new(Classifier, o, o.classes or 2)
  class_loss.configure(self, o)
  return self
end

--- model:forward(ids [T,B], lens [B]) -> logits [B,C]
function Classifier:forward(ids, lens) return self:raw(ids, lens) end

--- model:outputs(ids [T,B], lens [B]) -> {prob = [B,C]}
function Classifier:outputs(ids, lens) return { prob = core.softmax(self:forward(ids, lens)) } end

--- model:loss(batch {x=, lens=, y= or soft=, weight=nil}) -> loss, stats {nll, n, hits}
-- y: class labels [B]; soft: class shares [B,C]; weight: of each text [B], as of its votes. stats are of the plain
-- cross-entropy whatever the loss: unsmoothed, unweighted.
function Classifier:loss(batch)
  local sides, penalty = self:sides(batch.x, batch.lens)
  return self:loss_of(sides, penalty, function(logits) return class_loss.of(self, logits, batch) end)
end

return classifier
