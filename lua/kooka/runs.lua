--- runs: a folder for every run, with where it came from, what it said and what it measured.
-- config.json is written at the start; log.jsonl grows line by line; every other file is written aside and
-- renamed, so a killed run leaves whole files only, and finished stages are not done again by --resume.
local core = require "kooka.core"
local provenance = require "kooka.runs.provenance"
local sys = core.sys

local runs = {}

local Run = {}
Run.__index = Run

-- Looked up when first used: sessions that only look at help need no JSON.
local function json_module()
  return require("kooka").json
end

-- nan and infinities become nil in what is written: JSON has no word for them. Returns a copy.
local function finite(value, depth)
  if type(value) == "number" then
    if value ~= value or value == math.huge or value == -math.huge then return nil end
    return value
  end
  if type(value) ~= "table" or (depth or 0) > 40 then return value end
  local mt = getmetatable(value)
  local list = #value > 0
  local out = setmetatable({}, mt)
  for key, item in next, value do
    local clean = finite(item, (depth or 0) + 1)
    if clean == nil and list and math.type(key) == "integer" then clean = json_module().null end
    out[key] = clean
  end
  return out
end

local function encode(value, options)
  return json_module().encode(finite(value), options)
end

local function utc(t)
  return os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(t or sys.wall()))
end

--- runs.git([folder = "."]) -> {revision, changed} or nil
-- The commit that the folder is at, and whether files differ from it; nil outside a git tree.
function runs.git(folder)
  local state = require("kooka.runs.git").state(folder)
  return state and {revision = state.revision, changed = state.changed}
end

--- runs.root() -> path
-- Where runs live: $KOOKA_RUNS or "runs".
function runs.root()
  local root = os.getenv("KOOKA_RUNS")
  return root and root ~= "" and root or "runs"
end

-- 20261123-200412-road-users=5-s1-a3f20c; `digest` is of code, options and seed.
local function make_id(t, recipe, changed, seed, digest)
  local parts, keys = {os.date("%Y%m%d-%H%M%S", math.floor(t)), recipe}, {}
  for key in pairs(changed) do keys[#keys + 1] = key end
  table.sort(keys)
  local text = {}
  for i, key in ipairs(keys) do
    text[i] = key .. "=" .. tostring(changed[key]):gsub("^.*/([^/]+)/*$", "%1"):gsub("[^%w._-]", "_"):sub(1, 16)
  end
  local options = table.concat(text, ","):sub(1, 60)
  if options ~= "" then parts[#parts + 1] = options end
  parts[#parts + 1] = "s" .. seed
  parts[#parts + 1] = digest:sub(1, 6)
  return table.concat(parts, "-")
end

-- Of what decides a run: the recipe, the tree it stands in, options, seed and precision. Two starts of the same have the same.
local function digest_of(t, code)
  local lines = {t.recipe, code.recipe and code.recipe.sha256 or "", code.git and code.git.revision or "",
    code.git and code.git.diff and code.git.diff.sha256 or "", tostring(t.seed or 1), t.precision or ""}
  local keys = {}
  for key in pairs(t.params or {}) do keys[#keys + 1] = key end
  table.sort(keys)
  for _, key in ipairs(keys) do lines[#lines + 1] = key .. "=" .. tostring(t.params[key]) end
  return sys.sha256(table.concat(lines, "\n"))
end

-- Files that a killed process was writing aside: path.tmp-PID.
local function sweep(folder, depth)
  for _, name in ipairs(sys.list(folder) or {}) do
    local path = folder .. "/" .. name
    local pid = name:match("%.tmp%-(%d+)$")
    if pid and not sys.exists("/proc/" .. pid) then
      sys.remove(path)
    elseif depth > 0 and (sys.stat(path) or {}).type == "folder" then
      sweep(path, depth - 1)
    end
  end
end

-- A line that was being written when the process was killed is dropped.
local function mend_log(path)
  local text = sys.read_file(path)
  if not text or text == "" or text:sub(-1) == "\n" then return end
  sys.write_file(path, text:match("^(.*\n)") or "")
end

local function running_elsewhere(config)
  if config.status ~= "running" or not config.pid or config.pid == sys.pid() then return false end
  local command = sys.read_file("/proc/" .. config.pid .. "/cmdline")
  return command ~= nil and command:find("kooka", 1, true) ~= nil
end

--- runs.status(config) -> string
-- "running", "done", "failed", "interrupted", or "killed" when it says running but its process is gone.
function runs.status(config)
  if config.status == "running" and config.pid ~= sys.pid() and not running_elsewhere(config) then return "killed" end
  return tostring(config.status)
end

-- Not by run:save: config.json is no output of a stage.
local function write_config(self)
  return sys.write_file(self.dir .. "/config.json", encode(self.config, {pretty = true}) .. "\n")
end

local function start(self)
  local file, message = io.open(self.dir .. "/log.jsonl", "a")
  if not file then return nil, message, "io" end
  file:setvbuf("line")
  self.log_file = file
  self.started = sys.now()
  local ok, why, code = write_config(self)
  if not ok then return nil, why, code end
  return self
end

-- Folders that killed processes were making.
local function sweep_new(root)
  for _, name in ipairs(sys.list(root) or {}) do
    local pid = name:match("^%.new%-(%d+)%-%x+$")
    if pid and not sys.exists("/proc/" .. pid) then sys.remove_tree(root .. "/" .. name) end
  end
end

-- The folder under its id, taken by renaming: processes that start in the same second do not share one.
local function settle_folder(making, root, id)
  for n = 1, 1000 do
    local name = n == 1 and id or ("%s-%d"):format(id, n)
    local dir = root .. "/" .. name
    if not sys.exists(dir) and sys.rename(making, dir) then return dir, name end
  end
  return nil, ("%s/%s: a thousand runs have that name"):format(root, id), "io"
end

-- An empty folder to write a new run into, and whether it still has to get its name.
local function new_folder(t, now)
  local out = t.out
  local names = out and sys.list(out)
  if names and #names > 0 then
    if sys.exists(out .. "/config.json") then
      return nil, ("%s already holds a run; go on with it by --resume %s, or name another folder"):format(out, out), "io"
    end
    return nil, ("%s is not empty"):format(out), "io"
  end
  local dir = out
  if not dir then
    sweep_new(runs.root())
    dir = ("%s/.new-%d-%s"):format(runs.root(), sys.pid(), sys.sha256(("%.9f"):format(now)):sub(1, 8))
  end
  local ok, message, code = sys.mkdir_p(dir .. "/predictions")
  if not ok then return nil, message, code end
  return dir
end

--- runs.open{recipe, params, changed, seed, argv, out, source, precision, quiet} -> run | nil, message, code
-- A new run. `out` names its folder (which must be new or empty), else it is runs.root()/<id>. `changed` are
-- the options that differ from the recipe's own; they go into the id, which ends in six digits of a hash of code, options and
-- seed. `source`: the recipe's file or module, which is copied to code/; what its git tree differs in from its commit goes to
-- code.diff. `precision`: of the products; in config.json from the start, for a run that is killed early and goes on.
function runs.open(t)
  local now = sys.wall()
  local seed = t.seed or 1
  local dir, message, code = new_folder(t, now)
  if not dir then return nil, message, code end
  local from
  from, message, code = provenance.code(t.source, dir)
  if not from then return nil, message, code end
  local digest = digest_of(t, from)
  local id = make_id(now, t.recipe, t.changed or {}, seed, digest)
  if not t.out then
    local name
    dir, name, code = settle_folder(dir, runs.root(), id)
    if not dir then return nil, name, code end
    id = name
  end
  local environment = provenance.environment()
  local self = setmetatable({dir = dir, id = id, seed = seed, params = t.params or {}, metrics = {}, quiet = t.quiet,
    resumed = false, touched = {}}, Run)
  self.config = {
    id = id, digest = digest, recipe = t.recipe, source = t.source, seed = seed, threads = sys.threads(),
    precision = t.precision, params = self.params, changed = t.changed or {}, argv = json_module().array(t.argv or {}),
    started = utc(now), started_at = now, status = "running", pid = sys.pid(), git = from.git, code = {recipe = from.recipe},
    version = require("kooka.version").all(), machine = environment.machine, environment = environment,
    data = json_module().array {},
  }
  return start(self)
end

-- Code that is not what the first start had is kept beside it; answers what differs, or nil.
local function changed_code(self, n)
  local config, folder = self.config, ("%s/code/resumed-%d"):format(self.dir, n)
  local was, now = config.code or {}, provenance.code(config.source, folder)
  if not now then return nil end
  local differs = {}
  if was.recipe and now.recipe and was.recipe.sha256 ~= now.recipe.sha256 then differs[1] = "the recipe" end
  local function tree(g) return g and g.revision .. (g.diff and g.diff.sha256 or "") or "" end
  if config.git and now.git and tree(config.git) ~= tree(now.git) then differs[#differs + 1] = "the git tree" end
  if #differs == 0 then
    if sys.exists(folder) then sys.remove_tree(folder) end
    return nil
  end
  return table.concat(differs, " and "), now, folder
end

--- runs.resume(dir [, {argv, quiet}]) -> run | nil, message, code
-- Goes on with the run in dir, with the options and the seed of its first start. Code that changed meanwhile is said and kept
-- in code/resumed-N; run.differs names it.
function runs.resume(dir, t)
  t = t or {}
  dir = dir:gsub("(.)/+$", "%1")
  local config, message, code = runs.read(dir)
  if not config then return nil, message, code end
  if running_elsewhere(config) then
    return nil, ("%s is still running as process %d"):format(dir, config.pid), "busy"
  end
  sweep(dir, 4)
  mend_log(dir .. "/log.jsonl")
  if sys.exists(dir .. "/outputs.json") then sys.remove(dir .. "/outputs.json") end
  local self = setmetatable({dir = dir, id = config.id, seed = config.seed, params = config.params or {},
    quiet = t.quiet,
    resumed = true, config = config, touched = {}}, Run)
  self.metrics = self:load_json("metrics.json") or {}
  config.resumed = json_module().array(config.resumed or {})
  config.data = json_module().array(config.data or {})
  local differs, now, folder = changed_code(self, #config.resumed + 1)
  local environment = provenance.environment()
  table.insert(config.resumed, {started = utc(), argv = json_module().array(t.argv or {}),
    version = require("kooka.version").all(), environment = environment,
    code = now and {recipe = now.recipe, git = now.git, differs = differs} or nil})
  config.status, config.pid = "running", sys.pid()
  local opened
  opened, message, code = start(self)
  if not opened then return nil, message, code end
  opened.differs = differs
  if differs then opened:say("%s changed since the first start; what goes on now is kept in %s", differs, folder) end
  local before = (config.environment or {}).program
  if before and environment.program and before.sha256 ~= environment.program.sha256 then
    opened:say("this program is not the one that began the run (%s, now %s)", before.sha256:sub(1, 12),
      environment.program.sha256:sub(1, 12))
  end
  return opened
end

--- runs.read(dir) -> config | nil, message, code
-- The config.json of a run.
function runs.read(dir)
  local text, message, code = sys.read_file(dir .. "/config.json", 1 << 24)
  if not text then return nil, message, code end
  local config, why = json_module().decode(text)
  if type(config) ~= "table" then
    return nil, ("%s/config.json: %s"):format(dir, why or "expected an object"), "format"
  end
  return config
end

--- runs.list([root]) -> list of configs
-- Newest last; each with its `dir`. Folders that hold no run are left out.
function runs.list(root)
  root = root or runs.root()
  local found = {}
  for _, name in ipairs(sys.list(root) or {}) do
    local config = runs.read(root .. "/" .. name)
    if config then
      config.dir = root .. "/" .. name
      found[#found + 1] = config
    end
  end
  table.sort(found, function(a, b)
    local at, bt = tonumber(a.started_at) or 0, tonumber(b.started_at) or 0
    if at ~= bt then return at < bt end
    return a.dir < b.dir
  end)
  return found
end

--- runs.find(text [, root]) -> dir | nil, message, code
-- A folder, a whole id, a piece of exactly one id, or "last".
function runs.find(text, root)
  if sys.exists(text .. "/config.json") then return text end
  local matches, all = {}, runs.list(root)
  if text == "last" and #all > 0 then return all[#all].dir end
  for _, config in ipairs(all) do
    local id = config.dir:match("[^/]*$")
    if id == text then return config.dir end
    if id:find(text, 1, true) then matches[#matches + 1] = config.dir end
  end
  if #matches == 1 then return matches[1] end
  if #matches == 0 then return nil, ("no run is called %s in %s"):format(text, root or runs.root()), "io" end
  return nil, ("%s could be %s"):format(text, table.concat(matches, ", ")), "argument"
end

-- ---- what a recipe uses

--- run:path(name) -> path
-- A file of this run; folders above it are made. Inside a stage the file counts as one of its outputs.
function Run:path(name)
  local path = self.dir .. "/" .. name
  local folder = path:match("^(.*)/")
  local ok, message = sys.mkdir_p(folder)
  if not ok then error(message, 2) end
  self.touched[name] = true
  return path
end

--- run:save(name, text) -> true | nil, message, code
-- Writes a file of this run, whole or not at all.
function Run:save(name, text)
  return sys.write_file(self:path(name), text)
end

--- run:save_json(name, value) -> true | nil, message, code
-- Numbers that JSON cannot say (nan, infinities) are left out; in lists they become null.
function Run:save_json(name, value)
  return self:save(name, encode(value, {pretty = true}) .. "\n")
end

--- run:load_json(name) -> value | nil, message, code
function Run:load_json(name)
  local text, message, code = sys.read_file(self.dir .. "/" .. name)
  if not text then return nil, message, code end
  return json_module().decode(text)
end

--- run:log(record)
-- One line in log.jsonl; `t` (seconds since this start) is added.
function Run:log(record)
  local copy = {}
  for key, value in pairs(record) do copy[key] = value end
  copy.t = math.floor((sys.now() - self.started) * 1000 + 0.5) / 1000
  copy.stage = copy.stage or self.stage_name
  self.log_file:write(encode(copy), "\n")
end

--- run:say(format, ...)
-- A line for people, printed and logged. With one argument it is taken as it is.
function Run:say(format, ...)
  local text = select("#", ...) > 0 and tostring(format):format(...) or tostring(format)
  self:log {say = text}
  if not self.quiet then require("kooka.progress").print(text) end
end

--- run:progress{label, total, unit} -> bar
-- A progress bar (kooka.progress.new).
function Run:progress(t)
  return require("kooka.progress").new(t)
end

--- run:metric(name, m)
-- Records a metric: a number, or {value, low, high, level, method, n, baseline} as kooka.eval gives it. One without a
-- value (precision where nothing was predicted) is recorded with its note.
function Run:metric(name, m)
  if type(m) == "number" then m = {value = m} end
  assert(type(m) == "table" and (m.value == nil or type(m.value) == "number"),
    "metric " .. tostring(name) .. ": a number or {value = ...} was expected")
  local clean = {note = m.value == nil and (m.note or "not defined") or nil}
  for _, key in ipairs {"value", "low", "high", "level", "method", "n", "baseline"} do clean[key] = finite(m[key]) end
  self.metrics[name] = clean
  self:log {metric = name, value = clean.value, low = clean.low, high = clean.high}
end

local function entry_of(config, path)
  for _, entry in ipairs(config.data) do
    if entry.path == path then return entry end
  end
end

--- run:data(path [, {role = "data", only =}]) -> entry
-- Notes a file or folder that the run reads: path, size and SHA-256 (of every file of a folder, too) go to config.json at
-- once. role: "data", "tokenizer", "model" or a word of your own. only: a pattern on the files of a folder. In a run that goes
-- on it raises when the bytes are no longer those of the first start. entry: {path, absolute, role, type, size, sha256, files,
-- listed}.
function Run:data(path, options)
  require("kooka.options")("run:data", options, {role = true, only = true})
  local entry, message = provenance.hash(path, options and options.only)
  if not entry then error(("run:data: %s"):format(message), 0) end
  entry.path, entry.absolute, entry.role = path, sys.realpath(path), options and options.role or "data"
  local before = entry_of(self.config, path)
  if before and before.sha256 ~= entry.sha256 then
    error(("run:data: %s changed since the run began (SHA-256 %s, was %s); start a new run"):format(path,
      entry.sha256:sub(1, 12), before.sha256:sub(1, 12)), 0)
  elseif not before then
    table.insert(self.config.data, entry)
    self:log {event = "data", path = path, role = entry.role, size = entry.size, sha256 = entry.sha256}
    local ok, why = write_config(self)
    if not ok then error(why, 0) end
  end
  return before or entry
end

--- run:sources() -> list of {name, hash, about}
-- What the run has read (run:data), in that order, as the card of a model takes it for `data` (kooka.card). about: its role, where
-- that is not "data". hash of a folder: of the lines "name, tab, size, tab, SHA-256" of its files.
function Run:sources()
  local list = {}
  for i, entry in ipairs(self.config.data) do
    list[i] = { name = entry.path, hash = entry.sha256, about = entry.role ~= "data" and entry.role or nil }
  end
  return list
end

--- run:check()
-- Raises "interrupted" after a Ctrl-C, so that loops in recipes end between two steps.
function Run:check()
  if sys.stopped() then error("interrupted", 0) end
end

local function marker_name(name)
  return "stages/" .. name:gsub("[^%w._-]", "_") .. ".json"
end

-- The marker of a stage whose files are all there as they were, else nil.
local function finished_stage(self, name)
  if not self.resumed then return nil end
  local marker = self:load_json(marker_name(name))
  if not marker then return nil end
  for file, size in pairs(marker.files or {}) do
    local now = sys.stat(self.dir .. "/" .. file)
    if not now or now.size ~= size then
      self:say("stage %s: %s is missing or was changed; the stage is done again", name, file)
      return nil
    end
  end
  return marker
end

local function output_files(self)
  local files = {}
  for name in pairs(self.touched) do
    local facts = sys.stat(self.dir .. "/" .. name)
    if facts and facts.type == "file" then files[name] = facts.size end
  end
  return files
end

local function enter_stage(self, name)
  local outer = self.touched
  self.touched, self.stage_name = {}, name
  self:log {event = "stage begins"}
  return setmetatable({}, {__close = function()
    for file in pairs(self.touched) do outer[file] = true end
    self.touched, self.stage_name = outer, nil
  end})
end

-- Until the end of the block the ops draw from the stage's own stream, behind it from another, whether it ran now or before.
local function own_stream(self, name)
  local function draw_from(place)
    local digits = sys.sha256(("%d %s %s"):format(self.seed, place, name)):sub(1, 15)
    core.op_stream():state(math.tointeger("0x" .. digits), 0)
  end
  draw_from "in"
  return setmetatable({}, {__close = function() draw_from "behind" end})
end

--- run:stage(name, f) -> value
-- Runs f(run) and remembers that it is done: a resumed run skips it and gives the value from before, which
-- therefore must be something JSON can hold (nil, numbers, strings, lists, records). Files that f names by
-- run:path are checked to be still there. An interrupted or failed stage leaves no mark. The ops draw from a stream of
-- the run's seed and the stage's name, so what a stage makes does not depend on what was computed before it.
function Run:stage(name, f)
  assert(not self.stage_name, "stages do not nest: " .. tostring(self.stage_name))
  local _ <close> = own_stream(self, name)
  local done = finished_stage(self, name)
  if done then
    self:say("%s: done before (%s)", name, require("kooka.progress").duration(done.seconds or 0))
    return done.value
  end
  self:check()
  local started = sys.now()
  local value, files
  do
    local _ <close> = enter_stage(self, name)      -- not pcall: a traceback should reach the place of an error
    value = f(self)
    files = output_files(self)
  end
  self:check()
  local seconds = sys.now() - started
  local marker = {stage = name, seconds = seconds, finished = utc(), files = files, value = value}
  local encoded, text = pcall(encode, marker, {pretty = true})
  if not encoded then error(("stage %s gave a value that cannot be kept: %s"):format(name, text), 2) end
  local ok, message = self:save(marker_name(name), text .. "\n")
  if ok then ok, message = self:save_json("metrics.json", self.metrics) end
  if not ok then error(message, 2) end
  self:log {event = "stage ends", stage = name, seconds = seconds}
  return value
end

-- What is known only at the end: modules that were loaded, the tokenizer, the hash of every file that the run made.
local function settle_outputs(self, status)
  local config = self.config
  config.modules = json_module().array(provenance.modules(self.dir))
  if status == "interrupted" then return true end      -- a Ctrl-C should not wait for hashes; `which` looks at the files
  local files, message, code = provenance.outputs(self.dir)
  if not files then return nil, message, code end
  local tokenizer = files["tokenizer.model"]
  if tokenizer then config.tokenizer = {file = "tokenizer.model", size = tokenizer.size, sha256 = tokenizer.sha256} end
  return self:save_json("outputs.json", files)
end

--- run:finish(status [, message]) -> true | nil, message, code
-- Writes metrics.json, outputs.json (size and SHA-256 of every file that the run made) and the end into config.json. status:
-- "done", "failed" or "interrupted".
function Run:finish(status, message)
  if self.finished then return true end
  self.finished = true
  local config = self.config
  config.status, config.message, config.finished = status, message, utc()
  config.seconds = (config.seconds or 0) + (sys.now() - self.started)
  config.pid = nil
  config.version.blas = sys.blas()              -- known now, if it was used
  local environment = provenance.environment()
  config.environment = config.environment or environment
  config.environment.blas = environment.blas
  config.environment.kernel, config.environment.kernel_bf16 = environment.kernel, environment.kernel_bf16
  self:log {event = status, message = message}
  self.log_file:close()
  local ok, why, code = self:save_json("metrics.json", self.metrics)
  if ok then ok, why, code = settle_outputs(self, status) end
  local wrote, reason, kind = write_config(self)
  if not ok then return nil, why, code end
  return wrote, reason, kind
end

return runs
