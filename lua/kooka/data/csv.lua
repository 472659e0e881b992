--- csv: delimited text into columns of strings, and rows of values into a file.
local core = require "kooka.core"
local check_options = require "kooka.options"

local csv = {}

local read_options = {
  delimiter = true, quotes = true, escapes = true, header = true, columns = true, limit = true, max_row = true,
}

--- Places of the wanted columns among names; nil and a message when one is missing or ambiguous.
local function find_columns(path, names, wanted)
  local place, indices = {}, {}
  for i, name in ipairs(names) do
    if place[name] then
      return nil, ("%s: header (line 1): two columns are named %q (%d and %d)"):format(path, name, place[name], i), "format"
    end
    place[name] = i
  end
  for k, name in ipairs(wanted or names) do
    if not place[name] then
      return nil, ("%s: header (line 1): no column %q, the file has %s"):format(path, name, table.concat(names, ", ")), "format"
    end
    indices[k] = place[name]
  end
  return indices
end

--- Names of a file without a header: given ones, else c1, c2, ...
local function plain_names(path, wanted, first)
  local names = {}
  for i = 1, #first do names[i] = "c" .. i end
  if wanted and #wanted ~= #first then
    return nil, ("%s: row 1 (line 1): %d fields, expected %d (%s)"):format(path, #first, #wanted, table.concat(wanted, ", ")), "format"
  end
  return wanted or names
end

local function open_reader(path, o)
  local reader, message, code = core.csv.open(path, {
    delimiter = o.delimiter, quotes = o.quotes, escapes = o.escapes, header = o.header, max_row = o.max_row,
  })
  if not reader then return nil, message, code end
  return reader
end

--- read(path[, {delimiter = ",", columns = list, header = true, escapes = false, quotes =, limit =}]) -> table | nil, message, code
-- A file as columns of strings: `{n = rows, path =, columns = names, data = {name = list}}`, and each list also as
-- `t[name]` where the name is free. With `columns` only those are kept and each must be there; without a header they
-- name the fields in order. `escapes = true` (and no quotes) reads tab-separated files in which \n, \r, \t and \\ are
-- written with a backslash. `limit`: at most so many rows. Errors name file, row, line, column and what was expected.
function csv.read(path, options)
  local o = options or {}
  check_options("csv.read", o, read_options)
  if o.escapes and o.quotes == nil then
    local copy = {}
    for k, v in pairs(o) do copy[k] = v end
    o, copy.quotes = copy, false
  end
  local reader <close>, message, code = open_reader(path, o)
  if not reader then return nil, message, code end
  local names, first = reader:header(), nil
  if not names then
    first, message, code = reader:next()
    if message then return nil, message, code end
    names, message, code = plain_names(path, o.columns, first or o.columns or {})
    if not names then return nil, message, code end
  end
  local indices
  indices, message, code = find_columns(path, names, o.columns)
  if not indices then return nil, message, code end
  local lists, n, why = reader:read(indices, first and o.limit and o.limit - 1 or o.limit)
  if not lists then return nil, n, why end
  if first then
    n = n + 1
    for k, i in ipairs(indices) do table.insert(lists[k], 1, first[i]) end
  end
  local out = {n = n, path = path, columns = {}, data = {}}
  for k, i in ipairs(indices) do
    out.columns[k] = names[i]
    out.data[names[i]] = lists[k]
  end
  for _, name in ipairs(out.columns) do
    if out[name] == nil then out[name] = out.data[name] end
  end
  return out
end

--- rows(path[, options]) -> iterator of row tables {name = string}, closer
-- For files too large to hold: `for row, number in csv.rows(path) do`. Options as in `read`. Raises on a bad file.
function csv.rows(path, options)
  local o = options or {}
  local reader, message = open_reader(path, o)
  if not reader then error(message, 2) end
  local names = reader:header() or o.columns
  if not names then error(("csv.rows: %s has no header: give columns"):format(path), 2) end
  return function()
    local fields, problem = reader:next()
    if problem then error(problem, 2) end
    if not fields then return nil end
    local row = {}
    for i, name in ipairs(names) do row[name] = fields[i] end
    return row, (reader:where())
  end, nil, nil, reader
end

--- numbers(t, name[, {min =, max =, integer = false, null =}]) -> list | nil, message, code
-- Column `name` of a table from `read` as numbers. A field equal to `null` becomes `false`. Anything else that is no
-- number, or out of range, is an error that names file, row and column.
function csv.numbers(t, name, options)
  local o = options or {}
  local column, out = t.data[name], {}
  if not column then error(("csv.numbers: no column '%s'"):format(tostring(name)), 2) end
  local wanted = (o.integer and "an integer" or "a number")
    .. (o.min and o.max and (" from %s to %s"):format(o.min, o.max) or o.min and (" of at least %s"):format(o.min)
      or o.max and (" of at most %s"):format(o.max) or "")
  for i = 1, t.n do
    local text = column[i]
    if text == o.null then
      out[i] = false
    else
      local v = text:find("^%s*[-+]?[%d.]") and not text:find("[xX]") and tonumber(text) or nil
      if v and o.integer then v = math.tointeger(v) end
      if not v or (o.min and v < o.min) or (o.max and v > o.max) then
        return nil, ("%s: row %d, column %q: expected %s, got %q"):format(t.path or "table", i, name, wanted, text), "format"
      end
      out[i] = v
    end
  end
  return out
end

local function field(v, column, row)
  local kind = math.type(v)
  if kind == "integer" then return ("%d"):format(v) end
  if kind == "float" then
    if v ~= v or v == math.huge or v == -math.huge then
      error(("csv.write: row %d, column %q: %s is no finite number"):format(row, column, v), 0)
    end
    local short = ("%.9g"):format(v)
    return tonumber(short) == v and short or ("%.17g"):format(v)
  end
  if type(v) == "boolean" then return v and "1" or "0" end
  if type(v) ~= "string" then
    error(("csv.write: row %d, column %q: expected a string or a number, got %s"):format(row, column, type(v)), 0)
  end
  if v:find('[,"\r\n]') or v == "" then return '"' .. v:gsub('"', '""') .. '"' end
  return v
end

--- write(path, columns, rows) -> true | nil, message, code
-- Writes a comma-separated file with a header, quoted by RFC 4180; it appears under its name only when complete. Each
-- row is a list in the order of `columns`, or a table keyed by their names. Numbers are written so that they read back
-- equal; true and false are 1 and 0; a missing or non-finite value raises.
function csv.write(path, columns, rows)
  local lines, fields = {}, {}
  for k, name in ipairs(columns) do fields[k] = field(name, name, 0) end
  lines[1] = table.concat(fields, ",", 1, #columns)
  for i, row in ipairs(rows) do
    for k, name in ipairs(columns) do
      local v = row[k]
      if v == nil then v = row[name] end
      fields[k] = field(v, name, i)
    end
    lines[i + 1] = table.concat(fields, ",", 1, #columns)
  end
  lines[#lines + 1] = ""
  return core.sys.write_file(path, table.concat(lines, "\n"))
end

return csv
