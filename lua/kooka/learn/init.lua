--- learn: optimizers, schedules, sources of batches and the learner, each loaded when first named.
local learn = setmetatable({}, {
  __index = function(t, name)
    local value = require("kooka.learn." .. name)
    rawset(t, name, value)
    return value
  end,
})

return learn
