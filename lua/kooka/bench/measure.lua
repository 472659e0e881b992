--- measure: runs one benchmark, ours and the peer's samples by turns, and answers its records.
local core = require "kooka.core"
local cases = require "kooka.bench.cases"
local results = require "kooka.bench.results"
local samples = require "kooka.bench.samples"
local sys = core.sys

local measure = {}

-- Forgets the highest resident memory of this process so far.
local function reset_peak()
  core.machine.trim()
  local f = io.open("/proc/self/clear_refs", "w")
  if f then
    f:write("5")
    f:close()
  end
end

local function status(field)
  local kb = (sys.read_file("/proc/self/status") or ""):match(field .. ":%s*(%d+)")
  return kb and math.tointeger(tonumber(kb)) * 1024 or nil
end

local function timer(step, inner, clock)
  return function()
    local from = clock()
    for _ = 1, inner do step() end
    return (clock() - from) / inner
  end
end

local function sizes_of(entry, o)
  local case, out = cases[entry.case], {}
  for k, v in pairs(o.tiny and case.tiny or case.sizes) do out[k] = v end
  for k, v in pairs(entry.sizes or {}) do
    if not o.tiny or k == "bf16" then out[k] = v end
  end
  return out
end

-- Makes the case, works once, and answers its timer, info, the memory of a step and that before.
local function open(entry, sizes, o)
  collectgarbage()
  reset_peak()
  local idle = status "VmRSS"
  core.precision(sizes.bf16 and "auto" or "float32")
  local step, info = cases[entry.case].open(sizes)
  step()
  local clock = o.cpu and not info.children and os.clock or sys.now
  return timer(step, info.inner or 1, clock), info, status "VmHWM", idle
end

-- Samples by turns until every side has enough.
local function alternate(sides, patience)
  local busy
  repeat
    busy = false
    for _, side in ipairs(sides) do
      if not side:done() then
        side:sample(patience)
        busy = true
      end
      if sys.stopped() then error("interrupted", 0) end
    end
  until not busy
end

-- The peer's side: its seconds; memory and label go into more.
local function peer_side(entry, peer, sizes, info, more, repeats)
  local asked = {}
  for k, v in pairs(sizes) do asked[k] = v end
  for k, v in pairs(info.shared or {}) do asked[k] = v end
  local side = samples.side(function()
    local seconds, bytes, label = peer:run(entry.case, asked)
    if not seconds then return nil, bytes end
    more.peer_memory, more.peer_name = bytes, label
    return seconds
  end, repeats)
  side.settle = .02                    -- its threads spin a moment before they sleep: a probe would find them
  return side
end

-- Ours beside the peer: the record, and one of the memory where it is asked for.
local function compare(entry, o, peer, kind)
  local case, sizes = cases[entry.case], sizes_of(entry, o)
  local run, info, memory, idle = open(entry, sizes, o)
  local more = { sizes = sizes, kind = kind, memory = memory, idle = idle }
  local repeats = math.min(o.repeats, entry.repeats or o.repeats)
  local sides = { samples.side(run, repeats) }
  if case.peer == false then
    more.note = "nobody else does this"
  elseif type(peer) == "table" then
    sides[2] = peer_side(entry, peer, sizes, info, more, repeats)
  else
    more.note = peer
  end
  alternate(sides, o.patience)
  local theirs, message
  if sides[2] then
    peer:drop()
    theirs, message = sides[2]:result()
    more.note = more.note or message and message:gsub("^error ", "")
  end
  local list = { results.record(entry.name, case, info, assert(sides[1]:result()), theirs, more) }
  if entry.memory then list[2] = results.memory(list[1], kind) end
  return list
end

-- Ours at T and ten times T: how time and memory grow. Memory is what came on top of what was there before.
local function tokens(entry, o, kind)
  local few, many = sizes_of(entry, o), sizes_of(entry, o)
  many.T = 10 * few.T
  local repeats = math.min(o.repeats, entry.repeats or o.repeats)
  local run_few, info, most_few, idle_few = open(entry, few, o)
  local run_many, _, most_many, idle_many = open(entry, many, o)
  local a, b = samples.side(run_few, repeats), samples.side(run_many, repeats)
  alternate({ a, b }, o.patience)
  return results.growth(entry.name, { few = few, many = many, info = info, kind = kind,
    memory_few = idle_few and most_few - idle_few, memory_many = idle_many and most_many - idle_many,
    time_few = assert(a:result()), time_many = assert(b:result()) })
end

--- entry(entry, {repeats=, patience=, cpu=, tiny=}, peer, kind) -> list of records
-- entry: of kooka.bench.cases.suite. peer: a kooka.bench.peer, or a text that says why there is none. kind: of machine, for the
-- targets; nil: none (no target fits tiny sizes).
function measure.entry(entry, o, peer, kind)
  if entry.tokens then return tokens(entry, o, kind) end
  return compare(entry, o, peer, kind)
end

return measure
