--- augment_command_spec: kooka augment writes training rows and what was made of them, and nothing of a held-out row.
local lu = require "luaunit"
local core = require "kooka.core"
local csv = require "kooka.data.csv"
local helper = require "cli_helper"
local sys = core.sys

local dir = helper.folder()

local function write(name, text)
  assert(sys.write_file(dir .. "/" .. name, text))
  return dir .. "/" .. name
end

local function table_of(name, with_split)
  local lines = { with_split and "id,text,humor,part" or "id,text,humor" }
  for i = 1, 30 do
    local fields = { i, ('"Hola, el perro #n%d come %d veces en casa con ""gusto"""'):format(i, i), i % 3 == 0 and "yes" or "no",
      with_split and (i <= 24 and "train" or "test") or nil }
    lines[#lines + 1] = table.concat(fields, ",")
  end
  return write(name, table.concat(lines, "\n") .. "\n")
end

local function run(arguments)
  table.insert(arguments, 1, "augment")
  return helper.run(arguments, { cwd = dir })
end

TestCommand = {}

function TestCommand.test_training_rows_and_new_ones_with_their_source_and_method()
  local file = table_of("split.csv", true)
  local thesaurus = write("th.dat", "UTF-8\nperro|1\n-|can|chucho\ncasa|1\n-|hogar\n")
  local status, out, err = run { file, "--text", "text", "--label", "humor", "--split", "part", "--out", "out.csv", "--n", "2",
    "--synonyms", thesaurus }
  lu.assertEquals(status, 0, err)
  lu.assertStrContains(err, "24 training rows, 6 rows are held out (column part)")
  lu.assertStrContains(out, "no: 16 -> 48, yes: 8 -> 24 (48 rows added)")
  local given, made = assert(csv.read(file)), assert(csv.read(dir .. "/out.csv"))
  lu.assertEquals(made.columns, { "id", "text", "humor", "part", "row", "source", "method" })
  lu.assertEquals(made.n, 72)
  for i = 1, made.n do
    local source = tonumber(made.data.source[i])
    lu.assertTrue(source <= 24)
    lu.assertEquals(made.data.humor[i], given.data.humor[source])
    lu.assertEquals(made.data.part[i], "train")
    lu.assertStrContains(made.data.text[i], ("#n%d"):format(source))
    if i <= 24 then
      lu.assertEquals({ made.data.text[i], made.data.method[i] }, { given.data.text[i], "original" })
    else
      lu.assertStrContains(made.data.method[i], "eda-")
      lu.assertNotEquals(made.data.text[i], given.data.text[source])
    end
  end
  local again = assert(sys.read_file(dir .. "/out.csv"))
  run { file, "--text", "text", "--label", "humor", "--split", "part", "--out", "out2.csv", "--n", "2", "--synonyms", thesaurus }
  lu.assertEquals(sys.read_file(dir .. "/out2.csv"), again)
end

function TestCommand.test_without_a_split_it_says_that_all_is_training_data()
  local status, out, err = run { table_of "whole.csv", "--label", "humor", "--out", "whole_out.csv", "--to", "largest" }
  lu.assertEquals(status, 0, err)
  lu.assertStrContains(err, "no --split: all 30 rows are taken as training data; none of them may be used to judge")
  lu.assertStrContains(out, "no: 20 -> 20, yes: 10 -> 20 (10 rows added)")
end

function TestCommand.test_a_file_of_translations()
  local lines = { "text,translation" }
  for i = 1, 30 do lines[i + 1] = ('"Hola, el perro #n%d come %d veces en casa con ""gusto""",Un can come #n%d a gusto'):format(i, i, i) end
  local file = write("pairs.csv", table.concat(lines, "\n") .. "\n")
  local status, out, err = run { table_of("t.csv", true), "--label", "humor", "--split", "part", "--out", "t_out.csv", "--how", "file",
    "--translations", file }
  lu.assertEquals(status, 0, err)
  lu.assertStrContains(out, "(24 rows added)")
  local made = assert(csv.read(dir .. "/t_out.csv"))
  lu.assertEquals({ made.data.text[25], made.data.method[25], made.data.source[25] }, { "Un can come #n1 a gusto", "file", "1" })
end

function TestCommand.test_bad_input_is_refused_with_what_is_wrong()
  local file = table_of("bad.csv", true)
  local function fails(want, status, ...)
    local got, _, err = run { ... }
    lu.assertEquals(got, status, err)
    lu.assertStrContains(err, want)
  end
  fails("which file?", 2, "--out", "x.csv")
  fails("--out FILE is wanted", 2, file)
  fails("--how: magic, expected eda, backtranslate or file", 2, file, "--out", "x.csv", "--how", "magic")
  fails("option --engine is deepl", 2, file, "--out", "x.csv", "--how", "backtranslate", "--engine", "deepl")
  fails("--out is the file that is read", 2, file, "--out", file)
  fails("wants --translations", 2, file, "--out", "x.csv", "--how", "file")
  fails('no column "side"', 1, file, "--label", "humor", "--out", "x.csv", "--split", "side")
  fails("column part never holds a (it holds train, test)", 1, file, "--label", "humor", "--out", "x.csv", "--split", "part", "--train", "a")
  fails("nowhere.dat", 1, file, "--label", "humor", "--out", "x.csv", "--synonyms", "nowhere.dat")
  lu.assertFalse(sys.exists(dir .. "/x.csv"))
  local none = write("empty.csv", "text,humor\nhola,yes\n,no\nadiós,yes\nbien,no\n")
  fails("line 3: a training row without a text", 1, none, "--text", "text", "--label", "humor", "--out", "x.csv")
end

-- A LibreTranslate server that refuses its second request. (One that answers 500 is asked six times, with waits: backtranslate_spec.)
function TestCommand.test_a_server_that_refuses_is_named_and_the_same_call_goes_on()
  local url, child = require("loopback").start [[
    local n = 0
    return function(request)
      n = n + 1
      local body = json.decode(request.body)
      if n == 2 then return { status = 403, body = '{"error":"enough for today"}' } end
      local out = {}
      for i, text in ipairs(body.q) do out[i] = body.source == "es" and text .. " there" or text .. " otra vez" end
      return { status = 200, body = json.encode { translatedText = json.array(out) } }
    end]]
  local call = { table_of("b.csv", true), "--label", "humor", "--split", "part", "--out", "b_out.csv", "--how", "backtranslate",
    "--engine", url }
  local status, _, err = run(table.move(call, 1, #call, 1, {}))
  lu.assertEquals(status, 1)
  lu.assertStrContains(err, "back-translation es -> en: 20 of 24 texts are translated and kept in b_out.csv.translations.db")
  lu.assertStrContains(err, "403: the server wants another API key: enough for today")
  local out
  status, out, err = run(call)
  child:kill()
  lu.assertEquals(status, 0, err)
  lu.assertStrContains(out, "(24 rows added)")
end

os.exit(lu.LuaUnit.run())
