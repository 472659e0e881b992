--- ulmfit_spec: the steps that recipes share, without a recipe: where a classifier begins, and what its rows weigh.
local lu = require "luaunit"
local helper = require "cli_helper"
local kooka = require "kooka"
local settle = require "kooka.learn.settle"
local tokenizer = require "kooka.text.tokenizer"
local ulmfit = require "kooka.ulmfit"

-- What the steps want of a run.
local function run_in(dir)
  return { dir = dir, stage = function(_, _, work) return work() end, say = function() end, log = function() end,
    path = function(_, name)
      local path = dir .. "/" .. name
      kooka.try(kooka.sys.mkdir_p((path:gsub("/[^/]*$", ""))))
      return path
    end }
end

local function sentences(n)
  local stream, words, out = kooka.random("ulmfit spec", 5), { "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete" }, {}
  for i = 1, n do
    local list = {}
    for k = 1, 4 + stream:below(5) do list[k] = words[stream:below(#words)] end
    out[i] = table.concat(list, " ")
  end
  return out
end

TestClassifier = {}

function TestClassifier:setUp()
  self.dir = helper.folder()
  self.texts = sentences(60)
  self.tok = kooka.try(tokenizer.train { texts = self.texts, vocab = 60, path = self.dir .. "/tokenizer.model" })
  self.tok = kooka.try(tokenizer.load(self.dir .. "/tokenizer.model"))
end

function TestClassifier:tearDown() kooka.sys.remove_tree(self.dir) end

-- The last bias before the first step, and the model after the last.
function TestClassifier:begin(o)
  local first
  local base = { name = "c" .. tostring(o):gsub("%W", ""), texts = self.texts, embed = 8, hidden = 8, layers = 1, head_epochs = 0,
    epochs = 1, lr = 1e-8, batch = 60, seed = 1, drop = 0, valid_rows = { 1, 2 },
    callbacks = { { before_fit = function(_, fit) first = first or fit.model.linear2.bias:tolist() end } } }
  for k, v in pairs(o) do base[k] = v end
  local m = ulmfit.classifier(run_in(self.dir), self.tok, base)
  return first, m
end

-- Mean probability of each class over rows of the texts.
function TestClassifier:mean(m, rows)
  local texts, sum = {}, {}
  for i, row in ipairs(rows) do texts[i] = self.texts[row] end
  for _, p in ipairs(m:predict(texts)) do
    for c, v in ipairs(p) do sum[c] = (sum[c] or 0) + v / #rows end
  end
  return sum
end

function TestClassifier:test_the_head_begins_at_the_classes_shares()
  local labels = {}
  for i = 1, 60 do labels[i] = i <= 45 and 1 or i <= 57 and 2 or 3 end
  local bias = self:begin { labels = labels, classes = 3 }
  for c, n in ipairs { 45, 12, 3 } do lu.assertAlmostEquals(bias[c], math.log(n / 60), 1e-3) end
  -- of the rows that train, repeats counted, and times the classes' weights
  bias = self:begin { labels = labels, classes = 3, rows = { 1, 2, 46, 46, 46, 46, 58, 58 }, weights = { 1, 1, 2 } }
  for c, n in ipairs { 2, 4, 4 } do lu.assertAlmostEquals(bias[c], math.log(n / 10), 1e-3) end
end

function TestClassifier:test_balance_takes_the_weights_from_the_rows_that_train()
  local labels, rows = {}, { 1, 2, 3, 4, 5, 6, 46, 46 }            -- 6, 2 and none
  for i = 1, 60 do labels[i] = i <= 45 and 1 or i <= 57 and 2 or 3 end
  local function weights(o)
    o.labels, o.classes, o.rows = labels, 3, rows
    local _, m = self:begin(o)
    return m.config.weights
  end
  local balanced, root = weights { balance = "weights" }, weights { balance = "sqrt" }
  for c, w in ipairs { 8 / 18, 8 / 6, 1 } do
    lu.assertAlmostEquals(balanced[c], w, 1e-9)
    lu.assertAlmostEquals(root[c], w ^ .5, 1e-9)
  end
  lu.assertNil(weights { balance = "none" })
  lu.assertEquals(weights { weights = { 1, 2, 3 }, balance = "sqrt" }, { 1, 2, 3 })
end

function TestClassifier:test_shares_count_as_shares_and_a_missing_class_stays_finite()
  local labels, shares = {}, {}
  for i = 1, 60 do labels[i], shares[i] = 1, { .9, .1 } end
  lu.assertAlmostEquals(self:begin { labels = labels, shares = shares }[2], math.log(.1), 1e-3)
  lu.assertAlmostEquals(self:begin { labels = labels }[2], math.log(1e-3), 1e-3)
end

function TestClassifier:test_losses_that_know_the_prior_begin_and_end_without_it()
  local labels = {}
  for i = 1, 60 do labels[i] = i <= 50 and 1 or 2 end
  local bias, m = self:begin { labels = labels, loss = "logit_adjustment", counts = { 50, 10 } }
  lu.assertTrue(math.abs(bias[1] - math.log(50 / 60)) > 1e-3 or math.abs(bias[2] - math.log(10 / 60)) > 1e-3)
  local same = m.network.linear2.bias:tolist()
  for c = 1, 2 do lu.assertAlmostEquals(same[c], bias[c], 1e-5) end
end

-- Whatever the statistics of batch norm make of the answers: on average over the rows that trained they are the shares.
function TestClassifier:test_the_bias_ends_where_training_rows_want_it()
  local labels, rows = {}, {}
  for i = 1, 60 do labels[i], rows[i] = i % 5 == 0 and 2 or 1, i end
  local _, m = self:begin { labels = labels, rows = rows, lr = .05, epochs = 4, batch = 7, drop = .5 }
  lu.assertAlmostEquals(self:mean(m, rows)[2], .2, .02)                       -- 12 of 60, less the little penalty
  local few = { 1, 2, 3, 4, 6, 7, 8, 9, 11, 12, 13, 14, 5, 10, 15, 20 }        -- 4 of 16; class weights make them 8 of 20
  _, m = self:begin { labels = labels, rows = few, weights = { 1, 2 }, lr = .05, epochs = 4, batch = 7 }
  local texts, sum, all = {}, 0, 0
  for i, row in ipairs(few) do texts[i] = self.texts[row] end
  for i, p in ipairs(m:predict(texts)) do
    local w = labels[few[i]]
    sum, all = sum + w * p[2], all + w
  end
  lu.assertAlmostEquals(sum / all, .4, .03)
end

TestSettle = {}

-- The optimum by hand: shifted means are the targets' means, but for the penalty's b.
function TestSettle.test_shifts_make_the_means_equal()
  local stream, prob, target, weight = kooka.random("settle spec", 2), {}, {}, {}
  for i = 1, 300 do
    local a, b, c = stream:uniform() + .1, stream:uniform() + .1, stream:uniform() * 3 + .1
    prob[i] = { a / (a + b + c), b / (a + b + c), c / (a + b + c) }
    target[i] = i % 3 == 0 and { .5, .5, 0 } or { 0, .2, .8 }
    weight[i] = 1 + i % 2
  end
  local b = settle.bias(prob, target, weight)
  lu.assertEquals(b[1], 0)
  local g = { 0, .1 * b[2], .1 * b[3] }
  for i, p in ipairs(prob) do
    local sum = 0
    for c = 1, 3 do sum = sum + p[c] * math.exp(b[c]) end
    for c = 2, 3 do g[c] = g[c] + weight[i] * (p[c] * math.exp(b[c]) / sum - target[i][c]) end
  end
  lu.assertAlmostEquals(g[2], 0, 1e-6)
  lu.assertAlmostEquals(g[3], 0, 1e-6)
end

function TestSettle.test_a_class_without_a_row_and_bad_sizes()
  local b = settle.bias({ { .5, .5 }, { .4, .6 } }, { { 1, 0 }, { 1, 0 } })
  lu.assertTrue(b[2] < -1 and b[2] > -10)
  lu.assertErrorMsgContains("1 rows of probabilities, 2 of targets", settle.bias, { { .5, .5 } }, { { 1, 0 }, { 0, 1 } })
  lu.assertErrorMsgContains("0 rows", settle.bias, {}, {})
end

-- Rows of weight 0 teach nothing: with them turned the wrong way the model learns what the others say.
function TestClassifier:test_weights_of_texts_reach_the_loss()
  local labels, weights, rows = {}, {}, {}
  for i, text in ipairs(self.texts) do
    local uno = text:find("uno", 1, true) ~= nil
    weights[i], rows[i] = i % 2, i
    labels[i] = (uno == (i % 2 == 1)) and 2 or 1
  end
  local _, m = self:begin { labels = labels, text_weights = weights, rows = rows, lr = .03, epochs = 30, batch = 20 }
  local right = 0
  for i, row in ipairs(m:predict(self.texts)) do
    if (row[2] > .5) == (self.texts[i]:find("uno", 1, true) ~= nil) then right = right + 1 end
  end
  lu.assertTrue(right >= 54, right)
end

os.exit(lu.LuaUnit.run())
