--- masks: what a translator gets to see of a text: line by line, without the tokens that must come back as they were.
-- Marks of the cleaning rules, @names, #hashtags, addresses and emoji at the begin and at the end of a line are taken
-- off; those inside become words that no dictionary has (xxq1q), and each must come back exactly once.
local words = require "kooka.augment.words"

local masks = {}

-- Numbers and punctuation are the translator's business, other protected tokens are not.
local function kept(item)
  return not item.word and (item.bound or item.text:find("[%a\x80-\xFF]") ~= nil)
end

local function join_range(items, first, last)
  local parts = {}
  for i = first, last do
    if i > first then parts[#parts + 1] = items[i].gap end
    parts[#parts + 1] = items[i].text
  end
  return table.concat(parts)
end

--- masks.hide(line) -> {head=, body=, tail=, hidden=}
-- body: what to translate, "" where there is nothing; hidden: the tokens behind xxq1q, xxq2q ...
function masks.hide(line)
  local items = words.split(line)
  local first, last = 1, #items
  while first <= last and kept(items[first]) do first = first + 1 end
  while last >= first and kept(items[last]) do last = last - 1 end
  local body, hidden, i = {}, {}, first
  while i <= last do
    local text = items[i].text
    if kept(items[i]) then
      local from = i
      while i < last and kept(items[i + 1]) do i = i + 1 end
      hidden[#hidden + 1] = join_range(items, from, i)
      text = ("xxq%dq"):format(#hidden)
    end
    body[#body + 1] = text
    i = i + 1
  end
  return { head = join_range(items, 1, first - 1), body = table.concat(body, " "), tail = join_range(items, last + 1, #items),
    hidden = hidden }
end

--- masks.show(hidden, translation) -> line or nil
-- Puts the tokens back; nil where one was lost or came twice.
function masks.show(h, translation)
  local seen, n = {}, 0
  local body = translation:gsub("[xX][xX][qQ](%d+)[qQ]", function(number)
    local k = math.tointeger(tonumber(number))
    if h.hidden[k] and not seen[k] then
      seen[k], n = true, n + 1
      return h.hidden[k]
    end
    n = -1000000
  end)
  if n ~= #h.hidden or body:lower():find("xxq") then return nil end
  local parts = {}
  for _, part in ipairs { h.head, (body:gsub("%s+", " "):match("^%s*(.-)%s*$")), h.tail } do
    if part ~= "" then parts[#parts + 1] = part end
  end
  return table.concat(parts, " ")
end

return masks
