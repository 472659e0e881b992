--- loopback: starts a child program that serves HTTP on 127.0.0.1 for a test.
local kooka = require "kooka"
local sys = kooka.sys

local loopback = {}

--- start(handler) -> url, child
-- handler: the source text of a Lua chunk that returns a function(request) -> answer; it sees kooka, json.
-- The child ends when its standard input does, that is with the test.
function loopback.start(handler)
  local code = ([[
    local kooka = require "kooka"
    local json = kooka.json
    local handler = (function() %s end)()
    local server <close> = assert(kooka.server.new())
    io.stdout:write(server:port(), "\n")
    io.stdout:flush()
    server:serve(handler, { stdin = true })
  ]]):format(handler:gsub("^%s+", ""))
  local child = assert(sys.spawn({ assert(sys.exe()), "-e", "local kooka, json = require 'kooka'; json = kooka.json; " .. code },
    { stdin = "pipe", stdout = "pipe", env = { LUA_PATH = package.path, LUA_CPATH = package.cpath } }))
  local port = assert(child:read_line())
  return "http://127.0.0.1:" .. port, child
end

return loopback
