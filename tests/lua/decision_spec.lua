--- decision_spec: which class to say for a metric, chosen on the rows of other folds.
local lu = require "luaunit"
local kooka = require "kooka"
local confusion = require "kooka.plot.confusion"
local decision = require "kooka.eval.decision"
local eval = require "kooka.eval"
local threshold = require "kooka.eval.threshold"

-- Calibrated probabilities of n rows whose classes have the given shares: a row's class is drawn from what it says.
local function drawn(n, shares, seed)
  local stream = kooka.random("decision", seed)
  local prob, labels, folds = {}, {}, {}
  for i = 1, n do
    local row, sum = {}, 0
    for c, s in ipairs(shares) do
      row[c] = s * math.exp(1.5 * stream:normal())
      sum = sum + row[c]
    end
    for c in ipairs(row) do row[c] = row[c] / sum end
    local u, y = stream:uniform(), 1
    while y < #row and u > row[y] do u, y = u - row[y], y + 1 end
    prob[i], labels[i], folds[i] = row, y, i % 4 + 1
  end
  return prob, labels, folds
end

local function best(row) return confusion.best({ row })[1] end

TestMany = {}

function TestMany.test_rare_classes_are_said_more_often_where_the_metric_wants_them()
  local prob, labels, folds = drawn(1500, { .8, .15, .05 }, 1)
  local function value(p, metric) return eval.multiclass(p, labels, { resamples = 0 })[metric].value end
  for metric, gain in pairs { recall_macro = .05, f1_macro = .005 } do
    local d = decision.crossfit(prob, labels, folds, metric)
    lu.assertTrue(value(d.prob, metric) > value(prob, metric) + gain, metric)
    lu.assertTrue(value(d.prob, "accuracy") < value(prob, "accuracy"))
  end
  local d = decision.crossfit(prob, labels, folds, "accuracy")
  lu.assertTrue(math.abs(value(d.prob, "accuracy") - value(prob, "accuracy")) < .01)
end

-- p / share^tau of one tau for each fold, the best on the others by brute force.
function TestMany.test_a_fold_is_moved_as_the_others_want_it()
  local prob, labels, folds = drawn(400, { .7, .2, .1 }, 2)
  local d = decision.crossfit(prob, labels, folds, "recall_macro")
  for k = 1, 4 do
    local p, y, share = {}, {}, { 0, 0, 0 }
    for i = 1, #prob do
      if folds[i] ~= k then
        p[#p + 1], y[#y + 1] = prob[i], labels[i]
        share[labels[i]] = share[labels[i]] + 1
      end
    end
    local function moved(row, tau)
      local out, sum = {}, 0
      for c = 1, 3 do
        out[c] = row[c] / (share[c] / #y) ^ tau
        sum = sum + out[c]
      end
      for c = 1, 3 do out[c] = out[c] / sum end
      return out
    end
    local most, tau = -1, nil
    for step = 0, 20 do
      local right, n = { 0, 0, 0 }, { 0, 0, 0 }
      for j, row in ipairs(p) do
        n[y[j]] = n[y[j]] + 1
        if best(moved(row, step / 20)) == y[j] then right[y[j]] = right[y[j]] + 1 end
      end
      local recall = (right[1] / n[1] + right[2] / n[2] + right[3] / n[3]) / 3
      if recall > most + 1e-12 then most, tau = recall, step / 20 end
    end
    for i = 1, #prob do
      if folds[i] == k then
        for c, x in ipairs(moved(prob[i], tau)) do lu.assertAlmostEquals(d.prob[i][c], x, 1e-9) end
      end
    end
  end
end

function TestMany.test_a_rows_own_label_decides_nothing_about_it()
  for _, shares in ipairs { { .7, .2, .1 }, { .7, .3 } } do
    local prob, labels, folds = drawn(300, shares, 3)
    local before = decision.crossfit(prob, labels, folds, "f1_macro").prob
    for i = 1, #labels do
      if folds[i] == 2 then labels[i] = #shares + 1 - labels[i] end
    end
    local after = decision.crossfit(prob, labels, folds, "f1_macro").prob
    local others = 0
    for i = 1, #labels do
      if folds[i] == 2 then lu.assertEquals(after[i], before[i])
      elseif after[i][1] ~= before[i][1] then others = others + 1 end
    end
    lu.assertTrue(others > 0)
  end
end

function TestMany.test_new_rows_are_moved_as_all_rows_want_it()
  local prob, labels, folds = drawn(400, { .7, .2, .1 }, 4)
  local d = decision.crossfit(prob, labels, folds, "f1_macro", { classes = { 2, 3 } })
  local tau = tonumber(d.text:match("tau (%d%.%d%d)"))
  local share = { 0, 0, 0 }
  for _, y in ipairs(labels) do share[y] = share[y] + 1 / #labels end
  local row, sum = { .5, .3, .2 }, 0
  for c = 1, 3 do sum = sum + row[c] / share[c] ^ tau end
  for c, x in ipairs(d.move({ row })[1]) do lu.assertAlmostEquals(x, row[c] / share[c] ^ tau / sum, 1e-9) end
  lu.assertEquals(d.move({ { 0, 0, 0 } }), { { 0, 0, 0 } })
end

TestTwo = {}

function TestTwo.test_the_cut_is_that_of_threshold()
  local prob, labels, folds = drawn(400, { .8, .2 }, 5)
  local second = {}
  for i, row in ipairs(prob) do second[i] = row[2] end
  for metric, name in pairs { f1_2 = "f1", f1_macro = "f1_macro", recall_macro = "balanced_accuracy" } do
    local d, c = decision.crossfit(prob, labels, folds, metric), threshold.crossfit(second, labels, folds, name, { resamples = 0 })
    for i, row in ipairs(d.prob) do lu.assertEquals(best(row), c.pred[i]) end
    lu.assertEquals(best(d.move({ { 1 - c.cut - 1e-3, c.cut + 1e-3 } })[1]), 2)
    lu.assertEquals(best(d.move({ { 1 - c.cut + 1e-3, c.cut - 1e-3 } })[1]), 1)
  end
end

function TestTwo.test_misuse_raises()
  local prob, labels, folds = drawn(40, { .6, .4 }, 6)
  lu.assertErrorMsgContains("no cut for the metric 'f1_7'", decision.crossfit, prob, labels, folds, "f1_7")
  lu.assertErrorMsgContains("40 rows, 40 labels, 39 folds", decision.crossfit, prob, labels, { table.unpack(folds, 1, 39) }, "f1_2")
  for i = 1, 40 do folds[i] = 1 end
  lu.assertErrorMsgContains("all the same", decision.crossfit, prob, labels, folds, "f1_2")
  prob, labels, folds = drawn(60, { .6, .3, .1 }, 7)
  lu.assertErrorMsgContains("no metric 'f7'", decision.crossfit, prob, labels, folds, "f7")
end

os.exit(lu.LuaUnit.run())
