--- class_weights_spec: class weights, margins and log-priors by their formulas, and the losses that use them.
local lu = require "luaunit"
local class_loss = require "kooka.nn.class_loss"
local class_weights = require "kooka.nn.class_weights"
local golden = dofile "tests/golden/tournament.lua"
local kooka = require "kooka"
local nn = require "kooka.nn"
local split = require "kooka.data.split"

local function labels_of(...)
  local out = {}
  for c, n in ipairs { ... } do
    for _ = 1, n do out[#out + 1] = c end
  end
  return out
end

local function near(got, want, margin)
  lu.assertEquals(#got, #want)
  for i, v in ipairs(want) do lu.assertAlmostEquals(got[i], v, margin or 1e-12, "element " .. i) end
end

TestClassWeights = {}

function TestClassWeights.test_balanced_is_scikit_learns()
  near(class_weights.of("balanced", labels_of(96, 4)), golden.balanced_96_4)
  near(class_weights.of("balanced", labels_of(7, 2, 21)), golden.balanced_three)
end

function TestClassWeights.test_sqrt_is_the_square_root_of_balanced()
  local w = class_weights.of("balanced", labels_of(7, 2, 21))
  near(class_weights.of("sqrt", labels_of(7, 2, 21)), { w[1] ^ .5, w[2] ^ .5, w[3] ^ .5 })
end

function TestClassWeights.test_a_class_without_a_row_weighs_one_where_it_may()
  local o = { classes = 3, empty = true }
  near(class_weights.of("balanced", labels_of(6, 2), o), { 8 / 18, 8 / 6, 1 })
  near(class_weights.of("sqrt", labels_of(6, 2), o), { (8 / 18) ^ .5, (8 / 6) ^ .5, 1 })
  local w = class_weights.of("effective", labels_of(6, 2), o)
  lu.assertAlmostEquals(w[1] + w[2] + w[3], 3, 1e-12)
  lu.assertErrorMsgContains("class 3 of 3 has none of the 8 rows", class_weights.of, "sqrt", labels_of(6, 2), { classes = 3 })
end

function TestClassWeights.test_effective_number_sums_to_the_classes_and_runs_from_none_to_one_over_n()
  local w, count = class_weights.of("effective", labels_of(96, 4), { beta = .99 })
  local a, b = .01 / (1 - .99 ^ 96), .01 / (1 - .99 ^ 4)
  near(w, { 2 * a / (a + b), 2 * b / (a + b) })
  lu.assertEquals(count, { 96, 4 })
  near(class_weights.of("effective", labels_of(96, 4), { beta = 0 }), { 1, 1 })
  near(class_weights.of("effective", labels_of(96, 4), { beta = 1 - 1e-9 }), { 2 * 4 / 100, 2 * 96 / 100 }, 1e-6)
  lu.assertErrorMsgContains("beta is 1", class_weights.of, "effective", labels_of(3, 2), { beta = 1 })
end

function TestClassWeights.test_given_weights_are_checked()
  near(class_weights.of("given", labels_of(3, 2), { given = { 1, 24 } }), { 1, 24 })
  lu.assertErrorMsgContains("given has 1 weights for 2 classes", class_weights.of, "given", labels_of(3, 2), { given = { 1 } })
  lu.assertErrorMsgContains("weight of class 2 is -1", class_weights.of, "given", labels_of(3, 2), { given = { 1, -1 } })
  lu.assertErrorMsgContains("kind is fair", class_weights.of, "fair", labels_of(3, 2))
end

function TestClassWeights.test_only_the_training_side_of_a_split_counts()
  local labels = labels_of(30, 10)
  local s = split.holdout(labels, { valid = .5, seed = 3 })
  local side = s:counts(labels).train
  lu.assertEquals(class_weights.counts(labels, { split = s }), { side[1], side[2] })
  lu.assertErrorMsgContains("held-out side", class_weights.counts, labels, { split = s.valid })
end

function TestClassWeights.test_absent_and_impossible_classes_are_named()
  lu.assertErrorMsgContains("class 2 of 3 has none of the 4 rows", class_weights.counts, { 1, 3, 3, 1 })
  lu.assertErrorMsgContains("one class only (2 rows)", class_weights.counts, { 1, 1 })
  lu.assertErrorMsgContains("the label of row 2 is 0", class_weights.counts, { 1, 0 })
  lu.assertErrorMsgContains("the label of row 2 is 3, expected a class from 1 to 2", class_weights.counts, { 1, 3 }, { classes = 2 })
end

function TestClassWeights.test_margins_fall_with_the_fourth_root_and_log_priors_are_logs_of_shares()
  local m = class_weights.margins({ 10000, 16, 1 }, .5)
  near(m, { .05, .25, .5 })
  near(class_weights.log_prior({ 96, 4 }, 2), { 2 * math.log(.96), 2 * math.log(.04) })
end

TestMarginLoss = {}

local X, Y = { { 1, -.5, .2 }, { -1, .3, 2 }, { 0, 0, .1 } }, { 1, 2, 0 }

local function nll(row, y)
  local sum = 0
  for _, v in ipairs(row) do sum = sum + math.exp(v) end
  return math.log(sum) - row[y]
end

function TestMarginLoss.test_it_is_the_formula()
  local shift, margin, w, s = { .1, -.7, .4 }, { .2, .5, .3 }, { 2, 5, .5 }, 1.7
  local loss, stats = kooka.margin_loss(kooka.tensor(X), kooka.tensor(Y, "int32"), kooka.tensor(shift), kooka.tensor(margin),
    kooka.tensor(w), { scale = s })
  local sum, norm, plain = 0, 0, 0
  for i, y in ipairs(Y) do
    if y > 0 then
      local u, v = {}, {}
      for k, x in ipairs(X[i]) do
        v[k] = s * (x + shift[k])
        u[k] = s * (x + shift[k] - (k == y and margin[k] or 0))
      end
      sum, norm, plain = sum + w[y] * nll(u, y), norm + w[y], plain + nll(v, y)
    end
  end
  lu.assertAlmostEquals(loss:item(), sum / norm, 1e-6)
  lu.assertAlmostEquals(stats[1]:item(), plain, 1e-5)
  lu.assertEquals({ stats[2]:item(), stats[3]:item() }, { 2, 1 })
end

function TestMarginLoss.test_without_shift_and_margin_it_is_cross_entropy()
  local x, y, w = kooka.tensor(X), kooka.tensor(Y, "int32"), kooka.tensor { 2, 5, .5 }
  lu.assertAlmostEquals((kooka.margin_loss(x, y, nil, nil, w)):item(), (kooka.cross_entropy(x, y, nil, w)):item(), 1e-6)
end

function TestMarginLoss.test_logits_of_thousands_stay_finite()
  local loss = kooka.margin_loss(kooka.tensor { { 2000, -2000 } }, kooka.tensor({ 2 }, "int32"), nil, kooka.tensor { .1, .5 })
  lu.assertAlmostEquals(loss:item(), 4000.5, 1e-2)
end

TestClassLoss = {}

local function model(o)
  o.vocab, o.embed, o.hidden, o.layers = 12, 4, 5, 1
  return nn.classifier(o)
end

local BATCH = { x = { { 1, 2 }, { 3, 4 } }, lens = { 2, 2 }, y = { 1, 2 } }

local function batch()
  return { x = kooka.tensor(BATCH.x, "int32"), lens = kooka.tensor(BATCH.lens, "int32"), y = kooka.tensor(BATCH.y, "int32") }
end

function TestClassLoss.test_a_classifier_takes_the_new_losses()
  for _, loss in ipairs { "logit_adjustment", "ldam" } do
    local m = model { loss = loss, counts = { 96, 4 } }:eval()
    local scope <close> = kooka.scope()
    local value = m:loss(batch())
    local logits = m:forward(batch().x, batch().lens)
    local want = loss == "ldam" and kooka.margin_loss(logits, batch().y, nil, kooka.tensor(class_weights.margins { 96, 4 }))
      or kooka.margin_loss(logits, batch().y, kooka.tensor(class_weights.log_prior { 96, 4 }))
    lu.assertAlmostEquals(value:item(), want:item(), 1e-6, loss)
  end
end

function TestClassLoss.test_missing_or_wrong_counts_are_said()
  lu.assertErrorMsgContains("loss ldam needs counts", model, { loss = "ldam" })
  lu.assertErrorMsgContains("counts of class 2 is 0", model, { loss = "logit_adjustment", counts = { 3, 0 } })
  lu.assertErrorMsgContains("loss is hinge, expected cross_entropy, focal, logit_adjustment or ldam", model, { loss = "hinge" })
  local m, b = model { loss = "ldam", counts = { 3, 2 } }, batch()
  b.weight = kooka.tensor { 1, 2 }
  lu.assertErrorMsgContains("takes no weight for each text", m.loss, m, b)
end

function TestClassLoss.test_deferred_weights_wait_for_their_epoch()
  local m = model { loss = "ldam", counts = { 96, 4 } }
  local callback = class_loss.deferred { from = 3, weights = { .5, 2 } }
  callback:before_step { model = m, epoch = 2 }
  lu.assertNil(m.weights)
  callback:before_step { model = m, epoch = 3 }
  lu.assertEquals(m.weights:tolist(), { .5, 2 })
  lu.assertErrorMsgContains("expected an epoch from 1", class_loss.deferred, { from = 0, weights = { 1, 1 } })
end

os.exit(lu.LuaUnit.run())
