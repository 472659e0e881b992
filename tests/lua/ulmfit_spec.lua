--- ulmfit_spec: the steps that recipes share, without a recipe: where a classifier begins, and what its rows weigh.
local lu = require "luaunit"
local helper = require "cli_helper"
local kooka = require "kooka"
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

-- A classifier after a step that moves it nowhere: mean probability of each class over the texts.
function TestClassifier:begin(o)
  local base = { name = "c" .. tostring(o):gsub("%W", ""), texts = self.texts, embed = 8, hidden = 8, layers = 1, head_epochs = 0, epochs = 1,
    lr = 1e-8, batch = 60, seed = 1, drop = 0, valid_rows = { 1, 2 } }
  for k, v in pairs(o) do base[k] = v end
  local m = ulmfit.classifier(run_in(self.dir), self.tok, base)
  local classes = base.classes or 2
  local sum = {}
  for c = 1, classes do sum[c] = m.network["linear2"].bias:tolist()[c] end
  return sum, m
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

function TestClassifier:test_shares_count_as_shares_and_a_missing_class_stays_finite()
  local labels, shares = {}, {}
  for i = 1, 60 do labels[i], shares[i] = 1, { .9, .1 } end
  lu.assertAlmostEquals(self:begin { labels = labels, shares = shares }[2], math.log(.1), 1e-3)
  lu.assertAlmostEquals(self:begin { labels = labels }[2], math.log(1e-3), 1e-3)
end

function TestClassifier:test_losses_that_know_the_prior_begin_without_it()
  local labels = {}
  for i = 1, 60 do labels[i] = i <= 50 and 1 or 2 end
  local bias = self:begin { labels = labels, loss = "logit_adjustment", counts = { 50, 10 } }
  lu.assertTrue(math.abs(bias[1] - math.log(50 / 60)) > 1e-3 or math.abs(bias[2] - math.log(10 / 60)) > 1e-3)
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
