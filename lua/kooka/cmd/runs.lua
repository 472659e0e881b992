--- runs: kooka runs: lists, shows, compares and removes runs.
local core = require "kooka.core"
local progress = require "kooka.progress"
local runs = require "kooka.runs"
local tables = require "kooka.table"

local command = {about = "list, show, compare or remove runs"}

command.usage = [[
usage: kooka runs [list] [--json]      runs in ./runs (or $KOOKA_RUNS), newest last
       kooka runs show ID [--json]     options, machine and metrics of one
       kooka runs diff ID ID           what differs between two
       kooka runs rm ID                removes one
ID: a folder, a piece of one id, or `last`
]]

local function refuse(message)
  io.stderr:write("kooka runs: ", message, "\n")
  return 2
end

local function failed(message)
  io.stderr:write("kooka runs: ", message, "\n")
  return 1
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
  local text = core.sys.read_file(dir .. "/metrics.json")
  local metrics = text and require("kooka").json.decode(text)
  return type(metrics) == "table" and metrics or {}
end

local function list(json_wanted)
  local all = runs.list()
  if json_wanted then
    local json = require("kooka").json
    io.write(json.encode(json.array(all), {pretty = true}), "\n")
    return 0
  end
  if #all == 0 then
    print(("no runs in %s"):format(runs.root()))
    return 0
  end
  local rows = {}
  for i, config in ipairs(all) do
    rows[i] = {config.dir:match("[^/]*$"), runs.status(config), config.seconds and progress.duration(config.seconds)
      or "",
      changed_text(config)}
  end
  print(tables.text {columns = {"run", "status", {title = "time", align = "right"}, "options"}, rows = rows})
  return 0
end

local function show(dir, json_wanted)
  local config, message = runs.read(dir)
  if not config then return failed(message) end
  local metrics = metrics_of(dir)
  if json_wanted then
    io.write(require("kooka").json.encode({dir = dir, config = config, metrics = metrics}, {pretty = true}), "\n")
    return 0
  end
  local rows = {
    {"folder", dir}, {"recipe", config.recipe}, {"status", runs.status(config) .. (config.message and ": "
      .. config.message or "")},
    {"started", config.started}, {"time", config.seconds and progress.duration(config.seconds) or ""},
    {"seed", tostring(config.seed)}, {"threads", tostring(config.threads)},
    {"kooka", config.version and config.version.kooka}, {"machine", config.machine and config.machine.cpu},
    {"git", config.git and config.git.revision .. (config.git.changed and " and changes" or "")},
  }
  for _, key in ipairs(sorted_keys(config.params or {})) do
    rows[#rows + 1] = {"--" .. key:gsub("_", "-"), tostring(config.params[key])}
  end
  for _, row in ipairs(rows) do print((tables.pad(row[1], 18) .. tables.cell(row[2])):match("^(.-)%s*$")) end
  local names = sorted_keys(metrics)
  if #names > 0 then
    local values = {}
    for i, name in ipairs(names) do
      local m = metrics[name]
      values[i] = {name, m, m.level and ("%g%%"):format(100 * m.level) or "", m.n or "", m.baseline or ""}
    end
    print()
    print(tables.text {columns = {"metric", "value", {title = "level", align = "right"}, "n", "baseline"},
      rows = values})
  end
  return 0
end

local function diff(a, b)
  local ca, cb = runs.read(a), runs.read(b)
  if not (ca and cb) then return failed("a config.json cannot be read") end
  local rows = {}
  local function compare(name, x, y)
    if x ~= y then rows[#rows + 1] = {name, tables.cell(x), tables.cell(y)} end
  end
  compare("recipe", ca.recipe, cb.recipe)
  compare("seed", ca.seed, cb.seed)
  compare("git", ca.git and ca.git.revision, cb.git and cb.git.revision)
  compare("kooka", ca.version and ca.version.kooka, cb.version and cb.version.kooka)
  compare("machine", ca.machine and ca.machine.cpu, cb.machine and cb.machine.cpu)
  local keys = {}
  for _, params in ipairs {ca.params or {}, cb.params or {}} do
    for key in pairs(params) do keys[key] = true end
  end
  for _, key in ipairs(sorted_keys(keys)) do
    compare("--" .. key:gsub("_", "-"), (ca.params or {})[key], (cb.params or {})[key])
  end
  local ma, mb, names = metrics_of(a), metrics_of(b), {}
  for _, metrics in ipairs {ma, mb} do
    for name in pairs(metrics) do names[name] = true end
  end
  for _, name in ipairs(sorted_keys(names)) do
    compare(name, ma[name] and tables.metric(ma[name]), mb[name] and tables.metric(mb[name]))
  end
  if #rows == 0 then
    print("no difference")
    return 0
  end
  print(tables.text {columns = {"", a:match("[^/]*$"), b:match("[^/]*$")}, rows = rows})
  return 0
end

--- runs(args) -> exit status
function command.run(args)
  local words, json_wanted = {}, false
  for _, word in ipairs(args) do
    if word == "--json" then json_wanted = true
    elseif word == "--help" or word == "-h" then
      io.write(command.usage)
      return 0
    elseif word:find("^%-") then return refuse(("unknown option %s\n%s"):format(word, command.usage))
    else words[#words + 1] = word end
  end
  local verb = table.remove(words, 1) or "list"
  local wanted = ({list = 0, show = 1, diff = 2, rm = 1})[verb]
  if not wanted then
    return refuse(("%s is none of list, show, diff, rm%s"):format(verb,
      require("kooka.nearest").hint(verb, {"list", "show", "diff", "rm"})))
  end
  if #words ~= wanted then
    return refuse(("%s wants %d run%s\n%s"):format(verb, wanted, wanted == 1 and "" or "s", command.usage))
  end
  for i, word in ipairs(words) do
    local dir, message = runs.find(word)
    if not dir then return failed(message) end
    words[i] = dir
  end
  if verb == "list" then return list(json_wanted) end
  if verb == "show" then return show(words[1], json_wanted) end
  if verb == "diff" then return diff(words[1], words[2]) end
  local ok, message = core.sys.remove_tree(words[1])
  if not ok then return failed(message) end
  print("removed " .. words[1])
  return 0
end

return command
