--- options: refuses an option that a function does not have, or a value that it cannot be, and says what there is instead.
local nearest = require "kooka.nearest"

local ARTICLES = { integer = "an integer", number = "a number", string = "a text", table = "a table", boolean = "true or false",
  ["function"] = "a function" }

-- Whether the value is of one of the rule's types, and in its range where it is a number (nan never is).
local function fits(value, rule)
  if type(value) == "number" then
    local low, high = rule.min or -math.huge, rule.max or math.huge
    for _, kind in ipairs(rule) do
      if kind == "number" or kind == math.type(value) then return value >= low and value <= high end
    end
    return false
  end
  for _, choice in ipairs(rule.choices or {}) do
    if value == choice then return true end
  end
  for _, kind in ipairs(rule) do
    if type(value) == kind then return true end
  end
  return false
end

local function range(rule)
  if rule.min and rule.max then return (" from %s to %s"):format(rule.min, rule.max) end
  if rule.min then return (" of %s or more"):format(rule.min) end
  return rule.max and (" of at most %s"):format(rule.max) or ""
end

local function expectation(rule)
  if rule.choices then return table.concat(rule.choices, ", ", 1, #rule.choices - 1) .. " or " .. rule.choices[#rule.choices] end
  local words = {}
  for i, kind in ipairs(rule) do
    words[i] = ARTICLES[kind] .. ((kind == "integer" or kind == "number") and range(rule) or "")
  end
  return table.concat(words, " or ")
end

local function names_of(known)
  local names = {}
  for name in pairs(known) do names[#names + 1] = name end
  table.sort(names)
  return names
end

--- check(who, opts, known[, level = 3])
-- opts: a table of options, or nil. known: a table whose keys are the names; a value is a rule or anything else but nil. A rule is
-- a table {type, ..., min=, max=, choices=, needed=}: the types that are allowed ("integer", "number", "string", "table", "boolean",
-- "function"), or choices = {text, ...}, the range of a number, and whether the option has to be there; false is as good as
-- nothing. level: whom the error blames, counted from here; 3 is the caller of the function that checks.
return function(who, opts, known, level)
  level = level or 3
  if opts ~= nil and type(opts) ~= "table" then error(("%s: expected a table, got %s"):format(who, type(opts)), level) end
  for name, value in pairs(opts or {}) do
    local rule = known[name]
    if rule == nil then
      local names = names_of(known)
      local hint = type(name) == "string" and nearest.hint(name, names) or ""
      error(("%s has no option '%s' (options: %s)%s"):format(who, tostring(name), table.concat(names, ", "), hint), level)
    end
    if type(rule) == "table" and value ~= false and not fits(value, rule) then
      local shown = type(value) == "string" and "'" .. value .. "'" or type(value) == "table" and "a table" or tostring(value)
      error(("%s: %s is %s, expected %s"):format(who, name, shown, expectation(rule)), level)
    end
  end
  for name, rule in pairs(known) do
    if type(rule) == "table" and rule.needed and not (opts or {})[name] then
      error(("%s: %s is missing (%s)"):format(who, name, expectation(rule)), level)
    end
  end
end
