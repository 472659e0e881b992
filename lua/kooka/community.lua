--- community: a generated community of people with known tastes, for the demo and for tests of the whole road.
-- Nothing in it was written by a real person. Every message has latent features (topic, a punchline or none, an odd
-- actor, emoji ...), which its words carry with some noise. The general label "funny" and every like are drawn from a
-- logistic function of these features, so the best scores that anyone could reach are known: they are those of
-- prob_true.
local core = require "kooka.core"
local grammar = require "kooka.community.grammar"

local community = {}

--- features: the names of the latent features, each 0 or 1 in a message
community.features = { "twist", "odd", "emoji", "link", "long", "shout", "grumpy" }
for _, topic in ipairs(grammar.topics) do community.features[#community.features + 1] = "topic_" .. topic end

--- general: the weights of the general label, in log-odds; the constant makes 45 of 100 messages funny
community.general = { twist = 4.0, odd = 2.0, emoji = 0.6, link = -0.9, long = -0.6, shout = 0.0, grumpy = -0.5,
  topic_pun = 2.0, topic_animal = 1.0, topic_complaint = 0.2, topic_news = -3.0, topic_food = -0.3, topic_work = -0.4, topic_family = 0.1 }

-- How often a feature occurs in a message of an average author.
local RATES = { twist = 0.45, odd = 0.3, emoji = 0.35, link = 0.15, long = 0.3, shout = 0.2, grumpy = 0.25 }

---- text ------------------------------------------------------------------------------------------

local function pick(s, list) return list[s:below(#list)] end

-- Replaces every {slot}; odd: the actor is an odd one.
local function fill(s, text, odd)
  local out = text:gsub("{(%w+)}", function(name)
    if name == "actor" and odd then name = "odd" end
    return pick(s, grammar.lists[name])
  end)
  return out
end

-- One letter doubled, dropped or swapped with the next: one message in eight has such a slip.
local function slip(s, text)
  local at = s:below(#text)
  if not text:find("^%l%l%l", at) then return text end
  local a, b = text:sub(at, at), text:sub(at + 1, at + 1)
  local with = pick(s, { a .. a .. b, b, b .. a })
  return text:sub(1, at - 1) .. with .. text:sub(at + 2)
end

local function capital(text) return (text:gsub("^%l", string.upper)) end

local LETTERS = "abcdefghjkmnpqrstuvwxyzABCDEFGHJKMNPQRSTUVWXYZ23456789"

-- Words that carry a feature can be missing: that noise is in the text alone, not in the labels.
local function write(s, f, topic, handles)
  local opening = pick(s, grammar.openings[topic])
  local parts = {}
  if s:uniform() < 0.15 then parts[#parts + 1] = "@" .. pick(s, handles) end
  parts[#parts + 1] = pick(s, f.grumpy == 1 and grammar.grumpy or grammar.cheerful)
  local said = fill(s, opening, f.odd == 1)
  if f.odd == 1 and not opening:find("{actor}", 1, true) then said = said .. " with " .. pick(s, grammar.lists.odd) end
  local comma = parts[#parts]:find(",$")
  if comma and opening:find("^%u%l") then said = said:gsub("^%u", string.lower) end
  parts[#parts + 1] = (comma and said or capital(said)) .. pick(s, { ".", ",", " -", "..." })
  if f.long == 1 then parts[#parts + 1] = fill(s, pick(s, grammar.longer)) end
  local ending = fill(s, pick(s, f.twist == 1 and grammar.twists or grammar.plains))
  if f.shout == 1 then
    local word = pick(s, grammar.stretch)
    parts[#parts + 1] = word .. word:sub(-1):rep(1 + s:below(4))
    ending = s:uniform() < 0.5 and ending:upper() or ending .. ("!"):rep(1 + s:below(4))
  elseif s:uniform() < 0.5 then
    ending = ending .. "."
  end
  parts[#parts + 1] = capital(ending)
  local text = table.concat(parts, " "):gsub("  +", " "):gsub("^ ", "")
  if s:uniform() < 0.125 then text = slip(s, text) end
  if f.emoji == 1 then text = text .. " " .. pick(s, grammar.emoji):rep(s:below(3)) end
  if s:uniform() < 0.3 then text = text .. " " .. pick(s, grammar.hashtags[topic]) end
  if s:uniform() < 0.08 then text = text:gsub(" and ", " &amp; ", 1) end
  if f.link == 1 then
    local code = {}
    for i = 1, 10 do
      local k = s:below(#LETTERS)
      code[i] = LETTERS:sub(k, k)
    end
    text = text .. " https://t.co/" .. table.concat(code)
  end
  return text
end

---- tastes ----------------------------------------------------------------------------------------

local function sigmoid(v) return 1 / (1 + math.exp(-v)) end

local function score(weights, m)
  local v = 0.0
  for _, name in ipairs(m.present) do v = v + (weights[name] or 0) end
  return v
end

-- The constant that makes the mean probability of the messages equal to rate.
local function constant_for(weights, messages, rate)
  local low, high, scores = -30.0, 30.0, {}
  for i, m in ipairs(messages) do scores[i] = score(weights, m) end
  for _ = 1, 40 do
    local mid, sum = (low + high) / 2, 0.0
    for i = 1, #scores do sum = sum + sigmoid(mid + scores[i]) end
    if sum / #scores < rate then low = mid else high = mid end
  end
  return (low + high) / 2
end

-- Sum of twelve uniforms: nearly normal, and the same bits on every machine.
local function bell(s)
  local v = -6.0
  for _ = 1, 12 do v = v + s:uniform() end
  return v
end

-- What a person of this kind likes: weights and the share of messages liked.
local TASTES = {
  agrees = function() return community.general, 0.45 end,
  opposite = function(s)
    local w = {}
    for k, v in pairs(community.general) do w[k] = -v end
    return w, 0.4 + 0.2 * s:uniform()
  end,
  rarely = function(s)
    local w = {}
    for _, k in ipairs(community.features) do w[k] = 0.5 * community.general[k] + 2.5 * bell(s) end
    return w, 0.04
  end,
  nearly_always = function(s)
    local w = {}
    for _, k in ipairs(community.features) do w[k] = 0.5 * community.general[k] + 2.5 * bell(s) end
    return w, 0.96
  end,
  whim = function(s)
    local w = {}
    for _, k in ipairs(community.features) do w[k] = 0.1 * bell(s) end
    return w, 0.4 + 0.2 * s:uniform()
  end,
  own = function(s)
    local w, share = {}, 0.2 + 0.6 * s:uniform()
    for _, k in ipairs(community.features) do w[k] = share * community.general[k] + (1 - share) * 3.0 * bell(s) end
    return w, 0.25 + 0.4 * s:uniform()
  end,
}

-- The kinds of the first people; everybody else has a taste of their own.
local CAST = { "agrees", "opposite", "rarely", "nearly_always", "whim", "rarely", "opposite", "nearly_always", "rarely" }

local SYLLABLES = { "ka", "ri", "mo", "ten", "lu", "sha", "pe", "dro", "vi", "nan", "go", "bel" }

local function people_of(seed, n)
  local list = {}
  for i = 1, n do
    local s = core.random("community.person." .. i, seed)
    local name = capital(pick(s, SYLLABLES) .. pick(s, SYLLABLES) .. (s:uniform() < 0.5 and pick(s, SYLLABLES) or ""))
    local p = { id = tostring(900000000000000000 + i), number = i, name = name, handle = ("%s_%d"):format(name:lower(), i),
      taste = CAST[i] or "own", habits = {} }
    for _, f in ipairs(community.features) do
      if RATES[f] then p.habits[f] = math.min(0.95, RATES[f] * (0.5 + s:uniform())) end
    end
    p.topics = { pick(s, grammar.topics), pick(s, grammar.topics) }
    list[i] = p
  end
  return list
end

---- the community ---------------------------------------------------------------------------------

local EPOCH = 1767225600                 -- 2026-01-01T00:00:00Z

local function messages_of(people, seed, each)
  local handles, list = {}, {}
  for i, p in ipairs(people) do handles[i] = p.handle end
  for k = 1, each do
    for i, p in ipairs(people) do
      local s = core.random(("community.message.%d.%d"):format(i, k), seed)
      local f = {}
      for _, name in ipairs(community.features) do
        f[name] = RATES[name] and s:uniform() < p.habits[name] and 1 or 0
      end
      local topic = s:uniform() < 0.4 and pick(s, p.topics) or pick(s, grammar.topics)
      f["topic_" .. topic] = 1
      local n, present = #list + 1, {}
      for _, name in ipairs(community.features) do
        if f[name] == 1 then present[#present + 1] = name end
      end
      list[n] = { present = present,
        id = tostring(1900000000000000000 + n * 4194304 + s:below(4096)), number = n, author = p.id, topic = topic, features = f,
        text = write(s, f, topic, handles), created_at = os.date("!%Y-%m-%dT%H:%M:%S.000Z", EPOCH + n * 97) }
    end
  end
  return list
end

-- The first messages of others in a random order.
local function shown_to(person, posts, shown, stream)
  local list = {}
  for _, k in ipairs(stream:shuffle(#posts)) do
    if posts[k].author ~= person.id then list[#list + 1] = posts[k] end
    if #list == shown then break end
  end
  return list
end

-- Draws the labels. For the lopsided, whole draws are repeated until the rare label is there between 0.75 and 1.5 times
-- as often as its rate says (but at most 100 times), so that every such person can be studied.
local function labels_of(person, seen, stream)
  local rate = math.min(person.rate, 1 - person.rate)
  local list
  for _ = 1, 100 do
    local liked = 0
    list = {}
    for i, m in ipairs(seen) do
      local prob = sigmoid(person.constant + score(person.weights, m))
      list[i] = { user = person.id, item = m.id, text = m.text, prob_true = prob, label = stream:uniform() < prob and 1 or 0 }
      liked = liked + list[i].label
    end
    local rare = math.min(liked, #seen - liked) / #seen
    if rate > 0.1 or (rare >= 0.75 * rate and rare <= 1.5 * rate) then break end
  end
  return list
end

--- generate{users = 40, messages = 100, shown = messages, seed = 1} -> {users=, posts=, likes=, general=, generated = true}
-- users: people; each writes `messages` messages and is shown `shown` of the others'. The same seed gives the same
-- community on every machine.
--   users: {id=, name=, handle=, taste=, rate=, constant=, weights={feature = log-odds}}
--   posts: {id=, author=, text=, created_at=, topic=, features={}, funny=0|1, prob_funny=}
--   likes: {user=, item=, text=, label=0|1, prob_true=}: prob_true is the probability that the label was drawn with
-- taste: agrees (the general label's own function), opposite, rarely (4 of 100), nearly_always (96 of 100), whim
-- (features hardly matter) or own.
function community.generate(o)
  o = o or {}
  local n, each, seed = o.users or 40, o.messages or 100, o.seed or 1
  local shown = o.shown or each
  if n < 2 or each < 1 or shown < 1 or shown > (n - 1) * each then
    local wanted = "expected two users or more, and shown at most what the others write"
    error(("community.generate: users = %d, messages = %d, shown = %d: %s"):format(n, each, shown, wanted), 2)
  end
  local people = people_of(seed, n)
  local posts = messages_of(people, seed, each)
  local c = { users = {}, posts = posts, likes = {}, general = { weights = community.general }, generated = true, seed = seed }
  c.general.constant = constant_for(community.general, posts, 0.45)
  local s = core.random("community.funny", seed)
  for _, m in ipairs(posts) do
    m.prob_funny = sigmoid(c.general.constant + score(community.general, m))
    m.funny = s:uniform() < m.prob_funny and 1 or 0
  end
  for i, p in ipairs(people) do
    local t = core.random("community.taste." .. i, seed)
    p.weights, p.rate = TASTES[p.taste](t)
    local seen = shown_to(p, posts, shown, t)
    p.constant = p.taste == "agrees" and c.general.constant or constant_for(p.weights, seen, p.rate)
    for _, l in ipairs(labels_of(p, seen, t)) do c.likes[#c.likes + 1] = l end
    c.users[i] = p
  end
  for _, m in ipairs(posts) do m.present = nil end
  return c
end

--- truth(c) -> {user id = {item id = probability}}
-- The true probabilities by person and message, to compare predictions with the best possible ones.
function community.truth(c)
  local t = {}
  for _, l in ipairs(c.likes) do
    t[l.user] = t[l.user] or {}
    t[l.user][l.item] = l.prob_true
  end
  return t
end

--- funny_of(row) -> 1, 0 or nil
-- The general label of a post as kooka.store.tweets returns it (annotation "Humour" of the community's server).
function community.funny_of(row)
  local entity = row.annotations and row.annotations.Humour
  return entity == "funny" and 1 or entity == "not funny" and 0 or nil
end

--- start([{users=, messages=, shown=, seed=, faults = true}]) -> {url=, token=, list=, stop=} | nil, message, code
-- Starts the community's server as a child program on 127.0.0.1; it ends at stop(), or with this program. list: the id
-- of the X list whose members are the community. See kooka.community.server for what it serves.
function community.start(o)
  local sys = core.sys
  local exe, message, code = sys.exe()
  if not exe then return nil, message, code end
  local token = sys.sha256(("%s %s %s"):format(sys.pid(), sys.now(), sys.wall())):sub(1, 32)
  local child
  child, message, code = sys.spawn({ exe, "-e",
    ("os.exit(require('kooka.community.server').main(require('kooka.core').json.decode(%q)))"):format(core.json.encode(o or {})) },
    { stdin = "pipe", stdout = "pipe", own_group = true,
      env = { LUA_PATH = package.path, LUA_CPATH = package.cpath, KOOKA_COMMUNITY_TOKEN = token } })
  if not child then return nil, message, code end
  local port
  port, message, code = child:read_line()
  if not tonumber(port) then
    child:kill()
    return nil, "the community's server did not start: " .. (message or port or "it ended"), code or "net"
  end
  return { url = "http://127.0.0.1:" .. port, token = token, list = "1", child = child, stop = function()
    child:close_stdin()
    return child:wait(10)
  end }
end

return community
