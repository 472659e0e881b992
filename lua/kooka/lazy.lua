--- lazy: a table of modules, each loaded when first named.
--- lazy(prefix[, core]) -> table
-- t.name is what require(prefix .. "." .. name) answers. core: a table whose functions come first and whose tables come where no
-- module has the name.
return function(prefix, core)
  return setmetatable({}, {
    __index = function(t, name)
      if type(name) ~= "string" then return nil end
      local value = core and core[name]
      if value == nil or type(value) == "table" then
        local full = prefix .. "." .. name
        local ok, module = pcall(require, full)
        if ok then
          value = module
        elseif not tostring(module):find("module '" .. full .. "' not found", 1, true) then
          error(module, 2)
        end
      end
      rawset(t, name, value)
      return value
    end,
  })
end
