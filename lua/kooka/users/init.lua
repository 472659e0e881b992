--- kooka.users: one small head a person on a frozen encoder, shrunk toward the general head, and an
-- honest report of whom it helps. Labels are classes 1 and 2, users are ids of any kind.
local core = require("kooka.core").users
local eval = require "kooka.eval"
local check_options = require "kooka.options"

local users = {}

-- From strong to weak. 1/sqrt(lambda) is the usual distance of a person's taste from the general one, in logits.
local LAMBDA = { 1000, 300, 100, 30, 10, 3, 1, .3, .1, .03, .01 }
local LAMBDA0 = { 30, 10, 3, 1, .3, .1 }
local METHODS = { global = true, intercept = true, map = true, own = true }
local FIT = { features = true, labels = true, users = true, head = true, offset = true, method = true, lambda = true,
  lambda0 = true, folds = true, seed = true }
local REPORT = { truth = true, level = true, resamples = true, seed = true, threshold = true }

local function as_list(x)
  return type(x) == "userdata" and x:tolist() or x
end

local function sigmoid(v) return 1 / (1 + math.exp(-v)) end

local function map(list, f)
  local out = {}
  for i, v in ipairs(list) do out[i] = f(v) end
  return out
end

local function flat(list)      -- a weight may come as [D], [1,D] or [D,1]
  local out = {}
  for _, v in ipairs(as_list(list)) do
    if type(v) == "table" then table.move(v, 1, #v, #out + 1, out) else out[#out + 1] = v end
  end
  return out
end

local function filled(n, v)
  local t = {}
  for i = 1, n do t[i] = v end
  return t
end

-- The general logit of each row.
local function general(opts, n)
  if opts.offset then return as_list(opts.offset) end
  local head = opts.head
  if type(head) ~= "table" or not head.w then
    error("users: expected head = {w =, b =} or offset = general logits", 3)
  end
  if not opts.features then error("users: a head needs features", 3) end
  local b = head.b
  if type(b) ~= "number" then b = b and flat(b)[1] or 0 end
  return core.apply { features = opts.features, users = filled(n, 1), offset = filled(n, 0), w = flat(head.w),
    b = { b } }
end

local function per_user(result, labels, ids, names)
  local per = {}
  for k, name in ipairs(names) do per[k] = { user = name, n = 0, positives = 0, rows = {} } end
  for i, k in ipairs(ids) do
    local u = per[k]
    u.n = u.n + 1
    u.positives = u.positives + (labels[i] - 1)
    u.rows[u.n] = i
  end
  for k, u in ipairs(per) do
    u.lambda = result.lambdas and result.lambdas[k]
    u.one_class = u.positives == 0 or u.positives == u.n
    if u.one_class then
      u.message = ("%s: all %d rows are of class %d; the general head is kept"):format(tostring(u.user), u.n,
        u.positives == 0 and 1 or 2)
    end
  end
  return per
end

--- fit(opts) -> result
-- opts: features [N,D] of a frozen encoder (tensor or list of lists), labels [N] (1 or 2), users [N] (ids of any
-- kind), head = {w = [D], b = number} or offset = the general head's logit of each row, method, lambda (nil: chosen;
-- else one number), lambda0 (penalty on a person's intercept; nil: chosen), folds (5; 0: leave one out), seed (1).
-- method: "global" (the general head as it is), "intercept" (one number a person), "map" (a head a person, Gaussian
-- prior around the general head; the default), "own" (no general head: for comparison).
-- Minimised for each person: sum of log-losses + lambda/2 |v|^2 + lambda0/2 c^2, where v and c are added to the general
-- head and features are centred and scaled to a mean squared norm of 1 over all rows. Predictions are out of fold,
-- folds stratified within a person; each person's lambda for them is the one with the least out-of-fold log-loss of
-- the OTHERS (empirical Bayes without a look at his labels); lambda0 is chosen over all. A person whose rows are of
-- one class keeps the general head.
-- result: prob and global (P(class 2) of each row; prob out of fold), fold, lambda, lambda0, losses ({lambda, loss} of
-- the grid), heads {w [U,D] or nil, b list} to add to the general head, users (names), labels, ids, per (for each
-- person n, positives, lambda, message).
function users.fit(opts)
  check_options("users.fit", opts, FIT)
  local method = opts.method or "map"
  if not METHODS[method] then
    error(("users.fit: method is '%s', expected global, intercept, map or own"):format(tostring(method)), 2)
  end
  if not opts.labels or not opts.users then error("users.fit: expected labels and users, one of each a row", 2) end
  local labels = map(as_list(opts.labels), function(y) return y == true and 2 or y == false and 1 or y end)
  local ids, nuser, names = eval.dense(opts.users)
  if #ids ~= #labels then error(("users.fit: users has %d rows, labels have %d"):format(#ids, #labels), 2) end
  if (method == "map" or method == "own") and not opts.features then
    error(("users.fit: method %s needs features"):format(method), 2)
  end
  local offset = method == "own" and not opts.offset and not opts.head and filled(#labels, 0) or general(opts, #labels)
  local result = { method = method, labels = labels, ids = ids, users = names, global = map(offset, sigmoid) }
  local base = method == "own" and filled(#labels, 0) or offset
  local function call(f, lambda, lambda0)
    local finite = lambda[1] < math.huge
    return f { labels = labels, users = ids, nuser = nuser, offset = base, features = finite and opts.features or nil,
      lambda = lambda, lambda0 = lambda0, folds = opts.folds, seed = opts.seed }
  end
  if method == "global" then
    call(core.cross, { math.huge }, 1)      -- the same checks of the rows as the other methods
    result.prob, result.heads = result.global, { b = filled(nuser, 0) }
    result.per = per_user(result, labels, ids, names)
    return result
  end
  local lambda0, least = opts.lambda0, math.huge
  if not lambda0 then
    for _, l0 in ipairs(LAMBDA0) do
      local loss = call(core.cross, { math.huge }, l0).losses[1]
      if loss < least then lambda0, least = l0, loss end
    end
  end
  local grid = method == "intercept" and { math.huge } or opts.lambda and { opts.lambda } or LAMBDA
  local got = call(core.cross, grid, lambda0)
  result.lambda0, result.lambda, result.lambdas, result.fold = lambda0, grid[got.best], got.lambdas, got.fold
  result.prob, result.losses = map(got.logit, sigmoid), {}
  for l, loss in ipairs(got.losses) do result.losses[l] = { lambda = grid[l], loss = loss } end
  local w, b = call(core.fit, { result.lambda }, lambda0)
  result.heads = { w = w, b = b }
  result.per = per_user(result, labels, ids, names)
  return result
end

--- predict(result, opts) -> list of P(class 2)
-- New rows with the fitted heads: opts.users (ids; somebody unknown gets the general head), opts.offset (general
-- logits) or opts.head, opts.features.
function users.predict(result, opts)
  check_options("users.predict", opts, { features = true, users = true, offset = true, head = true })
  local known, ids = {}, {}
  for k, name in ipairs(result.users) do known[name] = k end
  for i, id in ipairs(as_list(opts.users)) do ids[i] = known[id] or 0 end
  local offset = result.method == "own" and filled(#ids, 0) or general(opts, #ids)
  local w = result.heads.w
  if w and not opts.features then error("users.predict: these heads need features", 2) end
  return map(core.apply { features = w and opts.features or nil, users = ids, offset = offset, w = w,
    b = result.heads.b }, sigmoid)
end

local KEEP = { "precision", "recall", "f1", "mcc", "average_precision", "roc_auc", "accuracy", "balanced_accuracy",
  "log_loss", "brier" }

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

local function judge(u, result, o, p)
  local minority = u.positives * 2 <= u.n and 2 or 1
  local flip = minority == 1
  local row = { user = u.user, n = u.n, minority_class = minority,
    minority_n = flip and u.n - u.positives or u.positives,
    lambda = u.lambda, message = u.message, head = {}, global = {} }
  local y = pick(result.labels, u.rows)
  local head, global = pick(result.prob, u.rows, flip), pick(result.global, u.rows, flip)
  local options = { positive = minority, resamples = p.resamples, seed = p.seed, level = p.level,
    threshold = p.threshold, proportion = "clopper-pearson" }
  for name, prob in pairs { head = head, global = global } do
    local m = eval.binary(prob, y, options)
    for _, k in ipairs(KEEP) do row[name][k] = m[k] end
  end
  row.prevalence, row.majority_accuracy = row.minority_n / u.n, row.head.accuracy.baseline
  options.proportion = nil
  options.names = { "the head", "the general head" }
  local pair = eval.paired(head, global, y, options)
  row.log_loss_difference, row.mcnemar = pair.log_loss, pair.mcnemar
  row.verdict, row.text = pair.verdict, pair.text
  if u.one_class then row.verdict, row.text = "one class", u.message end
  row.use = row.verdict == "better" and "head" or "global"
  if o.truth then
    local truth = pick(o.truth, u.rows, flip)
    row.best = expected(truth, truth, p.threshold)
    row.expected_head, row.expected_global = expected(truth, head, p.threshold), expected(truth, global, p.threshold)
    row.share_of_possible = share(row.expected_global.log_loss, row.expected_head.log_loss, row.best.log_loss)
  end
  return row
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
  for _, side in ipairs { "head", "global" } do out["average_precision_" .. side].baseline = out.prevalence.value end
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

--- report(result, opts) -> report
-- For whom does the head work? opts: truth (P(class 2) of each row where it is known), level (.95), resamples (300,
-- for a person's MCC and AP), threshold (.5), seed (1).
-- report.rows, one a person: precision, recall, F1 (Clopper-Pearson), MCC and average precision (baseline: prevalence)
-- of the smaller class for head and global, majority_accuracy, log_loss_difference (head minus general, paired t
-- interval), verdict ("better", "worse", "no difference", "not enough data", "one class"), use ("head" only where it
-- is shown to be better, else "global"); with truth also best, expected_head, expected_global, share_of_possible.
-- report.macro: means over persons with intervals from resampling persons; report.pooled: paired log-loss over all
-- rows with persons as the draws; report.counts; report.best (with truth). users.text(report) prints it.
function users.report(result, opts)
  opts = opts or {}
  check_options("users.report", opts, REPORT)
  local p = { level = opts.level or .95, resamples = opts.resamples or 300, seed = opts.seed or 1,
    threshold = opts.threshold or .5 }
  local o = { truth = opts.truth and as_list(opts.truth) }
  if o.truth and #o.truth ~= #result.labels then
    error(("users.report: truth has %d rows, the result has %d"):format(#o.truth, #result.labels), 2)
  end
  local report = { method = result.method, lambda = result.lambda, lambda0 = result.lambda0, rows = {}, level = p.level,
    counts = { persons = #result.per, better = 0, worse = 0, ["no difference"] = 0, ["not enough data"] = 0,
      ["one class"] = 0, fall_back = 0 } }
  for k, u in ipairs(result.per) do
    local row = judge(u, result, o, p)
    report.rows[k] = row
    report.counts[row.verdict] = report.counts[row.verdict] + 1
    if row.use == "global" then report.counts.fall_back = report.counts.fall_back + 1 end
  end
  report.macro = macro(report.rows, p)
  report.pooled = eval.paired(result.prob, result.global, result.labels, { groups = result.ids, level = p.level,
    seed = p.seed, threshold = p.threshold, resamples = 500, names = { "a head a person", "the general head" } })
  if #result.per < 5 then
    report.pooled.verdict = "not enough data"
    report.pooled.text = ("not enough data for a verdict over persons: there are %d"):format(#result.per)
  end
  if o.truth then report.best = best_possible(report.rows) end
  return report
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

--- text(report, opts) -> string
-- The report for a terminal: one line a person (opts.most of them, 40), then means and verdict over persons.
function users.text(report, opts)
  local most, lines = opts and opts.most or 40, {}
  local function say(...) lines[#lines + 1] = (...):format(select(2, ...)) end
  say("Heads of %d persons, method %s%s; smaller class of each person, out of fold, %g %% intervals",
    #report.rows, report.method,
    report.lambda and report.lambda < math.huge and (", lambda %g"):format(report.lambda) or "", 100 * report.level)
  say("%-14s %4s %4s  %-17s  %-17s  %-17s  %-18s  %-4s %-4s  %-22s %s %s", "person", "rows", "few", "precision",
    "recall", "F1", "MCC", "AP", "prev", "log-loss, head-general", report.best and "possible " or "", "verdict")
  for i, r in ipairs(report.rows) do
    if i > most then
      say("... and %d more persons", #report.rows - most)
      break
    end
    lines[#lines + 1] = person_line(r, report.best)
  end
  for i, r in ipairs(report.rows) do
    if r.message and i <= most then lines[#lines + 1] = "note: " .. r.message end
  end
  local c, m = report.counts, report.macro
  say("The head is better for %d, worse for %d, no difference is shown for %d, not enough data for %d, one class only for %d;", c.better,
    c.worse, c["no difference"], c["not enough data"], c["one class"])
  say("the general head is kept for %d of %d persons.", c.fall_back, c.persons)
  lines[#lines + 1] = mean_line("F1, heads", m.f1_head)
  lines[#lines + 1] = mean_line("F1, general head", m.f1_global)
  lines[#lines + 1] = mean_line("average precision, heads", m.average_precision_head)
  lines[#lines + 1] = mean_line("average precision, general", m.average_precision_global)
  lines[#lines + 1] = mean_line("MCC, heads", m.mcc_head)
  lines[#lines + 1] = mean_line("MCC, general head", m.mcc_global)
  lines[#lines + 1] = "Over all persons: " .. report.pooled.text
  local b = report.best
  if b then
    say("Best possible (the truth is known): expected log-loss %.4f; general %.4f, heads %.4f%s", b.best, b.global, b.head,
      b.share and (": %.0f %% of what there is to gain"):format(100 * b.share) or "")
    say("Expected F1 of the smaller class: best rule %.3f, general %.3f, heads %.3f", b.f1_best, b.f1_global, b.f1_head)
  end
  return table.concat(lines, "\n")
end

return users
