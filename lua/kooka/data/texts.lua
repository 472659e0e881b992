--- texts: unlabelled texts for language models, from the files that people have.
local core = require "kooka.core"
local csv = require "kooka.data.csv"
local jsonl = require "kooka.data.jsonl"

local texts = {}

local COLUMNS = { "text", "tweet", "full_text", "content", "body" }

-- The first field name that holds a text, in the order of COLUMNS.
local function pick(has, column)
  if column then return has(column) and column end
  for _, name in ipairs(COLUMNS) do
    if has(name) then return name end
  end
end

local function wants(column) return column and ("%q"):format(column) or table.concat(COLUMNS, ", ") end

-- What R wrote on Windows for characters outside its code page: <U+1F923>.
local function unescape(text)
  return (text:gsub("<U%+(%x+)>", function(digits)
    local code = tonumber(digits, 16)
    local fine = #digits >= 4 and #digits <= 8 and code > 0 and code < 0x110000 and not (code >= 0xD800 and code < 0xE000)
    return fine and utf8.char(code) or nil
  end))
end

-- The delimiter that the first line has most of, outside quotes; the line's fields are what is between.
local function delimiter_of(path)
  local reader <close>, message, code = core.csv.open(path, { delimiter = "", quotes = false, header = false })
  local fields
  if reader then fields, message, code = reader:next() end
  if message then return nil, message, code end
  local line, best, most = (fields and fields[1] or ""):gsub('"[^"]*"', ""), ",", 0
  for _, d in ipairs { ",", ";", "\t" } do
    local _, n = line:gsub(d, "")
    if n > most then best, most = d, n end
  end
  return best
end

local function column_of(path, column, o)
  o.limit = 1
  local first, message, code = csv.read(path, o)
  if not first then return nil, message, code end
  local name = pick(function(n) return first.data[n] end, column)
  if not name and not column and #first.columns == 2 and tonumber(first.columns[1]) then
    o.header, o.columns, name = false, { "row", "text" }, "text"         -- row number and text, without a header
  elseif not name then
    return nil, ("%s: no column %s; the file has %s"):format(path, wants(column), table.concat(first.columns, ", ")), "format"
  else
    o.columns = { name }
  end
  o.limit = nil
  local t
  t, message, code = csv.read(path, o)
  return t and t.data[name], message, code
end

local function from_table(path, column)
  local delimiter, message, code = delimiter_of(path)
  if not delimiter then return nil, message, code end
  local list
  if path:find("%.tsv") then
    list, message, code = column_of(path, column, { delimiter = delimiter, escapes = true })
    if list or not message:find("backslash", 1, true) then return list, message, code end
    return column_of(path, column, { delimiter = delimiter, quotes = false })     -- its backslashes escape nothing
  end
  return column_of(path, column, { delimiter = delimiter })
end

local function from_records(path, column)
  local records, message, code = jsonl.read(path)
  if not records then return nil, message, code end
  local out, name = {}, nil
  for i, record in ipairs(records) do
    if type(record) == "string" then
      out[i] = record
    else
      name = name or type(record) == "table" and pick(function(n) return record[n] end, column)
      local text = name and record[name]
      if type(text) ~= "string" then
        return nil, ("%s: record %d has no text %s"):format(path, i, wants(column)), "format"
      end
      out[i] = text
    end
  end
  return out
end

local function from_lines(path)
  local reader <close>, message, code = core.csv.open(path, { delimiter = "", header = false })
  if not reader then return nil, message, code end
  local lists, n, why = reader:read({ 1 })
  return lists and lists[1], n, why
end

local READERS = {
  txt = from_lines, jsonl = from_records, json = from_records,
  csv = from_table, tsv = from_table,
}

-- Paths of the files below a folder that have a reader, in the order of their names.
local function files(path, out)
  local facts, message, code = core.sys.stat(path)
  if not facts then return nil, message, code end
  if facts.type ~= "folder" then
    out[#out + 1] = path
    return out
  end
  for _, name in ipairs(core.sys.list(path)) do
    local below = path .. "/" .. name
    if (core.sys.stat(below) or {}).type == "folder" then
      files(below, out)
    elseif READERS[name:gsub("%.gz$", ""):match("%.(%w+)$") or ""] then
      out[#out + 1] = below
    end
  end
  return out
end

--- read(paths[, {column=}]) -> list of texts, list of {path=, n=} | nil, message, code
-- paths: a file or folder, or several with commas between. Files: .csv (comma, semicolon or tab), .tsv (\n, \t as escapes), .jsonl or
-- .json (one record a line), .txt (one text a line), each also as .gz. The text is in `column`, or in text, tweet, full_text,
-- content or body. A folder gives what is in it, by name. Empty texts are left out, <U+1F923> becomes the character.
function texts.read(paths, o)
  local column = o and o.column
  local out, told = {}, {}
  for path in paths:gmatch("[^,]+") do
    local list, message, code = files(path:match("^%s*(.-)%s*$"):gsub("(.)/+$", "%1"), {})
    if not list then return nil, message, code end
    if #list == 0 then return nil, ("%s: no .csv, .tsv, .jsonl, .json or .txt file in this folder"):format(path), "io" end
    for _, file in ipairs(list) do
      local kind = file:gsub("%.gz$", ""):match("%.(%w+)$")
      local reader = READERS[kind or ""] or from_lines
      local found
      found, message, code = reader(file, column)
      if not found then return nil, message, code end
      local before = #out
      for _, text in ipairs(found) do
        if text:find("%S") then out[#out + 1] = unescape(text) end
      end
      told[#told + 1] = { path = file, n = #out - before }
    end
  end
  return out, told
end

return texts
