--- reliability_spec: isotonic calibration, the shift that undoes resampling, and reliability tables that know their own chance error.
local lu = require "luaunit"
local calibrate = require "kooka.eval.calibrate"
local golden = dofile "tests/golden/tournament.lua"
local isotonic = require "kooka.eval.isotonic"
local kooka = require "kooka"
local reliability = require "kooka.eval.reliability"

-- As in tests/golden/tournament.py.
local function inputs(n)
  local prob, label = {}, {}
  for i = 0, n - 1 do
    local h = (i * 7919 + 104729) * 31 % 1009
    local p = (h % 63 + 1) / 64
    prob[i + 1], label[i + 1] = p, (i * 5171 + h * 13) % 97 < 20 + 40 * p and 2 or 1
  end
  return prob, label
end

local function without_ties()
  local prob, label = {}, {}
  for i = 0, 199 do
    local q = (i * 37 % 200 + .5) / 200
    prob[i + 1], label[i + 1] = q, (i * 71 + 13) % 101 < 100 * q ^ 1.5 and 2 or 1
  end
  return prob, label
end

local function pairs_of(prob)
  local out = {}
  for i, p in ipairs(prob) do out[i] = { 1 - p, p } end
  return out
end

local function near(got, want, margin)
  lu.assertEquals(#got, #want)
  for i, v in ipairs(want) do lu.assertAlmostEquals(got[i], v, margin or 1e-9, "element " .. i) end
end

TestIsotonic = {}

function TestIsotonic.test_it_is_scikit_learns()
  local prob, label = inputs(301)
  local c = isotonic.fit(pairs_of(prob), label)
  local got = {}
  for i, v in ipairs(golden.isotonic_at) do got[i] = isotonic.at(c.curves[1].x, c.curves[1].y, v) end
  near(got, golden.isotonic)
end

function TestIsotonic.test_weights_count_like_copies()
  local x, y = { .1, .2, .3, .4 }, { 1, 0, 0, 1 }
  local kx, ky = isotonic.pava(x, y, { 2, 1, 3, 1 })
  local cx, cy = isotonic.pava({ .1, .1, .2, .3, .3, .3, .4 }, { 1, 1, 0, 0, 0, 0, 1 })
  lu.assertEquals(kx, cx)
  near(ky, cy)
  near(ky, { 1 / 3, 1 / 3, 1 })
end

function TestIsotonic.test_no_answer_is_certain_and_three_classes_sum_to_one()
  local c = isotonic.fit({ { .9, .1 }, { .2, .8 } }, { 1, 2 })
  near(isotonic.apply(c, { { 1, 0 }, { 0, 1 } })[1], { .75, .25 })
  local probs, labels, stream = {}, {}, kooka.random("isotonic spec", 1)
  for i = 1, 60 do
    local a, b = stream:uniform(), stream:uniform()
    probs[i], labels[i] = { a / (a + b + 1), b / (a + b + 1), 1 / (a + b + 1) }, stream:below(3)
  end
  for _, row in ipairs(isotonic.apply(isotonic.fit(probs, labels), probs)) do
    lu.assertAlmostEquals(row[1] + row[2] + row[3], 1, 1e-12)
  end
end

function TestIsotonic.test_calibrate_fits_it_held_out_and_checks_it()
  local stream, probs, labels = kooka.random("isotonic spec", 2), {}, {}
  for i = 1, 3000 do
    local p = stream:uniform()
    labels[i] = stream:uniform() < p ^ 3 and 2 or 1         -- says p, means p^3
    probs[i] = { 1 - p, p }
  end
  local c = calibrate.fit(probs, labels, { method = "isotonic" })
  lu.assertTrue(c.log_loss.difference.high < 0)
  lu.assertAlmostEquals(calibrate.apply(c, { { .5, .5 } })[1][2], .125, .06)
  lu.assertTrue(calibrate.check(c))
  lu.assertTrue(calibrate.check(kooka.json.decode(kooka.json.encode { method = c.method, curves = c.curves, least = c.least })))
  c.curves[1].y[1] = 2
  lu.assertNil(calibrate.check(c))
  lu.assertNil(calibrate.check { method = "isotonic" })
end

function TestIsotonic.test_crossfit_does_not_see_the_rows_fold()
  local prob, labels, fold = {}, {}, {}
  for i = 1, 40 do prob[i], labels[i], fold[i] = { .5, .5 }, i % 2 + 1, i <= 20 and 1 or 2 end
  for i = 1, 20 do labels[i] = 2 end                        -- fold 1 is all of class 2: only fold 2 may be told so
  local got = calibrate.crossfit(prob, labels, fold, "isotonic")
  lu.assertAlmostEquals(got[1][2], .5, 1e-9)
  lu.assertTrue(got[21][2] > .9)
end

TestPriorShift = {}

function TestPriorShift.test_for_two_classes_it_moves_the_logit()
  local p = calibrate.prior_shift({ { .3, .7 } }, { 1, 1 }, { 96, 4 })[1][2]
  lu.assertAlmostEquals(math.log(p / (1 - p)), math.log(.7 / .3) + math.log(4 / 96), 1e-12)
  lu.assertAlmostEquals(calibrate.prior_shift({ .7 }, { 1, 1 }, { 96, 4 })[1], p, 1e-15)
end

function TestPriorShift.test_back_and_forth_changes_nothing_for_many_classes()
  local row = { .2, .5, .3 }
  local there = calibrate.prior_shift({ row }, { 1, 2, 3 }, { 5, 1, 1 })
  near(calibrate.prior_shift(there, { 5, 1, 1 }, { 1, 2, 3 })[1], row, 1e-12)
  lu.assertErrorMsgContains("from has 2 numbers for 3 classes", calibrate.prior_shift, { row }, { 1, 2 }, { 1, 1, 1 })
  lu.assertErrorMsgContains("to of class 2 is 0", calibrate.prior_shift, { row }, { 1, 2, 3 }, { 1, 0, 1 })
  lu.assertErrorMsgContains("row 2: the probability of class 1 is", calibrate.prior_shift, { .1, 0 / 0 }, { 1, 2 }, { 1, 1 })
  lu.assertErrorMsgContains("row 2: the probability of class 3 is nil", calibrate.prior_shift, { { .1, .2, .7 }, { .5, .5 } },
    { 1, 1, 1 }, { 1, 2, 3 })
  lu.assertEquals(calibrate.prior_shift({}, { 1, 2 }, { 1, 1 }), {})
end

function TestPriorShift.test_it_makes_a_model_of_balanced_rows_right_for_the_world()
  local stream, prob, label = kooka.random("prior spec", 1), {}, {}
  for i = 1, 4000 do                         -- 5 % positives; scores one apart, so the balanced posterior is sigmoid(x - 1/2)
    label[i] = stream:uniform() < .05 and 2 or 1
    local x = stream:normal() + (label[i] == 2 and 1 or 0)
    prob[i] = 1 / (1 + math.exp(-(x - .5)))
  end
  local fixed = calibrate.prior_shift(prob, { 1, 1 }, { .95, .05 })
  lu.assertTrue(reliability.measure(fixed, label).p > .01)
  lu.assertTrue(reliability.measure(prob, label).p < .01)
  local shares = calibrate.priors(pairs_of(prob), { 1, 1 })
  lu.assertAlmostEquals(shares[2], .05, .02)
  lu.assertAlmostEquals(shares[1] + shares[2], 1, 1e-9)
end

TestReliability = {}

function TestReliability.test_bins_are_scikit_learns()
  local prob, label = inputs(301)
  local rate, mean = {}, {}
  for i, b in ipairs(reliability.measure(prob, label, { by = "width", draws = 0 }).bins) do rate[i], mean[i] = b.rate, b.mean end
  near(rate, golden.uniform_rate)
  near(mean, golden.uniform_mean)
  rate, mean = {}, {}
  prob, label = without_ties()
  for i, b in ipairs(reliability.measure(prob, label, { draws = 0 }).bins) do rate[i], mean[i] = b.rate, b.mean end
  near(rate, golden.quantile_rate)
  near(mean, golden.quantile_mean)
end

function TestReliability.test_equal_probabilities_stay_together_and_every_row_counts()
  local prob, label = {}, {}
  for i = 1, 100 do prob[i], label[i] = i <= 70 and .04 or i / 100, i % 2 + 1 end
  local r = reliability.measure(prob, label, { draws = 0 })
  lu.assertEquals(r.bins[1].n, 70)
  local n = 0
  for _, b in ipairs(r.bins) do n = n + b.n end
  lu.assertEquals(n, 100)
end

function TestReliability.test_a_perfect_model_has_an_error_and_no_excess_and_a_bent_one_is_found()
  local stream, prob, label, sharp = kooka.random("reliability spec", 3), {}, {}, {}
  for i = 1, 300 do
    local p = stream:uniform()
    prob[i], label[i], sharp[i] = p, stream:uniform() < p and 2 or 1, p ^ 3 / (p ^ 3 + (1 - p) ^ 3)
  end
  local good, bad = reliability.measure(prob, label), reliability.measure(sharp, label)
  lu.assertTrue(good.ece > .01 and good.p > .05, ("%g %g"):format(good.ece, good.p))
  lu.assertTrue(good.perfect.mean > .01)
  lu.assertTrue(bad.p < .05 and bad.excess > 0)
  lu.assertStrContains(tostring(good), "no sign of a fault")
  lu.assertStrContains(tostring(bad), "this one is off")
  lu.assertStrContains(good:svg { title = "reliability" }, "<svg")
end

function TestReliability.test_bad_input_is_named()
  lu.assertErrorMsgContains("there are no rows", reliability.measure, {}, {})
  lu.assertErrorMsgContains("prob in row 2 is 1.5", reliability.measure, { .1, 1.5 }, { 1, 2 })
  lu.assertErrorMsgContains("label in row 1 is 0", reliability.measure, { .1 }, { 0 })
  lu.assertErrorMsgContains("2 probabilities but 1 labels", reliability.measure, { .1, .2 }, { 1 })
  lu.assertErrorMsgContains("bins is 0", reliability.measure, { .1, .2 }, { 1, 2 }, { bins = 0 })
end

os.exit(lu.LuaUnit.run())
