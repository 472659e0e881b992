--- runs: kooka runs: lists, shows, compares, resumes, checks out and removes runs, and tells which one made a file.
local core = require "kooka.core"
local arguments = require "kooka.arguments"
local nearest = require "kooka.nearest"
local progress = require "kooka.progress"
local runs = require "kooka.runs"
local tables = require "kooka.table"
local sys = core.sys

local command = { about = "list, show, compare, resume, check out or remove runs; which run made a file?" }

command.usage = [[
usage: kooka runs [list] [--sort KEY] [--reverse] [--recipe R] [--status S] [--last N] [--metric M,M]
                                       runs in ./runs (or $KOOKA_RUNS), newest last; with --sort the best or smallest first
       kooka runs show RUN             options, code, data, machine and metrics of one
       kooka runs diff RUN RUN [--labels FILE.csv] [--full]
                                       settings, code, data, machine, metrics, predictions; paired where true labels are known
       kooka runs resume RUN [--threads N]
                                       goes on with one that was interrupted, killed or failed
       kooka runs checkout RUN [DIR]   the code and settings that made it, in a folder (code-RUN), with a command to run it
       kooka runs which FILE           which run made this file? By content: copies elsewhere are known too
       kooka runs rm RUN ... [--yes]   removes runs; asks before
RUN: a folder, an id, a piece of one id, or `last`
  --root DIR   where the runs are      --json   the answer as JSON
  --sort KEY   date, time, seed, status, recipe, run, a metric or an option (lr, lm_epochs)
  --full       the whole code diff, not its first 60 lines
A run keeps its recipe, the commit and uncommitted changes (code.diff; look at it before you give a run away), SHA-256 of data and
outputs, and the settings of the machine; of the environment only variables known to change numbers or speed, never secrets.
exit status: 0 done, 1 failed or not found, 2 wrong usage
]]

local VERBS = {
  list = { 0, 0, wants = "no word", options = { sort = true, reverse = false, recipe = true, status = true, last = true, metric = true } },
  show = { 1, 1, wants = "1 run" }, diff = { 2, 2, wants = "2 runs", options = { labels = true, full = false } },
  resume = { 1, 1, wants = "1 run", options = { threads = true } },
  checkout = { 1, 2, wants = "a run and at most one folder" }, which = { 1, 1, wants = "a file" },
  rm = { 1, math.huge, wants = "at least one run", options = { yes = false } },
}
local COMMON = { root = true, json = false, help = false }
local STATUSES = { "done", "failed", "interrupted", "killed", "running" }

local function refuse(message)
  io.stderr:write("kooka runs: ", message, "\n")
  return 2
end

local function failed(message)
  io.stderr:write("kooka runs: ", message, "\n")
  return 1
end

local function print_json(value)
  io.write(require("kooka").json.encode(value, { pretty = true }), "\n")
  return 0
end

local function list_of(t)
  return require("kooka").json.array(t)
end

local function sorted_keys(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

local function changed_text(config)
  local out = {}
  for _, key in ipairs(sorted_keys(config.changed or {})) do
    out[#out + 1] = key .. "=" .. tostring(config.changed[key])
  end
  return table.concat(out, " ")
end

local function metrics_of(dir)
  return require("kooka.runs.compare").metrics_of(dir)
end

-- A metric without a value (precision where nothing was predicted) is a dash.
local function metric_cell(m)
  return m and m.value and m or "–"
end

local function name_of(dir)
  return dir:match("[^/]*$")
end

-- ---- list

local FIELDS = {
  date = function(c) return tonumber(c.started_at) end, time = function(c) return c.seconds end,
  seed = function(c) return c.seed end, status = function(c) return c.shown_status end, recipe = function(c) return c.recipe end,
  run = function(c) return name_of(c.dir) end,
}

-- Scores of which less is better come in rising order, as options and dates do.
local function falling(key)
  for _, word in ipairs { "loss", "perplexity", "rmse", "mae", "brier", "error", "ece" } do
    if key:find(word, 1, true) then return false end
  end
  return true
end

-- What a key means in these runs: a function of a run, and whether the largest comes first; nil and the keys there are.
local function sort_key(all, key)
  if FIELDS[key] then return FIELDS[key], false end
  local known, option = {}, key:gsub("^%-%-", ""):gsub("-", "_")
  for _, c in ipairs(all) do
    for name in pairs(c.metrics) do known[name] = "metric" end
    for name in pairs(c.params or {}) do known[name] = known[name] or "option" end
  end
  if known[key] == "metric" then
    return function(c) return c.metrics[key] and c.metrics[key].value end, falling(key)
  elseif known[option] then
    return function(c) return (c.params or {})[option] end, false
  end
  for name in pairs(FIELDS) do known[name] = "field" end
  return nil, sorted_keys(known)
end

-- Those without a value come last; equal ones stay in the order of time.
local function sort_runs(all, value, down)
  local place = {}
  for i, c in ipairs(all) do place[c] = i end
  table.sort(all, function(a, b)
    local x, y = value(a), value(b)
    if type(x) == "boolean" then x = tostring(x) end
    if type(y) == "boolean" then y = tostring(y) end
    if x == nil or y == nil then
      if (x == nil) ~= (y == nil) then return y == nil end
    elseif type(x) ~= type(y) then
      return type(x) == "number"
    elseif x ~= y then
      if down then return x > y end
      return x < y
    end
    return place[a] < place[b]
  end)
end

local function known_status(status)
  for _, word in ipairs(STATUSES) do
    if word == status then return true end
  end
  return false
end

-- The runs that the options ask for, in their order, and the metrics to show; or nil and an exit status.
local function chosen(o)
  local last = o.last and math.tointeger(tonumber(o.last))
  if o.last and not (last and last > 0) then
    return nil, refuse(("option --last is %s, expected an integer of 1 or more"):format(o.last))
  end
  if o.status and not known_status(o.status) then
    return nil, refuse(("option --status is %s, expected one of %s%s"):format(o.status, table.concat(STATUSES, ", "),
      nearest.hint(o.status, STATUSES)))
  end
  local all = {}
  for _, c in ipairs(runs.list(o.root)) do
    c.shown_status, c.metrics = runs.status(c), metrics_of(c.dir)
    if (not o.recipe or c.recipe == o.recipe) and (not o.status or c.shown_status == o.status) then all[#all + 1] = c end
  end
  if last and #all > last then all = table.move(all, #all - last + 1, #all, 1, {}) end
  local shown, seen = {}, {}
  local function show_metric(name)
    for _, c in ipairs(all) do
      if c.metrics[name] and not seen[name] then shown[#shown + 1], seen[name] = name, true end
    end
    return seen[name] or #all == 0
  end
  for name in (o.metric or ""):gmatch("[^,]+") do
    if not show_metric(name) then
      local known = {}
      for _, c in ipairs(all) do for k in pairs(c.metrics) do known[k] = true end end
      return nil, refuse(("no run has the metric %s%s"):format(name, nearest.hint(name, sorted_keys(known))))
    end
  end
  if o.sort and #all > 0 then
    local value, down = sort_key(all, o.sort)
    if not value then
      return nil, refuse(("nothing to sort by is called %s%s\nkeys: %s"):format(o.sort, nearest.hint(o.sort, down), table.concat(down, ", ")))
    end
    if o.reverse then down = not down end
    sort_runs(all, value, down)
    show_metric(o.sort)
  elseif o.reverse then
    for i = 1, #all // 2 do all[i], all[#all + 1 - i] = all[#all + 1 - i], all[i] end
  end
  return all, shown
end

local function list(_, o)
  local all, shown = chosen(o)
  if not all then return shown end
  if o.json then
    for _, c in ipairs(all) do c.shown_status, c.status = nil, c.shown_status end
    return print_json(list_of(all))
  end
  if #all == 0 then
    print(("no runs in %s%s"):format(o.root or runs.root(), (o.recipe or o.status) and " are like that" or ""))
    return 0
  end
  local columns, rows = { "run", "status", { title = "time", align = "right" } }, {}
  for _, name in ipairs(shown) do columns[#columns + 1] = { title = name, align = "right" } end
  columns[#columns + 1] = "options"
  for i, c in ipairs(all) do
    local row = { name_of(c.dir), c.shown_status, c.seconds and progress.duration(c.seconds) or "" }
    for _, name in ipairs(shown) do row[#row + 1] = metric_cell(c.metrics[name]) end
    row[#row + 1] = changed_text(c)
    rows[i] = row
  end
  print(tables.text { columns = columns, rows = rows })
  return 0
end

-- ---- show

local function short(sha256)
  return sha256 and sha256:sub(1, 12) or "–"
end

local function bytes(n)
  if n < 1000 then return ("%d B"):format(n) end
  if n < 1000000 then return ("%.1f kB"):format(n / 1e3) end
  return n < 1000000000 and ("%.1f MB"):format(n / 1e6) or ("%.2f GB"):format(n / 1e9)
end

local function code_text(git)
  if not git then return "no git revision" end
  if not git.changed then return git.revision end
  local size = type(git.diff) == "table" and (" (code.diff, %s)"):format(bytes(git.diff.size)) or ""
  return git.revision .. " and changes" .. size
end

local function show(words, o)
  local dir = words[1]
  local config, message = runs.read(dir)
  if not config then return failed(message) end
  local metrics = metrics_of(dir)
  if o.json then
    local outputs = sys.read_file(dir .. "/outputs.json")
    return print_json { dir = dir, config = config, metrics = metrics,
      outputs = outputs and require("kooka").json.decode(outputs) or nil }
  end
  local environment, recipe = config.environment or {}, (config.code or {}).recipe
  local rows = {
    { "folder", dir }, { "recipe", config.recipe .. (recipe and (" (%s, %s)"):format(recipe.file, short(recipe.sha256)) or "") },
    { "status", runs.status(config) .. (config.message and ": " .. config.message or "") },
    { "started", config.started }, { "time", config.seconds and progress.duration(config.seconds) or "" },
    { "seed", tostring(config.seed) }, { "threads", tostring(config.threads) }, { "precision", config.precision },
    { "kooka", config.version and config.version.kooka }, { "machine", config.machine and config.machine.cpu },
    { "kernels", environment.kernel }, { "blas", environment.blas or config.version and config.version.blas or "not used" },
    { "git", code_text(config.git) },
  }
  for i, r in ipairs(config.resumed or {}) do
    rows[#rows + 1] = { "resumed", r.started .. (r.code and r.code.differs and (": %s changed (code/resumed-%d)"):format(r.code.differs, i)
      or "") }
  end
  for _, entry in ipairs(config.data or {}) do
    rows[#rows + 1] = { entry.role, ("%s  %s%s  %s"):format(entry.path, bytes(entry.size),
      entry.files and (" in %d files"):format(entry.files) or "", short(entry.sha256)) }
  end
  if config.tokenizer then rows[#rows + 1] = { "tokenizer", "tokenizer.model  " .. short(config.tokenizer.sha256) } end
  for _, name in ipairs(sorted_keys(environment.variables or {})) do rows[#rows + 1] = { "$" .. name, environment.variables[name] } end
  for _, key in ipairs(sorted_keys(config.params or {})) do
    rows[#rows + 1] = { "--" .. key:gsub("_", "-"), tostring(config.params[key]) }
  end
  for _, row in ipairs(rows) do print((tables.pad(row[1], 18) .. tables.cell(row[2])):match("^(.-)%s*$")) end
  local names = sorted_keys(metrics)
  if #names > 0 then
    local values = {}
    for i, name in ipairs(names) do
      local m = metrics[name]
      values[i] = { name, metric_cell(m), m.level and ("%g%%"):format(100 * m.level) or "", m.n or "", m.baseline or "" }
    end
    print()
    print(tables.text { columns = { "metric", "value", { title = "level", align = "right" }, "n", "baseline" }, rows = values })
  end
  return 0
end

-- ---- diff

local function cell(value)
  if value == nil then return "–" end
  if type(value) == "string" and value:find("^%x+$") and #value == 64 then return short(value) end
  return tables.cell(value)
end

local function print_lines(text, most)
  local n, lines = 0, {}
  for line in text:gmatch("([^\n]*)\n") do
    n = n + 1
    if n <= most then lines[n] = line end
  end
  print(table.concat(lines, "\n"))
  if n > most then print(("... %d more lines (--full)"):format(n - most)) end
end

local function code_lines(r, most)
  local tree, recipe = r.code.tree, r.code.recipe
  local dirty = (tree.a_changed and 1 or 0) + (tree.b_changed and 1 or 0)
  if tree.same then
    print(("code: the same (%s%s)"):format(short(tree.a), dirty > 0 and " and changes" or ""))
  elseif tree.diff then
    print(("code: %s%s against %s%s"):format(short(tree.a), tree.a_changed and " and changes" or "", short(tree.b),
      tree.b_changed and " and changes" or ""))
    print_lines(tree.stat .. tree.diff, most)
    return
  else
    print("code: " .. (tree.note or "unknown"))
  end
  if recipe.same then
    if not tree.same then print("recipe: the same") end
  elseif recipe.diff and not tree.same then
    print("recipe:")
    print_lines(recipe.diff, most)
  elseif recipe.same == false then
    print("recipe: differs")
  end
end

local function data_lines(r)
  for _, d in ipairs(r.data) do
    local path = d.path_b and d.path_b ~= d.path and ("%s / %s"):format(d.path, d.path_b) or d.path
    if d.same then
      print(("%s: the same bytes (%s, %s)"):format(d.role, path, short(d.a)))
    else
      print(("%s: %s against %s (%s)%s"):format(d.role, short(d.a), short(d.b), path,
        d.files and #d.files > 0 and ": " .. table.concat(d.files, ", ", 1, math.min(5, #d.files)) .. (#d.files > 5 and ", ..." or "") or ""))
    end
  end
end

local function prediction_lines(r)
  for _, p in ipairs(r.predictions) do
    local parts = {}
    if p.same then parts[1] = "the same" end
    if p.rows or p.changed then
      parts[#parts + 1] = p.rows and (p.rows ~= p.a_rows or p.rows ~= p.b_rows) and ("%d and %d rows, %d in both"):format(p.a_rows, p.b_rows, p.rows)
        or ("%d rows"):format(p.rows or p.a_rows)
      if p.changed then parts[#parts + 1] = ("%d answers differ"):format(p.changed) end
      if p.mean_change then
        parts[#parts + 1] = ("probabilities by %.4f on average, %.4f at most"):format(p.mean_change, p.largest_change)
      end
    end
    if p.note then parts[#parts + 1] = p.note end
    print(("%s: %s"):format(p.file, table.concat(parts, "; ")))
    if p.paired then
      print(("  %s (n = %d, truth: %s)"):format(p.paired.text, p.paired.n, p.truth))
      if p.paired.f1 and p.paired.f1.low then
        print(("  f1 at .5: %+.4f [%+.4f, %+.4f]; A alone is right on %d rows, B alone on %d (McNemar p = %.3g)"):format(p.paired.f1.value,
          p.paired.f1.low, p.paired.f1.high, p.paired.mcnemar.only_b, p.paired.mcnemar.only_a, p.paired.mcnemar.p))
      end
    end
  end
end

local function diff(words, o)
  local r, message = require("kooka.runs.compare").runs(words[1], words[2], { labels = o.labels })
  if not r then return failed(message) end
  if o.json then
    for _, key in ipairs { "settings", "environment", "data", "metrics", "predictions" } do r[key] = list_of(r[key]) end
    return print_json(r)
  end
  print(("A  %s\nB  %s\n"):format(words[1], words[2]))
  local rows = {}
  for _, list_name in ipairs { "settings", "environment" } do
    for _, row in ipairs(r[list_name]) do rows[#rows + 1] = { row.name, cell(row.a), cell(row.b) } end
  end
  if #rows > 0 then print(tables.text { columns = { "", "A", "B" }, rows = rows } .. "\n")
  else print "settings and machine: the same" end
  code_lines(r, o.full and math.huge or 60)
  data_lines(r)
  if #r.metrics > 0 then
    rows = {}
    for i, m in ipairs(r.metrics) do
      rows[i] = { m.name, metric_cell(m.a), metric_cell(m.b), m.difference and ("%+.4f"):format(m.difference) or "" }
    end
    print()
    print(tables.text { columns = { "metric", { title = "A", align = "right" }, { title = "B", align = "right" },
      { title = "B - A", align = "right" } }, rows = rows } .. "\n")
  end
  if r.metrics_same > 0 then print(("%d metric%s the same"):format(r.metrics_same, r.metrics_same == 1 and "" or "s")) end
  prediction_lines(r)
  return 0
end

-- ---- the others

local function resume(words, o)
  local args = { "--resume", words[1] }
  if o.threads then table.move({ "--threads", o.threads }, 1, 2, #args + 1, args) end
  if o.json then args[#args + 1] = "--json" end
  return require("kooka.cmd.run").run(args)
end

local function checkout(words, o)
  local r, message = require("kooka.runs.checkout")(words[1], words[2])
  if not r then return failed(message) end
  if o.json then
    r.notes = list_of(r.notes)
    return print_json(r)
  end
  print(("%s: the code of %s"):format(r.folder, name_of(words[1])))
  for _, note in ipairs(r.notes) do print("  " .. note) end
  if r.exact then print(("  %s is byte for byte the recipe of the run"):format(r.recipe)) end
  print(("run it again: sh %s"):format(r.script))
  return 0
end

local function which(words, o)
  local r, message = require("kooka.runs.which")(words[1], o.root)
  if not r then return failed(message) end
  local status = #r.made > 0 and 0 or 1
  if o.json then
    r.made, r.known = list_of(r.made), list_of(r.known)
    print_json(r)
    return status
  end
  for i, m in ipairs(r.made) do
    print(("%s %s by %s%s"):format(m.name, i == 1 and "was made" or "and the same bytes", m.dir,
      m.how == "on disk" and (" (which is %s)"):format(m.status) or ""))
  end
  for _, k in ipairs(r.known) do
    print(("%s %s by %s"):format(k.name, k.how == "recipe" and "was run as a recipe" or "was read", k.dir))
  end
  if r.changed then print(("%s lies in %s but is not what that run wrote there"):format(r.changed.name, r.changed.dir)) end
  if #r.made == 0 then
    print(("no run in %s made a file with these %d bytes (SHA-256 %s)"):format(o.root or runs.root(), r.size, short(r.sha256)))
  end
  return status
end

local function remove(words, o)
  for _, dir in ipairs(words) do
    local config = runs.read(dir)
    if config and runs.status(config) == "running" then
      return failed(("%s is still running as process %s"):format(dir, tostring(config.pid)))
    end
  end
  if not o.yes then
    io.stderr:write(("remove %s? [y/N] "):format(table.concat(words, ", ")))
    local answer = (io.read("l") or ""):lower()
    if answer ~= "y" and answer ~= "yes" then
      if not sys.isatty(0) and answer == "" then io.stderr:write("(--yes answers for you)") end
      io.stderr:write("\n")
      return failed("nothing was removed")
    end
  end
  for _, dir in ipairs(words) do
    local ok, message = sys.remove_tree(dir)
    if not ok then return failed(message) end
    if not o.json then print("removed " .. dir) end
  end
  if o.json then return print_json { removed = list_of(words) } end
  return 0
end

local RUN = { list = list, show = show, diff = diff, resume = resume, checkout = checkout, which = which, rm = remove }

--- runs(args) -> exit status
function command.run(args)
  local verb, words, o = arguments.verb(args, { verbs = VERBS, common = COMMON, default = "list", usage = command.usage })
  if not verb then return refuse(words) end
  if o.help then
    io.write(command.usage)
    return 0
  end
  if verb ~= "which" then
    for i = 1, verb == "checkout" and 1 or #words do
      local dir, message = runs.find(words[i], o.root)
      if not dir then return failed(message) end
      words[i] = (dir:gsub("(.)/+$", "%1"))
    end
  end
  return RUN[verb](words, o)
end

return command
