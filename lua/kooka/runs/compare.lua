--- runs.compare: what differs between two runs: settings, code, data, machine, scores, and each prediction.
local csv = require "kooka.data.csv"
local eval = require "kooka.eval"
local git = require "kooka.runs.git"
local runs = require "kooka.runs"
local sys = require("kooka.core").sys

local compare = {}

local function sorted_keys(...)
  local seen, keys = {}, {}
  for _, t in ipairs { ... } do
    for key in pairs(t) do
      if not seen[key] then seen[key], keys[#keys + 1] = true, key end
    end
  end
  table.sort(keys)
  return keys
end

-- Rows {name, a, b} of what differs, by a list of {name, a, b}.
local function differing(list)
  local out = {}
  for _, row in ipairs(list) do
    if row[2] ~= row[3] then out[#out + 1] = { name = row[1], a = row[2], b = row[3] } end
  end
  return out
end

local function settings(a, b)
  local list = {}
  for _, name in ipairs { "recipe", "seed", "precision", "threads" } do list[#list + 1] = { name, a[name], b[name] } end
  for _, key in ipairs(sorted_keys(a.params or {}, b.params or {})) do
    if key ~= "seed" then list[#list + 1] = { "--" .. key:gsub("_", "-"), (a.params or {})[key], (b.params or {})[key] } end
  end
  return differing(list)
end

local function environment(a, b)
  local list = {}
  local x, y = a.environment or {}, b.environment or {}
  local mx, my = a.machine or {}, b.machine or {}
  for _, name in ipairs { "cpu", "cores", "memory", "system", "arch" } do list[#list + 1] = { name, mx[name], my[name] } end
  list[#list + 1] = { "kooka", (a.version or {}).kooka, (b.version or {}).kooka }
  for _, name in ipairs { "lua", "kernel", "kernel_bf16", "blas" } do list[#list + 1] = { name, x[name], y[name] } end
  list[#list + 1] = { "program", x.program and x.program.sha256, y.program and y.program.sha256 }
  for _, name in ipairs(sorted_keys(x.variables or {}, y.variables or {})) do
    list[#list + 1] = { "$" .. name, (x.variables or {})[name], (y.variables or {})[name] }
  end
  return differing(list)
end

-- ---- code

local function scratch_folder()
  local path = os.tmpname()
  os.remove(path)
  return path
end

-- The diff between the two trees, put together from commit and code.diff of each.
local function tree_change(a, b)
  local ga, gb = a.config.git, b.config.git
  if not (ga and gb) then return { note = "no git revision is known for " .. (ga and "the second" or gb and "the first" or "either") } end
  local change = { a = ga.revision, b = gb.revision, a_changed = ga.changed, b_changed = gb.changed }
  local function state(g) return g.revision .. (g.diff and g.diff.sha256 or "") end
  if state(ga) == state(gb) then
    change.same = true
    return change
  end
  change.same = false
  local folder = scratch_folder()
  local function put(run, name)
    return git.tree(run.config.git, run.config.git.diff and run.dir .. "/code.diff", folder .. "/" .. name)
  end
  local ta, why = put(a, "a")
  local tb
  if ta then tb, why = put(b, "b") end
  if tb then
    change.stat, change.diff = git.tree_diff(ta, tb, { stat = true }), git.tree_diff(ta, tb)
    if change.diff == "" then change.same = true end         -- by another way to the same files
  else
    change.note = why
  end
  if sys.exists(folder) then sys.remove_tree(folder) end
  return change
end

local function recipe_change(a, b)
  local ra, rb = (a.config.code or {}).recipe, (b.config.code or {}).recipe
  if not (ra and rb) then return { note = "no copy of the recipe was kept" } end
  if ra.sha256 == rb.sha256 then return { same = true } end
  return { same = false, diff = git.file_diff(a.dir .. "/" .. ra.file, b.dir .. "/" .. rb.file) }
end

-- ---- data

local function data_change(a, b)
  local out, used = {}, {}
  local function partner(entry, i)
    local by_role
    for k, other in ipairs(b.data or {}) do
      if not used[k] and other.path == entry.path then return k end
      if not used[k] and other.role == entry.role and (k == i or not by_role) then by_role = k end
    end
    return by_role
  end
  for i, entry in ipairs(a.data or {}) do
    local k = partner(entry, i)
    local other = k and b.data[k]
    if k then used[k] = true end
    out[#out + 1] = { path = entry.path, path_b = other and other.path, role = entry.role, a = entry.sha256,
      b = other and other.sha256, same = other ~= nil and other.sha256 == entry.sha256 }
    local row, files = out[#out], {}
    if other and not row.same and entry.listed and other.listed then
      local mine, theirs = {}, {}
      for _, f in ipairs(entry.listed) do mine[f.name] = f.sha256 end
      for _, f in ipairs(other.listed) do theirs[f.name] = f.sha256 end
      for _, name in ipairs(sorted_keys(mine, theirs)) do
        if mine[name] ~= theirs[name] then files[#files + 1] = name end
      end
      row.files = files
    end
  end
  for k, other in ipairs(b.data or {}) do
    if not used[k] then out[#out + 1] = { path = other.path, role = other.role, b = other.sha256, same = false } end
  end
  local ta, tb = a.tokenizer, b.tokenizer
  if ta or tb then
    out[#out + 1] = { path = "tokenizer.model", role = "tokenizer", a = ta and ta.sha256, b = tb and tb.sha256,
      same = (ta and ta.sha256) == (tb and tb.sha256) }
  end
  return out
end

-- ---- metrics

local function metrics_of(dir)
  local text = sys.read_file(dir .. "/metrics.json")
  local metrics = text and require("kooka").json.decode(text)
  return type(metrics) == "table" and metrics or {}
end
compare.metrics_of = metrics_of

local function metric_change(a, b)
  local ma, mb, out, same = metrics_of(a), metrics_of(b), {}, 0
  for _, name in ipairs(sorted_keys(ma, mb)) do
    local x, y = ma[name], mb[name]
    if x and y and x.value == y.value and x.low == y.low and x.high == y.high then
      same = same + 1
    else
      out[#out + 1] = { name = name, a = x, b = y, difference = x and y and x.value and y.value and y.value - x.value or nil }
    end
  end
  return out, same
end

-- ---- predictions

local KEYS = { { "user", "item" }, { "id" }, { "row" } }      -- what names a row

local function has(t, names)
  for _, name in ipairs(names) do
    if not t.data[name] then return false end
  end
  return true
end

local function key_columns(t)
  for _, names in ipairs(KEYS) do
    if has(t, names) then return names end
  end
end

-- The row of each key; nil when one stands twice.
local function index(t, names)
  local at = {}
  for i = 1, t.n do
    local parts = {}
    for k, name in ipairs(names) do parts[k] = t.data[name][i] end
    local key = table.concat(parts, "\0")
    if at[key] then return nil end
    at[key] = i
  end
  return at
end

-- The probability that is compared: the only one, or the second class's.
local function prob_column(t)
  if t.data.prob then return "prob" end
  local found = {}
  for _, name in ipairs(t.columns) do
    if name:find("^prob_") then found[#found + 1] = name end
  end
  return found[2] or found[1]
end

-- The column of what was predicted: neither key, nor probability, nor fold, nor a truth.
local function answer_column(t, keys)
  local skip = { fold = true, text = true, truth = true, line = true, file = true }
  for _, name in ipairs(keys) do skip[name] = true end
  if t.data.user and t.data.label then skip.label = true end       -- users.csv: label is the truth
  for _, name in ipairs(t.columns) do
    if not skip[name] and not name:find("^prob") and not name:find("^nbsvm_") then return name end
  end
end

-- Truths by key: a column of the predictions, the file that was given, or a file the run read with the same two columns.
local function truth_of(t, keys, answer, entries, labels)
  local own = t.data.truth and "truth" or t.data.user and t.data.label and "label"
  if own then return { at = index(t, keys), list = t.data[own], from = ("column %s"):format(own) } end
  if #keys > 1 or not answer then return nil end
  local files = {}
  if labels then files[1] = labels end
  for _, entry in ipairs(labels and {} or entries or {}) do
    local base = entry.absolute or entry.path
    if entry.type == "file" then files[#files + 1] = base end
    for _, f in ipairs(entry.listed or {}) do files[#files + 1] = base .. "/" .. f.name end
  end
  for _, path in ipairs(files) do
    if path:find("%.csv$") then
      local found = csv.read(path, { columns = { keys[1], answer } }) or labels and csv.read(path, { columns = { keys[1], "label" } })
      local at = found and index(found, keys)
      if at then return { at = at, list = found.data[answer] or found.data.label, from = path } end
    end
  end
end

-- prob: the column whose probabilities they are; prob_NAME is of class NAME where there is one, else of the larger label.
local function paired_binary(pa, pb, truth, names, prob)
  local high
  for _, y in ipairs(truth) do high = (not high or y > high) and y or high end
  for _, y in ipairs(truth) do high = prob == "prob_" .. y and y or high end
  local labels = {}
  for i, y in ipairs(truth) do labels[i] = y == high and 2 or 1 end
  local r = eval.paired(pb, pa, labels, { names = { names[2], names[1] }, metric = "log_loss" })
  local out = { n = r.n, positive = high, verdict = r.verdict, text = r.text, log_loss = r.log_loss, mcnemar = r.mcnemar,
    f1 = r.differences.f1, average_precision = r.differences.average_precision }
  return out
end

local function distinct(list)
  local seen, n = {}, 0
  for _, y in ipairs(list) do
    if not seen[y] then seen[y], n = true, n + 1 end
  end
  return n
end

local function right(list, truth)
  local out = {}
  for i, y in ipairs(truth) do out[i] = list[i] == y and 1 or 0 end
  return out
end

-- Two prediction tables row by row.
local function tables_change(out, ta, tb, o)
  local keys = key_columns(ta)
  out.a_rows, out.b_rows = ta.n, tb.n
  if not keys or not has(tb, keys) then
    out.note = "no columns id, or row, or user and item, in both: rows cannot be matched"
    return
  end
  local ia, ib = index(ta, keys), index(tb, keys)
  if not (ia and ib) then
    out.note = "an id stands twice: rows cannot be matched"
    return
  end
  local answer, prob = answer_column(ta, keys), prob_column(ta)
  if answer and not tb.data[answer] then answer = nil end
  if prob and not tb.data[prob] then prob = nil end
  local truth = truth_of(ta, keys, answer, o.data, o.labels)
  local pa, pb, ya, said_a, said_b = {}, {}, {}, {}, {}
  local both, changed, sum, most = 0, 0, 0, 0
  for key, i in pairs(ia) do out.first_only = (out.first_only or 0) + (ib[key] and 0 or 1) end
  local order = {}
  for i = 1, ta.n do order[i] = false end
  for key, i in pairs(ia) do order[i] = key end
  for i, key in ipairs(order) do
    local j = ib[key]
    if j then
      both = both + 1
      if answer and ta.data[answer][i] ~= tb.data[answer][j] then changed = changed + 1 end
      local x, y = prob and tonumber(ta.data[prob][i]), prob and tonumber(tb.data[prob][j])
      if x and y then
        sum, most = sum + math.abs(x - y), math.max(most, math.abs(x - y))
      end
      local t = truth and truth.at[key]
      if t then
        ya[#ya + 1] = truth.list[t]
        if x and y then pa[#ya], pb[#ya] = x, y end
        if answer then said_a[#ya], said_b[#ya] = ta.data[answer][i], tb.data[answer][j] end
      end
    end
  end
  out.rows, out.changed = both, answer and changed or nil
  if prob and both > 0 then out.mean_change, out.largest_change = sum / both, most end
  if #ya == 0 then
    out.note = "no true label is known for these rows: no paired comparison (--labels FILE.csv gives one)"
    return
  end
  out.truth = truth.from
  if #pa == #ya and distinct(ya) == 2 then
    out.paired = paired_binary(pa, pb, ya, o.names, prob)
  elseif #said_a == #ya then
    local ra, rb, d = right(said_a, ya), right(said_b, ya), {}
    for i = 1, #ra do d[i] = rb[i] - ra[i] end
    local m = eval.mean(d)
    local verdict = m.low and (m.low > 0 and "better" or m.high < 0 and "worse") or "no difference"
    out.paired = { n = #ra, accuracy = m, verdict = verdict, text = ("accuracy of %s minus %s is %+.4f [%+.4f, %+.4f]"):format(
      o.names[2], o.names[1], m.value, m.low or m.value, m.high or m.value) }
  end
end

local function lines_of(path)
  local list = {}
  for line in (sys.read_file(path) or ""):gmatch("[^\n]+") do list[#list + 1] = line end
  return list
end

-- Names below predictions/ in both folders, and in one only.
local function prediction_files(a, b)
  local function names(dir)
    local found = {}
    if sys.exists(dir .. "/predictions") then
      require("kooka.runs.provenance").walk(dir .. "/predictions", function(name)
        found[name] = true
        return true
      end)
    end
    return found
  end
  return names(a), names(b)
end

local function prediction_change(a, b, o)
  local na, nb = prediction_files(a.dir, b.dir)
  local out = {}
  for _, name in ipairs(sorted_keys(na, nb)) do
    local row = { file = "predictions/" .. name }
    out[#out + 1] = row
    local fa, fb = a.dir .. "/predictions/" .. name, b.dir .. "/predictions/" .. name
    if not (na[name] and nb[name]) then
      row.note = na[name] and "only in the first" or "only in the second"
    elseif sys.sha256_file(fa) == sys.sha256_file(fb) then
      row.same = true
    elseif name:find("%.csv$") then
      row.same = false
      local ta, why = csv.read(fa)
      local tb
      if ta then tb, why = csv.read(fb) end
      if tb then tables_change(row, ta, tb, o) else row.note = why end
    else
      row.same = false
      local la, lb = lines_of(fa), lines_of(fb)
      row.a_rows, row.b_rows, row.changed = #la, #lb, math.abs(#la - #lb)
      for i = 1, math.min(#la, #lb) do row.changed = row.changed + (la[i] ~= lb[i] and 1 or 0) end
    end
  end
  return out
end

--- compare.runs(a, b [, {labels = FILE.csv}]) -> result | nil, message, code
-- Folders of two runs. result: runs {{id, dir}, {id, dir}}; settings, environment: lists of {name, a, b} of what differs;
-- code {recipe = {same, diff}, tree = {same, a, b, stat, diff, note}}; data: list of {path, role, a, b, same, files}; metrics:
-- list of {name, a, b, difference} and metrics_same, a count; predictions: list of {file, same, rows, changed, mean_change,
-- largest_change, paired, note}. paired is the second minus the first on the rows with a known truth: from the column `truth`
-- (or `label` beside user and item), from `labels`, or from a file that run:data noted and that has the column `id` and the
-- predicted one.
function compare.runs(a, b, options)
  require("kooka.options")("compare.runs", options, { labels = true })
  local ca, message, code = runs.read(a)
  if not ca then return nil, message, code end
  local cb
  cb, message, code = runs.read(b)
  if not cb then return nil, message, code end
  local labels = options and options.labels
  if labels and not sys.exists(labels) then return nil, ("%s: no such file"):format(labels), "io" end
  local one, two = { dir = a, config = ca }, { dir = b, config = cb }
  local metrics, same = metric_change(a, b)
  return {
    runs = { { id = ca.id, dir = a, status = runs.status(ca) }, { id = cb.id, dir = b, status = runs.status(cb) } },
    settings = settings(ca, cb), environment = environment(ca, cb),
    code = { recipe = recipe_change(one, two), tree = tree_change(one, two) },
    data = data_change(ca, cb), metrics = metrics, metrics_same = same,
    predictions = prediction_change(one, two, { labels = labels, data = ca.data, names = { "A", "B" } }),
  }
end

return compare
