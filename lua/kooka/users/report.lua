--- users.report: for whom does a head work? One row a person with intervals, means over persons, and where to fall back.
local core = require("kooka.core").users
local eval = require "kooka.eval"
local check_options = require "kooka.options"
local judge = core.judge

local report = {}

local REPORT = { truth = true, level = true, resamples = true, seed = true, threshold = true }
local METHOD = { precision = "clopper-pearson", recall = "clopper-pearson", accuracy = "clopper-pearson",
  f1 = "clopper-pearson of tp/(tp+fp+fn)", log_loss = "t", brier = "t" }
local MANY <const> = 20000          -- rows from which differences other than log-loss get no bootstrap

local function as_list(x) return type(x) == "userdata" and x:tolist() or x end

local function map(list, f)
  local out = {}
  for i, v in ipairs(list) do out[i] = f(v) end
  return out
end

local function pick(list, rows, flip)
  local out = {}
  for i, row in ipairs(rows) do out[i] = flip and 1 - list[row] or list[row] end
  return out
end

local function clip_log(p) return math.log(math.min(math.max(p, 1e-7), 1 - 1e-7)) end

-- What the true probabilities (of the smaller class) say: expected log-loss and F1 of a predictor on these rows.
local function expected(truth, prob, threshold)
  local loss, hit, said, positive = 0, 0, 0, 0
  for i, t in ipairs(truth) do
    loss = loss - t * clip_log(prob[i]) - (1 - t) * clip_log(1 - prob[i])
    positive = positive + t
    if prob[i] > threshold then hit, said = hit + t, said + 1 end
  end
  return { log_loss = loss / #truth, f1 = 2 * hit / (said + positive) }
end

-- Share of the way from the general head to the truth; nil where there is next to nothing (0.02 of log-loss) to gain.
local function share(from, to, best)
  if math.abs(best - from) < .02 then return nil end
  return (to - from) / (best - from)
end

local function finish(row, u, p)
  row.user, row.lambda, row.message = u.user, u.lambda, u.message
  row.prevalence, row.majority_accuracy = row.minority_n / row.n, row.head.accuracy.baseline
  for _, side in ipairs { row.head, row.global } do
    for name, m in pairs(side) do m.method = METHOD[name] or p.bootstrap end
  end
  local m = row.log_loss_difference
  if u.one_class then
    row.verdict, row.text = "one class", u.message
  elseif row.n < 20 or row.minority_n < 3 or not m.low then
    row.verdict = "not enough data"
    row.text = ("not enough data for a verdict: %d rows, %d of the smaller class"):format(row.n, row.minority_n)
  else
    row.verdict = m.low <= 0 and m.high >= 0 and "no difference" or m.value < 0 and "better" or "worse"
    row.text = ("log_loss of the head minus the general head is %+.4f [%+.4f, %+.4f]"):format(m.value, m.low, m.high)
  end
  row.use = row.verdict == "better" and "head" or "global"
end

-- With the truth known: how far from the best possible.
local function compare_with_truth(row, u, result, truth_of, p)
  local flip = row.minority_class == 1
  local truth, head, global = pick(truth_of, u.rows, flip), pick(result.prob, u.rows, flip), pick(result.global, u.rows, flip)
  row.best = expected(truth, truth, p.threshold)
  row.expected_head, row.expected_global = expected(truth, head, p.threshold), expected(truth, global, p.threshold)
  row.share_of_possible = share(row.expected_global.log_loss, row.expected_head.log_loss, row.best.log_loss)
end

local NAN <const> = 0 / 0

-- Means over persons; the bootstrap draws persons.
local function macro(rows, p)
  local function over(f, baseline)
    return eval.mean(map(rows, function(r)
      local v = f(r)
      return v == nil and NAN or v
    end), { level = p.level, seed = p.seed, resamples = 1000, baseline = baseline })
  end
  local out = {}
  for _, k in ipairs { "precision", "recall", "f1", "mcc", "average_precision", "log_loss" } do
    for _, side in ipairs { "head", "global" } do
      out[k .. "_" .. side] = over(function(r) return r[side][k].value end)
    end
    out[k .. "_difference"] = over(function(r)
      local a, b = r.head[k].value, r.global[k].value
      return a and b and a - b
    end, 0)
  end
  out.prevalence = over(function(r) return r.prevalence end)
  for _, side in ipairs { "head", "global" } do         -- the prevalence of those persons who have an average precision
    out["average_precision_" .. side].baseline = over(function(r) return r[side].average_precision.value and r.prevalence end).value
  end
  return out
end

local function best_possible(rows)
  local sum, n = { best = 0, head = 0, global = 0, f1_best = 0, f1_head = 0, f1_global = 0 }, 0
  for _, r in ipairs(rows) do
    n = n + r.n
    sum.best, sum.f1_best = sum.best + r.n * r.best.log_loss, sum.f1_best + r.best.f1 / #rows
    sum.head, sum.f1_head = sum.head + r.n * r.expected_head.log_loss, sum.f1_head + r.expected_head.f1 / #rows
    sum.global = sum.global + r.n * r.expected_global.log_loss
    sum.f1_global = sum.f1_global + r.expected_global.f1 / #rows
  end
  for _, k in ipairs { "best", "head", "global" } do sum[k] = sum[k] / n end
  sum.share = share(sum.global, sum.head, sum.best)
  return sum
end

-- A row in no fold has no prediction to be judged by.
local function check_prob(result)
  local missing, first = 0, nil
  for i = 1, #result.labels do
    local p = result.prob[i]
    if not (p and p >= 0 and p <= 1) then missing, first = missing + 1, first or i end
  end
  if not first then return end
  local u = result.per[result.ids[first]]
  error(("users.report: %d of %d rows have no out-of-fold probability; the first is row %d, of %s, who has %d rows"):format(missing,
    #result.labels, first, tostring(u.user), u.n), 3)
end

--- report.report(result, opts) -> report: users.report
function report.report(result, opts)
  opts = opts or {}
  check_options("users.report", opts, REPORT)
  if not result.prob then error("users.report: heads without folds (folds = false) have no predictions to be judged by", 2) end
  check_prob(result)
  local p = { level = opts.level or .95, resamples = opts.resamples or 300, seed = opts.seed or 1,
    threshold = opts.threshold or .5 }
  local o = { truth = opts.truth and as_list(opts.truth) }
  if o.truth and #o.truth ~= #result.labels then
    error(("users.report: truth has %d rows, the result has %d"):format(#o.truth, #result.labels), 2)
  end
  local r = { method = result.method, lambda = result.lambda, lambda0 = result.lambda0, rows = {}, level = p.level,
    counts = { persons = #result.per, better = 0, worse = 0, ["no difference"] = 0, ["not enough data"] = 0,
      ["one class"] = 0, fall_back = 0 } }
  p.bootstrap = ("bootstrap percentile, %d resamples"):format(p.resamples)
  r.rows = judge { prob = result.prob, global = result.global, labels = result.labels, users = result.ids, nuser = #result.per,
    threshold = p.threshold, level = p.level, resamples = p.resamples, seed = p.seed }
  local ranked = result.rank and judge { prob = result.rank, global = result.global, labels = result.labels, users = result.ids,
    nuser = #result.per, threshold = p.threshold, level = p.level, resamples = p.resamples, seed = p.seed }
  for k, row in ipairs(r.rows) do
    local u = result.per[k]
    if ranked then row.head.average_precision = ranked[k].head.average_precision end
    finish(row, u, p)
    if o.truth then compare_with_truth(row, u, result, o.truth, p) end
    r.counts[row.verdict] = r.counts[row.verdict] + 1
    if row.use == "global" then r.counts.fall_back = r.counts.fall_back + 1 end
  end
  r.macro = macro(r.rows, p)
  r.pooled = eval.paired(result.prob, result.global, result.labels, { groups = result.ids, level = p.level,
    seed = p.seed, threshold = p.threshold, resamples = #result.labels > MANY and 0 or 500, names = { "a head a person", "the general head" } })
  if #result.per < 5 then
    r.pooled.verdict = "not enough data"
    r.pooled.text = ("not enough data for a verdict over persons: there are %d"):format(#result.per)
  end
  if o.truth then r.best = best_possible(r.rows) end
  return r
end

local function cell(m)
  if not m.value then return "-" end
  if not m.low then return ("%.2f"):format(m.value) end
  return ("%.2f [%.2f,%.2f]"):format(m.value, m.low, m.high)
end

local function mean_line(name, m)
  if not m.value then return ("  %-28s -  (%s)"):format(name, m.note or "not defined") end
  local base = m.baseline and ("   baseline %.3f"):format(m.baseline) or ""
  local range = m.low and (" [%.3f, %.3f]"):format(m.low, m.high) or ""
  return ("  %-28s %.3f%s  over %d persons%s"):format(name, m.value, range, m.n, base)
end

local function person_line(r, truth)
  local d = r.log_loss_difference
  local diff = d.low and ("%+.3f [%+.3f,%+.3f]"):format(d.value, d.low, d.high) or "-"
  local best = truth and (r.share_of_possible and ("%8.0f%%"):format(100 * r.share_of_possible) or "        -") or ""
  return ("%-14s %4d %4d  %-17s  %-17s  %-17s  %-18s  %4s %4.2f  %-22s %s %s"):format(
    tostring(r.user):sub(1, 14), r.n, r.minority_n, cell(r.head.precision), cell(r.head.recall), cell(r.head.f1),
    cell(r.head.mcc),
    r.head.average_precision.value and ("%.2f"):format(r.head.average_precision.value) or "-", r.prevalence,
    diff, best, r.verdict)
end

--- report.text(report, opts) -> string: users.text
-- The report for a terminal: one line a person (opts.most of them, 40), then means and verdict over persons.
function report.text(told, opts)
  local most, lines = opts and opts.most or 40, {}
  local function say(...) lines[#lines + 1] = (...):format(select(2, ...)) end
  say("Heads of %d persons, method %s%s; smaller class of each person, out of fold, %g %% intervals",
    #told.rows, told.method,
    told.lambda and told.lambda < math.huge and (", lambda %g"):format(told.lambda) or "", 100 * told.level)
  say("%-14s %4s %4s  %-17s  %-17s  %-17s  %-18s  %-4s %-4s  %-22s %s %s", "person", "rows", "few", "precision",
    "recall", "F1", "MCC", "AP", "prev", "log-loss, head-general", told.best and "possible " or "", "verdict")
  for i, r in ipairs(told.rows) do
    if i > most then
      say("... and %d more persons", #told.rows - most)
      break
    end
    lines[#lines + 1] = person_line(r, told.best)
  end
  for i, r in ipairs(told.rows) do
    if r.message and i <= most then lines[#lines + 1] = "note: " .. r.message end
  end
  local c, m = told.counts, told.macro
  say("The head is better for %d, worse for %d, no difference is shown for %d, not enough data for %d, one class only for %d;", c.better,
    c.worse, c["no difference"], c["not enough data"], c["one class"])
  say("the general head is kept for %d of %d persons.", c.fall_back, c.persons)
  lines[#lines + 1] = mean_line("F1, heads", m.f1_head)
  lines[#lines + 1] = mean_line("F1, general head", m.f1_global)
  lines[#lines + 1] = mean_line("average precision, heads", m.average_precision_head)
  lines[#lines + 1] = mean_line("average precision, general", m.average_precision_global)
  lines[#lines + 1] = mean_line("MCC, heads", m.mcc_head)
  lines[#lines + 1] = mean_line("MCC, general head", m.mcc_global)
  lines[#lines + 1] = "Over all persons: " .. told.pooled.text
  local b = told.best
  if b then
    say("Best possible (the truth is known): expected log-loss %.4f; general %.4f, heads %.4f%s", b.best, b.global, b.head,
      b.share and (": %.0f %% of what there is to gain"):format(100 * b.share) or "")
    say("Expected F1 of the smaller class: best rule %.3f, general %.3f, heads %.3f", b.f1_best, b.f1_global, b.f1_head)
  end
  return table.concat(lines, "\n")
end

return report
