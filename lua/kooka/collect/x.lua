--- x: posts, people and likes from X API v2, or from a server that speaks its shapes.
-- Answers are read in both spellings: tweet.fields, referenced_tweets, includes.tweets (documents up to 2.162) and
-- post.fields, referenced_posts, includes.posts (2.167). Every page is kept with its cursor in one transaction.
--
-- X's developer agreement forbids using its content "to fine-tune or train a foundation or frontier model", asks that
-- posts deleted there are deleted here (store:forget), and that no more than ids are shared.
local core = require "kooka.core"
local json, http, sys = core.json, core.http, core.sys
local pacing = require "kooka.collect.pacing"

local x = {}
local Client = {}
Client.__index = Client

local SOURCE = "x"
local DEFAULTS = { base_url = "https://api.x.com", token_env = "X_BEARER_TOKEN", source = SOURCE, timeout = 30,
  spelling = "tweet", page_size = 100, limit_waits = 20 }
local PACING = { "tries", "first", "longest", "longest_limit", "seed", "on_wait", "sleep" }

--- client([{base_url =, token_env =, token =, source =, page_size =, ...}]) -> client | nil, message, code
-- base_url: https://api.x.com, or http:// on this machine. token_env: the environment variable that holds the bearer
-- token (X_BEARER_TOKEN), unless token is given; it is never printed or stored. source: the name under which posts
-- are kept ("x"). page_size: items asked for at once, 5 to 100 (100). timeout: seconds a request (30). spelling:
-- "tweet" or "post". limit_waits: rate limits in a row that are waited for (20). tries, first, longest,
-- longest_limit, seed, on_wait, sleep: see kooka.collect.pacing.
function x.client(o)
  o = o or {}
  local c, pace = {}, {}
  for k, v in pairs(DEFAULTS) do c[k] = v end
  for _, k in ipairs(PACING) do pace[k] = o[k] end
  for k, v in pairs(o) do
    if c[k] ~= nil then
      c[k] = v
    elseif k ~= "token" and pace[k] == nil then
      error(("x.client has no option '%s'"):format(k), 2)
    end
  end
  c.token = o.token or os.getenv(c.token_env)
  if not c.token or c.token == "" then
    return nil, ("x: the environment variable %s, for the bearer token, is not set"):format(c.token_env), "argument"
  end
  c.base_url = c.base_url:gsub("/+$", "")
  c.pace = pacing.new(pace)
  c.requests = 0
  return setmetatable(c, Client)
end

local function escape(s)
  return (tostring(s):gsub("[^%w%-._~]", function(b) return ("%%%02X"):format(b:byte()) end))
end

local function query_of(parameters)
  local list = {}
  for k, v in pairs(parameters) do list[#list + 1] = escape(k) .. "=" .. escape(v) end
  table.sort(list)
  return #list > 0 and "?" .. table.concat(list, "&") or ""
end

-- Title and detail of a problem, one line, short.
local function problem_of(body)
  local v = json.decode(body, { nulls = "drop" })
  if type(v) ~= "table" then return nil end
  local first = type(v.errors) == "table" and v.errors[1] or {}
  local text = v.detail or first.message or first.detail or v.title
  return type(text) == "string" and text:gsub("%s+", " "):sub(1, 200) or nil, tostring(v.type or first.type or ""), body
end

local FINAL = {
  [400] = "the request was refused", [401] = "the bearer token was refused", [403] = "this token may not do that",
  [404] = "not found", [402] = "no credits are left",
}

-- What to do about an answer: "done", "retry" with a reason, "limit" with seconds, or "stop" with message and code.
local function judge(self, answer, message, code, limits)
  if not answer then
    if code == "net" then return "retry", message end
    return "stop", message, code
  end
  local status = answer.status
  if status >= 200 and status < 300 then
    local value, why = json.decode(answer.body, { nulls = "drop", name = "answer" })
    if type(value) == "table" then return "done", value end
    return "retry", why or "the answer is no JSON object", "format"
  end
  local detail, kind = problem_of(answer.body)
  detail = detail and ": " .. detail or ""
  if status == 429 then
    if kind:find("usage-capped", 1, true) then
      return "stop", "429: the monthly cap is used up, waiting does not help" .. detail, "net"
    end
    local seconds = pacing.limit(answer.headers, sys.wall(), limits + 1)
    if seconds > self.pace.longest_limit or limits >= self.limit_waits then
      return "stop", ("429: the rate limit ends in %.0f s, longer than this waits"):format(seconds), "net"
    end
    return "limit", seconds
  end
  if status >= 500 or status == 408 then return "retry", ("%d%s"):format(status, detail) end
  return "stop", ("%d: %s%s"):format(status, FINAL[status] or "the server refused", detail), "net", status
end

--- client:get(path, parameters) -> value, headers | nil, message, code, status
-- One request with everything that keeps it alive: waits for rate limits, tries again after network errors, 5xx and
-- answers that are no JSON. Codes: net, format, library.
function Client:get(path, parameters)
  local url = self.base_url .. "/2/" .. path .. query_of(parameters or {})
  local failures, limits = 0, 0
  while true do
    if self.limited_until and self.limited_until > sys.wall() then   -- the last answer said that none is left
      local seconds = self.limited_until - sys.wall()
      if seconds <= self.pace.longest_limit then self.pace:wait(seconds, "rate limit") end
    end
    self.requests = self.requests + 1
    local answer, message, code = http.request { url = url, timeout = self.timeout, redirects = 0,
      headers = { Authorization = "Bearer " .. self.token, Accept = "application/json" } }
    local verdict, a, b, status = judge(self, answer, message, code, limits)
    self.limited_until = nil
    if verdict == "done" then
      local h = answer.headers
      if tonumber(h["x-rate-limit-remaining"]) == 0 and tonumber(h["x-rate-limit-reset"]) then
        self.limited_until = tonumber(h["x-rate-limit-reset"]) + 0.5
      end
      return a, h
    elseif verdict == "stop" then
      return nil, ("x: %s: %s"):format(path, a), b, status
    elseif verdict == "limit" then
      limits = limits + 1
      self.pace:wait(a, "rate limit")
    else
      failures = failures + 1
      if failures >= self.pace.tries then
        return nil, ("x: %s: gave up after %d tries: %s"):format(path, failures, a), b or "net"
      end
      self.pace:wait(self.pace:backoff(failures), a)
    end
  end
end

---- reading pages ---------------------------------------------------------------------------------

local KINDS = { retweeted = "repost", reposted = "repost", replied_to = "reply", quoted = "quote" }

local function annotations_of(post)
  local out
  for _, a in ipairs(post.context_annotations or {}) do
    if a.domain and a.entity and a.domain.name and a.entity.name then
      out = out or {}
      out[a.domain.name] = a.entity.name
    end
  end
  return out
end

local function read_post(p, others)
  local metrics = p.public_metrics or {}
  local long = p.note_tweet or p.note_post
  local post = { id = p.id, author = p.author_id, text = long and long.text or p.text, created_at = p.created_at,
    lang = p.lang, kind = "post", likes = metrics.like_count, replies = metrics.reply_count,
    reposts = metrics.retweet_count or metrics.repost_count, annotations = annotations_of(p) }
  for _, r in ipairs(p.referenced_tweets or p.referenced_posts or {}) do
    local kind = KINDS[r.type]
    if kind == "repost" or post.kind == "post" then post.kind = kind or post.kind end
    if kind == "repost" and others[r.id] then post.text = others[r.id].text end   -- the copy is cut short
  end
  return post
end

local function read_person(u)
  return { id = u.id, handle = u.username, name = u.name, about = u.description }
end

--- read_page(value) -> {posts=, people=, next_token=, problems=} | nil, message, code
-- A decoded answer of any endpoint that lists posts or users, in either spelling. problems: texts of partial errors.
function x.read_page(v)
  local includes, others = v.includes or {}, {}
  local page = { posts = {}, people = {}, problems = {}, next_token = v.meta and v.meta.next_token }
  for _, p in ipairs(includes.tweets or includes.posts or {}) do
    if p.id then others[p.id] = read_post(p, {}) end
  end
  local data = v.data or {}
  if data.id then data = { data } end
  for i, d in ipairs(data) do
    if type(d) ~= "table" or type(d.id) ~= "string" then
      return nil, ("x: item %d of the page has no id in quotes"):format(i), "format"
    end
    if d.username then
      page.people[#page.people + 1] = read_person(d)
    elseif type(d.text) == "string" then
      page.posts[#page.posts + 1] = read_post(d, others)
    else
      return nil, ("x: item %d of the page (%s) is neither a post nor a user"):format(i, d.id), "format"
    end
  end
  for _, u in ipairs(includes.users or {}) do page.people[#page.people + 1] = read_person(u) end
  for _, e in ipairs(v.errors or {}) do page.problems[#page.problems + 1] = e.detail or e.title or "unknown problem" end
  return page
end

---- collecting ------------------------------------------------------------------------------------

-- Fields asked for, without the prefix that is spelled in two ways.
local FIELDS = "id,text,author_id,created_at,lang,public_metrics,context_annotations,note_%s,referenced_%ss"

local function fields_of(client)
  local s = client.spelling
  return s .. ".fields", FIELDS:format(s, s)
end

local function parameters_of(self, job, token)
  local p = { max_results = self.page_size }
  if job.posts then
    local name, fields = fields_of(self)
    p[name] = fields
    p.expansions = ("author_id,referenced_%ss.id"):format(self.spelling)
  end
  p["user.fields"] = "id,name,username,description"
  for k, v in pairs(job.parameters or {}) do p[k] = v end
  p.pagination_token = token
  return p
end

-- One page of the job; a server of the other spelling is noticed by its 400, a token that has expired likewise.
local function get_page(self, job, token)
  local v, message, code, status = self:get(job.path, parameters_of(self, job, token))
  if status == 400 and message:find("%w+%.fields") and not self.respelled then
    self.respelled, self.spelling = true, self.spelling == "tweet" and "post" or "tweet"
    return get_page(self, job, token)
  end
  if status == 400 and token and message:find("token") and not job.restarted then
    job.restarted = true                 -- from the newest on: what is there already is not kept twice
    return get_page(self, job, nil)
  end
  if not v then return nil, message, code end
  return x.read_page(v)
end

local function summary_text(store, s)
  return ("%d posts in %d pages are kept in %s; the same call goes on behind them"):format(s.items, s.pages, store.path)
end

-- Runs a job {name=, path=, posts=, parameters=, person=, label=} to its end or its budget.
local function collect(self, store, job, o)
  o = o or {}
  local cursor = store:cursor(job.name) or { pages = 0, items = 0 }
  local s = { name = job.name, pages = cursor.pages, items = cursor.items, new = 0, duplicates = 0,
    done = cursor.done or false, resumed = cursor.pages > 0, problems = {} }
  local token, read = cursor.token, 0
  while not s.done do
    if o.budget and read >= o.budget then
      s.stopped = "budget"
      return s
    end
    local page, message, code = get_page(self, job, token)
    if page and token and page.next_token == token then
      page, message, code = nil, ("x: %s: the server answered the same page token twice"):format(job.path), "format"
    end
    if not page then return nil, message .. "; " .. summary_text(store, s), code, s end
    local likes
    if job.person then
      likes = {}
      for i, p in ipairs(page.posts) do
        likes[i] = { person = job.person, item = p.id, text = p.text, label = job.label }
      end
    end
    read = read + #page.posts
    s.done = page.next_token == nil
    local got
    got, message, code = store:add_page { source = self.source, posts = page.posts, people = page.people, likes = likes,
      cursor = { name = job.name, token = page.next_token, done = s.done } }
    if not got then return nil, ("%s: %s; %s"):format(store.path, message, summary_text(store, s)), code, s end
    token = page.next_token
    s.pages, s.items, s.new = s.pages + 1, s.items + got.posts, s.new + got.posts
    s.duplicates = s.duplicates + got.duplicates
    for _, p in ipairs(page.problems) do s.problems[#s.problems + 1] = p end
    if o.on_page then o.on_page(s, page) end
  end
  return s
end

--- client:timeline(store, user_id[, {budget=, on_page=}]) -> summary | nil, message, code, summary
-- The posts that a user wrote (GET /2/users/:id/tweets, the newest 3,200). budget: posts read at most, whole pages.
-- summary: {name=, pages=, items=, new=, duplicates=, done=, resumed=, stopped=, problems={}}; on_page(summary, page)
-- after every page. A failure says what is kept; the same call goes on from there. Codes: net, format, database.
function Client:timeline(store, id, o)
  return collect(self, store, { name = ("%s/users/%s/tweets"):format(self.source, id),
    path = ("users/%s/tweets"):format(id), posts = true }, o)
end

--- client:search(store, query[, options]) -> summary | nil, message, code, summary
-- Posts of the last 7 days (GET /2/tweets/search/recent). Options and answers as client:timeline.
function Client:search(store, query, o)
  return collect(self, store, { name = self.source .. "/search/" .. query, path = "tweets/search/recent", posts = true,
    parameters = { query = query } }, o)
end

--- client:liked(store, user_id[, options]) -> summary | nil, message, code, summary
-- What a user liked (GET /2/users/:id/liked_tweets; X wants the user's own token). Kept as likes with label 1.
function Client:liked(store, id, o)
  return collect(self, store, { name = ("%s/users/%s/liked_tweets"):format(self.source, id),
    path = ("users/%s/liked_tweets"):format(id), posts = true, person = id, label = 1 }, o)
end

--- client:shown(store, user_id[, options]) -> summary | nil, message, code, summary
-- What a user was shown (GET /2/users/:id/timelines/reverse_chronological; X wants the user's own token). Kept without
-- a label; after client:liked and store:settle(source, user_id) what was not liked has label 0.
function Client:shown(store, id, o)
  return collect(self, store, { name = ("%s/users/%s/shown"):format(self.source, id),
    path = ("users/%s/timelines/reverse_chronological"):format(id), posts = true, person = id }, o)
end

--- client:members(store, list_id[, options]) -> summary | nil, message, code, summary
-- The people on a list (GET /2/lists/:id/members).
function Client:members(store, id, o)
  return collect(self, store, { name = ("%s/lists/%s/members"):format(self.source, id),
    path = ("lists/%s/members"):format(id) }, o)
end

--- client:user(store, handle) -> person | nil, message, code
-- Looks a user up by name (GET /2/users/by/username/:handle) and keeps the entry.
function Client:user(store, handle)
  handle = handle:gsub("^@", "")
  if not handle:find("^[%w_]+$") then error(("client:user: %q is no user name"):format(handle), 2) end
  local v, message, code = self:get("users/by/username/" .. handle, { ["user.fields"] = "id,name,username,description" })
  if not v then return nil, message, code end
  local page
  page, message, code = x.read_page(v)
  if not page then return nil, message, code end
  if not page.people[1] then return nil, ("x: no user %s: %s"):format(handle, page.problems[1] or "empty answer"), "net" end
  local ok
  ok, message, code = store:add_page { source = self.source, people = page.people }
  if not ok then return nil, message, code end
  return page.people[1]
end

--- client:collect_people(store, ids[, {posts=, likes=, budget=, on_page=}]) -> totals | nil, message, code, totals
-- For every id what it wrote (posts = false: not), was shown and liked (likes = false: not), then settles its labels.
-- budget: posts read by this call, over all of them. totals: {people=, new=, duplicates=, requests=, waited=,
-- stopped=}.
function Client:collect_people(store, ids, o)
  o = o or {}
  local totals = { people = 0, new = 0, duplicates = 0, read = 0 }
  local kinds = {}
  if o.posts ~= false then kinds[#kinds + 1] = "timeline" end
  if o.likes ~= false then kinds[#kinds + 1] = "shown"; kinds[#kinds + 1] = "liked" end
  local function total()
    totals.requests, totals.waited = self.requests, self.pace.waited
    return totals
  end
  for _, id in ipairs(ids) do
    for _, kind in ipairs(kinds) do
      local left = o.budget and o.budget - totals.read
      local s, message, code, partial = self[kind](self, store, id, { budget = left, on_page = o.on_page })
      local counted = s or partial
      totals.new, totals.duplicates = totals.new + counted.new, totals.duplicates + counted.duplicates
      totals.read = totals.read + counted.new + counted.duplicates
      if not s then return nil, message, code, total() end
      if s.stopped then
        totals.stopped = s.stopped
        return total()
      end
    end
    if o.likes ~= false then
      local ok, message, code = store:settle(self.source, id)
      if not ok then return nil, message, code, total() end
    end
    totals.people = totals.people + 1
  end
  return total()
end

--- cost{posts=, users=, likes=, own=} -> US dollars
-- What X charges for so many reads (pay per use, February 2026: a post 0.005, a user 0.010, a like 0.001, an own post
-- 0.001).
function x.cost(n)
  return (n.posts or 0) * 0.005 + (n.users or 0) * 0.010 + (n.likes or 0) * 0.001 + (n.own or 0) * 0.001
end

return x
