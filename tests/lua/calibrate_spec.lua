--- calibrate_spec: temperature and Platt find what was done to the probabilities, and what they say of themselves is held out.
local lu = require "luaunit"
local calibrate = require "kooka.eval.calibrate"
local kooka = require "kooka"

local stream = kooka.random("calibrate spec", 2)

-- n predictions of C classes whose labels are drawn from them; then sharpened: softmax(sharp log p + shift of class 2).
local function made(n, C, sharp, shift)
  local probs, labels = {}, {}
  for i = 1, n do
    local z, sum, true_p = {}, 0, {}
    for c = 1, C do z[c] = 2 * (stream:uniform() + stream:uniform() + stream:uniform() - 1.5) end
    for c = 1, C do sum = sum + math.exp(z[c]) end
    local u, acc = stream:uniform(), 0
    for c = 1, C do
      true_p[c] = math.exp(z[c]) / sum
      acc = acc + true_p[c]
      if not labels[i] and (u < acc or c == C) then labels[i] = c end
    end
    local q, total = {}, 0
    for c = 1, C do
      q[c] = math.exp(sharp * math.log(true_p[c]) + (c == 2 and shift or 0))
      total = total + q[c]
    end
    for c = 1, C do q[c] = q[c] / total end
    probs[i] = q
  end
  return probs, labels
end

local function mean_loss(probs, labels)
  local sum = 0
  for i, y in ipairs(labels) do sum = sum - math.log(probs[i][y]) end
  return sum / #labels
end

TestTemperature = {}

function TestTemperature:test_it_undoes_sharpening()
  for _, sharp in ipairs { 3, .4 } do
    local probs, labels = made(4000, 3, sharp, 0)
    local c = calibrate.fit(probs, labels)
    lu.assertTrue(math.abs(c.temperature / sharp - 1) < .1, ("sharp %g: temperature %g"):format(sharp, c.temperature))
    lu.assertTrue(c.log_loss.difference.high < 0)
    lu.assertEquals(c.n, 4000)
  end
end

function TestTemperature:test_no_temperature_is_better_than_the_one_found()
  local probs, labels = made(300, 3, 2, .3)
  local c = calibrate.fit(probs, labels)
  local best = mean_loss(calibrate.apply(c, probs), labels)
  for _, t in ipairs { .2, .9, .99, 1.01, 1.1, 5 } do
    lu.assertTrue(mean_loss(calibrate.apply({ method = "temperature", temperature = c.temperature * t }, probs), labels) > best)
  end
end

function TestTemperature:test_no_label_changes_and_rows_sum_to_one()
  local probs, labels = made(200, 4, 2, 0)
  local function top(row)
    local b = 1
    for k, p in ipairs(row) do b = p > row[b] and k or b end
    return b
  end
  for i, row in ipairs(calibrate.apply(calibrate.fit(probs, labels), probs)) do
    lu.assertEquals(top(row), top(probs[i]))
    lu.assertAlmostEquals(row[1] + row[2] + row[3] + row[4], 1, 1e-12)
  end
end

function TestTemperature:test_certain_predictions_stay_finite()
  local c = calibrate.fit({ { 1, 0 }, { 0, 1 }, { 1, 0 }, { 0, 1 } }, { 1, 2, 2, 2 })
  lu.assertTrue(c.temperature > 1 and c.temperature < 1e4)
  local all_right = calibrate.fit({ { .9, .1 }, { .2, .8 } }, { 1, 2 })      -- the best temperature is 0: stops at the bracket
  lu.assertTrue(all_right.temperature > 0)
  lu.assertTrue(calibrate.check(all_right))
end

TestPlatt = {}

function TestPlatt:test_it_undoes_a_slope_and_a_shift()
  local probs, labels = made(4000, 2, 2, 1.5)
  local platt, temperature = calibrate.fit(probs, labels, { method = "platt" }), calibrate.fit(probs, labels)
  lu.assertTrue(math.abs(platt.a - .5) < .05, platt.a)
  lu.assertTrue(math.abs(platt.b + .75) < .12, platt.b)
  lu.assertTrue(platt.log_loss.after.value < temperature.log_loss.after.value)
end

-- Of the cross-entropy with Platt's targets, which is convex: there is no better answer.
function TestPlatt:test_the_gradient_is_zero_at_the_answer()
  local probs, labels = made(150, 2, 1.4, -.6)
  local c, positive = calibrate.fit(probs, labels, { method = "platt" }), 0
  for _, y in ipairs(labels) do positive = positive + (y == 2 and 1 or 0) end
  local high, low, ga, gb = (positive + 1) / (positive + 2), 1 / (#labels - positive + 2), 0, 0
  for i, row in ipairs(calibrate.apply(c, probs)) do
    local d = row[2] - (labels[i] == 2 and high or low)
    ga, gb = ga + d * math.log(probs[i][2] / probs[i][1]), gb + d
  end
  lu.assertAlmostEquals(ga, 0, 1e-5)
  lu.assertAlmostEquals(gb, 0, 1e-5)
end

function TestPlatt:test_wants_two_classes()
  local probs, labels = made(20, 3, 1, 0)
  lu.assertErrorMsgContains("two classes", calibrate.fit, probs, labels, { method = "platt" })
end

TestHeldOut = {}

-- Labels that have nothing to do with the predictions: fitted on the same rows a calibration always gains, held out it must not.
function TestHeldOut:test_after_is_of_rows_that_the_calibration_did_not_see()
  local gained, flattered = 0, 0
  for _ = 1, 20 do
    local probs, labels = made(16, 2, 1, 0)
    local c = calibrate.fit(probs, labels, { method = "platt" })
    local same = mean_loss(calibrate.apply(c, probs), labels) - mean_loss(probs, labels)
    gained, flattered = gained + c.log_loss.difference.value, flattered + same
    lu.assertAlmostEquals(c.log_loss.before.value, mean_loss(probs, labels), 1e-9)
  end
  lu.assertTrue(flattered < 0 and gained > flattered, ("%g %g"):format(flattered, gained))
end

function TestHeldOut:test_folds_may_be_given()
  local probs, labels = made(40, 2, 2, 0)
  local fold = {}
  for i = 1, 40 do fold[i] = i <= 20 and 1 or 2 end
  local function part(from, to, list) return table.move(list, from, to, 1, {}) end
  local a = calibrate.fit(part(21, 40, probs), part(21, 40, labels), { fold = part(1, 20, { 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2,
    1, 2, 1, 2, 1, 2 }) })
  local b = calibrate.fit(part(1, 20, probs), part(1, 20, labels))
  local want = (mean_loss(calibrate.apply(a, part(1, 20, probs)), part(1, 20, labels))
    + mean_loss(calibrate.apply(b, part(21, 40, probs)), part(21, 40, labels))) / 2
  lu.assertAlmostEquals(calibrate.fit(probs, labels, { fold = fold }).log_loss.after.value, want, 1e-9)
end

function TestHeldOut:test_misuse_names_both_sizes()
  lu.assertErrorMsgContains("2 predictions but 1 labels", calibrate.fit, { { .5, .5 }, { .5, .5 } }, { 1 })
  lu.assertErrorMsgContains("there are no predictions", calibrate.fit, {}, {})
  lu.assertErrorMsgContains("label 1 is 3, expected a class from 1 to 2", calibrate.fit, { { .5, .5 } }, { 3 })
  lu.assertErrorMsgContains("row 2: expected 2 class probabilities", calibrate.fit, { { .5, .5 }, { 1 } }, { 1, 1 })
  lu.assertErrorMsgContains("probability 2 is nan", calibrate.fit, { { .5, math.abs(0 / 0) } }, { 1 })
  lu.assertErrorMsgContains("method is magic", calibrate.fit, { { .5, .5 } }, { 1 }, { method = "magic" })
  lu.assertNil(calibrate.check { method = "temperature", temperature = 0 })
  lu.assertNil(calibrate.check { method = "platt", a = 1 })
end

os.exit(lu.LuaUnit.run())
