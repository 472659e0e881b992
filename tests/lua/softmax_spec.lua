--- The softmaxes of language models: the fused loss, adaptive and sampled softmax.
local lu = require "luaunit"
local kooka = require "kooka"
local nn = require "kooka.nn"
local golden = dofile((arg[0]:match "^(.*)/lua/[^/]*$" or "tests") .. "/golden/adaptive_softmax.lua")

local function close(got, want, tolerance, what)
  if type(want) ~= "table" then return lu.assertAlmostEquals(got, want, tolerance, what) end
  lu.assertEquals(#got, #want, what)
  for i = 1, #want do close(got[i], want[i], tolerance, what) end
end

local function int(t) return kooka.tensor(t, "int32") end

-- Gradients of a loss for parameters, as tables; they are zero afterwards.
local function gradients(params, loss_of)
  local out = {}
  do
    local tape <close> = kooka.tape()
    tape:backward((loss_of()))
    for i, p in ipairs(params) do out[i] = p:grad():reshape(-1):tolist() end
  end
  kooka.optim.zero_grad(params)
  return out
end

local function distance(a, b)
  local d, n = 0, 0
  for i = 1, #a do
    for j = 1, #a[i] do
      d = d + (a[i][j] - b[i][j]) ^ 2
      n = n + b[i][j] ^ 2
    end
  end
  return math.sqrt(d / n)
end

local function problem(N, D, V)
  local s = kooka.random("softmax spec", 1)
  return { x = kooka.randn(N, D, s):keep():param(), w = kooka.randn(V, D, s):keep():param(),
    b = kooka.randn(V, s):keep():param(), y = kooka.randint(0, V, N, s):keep() }
end

TestFused = {}

function TestFused:test_it_equals_linear_and_cross_entropy_apart()
  local p = problem(300, 9, 700)
  local weights = (kooka.randn(700, kooka.random("w", 1)):abs() + .1):keep()
  for _, o in ipairs { { smoothing = 0 }, { smoothing = .1 }, { smoothing = .2, weights = weights } } do
    local params = { p.x, p.w, p.b }
    local stats, other
    local one = gradients(params, function()
      local loss, s = kooka.linear_cross_entropy(p.x, p.w, p.b, p.y, o.weights, { smoothing = o.smoothing })
      stats = s:tolist()
      stats[4] = loss:item()
      return loss
    end)
    local two = gradients(params, function()
      local loss, s = kooka.cross_entropy(kooka.linear(p.x, p.w, p.b), p.y, nil, o.weights, { smoothing = o.smoothing })
      other = s:tolist()
      other[4] = loss:item()
      return loss
    end)
    close(stats, other, 1e-3)
    lu.assertEquals({ stats[2], stats[3] }, { other[2], other[3] })
    lu.assertTrue(distance(one, two) < 1e-5)
  end
end

function TestFused:test_its_rows_add_up_to_its_stats()
  local p = problem(40, 5, 30)
  local scope <close> = kooka.scope()
  local _, stats, nll, hit = kooka.linear_cross_entropy(p.x:reshape(8, 5, 5), p.w, p.b, p.y:reshape(8, 5))
  lu.assertEquals(nll:shape(), { 8, 5 })
  lu.assertAlmostEquals(nll:sum():item(), stats:tolist()[1], 1e-4)
  lu.assertEquals(hit:sum():item(), stats:tolist()[3])
end

function TestFused:test_the_logits_of_all_tokens_are_never_in_memory()
  local N, V = 5000, 4000
  local p = problem(N, 8, V)
  local before = kooka.sys.memory()
  local tape <close> = kooka.tape()
  local loss = kooka.linear_cross_entropy(p.x, p.w, p.b, p.y)
  tape:backward(loss)
  local _, peak = kooka.sys.memory()
  lu.assertTrue(peak - before < N * V * 4 / 2, ("%d bytes"):format(peak - before))
end

TestLanguageModel = {}

local function model(options)
  local o = { vocab = 60, embed = 8, hidden = 10, layers = 2, drop = 0, alpha = 0, beta = 0, seed = 3 }
  for k, v in pairs(options or {}) do o[k] = v end
  return nn.language_model(o)
end

local function batch()
  local s = kooka.random("batch", 1)
  return { x = kooka.randint(1, 60, 7, 4, s):keep(), y = kooka.randint(1, 60, 7, 4, s):keep() }
end

function TestLanguageModel:test_loss_and_stats_are_those_of_its_logits()
  for _, kind in ipairs { "full", "adaptive", "sampled" } do
    local m, data = model({ softmax = kind }):eval(), batch()
    local scope <close> = kooka.scope()
    local loss, stats = m:loss(data)
    local want, want_stats = kooka.cross_entropy(m(data.x), data.y)
    lu.assertAlmostEquals(loss:item(), want:item(), 1e-5)
    lu.assertAlmostEquals(stats:tolist()[1], want_stats:tolist()[1], 1e-3)
    lu.assertEquals(stats:tolist()[2], 28)
    if kind ~= "adaptive" then lu.assertEquals(stats:tolist()[3], want_stats:tolist()[3]) end
  end
end

function TestLanguageModel:test_another_softmax_is_refused()
  lu.assertErrorMsgContains("softmax is hierarchical, expected full, adaptive or sampled", model, { softmax = "hierarchical" })
end

-- A stream in which each id tells the next; ids are Zipf's.
local function trained(kind, options)
  options.softmax, options.seed = kind, 5
  local m = model(options)
  local s = kooka.random("train", 2)
  local opt = require("kooka.learn.optim").adam(m:groups())
  local u = kooka.rand(20 * 64, s):tolist()
  local ids = {}
  for i = 1, #u do ids[i] = math.max(1, math.min(60, math.floor(61 ^ u[i]))) end
  local x = int(ids):reshape(20, 64):keep()
  local y = (60 - x + 1):keep()
  if y:dtype() ~= "int32" then y = int(y:tolist()):keep() end
  m:train()
  for _ = 1, 200 do
    local tape <close> = kooka.tape()
    tape:backward((m:loss { x = x, y = y }))
    opt:step(2e-2, .9, 1)
  end
  m:eval()
  local scope <close> = kooka.scope()
  local _, stats = m:loss { x = x, y = y }
  local v = stats:tolist()
  return v[1] / v[2], v[3] / v[2]
end

function TestLanguageModel:test_each_softmax_learns()
  -- 600 words, 60 of which occur: uniform guessing costs log 600 = 6.4. The sampled softmax sees about 100.
  for _, kind in ipairs { "full", "adaptive", "sampled" } do
    local nll, right = trained(kind, { vocab = 600, embed = 24, hidden = 24, layers = 1, cutoffs = { 10, 30 },
      samples = 60 })
    lu.assertTrue(nll < .4, ("%s: %.3f a token"):format(kind, nll))
    lu.assertTrue(right > .9, ("%s: %.3f right"):format(kind, right))
  end
end

TestAdaptive = {}

local function from_golden(k)
  local m = nn.adaptive_softmax { inputs = #k.x[1], classes = #k.log_prob[1], cutoffs = k.cutoffs, div = k.div }
  for name, p in pairs(m:state()) do
    if k[name] then p:copy_(kooka.tensor(k[name])) end
  end
  return m
end

function TestAdaptive:test_loss_gradients_and_log_probabilities_are_torch_s()
  for name, k in pairs(golden) do
    local m = from_golden(k)
    local x, y = kooka.tensor(k.x):keep():param(), int(k.y):keep()
    local nll, hits = 0, 0
    for i, v in ipairs(k.log_p) do
      nll = nll - v
      hits = hits + (k.greedy[i] == k.y[i] and 1 or 0)
    end
    do
      local tape <close> = kooka.tape()
      local loss, stats = m:loss(x, y)
      tape:backward(loss)
      lu.assertAlmostEquals(loss:item(), k.loss, 1e-5, name)
      close(stats:tolist(), { nll, #k.y, hits }, 1e-4, name)
    end
    local scope <close> = kooka.scope()
    close(x:grad():tolist(), k.dx, 1e-5, name .. " dx")
    for parameter in pairs(m:state()) do
      if k["d" .. parameter] then close(m[parameter]:grad():tolist(), k["d" .. parameter], 1e-5, name .. " d" .. parameter) end
    end
    close(m:log_prob(x):tolist(), k.log_prob, 1e-5, name)
  end
end

local function adaptive(tied)
  local p = problem(50, 6, 40)
  return nn.adaptive_softmax { inputs = 6, classes = 40, cutoffs = { 5, 12, 30 }, div = 2,
    tied = tied and { weight = p.w, bias = p.b } or nil }, p
end

function TestAdaptive:test_probabilities_add_up_to_one()
  for _, tied in ipairs { false, true } do
    local m, p = adaptive(tied)
    local scope <close> = kooka.scope()
    local lp = m(p.x)
    lu.assertEquals(lp:shape(), { 50, 40 })
    for _, s in ipairs(lp:exp():sum { dim = -1 }:tolist()) do lu.assertAlmostEquals(s, 1, 1e-5) end
  end
end

function TestAdaptive:test_loss_and_gradient_are_those_of_the_log_probabilities()
  for _, tied in ipairs { false, true } do
    local m, p = adaptive(tied)
    local params = m:parameters()
    table.move(tied and { p.x, p.w, p.b } or { p.x }, 1, tied and 3 or 1, #params + 1, params)
    local one = gradients(params, function() return m:loss(p.x, p.y) end)
    local two = gradients(params, function() return kooka.cross_entropy(m(p.x), p.y) end)
    lu.assertTrue(distance(one, two) < 1e-5)
  end
end

function TestAdaptive:test_cutoffs_that_do_not_rise_are_refused()
  for _, cutoffs in ipairs { {}, { 5, 5 }, { 0 }, { 40 }, { 2.5 } } do
    lu.assertErrorMsgContains("cutoffs", nn.adaptive_softmax, { inputs = 4, classes = 40, cutoffs = cutoffs })
  end
end

function TestAdaptive:test_a_batch_without_targets_has_no_loss()
  local m, p = adaptive(false)
  local scope <close> = kooka.scope()
  local loss, stats = m:loss(p.x, kooka.zeros(50, "int32"))
  lu.assertEquals(loss:item(), 0)
  lu.assertEquals(stats:tolist(), { 0, 0, 0 })
end

TestSampled = {}

function TestSampled:test_words_looked_at_are_the_targets_and_what_was_drawn()
  local scope <close> = kooka.scope()
  local y = int { 7, 90, 0, 7, 100 }
  local ids, correction, place = kooka.sample_classes(y, { classes = 100, samples = 20, stream = kooka.random("s", 1) })
  local list, at = ids:tolist(), place:tolist()
  for i = 2, #list do lu.assertTrue(list[i - 1] < list[i]) end
  lu.assertTrue(#list > 3 and #list <= 23)
  lu.assertEquals({ list[at[1]], list[at[2]], at[3], list[at[4]], list[at[5]] }, { 7, 90, 0, 7, 100 })
  for i, c in ipairs(correction:tolist()) do
    local q = math.log(1 + 1 / list[i]) / math.log(101)
    local certain = list[i] == 7 or list[i] == 90 or list[i] == 100
    lu.assertAlmostEquals(c, certain and 0 or -math.log(1 - (1 - q) ^ 20), 1e-5)
  end
end

function TestSampled:test_words_are_drawn_as_often_as_the_correction_says()
  local seen, trials, s = {}, 2000, kooka.random("draws", 1)
  local y = int { 0 }
  for _ = 1, trials do
    local scope <close> = kooka.scope()
    local ids = kooka.sample_classes(y, { classes = 30, samples = 8, stream = s })
    for _, id in ipairs(ids:tolist()) do seen[id] = (seen[id] or 0) + 1 end
  end
  for _, id in ipairs { 1, 2, 5, 15, 30 } do
    local want = 1 - (1 - math.log(1 + 1 / id) / math.log(31)) ^ 8
    lu.assertAlmostEquals(seen[id] / trials, want, 4 * math.sqrt(want * (1 - want) / trials))
  end
end

function TestSampled:test_its_mean_gradient_approaches_the_full_one_as_samples_grow()
  local p = problem(40, 5, 200)
  local params = { p.x, p.w, p.b }
  local full = gradients(params, function() return kooka.linear_cross_entropy(p.x, p.w, p.b, p.y) end)
  local off = {}
  for k, samples in ipairs { 5, 40, 400, 40000 } do
    local mean, trials, s = nil, samples > 4000 and 1 or 60, kooka.random("trials", 1)
    for _ = 1, trials do
      local g = gradients(params, function()
        return nn.sampled_softmax(p.x, p.w, p.b, p.y, { samples = samples, stream = s })
      end)
      if not mean then mean = g else
        for i = 1, #g do for j = 1, #g[i] do mean[i][j] = mean[i][j] + g[i][j] end end
      end
    end
    for i = 1, #mean do for j = 1, #mean[i] do mean[i][j] = mean[i][j] / trials end end
    off[k] = distance(mean, full)
    if k > 1 then lu.assertTrue(off[k] < off[k - 1], ("%d samples: %.4f"):format(samples, off[k])) end
  end
  lu.assertTrue(off[3] < .15, ("400 samples: %.4f"):format(off[3]))
  lu.assertTrue(off[4] < 1e-5, ("40,000 samples: %.2g"):format(off[4]))
end

os.exit(lu.LuaUnit.run())
