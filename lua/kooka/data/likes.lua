--- likes: who liked what, from the files people have. The unit is (person, text).
--
-- Formats, found by the names of files and columns:
--   votes.tsv                session, tweet_id, vote, text: 3 stars or more is a like; n (skipped) and d (odd) are dropped
--   ratings.csv + jokes.csv  user, joke, rating and joke, text: a rating of 5 or more is a like
--   *.tsv with annotator     annotator, item, label, text: label 1 is the class of interest
--   *.csv                    user, item, text, label: 1 (or like, true, yes) against 0
local core = require "kooka.core"
local csv = require "kooka.data.csv"

local likes = {}

local LIKE, OTHER = 2, 1                   -- class labels count from 1

-- Collects rows; texts and persons are stored once. One number with two texts is two items (MD-Agreement counts anew in each split): the
-- second is called number/2, and so on.
local function collector(name, positive)
  local d = { name = name, positive = positive, users = {}, items = {}, texts = {}, labels = {}, text_of = {}, dropped = 0 }
  local index, named = {}, {}
  function d.add(user, item, text, liked)
    local key = item .. "\0" .. text
    local at = index[key]
    if not at then
      at = #d.texts + 1
      local times = (named[item] and named[item].times or 0) + 1
      named[item] = named[item] or {}
      named[item].times, named[item][text] = times, times > 1 and item .. "/" .. times or item
      index[key], d.texts[at] = at, text
    end
    item = named[item][text]
    local n = #d.users + 1
    d.users[n], d.items[n], d.text_of[n], d.labels[n] = user, item, at, liked and LIKE or OTHER
  end
  return d
end

local function read_votes(path)
  local t, message, code = csv.read(path, { delimiter = "\t", escapes = true, columns = { "session", "tweet_id", "vote", "text" } })
  if not t then return nil, message, code end
  local d = collector("votes", "3 stars or more")
  for i = 1, t.n do
    local vote = t.vote[i]
    local stars = math.tointeger(tonumber(vote))
    if stars and stars >= 1 and stars <= 5 or vote == "x" then
      d.add(t.session[i], t.tweet_id[i], t.text[i], stars and stars >= 3)
    elseif vote == "n" or vote == "d" then
      d.dropped = d.dropped + 1
    else
      return nil, ("%s: row %d, column vote: '%s', expected 1..5, x, n or d"):format(path, i, vote), "format"
    end
  end
  return d
end

local function read_ratings(folder)
  local jokes, message, code = csv.read(folder .. "/jokes.csv", { columns = { "joke", "text" } })
  if not jokes then return nil, message, code end
  local t
  t, message, code = csv.read(folder .. "/ratings.csv", { columns = { "user", "joke", "rating" } })
  if not t then return nil, message, code end
  local ratings
  ratings, message, code = csv.numbers(t, "rating")
  if not ratings then return nil, message, code end
  local text = {}
  for i, id in ipairs(jokes.joke) do text[id] = jokes.text[i] end
  local d = collector("ratings", "a rating of 5 or more")
  for i, rating in ipairs(ratings) do
    if not text[t.joke[i]] then
      return nil, ("%s/ratings.csv: row %d, column joke: '%s' is not in jokes.csv"):format(folder, i, t.joke[i]), "format"
    end
    d.add(t.user[i], t.joke[i], text[t.joke[i]], rating >= 5)
  end
  return d
end

local YES = { ["1"] = true, like = true, liked = true, ["true"] = true, yes = true }
local NO = { ["0"] = true, dislike = true, disliked = true, ["false"] = true, no = true }

local function read_labels(path, delimiter, user_column, name, positive)
  local t, message, code = csv.read(path, { delimiter = delimiter, columns = { user_column, "item", "label", "text" } })
  if not t then return nil, message, code end
  local d = collector(name, positive)
  for i = 1, t.n do
    local label = t.label[i]:lower()
    if not YES[label] and not NO[label] then
      return nil, ("%s: row %d, column label: '%s', expected 1 or 0 (like or dislike)"):format(path, i, t.label[i]), "format"
    end
    for _, column in ipairs { user_column, "text" } do
      if not t[column][i]:find("%S") then return nil, ("%s: row %d, column %s: nothing stands there"):format(path, i, column), "format" end
    end
    d.add(t[user_column][i], t.item[i], t.text[i], YES[label] or false)
  end
  return d
end

local function is_file(path) return core.sys.stat(path) ~= nil end

-- The one table in a folder, or the path itself.
local function detect(path)
  local facts, missing, why = core.sys.stat(path)
  if not facts then return nil, missing, why end
  if is_file(path .. "/votes.tsv") then return read_votes(path .. "/votes.tsv") end
  if is_file(path .. "/ratings.csv") then return read_ratings(path) end
  if is_file(path .. "/labels_train_dev.tsv") then path = path .. "/labels_train_dev.tsv" end
  local file = io.open(path, "r")
  local head = file and file:read("l")
  if file then file:close() end
  if not head then return nil, path .. ": no votes.tsv, no ratings.csv with jokes.csv, and not a table of labels", "io" end
  if head:find("\t", 1, true) then
    if head:find("annotator", 1, true) then return read_labels(path, "\t", "annotator", "labels", "label 1") end
    if head:find("session", 1, true) then return read_votes(path) end
    return read_labels(path, "\t", "user", "likes", "label 1")
  end
  return read_labels(path, ",", "user", "likes", "label 1")
end

--- likes.read(path) -> {users=, items=, labels=, text_of=, texts=, name=, positive=, dropped=} | nil, message, code
-- One row for each (person, text): users[i], items[i], labels[i] (2 = like, 1 = not), and texts[text_of[i]]. texts holds each
-- text once. positive says what counts as a like; dropped: rows that say nothing.
function likes.read(path)
  local d, message, code = detect(path)
  if not d then return nil, message, code end
  if #d.labels == 0 then return nil, path .. ": no row says who liked what", "format" end
  d.add = nil
  return d
end

--- likes.left_out(d) -> text
-- "; 5502 rows say nothing (skipped or odd) and are left out", or the empty string.
function likes.left_out(d)
  if d.dropped == 0 then return "" end
  return ("; %d %s nothing (skipped or odd) and %s left out"):format(d.dropped, d.dropped == 1 and "row says" or "rows say",
    d.dropped == 1 and "is" or "are")
end

--- likes.count(users) -> number of different persons
function likes.count(users)
  local seen, n = {}, 0
  for _, u in ipairs(users) do
    if not seen[u] then seen[u], n = true, n + 1 end
  end
  return n
end

--- likes.first_people(d, people, min) -> d with the ratings of the first persons who have min or more
function likes.first_people(d, people, min)
  local count, taken, n, rows = {}, {}, 0, {}
  for _, u in ipairs(d.users) do count[u] = (count[u] or 0) + 1 end
  for i, u in ipairs(d.users) do
    if not taken[u] and count[u] >= min and n < people then taken[u], n = true, n + 1 end
    if taken[u] then rows[#rows + 1] = i end
  end
  local out = {}
  for k, v in pairs(d) do out[k] = v end
  for _, field in ipairs { "users", "items", "labels", "text_of" } do
    out[field] = {}
    for i, row in ipairs(rows) do out[field][i] = d[field][row] end
  end
  return out
end

return likes
