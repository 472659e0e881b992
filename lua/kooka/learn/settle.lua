--- settle: the bias of a trained head, fitted anew as the network predicts: without dropout, with batch norm's running statistics.
--
-- Those statistics are means over the last dozen batches of training, with dropout; batches of texts of like length differ much in them.
-- What a network answers on average therefore wanders from fit to fit: on five folds of one set by .4 in the logit, and a cut that was
-- chosen on other folds misses. The bias that minimises the training loss, all else as it is, takes that back and looks at no row that is
-- held out.
local stack = require "kooka.ensemble.stack"

local settle = {}

local STEPS <const>, FAR <const> = 50, 2
local LITTLE <const> = .1           -- of the penalty, which keeps the bias of a class without a row finite

-- Gradient and Hessian of the loss in the biases of classes 2 .. C, at b.
local function derivatives(prob, target, weight, b)
  local classes, g, h = #b, {}, {}
  for c = 2, classes do
    g[c - 1], h[c - 1] = LITTLE * b[c], {}
    for e = 2, classes do h[c - 1][e - 1] = c == e and LITTLE or 0 end
  end
  for i, row in ipairs(prob) do
    local p, sum, w = {}, 0, weight and weight[i] or 1
    for c = 1, classes do
      p[c] = math.max(row[c], 1e-12) * math.exp(b[c])
      sum = sum + p[c]
    end
    for c = 1, classes do p[c] = p[c] / sum end
    for c = 2, classes do
      g[c - 1] = g[c - 1] + w * (p[c] - target[i][c])
      for e = 2, c do h[c - 1][e - 1] = h[c - 1][e - 1] + w * (c == e and p[c] * (1 - p[c]) or -p[c] * p[e]) end
    end
  end
  return g, h
end

--- settle.bias(prob, target[, weight]) -> shifts
-- prob: N lists of C probabilities p; target: N lists of C shares t; weight: N numbers. shifts b [C], b[1] = 0, minimise
-- Σ w (-Σ t log softmax(log p + b)) + .05 |b|² (Newton's method): then Σ w p = Σ w t for each class, but for the little penalty.
function settle.bias(prob, target, weight)
  if #prob == 0 or #prob ~= #target or weight and #weight ~= #prob then
    error(("settle.bias: %d rows of probabilities, %d of targets%s; expected as many of each, one or more"):format(#prob, #target,
      weight and (", %d weights"):format(#weight) or ""), 2)
  end
  local b = {}
  for c = 1, #prob[1] do b[c] = 0.0 end
  for _ = 1, STEPS do
    local g, h = derivatives(prob, target, weight, b)
    local d, most = stack.solve(h, g), 0
    for c = 2, #b do
      local step = math.min(FAR, math.max(-FAR, d[c - 1]))
      b[c], most = b[c] - step, math.max(most, math.abs(step))
    end
    if most < 1e-9 then break end
  end
  return b
end

return settle
