--- board: a leaderboard of one's own: a hold-out whose labels are sealed, scored only here, every look counted.
-- What sealing is. The labels of a class task are kept as salted SHA-256 of (id, label), those of a regression scrambled with a key that
-- lies beside them. Nobody reads them by accident: no grep, no glob of *.csv, no recipe that takes every file of a folder. It
-- is no lock: who has the file and wants the labels gets them, so the original belongs somewhere else (or to somebody else).
-- What the board gives: the commitment (one hash; write it down) proves that labels were not changed afterwards; every score
-- is a look that is counted before it is made; entries are compared row by row; kooka.board.looks says when looks are used up;
-- and board.holds tells recipes whether a text that they train on belongs to a sealed hold-out.
local core = require "kooka.core"
local answers = require "kooka.board.answers"
local csv = require "kooka.data.csv"
local looks = require "kooka.board.looks"
local score = require "kooka.board.score"
local sealing = require "kooka.board.seal"
local check_options = require "kooka.options"
local sqlite, sys = core.sqlite, core.sys

local board = {}
local Board = {}
Board.__index = Board

local VERSION = 1
local WAIT_MS = 600000                     -- for another process that scores
local SCHEMA = [[
CREATE TABLE board(key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE rows(place INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, sealed TEXT NOT NULL, text TEXT);
CREATE TABLE looks(
  number INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, entry TEXT NOT NULL, file TEXT, sha256 TEXT, run TEXT,
  status TEXT NOT NULL,                    -- begun: counted, not scored (yet); scored
  same_as INTEGER,                         -- the first look with the same answers
  value REAL, low REAL, high REAL,         -- NULL where a Ladder does not tell
  leader INTEGER, gain REAL, step REAL, improved INTEGER, answers TEXT);
CREATE TABLE verdicts(a INTEGER NOT NULL, b INTEGER NOT NULL, value REAL, low REAL, high REAL, verdict TEXT NOT NULL, PRIMARY KEY(a, b));
]]

--- board.root() -> path
-- Where boards live: $KOOKA_BOARDS or "boards".
function board.root()
  local root = os.getenv("KOOKA_BOARDS")
  return root and root ~= "" and root or "boards"
end

local function path_of(name, root)
  if name:find("/", 1, true) or name:find("%.sqlite$") then return name end
  return (root or board.root()) .. "/" .. name .. ".sqlite"
end

local function must(value, message)
  if value == nil then error(message, 0) end
  return value
end

local function name_of(path)
  return (path:match("[^/]*$"):gsub("%.sqlite$", ""))
end

-- Made aside and renamed: a board is there whole or not at all.
local function write_board(path, info, rows)
  local ok, message, code = sys.mkdir_p(path:match("^(.*)/") or ".")
  if not ok then return nil, message, code end
  local aside = ("%s.tmp-%d"):format(path, sys.pid())
  if sys.exists(aside) then sys.remove(aside) end
  local db
  db, message, code = sqlite.open(aside)
  if not db then return nil, message, code end
  ok, message, code = db:exec(SCHEMA)
  if ok then
    ok, message, code = db:transaction(function()
      must(db:exec("INSERT INTO board VALUES('info', ?)", core.json.encode(info)))
      for i, row in ipairs(rows) do must(db:exec("INSERT INTO rows VALUES(?,?,?,?)", i, row.id, row.sealed, row.text)) end
      return true
    end)
  end
  db:close()
  if ok then ok, message, code = sys.rename(aside, path) end
  if not ok then
    sys.remove(aside)
    return nil, message, code
  end
  return true
end

--- board.new{name, labels, metric, positive, label, id, text, ladder, root} -> info, path | nil, message, code
-- Seals the labels of a CSV file: columns `id` ("id") and `label` (the only other one), and, where there is one, `text` ("text"),
-- whose hashes board.holds asks for. metric: for two classes f1 (default), accuracy, precision, recall, f1_macro, mcc,
-- balanced_accuracy, log_loss, brier, roc_auc, average_precision; for more accuracy, f1_macro (default); for numbers rmse, mae.
-- positive: one of two classes (default: the larger number, true or yes). ladder: tell only scores that improve on the best by more than a
-- step (Blum and Hardt 2015). The file of labels is left as it is.
function board.new(o)
  check_options("board.new", o, { name = 1, labels = 1, metric = 1, positive = 1, label = 1, id = 1, text = 1, ladder = 1, root = 1 })
  if type(o.name) ~= "string" or not o.name:find("^[%w._-]+$") or o.name:find("^%.") then
    return nil, ("a board's name is of letters, digits, . _ -, got %q"):format(tostring(o.name)), "argument"
  end
  local path = path_of(o.name, o.root)
  if sys.exists(path) then return nil, ("%s is there already; a board is not sealed twice"):format(path), "io" end
  local info, rows, kind = sealing.rows(o)
  if not info then return nil, rows, kind end
  info.name, info.ladder, info.sealed_at, info.version = o.name, o.ladder == true, sys.wall(), VERSION
  local ok, message, code = write_board(path, info, rows)
  if not ok then return nil, message, code end
  return info, path
end

-- ---- opening

local function read_info(db)
  local found, message, code = db:rows "SELECT value FROM board WHERE key = 'info'"
  if not found then return nil, message, code end
  local info = found[1] and core.json.decode(found[1].value)
  if type(info) ~= "table" then return nil, "is no board", "format" end
  if info.version ~= VERSION then
    return nil, ("made by another version of this program (%s, this one reads %d)"):format(tostring(info.version), VERSION), "format"
  end
  return info
end

--- board.open(name [, root]) -> board | nil, message, code
-- A board by name or by the path of its file. Refused when rows or settings are not those that were sealed.
function board.open(name, root)
  local path = path_of(name, root)
  if not sys.exists(path) then
    local names = board.names(root)
    return nil, ("no board is called %s in %s%s"):format(name, root or board.root(), require("kooka.nearest").hint(name, names)), "io"
  end
  local db, message, code = sqlite.open(path, { busy_ms = WAIT_MS })
  if not db then return nil, message, code end
  local info, rows
  info, message, code = read_info(db)
  if info then rows, message, code = db:rows "SELECT id, sealed, text FROM rows ORDER BY place" end
  if rows and sealing.commitment(info, rows) ~= info.commitment then
    rows, message, code = nil, "its rows are not those that were sealed", "format"
  end
  if not rows then
    db:close()
    return nil, ("%s: %s"):format(path, message), code
  end
  return setmetatable({ db = db, path = path, info = info, rows = rows }, Board)
end

--- board:close()
function Board:close()
  self.db:close()
end
Board.__close = Board.close

--- board.names([root]) -> list
function board.names(root)
  local found = {}
  for _, name in ipairs(sys.list(root or board.root()) or {}) do
    if name:find("%.sqlite$") and not name:find("^%.") then found[#found + 1] = name_of(name) end
  end
  return found
end

-- The labels, opened for scoring only: classes from 1, or numbers.
local function unsealed(self)
  if self.truth then return self.truth end
  local truth = {}
  for i, row in ipairs(self.rows) do
    truth[i] = sealing.open(self.info, row) or error(("%s: row %s cannot be opened"):format(self.path, row.id), 0)
  end
  self.truth = truth
  return truth
end

-- ---- looks

-- Scored entries that are not repetitions, oldest first. The answers are there with `full`.
local function entries_of(self, full)
  return must(self.db:rows(([[SELECT number, at, entry, file, sha256, run, value, low, high, leader, gain, step, improved %s FROM looks WHERE status = 'scored' AND same_as IS NULL ORDER BY number]]):format(full and ", answers" or "")))
end

local function best_of(self, entries)
  local best
  for _, e in ipairs(entries) do
    if e.value and (not best or (score.lower(self.info.metric) and e.value < best.value)
      or (not score.lower(self.info.metric) and e.value > best.value)) then best = e end
  end
  return best
end

-- The one that a new entry has to beat: the last that improved by more than a step.
local function leader_of(entries)
  local leader
  for _, e in ipairs(entries) do
    if e.improved == 1 then leader = e end
  end
  return leader
end

local function task_of(info)
  return { task = info.task, metric = info.metric, classes = info.classes }
end

-- The paired difference of entries a and b (a minus b), kept when it was made.
local function verdict(self, a, b, keep)
  local sql = "SELECT value, low, high, verdict FROM verdicts WHERE a = ? AND b = ?"
  local found = must(self.db:rows(sql, a.number, b.number))[1]
  if found then return found end
  local m, word = score.difference(task_of(self.info), answers.unpack(a.answers), answers.unpack(b.answers), unsealed(self))
  local v = { value = m.value, low = m.low, high = m.high, verdict = word }
  if keep then
    must(self.db:exec("INSERT INTO verdicts VALUES(?,?,?,?,?,?)", a.number, b.number, v.value, v.low, v.high, v.verdict))
  end
  return v
end

local function judgement(self, entries)
  local values, pair_se, best = {}, {}, best_of(self, entries)
  for _, e in ipairs(entries) do
    if e.value then values[#values + 1] = e.value end
  end
  for _, v in ipairs(must(self.db:rows "SELECT low, high FROM verdicts WHERE low IS NOT NULL")) do
    local se = looks.se(v)
    if se > 0 then pair_se[#pair_se + 1] = se end
  end
  local since = 0
  for _, e in ipairs(entries) do since = e.improved == 1 and 0 or since + 1 end
  local j = looks.judge { values = values, se = best and looks.se(best) or 0, pair_se = pair_se, n = #self.rows, entries = #entries,
    since = since, ladder = self.info.ladder, lower = score.lower(self.info.metric) }
  j.looks = must(self.db:rows "SELECT COUNT(*) AS n FROM looks")[1].n
  return j
end

local COMPARED = 12                        -- a new entry is compared with the leader, the best and so many of the latest

-- Scores look `number`, whose answers are given; inside a transaction, so that every entry sees all before it.
local function settle(self, number, list)
  local info, packed = self.info, answers.pack(list)
  local entries = entries_of(self, true)
  for _, e in ipairs(entries) do
    if e.answers == packed then
      must(self.db:exec("UPDATE looks SET status = 'scored', same_as = ?, value = ?, low = ?, high = ?, improved = 0 WHERE number = ?",
        e.number, e.value, e.low, e.high, number))
      return { same_as = e.number, value = e.value, low = e.low, high = e.high, improved = false }
    end
  end
  local m = score.value(task_of(info), list, unsealed(self))
  if not m.value then error(("%s is not defined for these answers%s"):format(info.metric, m.note and ": " .. m.note or ""), 0) end
  local leader, best = leader_of(entries), best_of(self, entries)
  local r = { value = m.value, low = m.low, high = m.high, improved = leader == nil }
  local me = { number = number, answers = packed }
  for i, e in ipairs(entries) do
    if e == leader or e == best or i > #entries - COMPARED then
      local v = verdict(self, me, e, not info.ladder or e == leader)
      if e == leader then
        r.leader, r.step = e.number, v.low and looks.step(v) or math.huge
        r.gain = score.lower(info.metric) and -v.value or v.value
        r.improved = r.gain > r.step
        r.verdict, r.difference = v.verdict, v
      end
    end
  end
  local told = r.improved or not info.ladder
  if not told then
    -- what is not told is not kept either
    must(self.db:exec("DELETE FROM verdicts WHERE a = ?", number))
    r.value, r.low, r.high, r.difference, r.verdict, r.gain = nil, nil, nil, nil, nil, nil
  end
  must(self.db:exec([[UPDATE looks SET status = 'scored', value = ?, low = ?, high = ?, leader = ?, gain = ?, step = ?, improved = ?,
    answers = ? WHERE number = ?]], r.value, r.low, r.high, r.leader, r.gain, r.step ~= math.huge and r.step or nil, r.improved, packed,
    number))
  return r
end

-- The run that made the file, when it is known.
local function run_of(path)
  local found = require "kooka.runs.which"(path)
  return found and found.made[1] and found.made[1].id
end

--- board:score(path [, {name, run}]) -> result | nil, message, code
-- Scores a CSV of predictions: column id, and the label's (or label, prediction), a probability of the positive class (prob,
-- prob_...), or a number. A file that cannot be scored (other ids, no such column) is no look; any other is counted before it is
-- scored, whatever happens then. result: {look, entry, run, value, low, high, same_as, improved, leader, leader_name, gain, step,
-- verdict, text, judgement}. On a Ladder value, low, high and gain are there only when the entry improved. improved: better than
-- the leader by more than a step, the standard error of the paired difference.
function Board:score(path, options)
  check_options("board:score", options, { name = 1, run = 1 })
  local o = options or {}
  local list, column, code = answers.read(self, path)
  if not list then return nil, column, code end
  local entry = o.name or path:match("[^/]*$"):gsub("%.csv$", "")
  local run = o.run or run_of(path)
  local _, number = self.db:exec("INSERT INTO looks(at, entry, file, sha256, run, status) VALUES(?,?,?,?,?,'begun')", sys.wall(), entry,
    path, sys.sha256_file(path), run)
  if not number then return nil, _ or "the look cannot be counted", "database" end
  local r, message, kind = self.db:transaction(function() return settle(self, number, list) end)
  if not r then return nil, message, kind end
  local entries = entries_of(self)
  r.look, r.entry, r.run, r.column = number, entry, run, column
  for _, e in ipairs(entries) do
    if e.number == r.leader then r.leader_name = e.entry end
    if e.number == r.same_as then r.same_name = e.entry end
  end
  r.judgement = judgement(self, entries)
  r.text = self:text(r)
  return r
end

local function metric_text(r)
  return require("kooka.table").metric({ value = r.value, low = r.low, high = r.high }, 4)
end

--- board:text(result) -> text
-- What board:score found, in words.
function Board:text(r)
  local info, lines = self.info, {}
  if r.same_as then
    lines[1] = ("look %d: %s has the answers of %s (look %d): nothing new was learned"):format(r.look, r.entry, r.same_name, r.same_as)
    if r.value then lines[1] = lines[1] .. (", %s %s"):format(info.metric, metric_text(r)) end
  elseif not r.value then
    lines[1] = ("look %d: %s does not improve on %s by more than a step of %.4f; its score is not told"):format(r.look, r.entry,
      r.leader_name, r.step)
  else
    lines[1] = ("look %d: %s  %s %s"):format(r.look, r.entry, info.metric, metric_text(r))
    if r.leader_name then
      lines[2] = ("against the leader %s: %+.4f%s, %s; a step is %.4f: %s"):format(r.leader_name, r.difference.value,
        r.difference.low and (" [%.4f, %.4f]"):format(r.difference.low, r.difference.high) or "", r.verdict, r.step,
        r.improved and "it takes the lead" or "no improvement")
    end
  end
  lines[#lines + 1] = r.judgement.text
  return table.concat(lines, "\n")
end

--- board:show() -> {info, entries, looks, leader, best, judgement}
-- entries: list of {number, entry, run, at, value, low, high, improved, looks = all looks with these answers, against = {value,
-- low, high, verdict} to the best one}, the best first, those that are not told last. looks: how many there were, unfinished
-- those that were counted and not scored.
function Board:show()
  local info = {}
  for key, value in pairs(self.info) do
    if key ~= "salt" then info[key] = value end
  end
  local entries = entries_of(self, true)
  local best, leader, lower = best_of(self, entries), leader_of(entries), score.lower(info.metric)
  local again, unfinished = {}, 0
  for _, l in ipairs(must(self.db:rows "SELECT same_as, status FROM looks")) do
    if l.same_as then again[l.same_as] = (again[l.same_as] or 0) + 1 end
    if l.status ~= "scored" then unfinished = unfinished + 1 end
  end
  for _, e in ipairs(entries) do
    e.looks, e.improved = 1 + (again[e.number] or 0), e.improved == 1
    if e.value and e ~= best then
      local early, late = e.number < best.number and e or best, e.number < best.number and best or e
      local v = verdict(self, late, early, false)
      local flip = late ~= e
      e.against = { value = flip and -v.value or v.value, low = v.low and (flip and -v.high or v.low),
        high = v.high and (flip and -v.low or v.high),
        verdict = flip and ({ better = "worse", worse = "better" })[v.verdict] or v.verdict }
    end
  end
  local j = judgement(self, entries)
  for _, e in ipairs(entries) do e.answers = nil end
  table.sort(entries, function(a, b)
    if (a.value == nil) ~= (b.value == nil) then return a.value ~= nil end
    if a.value ~= b.value then
      if lower then return a.value < b.value end
      return a.value > b.value
    end
    return a.number < b.number
  end)
  return { info = info, entries = entries, looks = j.looks, unfinished = unfinished, leader = leader and leader.number, best = best
    and best.number, judgement = j }
end

--- board:verify(labels) -> true | nil, message, code
-- Whether the labels of a CSV file are those that were sealed.
function Board:verify(path)
  local t, message, code = csv.read(path)
  if not t then return nil, message, code end
  for _, column in ipairs { self.info.id, self.info.label } do
    local ok
    ok, message, code = sealing.has_column(t, column)
    if not ok then return nil, message, code end
  end
  local at
  at, message, code = answers.match(self, t, self.info.id)
  if not at then return nil, message, code end
  local other = {}
  for _, row in ipairs(self.rows) do
    local label = t.data[self.info.label][at[row.id]]
    if #label > 32 or sealing.label(self.info.task, self.info.salt, row.id, label) ~= row.sealed then other[#other + 1] = row.id end
  end
  if #other > 0 then
    return nil, ("%s: %d of %d labels are not those that were sealed (ids %s)"):format(path, #other, #self.rows, answers.some(other)), "format"
  end
  return true
end

-- ---- what recipes ask

--- board.holds(texts [, root]) -> list of {row, board, id} | nil, message, code
-- Which of these texts (their places in the list) belong to a sealed hold-out, exactly or as a near duplicate (kooka.data.leaks).
-- Empty without boards.
function board.holds(texts, root)
  local found, at = {}, nil
  for _, name in ipairs(board.names(root)) do
    local b <close>, message, code = board.open(name, root)
    if not b then return nil, message, code end
    if b.info.texts then
      if not at then
        at = {}
        for i, text in ipairs(texts) do
          local key = sealing.text_key(text)
          at[key] = at[key] or {}
          table.insert(at[key], i)
        end
      end
      for _, row in ipairs(b.rows) do
        for _, i in ipairs(row.text and at[row.text] or {}) do found[#found + 1] = { row = i, board = name, id = row.id } end
      end
    end
  end
  table.sort(found, function(x, y) return x.row < y.row end)
  return found
end

--- board.refuse(texts [, root])
-- For recipes, before they train on labelled texts: raises when any belongs to a sealed hold-out, naming the board and the first rows.
function board.refuse(texts, root)
  local found = must(board.holds(texts, root))
  if #found == 0 then return end
  local first = {}
  for i = 1, math.min(3, #found) do first[i] = ("row %d = %s of %s"):format(found[i].row, found[i].id, found[i].board) end
  error(("board: %d of %d training texts belong to a sealed hold-out: %s%s"):format(#found, #texts, table.concat(first, ", "),
    #found > 3 and ", ..." or ""), 2)
end

return board
