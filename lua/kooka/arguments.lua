--- arguments: the words of a command line: those that name things apart from the options, read as recipes read theirs.
local recipe = require "kooka.recipe"

local arguments = {}

--- arguments.read(command, params, known, args) -> names, values, rest | nil, message
-- command: for messages. params: options as a recipe declares them; known: other options, with a value (true) or without (false), among
-- them help. names: the words that are no option and no option's value, in order; everything behind -- is one. values and rest: see
-- recipe.parse; -h is --help.
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

return arguments
