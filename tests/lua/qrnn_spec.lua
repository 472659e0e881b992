--- qrnn_spec: the QRNN layer gives a PyTorch QRNN's outputs and gradients; the models made of it have the published
-- number of weights, carry their states, learn, and give the same bits after a stop and for any number of threads.
local lu = require "luaunit"
local helper = require "cli_helper"
local kooka = require "kooka"
local learner = require "kooka.learn.learner"
local nn = require "kooka.nn"
local progress = require "kooka.progress"
local small = require "small_fits"
local sys = kooka.sys
local golden = dofile((arg[0]:match "^(.*)/lua/[^/]*$" or "tests") .. "/golden/qrnn.lua")

progress.quiet = true

local function flat(v, out)
  out = out or {}
  if type(v) == "table" then
    for _, e in ipairs(v) do flat(e, out) end
  else
    out[#out + 1] = v
  end
  return out
end

local function close(what, got, want)
  got, want = flat(got:tolist()), flat(want)
  lu.assertEquals(#got, #want, what)
  for i = 1, #want do
    local off = math.abs(got[i] - want[i])
    if off > 1e-5 or off ~= off then
      lu.fail(("%s[%d] is %.9g, torch says %.9g"):format(what, i, got[i], want[i]))
    end
  end
end

local function parameter(v) return v and kooka.tensor(v):param() end

local function compare(name)
  local k = golden[name]
  local at = {}
  for _, input in ipairs { "x", "prev", "c", "w", "b" } do at[input] = parameter(k[input]) end
  local lens = k.lens and kooka.tensor(k.lens, "int32")
  local gy, gc, gx = kooka.tensor(k.gy), kooka.tensor(k.gc), kooka.tensor(k.gx)
  local tape <close> = kooka.tape()
  local y, c_n, x_last = kooka.qrnn(at.x, at.prev, at.c, at.w, at.b, lens, { output_gate = k.gates == 3 })
  close(name .. ": y", y, k.y)
  close(name .. ": c_n", c_n, k.c_n)
  close(name .. ": x_last", x_last, k.x_last)
  tape:backward((y * gy):sum() + (c_n * gc):sum() + (x_last * gx):sum())
  for input, t in pairs(at) do close(name .. ": d" .. input, t:grad(), k["d" .. input]) end
end

TestQrnn = {}

function TestQrnn.test_like_torch_with_window_1() compare "window_1" end
function TestQrnn.test_like_torch_with_window_2() compare "window_2" end
function TestQrnn.test_like_torch_from_zero_states() compare "zero_states" end
function TestQrnn.test_like_torch_for_one_step_of_one_unit() compare "one_step" end
function TestQrnn.test_like_torch_row_by_row_with_lengths() compare "ragged" end
function TestQrnn.test_like_torch_without_output_gate() compare "no_output_gate" end

function TestQrnn.test_zoneout_keeps_the_cell_or_scales_the_gate()
  -- one unit, x = 0: z = tanh(b_z), f = sigmoid(b_f); p = .5: f is 0 (the cell stays) or doubled
  local x, w = kooka.zeros(1, 4000, 1), kooka.zeros(2, 1)
  local b, c = kooka.tensor { .4, -1 }, kooka.ones(4000, 1)
  local _, new = kooka.qrnn(x, nil, c, w, b, { zoneout = .5, output_gate = false, stream = kooka.random("zone", 1) })
  local z, f, kept = (math.exp(.8) - 1) / (math.exp(.8) + 1), 2 / (1 + math.exp(1)), 0
  for _, v in ipairs(flat(new:tolist())) do
    if v == 1 then kept = kept + 1 else lu.assertAlmostEquals(v, f * z + (1 - f), 1e-6) end
  end
  lu.assertTrue(kept > 1850 and kept < 2150, kept)                       -- sd 32
end

function TestQrnn.test_the_last_input_is_handed_on_as_it_was_seen_with_its_mask()
  local s = kooka.random("drop", 4)
  local x, w = kooka.ones(3, 50, 2), kooka.randn(6, 4, s)
  local _, _, last = kooka.qrnn(x, kooka.zeros(50, 2), nil, w, nil, nil,
    { input_drop = .5, stream = kooka.random("in", 1) })
  local zeros = 0
  for _, v in ipairs(flat(last:tolist())) do
    lu.assertTrue(v == 0 or v == 2)
    if v == 0 then zeros = zeros + 1 end
  end
  lu.assertTrue(zeros > 25 and zeros < 75, zeros)
end

function TestQrnn.test_what_is_wrong_is_said()
  local x = kooka.zeros(4, 3, 2)
  lu.assertErrorMsgContains("w(6,3) has 3 columns, expected D = 2 of x(4,3,2)", kooka.qrnn, x, nil, nil,
    kooka.zeros(6, 3))
  lu.assertErrorMsgContains("prev_x is for window 2", kooka.qrnn, x, kooka.zeros(3, 2), nil, kooka.zeros(6, 2))
  lu.assertErrorMsgContains("zoneout is 1", kooka.qrnn, x, nil, nil, kooka.zeros(6, 2), { zoneout = 1 })
  lu.assertErrorMsgContains("window is 3, expected 1 or 2", nn.qrnn, { inputs = 2, hidden = 3, window = 3 })
  lu.assertErrorMsgContains("cell is 'gru', expected lstm or qrnn", nn.language_model, { vocab = 9, cell = "gru" })
end

TestModels = {}

function TestModels:setUp() self.dir = helper.folder() end

function TestModels:tearDown()
  sys.stop_clear()
  sys.remove_tree(self.dir)
end

function TestModels.test_the_number_of_weights_is_that_of_haha_2019()
  -- 30,000 x 400 + 6912 x (800 + 1) + 6912 x (2304 + 1) + 1200 x (2304 + 1) + 30,000 for the decoder's bias
  lu.assertEquals(nn.language_model({ vocab = 30000, cell = "qrnn", hidden = 2304, layers = 3 }):count(), 36264672)
end

function TestModels.test_defaults_are_fastai_s()
  local c = nn.awd_lstm { vocab = 5, cell = "qrnn" }.config
  lu.assertEquals({ c.embed, c.hidden, c.layers }, { 400, 1552, 4 })
  c = nn.awd_lstm { vocab = 5 }.config
  lu.assertEquals({ c.embed, c.hidden, c.layers }, { 400, 1152, 3 })
end

function TestModels.test_carried_segments_are_one_long_sequence()
  local m = nn.language_model { vocab = 9, cell = "qrnn", embed = 4, hidden = 5, layers = 2, seed = 2 }
  local x = kooka.tensor({ { 1, 2 }, { 3, 4 }, { 5, 6 }, { 7, 8 }, { 2, 9 } }, "int32")
  local whole, state
  m:eval()
  do
    local scope <close> = kooka.scope()
    whole = m(x):tolist()
  end
  local at = 1
  for _, n in ipairs { 2, 1, 2 } do
    local scope <close> = kooka.scope()
    local logits, new = m(x:narrow(1, at, n), state)
    state = m.encoder:carry(new)
    for t, step in ipairs(logits:tolist()) do
      for b = 1, 2 do lu.assertAlmostEquals(step[b][3], whole[at + t - 1][b][3], 1e-6) end
    end
    at = at + n
  end
  lu.assertEquals(state[1].x:shape(), { 2, 4 })                     -- window 2: the last input is carried too
  lu.assertNil(state[2].x)
end

function TestModels.test_a_fit_holds_no_more_memory_the_longer_it_runs()
  local m = nn.language_model { vocab = 20, cell = "qrnn", embed = 64, hidden = 64, layers = 2 }
  local x, live = kooka.ones(4, 32, "int32"), {}
  local source = { unit = "tok", carries = true, steps = function() return 60 end, epoch = function()
    local k = 0
    return function()
      k = k + 1
      live[k] = sys.memory()
      if k <= 60 then return k, { x = x, y = x, n = 128 } end
    end
  end }
  collectgarbage()
  collectgarbage "stop"
  learner.fit { model = m, train = source, lr = 1e-3, say = function() end }
  collectgarbage "restart"
  -- handles without data are left to the collector; the carried states themselves would be 24 kB a step
  lu.assertTrue(live[60] - live[10] < 50 * 8 * 1024, ("%d bytes more after 50 steps"):format(live[60] - live[10]))
end

local function weights(self, model)
  local path = self.dir .. "/weights.safetensors"
  assert(model:save(path))
  return sys.sha256(assert(sys.read_file(path)))
end

function TestModels:test_the_loss_of_a_language_model_falls()
  kooka.seed(3)
  local o = small.language_model(self.dir, 1, "qrnn")
  o.epochs, o.valid = 4, o.train
  local history = learner.fit(o)
  lu.assertTrue(history[1].valid_loss < math.log(60), history[1].valid_loss)     -- better than guessing among 60 pieces
  for i = 2, 4 do
    lu.assertTrue(history[i].valid_loss < history[i - 1].valid_loss,
      ("epoch %d: %f after %f"):format(i, history[i].valid_loss, history[i - 1].valid_loss))
  end
  lu.assertTrue(history[4].valid_loss < history[1].valid_loss - .2)
end

-- Three epochs at a stretch, and three with a stop behind the first and a new model: the same bits.
local function goes_on(self, make)
  kooka.seed(3)
  local whole = make(self.dir, 1, "qrnn")
  whole.epochs = 3
  learner.fit(whole)
  kooka.seed(3)
  local first = make(self.dir, 1, "qrnn")
  first.epochs, first.checkpoint = 3, self.dir .. "/checkpoint.safetensors"
  first.log = function(record) if record.epoch == 1 then sys.stop() end end
  local ok, message = pcall(learner.fit, first)
  lu.assertEquals({ ok, message }, { false, "interrupted" })
  sys.stop_clear()
  kooka.seed(1234)
  local second, epochs = make(self.dir, 9, "qrnn"), {}
  second.train, second.epochs, second.checkpoint = make(self.dir, 1, "qrnn").train, 3, first.checkpoint
  second.log = function(record) epochs[#epochs + 1] = record.epoch end
  learner.fit(second)
  lu.assertEquals(epochs, { 2, 3 })
  lu.assertEquals(weights(self, second.model), weights(self, whole.model))
end

function TestModels:test_a_language_model_goes_on_to_the_same_bits() goes_on(self, small.language_model) end
function TestModels:test_a_classifier_goes_on_to_the_same_bits() goes_on(self, small.classifier) end

function TestModels:test_bits_do_not_depend_on_threads()
  local before, found = sys.threads(), {}
  for _, make in ipairs { small.language_model, small.classifier } do
    for n = 1, 3 do
      sys.threads(n)
      kooka.seed(7)
      local o = make(self.dir, 1, "qrnn")
      o.epochs = 1
      learner.fit(o)
      found[n] = weights(self, o.model)
    end
    lu.assertEquals(found[2], found[1])
    lu.assertEquals(found[3], found[1])
  end
  sys.threads(before)
end

function TestModels:test_a_classifier_learns_and_comes_back_from_its_folder()
  kooka.seed(5)
  local o = small.classifier(self.dir, 1, "qrnn")
  o.epochs = 6
  local history = learner.fit(o)
  lu.assertTrue(history[6].accuracy > .8, history[6].accuracy)
  local tok = kooka.try(require("kooka.text.tokenizer").load(self.dir .. "/pieces.model"))
  local config = { vocab = tok:size(), padding = tok.pad, cell = "qrnn", embed = 40, hidden = 72, layers = 2,
    classes = 2 }
  local m = require("kooka.model").new { network = o.model:eval(), tokenizer = tok, config = config }
  local texts = { "the bird laughs at every joke", "rain falls on grey streets", "why" }
  kooka.try(m:save(self.dir .. "/m"))
  local back = kooka.try(require("kooka.model").load(self.dir .. "/m"))
  lu.assertEquals(back:predict(texts), m:predict(texts))
  lu.assertEquals(m:states(texts, { layer = 1, pool = "mean" }):shape(), { 3, 72 })
end

function TestModels:test_recipes_take_it_as_an_option()
  lu.skipIf(not kooka.core.module_source, "the program is tested from build/kooka")
  local status, _, err = helper.run { "run", "road", "--smoke", "--cell", "qrnn", "--out", self.dir .. "/run" }
  lu.assertEquals(status, 0, err)
  local weights_of = kooka.try(kooka.load_safetensors(self.dir .. "/run/language-model.safetensors"))
  lu.assertEquals(weights_of["encoder.layer1.weight"]:shape(), { 3 * 24, 2 * 16 })
  local config = kooka.json.decode(sys.read_file(self.dir .. "/run/model/classifier-1/config.json"))
  lu.assertEquals(config.cell, "qrnn")
end

os.exit(lu.LuaUnit.run())
