--- killed_spec: a fit that is killed at any moment, also inside an epoch, ends in the same bits as one that was not; damaged
-- checkpoints are named and the one before is used.
local lu = require "luaunit"
local helper = require "cli_helper"
local kooka = require "kooka"
local learner = require "kooka.learn.learner"
local progress = require "kooka.progress"
local small = require "small_fits"
local sys = kooka.sys

progress.quiet = true
local SCRIPT = (arg[0]:match "^(.*)/[^/]*$" or ".") .. "/killed_fit.lua"

local function child(kind, folder, step, every)
  return assert(sys.spawn({ sys.exe(), SCRIPT, kind, folder, tostring(step), tostring(every or 2) },
    { stdout = "pipe", stderr = "stdout" }))
end

local function outcome(folder)
  local log = {}
  for line in assert(sys.read_file(folder .. "/log.csv")):gmatch "[^\n]+" do
    log[#log + 1] = line:match("^" .. ("[^,]*,"):rep(9))              -- what comes behind holds times
  end
  return { sys.sha256_file(folder .. "/weights"), sys.read_file(folder .. "/history.json"), log,
    sys.sha256_file(folder .. "/fit-best.safetensors") }
end

TestKilled = {}

function TestKilled:setUp() self.dir = helper.folder() end
function TestKilled:tearDown() sys.remove_tree(self.dir) end

function TestKilled:unbroken(kind)
  local folder = self.dir .. "/whole"
  assert(sys.mkdir_p(folder))
  local c <close> = child(kind, folder, 0)
  local text = c:read_all()
  lu.assertEquals(c:wait(), 0, text)
  return outcome(folder)
end

local function no_leftovers(folder)
  for _, name in ipairs(sys.list(folder)) do
    lu.assertNil(name:match "%.new$" or name:match "%.previous$", name)
  end
end

-- Killed at its 1st, 2nd, 5th, ... step again and again, then left alone.
function TestKilled:same_bits(kind)
  local want = self:unbroken(kind)
  local folder = self.dir .. "/killed"
  assert(sys.mkdir_p(folder))
  for _, step in ipairs { 1, 3, 2, 7, 4, 5, 9, 3, 6 } do
    local c <close> = child(kind, folder, step)
    local text = c:read_all()
    lu.assertEquals(c:wait(), 137, text)
  end
  local c <close> = child(kind, folder, 0)
  local text = c:read_all()
  lu.assertEquals(c:wait(), 0, text)
  lu.assertEquals(outcome(folder), want)
  no_leftovers(folder)
end

function TestKilled:test_a_language_model_with_carried_state_and_averages()
  self:same_bits "language_model"
  lu.assertStrContains(sys.read_file(self.dir .. "/killed/history.json"), '"averaging":true')    -- NT-ASGD was in it
end
function TestKilled:test_a_classifier_with_its_best_weights() self:same_bits "classifier" end

-- Struck from outside at moments that nobody chose: also while a checkpoint is being written.
function TestKilled:test_moments_of_the_clock()
  local want = self:unbroken "language_model"
  local folder = self.dir .. "/struck"
  assert(sys.mkdir_p(folder))
  local done, kills = false, 0
  for i = 1, 60 do
    local c <close> = child("language_model", folder, 0, 1)
    local deadline = sys.now() + .03 + .011 * i * 1.05 ^ i      -- far apart at the end, for a machine that is busy
    while sys.now() < deadline and not done do done = c:wait(.002) ~= nil end
    if not done then c:kill("kill") end
    local text = c:read_all()
    local status = c:wait()
    done = status == 0
    lu.assertTrue(done or status == 137, text)
    if done then break end
    kills = kills + 1
  end
  lu.assertTrue(done and kills > 0, kills)
  lu.assertEquals(outcome(folder), want)
end

TestDamaged = {}

function TestDamaged:setUp() self.dir = helper.folder() end
function TestDamaged:tearDown()
  sys.stop_clear()
  sys.remove_tree(self.dir)
end

-- Two epochs of three, then a stop: a checkpoint and the one before it.
function TestDamaged:half(lines)
  kooka.seed(3)
  local o = small.classifier(self.dir)
  o.checkpoint = self.dir .. "/c.safetensors"
  o.say = function(line) lines[#lines + 1] = line end
  return o
end

function TestDamaged:test_a_truncated_or_changed_checkpoint_is_named_and_the_one_before_used()
  local whole = self:half {}
  whole.checkpoint = nil
  learner.fit(whole)
  local want = kooka.json.encode(whole.model.linear2.weight:tolist())
  local spoil = { cut = function(text) return text:sub(1, #text - 100) end, header = function(text) return text:sub(1, 20) end,
    bit = function(text) return text:sub(1, -200) .. string.char(text:byte(-199) ~ 4) .. text:sub(-198) end,
    empty = function() return "" end }
  for name, damage in pairs(spoil) do
    local lines = {}
    local o = self:half(lines)
    o.log = function(record) if record.epoch == 2 then sys.stop() end end
    lu.assertFalse((pcall(learner.fit, o)))
    sys.stop_clear()
    assert(sys.write_file(o.checkpoint, damage(sys.read_file(o.checkpoint))))
    lines = {}
    local again = self:half(lines)
    learner.fit(again)
    lu.assertStrContains(lines[1], "checkpoint " .. o.checkpoint .. ": its contents are not those that were written")
    lu.assertStrContains(lines[1], "going on from the one before it")
    lu.assertEquals(kooka.json.encode(again.model.linear2.weight:tolist()), want, name)
    for _, ending in ipairs { "", ".sums" } do sys.remove(o.checkpoint .. ending) end
  end
end

-- Checkpoints as they were written before there were sums and places inside epochs.
function TestDamaged:test_a_checkpoint_of_an_earlier_version_goes_on()
  local whole = self:half {}
  whole.checkpoint = nil
  learner.fit(whole)
  local o = self:half {}
  o.log = function(record) if record.epoch == 2 then sys.stop() end end
  o.callbacks = { { before_step = function(_, fit) lu.assertTrue(fit.epoch < 3 or fit.step < 2) end } }
  o.checkpoint_steps = 1000
  pcall(learner.fit, o)
  sys.stop_clear()
  local all, meta = kooka.load_safetensors(o.checkpoint .. ".previous")
  lu.assertEquals(meta.epoch, "2")
  meta.at = nil
  assert(kooka.save_safetensors(o.checkpoint, all, meta))
  for _, ending in ipairs { ".sums", ".previous" } do assert(sys.remove(o.checkpoint .. ending)) end
  local again = self:half {}
  learner.fit(again)
  lu.assertEquals(kooka.json.encode(again.model.linear2.weight:tolist()), kooka.json.encode(whole.model.linear2.weight:tolist()))
end

function TestDamaged:test_another_kind_of_file_is_refused()
  local o = self:half {}
  assert(kooka.save_safetensors(o.checkpoint, { weight = kooka.zeros(2) }))
  lu.assertErrorMsgContains("is not the checkpoint of a fit: its metadata lack epoch", learner.fit, o)
  assert(kooka.save_safetensors(o.checkpoint, { weight = kooka.zeros(2) }, { epoch = "1", count = "1", history = "[]" }))
  lu.assertErrorMsgContains("is not the checkpoint of a fit: it holds a tensor 'weight'", learner.fit, o)
end

function TestDamaged:test_two_damaged_ones_are_an_error_that_names_both()
  local o = self:half {}
  o.log = function(record) if record.epoch == 2 then sys.stop() end end
  pcall(learner.fit, o)
  sys.stop_clear()
  for _, ending in ipairs { "", ".previous" } do assert(sys.write_file(o.checkpoint .. ending, "half")) end
  local _, message = pcall(learner.fit, self:half {})
  lu.assertStrContains(message, "c.safetensors: its contents")
  lu.assertStrContains(message, "c.safetensors.previous: its contents")
end

function TestDamaged:test_another_optimizer_or_other_batches_are_refused()
  local o = self:half {}
  o.callbacks = { { after_step = function(_, fit) if fit.epoch == 2 and fit.step == 3 then sys.stop() end end } }
  pcall(learner.fit, o)
  sys.stop_clear()
  local other = self:half {}
  other.accumulate = 2
  lu.assertErrorMsgContains("stands at step 3 of", learner.fit, other)
  other = self:half {}
  other.optimizer = "sgd"
  lu.assertErrorMsgContains("optimizer: the checkpoint lacks b.", learner.fit, other)
end

os.exit(lu.LuaUnit.run())
