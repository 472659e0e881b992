--- labelled: any table of texts with a class each, columns given or found; or texts and labels in two files, one a line.
local core = require "kooka.core"
local check_options = require "kooka.options"

local labelled = {}

local TEXT = { "text", "tweet", "texto", "tuit", "content", "message", "body", "sentence", "comment", "review", "post" }
local LABEL = { "label", "class", "category", "target", "sentiment", "stance", "emotion", "y", "etiqueta", "clase", "is_humor" }

local function join(list) return table.concat(list, ", ") end

-- The separator that the first line holds most often.
local function sniff(path)
  local file, message = io.open(path, "r")
  if not file then return nil, message, "io" end
  local head = file:read("l")
  file:close()
  if not head then return nil, path .. ": the file is empty", "format" end
  local best, most = ",", 0
  for _, c in ipairs { ",", "\t", ";" } do
    local n = select(2, head:gsub(c, ""))
    if n > most then best, most = c, n end
  end
  return best
end

--- labelled.rows(path) -> {columns=, rows=, lines=} | nil, message, code
-- Every row as a list of fields, and the line it begins on. The separator (comma, tab or semicolon) is found.
function labelled.rows(path)
  local delimiter, message, code = sniff(path)
  if not delimiter then return nil, message, code end
  local reader <close>, why, kind = core.csv.open(path, { delimiter = delimiter, header = true })
  if not reader then return nil, why, kind end
  local out = { path = path, columns = reader:header(), rows = {}, lines = {} }
  while true do
    local fields
    fields, message, code = reader:next()
    if message then return nil, message, code end
    if not fields then break end
    out.rows[#out.rows + 1] = fields
    out.lines[#out.rows] = select(2, reader:where())
  end
  if #out.rows == 0 then return nil, path .. ": there are no rows below the header", "format" end
  return out
end

local function place(t, name)
  for i, column in ipairs(t.columns) do
    if column == name then return i end
  end
  return nil, ("%s: there is no column %q; the file has %s"):format(t.path, name, join(t.columns)), "format"
end

local function known(t, names, but)
  for _, name in ipairs(names) do
    for i, column in ipairs(t.columns) do
      if column:lower() == name and i ~= but then return i end
    end
  end
end

-- The column with the longest fields.
local function longest(t)
  local best, most = 1, -1
  for i in ipairs(t.columns) do
    local sum = 0
    for k = 1, math.min(200, #t.rows) do sum = sum + #t.rows[k][i] end
    if sum > most then best, most = i, sum end
  end
  return best
end

-- The column with the fewest different values, two at least.
local function narrowest(t, but)
  local best, fewest
  for i in ipairs(t.columns) do
    if i ~= but then
      local seen, n = {}, 0
      for k = 1, math.min(2000, #t.rows) do
        local v = t.rows[k][i]
        if not seen[v] then seen[v], n = true, n + 1 end
      end
      if n >= 2 and (not fewest or n < fewest) then best, fewest = i, n end
    end
  end
  return best
end

--- labelled.names(values) -> names, number
-- The different values in order (as numbers where all are, else by bytes), and the place of each: number[value].
function labelled.names(values)
  local names, number, numeric = {}, {}, true
  for _, v in ipairs(values) do
    if not number[v] then
      names[#names + 1], number[v] = v, 0
      numeric = numeric and tonumber(v) ~= nil
    end
  end
  table.sort(names, function(a, b)
    local x, y = tonumber(a), tonumber(b)
    if numeric and x ~= y then return x < y end
    return a < b
  end)
  for i, name in ipairs(names) do number[name] = i end
  return names, number
end

-- What is wrong with a row, or nil.
local function fault(text, label)
  if not text:find("%S") then return "no text" end
  if label and not label:find("%S") then return "no label" end
  local good, message = core.unicode.valid(text)
  if not good then return message end
end

-- Rows that cannot be used: an error that names their lines, or a list when they are to be passed over.
local function refuse(path, bad, skip)
  if #bad == 0 or skip then return true end
  local first = {}
  for i = 1, math.min(5, #bad) do first[i] = ("line %d: %s"):format(bad[i].line, bad[i].why) end
  return nil, ("%s: %d rows cannot be used (%s%s); mend them, or leave them out with --skip-bad"):format(path, #bad,
    table.concat(first, "; "), #bad > 5 and "; ..." or ""), "format"
end

-- values (strings) become d.labels and d.names.
local function number_classes(d, values, what, path)
  d.names, d.number = labelled.names(values)
  if #d.names < 2 then
    return nil, ("%s: %s holds only one class (%q): there is nothing to tell apart"):format(path, what, d.names[1] or ""), "format"
  end
  if #d.names > 500 or (#values >= 40 and #d.names > #values / 2) then
    return nil, ("%s: %s has %d different values in %d rows: that is no label; name the column with --label"):format(path, what,
      #d.names, #values), "format"
  end
  d.labels = {}
  for i, v in ipairs(values) do d.labels[i] = d.number[v] end
  return d
end

local function from_table(path, o)
  local t, message, code = labelled.rows(path)
  if not t then return nil, message, code end
  local at = {}
  for _, role in ipairs { "text", "label", "group" } do
    if o[role] and o[role] ~= "" then
      at[role], message, code = place(t, o[role])
      if not at[role] then return nil, message, code end
    end
  end
  at.text = at.text or known(t, TEXT, at.label) or longest(t)
  if o.label ~= false then
    at.label = at.label or known(t, LABEL, at.text) or narrowest(t, at.text)
    if not at.label then
      return nil, ("%s: no column could hold the labels (the file has %s); name it with --label"):format(path, join(t.columns)), "format"
    end
  end
  if at.text == at.label then
    return nil, ("%s: text and label are the same column, %q"):format(path, t.columns[at.text]), "format"
  end
  local d = { path = path, texts = {}, lines = {}, groups = at.group and {} or nil, text_column = t.columns[at.text],
    label_column = at.label and t.columns[at.label], columns = t.columns }
  local values, bad = {}, {}
  for i, row in ipairs(t.rows) do
    local text, label = row[at.text], at.label and row[at.label]
    local why = fault(text, label)
    if why and (o.label ~= false or why ~= "no text") then
      bad[#bad + 1] = { line = t.lines[i], why = why }
    else
      local n = #d.texts + 1
      d.texts[n], d.lines[n], values[n] = text, t.lines[i], label or nil
      if d.groups then d.groups[n] = row[at.group] end
    end
  end
  local ok
  ok, message, code = refuse(path, bad, o.skip_bad)
  if not ok then return nil, message, code end
  d.skipped = #bad
  if o.label == false then return d end
  return number_classes(d, values, ("column %q"):format(d.label_column), path)
end

--- labelled.lines(path) -> list of lines | nil, message, code
-- Empty ones too; a line end before the end of the file adds none.
function labelled.lines(path)
  local text, message, code = core.sys.read_file(path)
  if not text then return nil, message, code end
  local out = {}
  if text == "" then return out end
  for line in (text:sub(-1) == "\n" and text or text .. "\n"):gmatch("([^\n]*)\n") do out[#out + 1] = (line:gsub("\r$", "")) end
  return out
end
local function from_lines(path, labels_path, o)
  local texts, message, code = labelled.lines(path)
  if not texts then return nil, message, code end
  local labels
  labels, message, code = labelled.lines(labels_path)
  if not labels then return nil, message, code end
  if #texts ~= #labels then
    return nil, ("%s has %d lines but %s has %d: there must be a label for each text"):format(path, #texts, labels_path, #labels),
      "format"
  end
  local d, values, bad = { path = path, texts = {}, lines = {}, text_column = "(each line)", label_column = labels_path }, {}, {}
  for i, text in ipairs(texts) do
    local why = fault(text, labels[i])
    if why then
      bad[#bad + 1] = { line = i, why = why }
    else
      local n = #d.texts + 1
      d.texts[n], d.lines[n], values[n] = text, i, labels[i]:match("^%s*(.-)%s*$")
    end
  end
  local ok
  ok, message, code = refuse(path, bad, o.skip_bad)
  if not ok then return nil, message, code end
  d.skipped = #bad
  return number_classes(d, values, "the file " .. labels_path, path)
end

--- labelled.read(path, {text = found, label = found, group = none, labels = none, skip_bad = false}) -> data | nil, message, code
-- A table with a header (comma, tab or semicolon), or with `labels` = a second file a text a line. text, label, group: names of
-- columns; those not given are found by name, else the longest and the narrowest column are taken. data: {texts=, labels=
-- (from 1), names= (of the classes), lines=, groups=, text_column=, label_column=, skipped=}. A row without text or label is an
-- error that names its line, or is passed over with skip_bad; one that is not UTF-8 is an error. label = false: a table without
-- labels.
function labelled.read(path, o)
  o = o or {}
  check_options("labelled.read", o, { text = true, label = true, group = true, labels = true, skip_bad = true })
  if o.labels and o.labels ~= "" then return from_lines(path, o.labels, o) end
  return from_table(path, o)
end

--- labelled.together(a, b) -> list of keys
-- One key a row such that rows which share a value in a or in b share the key (b may be nil): groups of a split.
function labelled.together(a, b)
  local root, first = {}, {}
  local function find(i)
    while root[i] ~= i do
      root[i] = root[root[i]]
      i = root[i]
    end
    return i
  end
  for i = 1, #a do root[i] = i end
  for column, list in ipairs { a, b } do
    for i, value in ipairs(list) do
      local key = column .. ":" .. value
      if first[key] then root[find(i)] = find(first[key]) else first[key] = i end
    end
  end
  local out = {}
  for i = 1, #a do out[i] = tostring(find(i)) end
  return out
end

return labelled
