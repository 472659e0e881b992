--- imbalance_spec: resamplers against imbalanced-learn's own answers, exact counts, tiny classes, and nothing but a training side.
local lu = require "luaunit"
local core = require "kooka.core"
local imbalance = require "kooka.imbalance"
local random = require "kooka.imbalance.random"
local split = require "kooka.data.split"
local golden = dofile "tests/golden/imbalance.lua"

local SETS = { "two", "three" }

local function everything(n)
  local all = {}
  for i = 1, n do all[i] = i end
  return split.given(all, {})
end

local function quiet(o)
  o.say = false
  return o
end

-- A lopsided data set with a hold-out: 3 classes, 4 features.
local function lopsided(sizes)
  local y = {}
  for c, n in ipairs(sizes or { 60, 12, 8 }) do
    for _ = 1, n do y[#y + 1] = c end
  end
  return core.randn(#y, 4, core.random("imbalance spec", 3)):keep(), y, split.holdout(y, { valid = .25 })
end

local function set_of(list)
  local out = {}
  for _, v in ipairs(list) do out[v] = true end
  return out
end

TestGolden = {}

local function assert_family(name, method, options, same_neighbours)
  for _, which in ipairs(SETS) do
    local g = golden[which]
    local x, want = core.tensor(g.x), g[name]
    local o = quiet { x = x }
    for k, v in pairs(options) do o[k] = v end
    local r, counts = method(everything(#g.y), g.y, o)
    lu.assertEquals(counts.after, want.after)
    lu.assertTrue(#want.classes > 0)
    local at = 1
    for _, c in ipairs(want.classes) do
      -- the neighbours, exactly and in their order
      local data = same_neighbours(c, g)
      local near = imbalance.neighbours(x, #c.near[1], { query = c.base, data = data }):tolist()
      for i, line in ipairs(near) do
        for j, at_data in ipairs(line) do line[j] = data and data[at_data] or at_data end
        lu.assertEquals(line, c.near[i])
      end
      -- its draws give its rows
      local made, same = imbalance.interpolate(x, c.a, c.b, c.gaps), core.tensor(c.made)
      if name == "borderline2" then lu.assertTrue((made - same):abs():max():item() < 1e-6)     -- it rounds once more
      else lu.assertEquals(made:tolist(), same:tolist()) end
      -- our own draws: from a base row to one of its neighbours
      local allowed = {}
      for i, row in ipairs(c.base) do allowed[row] = set_of(c.near[i]) end
      local n = want.after[c.class] - counts.before[c.class]
      local started = {}
      for _, pair in ipairs(r.parents:narrow(1, at, n):tolist()) do
        lu.assertNotNil(allowed[pair[1]], "a row that is no base row was started from")
        lu.assertTrue(allowed[pair[1]][pair[2]], "a row that is no neighbour was gone to")
        started[pair[1]] = (started[pair[1]] or 0) + 1
      end
      if c.times then
        for i, row in ipairs(c.base) do lu.assertEquals(started[row] or 0, c.times[i]) end
      end
      at = at + n
    end
    lu.assertEquals(at - 1, r.parents:shape(1))
  end
end

local function of_class(c, g)
  local out = {}
  for i, y in ipairs(g.y) do
    if y == c.class then out[#out + 1] = i end
  end
  return out
end

function TestGolden.test_smote() assert_family("smote", imbalance.smote, {}, of_class) end
function TestGolden.test_borderline_1() assert_family("borderline1", imbalance.borderline_smote, {}, of_class) end
function TestGolden.test_borderline_2()
  assert_family("borderline2", imbalance.borderline_smote, { kind = 2 }, function() end)
end
function TestGolden.test_adasyn() assert_family("adasyn", imbalance.adasyn, {}, of_class) end

local function assert_kept(want, method, g, options)
  local o = quiet(options or {})
  o.x = core.tensor(g.x)
  local r, counts = method(everything(#g.y), g.y, o)
  lu.assertEquals(r.rows, want)
  lu.assertEquals(counts.removed, #g.y - #want)
  lu.assertEquals(r.x:tolist()[#want], core.tensor(g.x):select(1, want[#want]):tolist())
end

function TestGolden.test_tomek_links_and_edited_neighbours()
  for _, which in ipairs(SETS) do
    local g = golden[which]
    assert_kept(g.tomek, imbalance.tomek, g)
    assert_kept(g.tomek_all, imbalance.tomek, g, { from = "all" })
    assert_kept(g.enn, imbalance.enn, g)
    assert_kept(g.enn_all, imbalance.enn, g, { from = "all" })
    assert_kept(g.enn_most, imbalance.enn, g, { from = "all", vote = "most", k = 5 })
  end
end

function TestGolden.test_cleaning_after_smote()
  for _, which in ipairs(SETS) do
    local g = golden[which].smoted
    assert_kept(g.tomek_all, imbalance.tomek, g, { from = "all" })
    assert_kept(g.enn_all, imbalance.enn, g, { from = "all" })
  end
end

function TestGolden.test_near_miss()
  for _, which in ipairs(SETS) do
    for version = 1, 3 do assert_kept(golden[which]["near_miss" .. version], imbalance.near_miss, golden[which], { version = version }) end
  end
end

function TestGolden.test_random_counts_and_bandwidth()
  for _, which in ipairs(SETS) do
    local g = golden[which]
    local s, x = everything(#g.y), core.tensor(g.x)
    lu.assertEquals(select(2, imbalance.random_over(s, g.y, quiet {})).after, g.over)
    lu.assertEquals(select(2, imbalance.random_under(s, g.y, quiet {})).after, g.under)
    for class, want in pairs(g.bandwidth) do
      local sd, h = core.sample.deviation(x, of_class({ class = class }, g)), random.bandwidth(#g.y, #g.x[1])
      for c, v in ipairs(sd) do lu.assertAlmostEquals(v * h, want[c], 1e-12) end
    end
  end
  local g = golden.two
  for key, ratio in pairs { r50 = .5, r77 = .77 } do
    lu.assertEquals(select(2, imbalance.random_over(everything(#g.y), g.y, quiet { to = ratio })).after, g.over_ratio[key])
    lu.assertEquals(select(2, imbalance.random_under(everything(#g.y), g.y, quiet { to = ratio })).after, g.under_ratio[key])
  end
end

TestSplit = {}

function TestSplit.test_resampling_before_the_split_raises()
  local x, y, s = lopsided()
  local all = {}
  for i = 1, #y do all[i] = i end
  for _, name in ipairs(imbalance.methods) do
    lu.assertErrorMsgContains(name .. ": these rows are not marked as a training side: resample after the split", imbalance[name], all, y,
      quiet { x = x })
    lu.assertErrorMsgContains("these rows are a held-out side", imbalance[name], s.valid, y, quiet { x = x })
    local once = imbalance[name](s, y, quiet { x = x })
    lu.assertErrorMsgContains("resampled already", imbalance[name], once.split, y, quiet { x = x })
    lu.assertErrorMsgContains("resampled already", imbalance[name], once.train, y, quiet { x = x })
  end
end

function TestSplit.test_no_held_out_row_gets_in_and_the_held_out_side_is_the_same()
  local x, y, s = lopsided()
  local valid = set_of(s.valid)
  -- held-out rows lie far away: a made row that knew one would show it
  local far = x:clone()
  for _, row in ipairs(s.valid) do far:select(1, row):fill_(1000) end
  for _, name in ipairs(imbalance.methods) do
    local r = imbalance[name](s, y, quiet { x = far })
    lu.assertTrue(rawequal(r.split.valid, s.valid))
    for _, row in ipairs(r.rows) do lu.assertNil(valid[row]) end
    for _, row in ipairs(r.train) do lu.assertNil(valid[row]) end
    lu.assertTrue(far:select(1, s.train[1]):max():item() < 100)
    lu.assertTrue(r.x:max():item() < 100, name)
    if r.parents then
      for _, pair in ipairs(r.parents:tolist()) do lu.assertNil(valid[pair[1]] or valid[pair[2]]) end
    end
  end
end

function TestSplit.test_same_seed_same_rows_and_the_given_rows_come_first()
  local x, y, s = lopsided()
  for _, name in ipairs(imbalance.methods) do
    local a, b = imbalance[name](s, y, quiet { x = x, seed = 5 }), imbalance[name](s, y, quiet { x = x, seed = 5 })
    lu.assertEquals(a.x:tolist(), b.x:tolist())
    lu.assertEquals(a.rows, b.rows)
    lu.assertEquals(#a.rows, a.x:shape(1))
    lu.assertEquals(#a.rows, #a.labels)
    for i, row in ipairs(a.rows) do
      if row then
        lu.assertEquals(a.labels[i], y[row])
        lu.assertEquals(a.x:select(1, i):tolist(), x:select(1, row):tolist())
      end
    end
  end
  local a, b = imbalance.smote(s, y, quiet { x = x, seed = 5 }), imbalance.smote(s, y, quiet { x = x, seed = 6 })
  lu.assertNotEquals(a.x:tolist(), b.x:tolist())
  for i, row in ipairs(s.train) do lu.assertEquals(a.rows[i], row) end
end

function TestSplit.test_the_bits_do_not_depend_on_threads()
  local x, y, s = lopsided { 200, 40, 20 }
  local before, answers = core.sys.threads(), {}
  for i, n in ipairs { 1, 4 } do
    core.sys.threads(n)
    answers[i] = imbalance.adasyn(s, y, quiet { x = x }).x:tolist()
  end
  core.sys.threads(before)
  lu.assertEquals(answers[1], answers[2])
end

function TestSplit.test_every_sieve_and_either_way_of_naming_the_same_rows_finds_the_same()
  local x, rows = core.randn(900, 30, core.random("sieves", 1)):keep(), {}
  for i = 1, 450 do rows[i] = 2 * i end
  local index, distance = core.sample.near(x, rows, table.move(rows, 1, #rows, 1, {}), 4, { others = true })
  for _, sieve in ipairs { "auto", "float", "words", "bytes" } do
    local i, d = core.sample.near(x, rows, rows, 4, { others = true, sieve = sieve })
    lu.assertEquals(i:tolist(), index:tolist())
    lu.assertEquals(d:tolist(), distance:tolist())
  end
end

TestCounts = {}

function TestCounts.test_lists_are_taken_and_appended_to()
  local from = { "a", false, 3, "d" }
  local all, some = core.sample.take(from), core.sample.take(from, { 4, 2, 2 }, 10)
  lu.assertEquals(all, from)
  lu.assertFalse(rawequal(all, from))
  lu.assertEquals(some, { "d", false, false })
  core.sample.append(some, 2, false)
  core.sample.append(some, 1, "e")
  core.sample.append(some, 0, "f")
  lu.assertEquals(some, { "d", false, false, false, false, "e" })
  lu.assertErrorMsgContains("expected 1..", core.sample.take, from, { 0 })
end

function TestCounts.test_after_counts_the_labels_of_the_answer()
  local x, y, s = lopsided()
  for _, name in ipairs { "smote", "borderline_smote", "adasyn" } do
    local r, counts = imbalance[name](s, y, quiet { x = x, to = { [2] = 30 } })
    local n = { 0, 0, 0 }
    for _, label in ipairs(r.labels) do n[label] = n[label] + 1 end
    lu.assertEquals(counts.after, n)
    lu.assertEquals(#r.rows, #r.labels)
    lu.assertEquals(r.x:shape(1), #r.labels)
    lu.assertEquals(table.move(r.train, 1, #r.train, 1, {}), table.move(s.train, 1, #s.train, 1, {}))
  end
end

function TestCounts.test_counts_are_said_and_exact()
  local x, y, s = lopsided()
  local said = {}
  local _, counts = imbalance.smote(s, y, { x = x, say = function(text) said[#said + 1] = text end })
  lu.assertEquals(tostring(counts), "1: 45 -> 45, 2: 9 -> 45, 3: 6 -> 45 (75 rows added)")
  lu.assertEquals(said, { "smote: " .. tostring(counts) })
  lu.assertEquals(counts.notes, {})
  lu.assertEquals(select(2, imbalance.smote(s, y, quiet { x = x, to = { [3] = 11 } })).after, { 45, 9, 11 })
  lu.assertEquals(select(2, imbalance.smote(s, y, quiet { x = x, to = .5 })).after, { 45, 22, 22 })
  lu.assertEquals(select(2, imbalance.random_under(s, y, quiet { to = .5 })).after, { 12, 9, 6 })
  lu.assertEquals(select(2, imbalance.random_under(s, y, quiet { to = { 20 } })).after, { 20, 9, 6 })
end

function TestCounts.test_the_side_alone_will_do()
  local x, y, s = lopsided()
  local r = imbalance.smote(s.train, y, quiet { x = x })
  lu.assertNil(r.split)
  lu.assertEquals({ split.role(r.train) }, { "train", true })
  lu.assertEquals(#r.train, #s.train)
end

function TestCounts.test_weighted_draws_are_near_their_shares()
  local _, y, s = lopsided { 400, 80, 20 }
  local r, counts = imbalance.weighted(s, y, quiet { n = 6000 })
  lu.assertEquals(#r.rows, 6000)
  for c = 1, 3 do lu.assertAlmostEquals(counts.after[c], 2000, 160) end
  local _, more = imbalance.weighted(s, y, quiet { n = 6000, weights = { 1, 1, 0 } })
  lu.assertEquals(more.after[3], 0)
  lu.assertAlmostEquals(more.after[1], 5000, 160)
  lu.assertStrContains(table.concat(more.notes, "\n"), "class 3 lost all it had (15 rows)")
end

function TestCounts.test_shrinkage_shakes_only_what_was_drawn()
  local x, y, s = lopsided()
  local r = imbalance.random_over(s, y, quiet { x = x, shrinkage = 1 })
  for i = 1, #r.rows do lu.assertEquals(r.rows[i], s.train[i] or false) end
  local zero = imbalance.random_over(s, y, quiet { x = x, shrinkage = 0 })
  local plain = imbalance.random_over(s, y, quiet { x = x })
  lu.assertEquals(zero.x:tolist(), plain.x:tolist())
  -- the noise has the spread that was asked for
  local mine = {}
  for _, row in ipairs(s.train) do
    if y[row] == 2 then mine[#mine + 1] = row end
  end
  local sd = core.sample.deviation(x, mine)
  local many = imbalance.random_over(s, y, quiet { x = x, shrinkage = { 1, 2, 1 }, to = { 45, 2009, 6 } })
  local same = imbalance.random_over(s, y, quiet { x = x, to = { 45, 2009, 6 } })
  local noise = core.sample.deviation((many.x - same.x):narrow(1, #s.train + 1, 2000):contiguous())
  for c = 1, 4 do lu.assertAlmostEquals(noise[c] / (2 * sd[c] * random.bandwidth(#s.train, 4)), 1, .08) end
end

TestTiny = {}

function TestTiny.test_k_is_clipped_with_a_note()
  local x, y = lopsided { 20, 4 }
  local r, counts = imbalance.smote(everything(24), y, quiet { x = x })
  lu.assertEquals(counts.after, { 20, 20 })
  lu.assertEquals(counts.notes, { "smote: class 2 has 4 rows: k is 3 instead of 5" })
  for _, pair in ipairs(r.parents:tolist()) do lu.assertTrue(pair[1] > 20 and pair[2] > 20 and pair[1] ~= pair[2]) end
end

function TestTiny.test_one_row_is_shaken_with_a_note()
  local x, y = lopsided { 20, 1 }
  for _, name in ipairs { "smote", "borderline_smote", "adasyn", "smote_tomek" } do
    local r, counts = imbalance[name](everything(21), y, quiet { x = x })
    lu.assertStrContains(counts.notes[1], "class 2 has 1 row and so no neighbour: what is added (19 rows) is that row with noise (shrinkage 1)")
    local apart = {}
    for i, row in ipairs(r.rows) do
      if not row then apart[table.concat(r.x:select(1, i):tolist(), " ")] = true end
    end
    local n = 0
    for _ in pairs(apart) do n = n + 1 end
    lu.assertTrue(n >= 15, name)
  end
  local still = imbalance.smote(everything(21), y, quiet { x = x, shrinkage = 0 })
  lu.assertEquals(still.x:select(1, 40):tolist(), x:select(1, 21):tolist())
end

function TestTiny.test_no_row_in_danger_or_no_foreign_neighbour_is_noted()
  local x, y = lopsided { 20, 8 }
  for i = 21, 28 do x:select(1, i):copy_(x:select(1, i) + 500) end
  local _, counts = imbalance.borderline_smote(everything(28), y, quiet { x = x, m = 5 })
  lu.assertEquals(counts.after, { 20, 8 })
  lu.assertEquals(counts.notes, { "borderline_smote: class 2 has no row in danger (m = 5): no row was made" })
  local _, other = imbalance.adasyn(everything(28), y, quiet { x = x })
  lu.assertEquals(other.after, { 20, 8 })
  lu.assertStrContains(other.notes[1], "class 2 has no neighbour of another class")
end

function TestTiny.test_steps_along_principal_components_only()
  local _, y = lopsided { 30, 10 }
  local s, rows = core.random("components", 1), {}
  for i = 1, 40 do                                    -- two wide columns, two narrow ones
    rows[i] = { s:normal() * 10, s:normal() * 8, s:normal() * .01, s:normal() * .01 }
  end
  local x = core.tensor(rows)
  local r = imbalance.smote(everything(40), y, quiet { x = x, components = 2 })
  local made, parents = r.x:narrow(1, 41, 20):tolist(), r.parents:tolist()
  for i, row in ipairs(made) do
    local a, b = rows[parents[i][1]], rows[parents[i][2]]
    for c = 1, 2 do
      lu.assertTrue(row[c] >= math.min(a[c], b[c]) - .01 and row[c] <= math.max(a[c], b[c]) + .01)
    end
    for c = 3, 4 do lu.assertAlmostEquals(row[c], a[c], .01) end
  end
  local whole = imbalance.smote(everything(40), y, quiet { x = x, components = 4 })
  local plain = imbalance.smote(everything(40), y, quiet { x = x })
  lu.assertTrue((whole.x - plain.x):abs():max():item() < 1e-4)
end

TestBad = {}

function TestBad.test_bad_input_names_what_and_where()
  local x, y, s = lopsided()
  local same, one = {}, split.given({ 1 }, { 2 })
  for i = 1, #y do same[i] = "like" end
  for _, name in ipairs(imbalance.methods) do
    local f = imbalance[name]
    lu.assertErrorMsgContains(name .. ": the training side (60 rows) has class like alone: expected two classes or more", f, s, same, quiet { x = x })
    lu.assertErrorMsgContains("the training side (1 row) has class 1 alone", f, one, y, quiet { x = x })
    lu.assertErrorMsgContains("no rows", f, split.given({}, { 1 }), y, quiet { x = x })
    lu.assertErrorMsgContains("row 1 has no label", f, s, {}, quiet { x = x })
    lu.assertErrorMsgContains("row 61 has label 2, which is not one of 1, 3", f, split.given({ 1, 61, 80 }, { 2 }), y,
      quiet { x = x, classes = { 1, 3 } })
    lu.assertErrorMsgContains("x has 79 rows but labels have 80", f, s, y, quiet { x = x:narrow(1, 1, 79) })
    lu.assertErrorMsgContains("no option 'count'", f, s, y, quiet { x = x, count = 1 })
    local bad = x:clone()
    bad:select(1, s.train[7]):narrow(1, 3, 1):fill_(0 / 0)
    lu.assertErrorMsgMatches((".*x is %%-?nan in row %d, column 3.*"):format(s.train[7]), f, s, y, quiet { x = bad })
  end
  lu.assertErrorMsgContains("smote: x is missing", imbalance.smote, s, y, quiet {})
  lu.assertErrorMsgContains("smote: seed is x, expected an integer", imbalance.smote, s, y, quiet { x = x, seed = "x" })
  lu.assertErrorMsgContains("smote: say is loud, expected a function or false", imbalance.smote, s, y, { x = x, say = "loud" })
  lu.assertErrorMsgContains("k is 0, expected an integer of 1 or more", imbalance.smote, s, y, quiet { x = x, k = 0 })
  lu.assertErrorMsgContains("class 1 has 45 rows, 10 were asked for: this only adds rows", imbalance.smote, s, y, quiet { x = x, to = { 10 } })
  lu.assertErrorMsgContains("class 3 has 6 rows, 7 were asked for: this only takes away rows", imbalance.near_miss, s, y,
    quiet { x = x, to = { [3] = 7 } })
  lu.assertErrorMsgContains("to names class 9, which has no training row", imbalance.random_over, s, y, quiet { to = { [9] = 7 } })
  lu.assertErrorMsgContains("to is 1.5, expected a ratio", imbalance.random_over, s, y, quiet { to = 1.5 })
  lu.assertErrorMsgContains("no row to add", imbalance.random_over, s, y, quiet { to = .01 })
  lu.assertErrorMsgContains("kind is 3", imbalance.borderline_smote, s, y, quiet { x = x, kind = 3 })
  lu.assertErrorMsgContains("version is 4", imbalance.near_miss, s, y, quiet { x = x, version = 4 })
  lu.assertErrorMsgContains("components is 5, expected 1..4", imbalance.smote, s, y, quiet { x = x, components = 5 })
  lu.assertErrorMsgContains("shrinkage is -1", imbalance.random_over, s, y, quiet { x = x, shrinkage = -1 })
  lu.assertErrorMsgContains("k is 80, expected 1..79", imbalance.neighbours, x, 80)
end

function TestBad.test_a_copy_says_whether_its_rows_are_fine()
  for _, n in ipairs { 10, 90000 } do                 -- the second is written past the caches
    local x, to = core.randn(n, 100, core.random("fine", 1)):keep(), core.sample.room(n, 100)
    x:select(1, n - 1):narrow(1, 100, 1):fill_(0 / 0)
    lu.assertFalse(core.sample.copy(to, 1, x))
    lu.assertTrue(core.sample.copy(to, 1, x, { 1, n, 1 }))
    x:select(1, n - 1):narrow(1, 100, 1):fill_(2e15)
    lu.assertFalse(core.sample.copy(to, 1, x))
    x:select(1, n - 1):narrow(1, 100, 1):fill_(1)
    lu.assertTrue(core.sample.copy(to, 1, x))
    lu.assertEquals(to:tolist()[n - 1], x:select(1, n - 1):tolist())
  end
end

function TestBad.test_nan_outside_the_training_side_is_no_matter()
  local x, y, s = lopsided()
  local bad = x:clone()
  bad:select(1, s.valid[1]):fill_(0 / 0)
  lu.assertEquals(imbalance.smote(s, y, quiet { x = bad }).x:tolist(), imbalance.smote(s, y, quiet { x = x }).x:tolist())
end

TestBatches = {}

local function texts(n)
  local c, stream = core.corpus.new(50), core.random("texts", 1)
  for i = 1, n do
    local ids = {}
    for j = 1, 3 + stream:below(40) do ids[j] = 1 + (i + j) % 50 end
    c:add(ids)
  end
  return c
end

function TestBatches.test_exact_counts_every_row_each_epoch_and_like_lengths()
  local _, y, s = lopsided { 300, 30, 14 }
  local c = texts(#y)
  local m, counts = imbalance.batches(c, s, y, quiet { batch = 16 })
  local largest = counts.before[1]
  lu.assertEquals(counts.after, { largest, largest, largest })
  local orders = {}
  for epoch = 1, 3 do
    local seen, by_class, padding, tokens = {}, { 0, 0, 0 }, 0, 0
    for _, ids, lens, rows in m:epoch(epoch) do
      for _, row in ipairs(rows:tolist()) do
        seen[row] = (seen[row] or 0) + 1
        by_class[y[row]] = by_class[y[row]] + 1
      end
      tokens = tokens + lens:to("float32"):sum():item()
      padding = padding + ids:numel()
    end
    lu.assertEquals(by_class, { largest, largest, largest })
    local train = set_of(s.train)
    for _, row in ipairs(s.train) do
      local n, each = seen[row], largest / counts.before[y[row]]
      lu.assertTrue(n == math.floor(each) or n == math.ceil(each), ("row %d came %s times"):format(row, tostring(n)))
    end
    for row in pairs(seen) do lu.assertTrue(train[row]) end
    lu.assertTrue(tokens / padding > .8)
    orders[epoch] = seen
  end
  lu.assertNotEquals(orders[1], orders[2])
  lu.assertErrorMsgContains("resample after the split", imbalance.batches, c, s.valid, y, quiet {})
end

os.exit(lu.LuaUnit.run())
