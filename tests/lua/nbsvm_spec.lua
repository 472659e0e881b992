--- nbsvm_spec: the baselines, on sentences of our own and on HAHA 2019.
local lu = require "luaunit"
local nbsvm = require "kooka.baseline.nbsvm"
local majority = require "kooka.baseline.majority"
local sys = require("kooka.core").sys

TestBaselines = {}

-- Two classes that share most words; class 2 asks questions about ducks.
local function toy(n)
  local texts, labels = {}, {}
  for i = 1, n do
    local word = ("palabra%d"):format(i % 17)
    labels[i] = i % 3 == 0 and 2 or 1
    texts[i] = labels[i] == 2 and ("¿El pato %s no sabe?"):format(word) or ("El %s no sabe el pato."):format(word)
  end
  return texts, labels
end

local function load_model()
  local texts, labels = toy(120)
  return assert(nbsvm.fit { texts = texts, labels = labels }), texts, labels
end

-- Which of two endings the words have: no whole word is seen twice, runs of characters are.
function TestBaselines:test_characters_read_what_words_hide()
  local characters = require "kooka.baseline.characters"
  local texts, labels = {}, {}
  for i = 1, 200 do
    labels[i] = i % 2 + 1
    texts[i] = ("%s%s%s"):format(string.char(97 + i % 23, 97 + i % 19), string.char(97 + i % 13, 97 + i % 7, 97 + i % 11),
      labels[i] == 2 and "ándole" or "mente")
  end
  local model = assert(characters.fit { texts = texts, labels = labels })
  lu.assertStrContains(tostring(model), "logistic regression with ")
  for i, p in ipairs(model:predict { "xxándole", "yymente" }) do lu.assertEquals(p > .5, i == 1) end
  local has = {}
  for _, t in ipairs((model:top(40))) do has[t.term] = true end
  lu.assertTrue(has["ándol"])                                       -- accents stay
  lu.assertErrorMsgContains("texts and labels", characters.fit, { labels = labels })
  local endings = { "mente", "ándole", "ísimo" }
  for i, text in ipairs(texts) do
    labels[i] = i % 3 + 1
    texts[i] = text:sub(1, 5) .. endings[labels[i]]
  end
  local several = assert(characters.fit { texts = texts, labels = labels, classes = 3 })
  for c, row in ipairs(several:predict { "xxmente", "yyándole", "zzísimo" }) do
    lu.assertTrue(row[c] > .6)
    lu.assertAlmostEquals(row[1] + row[2] + row[3], 1, 1e-6)
  end
  lu.assertErrorMsgContains('expected "signs", "words", "characters" or "cased characters"', nbsvm.fit, { texts = texts, labels = labels, tokens = "runes" })
end

function TestBaselines:test_cased_characters_see_capitals()
  local characters = require "kooka.baseline.characters"
  local texts, labels = {}, {}
  for i = 1, 120 do
    local word = string.char(97 + i % 23, 97 + i % 19, 97 + i % 13)
    labels[i] = i % 2 + 1
    texts[i] = labels[i] == 2 and word:upper() .. " no" or word .. " NO"
  end
  local sees = assert(characters.fit { texts = texts, labels = labels, cased = true })
  local blind = assert(characters.fit { texts = texts, labels = labels })
  local p, q = sees:predict { "XYZ no", "xyz NO" }, blind:predict { "XYZ no", "xyz NO" }
  lu.assertTrue(p[1] > .9 and p[2] < .1)
  lu.assertEquals(q[1], q[2])
end

function TestBaselines:test_shares_and_weights()
  local texts, labels = toy(120)
  local shares, weights = {}, {}
  for i, y in ipairs(labels) do shares[i], weights[i] = y - 1, i % 3 == 0 and 2 or 1 end
  local options = { tolerance = 1e-10, min_df = 1, max_df = 1 }
  local function fit(o)
    for k, v in pairs(options) do o[k] = v end
    return assert(nbsvm.fit(o))
  end
  local plain = fit { texts = texts, labels = labels }:predict(texts)
  lu.assertEquals(fit { texts = texts, shares = shares }:predict(texts), plain)
  for i, s in ipairs(shares) do shares[i] = .1 + .8 * s end
  local soft = fit { texts = texts, shares = shares }:predict(texts)
  for i, p in ipairs(soft) do lu.assertTrue(math.abs(p - .5) < math.abs(plain[i] - .5)) end    -- doubt is learned, too
  local heavy = fit { texts = texts, labels = labels, weights = weights }:predict(texts)
  lu.assertNotEquals(heavy, plain)
  lu.assertErrorMsgContains("119 weights for 120 texts", fit, { texts = texts, labels = labels, weights = table.move(weights, 1, 119, 1, {}) })
  shares[3] = 1.5
  lu.assertErrorMsgContains("shares: number 3 is not one of 0..1", fit, { texts = texts, shares = shares })
  shares[3] = 1
  lu.assertErrorMsgContains("shares are of two classes", fit, { texts = texts, shares = shares, classes = 3 })
  for i = 1, 120 do shares[i] = 0 end
  lu.assertErrorMsgContains("another class must occur", fit, { texts = texts, shares = shares })
end

function TestBaselines:test_learns_what_sets_the_classes_apart()
  local model, texts, labels = load_model()
  for i, p in ipairs(model:predict(texts)) do
    lu.assertTrue(p > 0 and p < 1)
    lu.assertEquals(p > .5, labels[i] == 2)
  end
  local two, one = model:top(8)
  local has = {}
  for _, t in ipairs(two) do
    has[t.term] = true
    lu.assertTrue(t.weight > 0)
  end
  for _, t in ipairs(one) do lu.assertTrue(t.weight < 0) end
  lu.assertTrue(has["¿ el"] and has["?"])
  lu.assertStrContains(tostring(model), "terms")
  lu.assertEquals(model:predict {}, {})
  lu.assertEquals(#model:predict { "", "nada de esto" }, 2)
end

function TestBaselines:test_the_same_call_gives_the_same_bits()
  local model, texts, labels = load_model()
  lu.assertEquals(nbsvm.fit({ texts = texts, labels = labels }):predict(texts), model:predict(texts))
end

function TestBaselines:test_misuse_raises_and_bad_text_answers()
  local texts, labels = toy(30)
  lu.assertErrorMsgContains("29 labels for 30 texts", nbsvm.fit, { texts = texts, labels = table.move(labels, 1, 29, 1, {}) })
  labels[4] = 3
  lu.assertErrorMsgContains("label 4 is 3, expected a class 1..2", nbsvm.fit, { texts = texts, labels = labels })
  labels[4] = 1
  lu.assertErrorMsgContains("no option 'mindf'", nbsvm.fit, { texts = texts, labels = labels, mindf = 2 })
  lu.assertErrorMsgContains("expected a table with texts", nbsvm.fit, { labels = labels })
  texts[7] = "\xff"
  local model, message, code = nbsvm.fit { texts = texts, labels = labels }
  lu.assertNil(model)
  lu.assertEquals(code, "format")
  lu.assertStrContains(message, "text 7")
  texts[7] = "a"
  for i = 1, 30 do labels[i] = 1 end
  lu.assertErrorMsgContains("another class must occur", nbsvm.fit, { texts = texts, labels = labels })
end

function TestBaselines:test_majority_names_the_larger_class()
  local m = majority.fit { labels = { 1, 2, 1, 1 } }
  lu.assertEquals(m.class, 1)
  lu.assertEquals(m:predict { "a", "b" }, { .25, .25 })
  lu.assertEquals(majority.fit({ labels = { 2 } }).shares, { 0, 1 })
  lu.assertEquals(majority.fit({ labels = { 2, 1 } }).class, 1)
  lu.assertErrorMsgContains("label 1 is 0", majority.fit, { labels = { 0 } })
  lu.assertErrorMsgContains("expected a table with labels", majority.fit, { labels = {} })
end

-- One random 70/15/15 split, scored on the last part.
local function split(texts, labels, seed)
  local order, train, test = {}, { texts = {}, labels = {} }, { texts = {}, labels = {} }
  math.randomseed(seed)
  for i = 1, #texts do
    local j = math.random(i)
    order[i] = i
    order[i], order[j] = order[j], order[i]
  end
  for k, i in ipairs(order) do
    local side = k <= .7 * #texts and train or k > .85 * #texts and test
    if side then
      side.texts[#side.texts + 1] = texts[i]
      side.labels[#side.labels + 1] = labels[i]
    end
  end
  return train, test
end

function TestBaselines:test_haha_2019_reaches_the_published_accuracy()
  local path = "../shared/data/haha2019/haha_2019_train.csv"
  local f = io.open(path)
  lu.skipIf(not f, "no ../shared/data")
  f:close()
  local rows = assert(require("kooka.data.csv").read(path))
  local texts, labels = rows.data.text, {}
  for i, v in ipairs(rows.data.is_humor) do labels[i] = math.tointeger(v) + 1 end
  local acc, f1, n, start = 0, 0, 6, sys.now()
  for seed = 1, n do
    local train, test = split(texts, labels, seed)
    local model = assert(nbsvm.fit(train))
    local right, hit, said, is = 0, 0, 0, 0
    for i, p in ipairs(model:predict(test.texts)) do
      local yes, positive = p > .5, test.labels[i] == 2
      right = right + (yes == positive and 1 or 0)
      hit = hit + (yes and positive and 1 or 0)
      said, is = said + (yes and 1 or 0), is + (positive and 1 or 0)
    end
    acc, f1 = acc + right / #test.labels / n, f1 + 2 * hit / (said + is) / n
  end
  print(("# NB-SVM on HAHA 2019, %d random splits: accuracy %.4f (published .8370, sd .0063), F1 %.4f; %.2f s a split")
    :format(n, acc, f1, (sys.now() - start) / n))
  lu.assertAlmostEquals(acc, .837, .006)
  lu.assertAlmostEquals(f1, .77, .015)
end

os.exit(lu.LuaUnit.run())
