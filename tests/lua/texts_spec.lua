--- texts_spec: unlabelled texts come out of every kind of file that people have, or the file says why not.
local lu = require "luaunit"
local core = require "kooka.core"
local texts = require "kooka.data.texts"

-- A folder with the given files: {name = content}.
local function folder(files)
  local dir = os.tmpname()
  os.remove(dir)
  assert(core.sys.mkdir_p(dir))
  for name, content in pairs(files) do assert(core.sys.write_file(dir .. "/" .. name, content)) end
  return setmetatable({ path = dir }, { __close = function()
    for _, name in ipairs(core.sys.list(dir)) do core.sys.remove(dir .. "/" .. name) end
    core.sys.remove(dir)
  end })
end

TestTexts = {}

function TestTexts.test_each_kind_of_file()
  local dir <close> = folder {
    ["a.csv"] = 'id,text\n1,"uno, dos"\n2,tres\n',
    ["b.csv"] = 'id;text\n1;"cuatro; cinco" \n2; "seis"\n',
    ["c.csv"] = '"1";"siete <U+1F923>"\n"2";"ocho"\n',
    ["d.tsv"] = "id\ttext\n1\tnueve\\ndiez\n",
    ["e.tsv"] = "id\ttext\n1\tonce\\o doce\n",
    ["f.jsonl"] = '{"text":"trece","id":1}\n{"text":"catorce"}\n',
    ["g.txt"] = "quince\n\ndiez y seis\n",
    ["h.dat"] = "not read from a folder\n",
  }
  local list, told = texts.read(dir.path)
  lu.assertEquals(list, { "uno, dos", "tres", "cuatro; cinco", "seis", "siete \u{1F923}", "ocho", "nueve\ndiez", "once\\o doce",
    "trece", "catorce", "quince", "diez y seis" })
  lu.assertEquals(#told, 7)
  lu.assertEquals(told[7], { path = dir.path .. "/g.txt", n = 2 })
end

function TestTexts.test_several_paths_and_a_column()
  local dir <close> = folder { ["a.csv"] = "id,comment\n1,uno\n", ["b.csv"] = "comment,x\ndos,2\n" }
  lu.assertEquals((texts.read(dir.path .. "/b.csv, " .. dir.path .. "/a.csv", { column = "comment" })), { "dos", "uno" })
end

function TestTexts.test_gzip_is_read_and_a_short_one_refused()
  local dir <close> = folder { ["a.txt"] = ("una linea que se repite\n"):rep(2000) }
  local child <close> = core.sys.spawn({ "gzip", dir.path .. "/a.txt" }, { stdin = "null", stdout = "null", stderr = "null" })
  lu.skipIf(not child or child:wait(10) ~= 0, "no gzip here")
  lu.assertEquals(#texts.read(dir.path), 2000)
  local whole = assert(core.sys.read_file(dir.path .. "/a.txt.gz"))
  assert(core.sys.write_file(dir.path .. "/a.txt.gz", whole:sub(1, #whole - 12)))
  local list, message, code = texts.read(dir.path)
  lu.assertNil(list)
  lu.assertStrContains(message, "a.txt.gz: gzip: the file is cut short")
  lu.assertEquals(code, "format")
end

function TestTexts.test_what_is_missing_is_named()
  local dir <close> = folder { ["a.csv"] = "user,joke\n1,2\n", ["b.jsonl"] = '{"x":1}\n' }
  local _, message = texts.read(dir.path .. "/a.csv")
  lu.assertStrContains(message, "a.csv: no column text, tweet, full_text, content, body; the file has user, joke")
  _, message = texts.read(dir.path .. "/b.jsonl")
  lu.assertStrContains(message, "b.jsonl: record 1 has no text")
  _, message = texts.read(dir.path .. "/none")
  lu.assertStrContains(message, "none")
end

os.exit(lu.LuaUnit.run())
