--- pacing: how long to wait before the next request, and waiting that Ctrl-C ends.
local core = require "kooka.core"
local sys = core.sys

local pacing = {}
local Pace = {}
Pace.__index = Pace

--- new([{tries = 6, first = 0.5, longest = 60, longest_limit = 960, seed = 1, on_wait =, sleep =}]) -> pace
-- tries: requests that may fail in a row; first, longest: seconds of the back-off; longest_limit: seconds that a rate
-- limit may ask for. on_wait(seconds, reason) is called before every wait. The jitter comes from the stream "pacing"
-- of seed.
function pacing.new(o)
  o = o or {}
  return setmetatable({
    tries = o.tries or 6, first = o.first or 0.5, longest = o.longest or 60, longest_limit = o.longest_limit or 960,
    on_wait = o.on_wait, sleep = o.sleep or sys.sleep, stream = core.random("pacing", o.seed or 1), waited = 0, waits = 0,
  }, Pace)
end

--- pace:backoff(n) -> seconds
-- Before try n + 1: first, 2 first, 4 first ... at most longest, times a random factor in [0.5, 1].
function Pace:backoff(n)
  return math.min(self.longest, self.first * 2.0 ^ math.min(n - 1, 60)) * (0.5 + 0.5 * self.stream:uniform())
end

--- pace:wait(seconds, reason)
-- Sleeps; raises "interrupted" when Ctrl-C ends it.
function Pace:wait(seconds, reason)
  self.waited, self.waits = self.waited + seconds, self.waits + 1
  if self.on_wait then self.on_wait(seconds, reason) end
  self.sleep(seconds)
end

--- limit(headers, now, n) -> seconds
-- How long a 429 asks to wait: Retry-After, else until x-rate-limit-reset (seconds since 1970) and a little more for
-- clocks that differ. When requests remain, the limit was on requests a second: 2, 4, 8 ... seconds for the n-th in a
-- row.
function pacing.limit(headers, now, n)
  local after = tonumber(headers["retry-after"])
  if after then return math.max(after, 0) end
  local remaining, reset = tonumber(headers["x-rate-limit-remaining"]), tonumber(headers["x-rate-limit-reset"])
  if remaining and remaining > 0 then return 2.0 ^ math.min(n, 6) end
  if reset then return math.max(reset - now, 0) + 0.5 end
  return math.min(60 * 2.0 ^ (n - 1), 960)
end

return pacing
