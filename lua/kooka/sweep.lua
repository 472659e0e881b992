--- kooka.sweep: the same recipe under many seeds and options, in parallel processes, and what came of it.
-- Each run is a child `kooka run RECIPE --seed S ...` with a folder of its own below the sweep's. sweep.json holds the plan and
-- what was ended early; the folders say the rest, so a sweep that was stopped, or killed, goes on where it was: finished runs
-- are not done again, unfinished ones resume.
local core = require "kooka.core"
local check_options = require "kooka.options"
local logs = require "kooka.sweep.log"
local runs = require "kooka.runs"
local stop = require "kooka.sweep.stop"
local sys = core.sys

local sweep = {}

local VERSION = 1

local function sorted_keys(t)
  local keys = {}
  for k in pairs(t) do keys[#keys + 1] = k end
  table.sort(keys)
  return keys
end

local function clean(text)
  return (tostring(text):gsub("^.*/([^/]+)/*$", "%1"):gsub("[^%w._=-]", "_"):sub(1, 24))
end

-- lr=0.01,drop=0.5
local function options_text(values, cut)
  local out = {}
  for i, key in ipairs(sorted_keys(values)) do out[i] = key .. "=" .. (cut and clean(values[key]) or tostring(values[key])) end
  return table.concat(out, ",")
end

--- plan{recipe =, seeds = {1, 2, ...}, set = {{key =, values = {...}}, ...}, args = {...}} -> list of jobs
-- One job {name, seed, values = {[key] = value}, options = text, argv} for each seed and combination of values, seeds fastest.
-- args: further words for `kooka run`. Raises on an empty or repeated list.
function sweep.plan(t)
  local combinations = { {} }
  for _, s in ipairs(t.set or {}) do
    if #s.values == 0 then error(("sweep: option %s has no values"):format(s.key), 2) end
    local next_ones = {}
    for _, c in ipairs(combinations) do
      for _, v in ipairs(s.values) do
        local copy = { [s.key] = v }
        for k, x in pairs(c) do
          if k == s.key then error(("sweep: option %s is swept twice"):format(k), 2) end
          copy[k] = x
        end
        next_ones[#next_ones + 1] = copy
      end
    end
    combinations = next_ones
  end
  if #t.seeds == 0 then error("sweep: there are no seeds", 2) end
  local jobs, seen = {}, {}
  for _, values in ipairs(combinations) do
    for _, seed in ipairs(t.seeds) do
      local text = options_text(values, true)
      local name = (text ~= "" and text .. "-" or "") .. "seed-" .. seed
      if seen[name] then error(("sweep: %s would be run twice"):format(name), 2) end
      seen[name] = true
      local argv = { "--seed", tostring(seed) }
      for _, key in ipairs(sorted_keys(values)) do
        argv[#argv + 1] = ("--%s=%s"):format(key:gsub("_", "-"), tostring(values[key]))
      end
      table.move(t.args or {}, 1, #(t.args or {}), #argv + 1, argv)
      jobs[#jobs + 1] = { name = name, seed = seed, values = values, options = options_text(values), argv = argv }
    end
  end
  return jobs
end

-- ---- the file that remembers

local function read_json(path)
  local text, message, code = sys.read_file(path, 1 << 24)
  if not text then return nil, message, code end
  return core.json.decode(text)
end

--- read(dir) -> state | nil, message, code
-- The sweep.json of a folder: {version, recipe, seeds, set, args, metric, stopped, ...}.
function sweep.read(dir)
  local state, message, code = read_json(dir .. "/sweep.json")
  if not state then return nil, message, code end
  if type(state) ~= "table" or state.version ~= VERSION then
    return nil, ("%s/sweep.json: expected version %d"):format(dir, VERSION), "format"
  end
  return state
end

local Sweep = {}
Sweep.__index = Sweep

--- sweep:save()
-- Writes sweep.json, whole or not at all.
function Sweep:save()
  local json = core.json
  local ok, message = sys.write_file(self.dir .. "/sweep.json", json.encode(self.state, { pretty = true }) .. "\n")
  if not ok then error(message, 0) end
end

-- What a plan must have in common with the one in its folder: the words given to every run.
local function same_plan(old, new, dir)
  local a, b = table.concat(old.args or {}, " "), table.concat(new.args or {}, " ")
  if old.recipe ~= new.recipe or a ~= b then
    return nil, ("%s holds a sweep of `%s %s`, not of `%s %s`: name another folder by --out"):format(dir, old.recipe, a, new.recipe, b), "argument"
  end
  return true
end

local KNOWN = { recipe = true, seeds = true, set = true, args = true, out = true, jobs = true, threads = true, metric = true, watch = true,
  stage = true, stop = true, margin = true, rung = true, keep = true, poll = true, program = true, say = true, quiet = true, grace = true }

--- open{recipe =, seeds =, set =, args =, out =, metric =, ...} -> sweep | nil, message, code
-- Makes the folder or reads what is in it. See run for the options.
function sweep.open(o)
  check_options("sweep.open", o, KNOWN)
  local out = o.out or ("%s/%s-sweep-%s-%s"):format(runs.root(), os.date("%Y%m%d-%H%M%S", math.floor(sys.wall())), clean(o.recipe),
    sys.sha256(("%d %.9f"):format(sys.pid(), sys.wall())):sub(1, 6))
  local jobs = sweep.plan(o)
  local json, state = core.json
  if sys.exists(out .. "/sweep.json") then
    local message, code
    state, message, code = sweep.read(out)
    if not state then return nil, message, code end
    local ok
    ok, message, code = same_plan(state, o, out)
    if not ok then return nil, message, code end
  else
    local names = sys.list(out)
    if names and #names > 0 then return nil, ("%s is not empty and holds no sweep"):format(out), "io" end
    local ok, message, code = sys.mkdir_p(out .. "/console")
    if not ok then return nil, message, code end
    state = { version = VERSION, recipe = o.recipe, started = os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(sys.wall())), stopped = {} }
  end
  state.seeds, state.set, state.args = json.array(o.seeds), json.array(o.set or {}), json.array(o.args or {})
  for _, s in ipairs(state.set) do s.values = json.array(s.values) end
  state.metric = o.metric or state.metric
  state.stopped = state.stopped or {}
  for _, key in ipairs { "watch", "stage", "stop", "margin", "rung", "keep" } do state[key] = o[key] end
  local self = setmetatable({ dir = out, state = state, jobs = jobs, o = o, running = {} }, Sweep)
  for _, job in ipairs(jobs) do
    job.dir = out .. "/" .. job.name
    job.log = logs.open(job.dir, { watch = o.watch, stage = o.stage })
  end
  self:save()
  return self
end

-- ---- one run

local function metrics_of(dir)
  local m = read_json(dir .. "/metrics.json")
  return type(m) == "table" and m or {}
end

--- sweep:look(job) -> status
-- Where a run stands by its folder: "todo", "done", "stopped", "resume" or "busy".
function Sweep:look(job)
  job.log:update()
  local config = runs.read(job.dir)
  if self.state.stopped[job.name] then
    job.reason = self.state.stopped[job.name]
    return "stopped"
  end
  if not config then return "todo" end
  job.seconds = config.seconds
  local status = runs.status(config)
  if status == "done" then
    job.metrics = metrics_of(job.dir)
    return "done"
  end
  if status == "running" then
    job.reason = ("still running as process %s"):format(tostring(config.pid))
    return "busy"
  end
  return "resume"
end

local function last_line(path)
  local text = sys.read_file(path, 1 << 24) or ""
  local last
  for line in text:gmatch("[^\r\n]+") do
    if line:find("%S") and not line:find("go on with: ", 1, true) and not line:find("^stack traceback") and not line:find("^%s") then last = line end
  end
  return last
end

--- sweep:launch(job, threads)
-- Starts the child of a job, or lets its run go on.
function Sweep:launch(job, threads)
  local resume = runs.read(job.dir) ~= nil
  if not resume and sys.exists(job.dir) then sys.remove_tree(job.dir) end       -- killed before it wrote anything
  local argv = { self.program, "run" }
  if resume then
    table.move({ "--resume", job.dir, "--threads", tostring(threads) }, 1, 4, 3, argv)
  else
    argv[3] = self.o.recipe
    table.move(job.argv, 1, #job.argv, 4, argv)
    table.move({ "--threads", tostring(threads), "--out", job.dir }, 1, 4, #argv + 1, argv)
  end
  job.console = ("%s/console/%s.txt"):format(self.dir, job.name)
  -- the shell only sends what is printed to a file, and becomes the program
  local full = { "sh", "-c", 'exec "$@" >>"$0" 2>&1', job.console }
  table.move(argv, 1, #argv, 5, full)
  local child, message = sys.spawn(full, { stdin = "null", stdout = "null", own_group = true })
  if not child then error(message, 0) end
  job.child, job.status, job.began, job.ending = child, "running", sys.now(), nil
  self.running[#self.running + 1] = job
  self:tell(job, resume and "goes on" or "started")
end

-- Asks a running child to write its checkpoint and end.
local function interrupt(job, why)
  if job.ending then return end
  job.ending = why
  job.child:kill "int"
end

--- sweep:settle(job, code)
-- A child that has ended.
function Sweep:settle(job, code)
  job.child = nil
  job.log:update()
  local config = runs.read(job.dir)
  job.seconds = config and config.seconds or job.seconds
  if code == 0 then
    job.status, job.metrics, job.reason = "done", metrics_of(job.dir), nil
    self:choose_metric()
    self.state.stopped[job.name] = nil
  elseif job.ending and code == 130 then
    job.status = job.ending
    if job.status == "stopped" then
      self.state.stopped[job.name] = job.reason
      self:save()
    end
  elseif code == 130 then
    job.status, job.reason = "interrupted", "it was interrupted"
  else
    job.status, job.code = "failed", code
    job.reason = config and config.message or last_line(job.console) or ("exit status %d"):format(code)
  end
  self:tell(job, job.status)
end

-- ---- telling

--- sweep:metric_text(job) -> text
-- Its score, or the last epoch it told of.
function Sweep:metric_text(job)
  local m = job.metrics and self.state.metric and job.metrics[self.state.metric]
  if m and m.value then return ("%s %.4f"):format(self.state.metric, m.value) end
  local p = job.log:last()
  if p then return ("%s %.4f, %s epoch %d"):format(job.log.watch, p.value, p.label, p.epoch) end
  return ""
end

--- sweep:tell(job, what)
-- A line when something happens; where a person looks at a terminal the table says it.
function Sweep:tell(job, what)
  if self.quiet or self.live then return end
  local progress = require "kooka.progress"
  local more = {}
  if job.status ~= "running" then
    if job.seconds then more[#more + 1] = progress.duration(job.seconds) end
    if self:metric_text(job) ~= "" and job.status ~= "failed" then more[#more + 1] = self:metric_text(job) end
    if job.reason then more[#more + 1] = job.reason end
    if job.status == "failed" then more[#more + 1] = "its folder: " .. job.dir end
  end
  self.say(("%s: %s%s"):format(job.name, what, #more > 0 and " (" .. table.concat(more, "; ") .. ")" or ""))
end

local function rows_of(self)
  local progress, rows = require "kooka.progress", {}
  for i, job in ipairs(self.jobs) do
    local seconds = job.child and (job.seconds or 0) + sys.now() - job.began or job.seconds
    rows[i] = { job.name, job.status, seconds and progress.duration(seconds) or "", self:metric_text(job), job.reason or "" }
  end
  return rows
end

--- sweep:draw([final])
-- Draws the table over its last drawing; only what fits on the screen.
function Sweep:draw(final)
  if not self.live then return end
  local now = sys.now()
  if not final and self.drawn_at and now - self.drawn_at < .5 then return end
  self.drawn_at = now
  local columns, height = sys.terminal_size(2)
  local tables = require "kooka.table"
  local rows, shown = rows_of(self), {}
  local function keep(test)
    for i, row in ipairs(rows) do
      if #shown < height - 5 and not row.kept and test(self.jobs[i]) then
        row.kept = true
        shown[#shown + 1] = i
      end
    end
  end
  keep(function(j) return j.child ~= nil end)
  keep(function(j) return j.status == "failed" end)
  keep(function() return true end)
  table.sort(shown)
  local list = {}
  for k, i in ipairs(shown) do list[k] = rows[i] end
  local lines = {}
  for line in tables.text { columns = { "run", "status", { "time", align = "right" }, "score", "" }, rows = list }:gmatch("[^\n]+") do
    lines[#lines + 1] = tables.fit(line, columns - 1)
  end
  if self.drawn then io.stderr:write(("\27[%dA\27[J"):format(self.drawn)) end
  io.stderr:write(table.concat(lines, "\n"), "\n")
  self.drawn = #lines
end

-- ---- running them

local function same_options(a, b) return a.options == b.options end

--- sweep:judge(job)
-- Whether a running job is to be ended early, by the rule of this sweep.
function Sweep:judge(job)
  job.log:update()
  if job.ending then return end
  if self.rung and #job.log.points >= self.rung then
    interrupt(job, "paused")
  elseif self.o.stop == "hopeless" then
    local finished = {}
    for _, other in ipairs(self.jobs) do
      if other.status == "done" and same_options(other, job) then finished[#finished + 1] = other.log end
    end
    local lower = require("kooka.eval.seeds").lower_is_better(job.log.watch)
    local reason = stop.hopeless(job.log, finished, { lower = lower, margin = self.o.margin })
    if reason then
      job.reason = reason
      interrupt(job, "stopped")
    end
  end
end

--- sweep:end_all()
-- Ends all children: each may write its checkpoint; one that does not come to its end is killed.
function Sweep:end_all()
  for _, job in ipairs(self.running) do interrupt(job, "interrupted") end
  local deadline = sys.now() + (self.o.grace or 60)
  for _, job in ipairs(self.running) do
    local code = job.child:wait(math.max(.01, deadline - sys.now()))
    if not code then
      job.child:kill "kill"
      code = job.child:wait(10) or 137
      job.ending = nil
    end
    self:settle(job, code)
  end
  self.running = {}
end

--- sweep:drain(jobs) -> whole
-- Runs jobs until all have ended or come to the rung; false after Ctrl-C.
function Sweep:drain(jobs)
  local queue = {}
  for _, job in ipairs(jobs) do queue[#queue + 1] = job end
  local at, wide = 1, math.max(1, math.min(self.o.jobs or self.cores, #queue))
  local threads = math.max(1, self.cores // wide)
  while at <= #queue or #self.running > 0 do
    while at <= #queue and #self.running < wide and not sys.stopped() and not self.refused do
      self:launch(queue[at], threads)
      at = at + 1
    end
    if self.refused and #self.running == 0 then break end
    local still = {}
    for _, job in ipairs(self.running) do
      local code = job.child:wait(0)
      if code then
        self:settle(job, code)
        if job.code == 2 and not runs.read(job.dir) then self.refused = job end     -- wrong usage: so would all others be
        self:results()
      else
        self:judge(job)
        still[#still + 1] = job
      end
    end
    self.running = still
    self:draw()
    if sys.stopped() then
      self:end_all()
      return false
    end
    if #self.running > 0 then pcall(sys.sleep, self.o.poll or .25) end
  end
  return true
end

--- sweep:halve(todo, done) -> whole
-- Successive halving: all to the rung, the better half to twice that, until `keep` are left, which run to the end.
function Sweep:halve(todo, done)
  local alive, rung, keep = {}, self.o.rung or 1, self.o.keep or 1
  for _, job in ipairs(todo) do alive[#alive + 1] = job end
  for _, job in ipairs(done) do alive[#alive + 1] = job end
  while #alive > keep do
    local next_ones = {}
    for _, job in ipairs(alive) do
      if job.status ~= "done" and #job.log.points < rung then next_ones[#next_ones + 1] = job end
    end
    self.rung = rung
    if not self:drain(next_ones) then return false end
    local fit = {}
    for _, job in ipairs(alive) do
      if job.status ~= "failed" and #job.log.points > 0 then fit[#fit + 1] = job end
    end
    if #fit <= keep or self.refused then
      alive = fit
      break
    end
    local lower = require("kooka.eval.seeds").lower_is_better(fit[1].log.watch)
    local kept, dropped = stop.halve(fit, { rung = rung, lower = lower, keep = keep })
    for _, d in ipairs(dropped) do
      if d.run.status ~= "done" then
        d.run.status, d.run.reason = "stopped", d.reason
        self.state.stopped[d.run.name] = d.reason
        self:tell(d.run, "stopped")
      end
    end
    self:save()
    alive, rung = kept, rung * 2
  end
  self.rung = nil
  local rest = {}
  for _, job in ipairs(alive) do
    if job.status ~= "done" then rest[#rest + 1] = job end
  end
  return self:drain(rest)
end

-- Which metric: the one asked for, else what a finished run has, by this order.
local PREFERRED = { "^f1_macro$", "^mean$", "^f1", "^accuracy", "^perplexity", "^rmse", "^log_loss", "" }
--- sweep:choose_metric() -> name | nil
function Sweep:choose_metric()
  if self.state.metric then return self.state.metric end
  for _, job in ipairs(self.jobs) do
    if job.metrics then
      local names = sorted_keys(job.metrics)
      for _, pattern in ipairs(PREFERRED) do
        for _, name in ipairs(names) do
          if name:find(pattern) and job.metrics[name].value then
            self.state.metric = name
            return name
          end
        end
      end
    end
  end
end

--- sweep:results() -> rows
-- Writes results.csv and results.json: a row for each run with its status, options, seed, metrics and seconds.
function Sweep:results()
  self:choose_metric()
  local csv, names, keys = require "kooka.data.csv", {}, {}
  for _, job in ipairs(self.jobs) do
    for name in pairs(job.metrics or {}) do names[name] = true end
    for key in pairs(job.values) do keys[key] = true end
  end
  names, keys = sorted_keys(names), sorted_keys(keys)
  local columns, rows, records = { "run", "status", "seed" }, {}, {}
  table.move(keys, 1, #keys, #columns + 1, columns)
  columns[#columns + 1] = "seconds"
  table.move(names, 1, #names, #columns + 1, columns)
  columns[#columns + 1], columns[#columns + 2] = "reason", "folder"
  for i, job in ipairs(self.jobs) do
    local row = { run = job.name, status = job.status, seed = job.seed, seconds = job.seconds or "", reason = job.reason or "", folder = job.dir }
    for _, key in ipairs(keys) do
      local v = job.values[key]
      row[key] = v == nil and "" or type(v) == "boolean" and tostring(v) or v
    end
    for _, name in ipairs(names) do
      local m = job.metrics and job.metrics[name]
      row[name] = m and m.value or ""
    end
    rows[i] = row
    records[i] = { run = job.name, status = job.status, seed = job.seed, values = job.values, seconds = job.seconds, reason = job.reason,
      folder = job.dir, metrics = job.metrics }
  end
  local ok, message = csv.write(self.dir .. "/results.csv", columns, rows)
  if ok then
    local all = { metric = self.state.metric, runs = core.json.array(records) }
    ok, message = sys.write_file(self.dir .. "/results.json", core.json.encode(all, { pretty = true }) .. "\n")
  end
  if not ok then error(message, 0) end
  return rows
end

-- The program for the children: this one, or the kooka along PATH where the library runs in another.
local function program_of(o)
  if o.program then return o.program end
  local exe = sys.exe()
  return exe and exe:match("/kooka$") and exe or "kooka"
end

--- sweep:run() -> {done, failed, stopped, interrupted, busy, ok}
-- Runs what is not finished. Lists of jobs by how they ended; ok: all that were not ended early are done. `interrupted` is
-- true after Ctrl-C: the children have written their checkpoints, and the same call goes on.
function Sweep:run()
  local o = self.o
  self.program, self.cores = program_of(o), o.threads or sys.threads()
  self.quiet, self.say = o.quiet, o.say or require("kooka.progress").print
  self.live = not o.quiet and not o.say and sys.isatty(2)
  local todo, done, busy = {}, {}, {}
  for _, job in ipairs(self.jobs) do
    job.status = self:look(job)
    if job.status == "done" then done[#done + 1] = job
    elseif job.status == "busy" then busy[#busy + 1] = job
    elseif job.status ~= "stopped" then todo[#todo + 1] = job end
    if job.status == "todo" or job.status == "resume" then job.status = "waiting" end
  end
  local whole
  do
    local _ <close> = sys.stop_hold()
    if o.stop == "halving" then whole = self:halve(todo, done) else whole = self:drain(todo) end
  end
  self:results()
  self:draw(true)
  self:save()
  local r = { done = {}, failed = {}, stopped = {}, busy = busy, interrupted = not whole }
  for _, job in ipairs(self.jobs) do
    if r[job.status] and type(r[job.status]) == "table" and job.status ~= "busy" then table.insert(r[job.status], job) end
  end
  r.ok = whole and #r.done > 0 and #r.done + #r.stopped == #self.jobs
  r.refused = self.refused
  return r
end

return sweep
