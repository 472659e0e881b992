--- eda: easy data augmentation (Wei & Zou, EMNLP-IJCNLP 2019): synonym replacement, random insertion, swap and deletion of words.
local core = require "kooka.core"
local check_options = require "kooka.options"
local stopwords = require "kooka.augment.stopwords"
local words = require "kooka.augment.words"

local eda = {}

local OPERATIONS = { "replace", "insert", "swap", "delete" }
local NAMES = { replace = "sr", insert = "ri", swap = "rs", delete = "rd" }

--- eda.advice(n) -> n_aug, alpha
-- The paper's table 3 for n training texts: 16 and .05 up to 500, 8 and .05 up to 2,000, 4 and .1 above. (alpha of
-- deletion too.)
function eda.advice(n)
  if n <= 500 then return 16, .05 end
  if n <= 2000 then return 8, .05 end
  return 4, .1
end

-- Places of the items that may be touched.
local function free_places(items)
  local out = {}
  for i, item in ipairs(items) do
    if item.word then out[#out + 1] = i end
  end
  return out
end

local function copy(items) return table.move(items, 1, #items, 1, {}) end

local function synonyms_of(self, item)
  local key = assert(core.unicode.lower(item.word))
  if self.stopwords[key] then return {} end
  return self.synonyms:of(key)
end

local function with_word(item, word)
  word = words.like(word, item.word)
  return { text = item.before .. word .. item.after, gap = item.gap, word = word, before = item.before, after = item.after }
end

local edit = {}

--- edit.replace(self, items, n, stream) -> items or nil
-- Replaces n words that have synonyms, in a random order, each wherever it stands, by one synonym drawn for it.
function edit.replace(self, items, n, stream)
  local out, done, seen = copy(items), 0, {}
  for _, k in ipairs(stream:shuffle(free_places(items))) do
    if done == n then break end
    local key = assert(core.unicode.lower(items[k].word))
    local list = not seen[key] and synonyms_of(self, items[k]) or {}
    seen[key] = true
    if #list > 0 then
      local synonym = list[stream:below(#list)]
      for i, item in ipairs(out) do
        if item.word and assert(core.unicode.lower(item.word)) == key then out[i] = with_word(item, synonym) end
      end
      done = done + 1
    end
  end
  return done > 0 and out or nil
end

--- edit.insert(self, items, n, stream) -> items or nil
-- n times: a synonym of a random word (ten tries to find one that has any) goes to a random place, but not between a
-- mark and its words.
function edit.insert(self, items, n, stream)
  local out, done = copy(items), 0
  for _ = 1, n do
    local free = free_places(out)
    if #free == 0 then return nil end
    local list = {}
    for _ = 1, 10 do
      list = synonyms_of(self, out[free[stream:below(#free)]])
      if #list > 0 then break end
    end
    if #list > 0 then
      local at = stream:below(#out + 1)
      while out[at] and out[at].bound do at = at - 1 end
      local word = list[stream:below(#list)]
      table.insert(out, at, { text = word, gap = " ", word = word, before = "", after = "" })
      if at == 1 then out[2] = setmetatable({ gap = " " }, { __index = out[2] }) end
      done = done + 1
    end
  end
  return done > 0 and out or nil
end

--- edit.swap(self, items, n, stream) -> items or nil
-- n times: two random words that may be touched change places (three tries to find two different ones); gaps stay where
-- they are.
function edit.swap(_, items, n, stream)
  local free, out, done = free_places(items), copy(items), 0
  if #free < 2 then return nil end
  for _ = 1, n do
    for _ = 1, 4 do
      local a, b = free[stream:below(#free)], free[stream:below(#free)]
      if out[a].text ~= out[b].text then
        local x, y = out[a], out[b]
        out[a] = setmetatable({ gap = x.gap }, { __index = y })
        out[b] = setmetatable({ gap = y.gap }, { __index = x })
        done = done + 1
        break
      end
    end
  end
  return done > 0 and out or nil
end

--- edit.delete(self, items, n, stream, p) -> items or nil
-- Each word that may be touched goes with probability p; one word at least stays.
function edit.delete(_, items, _, stream, p)
  local out, free, gone = {}, free_places(items), {}
  if #free < 2 then return nil end
  local left = #free
  for _, k in ipairs(free) do
    gone[k] = stream:uniform() < p
    if gone[k] then left = left - 1 end
  end
  if left == #free then return nil end
  if left == 0 then gone[free[stream:below(#free)]] = false end
  for i, item in ipairs(items) do
    if not gone[i] then out[#out + 1] = item end
  end
  return out
end

local Eda = {}
Eda.__index = Eda
Eda.__name = "kooka.augmenter"

--- tostring(e): its operations.
function Eda.__tostring(e) return "eda: " .. table.concat(e.operations, ", ") end

local function share(v, name)
  if not (type(v) == "number" and v >= 0 and v <= 1) then
    error(("eda: alpha of %s is %s, expected 0 to 1"):format(name, tostring(v)), 4)
  end
  return v
end

--- eda.new{synonyms=, alpha=.1, operations=, stopwords=} -> augmenter
-- synonyms: a thesaurus (kooka.augment.thesaurus), or nil: only swap and deletion. alpha: the share of a text's words
-- that is changed, n = max(1, floor(alpha words)), and the probability of a deletion; a number, or a table {replace=,
-- insert=, swap=, delete=} (0: not that one). operations: a list of those names, default all four. stopwords: "es",
-- "en", a list of them or {word = true}; default both: words that are not replaced. The four take turns, as in the
-- paper.
function eda.new(options)
  local o = options or {}
  check_options("eda", o, { synonyms = true, alpha = true, operations = true, stopwords = true })
  local self = setmetatable({ name = "eda", synonyms = o.synonyms, alpha = {}, operations = {},
    stopwords = stopwords.of(o.stopwords) }, Eda)
  local asked = {}
  for _, name in ipairs(o.operations or OPERATIONS) do
    if not edit[name] then error(("eda: operation '%s', expected replace, insert, swap or delete"):format(tostring(name)), 2) end
    asked[name] = true
  end
  for _, name in ipairs(OPERATIONS) do
    local alpha = type(o.alpha) == "table" and o.alpha[name] or tonumber(o.alpha) or .1
    self.alpha[name] = share(alpha, name)
    local wants = name == "replace" or name == "insert"
    if wants and asked[name] and o.operations and not o.synonyms then
      error(("eda: %s needs synonyms (a thesaurus)"):format(name), 2)
    end
    if asked[name] and alpha > 0 and (o.synonyms or not wants) then self.operations[#self.operations + 1] = name end
  end
  if #self.operations == 0 then error("eda: no operation is left", 2) end
  return self
end

--- e:one(text, operation, stream) -> text or nil
-- One edited copy; nil where nothing could be done (no word with a synonym, no second word).
function Eda:one(text, operation, stream)
  if not edit[operation] then error(("eda: operation '%s', expected replace, insert, swap or delete"):format(tostring(operation)), 2) end
  local items = words.split(text)
  local alpha = self.alpha[operation]
  local n = math.max(1, math.floor(alpha * #free_places(items)))
  local out = edit[operation](self, items, n, stream, alpha)
  return out and words.join(out)
end

--- e:many(texts, wants, streams) -> list of lists of {text=, method=}
-- wants[i]: how many copies of texts[i]; fewer where the text has too few words. streams[i]: its random stream. A copy
-- that reads like the text or another copy is made again, a few times.
function Eda:many(texts, wants, streams)
  if self.synonyms and self.synonyms.prepare then
    local all = {}
    for i, text in ipairs(texts) do
      for _, item in ipairs(wants[i] > 0 and words.split(text) or {}) do
        if item.word then all[#all + 1] = assert(core.unicode.lower(item.word)) end
      end
    end
    self.synonyms:prepare(all)
  end
  local out = {}
  for i, text in ipairs(texts) do
    local list, seen, stream = {}, { [text] = true }, streams[i]
    local turn, tries = stream:below(#self.operations), 0
    while #list < wants[i] and tries < 4 * wants[i] + 4 * #self.operations do
      local operation = self.operations[turn % #self.operations + 1]
      turn, tries = turn + 1, tries + 1
      local made = self:one(text, operation, stream)
      if made and not seen[made] then
        seen[made] = true
        list[#list + 1] = { text = made, method = "eda-" .. NAMES[operation] }
      end
    end
    out[i] = list
    if i % 256 == 0 and core.sys.stopped() then error("interrupted", 0) end
  end
  return out
end

return eda
