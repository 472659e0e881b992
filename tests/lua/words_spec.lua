--- words_spec: a vocabulary of whole words: order, unknown words, files, and the calls it shares with the tokenizer.
local lu = require "luaunit"
local helper = require "cli_helper"
local kooka = require "kooka"
local sys = kooka.sys
local words = require "kooka.text.words"

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

os.exit(lu.LuaUnit.run())
