--- words: a text as words that an augmenter may touch and tokens that it must leave alone.
-- A token is what stands between white space. It is protected, so that nobody replaces, moves or deletes it, when it is
-- a mark of the cleaning rules (xxup, xxrep 4 a: with the words that belong to the mark), a @name, a #hashtag, an
-- address (http://, www., pic.twitter.com, a mail address), <user> and <url>, holds an emoji, or has no letter at all
-- (numbers, :-), a dialogue's dash).
local core = require "kooka.core"

local words = {}

-- How many tokens behind a mark belong to it.
local MARKS = { xxup = 1, xxmaj = 1, xxcap = 1, xxrep = 2, xxwrep = 2 }

local function is_emoji(c)
  return c >= 0x1F000 and c <= 0x1FAFF or c >= 0x2600 and c <= 0x27BF or c >= 0x2B00 and c <= 0x2BFF or c == 0xFE0F or c == 0x200D
    or c >= 0xE0020 and c <= 0xE007F
end

local function is_letter(c)
  if c < 0x80 then return c >= 65 and c <= 90 or c >= 97 and c <= 122 end
  if c < 0xC0 then return c == 0xAA or c == 0xB5 or c == 0xBA end
  return c ~= 0xD7 and c ~= 0xF7 and not (c >= 0x2000 and c <= 0x2BFF) and not (c >= 0x3000 and c <= 0x303F)
    and not (c >= 0xFE00 and c <= 0xFE4F) and not (c >= 0xFF00 and c <= 0xFF20) and c < 0xE000 or c >= 0x10000 and c < 0x1F000
    or c >= 0x20000 and c < 0xE0000
end

--- words.is_protected(token) -> boolean
function words.is_protected(token)
  if token:find("^xx%l+$") or token:find("^[^%w]*[@#][%w_\x80-\xFF]") or token:find("://", 1, true) or token:find("^www%.")
    or token:find("^pic%.twitter%.com/") or token:find("%w@%w") or token:find("^<%a+>") or token:find("^&%a+;$") then
    return true
  end
  local letters = false
  for _, c in utf8.codes(token) do
    if is_emoji(c) then return true end
    letters = letters or is_letter(c)
  end
  return not letters
end

-- The places of the first letter and behind the last one.
local function letters_of(token)
  local first, last
  for at, c in utf8.codes(token) do
    if is_letter(c) then
      first = first or at
      last = at + #utf8.char(c)
    end
  end
  return first, last
end

--- words.split(text) -> list of {text=, gap=, word= or nil, before=, after=}
-- gap: the white space in front; word: what a dictionary may know, without the punctuation before and after; absent
-- where the token is protected. words.join brings the same text back. Raises where the text is not UTF-8.
function words.split(text)
  local good, message = core.unicode.valid(text)
  if not good then error("augment: " .. message, 2) end
  local out, bound = {}, 0
  for gap, token in text:gmatch("(%s*)(%S+)") do
    local item = { text = token, gap = gap }
    if bound > 0 then
      bound = bound - 1
      item.bound = true
    elseif MARKS[token] then
      bound = MARKS[token]
    elseif not words.is_protected(token) then
      local first, last = letters_of(token)
      item.before, item.word, item.after = token:sub(1, first - 1), token:sub(first, last - 1), token:sub(last)
    end
    out[#out + 1] = item
  end
  return out
end

--- words.join(items) -> text
-- The first token's gap is left out.
function words.join(items)
  local parts = {}
  for i, item in ipairs(items) do
    if i > 1 then parts[#parts + 1] = item.gap == "" and " " or item.gap end
    parts[#parts + 1] = item.text
  end
  return table.concat(parts)
end

--- words.like(word, model) -> word
-- Capitals as `model` has them: all of two letters or more, or the first.
function words.like(word, model)
  local lower = assert(core.unicode.lower(model))
  if lower == model then return word end
  local first, rest = word:match("^(" .. utf8.charpattern .. ")(.*)$")
  if not first then return word end
  if utf8.len(model) > 1 and words.upper(model) == model then return words.upper(word) end
  local initial, tail = model:match("^(" .. utf8.charpattern .. ")(.*)$")
  local capital = assert(core.unicode.lower(initial)) ~= initial and assert(core.unicode.lower(tail)) == tail
  return capital and words.upper(first) .. rest or word
end

--- words.upper(text) -> text
-- Capitals of ASCII, Latin-1 and the Latin, Greek and Cyrillic letters whose capital is one code point before or a
-- fixed distance away.
function words.upper(text)
  local out = {}
  for _, c in utf8.codes(text) do
    if c >= 97 and c <= 122 or c >= 0xE0 and c <= 0xFE and c ~= 0xF7 or c >= 0x3B1 and c <= 0x3C9 and c ~= 0x3C2
      or c >= 0x430 and c <= 0x44F then
      c = c - 32
    elseif c >= 0x450 and c <= 0x45F then
      c = c - 80
    elseif (c >= 0x101 and c <= 0x137 or c >= 0x14B and c <= 0x177) and c % 2 == 1 and c ~= 0x131
      or c >= 0x13A and c <= 0x148 and c % 2 == 0 or c == 0x17A or c == 0x17C or c == 0x17E then
      c = c - 1
    end
    out[#out + 1] = utf8.char(c)
  end
  return table.concat(out)
end

return words
