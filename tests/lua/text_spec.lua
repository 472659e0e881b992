--- text_spec: kooka.unicode, by hand and against Unicode's own test files.
local lu = require "luaunit"
local unicode = require("kooka.core").unicode

local DATA = "../shared/data/conformance/unicode/"

TestUnicode = {}

function TestUnicode:test_valid_names_the_first_bad_byte()
  lu.assertTrue(unicode.valid("año 😂"))
  local ok, message, code = unicode.valid("año \xff")
  lu.assertNil(ok)
  lu.assertStrContains(message, "byte 6 is not UTF-8 (0xFF)")
  lu.assertEquals(code, "format")
  lu.assertEquals(select(3, unicode.nfc("\xed\xa0\x80")), "format")
end

function TestUnicode:test_forms()
  lu.assertEquals(unicode.nfc("e\u{301}"), "é")
  lu.assertEquals(unicode.nfkc("ﬁ ２"), "fi 2")
  lu.assertEquals(unicode.lower("ÑANDÚ İ"), "ñandú i")
  lu.assertEquals(unicode.fold("STRASSE"), unicode.fold("straße"))
  lu.assertEquals(unicode.strip_marks("El niño, el pingüino"), "El nino, el pinguino")
  lu.assertEquals(unicode.lower(""), "")
end

function TestUnicode:test_graphemes_and_width_are_what_people_see()
  lu.assertEquals(unicode.graphemes("aé👨‍👩‍👧🇪🇸"), { "a", "é", "👨‍👩‍👧", "🇪🇸" })
  lu.assertEquals(unicode.width("aé👨‍👩‍👧🇪🇸"), 6)
  lu.assertEquals(unicode.graphemes(""), {})
end

local function decode(field)
  local out = {}
  for hex in field:gmatch("%x+") do
    local cp = tonumber(hex, 16)
    if cp >= 0xD800 and cp <= 0xDFFF then return nil end
    out[#out + 1] = utf8.char(cp)
  end
  return table.concat(out)
end

-- The cases of a file that fail, and how many there are.
local function normalization(path)
  local bad, n = 0, 0
  for line in io.lines(path) do
    local c1, c2, c3, c4, c5 = line:match("^([%x ]+);([%x ]+);([%x ]+);([%x ]+);([%x ]+);")
    if c1 then
      n = n + 1
      c1, c2, c3, c4, c5 = decode(c1), decode(c2), decode(c3), decode(c4), decode(c5)
      local good = unicode.nfc(c1) == c2 and unicode.nfc(c2) == c2 and unicode.nfc(c3) == c2 and unicode.nfkc(c1) == c4
        and unicode.nfkc(c5) == c4 and unicode.nfc(c4) == c4
      if not good then bad = bad + 1 end
    end
  end
  return bad, n
end

function TestUnicode:test_normalization_file_of_unicode_6_passes_whole()
  local f = io.open(DATA .. "v6/NormalizationTest.txt")
  lu.skipIf(not f, "no ../shared/data")
  f:close()
  local bad, n = normalization(DATA .. "v6/NormalizationTest.txt")
  lu.assertTrue(n > 17000)
  lu.assertEquals(bad, 0)
end

function TestUnicode:test_normalization_file_of_unicode_17_fails_only_for_newer_characters()
  local f = io.open(DATA .. "NormalizationTest.txt")
  lu.skipIf(not f, "no ../shared/data")
  f:close()
  local bad, n = normalization(DATA .. "NormalizationTest.txt")
  -- with utf8proc 2.8 (Unicode 15) 199 cases differ, each with a character that Unicode 14 does not have
  print(("# NormalizationTest 17: %d of %d differ (characters newer than the library's tables)"):format(bad, n))
  lu.assertTrue(n > 19000 and bad <= 199)
end

function TestUnicode:test_grapheme_break_file()
  local f = io.open(DATA .. "GraphemeBreakTest.txt")
  lu.skipIf(not f, "no ../shared/data")
  local bad, n = 0, 0
  for line in f:lines() do
    local case = line:match("^(÷[^#]*)")
    if case then
      local want, ok = {}, true
      for part in case:gmatch("([%x%s×]+)") do
        if part:find("%x") then
          local text = decode((part:gsub("×", " ")))
          ok = ok and text ~= nil
          want[#want + 1] = text
        end
      end
      if ok then
        n = n + 1
        if table.concat(unicode.graphemes(table.concat(want)), "|") ~= table.concat(want, "|") then bad = bad + 1 end
      end
    end
  end
  f:close()
  -- with utf8proc 2.8: 16 cases of rule GB9c (Indic conjuncts, Unicode 15.1) and U+2701
  print(("# GraphemeBreakTest 17: %d of %d differ (rules newer than the library's)"):format(bad, n))
  lu.assertTrue(n > 700 and bad <= 17)
end

os.exit(lu.LuaUnit.run())
