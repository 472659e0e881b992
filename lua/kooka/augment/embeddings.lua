--- embeddings: synonyms for any language: the words whose embeddings in a model of ours point the same way (cosine).
-- A language model of the domain knows words that no dictionary has (jajaja, xq). What is near stands in like places,
-- which antonyms do too: look at a few before you trust a threshold, and let a classifier check the texts that come of
-- it.
local core = require "kooka.core"
local check_options = require "kooka.options"

local embeddings = {}

local SPACE = "\u{2581}"          -- how SentencePiece writes a space
local CHUNK = 256                 -- words that are compared with all others at once

local Neighbours = {}
Neighbours.__index = Neighbours
Neighbours.__name = "kooka.thesaurus"

function Neighbours.__tostring(t)
  return ("thesaurus of %d words by their embeddings (the %d nearest with a cosine of %.2f or more)"):format(#t.words, t.k, t.threshold)
end

local function is_word(text, least)
  return text and utf8.len(text) and utf8.len(text) >= least and not text:find("[%s%d%p]") and not text:find("^xx%l") and text:find("[%a\x80-\xFF]")
    and not require("kooka.augment.words").is_protected(text)
end

-- The piece as a whole word, or nil.
local function word_of(tokenizer, id, least)
  local piece = tokenizer:piece(id)
  if not piece then return nil end
  if tokenizer.model then                             -- SentencePiece: only pieces that begin a word
    if piece:sub(1, #SPACE) ~= SPACE then return nil end
    piece = piece:sub(#SPACE + 1)
  end
  return is_word(piece, least) and piece or nil
end

-- The words of the texts, each as often as it stands there.
local function count_words(texts)
  local seen = {}
  for _, text in ipairs(texts) do
    for _, item in ipairs(require("kooka.augment.words").split(text)) do
      if item.word then
        local word = assert(core.unicode.lower(item.word))
        seen[word] = (seen[word] or 0) + 1
      end
    end
  end
  return seen
end

--- embeddings.new(model, {k=10, threshold=.5, min_letters=3, texts=nil, min_count=1}) -> thesaurus
-- model: a kooka.model of any kind (a language model, or a classifier made of one), or {network=, tokenizer=} with an
-- embedding table network.encoder.embedding [V,D] or network.embedding, and kooka.text.tokenizer or kooka.text.words.
-- Words are pieces that are a whole word of min_letters or more; a text's word that is cut into several pieces has
-- none. texts: only words that stand in them, min_count times or more; without them begins of words, as "hom" of
-- "hombre", count as words too, because a tokenizer does not tell them apart: give the training texts. The rows are
-- divided by their norm after the mean row was taken off (a common direction makes all cosines large; Mu & Viswanath
-- 2018).
function embeddings.new(model, options)
  local o = options or {}
  check_options("embeddings.new", o, { k = true, threshold = true, min_letters = true, texts = true, min_count = true })
  local k, threshold = o.k or 10, o.threshold or .5
  if math.type(k) ~= "integer" or k < 1 then error(("embeddings.new: k is %s, expected an integer from 1"):format(tostring(k)), 2) end
  if not (threshold >= -1 and threshold <= 1) then error(("embeddings.new: threshold is %s, expected -1 to 1"):format(threshold), 2) end
  local network, tokenizer = model.network, model.tokenizer
  local encoder = network and (network.encoder or network)
  local table_ = encoder and encoder.embedding
  if not (table_ and tokenizer) then error("embeddings.new: expected a model with an embedding table and a tokenizer", 2) end
  local list, ids, place = {}, {}, {}
  local seen, least = o.texts and count_words(o.texts), o.min_count or 1
  for id = 1, math.min(tokenizer:size(), table_:shape(1)) do
    local word = word_of(tokenizer, id, o.min_letters or 3)
    if word and not place[word] and (not seen or (seen[word] or 0) >= least) then
      list[#list + 1], ids[#ids + 1] = word, id
      place[word] = #list
    end
  end
  if #list < 2 then error(("embeddings.new: the tokenizer has %d whole words, two or more are needed"):format(#list), 2) end
  local scope <close> = core.scope()
  local rows = table_:detach():index_select(core.tensor(ids, "int32"))
  rows = rows - rows:mean(1, true)
  local norm = core.maximum(core.sqrt(core.square(rows):sum(2, true)), core.tensor { 1e-12 })
  return setmetatable({ words = list, place = place, rows = (rows / norm):keep(), k = math.min(k, #list - 1), threshold = threshold,
    found = {} }, Neighbours)
end

--- t:prepare(words)
-- Finds the neighbours of many words at once; t:of does it one at a time for those that were not prepared.
function Neighbours:prepare(list)
  local wanted = {}
  for _, word in ipairs(list) do
    if self.place[word] and not self.found[word] then
      self.found[word] = {}
      wanted[#wanted + 1] = self.place[word]
    end
  end
  for at = 1, #wanted, CHUNK do
    local scope <close> = core.scope()
    local ids = table.move(wanted, at, math.min(at + CHUNK - 1, #wanted), 1, {})
    local cosines = core.matmul_nt(self.rows:index_select(core.tensor(ids, "int32")), self.rows)
    local best, places = core.topk(cosines, { k = self.k + 1, dim = 2 })
    best, places = best:tolist(), places:tolist()
    for i, id in ipairs(ids) do
      local found = self.found[self.words[id]]
      for j, other in ipairs(places[i]) do
        if other ~= id and best[i][j] >= self.threshold and #found < self.k then
          found[#found + 1] = { word = self.words[other], cosine = best[i][j] }
        end
      end
    end
    if core.sys.stopped() then error("interrupted", 0) end
  end
end

--- t:near(word) -> list of {word=, cosine=}, the nearest first
function Neighbours:near(word)
  if not self.found[word] then self:prepare { word } end
  return self.found[word] or {}
end

--- t:of(word) -> list of words
function Neighbours:of(word)
  local out = {}
  for i, near in ipairs(self:near(word)) do out[i] = near.word end
  return out
end

return embeddings
