--- listen: hears what every layer of a model answers, in the order in which they answer.

--- listen(module, heard) -> undo
-- Until undo() is called, heard(layer, name, answer) is called behind each forward of `module` and of all below it; name: its place
-- ("encoder.layer1"; "" is the model itself), answer: the first of what it answers.
return function(module, heard)
  local undo = {}
  local function wrap(m, name)
    local forward, own = m.forward, rawget(m, "forward")
    if forward then
      m.forward = function(self, ...)
        local all = table.pack(forward(self, ...))
        heard(m, name, all[1])
        return table.unpack(all, 1, all.n)
      end
      undo[#undo + 1] = function() m.forward = own end
    end
    for _, child in ipairs(m.children) do wrap(child.module, name == "" and child.name or name .. "." .. child.name) end
  end
  wrap(module, "")
  return function()
    for _, f in ipairs(undo) do f() end
  end
end
