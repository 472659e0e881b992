--- plot.confusion: which class was taken for which: counts, and a picture of them.
local svg = require "kooka.plot.svg"
local tables = require "kooka.table"

local confusion = {}

--- confusion.best(probs) -> list of classes
-- The most probable class of each row, from 1; of equal ones the first.
function confusion.best(probs)
  local out = {}
  for i, row in ipairs(probs) do
    local class = 1
    for c = 2, #row do
      if row[c] > row[class] then class = c end
    end
    out[i] = class
  end
  return out
end

--- confusion.count(said, truth, classes) -> counts
-- counts[t][s]: rows of class t that were called s.
function confusion.count(said, truth, classes)
  if #said ~= #truth then error(("confusion.count: %d predictions for %d labels"):format(#said, #truth), 2) end
  local counts = {}
  for t = 1, classes do
    counts[t] = {}
    for s = 1, classes do counts[t][s] = 0 end
  end
  for i, t in ipairs(truth) do counts[t][said[i]] = counts[t][said[i]] + 1 end
  return counts
end

--- confusion.worst(counts, names[, n = 5]) -> list of {truth=, said=, n=, share=}
-- The most frequent mistakes; share: of the rows of that class.
function confusion.worst(counts, names, n)
  local out = {}
  for t, row in ipairs(counts) do
    local total = 0
    for _, k in ipairs(row) do total = total + k end
    for s, k in ipairs(row) do
      if s ~= t and k > 0 then
        out[#out + 1] = { truth = names[t], said = names[s], n = k, share = k / total, at = (t - 1) * #row + s }
      end
    end
  end
  table.sort(out, function(a, b)
    if a.n ~= b.n then return a.n > b.n end
    return a.at < b.at
  end)
  for i = #out, (n or 5) + 1, -1 do out[i] = nil end
  return out
end

--- confusion.svg{counts =, names =, title = nil} -> svg
-- A square for each pair: rows are the true classes, columns what was said, darker for a larger share of the row.
function confusion.svg(t)
  local counts, n = t.counts, #t.counts
  local cell = n <= 6 and 72 or n <= 12 and 46 or 34
  local names, left = {}, 0
  for i = 1, n do
    names[i] = tables.fit(tostring(t.names[i]), 18)
    left = math.max(left, tables.width(names[i]) * 7)
  end
  left = left + 26
  local top = (t.title and 28 or 8) + 18
  local upright = n <= 6
  local foot = upright and 40 or left
  local width, height = math.max(left + n * cell + 12, left + 270), top + n * cell + foot
  local out = { ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" '
    .. 'font-family="system-ui, -apple-system, \'Segoe UI\', \'DejaVu Sans\', sans-serif" font-size="12" '
    .. 'fill="currentColor" style="max-width:100%%;height:auto">'):format(width, height, width, height) }
  local function add(format, ...) out[#out + 1] = format:format(...) end
  if t.title then
    add("<title>%s</title>", svg.escape(t.title))
    add('<text x="0" y="16" font-size="14" font-weight="600">%s</text>', svg.escape(t.title))
  end
  add('<text x="%d" y="%d" fill-opacity="0.75">columns: what was said; rows: what is true</text>', left, top - 6)
  for row = 1, n do
    local total, y = 0, top + (row - 1) * cell
    for _, k in ipairs(counts[row]) do total = total + k end
    add('<text x="%d" y="%d" text-anchor="end">%s</text>', left - 8, y + cell // 2 + 4, svg.escape(names[row]))
    for column = 1, n do
      local k = counts[row][column]
      local share, x = total > 0 and k / total or 0, left + (column - 1) * cell
      add('<rect x="%d" y="%d" width="%d" height="%d" fill="%s" fill-opacity="%.3f"><title>%s</title></rect>', x, y, cell - 2,
        cell - 2, row == column and "#0072B2" or "#D55E00", .04 + .86 * share,
        svg.escape(("%s called %s: %d of %d"):format(t.names[row], t.names[column], k, total)))
      if k > 0 then
        add('<text x="%d" y="%d" text-anchor="middle" font-size="%d">%d</text>', x + cell // 2 - 1, y + cell // 2 + 4,
          cell > 40 and 12 or 9, k)
      end
    end
  end
  for column = 1, n do
    local x, y = left + (column - 1) * cell + cell // 2, top + n * cell + 14
    if upright then
      add('<text x="%d" y="%d" text-anchor="middle">%s</text>', x, y, svg.escape(tables.fit(names[column], cell // 7)))
    else
      add('<text x="%d" y="%d" text-anchor="end" transform="rotate(-90 %d %d)">%s</text>', x + 4, y - 8, x + 4, y - 8,
        svg.escape(names[column]))
    end
  end
  out[#out + 1] = "</svg>\n"
  return table.concat(out, "\n")
end

return confusion
