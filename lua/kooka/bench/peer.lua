--- peer: the other programs, behind one Python process that is asked in lines and answers in lines.
local core = require "kooka.core"
local sys = core.sys

local peer = {}

local Peer = {}
Peer.__index = Peer

-- What makes PyTorch fastest: its memory is kept, on huge pages.
local TUNED = { GLIBC_TUNABLES = "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4294967296"
  .. ":glibc.malloc.trim_threshold=17179869184" }

--- python() -> path or nil
-- $BENCH_PYTHON, or what `make bench-peers` made.
function peer.python()
  local path = os.getenv("BENCH_PYTHON")
  if not path or path == "" then path = "build/venv/bin/python" end
  return sys.exists(path) and path or nil
end

--- start([{installed = false, cpu = false, folder = "tests/bench"}]) -> peer | nil, message
-- installed: as pip installs it, without the tuning of memory. cpu: it answers processor time.
function peer.start(o)
  o = o or {}
  local script = (o.folder or "tests/bench") .. "/peer.py"
  local python = peer.python()
  if not sys.exists(script) then return nil, script .. " is not here: run this in the source tree" end
  if not python then return nil, "no Python with PyTorch: `make bench-peers` makes build/venv, or set BENCH_PYTHON" end
  local env = { OPENBLAS_CORETYPE = false, OPENBLAS_NUM_THREADS = sys.threads(), OMP_NUM_THREADS = sys.threads() }
  if o.installed then
    env.OPENBLAS_NUM_THREADS, env.OMP_NUM_THREADS = false, nil
  else
    for name, value in pairs(TUNED) do env[name] = value end
  end
  local child, message = sys.spawn({ python, "-u", script, tostring(sys.threads()), o.installed and "installed" or "tuned",
    o.cpu and "cpu" or "wall" },
    { stdin = "pipe", stdout = "pipe", env = env })
  if not child then return nil, message end
  local self = setmetatable({ child = child }, Peer)
  local hello = child:read_line()
  if not hello or not hello:find("^ready ") then return nil, "the peer says: " .. tostring(hello) end
  self.versions = hello:sub(7)
  return self
end

local function words(sizes)
  local out = {}
  for k, v in pairs(sizes) do out[#out + 1] = ("%s=%s"):format(k, v) end
  table.sort(out)
  return table.concat(out, " ")
end

--- p:run(name, sizes) -> seconds, peak bytes, its name | nil, message
-- The first call of a name makes the inputs and warms up; peak is of the whole process since then.
function Peer:run(name, sizes)
  if not self.child then return nil, "the peer ended" end
  local ok = self.child:write(("run %s %s\n"):format(name, words(sizes)))
  local line = ok and self.child:read_line()
  if not line then
    self:close()
    return nil, "the peer ended"
  end
  local seconds, bytes, label = line:match("^(%S+) (%d+) (.*)$")
  if not tonumber(seconds) then return nil, line end
  return tonumber(seconds), math.tointeger(bytes), label
end

--- p:drop(): its inputs and caches are released
function Peer:drop()
  if self.child and self.child:write("drop\n") then self.child:read_line() end
end

--- p:close()
function Peer:close()
  if not self.child then return end
  self.child:close_stdin()
  if not self.child:wait(5) then self.child:kill("kill") end
  self.child = nil
end

return peer
