--- tweets: posts, people and likes in one SQLite file, with the place where each collection stopped.
-- A page and its cursor are kept in one transaction: whatever ends a collection, the next one goes on
-- behind the last complete page, and a post that comes twice is kept once.
local core = require "kooka.core"
local json, sqlite = core.json, core.sqlite

local tweets = {}
local Store = {}
Store.__index = Store
Store.__name = "kooka.store.tweets"

local VERSION = 1
local SCHEMA = [[
CREATE TABLE posts(
  source TEXT NOT NULL, id TEXT NOT NULL, author TEXT, text TEXT NOT NULL, created_at TEXT, lang TEXT,
  kind TEXT NOT NULL DEFAULT 'post',   -- post, reply, quote, repost
  likes INTEGER, reposts INTEGER, replies INTEGER,
  annotations TEXT,                    -- JSON {domain: entity}
  saved_at REAL NOT NULL, PRIMARY KEY(source, id));
CREATE INDEX posts_author ON posts(source, author);
CREATE TABLE people(source TEXT NOT NULL, id TEXT NOT NULL, handle TEXT, name TEXT, about TEXT, PRIMARY KEY(source, id));
CREATE TABLE likes(                    -- label 1: liked; 0: was shown and not liked; NULL: shown, not known yet
  source TEXT NOT NULL, person TEXT NOT NULL, item TEXT NOT NULL, text TEXT NOT NULL, label INTEGER,
  PRIMARY KEY(source, person, item));
CREATE TABLE cursors(
  name TEXT PRIMARY KEY, token TEXT, done INTEGER NOT NULL, pages INTEGER NOT NULL, items INTEGER NOT NULL,
  saved_at REAL NOT NULL);
]]

local function prepare(db)
  local rows, message, code = db:rows("PRAGMA user_version")
  if not rows then return nil, message, code end
  local version = rows[1].user_version
  if version == VERSION then return true end
  if version ~= 0 then
    return nil, ("made by another version of this program (%d, this one reads %d)"):format(version, VERSION), "format"
  end
  return db:transaction(function()
    local there = db:rows "SELECT COUNT(*) AS n FROM sqlite_master"
    if there and there[1].n > 0 then return nil, "is a database of something else", "format" end
    local ok, why, kind = db:exec(SCHEMA .. ("PRAGMA user_version = %d"):format(VERSION))
    if not ok then return nil, why, kind end
    return true
  end)
end

--- open(path[, {readonly = false}]) -> store | nil, message, code
-- Opens or makes the file. The store is closed by store:close(), as a <close> variable or when collected.
function tweets.open(path, options)
  local db, message, code = sqlite.open(path, options)
  if not db then return nil, message, code end
  local ok = true
  if not (options and options.readonly) then
    ok, message, code = db:exec "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL"
  end
  if ok then ok, message, code = prepare(db) end
  if not ok then
    db:close()
    return nil, ("%s: %s"):format(path, message), code
  end
  return setmetatable({ db = db, path = path }, Store)
end

--- store:close()
function Store:close()
  self.db:close()
end
Store.__close = Store.close

local function text_of(v)
  return v ~= nil and tostring(v) or nil
end

local function add_posts(db, source, posts, now)
  local new = 0
  for _, p in ipairs(posts) do
    local changed, message, code = db:exec(
      "INSERT INTO posts VALUES(?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING", source, text_of(p.id), text_of(p.author),
      p.text, p.created_at, p.lang, p.kind or "post", p.likes, p.reposts, p.replies,
      p.annotations and next(p.annotations) and json.encode(p.annotations) or nil, now)
    if not changed then return nil, message, code end
    new = new + changed
  end
  return new
end

local function add_people(db, source, people)
  local new = 0
  for _, p in ipairs(people) do
    local changed, message, code = db:exec([[INSERT INTO people VALUES(?,?,?,?,?) ON CONFLICT DO UPDATE SET
      handle = COALESCE(excluded.handle, handle), name = COALESCE(excluded.name, name),
      about = COALESCE(excluded.about, about)]],
      source, text_of(p.id), p.handle, p.name, p.about)
    if not changed then return nil, message, code end
    new = new + changed
  end
  return new
end

-- What is known wins over what is not: a like is never overwritten by "shown".
local function add_likes(db, source, likes)
  local new = 0
  for _, l in ipairs(likes) do
    local changed, message, code = db:exec([[INSERT INTO likes VALUES(?,?,?,?,?) ON CONFLICT DO UPDATE SET
      label = excluded.label WHERE excluded.label IS NOT NULL AND likes.label IS NOT excluded.label]],
      source, text_of(l.person), text_of(l.item), l.text, l.label)
    if not changed then return nil, message, code end
    new = new + changed
  end
  return new
end

local function set_cursor(db, c, items, now)
  return db:exec([[INSERT INTO cursors VALUES(?,?,?,1,?,?) ON CONFLICT DO UPDATE SET token = excluded.token,
    done = excluded.done, pages = pages + 1, items = items + excluded.items, saved_at = excluded.saved_at]],
    c.name, c.token, c.done and 1 or 0, items, now)
end

--- store:add_page{source=, posts=, people=, likes=, cursor=} -> counts | nil, message, code
-- counts: {posts=, duplicates=, people=, likes=}, what is new. Keeps a page whole or not at all, together with cursor
-- = {name=, token=, done=}. posts: {id=, text=, author=, created_at=, lang=, kind=, likes=, reposts=, replies=,
-- annotations={}}; people: {id=, handle=, name=, about=}; likes: {person=, item=, text=, label=1|0|nil}. Ids are
-- strings or integers. A post that is there already is counted as a duplicate and left as it was.
function Store:add_page(page)
  local source = assert(page.source, "add_page: source is missing")
  local posts = page.posts or {}
  return self.db:transaction(function(db)
    local now = core.sys.wall()
    local got, message, code = {}
    got.posts, message, code = add_posts(db, source, posts, now)
    if not got.posts then return nil, message, code end
    got.duplicates = #posts - got.posts
    got.people, message, code = add_people(db, source, page.people or {})
    if not got.people then return nil, message, code end
    got.likes, message, code = add_likes(db, source, page.likes or {})
    if not got.likes then return nil, message, code end
    if page.cursor then
      local ok
      ok, message, code = set_cursor(db, page.cursor, got.posts, now)
      if not ok then return nil, message, code end
    end
    return got
  end)
end

--- store:cursor(name) -> {token=, done=, pages=, items=} or nil
-- Where the collection of that name stopped; nil when it never began.
function Store:cursor(name)
  local row = assert(self.db:rows("SELECT token, done, pages, items FROM cursors WHERE name = ?", name))[1]
  if row then row.done = row.done == 1 end
  return row
end

--- store:forget_cursor(name)
-- The next collection of that name begins anew; what was saved stays.
function Store:forget_cursor(name)
  assert(self.db:exec("DELETE FROM cursors WHERE name = ?", name))
end

--- store:counts() -> {posts=, people=, likes=, liked=, raters=, authors=, open=}
-- likes: person-text pairs; liked: those with label 1; raters: persons in them; open: collections not at their end.
function Store:counts()
  return assert(self.db:rows [[SELECT (SELECT COUNT(*) FROM posts) AS posts, (SELECT COUNT(*) FROM people) AS people,
    (SELECT COUNT(*) FROM likes) AS likes, (SELECT COUNT(*) FROM likes WHERE label = 1) AS liked,
    (SELECT COUNT(DISTINCT source || ' ' || person) FROM likes) AS raters,
    (SELECT COUNT(DISTINCT source || ' ' || author) FROM posts) AS authors,
    (SELECT COUNT(*) FROM cursors WHERE NOT done) AS open]])[1]
end

local function rows_where(db, sql, order, filters)
  local where, values = {}, {}
  for _, f in ipairs(filters) do
    if f[2] ~= nil then
      where[#where + 1] = f[1]
      values[#values + 1] = f[2]
    end
  end
  if #where > 0 then sql = sql .. " WHERE " .. table.concat(where, " AND ") end
  return db:rows(sql .. order, table.unpack(values))
end

--- store:posts([{source=, author=, kind=, lang=}]) -> list of rows | nil, message, code
-- In the order of ids' sources, authors and ids; annotations is a table {domain = entity} or nil.
function Store:posts(o)
  o = o or {}
  local rows, message, code = rows_where(self.db,
    "SELECT source, id, author, text, created_at, lang, kind, likes, reposts, replies, annotations FROM posts",
    " ORDER BY source, author, LENGTH(id), id",
    { { "source = ?", o.source }, { "author = ?", o.author }, { "kind = ?", o.kind }, { "lang = ?", o.lang } })
  if not rows then return nil, message, code end
  for _, r in ipairs(rows) do
    if r.annotations then r.annotations = assert(json.decode(r.annotations)) end
  end
  return rows
end

--- store:people([{source=}]) -> list of {source=, id=, handle=, name=, about=} | nil, message, code
function Store:people(o)
  return rows_where(self.db, "SELECT * FROM people", " ORDER BY source, LENGTH(id), id", { { "source = ?", (o or {}).source } })
end

--- store:likes([{source=, person=}]) -> list of {person=, item=, text=, label=} | nil, message, code
-- Only pairs whose label is known.
function Store:likes(o)
  o = o or {}
  return rows_where(self.db, "SELECT person, item, text, label FROM (SELECT * FROM likes WHERE label IS NOT NULL)",
    " ORDER BY source, LENGTH(person), person, LENGTH(item), item", { { "source = ?", o.source }, { "person = ?", o.person } })
end

--- store:settle(source, person) -> changed | nil, message, code
-- What was shown to the person and is not known to be liked counts as not liked. Call it when both the shown and the
-- liked posts of the person are collected to their end.
function Store:settle(source, person)
  local changed, message, code =
    self.db:exec("UPDATE likes SET label = 0 WHERE source = ? AND person = ? AND label IS NULL", source, text_of(person))
  if not changed then return nil, message, code end
  return changed
end

--- store:forget(source, ids) -> posts removed | nil, message, code
-- Deletes posts and the likes of them, as the rules of a service ask when its users delete them.
function Store:forget(source, ids)
  return self.db:transaction(function(db)
    local removed = 0
    for _, id in ipairs(ids) do
      local changed, message, code = db:exec("DELETE FROM posts WHERE source = ? AND id = ?", source, text_of(id))
      if not changed then return nil, message, code end
      removed = removed + changed
      local ok
      ok, message, code = db:exec("DELETE FROM likes WHERE source = ? AND item = ?", source, text_of(id))
      if not ok then return nil, message, code end
    end
    return removed
  end)
end

local EXPORT = {
  posts = { "source", "id", "author", "text", "created_at", "lang", "kind" },
  likes = { "user", "item", "text", "label" },
}

--- store:export(what, path[, options]) -> rows written | nil, message, code
-- what: "posts" or "likes" (columns user,item,text,label). The name of path decides the format: .jsonl or .csv.
-- options as for store:posts and store:likes.
function Store:export(what, path, options)
  local columns = EXPORT[what]
  if not columns then error(("export: what is %q, expected posts or likes"):format(tostring(what)), 2) end
  local format = path:match("%.(%w+)$")
  if format ~= "csv" and format ~= "jsonl" then error("export: the path must end in .csv or .jsonl: " .. path, 2) end
  local rows, message, code = self[what](self, options)
  if not rows then return nil, message, code end
  for _, r in ipairs(rows) do
    if what == "likes" then r.user, r.person = r.person, nil end
    if format == "csv" then
      for _, c in ipairs(columns) do r[c] = r[c] == nil and "" or r[c] end
    end
  end
  local ok
  if format == "csv" then
    ok, message, code = require("kooka.data.csv").write(path, columns, rows)
  else
    ok, message, code = require("kooka.data.jsonl").write(path, rows)
  end
  if not ok then return nil, message, code end
  return #rows
end

return tweets
