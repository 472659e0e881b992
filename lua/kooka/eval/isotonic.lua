--- isotonic: the rising curve that fits best (pool adjacent violators), as a calibration of probabilities: Zadrozny & Elkan 2002.
local isotonic = {}

--- isotonic.pava(x, y [, weight]) -> knots_x, knots_y
-- The non-decreasing f of least sum of weight (f(x) - y)^2, as the first and last x of each flat piece and its value:
-- equal x are one point first (their weighted mean), then neighbours that fall are pooled (Barlow et al. 1972). O(n
-- log n).
function isotonic.pava(x, y, weight)
  local order = {}
  for i = 1, #x do order[i] = i end
  table.sort(order, function(a, b)
    if x[a] ~= x[b] then return x[a] < x[b] end
    return a < b
  end)
  local value, mass, first, last, top = {}, {}, {}, {}, 0
  local at = 1
  while at <= #order do
    local here, sum, w = x[order[at]], 0, 0
    while at <= #order and x[order[at]] == here do
      local k = weight and weight[order[at]] or 1
      sum, w, at = sum + k * y[order[at]], w + k, at + 1
    end
    top = top + 1
    value[top], mass[top], first[top], last[top] = sum / w, w, here, here
    while top > 1 and value[top - 1] >= value[top] do
      local both = mass[top - 1] + mass[top]
      value[top - 1] = (mass[top - 1] * value[top - 1] + mass[top] * value[top]) / both
      mass[top - 1], last[top - 1], top = both, last[top], top - 1
    end
  end
  local kx, ky = {}, {}
  for b = 1, top do
    kx[#kx + 1], ky[#ky + 1] = first[b], value[b]
    if last[b] > first[b] then kx[#kx + 1], ky[#ky + 1] = last[b], value[b] end
  end
  return kx, ky
end

--- isotonic.at(knots_x, knots_y, v) -> number
-- Straight lines between the knots, flat outside of them.
function isotonic.at(kx, ky, v)
  if v <= kx[1] then return ky[1] end
  if v >= kx[#kx] then return ky[#ky] end
  local low, high = 1, #kx
  while high - low > 1 do
    local mid = (low + high) // 2
    if kx[mid] <= v then low = mid else high = mid end
  end
  return ky[low] + (v - kx[low]) / (kx[high] - kx[low]) * (ky[high] - ky[low])
end

--- isotonic.fit(probs, labels) -> {method = "isotonic", curves = {{x =, y =}, ...}, least =}
-- One curve for two classes (of class 2), else one for each class against the rest. least = 1 / (n + 2): no answer of
-- the curve is nearer to 0 or 1 than that, because the pure ends of the curve say 0 and 1 for certain after a handful
-- of rows.
function isotonic.fit(probs, labels)
  local classes, curves = #probs[1], {}
  for c = classes == 2 and 2 or 1, classes do
    local x, y = {}, {}
    for i, row in ipairs(probs) do x[i], y[i] = row[c], labels[i] == c and 1 or 0 end
    local kx, ky = isotonic.pava(x, y)
    curves[#curves + 1] = { x = kx, y = ky }
  end
  return { method = "isotonic", curves = curves, least = 1 / (#probs + 2) }
end

--- isotonic.apply(calibration, probs) -> probs
-- Curves of more than two classes are normalised to sum to 1 (Zadrozny & Elkan 2002, section 4).
function isotonic.apply(calibration, probs)
  local out, least = {}, calibration.least or 0
  local function curve(k, p)
    local v = isotonic.at(calibration.curves[k].x, calibration.curves[k].y, p)
    return math.min(1 - least, math.max(least, v))
  end
  for i, row in ipairs(probs) do
    if #calibration.curves == 1 then
      local p = curve(1, row[2])
      out[i] = { 1 - p, p }
    else
      local q, sum = {}, 0
      for c, p in ipairs(row) do
        q[c] = curve(c, p)
        sum = sum + q[c]
      end
      for c = 1, #q do q[c] = sum > 0 and q[c] / sum or 1 / #q end
      out[i] = q
    end
  end
  return out
end

--- isotonic.check(calibration) -> true | nil, message
function isotonic.check(calibration)
  if type(calibration.curves) ~= "table" or #calibration.curves < 1 then return nil, "isotonic: curves are missing" end
  for k, curve in ipairs(calibration.curves) do
    if type(curve) ~= "table" or type(curve.x) ~= "table" or type(curve.y) ~= "table" or #curve.x < 1 or #curve.x ~= #curve.y then
      return nil, ("isotonic: curve %d: expected x and y of one length"):format(k)
    end
    for i = 1, #curve.x do
      local x, y = curve.x[i], curve.y[i]
      if type(x) ~= "number" or type(y) ~= "number" or not (y >= 0 and y <= 1)
        or i > 1 and not (x > curve.x[i - 1] and y >= curve.y[i - 1]) then
        return nil, ("isotonic: curve %d: point %d does not rise, or is outside 0..1"):format(k, i)
      end
    end
  end
  local least = calibration.least
  if least ~= nil and not (type(least) == "number" and least >= 0 and least < .5) then return nil, "isotonic: least is outside 0..0.5" end
  return true
end

return isotonic
