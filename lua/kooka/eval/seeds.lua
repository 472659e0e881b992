--- kooka.eval.seeds: what a search over seeds found: better seeds, or noise.
-- A table of scores, seed by fold (by epoch), is taken apart as score = mean + fold + seed + rest. Whether seeds differ
-- at all is an F test of seed against rest (two-way analysis of variance without repetition; Fisher 1925); what the best
-- of k seeds leads by when they do not differ is the expected maximum of k normals. Choosing the epoch by the fold that
-- is then reported flatters too; by how much is measured against the epoch that the other folds would have chosen.
local core = require "kooka.core"
local check_options = require "kooka.options"
local tables = require "kooka.table"

local seeds = {}

local LOWER = { log_loss = true, brier = true, rmse = true, mae = true, mse = true, perplexity = true, loss = true,
  valid_loss = true, nll = true }

--- seeds.lower_is_better(metric) -> boolean
-- By its name: losses and errors, also with a suffix ("log_loss_humor", "rmse_funny").
function seeds.lower_is_better(metric)
  if type(metric) ~= "string" then return false end
  local name = metric
  while name do
    if LOWER[name] then return true end
    name = name:match("^(.+)_[^_]*$")
  end
  return metric:find("loss", 1, true) ~= nil or metric:find("perplexity", 1, true) ~= nil
end

--- seeds.expected_max(k) -> number
-- Mean of the largest of k independent standard normals: the integral of z k phi(z) Phi(z)^(k-1), by the trapezoid rule
-- with step 1/100 on [-9, 9], which is exact to 1e-10 there. 0 for 1, .5642 for 2, 1.8675 for 20.
function seeds.expected_max(k)
  if math.type(k) ~= "integer" or k < 1 then error(("expected_max: k is %s, expected an integer of 1 or more"):format(tostring(k)), 2) end
  local sum, step = 0, 1 / 100
  for i = -900, 900 do
    local z = i * step
    sum = sum + z * math.exp(-z * z / 2) * core.eval.normal_cdf(z) ^ (k - 1)
  end
  return sum * step * k / math.sqrt(2 * math.pi)
end

local function mean_of(list)
  local s = 0
  for _, x in ipairs(list) do s = s + x end
  return s / #list
end

local function sd_of(list)
  if #list < 2 then return nil end
  local m, s = mean_of(list), 0
  for _, x in ipairs(list) do s = s + (x - m) ^ 2 end
  return math.sqrt(s / (#list - 1))
end

local function sorted(keys)
  table.sort(keys, function(a, b)
    if type(a) == type(b) then return a < b end
    return type(a) == "number"
  end)
  return keys
end

-- ---- reading the table

local function number_or_fail(x, where)
  if type(x) ~= "number" or x ~= x or math.abs(x) == math.huge then
    error(("seeds.report: %s is %s, expected a finite number"):format(where, tostring(x)), 5)
  end
  return x
end

-- The cells as {seed =, fold =, value =, epochs = list or nil}, whichever way they were given.
local function cells_of(t)
  local cells = {}
  local function add(seed, fold, value)
    local where = ("seed %s, fold %s"):format(tostring(seed), tostring(fold))
    local epochs
    if type(value) == "table" then
      epochs = value
      if #epochs == 0 then error(("seeds.report: %s has no epochs"):format(where), 4) end
      for e, x in ipairs(epochs) do number_or_fail(x, where .. ", epoch " .. e) end
      value = nil
    end
    cells[#cells + 1] = { seed = seed, fold = fold, epochs = epochs, value = value and number_or_fail(value, where) }
  end
  if t.records then
    local by = {}
    for i, r in ipairs(t.records) do
      if r.seed == nil then error(("seeds.report: record %d has no seed"):format(i), 3) end
      local fold = r.fold or 1
      local value = r.value ~= nil and r.value or r[t.metric]
      by[r.seed] = by[r.seed] or {}
      if r.epoch then
        by[r.seed][fold] = by[r.seed][fold] or {}
        by[r.seed][fold][r.epoch] = value
      else
        by[r.seed][fold] = value
      end
    end
    t = { scores = by }
  end
  if type(t.scores) ~= "table" then error("seeds.report: expected scores = {[seed] = {[fold] = score}} or records", 3) end
  local names = {}
  for seed in pairs(t.scores) do names[#names + 1] = seed end
  for _, seed in ipairs(sorted(names)) do
    local row, folds = t.scores[seed], {}
    if type(row) ~= "table" then row = { row } end
    for fold in pairs(row) do folds[#folds + 1] = fold end
    for _, fold in ipairs(sorted(folds)) do add(seed, fold, row[fold]) end
  end
  return cells
end

-- The score of a cell with epochs: the last one, or the best when that is what was reported.
local function settle(cells, pick, sign)
  for _, c in ipairs(cells) do
    if c.epochs then
      local best = 1
      for e, x in ipairs(c.epochs) do
        if sign * x > sign * c.epochs[best] then best = e end
      end
      c.best_epoch = best
      c.value = pick == "best" and c.epochs[best] or c.epochs[#c.epochs]
    end
  end
end

-- A full rectangle: seeds that lack a fold are left out and named.
local function rectangle(cells)
  local folds, seen_fold, by, names = {}, {}, {}, {}
  for _, c in ipairs(cells) do
    if not by[c.seed] then
      by[c.seed] = {}
      names[#names + 1] = c.seed
    end
    by[c.seed][c.fold] = c
    if not seen_fold[c.fold] then
      seen_fold[c.fold] = true
      folds[#folds + 1] = c.fold
    end
  end
  sorted(folds)
  local kept, left = {}, {}
  for _, seed in ipairs(names) do
    local whole = true
    for _, fold in ipairs(folds) do whole = whole and by[seed][fold] ~= nil end
    table.insert(whole and kept or left, seed)
  end
  return kept, folds, by, left
end

-- ---- the numbers

-- Sums of squares. Crossed: the same folds for every seed. Else each seed has folds of its own (nested).
local function analyse(x, ns, nf, crossed)
  local a = { seed_means = {}, fold_means = {} }
  for i = 1, ns do a.seed_means[i] = mean_of(x[i]) end
  a.mean = mean_of(a.seed_means)
  for j = 1, nf do
    local column = {}
    for i = 1, ns do column[i] = x[i][j] end
    a.fold_means[j] = mean_of(column)
  end
  local ss_seed, ss_fold, ss_all = 0, 0, 0
  for i = 1, ns do ss_seed = ss_seed + nf * (a.seed_means[i] - a.mean) ^ 2 end
  for j = 1, nf do ss_fold = ss_fold + ns * (a.fold_means[j] - a.mean) ^ 2 end
  for i = 1, ns do
    for j = 1, nf do ss_all = ss_all + (x[i][j] - a.mean) ^ 2 end
  end
  if not crossed then ss_fold = 0 end
  local df_fold = crossed and nf - 1 or 0
  a.df_seed, a.df_rest = ns - 1, ns * nf - 1 - (ns - 1) - df_fold
  a.ss_rest = math.max(0, ss_all - ss_seed - ss_fold)
  if a.df_seed > 0 and crossed then       -- seeds inside a fold: what differs between seeds once the fold is taken away
    a.inside = math.sqrt(math.max(0, ss_all - ss_fold) / (a.df_seed * nf))
  elseif a.df_rest > 0 then
    a.inside = math.sqrt(a.ss_rest / a.df_rest)
  end
  if a.df_seed > 0 and a.df_rest > 0 then
    local ms_seed, ms_rest = ss_seed / a.df_seed, a.ss_rest / a.df_rest
    if ms_seed <= 1e-30 then a.f = 0
    else a.f = ms_rest > 0 and ms_seed / ms_rest or math.huge end
    a.p = core.eval.f_tail(a.f, a.df_seed, a.df_rest)
    a.seed_component = math.sqrt(math.max(0, ms_seed - ms_rest) / nf)
    a.reliability = a.f > 1 and 1 - 1 / a.f or 0
    if crossed and nf > 1 then
      local ms_fold = ss_fold / (nf - 1)
      a.fold_f = ms_rest > 0 and ms_fold / ms_rest or ms_fold > 0 and math.huge or 0
      a.fold_p = core.eval.f_tail(a.fold_f, nf - 1, a.df_rest)
    end
  end
  return a
end

-- Chance that a best mean leads by as much when the scores of each fold are dealt to the seeds anew.
local function permutation(x, ns, nf, observed, sign, resamples, seed)
  local stream, hits = core.random("seeds.report", seed), 0
  local sum = {}
  for _ = 1, resamples do
    for i = 1, ns do sum[i] = 0 end
    for j = 1, nf do
      local order = stream:shuffle(ns)
      for i = 1, ns do sum[i] = sum[i] + sign * x[order[i]][j] end
    end
    local best, all = -math.huge, 0
    for i = 1, ns do
      best, all = math.max(best, sum[i]), all + sum[i]
    end
    if best / nf - all / (ns * nf) >= observed - 1e-15 then hits = hits + 1 end
  end
  return (hits + 1) / (resamples + 1)
end

-- Optimism of choosing the epoch, in units of the metric, positive when it flatters.
local function epoch_optimism(kept, folds, by, sign)
  local gap_last, gap_nested, nested_cells, picked, cells = 0, 0, 0, 0, 0
  for _, seed in ipairs(kept) do
    local shortest = math.huge
    for _, fold in ipairs(folds) do
      local c = by[seed][fold]
      if not c.epochs then return nil end
      shortest = math.min(shortest, #c.epochs)
    end
    for _, fold in ipairs(folds) do
      local c = by[seed][fold]
      local best = sign * c.epochs[c.best_epoch]
      gap_last = gap_last + best - sign * c.epochs[#c.epochs]
      picked, cells = picked + c.best_epoch, cells + 1
      if #folds > 1 then
        local at, top
        for e = 1, shortest do
          local s = 0
          for _, other in ipairs(folds) do
            if other ~= fold then s = s + sign * by[seed][other].epochs[e] end
          end
          if not top or s > top then at, top = e, s end
        end
        gap_nested, nested_cells = gap_nested + best - sign * c.epochs[at], nested_cells + 1
      end
    end
  end
  return { last = gap_last / cells, nested = nested_cells > 0 and gap_nested / nested_cells or nil,
    mean_epoch = picked / cells, cells = cells }
end

--- seeds.sampling_error(prob, labels, metric[, resamples]) -> standard error | nil, rows
-- What the rows alone make uncertain about a score of kooka.eval.binary: the bootstrap's 95 % interval over rows, as a
-- standard error.
function seeds.sampling_error(prob, labels, metric, resamples)
  local eval, rows = require "kooka.eval", {}
  for i = 1, #labels do rows[i] = i end                  -- each row a group of its own: bootstrap, also where a closed form is
  local m = eval.binary(prob, labels, { resamples = resamples or 1000, seed = 1, groups = rows })[metric]
  if not (m and m.low) then return nil end
  return (m.high - m.low) / (2 * 1.959963984540054), #labels
end

local function sampling_error(t, best)
  if type(t.predictions) ~= "table" or not t.labels then return nil end
  for _, p in ipairs(t.predictions) do
    if p.seed == best then return seeds.sampling_error(p.prob, t.labels, t.metric, t.resamples) end
  end
end

local function digits_for(x) return x and math.abs(x) >= 10 and 2 or 4 end

local function short(x, digits)
  if not x then return "-" end
  local text = (("%%.%df"):format(digits or 4)):format(x)
  return (text:gsub("^(%-?)0%.", "%1."))
end

local function p_text(p)
  if p < .001 then return "p < .001" end
  return "p = " .. short(p, p < .1 and 3 or 2)
end

local function plural(n, what) return ("%d %s%s"):format(n, what, n == 1 and "" or "s") end

local function verdict(r)
  local d = r.digits
  local lead = ("The best of %s (%s) leads their mean by %s"):format(plural(r.k, "seed"), tostring(r.best.seed), short(r.best.lead, d))
  if r.k < 2 then return "one seed", "One seed: nothing can be said about seeds. Run two or more." end
  if not r.test then
    return "no test", ("%s; the best of %d equal seeds would lead by about %s. One fold cannot tell a better seed from a "
      .. "luckier one: run two folds or more."):format(lead, r.k, short(r.best.expected, d))
  end
  local test = ("F(%d, %d) = %.2f, %s"):format(r.test.df_seed, r.test.df_rest, r.test.f, p_text(r.test.p))
  if r.test.p >= r.alpha then
    return "noise", ("The %d-seed search selected noise: seeds do not differ more than chance makes them (%s). %s; the best of "
      .. "%d equal seeds would lead by %s."):format(r.k, test, lead, r.k, short(r.best.expected, d))
  end
  return "seeds differ", ("Seeds differ by more than chance (%s), with a standard deviation of %s behind the noise. %s, of "
    .. "which about %s can be expected to last; the rest is luck."):format(test, short(r.seed_component, d), lead,
      short(r.best.lasting, d))
end

local KNOWN = { scores = true, records = true, metric = true, lower = true, pick = true, crossed = true, n = true,
  predictions = true, labels = true, alpha = true, resamples = true, seed = true, name = true }

--- seeds.report{scores = {[seed] = {[fold] = score | list of scores by epoch}}, ...} -> report
-- Or records = {{seed =, fold = 1, epoch =, value =}, ...} (value: or the field named by metric). Options: metric ("score";
-- its name says whether lower is better, `lower` overrules), pick ("last" or "best": which epoch's score counts), crossed
-- (true: every seed saw the same folds; false: each cut its own, then fold and rest cannot be told apart), n (rows of each
-- fold, for the text), predictions (list of {prob =, seed =}) with labels for the sampling error of the best seed's score,
-- alpha (.05), resamples (2000 permutations), seed (1), name. Seeds that lack a fold are left out and named.
--
-- The report: k, folds, mean; inside (sd of seeds inside a fold, pooled), fold_sd (sd of the fold means), expected_sd
-- (inside / sqrt(folds): sd of the means over folds if seeds were noise), means_sd (observed); best = {seed, value, lead,
-- expected (k normals with the observed sd), expected_noise (with expected_sd), lasting, p (permutation)}; test = {f,
-- df_seed, df_rest, p}; seed_component; epochs = {last, nested, mean_epoch} (how much the best epoch flatters against the
-- last one, and against the epoch that the other folds choose); sampling (standard error); verdict ("noise", "seeds
-- differ", "no test", "one seed") and text. tostring() gives the table and the verdict; r:section(report) and
-- r:plot(), r:svg() show it.
function seeds.report(t)
  check_options("seeds.report", t, KNOWN)
  local metric = t.metric or "score"
  local lower = t.lower
  if lower == nil then lower = seeds.lower_is_better(metric) end
  local sign = lower and -1 or 1
  if t.pick ~= nil and t.pick ~= "last" and t.pick ~= "best" then
    error(("seeds.report: pick is %s, expected last or best"):format(tostring(t.pick)), 2)
  end
  local cells = cells_of(t)
  if #cells == 0 then error("seeds.report: there are no scores", 2) end
  settle(cells, t.pick or "last", sign)
  local kept, folds, by, left = rectangle(cells)
  if #kept == 0 then error("seeds.report: no seed has a score in every fold", 2) end
  local x, ns, nf = {}, #kept, #folds
  for i, seed in ipairs(kept) do
    x[i] = {}
    for j, fold in ipairs(folds) do x[i][j] = by[seed][fold].value end
  end
  local crossed = t.crossed ~= false
  local a = analyse(x, ns, nf, crossed)
  local best = 1
  for i = 2, ns do
    if sign * a.seed_means[i] > sign * a.seed_means[best] then best = i end
  end
  local lead = sign * (a.seed_means[best] - a.mean)
  local r = setmetatable({ metric = metric, lower = lower, name = t.name, k = ns, seeds = kept, folds = folds, left = left, n = t.n,
    crossed = crossed, scores = x, seed_means = a.seed_means, fold_means = a.fold_means, mean = a.mean, inside = a.inside,
    means_sd = sd_of(a.seed_means), fold_sd = crossed and sd_of(a.fold_means) or nil, alpha = t.alpha or .05,
    seed_component = a.seed_component, digits = digits_for(a.mean), pick = t.pick or "last" }, seeds.Report)
  r.expected_sd = r.inside and r.inside / math.sqrt(nf)
  r.best = { seed = kept[best], value = a.seed_means[best], lead = lead, place = best }
  if ns > 1 then
    local e = seeds.expected_max(ns)
    r.best.expected, r.best.expected_noise = e * r.means_sd, r.expected_sd and e * r.expected_sd
    r.best.factor = e
  end
  if a.p then
    r.test = { f = a.f, df_seed = a.df_seed, df_rest = a.df_rest, p = a.p, reliability = a.reliability }
    if a.fold_f then r.fold_test = { f = a.fold_f, p = a.fold_p } end
    r.best.lasting = a.reliability * lead
    if crossed and (t.resamples or 2000) > 0 then
      r.best.p = permutation(x, ns, nf, lead, sign, t.resamples or 2000, t.seed or 1)
    end
  end
  r.epochs = epoch_optimism(kept, folds, by, sign)
  r.sampling, r.sampling_n = sampling_error(t, r.best.seed)
  r.verdict, r.text = verdict(r)
  return r
end

-- ---- showing it

local Report = {}
Report.__index = Report
Report.__name = "kooka.seed_report"
seeds.Report = Report

-- Lines of {what, value, meaning}.
local function lines_of(r)
  local d, out = r.digits, {}
  local function line(what, value, meaning)
    if value then out[#out + 1] = { what, type(value) == "number" and short(value, d) or value, meaning } end
  end
  line("mean", r.mean, ("of %s in %s"):format(plural(r.k, "seed"), plural(#r.folds, "fold")))
  line("seed sd inside a fold", r.inside, r.crossed and "pooled over folds" or "folds were cut anew by each seed: holds the fold too")
  line("fold sd", r.fold_sd, r.fold_test and ("of the folds' means; F = %.1f, %s"):format(r.fold_test.f, p_text(r.fold_test.p))
    or "of the folds' means")
  line("sd of means, if noise", #r.folds > 1 and r.expected_sd, ("seed sd inside / sqrt(%d)"):format(#r.folds))
  line("sd of means, seen", r.means_sd, "of a seed's mean over folds")
  line("best - mean, expected", r.best.expected, r.best.factor and ("best of %d equal seeds: %.2f times the sd seen%s"):format(r.k,
    r.best.factor, r.best.expected_noise and #r.folds > 1 and ("; %s from the noise inside folds"):format(short(r.best.expected_noise, d)) or ""))
  line("best - mean, seen", r.k > 1 and r.best.lead, ("seed %s%s"):format(tostring(r.best.seed),
    r.best.p and ("; as large in %s of shuffled tables"):format(short(r.best.p, 2)) or ""))
  if r.epochs then
    line("best epoch - last", r.epochs.last, "how much choosing the epoch by its own fold flatters, against the last one")
    line("best epoch - nested", r.epochs.nested, "against the epoch that the other folds choose")
  end
  line("sampling error", r.sampling, r.sampling_n and ("of the best seed's score on %d rows (bootstrap)"):format(r.sampling_n))
  return out
end

function Report:__tostring()
  local rows = lines_of(self)
  local head = ("seed report: %s%s%s"):format(self.metric, self.lower and " (lower is better)" or "",
    self.name and ", " .. self.name or "")
  local text = head .. "\n" .. tables.text { columns = { "", { "value", align = "right" }, "" }, rows = rows } .. "\n" .. self.text
  local note = self:left_text()
  return note and text .. "\n" .. note or text
end

--- r:left_text() -> text or nil
-- Which seeds were left out because a fold is missing.
function Report:left_text()
  if #self.left == 0 then return nil end
  local names = {}
  for i, s in ipairs(self.left) do names[i] = tostring(s) end
  return ("Left out, without a score in every fold: %s."):format(table.concat(names, ", "))
end

-- Folds stand at 1, 2, ...; the means behind them. Seeds are spread a little inside a column, the best is marked.
local function dots(r)
  local all, best, means = { x = {}, y = {} }, { x = {}, y = {} }, { x = {}, y = {} }
  local function spread(i) return r.k > 1 and ((i - 1) / (r.k - 1) - .5) * .5 or 0 end
  for i, row in ipairs(r.scores) do
    for j, value in ipairs(row) do
      local to = i == r.best.place and best or all
      to.x[#to.x + 1], to.y[#to.y + 1] = j + spread(i), value
    end
    local to = i == r.best.place and best or means
    to.x[#to.x + 1], to.y[#to.y + 1] = #r.folds + 1 + spread(i), r.seed_means[i]
  end
  all.name, best.name, means.name = "a seed in a fold", "best seed " .. tostring(r.best.seed), "mean over folds"
  local series = {}
  for _, s in ipairs { all, best, means } do
    if #s.x > 0 then series[#series + 1] = s end
  end
  return { series = series, xlabel = ("folds 1 to %d, then the means over folds"):format(#r.folds), ylabel = r.metric,
    xmin = .5, xmax = #r.folds + 1.5 }
end

--- r:plot([options]) -> text
-- Seed by fold as dots, for a terminal (kooka.plot.scatter's options).
function Report:plot(options)
  local t = dots(self)
  for k, v in pairs(options or {}) do t[k] = v end
  return require("kooka.plot").scatter(t)
end

--- r:svg([options]) -> svg
function Report:svg(options)
  local t = dots(self)
  for k, v in pairs(options or {}) do t[k] = v end
  return require("kooka.plot").svg.scatter(t)
end

--- r:section(report [, title]) -> report
-- A section of a kooka.report: the verdict, the numbers, the dots, and each seed.
function Report:section(report, title)
  report:section(title or "Seeds")
  report:text("**" .. self.text .. "**")
  local left = self:left_text()
  if left then report:note(left) end
  report:table { columns = { self.metric, { "value", align = "right" }, "" }, rows = lines_of(self) }
  report:svg(self:svg(), "Every seed in every fold, and on the right its mean over folds.")
  local columns, rows = { "seed" }, {}
  for j, fold in ipairs(self.folds) do columns[j + 1] = { "fold " .. tostring(fold), digits = self.digits } end
  columns[#columns + 1] = { "mean", digits = self.digits }
  for i, seed in ipairs(self.seeds) do
    rows[i] = { tostring(seed), table.unpack(self.scores[i]) }
    rows[i][#self.folds + 2] = self.seed_means[i]
    rows[i].strong = i == self.best.place
  end
  report:table { columns = columns, rows = rows }
  return report
end

--- r:data() -> table
-- The numbers without the methods, as JSON takes them.
function Report:data()
  local out = {}
  for k, v in pairs(self) do out[k] = v end
  return out
end

return seeds
