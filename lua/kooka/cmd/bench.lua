--- bench: kooka bench: speed beside other programs, sample by sample in one run.
local core = require "kooka.core"
local cases = require "kooka.bench.cases"
local samples = require "kooka.bench.samples"
local sys = core.sys

local bench = { about = "measure speed beside the peers" }

bench.usage = [[
usage: kooka bench [NAME...] [--json FILE] [--repeat 7] [--no-peer] [--installed] [--results FILE] [--tiny]
       kooka bench op CASE [KEY=VALUE...] [the same options]
       kooka bench list

Runs all benchmarks, or those whose name contains one of NAME; `op` runs one case with sizes of your choice. Ours and
the peer's samples alternate; the table shows medians and quartiles, build/bench.json (--json) has everything.
  --repeat N      samples of each side that count (some large ones take fewer)
  --no-peer       ours alone; so it is too when `make bench-peers` was not run and BENCH_PYTHON is not set
  --installed     PyTorch as pip installs it, not tuned
  --threads N     on both sides (default: as many as the process may use)
  --cpu           processor time instead of time on the clock, and so no guard: for a busy machine, with --threads 1
  --patience S    seconds to wait for a quiet processor before each sample (default 2)
  --results FILE  puts the lines into this file's section of this machine
  --tiny          the smallest sizes, to test the program
]]

local VALUES = { json = true, ["repeat"] = true, results = true, patience = true, threads = true }
local FLAGS = { cpu = true, ["no-peer"] = true, installed = true, tiny = true }

local function refuse(format, ...)
  io.stderr:write("kooka bench: ", format:format(...), "\n")
  return nil, 2
end

local function parse(args)
  local o, words, i = { ["repeat"] = "7", patience = "2" }, {}, 1
  while args[i] do
    local name = args[i]:match("^%-%-(.+)$")
    if name == "help" or args[i] == "-h" then
      o.help = true
    elseif name and FLAGS[name] then
      o[name] = true
    elseif name and VALUES[name] then
      i = i + 1
      if not args[i] then return refuse("--%s wants a value", name) end
      o[name] = args[i]
    elseif args[i]:find("^%-") then
      return refuse("unknown option %s\n%s", args[i], bench.usage)
    else
      words[#words + 1] = args[i]
    end
    i = i + 1
  end
  o.repeats, o.patience = math.tointeger(tonumber(o["repeat"])), tonumber(o.patience)
  if not o.repeats or o.repeats < 1 then return refuse("--repeat is %s, expected an integer of 1 or more", o["repeat"]) end
  if not o.patience or o.patience < 0 then return refuse("--patience wants seconds, 0 or more") end
  local threads = o.threads and math.tointeger(tonumber(o.threads))
  if o.threads and not (threads and threads >= 1 and threads <= 4096) then return refuse("--threads wants 1 or more") end
  if threads then sys.threads(threads) end
  if o.cpu and sys.threads() ~= 1 then return refuse("--cpu adds up the time of all threads: give --threads 1") end
  return o, words
end

local function case_names()
  local names = {}
  for name, case in pairs(cases) do
    if type(case) == "table" and case.open then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

-- kooka bench op CASE K=V...: a list of one entry
local function one_op(words)
  local name, sizes = words[2], {}
  local case = name and cases[name]
  if not (case and case.open) then
    return refuse("op wants one of %s%s", table.concat(case_names(), ", "),
      name and require("kooka.nearest").hint(name, case_names()) or "")
  end
  local keys = {}
  for key in pairs(case.sizes) do keys[#keys + 1] = key end
  table.sort(keys)
  for i = 3, #words do
    local key, text = words[i]:match("^(%w+)=(.+)$")
    local number = math.tointeger(tonumber(text or "")) or tonumber(text or "")
    if not key or not case.sizes[key] or not number or number <= 0 then
      return refuse("%s: expected KEY=NUMBER with a key of %s", words[i], table.concat(keys, ", "))
    end
    sizes[key] = number
  end
  return { { name = table.concat(words, " ", 2), case = name, sizes = sizes } }
end

local function chosen(words)
  if words[1] == "op" then return one_op(words) end
  if #words == 0 then return cases.suite end
  local list = {}
  for _, entry in ipairs(cases.suite) do
    for _, word in ipairs(words) do
      if entry.name:find(word, 1, true) then
        list[#list + 1] = entry
        break
      end
    end
  end
  if #list == 0 then return refuse("no benchmark is called %s; `kooka bench list` names them", table.concat(words, " ")) end
  return list
end

-- The highest resident memory of this process since reset_peak(), or nil.
local function reset_peak()
  core.machine.trim()
  local f = io.open("/proc/self/clear_refs", "w")
  if f then
    f:write("5")
    f:close()
  end
end

local function peak_memory()
  local kb = (sys.read_file("/proc/self/status") or ""):match("VmHWM:%s*(%d+)")
  return kb and math.tointeger(tonumber(kb)) * 1024 or nil
end

local function timer(step, inner, clock)
  return function()
    local from = clock()
    for _ = 1, inner do step() end
    return (clock() - from) / inner
  end
end

-- Runs one entry: ours and the peer's samples by turns. Answers a record.
local function measure(entry, o, peer, kind)
  local case, sizes = cases[entry.case], {}
  for k, v in pairs(o.tiny and cases[entry.case].tiny or case.sizes) do sizes[k] = v end
  for k, v in pairs(not o.tiny and entry.sizes or {}) do sizes[k] = v end
  collectgarbage()
  reset_peak()
  -- no target fits tiny sizes
  if o.tiny then entry = { name = entry.name, case = entry.case, repeats = entry.repeats } end
  local step, info = case.open(sizes)
  step()                                       -- warms up, and has the memory of a step
  local more = { sizes = sizes, kind = kind, memory = peak_memory() }
  local repeats = math.min(o.repeats, entry.repeats or o.repeats)
  local ours = samples.side(timer(step, info.inner or 1, o.cpu and not info.children and os.clock or sys.now), repeats)
  local asked = {}
  for k, v in pairs(sizes) do asked[k] = v end
  for k, v in pairs(info.shared or {}) do asked[k] = v end
  local theirs = peer and samples.side(function()
    local seconds, bytes, label = peer:run(entry.case, asked)
    if not seconds then return nil, bytes end
    more.peer_memory, more.peer_name = bytes, label
    return seconds
  end, repeats)
  while not ours:done() or theirs and not theirs:done() do
    if not ours:done() then ours:sample(o.patience) end
    if theirs and not theirs:done() then
      theirs:sample(o.patience)
      sys.sleep(.01)                           -- its threads spin a moment before they sleep
    end
    if sys.stopped() then error("interrupted", 0) end
  end
  if peer then peer:drop() end
  local theirs_result
  if theirs then
    theirs_result, more.note = theirs:result()
  end
  return require("kooka.bench.results").record(entry, case, info, assert(ours:result()), theirs_result, more)
end

local function write_json(path, records)
  local folder = path:match("^(.*)/[^/]*$")
  if folder then
    local ok, message = sys.mkdir_p(folder)
    if not ok then return nil, message end
  end
  return sys.write_file(path, core.json.encode(core.json.array(records), { pretty = true }) .. "\n")
end

local function open_peer(o)
  if o["no-peer"] then
    print("peer         none wanted")
    return nil
  end
  local peer, message = require("kooka.bench.peer").start { installed = o.installed, cpu = o.cpu }
  print("peer         " .. (peer and peer.versions or "missing, ours alone: " .. message))
  return peer
end

-- The commit that is measured, with a + when files differ from it.
local function commit()
  local git = require("kooka.runs").git()
  return git and git.revision:sub(1, 12) .. (git.changed and "+" or "") or "unknown"
end

local function run_all(list, o)
  local machine, results = require "kooka.bench.machine", require "kooka.bench.results"
  local facts = machine.facts(o.tiny and { bytes = 1 << 20, seconds = .005 } or nil)
  local head = machine.lines(facts)
  for _, line in ipairs(head) do print(line) end
  local peer = open_peer(o)
  local _ <close> = setmetatable({}, { __close = function() if peer then peer:close() end end })
  samples.guard = not o.cpu
  samples.calibrate(o.tiny and .01 or 1)
  local title = machine.name(facts) .. (o.cpu and ", processor time" or "")
  local records, stream, failed = {}, results.stream(), 0
  local stamp = { date = os.date("!%Y-%m-%d"), commit = commit() }
  for _, entry in ipairs(list) do
    local ok, record = xpcall(measure, debug.traceback, entry, o, peer, facts.vendor == "AuthenticAMD" and "amd" or "intel")
    if ok then
      records[#records + 1] = record
      stream:row(results.row(record))
    elseif sys.stopped() then
      error("interrupted", 0)
    else
      failed = failed + 1
      io.stderr:write(("kooka bench: %s failed: %s\n"):format(entry.name, record))
    end
    local json = o.json or not (o.tiny or list ~= cases.suite) and "build/bench.json"
    if json then require("kooka").try(write_json(json, records)) end
    if o.results then require("kooka").try(results.write(o.results, title, head, records, stamp)) end
  end
  local met, missed, all, bad = 0, 0, 0, 0
  for _, r in ipairs(records) do
    if r.pass == true then met = met + 1 elseif r.pass == false then missed = missed + 1 end
    for _, s in ipairs { r.spread, r.peer_spread } do
      all, bad = all + s.n + s.dropped, bad + s.dropped + s.unguarded
    end
  end
  if o.cpu then
    print("processor time: nothing is guarded or dropped")
  else
    print(("%d of %d samples had a probe below %d%% of the best (%.0f GFLOP/s)"):format(bad, all, 100 * samples.LEAST,
      samples.best))
  end
  print(("%d targets met, %d missed, %d benchmarks failed"):format(met, missed, failed))
  return failed == 0 and 0 or 1
end

--- run(args) -> exit status
-- 0: everything was measured (also when targets are missed), 1: a benchmark failed, 2: wrong usage.
function bench.run(args)
  local o, words = parse(args)
  if not o then return words end
  if o.help then
    io.write(bench.usage)
    return 0
  end
  if words[1] == "list" then
    for _, entry in ipairs(cases.suite) do print(("%-28s %s"):format(entry.name, cases[entry.case].about)) end
    return 0
  end
  local list, status = chosen(words)
  if not list then return status end
  return run_all(list, o)
end

return bench
