--- board.seal: labels in, sealed rows out; see kooka.board for what sealing is and is not.
local csv = require "kooka.data.csv"
local leaks = require "kooka.data.leaks"
local score = require "kooka.board.score"
local sys = require("kooka.core").sys

local sealing = {}

--- seal.text_key(text) -> 64 hexadecimal digits
-- The same for near duplicates (kooka.data.leaks) and on every board.
function sealing.text_key(text)
  local key = leaks.normalise(text)
  return sys.sha256("kooka board\0" .. (key ~= "" and key or "\0" .. text))
end

local function seal_class(salt, id, label)
  return sys.sha256(salt .. "\0" .. id .. "\0" .. label)
end

-- Exclusive or with the SHA-256 of key and id: in and out are the same. At most 32 bytes.
local function scramble(salt, id, text)
  local key = sys.sha256(salt .. "\0value\0" .. id):gsub("%x%x", function(h) return string.char(tonumber(h, 16)) end)
  local out = {}
  for i = 1, #text do out[i] = string.char(text:byte(i) ~ key:byte(i)) end
  return table.concat(out)
end

local function hex(text)
  return (text:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

local function unhex(text)
  return (text:gsub("%x%x", function(h) return string.char(tonumber(h, 16)) end))
end

--- seal.label(task, salt, id, label) -> text
-- A class as the SHA-256 of salt, id and label; a number scrambled.
function sealing.label(task, salt, id, label)
  if task == "regression" then return hex(scramble(salt, id, label)) end
  return seal_class(salt, id, label)
end

--- seal.open(info, row) -> class from 1, or number, or nil
function sealing.open(info, row)
  if info.task == "regression" then return tonumber(scramble(info.salt, row.id, unhex(row.sealed))) end
  for k, class in ipairs(info.classes) do
    if seal_class(info.salt, row.id, class) == row.sealed then return k end
  end
end

--- seal.commitment(info, rows) -> 64 hexadecimal digits
-- One hash of everything that must not change: what is scored how, and each sealed row.
function sealing.commitment(info, rows)
  local lines = { info.task, info.metric, table.concat(info.classes, "\t"), info.salt }
  local sorted = table.move(rows, 1, #rows, 1, {})
  table.sort(sorted, function(x, y) return x.id < y.id end)
  for _, row in ipairs(sorted) do lines[#lines + 1] = row.id .. "\t" .. row.sealed end
  return sys.sha256(table.concat(lines, "\n"))
end

-- The column of the labels: the named one, or the only one that is neither id nor text.
local function label_column(t, o, id, text)
  if o.label then return o.label end
  local found = {}
  for _, name in ipairs(t.columns) do
    if name ~= id and name ~= text then found[#found + 1] = name end
  end
  if #found == 1 then return found[1] end
  for _, name in ipairs(found) do
    if name == "label" then return name end
  end
  return nil, ("%s: which column holds the labels? It has %s; say --label NAME"):format(t.path, table.concat(t.columns, ", "))
end

--- seal.has_column(t, name) -> true | nil, message, code
function sealing.has_column(t, name)
  if t.data[name] then return true end
  return nil, ("%s: no column %q, the file has %s"):format(t.path, name, table.concat(t.columns, ", ")), "format"
end

local function classes_of(list)
  local seen, classes, numbers = {}, {}, true
  for _, label in ipairs(list) do
    if not seen[label] then seen[label], classes[#classes + 1] = true, label end
    numbers = numbers and tonumber(label) ~= nil
  end
  table.sort(classes, function(a, b)
    if numbers then return tonumber(a) < tonumber(b) end
    return a < b
  end)
  return classes, numbers
end

-- Classes in the order that scoring takes (of two, the positive one last); nil and a message.
local function settle_classes(t, column, positive)
  local classes, numbers = classes_of(t.data[column])
  if #classes < 2 then return nil, ("%s: column %q holds only %q: nothing to tell apart"):format(t.path, column, classes[1] or "") end
  if #classes > 1000 then
    return nil, ("%s: column %q holds %d different labels; --metric rmse or mae is for numbers"):format(t.path, column, #classes)
  end
  if #classes > 2 then
    if positive then return nil, ("--positive is for two classes, %q holds %d"):format(column, #classes) end
    return classes
  end
  local high = numbers and classes[2] or ({ ["true"] = "true", yes = "yes" })[classes[2]]
  positive = positive or high
  if not positive then return nil, ("which of %s and %s is positive? Say --positive NAME"):format(classes[1], classes[2]) end
  if positive == classes[1] then return { classes[2], classes[1] } end
  if positive ~= classes[2] then return nil, ("--positive is %q, the labels are %s and %s"):format(positive, classes[1], classes[2]) end
  return classes
end

--- seal.check_ids(t, id) -> row of each id | nil, message, code
-- Of a table from csv.read; refused when an id stands twice.
function sealing.check_ids(t, id)
  local seen = {}
  for i, value in ipairs(t.data[id]) do
    if seen[value] then return nil, ("%s: rows %d and %d have the same id %q"):format(t.path, seen[value], i, value), "format" end
    seen[value] = i
  end
  return seen
end

-- What the labels file holds and what the board says of itself: info, table, name of the column of texts.
local function read_labels(o)
  local t, message, code = csv.read(o.labels)
  if not t then return nil, message, code end
  local id, text = o.id or "id", o.text or "text"
  local ok
  ok, message, code = sealing.has_column(t, id)
  if not ok then return nil, message, code end
  if o.text and not t.data[o.text] then return nil, select(2, sealing.has_column(t, o.text)), "format" end
  local column
  column, message = label_column(t, o, id, text)
  if column then ok, message = sealing.has_column(t, column) end
  if not (column and ok) then return nil, message, "format" end
  if t.n == 0 then return nil, ("%s has no rows"):format(t.path), "format" end
  ok, message, code = sealing.check_ids(t, id)
  if not ok then return nil, message, code end
  local info = { id = id, label = column, n = t.n, classes = {}, metric = o.metric, task = "regression" }
  if score.is_regression(o.metric or "") then
    local numbers, why, kind = csv.numbers(t, column)
    if not numbers then return nil, why, kind end
    for i, label in ipairs(t.data[column]) do
      if #label > 32 then return nil, ("%s: row %d: a number of more than 32 characters"):format(t.path, i), "format" end
    end
  else
    info.classes, message = settle_classes(t, column, o.positive)
    if not info.classes then return nil, message, "format" end
    info.task = #info.classes == 2 and "binary" or "multiclass"
    info.metric = o.metric or (info.task == "binary" and "f1" or "f1_macro")
  end
  local needs, names = score.needs(info.task, info.metric)
  if not needs then
    return nil, ("metric %s is not for %s labels; there are %s%s"):format(info.metric, info.task, table.concat(names, ", "),
      require("kooka.nearest").hint(info.metric, names)), "argument"
  end
  return info, t, t.data[text] and text
end

-- 32 random bytes of the system as text.
local function salt()
  local file <close> = assert(io.open("/dev/urandom", "rb"))
  return hex(file:read(32))
end

--- seal.rows{labels, id, label, text, metric, positive} -> info, rows | nil, message, code
-- The sealed rows of a CSV of labels and what a board says of itself; options as of board.new.
function sealing.rows(o)
  local info, t, text = read_labels(o)
  if not info then return nil, t, text end
  info.salt = salt()
  local rows = {}
  for i = 1, t.n do
    local key = t.data[info.id][i]
    rows[i] = { id = key, sealed = sealing.label(info.task, info.salt, key, t.data[info.label][i]),
      text = text and sealing.text_key(t.data[text][i]) }
  end
  info.texts, info.commitment = text ~= nil, sealing.commitment(info, rows)
  return info, rows
end

return sealing
