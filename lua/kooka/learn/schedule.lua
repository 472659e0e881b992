--- schedule: learning rates and momenta over a run, as functions of the share of it that is done.
local schedule = {}

local function cosine(a, b, x) return b + (a - b) / 2 * (1 + math.cos(math.pi * x)) end

--- schedule.one_cycle{lr=, pct=.3, div=25, div_final=1e4, moms={.95,.85}} -> function(done) -> lr, momentum
-- Cosine from lr/div up to lr over the first pct of the run, then down to lr/(div div_final); the momentum goes the
-- other way (Smith 2018, in fastai's form). done runs from 0 to 1.
function schedule.one_cycle(o)
  local top, pct, div = o.lr, o.pct or .3, o.div or 25
  local last, moms = o.div_final or 1e4, o.moms or { .95, .85 }
  return function(done)
    if done < pct then
      local x = done / pct
      return cosine(top / div, top, x), cosine(moms[1], moms[2], x)
    end
    local x = pct < 1 and (done - pct) / (1 - pct) or 1
    return cosine(top, top / (div * last), x), cosine(moms[2], moms[1], x)
  end
end

--- schedule.constant{lr=, momentum=.9} -> function(done) -> lr, momentum
function schedule.constant(o)
  return function() return o.lr, o.momentum or .9 end
end

--- schedule.slice(n, lr[, factor = 2.6]) -> list of n rates
-- Discriminative rates: lr for the last group, divided by factor for each group before it (Howard & Ruder 2018, section 3.2).
function schedule.slice(n, lr, factor)
  local rates = {}
  for i = 1, n do rates[i] = lr / (factor or 2.6) ^ (n - i) end
  return rates
end

return schedule
