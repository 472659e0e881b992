--- collect_spec: collections over loopback survive what servers do, and go on where they stopped.
local lu = require "luaunit"
local kooka = require "kooka"
local community = require "kooka.community"
local loopback = require "loopback"
local tweets = require "kooka.store.tweets"
local x = require "kooka.collect.x"
local archive = require "kooka.collect.archive"
local pacing = require "kooka.collect.pacing"
local json, sys = kooka.json, kooka.sys

local dir = os.tmpname()
os.remove(dir)
assert(sys.mkdir_p(dir))
local stores, servers = 0, {}

local function new_store()
  stores = stores + 1
  return assert(tweets.open(("%s/%d.db"):format(dir, stores)))
end

-- A small community whose requests go wrong as told.
local function serve(faults, more)
  local o = { users = 3, messages = 60, seed = 2, faults = faults or false }
  for k, v in pairs(more or {}) do o[k] = v end
  local s = assert(community.start(o))
  servers[#servers + 1] = s
  s.truth = community.generate { users = o.users, messages = o.messages, seed = 2 }
  return s
end

local function client(s, more)
  local o = { base_url = s.url, token = s.token, page_size = 10, tries = 3, first = 0.001, longest = 0.01, timeout = 5 }
  for k, v in pairs(more or {}) do o[k] = v end
  return assert(x.client(o))
end

local function ids_of(store)
  local ids = {}
  for i, p in ipairs(store:people()) do ids[i] = p.id end
  return ids
end

TestX = {}

function TestX:test_a_whole_community_arrives_with_its_labels_whatever_goes_wrong_on_the_way()
  local s = serve { { at = 2, kind = "500" }, { at = 4, kind = "429", seconds = 0 }, { at = 7, kind = "truncated" }, { at = 9, to = 10, kind = "bad_json" },
    { at = 12, kind = "bad_utf8" }, { at = 15, kind = "drop" }, { at = 17, kind = "429", remaining = 3 }, { at = 20, kind = "slow", seconds = 0.4 } }
  local waits = {}
  local c = client(s, { timeout = 0.3, on_wait = function(_, reason) waits[#waits + 1] = reason end, sleep = function() end })
  local store <close> = new_store()
  assert(c:members(store, s.list))
  local totals = assert(c:collect_people(store, ids_of(store)))
  lu.assertEquals(totals.people, 3)
  lu.assertEquals(totals.new, 180)
  local n = store:counts()
  lu.assertEquals({ n.posts, n.likes, n.people, n.open }, { 180, 180, 3, 0 })
  local truth, funny = {}, {}
  for _, l in ipairs(s.truth.likes) do truth[l.user .. " " .. l.item] = l end
  for _, l in ipairs(store:likes()) do
    local t = truth[l.person .. " " .. l.item]
    lu.assertEquals({ l.text, l.label }, { t.text, t.label })
  end
  for _, p in ipairs(s.truth.posts) do funny[p.id] = p.funny end
  for _, p in ipairs(store:posts()) do lu.assertEquals(community.funny_of(p), funny[p.id]) end
  local reasons = table.concat(waits, "\n")
  for _, r in ipairs { "500: Something", "rate limit", "ended early", "line 1, column", "unable to decode", "in time" } do
    lu.assertStrContains(reasons, r)
  end
  lu.assertEquals(#waits, 8)             -- the dropped one is asked again by curl itself: the connection was an old one
end

function TestX:test_posts_that_come_twice_are_counted_and_kept_once()
  local s = serve()
  local store <close> = new_store()
  local got = assert(client(s):timeline(store, s.truth.users[1].id))
  lu.assertEquals({ got.new, got.duplicates, got.pages, got.done, got.resumed }, { 60, 5, 6, true, false })
end

function TestX:test_a_429_waits_until_the_reset()
  local s = serve { { at = 1, kind = "429", seconds = 0.3 } }
  local waited = {}
  local c = client(s, { on_wait = function(seconds, reason) waited[#waited + 1] = { seconds, reason } end })
  local store <close> = new_store()
  local start = sys.wall()
  assert(c:members(store, "1"))
  lu.assertEquals({ #waited, waited[1][2] }, { 1, "rate limit" })
  lu.assertTrue(sys.wall() - start >= waited[1][1] - 0.02)
  lu.assertTrue(waited[1][1] >= 0.5 and waited[1][1] <= 2)
end

function TestX:test_limits_beyond_the_longest_wait_and_used_up_caps_end_at_once()
  local url = loopback.start [[return function(r)
    local h = { ["x-rate-limit-remaining"] = "0", ["x-rate-limit-reset"] = tostring(math.floor(kooka.sys.wall()) + 5000) }
    if r.path:find("lists/1/") then return { status = 429, headers = h, body = "{}" } end
    return { status = 429, body = json.encode { title = "UsageCapExceeded", detail = "Usage cap exceeded: Monthly product cap",
      type = "https://api.twitter.com/2/problems/usage-capped" } }
  end]]
  local c = client({ url = url, token = "t" })
  local store <close> = new_store()
  local v, message, code = c:members(store, "1")
  lu.assertNil(v)
  lu.assertStrMatches(message, ".*rate limit ends in %d+ s.*0 posts in 0 pages are kept.*")
  lu.assertEquals(code, "net")
  v, message = c:members(store, "2")
  lu.assertNil(v)
  lu.assertStrContains(message, "Monthly product cap")
  lu.assertEquals(c.requests, 2)
end

function TestX:test_a_storm_of_500s_ends_with_what_is_kept_and_the_next_call_goes_on()
  local s = serve { { at = 4, to = 6, kind = "500" } }
  local store <close> = new_store()
  local c = client(s)
  local id = s.truth.users[1].id
  local v, message, code, partial = c:timeline(store, id)
  lu.assertNil(v)
  lu.assertEquals(code, "net")
  lu.assertStrContains(message, "gave up after 3 tries: 500: Something is broken here")
  lu.assertStrContains(message, "30 posts in 3 pages are kept in " .. store.path)
  lu.assertEquals({ partial.new, partial.done }, { 30, false })
  lu.assertEquals(c.requests, 6)
  local got = assert(c:timeline(store, id))
  lu.assertEquals({ got.new, got.items, got.pages, got.resumed, got.done }, { 30, 60, 6, true, true })
  lu.assertEquals(c.requests, 9)
  assert(c:timeline(store, id))
  lu.assertEquals(c.requests, 9)         -- nothing is asked again
end

function TestX:test_a_dead_server_is_tried_again_and_named_without_the_token()
  local store <close> = new_store()
  local c = client({ url = "http://127.0.0.1:9", token = "SECRETTOKEN" })
  local v, message, code = c:search(store, "SECRETQUERY words")
  lu.assertNil(v)
  lu.assertEquals(code, "net")
  lu.assertStrContains(message, "x: tweets/search/recent: gave up after 3 tries: GET http://127.0.0.1:9/2/tweets/search/recent: Failed to connect")
  lu.assertNotStrContains(message, "SECRET")
  lu.assertEquals(c.requests, 3)
end

function TestX:test_a_killed_collection_goes_on_behind_its_last_whole_page()
  local s = serve(nil, { users = 2, messages = 200 })
  local path, id = dir .. "/killed.db", s.truth.users[1].id
  local child = assert(sys.spawn({ assert(sys.exe()), "-e", ([[
    local x, tweets = require "kooka.collect.x", require "kooka.store.tweets"
    local c = assert(x.client { base_url = %q, token_env = "T", page_size = 10 })
    local store = assert(tweets.open(%q))
    c:timeline(store, %q, { on_page = function(s)
      io.stdout:write(s.pages, "\n") io.stdout:flush()
      require("kooka.core").sys.sleep(s.pages < 7 and 0 or 60)
    end })]]):format(s.url, path, id) },
    { stdin = "null", stdout = "pipe", env = { T = s.token, LUA_PATH = package.path, LUA_CPATH = package.cpath } }))
  for page = 1, 7 do lu.assertEquals(child:read_line(), tostring(page)) end
  assert(child:kill "kill")
  lu.assertEquals(child:wait(10), 137)
  local store <close> = assert(tweets.open(path))
  lu.assertEquals(store:cursor("x/users/" .. id .. "/tweets").pages, 7)
  lu.assertEquals(store:counts().posts, 70)
  local c = client(s)
  local got = assert(c:timeline(store, id))
  lu.assertEquals({ got.resumed, got.pages, got.new, store:counts().posts, c.requests }, { true, 20, 130, 200, 13 })
end

function TestX:test_a_budget_stops_after_whole_pages_and_can_be_continued()
  local s = serve()
  local store <close> = new_store()
  local c = client(s)
  local id = s.truth.users[2].id
  local got = assert(c:timeline(store, id, { budget = 15 }))
  lu.assertEquals({ got.stopped, got.pages, got.done }, { "budget", 2, false })
  lu.assertEquals(assert(c:timeline(store, id, { budget = 0 })).new, 0)
  got = assert(c:timeline(store, id))
  lu.assertEquals({ got.done, store:counts().posts }, { true, 60 })
  local totals = assert(c:collect_people(store, { s.truth.users[1].id, id }, { budget = 25 }))
  lu.assertEquals({ totals.stopped, totals.people }, { "budget", 0 })
end

function TestX:test_refusals_are_explained_and_not_repeated()
  local s = serve()
  local store <close> = new_store()
  local c = client(s)
  local v, message = c:timeline(store, "12")
  lu.assertNil(v)
  lu.assertStrContains(message, "404: not found: Could not find user with id: [12].")
  v, message = client({ url = s.url, token = "wrong" }):timeline(store, "12")
  lu.assertNil(v)
  lu.assertStrContains(message, "401: the bearer token was refused")
  lu.assertEquals(c.requests, 1)
end

function TestX:test_an_expired_page_token_begins_anew_without_doubling()
  local s = serve()
  local store <close> = new_store()
  local c = client(s)
  local id = s.truth.users[1].id
  assert(c:timeline(store, id, { budget = 20 }))
  store:add_page { source = "x", cursor = { name = "x/users/" .. id .. "/tweets", token = "expired" } }
  local got = assert(c:timeline(store, id))
  lu.assertEquals({ got.done, store:counts().posts }, { true, 60 })
end

function TestX:test_a_server_that_repeats_its_page_token_is_noticed()
  local url = loopback.start [[local n = 0 return function()
    n = n + 1
    return { body = json.encode { data = { { id = tostring(n), text = "t", author_id = "1" } }, meta = { next_token = "same" } } } end]]
  local store <close> = new_store()
  local v, message, code = client({ url = url, token = "t" }):timeline(store, "1")
  lu.assertNil(v)
  lu.assertStrContains(message, "same page token twice")
  lu.assertEquals(code, "format")
end

function TestX:test_empty_pages_with_a_next_token_are_not_the_end()
  local url = loopback.start [[return function(r)
    if not r.query.pagination_token then return { body = '{"meta":{"result_count":0,"next_token":"b"}}' } end
    return { body = '{"data":[{"id":"5","text":"t"}],"meta":{"result_count":1}}' } end]]
  local store <close> = new_store()
  local got = assert(client({ url = url, token = "t" }):timeline(store, "1"))
  lu.assertEquals({ got.pages, got.new, got.done }, { 2, 1, true })
end

function TestX:test_the_other_spelling_of_fields_is_tried_when_one_is_refused()
  local url = loopback.start [[return function(r)
    if r.query["tweet.fields"] then
      return { status = 400, body = json.encode { errors = { { message = "The query parameter [tweet.fields] is not one of [post.fields]" } },
        title = "Invalid Request", type = "https://api.x.com/2/problems/invalid-request" } }
    end
    return { body = json.encode { data = { { id = "9", text = "RT @a: short…", referenced_posts = { { type = "reposted", id = "8" } } } },
      includes = { posts = { { id = "8", text = "the whole long text" } } } } } end]]
  local store <close> = new_store()
  local c = client({ url = url, token = "t" })
  assert(c:timeline(store, "1"))
  local p = store:posts()[1]
  lu.assertEquals({ p.id, p.text, p.kind, c.requests }, { "9", "the whole long text", "repost", 2 })
end

function TestX:test_pages_of_both_spellings_are_read()
  local old = x.read_page { data = { { id = "1", text = "cut", note_tweet = { text = "long" }, public_metrics = { retweet_count = 4, like_count = 2 },
    referenced_tweets = { { type = "replied_to", id = "3" } } } }, includes = { users = { { id = "7", username = "u" } } }, meta = { next_token = "n" } }
  local new = x.read_page { data = { { id = "1", text = "cut", note_post = { text = "long" }, public_metrics = { repost_count = 4, like_count = 2 },
    referenced_posts = { { type = "replied_to", id = "3" } } } }, includes = { users = { { id = "7", username = "u" } } }, meta = { next_token = "n" } }
  lu.assertEquals(old, new)
  lu.assertEquals({ old.posts[1].text, old.posts[1].reposts, old.posts[1].kind, old.next_token }, { "long", 4, "reply", "n" })
  local v, message, code = x.read_page { data = { { id = 1, text = "t" } } }
  lu.assertNil(v)
  lu.assertStrContains(message, "item 1 of the page has no id in quotes")
  lu.assertEquals(code, "format")
  lu.assertEquals(x.read_page({ errors = { { detail = "gone" } } }).problems, { "gone" })
end

function TestX:test_recorded_answers_are_read()
  local folder = "../shared/data/api/x/pytwitter_testdata/apis/"
  local wanted = { ["timeline/timeline_tweets"] = "posts", ["timeline/timeline_mentions"] = "posts", ["user/user_liked_tweets_resp"] = "posts",
    ["searches/search_tweets_query"] = "posts", ["tweet/tweets_resp"] = "posts", ["tweet/tweet_resp"] = "posts", ["user/followers_resp"] = "people",
    ["user/users_resp"] = "people", ["user/user_resp"] = "people", ["timeline/timeline_reverse_chronological"] = "posts" }
  lu.skipIf(not sys.exists(folder), "no recorded answers below ../shared/data/api/x")
  local store <close> = new_store()
  for name, kind in pairs(wanted) do
    local v = assert(json.decode((assert(sys.read_file(folder .. name .. ".json"))), { nulls = "drop" }))
    local page = assert(x.read_page(v), name)
    lu.assertEquals(#page[kind] >= (v.data.id and 1 or #v.data), true, name)
    assert(store:add_page { source = "x", posts = page.posts, people = page.people })
  end
  lu.assertTrue(store:counts().posts > 20)
end

function TestX:test_people_are_found_by_name()
  local s = serve()
  local store <close> = new_store()
  local c = client(s)
  local u = s.truth.users[2]
  lu.assertEquals(assert(c:user(store, "@" .. u.handle)).id, u.id)
  lu.assertEquals(store:people()[1].name, u.name)
  lu.assertNil(c:user(store, "nobody_here"))
  lu.assertErrorMsgContains("no user name", c.user, c, store, "a/../b")
end

function TestX:test_a_search_collects_what_holds_the_words()
  local s = serve()
  local store <close> = new_store()
  assert(client(s):search(store, "the"))
  local want = 0
  for _, p in ipairs(s.truth.posts) do want = want + (p.text:lower():find("the", 1, true) and 1 or 0) end
  lu.assertTrue(want > 20)
  lu.assertEquals(store:counts().posts, want)
end

function TestX:test_the_token_comes_from_the_environment_and_options_are_checked()
  local v, message, code = x.client { token_env = "KOOKA_NO_SUCH_TOKEN" }
  lu.assertNil(v)
  lu.assertStrContains(message, "KOOKA_NO_SUCH_TOKEN")
  lu.assertEquals(code, "argument")
  lu.assertErrorMsgContains("no option 'bas_url'", x.client, { bas_url = "x" })
  lu.assertAlmostEquals(x.cost { posts = 1000, users = 10, likes = 100 }, 5.2, 1e-9)
end

function TestX:test_ctrl_c_ends_a_wait_and_what_was_read_stays()
  local s = serve { { at = 3, kind = "429", seconds = 100 } }
  local store <close> = new_store()
  local c = client(s, { on_wait = function() sys.stop() end })
  local ok, message = pcall(c.timeline, c, store, s.truth.users[1].id)
  sys.stop_clear()
  lu.assertFalse(ok)
  lu.assertStrContains(message, "interrupted")
  lu.assertEquals(store:counts().posts, 20)
end

TestPacing = {}

function TestPacing:test_backoff_doubles_is_capped_and_comes_from_the_seed()
  local p = pacing.new { first = 1, longest = 10, seed = 5 }
  for n, top in ipairs { 1, 2, 4, 8, 10, 10 } do
    local seconds = p:backoff(n)
    lu.assertTrue(seconds >= top / 2 and seconds <= top)
  end
  lu.assertTrue(p:backoff(5000) <= 10)
  lu.assertEquals(pacing.new({ seed = 5 }):backoff(3), pacing.new({ seed = 5 }):backoff(3))
  lu.assertNotEquals(pacing.new({ seed = 5 }):backoff(3), pacing.new({ seed = 6 }):backoff(3))
end

function TestPacing:test_limits_are_read_from_the_headers()
  lu.assertAlmostEquals(pacing.limit({ ["x-rate-limit-remaining"] = "0", ["x-rate-limit-reset"] = "1010" }, 1000, 1), 10.5, 1e-9)
  lu.assertEquals(pacing.limit({ ["x-rate-limit-remaining"] = "0", ["x-rate-limit-reset"] = "900" }, 1000, 1), 0.5)
  lu.assertEquals(pacing.limit({ ["x-rate-limit-remaining"] = "7", ["x-rate-limit-reset"] = "1900" }, 1000, 2), 4)
  lu.assertEquals(pacing.limit({ ["retry-after"] = "3" }, 1000, 1), 3)
  lu.assertEquals(pacing.limit({}, 1000, 1), 60)
end

TestArchive = {}

local function folder_of(files)
  stores = stores + 1
  local path = ("%s/archive%d"):format(dir, stores)
  assert(sys.mkdir_p(path .. "/data"))
  for name, text in pairs(files) do assert(sys.write_file(path .. "/data/" .. name, text)) end
  return path
end

local TWEETS = [[window.YTD.tweets.part0 = [
  { "tweet" : { "id_str" : "1700000000000000001", "created_at" : "Wed Feb 10 18:00:00 +0000 2021", "full_text" : "a &amp; b", "favorite_count" : "12", "lang" : "en" } },
  { "tweet" : { "id_str" : "2", "created_at" : "Thu Feb 11 08:05:00 +0000 2021", "full_text" : "RT @x: y" } } ]
]]

function TestArchive:test_posts_and_likes_of_all_parts_are_read()
  local f = folder_of { ["tweets.js"] = TWEETS,
    ["tweets-part1.js"] = 'window.YTD.tweets.part1 = [ {"tweet":{"id_str":"3","full_text":"z","in_reply_to_status_id_str":"2"}} ]',
    ["like.js"] = 'window.YTD.like.part0 = [ {"like":{"tweetId":"9","fullText":"liked"}}, {"like":{"tweetId":"10"}} ]',
    ["manifest.js"] = 'window.__THAR_CONFIG = { "userInfo" : { "accountId" : "77" } }', ["profile.js"] = "junk" }
  local a = assert(archive.read(f))
  lu.assertEquals({ #a.posts, #a.likes, a.account, #a.problems }, { 3, 1, "77", 0 })
  lu.assertEquals(a.posts[1], { id = "1700000000000000001", author = "77", text = "a &amp; b", created_at = "2021-02-10T18:00:00.000Z",
    lang = "en", kind = "post", likes = 12 })
  lu.assertEquals({ a.posts[2].kind, a.posts[3].kind }, { "repost", "reply" })
  lu.assertEquals(a.likes[1], { person = "77", item = "9", text = "liked", label = 1 })
  local store <close> = new_store()
  lu.assertEquals(assert(archive.import(store, f)).posts, 3)
  lu.assertEquals(assert(archive.import(store, f .. "/data/")).duplicates, 3)
end

function TestArchive:test_reformatted_javascript_is_read()
  local v = assert(archive.parse("\xef\xbb\xbfwindow.YTD.like.part0 = [ // one\n { like: { tweetId: '12', fullText: 'it\\'s \"so\" \\u00e9', n: [1, 2,], t: true, }, }, /* z */\n];\n", "like.js"))
  lu.assertEquals(v[1].like.tweetId, "12")
  lu.assertEquals(v[1].like.fullText, "it's \"so\" é")
  lu.assertEquals(v[1].like.n[2], 2)
end

function TestArchive:test_what_is_wrong_is_named_with_file_and_line()
  local v, message, code = archive.read(folder_of { ["tweets.js"] = TWEETS:sub(1, 150) })
  lu.assertNil(v)
  lu.assertStrMatches(message, ".*/data/tweets%.js: line 2, column %d+: .*")
  lu.assertEquals(code, "format")
  v, message = archive.read(folder_of { ["tweets.js"] = "<html>" })
  lu.assertNil(v)
  lu.assertStrContains(message, "expected `window.YTD")
  v, message = archive.read(folder_of { ["tweets.js"] = 'window.YTD.tweets.part0 = [\n\n{"tweet":{"id_str":"1","full_text":"\xff"}}]' })
  lu.assertNil(v)
  lu.assertStrContains(message, "line 3")
  v, message, code = archive.read(folder_of { ["profile.js"] = "x" })
  lu.assertNil(v)
  lu.assertStrContains(message, "no tweets.js, tweet.js or like.js")
  v, message, code = archive.read("/nowhere/at/all")
  lu.assertNil(v)
  lu.assertEquals(code, "io")
  local a = assert(archive.read(folder_of { ["tweets.js"] = 'window.YTD.tweets.part0 = [ {"tweet":{"id_str":"1"}}, 5, {"tweet":{"id_str":"2","full_text":"t"}} ]' }))
  lu.assertEquals({ #a.posts, #a.problems }, { 1, 2 })
end

function TestArchive:test_real_exports_are_read()
  local base = "../shared/data/api/x_archive/"
  lu.skipIf(not sys.exists(base), "no archives below ../shared/data/api/x_archive")
  local n = {}
  for _, name in ipairs { "fixture", "2021_org", "2023_org" } do
    local a = assert(archive.read(base .. name))
    n[#n + 1] = #a.posts
    n[#n + 1] = #a.likes
    lu.assertEquals(#a.problems, 0)
  end
  lu.assertEquals(n, { 3, 2, 70, 29, 0, 0 })
end

local status = lu.LuaUnit.run()
for _, s in ipairs(servers) do s.stop() end
sys.remove_tree(dir)
os.exit(status)
