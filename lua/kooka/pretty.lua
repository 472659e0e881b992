--- pretty: values as text, one level deep, for sessions and messages.
local pretty = {}

local KEYWORDS = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return then true
  until while]]):gmatch("%a+") do KEYWORDS[word] = true end

local function short(value)
  if type(value) == "string" then
    local text = #value > 60 and value:sub(1, utf8.offset(value, 1, 58) or 58):gsub("[\x80-\xff]+$", "") .. "…" or value
    return (('"%s"'):format(text:gsub('[%c"\\]', function(c)
      return c == "\n" and "\\n" or c == "\t" and "\\t" or c == '"' and '\\"' or c == "\\" and "\\\\"
        or ("\\%d"):format(c:byte())
    end)))
  end
  local mt = getmetatable(value)
  if type(value) ~= "table" or type(mt) == "table" and mt.__tostring then
    local text = tostring(value)
    local line = text:match("^[^\n]*")
    return line == text and line or line .. " …"
  end
  local n = 0
  for _ in next, value do n = n + 1 end
  if n == 0 then return "{}" end
  return #value == n and ("{%d items}"):format(n) or ("{%d fields}"):format(n)
end

local function key_text(key)
  if type(key) == "string" and key:find("^[%a_][%w_]*$") and not KEYWORDS[key] then return key end
  return "[" .. short(key) .. "]"
end

local RANK = {number = 1, string = 2}
local function before(a, b)
  local ra, rb = RANK[type(a)] or 3, RANK[type(b)] or 3
  if ra ~= rb then return ra < rb end
  if ra == 3 then return tostring(a) < tostring(b) end
  return a < b
end

--- pretty.value(value [, width = 78]) -> string
-- Tables show their fields one level deep, sorted, at most 100 of them; objects with __tostring and
-- everything else as tostring() gives it. Calls no function of the value but its __tostring.
function pretty.value(value, width)
  local mt = getmetatable(value)
  if type(value) ~= "table" or type(mt) == "table" and mt.__tostring then return tostring(value) end
  local parts, keys = {}, {}
  for i = 1, math.min(#value, 100) do parts[i] = short(rawget(value, i)) end
  local hidden = #value - #parts
  local n = #value
  for key in next, value do
    if not (math.type(key) == "integer" and key >= 1 and key <= n) then keys[#keys + 1] = key end
  end
  table.sort(keys, before)
  for _, key in ipairs(keys) do
    if #parts >= 100 then
      hidden = hidden + 1
    else
      parts[#parts + 1] = key_text(key) .. " = " .. short(rawget(value, key))
    end
  end
  if hidden > 0 then parts[#parts + 1] = ("… %d more"):format(hidden) end
  local line = "{" .. table.concat(parts, ", ") .. "}"
  if #line <= (width or 78) then return line end
  if #keys == 0 then                         -- a list: as many on a line as fit
    local lines, row = {}, "  "
    for i, part in ipairs(parts) do
      local piece = part .. (i < #parts and ", " or "")
      if #row + #piece > (width or 78) and #row > 2 then
        lines[#lines + 1] = row
        row = "  "
      end
      row = row .. piece
    end
    lines[#lines + 1] = row
    return "{\n" .. table.concat(lines, "\n") .. "\n}"
  end
  return "{\n  " .. table.concat(parts, ",\n  ") .. "\n}"
end

return pretty
