--- data: reading, splitting, resampling and batching. Each part is loaded when first used.
return setmetatable({}, {
  __index = function(t, name)
    if type(name) ~= "string" then return nil end
    local ok, module = pcall(require, "kooka.data." .. name)
    if not ok then
      if not tostring(module):find("module 'kooka.data." .. name .. "' not found", 1, true) then error(module, 2) end
      return nil
    end
    rawset(t, name, module)
    return module
  end,
})
