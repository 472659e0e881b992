--- plot: plots as text for a terminal, and as SVG through plot.svg. No program is needed for either.
-- plot.line, scatter, bars, intervals and calibration take the same tables as plot.svg.line and so on and give
-- a string: braille and block characters where the locale is UTF-8, plain ASCII elsewhere (or ascii = true).
local axis = require "kooka.plot.axis"
local progress = require "kooka.progress"
local sys = require("kooka.core").sys
local tables = require "kooka.table"

local plot = {svg = require "kooka.plot.svg"}

local MARKS = {"*", "o", "+", "x", "#", "@"}
local INKS = {34, 31, 32, 35, 33, 36}          -- ANSI colours in the order of the SVG series

local function plain(t)
  if t.ascii ~= nil then return t.ascii end
  return not progress.utf8()
end

-- Colour only where a person looks at a terminal and did not forbid it (https://no-color.org).
local function coloured(t)
  if t.color ~= nil then return t.color end
  return sys.isatty(1) and not os.getenv("NO_COLOR") and os.getenv("TERM") ~= "dumb"
end

local function ink(text, i, on)
  if not on then return text end
  return ("\27[%dm%s\27[0m"):format(INKS[(i - 1) % #INKS + 1], text)
end

local function columns_of(t, default)
  return t.width or math.max(30, math.min(default or 76, sys.terminal_size(1) - 2))
end

-- ---- a canvas of cells; in braille each cell holds 2 by 4 dots

local Canvas = {}
Canvas.__index = Canvas

local function canvas(columns, rows, ascii)
  local c = setmetatable({columns = columns, rows = rows, ascii = ascii, bits = {}, owner = {}, char = {}}, Canvas)
  c.dx, c.dy = ascii and columns or columns * 2, ascii and rows or rows * 4
  return c
end

local DOTS = {[0] = {[0] = 0x01, 0x02, 0x04, 0x40}, {[0] = 0x08, 0x10, 0x20, 0x80}}

--- canvas:dot(x, y, i)
-- x from 0 on the left, y from 0 at the bottom, in dots.
function Canvas:dot(x, y, i)
  x, y = math.floor(x), self.dy - 1 - math.floor(y)
  if x < 0 or x >= self.dx or y < 0 or y >= self.dy then return end
  local column, row = self.ascii and x or x // 2, self.ascii and y or y // 4
  local cell = row * self.columns + column
  self.owner[cell] = i
  if self.ascii then self.char[cell] = MARKS[(i - 1) % #MARKS + 1]
  else self.bits[cell] = (self.bits[cell] or 0) | DOTS[x % 2][y % 4] end
end

--- canvas:line(x1, y1, x2, y2, i)
function Canvas:line(x1, y1, x2, y2, i)
  local steps = math.max(1, math.ceil(math.max(math.abs(x2 - x1), math.abs(y2 - y1))))
  for k = 0, steps do
    self:dot(x1 + (x2 - x1) * k / steps + 0.5, y1 + (y2 - y1) * k / steps + 0.5, i)
  end
end

--- canvas:row(r, color) -> text
function Canvas:row(r, color)
  local out = {}
  for c = 0, self.columns - 1 do
    local cell = r * self.columns + c
    local text = self.char[cell] or self.bits[cell] and utf8.char(0x2800 + self.bits[cell]) or " "
    out[#out + 1] = self.owner[cell] and ink(text, self.owner[cell], color) or text
  end
  return table.concat(out)
end

local function place(value, low, high, dots)
  return (value - low) / (high - low) * (dots - 1)
end

-- The canvas between its axes, as lines of text.
local function framed(c, t, x1, x2, y1, y2, ascii)
  local wall, floor, corner = ascii and "|" or "│", ascii and "-" or "─", ascii and "+" or "└"
  local labels, widest = {}, 0
  for _, tick in ipairs(axis.ticks(y1, y2, math.max(2, c.rows // 3))) do
    local row = c.rows - 1 - math.floor(place(tick.value, y1, y2, c.rows) + 0.5)
    labels[row] = tick.label
    widest = math.max(widest, #tick.label)
  end
  local color, lines = coloured(t), {}
  for r = 0, c.rows - 1 do
    local mark = labels[r] and (ascii and "+" or "┤") or wall
    lines[#lines + 1] = tables.pad(labels[r] or "", widest, "right") .. " " .. mark .. c:row(r, color)
  end
  lines[#lines + 1] = (" "):rep(widest + 1) .. corner .. floor:rep(c.columns)
  local foot, used = {}, 0
  for _, tick in ipairs(axis.ticks(x1, x2, math.max(2, c.columns // 12))) do
    local at = math.floor(place(tick.value, x1, x2, c.columns) + 0.5) - #tick.label // 2
    at = math.max(0, math.min(at, c.columns - #tick.label))
    if at >= used + (used > 0 and 1 or 0) then
      foot[#foot + 1] = (" "):rep(at - used) .. tick.label
      used = at + #tick.label
    end
  end
  lines[#lines + 1] = (" "):rep(widest + 2) .. table.concat(foot)
  if t.xlabel then
    lines[#lines + 1] = (" "):rep(widest + 2) .. tables.pad(t.xlabel, c.columns, "center"):gsub("%s+$", "")
  end
  return lines
end

local function head(t, series, ascii)
  local lines, names = {}, {}
  if t.title then lines[1] = t.title end
  for i, s in ipairs(series) do
    if s.name then
      names[#names + 1] = ink(ascii and MARKS[(i - 1) % #MARKS + 1] or "━━", i, coloured(t)) .. " " .. s.name
    end
  end
  local legend = table.concat(names, "   ")
  if t.ylabel then legend = t.ylabel .. (legend ~= "" and "   " or "") .. legend end
  if legend ~= "" then lines[#lines + 1] = legend end
  return lines
end

local function xy(t, who, join)
  local series, ascii = axis.series(t, who), plain(t)
  local xs, ys = {}, {}
  for i, s in ipairs(series) do xs[i], ys[i] = s.x, s.y end
  local x1, x2 = axis.range(xs, t.xmin, t.xmax)
  local y1, y2 = axis.range(ys, t.ymin, t.ymax)
  local w1, w2 = axis.widen(y1, y2, 4)
  y1, y2 = t.ymin or w1, t.ymax or w2
  local c = canvas(columns_of(t) - 10, t.height or 14, ascii)
  for i, s in ipairs(series) do
    local lx, ly
    for k = 1, #s.x do
      if axis.finite(s.x[k]) and axis.finite(s.y[k]) then
        local px, py = place(s.x[k], x1, x2, c.dx), place(s.y[k], y1, y2, c.dy)
        if join and lx then c:line(lx, ly, px, py, i) else c:dot(px + 0.5, py + 0.5, i) end
        lx, ly = px, py
      else
        lx = nil
      end
    end
  end
  local lines = head(t, series, ascii)
  for _, line in ipairs(framed(c, t, x1, x2, y1, y2, ascii)) do lines[#lines + 1] = line end
  return table.concat(lines, "\n")
end

--- plot.line{series = {{name, x, y}}, title, xlabel, ylabel, xmin, xmax, ymin, ymax, width, height} -> text
-- Lines over an axis. y is a list or a tensor; without x it is 1, 2, ...; one series may be given as x, y.
function plot.line(t) return xy(t, "line", true) end

--- plot.scatter{series = {{name, x, y}}, ...} -> text
-- Points.
function plot.scatter(t) return xy(t, "scatter", false) end

local EIGHTHS = {"▏", "▎", "▍", "▌", "▋", "▊", "▉"}
local function bar(cells, ascii)
  local full = math.floor(cells)
  if ascii then return ("#"):rep(math.floor(cells + 0.5)) end
  return ("█"):rep(full) .. (EIGHTHS[math.floor((cells - full) * 8)] or "")
end

local function label_width(labels, columns)
  local w = 0
  for _, label in ipairs(labels) do w = math.max(w, tables.width(label)) end
  return math.min(w, columns // 3)
end

--- plot.bars{labels, values, low, high, title, xmax, width, digits} -> text
-- Horizontal bars from zero with the number, and its interval when low and high are given, behind. Several bars
-- for each label: series = {{name, values, low, high}}. Negative values show as their number only.
function plot.bars(t)
  local ascii, columns = plain(t), columns_of(t)
  local series = t.series or {{values = t.values, low = t.low, high = t.high}}
  local lists = {{0}}
  for i, s in ipairs(series) do
    series[i] = {name = s.name, values = axis.list(s.values), low = axis.list(s.low), high = axis.list(s.high)}
    lists[#lists + 1] = series[i].values
  end
  local _, high = axis.range(lists, 0, t.xmax)
  local digits = t.digits or 2
  local left = label_width(t.labels, columns)
  local room = math.max(8, columns - left - (series[1].low[1] and 22 or 10))
  local lines, color = head(t, series, ascii), coloured(t)
  for r, label in ipairs(t.labels) do
    for i, s in ipairs(series) do
      local v = s.values[r]
      local drawn = axis.finite(v) and v > 0 and ink(bar(math.min(1, v / high) * room, ascii), i, color) or ""
      local number = tables.metric({value = v, low = s.low[r], high = s.high[r]}, digits)
      lines[#lines + 1] = tables.pad(i == 1 and tables.fit(label, left) or "", left) .. " " .. drawn .. " " .. number
    end
  end
  return table.concat(lines, "\n")
end

--- plot.intervals{rows = {{label, value, low, high, mark}}, reference, title, width, digits} -> text
-- A dot and its interval on each row. reference: an upright line; mark: a diamond on one row.
function plot.intervals(t)
  local ascii, columns, digits = plain(t), columns_of(t), t.digits or 2
  local labels, lists = {}, {{t.reference}}
  for i, r in ipairs(t.rows) do
    labels[i] = tostring(r.label or r[1] or i)
    for _, key in ipairs {"value", "low", "high", "mark"} do lists[#lists + 1] = {r[key]} end
  end
  local low, high = axis.range(lists, t.xmin, t.xmax)
  local left = label_width(labels, columns)
  local room = math.max(10, columns - left - 3 * (digits + 2) - 8)
  local signs = ascii and {line = "-", from = "|", to = "|", dot = "o", mark = "v", wall = ":"}
    or {line = "─", from = "├", to = "┤", dot = "●", mark = "◇", wall = "┊"}
  local lines, color = head(t, {}, ascii), coloured(t)
  local function at(v) return math.floor(place(v, low, high, room) + 0.5) end
  for i, r in ipairs(t.rows) do
    local cells = {}
    for c = 0, room - 1 do cells[c] = " " end
    if t.reference then cells[at(t.reference)] = signs.wall end
    if axis.finite(r.low) and axis.finite(r.high) then
      local a, b = math.max(0, at(r.low)), math.min(room - 1, at(r.high))
      for c = a, b do cells[c] = signs.line end
      cells[a], cells[b] = signs.from, signs.to
    end
    if axis.finite(r.mark) then cells[at(r.mark)] = signs.mark end
    if axis.finite(r.value) then cells[at(r.value)] = ink(signs.dot, r.group or 1, color) end
    lines[#lines + 1] = tables.pad(tables.fit(labels[i], left), left) .. " " .. table.concat(cells, "", 0, room - 1)
      .. " "
      .. tables.metric({value = r.value, low = r.low, high = r.high}, digits)
  end
  local first, last = tables.number(low, digits), tables.number(high, digits)
  lines[#lines + 1] = (" "):rep(left + 1) .. first .. (" "):rep(math.max(1, room - #first - #last)) .. last
  if t.xlabel then lines[#lines + 1] = (" "):rep(left + 1) .. t.xlabel end
  return table.concat(lines, "\n")
end

--- plot.calibration{prob, label, count = 10 | bins, title} -> text
-- The observed rate of each bin of predicted probability, with its interval; the diamond is what was predicted.
function plot.calibration(t)
  local rows = {}
  for i, b in ipairs(axis.bins(t)) do
    rows[i] = {label = ("predicted %.2f (n %s)"):format(b.mean, tostring(b.n or "?")), value = b.rate, low = b.low,
      high = b.high,
      mark = b.mean}
  end
  return plot.intervals {rows = rows, title = t.title, xmin = 0, xmax = 1, width = t.width, ascii = t.ascii,
    color = t.color}
end

--- plot.save(path, svg) -> true | nil, message, code
-- A file of its own, with a white ground.
function plot.save(path, svg)
  local alone = svg:gsub('style="([^"]*)"', 'style="%1;color:#1b1f24;background:#ffffff"', 1)
  return sys.write_file(path, '<?xml version="1.0" encoding="UTF-8"?>\n' .. alone)
end

return plot
