--- kooka: the core plus the list of modules, no globals.
-- `kooka.nn`, `kooka.text`, ... are loaded when first used.
local core = require "kooka.core"

local kooka = setmetatable({}, {
  __index = function(t, name)
    if type(name) ~= "string" then return nil end
    local value = core[name]
    if value == nil then
      local ok, module = pcall(require, "kooka." .. name)
      if ok then
        value = module
      elseif not tostring(module):find("module 'kooka." .. name .. "' not found", 1, true) then
        error(module, 2)
      end
    end
    rawset(t, name, value)
    return value
  end,
})

--- try(value, message, code) -> value...
-- Turns the answer of a call that meets the world (`nil, message, code`) into a raise.
function kooka.try(value, message, ...)
  if value == nil and message ~= nil then error(message, 2) end
  return value, message, ...
end

return kooka
