--- board.answers: a file of predictions as one column in the order of a board's rows.
local csv = require "kooka.data.csv"
local score = require "kooka.board.score"
local sealing = require "kooka.board.seal"

local answers = {}

local function first_column(t, names, pattern)
  for _, name in ipairs(names) do
    if t.data[name] then return name end
  end
  for _, name in ipairs(pattern and t.columns or {}) do
    if name:find(pattern) then return name end
  end
end

--- answers.some(list) -> text
-- The first three.
function answers.some(list)
  return table.concat(list, ", ", 1, math.min(3, #list)) .. (#list > 3 and ", ..." or "")
end

--- answers.match(board, t, id) -> place of each id | nil, message, code
-- Places of the board's rows in a table; the message names what either side has alone.
function answers.match(self, t, id)
  local at, message, code = sealing.check_ids(t, id)
  if not at then return nil, message, code end
  local strange, missing, mine = {}, {}, {}
  for _, row in ipairs(self.rows) do
    mine[row.id] = true
    if not at[row.id] then missing[#missing + 1] = row.id end
  end
  for _, key in ipairs(t.data[id]) do
    if not mine[key] then strange[#strange + 1] = key end
  end
  if #strange == 0 and #missing == 0 then return at end
  local parts = {}
  if #missing > 0 then parts[#parts + 1] = ("%d ids of the board are not in the file (%s)"):format(#missing, answers.some(missing)) end
  if #strange > 0 then parts[#parts + 1] = ("%d ids of the file are not on the board (%s)"):format(#strange, answers.some(strange)) end
  return nil, ("%s has %d rows, the board %s has %d: %s"):format(t.path, t.n, self.info.name, #self.rows, table.concat(parts, "; ")),
    "format"
end

local function number_at(t, column, i, low, high)
  local x = tonumber(t.data[column][i])
  if x and x == x and x >= low and x <= high then return x end
  return nil, ("%s: row %d, column %q: expected %s, got %q"):format(t.path, i, column,
    low == 0 and "a probability from 0 to 1" or "a number", t.data[column][i]), "format"
end

-- A class that was said, as scoring takes it.
local function class_at(info, t, column, i)
  local text = t.data[column][i]
  for k, class in ipairs(info.classes) do
    if class == text then return #info.classes == 2 and k - 1 or k end
  end
  return nil, ("%s: row %d, column %q: %q is none of the classes %s"):format(t.path, i, column, text, table.concat(info.classes, ", ")),
    "format"
end

-- Which column the metric looks at, and how one of its fields is read; nil and a message.
local function reader(self, t)
  local info = self.info
  local needs = score.needs(info.task, info.metric)
  if needs == "value" then
    local column = first_column(t, { info.label, "value", "prediction", "score" })
    if column then return column, function(i) return number_at(t, column, i, -1e300, 1e300) end end
    return nil, ("%s: no column %q, value, prediction or score; the file has %s"):format(t.path, info.label, table.concat(t.columns, ", "))
  end
  local said = first_column(t, { info.label, "label", "prediction" })
  if needs == "answer" and said then return said, function(i) return class_at(info, t, said, i) end end
  local prob = info.task == "binary" and first_column(t, { "prob" }, "^prob_")
  if prob and needs == "prob" then return prob, function(i) return number_at(t, prob, i, 0, 1) end end
  if prob then
    return prob, function(i)
      local x, message, code = number_at(t, prob, i, 0, 1)
      if not x then return nil, message, code end
      return x >= .5 and 1 or 0
    end, "cut at .5"
  end
  return nil, ("%s: %s needs %s; the file has %s"):format(t.path, info.metric, needs == "prob" and "a column prob or prob_..."
    or ("a column %q, label or prediction"):format(info.label), table.concat(t.columns, ", "))
end

--- answers.read(board, path) -> list, column | nil, message, code
-- The answers in the order of the board's rows, as kooka.board.score takes them, and the column they are from.
function answers.read(self, path)
  local t, message, code = csv.read(path)
  if not t then return nil, message, code end
  local ok
  ok, message, code = sealing.has_column(t, self.info.id)
  if not ok then return nil, message, code end
  local at
  at, message, code = answers.match(self, t, self.info.id)
  if not at then return nil, message, code end
  local column, read, note = reader(self, t)
  if not column then return nil, read, "format" end
  local list = {}
  for i, row in ipairs(self.rows) do
    local x, why, kind = read(at[row.id])
    if not x then return nil, why, kind end
    list[i] = x
  end
  return list, column .. (note and " " .. note or "")
end

--- answers.pack(list) -> text
function answers.pack(list)
  local out = {}
  for i, x in ipairs(list) do out[i] = math.type(x) == "integer" and ("%d"):format(x) or ("%.17g"):format(x) end
  return table.concat(out, " ")
end

--- answers.unpack(text) -> list
function answers.unpack(text)
  local out = {}
  for word in text:gmatch("%S+") do out[#out + 1] = math.tointeger(word) or tonumber(word) end
  return out
end

return answers
