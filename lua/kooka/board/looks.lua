--- board.looks: how much a look at a hold-out still means: what noise alone gives, how many looks the rows bear.
-- Entries that are equally good differ on n rows by chance. The best of k of them stands e_k sd above its true score, e_k the
-- expected largest of k standard normal draws and sd the chance of one entry that others do not share (kooka.eval's paired
-- intervals say how large). That is for entries made without looking at the board; who follows its answers may fool himself faster
-- (up to sqrt(k / n), Blum and Hardt 2015): a Ladder is for that.
local core = require "kooka.core"

local looks = {}

local Z = 1.959964

local known = {}

--- looks.expected_max(k) -> number
-- The expected largest of k independent standard normal draws: 0 for one, .5642 for 2, 1.8675 for 20. By integrating
-- 1 - F^k and F^k (trapezoids, error below 1e-6 up to k = 100,000).
function looks.expected_max(k)
  if math.type(k) ~= "integer" or k < 1 then error(("expected_max: k is %s, expected an integer of 1 or more"):format(tostring(k)), 2) end
  if known[k] then return known[k] end
  local step, sum, cumulative = .002, 0, 0
  local before = 0
  for i = -4500, 4500 do
    local x = i * step
    local density = math.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    cumulative = math.min(1, cumulative + (before + density) / 2 * step)
    before = density
    local power = cumulative ^ k
    sum = sum + (i >= 0 and 1 - power or -power) * step
    if i == 0 then sum = sum - (1 - power) / 2 * step - power / 2 * step end      -- both sides end at 0: half a step each
  end
  known[k] = k == 1 and 0 or sum
  return known[k]
end

--- looks.budget(se, sd) -> integer
-- How many different entries a board bears: the largest k with e_k sd <= se, so that the best of k equal entries is expected to
-- stand no more than one standard error of its own score too high. Beyond it the interval beside the best score (1.96 se to each
-- side) no longer holds its true score 95 times in 100. At most 100,000; at least 1.
function looks.budget(se, sd)
  if not (se > 0 and sd > 0) then return 1 end
  local low, high = 1, 100000
  if looks.expected_max(high) * sd <= se then return high end
  while high - low > 1 do
    local middle = (low + high) // 2
    if looks.expected_max(middle) * sd <= se then low = middle else high = middle end
  end
  return low
end

--- looks.chance(k, gain, sd) -> p
-- How often the best of k equally good entries stands `gain` or more above the mean of all by chance: 1 - F(z)^k with
-- z = gain / (sd sqrt(1 - 1/k)), the share that the mean takes out of a deviation allowed for (Grubbs 1950; exact to .004 for two).
function looks.chance(k, gain, sd)
  if k < 2 or gain <= 0 then return 1 end
  if sd <= 0 then return 0 end
  local z = gain / (sd * math.sqrt(1 - 1 / k))
  return 1 - (1 - core.eval.f_tail(z * z, 1, 1e9) / 2) ^ k
end

--- looks.se(metric) -> number or nil
-- The standard error that a 95 % interval stands for.
function looks.se(m)
  return m.low and m.high and (m.high - m.low) / (2 * Z) or nil
end

local function median(list)
  if #list == 0 then return nil end
  local copy = table.move(list, 1, #list, 1, {})
  table.sort(copy)
  return (copy[(#copy + 1) // 2] + copy[#copy // 2 + 1]) / 2
end

local STALE = 10                  -- entries in a row without an improvement
local ALPHA = .05                 -- a lead that chance gives more often is noise

-- A Ladder tells nothing of what does not improve, so looks cost little; but it also shows when there is nothing left to see.
local function judge_ladder(o, r)
  r.spent = o.since >= STALE
  local lines = { ("%d different entr%s, %d since the last improvement; a Ladder's score holds however many looks follow."):format(
    o.entries, o.entries == 1 and "y" or "ies", o.since) }
  if r.spent then
    lines[2] = ("Another look no longer means anything: %d entries in a row were no step better, what is left is below what %d rows can tell. "
      .. "Seal a larger hold-out."):format(o.since, o.n)
  end
  r.text = table.concat(lines, "\n")
  return r
end

--- looks.judge{values, se, pair_se, n, lower, entries, since, ladder} -> {k, e, sd, noise, gain, within_noise, budget, spent, text, ...}
-- values: scores of the different entries so far; se: standard error of the best one; pair_se: standard errors of differences
-- between two entries, whose median over sqrt(2) is sd (without any, se over sqrt(2): half of the chance is taken to be shared, and
-- assumed says so); n: rows; lower: less is better. noise = e_k sd; gain: the best above the mean of all, as expected_max counts;
-- p: looks.chance of it; within_noise: p is .05 or more. spent: k has reached the budget, or 10 entries and still within noise:
-- another look no longer means anything. ladder: only told scores are in values; then spent is 10 entries (since) without an improvement.
function looks.judge(o)
  local k, se = #o.values, o.se or 0
  local pair = median(o.pair_se or {})
  local sd = (pair or se) / math.sqrt(2)
  local r = { k = k, e = looks.expected_max(math.max(1, k)), sd = sd, assumed = pair == nil, budget = looks.budget(se, sd), n = o.n,
    entries = o.entries or k, since = o.since }
  local sum, best = 0, nil
  for _, v in ipairs(o.values) do
    sum = sum + v
    if best == nil or (o.lower and v < best) or (not o.lower and v > best) then best = v end
  end
  r.noise, r.gain = r.e * sd, k > 0 and math.abs(best - sum / k) or 0
  r.p = looks.chance(k, r.gain, sd)
  r.within_noise = k > 1 and r.p >= ALPHA
  if o.ladder then return judge_ladder(o, r) end
  local used_up = k > 1 and k >= r.budget
  r.spent = used_up or k >= STALE and r.within_noise
  local lines = { ("%d different entr%s of about %d that %d rows can bear%s."):format(k, k == 1 and "y" or "ies", r.budget, o.n,
    r.assumed and " (a guess until two differ)" or "") }
  if k > 1 then
    lines[2] = ("The best of %d equally good ones would stand %.4f above their mean by chance; here it stands %.4f above (p = %.2g): %s.")
      :format(k, r.noise, r.gain, r.p, r.within_noise and "the order at the top is noise" or "more than noise")
  end
  if r.spent then
    lines[#lines + 1] = ("Another look no longer means anything: %s. Seal a new hold-out."):format(used_up
      and ("the best score is expected to flatter by a standard error (%.4f) or more"):format(se)
      or "ten looks and more found nothing but noise")
  end
  r.text = table.concat(lines, "\n")
  return r
end

--- looks.step(difference) -> number
-- The step of the parameter-free Ladder (Blum and Hardt 2015): the standard error of the paired difference to the best so far. Only
-- an entry that is better by more than a step is told its score and takes the lead; then the best score told stays close to
-- the true one however many looks follow and however they were chosen.
function looks.step(difference)
  return looks.se(difference) or math.huge
end

return looks
