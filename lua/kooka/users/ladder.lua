--- users.ladder: every rung on the same rows and folds, one table, and a plain word when nothing beats the general head.
local core = require "kooka.core"
local eval = require "kooka.eval"
local check_options = require "kooka.options"
local fit = require "kooka.users.fit"
local network = require "kooka.users.network"
local report = require "kooka.users.report"
local rungs = require "kooka.users.rungs"
local tables = require "kooka.table"

local ladder = {}

-- The options of users.fit by one rung.
local function of_rows(o, name)
  local options = {}
  for k, v in pairs(o) do options[k] = v end
  options.rungs, options.network, options.method = nil, nil, name
  if name ~= "components" and name ~= "firth" and name ~= "flic" then options.components = nil end
  return options
end

-- The options of users.network by one rung.
local function of_network(o, name)
  local options = { labels = o.labels, users = o.users, folds = o.folds, seed = o.seed, method = name }
  for k, v in pairs(o.network or error(("users.ladder: the rung %s needs network = {model=, texts=, text_of=}"):format(name), 3)) do
    options[k] = v
  end
  return options
end

--- ladder.run{features=, labels=, users=, offset= or head=, network=nil, rungs=nil, folds=, seed=, components=, ...} -> results, seconds
-- Every rung (or those named in rungs) on the same folds, by users.fit and, with network = {model=, texts=, text_of=, ...}, by
-- kooka.users.network. results: name -> result; seconds: name -> time. Rungs that need features or the network are left out where there
-- are none.
function ladder.run(o)
  local results, seconds, names = {}, {}, o.rungs
  if not names then
    names = {}
    for _, r in ipairs(rungs.list) do
      if (o.features or not r.features) and (o.network or not r.network) then names[#names + 1] = r.name end
    end
  end
  for _, name in ipairs(names) do
    local from, rung = core.sys.now(), rungs.named[name]
    if rung and rung.network then results[name] = network.fit(of_network(o, name))
    else results[name] = fit.fit(of_rows(o, name)) end
    seconds[name] = core.sys.now() - from
  end
  return results, seconds
end

--- ladder.fall_back(result, told) -> result
-- The heads that the report told shows to be better, the general head for everybody else: heads (where the rung has any) are zero there,
-- and prob is global's.
-- Its own score on the same rows flatters (they chose it): judge it on others.
function ladder.fall_back(result, told)
  local out = setmetatable({}, { __index = result })
  out.prob, out.rank, out.fallen = {}, {}, 0
  for i, k in ipairs(result.ids) do
    local head = told.rows[k].use == "head"
    out.prob[i] = head and result.prob[i] or result.global[i]
    out.rank[i] = head and (result.rank or result.prob)[i] or result.global[i]
  end
  local use, heads = {}, result.heads
  for k, row in ipairs(told.rows) do
    use[k] = row.use == "head" and 1 or 0
    if use[k] == 0 then out.fallen = out.fallen + 1 end
  end
  if not heads then return out end
  local w, b = heads.w, {}
  for k, u in ipairs(use) do b[k] = u * heads.b[k] end
  if w then
    local scope <close> = core.scope()
    w = (w * core.tensor(use):reshape(#use, 1)):keep()
  end
  out.heads = { w = w, b = b }
  return out
end

local function cell(m, digits)
  if not m or not m.value then return "-" end
  return tables.metric(m, digits or 3)
end

--- ladder.table(results, {order=nil, truth=nil, seconds=nil, seed=1, resamples=100, level=.95}) -> rows, reports
-- results: name -> result of users.fit (or of the same form), all on the same rows. One row a rung: means over persons
-- (bootstrap over
-- persons) of average precision, MCC and F1 of each person's smaller class and of log-loss; difference {value, low,
-- high}: paired
-- log-loss against the general head over all rows, persons as the draws; better, worse (persons), verdict, seconds;
-- with truth
-- (P(class 2) of each row) excess: expected log-loss over the best possible.
function ladder.table(results, o)
  o = o or {}
  check_options("users.ladder.table", o, { order = true, truth = true, seconds = true, seed = true, resamples = true, level = true })
  local order, rows, reports = o.order, {}, {}
  if not order then
    order = {}
    for _, r in ipairs(rungs.list) do
      if results[r.name] then order[#order + 1] = r.name end
    end
    for name in pairs(results) do
      local known = false
      for _, n in ipairs(order) do known = known or n == name end
      if not known then order[#order + 1] = name end
    end
  end
  for i, name in ipairs(order) do
    local r = results[name]
    local told = report.report(r, { truth = o.truth, seed = o.seed, resamples = o.resamples or 100, level = o.level })
    reports[name] = told
    local m, c = told.macro, told.counts
    local row = { name = name, average_precision = m.average_precision_head, mcc = m.mcc_head, f1 = m.f1_head, log_loss = m.log_loss_head,
      difference = told.pooled.log_loss, verdict = told.pooled.verdict, better = c.better, worse = c.worse, persons = c.persons,
      fall_back = c.fall_back, lambda = r.lambda, seconds = o.seconds and o.seconds[name] }
    if told.best then row.excess = told.best.head - told.best.best end
    rows[i] = row
  end
  rows.prevalence = reports[order[1]] and reports[order[1]].macro.prevalence
  return rows, reports
end

--- ladder.columns(rows) -> columns, cells for kooka.table and kooka.report
function ladder.columns(rows)
  local columns, cells = { "rung" }, {}
  for _, name in ipairs { "AP of the smaller class", "MCC", "F1", "log-loss", "log-loss - general", "better", "worse" } do
    columns[#columns + 1] = { name, align = "right" }
  end
  columns[#columns + 1] = "verdict"
  local truth, seconds = rows[1] and rows[1].excess, rows[1] and rows[1].seconds
  if truth then columns[#columns + 1] = { "above the possible", align = "right" } end
  if seconds then columns[#columns + 1] = { "s", align = "right" } end
  for i, r in ipairs(rows) do
    local d = r.difference
    local c = { r.name, cell(r.average_precision), cell(r.mcc), cell(r.f1), cell(r.log_loss),
      r.name ~= "global" and d.low and ("%+.4f [%+.4f, %+.4f]"):format(d.value, d.low, d.high) or "-", r.better, r.worse,
      r.name == "global" and "" or r.verdict }
    if truth then c[#c + 1] = ("%.4f"):format(r.excess) end
    if seconds then c[#c + 1] = ("%.2f"):format(r.seconds) end
    cells[i] = c
  end
  return columns, cells
end

--- ladder.text(rows) -> string
-- The table, and which rungs beat the general head with an interval that excludes zero; or that none does; and why MCC may fall
-- where log-loss gains.
function ladder.text(rows)
  local columns, cells = ladder.columns(rows)
  local lines, better = { tables.text { columns = columns, rows = cells } }, {}
  local least
  for _, r in ipairs(rows) do
    if r.name ~= "own" and r.verdict == "better" then
      better[#better + 1] = r.name
      if not least or r.difference.value < least.difference.value then least = r end
    end
  end
  if #better == 0 then
    lines[#lines + 1] = "No rung beats the general head: no interval of the paired log-loss lies below zero. Keep the general head."
  else
    lines[#lines + 1] = ("Better than the general head, with an interval that excludes zero: %s. Least log-loss: %s, %+.4f [%+.4f, %+.4f]; shown "
      .. "to gain by it: %d of %d persons, shown to lose: %d; the general head is kept for %d."):format(table.concat(better, ", "), least.name,
      least.difference.value, least.difference.low, least.difference.high, least.better, least.persons, least.worse, least.fall_back)
  end
  lines[#lines + 1] = "Log-loss is the fair comparison: F1 and MCC cut rows of different folds at .5, and a head's intercept leans away from the "
    .. "very rows it left out (AP ranks with one intercept for all folds of a person)."
  return table.concat(lines, "\n")
end

--- ladder.against(results, a, b, o) -> kooka.eval.paired of two rungs, persons as the draws
function ladder.against(results, a, b, o)
  local x, y = results[a], results[b]
  return eval.paired(x.prob, y.prob, x.labels, { groups = x.ids, seed = o and o.seed, resamples = 0, names = { a, b } })
end

return ladder
