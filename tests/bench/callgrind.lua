-- callgrind.lua -- instructions that three fixed small pieces of work take, against those written down: a check of speed
-- that does not depend on the clock or on other programs. valgrind has no AVX-512: the AVX2 kernels are what is counted.
--   lua5.4 tests/bench/callgrind.lua [--build DIR]           compares with tests/golden/callgrind.lua
--   lua5.4 tests/bench/callgrind.lua [--build DIR] --write   writes them there
-- The last line reads `N passed, N failed, N skipped`. Counts depend on the compiler: with another one nothing is compared.

local GOLDEN = "tests/golden/callgrind.lua"
local NAMES = { "lstm", "lm", "linear_ce" }      -- in the order of tests/bench/count.lua
local TOLERANCE = .03

local build, write = "build", false
do
  local i = 1
  while arg[i] do
    if arg[i] == "--write" then
      write = true
    elseif arg[i] == "--build" and arg[i + 1] then
      i = i + 1
      build = arg[i]
    else
      io.stderr:write("callgrind.lua: unknown or incomplete option ", arg[i], " (options: --build DIR, --write)\n")
      os.exit(2)
    end
    i = i + 1
  end
end

local function output_of(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read("a")
  return text, pipe:close()
end

local function finish(passed, failed, skipped)
  print(("%d passed, %d failed, %d skipped"):format(passed, failed, skipped))
  os.exit(failed == 0 and 0 or 1)
end

local function skip(why)
  print("callgrind: skipped, " .. why)
  finish(0, 0, #NAMES)
end

-- Runs the work; answers the counts by name and the kernel of products that was counted.
local function count()
  local folder = output_of("mktemp -d"):gsub("%s+$", "")
  local text, ok = output_of(("env -u KOOKA_KERNEL valgrind --tool=callgrind --dump-before=machine_variant --callgrind-out-file=%s/out "
    .. "%s/kooka tests/bench/count.lua 2>%s/log"):format(folder, build, folder))
  local log = output_of(("tail -5 %s/log"):format(folder))
  local counts = {}
  for i, name in ipairs(NAMES) do
    local f = io.open(("%s/out.%d"):format(folder, 2 * i))       -- between this piece's two marks
    counts[name] = f and tonumber(f:read("a"):match("\nsummary: (%d+)"))
    if f then f:close() end
  end
  os.execute("rm -rf " .. folder)
  for _, name in ipairs(NAMES) do
    if not ok or not counts[name] then
      print("callgrind: no count of " .. name .. ":\n" .. text .. log)
      finish(0, #NAMES, 0)
    end
  end
  return counts, text:match("%S+")
end

if not output_of("uname -m"):find("^x86_64") then skip("the counts are of x86-64") end
if not os.execute("command -v valgrind >/dev/null 2>&1") then skip("valgrind is not installed") end

local compiler = output_of("cc --version"):match("[^\n]*")
local counts, kernel = count()

if write then
  local f = assert(io.open(GOLDEN, "w"))
  f:write("-- callgrind.lua -- instructions of one step of each piece of tests/bench/count.lua; written by `make callgrind-counts`.\n",
    ("return {\n  compiler = %q,\n  kernel = %q,\n"):format(compiler, kernel))
  for _, name in ipairs(NAMES) do
    f:write(("  %s = %d,\n"):format(name, counts[name]))
    print(("%-10s %10d instructions"):format(name, counts[name]))
  end
  f:write("}\n")
  f:close()
  finish(#NAMES, 0, 0)
end

local golden = dofile(GOLDEN)
if golden.compiler ~= compiler or golden.kernel ~= kernel then
  for _, name in ipairs(NAMES) do print(("%-10s %10d instructions"):format(name, counts[name])) end
  skip(("the counts are of %s with kernel %s, here is %s with %s"):format(golden.compiler, golden.kernel, compiler, kernel))
end

local failed = 0
for _, name in ipairs(NAMES) do
  local change = counts[name] / golden[name] - 1
  local good = math.abs(change) <= TOLERANCE
  print(("%s %-10s %10d instructions, %+.2f %% of the %d written down"):format(good and "ok    " or "not ok", name, counts[name],
    100 * change, golden[name]))
  if not good then failed = failed + 1 end
end
if failed > 0 then
  print(("More than %g %% from what was written down. If it was meant, or is a gain: make callgrind-counts"):format(100 * TOLERANCE))
end
finish(#NAMES - failed, failed, 0)
