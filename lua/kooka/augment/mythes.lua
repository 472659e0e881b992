--- mythes: thesauri in MyThes format (OpenOffice, LibreOffice, Firefox): th_es_v2.dat and its like; the index is not needed.
local core = require "kooka.core"
local check_options = require "kooka.options"

local mythes = {}

-- Code points of the bytes in which an encoding differs from Latin-1.
local LATIN1 = {}
local LATIN9 = { [0xA4] = 0x20AC, [0xA6] = 0x160, [0xA8] = 0x161, [0xB4] = 0x17D, [0xB8] = 0x17E, [0xBC] = 0x152,
  [0xBD] = 0x153, [0xBE] = 0x178 }
local CP1252 = { [0x80] = 0x20AC, [0x82] = 0x201A, [0x83] = 0x192, [0x84] = 0x201E, [0x85] = 0x2026, [0x86] = 0x2020, [0x87] = 0x2021,
  [0x88] = 0x2C6, [0x89] = 0x2030, [0x8A] = 0x160, [0x8B] = 0x2039, [0x8C] = 0x152, [0x8E] = 0x17D, [0x91] = 0x2018, [0x92] = 0x2019,
  [0x93] = 0x201C, [0x94] = 0x201D, [0x95] = 0x2022, [0x96] = 0x2013, [0x97] = 0x2014, [0x98] = 0x2DC, [0x99] = 0x2122, [0x9A] = 0x161,
  [0x9B] = 0x203A, [0x9C] = 0x153, [0x9E] = 0x17E, [0x9F] = 0x178 }
local ENCODINGS = { utf8 = false, iso88591 = LATIN1, latin1 = LATIN1, iso885915 = LATIN9, latin9 = LATIN9, windows1252 = CP1252,
  cp1252 = CP1252, microsoftcp1252 = CP1252, usascii = LATIN1, ascii = LATIN1 }

-- A function from the file's bytes to UTF-8, or nil.
local function decoder(name)
  local map = ENCODINGS[name:lower():gsub("[^%w]", "")]
  if map == nil then return nil end
  if not map then return function(s) return s end end
  return function(s)
    return (s:gsub("[\x80-\xFF]", function(b) return utf8.char(map[b:byte()] or b:byte()) end))
  end
end

-- A synonym without the notes that LibreOffice's files have: "dog (generic term)"; nil for antonyms and for related
-- terms.
local function plain(synonym)
  local note = synonym:match("%((.-)%)")
  if note and (note:find("antonym", 1, true) or note:find("related", 1, true) or note:find("antónimo", 1, true)) then return nil end
  synonym = synonym:gsub("%s*%b()", ""):match("^%s*(.-)%s*$")
  return synonym ~= "" and synonym or nil
end

local Thesaurus = {}
Thesaurus.__index = Thesaurus
Thesaurus.__name = "kooka.thesaurus"

function Thesaurus.__tostring(t) return ("thesaurus %s: %d words"):format(t.path, t.n) end

--- t:of(word) -> list of synonyms
-- In the order of the file, over all meanings, without the word itself; empty where it is not known. word: in lower
-- case.
function Thesaurus:of(word)
  local entry = self.entries[word]
  if not entry then return {} end
  local out, seen = {}, { [word] = true }
  for line in entry:gmatch("[^\n]+") do
    local first = true
    for field in (line .. "|"):gmatch("([^|]*)|") do
      local synonym = not first and plain(field)
      first = false
      if synonym and not seen[synonym] and not seen[assert(core.unicode.lower(synonym))] then
        seen[synonym] = true
        if not (self.single and synonym:find("%s")) then out[#out + 1] = synonym end
      end
    end
  end
  return out
end

--- mythes.load(path[, {single = true}]) -> thesaurus | nil, message, code
-- The first line names the encoding (UTF-8, ISO8859-1, ISO8859-15, windows-1252). Then of each entry `word|meanings`
-- and as many lines `(part of speech)|synonym|synonym ...`. single: answer only synonyms of one word. A line that is
-- none of these is an error which names it.
function mythes.load(path, options)
  check_options("mythes.load", options, { single = true })
  local text, message, code = core.sys.read_file(path)
  if not text then return nil, message, code end
  local name, rest = text:match("^\xEF?\xBB?\xBF?([^\r\n]*)\r?\n()")
  local to_utf8 = name and decoder(name)
  if not to_utf8 then
    return nil, ("%s: line 1: encoding '%s', expected UTF-8, ISO8859-1, ISO8859-15 or windows-1252"):format(path, tostring(name):sub(1, 40)),
      "format"
  end
  local entries, n, line, left, word, lines = {}, 0, 1, 0, nil, nil
  for raw in text:sub(rest):gmatch("([^\n]*)\n?") do
    line = line + 1
    raw = to_utf8((raw:gsub("\r$", "")))
    if left > 0 then
      if not raw:find("|", 1, true) then
        return nil, ("%s: line %d: expected a meaning of '%s' with |, got '%s'"):format(path, line, word, raw:sub(1, 40)), "format"
      end
      lines[#lines + 1], left = raw, left - 1
      if left == 0 then entries[word] = (entries[word] and entries[word] .. "\n" or "") .. table.concat(lines, "\n") end
    elseif raw ~= "" then
      local count
      word, count = raw:match("^(.-)|(%d+)$")
      if not word then
        return nil, ("%s: line %d: expected word|meanings, got '%s'"):format(path, line, raw:sub(1, 40)), "format"
      end
      local good, why = core.unicode.lower(word)
      if not good then return nil, ("%s: line %d: %s"):format(path, line, why), "format" end
      word, left, lines, n = good, math.tointeger(tonumber(count)), {}, n + 1
    end
  end
  if left > 0 then return nil, ("%s: the file ends within '%s', %d meanings are missing"):format(path, word, left), "format" end
  return setmetatable({ path = path, n = n, entries = entries, single = not options or options.single ~= false }, Thesaurus)
end

return mythes
