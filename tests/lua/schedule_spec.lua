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
