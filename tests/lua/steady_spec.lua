--- steady_spec: a training step in its steady state asks the system for no memory and leaves nothing behind in Lua.
local lu = require "luaunit"
local kooka = require "kooka"
local cases = require "kooka.bench.cases"
local sys = kooka.sys

-- A table of 700 rows of 50 is large enough to be updated row by row in the classifier; in the language model it is tied.
local function open(name)
  local z = {}
  for k, v in pairs(cases[name].tiny) do z[k] = v end
  z.V, z.E = 700, 50
  return cases[name].open(z)
end

local function steps(step, n)
  for _ = 1, n do
    step()
    collectgarbage()
  end
end

local function asks_for_nothing(name)
  local step = open(name)
  steps(step, 4)
  local live, _, _, taken = sys.memory()
  local lua = collectgarbage "count"
  steps(step, 40)
  local live2, _, _, taken2 = sys.memory()
  lu.assertEquals(taken2 - taken, 0)
  lu.assertEquals(live2 - live, 0)
  lu.assertTrue(collectgarbage "count" - lua < .5, "Lua's heap grew")
end

-- Without the collector at each step, handles lie about until it comes; none may be held for ever.
local function holds_nothing(name)
  local step = open(name)
  steps(step, 4)
  local live = sys.memory()
  local lua = collectgarbage "count"
  for _ = 1, 300 do step() end
  collectgarbage()
  collectgarbage()
  lu.assertEquals(sys.memory() - live, 0)
  lu.assertTrue(collectgarbage "count" - lua < .5, "Lua's heap grew")
end

TestSteady = {}

function TestSteady:test_a_language_model_s_step_asks_for_nothing() asks_for_nothing "lm" end
function TestSteady:test_a_classifier_s_step_asks_for_nothing() asks_for_nothing "classifier" end
function TestSteady:test_a_language_model_s_steps_hold_nothing() holds_nothing "lm" end
function TestSteady:test_a_classifier_s_steps_hold_nothing() holds_nothing "classifier" end

function TestSteady:test_the_optimizer_alone_makes_no_garbage_in_lua()
  for _, rule in ipairs { "adam", "sgd", "asgd" } do
    local p = kooka.randn(100):keep():param()
    local opt = kooka.learn.optim[rule] { { p } }
    do
      local tape <close> = kooka.tape()
      tape:backward((p * p):sum())
    end
    local _, _, _, taken = sys.memory()
    opt:step(1e-3, .9, .1)
    collectgarbage()
    collectgarbage "stop"
    local lua = collectgarbage "count"
    for _ = 1, 1000 do opt:step(1e-3, .9, .1) end
    lu.assertTrue(collectgarbage "count" - lua < .1, rule)
    collectgarbage "restart"
    lu.assertEquals(select(4, sys.memory()), taken)
  end
end

os.exit(lu.LuaUnit.run())
