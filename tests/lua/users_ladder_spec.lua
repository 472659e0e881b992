--- users_ladder_spec: the rungs against scikit-learn, the ladder on a community whose tastes are known, what can be said before training.
local lu = require "luaunit"
local kooka = require "kooka"
local features = require "kooka.users.features"
local ladder = require "kooka.users.ladder"
local plan = require "kooka.users.plan"
local users = require "kooka.users"

local tests = arg[0]:match "^(.*)/lua/[^/]*$" or "tests"
local golden = dofile(tests .. "/golden/users.lua")

-- The inputs of tests/golden/users.py.
local function inputs()
  local d = { features = {}, labels = {}, users = {}, offset = {}, zero = {} }
  for i = 1, golden.persons * golden.rows do
    local u, x = (i - 1) // golden.rows, {}
    for j = 1, golden.features do
      x[j] = string.unpack("f", string.pack("f", ((i * (7919 + 37 * j) + 104729 * j) % 1009) / 1009 * 2 - 1))
    end
    local noise = ((i * 6151 + 13) % 997) / 997 - .5
    d.labels[i] = x[1] * (1 + u) - x[2] + noise * 2 - .6 > 0 and 2 or 1
    local v = 512 * (x[3] - .25)
    d.offset[i] = math.floor(v + .5) / 512
    d.features[i], d.users[i], d.zero[i] = x, u, 0
  end
  return d
end

local function check_heads(name, got, want, width)
  local w = got.heads.w:tolist()
  for k = 1, golden.persons do
    for j = 1, width do lu.assertAlmostEquals(w[k][j], want.w[k][j], 2e-5, name .. " w") end
    lu.assertAlmostEquals(got.heads.b[k], want.b[k], 2e-5, name .. " b")
  end
end

TestUsersLadder = {}

function TestUsersLadder:test_map_is_scikit_learns_logistic_regression_and_ridge_its_ridge()
  local d, ones = inputs(), 0
  for _, y in ipairs(d.labels) do ones = ones + y - 1 end
  lu.assertEquals(ones, golden.positives)
  for method, want in pairs { map = golden.logistic, ridge = golden.ridge } do
    local r = users.fit { features = d.features, labels = d.labels, users = d.users, offset = d.zero, method = method,
      lambda = golden.lambda, lambda0 = golden.lambda0 }
    check_heads(method, r, want, golden.features)
  end
end

function TestUsersLadder:test_firth_and_flic_are_those_of_a_plain_newton()
  local d, two = inputs(), {}
  for i, x in ipairs(d.features) do two[i] = { x[1], x[2] } end
  for _, method in ipairs { "firth", "flic" } do
    local r = users.fit { features = two, labels = d.labels, users = d.users, offset = d.offset, method = method, components = 2 }
    check_heads(method, r, golden[method], 2)
  end
end

-- Persons with taste = general + own, in a few of many directions.
local function community(o)
  local s = kooka.random("users ladder", o.seed or 1)
  local u, n, d = o.persons or 30, o.rows or 80, o.d or 12
  local x = kooka.randn(u * n, d, s)
  local rows, c = x:tolist(), { features = x:keep(), labels = {}, users = {}, offset = {}, truth = {} }
  for k = 1, u do
    local own, shift = {}, (o.shift or .6) * s:normal()
    for j = 1, d do own[j] = (o.differ or .6) * s:normal() end
    for i = (k - 1) * n + 1, k * n do
      local general, t = rows[i][1] - 1, shift
      for j = 1, d do t = t + own[j] * rows[i][j] end
      c.offset[i], c.users[i] = general, "p" .. k
      c.truth[i] = 1 / (1 + math.exp(-general - t))
      c.labels[i] = s:uniform() < c.truth[i] and 2 or 1
    end
  end
  return c
end

local function excess(prob, truth)
  local sum = 0
  for i, t in ipairs(truth) do
    local p = math.min(math.max(prob[i], 1e-6), 1 - 1e-6)
    sum = sum + t * math.log(math.max(t, 1e-12) / p) + (1 - t) * math.log(math.max(1 - t, 1e-12) / (1 - p))
  end
  return sum / #truth
end

function TestUsersLadder:test_the_ladder_recovers_known_tastes_and_says_which_rungs_help()
  local c = community {}
  local results, seconds = ladder.run { features = c.features, labels = c.labels, users = c.users, offset = c.offset }
  local rows, reports = ladder.table(results, { truth = c.truth, seconds = seconds, resamples = 50 })
  local by = {}
  for _, r in ipairs(rows) do by[r.name] = r end
  local closed = 0
  for _, r in ipairs(users.rungs) do closed = closed + (r.network and 0 or 1) end
  lu.assertEquals(#rows, closed)
  lu.assertEquals(rows[1].name, "global")
  for _, name in ipairs { "components", "ridge", "prototypes", "map" } do
    lu.assertEquals(by[name].verdict, "better", name)
    lu.assertTrue(by[name].excess < .7 * by.global.excess, name)
  end
  lu.assertTrue(by.map.excess < .45 * by.global.excess)
  lu.assertTrue(by.map.excess < by.own.excess)
  lu.assertTrue(by.intercept.excess < by.global.excess)
  lu.assertAlmostEquals(by.map.excess, excess(results.map.prob, c.truth), .01)
  local text = ladder.text(rows)
  lu.assertStrContains(text, "Better than the general head, with an interval that excludes zero")
  lu.assertStrContains(text, "shown to lose")
  lu.assertEquals(ladder.against(results, "map", "global").verdict, "better")
  local fallen = ladder.fall_back(results.map, reports.map)
  lu.assertEquals(fallen.fallen, by.map.fall_back)
  lu.assertTrue(excess(fallen.prob, c.truth) < excess(results.global.prob, c.truth))
end

function TestUsersLadder:test_where_there_is_nothing_to_gain_the_fall_back_does_not_lose()
  for seed = 1, 3 do
    local c = community { differ = 0, shift = 0, persons = 20, seed = seed }
    local results = ladder.run { features = c.features, labels = c.labels, users = c.users, offset = c.offset, rungs = { "global", "map" } }
    local rows, reports = ladder.table(results, { resamples = 50, truth = c.truth })
    lu.assertNotEquals(rows[2].verdict, "better")
    lu.assertStrContains(ladder.text(rows), "No rung beats the general head")
    local d = rows[2].difference
    local fallen = ladder.fall_back(results.map, reports.map)
    lu.assertTrue(excess(fallen.prob, c.truth) - excess(results.global.prob, c.truth) <= (d.high - d.low) / 2)
  end
end

function TestUsersLadder:test_folds_hold_a_row_of_the_smaller_class()
  local c = { features = {}, labels = {}, users = {}, offset = {} }
  for k, few in ipairs { 1, 2, 4, 9 } do
    for i = 1, 100 do
      local at = #c.labels + 1
      c.labels[at], c.users[at], c.offset[at], c.features[at] = i <= few and 1 or 2, k, 0, { i % 7, i % 3 }
    end
  end
  local r = users.fit { features = c.features, labels = c.labels, users = c.users, offset = c.offset, folds = "minority", lambda = 1,
    lambda0 = 1 }
  local most = { 100, 2, 4, 5 }
  for k = 1, 4 do
    local seen, folds = {}, 0
    for i = (k - 1) * 100 + 1, k * 100 do
      folds = math.max(folds, r.fold[i])
      if c.labels[i] == 1 then seen[r.fold[i]] = true end
    end
    lu.assertEquals(folds, most[k])
    if k > 1 then
      for f = 1, folds do lu.assertTrue(seen[f] or false) end
    end
  end
end

function TestUsersLadder:test_ninety_six_likes_and_four_dislikes_before_training()
  local labels, who = {}, {}
  for i = 1, 100 do labels[i], who[i] = i <= 4 and 1 or 2, "ann" end
  for i = 101, 130 do labels[i], who[i] = 2, "bob" end
  for i = 131, 160 do labels[i], who[i] = i == 131 and 1 or 2, "cy" end
  local e = plan.expect { labels = labels, users = who }
  local ann, bob, cy = e.rows[1], e.rows[2], e.rows[3]
  lu.assertAlmostEquals(ann.p_none, .234, 5e-4)
  lu.assertAlmostEquals(ann.recall_if_all_found.low, .40, .005)
  lu.assertAlmostEquals(ann.recall_if_all_found.high, 1, 1e-12)
  lu.assertAlmostEquals(ann.auc_se, .135, 5e-4)
  lu.assertEquals({ ann.folds, ann.verdict_possible, ann.minority_class }, { 4, true, 1 })
  lu.assertStrContains(bob.message, "one class only (rows: 30)")
  lu.assertStrContains(cy.message, "not enough data for a verdict: 1 of the smaller class among 30 rows")
  lu.assertEquals({ cy.leave_one_out, cy.folds }, { true, 30 })
  lu.assertEquals(e.counts, { persons = 3, possible = 1, one_class = 1, too_few = 1 })
  lu.assertErrorMsgContains("ann rated 2 items more than once (7 first)", plan.expect, { labels = { 1, 2, 1, 2 },
    users = { "ann", "ann", "ann", "ann" }, items = { 7, 7, 8, 8 } })
end

function TestUsersLadder:test_a_forecast_grows_with_labels_and_names_who_has_too_few()
  local c = community { persons = 25, differ = .7 }
  local o = { features = c.features, labels = c.labels, users = c.users, offset = c.offset, lambda = 3, lambda0 = 1 }
  local f = plan.forecast(o)
  lu.assertTrue(f.slope.low > 0)
  lu.assertTrue(f.later.value > f.now.value and f.later.low < f.later.value and f.later.high > f.later.value)
  lu.assertTrue(f.points[1].few < f.points[4].few and f.points[1].ap < f.points[4].ap)
  lu.assertStrContains(f.text, "12 more of the smaller class for a typical person: average precision")
  o.user = "nobody"
  lu.assertErrorMsgContains("nobody has fewer than 3 rows", plan.forecast, o)
end

function TestUsersLadder:test_what_to_label_next_is_uncertain_and_far_from_what_is_known()
  local got = plan.next { prob = { .5, .5, .99, .5 }, features = { { 0, 0 }, { .01, 0 }, { 9, 9 }, { 3, 0 } }, count = 2 }
  lu.assertEquals({ got[1].row, got[2].row }, { 1, 4 })
  got = plan.next { prob = { .5, .5 }, features = { { 0, 0 }, { 2, 2 } }, labelled = { { 0, .1 } }, count = 1 }
  lu.assertEquals(got[1].row, 2)
  lu.assertAlmostEquals(got[1].uncertainty, math.log(2), 1e-12)
end

function TestUsersLadder:test_vectors_and_distances_of_persons()
  local c = community { persons = 8, rows = 30, d = 4 }
  local r = users.fit { features = c.features, labels = c.labels, users = c.users, offset = c.offset, lambda = 3, lambda0 = 1 }
  local v = features.vectors { features = c.features, users = c.users, labels = c.labels, result = r,
    reference = c.features:narrow(1, 1, 3), reference_offset = { c.offset[1], c.offset[2], c.offset[3] } }
  lu.assertEquals(v.names[3], "p3")
  lu.assertAlmostEquals(v.centroid[3]:tolist()[2], c.features:narrow(1, 61, 30):mean { dim = 1 }:tolist()[2], 1e-6)
  local p = users.predict(r, { features = c.features:narrow(1, 1, 3), users = { "p5", "p5", "p5" },
    offset = { c.offset[1], c.offset[2], c.offset[3] } })
  for i = 1, 3 do lu.assertAlmostEquals(v.tastes[5]:tolist()[i], p[i], 1e-5) end
  local d = features.distances(v.head, { metric = "euclidean" }):tolist()
  lu.assertAlmostEquals(d[2][2], 0, 1e-3)
  lu.assertAlmostEquals(d[1][2], d[2][1], 1e-6)
end

function TestUsersLadder:test_permutations_tell_different_persons_from_equal_ones()
  local s = kooka.random("users differ", 3)
  local a, b = kooka.randn(40, 5, s):keep(), kooka.randn(30, 5, s):keep()
  local same = features.differ { a = a, b = b, permutations = 199 }
  local other = features.differ { a = a, b = (b + .8):keep(), permutations = 199 }
  lu.assertTrue(same.p > .05)
  lu.assertAlmostEquals(other.p, 1 / 200, 1e-12)
  lu.assertTrue(other.value > same.value)
  lu.assertErrorMsgContains("1 and 30 rows", features.differ, { a = a:narrow(1, 1, 1), b = b })
end

function TestUsersLadder:test_rows_that_cannot_be_used_are_counted_and_their_person_named()
  local function changed(change)
    local c = community { persons = 3, rows = 10, d = 2 }
    local o = { features = c.features:tolist(), labels = c.labels, users = c.users, offset = c.offset }
    change(o)
    return o
  end
  local nan = changed(function(o) o.features[25][2], o.features[26][1], o.offset[4] = 0 / 0, 1 / 0, 0 / 0 end)
  lu.assertErrorMsgContains("users.fit: 3 of 30 rows cannot be used, of 2 persons; the first is row 4, of p1, who has 10: its general logit "
    .. "is nan", users.fit, nan)
  nan.offset[4] = 0
  lu.assertErrorMsgContains("2 of 30 rows cannot be used, of 1 person; the first is row 25, of p3, who has 10: its feature 2 is nan",
    users.fit, nan)
  nan.features = kooka.tensor(nan.features)
  lu.assertErrorMsgContains("the first is row 25, of p3, who has 10: its feature 2 is nan", users.fit, nan)
  lu.assertErrorMsgContains("row 12, of p2, who has 10: its label is 3, expected 1 or 2", users.fit,
    changed(function(o) o.labels[12] = 3 end))
  lu.assertErrorMsgContains("row 12, of p2, who has 10: its label is 0", plan.expect, { labels = changed(function(o) o.labels[12] = 0 end).labels,
    users = nan.users })
  lu.assertErrorMsgContains("there are no rows", users.fit, { labels = {}, users = {}, offset = {} })
  lu.assertErrorMsgContains("components is -1", users.fit, changed(function(o) o.components = -1 end))
  local r = users.fit(changed(function() end))
  lu.assertErrorMsgContains("users.predict: 1 of 2 rows cannot be used, of 1 person; the first is row 2, of p3, who has 1: its feature 1 is nan",
    users.predict, r, { users = { "p1", "p3" }, features = { { 0, 0 }, { 0 / 0, 0 } }, offset = { 0, 0 } })
  lu.assertErrorMsgContains("expected users", users.predict, r, { features = { { 0, 0 } }, offset = { 0 } })
end

function TestUsersLadder:test_a_person_with_one_row_keeps_the_general_head_and_is_named()
  local c = community { persons = 3, rows = 10, d = 2 }
  c.users[1] = "lone"
  local r = users.fit { features = c.features, labels = c.labels, users = c.users, offset = c.offset }
  lu.assertEquals(r.per[1].n, 1)
  lu.assertStrContains(r.per[1].message, "lone: the only row is of class")
  lu.assertAlmostEquals(r.prob[1], r.global[1], 1e-12)
end

function TestUsersLadder:test_the_baseline_of_average_precision_is_of_those_who_have_one()
  local c = { labels = {}, users = {}, offset = {} }
  for i = 1, 75 do
    c.users[i], c.offset[i] = "p" .. (i - 1) // 25, 0
    c.labels[i] = i > 25 and i % 5 == 0 and 2 or 1            -- p0 has one class, the others 5 of 25
  end
  local m = users.report(users.fit { labels = c.labels, users = c.users, offset = c.offset, method = "global" }).macro
  lu.assertAlmostEquals(m.prevalence.value, .4 / 3, 1e-9)
  lu.assertAlmostEquals(m.average_precision_global.value, .2, 1e-9)
  lu.assertAlmostEquals(m.average_precision_global.baseline, .2, 1e-9)
end

-- A number a person cannot change the order of his rows; where folds are ranked by their own intercepts it would seem to.
function TestUsersLadder:test_rows_of_different_folds_are_ranked_with_one_intercept()
  local c = community { persons = 8, rows = 30, d = 2 }
  local o = { features = c.features, labels = c.labels, users = c.users, offset = c.offset }
  local function logit(p) return math.log(p / (1 - p)) end
  for _, method in ipairs { "intercept", "firth", "flic", "map" } do
    for _, folds in ipairs { 5, 0, "minority" } do
      o.method, o.folds = method, folds
      local r, moved, sum = users.fit(o), {}, {}
      for i, p in ipairs(r.prob) do
        local key, d = r.ids[i] .. "/" .. r.fold[i], logit(r.rank[i]) - logit(p)
        moved[key] = moved[key] or d
        lu.assertAlmostEquals(d, moved[key], 1e-9)
        sum[r.ids[i]] = (sum[r.ids[i]] or 0) + d
      end
      for _, s in ipairs(sum) do lu.assertAlmostEquals(s, 0, 1e-9) end
      if method ~= "map" then
        local m = users.report(r, { resamples = 0 }).macro
        lu.assertAlmostEquals(m.average_precision_head.value, m.average_precision_global.value, 1e-12)
      end
    end
  end
end

function TestUsersLadder:test_plans_refuse_what_cannot_be_asked()
  local c = community { persons = 4, rows = 30, d = 2 }
  local o = { features = c.features, labels = c.labels, users = c.users, offset = c.offset, more = 0 }
  lu.assertErrorMsgContains("more is 0", plan.forecast, o)
  lu.assertErrorMsgContains("there are no candidates", plan.next, { prob = {}, features = {} })
  lu.assertErrorMsgContains("prob of candidate 2 is nan", plan.next, { prob = { .5, 0 / 0 }, features = { { 1 }, { 2 } } })
  lu.assertErrorMsgMatches(".*feature 1 of candidate 2 is %-?nan", plan.next, { prob = { .5, .5 }, features = { { 1 }, { 0 / 0 } } })
end

function TestUsersLadder:test_one_number_with_two_texts_is_two_items()
  local likes = require "kooka.data.likes"
  local path = os.tmpname()
  kooka.try(kooka.sys.write_file(path, "user,item,text,label\nann,1,one,1\nann,1,other,0\nbob,1,other,1\nbob,1,one,1\n"))
  local d = kooka.try(likes.read(path))
  os.remove(path)
  lu.assertEquals(d.texts, { "one", "other" })
  lu.assertEquals(d.text_of, { 1, 2, 2, 1 })
  lu.assertEquals(d.items, { "1", "1/2", "1/2", "1" })
end

function TestUsersLadder:test_what_is_left_out_and_who_rated_twice_is_said()
  local likes, personal = require "kooka.data.likes", require "kooka.personal"
  local path = os.tmpname()
  local function read(text)
    kooka.try(kooka.sys.write_file(path, text))
    return likes.read(path)
  end
  local d = kooka.try(read "session\ttweet_id\tvote\ttext\nann\t1\t5\tone\nann\t2\tn\ttwo\nann\t2\td\ttwo\nann\t3\tx\tthree\n")
  lu.assertEquals(likes.left_out(d), "; 2 rows say nothing (skipped or odd) and are left out")
  d = kooka.try(read "user,item,text,label\nann,1,one,1\nann,2,two,0\nann,1,one,0\n")
  lu.assertEquals(likes.left_out(d), "")
  lu.assertErrorMsgContains("ann rated 1 item more than once (1 first)", personal.need, d, 2)
  lu.assertErrorMsgContains("no person has 4 rated texts", personal.need, d, 4)
  lu.assertErrorMsgContains("there is no 'fancy', expected names of global, intercept", personal.rungs, "map,fancy")
  lu.assertStrContains(select(2, read "user,item,text,label\nann,1,one,1\n,2,two,0\n"), "row 2, column user: nothing stands there")
  lu.assertStrContains(select(2, read "user,item,text,label\nann,1, ,1\n"), "row 1, column text: nothing stands there")
  os.remove(path)
end

os.exit(lu.LuaUnit.run())
