--- ngram_linear_spec: the rows that n-grams hash to, what they add up to, and the layer beside a network.
local lu = require "luaunit"
local kooka = require "kooka"
local batches = require "kooka.data.batches"
local learner = require "kooka.learn.learner"
local mixup = require "kooka.nn.mixup"
local nn = require "kooka.nn"
local sources = require "kooka.learn.sources"
local sys = kooka.sys

require("kooka.progress").quiet = true

local ROWS <const> = 1024

local function ids(list) return kooka.tensor(list, "int32") end

-- The rows of a table that a text reads, ascending, by a table that answers the number of each row in its own column.
local function rows_of(list, ngrams, rows)
  local eye = kooka.zeros(rows or ROWS, rows or ROWS)
  for r = 1, rows or ROWS do eye[r][r] = r end
  local y = kooka.ngram_linear(ids(list):reshape(#list, 1), nil, eye, { ngrams = ngrams })
  local out, sum = {}, 0
  for r, v in ipairs(y:tolist()[1]) do
    if v ~= 0 then
      out[#out + 1] = r
      sum = sum + (v / r) ^ 2
    end
  end
  lu.assertAlmostEquals(sum, 1, 1e-4)                 -- each of m rows counts 1 / sqrt(m)
  return out
end

local function set(list)
  local out = {}
  for _, r in ipairs(list) do out[r] = true end
  return out
end

TestRows = {}

function TestRows.test_the_rows_of_stored_models_stay_where_they_are()
  lu.assertEquals(rows_of({ 3, 1, 4 }, 3), { 47, 117, 402, 606, 801, 905 })
  lu.assertEquals(rows_of({ 60000 }, 1), { 610 })
end

function TestRows.test_a_run_is_one_row_wherever_and_however_often_it_stands()
  local once = rows_of({ 7 }, 1)
  lu.assertEquals(#once, 1)
  lu.assertEquals(rows_of({ 7, 7, 7 }, 1), once)
  lu.assertEquals(#rows_of({ 7, 7, 7 }, 2), 2)        -- 7 and 7 7
  local long, short = set(rows_of({ 5, 1, 2, 3 }, 3)), rows_of({ 1, 2, 3 }, 3)
  lu.assertEquals(#short, 6)
  for _, r in ipairs(short) do lu.assertTrue(long[r]) end
end

function TestRows.test_order_matters_within_a_run()
  local a, b = set(rows_of({ 1, 2 }, 2)), rows_of({ 2, 1 }, 2)
  local shared = 0
  for _, r in ipairs(b) do shared = shared + (a[r] and 1 or 0) end
  lu.assertEquals(shared, 2)                          -- the single ids; 1 2 is not 2 1
end

function TestRows.test_runs_spread_over_the_table()
  local text, stream = {}, kooka.random("text", 1)
  for t = 1, 175 do text[t] = stream:below(9000) + 1 end
  local n, runs = #rows_of(text, 3), 522
  lu.assertTrue(math.abs(n - ROWS * (1 - math.exp(-runs / ROWS))) < 40, n)
end

TestLayer = {}

function TestLayer.test_a_text_gets_the_same_alone_and_in_a_batch()
  local w = kooka.random("w", 1):fill_normal(kooka.zeros(50, 3))
  local x, lens = kooka.randint(1, 30, 6, 4, kooka.random("x", 1)), { 6, 5, 2, 1 }
  local y = kooka.ngram_linear(x, ids(lens), w):tolist()
  for b, n in ipairs(lens) do
    lu.assertEquals(kooka.ngram_linear(x:narrow(2, b, 1):narrow(1, 1, n):contiguous(), nil, w):tolist()[1], y[b])
  end
end

function TestLayer.test_misuse_raises()
  local w = kooka.zeros(5, 2)
  lu.assertErrorMsgContains("length 1 is 3, expected 1..2", kooka.ngram_linear, ids { { 1 }, { 2 } }, ids { 3 }, w)
  lu.assertErrorMsgContains("the table has no rows", kooka.ngram_linear, ids { { 1 } }, nil, kooka.zeros(0, 2))
  lu.assertErrorMsgContains("ngrams", kooka.ngram_linear, ids { { 1 } }, nil, w, { ngrams = 9 })
  lu.assertErrorMsgContains("ngrams", nn.classifier, { vocab = 9, ngrams = 9 })
  lu.assertErrorMsgContains("buckets", nn.classifier, { vocab = 9, ngrams = 2, buckets = 0 })
end

local function small(o)
  local all = { vocab = 20, embed = 4, hidden = 6, layers = 2, head = 5, ngrams = 2, buckets = 64, seed = 5 }
  for k, v in pairs(o or {}) do all[k] = v end
  return all
end

TestModels = {}

function TestModels.test_the_answer_is_the_mean_of_both_sides_in_every_model()
  local x, lens = kooka.randint(1, 20, 5, 3, kooka.random("x", 2)), ids { 5, 4, 2 }
  for _, kind in ipairs { "classifier", "regressor", "ordinal", "multi_task" } do
    local classes = kind ~= "regressor" and 3 or nil
    local m = nn[kind](small { classes = classes }):eval()
    local plain = nn[kind](small { classes = classes, ngrams = 0 }):eval()
    lu.assertEquals(m:raw(x, lens):tolist(), (plain:raw(x, lens) * .5):tolist())          -- untrained it says 0
    kooka.random("table", 1):fill_normal(m.wide.table)
    kooka.random("bias", 1):fill_normal(m.wide.bias)
    local want = (plain:raw(x, lens) + kooka.ngram_linear(x, lens, m.wide.table, { ngrams = 2 }) * 3 + m.wide.bias) * .5
    lu.assertAlmostEquals((m:raw(x, lens) - want):abs():max():item(), 0, 1e-6)
    local copy = nn[kind](small { classes = classes, seed = 6 }):eval()
    copy:load_state(m:state())
    lu.assertEquals(copy:raw(x, lens):tolist(), m:raw(x, lens):tolist())
    lu.assertTrue((nn.quantize(m):raw(x, lens) - want):abs():max():item() < .1)
  end
end

function TestModels.test_the_sides_count_by_their_mix()
  local x, lens = kooka.randint(1, 20, 5, 3, kooka.random("x", 2)), ids { 5, 4, 2 }
  for _, kind in ipairs { "classifier", "regressor", "ordinal", "multi_task" } do
    local o = { classes = kind ~= "regressor" and 3 or nil }
    local m = nn[kind](small(o)):eval()
    kooka.random("table", 1):fill_normal(m.wide.table)
    local sides = m:sides(x, lens)
    local bias = {}
    for k = 1, sides[1]:shape(2) do bias[k] = k / 4 end
    o.mix = { weights = { .25, 1.5 }, bias = bias }
    local mixed = nn[kind](small(o)):eval()
    mixed:load_state(m:state())
    local want = sides[1] * .25 + sides[2] * 1.5 + kooka.tensor(bias)
    lu.assertAlmostEquals((mixed:raw(x, lens) - want):abs():max():item(), 0, 1e-6)
    lu.assertTrue((nn.quantize(mixed):raw(x, lens) - want):abs():max():item() < .1)
    m:set_mix { weights = { 0, 2 } }
    lu.assertAlmostEquals((m:raw(x, lens) - sides[2] * 2):abs():max():item(), 0, 1e-6)
  end
  local says = "classifier: mix: expected weights, 2 numbers of 0 or more, and a bias of 2 numbers or none"
  for _, mix in ipairs { {}, { weights = { 1 } }, { weights = { 1, -1 } }, { weights = { 1, 0 / 0 } }, { weights = { 1, 1 }, bias = { 1 } },
    { weights = { 1, 1 }, bias = { 1, 1 / 0 } }, { weights = { 1, 1 }, bias = { -1 / 0, 1 } } } do
    lu.assertErrorMsgContains(says, nn.classifier, small { mix = mix })
  end
  lu.assertErrorMsgContains("it needs ngrams", nn.classifier, small { ngrams = 0, mix = { weights = { 1, 1 } } })
end

-- Loss and stats of a training step, whose gradients stay.
local function learn(model, batch)
  local tape <close> = kooka.tape()
  local loss, stats = model:loss(batch)
  tape:backward(loss)
  return loss:item(), stats:tolist()
end

-- Gradients of both sides: each as if the other were not there (but for the mean's half).
function TestModels.test_each_side_learns_on_its_own_loss()
  local batch = { x = kooka.randint(1, 20, 5, 3, kooka.random("x", 4)), lens = ids { 5, 4, 2 }, y = ids { 1, 3, 2 }, n = 3,
    score = kooka.tensor { 1, 0, 4 } }
  for _, kind in ipairs { "classifier", "regressor", "ordinal", "multi_task" } do
    local o = { classes = kind ~= "regressor" and 3 or nil, drop = 0, last_p = 0 }
    local m, plain = nn[kind](small(o)), nn[kind](small { classes = o.classes, drop = 0, last_p = 0, ngrams = 0 })
    kooka.random("table", 1):fill_normal(m.wide.table)
    local loss, stats = learn(m, batch)
    local _, own = learn(plain, batch)
    lu.assertAlmostEquals((m.linear1.weight:grad() - plain.linear1.weight:grad() * .5):abs():max():item(), 0, 1e-6, kind)
    lu.assertTrue(m.wide.table:grad():abs():max():item() > 1e-3)
    lu.assertNotEquals(stats, own)
    for _, layer in ipairs { m.norm1, m.norm2 } do layer.momentum = 1 end
    m:loss(batch)                                      -- batch norm now has this batch's statistics
    m:eval()
    lu.assertTrue((m:loss(batch)):item() < loss, kind) -- convex: the loss of the mean is below the mean of both
  end
end

function TestModels.test_it_is_trained_with_the_head()
  local m = nn.classifier(small())
  local groups = m:groups()
  local last, found = groups[#groups], false
  for _, p in ipairs(last) do found = found or p == m.wide.table end
  lu.assertTrue(found)
end

-- Texts whose class is the order of two tokens: single tokens say nothing.
local function ordered(n)
  local c, y, stream = kooka.corpus.new(20), {}, kooka.random("ordered", 4)
  for i = 1, n do
    local doc = {}
    for t = 1, 4 + i % 3 do doc[t] = stream:below(10) + 1 end
    y[i] = 1 + i % 2
    table.insert(doc, 2, y[i] == 1 and 15 or 16)
    table.insert(doc, 3, y[i] == 1 and 16 or 15)
    c:add(doc)
  end
  return c, ids(y):keep()
end

local function fit(path, epochs, stop)
  local c, y = ordered(64)
  local m = nn.classifier(small())
  m:freeze()
  kooka.seed(3)
  m.wide:freeze(false)
  local source = sources.classes(batches.buckets(c, { batch = 8, train = true, seed = 1, pad = 1 }), y)
  local steps = 0
  local callback = stop and { after_step = function()
    steps = steps + 1
    if steps == stop then error("stopped here", 0) end
  end } or nil
  local ok, past = pcall(learner.fit, { model = m, label = "fit", epochs = epochs, lr = .1, train = source, valid = source,
    checkpoint = path, say = function() end, log = function() end, callbacks = { callback } })
  return m, ok, past
end

function TestModels.test_it_learns_what_only_runs_tell()
  local _, ok, past = fit(nil, 8)
  lu.assertTrue(ok, tostring(past))
  lu.assertEquals(past[#past].accuracy, 1)
end

function TestModels.test_a_fit_that_was_stopped_goes_on_to_the_same_bits()
  local dir = os.tmpname() .. ".d"
  kooka.try(sys.mkdir_p(dir))
  local whole = fit(nil, 4)
  local _, ok = fit(dir .. "/c.safetensors", 4, 19)
  lu.assertFalse(ok)
  local again = fit(dir .. "/c.safetensors", 4)
  lu.assertEquals(again.wide.table:tolist(), whole.wide.table:tolist())
  sys.remove_tree(dir)
end

function TestModels.test_mixup_blends_what_it_says()
  local m = nn.classifier(small())
  m.linear2.weight:fill_(0)
  m.linear2.bias:fill_(0)
  kooka.random("table", 1):fill_normal(m.wide.table)
  local batch = { x = kooka.randint(1, 20, 5, 2, kooka.random("x", 3)), lens = ids { 5, 4 }, y = ids { 1, 2 }, n = 2 }
  local said = m.wide(batch.x, batch.lens):tolist()
  local mix = mixup(m, { kind = "sent", lam = .7, stream = { shuffle = function() return { 2, 1 } end } })
  local loss, sum = (mix:loss(batch)):item(), 2 * math.log(2)          -- the head's side says nothing: log 2 a text
  for a = 1, 2 do
    local b, z = 3 - a, {}
    for c = 1, 2 do z[c] = .7 * said[a][c] + .3 * said[b][c] end
    local norm = math.log(math.exp(z[1]) + math.exp(z[2]))
    sum = sum - .7 * (z[a] - norm) - .3 * (z[b] - norm)
  end
  lu.assertAlmostEquals(loss, sum / 4, 1e-5)
end

os.exit(lu.LuaUnit.run())
