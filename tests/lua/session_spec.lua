--- session_spec: the learner object: fits, range test, predictions in the order given, worst texts, summary.
local lu = require "luaunit"
local batches = require "kooka.data.batches"
local helper = require "cli_helper"
local kooka = require "kooka"
local learner = require "kooka.learn.learner"
local progress = require "kooka.progress"
local small = require "small_fits"
local sources = require "kooka.learn.sources"
local tokenizer = require "kooka.text.tokenizer"
local sys = kooka.sys

progress.quiet = true

TestSession = {}

function TestSession:setUp()
  self.dir = helper.folder()
  kooka.seed(2)
  local o = small.classifier(self.dir)
  self.tok = kooka.try(tokenizer.load(self.dir .. "/pieces.model"))
  self.lines = {}
  self.l = learner.new { model = o.model, train = o.train, valid = o.valid, clip = .25, decay = .01, moms = { .8, .7, .8 },
    tokenizer = self.tok, classes = { "dull", "funny" }, say = function(line) self.lines[#self.lines + 1] = line end,
    encode = function(texts)
      local corpus = kooka.try(self.tok:encode_all(texts, { bos = true }))
      return sources.classes(batches.buckets(corpus, { pad = self.tok.pad })), #texts
    end }
end

function TestSession:tearDown() sys.remove_tree(self.dir) end

local function bits(model) return kooka.json.encode { model.linear2.weight:tolist(), model.encoder.embedding:tolist(),
  model.norm1.running_mean:tolist() } end

function TestSession:test_fits_follow_one_another()
  local l = self.l
  local before = l:validate()
  l:fit_one_cycle(1, 5e-3):fit(1, { low = 1e-3, high = 5e-3 }):fit_flat_cos(1, 2e-3)
  lu.assertEquals(#l.history, 3)
  lu.assertTrue(l:validate().loss < before.loss)
  lu.assertEquals(l:validate().loss, l.history[3].valid_loss)
  lu.assertStrContains(tostring(l), "3 epochs done, validation loss")
  lu.assertErrorMsgContains("a learning rate is missing", l.fit, l, 1)
  lu.assertErrorMsgContains("train is missing", learner.new, { model = l.model })
end

function TestSession:test_misuse_is_told_at_once()
  local l = self.l
  local function refuses(message, f, ...) lu.assertErrorMsgContains(message, f, ...) end
  refuses("learner.new has no option 'vlid'", learner.new, { model = l.model, train = l.train, vlid = l.valid })
  refuses("train is 5, expected a table", learner.new, { model = l.model, train = 5 })
  refuses("lr = {low = ...} lacks high", l.fit, l, 1, { low = 1e-3 })
  refuses("predict: expected a text, got a nil", l.predict, l)
  refuses("predict_all: expected a source or a list of texts, got a string", l.predict_all, l, "a text")
  refuses("top_losses: n is 0, expected an integer of 1 or more", l.top_losses, l, 0)
  refuses("show_batch: n is a, expected", l.show_batch, l, "a")
  refuses("low is 10, expected less than high, 1", l.lr_find, l, { low = 10, high = 1 })
  refuses("steps is 'a', expected an integer", l.lr_find, l, { steps = "a" })
  refuses("no suggestion 'valey'", l.lr_find, l, { suggest = { "valey" } })
  lu.assertEquals(l:predict_all {}, {})
  lu.assertEquals(#l:top_losses(), 10)
  lu.assertEquals(#l.history, 0)
end

function TestSession:test_fine_tune_trains_the_head_alone_first()
  local l, seen = self.l, {}
  l:fine_tune(2, { lr = 1e-2, callbacks = { { before_epoch = function(_, fit) seen[#seen + 1] = #fit.opt.groups end } } })
  lu.assertEquals(seen, { 1, 4, 4 })
  lu.assertEquals(#l.history, 3)
  lu.assertTrue(l.model.encoder.embedding:wants_grad())
end

function TestSession:test_each_fit_has_a_checkpoint_of_its_own()
  self.l.options.checkpoint = self.dir .. "/c.safetensors"
  self.l:fine_tune(1)
  lu.assertTrue(sys.exists(self.dir .. "/c-1.safetensors") and sys.exists(self.dir .. "/c-2.safetensors"))
end

function TestSession:test_the_range_test_leaves_everything_as_it_was()
  local l = self.l
  l:fit(1, 1e-3)
  local before, seed, drawn = bits(l.model), kooka.op_stream():state()
  local svg = self.dir .. "/lr.svg"
  local r = l:lr_find { steps = 40, svg = svg }
  lu.assertEquals(bits(l.model), before)
  lu.assertEquals({ kooka.op_stream():state() }, { seed, drawn })
  lu.assertTrue(r.valley > 1e-7 and r.valley < 10)
  lu.assertEquals(#r.rates, #r.losses)
  lu.assertStrContains(self.lines[#self.lines], "learning rate range test")
  lu.assertStrContains(sys.read_file(svg), "<svg")
  -- and the next fit is the one that would have been without it
  local again = self.l
  local stream = kooka.op_stream()
  again:fit(1, 1e-3)
  local with_test = bits(again.model)
  self:tearDown()
  self:setUp()
  self.l:fit(1, 1e-3)
  kooka.op_stream():state(seed, drawn)
  self.l:fit(1, 1e-3)
  lu.assertEquals(bits(self.l.model), with_test)
  lu.assertNotNil(stream)
end

function TestSession:test_predictions_come_in_the_order_given()
  local l = self.l
  l:fit(2, 5e-3)
  local texts = { "the bird laughs at every joke", "rain", "grey streets today why not ever again rain falls on", "the joke laughs" }
  local all = l:predict_all(texts)
  lu.assertEquals(#all, 4)
  for i, text in ipairs(texts) do
    local class, p, list = l:predict(text)
    for c = 1, 2 do lu.assertAlmostEquals(list[c], all[i][c], 1e-5) end
    lu.assertEquals(class, list[1] > list[2] and "dull" or "funny")
    lu.assertAlmostEquals(p, math.max(list[1], list[2]), 1e-9)
  end
  lu.assertEquals(#l:predict_all(), 200)
end

function TestSession:test_the_worst_come_first_and_their_mean_is_the_loss()
  local l = self.l
  local all = l:top_losses(1000)
  local sum = 0
  for i, r in ipairs(all) do
    sum = sum + r.loss
    lu.assertAlmostEquals(r.loss, -math.log(r.probability), 1e-6)
    if i > 1 then lu.assertTrue(r.loss <= all[i - 1].loss) end
  end
  lu.assertEquals(#all, 200)
  lu.assertAlmostEquals(sum / 200, l:validate().loss, 1e-5)
  lu.assertEquals(all[1].actual, all[1].place % 2 == 0 and "dull" or "funny")
  lu.assertEquals(#l:top_losses(5), 5)
  lu.assertStrContains(tostring(l:top_losses(3)), "p(actual)")
end

function TestSession:test_scores_are_predicted_and_ranked_too()
  local texts, numbers = {}, {}
  for i = 1, 40 do texts[i], numbers[i] = ("the bird laughs "):rep(i % 5 + 1), i % 5 end
  numbers[7] = false
  local corpus = kooka.try(self.tok:encode_all(texts, { bos = true }))
  local function source(train)
    return sources.scores(batches.buckets(corpus, { batch = 8, pad = self.tok.pad, train = train }), numbers)
  end
  for _, kind in ipairs { "regressor", "multi_task" } do
    local model = kooka.nn[kind] { vocab = self.tok:size(), padding = self.tok.pad, embed = 16, hidden = 24, layers = 1, range = { -1, 6 },
      drop = .1, seed = 3 }
    local train, valid = source(true), source(false)
    if kind == "multi_task" then
      local y = {}
      for i = 1, 40 do y[i] = i % 5 > 2 and 2 or 1 end
      train = sources.pairs(train.maker, kooka.tensor(y, "int32"), numbers)
      valid = sources.pairs(valid.maker, kooka.tensor(y, "int32"), numbers)
    end
    local l = learner.new { model = model, train = train, valid = valid, texts = texts, say = function() end }
    l:fit_one_cycle(2, 1e-2)
    local r = l.history[2]
    lu.assertTrue(r.rmse > 0 and r.mae > 0)
    local all, worst = l:predict_all(), l:top_losses(100)
    if kind == "regressor" then
      local sum = 0
      for i = 1, 40 do sum = sum + (i ~= 7 and (all[i] - numbers[i]) ^ 2 or 0) end
      lu.assertAlmostEquals(math.sqrt(sum / 39), r.rmse, 1e-4)
      lu.assertEquals(#worst, 39)
      lu.assertAlmostEquals(worst[1].loss, (worst[1].predicted - worst[1].actual) ^ 2, 1e-9)
      lu.assertEquals(worst[1].text, texts[worst[1].place])
    else
      lu.assertEquals({ #all[1].prob, type(all[1].score) }, { 2, "number" })
      lu.assertNotNil(r.accuracy)
      lu.assertEquals(#worst, 40)
    end
  end
end

function TestSession:test_a_batch_is_shown_as_text()
  local rows = self.l:show_batch(3)
  lu.assertEquals(#rows, 3)
  lu.assertTrue(rows[1].label == "dull" or rows[1].label == "funny")
  lu.assertStrContains(self.lines[#self.lines], "label")
end

function TestSession:test_the_summary_counts_each_weight_once()
  local l = self.l
  local before, drawn = bits(l.model), { kooka.op_stream():state() }
  local s = l:summary()
  lu.assertEquals(s.parameters, l.model:count())
  lu.assertEquals(s.trained, s.parameters)
  local sum, by_name = 0, {}
  for _, r in ipairs(s.layers) do
    sum = sum + r.parameters
    by_name[r.name:match "%S+"] = r
  end
  lu.assertEquals(sum, s.parameters)
  lu.assertEquals(by_name.linear2.shape[2], 2)
  lu.assertEquals(by_name.linear2.flops, 2 * 50 * 2)
  lu.assertEquals(by_name.layer1.flops, 2 * 4 * 72 * (40 + 72))
  lu.assertEquals(#by_name.layer1.shape, 3)
  lu.assertEquals(s.flops_per_token, 2 * 4 * 72 * (40 + 72) + 2 * 4 * 40 * (72 + 40))
  lu.assertTrue(s.memory.step > 0)
  lu.assertStrContains(tostring(s), "FLOPs a token forward")
  lu.assertEquals(bits(l.model), before)
  lu.assertEquals({ kooka.op_stream():state() }, drawn)
  lu.assertNil(rawget(l.model.linear2, "forward"))
  l:freeze()
  lu.assertTrue(l:summary().trained < s.trained)
end

function TestSession:test_the_summary_of_a_language_model_has_its_tied_decoder()
  local o = small.language_model(self.dir)
  local l = learner.new { model = o.model, train = o.train, say = function() end }
  local s = l:summary()
  local V, E, H = self.tok:size(), 48, 96
  lu.assertEquals(s.flops_per_token, 2 * V * E + 2 * 4 * H * (E + H) + 2 * 4 * E * (H + E))
  lu.assertErrorMsgContains("no source", l.top_losses, l, 3)
  lu.assertErrorMsgContains("no documents", l.top_losses, l, 3, o.train)
end

os.exit(lu.LuaUnit.run())
