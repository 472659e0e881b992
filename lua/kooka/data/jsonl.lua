--- jsonl: one JSON value a line.
local core = require "kooka.core"

local jsonl = {}

--- read(path[, {limit =, max_line = 67108864}]) -> list of values | nil, message, code
-- Decodes every line; empty lines are skipped. Errors name file and line.
function jsonl.read(path, options)
  local o = options or {}
  local reader <close>, message, code = core.csv.open(path, {delimiter = "", header = false, max_row = o.max_line})
  if not reader then return nil, message, code end
  local out = {}
  while not o.limit or #out < o.limit do
    local fields
    fields, message, code = reader:next()
    if message then return nil, message, code end
    if not fields then break end
    if fields[1]:find("%S") then
      local value, problem = core.json.decode(fields[1])
      if value == nil then
        local _, line = reader:where()
        return nil, ("%s: line %d: %s"):format(path, line, problem), "format"
      end
      out[#out + 1] = value
    end
  end
  return out
end

--- write(path, values) -> true | nil, message, code
-- One line for each value; the file appears under its name only when complete.
function jsonl.write(path, values)
  local lines = {}
  for i, value in ipairs(values) do lines[i] = core.json.encode(value) end
  lines[#lines + 1] = ""
  return core.sys.write_file(path, table.concat(lines, "\n"))
end

return jsonl
