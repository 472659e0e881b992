--- kooka: the core plus the list of modules, no globals.
-- `kooka.nn`, `kooka.text`, ... are loaded when first used.
local kooka = require "kooka.lazy"("kooka", require "kooka.core")

--- try(value, message, code) -> value...
-- Turns the answer of a call that meets the world (`nil, message, code`) into a raise.
function kooka.try(value, message, ...)
  if value == nil and message ~= nil then error(message, 2) end
  return value, message, ...
end

return kooka
