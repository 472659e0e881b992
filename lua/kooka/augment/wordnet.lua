--- wordnet: synonyms from WordNet's database files (index.* and data.*, as Debian's wordnet-base has them), looked up in place.
-- What wndb(5WN), wninput(5WN) and morphy(7WN) say of the files and of base forms.
local core = require "kooka.core"
local check_options = require "kooka.options"

local wordnet = {}

--- wordnet.folders: where a database is looked for when no path is given, behind the environment's WNSEARCHDIR.
wordnet.folders = { "/usr/share/wordnet", "/usr/share/wordnet/dict", "/usr/local/share/wordnet", "/usr/local/WordNet-3.0/dict",
  "/opt/homebrew/opt/wordnet/dict" }

local PARTS = { "noun", "verb", "adj", "adv" }

-- morphy's rules of detachment: ending, what stands for it.
local ENDINGS = {
  noun = { { "s", "" }, { "ses", "s" }, { "xes", "x" }, { "zes", "z" }, { "ches", "ch" }, { "shes", "sh" }, { "men", "man" }, { "ies", "y" } },
  verb = { { "s", "" }, { "ies", "y" }, { "es", "e" }, { "es", "" }, { "ed", "e" }, { "ed", "" }, { "ing", "e" }, { "ing", "" } },
  adj = { { "er", "" }, { "est", "" }, { "er", "e" }, { "est", "e" } },
  adv = {},
}

local Wordnet = {}
Wordnet.__index = Wordnet
Wordnet.__name = "kooka.thesaurus"

function Wordnet.__tostring(w) return ("thesaurus WordNet in %s"):format(w.path) end

-- The line of a sorted file that begins with word and a space, by halving; nil where there is none.
local function line_of(file, size, word)
  local low, high = 0, size                     -- the line begins at low or behind it, and before high
  while low < high do
    local middle = (low + high) // 2
    file:seek("set", middle)
    if middle > 0 then
      file:seek("set", middle - 1)
      file:read("L")                            -- to the begin of a line
    end
    local at = file:seek()
    local line = at < high and file:read("l")
    if not line then
      high = middle
    else
      local head = line:match("^%S+") or ""         -- empty in the header, which sorts before all words
      if head == word then return line end
      if head < word then low = at + #line + 1 else high = middle end
    end
  end
end

local function exceptions(path)
  local out, text = {}, core.sys.read_file(path)
  for line in (text or ""):gmatch("[^\r\n]+") do
    local form, bases = line:match("^(%S+) (.+)")
    if form then
      out[form] = out[form] or {}
      for base in bases:gmatch("%S+") do table.insert(out[form], base) end
    end
  end
  return out
end

-- Lines of the index for a word of one part of speech: its own and those of its base forms.
local function senses(self, word, part)
  local index, found, seen = self.index[part], {}, {}
  local function try(form)
    if form == "" or seen[form] then return end
    seen[form] = true
    local line = line_of(index.file, index.size, form)
    if line then found[#found + 1] = { form = form, line = line } end
  end
  try(word)
  self.exceptions[part] = self.exceptions[part] or exceptions(("%s/%s.exc"):format(self.path, part))
  if self.exceptions[part][word] then
    for _, form in ipairs(self.exceptions[part][word]) do try(form) end
  elseif #found == 0 then
    for _, rule in ipairs(ENDINGS[part]) do
      if #word > #rule[1] and word:sub(-#rule[1]) == rule[1] then try(word:sub(1, -#rule[1] - 1) .. rule[2]) end
    end
  end
  return found
end

-- The words of the synset at an offset of a data file.
local function synset(file, offset)
  file:seek("set", offset)
  local line = file:read("l") or ""
  local at, count, rest = line:match("^(%d%d%d%d%d%d%d%d) %d+ %a (%x%x) (.*)$")
  if not at or tonumber(at) ~= offset then return nil end
  local out = {}
  for word in rest:gmatch("(%S+) %x+") do
    if #out == tonumber(count, 16) then break end
    out[#out + 1] = word:gsub("%(%l+%)$", ""):gsub("_", " ")
  end
  return out
end

--- w:of(word[, parts]) -> list of synonyms
-- The other words of all synsets that the word, or a base form of it, stands in: nouns first, then verbs, adjectives,
-- adverbs, each in the order of the file (the frequent meanings first). parts: only these, as {"noun"}. Forms are base
-- forms: "dogs" answers "domestic dog". Raises where the files are broken.
function Wordnet:of(word, parts)
  local key = assert(core.unicode.lower(word)):gsub("%s", "_")
  if not parts and self.cache[key] then return self.cache[key] end
  local out, seen = {}, {}
  for _, part in ipairs(parts or PARTS) do
    local own = { [key] = true }
    local found = senses(self, key, part)
    for _, sense in ipairs(found) do own[sense.form] = true end
    for _, sense in ipairs(found) do
      for offset in sense.line:gmatch(" (%d%d%d%d%d%d%d%d)%f[%D]") do
        local list = synset(self.data[part], math.tointeger(tonumber(offset)))
        if not list then error(("wordnet: %s/data.%s has no synset at %s, which index.%s names for '%s'"):format(self.path, part, offset, part, sense.form), 2) end
        for _, synonym in ipairs(list) do
          local lower = synonym:lower():gsub(" ", "_")
          if not own[lower] and not seen[lower] and not (self.single and synonym:find(" ", 1, true)) then
            seen[lower] = true
            out[#out + 1] = synonym
          end
        end
      end
    end
  end
  if not parts then self.cache[key] = out end
  return out
end

--- w:close()
function Wordnet:close()
  for _, part in ipairs(PARTS) do
    if self.index[part] then self.index[part].file:close() end
    if self.data[part] then self.data[part]:close() end
  end
  self.index, self.data = {}, {}
end
Wordnet.__close = Wordnet.close

--- wordnet.find() -> folder or nil
function wordnet.find()
  for _, folder in ipairs { os.getenv "WNSEARCHDIR" or "", table.unpack(wordnet.folders) } do
    if folder ~= "" and core.sys.exists(folder .. "/index.noun") then return folder end
  end
end

--- wordnet.open([{path = found, single = true}]) -> thesaurus | nil, message, code
-- path: the folder with index.noun, data.noun and so on; default: WNSEARCHDIR, /usr/share/wordnet (apt-get install
-- wordnet-base) and the other usual places. single: answer only synonyms of one word. Reads nothing until it is asked;
-- closes with <close> or w:close().
function wordnet.open(options)
  local o = options or {}
  check_options("wordnet.open", o, { path = true, single = true })
  local path = o.path or wordnet.find()
  if not path then
    return nil, "wordnet: no database found (Debian: apt-get install wordnet-base; or give path, the folder with index.noun)", "io"
  end
  local self = setmetatable({ path = path, index = {}, data = {}, exceptions = {}, cache = {}, single = o.single ~= false }, Wordnet)
  for _, part in ipairs(PARTS) do
    local index, message = io.open(("%s/index.%s"):format(path, part), "rb")
    local data
    if index then
      self.index[part] = { file = index, size = index:seek("end") }
      data, message = io.open(("%s/data.%s"):format(path, part), "rb")
      self.data[part] = data
    end
    if not data then
      self:close()
      return nil, "wordnet: " .. message, "io"
    end
  end
  return self
end

return wordnet
