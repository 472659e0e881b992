--- Prediction: weights packed once are never stale, and eight bits cost what the report says they cost.
local lu = require "luaunit"
local kooka = require "kooka"
local model = require "kooka.model"
local nn = require "kooka.nn"
local sys = kooka.sys

local WORDS = { "the", "bird", "laughs", "at", "every", "joke", "rain", "falls", "on", "grey", "streets", "today", "why", "not",
  "ever", "again" }

-- n texts of two kinds, told apart by their words, but not surely.
local function texts_of(n, seed)
  local stream, texts, labels = kooka.random("quantize texts", seed), {}, {}
  for i = 1, n do
    local words, kind = {}, i % 2
    for k = 1, 2 + stream:below(12) do
      words[k] = WORDS[stream:uniform() < .6 and kind * 8 + stream:below(8) or stream:below(16)]
    end
    texts[i], labels[i] = table.concat(words, " "), kind + 1
  end
  return texts, labels
end

local function folder()
  local dir = os.tmpname() .. ".d"
  kooka.try(sys.mkdir_p(dir))
  return dir
end

-- A classifier whose weights are large enough to be kept packed.
local function classifier(dir, classes)
  local texts, labels = texts_of(160, 1)
  local tok = kooka.try(require("kooka.text.tokenizer").train { texts = texts, vocab = 60, path = dir .. "/tok.model" })
  local config = { vocab = tok:size(), padding = tok.pad, embed = 70, hidden = 80, layers = 2, classes = classes or 2, seed = 3,
    drop = .1 }
  local m = model.new { network = nn.classifier(config), tokenizer = tok, config = config }
  return m, texts, labels
end

local function train(m, texts, labels, epochs)
  local source = m:source(m:encode(texts), kooka.tensor(labels, "int32"), { batch = 20, train = true })
  kooka.learn.learner.fit { model = m.network, train = source, lr = 5e-3, epochs = epochs, say = function() end }
  m.network:eval()
end

local function silent() end

TestKeptWeights = {}

function TestKeptWeights:setUp()
  self.dir = folder()
  self.model, self.texts, self.labels = classifier(self.dir)
  self.model.network:eval()
end

function TestKeptWeights:tearDown() sys.remove_tree(self.dir) end

local function first(m, texts) return m:predict({ texts[1] })[1][1] end

function TestKeptWeights:test_a_prediction_follows_a_write_a_load_and_a_step()
  local m, w = self.model, self.model.network.encoder.cells[1].weight_hh
  local start = first(m, self.texts)
  lu.assertEquals(first(m, self.texts), start)
  local old = w:clone():keep()
  w:copy_(w * 1.5)
  local written = first(m, self.texts)
  lu.assertNotEquals(written, start)
  w:copy_(old)
  lu.assertEquals(first(m, self.texts), start)

  kooka.try(m:save(self.dir .. "/m"))
  w:fill_(.01)
  lu.assertNotEquals(first(m, self.texts), start)
  kooka.try(m.network:load(self.dir .. "/m/model.safetensors"))
  lu.assertEquals(first(m, self.texts), start)

  train(m, self.texts, self.labels, 1)
  local trained = first(m, self.texts)
  lu.assertNotEquals(trained, start)
  kooka.try(m:save(self.dir .. "/m"))
  lu.assertEquals(first(kooka.try(model.load(self.dir .. "/m")), self.texts), trained)
end

function TestKeptWeights:test_a_training_step_carries_no_packed_weights()
  local m = self.model
  local batch
  for _, b in m:source(m:encode(self.texts), kooka.tensor(self.labels, "int32"), { batch = 20 }):epoch(1) do batch = batch or b end
  for _, k in ipairs { "x", "lens", "y" } do batch[k]:keep() end
  m.network:train(false)
  local function step()
    local tape <close> = kooka.tape()
    tape:backward((m.network:loss(batch)))
  end
  local function memory()
    collectgarbage()
    collectgarbage()
    return sys.memory()
  end
  local function ask()
    local scope <close> = kooka.scope()
    m.network(batch.x, batch.lens)
  end
  step()
  local before = memory()
  ask()
  lu.assertTrue(memory() >= before + 4 * 4 * 80 * (80 + 70))
  step()
  lu.assertTrue(memory() < before + 1000)
end

TestQuantize = {}

function TestQuantize:setUp() self.dir = folder() end
function TestQuantize:tearDown() sys.remove_tree(self.dir) end

local function best(row) return row[2] > row[1] and 2 or 1 end

function TestQuantize:test_a_trained_classifier_keeps_nearly_all_labels_and_the_report_is_true()
  local m, texts, labels = classifier(self.dir)
  train(m, texts, labels, 6)
  local asked, truth = texts_of(200, 2)
  local said = {}
  local small, cost = m:quantize { texts = asked, labels = truth, say = function(line) said[#said + 1] = line end }
  local a, b = small:predict(asked), m:predict(asked)
  local most, sum, changed, hits, hits8 = 0, 0, 0, 0, 0
  for i = 1, #asked do
    for c = 1, 2 do
      local d = math.abs(a[i][c] - b[i][c])
      most, sum = math.max(most, d), sum + d
    end
    changed = changed + (best(a[i]) ~= best(b[i]) and 1 or 0)
    hits, hits8 = hits + (best(b[i]) == truth[i] and 1 or 0), hits8 + (best(a[i]) == truth[i] and 1 or 0)
  end
  lu.assertTrue(hits > 130)                      -- it has learnt something
  lu.assertTrue(changed <= 4, changed .. " labels of 200 changed")
  lu.assertTrue(most > 0 and most < .1)
  lu.assertEquals(cost.n, 200)
  lu.assertEquals(cost.changed, changed)
  lu.assertAlmostEquals(cost.share.value, changed / 200, 1e-12)
  lu.assertTrue(cost.share.low <= cost.share.value and cost.share.value <= cost.share.high)
  lu.assertAlmostEquals(cost.most, most, 1e-12)
  lu.assertAlmostEquals(cost.mean, sum / 400, 1e-12)
  local accuracy = cost.scores.accuracy
  lu.assertAlmostEquals(accuracy.float32.value, hits / 200, 1e-9)
  lu.assertAlmostEquals(accuracy.eight_bits.value, hits8 / 200, 1e-9)
  lu.assertAlmostEquals(accuracy.difference.value, (hits8 - hits) / 200, 1e-9)
  lu.assertTrue(accuracy.difference.low <= accuracy.difference.value and accuracy.difference.value <= accuracy.difference.high)
  local f1 = cost.scores.f1
  lu.assertAlmostEquals(f1.difference.value, f1.eight_bits.value - f1.float32.value, 1e-9)
  lu.assertEquals(said, cost.lines)
  lu.assertEquals(#said, 5)
  lu.assertStrContains(said[2], ("on 200 texts probabilities move by %.5f on average, %.5f at most"):format(sum / 400, most))
  lu.assertStrContains(said[3], ("%d of 200"):format(changed))
  lu.assertStrContains(said[4], ("accuracy: %.4f in float32, %.4f in eight bits"):format(hits / 200, hits8 / 200))
end

function TestQuantize:test_three_classes_have_an_accuracy_too()
  local m = classifier(self.dir, 3)
  local _, cost = m:quantize { texts = { "the bird", "rain", "why not" }, labels = { 1, 2, 3 }, say = silent }
  lu.assertNil(cost.scores.f1)
  lu.assertTrue(cost.scores.accuracy.float32.value <= 1)
end

function TestQuantize:test_it_is_saved_and_loaded_as_the_float_one()
  local m, texts = classifier(self.dir)
  local small = m:quantize { texts = texts, say = silent }
  kooka.try(m:save(self.dir .. "/float"))
  kooka.try(small:save(self.dir .. "/small"))
  local back = kooka.try(model.load(self.dir .. "/small"))
  lu.assertEquals(back:predict(texts), small:predict(texts))
  lu.assertEquals(back.network.encoder.cells[1].weight_hh:dtype(), "uint8")
  lu.assertEquals(back:states({ "the bird" }):shape(), { 1, 210 })
  local function size(name) return #kooka.try(sys.read_file(self.dir .. name .. "/model.safetensors")) end
  lu.assertTrue(size "/small" < .5 * size "/float")
end

function TestQuantize:test_a_calibration_says_that_it_is_of_the_float_weights_until_it_is_fitted_again()
  local m, texts, labels = classifier(self.dir)
  m:calibrate { texts = texts, labels = labels }
  local _, cost = m:quantize { texts = texts, say = silent }
  lu.assertStrContains(cost.lines[#cost.lines], "not fitted again")
  local small = m:int8()
  lu.assertNil(m.calibration.weights)
  kooka.try(small:save(self.dir .. "/small"))
  lu.assertStrContains(kooka.try(sys.read_file(self.dir .. "/small/card.md")), "of the model with float32 weights, not fitted again")
  local back = kooka.try(model.load(self.dir .. "/small"))
  lu.assertEquals(back.calibration.weights, "float32")
  back:calibrate { texts = texts, labels = labels }
  lu.assertNil(back.calibration.weights)
end

function TestQuantize:test_the_float_model_is_left_as_it_was()
  local m, texts, labels = classifier(self.dir)
  m.network.encoder.cells[1]:freeze()
  local before = m:predict(texts)
  m:quantize { texts = texts, say = silent }
  lu.assertEquals(m:predict(texts), before)
  lu.assertEquals(m.network.encoder.cells[1].__name, "lstm")
  local bias = m.network.encoder.cells[1].bias:tolist()
  m.network.encoder.cells[1]:freeze()
  train(m, texts, labels, 1)
  lu.assertEquals(m.network.encoder.cells[1].bias:tolist(), bias)
end

function TestQuantize:test_a_language_model_has_nearly_the_same_loss()
  local s = kooka.random("quantize lm", 1)
  local batch = { x = kooka.randint(1, 300, 12, 5, s), y = kooka.randint(1, 300, 12, 5, s) }
  for _, softmax in ipairs { "full", "adaptive" } do
    local lm = nn.language_model { vocab = 300, embed = 70, hidden = 80, layers = 2, seed = 2, softmax = softmax }:eval()
    local small = nn.quantize(lm)
    local a, b = small:loss(batch):item(), lm:loss(batch):item()
    lu.assertNotEquals(a, b)
    lu.assertAlmostEquals(a, b, 1e-3)
    lu.assertEquals(small(batch.x):shape(), { 12, 5, 300 })
  end
end

function TestQuantize:test_what_cannot_be_is_refused()
  local m, texts = classifier(self.dir)
  lu.assertErrorMsgContains("expected a list of texts", m.quantize, m)
  lu.assertErrorMsgContains("expected a list of texts", m.quantize, m, { texts = {} })
  lu.assertErrorMsgContains("160 texts but 1 labels", m.quantize, m, { texts = texts, labels = { 1 } })
  lu.assertErrorMsgContains("no option 'text'", m.quantize, m, { text = texts })
  local small = m:quantize { texts = { "the bird" }, say = silent }
  lu.assertErrorMsgContains("eight bits already", small.quantize, small, { texts = texts })
  lu.assertErrorMsgContains("no LSTM layer", nn.quantize, nn.linear { inputs = 2, outputs = 3 })
  small.network:train()
  lu.assertErrorMsgContains("cannot be trained", small.network, kooka.tensor({ { 1 } }, "int32"), kooka.tensor({ 1 }, "int32"))
end

function TestQuantize:test_rounding_is_exact_where_it_can_be()
  local q, scale = kooka.quantize_rows(kooka.tensor { { 127, -127, 1, 0 }, { 0, 0, 0, 0 } })
  lu.assertEquals(q:tolist(), { { 255, 1, 129, 128 }, { 128, 128, 128, 128 } })
  lu.assertEquals(scale:tolist(), { 1, 0 })
  local y = kooka.linear_q8(kooka.tensor { { 127, 1, 2, 3 } }, q, scale, kooka.tensor { .5, .25 })
  lu.assertEquals(y:tolist(), { { 127 * 127 - 127 + 2 + .5, .25 } })
end

os.exit(lu.LuaUnit.run())
