--- kooka.text.words: whole words to ids and back, for language models over a given vocabulary (Penn Treebank, WikiText).
-- A word is what stands between white space; nothing is cleaned. Ids count from 1 in order of falling frequency (ties: by
-- bytes). Two words are marks: `unk` stands for every word that the vocabulary lacks ("<unk>", which such corpora hold as a
-- word already), `eos` is put behind each text ("<eos>"): both are counted, predicted and scored like any other word.
-- Has the calls of kooka.text.tokenizer, so that what works on pieces works on words.
local core = require "kooka.core"
local check_options = require "kooka.options"

local words = {}

local Words = {}
Words.__index = Words
Words.__name = "kooka.words"

--- w.file: the name of such a list in a model's folder
Words.file = "words.txt"

function Words.__tostring(w) return ("words %s: %d"):format(w.path or "(in memory)", #w.list) end

local function wrap(list, counts, marks, path)
  local w = setmetatable({ list = list, counts = counts, ids = {}, path = path, marks = marks }, Words)
  for id, word in ipairs(list) do w.ids[word] = id end
  w.unk, w.eos = w.ids[marks.unk], w.ids[marks.eos]
  return w
end

-- By count, then by bytes: the same list whatever the order of the texts.
local function ranked(count)
  local list = {}
  for word in pairs(count) do list[#list + 1] = word end
  table.sort(list, function(a, b)
    if count[a] ~= count[b] then return count[a] > count[b] end
    return a < b
  end)
  return list
end

local train_options = { texts = true, path = true, vocab = true, min_count = true, unk = true, eos = true }

--- train{texts =, path = nil, vocab = 0, min_count = 1, unk = "<unk>", eos = "<eos>"} -> words | nil, message, code
-- The words of a list of texts. vocab: keep at most so many, both marks included (0: all); min_count: and only those seen so
-- often; what is dropped counts for unk. path: where the list is written.
function words.train(o)
  check_options("words.train", o, train_options)
  if type(o) ~= "table" or type(o.texts) ~= "table" then error("words.train: expected a table with texts", 2) end
  local marks = { unk = o.unk or "<unk>", eos = o.eos or "<eos>" }
  local count = { [marks.unk] = 0, [marks.eos] = 0 }
  for i, text in ipairs(o.texts) do
    local good, message = core.unicode.valid(text)
    if not good then return nil, ("text %d: %s"):format(i, message), "format" end
    for word in text:gmatch("%S+") do count[word] = (count[word] or 0) + 1 end
    count[marks.eos] = count[marks.eos] + 1
  end
  local kept, lost = {}, 0
  local limit = o.vocab and o.vocab > 0 and math.max(o.vocab, 2) or math.huge
  local room = limit - 2                     -- the marks always stay
  for _, word in ipairs(ranked(count)) do
    if word ~= marks.unk and word ~= marks.eos then
      if room > 0 and count[word] >= (o.min_count or 1) then
        kept[word], room = count[word], room - 1
      else
        lost = lost + count[word]
      end
    end
  end
  kept[marks.unk], kept[marks.eos] = count[marks.unk] + lost, count[marks.eos]
  local list, counts = ranked(kept), {}
  for id, word in ipairs(list) do counts[id] = kept[word] end
  local w = wrap(list, counts, marks, o.path)
  if o.path then
    local ok, message, code = w:save(o.path)
    if not ok then return nil, message, code end
  end
  return w
end

--- load(path) -> words | nil, message, code
-- A list written by train or save: a first line with the marks, then a word, a tab and its count on each line.
function words.load(path)
  local text, message, code = core.sys.read_file(path)
  if not text then return nil, message, code end
  local marks, list, counts, number, seen = nil, {}, {}, 0, {}
  for line in text:gmatch("([^\n]*)\n") do
    number = number + 1
    if number == 1 then
      local unk, eos = line:match("^kooka words\t(%S+)\t(%S+)$")
      if not unk then
        return nil, ("%s: line 1: expected 'kooka words', the mark of unknown words and that of ends"):format(path), "format"
      end
      marks = { unk = unk, eos = eos }
    else
      local word, n = line:match("^(%S+)\t(%d+)$")
      if not word or seen[word] then
        return nil, ("%s: line %d: expected a word, a tab and its count, each word once"):format(path, number), "format"
      end
      seen[word] = true
      list[#list + 1], counts[#counts + 1] = word, math.tointeger(tonumber(n))
    end
  end
  if not marks or not seen[marks.unk] or not seen[marks.eos] then
    return nil, ("%s: the list lacks %s"):format(path, marks and marks.unk .. " or " .. marks.eos or "its first line"), "format"
  end
  return wrap(list, counts, marks, path)
end

--- w:save(path) -> true | nil, message, code
function Words:save(path)
  local lines = { ("kooka words\t%s\t%s"):format(self.marks.unk, self.marks.eos) }
  for id, word in ipairs(self.list) do lines[id + 1] = ("%s\t%d"):format(word, self.counts[id]) end
  lines[#lines + 1] = ""
  return core.sys.write_file(path, table.concat(lines, "\n"))
end

local function ids_of(w, text, eos)
  local out, ids, unk, n = {}, w.ids, w.unk, 0
  for word in text:gmatch("%S+") do
    n = n + 1
    out[n] = ids[word] or unk
  end
  if eos then out[n + 1] = w.eos end
  return out
end

local encode_options = { eos = true, bos = true }

local function check_encode(who, o)
  check_options(who, o, encode_options, 4)
  if o and o.bos then error(who .. ": the vocabulary has no bos; an end stands behind each text (eos = true)", 3) end
  return o and o.eos or false
end

--- w:encode(text, [{eos = false}]) -> list of ids | nil, message, "format"
function Words:encode(text, o)
  local eos = check_encode("encode", o)
  local good, message = core.unicode.valid(text)
  if not good then return nil, message, "format" end
  return ids_of(self, text, eos)
end

--- w:encode_all(texts, [{eos = false}]) -> corpus | nil, message, "format"
-- Every text one document. The message names the text that is not UTF-8.
function Words:encode_all(texts, o)
  local eos, corpus = check_encode("encode_all", o), core.corpus.new(#self.list)
  for i, text in ipairs(texts) do
    local good, message = core.unicode.valid(text)
    if not good then return nil, ("text %d: %s"):format(i, message), "format" end
    corpus:add(ids_of(self, text, eos))
  end
  return corpus
end

--- w:decode(ids) -> text
-- Words with a space between; ends become line ends.
function Words:decode(ids)
  local out, start = {}, true
  for _, id in ipairs(ids) do
    local word = self.list[id] or error(("decode: id %s, expected 1..%d"):format(tostring(id), #self.list), 2)
    if id == self.eos then
      out[#out + 1], start = "\n", true
    else
      out[#out + 1], start = (start and "" or " ") .. word, false
    end
  end
  return (table.concat(out):gsub("\n$", ""))
end

--- w:pieces(text) -> list of strings
-- The words, unknown ones as the mark.
function Words:pieces(text)
  local out = ids_of(self, text)
  for i, id in ipairs(out) do out[i] = self.list[id] end
  return out
end

--- w:id(word) -> id or nil
function Words:id(word) return self.ids[word] end

--- w:piece(id) -> word, count
function Words:piece(id) return self.list[id], self.counts[id] end

--- w:size() -> number of words, marks included
function Words:size() return #self.list end

--- words.file: the name of such a list in a model's folder
words.file = Words.file

return words
