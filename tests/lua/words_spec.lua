--- words_spec: a vocabulary of whole words: order, unknown words, files, and the calls it shares with the tokenizer.
local lu = require "luaunit"
local helper = require "cli_helper"
local kooka = require "kooka"
local sys = kooka.sys
local words = require "kooka.text.words"

local generate = require "kooka.generate"
local model = require "kooka.model"
local nn = require "kooka.nn"

TestWords = {}

local TEXTS = { "b a b", " the <unk> b ", "", "a c" }

function TestWords:setUp() self.dir = helper.folder() end
function TestWords:tearDown() sys.remove_tree(self.dir) end

function TestWords:test_ids_follow_frequency_and_the_marks_are_words()
  local w = assert(words.train { texts = TEXTS })
  local list = {}
  for id = 1, w:size() do list[id] = w:piece(id) end
  lu.assertEquals(list, { "<eos>", "b", "a", "<unk>", "c", "the" })
  lu.assertEquals({ w.eos, w.unk }, { 1, 4 })
  lu.assertEquals({ w:piece(1) }, { "<eos>", 4 })
  lu.assertEquals(w:encode("a nowhere b"), { 3, 4, 2 })
  lu.assertEquals(w:encode("a", { eos = true }), { 3, 1 })
  lu.assertEquals(w:pieces("c nowhere"), { "c", "<unk>" })
  lu.assertEquals(w:decode { 3, 2, 1, 5 }, "a b\nc")
  lu.assertEquals({ w:id "the", w:id "The" }, { 6 })
end

function TestWords:test_a_cut_vocabulary_counts_what_it_drops_as_unknown()
  local w = assert(words.train { texts = TEXTS, vocab = 4 })
  lu.assertEquals(w:size(), 4)
  lu.assertEquals({ w:piece(w.unk) }, { "<unk>", 3 })
  w = assert(words.train { texts = TEXTS, min_count = 3 })
  lu.assertEquals(w:size(), 3)
  lu.assertEquals({ w:piece(w.unk) }, { "<unk>", 5 })
end

function TestWords:test_a_corpus_has_a_document_for_each_text()
  local w = assert(words.train { texts = TEXTS })
  local corpus = assert(w:encode_all(TEXTS, { eos = true }))
  lu.assertEquals({ #corpus, corpus:tokens(), corpus:vocab() }, { 4, 12, 6 })
  lu.assertEquals(corpus:doc(2):tolist(), { 6, 4, 2, 1 })
  lu.assertEquals(corpus:doc(3):tolist(), { 1 })
end

function TestWords:test_a_file_brings_back_the_same_ids()
  local path = self.dir .. "/words.txt"
  local w = assert(words.train { texts = TEXTS, path = path })
  local again = assert(words.load(path))
  lu.assertEquals(again.list, w.list)
  lu.assertEquals(again.counts, w.counts)
  lu.assertEquals({ again.unk, again.eos, again.path }, { w.unk, w.eos, path })
end

function TestWords:test_bad_files_and_texts_are_named()
  local path = self.dir .. "/words.txt"
  local function fails(text, message)
    assert(sys.write_file(path, text))
    local w, why, code = words.load(path)
    lu.assertNil(w)
    lu.assertEquals(code, "format")
    lu.assertStrContains(why, message)
  end
  fails("a\t1\n", "line 1")
  fails("kooka words\t<unk>\t<eos>\na\t1\na\t2\n", "line 3")
  fails("kooka words\t<unk>\t<eos>\na\tx\n", "line 2")
  fails("kooka words\t<unk>\t<eos>\na\t1\n", "lacks <unk> or <eos>")
  lu.assertEquals(select(3, words.load(self.dir .. "/nowhere")), "io")
  local w, why = words.train { texts = { "a", "\xff" } }
  lu.assertNil(w)
  lu.assertStrContains(why, "text 2")
  lu.assertErrorMsgContains("no option 'vocabulary'", words.train, { texts = {}, vocabulary = 3 })
  w = assert(words.train { texts = TEXTS })
  lu.assertErrorMsgContains("no bos", w.encode, w, "a", { bos = true })
  lu.assertErrorMsgContains("id 7, expected 1..6", w.decode, w, { 7 })
end

-- ---- models of words

TestModels = {}

function TestModels:setUp()
  self.dir = helper.folder()
  self.words = kooka.try(words.train { texts = { "The bird , LAUGHS at rain", "rain at night , the bird", "bird ! rain" } })
end

function TestModels:tearDown() sys.remove_tree(self.dir) end

function TestModels:model(kind, more)
  local config = { kind = kind, vocab = self.words:size(), embed = 8, hidden = 10, layers = 2, seed = 3 }
  for k, v in pairs(more or {}) do config[k] = v end
  local m = model.new { network = nn[kind](config), tokenizer = self.words, config = config }
  m.network:eval()
  return m
end

function TestModels:test_a_language_model_of_words_comes_back_from_its_folder()
  local m = self:model "language_model"
  kooka.try(sys.write_file(kooka.try(sys.mkdir_p(self.dir .. "/m")) and self.dir .. "/m/tokenizer.model", "of another model"))
  kooka.try(m:save(self.dir .. "/m"))
  lu.assertTrue(sys.exists(self.dir .. "/m/words.txt"))
  lu.assertFalse(sys.exists(self.dir .. "/m/tokenizer.model"))
  local back = kooka.try(model.load(self.dir .. "/m"))
  lu.assertEquals(back.config.tokens, "words")
  lu.assertFalse(back:cleaned())
  lu.assertEquals(back:encode({ "The bird" }):doc(1):tolist(), { back.tokenizer:id "The", back.tokenizer:id "bird", back.tokenizer.eos })
  local a, b = m:generate { tokens = 9, n = 3 }, back:generate { tokens = 9, n = 3 }
  for i = 1, 3 do lu.assertEquals(a[i].text, b[i].text) end
  lu.assertAlmostEquals(m:perplexity({ "the bird laughs at rain" }, { bar = false }).without.value,
    back:perplexity({ "the bird laughs at rain" }, { bar = false }).without.value, 1e-9)
end

function TestModels:test_words_are_neither_cleaned_nor_glued_and_a_text_ends_at_its_mark()
  local m = self:model "language_model"
  for _, t in ipairs(generate.texts(m, { prompt = "The bird , LAUGHS", tokens = 30, n = 8 })) do
    lu.assertEquals(t.text:sub(1, 17), "The bird , LAUGHS")
    lu.assertNotStrContains(t.text, "<unk>")
    lu.assertNotStrContains(t.text, "\n")
    for _, id in ipairs(t.ids) do lu.assertNotEquals(id, self.words.eos) end
  end
  local t = generate.texts(m, { prompt = "bird", beams = 4, n = 1, tokens = 4 })[1]
  lu.assertEquals(t.text:match "^%S+", "bird")
end

function TestModels:test_a_prompt_is_read_behind_the_end_of_a_text()
  local m, eos = self:model "language_model", self.words.eos
  local g <close> = generate.start(m, { prompt = "bird", temperature = 0, tokens = 1 })
  local got = g:next()[1]
  local logits = m.network(kooka.tensor({ { eos }, { self.words:id "bird" } }, "int32")):narrow(1, 2, 1):reshape(-1):tolist()
  logits[self.words.unk] = -math.huge
  local best = 1
  for id, v in ipairs(logits) do best = v > logits[best] and id or best end
  lu.assertEquals(got, best ~= eos and best or 0)
end

function TestModels:test_a_classifier_of_words_says_the_same_alone_and_in_a_batch()
  local m = self:model("classifier", { classes = 2 })
  local texts = { "The bird , LAUGHS", "rain", "", "at night the bird laughs at nothing known" }
  local together = m:predict(texts, { bar = false })
  for i, text in ipairs(texts) do
    lu.assertAlmostEquals(together[i][1], m:predict_one(text)[1], 1e-5)
  end
  kooka.try(m:save(self.dir .. "/c"))
  lu.assertAlmostEquals(kooka.try(model.load(self.dir .. "/c")):predict_one(texts[1])[1], together[1][1], 1e-6)
end

function TestModels:test_cleaned_in_the_config_rules()
  local plain, cleaned = self:model "language_model", self:model("language_model", { cleaned = true })
  lu.assertFalse(plain:cleaned())
  lu.assertTrue(cleaned:cleaned())
  lu.assertNotEquals(plain:encode({ "LAUGHS" }):doc(1):tolist(), cleaned:encode({ "LAUGHS" }):doc(1):tolist())
end

function TestModels:test_a_folder_without_its_words_is_refused()
  kooka.try(self:model("language_model"):save(self.dir .. "/m"))
  assert(sys.remove(self.dir .. "/m/words.txt"))
  local m, message = model.load(self.dir .. "/m")
  lu.assertNil(m)
  lu.assertStrContains(message, "words.txt")
end

os.exit(lu.LuaUnit.run())
