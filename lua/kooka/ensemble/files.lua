--- kooka.ensemble.files: the predictions of runs, read from their folders, and written again with the same columns.
-- predictions/NAME_oof.csv holds rows that were held out (id, ..., prob..., fold), predictions/NAME.csv new rows.
local core = require "kooka.core"
local csv = require "kooka.data.csv"
local runs = require "kooka.runs"

local files = {}

local function starts(name, prefix) return name:sub(1, #prefix) == prefix end

-- Columns that hold probabilities, in order.
local function prob_columns(t)
  local out = {}
  for _, name in ipairs(t.columns) do
    if name == "prob" or starts(name, "prob_") then out[#out + 1] = name end
  end
  return out
end

-- The column of predicted labels: is_humor, pred, predicted.
local function said_column(columns)
  for _, name in ipairs(columns) do
    if starts(name, "is_") or name == "pred" or name == "predicted" then return name end
  end
end

local function ids_of(t, path)
  if t.data.id then return t.data.id end
  if t.data.user and t.data.item then
    local out = {}
    for i = 1, t.n do out[i] = t.data.user[i] .. "\t" .. t.data.item[i] end
    return out
  end
  return nil, ("%s: no column id (nor user and item), it has %s"):format(path, table.concat(t.columns, ", ")), "format"
end

local function probabilities(t, path)
  local names = prob_columns(t)
  if #names == 0 then
    return nil, ("%s: no column prob or prob_..., it has %s"):format(path, table.concat(t.columns, ", ")), "format"
  end
  local lists = {}
  for k, name in ipairs(names) do
    local message, code
    lists[k], message, code = csv.numbers(t, name, { min = 0, max = 1 })
    if not lists[k] then return nil, message, code end
  end
  if #names == 1 then return lists[1] end
  local out = {}
  for i = 1, t.n do
    out[i] = {}
    for k = 1, #names do out[i][k] = lists[k][i] end
  end
  return out
end

-- The decisions of a file as 0 and 1: its column of predicted labels, else what lies above one half.
local function said_of(t)
  local name, out = said_column(t.columns), {}
  for i, p in ipairs(t.prob) do
    local v = name and tonumber(t.table.data[name][i])
    if type(p) == "number" then out[i] = v == 1 and 1.0 or v == 0 and 0.0 or p > .5 and 1.0 or 0.0 end
  end
  return out
end

local function read_table(path)
  local t, message, code = csv.read(path)
  if not t then return nil, message, code end
  local ids, prob
  ids, message, code = ids_of(t, path)
  if not ids then return nil, message, code end
  prob, message, code = probabilities(t, path)
  if not prob then return nil, message, code end
  return { path = path, table = t, columns = t.columns, ids = ids, prob = prob }
end

-- The held-out predictions in a run's folder: one file, or the one that `task` names.
local function find_oof(dir, task)
  local found = {}
  for _, name in ipairs(core.sys.list(dir .. "/predictions") or {}) do
    local base = name:match("^(.*)_oof%.csv$")
    if base and (not task or base == task) then found[#found + 1] = base end
  end
  if #found == 1 then return found[1] end
  if #found == 0 then
    return nil, ("%s: no held-out predictions (predictions/%s_oof.csv)"):format(dir, task or "*"), "io"
  end
  return nil, ("%s: held-out predictions of several tasks (%s): say which by --task"):format(dir, table.concat(found, ", ")), "argument"
end

--- read(path[, {task =}]) -> member | nil, message, code
-- path: the folder of a run, or a csv of held-out predictions. member: name, ids, prob, fold, labels (when the file has a
-- column label or truth of 0 and 1: classes 1 and 2), said (the decisions, 0 and 1), test = {ids, prob} when NAME.csv stands
-- beside NAME_oof.csv; also task, columns, oof and new (the tables), config (of the run).
function files.read(path, options)
  local task, dir, oof_path = options and options.task, nil, path
  if not path:find("%.csv$") then
    dir = path:gsub("(.)/+$", "%1")
    local message, code
    task, message, code = find_oof(dir, task)
    if not task then return nil, message, code end
    oof_path = dir .. "/predictions/" .. task .. "_oof.csv"
  else
    task = task or path:match("([^/]*)_oof%.csv$") or path:match("([^/]*)%.csv$")
  end
  local oof, message, code = read_table(oof_path)
  if not oof then return nil, message, code end
  local config = dir and runs.read(dir)
  local m = { name = (dir or path):match("[^/]*$"), task = task, dir = dir, config = config, seed = config and config.seed, ids = oof.ids,
    prob = oof.prob, columns = oof.columns, oof = oof.table }
  if oof.table.data.fold then
    m.fold, message, code = csv.numbers(oof.table, "fold", { integer = true })
    if not m.fold then return nil, message, code end
  end
  m.said = said_of(oof)
  local truth = oof.table.data.label and "label" or oof.table.data.truth and "truth"
  if truth then
    m.labels, message, code = csv.numbers(oof.table, truth, { min = 0, integer = true })
    if not m.labels then return nil, message, code end
    for i, v in ipairs(m.labels) do m.labels[i] = v + 1 end
  end
  local new_path = oof_path:gsub("_oof%.csv$", ".csv")
  if new_path ~= oof_path and core.sys.exists(new_path) then
    local new
    new, message, code = read_table(new_path)
    if not new then return nil, message, code end
    m.test, m.new, m.new_columns = { ids = new.ids, prob = new.prob }, new.table, new.columns
  end
  return m
end

-- Files that could hold the labelled rows of a run: its option data, a csv or the csv files of a folder.
local function candidates(config)
  local data = config and config.params and config.params.data
  if type(data) ~= "string" then return {} end
  local facts = core.sys.stat(data)
  if not facts then return {} end
  if facts.type ~= "folder" then return { data } end
  local out = {}
  for _, name in ipairs(core.sys.list(data) or {}) do
    if name:find("%.csv$") then out[#out + 1] = data .. "/" .. name end
  end
  return out
end

local function has(columns, name)
  for _, c in ipairs(columns) do
    if c == name then return true end
  end
end

local function header(path)
  local t = csv.read(path, { limit = 1 })
  return t and t.columns or {}
end

local function by_id(t, ids, column, path)
  local place, out = {}, {}
  for i, id in ipairs(t.data.id) do place[id] = i end
  for i, id in ipairs(ids) do
    local row = place[id]
    if not row then return nil, ("%s: no row with id %s"):format(path, id), "format" end
    out[i] = t.data[column][row]
  end
  return out
end

local function classes_of(column, path, name)
  local out = {}
  for i, text in ipairs(column) do
    local v = math.tointeger(tonumber(text))
    if not v or v < 0 then return nil, ("%s: column %q: expected 0, 1, ..., got %q"):format(path, name, tostring(text)), "format" end
    out[i] = v + 1
  end
  return out
end

--- truth(member[, {labels = path or "path:column"}]) -> {labels =, texts =, test_texts =, path =} | nil, message, code
-- The true class of each held-out row: from the member's own file (column label or truth), from `labels` (a csv with the
-- column id), or from the run's option data: the csv there with id and the column that the predictions are called
-- (is_humor). Texts come along when that file has a column text, those of new rows from a file of the same folder.
function files.truth(member, options)
  local given = options and options.labels
  if member.labels and not given then return { labels = member.labels } end
  local path, column = given, nil
  if given and not core.sys.exists(given) then path, column = given:match("^(.*):([^:/]+)$") end
  if given and not (path and core.sys.exists(path)) then return nil, ("no file %s"):format(given), "io" end
  column = column or said_column(member.columns)
  local tried = given and { path } or candidates(member.config)
  for _, file in ipairs(tried) do
    local names = header(file)
    local want = given and not has(names, column or "") and has(names, "label") and "label" or column
    if want and has(names, "id") and has(names, want) then
      local text = has(names, "text")
      local t, message, code = csv.read(file, { columns = text and { "id", want, "text" } or { "id", want } })
      if not t then return nil, message, code end
      local labels, texts
      labels, message, code = by_id(t, member.ids, want, file)
      if labels then labels, message, code = classes_of(labels, file, want) end
      if labels then
        texts = text and by_id(t, member.ids, "text", file) or nil
        return { labels = labels, texts = texts, path = file, test_texts = files.test_texts(member, file) }
      end
      if given then return nil, message, code end
    elseif given then
      return nil, ("%s: expected the columns id and %s, it has %s"):format(file, column or "label", table.concat(names, ", ")), "format"
    end
  end
  return nil, ("%s: the true labels are not in its predictions (column label), nor in a csv of its data with the columns id and %s: "
    .. "name one by --labels FILE:COLUMN"):format(member.name, column or "label"), "argument"
end

--- test_texts(member, near) -> list | nil
-- Texts of the member's new rows, from the csv beside `near` that has all their ids.
function files.test_texts(member, near)
  local ids = member.test_ids or member.test and member.test.ids      -- before kooka.ensemble.align and behind it
  if not ids then return nil end
  local folder = near:match("^(.*)/[^/]*$") or "."
  for _, name in ipairs(core.sys.list(folder) or {}) do
    local path = folder .. "/" .. name
    if name:find("%.csv$") and path ~= near then
      local names = header(path)
      if has(names, "id") and has(names, "text") then
        local t = csv.read(path, { columns = { "id", "text" } })
        local texts = t and by_id(t, ids, "text", path)
        if texts then return texts end
      end
    end
  end
end

-- The mean of a column of numbers over members that have it, by weight; written with as many decimals as it came.
local function mean_column(name, tables_of, rows_of, weights, row)
  local sum, total, decimals = 0, 0, 0
  for m, t in ipairs(tables_of) do
    local text = t.data[name] and t.data[name][rows_of[m] and rows_of[m][row] or row]
    local v = tonumber(text)
    if v then
      sum, total = sum + (weights[m] or 0) * v, total + (weights[m] or 0)
      decimals = math.max(decimals, #(text:match("%.(%d+)$") or ""))
    end
  end
  if total <= 0 then return "" end
  return ("%." .. decimals .. "f"):format(sum / total)
end

-- One file with the columns of the first member's.
local function rows_for(columns, first, n, give)
  local rows = {}
  for i = 1, n do
    local row = {}
    for k, name in ipairs(columns) do
      local v = give(name, i)
      row[k] = v == nil and first(name, i) or v
    end
    rows[i] = row
  end
  return rows
end

local function prob_text(p) return ("%.6f"):format(p) end

local function write_one(path, columns, source, n, tables_of, rows_of, weights, prob, said, fold)
  local said_name = said_column(columns)
  local probs = {}
  for _, name in ipairs(columns) do
    if name == "prob" or starts(name, "prob_") then probs[#probs + 1] = name end
  end
  local class = {}
  for c, name in ipairs(probs) do class[name] = c end
  local rows = rows_for(columns, function(name, i)
    if name == "id" or name == "user" or name == "item" or name == "label" or name == "truth" or name == "text" then
      return source.data[name][rows_of[1] and rows_of[1][i] or i]
    end
    return mean_column(name, tables_of, rows_of, weights, i)
  end, n, function(name, i)
    if class[name] then return prob_text(type(prob[i]) == "table" and prob[i][class[name]] or prob[i]) end
    if name == said_name then return said(i) end
    if name == "fold" and fold then return fold[i] end
  end)
  return csv.write(path, columns, rows)
end

--- write(folder, task, result, members) -> paths | nil, message, code
-- folder/TASK_oof.csv and, when there are new rows, folder/TASK.csv, with the columns of the first member that came from a
-- file: probabilities and predicted labels are the ensemble's (held-out rows with the cuts of the other folds, new rows with
-- result.cut.cut), other columns of numbers the weighted mean of the members that have them.
function files.write(folder, task, result, members)
  local ok, message, code = core.sys.mkdir_p(folder)
  if not ok then return nil, message, code end
  local from, weights, oofs, news, rows, new_rows = nil, {}, {}, {}, {}, {}
  for i, m in ipairs(members) do
    if m.oof then
      from = from or m
      local k = #oofs + 1
      oofs[k], rows[k], weights[k] = m.oof, m.rows, math.max(0, result.weights[i])
      news[k], new_rows[k] = m.new, m.test_rows
    end
  end
  if not from then error("ensemble.files.write: no member came from a file", 2) end
  local cut = result.cut
  local function class_of(p, at)
    if type(p) ~= "table" then return p > at and 1 or 0 end
    local best = 1
    for c = 2, #p do
      if p[c] > p[best] then best = c end
    end
    return best - 1
  end
  local paths = { folder .. "/" .. task .. "_oof.csv" }
  ok, message, code = write_one(paths[1], from.columns, from.oof, #result.prob, oofs, rows, weights, result.prob,
    function(i) return class_of(result.prob[i], cut and cut.row_cut[i] or .5) end, result.fold)
  if not ok then return nil, message, code end
  if result.test and #result.test > 0 and from.new then
    paths[2] = folder .. "/" .. task .. ".csv"
    ok, message, code = write_one(paths[2], from.new_columns, from.new, #result.test, news, new_rows, weights, result.test,
      function(i) return class_of(result.test[i], cut and cut.cut or .5) end)
    if not ok then return nil, message, code end
  end
  return paths
end

return files
