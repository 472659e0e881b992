--- backtranslate: paraphrases by way of another language, es -> en -> es (Sennrich et al. 2016; Yu et al. 2018).
-- Every translation is kept in SQLite as soon as it is there, under a hash of translator, languages and text: what was
-- interrupted goes on where it stopped, and nothing is translated twice.
local core = require "kooka.core"
local check = require "kooka.augment.check"
local check_options = require "kooka.options"
local masks = require "kooka.augment.masks"
local progress = require "kooka.progress"
local sys = core.sys

local backtranslate = {}

local SCHEMA = [[CREATE TABLE IF NOT EXISTS translations (key TEXT PRIMARY KEY, engine TEXT NOT NULL, source TEXT NOT NULL,
  target TEXT NOT NULL, text TEXT NOT NULL, translation TEXT NOT NULL, made REAL NOT NULL) WITHOUT ROWID]]

local Back = {}
Back.__index = Back
Back.__name = "kooka.augmenter"

function Back.__tostring(b)
  return ("back-translation %s -> %s by %s"):format(b.from, table.concat(b.via, ", "), b.translator.name)
end

local function key_of(self, from, to, text)
  return sys.sha256(table.concat({ self.translator.name, from, to, text }, "\0"))
end

local function look_up(self, from, to, text)
  local rows, message, code = self.db:rows("SELECT translation FROM translations WHERE key = ?", key_of(self, from, to, text))
  if not rows then return nil, message, code end
  return rows[1] and rows[1].translation or false
end

local function keep(self, from, to, texts, translations)
  return self.db:transaction(function(db)
    for i, text in ipairs(texts) do
      local ok, message, code = db:exec("INSERT OR REPLACE INTO translations VALUES (?, ?, ?, ?, ?, ?, ?)",
        key_of(self, from, to, text), self.translator.name, from, to, text, translations[i], sys.wall())
      if not ok then return nil, message, code end
    end
    return true
  end)
end

local function standing(self, from, to, done, total)
  return ("back-translation %s -> %s: %d of %d texts are translated%s"):format(from, to, done, total,
    self.cache ~= ":memory:" and (" and kept in %s; the same call goes on there"):format(self.cache)
      or "; with cache = PATH they would be kept for the next time")
end

-- Says how far it came when Ctrl-C ends the block.
local function guard(self, state)
  return setmetatable({}, { __close = function(_, problem)
    if problem and sys.stopped() then self.say(standing(self, state.from, state.to, state.done, state.total)) end
  end })
end

-- {[text] = translation} of all the texts, from the cache or by asking | nil, message, code.
local function translate_all(self, texts, from, to)
  local out, missing, total = {}, {}, 0
  for _, text in ipairs(texts) do
    if out[text] == nil then
      local known, message, code = look_up(self, from, to, text)
      if known == nil then return nil, message, code end
      out[text], total = known, total + 1
      if not known then missing[#missing + 1] = text end
    end
  end
  local state = { from = from, to = to, done = total - #missing, total = total }
  if #missing == 0 then return out end
  local _ <close> = guard(self, state)
  local bar <close> = progress.new { label = ("translate %s -> %s"):format(from, to), total = #missing, unit = "text" }
  local size = self.translator.batch or 20
  for at = 1, #missing, size do
    local part = table.move(missing, at, math.min(at + size - 1, #missing), 1, {})
    local list, message, code = self.translator:translate(part, from, to)
    if list then
      local ok
      ok, message, code = keep(self, from, to, part, list)
      if not ok then list = nil end
    end
    if not list then
      bar:close()
      return nil, ("%s; %s"):format(standing(self, from, to, state.done, total), message), code
    end
    for i, text in ipairs(part) do out[text] = list[i] end
    state.done = state.done + #part
    bar:step(#part)
    if sys.stopped() then error("interrupted", 0) end
  end
  return out
end

-- The text's lines as a translator gets them.
local function hide(text)
  local lines = {}
  for line in (text .. "\n"):gmatch("([^\r\n]*)\r?\n") do lines[#lines + 1] = masks.hide(line) end
  return lines
end

local function bodies(texts)
  local out = {}
  for _, lines in ipairs(texts) do
    for _, line in ipairs(lines) do
      if line.body:find("[%a\x80-\xFF]") then out[#out + 1] = line.body end
    end
  end
  return out
end

local function show(lines, there, back)
  local out = {}
  for i, line in ipairs(lines) do
    local body = line.body
    if body:find("[%a\x80-\xFF]") then body = back[there[body]] or "" end
    out[i] = masks.show(line, body)
    if not out[i] then return nil end
  end
  return table.concat(out, "\n")
end

--- b:round_trip(texts, via) -> list of texts or false | nil, message, code
-- Each text through `via` and back; false where a protected token was lost on the way. Raises "interrupted" after
-- Ctrl-C, having said how many are kept.
function Back:round_trip(texts, via)
  local hidden = {}
  for i, text in ipairs(texts) do hidden[i] = hide(text) end
  local there, message, code = translate_all(self, bodies(hidden), self.from, via)
  if not there then return nil, message, code end
  local middle = {}
  for _, body in ipairs(bodies(hidden)) do
    if there[body]:find("%S") then middle[#middle + 1] = there[body] end
  end
  local back
  back, message, code = translate_all(self, middle, via, self.from)
  if not back then return nil, message, code end
  local out = {}
  for i, lines in ipairs(hidden) do out[i] = show(lines, there, back) or false end
  return out
end

local function drop(ctx, why)
  if not (ctx and ctx.counts) then return end
  for _, entry in ipairs(ctx.counts.dropped) do
    if entry.why == why then
      entry.n = entry.n + 1
      return
    end
  end
  table.insert(ctx.counts.dropped, { why = why, n = 1 })
end

--- backtranslate.keep_good(self, texts, made, ctx) -> list of texts or false
-- The filters, for round trips and for files: what is empty, like its source, torn, or of another label goes, and is
-- counted in ctx.counts.
function backtranslate.keep_good(self, texts, made, ctx)
  local out, sources, asked, places, labels = {}, {}, {}, {}, {}
  for i, text in ipairs(made) do
    local why = not text and "without a protected token" or check.fault(texts[i], text, self.ratio)
    out[i] = not why and text
    if why then drop(ctx, why) end
    if out[i] and self.judge then
      local k = #asked + 1
      sources[k], asked[k], places[k] = texts[i], text, i
      labels[k] = ctx and ctx.labels and ctx.rows and ctx.labels[ctx.rows[i]]
    end
  end
  if #asked > 0 then
    for k, same in ipairs(check.agree(self.judge, sources, asked, labels)) do
      if not same then
        out[places[k]] = false
        drop(ctx, "of another label by the classifier")
      end
    end
  end
  return out
end

--- b:many(texts, wants, streams, ctx) -> list of lists of {text=, method=} | nil, message, code
-- Of each text at most one by each language in between; the same every time.
function Back:many(texts, wants, _, ctx)
  local out = {}
  for i in ipairs(texts) do out[i] = {} end
  for p, via in ipairs(self.via) do
    local places, list, rows = {}, {}, {}
    for i, text in ipairs(texts) do
      if wants[i] >= p then
        local k = #list + 1
        places[k], list[k], rows[k] = i, text, ctx and ctx.rows and ctx.rows[i]
      end
    end
    local made, message, code = self:round_trip(list, via)
    if not made then return nil, message, code end
    local good = backtranslate.keep_good(self, list, made, ctx and { counts = ctx.counts, labels = ctx.labels, rows = rows })
    for k, text in ipairs(good) do
      if text then table.insert(out[places[k]], { text = text, method = "backtranslate-" .. via }) end
    end
  end
  return out
end

--- b:close()
-- Closes the cache.
function Back:close() self.db:close() end
Back.__close = Back.close

--- backtranslate.new{translator=, from="es", via="en", cache=nil, check=nil, ratio=3, say=} -> augmenter | nil, message, code
-- translator: kooka.augment.apertium, kooka.augment.libretranslate, or anything with name, batch and t:translate(texts,
-- from, to) -> list. via: a language or a list: each gives one new text of a row at most. cache: path of a SQLite file
-- (nothing: in memory only). check: a classifier that must give the new text the same label
-- (kooka.augment.check.judge). ratio: texts that many times longer or shorter than their source are torn. say: where it
-- goes what an interrupted call had done (default: stderr). Codes of what fails: net, io, format, database.
function backtranslate.new(options)
  local o = options or {}
  check_options("backtranslate", o, { translator = true, from = true, via = true, cache = true, check = true, ratio = true, say = true })
  local t = o.translator
  if type(t) ~= "table" or not t.translate or type(t.name) ~= "string" then
    error("backtranslate: translator: expected kooka.augment.apertium.new(), kooka.augment.libretranslate.new{...} or the like", 2)
  end
  local cache = o.cache or ":memory:"
  local db, message, code = core.sqlite.open(cache)
  if not db then return nil, message, code end
  local ok
  ok, message, code = db:exec(SCHEMA)
  if not ok then
    db:close()
    return nil, message, code
  end
  local via = type(o.via) == "table" and o.via or { o.via or "en" }
  return setmetatable({ name = "backtranslate", fixed = true, translator = t, from = o.from or "es", via = via, cache = cache, db = db,
    ratio = o.ratio or 3, judge = check.judge(o.check), say = o.say or function(text) io.stderr:write(text, "\n") end }, Back)
end

return backtranslate
