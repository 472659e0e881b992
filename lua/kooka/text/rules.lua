--- kooka.text.rules: cleaning tweets by an ordered list of tiny named rules.
-- A rule is a value with a name and one line about it; a list of rules is a plain Lua list, to be
-- printed, cut and extended. The built-in rules run in C, a run of them in one call; your own are Lua
-- functions: `rules.new("laughter", "jajaja -> xxja", function(text) return (text:gsub(...)) end)`.
local core = require "kooka.core"

local rules = {}

local Rule = {}
Rule.__index = Rule
Rule.__name = "kooka.rule"
function Rule.__tostring(rule) return ("%-13s %s"):format(rule.name, rule.about) end
function Rule.__call(rule, text) return rules.clean(text, { rule }) end

local List = {}
List.__index = List
List.__name = "kooka.rules"
function List.__tostring(list)
  local lines = {}
  for i, rule in ipairs(list) do lines[i] = ("%2d  %s"):format(i, tostring(rule)) end
  return table.concat(lines, "\n")
end

--- new(name, about, f) -> rule
-- A rule of your own: f(text) -> text. Give it a place with `list:insert` or `table.insert`.
function rules.new(name, about, f)
  if type(name) ~= "string" or name == "" then error("rules.new: name must be a string", 2) end
  if type(f) ~= "function" then error("rules.new: f must be a function, got " .. type(f), 2) end
  return setmetatable({ name = name, about = about or "", f = f }, Rule)
end

--- rules.all: every built-in rule, in the order they belong in; also by name: rules.by_name.caps.
rules.all, rules.by_name = setmetatable({}, List), {}
--- rules.default: the usual list. Copy it (`rules.default:copy()`) before changing it.
rules.default = setmetatable({}, List)
for i, known in ipairs(core.rules.list()) do
  local rule = setmetatable({ name = known.name, about = known.about, core = known.name }, Rule)
  rules.all[i], rules.by_name[rule.name] = rule, rule
  if known.standard then table.insert(rules.default, rule) end
end

local function find(list, name, level)
  for i, rule in ipairs(list) do
    if rule.name == name then return i end
  end
  error(("the list has no rule '%s'; it has:\n%s"):format(tostring(name), tostring(list)), level + 1)
end

local function as_rule(rule, level)
  if type(rule) == "string" then
    return rules.by_name[rule] or error(("there is no rule '%s'"):format(rule), level + 1)
  end
  if getmetatable(rule) ~= Rule then error("expected a rule or its name, got " .. type(rule), level + 1) end
  return rule
end

--- list(names) -> list of rules
-- Rules by name, in the given order: rules.list{"entities", "nfc", "squeeze"}.
function rules.list(names)
  local list = setmetatable({}, List)
  for i, name in ipairs(names) do list[i] = as_rule(name, 2) end
  return list
end

--- list:copy() -> list
function List:copy() return setmetatable(table.move(self, 1, #self, 1, {}), List) end

--- list:without(name, ...) -> list
-- A copy without the rules of these names.
function List:without(...)
  local list = self:copy()
  for _, name in ipairs { ... } do table.remove(list, find(list, name, 2)) end
  return list
end

--- list:before(name, rule) -> list
-- A copy with rule (or a built-in rule's name) in front of the rule called name.
function List:before(name, rule)
  local list = self:copy()
  table.insert(list, find(list, name, 2), as_rule(rule, 2))
  return list
end

--- list:replace(name, rule) -> list
-- A copy with rule in the place of the rule called name.
function List:replace(name, rule)
  local list = self:copy()
  list[find(list, name, 2)] = as_rule(rule, 2)
  return list
end

--- list:names() -> list of strings
function List:names()
  local names = {}
  for i, rule in ipairs(self) do names[i] = rule.name end
  return names
end

-- Cuts a list into runs: {names of built-in rules} or a Lua function, in order.
local function runs(list)
  local out = {}
  for _, rule in ipairs(list) do
    rule = as_rule(rule, 3)
    if rule.f then
      table.insert(out, rule)
    else
      if not (out[#out] and #out[#out] > 0) then table.insert(out, {}) end
      table.insert(out[#out], rule.core)
    end
  end
  return out
end

local function call(rule, text)
  local answer = rule.f(text)
  if type(answer) ~= "string" then error(("rule %s answered %s, not a string"):format(rule.name, type(answer)), 0) end
  return answer
end

--- clean(text, [list = rules.default]) -> text | nil, message, "format"
-- Applies the rules in order. text must be UTF-8. Cleaning twice gives what cleaning once gave.
function rules.clean(text, list)
  for _, run in ipairs(runs(list or rules.default)) do
    if run.f then
      text = call(run, text)
    else
      local message, code
      text, message, code = core.rules.apply(text, run)
      if not text then return nil, message, code end
    end
  end
  return text
end

--- clean_all(texts, [list = rules.default]) -> list of texts | nil, message, "format"
-- The same for a list of texts; built-in rules run on all threads.
function rules.clean_all(texts, list)
  for _, run in ipairs(runs(list or rules.default)) do
    if run.f then
      local out = {}
      for i, text in ipairs(texts) do out[i] = call(run, text) end
      texts = out
    else
      local message, code
      texts, message, code = core.rules.apply_all(texts, run)
      if not texts then return nil, message, code end
    end
  end
  return texts
end

--- explain(text, [list = rules.default]) -> list of {rule=, before=, after=} | nil, message, "format"
-- What each rule that did something did; prints as one line a rule.
function rules.explain(text, list)
  local steps = setmetatable({}, {
    __tostring = function(self)
      local lines = {}
      for i, step in ipairs(self) do lines[i] = ("%-13s %s"):format(step.rule, step.after) end
      return table.concat(lines, "\n")
    end,
  })
  for _, rule in ipairs(list or rules.default) do
    rule = as_rule(rule, 2)
    local after, message, code = rules.clean(text, { rule })
    if not after then return nil, message, code end
    if after ~= text then table.insert(steps, { rule = rule.name, before = text, after = after }) end
    text = after
  end
  return steps
end

return rules
