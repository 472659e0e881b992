--- learner_spec: optimizers, accumulation, freezing, averages, sums, callbacks and refusals of learner.fit.
local lu = require "luaunit"
local helper = require "cli_helper"
local callbacks = require "kooka.learn.callbacks"
local groups = require "kooka.learn.groups"
local kooka = require "kooka"
local learner = require "kooka.learn.learner"
local nn = require "kooka.nn"
local progress = require "kooka.progress"
local small = require "small_fits"
local stages = require "kooka.learn.stages"
local sys = kooka.sys

progress.quiet = true

local function quiet() end

-- y = x w: n rows of data in batches of given sizes; the loss is the mean of squares.
local function line_fit(sizes, more)
  local stream, rows = kooka.random("line", 3), 0
  for _, n in ipairs(sizes) do rows = rows + n end
  local x = stream:fill_normal(kooka.zeros(rows, 3)):keep()
  local y = kooka.matmul(x, kooka.tensor { { 1 }, { -2 }, { .5 } }):keep()
  local model = nn.linear { inputs = 3, outputs = 1, stream = kooka.random("line model", 1) }
  model.stats = { "sse", "sae", "n" }
  model.groups = function(m) return { { m.weight }, { m.bias } } end
  model.loss = function(m, b)
    local d = m(b.x) - b.y
    local square = d * d
    return square:mean(), kooka.tensor { square:sum():item(), d:abs():sum():item(), b.n }
  end
  local source = { unit = "doc", steps = function() return #sizes, rows end, epoch = function(_, _, from)
    local k, at = 0, 1
    return function()
      repeat
        k = k + 1
        local n = sizes[k]
        if not n then return nil end
        at = at + n
      until k >= (from or 1)
      local n = sizes[k]
      return k, { x = x:narrow(1, at - n, n), y = y:narrow(1, at - n, n), n = n }
    end
  end }
  local o = { model = model, train = source, lr = .05, epochs = 1, say = quiet, label = "line" }
  for k, v in pairs(more or {}) do o[k] = v end
  return o
end

local function bits(model) return kooka.json.encode { model.weight:tolist(), model.bias:tolist() } end

TestFit = {}

function TestFit:test_accumulated_batches_step_like_one_large_one()
  for _, optimizer in ipairs { "sgd", "adam", "asgd" } do
    local parts = line_fit({ 8, 3, 5, 8, 8 }, { accumulate = 3, optimizer = optimizer })
    local whole = line_fit({ 16, 16 }, { optimizer = optimizer })
    local a, b = learner.fit(parts), learner.fit(whole)
    local w, v = parts.model.weight:tolist()[1], whole.model.weight:tolist()[1]
    for i = 1, 3 do lu.assertAlmostEquals(w[i], v[i], 2e-6, optimizer) end
    lu.assertAlmostEquals(a[1].train_loss, b[1].train_loss, 1e-5)
  end
end

-- Tables that are updated row by row too: the language model's dropout is off, so that masks do not differ.
function TestFit:test_accumulated_batches_of_an_embedding_add_up()
  local x = kooka.random("ids", 1)
  local function make()
    return nn.language_model { vocab = 500, embed = 60, hidden = 20, layers = 1, drop = 0, alpha = 0, beta = 0, seed = 2 }
  end
  local all = {}
  for b = 1, 4 do
    all[b] = {}
    for t = 1, 6 do
      all[b][t] = {}
      for i = 1, 3 do all[b][t][i] = x:below(499) + 1 end
    end
  end
  local function batch(list)
    local rows = {}
    for t = 1, 6 do
      rows[t] = {}
      for _, b in ipairs(list) do table.move(all[b][t], 1, 3, #rows[t] + 1, rows[t]) end
    end
    local ids = kooka.tensor(rows, "int32")
    return { x = ids, y = ids, n = 18 * #list }
  end
  local function source(lists)
    return { unit = "tok", steps = function() return #lists end, epoch = function(_, _, from)
      local k = (from or 1) - 1
      return function()
        k = k + 1
        if lists[k] then return k, batch(lists[k]) end
      end
    end }
  end
  local a, b = make(), make()
  local o = { model = a, train = source { { 1 }, { 2 }, { 3 }, { 4 } }, accumulate = 2, lr = .1,
    optimizer = "sgd", say = quiet, epochs = 3 }
  learner.fit(o)
  o.model, o.train, o.accumulate = b, source { { 1, 2 }, { 3, 4 } }, nil
  learner.fit(o)
  local most = (a.encoder.embedding - b.encoder.embedding):abs():max():item()
  lu.assertTrue(most < 1e-5, most)
end

function TestFit:test_sums_by_name_give_rmse_and_mae()
  local o = line_fit({ 8, 8 }, { lr = 1e-9, optimizer = "sgd", schedule = "constant" })
  o.valid = o.train
  local r = learner.fit(o)[1]
  lu.assertAlmostEquals(r.rmse ^ 2, r.valid_loss, 1e-5)
  lu.assertAlmostEquals(r.train_loss, r.valid_loss, 1e-5)
  lu.assertTrue(r.mae > 0 and r.mae < r.rmse)
  lu.assertNil(r.accuracy)
  lu.assertNil(r.perplexity)
end

function TestFit:test_rates_a_group_each_and_names_of_schedules()
  local o = line_fit({ 8 }, { lr = { 1e-3, 1e-1 }, optimizer = "sgd", schedule = "constant", momentum = 0 })
  local before = o.model.weight:tolist()[1]
  local list = groups.build(o.model:groups(), o)
  lu.assertAlmostEquals(list[1].rate, .01, 1e-12)
  lu.assertEquals(list[2].rate, 1)
  learner.fit(o)
  lu.assertNotEquals(o.model.weight:tolist()[1], before)
  lu.assertErrorMsgContains("no schedule 'zigzag'", learner.fit, line_fit({ 8 }, { schedule = "zigzag" }))
  lu.assertErrorMsgContains("optimizer is 'lion'", learner.fit, line_fit({ 8 }, { optimizer = "lion" }))
  lu.assertErrorMsgContains("3 rates for 2 groups", learner.fit, line_fit({ 8 }, { lr = { 1, 2, 3 } }))
end

function TestFit:test_an_option_that_is_not_one_is_named()
  lu.assertErrorMsgContains("fit has no option 'epoch' (options: accumulate,", learner.fit, line_fit({ 8 }, { epoch = 3 }))
  local function refuses(message, more) lu.assertErrorMsgContains(message, learner.fit, line_fit({ 8 }, more)) end
  refuses("accumulate is 0, expected an integer of 1 or more", { accumulate = 0 })
  refuses("did you mean schedule?", { schedul = "constant" })
  refuses("lr is 'x', expected a number of 0 or more or a table", { lr = "x" })
  refuses("lr is -1, expected", { lr = -1 })
  refuses("lr: the rate of group 2 is x, expected", { lr = { 1e-3, "x" } })
  refuses("rates: 1 rates for 2 groups", { rates = { 1 } })
  refuses("epochs is 1.5, expected an integer", { epochs = 1.5 })
  refuses("pct is 2, expected a number from 0 to 1", { pct = 2 })
  refuses("decay is 'a', expected", { decay = "a" })
  refuses("clip is -1, expected", { clip = -1 })
  refuses("lr is missing", { lr = false })
  lu.assertErrorMsgContains("freeze_to: nil, expected 1..2", groups.freeze_to, line_fit({ 8 }).model)
end

function TestFit:test_a_callback_that_nothing_would_call_is_refused()
  local function refuses(message, list) lu.assertErrorMsgContains(message, learner.fit, line_fit({ 8 }, { callbacks = list })) end
  refuses("callbacks is a callback, expected a list of them", callbacks.early_stopping {})
  refuses("callback 2 is without methods, expected a table with any of before_fit", { { after_fit = quiet }, { after_epok = quiet } })
  refuses("callback 1 is a string", { "save_best" })
  refuses("callback 1 is a function", { quiet })
  lu.assertErrorMsgContains("csv_log: the path is nil", callbacks.csv_log)
  lu.assertErrorMsgContains("jsonl_log: the path is 3", callbacks.jsonl_log, 3)
  lu.assertErrorMsgContains("patience is 0, expected an integer of 1 or more", callbacks.early_stopping, { patience = 0 })
  lu.assertErrorMsgContains("factor is 5, expected a number from 0 to 1", callbacks.reduce_on_plateau, { factor = 5 })
end

function TestFit:test_biases_are_spared_decay_when_asked()
  local o = line_fit({ 8 }, { decay = .1, decay_bias = false })
  local list = groups.build(o.model:groups(), o)
  lu.assertNil(list[1].decay)
  lu.assertEquals(list[2].decay, 0)
end

function TestFit:test_what_is_not_finite_names_step_batch_and_layer()
  local o = line_fit { 4, 4, 4 }
  o.callbacks = { { before_step = function(_, fit)
    fit.batches[1].places = kooka.tensor({ 7, 2 }, "int32")
    if fit.step == 2 then fit.model.bias:fill_(0 / 0) end
  end } }
  local _, message = pcall(learner.fit, o)
  lu.assertStrContains(message, "at epoch 1, step 2 of 3")
  lu.assertStrContains(message, "the weights of bias are not finite (1 of 2 parameters)")
  lu.assertStrContains(message, "the batch has places 7, 2")
end

-- Of three batches that make one step, the second has a target that is no number.
function TestFit:test_a_target_that_is_not_finite_is_named_with_its_row_and_batch()
  local o = line_fit({ 4, 4, 4 }, { accumulate = 3 })
  local loss = o.model.loss
  o.model.loss = function(m, b) return loss(m, { x = b.x, y = b.score:reshape(-1, 1), n = b.n }) end
  o.callbacks = { { before_step = function(_, fit)
    for i, b in ipairs(fit.batches) do
      b.score, b.rows = b.y:reshape(-1), kooka.tensor({ 10 * i + 1, 10 * i + 2, 10 * i + 3, 10 * i + 4 }, "int32")
    end
    fit.batches[2].score = kooka.tensor { 1, 2, 1 / 0, 3 }
  end } }
  local _, message = pcall(learner.fit, o)
  lu.assertStrContains(message, "the score of row 23 is inf; the batch has rows 21, 22, 23, 24")
  lu.assertNil(message:find("lower the rate", 1, true))
end

function TestFit:test_the_first_layer_that_answers_no_number_is_named()
  local dir = helper.folder()
  local o = small.classifier(dir)
  o.callbacks = { { before_step = function(_, fit) fit.model.linear1.weight:fill_(3e38) end } }
  local _, message = pcall(learner.fit, o)
  lu.assertStrContains(message, "weights are finite; what norm2 (batch_norm) answers is not finite; the batch has rows ")
  lu.assertStrContains(message, "lower the rate or clip")
  sys.remove_tree(dir)
end

TestFreezing = {}

function TestFreezing:setUp() self.dir = helper.folder() end
function TestFreezing:tearDown() sys.remove_tree(self.dir) end

function TestFreezing:test_frozen_groups_stay_but_batch_norm_moves()
  local o = small.classifier(self.dir)
  groups.freeze_to(o.model, -1)
  local table_before = kooka.json.encode(o.model.encoder.embedding:tolist())
  local head_before = kooka.json.encode(o.model.linear2.weight:tolist())
  o.epochs = 1
  learner.fit(o)
  lu.assertEquals(kooka.json.encode(o.model.encoder.embedding:tolist()), table_before)
  lu.assertNotEquals(kooka.json.encode(o.model.linear2.weight:tolist()), head_before)
  lu.assertFalse(o.model.encoder.embedding:wants_grad())
  groups.unfreeze(o.model)
  lu.assertTrue(o.model.encoder.embedding:wants_grad())
  lu.assertErrorMsgContains("freeze_to: 9, expected 1..4 or -4..-1", groups.freeze_to, o.model, 9)
end

function TestFreezing:test_batch_norm_of_a_frozen_group_wants_its_gradient()
  local norm = nn.batch_norm { features = 4 }
  local head = nn.linear { inputs = 4, outputs = 1 }
  local model = { always_trainable = nil, children = { { name = "norm", module = norm }, { name = "head", module = head } },
    groups = function() return { { norm.weight, norm.bias }, { head.weight } } end }
  groups.freeze_to(model, -1)
  lu.assertTrue(norm.weight:wants_grad())
end

function TestFreezing:test_gradual_unfreezing_goes_group_by_group_and_on_after_a_stop()
  local function run(folder, stop)
    sys.mkdir_p(folder)
    kooka.seed(3)
    local o = small.classifier(self.dir)
    local seen = {}
    o.stages = stages.gradual(4, { lr = 1e-2, factor = 2, epochs = 1, last = 2 })
    o.epochs, o.lr, o.checkpoint = nil, nil, folder .. "/fit.safetensors"
    o.callbacks = { { after_epoch = function(_, fit)
      seen[#seen + 1] = fit.model.encoder.embedding:wants_grad() and "all" or #fit.opt.groups
      if stop and #seen == 2 then sys.stop() end
    end } }
    local ok, result = pcall(stages.run, o)
    sys.stop_clear()
    return seen, o.model, ok, result
  end
  local seen, whole, ok, result = run(self.dir .. "/a")
  lu.assertTrue(ok, result)
  lu.assertEquals(seen, { 1, 2, 3, "all", "all" })
  lu.assertEquals(#result, 4)
  local _, _, stopped = run(self.dir .. "/b", true)
  lu.assertFalse(stopped)
  local rest, again = run(self.dir .. "/b")
  lu.assertEquals(rest, { 3, "all", "all" })
  lu.assertEquals(kooka.json.encode(again.linear2.weight:tolist()), kooka.json.encode(whole.linear2.weight:tolist()))
  lu.assertEquals(kooka.json.encode(again.encoder.embedding:tolist()), kooka.json.encode(whole.encoder.embedding:tolist()))
end

TestAverages = {}

-- Validation losses as given; the step does what it does.
local function scripted(losses, more)
  local o = line_fit({ 8, 8 }, { optimizer = "asgd", lr = .05, epochs = #losses })
  for k, v in pairs(more or {}) do o[k] = v end
  local model, k = o.model, 0
  model.stats = { "nll", "n", "hits" }
  local loss = model.loss
  model.loss = function(m, b)
    if m.training then
      local l = loss(m, b)
      return l, kooka.zeros(3)
    end
    k = k + 1
    return kooka.tensor { losses[k] }, kooka.tensor { losses[k] * b.n, b.n, 0 }
  end
  o.valid = { unit = "doc", steps = function() return 1 end, epoch = function()
    local done = false
    return function()
      if done then return nil end
      done = true
      return 1, { n = 4 }
    end
  end }
  return o
end

-- awd-lstm-lm, main.py: len(best) > nonmono and loss > min(best[:-nonmono]), checked before the loss joins the list.
function TestAverages:test_the_trigger_is_awd_lstm_lms()
  local losses, nonmono = { 5, 4, 3, 3.5, 3.2, 3.4, 3.1, 2.9, 3.6, 3.3, 3.8 }, 3
  local want
  for t = 1, #losses do
    local best = {}
    for i = 1, t - 1 - nonmono do best[#best + 1] = losses[i] end
    if not want and #best > 0 and losses[t] > math.min(table.unpack(best)) then want = t end
  end
  local o = scripted(losses, { nonmono = nonmono })
  local at
  o.log = function(record) if record.averaging then at = record.epoch end end
  learner.fit(o)
  lu.assertEquals(at, want)
  lu.assertEquals(want, 7)
  local never = scripted(losses, { nonmono = false })
  never.log = function(record) lu.assertNil(record.averaging) end
  learner.fit(never)
end

function TestAverages:test_validation_and_the_end_see_the_averages()
  local o = line_fit({ 8, 8 }, { optimizer = "asgd", lr = .05, epochs = 3, since = 0 })   -- as torch: the mean of all weights but the first
  o.valid = o.train
  local sum, n, seen = nil, 0, {}
  o.callbacks = { { after_step = function(_, fit)
    if fit.opt.count > 1 then
      n = n + 1
      sum = sum and (sum + fit.model.weight):detach():keep() or fit.model.weight:clone():detach():keep()
    end
  end, after_epoch = function(_, fit) seen[#seen + 1] = { fit.model.weight:tolist()[1][1], (sum / n):tolist()[1][1] } end } }
  learner.fit(o)
  for _, pair in ipairs(seen) do lu.assertAlmostEquals(pair[1], pair[2], 1e-6) end
  lu.assertAlmostEquals(o.model.weight:tolist()[1][1], seen[#seen][2], 1e-6)
end

TestCallbacks = {}

function TestCallbacks:setUp() self.dir = helper.folder() end
function TestCallbacks:tearDown() sys.remove_tree(self.dir) end

function TestCallbacks:test_hooks_come_in_their_order()
  local calls = {}
  local cb = setmetatable({}, { __index = function(_, name)
    if name == "state" or name == "load_state" then return nil end
    return function(_, fit) calls[#calls + 1] = name .. ":" .. fit.epoch .. ":" .. fit.step end
  end })
  learner.fit(line_fit({ 4, 4 }, { callbacks = { cb } }))
  lu.assertEquals(calls, { "before_fit:0:0", "before_epoch:1:0", "before_step:1:1", "after_backward:1:1", "after_step:1:1",
    "before_step:1:2", "after_backward:1:2", "after_step:1:2", "after_epoch:1:2", "after_fit:1:2" })
end

function TestCallbacks:test_the_best_weights_come_back()
  for _, path in ipairs { false, self.dir .. "/best.safetensors" } do
    local best = callbacks.save_best { path = path or nil }
    local o = scripted({ 3, 1, 2, 4 }, { callbacks = { best }, optimizer = "sgd" })
    local at = {}
    o.log = function(record) at[record.epoch] = bits(o.model) end
    learner.fit(o)
    lu.assertEquals({ best.at, best.best }, { 2, 1 })
    lu.assertEquals(bits(o.model), at[2])
    lu.assertNotEquals(at[2], at[4])
  end
end

function TestCallbacks:test_early_stopping_counts_epochs_without_gain()
  local o = scripted({ 5, 4, 4.5, 4.2, 3.999, 1 }, { callbacks = { callbacks.early_stopping { patience = 3, min_delta = .01 } } })
  local lines = {}
  o.say = function(line) lines[#lines + 1] = line end
  lu.assertEquals(#learner.fit(o), 5)
  lu.assertStrContains(lines[#lines], "line: stopped at epoch 5: valid_loss is not better than in epoch 2")
end

function TestCallbacks:test_a_fit_that_was_stopped_early_is_over_when_it_is_called_again()
  local path = self.dir .. "/c.safetensors"
  local function make()
    return scripted({ 5, 6, 7, 8 }, { checkpoint = path, callbacks = { callbacks.early_stopping { patience = 2 } } })
  end
  lu.assertEquals(#learner.fit(make()), 3)
  local again = make()
  again.log = function() error("an epoch was run") end
  lu.assertEquals(#learner.fit(again), 3)
end

function TestCallbacks:test_the_rate_falls_on_a_plateau()
  local o = scripted({ 5, 5, 5, 4, 5 }, { schedule = "constant", lr = 1e-3,
    callbacks = { callbacks.reduce_on_plateau { patience = 2, factor = .5 } } })
  local rates = {}
  for i, record in ipairs(learner.fit(o)) do rates[i] = record.lr end
  lu.assertEquals(rates, { 1e-3, 1e-3, 1e-3, 5e-4, 5e-4 })
end

function TestCallbacks:test_accuracy_is_better_when_it_is_higher_and_unknown_fields_are_named()
  local watch = callbacks.save_best { monitor = "accuracy" }
  lu.assertFalse(watch.lower)
  local o = line_fit({ 4 }, { callbacks = { callbacks.early_stopping {} } })
  lu.assertErrorMsgContains("no number 'valid_loss' to watch", learner.fit, o)
  lu.assertErrorMsgContains("the fit has no valid source", learner.fit, line_fit({ 4 }, { callbacks = { callbacks.early_stopping {} } }))
  lu.assertErrorMsgContains("mode is 'up'", callbacks.save_best, { mode = "up" })
  lu.assertErrorMsgContains("has no option 'patienc'", callbacks.early_stopping, { patienc = 2 })
end

function TestCallbacks:test_logs_have_a_line_an_epoch_also_after_a_stop()
  local csv, jsonl, path = self.dir .. "/h.csv", self.dir .. "/h.jsonl", self.dir .. "/c.safetensors"
  for _, stop in ipairs { 2, false } do
    local o = line_fit({ 4, 4 }, { epochs = 3, checkpoint = path, callbacks = { callbacks.csv_log(csv), callbacks.jsonl_log(jsonl) } })
    o.log = function(record) if record.epoch == stop then sys.stop() end end
    lu.assertEquals(pcall(learner.fit, o), not stop)
    sys.stop_clear()
  end
  local lines = {}
  for line in sys.read_file(csv):gmatch("[^\n]+") do lines[#lines + 1] = line end
  lu.assertEquals(#lines, 4)
  lu.assertStrMatches(lines[1], "label,epoch,train_loss,.*lr,seconds,items_per_second")
  lu.assertStrMatches(lines[4], "line,3,.*")
  local n = 0
  for line in sys.read_file(jsonl):gmatch("[^\n]+") do
    n = n + 1
    lu.assertEquals(kooka.json.decode(line).epoch, n)
  end
  lu.assertEquals(n, 3)
end

function TestCallbacks:test_a_step_may_set_its_rate_and_end_the_fit()
  local norms = {}
  local o = line_fit({ 4, 4, 4 }, { epochs = 2, callbacks = { { before_step = function(_, fit) fit.lr = 0 end,
    after_step = function(_, fit)
      norms[#norms + 1] = fit.norm
      if fit.step == 2 then fit:stop("enough") end
    end } } })
  local before = bits(o.model)
  lu.assertEquals(#learner.fit(o), 1)
  lu.assertEquals(#norms, 2)
  lu.assertEquals(bits(o.model), before)
end

TestShown = {}

function TestShown:test_the_true_loss_stands_beside_a_smoothed_one()
  local dir = helper.folder()
  local function head(smoothing)
    local o = small.classifier(dir)
    o.model.smoothing, o.epochs = smoothing, 1
    local lines = {}
    o.say = function(line) lines[#lines + 1] = line end
    local r = learner.fit(o)[1]
    return lines[1], r
  end
  local line, r = head(.1)
  lu.assertStrContains(line, "train true")
  lu.assertStrContains(line, "valid objective")
  lu.assertTrue(math.abs(r.valid_objective - r.valid_loss) > 1e-4)
  lu.assertAlmostEquals(r.perplexity, math.exp(r.valid_loss), 1e-9)
  line, r = head(0)
  lu.assertNil(line:find("objective", 1, true))
  lu.assertAlmostEquals(r.valid_objective, r.valid_loss, 1e-5)
  sys.remove_tree(dir)
end

os.exit(lu.LuaUnit.run())
