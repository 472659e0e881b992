--- samples: timing that knows when the machine was not ours. Each sample stands between two probes of the
-- processor's peak; one whose probe is below LEAST of the best seen is dropped and taken again, up to a bound.
local core = require "kooka.core"
local sys = core.sys

-- guard: false leaves the probes away (processor time, which other programs do not take from us).
local samples = { LEAST = .85, best = 0, guard = true }

local function probe(seconds)
  local p = core.machine.peak { seconds = seconds or .005 }
  if p > samples.best then samples.best = p end
  return p
end

--- calibrate(seconds[, least = 0]): finds the best probe before anything is judged by it
-- least: what the machine is known to reach; where other programs take a core all the time, no probe shows it.
function samples.calibrate(seconds, least)
  samples.best = math.max(samples.best, least or 0)
  local till = sys.now() + seconds
  repeat probe() until sys.now() > till
end

local IN_VAIN = 10
local in_vain = 0        -- waits, one behind the other, that brought nothing

-- Waits until a probe is good, for `seconds` at most; a tenth of that where waiting has not helped for long.
local function quiet(seconds)
  local till = sys.now() + (in_vain < IN_VAIN and seconds or seconds / 10)
  local p = probe()
  while p < samples.LEAST * samples.best and sys.now() < till do
    sys.sleep(.02)
    p = probe()
  end
  in_vain = p < samples.LEAST * samples.best and in_vain + 1 or 0
  return p
end

--- take(measure, patience[, settle = 0]) -> {seconds=, peak=, good=} or nil, message
-- measure() answers seconds or nil, message. peak: mean of the probes before and after. good: both were. settle:
-- seconds between the work and the second probe.
function samples.take(measure, patience, settle)
  if not samples.guard then
    local seconds, message = measure()
    return seconds and { seconds = seconds, peak = samples.best, good = true }, message
  end
  local before = quiet(patience)
  local seconds, message = measure()
  if not seconds then return nil, message end
  if settle then sys.sleep(settle) end
  local after = probe()
  local least = samples.LEAST * samples.best
  return { seconds = seconds, peak = (before + after) / 2, good = before >= least and after >= least }
end

--- quantile(sorted list, q) -> number
function samples.quantile(list, q)
  local at = 1 + q * (#list - 1)
  local low = math.floor(at)
  local high = math.min(low + 1, #list)
  return list[low] + (at - low) * (list[high] - list[low])
end

local Side = {}
Side.__index = Side

--- side(measure, repeats) -> side
-- Collects good samples of one side until there are `repeats`; when the tries run out, the others count too. side.settle:
-- as in take.
function samples.side(measure, repeats)
  return setmetatable({ measure = measure, want = repeats, tries = 0, most = repeats + math.max(3, repeats), good = {},
    bad = {} }, Side)
end

--- side:done() -> boolean
function Side:done() return self.message ~= nil or #self.good >= self.want or self.tries >= self.most end

--- side:sample(patience)
function Side:sample(patience)
  local s, message = samples.take(self.measure, patience, self.settle)
  self.tries = self.tries + 1
  if not s then
    self.message = message or "no answer"
    return
  end
  local list = s.good and self.good or self.bad
  list[#list + 1] = s
end

--- side:result() -> {median=, low=, high=, n=, dropped=, unguarded=, work_at_peak=} or nil, message
-- low and high: first and third quartile. dropped: samples not used; unguarded: used although a probe was low.
-- work_at_peak: median of seconds times the probes' peak, for a share of it; a sample that is not guarded tells nothing
-- of what it had, and counts with the best peak.
function Side:result()
  local used = table.move(self.good, 1, #self.good, 1, {})
  table.sort(self.bad, function(a, b) return a.peak > b.peak end)
  local unguarded = math.min(#self.bad, self.want - #used)
  for i = 1, unguarded do used[#used + 1] = self.bad[i] end
  if #used == 0 then return nil, self.message or "no sample" end
  local seconds, speed = {}, {}
  for i, s in ipairs(used) do seconds[i], speed[i] = s.seconds, s.seconds * (s.good and s.peak or samples.best) end
  table.sort(seconds)
  table.sort(speed)
  return { median = samples.quantile(seconds, .5), low = samples.quantile(seconds, .25),
    high = samples.quantile(seconds, .75), n = #used, dropped = #self.bad - unguarded, unguarded = unguarded,
    work_at_peak = samples.quantile(speed, .5) }
end

return samples
