--- class_loss: the loss of a model's class logits, as its options say; shared by classifier and multi_task.
local core = require "kooka.core"

local class_loss = {}

local LOSSES = { cross_entropy = true, focal = true }

--- class_loss.configure(model, o)
-- loss: "cross_entropy" (smoothing = 0) or "focal" (gamma = 2; Lin et al. 2017); weights: of the classes, a list.
function class_loss.configure(model, o)
  local who = getmetatable(model).__name
  model.loss_kind, model.smoothing, model.gamma = o.loss or "cross_entropy", o.smoothing or 0, o.gamma or 2
  if not LOSSES[model.loss_kind] then
    error(("%s: loss is %s, expected cross_entropy or focal"):format(who, tostring(o.loss)), 3)
  end
  if o.weights and #o.weights ~= (o.classes or 2) then
    error(("%s: %d weights for %d classes"):format(who, #o.weights, o.classes or 2), 3)
  end
  model.weights = o.weights and core.tensor(o.weights):keep()
end

--- class_loss.of(model, logits [B,C], batch {y= or soft=, weight=nil}) -> loss, stats {nll, n, hits}
function class_loss.of(model, logits, batch)
  if model.loss_kind == "focal" then
    if not batch.y then error("the focal loss needs class labels (y), not shares (soft)", 3) end
    if batch.weight then error("the focal loss takes no weight for each text", 3) end
    return core.focal_loss(logits, batch.y, model.weights, { gamma = model.gamma })
  end
  return core.cross_entropy(logits, batch.y, batch.soft, model.weights, batch.weight, { smoothing = model.smoothing })
end

return class_loss
