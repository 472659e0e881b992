--- arguments: the words of a command line: those that name things apart from the options, read as recipes read theirs.
local nearest = require "kooka.nearest"
local recipe = require "kooka.recipe"

local arguments = {}

--- arguments.read(command, params, known, args) -> names, values, rest | nil, message
-- command: for messages. params: options as a recipe declares them; known: other options, with a value (true) or without (false), among
-- them help. names: the words that are no option and no option's value, in order; everything behind -- is one. values and rest: see
-- recipe.parse; -h is --help, -y is --yes where that is known.
function arguments.read(command, params, known, args)
  local checked = recipe.check { name = command, about = command, params = params, run = function() end }.params
  local names, options, i = {}, {}, 1
  while args[i] do
    local word = args[i]
    if word == "--" then
      table.move(args, i + 1, #args, #names + 1, names)
      break
    elseif word == "-h" then
      options[#options + 1] = "--help"
    elseif word == "-y" and known.yes == false then
      options[#options + 1] = "--yes"
    elseif word:find("^%-%-") or word:find("^%-.") then
      options[#options + 1] = word
      local key = (word:match("^%-%-([%w_-]+)$") or ""):gsub("-", "_")
      local param = checked[key]
      if (param and param.type ~= "boolean" or known[key]) and args[i + 1] then
        i = i + 1
        options[#options + 1] = args[i]
      end
    else
      names[#names + 1] = word
    end
    i = i + 1
  end
  local values, rest = recipe.parse(checked, options, known)
  if not values then return nil, rest end
  for key, param in pairs(checked) do
    if values[key] == nil then values[key] = param.default end
  end
  return names, values, rest
end

--- arguments.whole(text, low, high) -> integer, or nil when text is none in that range
function arguments.whole(text, low, high)
  local n = math.tointeger(tonumber(text))
  return n and n >= low and n <= high and n or nil
end

local function sorted_keys(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

--- arguments.verb(args, {verbs, common, default, usage}) -> verb, words, options | nil, message
-- For a command whose first word says what to do. verbs: name = {least, most, options = {name = true: with a value, false: a
-- flag}, wants = "in words"}: how many words follow the verb; common: options of all. `default` is the verb when none is given.
-- With --help words are not counted.
function arguments.verb(args, t)
  local verb = args[1] and not args[1]:find("^%-") and args[1]
  local after = table.move(args, verb and 2 or 1, #args, 1, {})
  verb = verb or t.default
  local v = t.verbs[verb]
  if not v then
    local names = sorted_keys(t.verbs)
    return nil, ("%s is none of %s%s"):format(verb, table.concat(names, ", "), nearest.hint(verb, names))
  end
  local known = {}
  for _, set in ipairs { v.options or {}, t.common } do
    for name, wants in pairs(set) do known[name] = wants end
  end
  local words, message, options = arguments.read(verb, {}, known, after)
  if not words then return nil, message:gsub("\noptions:\n.-\n  and ", "\noptions: ") .. "\n" .. t.usage end
  if not options.help and (#words < v[1] or #words > v[2]) then return nil, ("%s wants %s\n%s"):format(verb, v.wants, t.usage) end
  return verb, words, options
end

return arguments
