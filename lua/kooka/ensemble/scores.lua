--- kooka.ensemble.scores: one score from several columns (scores and probabilities of models) by least squares, cross-fitted.
local stack = require "kooka.ensemble.stack"

local scores = {}

-- w and b of y = Σ w[c] (x[c] - mean[c]) / sd[c] + b over rows, the squared error plus l2 Σ w².
local function fit(columns, target, rows, l2)
  local n, k = #rows, #columns
  local mean, sd, h, g, b = {}, {}, {}, {}, 0
  for _, row in ipairs(rows) do b = b + target[row] / n end
  for c, column in ipairs(columns) do
    mean[c], sd[c] = 0, 0
    for _, row in ipairs(rows) do mean[c] = mean[c] + column[row] / n end
    for _, row in ipairs(rows) do sd[c] = sd[c] + (column[row] - mean[c]) ^ 2 / n end
    sd[c] = math.sqrt(math.max(sd[c], 1e-24))
  end
  for c = 1, k do
    h[c], g[c] = {}, 0
    for e = 1, c do h[c][e] = c == e and l2 or 0 end
  end
  for _, row in ipairs(rows) do
    local x = {}
    for c, column in ipairs(columns) do
      x[c] = (column[row] - mean[c]) / sd[c]
      g[c] = g[c] + x[c] * (target[row] - b)
      for e = 1, c do h[c][e] = h[c][e] + x[c] * x[e] end
    end
  end
  return { w = stack.solve(h, g), b = b, mean = mean, sd = sd }
end

local function apply(f, columns, row)
  local y = f.b
  for c, column in ipairs(columns) do y = y + f.w[c] * (column[row] - f.mean[c]) / f.sd[c] end
  return y
end

--- scores.crossfit{columns =, target =, folds =, test = nil, l2 = 1, min = nil} -> list, test list or nil, weights
-- columns: lists of N numbers; target: N numbers; folds: the fold of each row. The row's score is ridge regression on the
-- standardised columns, fitted on the other folds (so it is out of fold where the columns are); test: the same columns of new
-- rows, scored by the fit on all rows. min: scores below are set to it. weights: of the fit on all rows, in units of target
-- for a standard deviation of each column.
function scores.crossfit(o)
  local inside, outside, out, test = {}, {}, {}, o.test and {}
  local function bounded(y) return o.min and math.max(o.min, y) or y end
  for i, k in ipairs(o.folds) do
    outside[k] = outside[k] or {}
    table.insert(outside[k], i)
  end
  if next(outside, (next(outside))) == nil then error("ensemble.scores: fitting on the other folds wants two folds or more", 2) end
  for k in pairs(outside) do
    inside[k] = {}
    for i, fold in ipairs(o.folds) do
      if fold ~= k then table.insert(inside[k], i) end
    end
    local f = fit(o.columns, o.target, inside[k], o.l2 or 1)
    for _, row in ipairs(outside[k]) do out[row] = bounded(apply(f, o.columns, row)) end
  end
  local all = {}
  for i = 1, #o.target do all[i] = i end
  local f = fit(o.columns, o.target, all, o.l2 or 1)
  for i = 1, test and #o.test[1] or 0 do test[i] = bounded(apply(f, o.test, i)) end
  return out, test, f.w
end

return scores
