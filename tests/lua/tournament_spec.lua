--- tournament_spec: heads by scikit-learn's numbers, many models in one bootstrap, and a tournament in which no held-out row takes part.
local lu = require "luaunit"
local eval = require "kooka.eval"
local golden = dofile "tests/golden/tournament.lua"
local helper = require "cli_helper"
local kooka = require "kooka"
local lsa = require "kooka.text.lsa"
local repeats = require "kooka.eval.repeats"
local split = require "kooka.data.split"
local strategies = require "kooka.tournament.strategies"
local sys = kooka.sys
local tell = require "kooka.tournament.tell"
local tournament = require "kooka.tournament"

require("kooka.progress").quiet = true

-- As in tests/golden/tournament.py.
local function head_inputs(n, d)
  local x, label = {}, {}
  for row = 0, n - 1 do
    x[row + 1] = {}
    for j = 0, d - 1 do x[row + 1][j + 1] = ((row * d + j) * 7919 + row * 104729) * 31 % 1009 / 504.5 - 1 end
    local s = x[row + 1][1] - .7 * x[row + 1][2] + .5 * ((row * 5171 + 11) % 97 / 48.5 - 1)
    label[row + 1] = s > .55 and 2 or 1
  end
  return x, label
end

-- Mean squared norm of centred rows: the unit of the penalty.
local function mean_square(x)
  local n, total = #x, 0
  for j = 1, #x[1] do
    local mean = 0
    for i = 1, n do mean = mean + x[i][j] / n end
    for i = 1, n do total = total + (x[i][j] - mean) ^ 2 / n end
  end
  return total
end

-- n rows of d features, n2 of class 2 with means `apart` off.
local function made(n, n2, d, apart, seed)
  local stream, x, labels = kooka.random("tournament spec", seed), {}, {}
  for i = 1, n do
    labels[i] = i <= n2 and 2 or 1
    x[i] = {}
    for j = 1, d do x[i][j] = stream:normal() + (j == 1 and labels[i] == 2 and apart or 0) end
  end
  return kooka.tensor(x):keep(), labels
end

TestLogistic = {}

function TestLogistic.test_plain_and_weighted_heads_are_scikit_learns()
  local x, label = head_inputs(200, 6)
  local n2 = golden.head_positives
  for name, weights in pairs { plain = { 1, 1 }, balanced = { 200 / (2 * (200 - n2)), 200 / (2 * n2) } } do
    local w, b = kooka.logistic.path(kooka.tensor(x), label, { l2 = .01 / mean_square(x), class_weights = weights, tolerance = 1e-9 })
    local got = w:tolist()[1]
    for j = 1, 6 do lu.assertAlmostEquals(got[j], golden["head_" .. name][j], 1e-5, name) end
    lu.assertAlmostEquals(b[1], golden["head_" .. name][7], 1e-5)
  end
end

function TestLogistic.test_row_weights_count_like_copies_and_a_path_like_single_fits()
  local x, label = head_inputs(30, 3)
  local weights, copies, their = {}, {}, {}
  for i = 1, 30 do
    weights[i] = i % 3
    for _ = 1, i % 3 do copies[#copies + 1], their[#their + 1] = x[i], label[i] end
  end
  local _, b1 = kooka.logistic.path(kooka.tensor(x), label, { l2 = { 1e-9 }, row_weights = weights, tolerance = 1e-9 })
  local _, b2 = kooka.logistic.path(kooka.tensor(copies), their, { l2 = 1e-9, tolerance = 1e-9 })
  lu.assertAlmostEquals(b1[1] / b2[1], 1, 1e-2)
  local w, b = kooka.logistic.path(kooka.tensor(x), label, { l2 = { 1, .1, .01 }, tolerance = 1e-10 })
  local one, c = kooka.logistic.path(kooka.tensor(x), label, { l2 = .01, tolerance = 1e-10 })
  lu.assertAlmostEquals(w[3][1]:item(), one[1][1]:item(), 1e-4)
  lu.assertAlmostEquals(b[3], c[1], 1e-4)
end

-- The gradient of the written objective vanishes where the head says it is: focal, shift and margins, by differences.
function TestLogistic.test_every_loss_is_at_its_minimum()
  local x, label = head_inputs(60, 3)
  local unit = mean_square(x)
  for _, o in ipairs { { gamma = 2 }, { shift = -1.5 }, { margins = { .3, 1 } },
    { gamma = 1, shift = .4, margins = { .1, .5 }, class_weights = { 1, 3 } } } do
    o.l2, o.tolerance = .05, 1e-9
    local w, b = kooka.logistic.path(kooka.tensor(x), label, o)
    local at = w:tolist()[1]
    at[4] = b[1]
    local function objective(p)
      local sum, total = 0, 0
      for i, row in ipairs(x) do
        local y, z = label[i], p[4]
        for j = 1, 3 do z = z + p[j] * row[j] end
        local v = o.class_weights and o.class_weights[y] or 1
        local m = (y == 2 and 1 or -1) * (z + (o.shift or 0)) - (o.margins and o.margins[y] or 0)
        local nll = math.log(1 + math.exp(-m))
        sum, total = sum + v * (1 - math.exp(-nll)) ^ (o.gamma or 0) * nll, total + v
      end
      return sum / total + .5 * o.l2 * unit * (p[1] ^ 2 + p[2] ^ 2 + p[3] ^ 2)
    end
    for j = 1, 4 do
      local up, down = { table.unpack(at) }, { table.unpack(at) }
      up[j], down[j] = up[j] + 1e-4, down[j] - 1e-4
      lu.assertAlmostEquals((objective(up) - objective(down)) / 2e-4, 0, 2e-6)
    end
  end
end

function TestLogistic.test_bad_input_is_named()
  local x = kooka.tensor { { 1, 2 }, { 3, 4 }, { 5, 6 } }
  local path = kooka.logistic.path
  lu.assertErrorMsgContains("none of 3 rows is of class 2", path, x, { 1, 1, 1 })
  lu.assertErrorMsgContains("label 2 is 3.0, expected class 1 or 2", path, x, { 1, 3, 1 })
  lu.assertErrorMsgContains("2 labels for 3 rows", path, x, { 1, 2 })
  lu.assertErrorMsgContains("l2 is 0", path, x, { 1, 2, 1 }, { l2 = 0 })
  lu.assertErrorMsgContains("row 2, feature 1 is", path, kooka.tensor { { 1 }, { 0 / 0 }, { 2 } }, { 1, 2, 1 })
  lu.assertErrorMsgContains("no option 'penalty'", path, x, { 1, 2, 1 }, { penalty = 1 })
end

TestRepeats = {}

function TestRepeats.test_one_repeat_is_the_paired_comparison_of_two_models()
  local stream, a, b, label = kooka.random("repeats spec", 1), {}, {}, {}
  for i = 1, 120 do
    label[i] = stream:uniform() < .2 and 2 or 1
    a[i] = math.min(.99, math.max(.01, .3 * label[i] - .2 + .3 * stream:uniform()))
    b[i] = math.min(.99, math.max(.01, .2 * label[i] - .1 + .4 * stream:uniform()))
  end
  local function hard(p, cut)
    local out = {}
    for i, v in ipairs(p) do out[i] = v > cut and 2 or 1 end
    return out
  end
  local got = repeats.compare { prob = { { b }, { a } }, pred = { { hard(b, .3) }, { hard(a, .4) } }, label = label,
    resamples = 200, seed = 7 }
  local want = eval.paired(a, b, label, { threshold_a = .4, threshold_b = .3, resamples = 200, seed = 7 })
  for _, m in ipairs(tournament.metrics) do
    local d, w = got.differences[2][m], want.differences[m]
    lu.assertAlmostEquals(d.value, w.value, 1e-12, m)
    lu.assertAlmostEquals(d.low, w.low, 1e-12, m)
    lu.assertAlmostEquals(d.high, w.high, 1e-12, m)
    lu.assertEquals(got.differences[1][m].value, 0)
  end
  lu.assertEquals(got.metrics[2].mcc.value, eval.binary(a, label, { threshold = .4, resamples = 0 }).mcc.value)
end

function TestRepeats.test_repeats_are_averaged_and_groups_are_drawn_whole()
  local label, good, bad = { 2, 1, 2, 1 }, { .9, .1, .9, .1 }, { .1, .9, .1, .9 }
  local pred = { 2, 1, 2, 1 }
  local got = repeats.compare { prob = { { good, bad } }, pred = { { pred, pred } }, label = label, resamples = 50,
    groups = { "a", "a", "b", "b" } }
  lu.assertAlmostEquals(got.metrics[1].roc_auc.value, .5, 1e-12)
  lu.assertEquals(got.metrics[1].roc_auc.low, got.metrics[1].roc_auc.high)     -- each group alone is the same
  lu.assertErrorMsgContains("pred: row 1 is 3", repeats.compare, { prob = { { { .5 } } }, pred = { { { 3 } } }, label = { 1 } })
end

function TestRepeats.test_holm_and_the_corrected_t_are_their_formulas()
  local adjusted = repeats.holm { .04, .01, false, .03 }
  lu.assertAlmostEquals(adjusted[2], .03, 1e-12)
  lu.assertAlmostEquals(adjusted[4], .06, 1e-12)
  lu.assertAlmostEquals(adjusted[1], .06, 1e-12)          -- never below the one before
  lu.assertEquals(adjusted[3], false)
  local m = repeats.corrected_t({ 1, 2, 3, 4 }, .2)
  lu.assertAlmostEquals(m.value, 2.5, 1e-12)
  lu.assertAlmostEquals(m.se, math.sqrt((1 / 4 + .25) * (5 / 3)), 1e-12)
  lu.assertAlmostEquals((m.high - m.value) / m.se, 3.18244630528, 1e-6)        -- t of 3 degrees at 97.5 %
end

TestFeatures = {}

function TestFeatures.test_lsa_of_all_directions_keeps_every_distance()
  local texts = {}
  for i = 1, 12 do texts[i] = ("w%d w%d common w%d"):format(i % 3, i % 4, i % 5) end
  local x, about = lsa.fit(texts, { dims = 100, rounds = 8 })
  lu.assertEquals(about.dims, 12)
  lu.assertTrue(about.kept > .999 and about.kept < 1.001, tostring(about.kept))
  local same, other = lsa.fit(texts, { dims = 100, rounds = 8 }), lsa.fit(texts, { dims = 2 })
  lu.assertEquals(x:tolist(), same:tolist())
  lu.assertEquals(other:shape(2), 2)
  lu.assertErrorMsgContains("no term is in 2 texts", lsa.fit, { "a", "b" }, { min_df = 2 })
end

function TestFeatures.test_pca_keeps_what_there_is()
  local x = kooka.tensor { { 1, 0, 2 }, { 2, 0, 4 }, { 3, 0, 6 }, { 4, 0, 8 } }
  local y, kept = lsa.pca(x, 1)
  lu.assertEquals(y:shape(2), 1)
  lu.assertAlmostEquals(kept, 1, 1e-6)
  lu.assertAlmostEquals(math.abs(y[1][1]:item() - y[4][1]:item()), 3 * math.sqrt(5), 1e-5)
end

TestTournament = {}

local function game(n, n2, o)
  local x, labels = made(n, n2, 4, 2, 1)
  local data = { x = x, labels = labels }
  return data, tournament.splits(data, { folds = o.folds or 3, repeats = o.repeats or 1, seed = 1, inner = 2 })
end

function TestTournament.test_strategies_see_training_sides_only()
  local data, splits = game(60, 12, { repeats = 2 })
  local spy = { id = "spy", name = "spy", prepare = function(t)
    lu.assertEquals(split.role(t.split.train), "train")
    for _, folds in ipairs(splits) do
      for _, f in ipairs(folds) do
        local held = {}
        for _, row in ipairs(f.split.valid) do held[row] = true end
        for _, s in ipairs(f.inner) do
          for _, row in ipairs(s.train) do lu.assertNil(held[row]) end
          for _, row in ipairs(s.valid) do lu.assertNil(held[row]) end
        end
      end
    end
    return {}
  end }
  local got = tournament.play(spy, data, splits, { seed = 1 })
  lu.assertNil(got.failed, got.failed)
end

-- A row that is held out may hold anything: the head of its fold does not move.
function TestTournament.test_held_out_labels_change_no_prediction_of_their_fold()
  local data, splits = game(60, 12, {})
  local oversampling = strategies.choose "over"
  for _, s in ipairs(oversampling) do
    local before = tournament.play(s, data, splits, { seed = 1 }).prob[1]
    local changed = { x = data.x, labels = table.move(data.labels, 1, 60, 1, {}) }
    for _, row in ipairs(splits[1][1].split.valid) do changed.labels[row] = 3 - changed.labels[row] end
    local after = tournament.play(s, changed, splits, { seed = 1 }).prob[1]
    for _, row in ipairs(splits[1][1].split.valid) do lu.assertEquals(after[row], before[row]) end
  end
end

function TestTournament.test_what_bends_probabilities_is_repaired()
  local data, splits = game(600, 60, { folds = 5, repeats = 2 })
  local list = strategies.choose "weights_balanced,logit_adjustment,logit_adjustment_after,over,focal"
  local played = {}
  for i, s in ipairs(list) do played[i] = { strategy = s, result = tournament.play(s, data, splits, { seed = 1 }) } end
  local entries = tournament.judge(played, data, splits, { resamples = 50 })
  lu.assertTrue(entries[1].reference and entries[1].repaired)
  local base = entries[1].metrics.log_loss.value
  for _, e in ipairs(entries) do
    local loss = e.metrics.log_loss.value
    if e.repaired then lu.assertTrue(loss < base + .02, ("%s: %g, reference %g"):format(e.name, loss, base))
    elseif e.strategy.id ~= "nothing" then lu.assertTrue(loss > base + .01, ("%s: %g, reference %g"):format(e.name, loss, base)) end
  end
  local ap = {}
  for _, e in ipairs(entries) do               -- a repair moves no row past another
    local v = e.metrics.average_precision.value
    lu.assertAlmostEquals(v, ap[e.strategy.id] or v, 1e-12, e.name)
    ap[e.strategy.id] = v
  end
  lu.assertAlmostEquals(ap.logit_adjustment_after, ap.nothing, 1e-9)
  local sentences = table.concat(tell.verdict(entries), " ")
  lu.assertStrContains(sentences, "Nothing beats doing nothing with a tuned cut")
  lu.assertStrContains(sentences, "random oversampling")
  lu.assertEquals(#tell.table(entries).rows, #entries)
  lu.assertEquals(#tell.differences(entries, "folds").rows, #entries - 1)
end

function TestTournament.test_a_winner_is_said()
  local function entry(value, holm, low, high, folds)
    local e = { name = "magic", strategy = { id = "magic" }, repaired = true, metrics = {}, differences = {}, seconds = 1 }
    for _, m in ipairs(tournament.metrics) do
      e.metrics[m] = { value = .5 }
      e.differences[m] = { value = 0, low = -1, high = 1, holm = 1 }
    end
    e.differences.mcc = { value = value, low = low, high = high, better = value > 0, holm = holm, folds = folds }
    return e
  end
  local base = entry(0, nil, 0, 0)
  local said, beats = tell.verdict { base, entry(.2, .01, .1, .3, { low = .05, high = .35 }) }
  lu.assertEquals(#beats, 1)
  lu.assertStrContains(said[1], "Surely better than doing nothing with a tuned cut")
  lu.assertStrContains(said[1], "magic (MCC +0.200 [+0.100, +0.300])")
  for _, weak in ipairs { entry(.2, .2, .1, .3, { low = .05, high = .35 }), entry(.2, .01, .1, .3, { low = -.05, high = .35 }) } do
    said, beats = tell.verdict { base, weak }
    lu.assertEquals(#beats, 0)
    lu.assertStrContains(said[1], "1 look better one at a time")
  end
end

function TestTournament.test_four_positives_of_a_hundred_can_be_played_and_a_failure_is_kept_not_dropped()
  local data, splits = game(100, 4, { folds = 5, repeats = 2 })
  for _, s in ipairs(strategies.choose "weights_effective,ldam,ldam_drw,over") do
    local got = tournament.play(s, data, splits, { seed = 1 })
    lu.assertNil(got.failed, s.name)
    for r = 1, 2 do lu.assertEquals(#got.prob[r], 100) end
  end
  local got = tournament.play({ id = "x", name = "x", prepare = function() error("no neighbours here", 0) end }, data, splits, { seed = 1 })
  lu.assertEquals(got.failed, "no neighbours here")
end

function TestTournament.test_too_few_rows_allow_no_verdict()
  for _, case in ipairs { { 12, 5, "12 rows, 5 of the smaller class" }, { 40, 2, "40 rows, 2 of the smaller class" }, { 40, 3 } } do
    local data, splits = game(case[1], case[2], { folds = 4, repeats = 2 })
    local played = {}
    for i, s in ipairs(strategies.choose "under") do
      played[i] = { strategy = s, result = tournament.play(s, data, splits, { seed = 1 }) }
    end
    local entries = tournament.judge(played, data, splits, { resamples = 20 })
    local said, beats = tell.verdict(entries)
    if case[3] then
      lu.assertStrContains(said[1], "Not enough data for a verdict: " .. case[3])
      lu.assertEquals(beats, {})
    end
    lu.assertEquals(entries.short == nil, case[3] == nil)
    lu.assertEquals(entries[2].differences.mcc.holm == nil, case[3] ~= nil)
  end
end

-- Scores that say nothing: where one fold's training side has one positive more, all its rows score higher and it
-- holds one positive less. Ranked as they come they would look worse than chance.
function TestTournament.test_how_many_positives_a_training_side_holds_does_not_count()
  local data, splits = game(101, 5, { folds = 4, repeats = 1 })
  local result = { prob = { {} }, from = { {} }, own = { {} }, seconds = 0 }
  for k, f in ipairs(splits[1]) do
    local own = f.split:counts(data.labels).train
    result.from[1][k], result.own[1][k] = own, own
    for _, row in ipairs(f.split.valid) do result.prob[1][row] = own[2] / (own[1] + own[2]) end
  end
  local entries = tournament.judge({ { strategy = strategies.list[1], result = result } }, data, splits, { resamples = 20 })
  lu.assertAlmostEquals(entries[1].metrics.average_precision.value, 5 / 101, 1e-9)
end

function TestTournament.test_every_strategy_can_be_played()
  local data, splits = game(90, 18, { folds = 3 })
  local list, missing = strategies.choose()
  lu.assertEquals(missing, {})
  lu.assertEquals(#list, #strategies.list)
  for _, s in ipairs(list) do
    local got = tournament.play(s, data, splits, { seed = 1 })
    lu.assertNil(got.failed, s.name .. ": " .. tostring(got.failed))
    lu.assertEquals(#got.prob[1], 90)
  end
end

function TestTournament.test_unknown_strategies_are_named()
  lu.assertErrorMsgContains('there is no strategy "magic"', strategies.choose, "nothing,magic")
  lu.assertEquals(strategies.choose("focal")[1].id, "nothing")
end

function TestTournament.test_same_seed_same_numbers_for_any_thread_count()
  local data, splits = game(300, 30, {})
  local s = strategies.choose("over")[2]
  local threads = sys.threads()
  local a = tournament.play(s, data, splits, { seed = 5 }).prob
  sys.threads(1)
  local b = tournament.play(s, data, splits, { seed = 5 }).prob
  sys.threads(threads)
  lu.assertEquals(a, b)
end

TestRecipe = {}

function TestRecipe:setUp()
  lu.skipIf(not helper.kooka, "the program kooka is not beside the module")
  self.dir = helper.folder()
end

function TestRecipe:tearDown()
  if self.dir then sys.remove_tree(self.dir) end
end

function TestRecipe:write(name, lines)
  assert(sys.write_file(self.dir .. "/" .. name, table.concat(lines, "\n") .. "\n"))
  return self.dir .. "/" .. name
end

function TestRecipe:run(...) return helper.run({ "run", ... }, { cwd = self.dir }) end

local function texts_of(n, n2)
  local stream, lines = kooka.random("imbalance recipe", 1), { "text,label" }
  for i = 1, n do
    local words = {}
    for k = 1, 6 do words[k] = (i <= n2 and k < 3 and "bad" or "w") .. stream:below(8) end
    lines[i + 1] = ("%s n%d,%s"):format(table.concat(words, " "), i, i <= n2 and "dislike" or "like")
  end
  return lines
end

local SMALL = { "--folds", "3", "--inner", "2", "--repeats", "2", "--dims", "8", "--resamples", "60", "--strategies",
  "weights_balanced,focal,logit_adjustment_after,over" }

function TestRecipe:test_a_table_is_played_told_and_resumed()
  self:write("data.csv", texts_of(80, 12))
  local status, said, err = self:run("imbalance", "--data", "data.csv", "--out", "one", "--cost", "1,5", table.unpack(SMALL))
  lu.assertEquals(status, 0, err)
  lu.assertStrContains(said, "80 rows, 12 of them dislike (15.0 %)")
  lu.assertStrContains(said, "has none of them with probability")
  lu.assertStrContains(said, "oversampled 1: ")
  lu.assertStrContains(said, "cost 1 of a false alarm, 5 of a miss")
  lu.assertStrContains(said, "doing nothing with a tuned cut")
  local metrics = kooka.json.decode(assert(sys.read_file(self.dir .. "/one/metrics.json")))
  lu.assertNotNil(metrics.average_precision_nothing_repaired.low)
  lu.assertNotNil(metrics.difference_mcc_over_repaired.value)
  local page = assert(sys.read_file(self.dir .. "/one/report.html"))
  lu.assertTrue(select(2, page:gsub("<svg", "")) >= 5)
  local oof = assert(sys.read_file(self.dir .. "/one/predictions/oof.csv"))
  lu.assertEquals(select(2, oof:gsub("\n", "")), 81)
  assert(sys.remove(self.dir .. "/one/report.html"))
  assert(sys.remove(self.dir .. "/one/.stages/play-over.json") or true)
  status, said, err = self:run("--resume", "one")
  lu.assertEquals(status, 0, err)
  lu.assertStrContains(said, "features: done before")
  lu.assertEquals(kooka.json.decode(assert(sys.read_file(self.dir .. "/one/metrics.json"))).difference_mcc_over_repaired,
    metrics.difference_mcc_over_repaired)
end

function TestRecipe:test_ratings_of_one_person()
  local lines = { "user,item,text,label" }
  for i = 1, 40 do
    lines[#lines + 1] = ("ann,i%d,word%d and word%d,%d"):format(i, i, i % 3, i % 8 == 0 and 0 or 1)
    lines[#lines + 1] = ("bob,i%d,word%d and word%d,%d"):format(i, i, i % 3, i % 2)
    lines[#lines + 1] = ("cy,i%d,word%d and word%d,%d"):format(i, i, i % 3, i == 9 and 0 or 1)
    lines[#lines + 1] = ("dan,i%d,word%d and word%d,1"):format(i, i, i % 3)
  end
  self:write("likes.csv", lines)
  local status, said, err = self:run("imbalance", "--data", "likes.csv", "--user", "ann", "--out", "one", table.unpack(SMALL))
  lu.assertEquals(status, 0, err)
  lu.assertStrContains(said, "40 rows, 5 of them no like")
  for user, message in pairs { cy = "class no like has one row of the 40 of cy", dan = "one class only: all 40 rows of dan are like" } do
    status, said, err = self:run("imbalance", "--data", "likes.csv", "--user", user, "--out", user, table.unpack(SMALL))
    lu.assertEquals(status, 1, said)
    lu.assertStrContains(err .. said, message)
  end
  status, said, err = self:run("imbalance", "--data", "likes.csv", "--user", "eve", "--out", "two", table.unpack(SMALL))
  lu.assertEquals(status, 1, said)
  lu.assertStrContains(err .. said, 'nobody is called "eve"')
end

function TestRecipe:test_a_folder_of_ratings_keeps_a_text_on_one_side()
  assert(sys.mkdir_p(self.dir .. "/jokes"))
  local jokes, ratings = { "joke,text" }, { "user,joke,rating" }
  for i = 1, 30 do
    jokes[#jokes + 1] = ("%d,word%d and word%d n%d"):format(i, i % 4, i % 3, i)
    for u = 1, 2 do ratings[#ratings + 1] = ("u%d,%d,%d"):format(u, i, (i + u) % 4 == 0 and 6 or 1) end
  end
  self:write("jokes/jokes.csv", jokes)
  self:write("jokes/ratings.csv", ratings)
  local status, said, err = self:run("imbalance", "--data", "jokes", "--out", "one", table.unpack(SMALL))
  lu.assertEquals(status, 0, err)
  lu.assertStrContains(said, "60 rows, 15 of them like")
  lu.assertStrContains(said, "over groups")
  local fold = {}
  for row, of in assert(sys.read_file(self.dir .. "/one/predictions/oof.csv")):gmatch("\n(%d+),%d+,[^,]+,(%d+),") do
    local joke = (tonumber(row) + 1) // 2
    lu.assertEquals(fold[joke] or of, of)
    fold[joke] = of
  end
  lu.assertEquals(#fold, 30)
end

function TestRecipe:test_bad_input_is_named()
  local function fails(message, ...)
    local status, said, err = self:run("imbalance", ...)
    lu.assertEquals(status, 1, said)
    lu.assertStrContains(said .. err, message)
  end
  fails("imbalance needs --data")
  fails("class dislike has one row of the 30: with that row held out", "--data", self:write("one.csv", texts_of(30, 1)), "--out", "a")
  fails("class", "--data", self:write("none.csv", texts_of(30, 0)), "--out", "b")
  fails('there is no class "meh"; classes are dislike, like', "--data", self:write("two.csv", texts_of(30, 5)), "--positive", "meh", "--out", "c")
  fails('there is no strategy "magic"', "--data", "two.csv", "--strategies", "magic", "--out", "d")
  fails("--weights is", "--data", "two.csv", "--weights", "1;2", "--out", "e")
end

os.exit(lu.LuaUnit.run())
