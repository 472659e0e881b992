--- recipe: finds recipes, checks them, and reads their options from a command line.
-- A recipe is a file that returns
--   {name, about, params = {k = {default = , help = , type = , min = , max = , choices = }}, quick = {}, smoke = {}, paper = {},
--    run = function(p, run) ... end}
-- See `kooka run --help` and recipes/.
local core = require "kooka.core"
local nearest = require "kooka.nearest"
local sys = core.sys

local recipe = {}

--- recipe.sets: names of the sets of settings that a recipe may bring beside its defaults; each is a flag of `kooka run`.
recipe.sets = {"quick", "smoke", "paper"}

local TYPES = {string = true, integer = true, number = true, boolean = true}
local RESERVED = {quick = true, smoke = true, paper = true, seed = true, threads = true, out = true, resume = true, json = true,
  help = true, precision = true}

local function sorted_keys(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

local function join(list)
  local out = {}
  for i, item in ipairs(list) do out[i] = tostring(item) end
  return table.concat(out, ", ")
end

-- ---- the declaration

local function type_of(param)
  if param.type then return param.type end
  if type(param.default) == "number" then         -- {default = 0, max = .9} is a number, not an integer
    local whole = math.type(param.default) == "integer"
    for _, limit in ipairs {param.min or 0, param.max or 0} do whole = whole and math.tointeger(limit) ~= nil end
    return whole and "integer" or "number"
  end
  if type(param.default) == "boolean" then return "boolean" end
  return "string"
end

-- What a value of this parameter may be, in words.
local function expectation(param)
  if param.choices then return "one of " .. join(param.choices) end
  if param.type == "boolean" then return "true or false" end
  local what = param.type == "integer" and "an integer" or param.type == "number" and "a number" or "a text"
  if param.min and param.max then return ("%s from %s to %s"):format(what, param.min, param.max) end
  if param.min then return ("%s of %s or more"):format(what, param.min) end
  if param.max then return ("%s of at most %s"):format(what, param.max) end
  return what
end

-- Why `value` is not allowed, or nil.
local function objection(param, value)
  local kind = param.type
  local fits = type(value) == kind or kind == "integer" and math.type(value) == "integer"
    or kind == "number" and type(value) == "number" and value == value and math.abs(value) ~= math.huge
  if fits and kind == "number" and (value ~= value or math.abs(value) == math.huge) then fits = false end
  if fits and type(value) == "number" then
    fits = not (param.min and value < param.min or param.max and value > param.max)
  end
  if fits and param.choices then
    fits = false
    for _, choice in ipairs(param.choices) do fits = fits or choice == value end
  end
  if fits then return nil end
  return ("is %s, expected %s"):format(type(value) == "string" and '"' .. value .. '"' or tostring(value),
    expectation(param))
end

local function check_param(where, key, given)
  if type(given) ~= "table" then
    error(("%s: params.%s must be a table {default = ..., help = ...}"):format(where, key), 0)
  end
  if RESERVED[key] or not key:find("^[%a][%w_]*$") then
    error(("%s: params.%s: the name is taken by kooka run or is not a word"):format(where, key), 0)
  end
  local default = given.default
  if default == nil then default = given[1] end
  local param = {default = default, help = given.help or given[2], min = given.min, max = given.max,
    choices = given.choices, type = given.type}
  param.type = type_of(param)
  if not TYPES[param.type] then
    error(("%s: params.%s: type %s, expected %s"):format(where, key, tostring(param.type), join(sorted_keys(TYPES))), 0)
  end
  if type(param.help) ~= "string" then error(("%s: params.%s has no help text"):format(where, key), 0) end
  if default ~= nil then
    local why = objection(param, default)
    if why then error(("%s: the default of params.%s %s"):format(where, key, why), 0) end
  end
  return param
end

--- recipe.check(r [, where]) -> r
-- Raises when the table is no recipe; fills in types. params may also be written {default, help, min = ...}.
function recipe.check(r, where)
  where = where or type(r) == "table" and r.name or "recipe"
  if type(r) ~= "table" then error(("%s: a recipe file returns a table, got %s"):format(where, type(r)), 0) end
  for field, kind in pairs {name = "string", about = "string", run = "function"} do
    if type(r[field]) ~= kind then
      error(("%s: field %s must be a %s, got %s"):format(where, field, kind, type(r[field])), 0)
    end
  end
  local params = {}
  for key, given in pairs(r.params or {}) do params[key] = check_param(where, key, given) end
  r.params = params
  for _, set in ipairs(recipe.sets) do
    for key, value in pairs(r[set] or {}) do
      local param = params[key]
      local why = not param and "is no parameter" or objection(param, value)
      if why then error(("%s: %s.%s %s"):format(where, set, key, why), 0) end
    end
  end
  return r
end

-- ---- finding one

-- Where `luarocks --local` puts modules; kooka looks there too.
local function search_path()
  local home = os.getenv("HOME")
  return package.path .. (home and (";" .. home .. "/.luarocks/share/lua/5.4/?.lua") or "")
end

local function load_file(path)
  local chunk, message = loadfile(path, "t")
  if not chunk then return nil, message, sys.exists(path) and "format" or "io" end
  return recipe.check(chunk(path), path), path
end

--- recipe.names() -> list
-- Recipes in ./recipes and inside the program.
function recipe.names()
  local found = {}
  for _, name in ipairs(sys.list("recipes") or {}) do
    if sys.exists("recipes/" .. name .. "/recipe.lua") then found[name] = true end
  end
  for _, module in ipairs(core.module_names and core.module_names() or {}) do
    local name = module:match("^kooka%.recipes%.([%w_]+)$")
    if name then found[name] = true end
  end
  return sorted_keys(found)
end

--- recipe.find(name) -> recipe, source | nil, message, code
-- A path of a file or folder, ./recipes/NAME/recipe.lua, or the module kooka.recipes.NAME inside the program
-- or installed as a rock. source says which. Raises when the file is no recipe.
function recipe.find(name)
  if name:find("/", 1, true) or name:find("%.lua$") then
    local facts, message, code = sys.stat(name)
    if not facts then return nil, message, code end
    return load_file(facts.type == "folder" and name:gsub("/+$", "") .. "/recipe.lua" or name)
  end
  local near = "recipes/" .. name .. "/recipe.lua"
  if sys.exists(near) then return load_file(near) end
  local module = "kooka.recipes." .. name
  if package.preload[module] then return recipe.check(require(module), name), module end
  local path = package.searchpath(module, search_path())
  if path then return load_file(path) end
  local names = recipe.names()
  return nil, ("no recipe is called %s%s\nrecipes: %s"):format(name, nearest.hint(name, names),
    #names > 0 and join(names) or "none here"), "argument"
end

-- ---- options

local WORDS = {["true"] = true, yes = true, on = true, ["1"] = true, ["false"] = false, no = false, off = false,
  ["0"] = false}

local function parse(param, text)
  if param.type == "integer" then return math.tointeger(tonumber(text)) or text end
  if param.type == "number" then
    local x = tonumber(text)
    return x and x + 0.0 or text
  end
  if param.type == "boolean" then
    local value = WORDS[text:lower()]
    if value == nil then return text end
    return value
  end
  return text
end

--- recipe.describe(params) -> text
-- The options as a table for people.
function recipe.describe(params)
  local rows = {}
  for _, key in ipairs(sorted_keys(params)) do
    local param = params[key]
    local default = param.default
    rows[#rows + 1] = {"--" .. key:gsub("_", "-"), default == nil and "–" or default == "" and '""'
      or tostring(default),
      param.help .. ((param.choices or param.min or param.max) and " (" .. expectation(param) .. ")" or "")}
  end
  if #rows == 0 then return "  (no options of its own)" end
  return require("kooka.table").text {
    columns = {"option", {title = "default", align = "left"}, "meaning"}, rows = rows, indent = 2}
end

local function unknown_option(name, params, extra)
  local words = {}
  for _, key in ipairs(sorted_keys(params)) do words[#words + 1] = "--" .. key:gsub("_", "-") end
  for _, key in ipairs(extra) do words[#words + 1] = "--" .. key end
  return ("unknown option %s%s\noptions:\n%s\n  and %s"):format(name, nearest.hint(name, words),
    recipe.describe(params),
    "--" .. table.concat(extra, " --"))
end

--- recipe.parse(params, args [, known]) -> values, rest | nil, message
-- Reads --k v, --k=v, --flag and --no-flag. `known` are the names of other options with a value (true) or
-- without (false); what they got is in `rest`. Hyphens and underscores are the same.
function recipe.parse(params, args, known)
  local values, rest, i = {}, {}, 1
  known = known or {}
  while args[i] do
    local word = args[i]
    local name, inline = word:match("^%-%-([%w_-]+)=(.*)$")
    name = name or word:match("^%-%-([%w_-]+)$")
    if not name then return nil, ("unexpected argument %s: options are written --name value"):format(word) end
    local key = name:gsub("-", "_")
    local param, negated = params[key], false
    if not param and known[key] == nil and key:find("^no_") then
      param = params[key:sub(4)]
      negated = param ~= nil and param.type == "boolean"
      if negated then key = key:sub(4) else param = nil end
    end
    if not param and known[key] == nil then return nil, unknown_option("--" .. name, params, sorted_keys(known)) end
    local flag = param and param.type == "boolean" or known[key] == false
    local text = inline
    if not text and not flag then
      i = i + 1
      text = args[i]
      if not text then
        return nil, ("option --%s wants a value%s"):format(name, param and ": " .. expectation(param) or "")
      end
    elseif not text and param and not negated and args[i + 1] and WORDS[args[i + 1]:lower()] ~= nil then
      i = i + 1
      text = args[i]
    end
    if negated then
      values[key] = false
    elseif param then
      local value = text == nil and true or parse(param, text)
      local why = objection(param, value)
      if why then return nil, ("option --%s %s\n(%s)"):format(name, why, param.help) end
      values[key] = value
    else
      rest[key] = text == nil and true or text
    end
    i = i + 1
  end
  return values, rest
end

--- recipe.settle(r, values, mode) -> params, changed
-- Defaults, then one of recipe.sets (mode), then `values`. `changed` holds what differs from the defaults.
-- Reading a parameter that the recipe did not declare raises.
function recipe.settle(r, values, mode)
  local p, changed = {}, {}
  for key, param in pairs(r.params) do p[key] = param.default end
  for key, value in pairs(mode and r[mode] or {}) do p[key] = value end
  for key, value in pairs(values) do p[key] = value end
  for key, value in pairs(p) do
    if value ~= r.params[key].default then changed[key] = value end
  end
  return recipe.strict(r, p), changed
end

--- recipe.strict(r, p) -> p
-- Makes reading an undeclared parameter raise.
function recipe.strict(r, p)
  return setmetatable(p, {__index = function(_, key)
    if r.params[key] then return nil end
    error(("recipe %s has no parameter %s%s"):format(r.name, tostring(key),
      nearest.hint(tostring(key), sorted_keys(r.params))), 2)
  end})
end

return recipe
