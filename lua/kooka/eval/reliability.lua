--- reliability: what share of rows with a predicted probability came true, with the error that a perfect model would show too.
local check_options = require "kooka.options"
local core = require "kooka.core"
local plot = require "kooka.plot"
local tables = require "kooka.table"

local reliability = {}

local Result = {}
Result.__index = Result

local function as_list(x) return type(x) == "userdata" and x:tolist() or x end

-- Rows in rising order of probability, cut where a bin is full; equal probabilities stay in one bin. Lists of rows.
local function by_mass(prob, count)
  local order, bins, n = {}, {}, #prob
  for i = 1, n do order[i] = i end
  table.sort(order, function(a, b)
    if prob[a] ~= prob[b] then return prob[a] < prob[b] end
    return a < b
  end)
  local bin = {}
  for k, i in ipairs(order) do
    bin[#bin + 1] = i
    if k == n or k >= (#bins + 1) * n / count and prob[order[k + 1]] ~= prob[i] then
      bins[#bins + 1], bin = bin, {}
      while k < n and #bins + 1 < count and (#bins + 1) * n / count <= k do count = count - 1 end
    end
  end
  return bins
end

local function by_width(prob, count)
  local at, bins = {}, {}
  for i, p in ipairs(prob) do
    local b = math.max(1, math.ceil(p * count))      -- a bin holds its upper edge
    at[b] = at[b] or {}
    table.insert(at[b], i)
  end
  for b = 1, count do bins[#bins + 1] = at[b] end
  return bins
end

-- Mean over rows of |sum over a bin of (p - y)|.
local function gap(bins, n, sum_p, sum_y)
  local total = 0
  for b in ipairs(bins) do total = total + math.abs(sum_p[b] - sum_y[b]) end
  return total / n
end

-- Errors of `draws` sets of labels that were drawn from the probabilities themselves, rising.
local function of_perfect(bins, prob, sum_p, draws, seed)
  local stream, out = core.random("reliability", seed), {}
  for d = 1, draws do
    local sum_y = {}
    for b, rows in ipairs(bins) do
      local k = 0
      for _, i in ipairs(rows) do
        if stream:uniform() < prob[i] then k = k + 1 end
      end
      sum_y[b] = k
    end
    out[d] = gap(bins, #prob, sum_p, sum_y)
  end
  table.sort(out)
  return out
end

--- reliability.measure(prob, label, {bins = 10, by = "mass", positive = 2, level = .95, draws = 200, seed = 1}) -> result
-- prob: of the positive class; label: classes 1 and 2, or booleans. by: "mass" (bins of equally many rows; equal
-- probabilities are not parted) or "width". result: bins {low_p, high_p, mean, rate, low, high (Wilson), n}; ece:
-- expected calibration error, the mean over rows of |rate - mean| of their bin (Naeini et al. 2015). It is biased
-- upward: bins of few rows miss their mean by chance alone. So perfect = {mean, high}: what it is for labels drawn
-- from these very probabilities (consistency resampling, Broecker & Smith 2007); p: the share of such draws with an
-- ece as large; excess = max(0, ece - perfect.mean). tostring(result) is a table.
function reliability.measure(prob, label, options)
  local o = options or {}
  check_options("reliability.measure", o, { bins = true, by = true, positive = true, level = true, draws = true, seed = true })
  prob, label = as_list(prob), as_list(label)
  if #prob == 0 then error("reliability: there are no rows", 2) end
  if #prob ~= #label then error(("reliability: %d probabilities but %d labels"):format(#prob, #label), 2) end
  for i, p in ipairs(prob) do
    if type(p) ~= "number" or not (p >= 0 and p <= 1) then
      error(("reliability: prob in row %d is %s, expected a number in 0..1"):format(i, tostring(p)), 2)
    end
    if label[i] ~= 1 and label[i] ~= 2 and type(label[i]) ~= "boolean" then
      error(("reliability: label in row %d is %s, expected 1, 2 or a boolean"):format(i, tostring(label[i])), 2)
    end
  end
  local count, by = o.bins or 10, o.by or "mass"
  if math.type(count) ~= "integer" or count < 1 then
    error(("reliability: bins is %s, expected a whole number from 1"):format(tostring(count)), 2)
  end
  if by ~= "mass" and by ~= "width" then error(("reliability: by is %s, expected mass or width"):format(tostring(by)), 2) end
  local bins = (by == "mass" and by_mass or by_width)(prob, count)
  local out, sum_p, sum_y, level = {}, {}, {}, o.level or .95
  for b, rows in ipairs(bins) do
    local p, k, least, most = 0, 0, 1, 0
    for _, i in ipairs(rows) do
      p, least, most = p + prob[i], math.min(least, prob[i]), math.max(most, prob[i])
      if label[i] == true or label[i] == (o.positive or 2) then k = k + 1 end
    end
    sum_p[b], sum_y[b] = p, k
    local low, high = core.eval.wilson(k, #rows, level)
    out[b] = { low_p = least, high_p = most, mean = p / #rows, rate = k / #rows, low = low, high = high, n = #rows }
  end
  local r = { bins = out, by = by, n = #prob, level = level, ece = gap(bins, #prob, sum_p, sum_y) }
  local draws = o.draws or 200
  if draws > 0 then
    local chance, mean, as_large = of_perfect(bins, prob, sum_p, draws, o.seed or 1), 0, 0
    for _, v in ipairs(chance) do
      mean = mean + v / draws
      if v >= r.ece - 1e-15 then as_large = as_large + 1 end
    end
    r.perfect = { mean = mean, high = chance[math.max(1, math.ceil(level * draws))] }
    r.p, r.excess = (as_large + 1) / (draws + 1), math.max(0, r.ece - mean)
  end
  return setmetatable(r, Result)
end

--- result:table() -> {columns =, rows =}
function Result:table()
  local rows = {}
  for i, b in ipairs(self.bins) do
    rows[i] = { ("%.3f..%.3f"):format(b.low_p, b.high_p), b.n, ("%.3f"):format(b.mean),
      ("%.3f [%.3f, %.3f]"):format(b.rate, b.low, b.high), (b.mean < b.low or b.mean > b.high) and "off" or "" }
  end
  return { columns = { "probabilities", "rows", "mean", "came true", "" }, rows = rows }
end

--- result:text() -> a sentence about the error
function Result:text()
  local head = ("expected calibration error %.4f in %d bins of equal %s"):format(self.ece, #self.bins, self.by)
  if not self.perfect then return head end
  return head .. ("; a perfect model would show %.4f by chance (95 %% below %.4f): %s"):format(self.perfect.mean, self.perfect.high,
    self.p < .05 and ("this one is off (p = %.3f)"):format(self.p) or "no sign of a fault")
end

function Result:__tostring() return tables.text(self:table()) .. "\n" .. self:text() end

--- result:svg({title =, width =}) -> svg
function Result:svg(o)
  o = o or {}
  return plot.svg.calibration { bins = self.bins, title = o.title, width = o.width }
end

return reliability
