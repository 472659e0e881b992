--- users_network_spec: the rungs that train the network for a person: what they change and put back, what they never read, that they
-- help where tastes differ, and that threads, company and interruptions do not change a bit.
local lu = require "luaunit"
local community = require "kooka.community"
local helper = require "cli_helper"
local kooka = require "kooka"
local ladder = require "kooka.users.ladder"
local learner = require "kooka.learn.learner"
local model = require "kooka.model"
local network = require "kooka.users.network"
local nn = require "kooka.nn"
local personal = require "kooka.personal"
local rungs = require "kooka.users.rungs"
local tokenizer = require "kooka.text.tokenizer"
local tuner = require "kooka.users.tuner"
local users = require "kooka.users"
local sys = kooka.sys

require("kooka.progress").quiet = true

local METHODS = { "token", "biases", "low-rank", "everything", "reptile" }

---- a small community ---------------------------------------------------------------------------------

local KINDS = { { "the", "bird", "laughs", "at", "every", "joke", "rain", "falls" },
  { "on", "grey", "streets", "today", "why", "not", "ever", "again" } }

-- Texts of two kinds, and a general model of 81..160 that tells them apart.
local general
local function general_model()
  if general then return general end
  local s, g = kooka.random("network texts", 5), { texts = {}, kind = {} }
  for i = 1, 160 do
    local words = {}
    for k = 1, 4 + s:below(6) do words[k] = KINDS[s:uniform() < .9 and i % 2 + 1 or s:below(2)][s:below(8)] end
    g.texts[i], g.kind[i] = table.concat(words, " "), i % 2 + 1
  end
  local path = os.tmpname()
  kooka.try(tokenizer.train { texts = g.texts, vocab = 60, path = path })
  local tok, rows = kooka.try(tokenizer.load(path)), {}
  os.remove(path)
  for i = 81, 160 do rows[#rows + 1] = i end
  kooka.seed(3)
  local net = nn.classifier { vocab = tok:size(), padding = tok.pad, embed = 12, hidden = 16, layers = 2, head = 8, drop = .3, seed = 2 }
  g.model = model.new { network = net, tokenizer = tok, config = { classes = 2, cleaned = false } }
  learner.fit { model = net, lr = 2e-2, epochs = 6, say = function() end,
    train = g.model:source(g.model:encode(g.texts), kooka.tensor(g.kind, "int32"), { rows = rows, batch = 20, train = true }) }
  general = g
  return g
end

-- Ratings of 1..80 by persons p1.. with the tastes given: "agrees", "opposite" or "all" (likes everything).
local function ratings(tastes, each)
  local g = general_model()
  local d = { model = g.model, texts = g.texts, text_of = {}, labels = {}, users = {} }
  for u, taste in ipairs(tastes) do
    local s = kooka.random("network person " .. u, 1)
    local order = s:shuffle(80)
    for j = 1, each do
      local like = (g.kind[order[j]] == 2) == (taste == "agrees")
      if s:uniform() < .05 then like = not like end
      local n = #d.labels + 1
      d.text_of[n], d.labels[n], d.users[n] = order[j], (like or taste == "all") and 2 or 1, "p" .. u
    end
  end
  return d
end

local function with(d, more)
  local o = {}
  for k, v in pairs(d) do o[k] = v end
  for k, v in pairs(more) do o[k] = v end
  return o
end

-- Few steps with a large rate: enough to change every prediction.
local function quick(d, method, more)
  return network.fit(with(with(d, { method = method, epochs = 1, rounds = 1, lr = 1e-2 }), more or {}))
end

local function weights(m)
  local out = {}
  for name, t in pairs(m.network:state()) do out[name] = kooka.json.encode(t:tolist()) end
  return out
end

local function changed(before, after)
  local names = {}
  for name, text in pairs(before) do
    if after[name] ~= text then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

---- what is trained, what is put back -----------------------------------------------------------------

TestNetwork = {}

function TestNetwork:tearDown() sys.stop_clear() end

function TestNetwork:test_without_a_step_low_rank_gives_exactly_the_general_predictions()
  local d = ratings({ "opposite", "agrees" }, 20)
  local r = quick(d, "low-rank", { epochs = 0 })
  lu.assertEquals(r.prob, r.global)
  for i, p in ipairs(d.model:predict(d.texts, { bar = false })) do
    for row, t in ipairs(d.text_of) do
      if t == i then lu.assertEquals(r.global[row], p[2]) end
    end
  end
  lu.assertNotEquals(quick(d, "low-rank").prob, r.prob)
end

-- The names of what a few steps of a tuner change.
local function changed_by(part)
  local g = general_model()
  local before, during = weights(g.model), nil
  do
    local scope <close> = kooka.scope()
    local t <close> = tuner.new(g.model.network, part, { rank = 2, seed = 1 })
    t:train(g.model:source(g.model:encode(g.texts), kooka.tensor(g.kind, "int32"), { batch = 40, train = true }), { epochs = 1, lr = 1e-2 })
    during = weights(g.model)
  end
  lu.assertEquals(changed(before, weights(g.model)), {}, "behind the close")
  return changed(before, during)
end

function TestNetwork:test_biases_changes_biases_and_nothing_else()
  lu.assertEquals(changed_by "biases", { "encoder.layer1.bias", "encoder.layer1.bias_hh", "encoder.layer2.bias", "encoder.layer2.bias_hh",
    "linear1.bias", "linear2.bias", "norm1.bias", "norm2.bias" })
end

function TestNetwork:test_low_rank_leaves_the_matrices_and_changes_the_last_bias()
  lu.assertEquals(changed_by "low-rank", { "linear2.bias" })
  local cell = general_model().model.network.encoder.cells[1]
  lu.assertTrue(rawequal(cell.weight_hh, cell.own[2].tensor))
end

function TestNetwork:test_everything_changes_all_weights_but_no_running_statistics()
  local names = {}
  for _, p in ipairs(general_model().model.network:named_parameters()) do names[#names + 1] = p.name end
  table.sort(names)
  lu.assertEquals(changed_by "everything", names)
end

function TestNetwork:test_the_general_model_and_the_ops_stream_are_the_same_to_the_bit_afterwards()
  local d = ratings({ "opposite", "agrees" }, 15)
  d.model.network.encoder.embedding:param(false)
  d.model.network:train()
  local before, seed, count = weights(d.model), kooka.op_stream():state()
  for _, method in ipairs(METHODS) do
    local r = quick(d, method)
    lu.assertNotEquals(r.prob, r.global, method)
    lu.assertEquals(changed(before, weights(d.model)), {}, method)
    lu.assertEquals({ kooka.op_stream():state() }, { seed, count })
    lu.assertFalse(d.model.network.encoder.embedding:wants_grad())
    lu.assertTrue(d.model.network.linear1.weight:wants_grad())
    lu.assertTrue(d.model.network.training and d.model.network.norm1.training)
  end
  d.model.network.encoder.embedding:param()
end

function TestNetwork:test_ctrl_c_ends_it_with_the_weights_put_back()
  local d = ratings({ "opposite", "agrees" }, 15)
  local before, real = weights(d.model), d.model.source
  for _, method in ipairs { "low-rank", "token", "reptile" } do
    local calls = 0
    d.model.source = function(...)                       -- the first is for the general predictions
      calls = calls + 1
      if calls == 2 then sys.stop() end
      return real(...)
    end
    local ok, message = pcall(quick, d, method)
    d.model.source = nil
    sys.stop_clear()
    lu.assertEquals({ ok, message }, { false, "interrupted" })
    lu.assertEquals(changed(before, weights(d.model)), {}, method)
  end
end

function TestNetwork:test_quasi_recurrent_layers_and_heads_without_biases_are_trained_too()
  local d = ratings({ "opposite", "agrees" }, 15)
  local net = nn.classifier { cell = "qrnn", vocab = d.model.tokenizer:size(), padding = d.model.tokenizer.pad, embed = 12, hidden = 16,
    layers = 2, head = 8, head_bias = false, seed = 2 }
  local m = model.new { network = net, tokenizer = d.model.tokenizer, config = d.model.config }
  local before = weights(m)
  for _, method in ipairs { "low-rank", "biases", "everything" } do
    lu.assertNotEquals(quick(d, method, { model = m }).prob, quick(d, method, { model = m, epochs = 0 }).prob, method)
    lu.assertEquals(changed(before, weights(m)), {}, method)
  end
end

---- what is never read --------------------------------------------------------------------------------

local function flipped(d, rows)
  local labels = table.move(d.labels, 1, #d.labels, 1, {})
  for _, i in ipairs(rows) do labels[i] = 3 - labels[i] end
  return with(d, { labels = labels })
end

function TestNetwork:test_the_label_of_a_row_says_nothing_about_its_own_prediction()
  local d = ratings({ "opposite", "agrees" }, 15)
  for _, method in ipairs(METHODS) do
    local want, row = quick(d, method), 7
    local got = quick(flipped(d, { row }), method, { fold = want.fold })      -- folds are dealt class by class
    lu.assertEquals(got.prob[row], want.prob[row], method)
    lu.assertNotEquals(got.prob, want.prob, method)
  end
end

-- Without texts held out: two persons rated a text, one of them in the fold at hand.
function TestNetwork:test_a_shared_network_passes_over_a_text_that_somebody_else_rated_in_another_fold()
  local d, row, other = ratings({ "opposite", "agrees" }, 15), nil, nil
  for i = 1, 15 do
    for j = 16, 30 do
      if d.text_of[i] == d.text_of[j] then row, other = i, j end
    end
  end
  local fold = {}
  for i = 1, 30 do fold[i] = i % 5 + 1 end
  fold[row], fold[other] = 1, 2
  local want, got = quick(d, "token", { fold = fold }), quick(flipped(d, { other }), "token", { fold = fold })
  lu.assertEquals(got.prob[row], want.prob[row])
end

-- The rows of a person in a fold, all flipped: none of them moves.
function TestNetwork:test_folds_are_those_of_the_other_rungs_and_are_left_out_whole()
  local d = ratings({ "opposite", "agrees" }, 15)
  local closed = users.fit { labels = d.labels, users = d.users, offset = d.labels, method = "intercept", folds = 3, seed = 4 }
  for _, method in ipairs { "biases", "reptile" } do
    local want, rows = quick(d, method, { fold = closed.fold }), {}
    lu.assertEquals(quick(d, method, { folds = 3, seed = 4 }).fold, closed.fold)
    for i, f in ipairs(closed.fold) do
      if f == 2 and d.users[i] == "p1" then rows[#rows + 1] = i end
    end
    local got = quick(flipped(d, rows), method, { fold = closed.fold })
    for _, i in ipairs(rows) do lu.assertEquals(got.prob[i], want.prob[i], method) end
  end
end

function TestNetwork:test_what_persons_share_reads_nobodys_label_of_a_text_that_is_judged()
  local d, held, rows, others = ratings({ "opposite", "agrees", "agrees" }, 20), {}, {}, {}
  for t = 1, 80, 3 do held[#held + 1] = t end
  for i, t in ipairs(d.text_of) do
    if t % 3 == 1 then rows[#rows + 1] = i end
    if t % 3 == 1 and d.users[i] ~= "p1" then others[#others + 1] = i end
  end
  local want = quick(d, "token", { held = held })
  local fold, got = want.fold, quick(flipped(d, rows), "token", { held = held, fold = want.fold })
  lu.assertEquals(got.prob, want.prob)
  want, got = quick(d, "reptile", { held = held, fold = fold }), quick(flipped(d, others), "reptile", { held = held, fold = fold })
  for _, i in ipairs(rows) do
    if d.users[i] == "p1" then lu.assertEquals(got.prob[i], want.prob[i]) end
  end
  for i, t in ipairs(d.text_of) do
    if t % 3 ~= 1 then lu.assertEquals(want.prob[i], want.global[i], "not judged") end
  end
end

---- whom it helps, and whom it leaves -----------------------------------------------------------------

function TestNetwork:test_where_tastes_differ_rungs_beat_the_general_model_out_of_fold()
  local d = ratings({ "agrees", "opposite", "agrees", "opposite", "opposite", "opposite" }, 30)
  local o = { labels = d.labels, users = d.users, rungs = { "global", "everything", "biases" }, offset = {},
    network = { model = d.model, texts = d.texts, text_of = d.text_of, lr = 2e-2, epochs = 5 } }
  for i, p in ipairs(d.model:predict(d.texts, { bar = false })) do
    for row, t in ipairs(d.text_of) do
      if t == i then o.offset[row] = math.log(p[2] / p[1]) end
    end
  end
  local results = ladder.run(o)
  lu.assertEquals(results.everything.fold, results.global.fold)
  local rows, reports = ladder.table(results, { resamples = 50 })
  lu.assertEquals({ rows[1].name, rows[2].name, rows[3].name }, { "global", "biases", "everything" })
  lu.assertEquals(rows[3].verdict, "better", rows[3].difference.value)
  lu.assertStrContains(ladder.text(rows), "everything")
  lu.assertNil(ladder.fall_back(results.everything, reports.everything).heads)
  lu.assertErrorMsgContains("everything keeps no heads for new rows", users.predict, results.everything, { users = { "p1" } })
end

function TestNetwork:test_one_class_and_nothing_to_train_on_keep_the_general_prediction_and_say_so()
  local d = ratings({ "agrees", "all", "opposite" }, 15)
  local fold = {}
  for i = 1, #d.labels do fold[i] = d.users[i] == "p3" and 1 or i % 3 + 1 end      -- p3 has one fold: nothing beside it
  for _, method in ipairs { "biases", "reptile" } do
    local r = quick(d, method, { fold = fold })
    for i, user in ipairs(d.users) do
      if user == "p1" then lu.assertNotEquals(r.prob[i], r.global[i]) else lu.assertEquals(r.prob[i], r.global[i], user) end
    end
    lu.assertStrContains(r.per[2].message, "p2: all 15 rows are of class 2; the general head is kept")
    lu.assertStrContains(r.per[3].message, "p3: no rows to train on")
    lu.assertEquals(r.untrained, 1)
    local report = users.report(r, { resamples = 100 })
    lu.assertEquals(report.counts["one class"], 1)
    lu.assertStrContains(users.text(report), "note: p3: no rows to train on")
  end
  local held = {}
  for i, user in ipairs(d.users) do
    if user == "p3" then held[#held + 1] = d.text_of[i] end
  end
  local r = quick(d, "token", { held = held })
  lu.assertStrContains(r.per[3].message, "p3: no rows to train on")
end

---- the same bits ---------------------------------------------------------------------------------------

function TestNetwork:test_one_and_two_threads_give_the_same_bits_and_another_seed_others()
  local d, threads = ratings({ "opposite", "agrees" }, 15), sys.threads()
  for _, method in ipairs(METHODS) do
    local got = {}
    for n = 1, 2 do
      sys.threads(n)
      kooka.seed(n)                                      -- what was drawn before does not matter either
      got[n] = quick(d, method).prob
    end
    sys.threads(threads)
    lu.assertEquals(got[2], got[1], method)
    lu.assertNotEquals(quick(d, method, { seed = 2 }).prob, got[1], method)
  end
end

function TestNetwork:test_a_person_gets_the_same_bits_whoever_else_is_there()
  local three, one = ratings({ "agrees", "opposite", "opposite" }, 15), { text_of = {}, labels = {}, users = {}, fold = {} }
  local r = quick(three, "everything")
  for i = 31, 45 do
    for _, name in ipairs { "text_of", "labels", "users" } do table.insert(one[name], three[name][i]) end
    table.insert(one.fold, r.fold[i])
  end
  lu.assertEquals(quick(with(three, one), "everything").prob, table.move(r.prob, 31, 45, 1, {}))
end

---- what is asked for -----------------------------------------------------------------------------------

function TestNetwork:test_misuse_says_what_was_wanted()
  local d = ratings({ "agrees" }, 10)
  local function refuses(message, more) lu.assertErrorMsgContains(message, network.fit, with(with(d, { method = "biases" }), more)) end
  refuses("method is 'map', expected token, biases, low-rank, everything, reptile", { method = "map" })
  refuses("users.network has no option 'epoch'", { epoch = 1 })
  refuses("lr is 0, expected a number from 1e-09 to 1", { lr = 0 })
  refuses("10 rows of text_of, 1 of labels", { labels = { 1 } })
  refuses("row 1 is of text 999", { text_of = { 999, 1, 1, 1, 1, 1, 1, 1, 1, 1 } })
  refuses("model is missing", { model = {} })
  refuses("rank is 500, but layer 1 has a matrix (64,12)", { method = "low-rank", rank = 500 })
  lu.assertErrorMsgContains("a model of eight bits cannot be trained", network.fit, with(d, { method = "biases", model = d.model:int8() }))
  lu.assertErrorMsgContains("biases trains the network: see kooka.users.network", users.fit, { method = "biases" })
  lu.assertErrorMsgContains("the rung token needs network =", ladder.run, { rungs = { "token" } })
end

function TestNetwork:test_rungs_are_chosen_by_name_all_or_those_of_a_closed_form()
  local closed = { "intercept", "firth", "flic", "components", "ridge", "prototypes", "map" }
  lu.assertEquals(rungs.choose "", closed)
  lu.assertEquals(#rungs.choose "all", #users.rungs - 1)
  lu.assertEquals(rungs.choose "token, map,token", { "map", "token" })
  lu.assertErrorMsgContains("there is no 'tokens', expected names of global, intercept, firth", rungs.choose, "map,tokens")
  lu.assertErrorMsgContains("low-rank, everything, reptile; or all", personal.rungs, "tokens")
  lu.assertEquals({ personal.rungs "biases,own" }, { { "own", "intercept", "map" }, { "biases" } })
end

---- the recipe --------------------------------------------------------------------------------------------

TestLikes = {}

function TestLikes:setUp()
  lu.skipIf(not require("kooka.core").module_source, "the program is tested from build/kooka")
  self.dir = helper.folder()
  local lines = { "user,item,text,label" }
  for _, l in ipairs(community.generate { users = 5, messages = 16, seed = 2 }.likes) do
    lines[#lines + 1] = ('%s,%s,"%s",%d'):format(l.user, l.item, l.text:gsub('"', ""), l.label)
  end
  assert(sys.write_file(self.dir .. "/likes.csv", table.concat(lines, "\n") .. "\n"))
end

function TestLikes:tearDown()
  if self.dir then sys.remove_tree(self.dir) end
end

local function outcome(folder)
  local out = { sys.read_file(folder .. "/predictions/users.csv"), sys.read_file(folder .. "/metrics.json") }
  for _, stage in ipairs { "token-1", "token-2", "biases-1", "biases-2" } do
    out[#out + 1] = kooka.json.decode(sys.read_file(folder .. "/stages/" .. stage .. ".json")).value.prob
  end
  return out
end

function TestLikes:test_a_killed_and_resumed_run_gives_the_same_predictions()
  local argv = { "run", "likes", "--smoke", "--data", self.dir .. "/likes.csv", "--rungs", "token,biases", "--vocab", "200", "--out" }
  local whole, broken = self.dir .. "/whole", self.dir .. "/broken"
  argv[#argv + 1] = whole
  local status, _, err = helper.run(argv)
  lu.assertEquals(status, 0, err)
  argv[#argv] = broken
  local child <close> = helper.start(argv)
  local deadline = sys.now() + 250
  while not sys.exists(broken .. "/stages/token-1.json") and sys.now() < deadline do child:wait(.01) end
  child:kill("kill")
  child:wait()
  lu.assertFalse(sys.exists(broken .. "/stages/biases-2.json"))
  status, _, err = helper.run { "run", "--resume", broken }
  lu.assertEquals(status, 0, err)
  lu.assertStrContains(sys.read_file(broken .. "/log.jsonl"), "token-1: done before")
  lu.assertEquals(outcome(broken), outcome(whole))
end

os.exit(lu.LuaUnit.run())
