--- ngram_spec: Kneser-Ney against the formula written out, as a distribution, and on Penn Treebank.
local lu = require "luaunit"
local kooka = require "kooka"
local ngram = require "kooka.baseline.ngram"
local progress = require "kooka.progress"
local words = require "kooka.text.words"

progress.quiet = true

TestNgrams = {}

local function corpus_of(vocab, documents)
  local corpus = kooka.corpus.new(vocab)
  for _, ids in ipairs(documents) do corpus:add(ids) end
  return corpus
end

local DOCUMENTS = { { 2, 3, 2, 4, 1 }, { 3, 2, 3, 1 }, { 2, 3, 5, 1 }, { 4, 1 } }      -- 1 ends a text; 6 never occurs

-- Bigrams from the definition: counts behind a context, and how many different tokens stand before a token. So few n-grams have
-- the fixed discounts .5, 1 and 1.5.
local function by_hand()
  local count, before, kinds = {}, {}, 0
  for _, ids in ipairs(DOCUMENTS) do
    local h = 1
    for _, w in ipairs(ids) do
      count[h] = count[h] or {}
      if not count[h][w] then
        before[w], kinds = (before[w] or 0) + 1, kinds + 1
      end
      count[h][w] = (count[h][w] or 0) + 1
      h = w
    end
  end
  local function kept(c) return c - ({ .5, 1, 1.5 })[math.min(c, 3)] end
  local spare = 0
  for _, c in pairs(before) do spare = spare + c - kept(c) end
  local function unigram(w) return ((before[w] and kept(before[w]) or 0) + spare / 6) / kinds end
  return function(h, w)
    local total, off = 0, 0
    for _, c in pairs(count[h] or {}) do total, off = total + c, off + c - kept(c) end
    if total == 0 then return unigram(w) end
    local c = count[h][w] or 0
    return ((c > 0 and kept(c) or 0) + off * unigram(w)) / total
  end
end

function TestNgrams:test_bigrams_follow_the_definition()
  local m, expected = ngram.fit { corpus = corpus_of(6, DOCUMENTS), order = 2, boundary = 1 }, by_hand()
  for h = 1, 6 do
    for w = 1, 6 do lu.assertAlmostEquals(m:prob({ h }, w), expected(h, w), 1e-12, h .. " " .. w) end
  end
end

function TestNgrams:test_every_history_has_a_distribution()
  for order = 1, 4 do
    local m = ngram.fit { corpus = corpus_of(6, DOCUMENTS), order = order, boundary = 1 }
    for _, h in ipairs { {}, { 1 }, { 2, 3 }, { 1, 2, 3 }, { 6 }, { 6, 6, 2 }, { 2, 3, 2, 4 } } do
      local sum = 0
      for w = 1, 6 do sum = sum + m:prob(h, w) end
      lu.assertAlmostEquals(sum, 1, 1e-12)
    end
  end
end

function TestNgrams:test_a_score_is_the_sum_over_the_tokens_of_a_text()
  local m = ngram.fit { corpus = corpus_of(6, DOCUMENTS), order = 3, boundary = 1 }
  local nll, tokens = m:score(corpus_of(6, { { 2, 6, 3, 1 }, { 3, 2, 1 } }))
  local function bits(...)
    local sum = 0
    for _, item in ipairs { ... } do sum = sum - math.log(m:prob(item[1], item[2])) end
    return sum
  end
  lu.assertEquals(tokens, { 4, 3 })
  lu.assertAlmostEquals(nll[1], bits({ { 1 }, 2 }, { { 1, 2 }, 6 }, { { 2, 6 }, 3 }, { { 6, 3 }, 1 }), 1e-12)
  lu.assertAlmostEquals(nll[2], bits({ { 1 }, 3 }, { { 1, 3 }, 2 }, { { 3, 2 }, 1 }), 1e-12)
end

function TestNgrams:test_misuse_raises()
  lu.assertErrorMsgContains("order is 0, expected 1..9", ngram.fit, { corpus = corpus_of(6, DOCUMENTS), order = 0 })
  lu.assertErrorMsgContains("a table with a corpus", ngram.fit, {})
  lu.assertErrorMsgContains("no option 'n'", ngram.fit, { corpus = corpus_of(6, DOCUMENTS), n = 3 })
end

function TestNgrams:test_penn_treebank_of_order_3_is_as_published()
  local folder, texts = "../shared/data/lm/ptb/", {}
  lu.skipIf(not kooka.sys.exists(folder .. "ptb.train.txt"), "no ../shared/data")
  for _, split in ipairs { "train", "test" } do
    texts[split] = {}
    for line in io.lines(folder .. "ptb." .. split .. ".txt") do table.insert(texts[split], line) end
  end
  local w = assert(words.train { texts = texts.train, vocab = 10000 })
  local train, test = w:encode_all(texts.train, { eos = true }), w:encode_all(texts.test, { eos = true })
  lu.assertEquals({ w:size(), train:tokens(), test:tokens() }, { 10000, 929589, 82430 })
  local nll, tokens = ngram.fit({ corpus = train, order = 3, boundary = w.eos }):score(test)
  local sum, n = 0, 0
  for i, v in ipairs(nll) do sum, n = sum + v, n + tokens[i] end
  lu.assertEquals(n, 82430)
  lu.assertAlmostEquals(math.exp(sum / n), 148.28, .01)     -- 148.3 in Mikolov's thesis
end

os.exit(lu.LuaUnit.run())
