--- seeds_spec: the seed report says what a search over seeds found, on HAHA 2019's own 20 x 5 search.
local lu = require "luaunit"
local seeds = require "kooka.eval.seeds"
local kooka = require "kooka"

-- The 20 seeds of the HAHA 2019 entry with their F1 as means over five folds, and the means of the folds, as printed in
-- github bfarzin/haha_2019 (by_seed_fwd_perf, June 2019). The cells in between are made to have the published sd of .0029
-- inside a fold: seed + fold + a rest without row and column sums.
local SEEDS = { 84154, 432286, 990511, 823493, 383487, 828199, 128040, 6411, 612713, 162426, 917664, 806081, 871553, 743330,
  659587, 337233, 796483, 545819, 891870, 329890 }
local MEANS = { .8228, .8254, .8225, .8236, .8216, .8220, .8230, .8230, .8205, .8226, .8209, .8217, .8245, .8229, .8245, .8203,
  .8210, .8204, .8240, .8209 }
local FOLDS = { .8171, .8269, .8292, .8171, .8218 }

local function mean(list)
  local s = 0
  for _, v in ipairs(list) do s = s + v end
  return s / #list
end

local function haha()
  local stream, e, scores = kooka.random("seeds_spec", 3), {}, {}
  local column, all = { 0, 0, 0, 0, 0 }, 0
  for i = 1, 20 do
    e[i] = {}
    for j = 1, 5 do e[i][j] = stream:uniform() - .5 end
    local m = mean(e[i])
    for j = 1, 5 do
      e[i][j] = e[i][j] - m
      column[j] = column[j] + e[i][j] / 20
    end
  end
  for i = 1, 20 do
    for j = 1, 5 do
      e[i][j] = e[i][j] - column[j]
      all = all + e[i][j] ^ 2
    end
  end
  local grand, between = mean(MEANS), 0
  for i = 1, 20 do between = between + 5 * (MEANS[i] - grand) ^ 2 end
  local scale = math.sqrt((.0029 ^ 2 * 95 - between) / all)
  for i = 1, 20 do
    scores[SEEDS[i]] = {}
    for j = 1, 5 do scores[SEEDS[i]][j] = MEANS[i] + FOLDS[j] - mean(FOLDS) + scale * e[i][j] end
  end
  return scores
end

TestSeedReport = {}

function TestSeedReport:test_the_2019_search_of_twenty_seeds_selected_noise()
  local r = seeds.report { scores = haha(), metric = "f1" }
  local function near(x, want) lu.assertEquals(("%.4f"):format(x), ("%.4f"):format(want)) end
  near(r.inside, .0029)                       -- seed sd inside a fold
  near(r.expected_sd, .0013)                  -- .0029 / sqrt 5
  near(r.means_sd, .0015)                     -- seen
  near(r.best.expected, .0028)                -- best of 20 equal seeds
  near(r.best.lead, .0030)                    -- seen
  near(r.fold_sd, .0055)
  near(r.mean, .8224)
  lu.assertEquals(r.best.seed, 432286)
  lu.assertEquals(r.verdict, "noise")
  lu.assertStrContains(r.text, "The 20-seed search selected noise")
  lu.assertStrContains(r.text, "F(19, 76) = 1.4")
  lu.assertTrue(r.test.p > .05 and r.test.p < .3, r.test.p)
  lu.assertTrue(r.fold_test.p < 1e-10)
  lu.assertTrue(r.best.lasting < r.best.lead / 2)
  local text = tostring(r)
  for _, piece in ipairs { ".0029", ".0013", ".0015", ".0028", ".0030", "seed 432286", "1.87 times" } do
    lu.assertStrContains(text, piece)
  end
end

-- Three seeds, five folds: the final repository's demonstration (bfarzin/haha_2019_final, by_seed_fwd_perf), F1 as printed.
local DEMO = {
  [389450] = { 0.8137968182563782, 0.821647584438324, 0.8287292718887329, 0.8156929016113281, 0.8166621923446655 },
  [105422] = { 0.8172338008880615, 0.824907124042511, 0.8287075757980347, 0.8173677325248718, 0.8189268708229065 },
  [248367] = { 0.8199681639671326, 0.8273137211799622, 0.83146071434021, 0.8199129700660706, 0.8167427182197571 },
}

function TestSeedReport:test_the_real_table_of_three_seeds_agrees_with_scipy()
  local r = seeds.report { scores = DEMO, metric = "f1" }
  lu.assertEquals(("%.6f"):format(r.mean), "0.821271")          -- the notebook prints mean, min and max
  lu.assertEquals(("%.6f"):format(r.seed_means[3]), "0.819306")
  lu.assertEquals(("%.6f"):format(r.best.value), "0.823080")
  -- two-way analysis of variance by numpy, p by scipy.stats.f.sf (tests/golden/seeds.py)
  local golden = dofile("tests/golden/seeds.lua")
  lu.assertAlmostEquals(r.test.f, golden.f, 1e-9)
  lu.assertAlmostEquals(r.test.p, golden.p, 1e-10)
  lu.assertAlmostEquals(r.fold_test.f, golden.fold_f, 1e-9)
  lu.assertAlmostEquals(r.inside, golden.inside, 1e-12)
  local nested = seeds.report { scores = DEMO, metric = "f1", crossed = false }
  lu.assertAlmostEquals(nested.test.f, golden.one_way_f, 1e-9)
  lu.assertAlmostEquals(nested.test.p, golden.one_way_p, 1e-10)
  for k, want in pairs(golden.expected_max) do lu.assertAlmostEquals(seeds.expected_max(k), want, 1e-8) end
end

function TestSeedReport:test_a_real_difference_between_seeds_is_seen()
  local scores, stream = {}, kooka.random("seeds_spec", 8)
  for s = 1, 6 do
    scores[s] = {}
    for f = 1, 4 do scores[s][f] = .7 + .01 * s + .002 * stream:uniform() + .02 * f end
  end
  local r = seeds.report { scores = scores, metric = "accuracy" }
  lu.assertEquals(r.verdict, "seeds differ")
  lu.assertEquals(r.best.seed, 6)
  lu.assertTrue(r.best.p < .01)
  lu.assertTrue(r.best.lasting > .9 * r.best.lead)
  lu.assertStrContains(r.text, "can be expected to last")
end

function TestSeedReport:test_seeds_that_all_score_the_same_have_no_spread()
  local stream = kooka.random("seeds_spec.same", 1)
  for _ = 1, 40 do                           -- rounding makes the difference of two sums of squares negative in some
    local row, scores = { stream:uniform() / 3, stream:uniform() / 3 }, {}
    for s = 1, 3 do scores[s] = row end
    local r = seeds.report { scores = scores, metric = "accuracy", resamples = 0, crossed = true }
    lu.assertAlmostEquals(r.inside, 0, 1e-6)
    lu.assertNotStrContains(tostring(r), "nan")
  end
end

function TestSeedReport:test_noise_is_called_something_else_in_one_table_of_twenty()
  local called = 0
  for trial = 1, 200 do
    local stream, scores = kooka.random("seeds_spec.noise", trial), {}
    for s = 1, 8 do
      scores[s] = {}
      for f = 1, 5 do scores[s][f] = f + stream:uniform() + stream:uniform() + stream:uniform() end
    end
    if seeds.report { scores = scores, resamples = 0 }.verdict ~= "noise" then called = called + 1 end
  end
  lu.assertTrue(called >= 2 and called <= 20, called)          -- expected 10 of 200
end

function TestSeedReport:test_losses_are_better_when_lower()
  lu.assertTrue(seeds.lower_is_better "log_loss_humor")
  lu.assertTrue(seeds.lower_is_better "rmse_funny")
  lu.assertTrue(seeds.lower_is_better "valid_loss")
  lu.assertFalse(seeds.lower_is_better "f1_humor")
  local scores = { { 1, 2 }, { 3, 4.5 }, { 2, 3 } }
  lu.assertEquals(seeds.report { scores = scores, metric = "rmse" }.best.seed, 1)
  lu.assertEquals(seeds.report { scores = scores, metric = "f1" }.best.seed, 2)
  lu.assertTrue(seeds.report { scores = scores, metric = "rmse" }.best.lead > 0)
end

function TestSeedReport:test_picking_the_epoch_flatters_and_by_how_much()
  local r = seeds.report { metric = "f1", scores = {
    { { .70, .80, .78 }, { .60, .66, .69 } },
    { { .71, .79, .79 }, { .61, .70, .65 } },
  } }
  lu.assertAlmostEquals(r.epochs.last, (.02 + 0 + 0 + .05) / 4, 1e-12)
  -- nested: seed 1 fold 1 takes epoch 3 of fold 2 (.78 against .80), fold 2 takes epoch 2 (.66 against .69); seed 2: fold 1
  -- takes epoch 2 (.79, its best), fold 2 the first best of fold 1, epoch 2 (.70, its best)
  lu.assertAlmostEquals(r.epochs.nested, (.02 + .03 + 0 + 0) / 4, 1e-12)
  lu.assertAlmostEquals(r.epochs.mean_epoch, (2 + 3 + 2 + 2) / 4, 1e-12)
  lu.assertEquals(r.scores[1], { .78, .69 })                   -- the last epoch counts unless told otherwise
  lu.assertEquals(seeds.report { metric = "f1", pick = "best", scores = { { { .7, .8, .6 } } } }.mean, .8)
  lu.assertStrContains(tostring(r), "best epoch - nested")
end

function TestSeedReport:test_records_give_the_same_as_a_table()
  local records = {}
  for s, folds in pairs(DEMO) do
    for f, v in ipairs(folds) do records[#records + 1] = { seed = s, fold = f, f1 = v } end
  end
  lu.assertEquals(seeds.report({ records = records, metric = "f1" }).text, seeds.report({ scores = DEMO, metric = "f1" }).text)
end

function TestSeedReport:test_a_seed_without_every_fold_is_left_out_and_named()
  local r = seeds.report { metric = "f1", scores = { { .8, .7, .9 }, { .8, .7 }, { .81, .71, .88 } } }
  lu.assertEquals(r.left, { 2 })
  lu.assertEquals(r.k, 2)
  lu.assertStrContains(tostring(r), "Left out, without a score in every fold: 2.")
end

function TestSeedReport:test_one_fold_or_one_seed_gives_no_verdict_but_says_why()
  local r = seeds.report { metric = "f1", scores = { { .80 }, { .81 }, { .83 } } }
  lu.assertEquals(r.verdict, "no test")
  lu.assertStrContains(r.text, "run two folds or more")
  lu.assertEquals(seeds.report({ scores = { { .8, .7 } } }).verdict, "one seed")
  r = seeds.report { scores = { { .8, .8 }, { .8, .8 } } }      -- nothing varies at all
  lu.assertEquals(r.verdict, "noise")
  lu.assertEquals(r.test.p, 1)
end

function TestSeedReport:test_the_rows_own_uncertainty_stands_beside()
  local stream, labels, predictions = kooka.random("seeds_spec.rows", 1), {}, {}
  for i = 1, 400 do labels[i] = stream:uniform() < .4 and 2 or 1 end
  for s = 1, 2 do
    local prob = {}
    for i = 1, 400 do prob[i] = math.min(.99, math.max(.01, (labels[i] == 2 and .65 or .35) + .5 * (stream:uniform() - .5))) end
    predictions[s] = { seed = s, prob = prob }
  end
  local r = seeds.report { metric = "f1", scores = { { .8, .7 }, { .82, .73 } }, predictions = predictions, labels = labels }
  lu.assertTrue(r.sampling > .005 and r.sampling < .05, r.sampling)
  lu.assertStrContains(tostring(r), "of the best seed's score on 400 rows (bootstrap)")
end

function TestSeedReport:test_report_section_and_plots()
  local r = seeds.report { scores = haha(), metric = "f1" }
  local html = r:section(require("kooka.report").new { title = "t" }):html()
  lu.assertStrContains(html, "selected noise")
  lu.assertStrContains(html, "<svg")
  lu.assertStrContains(r:plot { width = 70, ascii = true }, "folds 1 to 5")
end

function TestSeedReport:test_bad_tables_are_named()
  local function fails(message, t) lu.assertErrorMsgContains(message, seeds.report, t) end
  fails("no scores", { scores = {} })
  fails("seed 1, fold 2 is inf, expected a finite number", { scores = { { 1, math.huge } } })
  fails("expected scores = ", {})
  fails("pick is first", { scores = { { 1 } }, pick = "first" })
  fails("record 1 has no seed", { records = { { fold = 1, value = 2 } } })
end

os.exit(lu.LuaUnit.run())
