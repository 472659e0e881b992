--- baselines_spec: NB-SVM for many classes, the fastText-like baseline, and the table of mistakes.
local lu = require "luaunit"
local confusion = require "kooka.plot.confusion"
local fasttext = require "kooka.baseline.fasttext"
local kooka = require "kooka"
local nbsvm = require "kooka.baseline.nbsvm"
local progress = require "kooka.progress"

progress.quiet = true

local ANIMALS = { "duck", "horse", "whale" }

-- Three classes that share most words.
local function toy(n)
  local texts, labels = {}, {}
  for i = 1, n do
    labels[i] = i % 3 + 1
    texts[i] = ("The %s number%d does not know the others, %s!"):format(ANIMALS[labels[i]], i % 7, i % 2 == 0 and "does it" or "or not")
  end
  return texts, labels
end

local function check_learned(probs, labels)
  lu.assertEquals(confusion.best(probs), labels)
  for _, row in ipairs(probs) do
    lu.assertEquals(#row, 3)
    lu.assertAlmostEquals(row[1] + row[2] + row[3], 1, 1e-5)
  end
end

TestManyClasses = {}

local function fit(o) return assert(nbsvm.fit(o)) end

function TestManyClasses:test_each_class_against_the_rest()
  local texts, labels = toy(90)
  local m = fit { texts = texts, labels = labels, classes = 3 }
  check_learned(m:predict(texts), labels)
  lu.assertEquals(m:predict {}, {})
  lu.assertStrContains(tostring(m), "3 classes")
end

function TestManyClasses:test_many_classes_are_as_many_plain_models()
  local texts, labels = toy(90)
  local m, plain = fit { texts = texts, labels = labels, classes = 3 }, {}
  for c = 1, 3 do
    local against = {}
    for i, y in ipairs(labels) do against[i] = y == c and 2 or 1 end
    local one = fit { texts = texts, labels = against }
    plain[c] = one:predict(texts)
    lu.assertEquals({ m:top(4, c) }, { one:top(4) })
  end
  for i, row in ipairs(m:predict(texts)) do
    local sum = plain[1][i] + plain[2][i] + plain[3][i]
    lu.assertEquals(row, { plain[1][i] / sum, plain[2][i] / sum, plain[3][i] / sum })
  end
  lu.assertErrorMsgContains("no such class", m.top, m, 4, 4)
  lu.assertErrorMsgContains("number expected", m.top, m, 4)
end

function TestManyClasses:test_classes_without_texts_get_nothing()
  local texts, labels = toy(90)
  local m = fit { texts = texts, labels = labels, classes = 5 }
  local row = m:predict { texts[1] }[1]
  lu.assertEquals({ row[4], row[5] }, { 0, 0 })
  for i = 1, #labels do labels[i] = 2 end
  lu.assertEquals(fit({ texts = texts, labels = labels, classes = 3 }):predict { "x" }, { { 0, 1, 0 } })
  lu.assertEquals(fit({ texts = texts, labels = labels, classes = 2 }):predict { "x" }, { { 0, 1 } })
end

function TestManyClasses:test_two_classes_are_the_plain_model()
  local texts, labels = toy(90)
  for i, y in ipairs(labels) do labels[i] = y == 1 and 1 or 2 end
  local m, plain = fit { texts = texts, labels = labels, classes = 2 }, fit { texts = texts, labels = labels }
  local two = plain:predict(texts)
  for i, row in ipairs(m:predict(texts)) do lu.assertEquals(row, { 1 - two[i], two[i] }) end
end

function TestManyClasses:test_wrong_labels_are_named()
  lu.assertErrorMsgContains("1 labels for 2 texts", nbsvm.fit, { texts = { "a", "b" }, labels = { 1 }, classes = 3 })
  lu.assertErrorMsgContains("label 1 is 4, expected a class 1..3", nbsvm.fit, { texts = { "a", "b" }, labels = { 4, 4 }, classes = 3 })
  lu.assertErrorMsgContains("option classes is 1, expected 2..10000", nbsvm.fit, { texts = { "a", "b" }, labels = { 1, 1 }, classes = 1 })
  lu.assertErrorMsgContains("label 2 is 4, expected a class 1..3", nbsvm.fit, { texts = { "a", "b" }, labels = { 1, 4 }, classes = 3 })
end

TestFastText = {}

local function same(a, b)
  for i, row in ipairs(a) do
    for c, v in ipairs(row) do
      if b[i][c] ~= v then return false end
    end
  end
  return #a == #b
end

function TestFastText:test_learns_and_gives_the_same_again()
  local texts, labels = toy(120)
  local o = { texts = texts, labels = labels, buckets = 512, dim = 16, epochs = 8, lr = .05, batch = 16, seed = 3 }
  local stream = kooka.op_stream()
  local place = { stream:state() }
  local first = fasttext.fit(o):predict(texts)
  lu.assertEquals({ stream:state() }, place)       -- what follows draws as if there had been no baseline
  check_learned(first, labels)
  stream:state(77, 5)
  lu.assertTrue(same(fasttext.fit(o):predict(texts), first))
  stream:state(table.unpack(place))
  o.seed = 4
  lu.assertFalse(same(fasttext.fit(o):predict(texts), first))
end

function TestFastText:test_the_order_of_words_counts_through_pairs()
  local texts, labels = {}, {}
  for i = 1, 200 do
    local a, b = ("a%d"):format(i // 2 % 3), ("b%d"):format(i // 2 % 4)
    labels[i] = i % 2 + 1
    texts[i] = labels[i] == 1 and a .. " " .. b or b .. " " .. a
  end
  local function hits(buckets)
    local m = fasttext.fit { texts = texts, labels = labels, buckets = buckets, dim = 16, epochs = 8, lr = .1, batch = 20,
      drop = 0 }
    local n = 0
    for i, y in ipairs(confusion.best(m:predict(texts))) do n = n + (y == labels[i] and 1 or 0) end
    return n
  end
  local with, without = hits(1024), hits(0)
  lu.assertEquals(with, 200)
  lu.assertTrue(without < 150, tostring(without))
end

function TestFastText:test_tokens_and_texts_that_nobody_knows()
  lu.assertEquals(fasttext.tokens "@User it's  #FUN, año 😂!", { "@user", "it's", "#fun", ",", "año", "😂", "!" })
  lu.assertEquals(fasttext.tokens "", {})
  local texts, labels = toy(30)
  local m = fasttext.fit { texts = texts, labels = labels, buckets = 64, dim = 8, epochs = 1 }
  lu.assertEquals(#m:predict { "", "zzz" }, 2)
  lu.assertEquals(m:predict {}, {})
  lu.assertErrorMsgContains("29 labels for 30 texts", fasttext.fit, { texts = texts, labels = table.move(labels, 1, 29, 1, {}) })
  lu.assertErrorMsgContains("no option 'dims'", fasttext.fit, { texts = texts, labels = labels, dims = 3 })
end

TestConfusion = {}

function TestConfusion:test_counts_and_worst_mistakes()
  local counts = confusion.count({ 1, 2, 2, 3, 2, 1 }, { 1, 2, 3, 3, 3, 2 }, 3)
  lu.assertEquals(counts, { { 1, 0, 0 }, { 1, 1, 0 }, { 0, 2, 1 } })
  local worst = confusion.worst(counts, { "a", "b", "c" })
  lu.assertEquals(#worst, 2)
  lu.assertEquals({ worst[1].truth, worst[1].said, worst[1].n }, { "c", "b", 2 })
  lu.assertAlmostEquals(worst[1].share, 2 / 3, 1e-12)
  lu.assertErrorMsgContains("1 predictions for 2 labels", confusion.count, { 1 }, { 1, 2 }, 2)
  lu.assertEquals(confusion.best { { .2, .5, .3 }, { .4, .4, .2 } }, { 2, 1 })
end

function TestConfusion:test_the_picture_holds_names_escaped_and_every_count()
  local text = confusion.svg { counts = { { 41, 0 }, { 17, 23 } }, names = { "<b>", "c&d" }, title = "Who" }
  lu.assertStrMatches(text, "^<svg .*</svg>\n$")
  for _, piece in ipairs { "&lt;b&gt;", "c&amp;d", ">41<", ">17<", ">23<", "c&amp;d called &lt;b&gt;: 17 of 40" } do
    lu.assertStrContains(text, piece)
  end
  lu.assertNil(text:find("<b>", 1, true))
end

TestNeighbours = {}

local neighbours = require "kooka.baseline.neighbours"

-- The formula of kooka.baseline.neighbours on three texts, with cosines from TfidfVectorizer's definition.
function TestNeighbours:test_the_formula()
  local texts, terms = { "aa bb", "aa cc", "dd ee" }, { tokens = "words", ngrams = 1, min_df = 1, max_df = 1 }
  local idf = { aa = math.log(4 / 3) + 1, other = math.log(4 / 2) + 1 }
  local cosine = idf.aa ^ 2 / (idf.aa ^ 2 + idf.other ^ 2)                        -- of the first two
  local function says(o)
    for k, v in pairs(terms) do o[k] = v end
    o.texts = texts
    return assert(neighbours.fit(o)):predict { "aa bb", "zz" }
  end
  local p = says { shares = { .25, 1, 1 }, weights = { 1, 3, 1 }, power = 2 }
  local prior, near = (.25 + 3 + 1) / 5, .2 ^ 2
  lu.assertAlmostEquals(p[1], (.25 + 3 * cosine ^ 2 + near * prior) / (1 + 3 * cosine ^ 2 + near), 1e-5)
  lu.assertAlmostEquals(p[2], prior, 1e-12)                                       -- nothing in common with any
  p = says { labels = { 1, 2, 3 }, classes = 4, power = 4, k = 1 }
  near = .2 ^ 4
  for c, v in ipairs { 1 + near / 3, near / 3, near / 3, 0 } do lu.assertAlmostEquals(p[1][c], v / (1 + near), 1e-5) end
  lu.assertEquals(p[2], { 1 / 3, 1 / 3, 1 / 3, 0 })
end

function TestNeighbours:test_many_classes_and_two()
  local texts, labels = toy(90)
  local m = assert(neighbours.fit { texts = texts, labels = labels, classes = 3, k = 20 })
  check_learned(m:predict(texts), labels)
  lu.assertEquals(m:predict {}, {})
  lu.assertStrContains(tostring(m), "the nearest 20 of 90 texts")
  for i, y in ipairs(labels) do labels[i] = y == 1 and 1 or 2 end
  local two = assert(neighbours.fit { texts = texts, labels = labels }):predict(texts)
  local rows = assert(neighbours.fit { texts = texts, labels = kooka.tensor(labels, "int32"), classes = 2 }):predict(texts)
  for i, p in ipairs(two) do
    lu.assertEquals(p > .5, labels[i] == 2)
    lu.assertAlmostEquals(rows[i][2], p, 1e-12)
  end
end

function TestNeighbours:test_what_is_wrong_is_named()
  local function fitted(o)
    o.texts = { "aa", "aa bb" }
    return function() return neighbours.fit(o) end
  end
  lu.assertErrorMsgContains("texts and labels", neighbours.fit, { texts = { "a" } })
  lu.assertErrorMsgContains("1 labels for 2 texts", fitted { labels = { 1 } })
  lu.assertErrorMsgContains("label 2 is 3, expected a class 1..2", fitted { labels = { 1, 3 } })
  lu.assertErrorMsgContains("share 1 is 1.5, expected 0..1", fitted { shares = { 1.5, 0 } })
  lu.assertErrorMsgContains("shares are of two classes, not 3", fitted { shares = { 1, 0 }, classes = 3 })
  lu.assertErrorMsgContains("weight 2 is -1, expected 0 or more", fitted { labels = { 1, 2 }, weights = { 1, -1 } })
  lu.assertErrorMsgContains("no option 'neighbors'", fitted { labels = { 1, 2 }, neighbors = 3 })
  lu.assertErrorMsgContains("an integer of 1 or more", fitted { labels = { 1, 2 }, k = 0 })
  lu.assertErrorMsgContains("no term is in 2 texts or more", neighbours.fit, { texts = { "aa", "bb" }, labels = { 1, 2 } })
  local m = assert(neighbours.fit { texts = { "aa", "aa bb" }, labels = { 1, 2 }, max_df = 1 })
  lu.assertNil((m:predict { "\xff" }))
end

os.exit(lu.LuaUnit.run())
