--- leaks: texts that stand on both sides of a split, exactly or nearly.
local split = require "kooka.data.split"

local leaks = {}

-- Lower case (ASCII and Latin-1 letters), without addresses, @names, masks, "RT" and marks that are not seen.
local function plain(text)
  local t = text:lower():gsub("\xC3([\x80-\x9E])", function(c)
    return c == "\x97" and "\xC3\x97" or "\xC3" .. string.char(c:byte() + 32)
  end)
  t = t:gsub("https?://%S+", " "):gsub("www%.%S+", " "):gsub("pic%.twitter%.com/%S+", " ")
  t = t:gsub("<user>", " "):gsub("<url>", " "):gsub("@[%w_]+", " ")
  t = t:gsub("&%a+;", " "):gsub("^%s*rt%f[%W]", "")
  return (t:gsub("\xE2\x80[\x80-\xBF]", ""):gsub("\xC2[\xA0-\xBF]", ""):gsub("\xEF\xB8[\x80-\x8F]", ""))
end

--- normalise(text) -> text
-- What two near duplicates share: lower case (ASCII and Latin-1 letters), without addresses, @names, <user> and <url>
-- masks, "RT", punctuation and spaces. Empty when nothing else was there.
function leaks.normalise(text) return (plain(text):gsub("[%p%s%c]+", "")) end

--- keys(texts) -> list of strings
-- One key for each text, the same for near duplicates: `groups` or `texts` of a split that must not leak. A text of
-- which nothing is left by `normalise` is its own key.
function leaks.keys(texts)
  local out = {}
  for i, text in ipairs(texts) do
    local key = leaks.normalise(text)
    out[i] = key ~= "" and key or "\0" .. text
  end
  return out
end

local RUN <const> = 3

-- The runs of three words in a text, each once: set, size. A text of fewer words is one run.
local function runs_of(text)
  local words, set, n = {}, {}, 0
  for word in plain(text):gmatch("[^%p%s%c]+") do words[#words + 1] = word end
  for i = 1, math.max(1, #words - RUN + 1) do
    local run = table.concat(words, " ", i, math.min(#words, i + RUN - 1))
    if not set[run] then set[run], n = true, n + 1 end
  end
  return set, n
end

--- similar(texts, others[, {share = .3}]) -> list
-- For each text the first of others with which it shares at least `share` of the runs of three words that either has (Jaccard's
-- index; Broder 1997), or false: a joke told again in a few other words. Texts of which `normalise` leaves nothing are like
-- none. Runs are counted once.
function leaks.similar(texts, others, o)
  local share, where, sizes, out = o and o.share or .3, {}, {}, {}
  for j, other in ipairs(others) do
    local set
    set, sizes[j] = runs_of(other)
    for run in pairs(set) do
      if run ~= "" then
        where[run] = where[run] or {}
        table.insert(where[run], j)
      end
    end
  end
  for i, text in ipairs(texts) do
    local common, set, n = {}, runs_of(text)
    for run in pairs(set) do
      for _, j in ipairs(where[run] or {}) do common[j] = (common[j] or 0) + 1 end
    end
    out[i] = false
    for j, c in pairs(common) do
      if c / (n + sizes[j] - c) >= share and (not out[i] or j < out[i]) then out[i] = j end
    end
  end
  return out
end

local function pairs_between(texts_a, rows_a, texts_b, rows_b, near)
  local exact, alike, found = {}, {}, {}
  for _, i in ipairs(rows_a) do
    local text = texts_a[i]
    if type(text) ~= "string" then error(("leaks: row %s has no text"):format(tostring(i)), 3) end
    exact[text] = exact[text] or i
    if near then
      local key = leaks.normalise(text)
      if key ~= "" then alike[key] = alike[key] or i end
    end
  end
  for _, j in ipairs(rows_b) do
    local text = texts_b[j]
    if type(text) ~= "string" then error(("leaks: row %s has no text"):format(tostring(j)), 3) end
    local i, kind = exact[text], "exact"
    if not i and near then i, kind = alike[leaks.normalise(text)], "near" end
    if i then found[#found + 1] = {train = i, valid = j, kind = kind} end
  end
  return found
end

local function check_split(s, who)
  if not split.is_split(s) then error(("leaks.%s: expected a split, got %s"):format(who, type(s)), 3) end
end

--- find(split, texts[, {near = true}]) -> list of {train = row, valid = row, kind = "exact" | "near"}
-- One entry for every held-out row whose text stands in the training side too, with the first such row there. The same
-- text several times on one side is no leak.
function leaks.find(s, texts, options)
  check_split(s, "find")
  return pairs_between(texts, s.train, texts, s.valid, not options or options.near ~= false)
end

--- between(a, b[, {near = true}]) -> list of {train = row of a, valid = row of b, kind =}
-- The same for two lists of texts, as a contest's training and test file.
function leaks.between(a, b, options)
  local rows_a, rows_b = {}, {}
  for i = 1, #a do rows_a[i] = i end
  for i = 1, #b do rows_b[i] = i end
  return pairs_between(a, rows_a, b, rows_b, not options or options.near ~= false)
end

--- assert_none(split, texts[, {near = true}]) -> split
-- Raises when `find` finds anything; names how many held-out rows, and the first pairs.
function leaks.assert_none(s, texts, options)
  check_split(s, "assert_none")
  local found = leaks.find(s, texts, options)
  if #found == 0 then return s end
  local first = {}
  for i = 1, math.min(3, #found) do
    first[i] = ("train row %d = valid row %d (%s)"):format(found[i].train, found[i].valid, found[i].kind)
  end
  error(("leaks: %d of %d held-out texts also stand in the training side: %s%s"):format(
    #found, #s.valid, table.concat(first, ", "), #found > 3 and ", ..." or ""), 2)
end

--- drop(split, texts[, {near = true}]) -> split, dropped
-- The same split without the training rows whose text is held out: `dropped` lists them. Resample afterwards.
function leaks.drop(s, texts, options)
  check_split(s, "drop")
  local _, resampled = split.role(s.train)
  if resampled then error("leaks.drop: drop before resampling", 2) end
  local kept, dropped, bad = {}, {}, {}
  for _, p in ipairs(pairs_between(texts, s.valid, texts, s.train, not options or options.near ~= false)) do bad[p.valid] = true end
  for _, row in ipairs(s.train) do table.insert(bad[row] and dropped or kept, row) end
  return split.given(kept, s.valid), dropped
end

return leaks
