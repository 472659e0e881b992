-- kooka.users: heads of simulated persons whose true taste is known, and what the report says of them.
local lu = require "luaunit"
local kooka = require "kooka"
local users = require "kooka.users"

TestUsers = {}

-- persons with taste = general + own; some rare likers
local function community(opts)
  local state = opts.seed or 7
  local function draw()
    state = (state * 6364136223846793005 + 1442695040888963407)
    return (state >> 11) / 9007199254740992
  end
  local function normal() return math.sqrt(-2 * math.log(1 - draw())) * math.cos(2 * math.pi * draw()) end
  local d, u, n = opts.d or 6, opts.persons or 20, opts.rows or 100
  local c = { features = {}, labels = {}, users = {}, offset = {}, truth = {}, w = {}, b = -.5 }
  for j = 1, d do c.w[j] = normal() end
  for k = 1, u do
    local own, shift = {}, (opts.shift or .5) * normal()
    for j = 1, d do own[j] = (opts.differ or 1.2) * normal() end
    for _ = 1, n do
      local x, g, t, i = {}, c.b, shift, #c.labels + 1
      for j = 1, d do
        x[j] = normal()
        g, t = g + c.w[j] * x[j], t + own[j] * x[j]
      end
      if opts.rare and k <= opts.rare then t = t - 4 end
      c.features[i], c.offset[i], c.users[i] = x, g, "person " .. k
      c.truth[i] = 1 / (1 + math.exp(-g - t))
      c.labels[i] = draw() < c.truth[i] and 2 or 1
    end
  end
  return c
end

local function loss(prob, labels)
  local s = 0
  for i, p in ipairs(prob) do s = s - math.log(labels[i] == 2 and p or 1 - p) end
  return s / #prob
end

local function fit(c, more)
  local o = { features = c.features, labels = c.labels, users = c.users, offset = c.offset }
  for k, v in pairs(more or {}) do o[k] = v end
  return users.fit(o)
end

function TestUsers:test_map_beats_general_intercept_and_own()
  local c = community { rows = 40, d = 10, differ = .6 }
  local l = {}
  for _, method in ipairs { "global", "intercept", "map", "own" } do
    l[method] = loss(fit(c, { method = method }).prob, c.labels)
  end
  lu.assertTrue(l.map < l.global - .02, ("map %.4f global %.4f"):format(l.map, l.global))
  lu.assertTrue(l.map < l.own - .02, ("map %.4f own %.4f"):format(l.map, l.own))
  lu.assertTrue(l.map < l.intercept)
  lu.assertTrue(l.intercept < l.global)
end

function TestUsers:test_head_and_tensors_give_the_same_as_offset_and_lists()
  local c = community { persons = 4 }
  local a = fit(c, { lambda = 1, lambda0 = 1 })
  local b = users.fit { features = kooka.tensor(c.features), labels = kooka.tensor(c.labels), users = c.users,
    head = { w = kooka.tensor(c.w), b = c.b }, lambda = 1, lambda0 = 1 }
  for i = 1, #c.labels, 17 do lu.assertAlmostEquals(a.prob[i], b.prob[i], 1e-5) end
end

function TestUsers:test_same_seed_same_folds_and_bits()
  local c = community { persons = 5 }
  local a, b, other = fit(c), fit(c), fit(c, { seed = 2 })
  lu.assertEquals(a.prob, b.prob)
  lu.assertNotEquals(a.prob, other.prob)
end

function TestUsers:test_predict_uses_the_head_and_keeps_strangers_general()
  local c = community { persons = 6, rows = 200, differ = 2 }
  local r = fit(c)
  local p = users.predict(r, { features = c.features, users = c.users, offset = c.offset })
  lu.assertTrue(loss(p, c.labels) < loss(r.prob, c.labels))        -- on the rows it was fitted on
  local strangers = {}
  for i = 1, #c.labels do strangers[i] = "stranger" end
  p = users.predict(r, { features = c.features, users = strangers, offset = c.offset })
  for i = 1, #p, 50 do lu.assertAlmostEquals(p[i], r.global[i], 1e-12) end
end

function TestUsers:test_one_class_is_named_and_falls_back()
  local c = community { persons = 3, rows = 30 }
  for i = 1, 30 do c.labels[i] = 1 end
  local r = fit(c)
  lu.assertStrContains(r.per[1].message, "person 1: all 30 rows are of class 1")
  for i = 1, 30 do lu.assertAlmostEquals(r.prob[i], r.global[i], 1e-12) end
  local report = users.report(r, { resamples = 50 })
  lu.assertEquals(report.rows[1].verdict, "one class")
  lu.assertEquals(report.rows[1].use, "global")
  lu.assertStrContains(users.text(report), "note: person 1: all 30 rows")
end

function TestUsers:test_report_says_for_whom_it_works_and_how_far_from_the_best()
  local c = community { persons = 12, rare = 3, differ = 1.5 }
  local r = fit(c)
  local report = users.report(r, { truth = c.truth, resamples = 100 })
  local n = report.counts
  lu.assertEquals(n.better + n.worse + n["no difference"] + n["not enough data"] + n["one class"], 12)
  lu.assertTrue(n.better >= 4)
  lu.assertEquals(n.worse, 0)
  lu.assertEquals(n.fall_back, 12 - n.better)
  lu.assertEquals(report.pooled.verdict, "better")
  lu.assertTrue(report.macro.log_loss_difference.high < 0)
  local b = report.best
  lu.assertTrue(b.best < b.head and b.head < b.global)
  lu.assertTrue(b.share > .3 and b.share < 1)
  local row = report.rows[5]
  lu.assertStrContains(row.head.recall.method, "clopper-pearson")
  lu.assertTrue(row.minority_n * 2 <= row.n)
  lu.assertAlmostEquals(row.head.average_precision.baseline, row.prevalence, 1e-12)
  lu.assertEquals(row.majority_accuracy, 1 - row.prevalence)
  local text = users.text(report)
  lu.assertStrContains(text, "the general head is kept for")
  lu.assertStrContains(text, "Best possible")
end

function TestUsers:test_equal_tastes_do_not_look_like_a_gain()
  local c = community { persons = 15, differ = 0, shift = 0, seed = 3 }
  local r = fit(c)
  lu.assertTrue(loss(r.prob, c.labels) < loss(r.global, c.labels) + .005)
  local report = users.report(r, { resamples = 50 })
  lu.assertTrue(report.counts.better <= 2)
end

function TestUsers:test_bad_input_is_refused_with_names()
  local c = community { persons = 2, rows = 10 }
  lu.assertErrorMsgContains("method is 'best'", fit, c, { method = "best" })
  lu.assertErrorMsgContains("no option 'lamda'", fit, c, { lamda = 1 })
  local zero = community { persons = 2, rows = 10 }
  zero.labels[3] = 0
  lu.assertErrorMsgContains("row 3", fit, zero)
  lu.assertErrorMsgContains("needs features", users.fit, { labels = c.labels, users = c.users, offset = c.offset })
  lu.assertErrorMsgContains("head", users.fit, { labels = c.labels, users = c.users, features = c.features })
  lu.assertErrorMsgContains("rows", users.fit, { labels = c.labels, users = { 1 }, features = c.features,
    offset = c.offset })
  lu.assertErrorMsgContains("lambda is -1", fit, c, { lambda = -1 })
  local r = fit(c)
  r.prob[12], r.prob[13] = nil, 0 / 0
  lu.assertErrorMsgContains("users.report: 2 of 20 rows have no out-of-fold probability; the first is row 12, of person 2, who has 10 rows",
    users.report, r)
  lu.assertErrorMsgContains("heads without folds", users.report, fit(c, { folds = false, lambda = 1 }))
end

os.exit(lu.LuaUnit.run())
