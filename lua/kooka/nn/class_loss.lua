--- class_loss: the loss of a model's class logits, as its options say; shared by classifier and multi_task.
local class_weights = require "kooka.nn.class_weights"
local core = require "kooka.core"

local class_loss = {}

local LOSSES = { cross_entropy = true, focal = true, logit_adjustment = true, ldam = true }

local function kept(list) return list and core.tensor(list):keep() end

-- What is added to and taken from the logits in training.
local function moves(model, o, who)
  local kind = model.loss_kind
  model.shift, model.margin, model.scale = nil, nil, o.scale or 1
  if kind ~= "logit_adjustment" and kind ~= "ldam" then return end
  local count = o.counts
  if type(count) ~= "table" or #count ~= (o.classes or 2) then
    error(("%s: the loss %s needs counts: how many training rows each of %d classes has"):format(who, kind, o.classes or 2), 4)
  end
  for c, n in ipairs(count) do
    if type(n) ~= "number" or n <= 0 or n ~= n then
      error(("%s: counts of class %d is %s, expected a number above 0"):format(who, c, tostring(n)), 4)
    end
  end
  if kind == "ldam" then
    model.margin = kept(class_weights.margins(count, o.margin or .5))
  else
    model.shift = kept(class_weights.log_prior(count, o.tau or 1))
  end
end

--- class_loss.configure(model, o)
-- loss: "cross_entropy" (smoothing = 0); "focal" (gamma = 2; Lin et al. 2017); "logit_adjustment" (tau = 1; Menon et
-- al. 2021): tau log(prior) is added to the logits in training only, so the model's own probabilities are those of
-- classes of equal size; "ldam" (margin = .5 of the rarest class, scale = 1; the paper's 30 is for logits that are
-- cosines; Cao et al. 2019). The last two need counts, the rows of each class in the training side
-- (kooka.nn.class_weights.counts). weights: of the classes, a list.
function class_loss.configure(model, o)
  local who = getmetatable(model).__name
  model.loss_kind, model.smoothing, model.gamma = o.loss or "cross_entropy", o.smoothing or 0, o.gamma or 2
  if not LOSSES[model.loss_kind] then
    error(("%s: loss is %s, expected cross_entropy, focal, logit_adjustment or ldam"):format(who, tostring(o.loss)), 3)
  end
  if o.weights and #o.weights ~= (o.classes or 2) then
    error(("%s: %d weights for %d classes"):format(who, #o.weights, o.classes or 2), 3)
  end
  moves(model, o, who)
  model.weights = kept(o.weights)
end

--- class_loss.deferred{from =, weights =} -> callback
-- Deferred re-weighting (Cao et al. 2019, section 3.3): class weights count from epoch `from` on, behind epochs
-- without any, once the representation stands. weights: a list, as of kooka.nn.class_weights. For learner.fit's
-- callbacks.
function class_loss.deferred(o)
  if math.type(o.from) ~= "integer" or o.from < 1 then
    error(("class_loss.deferred: from is %s, expected an epoch from 1"):format(tostring(o.from)), 2)
  end
  local weights = kept(o.weights or error("class_loss.deferred: weights are missing", 2))
  return { before_step = function(_, fit) fit.model.weights = fit.epoch >= o.from and weights or nil end }
end

--- class_loss.of(model, logits [B,C], batch {y= or soft=, weight=nil}) -> loss, stats {nll, n, hits}
function class_loss.of(model, logits, batch)
  if model.loss_kind ~= "cross_entropy" then
    local name = model.loss_kind:gsub("_", " ")
    if not batch.y then error(("the %s loss needs class labels (y), not shares (soft)"):format(name), 3) end
    if batch.weight then error(("the %s loss takes no weight for each text"):format(name), 3) end
    if model.loss_kind == "focal" then return core.focal_loss(logits, batch.y, model.weights, { gamma = model.gamma }) end
    return core.margin_loss(logits, batch.y, model.shift, model.margin, model.weights, { scale = model.scale })
  end
  return core.cross_entropy(logits, batch.y, batch.soft, model.weights, batch.weight, { smoothing = model.smoothing })
end

return class_loss
