--- Modules, models and what they promise: names, counts, freezing, loading, states and predictions in the given order.
local lu = require "luaunit"
local kooka = require "kooka"
local nn = require "kooka.nn"
local sys = kooka.sys

local TEXTS = { "the cat laughs at the dog", "a dog", "why did the cat sleep? because the moon was late", "no", "the moon laughs" }

local function folder()
  local dir = os.tmpname() .. ".d"
  kooka.try(sys.mkdir_p(dir))
  return dir
end

local function tokenizer(dir)
  local corpus = {}
  for i = 1, 40 do corpus[i] = TEXTS[i % #TEXTS + 1] end
  return kooka.try(require("kooka.text.tokenizer").train { texts = corpus, vocab = 60, path = dir .. "/tok.model" })
end

local function small_model(tok)
  local config = { vocab = tok:size(), padding = tok.pad, embed = 6, hidden = 8, layers = 2, classes = 2, head = 5, seed = 3 }
  return require("kooka.model").new { network = nn.classifier(config):eval(), tokenizer = tok, config = config }
end

TestModules = {}

function TestModules:test_awd_lstm_of_penn_treebank_has_the_published_number_of_weights()
  -- 10,000 x 400 + 10,000 for the decoder's bias, and three LSTM layers with two biases (Merity et al. 2018: 24.22 M)
  local m = nn.language_model { vocab = 10000, embed = 400, hidden = 1150, layers = 3 }
  lu.assertEquals(m:count(), 24221600)
end

function TestModules:test_the_head_has_62652_weights_without_batch_norm_s_buffers()
  local m = nn.classifier { vocab = 10, embed = 400, hidden = 16, layers = 2 }
  local head = m:groups()[#m:groups()]
  local n = 0
  for _, p in ipairs(head) do n = n + p:numel() end
  lu.assertEquals(n, 62652)
end

function TestModules:test_a_frozen_encoder_gets_no_gradient_and_batch_norm_does()
  local m = nn.classifier { vocab = 12, embed = 4, hidden = 5, layers = 2, head = 3 }
  m.encoder:freeze()
  m.norm1:freeze()
  local tape <close> = kooka.tape()
  local loss = m:loss { x = kooka.tensor({ { 1, 2 }, { 3, 4 } }, "int32"), lens = kooka.tensor({ 2, 2 }, "int32"),
    y = kooka.tensor({ 1, 2 }, "int32") }
  tape:backward(loss)
  lu.assertNil(m.encoder.embedding:grad())
  lu.assertNotNil(m.norm1.weight:grad())
  lu.assertNotNil(m.linear2.weight:grad())
end

function TestModules:test_loading_names_every_tensor_that_differs()
  local a, b = nn.linear { inputs = 3, outputs = 2 }, nn.linear { inputs = 4, outputs = 2 }
  lu.assertErrorMsgContains("weight is (2,3) in the file, (2,4) in the model", b.load_state, b, a:state())
  lu.assertErrorMsgContains("bias (2) is missing", b.load_state, b, { weight = b.weight })
  lu.assertErrorMsgContains("other is not in the model", a.load_state, a, { weight = a.weight, bias = a.bias, other = a.bias })
end

function TestModules:test_the_state_of_a_language_model_is_carried_without_its_tape()
  local m = nn.language_model { vocab = 9, embed = 4, hidden = 5, layers = 2, drop = 0 }
  local x = kooka.tensor({ { 1, 2 }, { 3, 4 }, { 5, 6 }, { 7, 8 } }, "int32")
  local whole, state = nil, nil
  m:eval()
  do
    local scope <close> = kooka.scope()
    whole = m(x):tolist()
  end
  for part = 0, 1 do
    local scope <close> = kooka.scope()
    local logits, new = m(x:narrow(1, 2 * part + 1, 2), state)
    state = m.encoder:carry(new)
    local got = logits:tolist()
    for t = 1, 2 do lu.assertAlmostEquals(got[t][2][3], whole[2 * part + t][2][3], 1e-6) end
  end
end

function TestModules:test_a_fit_with_carried_states_holds_no_more_memory_the_longer_it_runs()
  local m = nn.language_model { vocab = 20, embed = 64, hidden = 64, layers = 2 }
  local x = kooka.ones(4, 32, "int32")
  local live = {}
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
  kooka.learn.learner.fit { model = m, train = source, lr = 1e-3, say = function() end }
  collectgarbage "restart"
  -- handles without data are left to the collector, about 3 kB a step; the states themselves would be 32 kB a step
  lu.assertTrue(live[60] - live[10] < 50 * 8 * 1024, ("%d bytes more after 50 steps"):format(live[60] - live[10]))
end

function TestModules:test_modules_with_the_name_of_a_core_table_win_over_it()
  lu.assertIsFunction(kooka.eval.paired)
  lu.assertIsFunction(kooka.users.report)
  lu.assertIsFunction(kooka.text.rules.clean)
  lu.assertIsFunction(kooka.json.decode)
  lu.assertIsFunction(kooka.linear)
  lu.assertNil(kooka.no_such_thing)
end

function TestModules:test_release_gives_memory_back_at_once()
  local before = sys.memory()
  local t = kooka.zeros(1000, 100)
  local view = t[1]
  t:release()
  lu.assertTrue(sys.memory() - before < 1000)
  lu.assertErrorMsgContains("released", function() return view:tolist() end)
end

TestModel = {}

function TestModel:setUp()
  self.dir = folder()
  self.model = small_model(tokenizer(self.dir))
end

function TestModel:tearDown() sys.remove_tree(self.dir) end

function TestModel:test_states_have_the_shape_of_their_pool()
  local m = self.model
  lu.assertEquals(m:states(TEXTS):shape(), { 5, 18 })
  lu.assertEquals(m:states(TEXTS, { pool = "last" }):shape(), { 5, 6 })
  lu.assertEquals(m:states(TEXTS, { pool = "mean", layer = 1 }):shape(), { 5, 8 })
  local steps, lens = m:states(TEXTS, { pool = "none" })
  lu.assertEquals(steps:shape(1), 5)
  lu.assertEquals(steps:shape(3), 6)
  lu.assertEquals(lens:shape(), { 5 })
  local last = m:states(TEXTS, { pool = "last" })
  for i = 1, 5 do
    lu.assertAlmostEquals(steps[i][lens[i]:item()]:tolist()[2], last[i]:tolist()[2], 1e-6)
  end
  lu.assertErrorMsgContains("expected none, last, max, mean or concat", m.states, m, TEXTS, { pool = "first" })
end

function TestModel:test_predictions_come_in_the_order_given_and_do_not_depend_on_company()
  local all = self.model:predict(TEXTS)
  for i, text in ipairs(TEXTS) do
    local alone = self.model:predict { text }
    lu.assertAlmostEquals(alone[1][1] + alone[1][2], 1, 1e-6)
    lu.assertAlmostEquals(alone[1][2], all[i][2], 1e-5)
  end
end

function TestModel:test_a_model_comes_back_from_its_folder()
  kooka.try(self.model:save(self.dir .. "/m"))
  local back = kooka.try(require("kooka.model").load(self.dir .. "/m"))
  lu.assertEquals(back:predict(TEXTS), self.model:predict(TEXTS))
  local nothing, message, code = require("kooka.model").load(self.dir .. "/absent")
  lu.assertNil(nothing)
  lu.assertStrContains(message, "absent")
  lu.assertEquals(code, "io")
end

TestLearn = {}

function TestLearn:test_one_cycle_starts_tops_and_ends_where_fastai_s_does()
  local at = kooka.learn.schedule.one_cycle { lr = 1, pct = .3, div = 25, div_final = 1e4, moms = { .95, .85 } }
  local function near(done, lr, mom)
    local a, b = at(done)
    lu.assertAlmostEquals(a, lr, 1e-9)
    lu.assertAlmostEquals(b, mom, 1e-9)
  end
  near(0, 1 / 25, .95)
  near(.3, 1, .85)
  near(.15, (1 + 1 / 25) / 2, .9)
  near(1, 1 / 25e4, .95)
end

function TestLearn:test_slices_divide_by_two_point_six_downward()
  local r = kooka.learn.schedule.slice(3, 2.6 ^ 2)
  lu.assertAlmostEquals(r[1], 1, 1e-12)
  lu.assertAlmostEquals(r[2], 2.6, 1e-12)
  lu.assertAlmostEquals(r[3], 2.6 ^ 2, 1e-12)
end

function TestLearn:test_adam_equals_its_formula_with_decay_and_clipping()
  local w = kooka.tensor { 1, -2 }:param()
  local opt = kooka.learn.optim.adam({ { w } }, { decay = .1, beta2 = .99, eps = 1e-8 })
  local p, m, v = { 1, -2 }, { 0, 0 }, { 0, 0 }
  for step = 1, 5 do
    do
      local tape <close> = kooka.tape()
      tape:backward((w * w):sum())
      opt:step(.1, .9, 1)
    end
    local g, norm = { 2 * p[1], 2 * p[2] }, 2 * math.sqrt(p[1] ^ 2 + p[2] ^ 2)
    for i = 1, 2 do
      local gi = g[i] * math.min(1, 1 / norm)
      m[i], v[i] = .9 * m[i] + .1 * gi, .99 * v[i] + .01 * gi * gi
      p[i] = p[i] * (1 - .1 * .1) - .1 * (m[i] / (1 - .9 ^ step)) / (math.sqrt(v[i] / (1 - .99 ^ step)) + 1e-8)
      lu.assertAlmostEquals(w:tolist()[i], p[i], 1e-5)
    end
  end
end

function TestLearn:test_sgd_with_momentum_equals_its_formula()
  local w, buffer = kooka.tensor { 3 }:param(), kooka.zeros(1)
  local p, b = 3, 0
  for _ = 1, 4 do
    do
      local tape <close> = kooka.tape()
      tape:backward((w * w):sum())
    end
    kooka.optim.sgd({ w }, { buffer }, { lr = .1, momentum = .9, decay = .01 })
    kooka.optim.zero_grad { w }
    b = .9 * b + 2 * p + .01 * p
    p = p - .1 * b
    lu.assertAlmostEquals(w:item(), p, 1e-5)
  end
end

function TestLearn:test_a_loss_that_is_no_number_names_epoch_and_step()
  local model = nn.linear { inputs = 2, outputs = 1 }
  model.groups = function(m) return { m:parameters() } end
  model.loss = function(m) return (m(kooka.tensor { { 0 / 0, 1 } }) ^ 2):sum(), kooka.zeros(3) end
  local source = { unit = "doc", steps = function() return 3 end, epoch = function()
    local k = 0
    return function()
      k = k + 1
      if k <= 3 then return k, { n = 1 } end
    end
  end }
  lu.assertErrorMsgContains("at epoch 1, step 1 of 3", kooka.learn.learner.fit, { model = model, train = source, lr = .1, say = function() end })
end

TestSettings = {}

local function refuses(message, kind, o) lu.assertErrorMsgContains(message, nn[kind], o) end

function TestSettings.test_what_is_no_option_is_refused_and_the_nearest_one_named()
  refuses("classifier has no option 'hiden' (options: alpha, ", "classifier", { vocab = 9, hiden = 7 })
  refuses("; did you mean hidden?", "classifier", { vocab = 9, hiden = 7 })
  refuses("regressor has no option 'smoothing'", "regressor", { vocab = 9, smoothing = .1 })
  refuses("awd_lstm has no option 'head'", "awd_lstm", { vocab = 9, head = 7 })
  refuses("language_model has no option 'head'", "language_model", { vocab = 9, head = 7 })
end

function TestSettings.test_sizes_and_probabilities_that_cannot_be()
  for _, kind in ipairs { "language_model", "classifier", "regressor", "ordinal", "multi_task" } do
    refuses(kind .. ": embed is 0, expected an integer from 1", kind, { vocab = 9, embed = 0, classes = kind == "ordinal" and 2 or nil })
  end
  refuses("vocab is missing (an integer from 1 to 2147483647)", "classifier", { embed = 8 })
  refuses("vocab is 'a', expected an integer", "classifier", { vocab = "a" })
  refuses("hidden is -3, expected an integer from 1", "language_model", { vocab = 9, hidden = -3 })
  refuses("layers is 0, expected an integer from 1 to 64", "classifier", { vocab = 9, layers = 0 })
  refuses("smoothing is 2, expected a number from 0 to 1", "classifier", { vocab = 9, smoothing = 2 })
  refuses("weight_p is ", "classifier", { vocab = 9, weight_p = 0 / 0 })
  refuses("drop = 3 times weight_p = 0.5 is 1.5, expected less than 1", "classifier", { vocab = 9, embed = 4, hidden = 4, embed_p = 0, input_p = 0,
    hidden_p = 0, drop = 3 })
  refuses("loss is 'mean', expected mse, huber or mae", "regressor", { vocab = 9, loss = "mean" })
  refuses("loss is 'x', expected cumulative or coral", "ordinal", { vocab = 9, classes = 3, loss = "x" })
  refuses("expected a table, got number", "classifier", 7)
  refuses("vocab is missing", "classifier")
end

os.exit(lu.LuaUnit.run())
