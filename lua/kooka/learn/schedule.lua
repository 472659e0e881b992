--- schedule: learning rates and momenta over a run, as functions of the share of it that is done; rates of layer groups.
-- Every maker takes a table with lr, the largest rate, and answers function(done) -> lr, momentum; done runs from 0 (before
-- the first step) to 1. All are proportional to lr, so one serves every group: group i gets its factor of it.
local schedule = {}

local function cosine(a, b, x) return b + (a - b) / 2 * (1 + math.cos(math.pi * x)) end

-- Cosine from `first` to `top` over the share pct, then to `last`.
local function two_halves(done, pct, first, top, last)
  if done < pct then return cosine(first, top, done / pct) end
  return cosine(top, last, pct < 1 and (done - pct) / (1 - pct) or 1)
end

--- schedule.one_cycle{lr=, pct=.3, div=25, div_final=1e4, moms={.95,.85}} -> function(done) -> lr, momentum
-- fastai v1's form (Smith 2018): cosine from lr/div up to lr over the first pct of the run, then down to lr/(div div_final);
-- the momentum goes the other way. Differs from one_cycle_v2 in the summit (.3, not .25), in the end (lr/(25 1e4), not
-- lr/1e5) and in the momenta. fastai v1 rounds the summit down to a whole step; its first previews warmed up in a line.
function schedule.one_cycle(o)
  local top, pct, div = o.lr, o.pct or .3, o.div or 25
  local last, moms = o.div_final or 1e4, o.moms or { .95, .85 }
  return function(done)
    return two_halves(done, pct, top / div, top, top / (div * last)), two_halves(done, pct, moms[1], moms[2], moms[1])
  end
end

--- schedule.one_cycle_v2{lr=, pct=.25, div=25, div_final=1e5, moms={.95,.85,.95}} -> function(done) -> lr, momentum
-- fastai v2's form (fit_one_cycle): cosine from lr/div up to lr over the first pct, then down to lr/div_final; momentum by
-- cosine over moms[1], moms[2], moms[3] (default: moms[1]). fastai's text learner has moms = {.8, .7, .8}.
function schedule.one_cycle_v2(o)
  local top, pct, div, last = o.lr, o.pct or .25, o.div or 25, o.div_final or 1e5
  local moms = o.moms or { .95, .85, .95 }
  return function(done)
    return two_halves(done, pct, top / div, top, top / last), two_halves(done, pct, moms[1], moms[2], moms[3] or moms[1])
  end
end

--- schedule.flat_cos{lr=, pct=.75, div_final=1e5, momentum=.9} -> function(done) -> lr, momentum
-- lr for the first pct of the run, then by cosine to lr/div_final (fastai v2's fit_flat_cos).
function schedule.flat_cos(o)
  local top, pct, last, momentum = o.lr, o.pct or .75, o.div_final or 1e5, o.momentum or .9
  return function(done) return two_halves(done, pct, top, top, top / last), momentum end
end

--- schedule.slanted{lr=, cut=.1, ratio=32, momentum=.9, steps=nil} -> function(done) -> lr, momentum
-- Slanted triangular rates (Howard & Ruder 2018, equation 3): with p = t/c for t < c and 1 - (t - c)/(c (1/cut - 1)) after,
-- lr (1 + p (ratio - 1)) / ratio. t is the step from 0 of T = steps and c = floor(T cut); without steps c = T cut.
function schedule.slanted(o)
  local top, cut, ratio, momentum = o.lr, o.cut or .1, o.ratio or 32, o.momentum or .9
  local T = o.steps or 1
  local c = o.steps and math.max(1, T * cut // 1) or cut
  return function(done)
    local t = done * T
    if o.steps then t = math.floor(t + .5) end
    local p = t < c and t / c or 1 - (t - c) / (c * (1 / cut - 1))
    return top * (1 + math.max(0, p) * (ratio - 1)) / ratio, momentum
  end
end

--- schedule.sgdr{lr=, cycles=1, mult=2, momentum=.9} -> function(done) -> lr, momentum
-- Warm restarts (Loshchilov & Hutter 2017): `cycles` cosines from lr to 0, each mult times as long as the one before
-- (fastai v2's fit_sgdr).
function schedule.sgdr(o)
  local top, cycles, mult, momentum = o.lr, o.cycles or 1, o.mult or 2, o.momentum or .9
  local whole, ends = 0, {}
  for i = 1, cycles do
    whole = whole + mult ^ (i - 1)
    ends[i] = whole
  end
  return function(done)
    local at, i = done * whole, 1
    while i < cycles and at >= ends[i] do i = i + 1 end
    local start = ends[i - 1] or 0
    return cosine(top, 0, math.min(1, (at - start) / (ends[i] - start))), momentum
  end
end

--- schedule.constant{lr=, momentum=.9} -> function(done) -> lr, momentum
function schedule.constant(o)
  return function() return o.lr, o.momentum or .9 end
end

--- schedule.exponential{lr=, from=1e-7, momentum=.9} -> function(done) -> lr, momentum
-- from (lr/from)^done, as a range test goes (Smith 2017; kooka.learn.lr_find).
function schedule.exponential(o)
  local from, momentum = o.from or 1e-7, o.momentum or .9
  return function(done) return from * (o.lr / from) ^ done, momentum end
end

--- schedule.slice(n, lr[, factor = 2.6]) -> list of n rates
-- Discriminative rates: lr for the last group, divided by factor for each group before it (Howard & Ruder 2018, section 3.2).
function schedule.slice(n, lr, factor)
  local rates = {}
  for i = 1, n do rates[i] = lr / (factor or 2.6) ^ (n - i) end
  return rates
end

--- schedule.spread(n, low, high) -> list of n rates
-- fastai's slice(low, high): in equal ratios from low for the first group to high for the last; with low = nil its
-- slice(high): high for the last group, a tenth of it for all before.
function schedule.spread(n, low, high)
  local rates = {}
  for i = 1, n do
    if not low then rates[i] = i == n and high or high / 10
    else rates[i] = n == 1 and high or low * ((high / low) ^ (1 / (n - 1))) ^ (i - 1) end
  end
  return rates
end

return schedule
