--- nearest: the known word closest to a mistyped one, for messages.
local nearest = {}

-- Edits to turn a into b, where swapping two neighbours is one edit (optimal string alignment).
local function edits(a, b)
  local before, last = {}, {}
  for j = 0, #b do last[j] = j end
  for i = 1, #a do
    local row = {[0] = i}
    for j = 1, #b do
      local same = a:byte(i) == b:byte(j)
      row[j] = math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (same and 0 or 1))
      if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        row[j] = math.min(row[j], before[j - 2] + 1)
      end
    end
    before, last = last, row
  end
  return last[#b]
end

--- nearest.word(word, known) -> string or nil
-- The member of the list `known` that is at most a third of its letters away from `word`.
function nearest.word(word, known)
  local best, distance = nil, math.huge
  for _, candidate in ipairs(known) do
    local d = edits(word:lower(), candidate:lower())
    if d < distance then best, distance = candidate, d end
  end
  if best and distance <= math.max(1, #best // 3) then return best end
  return nil
end

--- nearest.hint(word, known) -> string
-- "; did you mean X?" or the empty string.
function nearest.hint(word, known)
  local found = nearest.word(word, known)
  return found and ("; did you mean %s?"):format(found) or ""
end

return nearest
