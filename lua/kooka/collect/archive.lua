--- archive: a person's own X data archive, unpacked: tweets.js and like.js with their part files.
-- Each file is JavaScript: `window.YTD.tweets.part0 = [ {...} ]`. Text editors reformat such files, so keys without
-- quotes, single quotes, comments, trailing commas and a semicolon are read as well.
local core = require "kooka.core"
local json, sys = core.json, core.sys

local archive = {}

---- JavaScript literals to JSON -------------------------------------------------------------------

-- The end of the string that opens at i, and its text as a JSON string.
local function js_string(s, i)
  local quote, out, j = s:sub(i, i), {}, i + 1
  while true do
    local k = s:find("[\\" .. quote .. "\n]", j)
    if not k or s:sub(k, k) == "\n" then return nil end
    out[#out + 1] = s:sub(j, k - 1):gsub('"', '\\"')
    if s:sub(k, k) == quote then return k, '"' .. table.concat(out) .. '"' end
    local c = s:sub(k + 1, k + 1)
    out[#out + 1] = c == "'" and "'" or "\\" .. c
    j = k + 2
  end
end

-- Rewrites a JavaScript literal as JSON with the same lines; what is neither stays, for the JSON reader to name.
local function to_json(s)
  local out, i, comma = {}, 1, nil      -- comma: where in out the last one stands when only blanks followed
  local function add(text, stop, blank)
    out[#out + 1] = text
    i = stop + 1
    if not blank then comma = text == "," and #out or nil end
  end
  while i <= #s do
    local c = s:sub(i, i)
    if c == '"' or c == "'" then
      local stop, text = js_string(s, i)
      add(text or s:sub(i), stop or #s)
    elseif s:find("^//", i) then
      add("", (s:find("\n", i, true) or #s + 1) - 1, true)
    elseif s:find("^/%*", i) then
      local stop = select(2, s:find("*/", i + 2, true)) or #s
      add(s:sub(i, stop):gsub("[^\n]", ""), stop, true)
    elseif s:find("^[%a_$]", i) then
      local word = s:match("^[%w_$]+", i)
      add(s:find("^%s*:", i + #word) and '"' .. word .. '"' or word, i + #word - 1)
    elseif s:find("^%s", i) then
      local blank = s:match("^%s+", i)
      add(blank, i + #blank - 1, true)
    else
      if comma and (c == "]" or c == "}") then out[comma] = "" end
      local plain = s:match("^[%d.+%-eE]+", i) or c
      add(plain, i + #plain - 1)
    end
  end
  return (table.concat(out):gsub(";%s*$", ""))
end

--- parse(text, name) -> value | nil, message, code
-- The value of a file `window.YTD.x.part0 = value`. name: for messages, which give line and column in the file.
function archive.parse(text, name)
  local body = text:match("^\xef\xbb\xbf(.*)") or text
  local start = body:match("^%s*window%.[%w_.]+%s*=%s*()") or body:match("^%s*()[%[{]")
  if not start then return nil, ("%s: expected `window.YTD.... = [`, as in an X archive"):format(name), "format" end
  local skipped = select(2, body:sub(1, start - 1):gsub("\n", "\n"))
  local literal = ("\n"):rep(skipped) .. body:sub(start)      -- so that the lines of messages are those of the file
  local v = json.decode(literal, { nulls = "drop", name = name })
  if v ~= nil then return v end
  return json.decode(to_json(literal), { nulls = "drop", name = name })
end

---- the folder ------------------------------------------------------------------------------------

-- The files of a kind in order: tweets.js, tweets-part1.js ... ; before 2022 tweet.js.
local function parts(names, kinds)
  local list = {}
  for _, name in ipairs(names) do
    for _, kind in ipairs(kinds) do
      local part = name == kind .. ".js" and "0" or name:match("^" .. kind .. "%-part(%d+)%.js$")
      if part then list[#list + 1] = { name = name, part = tonumber(part), kind = kind } end
    end
  end
  table.sort(list, function(a, b) return a.kind < b.kind or a.kind == b.kind and a.part < b.part end)
  return list
end

local MONTHS = {}
for name in ("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"):gmatch("%a+") do
  MONTHS[#MONTHS + 1] = name
  MONTHS[name] = #MONTHS
end

-- "Wed Feb 10 18:00:00 +0000 2021" as "2021-02-10T18:00:00.000Z"; nil when it is something else.
local function iso_date(s)
  local month, day, time, year = tostring(s):match("^%a+ (%a+) (%d+) ([%d:]+) %+0000 (%d+)$")
  return MONTHS[month] and ("%s-%02d-%02dT%s.000Z"):format(year, MONTHS[month], tonumber(day), time) or nil
end

local function read_tweet(t, account)
  local kind = "post"
  if t.full_text:find("^RT @[%w_]+:") then kind = "repost"
  elseif t.in_reply_to_status_id_str or t.in_reply_to_status_id then kind = "reply" end
  return { id = t.id_str or t.id, author = account, text = t.full_text, created_at = iso_date(t.created_at),
    lang = t.lang, kind = kind, likes = math.tointeger(tonumber(t.favorite_count)), reposts = math.tointeger(tonumber(t.retweet_count)) }
end

local function read_items(folder, names, kinds, each)
  local problems, files = {}, 0
  for _, file in ipairs(parts(names, kinds)) do
    local path = folder .. "/" .. file.name
    local text, message, code = sys.read_file(path)
    if not text then return nil, message, code end
    local list
    list, message, code = archive.parse(text, path)
    if not list then return nil, message, code end
    files = files + 1
    for i, entry in ipairs(list) do
      if type(entry) ~= "table" or not each(entry) then
        problems[#problems + 1] = ("%s: item %d is not what this file holds"):format(path, i)
      end
    end
  end
  return files, problems
end

-- accountId of manifest.js, else of account.js; nil when neither says.
local function account_of(folder, names)
  for _, name in ipairs(names) do
    if name == "manifest.js" or name == "account.js" then
      local text = sys.read_file(folder .. "/" .. name)
      local v = text and archive.parse(text, name)
      v = type(v) == "table" and (v.userInfo or v[1] and v[1].account)
      if type(v) == "table" and v.accountId then return v.accountId end
    end
  end
end

--- read(folder) -> {posts=, likes=, account=, problems=} | nil, message, code
-- The unpacked archive or its data folder. posts as in store:add_page; likes: {person=, item=, text=, label=1} (the
-- archive does not tell what was seen and not liked, nor who wrote a liked post); items that are not posts or likes
-- are left out and named in problems.
function archive.read(folder)
  folder = folder:gsub("/+$", "")
  if sys.exists(folder .. "/data") then folder = folder .. "/data" end
  local names, message, code = sys.list(folder)
  if not names then return nil, message, code end
  local account = account_of(folder, names) or "me"
  local posts, likes, problems = {}, {}, {}
  local tweet_files, found, why = read_items(folder, names, { "tweets", "tweet" }, function(entry)
    local t = entry.tweet or entry
    local id = t.id_str or t.id
    if type(t.full_text) ~= "string" or type(id) ~= "string" then return false end
    posts[#posts + 1] = read_tweet(t, account)
    return true
  end)
  if not tweet_files then return nil, found, why end
  table.move(found, 1, #found, 1, problems)
  local like_files, more
  like_files, more, why = read_items(folder, names, { "like" }, function(entry)
    local l = entry.like
    if type(l) ~= "table" or type(l.tweetId) ~= "string" then return false end
    if type(l.fullText) == "string" then                 -- without it the post was deleted
      likes[#likes + 1] = { person = account, item = l.tweetId, text = l.fullText, label = 1 }
    end
    return true
  end)
  if not like_files then return nil, more, why end
  table.move(more, 1, #more, #problems + 1, problems)
  if tweet_files + like_files == 0 then
    return nil, folder .. ": no tweets.js, tweet.js or like.js here; expected an unpacked X archive", "format"
  end
  return { posts = posts, likes = likes, account = account, problems = problems }
end

--- import(store, folder) -> {posts=, duplicates=, likes=, problems=} | nil, message, code
-- Reads the archive into the store under the source "x-archive".
function archive.import(store, folder)
  local a, message, code = archive.read(folder)
  if not a then return nil, message, code end
  local got
  got, message, code = store:add_page { source = "x-archive", posts = a.posts, likes = a.likes,
    cursor = { name = "x-archive/" .. a.account, done = true } }
  if not got then return nil, message, code end
  got.problems = a.problems
  return got
end

return archive
