--- bench: kooka bench: speed beside other programs, sample by sample in one run.
local core = require "kooka.core"
local cases = require "kooka.bench.cases"
local samples = require "kooka.bench.samples"
local sys = core.sys

local bench = { about = "measure speed beside the peers" }

bench.usage = [[
usage: kooka bench [NAME...] [--json FILE] [--repeat 7] [--peer tuned] [--results FILE] [--tiny]
       kooka bench case CASE [KEY=VALUE...] [the same options]
       kooka bench op OP [KEY=VALUE...] [the same options]
       kooka bench list

Runs all benchmarks, or those whose name contains one of NAME; `case` runs one with sizes of your choice, `op` times any op
of the library alone, forward and backward (the KEYs: letters of its signature, options; `kooka bench op` says more). Ours
and the peer's samples alternate; the table shows medians and quartiles, build/bench.json (--json) has everything.
  --repeat N      samples of each side that count (some large ones take fewer)
  --peer WHICH    tuned (huge pages, memory kept, threads set), installed (as pip leaves it) or none (ours alone); none too
                  when `make bench-peers` was not run and BENCH_PYTHON is not set
  --threads N     on both sides (default: as many as the process may use)
  --cpu           processor time instead of time on the clock, and so no guard: for a busy machine, with --threads 1
  --patience S    seconds to wait for a quiet processor before each sample (default 2; a tenth after ten waits in vain)
  --results FILE  puts the lines into this file's section of this machine
  --tiny          the smallest sizes, to test the program
]]

local VALUES = { json = true, ["repeat"] = true, results = true, patience = true, threads = true, peer = true }
local FLAGS = { cpu = true, ["no-peer"] = true, installed = true, tiny = true }
local PEERS = { tuned = true, installed = true, none = true }

local function refuse(format, ...)
  io.stderr:write("kooka bench: ", format:format(...), "\n")
  return nil, 2
end

local function parse(args)
  local o, words, i = { ["repeat"] = "7", patience = "2", peer = "tuned" }, {}, 1
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
  if o["no-peer"] then o.peer = "none" elseif o.installed then o.peer = "installed" end
  if not PEERS[o.peer] then return refuse("--peer is %s, expected tuned, installed or none", o.peer) end
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

-- kooka bench case CASE K=V...: a list of one entry
local function one_case(words)
  local name, sizes = words[2], {}
  local case = name and cases[name]
  if not (case and case.open) then
    return refuse("case wants one of %s%s", table.concat(case_names(), ", "),
      name and require("kooka.nearest").hint(name, case_names()) or "")
  end
  local keys = {}
  for key in pairs(case.sizes) do keys[#keys + 1] = key end
  if case.bf16 then keys[#keys + 1] = "bf16" end
  table.sort(keys)
  for i = 3, #words do
    local key, text = words[i]:match("^(%w+)=(.+)$")
    local number = math.tointeger(tonumber(text or "")) or tonumber(text or "")
    if not key or not (case.sizes[key] or case.bf16 and key == "bf16") or not number or number <= 0 then
      return refuse("%s: expected KEY=NUMBER with a key of %s", words[i], table.concat(keys, ", "))
    end
    sizes[key] = number
  end
  return { { name = table.concat(words, " ", 2), case = name, sizes = sizes } }
end

-- The entries of the suite that the words name, each with the peer that was asked for.
local function named(words, o)
  local list = {}
  for _, entry in ipairs(cases.suite) do
    local wanted = #words == 0
    for _, word in ipairs(words) do wanted = wanted or entry.name:find(word, 1, true) ~= nil end
    if wanted and (o.peer == "tuned" or not entry.peer) then list[#list + 1] = entry end
  end
  if #list == 0 then return refuse("no benchmark is called %s; `kooka bench list` names them", table.concat(words, " ")) end
  if o.peer ~= "installed" then return list end
  for i = #list, 1, -1 do
    if list[i].from then table.remove(list, i) end
  end
  for i, entry in ipairs(list) do
    local e = {}
    for k, v in pairs(entry) do e[k] = v end
    e.name, e.peer = entry.name .. " as installed", "installed"
    list[i] = e
  end
  return list
end

local function chosen(words, o)
  if words[1] == "case" then return one_case(words) end
  if words[1] == "op" then
    local entry, message = require("kooka.bench.ops").entry(table.move(words, 2, #words, 1, {}))
    if not entry then return refuse("%s", message) end
    return { entry }
  end
  return named(words, o)
end

local function write_json(path, records)
  local folder = path:match("^(.*)/[^/]*$")
  if folder then
    local ok, message = sys.mkdir_p(folder)
    if not ok then return nil, message end
  end
  return sys.write_file(path, core.json.encode(core.json.array(records), { pretty = true }) .. "\n")
end

-- The peers, each started when it is first wanted: peers(which) -> a kooka.bench.peer, or a text that says why not.
local function peers_of(o)
  local started = {}
  local function get(which)
    if which == "none" then return "no peer wanted" end
    if started[which] == nil then
      local p, message = require("kooka.bench.peer").start { installed = which == "installed", cpu = o.cpu }
      started[which] = p or "no peer here"
      print(("%-12s %s"):format("peer", p and p.versions .. (which == "installed" and ", as installed" or ", tuned")
        or "missing, ours alone: " .. message))
    end
    return started[which]
  end
  local function close()
    for _, p in pairs(started) do
      if type(p) == "table" then p:close() end
    end
  end
  return get, close
end

-- The commit that is measured, with a + when files differ from it.
local function commit()
  local git = require("kooka.runs").git()
  return git and git.revision:sub(1, 12) .. (git.changed and "+" or "") or "unknown"
end

local function summary(records, failed, o)
  local met, missed, all, bad = 0, 0, 0, 0
  for _, r in ipairs(records) do
    if r.pass == true then met = met + 1 elseif r.pass == false then missed = missed + 1 end
    for _, s in ipairs { r.spread, r.peer_spread } do
      if not s.single then all, bad = all + s.n + s.dropped, bad + s.dropped + s.unguarded end
    end
  end
  if o.cpu then
    print("processor time: nothing is guarded or dropped")
  else
    print(("%d of %d samples had a probe below %d%% of the best (%.0f GFLOP/s)"):format(bad, all, 100 * samples.LEAST,
      samples.best))
  end
  print(("%d targets met, %d missed, %d benchmarks failed"):format(met, missed, failed))
end

-- What --results needs to know of the lines that a section may have: those of the suite, with either peer.
local function known_lines(words)
  if words[1] == "op" or words[1] == "case" then return nil end
  local names = require("kooka.bench.results").names(cases.suite)
  for i = 1, #names do names[#names + 1] = names[i] .. " as installed" end
  return names
end

-- The records that an entry makes, on a machine with these facts.
local function made_by(entry, o, facts, peer, records)
  local kind = not o.tiny and facts.kind or nil
  if entry.op then return require("kooka.bench.ops").measure(entry, o) end
  if entry.from then return require("kooka.bench.results").across(entry, records, kind) end
  return require("kooka.bench.measure").entry(entry, o, cases[entry.case].peer == false or peer(entry.peer or o.peer), kind)
end

local function run_all(list, o, words)
  local machine, results = require "kooka.bench.machine", require "kooka.bench.results"
  local facts = machine.facts(o.tiny and { bytes = 1 << 20, seconds = .005 } or nil)
  local head = machine.lines(facts)
  if not list[1].op then table.insert(head, 2, ("%-12s those of %s"):format("targets", facts.kind)) end
  for _, line in ipairs(head) do print(line) end
  local peer, close = peers_of(o)
  local _ <close> = setmetatable({}, { __close = close })
  if o.peer == "none" then print("peer         none wanted") elseif not list[1].op then peer(o.peer) end
  samples.guard = not o.cpu
  samples.calibrate(o.tiny and .01 or 1, .9 * math.min(facts.threads, facts.physical) * facts.peak_one)
  local title = machine.name(facts) .. (o.cpu and ", processor time" or "")
  local stamp = { date = os.date("!%Y-%m-%d"), commit = commit() }
  local command, known = "kooka bench " .. o.command, known_lines(words)
  local records, stream, failed = {}, results.stream(), 0
  local json = o.json or not o.tiny and #words == 0 and "build/bench.json"
  for _, entry in ipairs(list) do
    local ok, made = xpcall(made_by, function(message)
      return entry.op and tostring(message):gsub("^[%w_/.]+:%d+: ", "") or debug.traceback(message)
    end, entry, o, facts, peer, records)
    if ok then
      for _, r in ipairs(made) do
        r.date, r.commit, r.command, r.machine = stamp.date, stamp.commit, command, facts
        records[#records + 1] = r
        stream:row(results.row(r))
      end
    elseif sys.stopped() then
      error("interrupted", 0)
    else
      failed = failed + 1
      io.stderr:write(("kooka bench: %s failed: %s\n"):format(entry.name, made))
    end
    if json then require("kooka").try(write_json(json, records)) end
    if o.results then require("kooka").try(results.write(o.results, title, head, records, stamp, known)) end
  end
  summary(records, failed, o)
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
    for _, entry in ipairs(cases.suite) do
      print(("%-36s %s"):format(entry.name, entry.from and "from two of the lines above" or cases[entry.case].about))
    end
    return 0
  end
  local list, status = chosen(words, o)
  if not list then return status end
  o.command = table.concat(args, " ")
  return run_all(list, o, words)
end

return bench
