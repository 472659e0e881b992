--- sweep: kooka sweep: a recipe under many seeds and options, in parallel processes, and whether it found more than noise.
local progress = require "kooka.progress"
local recipe = require "kooka.recipe"
local sweep = require "kooka.sweep"
local sys = require("kooka.core").sys

local command = { about = "run a recipe under many seeds and options, and say what is noise" }

command.usage = [[
usage: kooka sweep RECIPE --seeds 1..5 [--set k=v,v,v ...] [--jobs N] [options of the recipe]
       kooka sweep --resume DIR [--jobs N] [--threads N]

  --seeds LIST     1..5, or 1,4,9
  --set k=v,v,v    each value with each seed; several --set: every combination
  --jobs N         runs at a time (default: as many as there are threads); each gets threads / jobs
  --threads N      in all; default: as many as the process may use; results do not depend on it
  --metric NAME    of metrics.json, for the tables (default: the first of f1_macro, mean, f1..., accuracy, perplexity, rmse,
                   log_loss)
  --watch NAME     field of the epochs in log.jsonl, to judge running ones by (default: f1, accuracy, rmse, perplexity or
                   valid_loss, the first there is)
  --stage PREFIX   watch only epochs whose label begins so (classifier)
  --stop RULE      hopeless (default): a seed is ended when, two epochs in a row, it is worse than the worst of three or
                   more finished seeds at the same epoch by --margin (2) times the seed sd
                   halving: all run --rung (1) epochs, the better half twice as many, and so on until --keep (1) are left
                   none: every run to its end
  --labels FILE[:COLUMN], --task NAME   as for kooka ensemble: scores by fold from held-out predictions
  --out DIR        default runs/<date>-sweep-...; the same --out goes on with what is there
  --json           the results, as JSON, on stdout
Finished runs are never done again. Ctrl-C lets the running ones write their checkpoints; --resume goes on. The folder
keeps results.csv, results.json, report.html, and one folder for each run.
exit status: 0 done, 1 a run failed, 2 wrong usage, 130 interrupted (--resume goes on)
]]

local VALUES = { seeds = true, jobs = true, threads = true, metric = true, watch = true, stage = true, stop = true,
  margin = true, rung = true, keep = true, out = true, resume = true, labels = true, task = true }
local FLAGS = { json = true, help = true }
local PASSED = { quick = false, smoke = false, paper = false, precision = true }
local STOPS = { hopeless = true, halving = true, none = true }

local function refuse(message)
  io.stderr:write("kooka sweep: ", message, "\n")
  return 2
end

local function failed(message)
  io.stderr:write("kooka sweep: ", message, "\n")
  return 1
end

-- The sweep's own words, those for the recipe, and the --set ones.
local function parse(args)
  local o, passed, sets, i = {}, {}, {}, 1
  while args[i] do
    local word = args[i]
    local name, inline = word:match("^%-%-([%w_-]+)=(.*)$")
    name = name or word:match("^%-%-([%w_-]+)$") or word == "-h" and "help"
    if name and (VALUES[name] or name == "set") then
      if not inline then
        i = i + 1
        inline = args[i]
      end
      if not inline then return nil, ("option --%s wants a value"):format(name) end
      if name == "set" then sets[#sets + 1] = inline else o[name] = inline end
    elseif name and FLAGS[name] then o[name] = true
    else passed[#passed + 1] = word end
    i = i + 1
  end
  return o, passed, sets
end

--- command.seeds(text) -> list | nil, message
-- "1..5" or "1,4,9" or both.
function command.seeds(text)
  local out, seen = {}, {}
  for piece in text:gmatch("[^,]+") do
    local a, b = piece:match("^%s*(%d+)%s*%.%.%s*(%d+)%s*$")
    a = math.tointeger(tonumber(a or piece:match("^%s*(%d+)%s*$")))
    b = math.tointeger(tonumber(b)) or a
    if not a or b < a or b - a >= 10000 then
      return nil, ("option --seeds is %s, expected 1..5 or 1,4,9"):format(text)
    end
    for s = a, b do
      if seen[s] then return nil, ("option --seeds names %d twice"):format(s) end
      seen[s] = true
      out[#out + 1] = s
    end
  end
  if #out == 0 then return nil, "option --seeds is empty, expected 1..5 or 1,4,9" end
  return out
end

-- k=v,v,v against the recipe's parameters.
local function settings(r, sets)
  local out = {}
  for i, text in ipairs(sets) do
    local key, list = text:match("^([%w_-]+)=(.*)$")
    if not key then return nil, ("option --set is %s, expected k=v,v,v"):format(text) end
    key = key:gsub("-", "_")
    local s = { key = key, values = {} }
    for value in (list .. ","):gmatch("([^,]*),") do
      local values, message = recipe.parse(r.params, { ("--%s=%s"):format(key, value) }, {})
      if not values then return nil, message end
      s.values[#s.values + 1] = values[key]
    end
    out[i] = s
  end
  return out
end

local INTEGERS = { jobs = { 1, 1024 }, threads = { 1, 4096 }, rung = { 1, 1000000 }, keep = { 1, 10000 } }
local function numbers(o)
  for name, range in pairs(INTEGERS) do
    if o[name] then
      local n = math.tointeger(tonumber(o[name]))
      if not n or n < range[1] or n > range[2] then
        return nil, ("option --%s is %s, expected an integer from %d to %d"):format(name, o[name], range[1], range[2])
      end
      o[name] = n
    end
  end
  if o.margin then
    local x = tonumber(o.margin)
    if not x or x < 0 then return nil, ("option --margin is %s, expected a number of 0 or more"):format(o.margin) end
    o.margin = x
  end
  if o.stop and not STOPS[o.stop] then return nil, ("option --stop is %s, expected hopeless, halving or none"):format(o.stop) end
  return true
end

-- What the sweep was started with, for --resume.
local function from_folder(o)
  for name in pairs(VALUES) do
    if o[name] and name ~= "resume" and name ~= "jobs" and name ~= "threads" and name ~= "labels" and name ~= "task" then
      return nil, refuse(("--resume keeps what the sweep was started with; leave --%s away"):format(name))
    end
  end
  local dir = o.resume:gsub("(.)/+$", "%1")
  local state, message = sweep.read(dir)
  if not state then return nil, failed(message) end
  local plan = { recipe = state.recipe, seeds = state.seeds, set = state.set, args = state.args, out = dir, jobs = o.jobs,
    threads = o.threads }
  for _, key in ipairs { "metric", "watch", "stage", "stop", "margin", "rung", "keep" } do plan[key] = state[key] end
  return plan
end

local function from_words(name, o, passed, sets)
  local r, source = recipe.find(name)
  if not r then return nil, refuse(source) end
  local values, options = recipe.parse(r.params, passed, PASSED)
  if not values then return nil, refuse(options) end
  if not o.seeds then return nil, refuse("which seeds? --seeds 1..5\n" .. command.usage) end
  local list, message = command.seeds(o.seeds)
  if not list then return nil, refuse(message) end
  local set
  set, message = settings(r, sets)
  if not set then return nil, refuse(message) end
  for _, s in ipairs(set) do
    if values[s.key] ~= nil then return nil, refuse(("option --%s is given and swept too"):format(s.key)) end
  end
  return { recipe = name, seeds = list, set = set, args = passed, out = o.out, jobs = o.jobs, threads = o.threads, metric = o.metric,
    watch = o.watch, stage = o.stage, stop = o.stop or "hopeless", margin = o.margin, rung = o.rung, keep = o.keep }
end

local function print_json(s, r, told)
  local json = require("kooka").json
  local results = json.decode(assert(sys.read_file(s.dir .. "/results.json")))
  results.folder, results.interrupted = s.dir, r.interrupted
  local groups = {}
  for i, g in ipairs(told and told.groups or {}) do
    groups[i] = { options = g.options, verdict = g.seeds and g.seeds.verdict, text = g.seeds and g.seeds.text,
      seeds = g.seeds and { mean = g.seeds.mean, inside = g.seeds.inside, means_sd = g.seeds.means_sd, fold_sd = g.seeds.fold_sd,
        best = g.seeds.best, test = g.seeds.test, epochs = g.seeds.epochs, sampling = g.seeds.sampling } }
  end
  results.groups = json.array(groups)
  io.write(json.encode(results, { pretty = true }), "\n")
end

-- What came of it, printed and kept; answers the exit status.
local function conclude(s, r, o)
  local reports = require "kooka.sweep.report"
  for _, job in ipairs(r.failed) do
    io.stderr:write(("kooka sweep: %s failed: %s\n  its folder is %s, what it printed %s\n"):format(job.name, job.reason or "?", job.dir,
      job.console or "-"))
  end
  for _, job in ipairs(r.busy) do io.stderr:write(("kooka sweep: %s is %s: %s\n"):format(job.name, job.reason, job.dir)) end
  if r.refused then return 2 end
  local told
  if #r.done > 0 then
    local message
    told, message = reports.make(s, { task = o.task, labels = o.labels })
    if told then
      if not o.json then progress.print(told.text) end
      local path
      path, message = reports.write(s, told)
      if path and not o.json then progress.print(("results: %s/results.csv, %s"):format(s.dir, path)) end
    end
    if message then io.stderr:write("kooka sweep: ", message, "\n") end
  end
  if o.json then print_json(s, r, told) end
  if r.interrupted then
    io.stderr:write(("kooka sweep: interrupted; go on with: kooka sweep --resume %s\n"):format(s.dir))
    sys.stop_clear()
    return 130
  end
  if not r.ok then
    io.stderr:write(("kooka sweep: go on with what is left: kooka sweep --resume %s\n"):format(s.dir))
    return 1
  end
  return 0
end

--- run(args) -> exit status
function command.run(args)
  local o, passed, sets = parse(args)
  if not o then return refuse(passed) end
  if o.help then
    io.write(command.usage, "recipes: ", table.concat(recipe.names(), ", "), "\n")
    return 0
  end
  local ok, message = numbers(o)
  if not ok then return refuse(message) end
  local plan, status
  if o.resume then
    if #passed > 0 or #sets > 0 then return refuse("--resume keeps what the sweep was started with; leave " .. (passed[1] or "--set") .. " away") end
    plan, status = from_folder(o)
  else
    local name = passed[1] and not passed[1]:find("^%-") and table.remove(passed, 1)
    if not name then return refuse("which recipe?\n" .. command.usage .. "recipes: " .. table.concat(recipe.names(), ", ")) end
    plan, status = from_words(name, o, passed, sets)
  end
  if not plan then return status end
  plan.quiet = o.json
  local s
  s, message, status = sweep.open(plan)
  if not s then
    if status == "argument" then return refuse(message) end
    return failed(message)
  end
  if not o.json then
    progress.print(("%d runs of %s in %s"):format(#s.jobs, s.state.recipe, s.dir))
  end
  return conclude(s, s:run(), o)
end

return command
