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

-- Processors that this process may use: those that are there, less what taskset or a container took away.
local function allowed(cores)
  local list = (sys.read_file("/proc/self/status") or ""):match("Cpus_allowed_list:%s*([%d,%-]+)")
  if not list then return cores end
  local n = 0
  for first, last in list:gmatch("(%d+)%-?(%d*)") do n = n + (tonumber(last) or tonumber(first)) - tonumber(first) + 1 end
  return n > 0 and math.min(n, cores) or cores
end

-- Cores behind the processors that this process may use: two threads of one core do not compute twice as fast.
local function physical(processors)
  local list = sys.read_file("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list") or ""
  local n = 0
  for first, last in list:gmatch("(%d+)%-?(%d*)") do n = n + (tonumber(last) or tonumber(first)) - tonumber(first) + 1 end
  return math.max(1, processors // math.max(1, n))
end

-- Bytes of the data caches of the first processor: list by level, as far as the system tells.
local function caches()
  local seen, out = {}, {}
  for i = 0, 9 do
    local folder = ("/sys/devices/system/cpu/cpu0/cache/index%d/"):format(i)
    local kind, level, size = sys.read_file(folder .. "type"), sys.read_file(folder .. "level"), sys.read_file(folder .. "size")
    local kilo = size and tonumber(size:match("^(%d+)K"))
    if kind and kilo and not kind:find("^Instruction") then seen[math.tointeger(tonumber(level))] = math.tointeger(kilo) * 1024 end
  end
  while seen[#out + 1] do out[#out + 1] = seen[#out + 1] end
  return out
end

-- Kernels of OpenBLAS for x86-64 by the width of what they use: 1 SSE, 2 AVX, 3 AVX2, 4 AVX-512.
local WIDTH = { prescott = 1, core2 = 1, penryn = 1, dunnington = 1, nehalem = 1, barcelona = 1, bobcat = 1, opteron = 1, athlon = 1,
  sandybridge = 2, bulldozer = 2, piledriver = 2, steamroller = 2, excavator = 3, haswell = 3, zen = 3,
  skylakex = 4, cooperlake = 4, sapphirerapids = 4 }

local function core_type(f, warn)
  local asked, has = f.environment.OPENBLAS_CORETYPE, f.blas_core
  if not asked or asked == "" or not has or asked:lower() == has:lower() then return end
  local a, h = WIDTH[asked:lower()], WIDTH[has:lower()]
  if a and h and a >= h then return end
  warn("OPENBLAS_CORETYPE=%s is %s; kooka uses %s whatever it says, other programs do not", asked,
    a and h and "below this processor" or "not this processor's kernel", has)
end

local function omp_threads(f, warn)
  local omp = math.tointeger(tonumber(f.environment.OMP_NUM_THREADS or ""))
  if not omp or omp < 1 then return end
  if omp < f.allowed then
    warn("OMP_NUM_THREADS=%d: %d of %d cores stay idle", omp, f.allowed - omp, f.allowed)
  elseif omp > f.allowed then
    warn("OMP_NUM_THREADS=%d on %d cores: kooka takes no more than there are, other programs do and wait for each other", omp,
      f.allowed)
  end
end

--- warnings(facts) -> list of sentences
-- What holds this machine back, from facts alone.
function machine.warnings(f)
  local out = {}
  local function warn(format, ...) out[#out + 1] = format:format(...) end
  core_type(f, warn)
  omp_threads(f, warn)
  if f.huge_pages == "never" then
    warn("transparent huge pages are off: first touches of large tensors cost about six times as much")
  end
  if f.allowed < f.cores then warn("this process may use %d of %d cores", f.allowed, f.cores) end
  if f.threads > f.allowed then warn("%d threads on %d cores", f.threads, f.allowed) end
  if f.load and f.load > .5 then
    warn("the load average of the last minute is %.1f: measured speeds are what other programs leave", f.load)
  end
  if f.threads > 1 and f.peak_all < .85 * math.min(f.threads, f.physical) * f.peak_one then
    warn("%d threads reach only %.2f times the peak of one: the cores are shared, or taken", f.threads, f.peak_all / f.peak_one)
  end
  local kernel = f.environment.KOOKA_KERNEL
  if f.kernel_message then
    warn("no products: %s", f.kernel_message)
  elseif kernel and kernel ~= "" then
    warn("KOOKA_KERNEL=%s: products take that kernel, whether or not it is the best here", kernel)
  end
  if not f.blas_core then warn("OpenBLAS cannot be opened: %s", f.blas_config) end
  return out
end

-- Best of five of each, one thread and all by turns.
local function peaks(seconds)
  local out = {}
  for _, kind in ipairs { "float32", "bf16", "int8", "amx" } do
    local variant = core.machine.variant { kind = kind }
    if variant then
      local p = { variant = variant, one = 0, all = 0 }
      local each = seconds / (kind == "float32" and 5 or 10)
      for _ = 1, 5 do
        p.one = math.max(p.one, core.machine.peak { kind = kind, threads = 1, seconds = each })
        p.all = math.max(p.all, core.machine.peak { kind = kind, seconds = each })
      end
      out[kind] = p
    end
  end
  return out
end

local function reads(sizes, seconds)
  local l1, l2 = sizes[1] or 32 << 10, sizes[2] or 1 << 20
  local out = { { level = "L1", bytes = l1 // 2 }, { level = "L2", bytes = l2 // 4 }, { level = "beyond L2", bytes = 8 * l2 } }
  for _, r in ipairs(out) do
    r.one = core.machine.read { bytes = r.bytes, threads = 1, seconds = seconds / 2 }
    r.all = core.machine.read { bytes = r.bytes, seconds = seconds / 2 }
  end
  return core.json.array(out)
end

--- kind(facts) -> "intel-amx" | "intel" | "zen5" | "other"
-- The kinds of machine that have targets. Intel's tiles count when the system lets this process use them.
function machine.kind(f)
  if f.vendor == "GenuineIntel" then return f.peaks.amx and "intel-amx" or "intel" end
  return f.vendor == "AuthenticAMD" and (tonumber(f.family) or 0) >= 26 and "zen5" or "other"
end

--- facts([{bytes = 2^28, seconds = .1}]) -> table
-- cpu, vendor, family, model, kind, features, cores, allowed (those that this process may use), physical (without
-- hyperthreads), threads, memory, caches, huge_pages, environment (as the user set it), load (1 minute), kernel (of matrix
-- products; else kernel_message: why none), peaks (by kind: variant, one, all; operations in 1e9 a second, best of five),
-- peak_one and peak_all (those of float32), read (a list: level, bytes a thread, one, all; GB/s), bandwidth_one and
-- bandwidth_all (GB/s, triad), blas_core, blas_config, system, warnings (a list of sentences). "one" is one thread, "all"
-- is all of them. Takes a second or two.
function machine.facts(o)
  o = o or {}
  local seen, cpuinfo = sys.machine(), sys.read_file("/proc/cpuinfo") or ""
  local seconds, bytes = o.seconds or .1, o.bytes or 1 << 28
  local f = { cpu = seen.cpu, family = cpuinfo:match("cpu family%s*:%s*(%d+)"), model = cpuinfo:match("model%s*:%s*(%d+)"),
    vendor = cpuinfo:match("vendor_id%s*:%s*(%S+)"), features = core.json.array(features(cpuinfo)), cores = seen.cores,
    allowed = allowed(seen.cores), physical = physical(allowed(seen.cores)), threads = sys.threads(),
    memory = seen.memory, system = seen.system, huge_pages = huge_pages(),
    environment = {}, caches = core.json.array(caches()), variant = core.machine.variant(),
    load = tonumber((sys.read_file("/proc/loadavg") or ""):match("^(%S+)")) }
  for _, name in ipairs { "OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "GLIBC_TUNABLES", "KOOKA_KERNEL" } do
    f.environment[name] = environment(name)
  end
  local known, kernel = pcall(core.machine.kernel)
  f.kernel, f.kernel_message = known and kernel or nil, not known and kernel or nil
  f.peaks = peaks(seconds)
  f.peak_one, f.peak_all = f.peaks.float32.one, f.peaks.float32.all
  f.read = reads(f.caches, seconds)
  f.bandwidth_one = core.machine.bandwidth { threads = 1, bytes = bytes, rounds = 3 }
  f.bandwidth_all = core.machine.bandwidth { bytes = bytes, rounds = 3 }
  core.machine.trim()
  f.blas_core, f.blas_config = core.machine.blas()
  f.kind = machine.kind(f)
  f.warnings = core.json.array(machine.warnings(f))
  return f
end

--- name(facts) -> text
-- One line that two machines of a kind share: the title of a section of results.
function machine.name(f)
  local model = f.family and (" (family %s model %s)"):format(f.family, f.model or "?") or ""
  return ("%s%s, %d cores, %d threads, %s"):format(f.cpu or "unknown processor", model, f.cores, f.threads,
    #f.features > 0 and table.concat(f.features, " ") or f.variant)
end

local LABELS = { { "float32", "float32 peak", "GFLOP/s" }, { "bf16", "bf16 peak", "GFLOP/s" }, { "amx", "AMX peak", "GFLOP/s" },
  { "int8", "int8 peak", "GOP/s" } }

local function size(bytes) return bytes >= 1 << 20 and ("%g MB"):format(bytes / (1 << 20)) or ("%g KB"):format(bytes / 1024) end

--- lines(facts) -> list of lines
function machine.lines(f)
  local out = {}
  local function line(label, format, ...) out[#out + 1] = ("%-12s "):format(label) .. format:format(...) end
  line("processor", "%s", machine.name(f))
  for _, l in ipairs(LABELS) do
    local p = f.peaks[l[1]]
    if p then
      line(l[2], "%.0f %s on 1 thread, %.0f on %d (%s)", p.one, l[3], p.all, f.threads, p.variant)
    elseif l[1] == "amx" then
      line(l[2], "none: no tiles on this processor, or not for this process")
    end
  end
  local levels = {}
  for i, r in ipairs(f.read) do levels[i] = ("%s (%s) %.0f and %.0f"):format(r.level, size(r.bytes), r.one, r.all) end
  line("reads", "GB/s on 1 thread and %d: %s", f.threads, table.concat(levels, "; "))
  line("memory", "%.1f GB/s on 1 thread, %.1f on %d (triad); %.1f GB; huge pages %s", f.bandwidth_one, f.bandwidth_all, f.threads,
    (f.memory or 0) / 1e9, f.huge_pages or "unknown")
  line("products", "by our own kernel %s", f.kernel or "none")
  line("OpenBLAS", "%s (LAPACK), called on one thread inside our pool; %s", f.blas_core or "none", f.blas_config or "")
  for _, text in ipairs(f.warnings) do line("warning", "%s", text) end
  return out
end

return machine
