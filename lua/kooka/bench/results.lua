--- results: the record of a benchmark, its table for people, and the file that keeps one section a machine.
local core = require "kooka.core"
local tables = require "kooka.table"
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

--- record(entry, case, info, ours, theirs, more) -> table
-- ours, theirs: from samples.side():result(); theirs nil without a peer. A ratio above 1 means that ours is faster.
-- pass: the target is met (nil: there is none, or no peer).
function results.record(entry, case, info, ours, theirs, more)
  local r = { name = entry.name, unit = case.unit, bytes = info.bytes, sizes = more.sizes, memory = more.memory,
    peer_memory = more.peer_memory, note = more.note }
  r.ours, r.spread = side(r, ours)
  if info.flops and case.unit == "ms" then r.peak_fraction = info.flops / (ours.work_at_peak * 1e9) end
  if theirs then
    r.peer, r.peer_spread = side(r, theirs)
    r.peer_name, r.ratio = more.peer_name, theirs.median / ours.median
    if info.flops then r.peer_peak_fraction = info.flops / (theirs.work_at_peak * 1e9) end
  end
  if entry.at_most then
    r.target, r.target_unit, r.pass = entry.at_most, "ms at most", r.ours <= entry.at_most
  elseif entry.target then
    r.target, r.target_unit = entry.target[more.kind], "times the peer at least"
    if r.ratio and r.target then r.pass = r.ratio >= r.target end
  end
  return r
end

local function number(x) return x and (x >= 100 and ("%.0f"):format(x) or x >= 10 and ("%.1f"):format(x) or ("%.2f"):format(x)) or "-" end

local function spread(x, s)
  if not x then return "-" end
  return ("%s [%s, %s]"):format(number(x), number(s.low), number(s.high))
end

local function megabytes(x) return x and ("%.0f"):format(x / 1e6) or "-" end

local function target_text(r)
  if not r.target then return "-" end
  return r.target_unit == "ms at most" and ("<= %g ms"):format(r.target) or (">= %gx"):format(r.target)
end

local function samples_text(r)
  local a, b = r.spread, r.peer_spread
  local function one(s) return ("%d/%d/%d"):format(s.n, s.dropped, s.unguarded) end
  return b and one(a) .. " " .. one(b) or one(a)
end

results.columns = { "name", "ours", "peer", "unit", "ratio", "of peak", "memory MB", "target", "pass",
  "used/dropped/unguarded", "peer is" }

--- row(record) -> list of texts, as results.columns
function results.row(r)
  return { r.name, spread(r.ours, r.spread), spread(r.peer, r.peer_spread), r.unit, r.ratio and ("%.2f"):format(r.ratio) or "-",
    (r.peak_fraction and ("%.0f%%"):format(100 * r.peak_fraction) or "-")
      .. (r.peer_peak_fraction and (" : %.0f%%"):format(100 * r.peer_peak_fraction) or ""),
    megabytes(r.memory) .. (r.peer_memory and " : " .. megabytes(r.peer_memory) or ""), target_text(r),
    r.pass == nil and "-" or r.pass and "yes" or "no", samples_text(r), r.peer_name or r.note or "-" }
end

--- stream() -> object with :row(list): the table, line by line
function results.stream()
  local columns = {}
  for i, title in ipairs(results.columns) do
    local width = ({ 28, 26, 26, 4, 6, 11, 13, 9, 4, 22, 20 })[i]
    columns[i] = { title, width = width, align = (i == 2 or i == 3 or i == 5) and "right" or nil }
  end
  return tables.stream { columns = columns }
end

local ABOUT = [[
# Results of `make bench`
Written by `kooka bench --results`; one section a machine, one line a benchmark with the day and the commit it was
measured at (a + behind it: with changes). Ours and the peer's samples alternate in one run; the value is the median, in
brackets the quartiles. Ratio above 1: ours is faster. "of peak": share of the float32 multiply-adds that the processor
gave at that moment (ours : peer); memory: highest resident memory of the whole process (ours : peer).
"used/dropped/unguarded": samples that count, samples thrown away because a probe of the processor beside them was below
85 % of the best, and samples among those that count although it was (the tries ran out): lines with many of those were
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

--- write(path, title, head, records, stamp) -> true | nil, message, code
-- Puts the records into the machine's section of path; lines of other benchmarks and other machines stay. head: list of
-- lines about the machine; stamp: {date=, commit=}.
function results.write(path, title, head, records, stamp)
  local sections = parse(sys.read_file(path) or "")
  local s = find(sections, title)
  for i = #s, 1, -1 do s[i] = nil end
  for i, line in ipairs(head) do s[i] = "    " .. line end
  for _, r in ipairs(records) do
    if not s.rows[r.name] then s.order[#s.order + 1] = r.name end
    local cells = results.row(r)
    cells[#cells + 1], cells[#cells + 2] = stamp.date, stamp.commit
    for i, cell in ipairs(cells) do cells[i] = cell:gsub("|", "/") end
    s.rows[r.name] = "| " .. table.concat(cells, " | ") .. " |"
  end
  local out = { ABOUT }
  for _, section in ipairs(sections) do out[#out + 1] = lines_of(section) end
  return sys.write_file(path, table.concat(out, "\n"))
end

return results
