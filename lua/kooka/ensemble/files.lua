--- kooka.ensemble.files: the predictions of runs, read from their folders, and written again with the same columns.
-- predictions/NAME_oof.csv holds rows that were held out (id, ..., prob..., fold), predictions/NAME.csv new rows. Columns nbsvm_...
-- beside prob_... are what NB-SVM says of the same rows.
local core = require "kooka.core"
local csv = require "kooka.data.csv"
local runs = require "kooka.runs"

local files = {}

local function starts(name, prefix) return name:sub(1, #prefix) == prefix end

-- Columns that hold probabilities, in order.
local function prob_columns(columns, prefix)
  local out = {}
  for _, name in ipairs(columns) do
    if name == prefix or starts(name, prefix .. "_") then out[#out + 1] = name end
  end
  return out
end

-- Names of the classes, where there is a column for each: prob_NAME; nil where one column holds class 2 alone.
local function class_names(columns)
  local out = prob_columns(columns, "prob")
  if #out < 2 then return nil end
  for c, name in ipairs(out) do out[c] = name:sub(6) end
  return out
end

-- The column of predicted labels: is_humor, pred, predicted; label, where truth stands beside it or the rows are new.
local function said_column(columns, new)
  local has = {}
  for _, name in ipairs(columns) do
    if starts(name, "is_") or name == "pred" or name == "predicted" then return name end
    has[name] = true
  end
  return has.label and (has.truth or new) and "label" or nil
end

local function ids_of(t, path)
  if t.data.id then return t.data.id end
  if t.data.user and t.data.item then
    local out = {}
    for i = 1, t.n do out[i] = t.data.user[i] .. "\t" .. t.data.item[i] end
    return out
  end
  if t.data.row then return t.data.row end
  return nil, ("%s: no column id (nor row, nor user and item), it has %s"):format(path, table.concat(t.columns, ", ")), "format"
end

local function probabilities(t, path, prefix)
  local names = prob_columns(t.columns, prefix or "prob")
  if #names == 0 then
    if prefix then return nil end
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
  local bayes
  bayes, message, code = probabilities(t, path, "nbsvm")
  if message then return nil, message, code end
  return { path = path, table = t, columns = t.columns, ids = ids, prob = prob, nbsvm = bayes }
end

--- tasks(dir) -> list
-- Names of what a run's folder has held-out predictions of, in order.
function files.tasks(dir)
  local found = {}
  for _, name in ipairs(core.sys.list(dir .. "/predictions") or {}) do found[#found + 1] = name:match("^(.*)_oof%.csv$") end
  table.sort(found)
  return found
end

-- The held-out predictions in a run's folder: one file, or the one that `task` names.
local function find_oof(dir, task)
  local found = {}
  for _, base in ipairs(files.tasks(dir)) do
    if not task or base == task then found[#found + 1] = base end
  end
  if #found == 1 then return found[1] end
  if #found == 0 then
    return nil, ("%s: no held-out predictions (predictions/%s_oof.csv)"):format(dir, task or "*"), "io"
  end
  return nil, ("%s: held-out predictions of several tasks (%s): say which by --task"):format(dir, table.concat(found, ", ")), "argument"
end

-- The true classes that a file has: column truth, or label where that is not what was predicted. Names of classes as in prob_NAME, or
-- numbers from 0.
local function truth_of(t, path)
  local name = t.data.truth and "truth" or t.data.label and said_column(t.columns) ~= "label" and "label"
  if not name then return nil end
  local number, out = {}, {}
  for c, class in ipairs(class_names(t.columns) or {}) do number[class] = c end
  for i, text in ipairs(t.data[name]) do
    out[i] = number[text]
    if not out[i] then
      if next(number) and not tonumber(text) then
        return nil, ("%s: row %d: column %s has %q, which is none of the classes"):format(path, i, name, text), "format"
      end
      local list, message, code = csv.numbers(t, name, { min = 0, integer = true })
      if not list then return nil, message, code end
      for k, v in ipairs(list) do out[k] = v + 1 end
      return out
    end
  end
  return out
end

--- read(path[, {task =}]) -> member | nil, message, code
-- path: the folder of a run, or a csv of held-out predictions. member: name, ids, prob, fold, labels (when the file has a column
-- truth, or label beside no other: names of classes as in prob_NAME, or 0, 1, ...: classes 1, 2, ...), said (the decisions, 0 and 1),
-- nbsvm and nbsvm_test (probabilities, where the files have them), test = {ids, prob} when NAME.csv stands beside NAME_oof.csv; also
-- task, columns, oof and new (the tables), config (of the run).
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
  m.said, m.nbsvm = said_of(oof), oof.nbsvm
  m.labels, message, code = truth_of(oof.table, oof_path)
  if message then return nil, message, code end
  local new_path = oof_path:gsub("_oof%.csv$", ".csv")
  if new_path ~= oof_path and core.sys.exists(new_path) then
    local new
    new, message, code = read_table(new_path)
    if not new then return nil, message, code end
    m.test, m.new, m.new_columns = { ids = new.ids, prob = new.prob, nbsvm = new.nbsvm }, new.table, new.columns
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

-- Columns that say which row it is, copied as they are.
local KEPT = { id = true, user = true, item = true, row = true, line = true, file = true, label = true, truth = true, text = true }

-- said(i): the class, from 0; the column of predicted labels has it, or the class's name.
local function write_one(path, columns, source, n, tables_of, rows_of, weights, prob, said, fold)
  local said_name, names = said_column(columns, fold == nil), class_names(columns)
  local class = {}
  for c, name in ipairs(prob_columns(columns, "prob")) do class[name] = c end
  local rows = rows_for(columns, function(name, i)
    if KEPT[name] then
      return source.data[name][rows_of[1] and rows_of[1][i] or i]
    end
    return mean_column(name, tables_of, rows_of, weights, i)
  end, n, function(name, i)
    if class[name] then return prob_text(type(prob[i]) == "table" and prob[i][class[name]] or prob[i]) end
    if name == said_name then return name == "label" and names and names[said(i) + 1] or said(i) end
    if name == "fold" and fold then return fold[i] end
  end)
  return csv.write(path, columns, rows)
end

-- Where new rows say in a column `file` where a contest wants them: those files too, a class number from 0 a line.
local function write_layout(folder, source, rows, n, said)
  local order, lines = {}, {}
  for i = 1, n do
    local name = source.data.file[rows and rows[i] or i]
    if name:find("^/") or name:find("%.%.") then return nil, ("column file: %q is no place in the folder"):format(name), "format" end
    if not lines[name] then
      lines[name] = {}
      order[#order + 1] = name
    end
    table.insert(lines[name], ("%d\n"):format(said(i)))
  end
  for k, name in ipairs(order) do
    local path = folder .. "/" .. name
    local ok, message, code = core.sys.mkdir_p(path:match("^(.*)/"))
    if ok then ok, message, code = core.sys.write_file(path, table.concat(lines[name])) end
    if not ok then return nil, message, code end
    order[k] = path
  end
  return order
end

--- write(folder, task, result, members) -> paths | nil, message, code
-- folder/TASK_oof.csv and, when there are new rows, folder/TASK.csv, with the columns of the first member that came from a
-- file: probabilities and predicted labels are the ensemble's (held-out rows with the cuts of the other folds, new rows with
-- result.cut.cut), other columns of numbers the weighted mean of the members that have them. Where new rows have a column `file`
-- (tweeteval/irony.txt), that file too: a class number from 0 a line.
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
    local function said(i) return class_of(result.test[i], cut and cut.cut or .5) end
    ok, message, code = write_one(paths[2], from.new_columns, from.new, #result.test, news, new_rows, weights, result.test, said)
    if not ok then return nil, message, code end
    if from.new.data.file then
      local more
      more, message, code = write_layout(folder, from.new, new_rows[1], #result.test, said)
      if not more then return nil, message, code end
      table.move(more, 1, #more, #paths + 1, paths)
    end
  end
  return paths
end

return files
