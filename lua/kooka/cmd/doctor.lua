--- doctor: kooka doctor: what the machine can do and what holds it back.
local core = require "kooka.core"
local machine = require "kooka.bench.machine"
local version = require "kooka.version"

local doctor = { about = "measure the machine and say what holds it back" }

doctor.usage = [[
usage: kooka doctor [--json]
Measures with one thread and with all what the processor reaches in float32, bfloat16, int8 and AMX tiles, and how fast
caches and memory are read; names the kernels that compute products and warns of settings that cost speed. Takes about two
seconds.
]]

--- run(args) -> exit status
function doctor.run(args)
  local json_wanted = false
  for _, word in ipairs(args) do
    if word == "--json" then
      json_wanted = true
    elseif word == "--help" or word == "-h" then
      io.write(doctor.usage)
      return 0
    else
      io.stderr:write(("kooka doctor: unknown option %s\n%s"):format(word, doctor.usage))
      return 2
    end
  end
  local facts = machine.facts()
  if json_wanted then
    io.write(core.json.encode(facts, { pretty = true }), "\n")
    return 0
  end
  print(version.line())
  for _, line in ipairs(machine.lines(facts)) do print(line) end
  if #facts.warnings == 0 then print("nothing holds the machine back") end
  return 0
end

return doctor
