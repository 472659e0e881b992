-- kooka.eval: intervals, baselines and words around the numbers of the core.
local lu = require "luaunit"
local eval = require "kooka.eval"

TestEval = {}

local function community(n, seed)
  local state, prob, label = seed or 1, {}, {}
  local function draw()
    state = (state * 1103515245 + 12345) % 2147483648
    return state / 2147483648
  end
  for i = 1, n do
    prob[i] = draw()
    label[i] = draw() < prob[i] and 2 or 1
  end
  return prob, label, draw
end

function TestEval:test_every_metric_has_value_interval_level_method_n_and_baseline()
  local prob, label = community(200)
  local m, info = eval.binary(prob, label, { resamples = 200 })
  for _, name in ipairs { "accuracy", "precision", "recall", "f1", "balanced_accuracy", "mcc", "roc_auc",
    "average_precision", "log_loss", "brier" } do
    local x = m[name]
    lu.assertTrue(x.low <= x.value and x.value <= x.high, name)
    lu.assertTrue(x.low < x.high, name)
    lu.assertEquals(x.level, .95)
    lu.assertIsString(x.method)
    lu.assertIsNumber(x.n)
    lu.assertIsNumber(x.baseline)
  end
  lu.assertEquals(info.n, 200)
  lu.assertEquals(m.average_precision.baseline, info.prevalence)
  lu.assertEquals(m.accuracy.baseline, math.max(info.prevalence, 1 - info.prevalence))
  lu.assertAlmostEquals(m.f1.baseline, 2 * info.prevalence / (1 + info.prevalence), 1e-12)
end

function TestEval:test_96_to_4_all_like_is_named_for_what_it_is()
  local prob, label = {}, {}
  for i = 1, 100 do prob[i], label[i] = .1, i <= 4 and 2 or 1 end
  local m, info = eval.binary(prob, label, { resamples = 100 })
  lu.assertEquals(m.accuracy.value, .96)
  lu.assertEquals(m.accuracy.baseline, .96)
  lu.assertEquals(m.f1.value, 0)
  lu.assertEquals(m.balanced_accuracy.value, .5)
  lu.assertEquals(m.mcc.value, 0)
  lu.assertEquals(m.average_precision.value, .04)
  lu.assertNil(m.precision.value)
  lu.assertStrContains(m.precision.note, "nothing was predicted positive")
  lu.assertStrContains(info.warnings[1], "only 4 of 100")
  for i = 1, 100 do prob[i] = .9 end
  lu.assertAlmostEquals(eval.binary(prob, label, { resamples = 100, positive = 1 }).f1.value, .98, .0005)
end

function TestEval:test_one_class_gives_nil_with_a_reason_never_zero()
  local m = eval.binary({ .2, .3, .4 }, { 1, 1, 1 }, { resamples = 50 })
  for _, name in ipairs { "recall", "roc_auc", "average_precision", "mcc", "balanced_accuracy", "f1" } do
    lu.assertNil(m[name].value, name)
    lu.assertStrContains(m[name].note, "not defined")
  end
  lu.assertStrContains(eval.table(m), "not defined: there are no positives")
end

function TestEval:test_4_of_4_and_3_of_4()
  local low, high = eval.clopper_pearson(4, 4)
  lu.assertAlmostEquals(low, .40, .005)
  lu.assertEquals(high, 1)
  low, high = eval.wilson(3, 4)
  lu.assertAlmostEquals(low, .30, .005)
  lu.assertAlmostEquals(high, .95, .005)
  lu.assertNil(eval.wilson(0, 0))
end

function TestEval:test_expect_says_before_training_what_can_be_shown()
  local e = eval.expect { n = 100, minority = 4, holdout = .3 }
  lu.assertAlmostEquals(e.p_none, .234, .0005)
  lu.assertAlmostEquals(e.p_none_fold, .403, .0005)
  lu.assertAlmostEquals(e.auc_se, .135, .0005)
  lu.assertAlmostEquals(e.auc_to_beat_chance, .74, .005)
  lu.assertAlmostEquals(e.recall_if_all_found.low, .40, .005)
  lu.assertStrContains(e.text, "5 folds: at least 1 of them have none")
  lu.assertError(eval.expect, { minority = 200 })
  lu.assertErrorMsgContains("has no option 'foo'", eval.expect, { foo = 1 })
  lu.assertStrContains(eval.expect { n = 4, minority = 2 }.text, "it beats chance (one-sided 5 %) not even at 1")
  lu.assertErrorMsgContains("expect: 1 of 10.5 rows", eval.expect, { n = 10.5, minority = 1 })
end

function TestEval:test_same_seed_same_numbers_other_seed_others()
  local prob, label = community(150)
  local a = eval.binary(prob, label, { resamples = 300, seed = 4 }).roc_auc
  local b = eval.binary(prob, label, { resamples = 300, seed = 4 }).roc_auc
  local c = eval.binary(prob, label, { resamples = 300, seed = 5 }).roc_auc
  lu.assertEquals(a, b)
  lu.assertNotEquals(a.low, c.low)
  lu.assertEquals(a.value, c.value)
end

function TestEval:test_groups_widen_when_rows_of_a_person_agree()
  local prob, label, who = {}, {}, {}
  for i = 1, 400 do
    who[i] = "person " .. (i - 1) // 20
    label[i] = i % 2 + 1
    local right = ((i - 1) // 20) % 4 ~= 0
    prob[i] = (label[i] == 2) == right and .8 or .2
  end
  local rows = eval.binary(prob, label, { resamples = 400 }).accuracy
  local people = eval.binary(prob, label, { resamples = 400, groups = who }).accuracy
  lu.assertTrue(people.high - people.low > 2 * (rows.high - rows.low))
  lu.assertStrContains(people.method, "20 groups")
end

function TestEval:test_names_carry_the_class()
  local prob, label = community(60)
  local m = eval.binary(prob, label, { resamples = 20, names = { "serious", "funny" } })
  lu.assertIsNumber(m.f1_funny.value)
  lu.assertIsNumber(m.recall_serious.value)
  lu.assertNil(m.f1)
end

function TestEval:test_booleans_and_tensors_are_labels_too()
  local kooka = require "kooka"
  local prob, label = community(60)
  local bools = {}
  for i, y in ipairs(label) do bools[i] = y == 2 end
  local a = eval.binary(prob, label, { resamples = 0 })
  local b = eval.binary(prob, bools, { resamples = 0 })
  lu.assertEquals(a.roc_auc.value, b.roc_auc.value)
  local t = eval.binary(kooka.tensor(prob), kooka.tensor(label), { resamples = 0 })
  lu.assertAlmostEquals(a.log_loss.value, t.log_loss.value, 1e-6)
  lu.assertEquals(a.f1.value, t.f1.value)
end

function TestEval:test_bad_input_is_refused_by_row()
  lu.assertErrorMsgContains("row 2", eval.binary, { .1, 2 }, { 1, 2 })
  lu.assertErrorMsgContains("row 1", eval.binary, { .1, .2 }, { 0, 1 })
  lu.assertErrorMsgContains("3 rows", eval.binary, { .1, .2 }, { 1, 2, 1 })
  lu.assertErrorMsgContains("no option 'tresh'", eval.binary, { .1, .2 }, { 1, 2 }, { tresh = 1 })
  lu.assertErrorMsgContains("no rows", eval.binary, {}, {})
  lu.assertErrorMsgContains("row 2 is a string", eval.binary, { .1, "x" }, { 1, 2 })
end

function TestEval:test_paired_sees_a_small_but_steady_gain()
  local prob, label, draw = community(800)
  local worse = {}
  for i, p in ipairs(prob) do worse[i] = .5 + (p - .5) * .5 end
  local r = eval.paired(prob, worse, label, { resamples = 300, names = { "head", "general" } })
  lu.assertEquals(r.verdict, "better")
  lu.assertStrContains(r.text, "head is better than general")
  lu.assertTrue(r.log_loss.high < 0 and r.differences.log_loss.high < 0)
  lu.assertAlmostEquals(r.log_loss.value, r.differences.log_loss.value, 1e-12)
  lu.assertEquals(eval.paired(worse, prob, label, { resamples = 100 }).verdict, "worse")
  lu.assertEquals(r.mcnemar.p, 1)     -- the same side of .5 everywhere
  local noise = {}
  for i, p in ipairs(prob) do noise[i] = math.min(.999, math.max(.001, p + (draw() - .5) * .02)) end
  lu.assertEquals(eval.paired(prob, noise, label, { resamples = 100 }).verdict, "no difference")
end

function TestEval:test_paired_does_not_judge_on_too_little()
  local prob, label = {}, {}
  for i = 1, 100 do prob[i], label[i] = i <= 2 and .9 or .01, i <= 2 and 2 or 1 end
  local flat = {}
  for i = 1, 100 do flat[i] = .5 end
  local r = eval.paired(prob, flat, label, { resamples = 50 })
  lu.assertEquals(r.verdict, "not enough data")
  lu.assertStrContains(r.text, "2 of the smaller class")
end

function TestEval:test_multiclass_macro_regression_and_perplexity()
  local probs, label = {}, {}
  for i = 1, 90 do
    local k = i % 3 + 1
    label[i] = i % 10 == 0 and k % 3 + 1 or k
    probs[i] = { .1, .1, .1 }
    probs[i][k] = .8
  end
  local m, info = eval.multiclass(probs, label, { resamples = 100, names = { "against", "none", "favor" } })
  lu.assertEquals(m.accuracy.value, .9)
  lu.assertAlmostEquals(m.accuracy.baseline, info.shares[info.majority], 1e-12)
  lu.assertTrue(m.f1_favor.low < m.f1_favor.value)
  local two = eval.multiclass(probs, label, { resamples = 0, names = { "against", "none", "favor" },
    classes = { 1, 3 } })
  lu.assertAlmostEquals(two.f1_macro.value, (m.f1_against.value + m.f1_favor.value) / 2, 1e-12)
  lu.assertErrorMsgContains("row 1", eval.multiclass, { { .5, .2 } }, { 1 })
  local r = eval.regression({ 1, 2, 3.5, 4 }, { 1, 2, 3, 5 }, { resamples = 100 })
  lu.assertAlmostEquals(r.rmse.value, math.sqrt((.25 + 1) / 4), 1e-12)
  lu.assertAlmostEquals(r.rmse.baseline, math.sqrt(8.75 / 4), 1e-12)
  local p = eval.perplexity({ 6, 2, 4 }, { 2, 1, 3 }, { vocab = 1000, resamples = 100 })
  lu.assertAlmostEquals(p.value, math.exp(2), 1e-9)
  lu.assertEquals(p.baseline, 1000)
  lu.assertAlmostEquals(eval.perplexity(10, 5).value, math.exp(2), 1e-9)
end

function TestEval:test_tuned_threshold_beats_half_on_its_own_rows()
  local prob, label = community(300)
  for i, p in ipairs(prob) do prob[i] = p * .4 end
  local t = eval.threshold(prob, label)
  lu.assertTrue(t.value > .6)
  lu.assertTrue(t.threshold < .4)
  lu.assertEquals(t.at_half, 0)
  local m = eval.binary(prob, label, { threshold = t.threshold, resamples = 0 })
  lu.assertAlmostEquals(m.f1.value, t.value, 1e-12)
  lu.assertErrorMsgContains("one class", eval.threshold, { .1, .2 }, { 1, 1 })
end

function TestEval:test_table_puts_the_baseline_beside_the_value()
  local prob, label = community(100)
  local m = eval.binary(prob, label, { resamples = 50 })
  local text = eval.table(m)
  lu.assertStrContains(text, "baseline")
  lu.assertStrContains(text, ("%.4f"):format(m.accuracy.baseline))
  lu.assertStrContains(text, ("[%.4f, %.4f]"):format(m.accuracy.low, m.accuracy.high))
  local _, lines = eval.table(m, { only = { "f1", "accuracy" } }):gsub("\n", "")
  lu.assertEquals(lines, 2)
end

os.exit(lu.LuaUnit.run())
