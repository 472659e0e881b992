--- corpus_spec: documents of token ids, counted from 1, in memory and from a file.
local lu = require "luaunit"
local kooka = require "kooka"

TestCorpus = {}

local function small()
  local c = kooka.corpus.new(9)
  c:add {3, 1, 4}
  c:add {}
  c:add(kooka.tensor({9, 5}, "int32"))
  return c
end

function TestCorpus.test_documents_come_back_as_int32_tensors()
  local c = small()
  lu.assertEquals(#c, 3)
  lu.assertEquals(c:tokens(), 5)
  lu.assertEquals(c:vocab(), 9)
  lu.assertEquals(c:doc(1):tolist(), {3, 1, 4})
  lu.assertEquals(c:doc(3):dtype(), "int32")
  lu.assertEquals(c:length(2), 0)
  lu.assertEquals(c:lengths():tolist(), {3, 0, 2})
  lu.assertEquals(tostring(c), "corpus (3 documents, 5 tokens, vocabulary 9)")
end

function TestCorpus.test_save_and_open()
  local path = os.tmpname()
  lu.assertTrue(small():save(path))
  local c = assert(kooka.corpus.open(path))
  os.remove(path)
  lu.assertEquals(c:doc(3):tolist(), {9, 5})
  lu.assertStrContains(tostring(c), "mapped")
  lu.assertErrorMsgContains("cannot be added", c.add, c, {1})
end

function TestCorpus.test_files_that_are_none()
  local c, message, code = kooka.corpus.open("/nonexistent/x")
  lu.assertNil(c)
  lu.assertEquals(code, "io")
  local path = os.tmpname()
  local f = io.open(path, "wb")
  f:write(("x"):rep(100))
  f:close()
  c, message, code = kooka.corpus.open(path)
  os.remove(path)
  lu.assertNil(c)
  lu.assertStrContains(message, "not a corpus")
  lu.assertEquals(code, "format")
end

function TestCorpus.test_select_and_split()
  local c = small()
  local s = c:select {3, 1, 3}
  lu.assertEquals(s:lengths():tolist(), {2, 3, 2})
  local many = kooka.corpus.new(100)
  for i = 1, 50 do many:add {i} end
  local rest, part = many:split(0.2, 7)
  lu.assertEquals(#rest, 40)
  lu.assertEquals(#part, 10)
  local seen = {}
  for _, side in ipairs {rest, part} do
    for i = 1, #side do seen[side:doc(i):tolist()[1]] = true end
  end
  lu.assertEquals(#seen, 50)
  local _, again = many:split(0.2, 7)
  lu.assertEquals(again:doc(3):tolist(), part:doc(3):tolist())
end

function TestCorpus.test_misuse_raises_and_changes_nothing()
  local c = small()
  lu.assertErrorMsgContains("token 2 has id 10, expected 1..9", c.add, c, {1, 10})
  lu.assertErrorMsgContains("element 1 is no integer", c.add, c, {"x"})
  lu.assertErrorMsgContains("document 4, expected 1..3", c.doc, c, 4)
  lu.assertErrorMsgContains("vocabulary must be", kooka.corpus.new, 0)
  lu.assertEquals(#c, 3)
  c:close()
  lu.assertErrorMsgContains("closed", c.doc, c, 1)
end

os.exit(lu.LuaUnit.run())
