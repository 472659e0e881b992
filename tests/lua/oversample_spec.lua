--- oversample_spec: exact counts, every row kept, and nothing but a training side.
local lu = require "luaunit"
local oversample = require "kooka.data.oversample"
local split = require "kooka.data.split"

local function lopsided()
  local y = {}
  for i = 1, 100 do y[i] = i <= 96 and "like" or "dislike" end
  return y, split.holdout(y, {valid = 0.25})
end

TestRandom = {}

function TestRandom.test_to_the_majority_with_exact_counts()
  local y, s = lopsided()
  local said
  local out, report = oversample(s, y, {say = function(text) said = text end})
  lu.assertEquals(report.before, {like = 72, dislike = 3})
  lu.assertEquals(report.after, {like = 72, dislike = 72})
  lu.assertEquals(report.added, 69)
  lu.assertEquals(said, "oversampled dislike: 3 -> 72, like: 72 -> 72 (69 rows added)")
  lu.assertEquals(out:counts(y).train, {like = 72, dislike = 72})
  lu.assertEquals({table.unpack(out.valid)}, {table.unpack(s.valid)})
end

function TestRandom.test_every_given_row_is_kept_and_only_training_rows_are_drawn()
  local y, s = lopsided()
  local out = oversample(s.train, y)
  local given, times = {}, {}
  for _, row in ipairs(s.train) do given[row] = true end
  for _, row in ipairs(out) do
    lu.assertTrue(given[row])
    times[row] = (times[row] or 0) + 1
  end
  for row in pairs(given) do
    lu.assertTrue(times[row] >= 1)
    if y[row] == "like" then lu.assertEquals(times[row], 1) end
  end
end

function TestRandom.test_counts_and_seed()
  local y, s = lopsided()
  local a, report = oversample(s.train, y, {counts = {dislike = 10}, seed = 4})
  lu.assertEquals(report.after, {like = 72, dislike = 10})
  lu.assertEquals(#a, 82)
  lu.assertEquals({table.unpack((oversample(s.train, y, {counts = {dislike = 10}, seed = 4})))}, {table.unpack(a)})
  lu.assertNotEquals({table.unpack((oversample(s.train, y, {counts = {dislike = 10}, seed = 5})))}, {table.unpack(a)})
end

function TestRandom.test_anything_but_a_training_side_raises()
  local y, s = lopsided()
  lu.assertErrorMsgContains("resample after the split", oversample, {1, 2, 3}, y)
  lu.assertErrorMsgContains("these rows are a held-out side: resample after the split", oversample, s.valid, y)
  lu.assertErrorMsgContains("resampled already", oversample, oversample(s.train, y), y)
  lu.assertErrorMsgContains("this only adds", oversample, s.train, y, {counts = {like = 10}})
  lu.assertErrorMsgContains("no row to draw from", oversample, s.train, y, {counts = {love = 10}})
  lu.assertErrorMsgContains("has no label", oversample, s.train, {})
  lu.assertErrorMsgContains("no option 'count'", oversample, s.train, y, {count = 1})
end

TestWeights = {}

function TestWeights.test_n_over_k_times_count()
  local w, count = oversample.class_weights {1, 1, 1, 2}
  lu.assertEquals(count, {3, 1})
  lu.assertAlmostEquals(w[1], 4 / 6, 1e-12)
  lu.assertAlmostEquals(w[2], 2, 1e-12)
  local only = oversample.class_weights({1, 1, 1, 2, 2}, {1, 4, 5})
  lu.assertAlmostEquals(only[1], 1.5, 1e-12)
end

os.exit(lu.LuaUnit.run())
