--- version: what this kooka is made of, for `kooka --version` and the provenance of runs.
local core = require "kooka.core"

local version = {}

--- version.number -> string
version.number = "0.1.0"

--- version.all() -> {kooka, lua, threads, blas}
-- `blas` is the configuration of OpenBLAS when it was loaded by somebody, else nil: asking does not load it.
function version.all()
  local info = {kooka = version.number, lua = _VERSION, threads = core.sys.threads()}
  local ask = core.blas_config or type(core.linalg) == "table" and core.linalg.blas_config
  if ask then
    local ok, text = pcall(ask)
    if ok and type(text) == "string" then info.blas = text end
  end
  return info
end

--- version.line() -> string
-- One line for people.
function version.line()
  local v = version.all()
  return ("kooka %s, %s, %d thread%s%s"):format(v.kooka, v.lua, v.threads, v.threads == 1 and "" or "s",
    v.blas and ", " .. v.blas or "")
end

return version
