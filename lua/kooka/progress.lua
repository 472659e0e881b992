--- progress: bars on stderr with rate and time left; a line now and then when stderr is no terminal.
local sys = require("kooka.core").sys
local tables = require "kooka.table"

local progress = {
  quiet = false,           -- true: nothing is written
  every_tty = 0.1,         -- seconds between drawings on a terminal
  every_line = 10,         -- seconds between lines elsewhere
}

local open = {}            -- bars that are open, outermost first

local Bar = {}
Bar.__index = Bar

local utf8_terminal
local function has_utf8()
  if utf8_terminal == nil then
    local locale = os.getenv("LC_ALL") or ""
    if locale == "" then locale = os.getenv("LC_CTYPE") or "" end
    if locale == "" then locale = os.getenv("LANG") or "" end
    utf8_terminal = locale:lower():gsub("%-", ""):find("utf8", 1, true) ~= nil
  end
  return utf8_terminal
end

--- progress.utf8() -> boolean
-- Whether the locale says that the terminal shows UTF-8.
progress.utf8 = has_utf8

--- progress.duration(seconds) -> string
-- "0.4 s", "12 s", "3:05", "2:03:05".
function progress.duration(s)
  if s ~= s or s == math.huge or s < 0 then return "?" end
  if s < 9.95 then return ("%.1f s"):format(s) end
  local whole = math.floor(s + 0.5)
  if whole < 60 then return ("%d s"):format(whole) end
  if whole < 3600 then return ("%d:%02d"):format(whole // 60, whole % 60) end
  return ("%d:%02d:%02d"):format(whole // 3600, whole // 60 % 60, whole % 60)
end

local function rate_text(rate, unit)
  local text = rate >= 1e6 and ("%.1fM"):format(rate / 1e6) or rate >= 1e4 and ("%.0fk"):format(rate / 1e3)
    or rate >= 100 and ("%.0f"):format(rate) or ("%.1f"):format(rate)
  return text .. " " .. (unit or "it") .. "/s"
end

--- progress.new{label, total, unit = "it", leave} -> bar
-- total may be absent: then only count and rate are shown. A bar opened while another one is open carries
-- its label in front. leave: whether the finished bar stays on the screen (default: the outermost does).
-- Close it with bar:close() or `local bar <close> = ...`. For tests: clock, write, tty, width, utf8.
function progress.new(t)
  local now = (t.clock or sys.now)()
  local tty = t.tty
  if tty == nil then tty = sys.isatty(2) end
  local bar = setmetatable({
    label = t.label or "", total = t.total, unit = t.unit, n = 0, note_text = "",
    clock = t.clock or sys.now, write = t.write or function(s) io.stderr:write(s) end, tty = tty,
    columns = t.width, fancy = t.utf8, started = now, shown = now, drawn = 0, rate_at = now, rate_n = 0,
  }, Bar)
  if bar.fancy == nil then bar.fancy = has_utf8() end
  bar.leave = t.leave
  if bar.leave == nil then bar.leave = #open == 0 end
  bar.outer = open[#open]
  open[#open + 1] = bar
  return bar
end

--- bar:path() -> text
-- Its label behind those of the bars around it.
function Bar:path()
  local label = self.label
  if self.outer then
    local outer = self.outer:path()
    if outer ~= "" then label = label ~= "" and outer .. (self.fancy and " › " or " > ") .. label or outer end
  end
  return label
end

-- The mean rate at first, then one that forgets with a time constant of 10 s.
local function measure(bar, now)
  local spent, dt = now - bar.started, now - bar.rate_at
  if spent <= 0 then return nil end
  if spent < 10 or not bar.rate then
    bar.rate, bar.rate_at, bar.rate_n = bar.n / spent, now, bar.n
  elseif dt >= 0.5 then
    bar.rate = bar.rate + (1 - math.exp(-dt / 10)) * ((bar.n - bar.rate_n) / dt - bar.rate)
    bar.rate_at, bar.rate_n = now, bar.n
  end
  return bar.rate
end

local EIGHTHS = {"▏", "▎", "▍", "▌", "▋", "▊", "▉"}
local function drawing(fraction, width, fancy)
  local cells = fraction * width
  local full = math.floor(cells)
  if not fancy then return "[" .. ("#"):rep(full) .. ("."):rep(width - full) .. "]" end
  local part = full < width and EIGHTHS[math.floor((cells - full) * 8)] or ""
  return ("█"):rep(full) .. part .. ("░"):rep(width - full - (part ~= "" and 1 or 0))
end

--- bar:text([width]) -> string
-- The line as it would be shown now.
function Bar:text(width)
  local now = self.clock()
  local rate, spent = measure(self, now), now - self.started
  local parts = {}
  local label = self:path()
  if label ~= "" then parts[1] = label end
  if self.total and self.total > 0 then
    local fraction = math.min(1, math.max(0, self.n / self.total))
    if width then parts[#parts + 1] = drawing(fraction, 20, self.fancy) end
    parts[#parts + 1] = ("%3d%% %d/%d"):format(math.floor(100 * fraction), self.n, self.total)
  else
    parts[#parts + 1] = ("%d"):format(self.n)
  end
  if rate and self.n > 0 then parts[#parts + 1] = rate_text(rate, self.unit) end
  if self.closed or self.total and self.n >= self.total then
    parts[#parts + 1] = progress.duration(spent)
  elseif self.total and rate and rate > 0 then
    parts[#parts + 1] = progress.duration(spent) .. ", " .. progress.duration((self.total - self.n) / rate) .. " left"
  else
    parts[#parts + 1] = progress.duration(spent)
  end
  if self.note_text ~= "" then parts[#parts + 1] = self.note_text end
  local line = table.concat(parts, "  ")
  return width and tables.fit(line, width - 1) or line
end

local function draw(bar)
  if bar.tty then
    local columns = bar.columns or sys.terminal_size(2)
    bar.write("\r" .. bar:text(columns) .. "\27[K")
  else
    bar.write(bar:text() .. "\n")
  end
  bar.drawn = bar.drawn + 1
end

local function due(bar)
  if progress.quiet or bar ~= open[#open] then return false end
  local now = bar.clock()
  local pause = bar.tty and progress.every_tty or progress.every_line
  if now - bar.shown < pause then return false end
  bar.shown = now
  return true
end

--- bar:step([n = 1] [, note])
-- n more are done. note: a text, or a table of numbers shown as "loss 0.512".
function Bar:step(n, note)
  return self:at(self.n + (n or 1), note)
end

--- bar:at(n [, note])
-- n are done in all.
function Bar:at(n, note)
  self.n = n
  if note ~= nil then self:note(note) end
  if due(self) then draw(self) end
end

--- bar:note(note)
-- Text behind the numbers: a string, or a table of numbers.
function Bar:note(note)
  if type(note) == "table" then
    local names, out = {}, {}
    for name in pairs(note) do names[#names + 1] = name end
    table.sort(names)
    for i, name in ipairs(names) do
      out[i] = name .. " " .. (type(note[name]) == "number" and tables.number(note[name], 4) or tostring(note[name]))
    end
    note = table.concat(out, "  ")
  end
  self.note_text = note
end

local function erase(bar)
  if bar.tty and bar.drawn > 0 and not progress.quiet then bar.write("\r\27[K") end
end

--- bar:close()
-- Ends the bar; bars that were opened inside it end too. Fine to call twice.
function Bar:close()
  if self.closed then return end
  while open[#open] and open[#open] ~= self do open[#open]:close() end
  if open[#open] == self then open[#open] = nil end
  self.closed = true
  if progress.quiet then return end
  if self.tty and self.leave then
    draw(self)
    self.write("\n")
  elseif self.tty then
    erase(self)
  elseif self.drawn > 0 then
    draw(self)
  end
end
Bar.__close = Bar.close

--- progress.print(text)
-- Prints a line to stdout without leaving pieces of a bar in it.
function progress.print(text)
  local bar = open[#open]
  if bar then erase(bar) end
  io.stdout:write(text, "\n")
  io.stdout:flush()
  if bar and bar.tty and bar.drawn > 0 and not progress.quiet then draw(bar) end
end

--- progress.each(list [, label]) -> iterator
-- `for i, value in progress.each(list, "users") do`: ipairs with a bar.
function progress.each(list, label)
  local bar = progress.new {label = label, total = #list}
  local i = 0
  return function()
    if i > 0 then bar:step() end
    i = i + 1
    if list[i] ~= nil then return i, list[i] end
    bar:close()
    return nil
  end, nil, nil, bar
end

return progress
