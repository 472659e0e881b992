-- run.lua -- runs every test and counts: C programs, binding tests, Lua specs in build/kooka and in
-- stock lua5.4 with the rock's module, the scripts' own specs, and each recipe at smoke size.
--   lua5.4 tests/run.lua [--build DIR] [--only PATTERN] [--jobs N] [--timeout SECONDS] [--asan] [--no-recipes]
-- PATTERN is a Lua pattern on the names that the summary prints. Every program speaks TAP; one that
-- prints no plan, stops early, crashes, hangs or ends non-zero without a failed test is a failure itself.
-- The last line reads `N passed, N failed, N skipped`; the exit status is 1 when anything failed.

local options = { build = "build", jobs = "2", timeout = "300" }
do
  local flags = { asan = true, ["no-recipes"] = true }
  local i = 1
  while arg[i] do
    local name = arg[i]:match("^%-%-(.+)$")
    if name and flags[name] then
      options[name] = true
    elseif name and (options[name] or name == "only") and arg[i + 1] then
      i = i + 1
      options[name] = arg[i]
    else
      io.stderr:write("run.lua: unknown or incomplete option ", arg[i],
        " (options: --build DIR, --only PATTERN, --jobs N, --timeout SECONDS, --asan, --no-recipes)\n")
      os.exit(2)
    end
    i = i + 1
  end
end

local build = options.build
local kooka = build .. "/kooka"
local lua = os.getenv("LUA") or "lua5.4"
local logs = build .. "/tests/logs"
local limit = assert(tonumber(options.timeout), "--timeout wants a number") * (options.asan and 6 or 1)

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local function output_of(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read("a")
  pipe:close()
  return text
end

-- Paths below folder whose name matches the shell pattern, sorted.
local function find(folder, pattern)
  local list = {}
  for path in output_of("find " .. folder .. " -type f -name " .. quote(pattern) .. " 2>/dev/null | LC_ALL=C sort"):gmatch("[^\n]+") do
    list[#list + 1] = path
  end
  return list
end

local function read_file(path)
  local f = io.open(path, "rb")
  if not f then return nil end
  local text = f:read("a")
  f:close()
  return text
end

---- the list of programs -------------------------------------------------------------------------

local programs = {}

local function add(name, command, more)
  if options.only and not name:find(options.only) then return end
  local p = more or {}
  p.name, p.command = name, command
  programs[#programs + 1] = p
end

for _, kind in ipairs { { "tests/c", "" }, { "tests/double", "double_" }, { "tests/bind", "bind_" } } do
  for _, source in ipairs(find(kind[1], "test_*.c")) do
    local program = ("%s/tests/%s%s"):format(build, kind[2], source:match("([^/]+)%.c$"))
    add(source, "exec env CMOCKA_MESSAGE_OUTPUT=TAP " .. quote(program))
  end
end
for _, source in ipairs(find("tests/fuzz", "fuzz_*.c")) do
  add(source, "exec " .. quote(("%s/fuzz/%s"):format(build, source:match("([^/]+)%.c$"))))
end
if not options.asan then
  for _, spec in ipairs(find("tests/tools", "*_spec.lua")) do
    add(spec, ("exec env LUAUNIT_OUTPUT=TAP %s %s"):format(lua, quote(spec)))
  end
end
-- exec: a spec that hangs is ended itself, not only the shell before it.
for _, spec in ipairs(find("tests/lua", "*_spec.lua")) do
  add(spec .. " (kooka)",
    ("exec env LUAUNIT_OUTPUT=TAP LUA_PATH='tests/lua/?.lua;;' %s %s"):format(quote(kooka), quote(spec)))
  if not options.asan then   -- the sanitizer's library must be loaded first: left to the program
    add(spec .. " (lua5.4)",
      ("exec env LUAUNIT_OUTPUT=TAP LUA_PATH='lua/?.lua;lua/?/init.lua;tests/lua/?.lua;;' LUA_CPATH=%s %s %s")
        :format(quote(build .. "/rock/?.so;;"), lua, quote(spec)))
  end
end

-- The data folder that the smoke run of a recipe reads, when it does not exist here.
local function missing_data(recipe)
  local ask = ([[
    local r = dofile(%q)
    local param = r.params and r.params.data or {}
    local data = r.smoke and r.smoke.data or param.default or param[1]
    if type(data) == "string" and data ~= "" and not io.open(data) then print("missing " .. data) end
  ]]):format(recipe)
  return output_of(("%s -e %s 2>/dev/null"):format(quote(kooka), quote(ask))):match("^missing ([^\n]+)")
end

if not options["no-recipes"] then
  for _, recipe in ipairs(find("recipes", "recipe.lua")) do
    local name = recipe:match("([^/]+)/recipe%.lua$")
    local out = build .. "/tests/runs/" .. name
    add("recipe " .. name, ("rm -rf %s && %s run %s --smoke --out %s"):format(quote(out), quote(kooka), name, quote(out)),
      { recipe = recipe, out = out })
  end
end

---- running ----------------------------------------------------------------------------------------

-- Starts a program; its output goes to a log, its end and duration to a file beside it.
local function start(p, number)
  p.log = ("%s/%03d.log"):format(logs, number)
  local rc = p.log .. ".rc"
  local script = ("s=$(date +%%s.%%N); %s sh -c %s >%s 2>&1 </dev/null; r=$?; echo \"$r $s $(date +%%s.%%N)\" >%s")
    :format(p.guard, quote(p.command), quote(p.log), quote(rc))
  p.handle = assert(io.popen(script))
end

local function wait(p)
  p.handle:read("a")
  p.handle:close()
  local code, from, to = (read_file(p.log .. ".rc") or ""):match("^(%d+) ([%d.]+)%a* ([%d.]+)")
  p.code = tonumber(code) or 127
  p.seconds = (tonumber(to) or 0) - (tonumber(from) or 0)
  p.output = read_file(p.log) or ""
end

---- judging ----------------------------------------------------------------------------------------

local function ending(p)
  if p.code == 124 or p.code == 137 and p.seconds >= limit then return ("no end after %d s"):format(limit) end
  if p.code > 128 then
    local names = { [4] = "SIGILL", [6] = "SIGABRT", [7] = "SIGBUS", [8] = "SIGFPE", [9] = "SIGKILL", [11] = "SIGSEGV", [15] = "SIGTERM" }
    return ("died of signal %d %s"):format(p.code - 128, names[p.code - 128] or "")
  end
  if p.code == 127 then return "exit status 127: not built, or not found" end
  return ("exit status %d"):format(p.code)
end

-- Reads TAP. Fills passed, failed, skipped and problems (a list of sentences).
local function judge_tap(p)
  local planned, seen
  for line in p.output:gmatch("[^\n]+") do
    local plan, skip_all = line:match("^1%.%.(%d+)%s*(.*)$")
    if plan then
      planned = (planned or 0) + tonumber(plan)
      if plan == "0" and skip_all:match("^# *[Ss][Kk][Ii][Pp]") then p.skipped, seen = p.skipped + 1, true end
    elseif line:match("^not ok%f[%A]") or line:match("^ok%f[%A]") then
      seen = true
      if line:match("# *[Ss][Kk][Ii][Pp]") then
        p.skipped = p.skipped + 1
      elseif line:match("^ok") then
        p.passed = p.passed + 1
      else
        p.failed = p.failed + 1
      end
    end
  end
  local ran = p.passed + p.failed + p.skipped
  if p.code == 127 then
    p.problems[#p.problems + 1] = ending(p)
    return
  elseif not planned then
    p.problems[#p.problems + 1] = "no plan (a line 1..N) was printed"
  elseif not seen then
    p.problems[#p.problems + 1] = "no test was run"
  elseif ran ~= planned and not (planned == 0 and p.skipped == 1) then
    p.problems[#p.problems + 1] = ("%d tests were planned, %d ran"):format(planned, ran)
  end
  if p.code ~= 0 and (p.failed == 0 or p.code > 123) then p.problems[#p.problems + 1] = ending(p) end
end

-- A recipe ends 0 and leaves the files that every run leaves.
local function judge_recipe(p)
  local function check(good, sentence)
    if good then p.passed = p.passed + 1 else p.problems[#p.problems + 1] = sentence end
  end
  check(p.code == 0, ending(p))
  for _, file in ipairs { "config.json", "metrics.json" } do
    check((read_file(p.out .. "/" .. file) or ""):match("^%s*{"), file .. " is missing or is not JSON")
  end
  check(#(read_file(p.out .. "/log.jsonl") or "") > 0, "log.jsonl is missing or empty")
  check((read_file(p.out .. "/report.html") or ""):lower():find("<html", 1, true), "report.html is missing or is not HTML")
  local predictions = 0
  for _, file in ipairs(find(quote(p.out .. "/predictions"), "*")) do
    if #(read_file(file) or "") > 0 then predictions = predictions + 1 end
  end
  check(predictions > 0, "predictions/ holds no predictions")
end

local function judge(p)
  p.passed, p.failed, p.skipped, p.problems = 0, 0, 0, {}
  if p.skip then
    p.skipped = 1
  elseif p.recipe then
    judge_recipe(p)
  else
    judge_tap(p)
  end
  p.failed = p.failed + #p.problems
end

-- The output of a failed program, indented; the middle of a very long one is left out.
local function show(p)
  local lines = {}
  for line in p.output:gmatch("[^\n]*") do lines[#lines + 1] = line end
  for i, line in ipairs(lines) do
    if i <= 150 or i > #lines - 150 then
      io.write("    | ", line, "\n")
    elseif i == 151 then
      io.write(("    | ... %d lines, all in %s\n"):format(#lines - 300, p.log))
    end
  end
  for _, sentence in ipairs(p.problems) do io.write("    ! ", sentence, "\n") end
end

local passed, failed, skipped = 0, 0, 0

local function report(p)
  judge(p)
  passed, failed, skipped = passed + p.passed, failed + p.failed, skipped + p.skipped
  local counts = ("%d passed"):format(p.passed)
  if p.failed > 0 then counts = counts .. (", %d failed"):format(p.failed) end
  if p.skipped > 0 then counts = counts .. (", %d skipped"):format(p.skipped) end
  io.write(("%-6s %7.2f s  %-44s %s%s\n"):format(p.failed > 0 and "FAILED" or p.passed == 0 and "skip" or "ok",
    p.seconds, p.name, counts, p.skip and " (" .. p.skip .. ")" or ""))
  if p.failed > 0 then show(p) end
  io.flush()
end

---- main -------------------------------------------------------------------------------------------

local environment = { "KOOKA=" .. quote(kooka) }
if options.asan then
  environment[#environment + 1] = "ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:allocator_may_return_null=1:exitcode=99"
  environment[#environment + 1] = "UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:exitcode=99"
  environment[#environment + 1] = "LSAN_OPTIONS=suppressions=tests/lsan.supp:print_suppressions=0"
end
local has_timeout = output_of("command -v timeout") ~= ""
local guard = "env " .. table.concat(environment, " ") .. (has_timeout and (" timeout -k 5 %d"):format(limit) or "")

assert(os.execute(("rm -rf %s && mkdir -p %s"):format(quote(logs), quote(logs))), "cannot write below " .. build)
local jobs = math.max(1, math.tointeger(tonumber(options.jobs)) or 1)
local first = 1                     -- the oldest program that still runs
for i, p in ipairs(programs) do
  p.guard = guard
  if p.recipe then
    local data = missing_data(p.recipe)
    p.skip = data and data .. " is not there"
  end
  if p.skip then
    p.seconds = 0
  else
    start(p, i)
  end
  if i - first + 1 >= jobs then
    if not programs[first].skip then wait(programs[first]) end
    report(programs[first])
    first = first + 1
  end
end
for i = first, #programs do
  if not programs[i].skip then wait(programs[i]) end
  report(programs[i])
end
if #programs == 0 then
  io.write("no test", options.only and " matches " .. options.only or " was found", "\n")
  failed = 1
end
io.write(("%d passed, %d failed, %d skipped\n"):format(passed, failed, skipped))
os.exit(failed == 0 and 0 or 1)
