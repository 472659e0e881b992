--- table: aligned text tables, whole or row by row, in columns of terminal cells.
local unicode = require("kooka").unicode

local tables = {}

local SPARE = 2          -- blanks between columns

--- tables.width(text) -> integer
-- Terminal cells that `text` takes: by kooka.unicode when it is there, else one for each code point.
function tables.width(text)
  if not text:find("[\128-\255]") then return #text end
  return unicode and unicode.width and unicode.width(text) or utf8.len(text) or #text
end

--- tables.fit(text, n) -> string
-- `text` cut to at most n cells, with an ellipsis when something was cut.
function tables.fit(text, n)
  if tables.width(text) <= n then return text end
  local out, used = {}, 0
  for char in text:gmatch("[%z\1-\127\194-\247][\128-\191]*") do
    local w = tables.width(char)
    if used + w > n - 1 then break end
    out[#out + 1] = char
    used = used + w
  end
  return table.concat(out) .. "…"
end

--- tables.pad(text, n [, align = "left"]) -> string
-- `text` with blanks up to n cells; align is "left", "right" or "center".
function tables.pad(text, n, align)
  local blanks = math.max(0, n - tables.width(text))
  if align == "right" then return (" "):rep(blanks) .. text end
  if align == "center" then return (" "):rep(blanks // 2) .. text .. (" "):rep(blanks - blanks // 2) end
  return text .. (" "):rep(blanks)
end

--- tables.number(x [, digits = 3]) -> string
-- Integers whole, others with `digits` decimals (or four figures when tiny or huge), nan as "–".
function tables.number(x, digits)
  if math.type(x) == "integer" then return ("%d"):format(x) end
  if x ~= x then return "–" end
  if x == math.huge then return "∞" end
  if x == -math.huge then return "-∞" end
  local size = math.abs(x)
  if size ~= 0 and (size < 1e-3 or size >= 1e6) then return ("%.4g"):format(x) end
  return ("%." .. (digits or 3) .. "f"):format(x)
end

--- tables.metric(m [, digits = 3]) -> string
-- A metric {value, low, high} as "0.812 [0.790, 0.833]".
function tables.metric(m, digits)
  if type(m) == "number" then return tables.number(m, digits) end
  if type(m) ~= "table" or type(m.value) ~= "number" then return "–" end
  local text = tables.number(m.value, digits)
  if type(m.low) == "number" and type(m.high) == "number" then
    text = ("%s [%s, %s]"):format(text, tables.number(m.low, digits), tables.number(m.high, digits))
  end
  return text
end

--- tables.cell(value [, column]) -> string
-- A value as it stands in a table: column.format (a string.format pattern or a function), else by its type.
function tables.cell(value, column)
  local format = column and column.format
  if value == nil then return "" end
  if type(format) == "function" then return format(value) end
  if format and type(value) == "number" then return (format:format(value)) end
  if type(value) == "number" then return tables.number(value, column and column.digits) end
  if type(value) == "table" and value.value ~= nil then return tables.metric(value, column and column.digits) end
  return (tostring(value):gsub("%c", " "))
end

-- Columns given as names or as {title, align, format, digits, width, key} become the latter.
local function normal(columns)
  local out = {}
  for i, column in ipairs(columns) do
    if type(column) ~= "table" then column = {title = tostring(column)} end
    out[i] = setmetatable({title = column.title or column[1] or column.key or ""}, {__index = column})
  end
  return out
end
tables.columns = normal

-- Numbers stand to the right unless the column says otherwise.
local function align_of(column, value)
  return column.align or (type(value) == "number" or type(value) == "table") and "right" or "left"
end

--- tables.row_values(columns, row) -> list
-- The values of a row that is a list or, when columns have keys, a record.
function tables.row_values(columns, row)
  local values = {}
  for i, column in ipairs(columns) do
    local value = row[i]
    if column.key ~= nil and row[column.key] ~= nil then value = row[column.key] end
    values[i] = value
  end
  return values
end

local function line_of(cells, widths, aligns)
  local out = {}
  for i, cell in ipairs(cells) do out[i] = tables.pad(cell, widths[i], aligns[i]) end
  return (table.concat(out, (" "):rep(SPARE)):gsub("%s+$", ""))
end

--- tables.text{columns, rows [, indent = 0]} -> string
-- columns: names, or {title, key, align = "left"|"right"|"center", format, digits}. rows: lists, or records
-- when columns have keys. Cells are strings, numbers or metrics {value, low, high}. Ends without a newline.
function tables.text(t)
  local columns = normal(assert(t.columns, "table: columns are missing"))
  local cells, widths, aligns = {}, {}, {}
  for i, column in ipairs(columns) do widths[i] = tables.width(column.title) end
  for r, row in ipairs(t.rows or {}) do
    local values = tables.row_values(columns, row)
    cells[r] = {}
    for i, column in ipairs(columns) do
      local text = tables.cell(values[i], column)
      cells[r][i] = text
      widths[i] = math.max(widths[i], tables.width(text))
      aligns[i] = aligns[i] or values[i] ~= nil and align_of(column, values[i]) or nil
    end
  end
  local head, rule = {}, {}
  for i, column in ipairs(columns) do
    aligns[i] = aligns[i] or column.align or "left"
    head[i] = column.title
    rule[i] = ("─"):rep(widths[i])
  end
  local lines = {line_of(head, widths, aligns), table.concat(rule, (" "):rep(SPARE))}
  for _, row in ipairs(cells) do lines[#lines + 1] = line_of(row, widths, aligns) end
  local indent = (" "):rep(t.indent or 0)
  return indent .. table.concat(lines, "\n" .. indent)
end

local Stream = {}
Stream.__index = Stream

--- tables.stream{columns [, write]} -> stream
-- For rows that come one at a time, such as epochs. The head is written with the first row; a column is as
-- wide as its `width` or its title (at least 8). write(line) defaults to printing.
function tables.stream(t)
  local columns, widths = normal(assert(t.columns, "table: columns are missing")), {}
  for i, column in ipairs(columns) do widths[i] = math.max(column.width or 8, tables.width(column.title)) end
  return setmetatable({columns = columns, widths = widths, write = t.write or print, rows = 0}, Stream)
end

--- stream:row(row)
-- Writes one row: a list, or a record when columns have keys.
function Stream:row(row)
  local values = tables.row_values(self.columns, row)
  local cells, aligns, head, rule = {}, {}, {}, {}
  for i, column in ipairs(self.columns) do
    cells[i] = tables.cell(values[i], column)
    aligns[i] = column.align or (i == 1 and type(values[i]) ~= "number" and "left" or "right")
    head[i] = column.title
    rule[i] = ("─"):rep(self.widths[i])
  end
  if self.rows == 0 then
    self.write(line_of(head, self.widths, aligns))
    self.write(table.concat(rule, (" "):rep(SPARE)))
  end
  self.rows = self.rows + 1
  self.write(line_of(cells, self.widths, aligns))
end

return tables
