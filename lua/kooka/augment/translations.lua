--- translations: paraphrases from a file that somebody else made, as back-translations of an engine that runs elsewhere.
local check = require "kooka.augment.check"
local check_options = require "kooka.options"
local csv = require "kooka.data.csv"
local jsonl = require "kooka.data.jsonl"

local translations = {}

local File = {}
File.__index = File
File.__name = "kooka.augmenter"

function File.__tostring(f) return ("translations in %s: %d of %d texts"):format(f.path, f.n, f.sources) end

-- What two spellings of one text share: white space at the ends and line ends.
local function key_of(text) return (text:gsub("\r\n?", "\n"):match("^%s*(.-)%s*$")) end

--- f:many(texts, wants, streams, ctx) -> list of lists of {text=, method=}
-- Texts that the file lacks get nothing; counts.notes says how many.
function File:many(texts, wants, _, ctx)
  local out, list, made, places, rows, absent = {}, {}, {}, {}, {}, 0
  for i, text in ipairs(texts) do
    out[i] = {}
    local found = self.made[key_of(text)] or {}
    if #found == 0 then absent = absent + 1 end
    for j = 1, math.min(#found, wants[i]) do
      local k = #list + 1
      list[k], made[k], places[k], rows[k] = text, found[j], i, ctx and ctx.rows and ctx.rows[i]
    end
  end
  if absent > 0 and ctx and ctx.counts then
    table.insert(ctx.counts.notes, ("%s has nothing for %d of %d texts"):format(self.path, absent, #texts))
  end
  local good = require("kooka.augment.backtranslate").keep_good(self, list, made, ctx and { counts = ctx.counts, labels = ctx.labels,
    rows = rows })
  for k, text in ipairs(good) do
    if text then table.insert(out[places[k]], { text = text, method = "file" }) end
  end
  return out
end

local function read_pairs(path, o)
  if path:find("%.jsonl?$") or path:find("%.jsonl?%.gz$") then
    local records, message, code = jsonl.read(path)
    if not records then return nil, message, code end
    local sources, made = {}, {}
    for i, record in ipairs(records) do
      sources[i], made[i] = record[o.source], record[o.target]
      if type(sources[i]) ~= "string" or type(made[i]) ~= "string" then
        return nil, ("%s: record %d: expected texts %s and %s"):format(path, i, o.source, o.target), "format"
      end
    end
    return sources, made
  end
  local tsv = path:find("%.tsv") ~= nil
  local t, message, code = csv.read(path, { delimiter = tsv and "\t" or ",", escapes = tsv, columns = { o.source, o.target } })
  if not t then return nil, message, code end
  return t.data[o.source], t.data[o.target]
end

--- translations.load(path, {source="text", target="translation", check=nil, ratio=3}) -> augmenter | nil, message, code
-- A CSV, TSV (\n and \t as escapes) or JSON-lines file with a text and another text of the same language and label in
-- each row; a text may have several. The filters are those of kooka.augment.backtranslate.
function translations.load(path, options)
  local o = options or {}
  check_options("translations.load", o, { source = true, target = true, check = true, ratio = true })
  local sources, made, code = read_pairs(path, { source = o.source or "text", target = o.target or "translation" })
  if not sources then return nil, made, code end
  local self = setmetatable({ name = "file", fixed = true, path = path, made = {}, n = #sources, sources = 0, ratio = o.ratio or 3,
    judge = check.judge(o.check) }, File)
  for i, source in ipairs(sources) do
    local key = key_of(source)
    if not self.made[key] then
      self.made[key], self.sources = {}, self.sources + 1
    end
    table.insert(self.made[key], made[i])
  end
  return self
end

return translations
