--- tell: what a tournament found, in tables and in plain sentences.
local tables = require "kooka.table"
local tournament = require "kooka.tournament"

local tell = {}

local TITLES = { average_precision = "AP", mcc = "MCC", f1 = "F1", balanced_accuracy = "balanced accuracy", brier = "Brier",
  log_loss = "log-loss" }
local LOWER = { brier = true, log_loss = true }

--- tell.title(metric) -> text
function tell.title(metric) return TITLES[metric] or metric end

-- Is a difference beyond its interval? better, worse, or nil.
local function side(d)
  if not d.value or not d.low or d.low <= 0 and d.high >= 0 then return nil end
  return d.better and "better" or "worse"
end

-- "" within the interval over rows; " +" beyond it; " ++" when Holm's correction and the interval over folds say so,
-- too.
local function sign(d)
  local beyond = side(d)
  if not beyond then return "" end
  local mark = beyond == "better" and "+" or "-"
  return " " .. mark .. (tell.sure(d) and mark or "")
end

--- tell.sure(difference) -> boolean
-- Beyond the bootstrap interval over rows, beyond Holm's correction over all entries, and beyond the corrected
-- resampled t over folds: the first two hold another sample of rows, the last other training rows, too.
function tell.sure(d)
  local f = d.folds
  return side(d) ~= nil and d.holm ~= nil and d.holm < .05 and f ~= nil and (f.low > 0 and d.value > 0 or f.high < 0 and d.value < 0)
end

local function signed(m)
  if not m or not m.value then return "–" end
  if not m.low then return ("%+.3f"):format(m.value) end
  return ("%+.3f [%+.3f, %+.3f]"):format(m.value, m.low, m.high)
end

--- tell.table(entries) -> {columns =, rows =}
-- A row for each strategy, as it is and repaired: metrics with intervals, + or - where the paired difference from the
-- reference lies beyond its interval, ++ or -- where it is sure (tell.sure), and the seconds that all its fits took.
function tell.table(list)
  local columns, rows = { "strategy" }, {}
  for _, m in ipairs(tournament.metrics) do columns[#columns + 1] = TITLES[m] .. (LOWER[m] and " (low is good)" or "") end
  columns[#columns + 1] = "seconds"
  for i, e in ipairs(list) do
    rows[i] = { (e.reference and "* " or "") .. e.name }
    for _, m in ipairs(tournament.metrics) do rows[i][#rows[i] + 1] = tables.metric(e.metrics[m]) .. sign(e.differences[m]) end
    rows[i][#rows[i] + 1] = ("%.1f"):format(e.seconds)
  end
  return { columns = columns, rows = rows }
end

--- tell.differences(entries [, over = "rows"]) -> {columns =, rows =}
-- Each strategy less the reference, by the bootstrap over rows, or "folds": by the corrected resampled t.
function tell.differences(list, over)
  local columns, rows = { "less the reference" }, {}
  for _, m in ipairs(tournament.metrics) do columns[#columns + 1] = TITLES[m] end
  for i = 2, #list do
    local row = { list[i].name }
    for _, m in ipairs(tournament.metrics) do
      local d = list[i].differences[m]
      row[#row + 1] = over == "folds" and signed(d.folds) or signed(d) .. sign(d)
    end
    rows[#rows + 1] = row
  end
  return { columns = columns, rows = rows }
end

local function join(list)
  if #list < 2 then return list[1] or "" end
  return table.concat(list, ", ", 1, #list - 1) .. " and " .. list[#list]
end

--- tell.verdict(entries) -> list of sentences, beats
-- beats: {{entry =, metric =}}: surely better than the reference in a metric (tell.sure). Says plainly when there are
-- none, and how many would look so one at a time; or that the rows are too few for a verdict.
function tell.verdict(list)
  local beats, alone, harmed, n = {}, 0, {}, #list - 1
  for i = 2, #list do
    for _, m in ipairs(tournament.metrics) do
      local d = list[i].differences[m]
      if side(d) == "better" then
        alone = alone + 1
        if tell.sure(d) then beats[#beats + 1] = { entry = list[i], metric = m } end
      end
    end
    local d = list[i].differences.log_loss
    if not list[i].repaired and side(d) == "worse" and tell.sure(d) then harmed[#harmed + 1] = list[i].name end
  end
  local out = {}
  local all = n * #tournament.metrics
  if list.short then
    out[1] = list.short
  elseif #beats == 0 then
    out[1] = ("Nothing beats doing nothing with a tuned cut: of %d comparisons (%d rows of the table, %d metrics) none is surely better; "
      .. "%d look better one at a time, where chance alone gives about %.0f."):format(all, n, #tournament.metrics, alone, all * .025)
  else
    local by, order = {}, {}
    for _, b in ipairs(beats) do
      if not by[b.entry.name] then
        by[b.entry.name] = {}
        order[#order + 1] = b.entry.name
      end
      table.insert(by[b.entry.name], ("%s %+.3f [%+.3f, %+.3f]"):format(TITLES[b.metric], b.entry.differences[b.metric].value,
        b.entry.differences[b.metric].low, b.entry.differences[b.metric].high))
    end
    for i, name in ipairs(order) do order[i] = ("%s (%s)"):format(name, join(by[name])) end
    out[1] = ("Surely better than doing nothing with a tuned cut, of %d rows of the table: %s."):format(n,
      table.concat(order, "; "))
  end
  if #harmed > 0 then
    out[#out + 1] = ("Probabilities are worse (log-loss) when taken as they come from: %s."):format(join(harmed))
  end
  return out, beats
end

return tell
