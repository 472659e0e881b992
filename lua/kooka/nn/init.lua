--- nn: layers and models, one a file; each is loaded when first named.
local nn = setmetatable({}, {
  __index = function(t, name)
    local value = require("kooka.nn." .. name)
    rawset(t, name, value)
    return value
  end,
})

return nn
