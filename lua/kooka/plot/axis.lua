--- plot.axis: ranges, round tick marks and their labels, for every kind of plot.
local axis = {}

local function finite(x)
  return type(x) == "number" and x == x and math.abs(x) ~= math.huge
end
axis.finite = finite

--- axis.list(values) -> list
-- A list of numbers as it is; a tensor through tolist(); nil as an empty list.
function axis.list(values)
  if values == nil then return {} end
  if type(values) == "table" then return values end
  return values:tolist()
end

--- axis.range(lists [, low, high]) -> low, high
-- The extent of all finite numbers in the lists, with given ends where there are some; never empty.
function axis.range(lists, low, high)
  local a, b = math.huge, -math.huge
  for _, list in ipairs(lists) do
    for _, x in ipairs(list) do
      if finite(x) then a, b = math.min(a, x), math.max(b, x) end
    end
  end
  if a > b then a, b = 0, 1 end
  a, b = low or a, high or b
  if a > b then a, b = b, a end
  if a == b then
    local pad = a == 0 and 1 or math.abs(a) * 0.1
    a, b = low or a - pad, high or b + pad
  end
  return a, b
end

--- axis.step(span, wanted) -> number
-- The round step (1, 2, 2.5 or 5 times a power of ten) that gives about `wanted` intervals.
function axis.step(span, wanted)
  local raw = span / math.max(1, wanted)
  local power = 10.0 ^ math.floor(math.log(raw, 10))
  local m = raw / power
  local round = m <= 1.0001 and 1 or m <= 2.0001 and 2 or m <= 2.5001 and 2.5 or m <= 5.0001 and 5 or 10
  return round * power
end

-- As few decimals as show every tick exactly.
local function decimals(step)
  for n = 0, 9 do
    local scaled = step * 10 ^ n
    if math.abs(scaled - math.floor(scaled + 0.5)) < 1e-6 * scaled then return n end
  end
  return 9
end

--- axis.ticks(low, high [, wanted = 5]) -> list of {value, label}
-- Round values inside the range.
function axis.ticks(low, high, wanted)
  local step = axis.step(high - low, wanted or 5)
  local biggest = math.max(math.abs(low), math.abs(high))
  local digits, out = decimals(step), {}
  local first = math.ceil(low / step - 1e-9)
  for k = first, math.floor(high / step + 1e-9) do
    local value = k * step
    local label
    if biggest >= 1e5 or biggest < 1e-4 then
      label = value == 0 and "0" or ("%.3g"):format(value):gsub("e([+-])0*", "e%1"):gsub("e%+", "e")
    else
      label = ("%." .. digits .. "f"):format(value == 0 and 0.0 or value)
    end
    out[#out + 1] = {value = value, label = label}
  end
  return out
end

--- axis.widen(low, high [, wanted = 5]) -> low, high
-- The range out to the next ticks, so that marks do not lie on the frame.
function axis.widen(low, high, wanted)
  local step = axis.step(high - low, wanted or 5)
  return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
end

--- axis.series(t) -> list of {name, x, y, low, high}
-- The series of a plot: t.series, or one made of t.x and t.y. Without x it is 1, 2, ...
function axis.series(t, who)
  local given = t.series or {{name = t.name, x = t.x, y = t.y, low = t.low, high = t.high}}
  local out = {}
  for i, s in ipairs(given) do
    local y = axis.list(s.y or s.values)
    local x = s.x and axis.list(s.x) or {}
    if not s.x then
      for k = 1, #y do x[k] = k end
    end
    if #x ~= #y then
      error(("plot.%s: series %s has %d values of x but %d of y"):format(who, s.name or i, #x, #y), 3)
    end
    out[i] = {name = s.name, x = x, y = y, low = s.low and axis.list(s.low), high = s.high and axis.list(s.high),
      dash = s.dash, points = s.points}
  end
  return out
end

--- axis.bins(t) -> list of {mean, rate, low, high, n}
-- A calibration curve: t.bins as given, or t.prob and t.label (classes 1 and 2, or booleans; 2 and true are positive)
-- cut into t.count (10) bins of equal width, each with the Wilson 95 % interval of its rate.
function axis.bins(t)
  if t.bins and type(t.bins) == "table" then return t.bins end
  local prob, label, count = axis.list(t.prob), axis.list(t.label), t.count or 10
  if #prob ~= #label then error(("plot.calibration: %d probabilities but %d labels"):format(#prob, #label), 3) end
  local sums = {}
  for i, p in ipairs(prob) do
    local b = math.min(count, math.floor(p * count) + 1)
    local s = sums[b] or {n = 0, p = 0, k = 0}
    sums[b] = s
    s.n, s.p = s.n + 1, s.p + p
    local y = label[i]
    if y ~= 1 and y ~= 2 and type(y) ~= "boolean" then
      error(("plot.calibration: label %d is %s, expected 1, 2 or a boolean"):format(i, tostring(y)), 3)
    end
    if y == 2 or y == true then s.k = s.k + 1 end
  end
  local out = {}
  for b = 1, count do
    local s = sums[b]
    if s then
      local z, rate = 1.959963984540054, s.k / s.n
      local mid = (rate + z * z / (2 * s.n)) / (1 + z * z / s.n)
      local half = z * math.sqrt(rate * (1 - rate) / s.n + z * z / (4 * s.n * s.n)) / (1 + z * z / s.n)
      out[#out + 1] = {mean = s.p / s.n, rate = rate, low = math.max(0, mid - half), high = math.min(1, mid + half),
        n = s.n}
    end
  end
  return out
end

return axis
