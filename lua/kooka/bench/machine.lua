--- machine: what this machine can do, measured, and what in its environment holds it back.
local core = require "kooka.core"
local sys = core.sys

local machine = {}

-- Set by the user, before this program put them right: OpenBLAS reads them when it is opened.
local function environment(name)
  local text = sys.read_file("/proc/self/environ")
  if not text then return os.getenv(name) end
  return ("\0" .. text):match("%z" .. name .. "=([^%z]*)")
end

local function huge_pages()
  local text = sys.read_file("/sys/kernel/mm/transparent_hugepage/enabled")
  return text and text:match("%[(%w+)%]")
end

local INTERESTING = { "avx2", "fma", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8", "asimd", "bf16" }

local function features(cpuinfo)
  local line = " " .. (cpuinfo:match("\nflags%s*:([^\n]*)") or cpuinfo:match("\nFeatures%s*:([^\n]*)") or "") .. " "
  local out = {}
  for _, name in ipairs(INTERESTING) do
    if line:find(" " .. name .. " ", 1, true) then out[#out + 1] = name end
  end
  return out
end

local function warnings(f)
  local out = {}
  local function warn(format, ...) out[#out + 1] = format:format(...) end
  local asked = f.environment.OPENBLAS_CORETYPE
  if asked and asked ~= "" and f.blas_core and asked:lower() ~= f.blas_core:lower() then
    warn("OPENBLAS_CORETYPE=%s is not this processor's kernel; kooka uses %s whatever it says, other programs do not", asked,
      f.blas_core)
  end
  if f.huge_pages == "never" then
    warn("transparent huge pages are off: first touches of large tensors cost about six times as much")
  end
  local omp = math.tointeger(tonumber(f.environment.OMP_NUM_THREADS or ""))
  if omp and omp < f.cores then warn("OMP_NUM_THREADS=%d: %d of %d cores stay idle", omp, f.cores - omp, f.cores) end
  if f.threads > f.cores then warn("%d threads on %d cores", f.threads, f.cores) end
  if f.load and f.load > .5 then
    warn("the load average of the last minute is %.1f: measured speeds are what other programs leave", f.load)
  end
  if f.threads > 1 and f.peak_all < 1.3 * f.peak_one then
    warn("%d threads reach only %.2f times the peak of one: the cores are shared, or taken", f.threads, f.peak_all / f.peak_one)
  end
  if not f.blas_core then warn("OpenBLAS cannot be opened: %s", f.blas_config) end
  return out
end

--- facts([{bytes = 2^28, seconds = .1}]) -> table
-- cpu, features, cores, threads, memory, huge_pages, environment (as the user set it), load (1 minute), variant,
-- peak_one and peak_all (float32, GFLOP/s, best of five), bandwidth_one and bandwidth_all (GB/s, triad), blas_core,
-- blas_config, system, warnings (a list of sentences). Takes about a second.
function machine.facts(o)
  o = o or {}
  local seen, cpuinfo = sys.machine(), sys.read_file("/proc/cpuinfo") or ""
  local seconds, bytes = o.seconds or .1, o.bytes or 1 << 28
  local f = { cpu = seen.cpu, family = cpuinfo:match("cpu family%s*:%s*(%d+)"), model = cpuinfo:match("model%s*:%s*(%d+)"),
    vendor = cpuinfo:match("vendor_id%s*:%s*(%S+)"), features = core.json.array(features(cpuinfo)), cores = seen.cores,
    threads = sys.threads(), memory = seen.memory, system = seen.system, huge_pages = huge_pages(), environment = {},
    load = tonumber((sys.read_file("/proc/loadavg") or ""):match("^(%S+)")), variant = core.machine.variant() }
  for _, name in ipairs { "OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "GLIBC_TUNABLES" } do
    f.environment[name] = environment(name)
  end
  f.peak_one, f.peak_all = 0, 0
  for _ = 1, 5 do
    f.peak_one = math.max(f.peak_one, core.machine.peak { threads = 1, seconds = seconds / 5 })
    f.peak_all = math.max(f.peak_all, core.machine.peak { seconds = seconds / 5 })
  end
  f.bandwidth_one = core.machine.bandwidth { threads = 1, bytes = bytes, rounds = 3 }
  f.bandwidth_all = core.machine.bandwidth { bytes = bytes, rounds = 3 }
  core.machine.trim()
  f.blas_core, f.blas_config = core.machine.blas()
  f.warnings = core.json.array(warnings(f))
  return f
end

--- name(facts) -> text
-- One line that two machines of a kind share: the title of a section of results.
function machine.name(f)
  local model = f.family and (" (family %s model %s)"):format(f.family, f.model or "?") or ""
  return ("%s%s, %d cores, %d threads, %s"):format(f.cpu or "unknown processor", model, f.cores, f.threads,
    #f.features > 0 and table.concat(f.features, " ") or f.variant)
end

--- lines(facts) -> list of lines
function machine.lines(f)
  local out = {
    ("processor    %s"):format(machine.name(f)),
    ("float32 peak %.0f GFLOP/s on 1 thread, %.0f on %d (%s)"):format(f.peak_one, f.peak_all, f.threads, f.variant),
    ("memory       %.1f GB/s on 1 thread, %.1f on %d (triad); %.1f GB; huge pages %s"):format(f.bandwidth_one,
      f.bandwidth_all, f.threads, (f.memory or 0) / 1e9, f.huge_pages or "unknown"),
    ("OpenBLAS     %s; %s"):format(f.blas_core or "none", f.blas_config or ""),
  }
  for _, text in ipairs(f.warnings) do out[#out + 1] = "warning      " .. text end
  return out
end

return machine
