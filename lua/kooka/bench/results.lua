--- results: the record of a benchmark, its table for people, and the file that keeps one section a machine.
local core = require "kooka.core"
local tables = require "kooka.table"
local targets = require "kooka.bench.targets"
local sys = core.sys

local results = {}

local function value(seconds, record)
  if record.unit == "MB/s" then return record.bytes / seconds / 1e6 end
  return seconds * 1e3
end

-- median and quartiles in the record's unit
local function side(record, r)
  local a, b = value(r.low, record), value(r.high, record)
  return value(r.median, record), { low = math.min(a, b), high = math.max(a, b), n = r.n,
    dropped = r.dropped, unguarded = r.unguarded }
end

-- Sets targets, target (the first of them) and pass.
local function judge(r, kind)
  local wanted = targets.of(r.name, kind)
  if not wanted then return r end
  r.targets, r.pass = targets.judge(wanted, r)
  r.target = r.targets[1] and r.targets[1].wanted
  return r
end

--- record(name, case, info, ours, theirs, more) -> table
-- ours, theirs: from samples.side():result(); theirs nil without a peer. A ratio above 1 means that ours is faster.
-- targets: as kooka.bench.targets.judge says for more.kind; pass: all are met (nil: there is none, or no peer).
function results.record(name, case, info, ours, theirs, more)
  local r = { name = name, unit = case.unit, bytes = info.bytes, sizes = more.sizes, memory = more.memory,
    memory_idle = more.idle, peer_memory = more.peer_memory, note = more.note }
  r.ours, r.spread = side(r, ours)
  if info.flops and case.unit == "ms" then
    r.peak_fraction, r.gflops = info.flops / (ours.work_at_peak * 1e9), info.flops / ours.median / 1e9
  end
  if theirs then
    r.peer, r.peer_spread = side(r, theirs)
    r.peer_name, r.ratio = more.peer_name, theirs.median / ours.median
    if info.flops then r.peer_peak_fraction = info.flops / (theirs.work_at_peak * 1e9) end
  end
  return judge(r, more.kind)
end

-- One number that has no samples of its own.
local function alone(x) return { low = x, high = x, n = 1, dropped = 0, unguarded = 0, single = true } end

local function single(name, unit, x, sizes) return { name = name, unit = unit, ours = x, sizes = sizes, spread = alone(x) } end

--- memory(record, kind) -> record "<name> memory"
-- The highest resident memory of both processes in MB; its ratio is ours over the peer's.
function results.memory(r, kind)
  local m = single(r.name .. " memory", "MB", (r.memory or 0) / 1e6, r.sizes)
  if r.peer_memory then
    m.peer, m.peer_name, m.ratio = r.peer_memory / 1e6, r.peer_name, (r.memory or 0) / r.peer_memory
    m.peer_spread = alone(m.peer)
  end
  m.note = r.note
  return judge(m, kind)
end

--- across(entry {name, from = {ours=, peer=}}, records, kind) -> list of one record, or of none
-- Ours of one record against the peer of another, where both were measured.
function results.across(entry, records, kind)
  local a, b
  for _, r in ipairs(records) do
    if r.name == entry.from.ours then a = r end
    if r.name == entry.from.peer then b = r end
  end
  if not a or not b or not b.peer then return {} end
  return { judge({ name = entry.name, unit = a.unit, sizes = a.sizes, ours = a.ours, spread = a.spread, memory = a.memory,
    peak_fraction = a.peak_fraction, peer = b.peer, peer_spread = b.peer_spread, peer_name = b.peer_name, peer_memory = b.peer_memory,
    peer_peak_fraction = b.peer_peak_fraction, ratio = b.peer / a.ours }, kind) }
end

--- growth(name, {few=, many=, time_few=, time_many=, memory_few=, memory_many=, info=, kind=}) -> list of records
-- Of many.T over few.T steps: the time and the memory that came on top as ratios, and the bytes that each further token takes
-- over those of its activations (info.activations). Where the system does not tell memory: the time alone.
function results.growth(name, g)
  local a, b = g.time_few, g.time_many
  local time = single(name .. " time", "x", b.median / a.median, g.many)
  time.spread = { low = b.low / a.high, high = b.high / a.low, n = a.n + b.n, dropped = a.dropped + b.dropped,
    unguarded = a.unguarded + b.unguarded }
  local list = { time }
  if g.memory_few and g.memory_many then
    list[2] = single(name .. " memory", "x", g.memory_few > 0 and g.memory_many / g.memory_few or 1, g.many)
    list[2].memory = g.memory_many
    local further = (g.many.T - g.few.T) * g.many.B
    list[3] = single(name .. " bytes", "x", (g.memory_many - g.memory_few) / further / g.info.activations, g.many)
  end
  for _, r in ipairs(list) do
    r.note = "nobody else is asked"
    judge(r, g.kind)
  end
  return list
end

local function number(x)
  if not x then return "-" end
  return (x >= 100 and "%.0f" or x >= 10 and "%.1f" or x >= 1 and "%.2f" or "%.3g"):format(x)
end

local function spread(x, s)
  if not x then return "-" end
  if s.single then return number(x) end
  return ("%s [%s, %s]"):format(number(x), number(s.low), number(s.high))
end

local function megabytes(x) return x and ("%.0f"):format(x / 1e6) or "-" end

local function target_text(r)
  local out = {}
  for i, t in ipairs(r.targets or {}) do out[i] = t.text end
  return #out > 0 and table.concat(out, ", ") or "-"
end

-- A star where samples count that were not guarded.
local function pass_text(r)
  if r.pass == nil then return "-" end
  local loose = r.spread.unguarded > 0 or r.peer_spread and r.peer_spread.unguarded > 0
  return (r.pass and "yes" or "no") .. (loose and "*" or "")
end

local function samples_text(r)
  local a, b = r.spread, r.peer_spread
  if a.single then return "-" end
  local function one(s) return ("%d/%d/%d"):format(s.n, s.dropped, s.unguarded) end
  return b and one(a) .. " " .. one(b) or one(a)
end

results.columns = { "name", "ours", "peer", "unit", "ratio", "of peak", "memory MB", "target", "pass",
  "used/dropped/unguarded", "peer is" }

--- row(record) -> list of texts, as results.columns
-- The name is record.short where there is one.
function results.row(r)
  return { r.short or r.name, spread(r.ours, r.spread), spread(r.peer, r.peer_spread), r.unit, r.ratio and ("%.2f"):format(r.ratio) or "-",
    (r.peak_fraction and ("%.0f%%"):format(100 * r.peak_fraction) or "-")
      .. (r.peer_peak_fraction and (" : %.0f%%"):format(100 * r.peer_peak_fraction) or ""),
    megabytes(r.memory) .. (r.peer_memory and " : " .. megabytes(r.peer_memory) or ""), target_text(r),
    pass_text(r), samples_text(r), r.peer_name or r.note or "-" }
end

--- stream() -> object with :row(list): the table, line by line
function results.stream()
  local columns = {}
  for i, title in ipairs(results.columns) do
    local width = ({ 28, 24, 24, 4, 6, 11, 13, 22, 4, 22, 20 })[i]
    columns[i] = { title, width = width, align = (i == 2 or i == 3 or i == 5) and "right" or nil }
  end
  return tables.stream { columns = columns }
end

local ABOUT = [[
# Results of `make bench`
Written by `kooka bench --results`; one section a machine, one line a benchmark with the day and the commit it was
measured at (a + behind it: with changes). Ours and the peer's samples alternate in one run; the value is the median, in
brackets the quartiles. Ratio above 1: ours is faster; in lines of memory (MB) it is ours over the peer's. "of peak": share
of the float32 multiply-adds that the processor gave at that moment (ours : peer); memory: highest resident memory of the
whole process (ours : peer). "bf16": PyTorch computes in bfloat16, ours in the precision that `auto` takes. The peer has huge
pages and keeps its memory, its threads are set; "as installed": as pip leaves it. "lm tokens x10": ten times as many steps,
ours alone: the time and the memory as multiples, and the bytes each further token takes over those of its activations.
"used/dropped/unguarded": samples that count, samples thrown away because a probe of the processor beside them was below
85 % of the best, and samples among those that count although it was (the tries ran out; then the pass has a star): such lines were
taken on a busy machine, where PyTorch's barriers suffer more than our pool does, and flatter us. A section in processor
time (one thread) does not depend on what other programs do, but for the caches and the memory they share.
]]

-- Sections of the file: list of {title=, head = lines before the table, rows = {name = line}, order = names}
local function parse(text)
  local sections, now = {}, nil
  for line in text:gmatch("[^\n]+") do
    local title, name = line:match("^## (.*)"), line:match("^| (.-) |")
    if title then
      now = { title = title, rows = {}, order = {} }
      sections[#sections + 1] = now
    elseif now and name and name ~= "name" then
      now.rows[name] = line
      now.order[#now.order + 1] = name
    elseif now and not line:find("^|") then
      now[#now + 1] = line
    end
  end
  return sections
end

local function find(sections, title)
  for _, s in ipairs(sections) do
    if s.title == title then return s end
  end
  sections[#sections + 1] = { title = title, rows = {}, order = {} }
  return sections[#sections]
end

local function lines_of(s)
  local out = { "## " .. s.title, "" }
  for i = 1, #s do out[#out + 1] = s[i] end
  out[#out + 1] = ""
  out[#out + 1] = "| " .. table.concat(results.columns, " | ") .. " | date | commit |"
  out[#out + 1] = "|" .. ("---|"):rep(#results.columns + 2)
  for _, name in ipairs(s.order) do out[#out + 1] = s.rows[name] end
  return table.concat(out, "\n") .. "\n"
end

-- Lines whose benchmark is no longer there go.
local function forget(section, known)
  local order = {}
  for _, name in ipairs(section.order) do
    if known[name] then order[#order + 1] = name else section.rows[name] = nil end
  end
  section.order = order
end

-- In the order of `list`; what is not in it comes behind, as it stood.
local function arrange(section, list)
  local at, was = {}, {}
  for i, name in ipairs(list) do at[name] = i end
  for i, name in ipairs(section.order) do was[name] = i end
  table.sort(section.order, function(a, b)
    local x, y = at[a] or #list + was[a], at[b] or #list + was[b]
    return x < y
  end)
end

--- write(path, title, head, records, stamp[, known]) -> true | nil, message, code
-- Puts the records into the machine's section of path; lines of other benchmarks and other machines stay. head: list of
-- lines about the machine; stamp: {date=, commit=}; known: list of the names of all lines there can be, in their order:
-- lines of the section that are not among them are removed.
function results.write(path, title, head, records, stamp, known)
  local sections = parse(sys.read_file(path) or "")
  local s = find(sections, title)
  if known then
    local set = {}
    for _, name in ipairs(known) do set[name] = true end
    forget(s, set)
  end
  for i = #s, 1, -1 do s[i] = nil end
  for i, line in ipairs(head) do s[i] = "    " .. line end
  for _, r in ipairs(records) do
    if not s.rows[r.name] then s.order[#s.order + 1] = r.name end
    local cells = results.row(r)
    cells[1] = r.name
    cells[#cells + 1], cells[#cells + 2] = stamp.date, stamp.commit
    for i, cell in ipairs(cells) do cells[i] = cell:gsub("|", "/") end
    s.rows[r.name] = "| " .. table.concat(cells, " | ") .. " |"
  end
  if known then arrange(s, known) end
  local out = { ABOUT }
  for _, section in ipairs(sections) do out[#out + 1] = lines_of(section) end
  return sys.write_file(path, table.concat(out, "\n"))
end

--- names(suite) -> list of the names of all records that the suite's entries make, in order
function results.names(suite)
  local out = {}
  for _, e in ipairs(suite) do
    if e.tokens then
      for _, what in ipairs { "time", "memory", "bytes" } do out[#out + 1] = e.name .. " " .. what end
    else
      out[#out + 1] = e.name
      if e.memory then out[#out + 1] = e.name .. " memory" end
    end
  end
  return out
end

return results
