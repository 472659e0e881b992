--- cli_helper: runs the program under test and catches what it prints.
local sys = require("kooka.core").sys

local helper = {}

local exe = assert(sys.exe())
if exe:find("/kooka$") then
  helper.kooka = exe
else                                   -- stock Lua with the rock's module: the program was built beside it
  for folder in package.cpath:gmatch("([^;]*)/rock/%?%.so") do
    if sys.exists(folder .. "/kooka") then helper.kooka = assert(sys.realpath(folder .. "/kooka")) end
  end
end

--- helper.folder() -> path of a new empty folder
function helper.folder()
  local path = os.tmpname()
  os.remove(path)
  assert(sys.mkdir_p(path))
  return path
end

--- helper.run({arguments...}, {cwd, input, env}) -> exit status, stdout, stderr
function helper.run(arguments, options)
  options = options or {}
  local errors = os.tmpname()
  -- the shell only changes the folder and catches stderr; what is tested is "$@", passed as it is
  local argv = {"sh", "-c", 'cd "$1" && f=$2 && shift 2 && exec "$@" 2>"$f"', "sh", options.cwd or ".", errors,
    helper.kooka}
  table.move(arguments, 1, #arguments, #argv + 1, argv)
  local child <close> = assert(sys.spawn(argv, {stdin = options.input and "pipe" or "null", stdout = "pipe",
    env = options.env}))
  if options.input then
    child:write(options.input)
    child:close_stdin()
  end
  local out = child:read_all()
  local status = child:wait()
  local err = sys.read_file(errors)
  os.remove(errors)
  return status, out, err
end

--- helper.start({arguments...}, {cwd, env}) -> child
-- Like run, but leaves it running; stdout is a pipe and stderr goes there too.
function helper.start(arguments, options)
  options = options or {}
  local argv = {"sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", options.cwd or ".", helper.kooka}
  table.move(arguments, 1, #arguments, #argv + 1, argv)
  return assert(sys.spawn(argv, {stdin = options.stdin or "null", stdout = "pipe", stderr = "stdout",
    env = options.env}))
end

return helper
