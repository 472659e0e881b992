--- community_spec: the generated community is the same from one seed and its truth is the truth.
local lu = require "luaunit"
local kooka = require "kooka"
local community = require "kooka.community"
local server = require "kooka.community.server"
local json, sys, http = kooka.json, kooka.sys, kooka.http

TestCommunity = {}

function TestCommunity:test_the_same_seed_gives_the_same_bytes_and_another_one_does_not()
  local a = community.generate { users = 5, messages = 20, seed = 3 }
  local b = community.generate { users = 5, messages = 20, seed = 3 }
  local c = community.generate { users = 5, messages = 20, seed = 4 }
  lu.assertEquals(json.encode(a), json.encode(b))
  lu.assertNotEquals(a.posts[1].text .. a.posts[2].text, c.posts[1].text .. c.posts[2].text)
  -- golden: changes only together with the grammar, the tastes or the random streams
  local texts = {}
  for i, p in ipairs(a.posts) do texts[i] = p.text end
  lu.assertEquals(sys.sha256(table.concat(texts, "\n")):sub(1, 16), "d06bc6af71a6e6fe")
end

function TestCommunity:test_sizes_are_as_asked_and_nobody_is_shown_own_messages()
  local c = community.generate { users = 6, messages = 15, shown = 40 }
  lu.assertEquals({ #c.users, #c.posts, #c.likes }, { 6, 90, 240 })
  local author, seen = {}, {}
  for _, p in ipairs(c.posts) do author[p.id] = p.author end
  for _, l in ipairs(c.likes) do
    lu.assertNotEquals(author[l.item], l.user)
    lu.assertNil(seen[l.user .. l.item])
    seen[l.user .. l.item] = true
  end
  lu.assertErrorMsgContains("shown = 100", community.generate, { users = 2, messages = 3, shown = 100 })
end

function TestCommunity:test_probabilities_are_the_logistic_function_of_the_features_and_labels_follow_them()
  local c = community.generate()
  local posts, users, sum, sd, funny = {}, {}, 0.0, 0.0, 0
  for _, p in ipairs(c.posts) do
    posts[p.id] = p
    sum, sd, funny = sum + p.prob_funny, sd + p.prob_funny * (1 - p.prob_funny), funny + p.funny
  end
  lu.assertTrue(math.abs(funny - sum) < 4 * math.sqrt(sd))
  lu.assertAlmostEquals(sum / #c.posts, 0.45, 1e-6)
  for _, u in ipairs(c.users) do users[u.id] = u end
  sum, sd = 0.0, 0.0
  local liked = 0
  for _, l in ipairs(c.likes) do
    local v = users[l.user].constant
    for name, w in pairs(users[l.user].weights) do v = v + w * posts[l.item].features[name] end
    lu.assertAlmostEquals(l.prob_true, 1 / (1 + math.exp(-v)), 1e-12)
    lu.assertEquals(l.text, posts[l.item].text)
    sum, sd, liked = sum + l.prob_true, sd + l.prob_true * (1 - l.prob_true), liked + l.label
  end
  lu.assertTrue(math.abs(liked - sum) < 4 * math.sqrt(sd))
  lu.assertEquals(community.truth(c)[c.likes[1].user][c.likes[1].item], c.likes[1].prob_true)
end

function TestCommunity:test_the_cast_has_the_tastes_it_promises()
  local c = community.generate()
  local liked, kinds = {}, {}
  for _, l in ipairs(c.likes) do liked[l.user] = (liked[l.user] or 0) + l.label end
  for _, u in ipairs(c.users) do
    kinds[u.taste] = (kinds[u.taste] or 0) + 1
    if u.taste == "rarely" then lu.assertTrue(liked[u.id] >= 3 and liked[u.id] <= 6) end
    if u.taste == "nearly_always" then lu.assertTrue(liked[u.id] >= 94 and liked[u.id] <= 97) end
    if u.taste == "agrees" then
      lu.assertEquals(u.weights, community.general)
      lu.assertEquals(u.constant, c.general.constant)
    end
    if u.taste == "opposite" then lu.assertEquals(u.weights.twist, -community.general.twist) end
  end
  lu.assertEquals(kinds, { agrees = 1, opposite = 2, rarely = 3, nearly_always = 2, whim = 1, own = 31 })
end

function TestCommunity:test_texts_need_cleaning_and_are_utf8_of_tweet_length()
  local c = community.generate()
  local found, longest = {}, 0
  local marks = { "https://t%.co/", "#%a", "@%a", "😂", "(%a)%1%1%1", "!!", "&amp;", "%u%u%u%u", "%.%.%." }
  for _, p in ipairs(c.posts) do
    longest = math.max(longest, assert(utf8.len(p.text)))
    lu.assertNil(p.text:find("[{}]"))
    for _, m in ipairs(marks) do found[m] = (found[m] or 0) + (p.text:find(m) and 1 or 0) end
  end
  for _, m in ipairs(marks) do lu.assertTrue(found[m] > 40, m) end
  lu.assertTrue(longest <= 280, tostring(longest))
end

-- The words tell the label, but not everything: a naive Bayes of words is far above the majority and below the truth.
function TestCommunity:test_words_carry_the_label_with_noise()
  local c = community.generate { users = 20, messages = 100 }
  local count, total, docs = { [0] = {}, {} }, { [0] = 0, 0 }, { [0] = 0, 0 }
  local half = #c.posts // 2
  for i = 1, half do
    local p = c.posts[i]
    docs[p.funny] = docs[p.funny] + 1
    for w in p.text:lower():gmatch("%a+") do
      count[p.funny][w] = (count[p.funny][w] or 0) + 1
      total[p.funny] = total[p.funny] + 1
    end
  end
  local right, best, majority = 0, 0.0, 0
  for i = half + 1, #c.posts do
    local p = c.posts[i]
    local v = math.log(docs[1] / docs[0])
    for w in p.text:lower():gmatch("%a+") do
      v = v + math.log(((count[1][w] or 0) + 1) / (total[1] + 500)) - math.log(((count[0][w] or 0) + 1) / (total[0] + 500))
    end
    right = right + ((v > 0) == (p.funny == 1) and 1 or 0)
    best = best + math.max(p.prob_funny, 1 - p.prob_funny)
    majority = majority + (1 - p.funny)
  end
  local n = #c.posts - half
  lu.assertTrue(right / n > majority / n + 0.15, ("%.3f, majority %.3f"):format(right / n, majority / n))
  lu.assertTrue(right / n < best / n, ("%.3f, best %.3f"):format(right / n, best / n))
end

TestServer = {}

local function ask(handler, path, query, token)
  local a = handler { method = "GET", path = path, query = query or {}, headers = { authorization = "Bearer " .. (token or "t") }, body = "" }
  return a, a.body and json.decode(a.body)
end

function TestServer:test_pages_of_a_timeline_hold_every_post_newest_first_with_the_promised_duplicate()
  local c = community.generate { users = 3, messages = 23 }
  local handler = server.handler(c, "t", { faults = false })
  local ids, token, pages = {}, nil, 0
  repeat
    local a, v = ask(handler, "/2/users/" .. c.users[1].id .. "/tweets", { max_results = "10", pagination_token = token })
    lu.assertEquals(a.status or 200, 200)
    lu.assertEquals(v.meta.result_count, #v.data)
    lu.assertEquals(v.includes.users[1].id, c.users[1].id)
    for _, p in ipairs(v.data) do ids[#ids + 1] = p.id end
    token, pages = v.meta.next_token, pages + 1
  until not token
  lu.assertEquals({ pages, #ids }, { 3, 25 })
  local unique, n = {}, 0
  for i, id in ipairs(ids) do
    if not unique[id] then unique[id], n = true, n + 1 end
    if i > 1 then lu.assertTrue(math.tointeger(id) <= math.tointeger(ids[i - 1])) end
  end
  lu.assertEquals(n, 23)
end

function TestServer:test_wrong_tokens_paths_and_parameters_are_answered_in_xs_shape()
  local c = community.generate { users = 3, messages = 23 }
  local handler = server.handler(c, "t", { faults = false })
  local id = c.users[1].id
  local function status(...)
    local a, v = ask(handler, ...)
    lu.assertEquals(v.status, a.status)
    lu.assertStrContains(v.type, "/2/problems/")
    return a.status
  end
  lu.assertEquals(status("/2/users/" .. id .. "/tweets", {}, "wrong"), 401)
  lu.assertEquals(status("/2/users/12/tweets"), 404)
  lu.assertEquals(status("/3/users"), 404)
  lu.assertEquals(status("/2/users/" .. id .. "/tweets", { max_results = "4" }), 400)
  lu.assertEquals(status("/2/users/" .. id .. "/tweets", { max_results = "x" }), 400)
  lu.assertEquals(status("/2/users/" .. id .. "/tweets", { pagination_token = "../../x" }), 400)
  lu.assertEquals(status("/2/tweets/search/recent"), 400)
  local _, v = ask(handler, "/2/users/by/username/" .. c.users[2].handle:upper())
  lu.assertEquals(v.data.id, c.users[2].id)
  _, v = ask(handler, "/2/tweets/search/recent", { query = "zzzz" })
  lu.assertEquals(v, { meta = { result_count = 0 } })
end

function TestServer:test_one_429_with_a_near_reset_and_one_500_are_injected()
  local c = community.generate { users = 3, messages = 5 }
  local handler = server.handler(c, "t")
  local seen = {}
  for _ = 1, 40 do
    local a = ask(handler, "/2/lists/1/members")
    seen[a.status or 200] = (seen[a.status or 200] or 0) + 1
    lu.assertTrue(tonumber(a.headers["x-rate-limit-limit"]) > 0)
    if a.status == 429 then
      local wait = tonumber(a.headers["x-rate-limit-reset"]) - sys.wall()
      lu.assertTrue(wait > 0.9 and wait <= 2)
      lu.assertEquals(a.headers["x-rate-limit-remaining"], "0")
    end
  end
  lu.assertEquals(seen, { [200] = 38, [429] = 1, [500] = 1 })
end

function TestServer:test_the_child_program_serves_and_ends_when_it_is_told()
  local s = assert(community.start { users = 2, messages = 6, faults = false })
  local a = assert(http.request { url = s.url .. "/2/lists/1/members", headers = { Authorization = "Bearer " .. s.token } })
  lu.assertEquals(#json.decode(a.body).data, 2)
  lu.assertEquals(http.request({ url = s.url .. "/2/lists/1/members" }).status, 401)
  lu.assertEquals(s.stop(), 0)
  lu.assertNil(http.request { url = s.url .. "/2/lists/1/members" })
end

function TestServer:test_the_command_explains_itself_and_refuses_what_it_does_not_know()
  local command = require "kooka.cmd.community"
  lu.assertStrContains(command.about, "community")
  local all = ""
  for _, case in ipairs { { 0, "--help" }, { 2, "--user", "3" }, { 2, "--users", "many" }, { 2, "--users" }, { 2, "--users", "1" } } do
    local code = ("os.exit(require('kooka.cmd.community').run(require('kooka.core').json.decode(%q)))")
      :format(json.encode(json.array { table.unpack(case, 2) }))
    local child <close> = assert(sys.spawn({ assert(sys.exe()), "-e", code }, { stdin = "null", stdout = "pipe", stderr = "stdout",
      env = { LUA_PATH = package.path, LUA_CPATH = package.cpath } }))
    all = all .. child:read_all()
    lu.assertEquals(child:wait(20), case[1])
  end
  for _, text in ipairs { "usage: kooka community", "unknown option --user", "got many", "got nothing", "expected two users" } do
    lu.assertStrContains(all, text)
  end
end

os.exit(lu.LuaUnit.run())
