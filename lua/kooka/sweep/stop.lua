--- kooka.sweep.stop: which runs are not worth finishing. Rules that are known before the first run, and are printed.
local stop = {}

local function signed(v, lower) return lower and -v or v end

--- hopeless(mine, finished, {lower = false, margin = 2, least = 3, patience = 2}) -> reason | nil
-- A seed is hopeless when, at the last `patience` points that at least `least` finished seeds of the same options passed too
-- (same label, same epoch), its watched value is worse than the worst of theirs by more than `margin` times the seed sd: the
-- sd of the finished seeds at a point, pooled over those points, and at least .2 % of the value. mine and finished: objects of
-- kooka.sweep.log. Seeds differ by luck; this ends only what has broken (diverged, dead), so the seed report of the
-- others stays honest: what was ended is named in it and left out.
function stop.hopeless(mine, finished, options)
  local o = options or {}
  local least, patience, margin = o.least or 3, o.patience or 2, o.margin or 2
  if #finished < least then return nil end
  local common, variance, n = {}, 0, 0
  for _, p in ipairs(mine.points) do
    local values = {}
    for _, f in ipairs(finished) do values[#values + 1] = f:at(p.key) end
    if #values >= least then
      local mean, worst, square = 0, math.huge, 0
      for _, v in ipairs(values) do
        mean, worst = mean + v / #values, math.min(worst, signed(v, o.lower))
      end
      for _, v in ipairs(values) do square = square + (v - mean) ^ 2 end
      variance, n = variance + square / (#values - 1), n + 1
      common[#common + 1] = { point = p, worst = worst, mean = mean }
    end
  end
  if #common < patience then return nil end
  local pooled = math.sqrt(variance / n)
  local last
  for i = #common - patience + 1, #common do
    local c = common[i]
    local sd = math.max(pooled, .002 * math.abs(c.mean))
    local limit = c.worst - margin * sd
    if signed(c.point.value, o.lower) >= limit then return nil end
    last = ("%s %.4f at %s epoch %d; the worst of %d finished seeds had %.4f, %g times the seed sd (%.4f) away is %.4f"):format(
      mine.watch or "value", c.point.value, c.point.label, c.point.epoch, #finished, signed(c.worst, o.lower), margin, sd,
      signed(limit, o.lower))
  end
  return last
end

--- halve(runs, {rung =, lower = false, keep = 1}) -> kept, dropped
-- Successive halving (Jamieson & Talwalkar 2016): of the runs that have come to point number `rung`, the better half goes on
-- (rounded up, `keep` at least). runs: list of {log =, ...}; a run without that many points but finished is judged by its last.
-- dropped: list of {run =, reason =}.
function stop.halve(runs, options)
  local ranked, o = {}, options or {}
  for i, r in ipairs(runs) do
    local p = r.log.points[o.rung] or r.log.points[#r.log.points]
    ranked[i] = { run = r, value = p and signed(p.value, o.lower) or -math.huge, at = i }
  end
  table.sort(ranked, function(a, b)
    if a.value ~= b.value then return a.value > b.value end
    return a.at < b.at
  end)
  local n = math.max(o.keep or 1, (#ranked + 1) // 2)
  local kept, dropped = {}, {}
  for i, r in ipairs(ranked) do
    if i <= n then kept[#kept + 1] = r.run
    else
      dropped[#dropped + 1] = { run = r.run, reason = ("halving after %d epochs: %s %.4f, the better half had %.4f or better"):format(
        o.rung, r.run.log.watch or "value", signed(r.value, o.lower), signed(ranked[n].value, o.lower)) }
    end
  end
  return kept, dropped
end

return stop
