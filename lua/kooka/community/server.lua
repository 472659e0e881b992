--- server: the generated community behind X API v2's shapes, on 127.0.0.1 only.
-- What it serves (all GET, all with `Authorization: Bearer TOKEN`, pages of max_results 5..100 with meta.next_token):
--   /2/lists/1/members                              the people of the community
--   /2/users/:id, /2/users/by/username/:handle      one of them
--   /2/users/:id/tweets                             what a person wrote, newest first
--   /2/users/:id/timelines/reverse_chronological    what a person was shown
--   /2/users/:id/liked_tweets                       what of that the person liked
--   /2/tweets/search/recent?query=words             posts that hold all the words
-- The general label of a post is its context annotation: domain "Humour", entity "funny" or "not funny". Unlike X, one
-- token reads everybody's likes, and a page begins with the last post of the page before (a duplicate, as when new
-- posts push a timeline on).
local core = require "kooka.core"
local community = require "kooka.community"
local json, sys = core.json, core.sys

local server = {}

-- Requests, counted from 1, that go wrong so that every run shows how a collection goes on.
local FAULTS = { { at = 12, kind = "429", seconds = 1 }, { at = 25, kind = "500" } }

local function problem(status, title, detail, kind)
  return { status = status, headers = { ["Content-Type"] = "application/problem+json" }, body = json.encode {
    title = title, detail = detail, type = "https://api.x.com/2/problems/" .. kind, status = status } }
end

local function invalid(name, value)
  return problem(400, "Invalid Request", ("The `%s` query parameter value [%s] is not valid"):format(name, tostring(value)),
    "invalid-request")
end

local function user_shape(u)
  return { id = u.id, name = u.name, username = u.handle, description = "Generated; nobody real." }
end

local function post_shape(p)
  return { id = p.id, text = p.text, author_id = p.author, created_at = p.created_at, lang = "en",
    edit_history_tweet_ids = { p.id },
    public_metrics = { like_count = p.like_count, retweet_count = 0, reply_count = 0, quote_count = 0 },
    context_annotations = { { domain = { id = "1", name = "Humour", description = "Generated label" },
      entity = { id = p.funny == 1 and "11" or "10", name = p.funny == 1 and "funny" or "not funny" } } } }
end

-- Lists by endpoint and person, each in the order in which it is served.
local function index(c)
  local ix = { users = {}, handles = {}, posts = {}, written = {}, shown = {}, liked = {}, list = {}, newest = {} }
  for _, u in ipairs(c.users) do
    ix.users[u.id], ix.handles[u.handle:lower()] = u, u
    ix.written[u.id], ix.shown[u.id], ix.liked[u.id] = {}, {}, {}
    ix.list[#ix.list + 1] = u
  end
  for i = #c.posts, 1, -1 do
    local p = c.posts[i]
    p.like_count = 0
    ix.posts[p.id] = p
    table.insert(ix.written[p.author], p)
    table.insert(ix.newest, p)
  end
  for _, l in ipairs(c.likes) do
    local p = ix.posts[l.item]
    table.insert(ix.shown[l.user], p)
    if l.label == 1 then
      table.insert(ix.liked[l.user], p)
      p.like_count = p.like_count + 1
    end
  end
  for _, kind in ipairs { "shown", "liked" } do
    for _, list in pairs(ix[kind]) do table.sort(list, function(a, b) return a.number > b.number end) end
  end
  return ix
end

-- One page of list; shape: the function that makes an item. Users come without overlap.
local function page(ix, list, query, shape, overlap)
  local size = tonumber(query.max_results or "100")
  if not size or size < 5 or size > 100 then return invalid("max_results", query.max_results) end
  size = math.tointeger(size)
  local from, token = 1, query.pagination_token or query.next_token
  if token then
    from = tonumber(token:match("^t(%x+)$") or "", 16)
    if not from or from > #list then return invalid("pagination_token", token) end
  end
  local data, authors, known = {}, {}, {}
  local stop = math.min(from + size - 1, #list)
  for i = math.max(1, from - (token and overlap or 0)), stop do
    data[#data + 1] = shape(list[i])
    local u = ix.users[list[i].author]
    if u and not known[u] then
      known[u] = true
      authors[#authors + 1] = user_shape(u)
    end
  end
  local answer = { meta = { result_count = #data, next_token = stop < #list and ("t%07x"):format(stop + 1) or nil } }
  if #data > 0 then
    answer.data = data
    if #authors > 0 then
      answer.includes = { users = authors }
      answer.meta.newest_id, answer.meta.oldest_id = data[1].id, data[#data].id
    end
  end
  return { body = json.encode(answer) }
end

local USER_LISTS = { tweets = "written", ["timelines/reverse_chronological"] = "shown", liked_tweets = "liked" }

local function search(ix, query)
  if not query.query or query.query == "" then return invalid("query", query.query or "") end
  local list = {}
  for _, p in ipairs(ix.newest) do
    local all, text = true, p.text:lower()
    for word in query.query:lower():gmatch("%S+") do all = all and text:find(word, 1, true) end
    if all then list[#list + 1] = p end
  end
  return page(ix, list, query, post_shape, 1)
end

local function route(ix, r, overlap)
  local function one(u, what)
    if u then return { body = json.encode { data = user_shape(u) } } end
    return problem(404, "Not Found Error", ("Could not find user with %s."):format(what), "resource-not-found")
  end
  if r.path == "/2/lists/1/members" then return page(ix, ix.list, r.query, user_shape, 0) end
  if r.path == "/2/tweets/search/recent" then return search(ix, r.query) end
  local handle = r.path:match("^/2/users/by/username/([^/]+)$")
  if handle then return one(ix.handles[handle:lower()], "username: [" .. handle .. "]") end
  local id, what = r.path:match("^/2/users/(%d+)/?(.*)$")
  if id and what == "" then return one(ix.users[id], "id: [" .. id .. "]") end
  if id and USER_LISTS[what] then
    if not ix.users[id] then return one(nil, "id: [" .. id .. "]") end
    return page(ix, ix[USER_LISTS[what]][id], r.query, post_shape, overlap)
  end
  return problem(404, "Not Found Error", "There is nothing at " .. r.path, "resource-not-found")
end

-- The answer spoiled in the way that the fault says.
local function spoil(fault, answer)
  if fault.kind == "429" then
    local reset = math.ceil(sys.wall() + (fault.seconds or 1))
    local a = problem(429, "Too Many Requests", "Too Many Requests", "rate-limit-exceeded")
    a.headers["x-rate-limit-limit"], a.headers["x-rate-limit-remaining"] = "900", tostring(fault.remaining or 0)
    a.headers["x-rate-limit-reset"] = tostring(reset)
    return a
  end
  if fault.kind == "500" then return problem(500, "Internal Server Error", "Something is broken here (on purpose)", "internal") end
  if fault.kind == "truncated" then answer.truncate = #answer.body // 2
  elseif fault.kind == "bad_json" then answer.body = answer.body:sub(1, #answer.body // 2)
  elseif fault.kind == "bad_utf8" then answer.body = answer.body:gsub("text\":\"", "text\":\"\xff", 1)
  elseif fault.kind == "drop" then return { drop = true }
  elseif fault.kind == "slow" then sys.sleep(fault.seconds or 1) end
  return answer
end

--- handler(c, token[, {faults = true, overlap = 1}]) -> function(request) -> answer
-- Answers the requests above for a community of kooka.community.generate. faults: true for one 429 (whose reset is one
-- to two seconds away) and one 500; or a list of {at = first request, to = at, kind =, seconds =}, where kind is 429,
-- 500, truncated, bad_json, bad_utf8, drop or slow. overlap: posts of the page before that come again.
function server.handler(c, token, o)
  o = o or {}
  local faults = o.faults == nil and FAULTS or o.faults == true and FAULTS or o.faults or {}
  local ix, count, window, left = index(c), 0, 0, 0
  return function(r)
    count = count + 1
    if r.method ~= "GET" then return problem(405, "Method Not Allowed", "only GET", "invalid-request") end
    if r.headers.authorization ~= "Bearer " .. token then
      return problem(401, "Unauthorized", "Unauthorized", "not-authorized")
    end
    local now = sys.wall()
    if now >= window then window, left = now + 900, 9000 end
    left = left - 1
    local answer = route(ix, r, o.overlap or 1)
    for _, f in ipairs(faults) do
      if count >= f.at and count <= (f.to or f.at) then
        answer = spoil(f, answer)
        break
      end
    end
    if answer.drop then return answer end
    local h = answer.headers or { ["Content-Type"] = "application/json; charset=utf-8" }
    h["x-rate-limit-limit"] = h["x-rate-limit-limit"] or "9000"
    h["x-rate-limit-remaining"] = h["x-rate-limit-remaining"] or tostring(left)
    h["x-rate-limit-reset"] = h["x-rate-limit-reset"] or tostring(math.ceil(window))
    answer.headers = h
    return answer
  end
end

--- main([{users=, messages=, shown=, seed=, port = 0, faults = true, overlap = 1}]) -> exit status
-- Generates the community, prints the port on standard output and serves until standard input ends. The bearer token is
-- that of the environment variable KOOKA_COMMUNITY_TOKEN, or "community".
function server.main(o)
  o = o or {}
  local token = os.getenv("KOOKA_COMMUNITY_TOKEN") or "community"
  local handler = server.handler(community.generate(o), token, o)
  local srv <close>, message = core.server.new { port = o.port or 0 }
  if not srv then
    io.stderr:write(message, "\n")
    return 1
  end
  io.stdout:write(srv:port(), "\n")
  io.stdout:flush()
  local ok, why = srv:serve(handler, { stdin = true })
  if not ok then
    io.stderr:write(why, "\n")
    return 1
  end
  return 0
end

return server
