--- schedule_spec: schedules, rates of groups and suggestions of the range test against fastai 2.8 (tests/golden/learn.lua).
local lu = require "luaunit"
local kooka = require "kooka"
local lr_find = require "kooka.learn.lr_find"
local schedule = require "kooka.learn.schedule"
local suggest = require "kooka.learn.suggest"
local golden = dofile((arg[0]:match "^(.*)/lua/[^/]*$" or "tests") .. "/golden/learn.lua")

local function near(got, want, name, tolerance)
  lu.assertTrue(math.abs(got - want) <= tolerance, ("%s: %.9g, fastai has %.9g"):format(name, got, want))
end

TestGolden = {}

-- fastai's positions are float32: shares of a run differ by 1e-7 or so.
local function as_fastai(name, more)
  for _, case in ipairs(golden[name]) do
    local o = {}
    for k, v in pairs(case.options) do o[k] = v end
    for k, v in pairs(more or {}) do o[k] = v end
    local at = schedule[name](o)
    for i, share in ipairs(golden.shares) do
      local lr, momentum = at(share)
      near(lr, case.want.lr[i], name .. " lr", 4e-7 * o.lr)
      if case.want.momentum then near(momentum, case.want.momentum[i], name .. " momentum", 4e-7) end
    end
  end
end

function TestGolden:test_one_cycle_of_v2() as_fastai "one_cycle_v2" end
function TestGolden:test_flat_cosine() as_fastai "flat_cos" end
function TestGolden:test_warm_restarts() as_fastai "sgdr" end
function TestGolden:test_the_slanted_triangle_is_equation_3() as_fastai("slanted", { steps = #golden.shares }) end

function TestGolden:test_spread_is_even_mults()
  for _, case in ipairs(golden.spread) do
    local got = schedule.spread(case.n, case.low, case.high)
    lu.assertEquals(#got, case.n)
    for i, want in ipairs(case.want) do near(got[i], want, "spread", 1e-8 * want) end
  end
  local got = schedule.spread(3, nil, 1e-2)           -- slice(1e-2)
  for i, want in ipairs { 1e-3, 1e-3, 1e-2 } do lu.assertAlmostEquals(got[i], want, 1e-15) end
end

function TestGolden:test_suggestions_are_fastais()
  for i, case in ipairs(golden.range_tests) do
    for _, name in ipairs { "valley", "steep", "slide", "minimum" } do
      local lr = suggest[name](case.lrs, case.losses)
      near(lr / case[name], 1, ("%s of range test %d"):format(name, i), 1e-6)
    end
  end
end

-- A model whose loss is what the range test of the golden file saw, step by step.
local function played(losses)
  local model = kooka.nn.linear { inputs = 1, outputs = 1 }
  local k = 0
  model.groups = function(m) return { m:parameters() } end
  model.loss = function(m)
    k = k + 1
    return (m(kooka.zeros(1, 1)) * 0):sum() + losses[k], kooka.zeros(3)
  end
  return model
end

local function counting(n)
  return { unit = "doc", steps = function() return n end, epoch = function()
    local k = 0
    return function()
      k = k + 1
      if k <= n then return k, { n = 1 } end
    end
  end }
end

function TestGolden:test_the_whole_range_test_smooths_stops_and_suggests_as_fastai()
  for i, case in ipairs(golden.range_tests) do
    local r = lr_find { fit = { model = played(case.raw), train = counting(7) }, steps = case.steps, show = false }
    lu.assertEquals(#r.losses, #case.smoothed, "steps of range test " .. i)
    for k, want in ipairs(case.smoothed) do near(r.losses[k] / want, 1, "smoothed loss", 2e-5) end
    lu.assertEquals(#r.x, #case.lrs)
    for k, want in ipairs(case.lrs) do near(r.x[k] / want, 1, "rate", 1e-6) end
    for _, name in ipairs { "steep", "slide", "minimum" } do near(r[name] / case[name], 1, name, 1e-6) end
  end
end

TestForms = {}

function TestForms:test_v1_ends_lower_than_v2_and_at_a_later_summit()
  local v1, v2 = schedule.one_cycle { lr = 1 }, schedule.one_cycle_v2 { lr = 1 }
  lu.assertAlmostEquals(v1(0), 1 / 25, 1e-12)
  lu.assertAlmostEquals(v1(.3), 1, 1e-12)
  lu.assertAlmostEquals(v1(1), 1 / 25e4, 1e-12)
  lu.assertAlmostEquals(v2(.25), 1, 1e-12)
  lu.assertAlmostEquals(v2(1), 1e-5, 1e-12)
end

-- fastai v1's OneCycleScheduler, written again step by step as it went: two phases of whole steps, each a counter that moves behind a
-- batch and hands over when it is full; final_div = div 1e4. Answers what each of `total` steps was taken with.
local function v1_steps(total, lr, o)
  local first = math.floor(total * o.pct)
  local phases = { { n = first, lr = { lr / o.div, lr }, mom = { o.moms[1], o.moms[2] } },
    { n = total - first, lr = { lr, lr / (o.div * 1e4) }, mom = { o.moms[2], o.moms[1] } } }
  local function between(pair, share) return pair[2] + (pair[1] - pair[2]) / 2 * (math.cos(math.pi * share) + 1) end
  local list, phase, at, now, mom = {}, 1, 0, phases[1].lr[1], phases[1].mom[1]
  for step = 1, total do
    list[step] = { now, mom }
    local p = phases[phase]
    if p then
      at = at + 1
      now, mom = between(p.lr, at / p.n), between(p.mom, at / p.n)
      if at >= p.n then phase, at = phase + 1, 0 end
    end
  end
  return list
end

function TestForms:test_one_cycle_of_v1_is_a_plain_stepper_s()
  for _, case in ipairs { { 10, .3, 25 }, { 100, .3, 25 }, { 1000, .3, 10 }, { 400, .25, 25 }, { 50, .02, 25 }, { 7, 3 / 7, 40 } } do
    local o = { lr = .02, pct = case[2], div = case[3], moms = { .8, .7 } }
    local ours, theirs = schedule.one_cycle(o), v1_steps(case[1], o.lr, o)
    for k, want in ipairs(theirs) do
      local lr, mom = ours((k - 1) / case[1])
      lu.assertAlmostEquals(lr / want[1], 1, 1e-9, ("step %d of %d"):format(k, case[1]))
      lu.assertAlmostEquals(mom, want[2], 1e-12)
    end
  end
end

function TestForms:test_one_cycle_of_v1_differs_by_less_than_a_step_where_the_summit_is_no_whole_step()
  local o = { lr = 1, pct = .3, div = 25, moms = { .95, .85 } }
  for _, total in ipairs { 37, 337, 1001 } do
    local ours, theirs = schedule.one_cycle(o), v1_steps(total, 1, o)
    for k = 2, total - 1 do
      -- v1's summit comes up to a step early: its rate lies between ours one step before and one behind
      local a, b, c = ours((k - 2) / total), ours((k - 1) / total), ours(k / total)
      local low, high = math.min(a, b, c), math.max(a, b, c)
      if b < .999 then lu.assertTrue(theirs[k][1] >= low - 1e-9 and theirs[k][1] <= high + 1e-9, ("step %d of %d"):format(k, total)) end
    end
  end
end

function TestForms:test_every_schedule_is_proportional_to_its_rate()
  for _, name in ipairs { "one_cycle", "one_cycle_v2", "flat_cos", "slanted", "sgdr", "constant" } do
    local one, three = schedule[name] { lr = 1, steps = 50 }, schedule[name] { lr = 3, steps = 50 }
    for k = 0, 50 do
      local a, b = one(k / 50), three(k / 50)
      lu.assertAlmostEquals(3 * a, b, 1e-12, name)
      lu.assertTrue(a >= 0 and a <= 1, name)
    end
  end
end

function TestForms:test_suggestions_need_points()
  lu.assertErrorMsgContains("10 points, expected more than lr_diff = 15", suggest.slide, { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 },
    { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 })
end

os.exit(lu.LuaUnit.run())
