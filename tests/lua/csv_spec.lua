--- csv_spec: delimited text is read exactly or refused with its place, and what is written reads back.
local lu = require "luaunit"
local csv = require "kooka.data.csv"
local jsonl = require "kooka.data.jsonl"
local core = require "kooka.core"

local function file(text)
  local path = os.tmpname()
  local f = assert(io.open(path, "wb"))
  f:write(text)
  f:close()
  return path
end

local function read(text, options)
  local path = file(text)
  local t, message, code = csv.read(path, options)
  os.remove(path)
  return t, message, code
end

local function refused(text, options, wanted)
  local t, message, code = read(text, options)
  lu.assertNil(t)
  lu.assertStrContains(message, wanted)
  lu.assertEquals(code, "format")
end

TestRead = {}

function TestRead.test_spaces_around_quotes_are_passed_over()
  lu.assertEquals(read('a,b\n1, "x, y" \n').b, { "x, y" })
end

function TestRead.test_quotes_newlines_and_doubled_quotes_are_taken_off()
  local t = read('id,text\n1,"a\nb"\n2,"say ""hi"", he said"\n3,\n')
  lu.assertEquals(t.columns, {"id", "text"})
  lu.assertEquals(t.n, 3)
  lu.assertEquals(t.text, {"a\nb", 'say "hi", he said', ""})
end

function TestRead.test_byte_order_mark_crlf_and_a_missing_last_newline()
  local t = read("\xEF\xBB\xBFid,text\r\n1,a\r\n2,\"b\r\nc\"\r\n\r\n3,d")
  lu.assertEquals(t.columns, {"id", "text"})
  lu.assertEquals(t.text, {"a", "b\r\nc", "d"})
end

function TestRead.test_a_lone_carriage_return_stays_in_the_field()
  lu.assertEquals(read("id,text\n1,a\rb\n").text, {"a\rb"})
end

function TestRead.test_tabs_with_escapes()
  local t = read('u\ttext\na\tx\\ny\\tz\\\\n "q"\n', {delimiter = "\t", escapes = true})
  lu.assertEquals(t.text, {'x\ny\tz\\n "q"'})
  refused("u\ttext\na\tx\\q\n", {delimiter = "\t", escapes = true}, "row 1 (line 2), column 2: a backslash")
end

function TestRead.test_only_the_wanted_columns_in_the_wanted_order()
  local t = read("a,b,c\n1,2,3\n", {columns = {"c", "a"}})
  lu.assertEquals(t.columns, {"c", "a"})
  lu.assertEquals(t.c, {"3"})
  lu.assertNil(t.b)
end

function TestRead.test_a_column_named_n_stays_reachable()
  local t = read("n,b\n1,2\n")
  lu.assertEquals(t.n, 1)
  lu.assertEquals(t.data.n, {"1"})
end

function TestRead.test_without_a_header()
  lu.assertEquals(read("1,2\n3,4\n", {header = false}).c2, {"2", "4"})
  lu.assertEquals(read("1,2\n3,4\n", {header = false, columns = {"x", "y"}, limit = 1}).x, {"1"})
  refused("1,2\n", {header = false, columns = {"x"}}, "2 fields, expected 1")
  lu.assertEquals(read("", {header = false}).n, 0)
end

function TestRead.test_limit()
  lu.assertEquals(read("a\n1\n2\n3\n", {limit = 2}).a, {"1", "2"})
end

function TestRead.test_one_column_keeps_its_empty_lines()
  lu.assertEquals(read("a\n1\n\n2\n").a, {"1", "", "2"})
end

function TestRead.test_fields_longer_than_the_reading_block()
  local long = ("ñ"):rep(100000)
  local t = read("a,b\n" .. long .. ',"' .. long .. '""x"\n1,2\n')
  lu.assertEquals(t.n, 2)
  lu.assertTrue(t.a[1] == long and t.b[1] == long .. '"x')
end

function TestRead.test_refusals_name_the_place()
  refused("a,b\n1,2\n1,2,3\n", nil, "row 2 (line 3): 3 fields, expected 2")
  refused('a,b\n"x\ny",1\n1\n', nil, "row 2 (line 4): 1 fields, expected 2")
  refused('a,b\n1,"x\n', nil, "row 1 (line 2), column 2: the quote opened on line 2 is never closed")
  refused('a,b\n1,"x"y\n', nil, "column 2: 0x79 'y' behind a closing quote")
  refused('a,b\n1,x"y"\n', nil, "column 2: a quote inside a field")
  refused("a,b\n1,x\xFFy\n", nil, "row 1 (line 2), column 2: byte 2 of the field is 0xFF: not UTF-8")
  refused("a,b\n1,x\xED\xA0\x80\n", nil, "not UTF-8")
  refused("a,b\n1,x\xC0\x80\n", nil, "not UTF-8")
  refused("a,b\n1,x\xF4\x90\x80\x80\n", nil, "not UTF-8")
  refused("a,b\n1,x\xE2\x82", nil, "not UTF-8")
  refused("a,b\n1,x\0y\n", nil, "a zero byte")
  refused("\xFF\xFEa\0,\0", nil, "UTF-16")
  refused("", nil, "it is empty")
  refused("a,a\n", nil, "two columns are named")
  refused("a,b\n1,2\n", {columns = {"text"}}, 'no column "text", the file has a, b')
  refused("a,b\n1," .. ("x"):rep(2000) .. "\n", {max_row = 1000}, "more than 1000 bytes in one row")
end

function TestRead.test_every_prefix_of_a_file_is_read_or_refused()
  local text = 'id,text\r\n1,"a ""b"" ñ\nc"\r\n2,x\\\n'
  for k = 0, #text do
    local t, message, code = read(text:sub(1, k))
    lu.assertTrue(t ~= nil or (type(message) == "string" and code == "format"))
  end
end

function TestRead.test_a_missing_file_is_an_answer()
  local t, message, code = csv.read("/nonexistent/a.csv")
  lu.assertNil(t)
  lu.assertStrContains(message, "/nonexistent/a.csv")
  lu.assertEquals(code, "io")
end

function TestRead.test_misuse_raises()
  lu.assertErrorMsgContains("no option 'delimeter'", csv.read, "x", {delimeter = ";"})
  lu.assertErrorMsgContains("one ASCII character", csv.read, "x", {delimiter = "::"})
end

function TestRead.test_rows_one_at_a_time()
  local path, seen = file("a,b\n1,x\n2,y\n"), {}
  for row, number in csv.rows(path) do seen[number] = row.a .. row.b end
  os.remove(path)
  lu.assertEquals(seen, {"1x", "2y"})
end

TestNumbers = {}

function TestNumbers.test_values_null_and_the_place_of_a_bad_one()
  local t = read("a\n1\n2.5\nNULL\n")
  lu.assertEquals(csv.numbers(t, "a", {null = "NULL"}), {1, 2.5, false})
  local v, message, code = csv.numbers(t, "a")
  lu.assertNil(v)
  lu.assertStrContains(message, 'row 3, column "a": expected a number, got "NULL"')
  lu.assertEquals(code, "format")
  lu.assertStrContains(select(2, csv.numbers(t, "a", {integer = true})), "row 2")
  lu.assertStrContains(select(2, csv.numbers(read("a\n7\n"), "a", {max = 5})), "a number of at most 5")
  lu.assertNil(csv.numbers(read("a\n0x10\n"), "a"))
end

TestWrite = {}

function TestWrite.test_what_is_written_reads_back_equal()
  local path = os.tmpname()
  local nasty = 'a "b", c\nd\r\n; ñ'
  lu.assertTrue(csv.write(path, {"id", "text", "p"}, {{"1", nasty, 0.1}, {id = "2", text = "", p = 1 / 3}, {3, "x", true}}))
  local t = csv.read(path)
  os.remove(path)
  lu.assertEquals(t.id, {"1", "2", "3"})
  lu.assertEquals(t.text, {nasty, "", "x"})
  lu.assertEquals(tonumber(t.p[1]), 0.1)
  lu.assertEquals(tonumber(t.p[2]), 1 / 3)
  lu.assertEquals(t.p[3], "1")
end

function TestWrite.test_one_column_of_empty_text_keeps_its_rows()
  local path = os.tmpname()
  csv.write(path, {"a"}, {{""}, {""}})
  local t = csv.read(path)
  os.remove(path)
  lu.assertEquals(t.a, {"", ""})
end

function TestWrite.test_values_that_do_not_belong_raise_and_write_nothing()
  local path = "/tmp/kk-csv-never-" .. core.sys.pid()
  lu.assertErrorMsgContains('row 1, column "b": expected a string or a number, got nil', csv.write, path, {"a", "b"}, {{1}})
  lu.assertErrorMsgContains("no finite number", csv.write, path, {"a"}, {{0 / 0}})
  lu.assertNil(io.open(path))
end

function TestWrite.test_an_unwritable_place_is_an_answer()
  local ok, message, code = csv.write("/nonexistent/x.csv", {"a"}, {})
  lu.assertNil(ok)
  lu.assertStrContains(message, "/nonexistent/x.csv")
  lu.assertEquals(code, "io")
end

TestJsonl = {}

function TestJsonl.test_values_come_back_and_errors_name_the_line()
  if not core.json then lu.skip("no kooka.json") end
  local path = os.tmpname()
  lu.assertTrue(jsonl.write(path, {{a = 1}, {a = "x\ny"}}))
  local t = jsonl.read(path)
  lu.assertEquals(t[2].a, "x\ny")
  lu.assertEquals(#t, 2)
  os.remove(path)
  path = file('{"a":1}\n\n{"a":\n')
  local v, message, code = jsonl.read(path)
  os.remove(path)
  lu.assertNil(v)
  lu.assertStrContains(message, "line 3")
  lu.assertEquals(code, "format")
end

TestRealFiles = {}

local data = (os.getenv("KK_DATA") or "../shared/data") .. "/"

local function real(path, options)
  local f = io.open(data .. path)
  if not f then lu.skip("no " .. data .. path) end
  f:close()
  return assert(csv.read(data .. path, options))
end

function TestRealFiles.test_haha_2019_has_its_24000_tweets_and_9253_humorous_ones()
  local t = real("haha2019/haha_2019_train.csv", {columns = {"id", "text", "is_humor"}})
  lu.assertEquals(t.n, 24000)
  local sum = 0
  for _, v in ipairs(assert(csv.numbers(t, "is_humor", {integer = true, min = 0, max = 1}))) do sum = sum + v end
  lu.assertEquals(sum, 9253)
end

function TestRealFiles.test_votes_have_their_30019_rows()
  local t = real("humor_votes_es/votes.tsv", {delimiter = "\t", escapes = true})
  lu.assertEquals(t.n, 30019)
  local votes = 0
  for _, v in ipairs(t.vote) do if v:find("^[x1-5]$") then votes = votes + 1 end end
  lu.assertEquals(votes, 24517)
end

function TestRealFiles.test_jester_and_md_agreement_have_their_rows()
  lu.assertEquals(real("jester_en/jokes.csv").n, 100)
  lu.assertEquals(real("jester_en/ratings.csv", {columns = {"rating"}}).n, 290029)
  lu.assertEquals(real("md_agreement_en/labels_train_dev.tsv", {delimiter = "\t", escapes = true}).n, 38480)
end

os.exit(lu.LuaUnit.run())
