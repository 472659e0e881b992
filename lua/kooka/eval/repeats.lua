--- kooka.eval.repeats: many models on the same rows of repeated cross-validation, each metric with its interval, and every model
-- against a reference: paired, on the same resamples of rows.
local check_options = require "kooka.options"
local core = require "kooka.core"
local eval = require "kooka.eval"

local repeats = {}

local LOWER_IS_BETTER = { log_loss = true, brier = true }

local function named(c, level, resamples, groups, n)
  return { value = c.value, low = c.low, high = c.high, se = c.se, level = level, n = n, defined = c.defined,
    method = ("bootstrap percentile over %s, %d resamples, mean over repeats"):format(groups and "groups" or "rows", resamples) }
end

--- repeats.compare{prob =, pred =, label =, reference = 1, resamples = 1000, level = .95, ...} -> {metrics, differences}
-- prob[m][r]: out-of-fold probabilities [N] of class 2 by model m in repeat r; pred[m][r]: what was said, classes 1
-- and 2, whatever cut said it; label [N]. metrics[m] and differences[m] hold every metric of kooka.eval.binary. A
-- metric is that of all N rows of a repeat together (with four positives a fold has none), then the mean over repeats.
-- Intervals: the bootstrap over rows, or over groups (a person, a text), one set of resamples for all models and
-- repeats, so a difference is paired. They hold what another sample of rows would change, not what another training
-- set would. differences carry p = 2 (1 - Phi(|difference| / se)) and better.
function repeats.compare(o)
  check_options("repeats.compare", o, { prob = true, pred = true, label = true, names = true, reference = true, resamples = true,
    level = true, seed = true, groups = true })
  local level, resamples = o.level or .95, o.resamples or 1000
  local groups, ngroup
  if o.groups then groups, ngroup = eval.dense(o.groups) end
  local got, diff = core.repeats { prob = o.prob, pred = o.pred, label = o.label, reference = o.reference, resamples = resamples,
    level = level, seed = o.seed, groups = groups, ngroup = ngroup }
  local metrics, differences = {}, {}
  for m, mine in ipairs(got) do
    metrics[m], differences[m] = {}, {}
    for name, c in pairs(mine) do metrics[m][name] = named(c, level, resamples, groups, #o.label) end
    for name, c in pairs(diff[m]) do
      local d = named(c, level, resamples, groups, #o.label)
      d.baseline = 0
      if d.value and d.se and d.se > 0 then d.p = 2 * (1 - core.eval.normal_cdf(math.abs(d.value) / d.se)) end
      if d.value then d.better = d.value ~= 0 and (d.value < 0) == (LOWER_IS_BETTER[name] or false) end
      differences[m][name] = d
    end
  end
  return { metrics = metrics, differences = differences, names = o.names }
end

--- repeats.holm(p) -> list of adjusted p
-- Holm's correction (1979): the chance of one false alarm or more among all stays below the level. Entries that are
-- false stay so.
function repeats.holm(p)
  local order, out, most = {}, {}, 0
  for i = 1, #p do
    out[i] = false
    if p[i] then order[#order + 1] = i end
  end
  table.sort(order, function(a, b)
    if p[a] ~= p[b] then return p[a] < p[b] end
    return a < b
  end)
  for k, i in ipairs(order) do
    most = math.max(most, math.min(1, (#order - k + 1) * p[i]))
    out[i] = most
  end
  return out
end

--- repeats.corrected_t(values, share, level = .95) -> metric
-- Mean of differences measured on the folds of repeated cross-validation, with the t interval of the corrected
-- resampled test: the variance is (1/J + share/(1 - share)) s^2 on J - 1 degrees, J folds in all, share = the part of
-- the rows that is held out. The second term is there because training sets overlap (Nadeau & Bengio 2003, eq. 9;
-- Bouckaert & Frank 2004).
function repeats.corrected_t(values, share, level)
  local n, mean, square = #values, 0, 0
  if n < 2 then error(("corrected_t: %d folds, expected 2 or more"):format(n), 2) end
  if not (share > 0 and share < 1) then error(("corrected_t: share is %s, expected between 0 and 1"):format(tostring(share)), 2) end
  for _, v in ipairs(values) do mean = mean + v / n end
  for _, v in ipairs(values) do square = square + (v - mean) ^ 2 / (n - 1) end
  local se = math.sqrt((1 / n + share / (1 - share)) * square)
  local half = core.eval.t_quantile((1 + (level or .95)) / 2, n - 1) * se
  return { value = mean, low = mean - half, high = mean + half, level = level or .95, n = n, se = se, baseline = 0,
    method = ("corrected resampled t over %d folds (Nadeau & Bengio 2003)"):format(n) }
end

return repeats
