--- community: serves the generated community over HTTP on this machine.
local USAGE = [[
usage: kooka community [--users N] [--messages N] [--shown N] [--seed N] [--port N] [--no-faults]

Generates a community (nobody in it is real) and serves it in the shapes of X API v2 on 127.0.0.1.
Prints the port, and ends when its standard input does or at Ctrl-C. The bearer token is the value of
KOOKA_COMMUNITY_TOKEN, or the word community. What is served: help(require "kooka.community.server").
  --users N      people (40)
  --messages N   messages that each writes (100)
  --shown N      messages that each is shown and likes or not (as many as messages)
  --seed N       another community (1)
  --port N       a fixed port (any free one)
  --no-faults    without the one 429 and the one 500
]]

local NUMBERS = { users = true, messages = true, shown = true, seed = true, port = true }

local function run(args)
  local o, i = {}, 1
  while args[i] do
    local name = args[i]:match("^%-%-(.+)$")
    if name == "help" or args[i] == "-h" then
      io.write(USAGE)
      return 0
    elseif name == "no-faults" then
      o.faults = false
    elseif name and NUMBERS[name] then
      i = i + 1
      o[name] = math.tointeger(tonumber(args[i] or ""))
      if not o[name] or o[name] < 0 then
        io.stderr:write(("kooka community: --%s wants a number, got %s\n"):format(name, args[i] or "nothing"))
        return 2
      end
    else
      io.stderr:write(("kooka community: unknown option %s\n%s"):format(args[i], USAGE))
      return 2
    end
    i = i + 1
  end
  local ok, status = pcall(require("kooka.community.server").main, o)
  if ok then return status end
  io.stderr:write("kooka community: ", tostring(status), "\n")
  return require("kooka.core").sys.stopped() and 130 or 2
end

return { about = "serve the generated community on this machine", run = run }
