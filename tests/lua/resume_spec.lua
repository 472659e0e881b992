--- resume_spec: a run or a fit that was killed or interrupted goes on and ends as if nothing had happened.
local lu = require "luaunit"
local helper = require "cli_helper"
local kooka = require "kooka"
local learner = require "kooka.learn.learner"
local progress = require "kooka.progress"
local small = require "small_fits"
local sys = kooka.sys

progress.quiet = true

TestFit = {}

function TestFit:setUp() self.dir = helper.folder() end
function TestFit:tearDown()
  sys.stop_clear()
  sys.remove_tree(self.dir)
end

local function weights(self, model)
  local path = self.dir .. "/weights.safetensors"
  assert(model:save(path))
  return sys.sha256(assert(sys.read_file(path)))
end

-- Three epochs at a stretch, and three with a stop behind the first and a new model; the weights must be the same bits.
local function goes_on(self, make)
  kooka.seed(3)
  local whole = make(self.dir)
  whole.epochs = 3
  local history = learner.fit(whole)

  local path = self.dir .. "/checkpoint.safetensors"
  kooka.seed(3)
  local first = make(self.dir)
  first.epochs, first.checkpoint = 3, path
  first.log = function(record) if record.epoch == 1 then sys.stop() end end
  local ok, message = pcall(learner.fit, first)
  lu.assertEquals({ ok, message }, { false, "interrupted" })
  lu.assertTrue(first.model.training)
  sys.stop_clear()

  kooka.seed(1234)                        -- where the random stream stood comes from the checkpoint
  local second = make(self.dir, 9)        -- other first weights: they come from it too
  second.train, second.epochs, second.checkpoint = make(self.dir).train, 3, path
  local epochs = {}
  second.log = function(record) epochs[#epochs + 1] = record.epoch end
  local past = learner.fit(second)
  lu.assertEquals(epochs, { 2, 3 })
  lu.assertEquals(#past, 3)
  for i = 1, 3 do
    lu.assertEquals(past[i].train_loss, history[i].train_loss)
    lu.assertEquals(past[i].valid_loss, history[i].valid_loss)
  end
  lu.assertEquals(weights(self, second.model), weights(self, whole.model))
end

function TestFit:test_a_language_model_goes_on_to_the_same_bits() goes_on(self, small.language_model) end
function TestFit:test_a_classifier_goes_on_to_the_same_bits() goes_on(self, small.classifier) end

function TestFit:test_a_finished_fit_is_not_done_again()
  local o = small.classifier(self.dir)
  o.checkpoint = self.dir .. "/checkpoint.safetensors"
  learner.fit(o)
  local before = weights(self, o.model)
  local again = small.classifier(self.dir, 5)
  again.checkpoint, again.log = o.checkpoint, function() error("an epoch was run") end
  learner.fit(again)
  lu.assertEquals(weights(self, again.model), before)
end

function TestFit:test_a_checkpoint_that_cannot_be_read_is_an_error()
  local o = small.classifier(self.dir)
  o.checkpoint = self.dir .. "/checkpoint.safetensors"
  assert(sys.write_file(o.checkpoint, "half a file"))
  local ok, message = pcall(learner.fit, o)
  lu.assertFalse(ok)
  lu.assertStrContains(message, o.checkpoint)
  lu.assertStrContains(message, "no whole one is left: remove " .. o.checkpoint .. "* and this fit begins anew")
end

TestRuns = {}

-- Commands are the program's own business: tried once, from build/kooka.
function TestRuns:setUp()
  lu.skipIf(not kooka.core.module_source, "the program is tested from build/kooka")
  self.dir = helper.folder()
end

function TestRuns:tearDown()
  if self.dir then sys.remove_tree(self.dir) end
end

local function files_below(folder, list)
  list = list or {}
  for _, name in ipairs(sys.list(folder) or {}) do
    local path = folder .. "/" .. name
    if sys.stat(path).type == "folder" then files_below(path, list) else list[#list + 1] = path end
  end
  return list
end

local KEPT = { "predictions/users.csv", "metrics.json", "tokenizer.model", "language-model.safetensors",
  "model/classifier-1/model.safetensors", "model/classifier-2/model.safetensors" }

-- What a run found out, as hashes.
local function outcome(folder)
  local found = {}
  for _, name in ipairs(KEPT) do found[name] = sys.sha256(assert(sys.read_file(folder .. "/" .. name))) end
  return found
end

local function unbroken(self, arguments)
  local folder = self.dir .. "/unbroken"
  local argv = table.move(arguments, 1, #arguments, 1, {})
  table.move({ "--out", folder }, 1, 2, #argv + 1, argv)
  local status, _, err = helper.run(argv)
  lu.assertEquals(status, 0, err)
  return outcome(folder)
end

-- Starts the program and sends a signal as soon as the file is there; its exit status and output.
local function struck(argv, file, signal)
  local child <close> = helper.start(argv)
  local deadline = sys.now() + 60
  while not sys.exists(file) and not child:wait(0.005) do
    lu.assertTrue(sys.now() < deadline, file .. " was not there after a minute")
  end
  child:kill(signal)
  local text = child:read_all()
  return child:wait(), text
end

local ROAD = { "run", "road", "--smoke", "--seed", "3", "--tune-epochs", "0", "--lm-epochs", "3" }

function TestRuns:test_a_run_killed_again_and_again_ends_as_if_it_had_not_been()
  local want = unbroken(self, ROAD)
  local folder = self.dir .. "/killed"
  local first = table.move(ROAD, 1, #ROAD, 1, {})
  table.move({ "--out", folder }, 1, 2, #first + 1, first)
  local kills = 0
  for _, moment in ipairs { "collected.sqlite", "stages/collect.json", "checkpoints/language-model.safetensors",
    "checkpoints/classifier-1-1.safetensors", "stages/heads-1.json", "model/classifier-2/model.safetensors" } do
    local argv = kills == 0 and first or { "run", "--resume", folder }
    local status, text = struck(argv, folder .. "/" .. moment, "kill")
    lu.assertEquals(status, 137, moment .. ": " .. text)
    kills = kills + 1
  end
  local status, out, err = helper.run { "run", "--resume", folder }
  lu.assertEquals(status, 0, out .. err)
  lu.assertEquals(outcome(folder), want)
  for _, path in ipairs(files_below(folder)) do lu.assertNil(path:match("%.tmp%-%d+$"), path) end
  lu.assertEquals(kooka.json.decode(sys.read_file(folder .. "/config.json")).status, "done")
end

function TestRuns:test_ctrl_c_says_how_to_go_on_and_the_last_epoch_is_used()
  local want = unbroken(self, ROAD)
  local folder = self.dir .. "/interrupted"
  local argv = table.move(ROAD, 1, #ROAD, 1, {})
  table.move({ "--out", folder }, 1, 2, #argv + 1, argv)
  local status, text = struck(argv, folder .. "/checkpoints/language-model.safetensors", "int")
  lu.assertEquals(status, 130, text)
  lu.assertStrContains(text, "kooka run: interrupted; go on with: kooka run --resume " .. folder)
  lu.assertNil(text:find("traceback", 1, true), text)
  lu.assertEquals(kooka.json.decode(sys.read_file(folder .. "/config.json")).status, "interrupted")
  local code, out, err = helper.run { "run", "--resume", folder }
  lu.assertEquals(code, 0, out .. err)
  local epochs = {}
  for line in sys.read_file(folder .. "/log.jsonl"):gmatch("[^\n]+") do
    local record = assert(kooka.json.decode(line))
    if record.label == "language-model" then epochs[#epochs + 1] = record.epoch end
  end
  lu.assertEquals(epochs, { 1, 2, 3 })
  lu.assertEquals(outcome(folder), want)
end

os.exit(lu.LuaUnit.run())
