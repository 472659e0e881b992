--- ensemble_spec: thresholds and ensembles are chosen on other rows than they are judged on, and agree with scikit-learn.
local lu = require "luaunit"
local csv = require "kooka.data.csv"
local helper = require "cli_helper"
local kooka = require "kooka"
local eval = require "kooka.eval"
local ensemble = require "kooka.ensemble"
local scores = require "kooka.ensemble.scores"
local stack = require "kooka.ensemble.stack"
local threshold = require "kooka.eval.threshold"
local golden = dofile "tests/golden/ensemble.lua"

-- The inputs of tests/golden/ensemble.py.
local N = 240
local function inputs()
  local y, folds, members, h = {}, {}, { {}, {}, {} }, {}
  for i = 1, N do
    h[i] = (i * 7919 + 104729) * 31 % 1009
    y[i] = h[i] % 97 < 38 and 2 or 1
    folds[i] = (i * 13 + h[i]) % 4
    for m, k in ipairs { { 131, 17, .25 }, { 277, 5, .15 }, { 61, 29, .05 } } do
      local r = (i * k[1] + h[i] * k[2]) % 503
      local v = 512 * (0.15 + k[3] * (y[i] - 1) + (0.85 - k[3]) * r / 503 * 0.8)
      local low = math.floor(v)
      local rounded = v - low > .5 and low + 1 or v - low < .5 and low or low + low % 2
      members[m][i] = math.min(508, math.max(4, rounded)) / 512
    end
  end
  return members, y, folds, h
end

local function rows(n)
  local out = {}
  for i = 1, n do out[i] = i end
  return out
end

TestThreshold = {}

function TestThreshold:test_inputs_are_those_of_the_golden_script()
  local members, y, folds = inputs()
  local positives, sums, fold_sum = 0, { 0, 0, 0 }, 0
  for i = 1, N do
    positives, fold_sum = positives + y[i] - 1, fold_sum + folds[i]
    for m = 1, 3 do sums[m] = sums[m] + members[m][i] end
  end
  lu.assertEquals(positives, golden.positives)
  lu.assertEquals(fold_sum, golden.fold_sum)
  for m = 1, 3 do lu.assertAlmostEquals(sums[m], golden.prob_sum[m], 1e-9) end
end

function TestThreshold:test_the_best_value_is_scikit_learns()
  local members, y = inputs()
  for _, name in ipairs { "f1", "f1_macro", "mcc", "balanced_accuracy", "accuracy", "f2" } do
    local cut, value = threshold.tune(members[1], y, name)
    lu.assertAlmostEquals(value, golden["best_" .. name], 1e-12, name)
    lu.assertAlmostEquals(threshold.at(members[1], y, name, cut), value, 1e-12, name)
  end
  local cut, value = threshold.tune(members[1], y, { cost = { fp = 1, fn = 5 } })
  lu.assertEquals(value, golden.best_cost)
  lu.assertEquals(threshold.at(members[1], y, { cost = { fp = 1, fn = 5 } }, cut), value)
end

function TestThreshold.test_every_cut_there_is_was_tried_also_where_scores_are_0()
  local stream = kooka.random("every cut", 1)
  for _ = 1, 40 do
    local prob, labels = {}, {}
    for i = 1, 20 do
      prob[i] = stream:below(8) / 8 - 1 / 8
      labels[i] = i < 3 and i or stream:uniform() < .3 and 2 or 1
    end
    for _, metric in ipairs { "f1", "f2", "f0.5", "mcc", "balanced_accuracy", "accuracy", { cost = { fn = 9 } } } do
      local cut, value = threshold.tune(prob, labels, metric)
      local best = -math.huge
      for c = 0, 8 do best = math.max(best, threshold.at(prob, labels, metric, c / 8)) end
      lu.assertAlmostEquals(value, best, 1e-12)
      lu.assertAlmostEquals(threshold.at(prob, labels, metric, cut), value, 1e-12)
    end
  end
end

function TestThreshold:test_a_function_of_counts_and_the_core_agree()
  local members, y = inputs()
  local cut, value = threshold.tune(members[2], y, "f1")
  local own_cut, own = threshold.tune(members[2], y, function(tp, fp, fn) return 2 * tp / math.max(1, 2 * tp + fp + fn) end)
  lu.assertAlmostEquals(own, value, 1e-12)
  lu.assertAlmostEquals(own_cut, cut, 1e-12)
end

function TestThreshold:test_crossfit_uses_only_the_other_folds()
  local members, y, folds = inputs()
  local r = threshold.crossfit(members[1], y, folds, "f1", { resamples = 50 })
  for _, k in ipairs(r.names) do
    local p, t = {}, {}
    for i = 1, N do
      if folds[i] ~= k then p[#p + 1], t[#t + 1] = members[1][i], y[i] end
    end
    lu.assertEquals(r.cuts[k], (threshold.tune(p, t, "f1")))
  end
  for i = 1, N do lu.assertEquals(r.pred[i], members[1][i] > r.cuts[folds[i]] and 2 or 1) end
  lu.assertTrue(r.value <= r.flattered)
  lu.assertAlmostEquals(r.flattered, golden.best_f1, 1e-12)
  lu.assertTrue(r.spread.low <= r.cut and r.cut <= r.spread.high)
  -- one fold's own labels turned round: its cut stays, those of the others move
  local turned = {}
  for i = 1, N do turned[i] = folds[i] == 2 and 3 - y[i] or y[i] end
  local s = threshold.crossfit(members[1], turned, folds, "f1", { resamples = 0 })
  lu.assertEquals(s.cuts[2], r.cuts[2])
  lu.assertTrue(s.cuts[0] ~= r.cuts[0] or s.cuts[1] ~= r.cuts[1] or s.cuts[3] ~= r.cuts[3])
end

function TestThreshold:test_where_nothing_can_be_found_the_held_out_value_tells()
  local stream, prob, y, folds = kooka.random("ensemble_spec", 4), {}, {}, {}
  for i = 1, 300 do prob[i], y[i], folds[i] = stream:uniform(), stream:below(2), i % 5 end
  local r = threshold.crossfit(prob, y, folds, "mcc", { resamples = 0 })
  lu.assertTrue(r.flattered > .05)
  lu.assertTrue(r.value < r.flattered)
end

function TestThreshold:test_centring_keeps_what_is_above_the_cut()
  local members, y, folds = inputs()
  local r = threshold.crossfit(members[1], y, folds, "f1", { resamples = 0 })
  local moved = threshold.centre(members[1], r.row_cut)
  for i = 1, N do lu.assertEquals(moved[i] > .5, members[1][i] > r.row_cut[i]) end
  lu.assertAlmostEquals(eval.binary(moved, y, { resamples = 0 }).f1.value, r.value, 1e-12)
  lu.assertEquals(threshold.centre({ 0, .3, 1 }, 0), { 0, .5 + 1e-9, 1 })
  for _, p in ipairs(threshold.centre({ 0, .3, 1 }, 1)) do lu.assertTrue(p <= .5) end
end

function TestThreshold:test_bad_input_is_named()
  local function fails(message, f, ...) lu.assertErrorMsgContains(message, f, ...) end
  fails("2 probabilities but 1 labels", threshold.tune, { .1, .2 }, { 1 }, "f1")
  fails("prob in row 2 is 1.5", threshold.tune, { .1, 1.5 }, { 1, 2 }, "f1")
  fails("label in row 2 is 7, expected class 1 or 2", threshold.tune, { .1, .5 }, { 1, 7 }, "f2")
  fails("the cost of fp is -1, expected 0 or more", threshold.tune, { .1, .5 }, { 1, 2 }, { cost = { fp = -1 } })
  fails("no option 'miss'", threshold.tune, { .1, .5 }, { 1, 2 }, { cost = { miss = 5 } })
  fails("metric is roc_auc", threshold.tune, { .1, .5 }, { 1, 2 }, "roc_auc")
  fails("one fold", threshold.crossfit, { .1, .5 }, { 1, 2 }, { 1, 1 }, "f1")
  fails("the 1 rows outside fold 1 are all of one class", threshold.crossfit, { .1, .5 }, { 1, 2 }, { 1, 2 }, "f1")
  fails("2 rows but 1 folds", threshold.crossfit, { .1, .5 }, { 1, 2 }, { 1 }, "f1")
end

TestStack = {}

function TestStack:test_weights_are_scikit_learns()
  local members, y = inputs()
  for key, l2 in pairs { c1 = 1, c001 = 100 } do
    local fit = stack.fit(members, y, rows(N), { l2 = l2, towards = 0 })
    local want = golden["weights_" .. key]
    for m = 1, 3 do lu.assertAlmostEquals(fit.weights[m], want[m], 2e-4) end
    lu.assertAlmostEquals(fit.bias[2], want[4], 2e-4)
  end
end

function TestStack:test_nonnegative_weights_are_scipys()
  local members, y = inputs()
  local turned = {}
  for i = 1, N do turned[i] = 1 - members[2][i] end
  local fit = stack.fit({ members[1], turned, members[3] }, y, rows(N), { l2 = 1, towards = 0, nonnegative = true })
  lu.assertEquals(fit.weights[2], 0)
  lu.assertAlmostEquals(fit.weights[1], golden.nonnegative[1], 3e-4)
  lu.assertAlmostEquals(fit.weights[3], golden.nonnegative[3], 3e-4)
  lu.assertAlmostEquals(fit.bias[2], golden.nonnegative[4], 3e-4)
end

local function three()
  local _, _, _, h = inputs()
  local members, y = { {}, {} }, {}
  for i = 1, N do
    y[i] = h[i] % 11 % 3 + 1
    for m, k in ipairs { { 3, 5, 7 }, { 11, 2, 4 } } do
      local q = { 1.0 + (i * k[1]) % 7, 1.0 + (i * k[2] + h[i]) % 5, 1.0 + (h[i] * k[3]) % 9 }
      q[y[i]] = q[y[i]] + 1 + 2 * m
      local s = q[1] + q[2] + q[3]
      members[m][i] = { q[1] / s, q[2] / s, q[3] / s }
    end
  end
  return members, y
end

function TestStack:test_three_classes_are_scipys()
  local members, y = three()
  local sum = { 0, 0, 0 }
  for i = 1, N do
    for c = 1, 3 do sum[c] = sum[c] + members[1][i][c] + members[2][i][c] end
  end
  for c = 1, 3 do lu.assertAlmostEquals(sum[c], golden.three_sum[c], 1e-9) end
  local fit = stack.fit(members, y, rows(N), { classes = 3, l2 = 1, towards = 0 })
  for m = 1, 2 do lu.assertAlmostEquals(fit.weights[m], golden.three[m], 1e-3) end
  lu.assertAlmostEquals(fit.bias[2], golden.three[3], 1e-3)
  lu.assertAlmostEquals(fit.bias[3], golden.three[4], 1e-3)
  lu.assertAlmostEquals(fit.loss, golden.three_loss, 1e-3)
end

function TestStack:test_it_is_possible_where_each_class_is_in_two_folds()
  lu.assertTrue(stack.possible({ 1, 2, 1, 2 }, { 1, 1, 2, 2 }, 2))
  lu.assertTrue(stack.possible({ 1, 2, 2, 1 }, { "a", "a", "b", "c" }, 2))
  lu.assertFalse(stack.possible({ 1, 2, 1, 2 }, { 1, 2, 2, 2 }, 2))
  lu.assertFalse(stack.possible({ 1, 2, 1, 2 }, { 1, 1, 2, 2 }, 3))
end

function TestStack:test_the_precision_of_the_run_does_not_matter()
  local members, y = inputs()
  local before = kooka.precision()
  local a = stack.fit(members, y, rows(N))
  kooka.precision "bf16x3"
  local b = stack.fit(members, y, rows(N))
  local now = kooka.precision()
  kooka.precision(before)
  lu.assertEquals(now ~= "float32" and now or "bf16x3", "bf16x3")      -- put back, where it was to be had
  lu.assertEquals(a.weights, b.weights)
end

function TestStack:test_an_absent_class_is_named()
  lu.assertErrorMsgContains("none of 2 rows is of class 2", stack.fit, { { .1, .2 } }, { 1, 1 }, { 1, 2 })
end

TestEnsemble = {}

local function listed(members, folds)
  local out = {}
  for m, prob in ipairs(members) do out[m] = { name = "m" .. m, prob = prob, fold = folds } end
  return out
end

function TestEnsemble:test_stacked_predictions_are_scikit_learns_cross_fitted_ones()
  local members, y, folds = inputs()
  local r = ensemble.combine { members = listed(members, folds), labels = y, method = "stack", l2 = 1, towards = 0, resamples = 50 }
  for i, want in ipairs(golden.oof) do lu.assertAlmostEquals(r.prob[i], want, 1e-4) end
  lu.assertAlmostEquals(eval.binary(r.prob, y, { resamples = 0 }).log_loss.value, golden.oof_log_loss, 1e-5)
end

function TestEnsemble:test_a_row_does_not_decide_its_own_weights()
  local members, y, folds = inputs()
  local turned = {}
  for i = 1, N do turned[i] = folds[i] == 1 and 3 - y[i] or y[i] end
  local a = ensemble.combine { members = listed(members, folds), labels = y, method = "stack", resamples = 20 }
  local b = ensemble.combine { members = listed(members, folds), labels = turned, method = "stack", resamples = 20 }
  local moved = false
  for i = 1, N do
    if folds[i] == 1 then lu.assertEquals(a.prob[i], b.prob[i]) else moved = moved or a.prob[i] ~= b.prob[i] end
  end
  lu.assertTrue(moved)
end

function TestEnsemble:test_means_of_probabilities_and_of_logits()
  local a, b, y, folds = { .2, .9, .6, .4 }, { .4, .5, .8, .1 }, { 1, 2, 2, 1 }, { 1, 2, 1, 2 }
  local function combine(o)
    o.members, o.labels, o.resamples = { { prob = a, fold = folds, test = { .1 } }, { prob = b, fold = folds, test = { .3 } } }, y, 20
    return ensemble.combine(o)
  end
  local r = combine {}
  for i = 1, 4 do lu.assertAlmostEquals(r.prob[i], (a[i] + b[i]) / 2, 1e-12) end
  lu.assertAlmostEquals(r.test[1], .2, 1e-12)
  r = combine { weights = { 3, 1 } }
  lu.assertAlmostEquals(r.prob[1], .25, 1e-12)
  r = combine { method = "logit" }
  local odds = math.sqrt(.2 / .8 * .4 / .6)
  lu.assertAlmostEquals(r.prob[1], odds / (1 + odds), 1e-9)
  lu.assertErrorMsgContains("1 weights for 2 members", combine, { weights = { 1 } })
  lu.assertErrorMsgContains("stack finds the weights itself", combine, { weights = { 1, 1 }, method = "stack" })
  lu.assertErrorMsgContains("method is 'vote'", combine, { method = "vote" })
end

function TestEnsemble:test_table_intervals_and_the_best_member()
  local members, y, folds = inputs()
  local r = ensemble.combine { members = listed(members, folds), labels = y, method = "stack", nonnegative = true, resamples = 200 }
  lu.assertEquals(#r.scores, 4)
  lu.assertEquals(r.best, 1)
  for _, s in ipairs(r.scores) do lu.assertTrue(s.tuned.low < s.tuned.value and s.tuned.value < s.tuned.high) end
  lu.assertTrue(r.scores[4].tuned.value > r.scores[1].tuned.value)
  lu.assertStrContains(tostring(r), "the ensemble")
  lu.assertStrContains(tostring(r), "cut for new rows")
  lu.assertTrue(r.against.difference.low <= r.against.difference.value)
  for _, w in ipairs(r.weights) do lu.assertTrue(w >= 0) end
end

function TestEnsemble:test_three_classes_combine_too()
  local members, y = three()
  for _, method in ipairs { "mean", "logit", "stack" } do
    local r = ensemble.combine { members = listed(members), labels = y, method = method, resamples = 50 }
    lu.assertEquals(r.metric, "f1_macro")
    lu.assertAlmostEquals(r.prob[7][1] + r.prob[7][2] + r.prob[7][3], 1, 1e-9)
    lu.assertStrContains(r.against.text, "log_loss of the ensemble")
    lu.assertStrContains(tostring(r), "five new ones")
  end
end

function TestEnsemble:test_members_are_aligned_by_id()
  local a = { name = "a", ids = { "x", "y", "z" }, prob = { .1, .2, .3 }, fold = { 1, 2, 1 }, labels = { 1, 2, 1 },
    test = { ids = { "p", "q" }, prob = { .5, .6 } } }
  local b = { name = "b", ids = { "z", "x", "y" }, prob = { .9, .7, .8 }, fold = { 1, 1, 2 }, test = { ids = { "q", "p" }, prob = { .4, .3 } } }
  local out, ids = ensemble.align { a, b }
  lu.assertEquals(ids, { "x", "y", "z" })
  lu.assertEquals(out[2].prob, { .7, .8, .9 })
  lu.assertEquals(out[2].fold, { 1, 2, 1 })
  lu.assertEquals(out[2].test, { .3, .4 })
  lu.assertEquals(out[1].labels, { 1, 2, 1 })
  b.ids[1] = "w"
  lu.assertErrorMsgContains("b has no held-out prediction for id z, which a has", ensemble.align, { a, b })
  lu.assertEquals(ensemble.align({ a, b }, { common = true })[1].ids, { "x", "y" })
  b.ids[1] = "x"
  lu.assertErrorMsgContains("b has the id x twice (rows 1 and 2)", ensemble.align, { a, b })
end

function TestEnsemble:test_lengths_and_values_are_checked()
  local function fails(message, member)
    lu.assertErrorMsgContains(message, ensemble.combine, { members = { member }, labels = { 1, 2 } })
  end
  fails("m has 3 rows, there are 2 labels", { name = "m", prob = { .1, .2, .3 } })
  fails("m: prob in row 2 is 2", { name = "m", prob = { .1, 2 } })
  fails("m has no prob", { name = "m" })
end

function TestEnsemble:test_nbsvm_is_a_member_fitted_on_the_other_folds()
  local texts, y, folds = {}, {}, {}
  for i = 1, 120 do
    y[i] = i % 3 == 0 and 2 or 1
    texts[i] = (y[i] == 2 and "good fine great %d" or "bad poor sad %d"):format(i % 7)
    folds[i] = i % 4
  end
  local m = assert(ensemble.nbsvm_member { texts = texts, labels = y, folds = folds, test = { "great fine", "sad poor" } })
  lu.assertEquals(#m.prob, 120)
  lu.assertTrue(m.test[1] > .5 and m.test[2] < .5)
  lu.assertTrue(eval.binary(m.prob, y, { resamples = 0 }).accuracy.value > .95)
  local split = require "kooka.data.split"
  local s = assert(ensemble.nbsvm_member { texts = texts, labels = y, folds = split.kfold(y, { k = 3 }) })
  lu.assertEquals(#s.prob, 120)
  lu.assertErrorMsgContains("120 texts, 119 labels", ensemble.nbsvm_member, { texts = texts, labels = { table.unpack(y, 1, 119) },
    folds = folds })
end

-- kooka ensemble on two runs that a recipe like haha wrote, with the labels and texts in the data's own folder.
TestEnsembleCommand = {}

function TestEnsembleCommand:setUp()
  local sys, stream = require("kooka.core").sys, kooka.random("ensemble_spec.files", 1)
  self.dir, self.sys = helper.folder(), sys
  local train, test, held, new = {}, {}, { {}, {} }, { {}, {} }
  for i = 1, 240 do
    local y = stream:uniform() < .4 and 1 or 0
    train[i] = { "t" .. i, (y == 1 and stream:uniform() < .7 and "joke laugh " or "news day ") .. i % 9, y }
    for m = 1, 2 do
      local p = 1 / (1 + math.exp(-((y == 1 and .8 or -.8) + stream:normal())))
      held[m][i] = { "t" .. i, p > .5 and 1 or 0, ("%.4f"):format(2 * p), ("%.6f"):format(p), i % 3 + 1 }
    end
  end
  for i = 1, 10 do
    test[i] = { "n" .. i, "laugh " .. i }
    for m = 1, 2 do
      local p = stream:uniform()
      new[m][11 - i] = { "n" .. i, p > .5 and 1 or 0, ("%.4f"):format(2 * p), ("%.6f"):format(p) }
    end
  end
  local function write(name, columns, list)
    assert(sys.mkdir_p((self.dir .. "/" .. name):match("^(.*)/")))
    assert(csv.write(self.dir .. "/" .. name, columns, list))
  end
  write("data/train.csv", { "id", "text", "is_humor" }, train)
  write("data/test.csv", { "id", "text" }, test)
  for m = 1, 2 do
    write("r" .. m .. "/predictions/haha_oof.csv", { "id", "is_humor", "funniness_average", "prob_humor", "fold" }, held[m])
    write("r" .. m .. "/predictions/haha.csv", { "id", "is_humor", "funniness_average", "prob_humor" }, new[m])
    assert(sys.write_file(("%s/r%d/config.json"):format(self.dir, m),
      ('{"id":"r%d","recipe":"haha","seed":%d,"params":{"data":"data"},"status":"done"}'):format(m, m)))
  end
end

function TestEnsembleCommand:tearDown() self.sys.remove_tree(self.dir) end

function TestEnsembleCommand:go(...)
  return helper.run({ "ensemble", ... }, { cwd = self.dir })
end

function TestEnsembleCommand:test_runs_become_one_with_nbsvm_and_keep_their_columns()
  local status, out, err = self:go("r1", "r2", "--method", "stack", "--out", "e", "--resamples", "100")
  lu.assertEquals(status, 0, err)
  lu.assertStrContains(out, "NB-SVM")
  lu.assertStrContains(out, "ensemble (stack)")
  local held = assert(csv.read(self.dir .. "/e/predictions/haha_oof.csv"))
  lu.assertEquals(held.columns, { "id", "is_humor", "funniness_average", "prob_humor", "fold" })
  local new = assert(csv.read(self.dir .. "/e/predictions/haha.csv"))
  lu.assertEquals(new.columns, { "id", "is_humor", "funniness_average", "prob_humor" })
  lu.assertEquals({ held.n, new.n }, { 240, 10 })
  for name in pairs { ["config.json"] = 1, ["metrics.json"] = 1, ["ensemble.json"] = 1, ["report.html"] = 1 } do
    lu.assertTrue(self.sys.exists(self.dir .. "/e/" .. name), name)
  end
  local all = assert(kooka.json.decode(assert(self.sys.read_file(self.dir .. "/e/ensemble.json"))))
  lu.assertTrue(all.scores[4].log_loss.value < math.min(all.scores[1].log_loss.value, all.scores[3].log_loss.value))
end

function TestEnsembleCommand:test_given_weights_are_the_weights()
  local status, _, err = self:go("r1", "r2", "--weights", "1,3", "--out", "e", "--resamples", "50", "--json")
  lu.assertEquals(status, 0, err)
  local a = assert(csv.read(self.dir .. "/r1/predictions/haha.csv"))
  local b = assert(csv.read(self.dir .. "/r2/predictions/haha.csv"))
  local e = assert(csv.read(self.dir .. "/e/predictions/haha.csv"))
  for i = 1, 10 do
    lu.assertEquals(e.id[i], a.id[i])
    lu.assertAlmostEquals(tonumber(e.prob_humor[i]), (tonumber(a.prob_humor[i]) + 3 * tonumber(b.prob_humor[i])) / 4, 1e-6)
    lu.assertAlmostEquals(tonumber(e.funniness_average[i]), (tonumber(a.funniness_average[i]) + 3 * tonumber(b.funniness_average[i])) / 4,
      6e-5)
  end
end

function TestEnsembleCommand:test_what_is_wrong_is_named()
  local function fails(want, message, ...)
    local status, _, err = self:go(...)
    lu.assertEquals(status, want)
    lu.assertStrContains(err, message)
  end
  fails(2, "which runs?")
  fails(2, "did you mean --method?", "r1", "--metod", "mean")
  fails(2, "option --method is vote", "r1", "--method", "vote")
  fails(2, "1 weights for 2 runs", "r1", "r2", "--weights", "1")
  fails(2, "option --l2 is x", "r1", "--l2", "x")
  fails(1, "no run is called nowhere", "r1", "nowhere")
  fails(1, "expected the columns id and is_humor, it has id, text", "r1", "--labels", "data/test.csv")
  self.sys.remove(self.dir .. "/data/train.csv")
  fails(1, "name one by --labels FILE:COLUMN", "r1", "r2")
  local lines = assert(self.sys.read_file(self.dir .. "/r2/predictions/haha_oof.csv"))
  assert(self.sys.write_file(self.dir .. "/r2/predictions/haha_oof.csv", (lines:gsub("t5,", "other,", 1))))
  fails(1, "r2 has no held-out prediction for id t5, which r1 has (--common keeps what all have)", "r1", "r2")
end

-- Runs that recipes like classify and tweeteval write: classes by name, NB-SVM in columns of its own, several tasks.
TestEnsembleOfClasses = {}

local CLASSES = { "b", "a", "none of it" }

function TestEnsembleOfClasses:setUp()
  local sys, stream = require("kooka.core").sys, kooka.random("ensemble_spec.classes", 1)
  self.dir, self.sys = helper.folder(), sys
  local function probs(y)
    local row, sum = {}, 0
    for c = 1, 3 do
      row[c] = math.exp((c == y and 1 or 0) + stream:normal())
      sum = sum + row[c]
    end
    for c = 1, 3 do row[c] = ("%.6f"):format(row[c] / sum) end
    return row
  end
  local columns = { "row", "label", "prob_b", "prob_a", "prob_none of it", "truth", "nbsvm_b", "nbsvm_a", "nbsvm_none of it" }
  local function line(i, y, known)
    local p, q = probs(y), probs(y)
    local row = { i, "a", p[1], p[2], p[3] }
    if known then row[6] = CLASSES[y] end
    for c = 1, 3 do row[#row + 1] = q[c] end
    return row
  end
  for m = 1, 2 do
    for _, task in ipairs { "one", "two" } do
      local held, new = {}, {}
      for i = 1, 90 do held[i] = line(i, i % 3 + 1, true) end
      for i = 1, 7 do
        new[i] = line(i, i % 3 + 1)
        table.insert(new[i], 2, i < 5 and "contest/x.txt" or "contest/y.txt")
      end
      local folder = ("%s/r%d/predictions/"):format(self.dir, m)
      assert(sys.mkdir_p(folder))
      assert(csv.write(folder .. task .. "_oof.csv", columns, held))
      local names = { "row", "file", "label", "prob_b", "prob_a", "prob_none of it", "nbsvm_b", "nbsvm_a", "nbsvm_none of it" }
      assert(csv.write(folder .. task .. ".csv", names, new))
    end
    assert(sys.write_file(("%s/r%d/config.json"):format(self.dir, m),
      ('{"id":"r%d","recipe":"x","seed":1,"params":{},"status":"done"}'):format(m)))
  end
end

function TestEnsembleOfClasses:tearDown() self.sys.remove_tree(self.dir) end

function TestEnsembleOfClasses:go(...)
  return helper.run({ "ensemble", ... }, { cwd = self.dir })
end

function TestEnsembleOfClasses:test_every_task_in_turn_with_nbsvm_and_the_contests_layout()
  local status, out, err = self:go("r1", "r2", "--out", "e", "--resamples", "30")
  lu.assertEquals(status, 0, err)
  lu.assertStrContains(out, "NB-SVM")
  local metrics = kooka.json.decode(assert(self.sys.read_file(self.dir .. "/e/metrics.json")))
  for _, name in ipairs { "one_f1_macro", "two_f1_macro", "one_log_loss" } do lu.assertEquals(metrics[name].n, 90, name) end
  lu.assertTrue(metrics.one_log_loss.value < 1.0986)                -- the truth was understood
  local all = kooka.json.decode(assert(self.sys.read_file(self.dir .. "/e/ensemble.json")))
  lu.assertEquals(#all.tasks.two.scores, 4)
  local new = assert(csv.read(self.dir .. "/e/predictions/one.csv"))
  local number, want = { b = 0, a = 1, ["none of it"] = 2 }, { ["contest/x.txt"] = "", ["contest/y.txt"] = "" }
  for i = 1, new.n do
    local p = { tonumber(new.data.prob_b[i]), tonumber(new.data.prob_a[i]), tonumber(new.data["prob_none of it"][i]) }
    local best = 1
    for c = 2, 3 do best = p[c] > p[best] and c or best end
    lu.assertEquals(new.data.label[i], CLASSES[best])
    want[new.data.file[i]] = want[new.data.file[i]] .. number[CLASSES[best]] .. "\n"
  end
  -- both tasks name the same files here; the second one's stand
  lu.assertEquals(#assert(self.sys.read_file(self.dir .. "/e/predictions/contest/x.txt")), 8)
  status, out, err = self:go("r1", "r2", "--task", "one", "--out", "f", "--resamples", "30", "--method", "stack")
  lu.assertEquals(status, 0, err)
  status, out, err = self:go("r1", "r2", "--task", "one", "--out", "g", "--resamples", "30")
  lu.assertEquals(status, 0, err)
  for name, text in pairs(want) do lu.assertEquals(self.sys.read_file(self.dir .. "/g/predictions/" .. name), text) end
  local held = assert(csv.read(self.dir .. "/g/predictions/one_oof.csv"))
  local a = assert(csv.read(self.dir .. "/r1/predictions/one_oof.csv"))
  lu.assertEquals(held.data.truth, a.data.truth)
end

function TestEnsembleOfClasses:test_a_run_counts_once_and_an_unknown_class_is_named()
  local status, _, err = self:go("r1", "r1/", "--task", "one")
  lu.assertEquals(status, 1)
  lu.assertStrContains(err, "r1 and r1/ are the same: each run counts once")
  local path = self.dir .. "/r2/predictions/one_oof.csv"
  assert(self.sys.write_file(path, (assert(self.sys.read_file(path)):gsub("(%d%d%d),a,0", "%1,z,0", 1))))
  status, _, err = self:go("r1", "r2", "--task", "one")
  lu.assertEquals(status, 1)
  lu.assertStrContains(err, 'column truth has "z", which is none of the classes')
end

function TestEnsembleOfClasses:test_a_difference_of_runs_matches_rows_by_their_number()
  local status, out, err = helper.run({ "runs", "diff", "r1", "r2" }, { cwd = self.dir })
  lu.assertEquals(status, 0, err)
  lu.assertStrContains(out, "predictions/one_oof.csv: 90 rows;")
  lu.assertStrContains(out, "(n = 90, truth: column truth)")
end

TestScores = {}

-- Two columns that are noise plus parts of the target: ridge on standardised columns, by hand for the fit on all rows.
function TestScores.test_least_squares_fitted_on_the_other_folds()
  local stream, a, b, y, folds = kooka.random("scores", 3), {}, {}, {}, {}
  for i = 1, 200 do
    local u, v = stream:normal(), stream:normal()
    a[i], b[i], y[i], folds[i] = u, v, 2 * u - v + .1 * stream:normal() + 3, 1 + i % 4
  end
  local out, test, w = scores.crossfit { columns = { a, b }, target = y, folds = folds, test = { { 0, 1 }, { 0, 1 } }, l2 = 1e-6 }
  local worst = 0
  for i = 1, 200 do worst = math.max(worst, math.abs(out[i] - y[i])) end
  lu.assertTrue(worst < .5)
  lu.assertAlmostEquals(test[1], 3, .05)
  lu.assertAlmostEquals(test[2], 4, .1)
  lu.assertTrue(w[1] > 1.5 and w[2] < -.5)
  -- no row tells its own score: another target in one fold changes nothing in it
  local other = table.move(y, 1, #y, 1, {})
  for i, k in ipairs(folds) do if k == 2 then other[i] = 100 end end
  local moved = scores.crossfit { columns = { a, b }, target = other, folds = folds }
  local plain = scores.crossfit { columns = { a, b }, target = y, folds = folds }
  for i, k in ipairs(folds) do
    if k == 2 then lu.assertEquals(moved[i], plain[i]) else lu.assertNotEquals(moved[i], plain[i]) end
  end
  for _, s in ipairs(scores.crossfit { columns = { a, b }, target = y, folds = folds, min = 3 }) do lu.assertTrue(s >= 3) end
  lu.assertErrorMsgContains("two folds or more", scores.crossfit, { columns = { a }, target = y, folds = a and { 1, 1 } })
end

os.exit(lu.LuaUnit.run())
