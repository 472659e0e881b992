--- determinism_spec: the same seed gives the same bits, whatever the number of threads.
local lu = require "luaunit"
local helper = require "cli_helper"
local kooka = require "kooka"
local learner = require "kooka.learn.learner"
local progress = require "kooka.progress"
local small = require "small_fits"
local sys = kooka.sys

progress.quiet = true

local function sha_of_file(path) return sys.sha256(assert(sys.read_file(path))) end

TestThreads = {}

function TestThreads:setUp()
  self.dir, self.threads = helper.folder(), sys.threads()
end

function TestThreads:tearDown()
  sys.threads(self.threads)
  sys.remove_tree(self.dir)
end

-- Hash of the weights that a fit of `make` leaves with n threads.
local function fitted(self, make, n)
  sys.threads(n)
  lu.assertEquals(sys.threads(), n)
  kooka.seed(7)
  local o = make(self.dir)
  local before = sys.sha256(kooka.json.encode(o.model:parameters()[1]:tolist()))
  learner.fit(o)
  local path = ("%s/%d.safetensors"):format(self.dir, n)
  assert(o.model:save(path))
  lu.assertNotEquals(sys.sha256(kooka.json.encode(o.model:parameters()[1]:tolist())), before, "nothing was learned")
  return sha_of_file(path)
end

function TestThreads:test_a_language_model_has_the_same_bits_with_1_2_and_3_threads()
  local one = fitted(self, small.language_model, 1)
  lu.assertEquals(fitted(self, small.language_model, 2), one)
  lu.assertEquals(fitted(self, small.language_model, 3), one)
end

function TestThreads:test_a_classifier_has_the_same_bits_with_1_2_and_3_threads()
  local one = fitted(self, small.classifier, 1)
  lu.assertEquals(fitted(self, small.classifier, 2), one)
  lu.assertEquals(fitted(self, small.classifier, 3), one)
end

function TestThreads:test_another_seed_gives_other_bits()
  local one = fitted(self, small.classifier, 1)
  lu.assertNotEquals(fitted(self, function(dir) return small.classifier(dir, 2) end, 1), one)
end

TestRuns = {}

function TestRuns:test_a_whole_run_is_the_same_with_1_and_2_threads()
  if not helper.kooka then lu.skip("the program kooka is not built beside this module") end
  if not package.loaded["kooka.core"].module_source then lu.skip("the program is tested once, from build/kooka") end
  local dir = helper.folder()
  local child = {}
  for _, n in ipairs { "1", "2" } do
    local folder = dir .. "/" .. n
    local status, _, err = helper.run { "run", "road", "--smoke", "--seed", "3", "--threads", n, "--out", folder }
    lu.assertEquals(status, 0, err)
    child[n] = {}
    for _, name in ipairs { "predictions/users.csv", "tokenizer.model", "language-model.safetensors", "fine-tune.safetensors",
      "model/classifier-1/model.safetensors", "model/classifier-2/model.safetensors", "metrics.json" } do
      child[n][name] = sha_of_file(folder .. "/" .. name)
    end
  end
  lu.assertEquals(child["2"], child["1"])
  sys.remove_tree(dir)
end

os.exit(lu.LuaUnit.run())
