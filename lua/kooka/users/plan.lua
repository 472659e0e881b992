--- users.plan: what each person's rows can show, before anything is trained; how much more labels would bring; which to label next.
local core = require "kooka.core"
local eval = require "kooka.eval"
local check_options = require "kooka.options"
local fault = require "kooka.users.fault"
local fit = require "kooka.users.fit"
local solver = core.users

local plan = {}

local MIN_ROWS <const>, MIN_FEW <const> = 20, 3        -- what a verdict of users.report wants

local function as_list(x) return type(x) == "userdata" and x:tolist() or x end

-- Labels as a list, all of them 1 or 2; users many.
local function labels_of(who, labels, users)
  local list = as_list(labels)
  if #users ~= #list then error(("%s: users has %d rows, labels have %d"):format(who, #users, #list), 3) end
  local text = fault.rows { users = users, labels = list }
  if text then error(who .. ": " .. text, 3) end
  return list
end

local function rows_of(ids, nuser)
  local rows = {}
  for k = 1, nuser do rows[k] = {} end
  for i, k in ipairs(ids) do rows[k][#rows[k] + 1] = i end
  return rows
end

--- plan.twice(users, items) -> text or nil
-- What is wrong when a person rated an item more than once: then a fold would hold what another trains on. items: of each row.
function plan.twice(users, items)
  local ids, nuser, names = solver.index(users)
  for k, list in ipairs(rows_of(ids, nuser)) do
    local seen, twice, first = {}, 0, nil
    for _, i in ipairs(list) do
      local item = items[i]
      if seen[item] then twice, first = twice + 1, first or item end
      seen[item] = true
    end
    if twice > 0 then
      return ("%s rated %d %s more than once (%s first): a fold must not hold what another trains on"):format(tostring(names[k]),
        twice, twice == 1 and "item" or "items", tostring(first))
    end
  end
end

local function why_not(n, few)
  if few == 0 then return ("one class only (rows: %d), no head can be fitted or judged"):format(n) end
  if n < MIN_ROWS then return ("not enough data for a verdict (rows: %d, wanted: %d)"):format(n, MIN_ROWS) end
  if few < MIN_FEW then
    return ("not enough data for a verdict: %d of the smaller class among %d rows, %d wanted"):format(few, n, MIN_FEW)
  end
  return nil
end

local function person(name, list, labels, o)
  local ones = 0
  for _, i in ipairs(list) do ones = ones + (labels[i] - 1) end
  local n, few = #list, math.min(ones, #list - ones)
  local r = { user = name, n = n, minority_n = few, minority_class = ones * 2 <= n and 2 or 1 }
  local x = eval.expect { n = n, minority = few, holdout = o.holdout, folds = o.folds, level = o.level, auc = o.auc }
  r.p_none, r.p_none_fold, r.auc_se, r.auc_to_beat_chance = x.p_none, x.p_none_fold, x.auc_se, x.auc_to_beat_chance
  r.recall_width = few > 0 and x.recall_if_half_found.high - x.recall_if_half_found.low or nil
  r.recall_if_all_found = few > 0 and x.recall_if_all_found or nil
  r.leave_one_out, r.folds = few == 1, few >= 2 and math.min(o.folds, few) or few == 1 and n or nil
  r.message = why_not(n, few)
  r.verdict_possible = r.message == nil
  return r
end

--- plan.expect{labels=, users=, items=nil, holdout=.3, folds=5, level=.95, auc=.8} -> expectation
-- Before training. expectation.rows, one a person: n, minority_n, minority_class, p_none (chance that a random
-- hold-out has nothing of the
-- smaller class), p_none_fold (of one fold), recall_width (of the interval if half of them are found),
-- recall_if_all_found {k, n, low,
-- high}, auc_se, auc_to_beat_chance, folds (that each hold one of the smaller class: users.fit{folds = "minority"}; n
-- when only leaving one
-- out is left), verdict_possible, message (why not). expectation.counts {persons, possible, one_class, too_few}; text.
-- items: ids of what
-- was rated; raises when a person rated one twice, naming who and how many.
function plan.expect(o)
  check_options("users.plan.expect", o, { labels = true, users = true, items = true, holdout = true, folds = true, level = true,
    auc = true })
  local users = as_list(o.users)
  local labels = labels_of("users.plan.expect", o.labels, users)
  local ids, nuser, names = solver.index(users)
  local rows = rows_of(ids, nuser)
  local twice = o.items and plan.twice(users, as_list(o.items))
  if twice then error("users.plan.expect: " .. twice, 2) end
  local p = { holdout = o.holdout or .3, folds = o.folds or 5, level = o.level or .95, auc = o.auc or .8 }
  local e = { rows = {}, counts = { persons = nuser, possible = 0, one_class = 0, too_few = 0 } }
  local c, none, width, wide = e.counts, 0, 0, 0
  for k = 1, nuser do
    local r = person(names[k], rows[k], labels, p)
    e.rows[k] = r
    local key = r.verdict_possible and "possible" or r.minority_n == 0 and "one_class" or "too_few"
    c[key] = c[key] + 1
    none = none + r.p_none / nuser
    if r.recall_width then width, wide = width + r.recall_width, wide + 1 end
  end
  e.text = ("Before training: %d persons, a verdict is possible for %d; %d have one class only, %d too few rows. A random hold-out of %.0f %% "
    .. "has nothing of the smaller class for %.0f %% of them; an interval of recall will be about %s wide."):format(c.persons, c.possible,
    c.one_class, c.too_few, 100 * p.holdout, 100 * none, wide > 0 and ("%.2f"):format(width / wide) or "-")
  return e
end

-- ---- learning curve

local function take(list, rows)
  local out = {}
  for i, row in ipairs(rows) do out[i] = list[row] end
  return out
end

local function average_precision(prob, y)
  return eval.binary(prob, y, { resamples = 0 }).average_precision.value
end

-- Deals each person's rows of each class into thirds; within the training part the share `f` of each class is kept,
-- never less than one.
local function deal(rows, labels, third, f, stream)
  local train, test = {}, {}
  for _, list in ipairs(rows) do
    for class = 1, 2 do
      local mine = {}
      for _, i in ipairs(list) do
        if labels[i] == class then mine[#mine + 1] = i end
      end
      local keep = {}
      for j, i in ipairs(mine) do
        if j % 3 == third then test[#test + 1] = i else keep[#keep + 1] = i end
      end
      for j = 1, math.max(math.min(1, #keep), math.floor(f * #keep + .5)) do
        local at = j + math.floor(stream:uniform() * (#keep - j + 1))
        keep[j], keep[at] = keep[at], keep[j]
        train[#train + 1] = keep[j]
      end
    end
  end
  return train, test
end

local function select_rows(features, rows)
  if type(features) == "userdata" then return features:index_select(core.tensor(rows, "int32")) end
  return take(features, rows)
end

-- Average precision of each person at one size of training part, and what that size is.
local function point(o, rows, labels, users, offset, f, third, stream)
  local scope <close> = core.scope()
  local train, test = deal(rows, labels, third, f, stream)
  local r = fit.fit { features = select_rows(o.features, train), labels = take(labels, train), users = take(users, train),
    offset = take(offset, train), method = o.method, lambda = o.lambda, lambda0 = o.lambda0, seed = o.seed }
  local p = fit.predict(r, { features = select_rows(o.features, test), users = take(users, test), offset = take(offset, test) })
  local by, few = {}, {}
  for i, row in ipairs(test) do
    local u = users[row]
    by[u] = by[u] or { prob = {}, y = {} }
    table.insert(by[u].prob, p[i])
    table.insert(by[u].y, labels[row])
  end
  for _, u in ipairs(r.per) do few[u.user] = math.min(u.positives, u.n - u.positives) end
  return by, few
end

local SHARES <const> = { .25, .5, .75, 1 }

-- Least-squares slope of ap on log(size) for one person.
local function slope_of(points)
  local n, x, y, xx, xy = 0, 0, 0, 0, 0
  for _, p in ipairs(points) do
    n, x, y, xx, xy = n + 1, x + p.x, y + p.y, xx + p.x * p.x, xy + p.x * p.y
  end
  local d = n * xx - x * x
  if n < 2 or d <= 1e-9 then return nil end
  return (n * xy - x * y) / d
end

--- plan.forecast{features=, labels=, users=, offset=, more=12, method="map", lambda=, lambda0=, user=nil, seed=1} -> forecast
-- What `more` further rows of the smaller class would bring. Heads are fitted on 25, 50, 75 and 100 % of two thirds of
-- each person's rows and
-- scored on the last third (by turns), so every size is judged on the same rows; average precision of the smaller
-- class is taken to grow
-- with the logarithm of the number of its rows, with one slope for all persons (mean over persons, t interval).
-- forecast: points {share, few (mean rows of the smaller class in training), ap}, slope {value, low, high}, now, later
-- ({value, low, high}: mean
-- over persons, or user's own), more, text. Raises when no person has three rows of each class.
function plan.forecast(o)
  check_options("users.plan.forecast", o, { features = true, labels = true, users = true, offset = true, more = true, method = true,
    lambda = true, lambda0 = true, user = true, seed = true })
  local users, offset, more = as_list(o.users), as_list(o.offset), o.more or 12
  local labels = labels_of("users.plan.forecast", o.labels, users)
  if math.type(more) ~= "integer" or more < 1 then
    error(("users.plan.forecast: more is %s, expected a whole number from 1"):format(tostring(more)), 2)
  end
  local ids, nuser, names = solver.index(users)
  local rows, stream = rows_of(ids, nuser), core.random("users forecast", o.seed or 1)
  local points, sums = {}, {}
  for s, share in ipairs(SHARES) do
    points[s] = { share = share, few = 0, ap = 0, n = 0 }
    for third = 0, 2 do
      local by, few = point(o, rows, labels, users, offset, share, third, stream)
      for k, name in ipairs(names) do
        local b, ones = by[name], 0
        for _, i in ipairs(rows[k]) do ones = ones + labels[i] - 1 end
        local smaller, least = ones * 2 <= #rows[k] and 2 or 1, math.min(ones, #rows[k] - ones)
        if b and least >= MIN_FEW and few[name] and few[name] > 0 then
          local prob, y = b.prob, b.y
          if smaller == 1 then
            prob, y = {}, {}
            for i, v in ipairs(b.prob) do prob[i], y[i] = 1 - v, 3 - b.y[i] end
          end
          local ap = average_precision(prob, y)
          if ap then
            sums[name] = sums[name] or { few = least, points = {}, ap = 0, n = 0 }
            table.insert(sums[name].points, { x = math.log(few[name]), y = ap })
            local p = points[s]
            p.few, p.ap, p.n = p.few + few[name], p.ap + ap, p.n + 1
            if share == 1 then sums[name].ap, sums[name].n = sums[name].ap + ap, sums[name].n + 1 end
          end
        end
      end
    end
  end
  local slopes, aps, gains = {}, {}, {}
  for _, name in ipairs(names) do
    local s = sums[name]
    local slope = s and slope_of(s.points)
    if slope then
      slopes[#slopes + 1], aps[#aps + 1] = slope, s.ap / s.n
      gains[#gains + 1] = math.log((s.few + more) / s.few)
    end
  end
  if #slopes < 3 then
    error(("users.plan.forecast: only %d of %d persons have %d rows of each class"):format(#slopes, nuser, MIN_FEW), 2)
  end
  for _, p in ipairs(points) do p.few, p.ap = p.few / p.n, p.ap / p.n end
  local function metric(v) return eval.mean(v, { seed = o.seed or 1 }) end
  local f = { points = points, slope = metric(slopes), now = metric(aps), more = more, persons = #slopes }
  local gain = metric(gains).value
  local who = "a typical person"
  if o.user ~= nil then
    local s = sums[o.user]
    if not s then
      error(("users.plan.forecast: %s has fewer than %d rows of a class, or is unknown"):format(tostring(o.user), MIN_FEW), 2)
    end
    who, gain = tostring(o.user), math.log((s.few + more) / s.few)
    local ap, spread = s.ap / s.n, 0
    for _, v in ipairs(aps) do spread = spread + (v - f.now.value) ^ 2 / (#aps - 1) end
    local half = 1.96 * math.sqrt(spread)
    f.now = { value = ap, low = math.max(0, ap - half), high = math.min(1, ap + half), n = s.few }
  end
  local se_now, se_slope = (f.now.high - f.now.low) / 2, (f.slope.high - f.slope.low) / 2
  local half = math.sqrt(se_now ^ 2 + (gain * se_slope) ^ 2)
  local value = math.min(1, math.max(0, f.now.value + gain * f.slope.value))
  f.later = { value = value, low = math.max(0, value - half), high = math.min(1, value + half), level = .95 }
  f.text = ("%d more of the smaller class for %s: average precision %.2f +- %.2f (now %.2f; slope %+.3f [%+.3f, %+.3f] for each e-fold, over %d "
    .. "persons)"):format(more, who, f.later.value, half, f.now.value, f.slope.value, f.slope.low, f.slope.high, #slopes)
  return f
end

-- ---- what to label next

local function entropy(p)
  if p <= 0 or p >= 1 then return 0 end
  return -p * math.log(p) - (1 - p) * math.log(1 - p)
end

--- plan.next{prob=, features=, count=10, labelled=nil} -> list of {row=, prob=, uncertainty=, distance=}
-- Which messages a person should label next: one after the other the one with the largest uncertainty (entropy of
-- prob, P(class 2) of each
-- candidate) times distance (in features [N,D]) from the nearest that is labelled (features [M,D]) or was just taken,
-- so that ten answers
-- are not ten times the same. rows count from 1.
function plan.next(o)
  check_options("users.plan.next", o, { prob = true, features = true, count = true, labelled = true })
  local prob = as_list(o.prob)
  if #prob == 0 then error("users.plan.next: there are no candidates", 2) end
  for i, p in ipairs(prob) do
    if not (p >= 0 and p <= 1) then error(("users.plan.next: prob of candidate %d is %s, expected 0 to 1"):format(i, p ~= p and "nan" or p), 2) end
  end
  local scope <close> = core.scope()
  local x = type(o.features) == "userdata" and o.features or core.tensor(o.features)
  local at, column, value = core.sample.bad(x)
  if at then error(("users.plan.next: feature %d of candidate %d is %s"):format(column, at, value), 2) end
  if x:shape(1) ~= #prob then error(("users.plan.next: %d features, %d probabilities"):format(x:shape(1), #prob), 2) end
  local square = (x * x):sum { dim = 2 }:tolist()
  local near = {}
  for i = 1, #prob do near[i] = math.huge end
  local function closer(y)           -- y [M,D]
    local cross, own = x:matmul(y:t():contiguous()):tolist(), (y * y):sum { dim = 2 }:tolist()
    for i = 1, #prob do
      for j = 1, #own do
        near[i] = math.min(near[i], math.max(0, square[i] + own[j] - 2 * cross[i][j]))
      end
    end
  end
  if o.labelled then closer(type(o.labelled) == "userdata" and o.labelled or core.tensor(o.labelled)) end
  local out, taken = {}, {}
  for _ = 1, math.min(o.count or 10, #prob) do
    local best, most = nil, -1
    for i, p in ipairs(prob) do
      local far = near[i] == math.huge and 1 or math.sqrt(near[i])
      local score = entropy(p) * far
      if not taken[i] and score > most then best, most = i, score end
    end
    taken[best] = true
    out[#out + 1] = { row = best, prob = prob[best], uncertainty = entropy(prob[best]),
      distance = near[best] < math.huge and math.sqrt(near[best]) or nil }
    closer(x:narrow(1, best, 1))
  end
  return out
end

return plan
