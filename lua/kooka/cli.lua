--- cli: reads the command line of the program kooka and answers its exit status.
-- 0 done, 1 failed, 2 wrong usage, 130 interrupted.
local core = require "kooka.core"

local USAGE = [[
usage: kooka                      open a session (or run a script from a pipe)
       kooka FILE [ARGUMENT...]   run a Lua file
       kooka -e CODE              run a piece of Lua; `kooka` is the library
       kooka COMMAND ...          see below; `kooka COMMAND --help` explains one
options: -i  open a session afterwards    -v, --version    -h, --help
]]

local function complain(format, ...)
  io.stderr:write("kooka: ", format:format(...), "\n")
  return 2
end

-- Names of the embedded sub-commands.
local function commands()
  local names = {}
  for _, module in ipairs(core.module_names()) do
    names[#names + 1] = module:match("^kooka%.cmd%.([%w_]+)$")
  end
  table.sort(names)
  return names
end

local function help()
  io.write(require("kooka.version").line(), "\n", USAGE, "commands:\n")
  for _, name in ipairs(commands()) do
    io.write(("  %-10s %s\n"):format(name, require("kooka.cmd." .. name).about))
  end
  return 0
end

-- The traceback without the frames of this file and of the C code that called it.
local function trim(trace)
  local lines = {}
  for line in trace:gmatch("[^\n]+") do
    if line:find("in function 'xpcall'", 1, true) or line:find("in function <lua/kooka/cli.lua", 1, true) then break end
    lines[#lines + 1] = line
  end
  if lines[#lines] == "\t(...tail calls...)" then lines[#lines] = nil end
  if lines[#lines] == "stack traceback:" then lines[#lines] = nil end
  return table.concat(lines, "\n")
end

local function interrupted(message)
  return core.sys.stopped() and tostring(message):find("interrupted", 1, true) ~= nil
end

-- Runs f(...) and turns an error into a message and an exit status.
local function guarded(f, ...)
  local caught
  local result = table.pack(xpcall(f, function(err)
    caught = err
    local mt = getmetatable(err)
    if type(err) == "table" and not (mt and mt.__tostring) then return "(error object is a table)" end
    return trim(debug.traceback(tostring(err), 2))
  end, ...))
  if result[1] then return true, table.unpack(result, 2, result.n) end
  if interrupted(caught) then
    io.stderr:write("kooka: interrupted\n")
    return false, 130
  end
  io.stderr:write("kooka: ", tostring(result[2]), "\n")
  return false, 1
end

-- Loads and runs a chunk given as load() or loadfile() would; returns an exit status.
local function run_chunk(chunk, message, ...)
  if not chunk then
    io.stderr:write("kooka: ", tostring(message), "\n")
    return 1
  end
  local ok, status = guarded(chunk, ...)
  if not ok then return status end
  return core.sys.stopped() and 130 or 0
end

-- In a session and for -e the library is there under its name.
local function with_library()
  _G.kooka = require "kooka"
end

-- arg as Lua's own interpreter sets it: arg[0] is the script, the program is below.
local function shift_arg(arg, n)
  local shifted = {}
  for i = 0, #arg do shifted[i - n] = arg[i] end
  _G.arg = shifted
  return shifted
end

local function run_file(path, arg, n)
  local shifted = shift_arg(arg, n)
  if not path or path == "-" then
    local chunk, message = load(function() return io.read(65536) end, "=stdin")
    return run_chunk(chunk, message, table.unpack(shifted, 1))
  end
  local chunk, message = loadfile(path)
  return run_chunk(chunk, message, table.unpack(shifted, 1))
end

local function run_command(name, arg, n)
  local ok, status = guarded(function()
    return require("kooka.cmd." .. name).run({table.unpack(arg, n + 1)})
  end)
  if ok then return status or 0 end
  return status
end

local function session()
  with_library()
  local ok, status = guarded(require("kooka.repl").run)
  return ok and 0 or status
end

-- What follows the options: a file, a command or nothing.
local function run_rest(arg, n)
  local word = arg[n]
  local is_path = word == "-" or word:find("/", 1, true) or word:find("%.lua$")
  if not is_path then
    local names = commands()
    for _, name in ipairs(names) do
      if name == word then return run_command(name, arg, n) end
    end
    if not core.sys.exists(word) then
      return complain("unknown command or file %s%s\ncommands: %s", word,
        require("kooka.nearest").hint(word, names), table.concat(names, ", "))
    end
  end
  return run_file(word, arg, n)
end

--- cli(arg) -> exit status
local function main(arg)
  local code, interactive, n = {}, false, 1
  while arg[n] and arg[n]:find("^%-.") do
    local option = arg[n]
    if option == "-h" or option == "--help" then return help() end
    if option == "-v" or option == "--version" then
      io.write(require("kooka.version").line(), "\n")
      return 0
    elseif option == "-e" then
      n = n + 1
      if not arg[n] then return complain("-e wants a piece of Lua behind it") end
      code[#code + 1] = arg[n]
    elseif option == "-i" then
      interactive = true
    elseif option == "--" then
      n = n + 1
      break
    else
      return complain("unknown option %s\n%s", option, USAGE)
    end
    n = n + 1
  end
  local status = 0
  if #code > 0 then with_library() end
  for _, text in ipairs(code) do
    status = run_chunk(load(text, "=(command line)"))
    if status ~= 0 then return status end
  end
  if arg[n] then
    status = run_rest(arg, n)
  elseif #code == 0 and not interactive and not core.sys.isatty(0) then
    return run_file(nil, arg, 0)
  elseif #code == 0 then
    interactive = true
  end
  if interactive then return session() end
  return status
end

return main
