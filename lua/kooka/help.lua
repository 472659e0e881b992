--- help: the documentation of functions, modules and objects, from where it was written.
-- Functions in C carry their text (kooka.core.doc); functions in Lua have it in the comment above them.
local core = require "kooka.core"

local help = {}

-- The text of the file a function was compiled from, or nil.
local function source_text(source)
  local path = source:match("^@(.*)")
  if not path then return nil end
  local text = core.module_source and core.module_source(source)
  return text or core.sys.read_file(path, 1 << 24)
end

local function split_lines(text)
  local lines = {}
  for line in (text .. "\n"):gmatch("(.-)\r?\n") do lines[#lines + 1] = line end
  return lines
end

-- The comment block that ends directly above line n, without its dashes; nil when there is none.
local function comment_above(lines, n)
  local first = n
  while first > 1 and lines[first - 1]:find("^%s*%-%-") do first = first - 1 end
  if first == n then return nil end
  local out = {}
  for i = first, n - 1 do
    local text = lines[i]:gsub("^%s*%-%-%-? ?", "")
    out[#out + 1] = text
  end
  return table.concat(out, "\n")
end

--- help.of(f) -> text or nil
-- What is written about the function f.
function help.of(f)
  local doc = core.doc(f)
  if doc then return doc end
  local info = debug.getinfo(f, "S")
  if info.what == "C" then return nil end
  local text = source_text(info.source)
  if not text then return nil end
  return comment_above(split_lines(text), info.linedefined)
end

-- The heading comment of a module: its first lines.
local function heading(text)
  local out = {}
  for line in (text .. "\n"):gmatch("(.-)\r?\n") do
    if not line:find("^%-%-") then break end
    out[#out + 1] = (line:gsub("^%-%-%-? ?", ""))
  end
  return #out > 0 and table.concat(out, "\n") or nil
end

local function first_line(text)
  return text and text:match("^[^\n]*") or ""
end

-- One line for each public function of a table of functions.
local function list_functions(t, prefix)
  local names = {}
  for name, value in next, t do
    if type(name) == "string" and not name:find("^_") and type(value) == "function" then names[#names + 1] = name end
  end
  table.sort(names)
  local out = {}
  for _, name in ipairs(names) do
    local line = first_line(help.of(t[name]))
    out[#out + 1] = "  " .. (line ~= "" and line or prefix .. name)
  end
  return out
end

-- Where a table that is a module was loaded from: its name and its text.
local function module_of(t)
  for name, loaded in next, package.loaded do
    if rawequal(loaded, t) then
      local text = core.module_source and core.module_source(name)
      if not text then
        local path = package.searchpath(name, package.path)
        text = path and core.sys.read_file(path, 1 << 24)
      end
      return name, text
    end
  end
  return nil
end

-- Modules below a name, each with the first line of its heading.
local function below(prefix)
  local out = {}
  for _, module in ipairs(core.module_names and core.module_names() or {}) do
    if module:sub(1, #prefix + 1) == prefix .. "." then
      out[#out + 1] = "  " .. module .. (first_line(heading(core.module_source(module))):gsub("^[^:]*:", ":", 1))
    end
  end
  table.sort(out)
  return out
end

local function about_table(t, name)
  local module, text = module_of(t)
  local out = {}
  if module or name then out[#out + 1] = module or name end
  if text then out[#out + 1] = heading(text) end
  for _, line in ipairs(module and below(module) or {}) do out[#out + 1] = line end
  for _, line in ipairs(list_functions(t, "")) do out[#out + 1] = line end
  local mt = getmetatable(t)
  if type(mt) == "table" then
    local call = rawget(mt, "__call")
    local doc = type(call) == "function" and help.of(call)
    if doc then table.insert(out, 1, doc) end
    local methods = rawget(mt, "__index")
    if type(methods) == "table" and not rawequal(methods, t) then
      for _, line in ipairs(list_functions(methods, ":")) do out[#out + 1] = line end
    end
  end
  return #out > 0 and table.concat(out, "\n") or nil
end

local function about_object(value)
  local mt = debug.getmetatable(value)
  local methods = type(mt) == "table" and rawget(mt, "__index")
  if type(methods) ~= "table" then return nil end
  local out = list_functions(methods, ":")
  table.insert(out, 1, ("methods of %s:"):format(rawget(mt, "__name") or type(value)))
  return table.concat(out, "\n")
end

-- Follows "kooka.text.rules" or "tensor:sum" from the globals, the library and its modules.
local function lookup(path)
  local bare = path:gsub(":", "."):gsub("^kooka%.", "")
  local value
  for _, root in ipairs {_G, require "kooka"} do
    value = root
    for part in bare:gmatch("[^.]+") do
      local mt = type(value) == "userdata" and debug.getmetatable(value)
      local inside = mt and rawget(mt, "__index") or value
      local ok, field = pcall(function() return inside[part] end)
      value = ok and field or nil
      if value == nil then break end
    end
    if value ~= nil then return value end
  end
  local ok, module = pcall(require, "kooka." .. bare)
  if ok then return module end
  local registered = debug.getregistry()["kooka." .. (bare:match("^[^.]+") or "")]   -- methods of a type of the core
  local methods = type(registered) == "table" and rawget(registered, "__index")
  if type(methods) == "table" then
    local method = bare:match("%.(.+)$")
    if not method then return methods end
    return methods[method]
  end
  return nil
end

-- First names of what kooka offers: module name -> true for Lua, tables and functions of the core.
local function first_names()
  local found = {}
  for _, module in ipairs(core.module_names and core.module_names() or {}) do
    local name = module:match("^kooka%.([%w_]+)")
    if name then found[name] = "module" end
  end
  for name, value in pairs(core) do
    if type(value) == "table" then found[name] = "module" end
    if type(value) == "function" and not found[name] then found[name] = "function" end
  end
  return found
end

local function wrapped(names)
  local out, row = {}, "  "
  for _, name in ipairs(names) do
    if #row + #name > 96 then
      out[#out + 1] = row
      row = "  "
    end
    row = row .. name .. " "
  end
  out[#out + 1] = row
  return table.concat(out, "\n")
end

local function overview()
  local modules, functions = {}, {}
  for name, kind in pairs(first_names()) do
    local list = kind == "module" and modules or functions
    list[#list + 1] = name
  end
  table.sort(modules)
  table.sort(functions)
  return table.concat({
    'help(f) or help("name") tells about a function, a module, a group of modules or an object.',
    "`_` is the last result; a `;` at the end keeps a result quiet; Ctrl-C stops what runs; Ctrl-D ends.",
    "modules, as kooka.NAME:", wrapped(modules), "functions, as kooka.NAME:", wrapped(functions),
  }, "\n")
end

--- help.text(value) -> string or nil
-- The help for a function, a module, an object, or a string that names one.
function help.text(value)
  if value == nil then return overview() end
  if type(value) == "string" then
    local found = lookup(value)
    if found == nil then
      local group = below(value:find("^kooka") and value or "kooka." .. value)
      return #group > 0 and table.concat(group, "\n") or nil
    end
    if type(found) == "table" then return about_table(found, value) end
    value = found
  end
  if type(value) == "function" then return help.of(value) end
  if type(value) == "table" then return about_table(value) end
  return about_object(value)
end

--- help.show([value])
-- Prints the help for a value, or for what a string names; without a value, an overview.
function help.show(...)
  local value = ...
  if select("#", ...) > 0 and value == nil then
    print("nil has no help: is the name right?")
    return
  end
  print(help.text(value) or ("no help for %s"):format(type(value) == "string" and '"' .. value .. '"'
    or tostring(value)))
end

return help
