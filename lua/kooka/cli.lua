--- cli: reads the command line of the program kooka and answers its exit status.
local function main(arg)
  if arg[1] == "-e" then
    local chunk, message = load(arg[2] or "", "=(command line)")
    if not chunk then
      io.stderr:write("kooka: ", message, "\n")
      return 1
    end
    chunk()
    return 0
  end
  if arg[1] then
    local chunk = assert(loadfile(arg[1]))
    table.move(arg, 1, #arg, 0, arg)
    arg[#arg] = nil
    chunk(table.unpack(arg, 1))
    return 0
  end
  return 0
end

return main
