--- thesaurus: what answers synonyms, whatever it was made of: anything with t:of(word) -> list.
local check_options = require "kooka.options"

local thesaurus = {}

local Words = {}
Words.__index = Words
Words.__name = "kooka.thesaurus"

--- t:of(word) -> list of synonyms
function Words:of(word) return self.entries[word] or {} end

function Words.__tostring(t) return ("thesaurus of %d words"):format(t.n) end

--- thesaurus.given{word = {synonym, ...}} -> thesaurus
-- A list of your own; words in lower case.
function thesaurus.given(entries)
  local n = 0
  for word, list in pairs(entries) do
    if type(word) ~= "string" or type(list) ~= "table" then error("thesaurus.given: expected {word = {synonym, ...}}", 2) end
    n = n + 1
  end
  return setmetatable({ entries = entries, n = n }, Words)
end

--- thesaurus.mythes(path[, {single = true}]) -> thesaurus | nil, message, code: kooka.augment.mythes
function thesaurus.mythes(...) return require("kooka.augment.mythes").load(...) end

--- thesaurus.wordnet([{path=, single = true}]) -> thesaurus | nil, message, code: kooka.augment.wordnet
function thesaurus.wordnet(...) return require("kooka.augment.wordnet").open(...) end

--- thesaurus.embeddings(model[, {k=10, threshold=.5, texts=}]) -> thesaurus: kooka.augment.embeddings
function thesaurus.embeddings(...) return require("kooka.augment.embeddings").new(...) end

local Joined = {}
Joined.__index = Joined
Joined.__name = "kooka.thesaurus"

--- t:of(word) -> list of synonyms
function Joined:of(word)
  local out, seen = {}, {}
  for _, t in ipairs(self) do
    for _, synonym in ipairs(t:of(word)) do
      if not seen[synonym] then
        seen[synonym] = true
        out[#out + 1] = synonym
      end
    end
    if self.first and #out > 0 then break end
  end
  return out
end

--- t:prepare(words)
function Joined:prepare(list)
  for _, t in ipairs(self) do
    if t.prepare then t:prepare(list) end
  end
end

function Joined.__tostring(t)
  local parts = {}
  for i, one in ipairs(t) do parts[i] = tostring(one) end
  return table.concat(parts, "; ")
end

--- thesaurus.join(list[, {first = false}]) -> thesaurus
-- The synonyms of several; with first = true those of the first one that has any.
function thesaurus.join(list, options)
  check_options("thesaurus.join", options, { first = true })
  local self = setmetatable({ first = options and options.first or false }, Joined)
  for i, t in ipairs(list) do
    if type(t) ~= "table" or not t.of then error(("thesaurus.join: number %d is no thesaurus"):format(i), 2) end
    self[i] = t
  end
  return self
end

-- Endings of Spanish nouns and adjectives: what a plural may be the plural of.
local function singulars(word)
  local out = {}
  if word:find("ces$") then out[#out + 1] = word:sub(1, -4) .. "z" end
  if word:find("es$") then out[#out + 1] = word:sub(1, -3) end
  if word:find("[aeiou]s$") or word:find("\xC3[\xA1\xA9\xB3]s$") then out[#out + 1] = word:sub(1, -2) end
  return out
end

local function plural(word)
  if word:find("[aeiou]$") or word:find("\xC3[\xA1\xA9\xB3]$") then return word .. "s" end
  if word:find("z$") then return word:sub(1, -2) .. "ces" end
  if word:find("[lrndj]$") then
    local open = word:match("^(.*)\xC3[\xA1\xA9\xAD\xB3\xBA]n$")            -- camión, camiones
    local vowel = open and ({ ["\xA1"] = "a", ["\xA9"] = "e", ["\xAD"] = "i", ["\xB3"] = "o", ["\xBA"] = "u" })[word:sub(-2, -2)]
    return open and open .. vowel .. "nes" or word .. "es"
  end
  return nil
end

local Spanish = {}
Spanish.__index = Spanish
Spanish.__name = "kooka.thesaurus"

function Spanish.__tostring(t) return tostring(t.inner) .. ", plurals too" end

--- t:of(word) -> list of synonyms
function Spanish:of(word)
  local out = self.inner:of(word)
  if #out > 0 then return out end
  for _, base in ipairs(singulars(word)) do
    local made = {}
    for _, synonym in ipairs(self.inner:of(base)) do
      local many = not synonym:find("%s") and plural(synonym)
      if many and many ~= word then made[#made + 1] = many end
    end
    if #made > 0 then return made end
  end
  return out
end

--- t:prepare(words)
function Spanish:prepare(list)
  if self.inner.prepare then self.inner:prepare(list) end
end

--- thesaurus.spanish(t) -> thesaurus
-- Also finds Spanish plurals that t has only in the singular, and answers plurals: "perros" of "perro".
function thesaurus.spanish(t)
  if type(t) ~= "table" or not t.of then error("thesaurus.spanish: expected a thesaurus", 2) end
  return setmetatable({ inner = t }, Spanish)
end

return thesaurus
