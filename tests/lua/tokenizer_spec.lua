--- tokenizer_spec: training in a child, encoding and back, damaged models.
local lu = require "luaunit"
local tokenizer = require "kooka.text.tokenizer"
local rules = require "kooka.text.rules"
local core = require "kooka.core"
local sys = core.sys

-- Sentences of a small grammar of our own.
local function sentences(n, seed)
  local who = { "el pato", "la vecina", "mi jefe", "un gato", "el ñandú", "la profe" }
  local what = { "dice", "canta", "no entiende", "se ríe de", "pregunta por", "sueña con" }
  local thing = { "la siesta", "el wifi", "los lunes", "un chiste malo", "😂😂😂😂😂", "la NASA", "https://t.co/x", "@ana" }
  local out, state = {}, seed
  local function pick(list)
    state = (state * 1103515245 + 12345) % 2147483648
    return list[state // 65536 % #list + 1]
  end
  for i = 1, n do out[i] = rules.clean(("%s %s %s"):format(pick(who), pick(what), pick(thing))) end
  return out
end

local dir, tok, texts

TestTokenizer = {}

function TestTokenizer:setUp()
  if tok then return end
  dir = os.tmpname()
  os.remove(dir)
  assert(sys.mkdir_p(dir))
  texts = sentences(400, 3)
  tok = assert(tokenizer.train { texts = texts, path = dir .. "/small.model", vocab = 200 })
end

local function read(path)
  local f = assert(io.open(path, "rb"))
  local bytes = f:read("a")
  f:close()
  return bytes
end

local function files()
  local names = {}
  for name in io.popen("ls -a '" .. dir .. "'"):lines() do names[name] = true end
  return names
end

function TestTokenizer:test_ids_of_special_pieces_stand_first()
  lu.assertEquals({ tok.unk, tok.pad, tok.bos, tok.eos }, { 1, 2, 3, 4 })
  lu.assertEquals((tok:piece(1)), "xxunk")
  for i, mark in ipairs(tokenizer.marks) do lu.assertEquals(tok:id(mark), 4 + i) end
  lu.assertNil(tok:id("nopiece"))
  lu.assertTrue(tok:size() > 60 and tok:size() <= 200)
  lu.assertStrContains(tostring(tok), "small.model")
end

function TestTokenizer:test_decoding_gives_the_text_back()
  for i = 1, 50 do lu.assertEquals(tok:decode(tok:encode(texts[i])), texts[i]) end
  local ids = tok:encode(texts[1], { bos = true, eos = true })
  lu.assertEquals({ ids[1], ids[#ids] }, { tok.bos, tok.eos })
  lu.assertEquals(tok:decode(ids), texts[1])
  lu.assertEquals(tok:encode(""), {})
  lu.assertEquals(tok:decode {}, "")
end

function TestTokenizer:test_each_mark_is_one_piece_and_no_text_makes_the_reserved_ones()
  lu.assertEquals(tok:pieces("xxup xxnl xxurl"), { "▁xxup", "▁xxnl", "▁xxurl" })
  for _, id in ipairs(tok:encode("xxpad xxbos xxeos <s> </s>")) do lu.assertFalse(id == tok.pad or id == tok.bos or id == tok.eos) end
end

function TestTokenizer:test_encode_all_equals_encode_with_any_number_of_threads()
  local threads = sys.threads()
  local many = sentences(300, 9)
  for _, n in ipairs { 1, 3 } do
    sys.threads(n)
    local corpus = assert(tok:encode_all(many, { bos = true }))
    lu.assertEquals(#corpus, 300)
    lu.assertEquals(corpus:vocab(), tok:size())
    local total = 0
    for i, text in ipairs(many) do
      local want = tok:encode(text, { bos = true })
      lu.assertEquals(corpus:doc(i):tolist(), want)
      total = total + #want
    end
    lu.assertEquals(corpus:tokens(), total)
  end
  sys.threads(threads)
  lu.assertEquals(#tok:encode_all({}), 0)
end

function TestTokenizer:test_the_same_texts_give_the_same_model()
  assert(tokenizer.train { texts = texts, path = dir .. "/again.model", vocab = 200 })
  lu.assertTrue(read(dir .. "/again.model") == read(dir .. "/small.model"))
end

function TestTokenizer:test_unigram_from_a_file_with_bytes_for_what_is_rare()
  local path = dir .. "/texts.txt"
  assert(sys.write_file(path, table.concat(texts, "\n")))
  local uni = assert(tokenizer.train { file = path, path = dir .. "/uni.model", vocab = 400, type = "unigram", byte_fallback = true })
  lu.assertEquals(uni:decode(uni:encode("漢 el pato")), "漢 el pato")
  lu.assertEquals(uni.eos, 4)
  lu.assertTrue(files()["texts.txt"])
end

function TestTokenizer:test_sampling_differs_by_seed_and_decodes_to_the_same_text()
  local seen, n = {}, 0
  for seed = 1, 12 do
    local ids = tok:encode(texts[2], { alpha = .4, seed = seed })
    lu.assertEquals(ids, tok:encode(texts[2], { alpha = .4, seed = seed }))
    lu.assertEquals(tok:decode(ids), texts[2])
    local key = table.concat(ids, " ")
    if not seen[key] then seen[key], n = true, n + 1 end
  end
  lu.assertTrue(n > 3)
end

function TestTokenizer:test_long_text_is_learned_from_and_encoded()
  local long = ("el pato canta "):rep(2000)
  local t = assert(tokenizer.train { texts = { long }, path = dir .. "/long.model", vocab = 60 })
  lu.assertEquals(t:decode(t:encode(long:sub(1, -2))), long:sub(1, -2))
end

function TestTokenizer:test_wrong_options_raise_with_the_list()
  lu.assertErrorMsgContains("no option 'vocb'", tokenizer.train, { texts = texts, path = "x", vocb = 3 })
  lu.assertErrorMsgContains("option vocab is 3", tokenizer.train, { texts = texts, path = "x", vocab = 3 })
  lu.assertErrorMsgContains("option type is word", tokenizer.train, { texts = texts, path = "x", type = "word" })
  lu.assertErrorMsgContains("either texts", tokenizer.train, { path = "x" })
  lu.assertErrorMsgContains("no text to learn from", tokenizer.train, { texts = { "", " " }, path = dir .. "/x.model" })
  lu.assertErrorMsgContains("no option 'boss'", tok.encode, tok, "a", { boss = true })
  lu.assertErrorMsgContains("the model has ids 1 to", tok.decode, tok, { 1, 99999 })
  lu.assertErrorMsgContains("the model has ids 1 to", tok.decode, tok, { 0 })
end

function TestTokenizer:test_the_world_answers_nil_message_code_and_leaves_nothing()
  local t, message, code = tokenizer.train { texts = texts, path = dir .. "/no/such/x.model" }
  lu.assertNil(t)
  lu.assertEquals(code, "io")
  lu.assertEquals(select(3, tokenizer.train { file = dir .. "/none.txt", path = dir .. "/x.model" }), "io")
  t, message, code = tokenizer.train { texts = { "a", "b\xff" }, path = dir .. "/x.model" }
  lu.assertNil(t)
  lu.assertStrContains(message, "text 2")
  lu.assertEquals(code, "format")
  -- the trainer itself refuses: more characters than pieces
  t, message, code = tokenizer.train { texts = texts, path = dir .. "/x.model", vocab = 16 }
  lu.assertNil(t)
  lu.assertEquals(code, "format")
  lu.assertStrContains(message:lower(), "vocab")
  for name in pairs(files()) do lu.assertNil(name:match("^x%.model")) end
  lu.assertEquals(select(3, tokenizer.load(dir .. "/none.model")), "io")
  lu.assertEquals(select(3, tok:encode("a\xff")), "format")
  lu.assertStrContains(select(2, tok:encode_all { "a", "\xff" }), "text 2")
end

function TestTokenizer:test_training_ends_when_asked_to_stop()
  sys.stop()
  local ok, message = pcall(tokenizer.train, { texts = texts, path = dir .. "/stopped.model", vocab = 200 })
  sys.stop_clear()
  lu.assertFalse(ok)
  lu.assertStrContains(message, "interrupted")
  for name in pairs(files()) do lu.assertNil(name:match("^stopped%.model%.")) end
end

function TestTokenizer:test_the_trainer_dies_with_its_parent()
  -- a trainer that waits for its input for ever; its parent's end is that its stdin closes
  lu.assertTrue(os.execute("mkfifo '" .. dir .. "/fifo'"))
  local code = ([[require("kooka.core").spm.train_here(%q, %q, {"vocab_size", "100"})]]):format(dir .. "/fifo", dir .. "/orphan.model")
  local child = assert(sys.spawn({ sys.exe(), "-e", code }, { stdin = "pipe", stdout = "null", stderr = "null",
    env = { LUA_PATH_5_4 = package.path, LUA_CPATH_5_4 = package.cpath } }))
  lu.assertEquals(select(3, child:wait(.2)), "timeout")
  child:close_stdin()
  lu.assertEquals(child:wait(20), 128 + 9)
end

-- ---- damaged models

local function try(bytes)
  local model, message, code = core.spm.parse(bytes, "damaged")
  if not model then
    lu.assertEquals(code, "format")
    lu.assertStrContains(message, "damaged: ")
    return false
  end
  for _, text in ipairs { "el pato canta 😂 xxup ﬁ ½ é 漢", "\u{fdfa}\u{1f1ea}", "" } do
    local ids = model:encode(text)
    if ids then model:decode(ids) end
  end
  return true
end

function TestTokenizer:test_every_truncation_of_a_model_is_refused_or_whole()
  local bytes = read(dir .. "/small.model")
  local accepted = 0
  for n = 0, #bytes - 1, 1 + #bytes // 700 do
    if try(bytes:sub(1, n)) then accepted = accepted + 1 end
  end
  for n = #bytes - 300, #bytes - 1 do try(bytes:sub(1, n)) end
  lu.assertTrue(accepted < 10)
  lu.assertTrue(try(bytes))
end

function TestTokenizer:test_flipped_bits_never_crash()
  local bytes = read(dir .. "/small.model")
  math.randomseed(11)
  local refused = 0
  for round = 1, 1500 do
    -- half of them in the pieces and settings, which are a small part of the file
    local at = math.random(round % 2 == 0 and #bytes or math.min(#bytes, 4000))
    if round % 4 == 1 then at = #bytes - at + 1 end
    local flipped = bytes:sub(1, at - 1) .. string.char(bytes:byte(at) ~ (1 << math.random(0, 7))) .. bytes:sub(at + 1)
    if not try(flipped) then refused = refused + 1 end
  end
  lu.assertTrue(refused > 100)
end

function TestTokenizer:test_other_files_are_no_models()
  for _, bytes in ipairs { "", "hello", ("\0"):rep(1000), "\x0a\xff\xff\xff\xff\x0f", "\x12\x00", read(arg[0]), ("\x0a\x02\x0a\x00"):rep(5) } do
    lu.assertFalse(try(bytes))
  end
end

function TestTokenizer:test_cleaned_real_tweets_come_back()
  local f = io.open("../shared/data/tweeteval/irony/train_text.txt")
  lu.skipIf(not f, "no ../shared/data")
  local tweets = {}
  for line in f:lines() do tweets[#tweets + 1] = rules.clean(line) end
  f:close()
  local t = assert(tokenizer.train { texts = tweets, path = dir .. "/real.model", vocab = 4000, coverage = 1 })
  local same, corpus = 0, assert(t:encode_all(tweets))
  for i, text in ipairs(tweets) do
    -- encode_all remembers words; encode asks the library for the whole text
    lu.assertEquals(corpus:doc(i):tolist(), t:encode(text))
    if t:decode(t:encode(text)) == core.unicode.nfkc(text) then same = same + 1 end
  end
  print(("# %d of %d tweets come back as they were, up to NFKC"):format(same, #tweets))
  lu.assertTrue(same > .97 * #tweets)
end

local status = lu.LuaUnit.run()
if dir then os.execute("rm -rf '" .. dir .. "'") end
os.exit(status)
