--- optim_spec: optimizers against torch.optim, tables that are updated row by row, checkpoints, averages.
local lu = require "luaunit"
local kooka = require "kooka"
local optim = require "kooka.learn.optim"
local golden = dofile((arg[0]:match "^(.*)/lua/[^/]*$" or "tests") .. "/golden/optim.lua")

-- Adds the gradients g to those of the parameters.
local function give(params, g)
  local tape <close> = kooka.tape()
  local loss
  for i, p in ipairs(params) do
    local part = (p * kooka.tensor(g[i])):sum()
    loss = loss and loss + part or part
  end
  tape:backward(loss)
end

local function equals_torch(name, make, check)
  local k = golden[name]
  local params = {}
  for i, v in ipairs(k.start) do params[i] = kooka.tensor(v):param() end
  local opt = make({ { params[1] }, { params[2] } }, k.options)
  for t, s in ipairs(k.steps) do
    give(params, s.grads)
    lu.assertAlmostEquals(opt:step(s.lr, s.momentum, golden.clip), s.norm, 1e-6)
    for i, p in ipairs(params) do
      local got = p:tolist()
      for j, want in ipairs(s.p[i]) do lu.assertAlmostEquals(got[j], want, 2e-6, ("%s, step %d"):format(name, t)) end
      for _, g in ipairs(p:grad():tolist()) do lu.assertEquals(g, 0) end
    end
    if check then check(opt, params, s, t) end
  end
end

TestTorch = {}

function TestTorch:test_adamw() equals_torch("adamw", optim.adam) end
function TestTorch:test_adam() equals_torch("adam", optim.adam) end
function TestTorch:test_sgd_without_momentum()
  equals_torch("sgd", function(groups, o)
    local opt = optim.sgd(groups, o)
    local step = opt.step
    opt.step = function(me, lr, _, clip) return step(me, lr, 0, clip) end
    return opt
  end)
end
function TestTorch:test_momentum() equals_torch("momentum", optim.sgd) end
function TestTorch:test_nesterov() equals_torch("nesterov", optim.sgd) end

local function averages(opt, params, s, t)
  if t <= opt.since then return end
  lu.assertTrue(opt:swap())
  for i, p in ipairs(params) do
    local got = p:tolist()
    for j, want in ipairs(s.average[i]) do lu.assertAlmostEquals(got[j], want, 2e-6) end
  end
  lu.assertFalse(opt:swap())
end

function TestTorch:test_asgd_and_its_average() equals_torch("asgd", optim.asgd, averages) end
function TestTorch:test_asgd_that_averages_from_the_start() equals_torch("averaged", optim.asgd, averages) end

TestAverages = {}

local function one_weight(o)
  local p = kooka.tensor { 1 }:param()
  return p, optim.asgd({ { p } }, o)
end

function TestAverages:test_the_mean_begins_behind_the_trigger()
  local p, opt = one_weight()
  local sum, n = 0, 0
  for t = 1, 9 do
    if t == 5 then opt:average() end
    lu.assertEquals(opt:swap(), t > 5)             -- before there is an average nothing is exchanged
    if t > 5 then opt:swap() end
    give({ p }, { { .1 * t } })
    opt:step(.1)
    if t > 5 then sum, n = sum + p:item(), n + 1 end
  end
  local last = p:item()
  lu.assertTrue(opt:swap())
  lu.assertAlmostEquals(p:item(), sum / n, 1e-6)
  lu.assertErrorMsgContains("swap() them out before a step", opt.step, opt, .1)
  lu.assertErrorMsgContains("swap() them out before the state", opt.state, opt)
  lu.assertFalse(opt:swap())
  lu.assertEquals(p:item(), last)
end

function TestAverages:test_where_the_average_began_is_in_the_state()
  local p, opt = one_weight()
  local q, other = one_weight { since = 3 }
  for t = 1, 6 do
    if t == 3 then opt:average() end
    give({ p }, { { .1 * t } })
    opt:step(.1)
  end
  local state, count = opt:state()
  q:copy_(p)
  other:load_state(state, count)
  for t = 7, 9 do
    for k, o in pairs { [p] = opt, [q] = other } do
      give({ k }, { { .1 * t } })
      o:step(.1)
    end
  end
  opt:swap()
  other:swap()
  lu.assertEquals(q:item(), p:item())
  lu.assertErrorMsgContains("adam keeps no averages", function() optim.adam({ { kooka.zeros(1):param() } }):swap() end)
end

TestRefusals = {}

function TestRefusals:test_unknown_options_are_named()
  lu.assertErrorMsgContains("optim.adam has no option 'beta1' (options: beta2, decay, eps)", optim.adam, { {} }, { beta1 = .9 })
  lu.assertErrorMsgContains("optim.sgd has no option 'lr'", optim.sgd, { {} }, { lr = .9 })
end

function TestRefusals:test_a_bad_parameter_leaves_the_list_as_it_was()
  local a, b = kooka.ones(3):param(), kooka.ones(3):param()
  local opt = optim.adam { { a, b } }
  give({ a, b }, { { 1, 2, 3 }, { 1, 2, 3 } })
  b:release()
  lu.assertErrorMsgContains("parameter 2, or its state, was released", opt.step, opt, .1, .9)
  lu.assertEquals(a:tolist(), { 1, 1, 1 })
  lu.assertEquals(a:grad():tolist(), { 1, 2, 3 })
  lu.assertEquals(opt.count, 0)
  local c = kooka.ones(3):param()
  give({ c }, { { 1, 2, 3 } })
  lu.assertErrorMsgContains("element 2 is", kooka.optim.sgd, { c, 5 }, nil, { lr = 1 })
  lu.assertErrorMsgContains("not a view", kooka.optim.sgd, { c, kooka.ones(4):narrow(1, 1, 2) }, nil, { lr = 1 })
  lu.assertEquals(c:tolist(), { 1, 1, 1 })
end

function TestRefusals:test_a_parameter_listed_twice_is_refused()
  local a = kooka.ones(3):param()
  lu.assertErrorMsgContains("listed twice", optim.adam, { { a }, { a } })
end

function TestRefusals:test_an_infinite_gradient_touches_nothing()
  local a = kooka.ones(2):param()
  local opt = optim.adam { { a } }
  give({ a }, { { 1, 1 / 0 } })
  lu.assertEquals(opt:step(.1, .9, 1), 1 / 0)
  lu.assertEquals(a:tolist(), { 1, 1 })
  lu.assertEquals(a:grad():tolist(), { 1, 1 / 0 })
  lu.assertEquals(opt.count, 0)
end

function TestRefusals:test_a_checkpoint_that_does_not_fit_changes_nothing()
  local a, b = kooka.ones(2):param(), kooka.ones(3):param()
  local opt, other = optim.adam { { a, b } }, optim.adam { { kooka.ones(2):param(), kooka.ones(4):param() } }
  give({ a, b }, { { 1, 1 }, { 1, 1, 1 } })
  opt:step(.1, .9)
  local state, count = opt:state()
  lu.assertErrorMsgContains("(3) in the checkpoint, (4) here", other.load_state, other, state, count)
  state["v.1.2"] = nil
  local third = optim.adam { { kooka.ones(2):param(), kooka.ones(3):param() } }
  lu.assertErrorMsgContains("lacks v.1.2", third.load_state, third, state, count)
  for _, o in ipairs { other, third } do
    lu.assertEquals(o:state()["m.1.1"]:tolist(), { 0, 0 })
    lu.assertEquals(o.count, 0)
  end
end

---- tables that are updated row by row ------------------------------------------------------------

TestRows = {}

local V, E, STEPS = 600, 60, 160

local function bits(t) return kooka.json.encode(t:tolist()) end

-- An embedding with a linear layer on top; `each(t, table, opt)` is called behind every step.
local function train(rule, o, each, from, table, weight, opt)
  table = table or kooka.random("table", 1):fill_uniform(kooka.zeros(V, E), -1, 1):param()
  weight = weight or kooka.random("weight", 1):fill_uniform(kooka.zeros(1, E), -1, 1):param()
  opt = opt or optim[rule]({ { params = { table }, rate = .5 }, { weight } }, o)
  for t = from or 1, STEPS do
    local ids = {}
    for i = 1, 12 do ids[i] = (t * i * i * 7 + t * t) % V % (i * 50) + 1 end
    do
      local tape <close> = kooka.tape()
      local y = kooka.embedding(kooka.tensor(ids, "int32"), table, { padding = 1 })
      local z = kooka.linear(y, weight)
      tape:backward((z * z):mean())
    end
    opt:step(.01 * (1 + math.sin(t)), .9 - .1 * math.cos(t), .3)
    if each then each(t, table, weight, opt) end
  end
  return table, weight, opt
end

local RULES = { adam = { decay = .1 }, sgd = { decay = .01 }, asgd = { decay = .01, since = 10 } }

-- Reading every value each step keeps the table up to date, as a dense optimizer would.
function TestRows:test_reading_the_table_at_any_time_changes_no_bit()
  for rule, o in pairs(RULES) do
    local never = train(rule, o)
    local always = train(rule, o, function(_, t) t:sum() end)
    local seldom = train(rule, o, function(at, t)
      if at % 37 == 0 then t[5]:tolist() end
      if at % 53 == 0 then kooka.linear(kooka.ones(1, E), t) end
    end)
    lu.assertEquals(bits(never), bits(always), rule)
    lu.assertEquals(bits(never), bits(seldom), rule)
  end
end

function TestRows:test_a_reader_sees_weights_that_are_up_to_date()
  local want = {}
  train("adam", { decay = .1 }, function(at, t)
    t:sum()
    if at == 100 then want = t:tolist() end
  end)
  local path = os.tmpname()
  train("adam", { decay = .1 }, function(at, t)
    if at == 100 then assert(kooka.save_safetensors(path, { table = t })) end
  end)
  lu.assertEquals(assert(kooka.load_safetensors(path)).table:tolist(), want)
  os.remove(path)
end

function TestRows:test_a_checkpoint_in_the_middle_goes_on_to_the_same_bits()
  for rule, o in pairs(RULES) do
    local whole, weight = train(rule, o)
    local saved = {}
    train(rule, o, function(at, t, w, opt)
      if at ~= 77 then return end
      local state, count = opt:state()
      saved = { table = t:clone():keep(), weight = w:clone():keep(), state = {}, count = count }
      for name, m in pairs(state) do saved.state[name] = m:clone():keep() end
    end)
    local t, w = saved.table:param(), saved.weight:param()
    local opt = optim[rule]({ { params = { t }, rate = .5 }, { w } }, o)
    opt:load_state(saved.state, saved.count)
    local again, weight2 = train(rule, o, nil, 78, t, w, opt)
    lu.assertEquals(bits(again), bits(whole), rule)
    lu.assertEquals(bits(weight2), bits(weight), rule)
  end
end

function TestRows:test_reset_makes_an_optimizer_of_no_steps()
  for _, rule in ipairs { "adam", "sgd" } do
    local want = train(rule, RULES[rule])
    local table, weight, opt = train(rule, RULES[rule], nil, 100)
    table:copy_(kooka.random("table", 1):fill_uniform(kooka.zeros(V, E), -1, 1))
    weight:copy_(kooka.random("weight", 1):fill_uniform(kooka.zeros(1, E), -1, 1))
    train(rule, nil, nil, 1, table, weight, opt:reset())
    lu.assertEquals(bits(table), bits(want), rule)
  end
  local averaged = optim.asgd({ { kooka.zeros(2):param() } }, {})
  lu.assertErrorMsgContains("asgd does not forget", averaged.reset, averaged)
end

function TestRows:test_a_table_outlives_its_optimizer()
  local function stopped(read)
    local table, _, opt = train("adam", { decay = .1 })
    if read then table:sum() end
    opt.core:close()
    return bits(table)
  end
  lu.assertEquals(stopped(false), stopped(true))
end

function TestRows:test_one_and_two_threads_give_the_same_bits()
  local threads = kooka.sys.threads()
  kooka.sys.threads(1)
  local one = bits((train("adam", { decay = .1 })))
  kooka.sys.threads(2)
  local two = bits((train("adam", { decay = .1 })))
  kooka.sys.threads(threads)
  lu.assertEquals(two, one)
end

os.exit(lu.LuaUnit.run())
