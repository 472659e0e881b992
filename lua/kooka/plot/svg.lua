--- plot.svg: the same plots as SVG text, to stand in a page or a file. No program is needed.
-- Lines and letters take the colour of the text around them; the series have the colours of Okabe and Ito
-- (2008), which people with any colour vision can tell apart, and differ in dashes or shape too.
local axis = require "kooka.plot.axis"
local tables = require "kooka.table"

local svg = {}

local COLOURS = {"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"}
local DASHES = {"", "7 3", "2 3", "9 3 2 3", "4 2", "1 2"}
local LETTER = 7.0         -- mean width of a letter of 12 px, in px

--- svg.escape(text) -> text
-- For element content and attribute values; control characters and broken UTF-8 become U+FFFD.
function svg.escape(text)
  text = tostring(text)
  if not utf8.len(text) then text = text:gsub("[\x80-\xff]", "\u{FFFD}") end
  return (text:gsub("[%z\1-\8\11\12\14-\31]", "\u{FFFD}"):gsub('[&<>"]', {["&"] = "&amp;", ["<"] = "&lt;",
    [">"] = "&gt;",
    ['"'] = "&quot;"}))
end
local escape = svg.escape

local function n(x)
  local text = ("%.1f"):format(x)
  return (text:gsub("%.0$", ""):gsub("^%-0$", "0"))
end

local function colour(i) return COLOURS[(i - 1) % #COLOURS + 1] end

-- ---- a drawing: a list of elements

local Drawing = {}
Drawing.__index = Drawing

local function drawing(t, width, height)
  return setmetatable({width = width, height = height, title = t.title, parts = {}}, Drawing)
end

--- drawing:add(format, ...)
-- An element; texts must be escaped by the caller.
function Drawing:add(format, ...)
  self.parts[#self.parts + 1] = format:format(...)
end

--- drawing:text(x, y, text, anchor, more)
-- Escapes the text.
function Drawing:text(x, y, text, anchor, more)
  self:add('<text x="%s" y="%s" text-anchor="%s"%s>%s</text>', n(x), n(y), anchor or "start", more or "", escape(text))
end

--- drawing:line(x1, y1, x2, y2, more)
function Drawing:line(x1, y1, x2, y2, more)
  self:add('<line x1="%s" y1="%s" x2="%s" y2="%s" %s/>', n(x1), n(y1), n(x2), n(y2), more)
end

--- drawing:finish() -> svg
function Drawing:finish()
  local head = ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %s %s" width="%s" height="%s" role="img" '
    .. 'font-family="system-ui, -apple-system, \'Segoe UI\', \'DejaVu Sans\', sans-serif" font-size="12" '
    .. 'fill="currentColor" style="max-width:100%%;height:auto">'):format(n(self.width), n(self.height),
      n(self.width), n(self.height))
  local title = self.title and ("<title>%s</title>"):format(escape(self.title)) or ""
  return head .. title .. "\n" .. table.concat(self.parts, "\n") .. "\n</svg>\n"
end

local GRID = 'stroke="currentColor" stroke-opacity="0.13"'
local FRAME = 'stroke="currentColor" stroke-opacity="0.55"'
local SOFT = ' fill-opacity="0.75"'

local function heading(d, t)
  if t.title then d:text(0, 16, t.title, "start", ' font-size="14" font-weight="600"') end
  return t.title and 28 or 8
end

local function widest(labels)
  local w = 0
  for _, label in ipairs(labels) do w = math.max(w, tables.width(label)) end
  return w * LETTER
end

-- Names with a sample of their line or square, in rows; returns the y below them.
local function legend(d, names, x, y, right, mark)
  local at, drawn = x, false
  for i, name in ipairs(names) do
    if name then
      local size = 26 + tables.width(name) * LETTER + 14
      if at > x and at + size > right then at, y = x, y + 18 end
      mark(i, at, y + 8)
      d:text(at + 26, y + 12, name)
      at, drawn = at + size, true
    end
  end
  return drawn and y + 24 or y
end

-- The frame of a plot over two axes: grid, ticks, labels. Returns functions from values to places.
local function frame(d, t, top, x1, x2, y1, y2)
  local yticks, xticks = axis.ticks(y1, y2, t.yticks or 5), t.xmarks or axis.ticks(x1, x2, t.xticks or 7)
  local labels = {}
  for i, tick in ipairs(yticks) do labels[i] = tick.label end
  local left = widest(labels) + 12 + (t.ylabel and 18 or 0)
  local right, bottom = d.width - 14, d.height - 24 - (t.xlabel and 18 or 0)
  local function px(v) return left + (v - x1) / (x2 - x1) * (right - left) end
  local function py(v) return bottom - (v - y1) / (y2 - y1) * (bottom - top) end
  for _, tick in ipairs(yticks) do
    d:line(left, py(tick.value), right, py(tick.value), GRID)
    d:text(left - 7, py(tick.value) + 4, tick.label, "end", SOFT)
  end
  for _, tick in ipairs(xticks) do
    d:line(px(tick.value), bottom, px(tick.value), bottom + 4, FRAME)
    d:text(px(tick.value), bottom + 17, tick.label, "middle", SOFT)
  end
  d:line(left, bottom, right, bottom, FRAME)
  if t.xlabel then d:text((left + right) / 2, bottom + 35, t.xlabel, "middle") end
  if t.ylabel then
    local y = (top + bottom) / 2
    d:text(12, y, t.ylabel, "middle", (' transform="rotate(-90 12 %s)"'):format(n(y)))
  end
  return px, py, left, right, bottom
end

local function names_of(series)
  local names, any = {}, false
  for i, s in ipairs(series) do
    names[i] = s.name or false
    any = any or s.name ~= nil
  end
  return any and names or {}
end

local function extent(series, t)
  local xs, ys = {}, {}
  for _, s in ipairs(series) do
    xs[#xs + 1], ys[#ys + 1] = s.x, s.y
    if s.low then ys[#ys + 1] = s.low end
    if s.high then ys[#ys + 1] = s.high end
  end
  local x1, x2 = axis.range(xs, t.xmin, t.xmax)
  local y1, y2 = axis.range(ys, t.ymin, t.ymax)
  local w1, w2 = axis.widen(y1, y2, 5)
  return x1, x2, t.ymin or w1, t.ymax or w2
end

-- Pieces of a line between values that are missing.
local function pieces(s, px, py)
  local out, piece = {}, {}
  for i = 1, #s.x do
    if axis.finite(s.x[i]) and axis.finite(s.y[i]) then
      piece[#piece + 1] = n(px(s.x[i])) .. "," .. n(py(s.y[i]))
    elseif #piece > 0 then
      out[#out + 1], piece = piece, {}
    end
  end
  if #piece > 0 then out[#out + 1] = piece end
  return out
end

local function band(d, s, i, px, py)
  local there, back = {}, {}
  for k = 1, #s.x do
    local low, high = s.low[k], s.high[k]
    if axis.finite(s.x[k]) and axis.finite(low) and axis.finite(high) then
      there[#there + 1] = n(px(s.x[k])) .. "," .. n(py(high))
      table.insert(back, 1, n(px(s.x[k])) .. "," .. n(py(low)))
    end
  end
  d:add('<polygon points="%s %s" fill="%s" fill-opacity="0.18"/>', table.concat(there, " "), table.concat(back, " "),
    colour(i))
end

local function line_style(s, i)
  local dash = s.dash or DASHES[(i - 1) % #DASHES + 1]
  return ('fill="none" stroke="%s" stroke-width="2" stroke-linejoin="round"%s'):format(colour(i),
    dash ~= "" and (' stroke-dasharray="%s"'):format(escape(dash)) or "")
end

--- svg.line{series = {{name, x, y, low, high}}, title, xlabel, ylabel, xmin, xmax, ymin, ymax, width, height} -> svg
-- Lines over an axis, with a band where low and high are given. y may be a list or a tensor; missing x: 1, 2, ...
-- One series may be given as x, y directly.
function svg.line(t)
  local series = axis.series(t, "line")
  local d = drawing(t, t.width or 640, t.height or 320)
  local top = heading(d, t)
  top = legend(d, names_of(series), 0, top, d.width, function(i, x, y)
    d:line(x, y, x + 20, y, line_style(series[i], i))
  end) + 6
  local x1, x2, y1, y2 = extent(series, t)
  local px, py = frame(d, t, top, x1, x2, y1, y2)
  for i, s in ipairs(series) do
    if s.low and s.high then band(d, s, i, px, py) end
  end
  for i, s in ipairs(series) do
    for _, piece in ipairs(pieces(s, px, py)) do
      if #piece > 1 then d:add('<polyline points="%s" %s/>', table.concat(piece, " "), line_style(s, i)) end
      if #s.x <= 16 or #piece == 1 then
        for _, point in ipairs(piece) do
          d:add('<circle cx="%s" cy="%s" r="3" fill="%s"/>', point:match("^[^,]+"), point:match("[^,]+$"), colour(i))
        end
      end
    end
  end
  return d:finish()
end

local function shape(d, i, x, y)
  local kind = (i - 1) % 3
  if kind == 0 then d:add('<circle cx="%s" cy="%s" r="3.5" fill="%s" fill-opacity="0.7"/>', n(x), n(y), colour(i))
  elseif kind == 1 then d:add('<rect x="%s" y="%s" width="6.4" height="6.4" fill="%s" fill-opacity="0.7"/>',
    n(x - 3.2), n(y - 3.2), colour(i))
  else d:add('<path d="M%s %sl4 7h-8z" fill="%s" fill-opacity="0.7"/>', n(x), n(y - 4), colour(i)) end
end

--- svg.scatter{series = {{name, x, y}}, diagonal, ...} -> svg
-- Points; each series with a shape of its own. diagonal: a dashed line where x equals y.
function svg.scatter(t)
  local series = axis.series(t, "scatter")
  local d = drawing(t, t.width or 520, t.height or 400)
  local top = heading(d, t)
  top = legend(d, names_of(series), 0, top, d.width, function(i, x, y) shape(d, i, x + 12, y) end) + 6
  local x1, x2, y1, y2 = extent(series, t)
  local w1, w2 = axis.widen(x1, x2, 7)
  x1, x2 = t.xmin or w1, t.xmax or w2
  local px, py = frame(d, t, top, x1, x2, y1, y2)
  if t.diagonal then
    local a, b = math.max(x1, y1), math.min(x2, y2)
    if a < b then
      d:line(px(a), py(a), px(b), py(b), 'stroke="currentColor" stroke-opacity="0.5" stroke-dasharray="4 4"')
    end
  end
  for i, s in ipairs(series) do
    for k = 1, #s.x do
      if axis.finite(s.x[k]) and axis.finite(s.y[k]) then shape(d, i, px(s.x[k]), py(s.y[k])) end
    end
  end
  return d:finish()
end

-- Whiskers of an interval along x at height y.
local function whisker(d, x1, x2, y, style)
  d:line(x1, y, x2, y, style)
  d:line(x1, y - 4, x1, y + 4, style)
  d:line(x2, y - 4, x2, y + 4, style)
end

-- Labels to the left of rows, cut to a third of the drawing; returns where the rows begin.
local function row_labels(d, labels)
  local limit = math.floor(d.width / 3 / LETTER)
  local cut = {}
  for i, label in ipairs(labels) do cut[i] = tables.fit(label, limit) end
  return cut, widest(cut) + 14
end

local function value_axis(d, t, top, bottom, left, right, low, high)
  local function px(v) return left + (v - low) / (high - low) * (right - left) end
  for _, tick in ipairs(axis.ticks(low, high, t.xticks or 6)) do
    d:line(px(tick.value), top, px(tick.value), bottom, GRID)
    d:text(px(tick.value), bottom + 16, tick.label, "middle", SOFT)
  end
  if t.xlabel then d:text((left + right) / 2, bottom + 34, t.xlabel, "middle") end
  return px
end

--- svg.bars{labels, values, low, high, title, xlabel, xmin, xmax, width, digits} -> svg
-- Horizontal bars from zero, with error bars where low and high are given and the number behind. Several
-- bars for each label: series = {{name, values, low, high}, ...}.
function svg.bars(t)
  local series = t.series or {{values = t.values, low = t.low, high = t.high}}
  local names, lists = {}, {{0}}
  for i, s in ipairs(series) do
    series[i] = {name = s.name, values = axis.list(s.values), low = axis.list(s.low), high = axis.list(s.high)}
    lists[#lists + 1], lists[#lists + 2], lists[#lists + 3] = series[i].values, series[i].low, series[i].high
    names[i] = s.name or false
  end
  local thick = #series == 1 and 16 or 11
  local row = #series * (thick + 2) + 8
  local d = drawing(t, t.width or 640, 0)
  local top = heading(d, t)
  if series[1].name then
    top = legend(d, names, 0, top, d.width, function(i, x, y)
      d:add('<rect x="%s" y="%s" width="18" height="10" fill="%s"/>', n(x), n(y - 5), colour(i))
    end)
  end
  local labels, left = row_labels(d, t.labels)
  local bottom = top + row * #labels
  d.height = bottom + 24 + (t.xlabel and 20 or 0)
  local low, high = axis.range(lists, t.xmin, t.xmax)
  if not t.xmax then local _, w = axis.widen(low, high, 6); high = w end
  local px = value_axis(d, t, top, bottom, left, d.width - 52, low, high)
  for r, label in ipairs(labels) do
    local y = top + (r - 1) * row + 4
    d:text(left - 8, y + (row - 8) / 2 + 4, label, "end")
    for i, s in ipairs(series) do
      local v, at = s.values[r], y + (i - 1) * (thick + 2)
      if axis.finite(v) then
        local a, b = math.min(px(0), px(v)), math.max(px(0), px(v))
        d:add('<rect x="%s" y="%s" width="%s" height="%s" fill="%s"/>', n(a), n(at), n(b - a), n(thick), colour(i))
        local stop = b
        if axis.finite(s.low[r]) and axis.finite(s.high[r]) then
          whisker(d, px(s.low[r]), px(s.high[r]), at + thick / 2, 'stroke="currentColor" stroke-width="1.3"')
          stop = math.max(stop, px(s.high[r]))
        end
        d:text(stop + 6, at + thick / 2 + 4, tables.number(v, t.digits or 2), "start", SOFT)
      end
    end
  end
  d:line(px(math.max(0, low)), top, px(math.max(0, low)), bottom, FRAME)
  return d:finish()
end

--- svg.intervals{rows = {{label, value, low, high, mark, group}}, reference, xlabel, mark_name, digits, ...} -> svg
-- A dot and its interval on each row ("forest plot"). reference: a dashed line for all; mark: a hollow diamond
-- on one row, such as its baseline, explained by mark_name; group: an integer that chooses the colour, named by
-- groups = {...}.
function svg.intervals(t)
  local d = drawing(t, t.width or 640, 0)
  local top = heading(d, t)
  local labels, lists = {}, {{t.reference}}
  for i, r in ipairs(t.rows) do
    labels[i] = tostring(r.label or r[1] or i)
    lists[#lists + 1] = {r.value, r.low, r.high}
    lists[#lists + 1] = {r.mark}
    lists[#lists + 1] = {r.low}
    lists[#lists + 1] = {r.high}
  end
  local names = {table.unpack(t.groups or {})}
  local groups = #names
  if t.mark_name then names[#names + 1] = t.mark_name end
  local function diamond(x, y)
    d:add('<path d="M%s %sl5 5l-5 5l-5 -5z" fill="none" stroke="currentColor" stroke-width="1.4"/>', n(x), n(y - 5))
  end
  top = legend(d, names, 0, top, d.width, function(i, x, y)
    if i > groups then return diamond(x + 12, y) end
    d:add('<circle cx="%s" cy="%s" r="4" fill="%s"/>', n(x + 12), n(y), colour(i))
  end)
  local cut, left = row_labels(d, labels)
  local row = 20
  local bottom = top + row * #cut + 4
  d.height = bottom + 24 + (t.xlabel and 20 or 0)
  local low, high = axis.range(lists, t.xmin, t.xmax)
  local w1, w2 = axis.widen(low, high, 6)
  low, high = t.xmin or w1, t.xmax or w2
  local digits = t.digits or 2
  local px = value_axis(d, t, top, bottom, left, d.width - 14 - LETTER * (3 * (digits + 2) + 4), low, high)
  if t.reference then
    d:line(px(t.reference), top - 2, px(t.reference), bottom,
      'stroke="currentColor" stroke-opacity="0.6" stroke-dasharray="4 3"')
  end
  for i, r in ipairs(t.rows) do
    local y, c = top + (i - 0.5) * row + 2, colour(r.group or 1)
    d:text(left - 8, y + 4, cut[i], "end")
    if axis.finite(r.low) and axis.finite(r.high) then
      d:line(px(r.low), y, px(r.high), y, ('stroke="%s" stroke-width="2.2"'):format(c))
    end
    if axis.finite(r.mark) then diamond(px(r.mark), y) end
    if axis.finite(r.value) then
      d:add('<circle cx="%s" cy="%s" r="4.2" fill="%s"/>', n(px(r.value)), n(y), c)
      d:text(d.width, y + 4, tables.metric({value = r.value, low = r.low, high = r.high}, digits), "end", SOFT)
    end
  end
  return d:finish()
end

--- svg.calibration{prob, label, count = 10 | bins = {{mean, rate, low, high, n}}, title, width} -> svg
-- Predicted probability against observed rate with intervals; the dashed diagonal is perfect. The small bars
-- at the foot show how many cases each bin holds.
function svg.calibration(t)
  local bins = axis.bins(t)
  local size = t.width or 380
  local d = drawing(t, size, size + (t.title and 20 or 0))
  local top = heading(d, t)
  local px, py, _, _, bottom = frame(d, {xlabel = t.xlabel or "predicted probability", ylabel = t.ylabel
    or "observed rate",
    xticks = 5}, top, 0, 1, 0, 1)
  d:line(px(0), py(0), px(1), py(1), 'stroke="currentColor" stroke-opacity="0.5" stroke-dasharray="4 4"')
  local most, points = 1, {}
  for _, b in ipairs(bins) do most = math.max(most, b.n or 0) end
  for _, b in ipairs(bins) do
    local h = 34 * (b.n or 0) / most
    d:add('<rect x="%s" y="%s" width="10" height="%s" fill-opacity="0.16"/>', n(px(b.mean) - 5), n(bottom - h), n(h))
    points[#points + 1] = n(px(b.mean)) .. "," .. n(py(b.rate))
  end
  if #points > 1 then
    d:add('<polyline points="%s" fill="none" stroke="%s" stroke-width="1.5" stroke-opacity="0.5"/>', table.concat(points, " "), colour(1))
  end
  for _, b in ipairs(bins) do
    if b.low and b.high then
      d:line(px(b.mean), py(b.low), px(b.mean), py(b.high), ('stroke="%s" stroke-width="2"'):format(colour(1)))
    end
    d:add('<circle cx="%s" cy="%s" r="4" fill="%s"><title>%s</title></circle>', n(px(b.mean)), n(py(b.rate)), colour(1),
      escape(("%s of %s, predicted %.3f"):format(tables.number(b.rate), tostring(b.n or "?"), b.mean)))
  end
  return d:finish()
end

return svg
