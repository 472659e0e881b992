--- board_spec: a sealed hold-out is scored only through the board, which counts looks and says what they still mean.
local lu = require "luaunit"
local helper = require "cli_helper"
local kooka = require "kooka"
local board = require "kooka.board"
local looks = require "kooka.board.looks"
local score = require "kooka.board.score"
local eval = require "kooka.eval"
local json, sys = kooka.json, kooka.sys

TestLooks = {}

function TestLooks.test_the_expected_largest_of_k_normal_draws()
  -- Harter 1961, table of expected values of normal order statistics
  for k, want in pairs { [1] = 0, [2] = 1 / math.sqrt(math.pi), [3] = .8463, [5] = 1.1630, [10] = 1.5388, [20] = 1.8675, [100] = 2.5076,
    [1000] = 3.2414 } do
    lu.assertAlmostEquals(looks.expected_max(k), want, 6e-5)
  end
  lu.assertErrorMsgContains("expected an integer of 1 or more", looks.expected_max, 0)
end

function TestLooks.test_the_haha_seeds_were_noise()
  -- 20 seeds, sd .0015, the best .0030 above the mean: 1.87 x .0015 = .0028 expected of noise
  lu.assertAlmostEquals(looks.expected_max(20) * .0015, .0028, 5e-5)
  local values = { .8254 }
  for i = 2, 20 do values[i] = .8224 - .003 / 19 end
  local j = looks.judge { values = values, se = .006, pair_se = { .0015 * math.sqrt(2) }, n = 24000 }
  lu.assertAlmostEquals(j.gain, .0030, 1e-9)
  lu.assertTrue(j.gain > j.noise and j.within_noise)          -- above what chance gives on average is not above chance
  lu.assertAlmostEquals(j.p, .334, 2e-3)
end

function TestLooks.test_the_chance_of_a_lead()
  -- of two the lead above the mean is half their difference: P = 2 (1 - F(gain sqrt 2 / sd))
  lu.assertAlmostEquals(looks.chance(2, 1.959964 / math.sqrt(2), 1), .05, 4e-3)
  lu.assertAlmostEquals(looks.chance(10, 2, 1), .168, .01)        -- of 200,000 simulated boards of ten
  lu.assertEquals(looks.chance(1, .5, 1), 1)
  lu.assertEquals(looks.chance(5, 0, 1), 1)
  lu.assertEquals(looks.chance(5, .1, 0), 0)
end

function TestLooks.test_the_budget_is_where_the_best_flatters_by_a_standard_error()
  for _, ratio in ipairs { .4, .6, .8, 1, 1.5 } do
    local k = looks.budget(1, ratio)
    lu.assertTrue(k == 1 or looks.expected_max(k) * ratio <= 1)
    lu.assertTrue(looks.expected_max(k + 1) * ratio > 1)
  end
  lu.assertEquals(looks.budget(1, 1e-6), 100000)
  lu.assertEquals(looks.budget(0, 1), 1)
end

function TestLooks.test_noise_is_told_from_a_lead()
  local values = {}
  for i = 1, 12 do values[i] = .80 + .001 * (i % 3) end
  local j = looks.judge { values = values, se = .01, pair_se = { .006, .006 }, n = 1000 }
  lu.assertTrue(j.within_noise and j.spent)
  lu.assertStrContains(j.text, "the order at the top is noise")
  lu.assertStrContains(j.text, "Another look no longer means anything: ten looks and more found nothing but noise")
  values = { .70, .75, .80 }
  j = looks.judge { values = values, se = .01, pair_se = { .006 }, n = 1000 }
  lu.assertFalse(j.within_noise or j.spent)
  lu.assertAlmostEquals(j.gain, .05, 1e-12)
  j = looks.judge { values = values, se = .006, pair_se = { .006 * math.sqrt(2) }, n = 1000 }      -- e_3 = .85, e_4 = 1.03
  lu.assertEquals({ j.budget, j.within_noise, j.spent }, { 3, false, true })
  lu.assertStrContains(j.text, "expected to flatter by a standard error (0.0060) or more")
  lu.assertEquals(looks.judge { values = { 1.5, .5 }, se = .1, n = 9, lower = true }.gain, .5)
  lu.assertTrue(looks.judge { values = {}, se = 0, n = 9 }.k == 0)
end

TestScore = {}

function TestScore.test_differences_of_several_classes_and_of_numbers_are_paired()
  local stream = kooka.random("test", 1)
  local truth, good, bad, target, near, far = {}, {}, {}, {}, {}, {}
  for i = 1, 300 do
    truth[i] = stream:below(3)
    good[i] = stream:uniform() < .9 and truth[i] or stream:below(3)
    bad[i] = stream:uniform() < .3 and truth[i] or stream:below(3)
    target[i] = stream:normal()
    near[i], far[i] = target[i] + .1 * stream:normal(), target[i] + stream:normal()
  end
  for _, metric in ipairs { "accuracy", "f1_macro" } do
    local task = { task = "multiclass", metric = metric, classes = { "a", "b", "c" } }
    local m, word = score.difference(task, good, bad, truth)
    lu.assertEquals(word, "better")
    lu.assertAlmostEquals(m.value, score.value(task, good, truth).value - score.value(task, bad, truth).value, 1e-9)
    lu.assertTrue(m.low < m.value and m.value < m.high)
  end
  for _, metric in ipairs { "rmse", "mae" } do
    local task = { task = "regression", metric = metric }
    local m, word = score.difference(task, near, far, target)
    lu.assertEquals(word, "better")
    lu.assertAlmostEquals(m.value, eval.regression(near, target)[metric].value - eval.regression(far, target)[metric].value, 1e-6)
  end
end

TestBoard = {}

local function write(path, text) assert(sys.write_file(path, text)) end

function TestBoard:setUp()
  self.dir = helper.folder()
  self.boards = self.dir .. "/boards"
  local stream, lines = kooka.random("board_spec", 1), { "id,text,is_humor" }
  self.truth = {}
  for i = 1, 400 do
    self.truth[i] = stream:below(2) - 1
    lines[i + 1] = ("t%d,this is text %d,%d"):format(i, i, self.truth[i])
  end
  self.labels = self.dir .. "/labels.csv"
  write(self.labels, table.concat(lines, "\n") .. "\n")
end

function TestBoard:tearDown()
  if self.dir then sys.remove_tree(self.dir) end
end

function TestBoard:new(o)
  local t = { name = "haha", labels = self.labels, root = self.boards }
  for k, v in pairs(o or {}) do t[k] = v end
  return board.new(t)
end

-- Answers that are right with the given probability, in another order than the labels.
function TestBoard:predictions(name, right, seed)
  local stream, lines = kooka.random("predictions", seed), { "id,is_humor,prob_humor" }
  for i = #self.truth, 1, -1 do
    local y = stream:uniform() < right and self.truth[i] or 1 - self.truth[i]
    lines[#lines + 1] = ("t%d,%d,%.3f"):format(i, y, y == 1 and .8 or .2)
  end
  local path = self.dir .. "/" .. name .. ".csv"
  write(path, table.concat(lines, "\n") .. "\n")
  return path
end

function TestBoard:score(path, options)
  local b <close> = assert(board.open("haha", self.boards))
  return b:score(path, options)
end

function TestBoard:show()
  local b <close> = assert(board.open("haha", self.boards))
  return b:show()
end

function TestBoard:test_a_score_is_that_of_the_evaluation_and_its_look_is_counted()
  local info = assert(self:new())
  lu.assertEquals({ info.task, info.metric, info.classes, info.n }, { "binary", "f1", { "0", "1" }, 400 })
  local path = self:predictions("a", .8, 1)
  local r = assert(self:score(path))
  local t = require("kooka.data.csv").read(path)
  local prob, labels = {}, {}
  for i = 1, t.n do
    prob[i] = tonumber(t.is_humor[i])
    labels[i] = self.truth[tonumber(t.id[i]:sub(2))] + 1
  end
  local want = eval.binary(prob, labels, { resamples = 0 }).f1
  lu.assertAlmostEquals(r.value, want.value, 1e-12)
  lu.assertAlmostEquals(r.low, want.low, 1e-12)
  lu.assertEquals({ r.look, r.entry, r.improved }, { 1, "a", true })
  lu.assertEquals(self:show().looks, 1)
end

function TestBoard:test_entries_are_compared_row_by_row_and_the_best_comes_first()
  self:new()
  local a = assert(self:score(self:predictions("a", .6, 1)))
  local b = assert(self:score(self:predictions("b", .9, 2), { name = "better one" }))
  local c = assert(self:score(self:predictions("c", .62, 3)))
  lu.assertEquals({ b.leader_name, b.verdict, b.improved }, { "a", "better", true })
  lu.assertAlmostEquals(b.gain, b.value - a.value, 1e-9)
  lu.assertEquals({ c.leader_name, c.verdict, c.improved }, { "better one", "worse", false })
  local s = self:show()
  lu.assertEquals({ s.entries[1].entry, s.best, s.leader, s.looks }, { "better one", 2, 2, 3 })
  for i = 2, 3 do
    local e = s.entries[i]
    lu.assertEquals(e.against.verdict, "worse")
    lu.assertAlmostEquals(e.against.value, e.value - b.value, 1e-9)
    lu.assertTrue(e.against.low <= e.against.value and e.against.value <= e.against.high)
  end
  lu.assertNil(s.info.salt)
end

function TestBoard:test_the_same_answers_again_are_a_look_but_no_entry()
  self:new()
  local path = self:predictions("a", .8, 1)
  self:score(path)
  local r = assert(self:score(path, { name = "again" }))
  lu.assertEquals({ r.look, r.same_as }, { 2, 1 })
  lu.assertStrContains(r.text, "nothing new was learned")
  local s = self:show()
  lu.assertEquals({ #s.entries, s.looks, s.entries[1].looks, s.judgement.k }, { 1, 2, 2, 1 })
end

function TestBoard:test_other_ids_and_lengths_name_both_sides_and_are_no_look()
  self:new()
  local path = self:predictions("a", .8, 1)
  local text = sys.read_file(path)
  write(path, (text:gsub("t400,[^\n]*\n", ""):gsub("t399,", "x1,")))
  local r, message, code = self:score(path)
  lu.assertEquals({ r, code }, { nil, "format" })
  lu.assertStrContains(message, "has 399 rows, the board haha has 400: 2 ids of the board are not in the file (t399, t400); "
    .. "1 ids of the file are not on the board (x1)")
  write(path, text .. "t5,1,.5\n")
  lu.assertStrContains(select(2, self:score(path)), 'have the same id "t5"')
  write(path, (text:gsub("t7,%d", "t7,2")))
  lu.assertStrContains(select(2, self:score(path)), 'column "is_humor": "2" is none of the classes 0, 1')
  write(path, (text:gsub("id,is_humor,prob_humor", "id,a,b")))
  lu.assertStrContains(select(2, self:score(path)), 'f1 needs a column "is_humor", label or prediction; the file has id, a, b')
  write(path, (text:gsub("id,is", "name,is")))
  lu.assertStrContains(select(2, self:score(path)), 'no column "id"')
  lu.assertStrContains(select(2, self:score(self.dir .. "/nowhere.csv")), "nowhere.csv")
  lu.assertEquals(self:show().looks, 0)
end

function TestBoard:test_a_look_is_counted_even_when_scoring_breaks_off()
  self:new()
  local path, value = self:predictions("a", .8, 1), score.value
  score.value = function() error("interrupted", 0) end
  local ok = pcall(self.score, self, path)
  score.value = value
  lu.assertFalse(ok)
  local s = self:show()
  lu.assertEquals({ s.looks, s.unfinished, #s.entries }, { 1, 1, 0 })
  lu.assertEquals(assert(self:score(path)).look, 2)
end

function TestBoard:test_a_probability_alone_is_cut_at_half_and_metrics_of_probabilities_take_it()
  self:new()
  assert(self:new { name = "auc", metric = "roc_auc" })
  local path = self:predictions("a", .8, 1)
  local full = assert(self:score(path)).value
  local text = sys.read_file(path):gsub("(t%d+),%d,", "%1,"):gsub("id,is_humor,", "id,")
  write(self.dir .. "/p.csv", text)
  local r = assert(self:score(self.dir .. "/p.csv"))
  lu.assertEquals({ r.value, r.column }, { full, "prob_humor cut at .5" })
  local b <close> = assert(board.open("auc", self.boards))
  lu.assertTrue(assert(b:score(path)).value > .7)
  write(self.dir .. "/p.csv", (text:gsub("0%.800", "1.8", 1)))
  lu.assertStrContains(select(2, b:score(self.dir .. "/p.csv")), 'expected a probability from 0 to 1, got "1.8"')
end

function TestBoard:test_several_classes_and_numbers()
  local lines, said = { "id,topic" }, { "id,topic" }
  for i = 1, 90 do
    lines[i + 1] = ("%d,%s"):format(i, ("xyz"):sub(i % 3 + 1, i % 3 + 1))
    said[i + 1] = ("%d,%s"):format(i, i % 10 == 0 and "x" or ("xyz"):sub(i % 3 + 1, i % 3 + 1))
  end
  write(self.labels, table.concat(lines, "\n"))
  write(self.dir .. "/said.csv", table.concat(said, "\n"))
  local info = assert(self:new())
  lu.assertEquals({ info.task, info.metric, info.texts }, { "multiclass", "f1_macro", false })
  lu.assertTrue(assert(self:score(self.dir .. "/said.csv")).value > .9)
  for i = 1, 90 do lines[i + 1], said[i + 1] = ("%d,%.3f"):format(i, i / 7), ("%d,%.3f"):format(i, i / 7 + .5) end
  write(self.labels, table.concat(lines, "\n"))
  write(self.dir .. "/said.csv", table.concat(said, "\n"))
  assert(self:new { name = "numbers", metric = "rmse" })
  local b <close> = assert(board.open("numbers", self.boards))
  lu.assertAlmostEquals(assert(b:score(self.dir .. "/said.csv")).value, .5, 1e-3)
  lu.assertTrue(b:verify(self.labels))
end

function TestBoard:test_labels_are_not_there_to_be_read_and_changes_are_noticed()
  write(self.labels, "id,score\na,31.41592\nb,27.18281\nc,1.5\n")
  local info, path = self:new { metric = "mae" }
  local bytes = sys.read_file(path)
  for _, text in ipairs { "31.41592", "27.18281" } do lu.assertNil(bytes:find(text, 1, true)) end
  local b = assert(board.open("haha", self.boards))
  lu.assertTrue(b:verify(self.labels))
  write(self.labels, "id,score\na,31.41592\nb,27.18282\nc,1.5\n")
  local ok, message = b:verify(self.labels)
  lu.assertNil(ok)
  lu.assertStrContains(message, "1 of 3 labels are not those that were sealed (ids b)")
  b:close()
  local db = assert(kooka.sqlite.open(path))
  db:exec("UPDATE rows SET sealed = ? WHERE id = 'a'", ("0"):rep(16))
  db:close()
  ok, message = board.open("haha", self.boards)
  lu.assertNil(ok)
  lu.assertStrContains(message, "its rows are not those that were sealed")
  lu.assertEquals(#info.commitment, 64)
end

function TestBoard:test_what_cannot_be_sealed_says_why()
  local function refused(text, o, want)
    write(self.labels, text)
    local r, message = self:new(o)
    lu.assertNil(r)
    lu.assertStrContains(message, want)
  end
  refused("id,a,b\n1,x,y\n", {}, "which column holds the labels? It has id, a, b; say --label NAME")
  refused("id,a\n1,x\n2,x\n", {}, 'holds only "x"')
  refused("id,a\n1,x\n2,y\n", {}, "which of x and y is positive? Say --positive NAME")
  refused("id,a\n1,x\n2,y\n", { positive = "z" }, '--positive is "z", the labels are x and y')
  refused("id,a\n1,0\n1,1\n", {}, 'rows 1 and 2 have the same id "1"')
  refused("key,a\n1,0\n", {}, 'no column "id", the file has key, a')
  refused("id,a\n1,0\n2,1\n", { metric = "f2" }, "metric f2 is not for binary labels")
  refused("id,a\n1,0\n2,b\n", { metric = "rmse" }, "expected a number")
  refused("id,a\n1,0\n2,1\n", { name = "../x" }, "a board's name is of letters")
  lu.assertNil(sys.list(self.boards) and sys.list(self.boards)[1])
  assert(self:new())
  lu.assertStrContains(select(2, self:new()), "a board is not sealed twice")
end

function TestBoard:test_training_texts_of_a_hold_out_are_noticed()
  lu.assertEquals(board.holds({ "this is text 1" }, self.boards), {})
  self:new()
  local texts = { "nothing", "THIS is text 12!!", "@you this is text 400 https://t.co/x" }
  lu.assertEquals(board.holds(texts, self.boards), { { row = 2, board = "haha", id = "t12" }, { row = 3, board = "haha", id = "t400" } })
  lu.assertErrorMsgContains("2 of 3 training texts belong to a sealed hold-out: row 2 = t12 of haha", board.refuse, texts, self.boards)
  board.refuse({ "nothing" }, self.boards)
end

function TestBoard:test_a_ladder_tells_only_what_improves_by_a_step()
  self:new { ladder = true, metric = "accuracy" }
  local first = assert(self:score(self:predictions("a", .7, 1)))
  lu.assertNotNil(first.value)
  local worse = assert(self:score(self:predictions("b", .7, 2)))
  lu.assertEquals({ worse.improved, worse.value, worse.gain, worse.difference }, { false })
  lu.assertStrContains(worse.text, "its score is not told")
  local better = assert(self:score(self:predictions("c", .9, 3)))
  lu.assertTrue(better.improved and better.value > first.value)
  local s = self:show()
  lu.assertEquals({ s.entries[3].entry, s.entries[3].value }, { "b" })
  local db <close> = assert(kooka.sqlite.open(self.boards .. "/haha.sqlite"))
  lu.assertEquals(db:rows("SELECT value, gain FROM looks WHERE number = 2"), { {} })
  lu.assertEquals(#db:rows("SELECT * FROM verdicts WHERE a = 2"), 0)
end

-- 40 coins are thrown: the best of them is far above one half, what the Ladder tells is not; both say that it is over.
function TestBoard:test_searching_among_coins_ends_with_a_word()
  self:new { metric = "accuracy" }
  self:new { name = "ladder", metric = "accuracy", ladder = true }
  local best, ladder, open = 0, nil, nil
  local b <close> = assert(board.open("ladder", self.boards))
  local a <close> = assert(board.open("haha", self.boards))
  for seed = 1, 25 do
    local path = self:predictions("coin", .5, seed)
    open = assert(a:score(path))
    best = math.max(best, open.value)
    ladder = assert(b:score(path))
  end
  local told = b:show().entries[1].value
  lu.assertTrue(best > .53)
  lu.assertTrue(told <= best)
  lu.assertTrue(open.judgement.spent)
  lu.assertStrContains(open.text, "Another look no longer means anything")
  lu.assertTrue(ladder.judgement.spent)
  lu.assertEquals(a:show().looks, 25)
end

TestCommand = {}
for _, name in ipairs { "tearDown", "predictions" } do TestCommand[name] = TestBoard[name] end

function TestCommand:setUp()
  lu.skipIf(not helper.kooka, "the program kooka is not beside the module")
  TestBoard.setUp(self)
end

function TestCommand:kooka(...)
  return helper.run({ "board", ... }, { cwd = self.dir, env = { KOOKA_BOARDS = false, KOOKA_RUNS = false } })
end

-- What it prints.
function TestCommand:said(...)
  return select(2, self:kooka(...))
end

function TestCommand:test_from_sealing_to_the_table()
  local status, out, err = self:kooka("new", "haha", "--labels", "labels.csv")
  lu.assertEquals(status, 0, err)
  lu.assertStrMatches(out, "boards/haha%.sqlite: 400 rows of is_humor sealed %(0, 1%), scored by f1 of 1\ncommitment %x+\nnow put labels.csv.*")
  lu.assertEquals(self:kooka("verify", "haha", "labels.csv"), 0)
  self:predictions("one", .7, 1)
  self:predictions("two", .9, 2)
  out = self:said("score", "haha", "one.csv")
  lu.assertStrMatches(out, "look 1: one  f1 0%.%d+ %[.-%]\n1 different entry of about %d+ that 400 rows can bear.*")
  out = self:said("score", "haha", "two.csv", "--name", "second", "--json")
  lu.assertEquals(json.decode(out).entry, "second")
  out = self:said("show", "haha")
  lu.assertStrMatches(out, ".*second .- the best .*one .-worse.*2 looks\n.*")
  out = self:said()
  lu.assertStrMatches(out, ".*haha +400 +f1 +2 +second.*")
  lu.assertEquals(self:kooka("holds", "labels.csv"), 1)
  lu.assertEquals(self:kooka("rm", "haha"), 1)
  lu.assertEquals(self:kooka("rm", "haha", "--yes"), 0)
  out = self:said("list")
  lu.assertEquals(out, "no boards in boards\n")
end

function TestCommand:test_wrong_arguments()
  for arguments, want in pairs { ["new x"] = "new wants --labels FILE.csv", ["scroe x y"] = "did you mean score?",
    ["new x --labels labels.csv --metric f2"] = "metric f2 is not for binary labels", ["score x"] = "score wants a board and a file",
    ["show x --laddr"] = "unknown option --laddr" } do
    local words = {}
    for word in arguments:gmatch("%S+") do words[#words + 1] = word end
    local status, _, err = self:kooka(table.unpack(words))
    lu.assertEquals({ arguments, status }, { arguments, 2 })
    lu.assertStrContains(err, want)
  end
  local status, _, err = self:kooka("show", "nowhere")
  lu.assertEquals(status, 1)
  lu.assertStrContains(err, "no board is called nowhere in boards")
end

function TestCommand:test_processes_that_score_at_once_lose_no_look()
  lu.assertEquals(self:kooka("new", "haha", "--labels", "labels.csv"), 0)
  local children = {}
  for i = 1, 6 do
    self:predictions("p" .. i, .5 + .05 * i, i)
    children[i] = helper.start({ "board", "score", "haha", "p" .. i .. ".csv" }, { cwd = self.dir, env = { KOOKA_BOARDS = false } })
  end
  for _, child in ipairs(children) do
    local text = child:read_all()
    lu.assertEquals(child:wait(), 0, text)
  end
  local _, out = self:kooka("show", "haha", "--json")
  local r = json.decode(out)
  lu.assertEquals({ r.looks, #r.entries, r.unfinished }, { 6, 6, 0 })
  local db <close> = assert(kooka.sqlite.open(self.dir .. "/boards/haha.sqlite"))
  lu.assertEquals(db:rows("SELECT COUNT(*) AS n FROM verdicts")[1].n, 15)       -- each saw all before it
end

function TestCommand:test_the_run_that_made_the_predictions_is_noted()
  write(self.dir .. "/r.lua", [[return {name = "r", about = "copies", run = function(_, run)
    run:save("predictions/r.csv", require("kooka").sys.read_file("one.csv")) end}]])
  self:predictions("one", .8, 1)
  lu.assertEquals((helper.run({ "run", "./r.lua" }, { cwd = self.dir, env = { KOOKA_RUNS = false } })), 0)
  self:kooka("new", "haha", "--labels", "labels.csv")
  local _, out = self:kooka("score", "haha", "one.csv", "--json")
  lu.assertStrMatches(json.decode(out).run, "%d+%-%d+%-r%-s1%-%x+")
end

os.exit(lu.LuaUnit.run())
