--- options: refuses an option that a function does not have, and says which it has.
--- check(who, opts, known[, level = 3])
-- opts: a table of options, or nil. known: a table whose keys are the names, none of them nil. level: whom the error
-- blames, counted from here; 3 is the caller of the function that checks.
return function(who, opts, known, level)
  if opts == nil then return end
  if type(opts) ~= "table" then error(("%s: expected a table, got %s"):format(who, type(opts)), level or 3) end
  for name in pairs(opts) do
    if known[name] == nil then
      local names = {}
      for k in pairs(known) do names[#names + 1] = k end
      table.sort(names)
      error(("%s has no option '%s' (options: %s)"):format(who, tostring(name), table.concat(names, ", ")), level or 3)
    end
  end
end
