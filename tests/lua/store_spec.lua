--- store_spec: kooka.store.tweets keeps a page whole, once, with its cursor.
local lu = require "luaunit"
local kooka = require "kooka"
local tweets = require "kooka.store.tweets"
local sys = kooka.sys

TestStore = {}

function TestStore:setUp()
  self.dir = os.tmpname()
  os.remove(self.dir)
  assert(sys.mkdir_p(self.dir))
  self.path = self.dir .. "/t.db"
  self.store = assert(tweets.open(self.path))
end

function TestStore:tearDown()
  self.store:close()
  sys.remove_tree(self.dir)
end

local function post(id, text, more)
  local p = { id = id, text = text or "text " .. id, author = "7" }
  for k, v in pairs(more or {}) do p[k] = v end
  return p
end

function TestStore:test_a_post_that_comes_twice_is_kept_once()
  local got = self.store:add_page { source = "x", posts = { post("1"), post("2"), post("1", "other") } }
  lu.assertEquals({ got.posts, got.duplicates }, { 2, 1 })
  got = self.store:add_page { source = "x", posts = { post("2"), post("3") } }
  lu.assertEquals({ got.posts, got.duplicates }, { 1, 1 })
  got = self.store:add_page { source = "y", posts = { post("2") } }
  lu.assertEquals({ got.posts, got.duplicates }, { 1, 0 })
  lu.assertEquals(self.store:posts({ source = "x" })[1].text, "text 1")
  lu.assertEquals(self.store:counts().posts, 4)
end

function TestStore:test_ids_beyond_53_bits_stay_exact_as_text_or_number()
  self.store:add_page { source = "x", posts = { post "1700000000000000001", post(1700000000000000003) } }
  local rows = self.store:posts()
  lu.assertEquals({ rows[1].id, rows[2].id }, { "1700000000000000001", "1700000000000000003" })
end

function TestStore:test_every_field_comes_back()
  self.store:add_page { source = "x", posts = { post("1", "é 😀\n\"q\", x", { created_at = "2026-01-01T00:00:00.000Z", lang = "en",
    kind = "reply", likes = 3, reposts = 2, replies = 1, annotations = { Humour = "funny" } }) },
    people = { { id = "7", handle = "seven", name = "S" } } }
  lu.assertEquals(self.store:posts(), { { source = "x", id = "1", author = "7", text = "é 😀\n\"q\", x",
    created_at = "2026-01-01T00:00:00.000Z", lang = "en", kind = "reply", likes = 3, reposts = 2, replies = 1,
    annotations = { Humour = "funny" } } })
  self.store:add_page { source = "x", people = { { id = "7", about = "A" } } }
  lu.assertEquals(self.store:people(), { { source = "x", id = "7", handle = "seven", name = "S", about = "A" } })
end

function TestStore:test_a_page_that_fails_leaves_nothing_and_does_not_move_the_cursor()
  self.store:add_page { source = "x", posts = { post "1" }, cursor = { name = "c", token = "a", done = false } }
  local v, message, code = self.store:add_page { source = "x", posts = { post "2", { id = "3" } },
    cursor = { name = "c", token = "b", done = true } }
  lu.assertNil(v)
  lu.assertStrContains(message, "NOT NULL")
  lu.assertEquals(code, "database")
  lu.assertEquals(self.store:counts().posts, 1)
  lu.assertEquals(self.store:cursor "c", { token = "a", done = false, pages = 1, items = 1 })
end

function TestStore:test_the_cursor_counts_pages_and_survives_reopening()
  lu.assertNil(self.store:cursor "c")
  self.store:add_page { source = "x", posts = { post "1", post "2" }, cursor = { name = "c", token = "a" } }
  self.store:add_page { source = "x", posts = { post "2", post "3" }, cursor = { name = "c", done = true } }
  self.store:close()
  self.store = assert(tweets.open(self.path))
  lu.assertEquals(self.store:cursor "c", { done = true, pages = 2, items = 3 })
  self.store:forget_cursor "c"
  lu.assertNil(self.store:cursor "c")
  lu.assertEquals(self.store:counts().posts, 3)
end

function TestStore:test_a_like_wins_over_shown_and_settling_makes_the_rest_dislikes()
  local shown, liked = {}, {}
  for i = 1, 4 do shown[i] = { person = "9", item = i, text = "t" .. i } end
  for i = 1, 2 do liked[i] = { person = "9", item = i, text = "t" .. i, label = 1 } end
  self.store:add_page { source = "x", likes = liked }
  self.store:add_page { source = "x", likes = shown }
  lu.assertEquals(#self.store:likes(), 2)
  lu.assertEquals(self.store:settle("x", "9"), 2)
  lu.assertEquals(self.store:settle("x", "9"), 0)
  local labels = {}
  for i, l in ipairs(self.store:likes { person = "9" }) do labels[i] = l.label end
  lu.assertEquals(labels, { 1, 1, 0, 0 })
  local n = self.store:counts()
  lu.assertEquals({ n.likes, n.liked, n.raters }, { 4, 2, 1 })
end

function TestStore:test_forgetting_removes_posts_and_likes_of_them()
  self.store:add_page { source = "x", posts = { post "1", post "2" }, likes = { { person = "9", item = "1", text = "t", label = 1 } } }
  lu.assertEquals(self.store:forget("x", { "1", "77" }), 1)
  lu.assertEquals(#self.store:likes(), 0)
  lu.assertEquals(self.store:posts()[1].id, "2")
end

function TestStore:test_exports_read_back_equal()
  self.store:add_page { source = "x", posts = { post("1", "a, \"b\"\nc") }, likes = { { person = "9", item = "1", text = "a, \"b\"\nc", label = 0 } } }
  lu.assertEquals(self.store:export("likes", self.dir .. "/l.csv"), 1)
  lu.assertEquals(sys.read_file(self.dir .. "/l.csv"), 'user,item,text,label\n9,1,"a, ""b""\nc",0\n')
  lu.assertEquals(self.store:export("posts", self.dir .. "/p.jsonl"), 1)
  local row = kooka.json.decode((sys.read_file(self.dir .. "/p.jsonl")))
  lu.assertEquals({ row.id, row.text }, { "1", "a, \"b\"\nc" })
  lu.assertErrorMsgContains("what is \"users\"", self.store.export, self.store, "users", "x.csv")
  lu.assertErrorMsgContains(".csv or .jsonl", self.store.export, self.store, "posts", "x.txt")
  local v, message, code = self.store:export("posts", "/nowhere/at/all.csv")
  lu.assertNil(v)
  lu.assertStrContains(message, "/nowhere")
  lu.assertEquals(code, "io")
end

function TestStore:test_other_databases_and_versions_are_refused()
  local other = self.dir .. "/o.db"
  local db = assert(kooka.sqlite.open(other))
  db:exec "CREATE TABLE x(y)"
  local v, message, code = tweets.open(other)
  lu.assertNil(v)
  lu.assertStrContains(message, "o.db: is a database of something else")
  lu.assertEquals(code, "format")
  db:exec "PRAGMA user_version = 9"
  v, message = tweets.open(other)
  db:close()
  lu.assertNil(v)
  lu.assertStrContains(message, "another version of this program (9")
  assert(sys.write_file(self.dir .. "/n.db", ("no database "):rep(200)))
  v, message, code = tweets.open(self.dir .. "/n.db")
  lu.assertNil(v)
  lu.assertStrContains(message, "not a database")
  lu.assertEquals(code, "database")
end

function TestStore:test_a_second_reader_sees_what_is_committed()
  self.store:add_page { source = "x", posts = { post "1" } }
  local reader <close> = assert(tweets.open(self.path, { readonly = true }))
  lu.assertEquals(reader:counts().posts, 1)
  self.store:add_page { source = "x", posts = { post "2" } }
  lu.assertEquals(reader:counts().posts, 2)
  lu.assertNil(reader:add_page { source = "x", posts = { post "3" } })
end

os.exit(lu.LuaUnit.run())
