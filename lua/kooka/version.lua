--- version: what this kooka is made of, for `kooka --version` and the provenance of runs.
local core = require "kooka.core"

local version = {}

--- version.number -> string
version.number = "0.1.0"

--- version.all() -> {kooka, lua, threads, kernel, blas}
-- `kernel` computes matrix products. `blas` is the configuration of OpenBLAS (for LAPACK) when it was loaded by somebody,
-- else nil: asking does not load it.
function version.all()
  return {kooka = version.number, lua = _VERSION, threads = core.sys.threads(),
    kernel = (core.kernel()), blas = core.sys.blas()}
end

--- version.line() -> string
-- One line for people.
function version.line()
  local v = version.all()
  return ("kooka %s, %s, %d thread%s, %s kernels%s"):format(v.kooka, v.lua, v.threads, v.threads == 1 and "" or "s",
    v.kernel, v.blas and ", " .. v.blas or "")
end

return version
