--- verbs: words and options of a command that has verbs (kooka runs, kooka board).
local nearest = require "kooka.nearest"

local verbs = {}

local function sorted_keys(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

--- verbs.read(args, {verbs, common, default, usage}) -> verb, words, options | nil, message
-- verbs: name = {least, most, options = {name = true: with a value, false: a flag}, wants = "in words"}: how many words follow
-- the verb; common: options of all. `default` is the verb when none is given. -h is --help, -y is --yes; with --help words are
-- not counted.
function verbs.read(args, t)
  local words, o, i = {}, {}, 1
  local verb = args[1] and not args[1]:find("^%-") and args[1]
  if verb then i = 2 end
  verb = verb or t.default
  if not t.verbs[verb] then
    local names = sorted_keys(t.verbs)
    return nil, ("%s is none of %s%s"):format(verb, table.concat(names, ", "), nearest.hint(verb, names))
  end
  local known = t.verbs[verb].options or {}
  while args[i] do
    local word = args[i]
    local name, inline = word:match("^%-%-([%w-]+)=(.*)$")
    name = name or word:match("^%-%-([%w-]+)$") or word == "-h" and "help" or word == "-y" and "yes" or nil
    local wants = name and known[name]
    if wants == nil and name then wants = t.common[name] end
    if name and wants == nil or not name and word:find("^%-.") then
      local names = {}
      for _, set in ipairs { known, t.common } do
        for k in pairs(set) do names[#names + 1] = "--" .. k end
      end
      table.sort(names)
      return nil, ("unknown option %s%s\n%s"):format(word, nearest.hint(word, names), t.usage)
    elseif not name then
      words[#words + 1] = word
    elseif wants then
      if not inline then i = i + 1 end
      o[name] = inline or args[i]
      if not o[name] then return nil, ("option --%s wants a value"):format(name) end
    else
      o[name] = true
    end
    i = i + 1
  end
  local v = t.verbs[verb]
  if not o.help and (#words < v[1] or #words > v[2]) then return nil, ("%s wants %s\n%s"):format(verb, v.wants, t.usage) end
  return verb, words, o
end

return verbs
