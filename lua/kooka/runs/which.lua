--- runs.which: which run made this file? By content, so copies that lie elsewhere under other names are known too.
local runs = require "kooka.runs"
local sys = require("kooka.core").sys

local function read_outputs(dir)
  local text = sys.read_file(dir .. "/outputs.json")
  local files = text and require("kooka").json.decode(text)
  return type(files) == "table" and files or nil
end

-- Runs below root, and those whose folder the file lies in.
local function candidates(path, root)
  local list, seen = runs.list(root), {}
  for _, config in ipairs(list) do seen[sys.realpath(config.dir)] = true end
  local folder = sys.realpath(path):match("^(.*)/")
  while folder and folder ~= "" do
    if not seen[folder] and sys.exists(folder .. "/log.jsonl") then
      local config = runs.read(folder)
      if config then
        config.dir, seen[folder] = folder, true
        list[#list + 1] = config
      end
    end
    folder = folder:match("^(.*)/")
  end
  return list
end

-- Names of outputs with this content. A run that was not finished has no list: its files of the same size are hashed.
local function made(dir, size, sha256)
  local found, files = {}, read_outputs(dir)
  if files then
    for name, facts in pairs(files) do
      if facts.sha256 == sha256 then found[#found + 1] = name end
    end
    table.sort(found)
    return found, "recorded"
  end
  require("kooka.runs.provenance").walk(dir, function(name, bytes)
    if bytes == size and not name:find("^code/") and name ~= "code.diff" and sys.sha256_file(dir .. "/" .. name) == sha256 then
      found[#found + 1] = name
    end
    return true
  end)
  return found, "on disk"
end

-- How else a run knows these bytes: its recipe, or what it read.
local function known(config, sha256)
  local recipe = (config.code or {}).recipe
  if recipe and recipe.sha256 == sha256 then return "recipe", recipe.file end
  for _, entry in ipairs(config.data or {}) do
    if entry.sha256 == sha256 then return "read", entry.path end
    for _, f in ipairs(entry.listed or {}) do
      if f.sha256 == sha256 then return "read", entry.path .. "/" .. f.name end
    end
  end
end

--- which(path [, root]) -> {path, sha256, size, made, known, changed} | nil, message, code
-- made: list of {id, dir, status, started, name, how}, oldest first, of the runs that have an output with this content; how:
-- "recorded" in outputs.json, or "on disk" in a run that did not finish. known: the same with how = "recipe" or "read", for runs
-- that had it as their recipe or read it. changed: {id, dir, name} when the file lies in a run and is not what the run wrote there.
return function(path, root)
  local facts, message, code = sys.stat(path)
  if not facts then return nil, message, code end
  if facts.type ~= "file" then return nil, ("%s is no file"):format(path), "io" end
  local sha256
  sha256, message, code = sys.sha256_file(path)
  if not sha256 then return nil, message, code end
  local out = { path = path, sha256 = sha256, size = facts.size, made = {}, known = {} }
  local real = sys.realpath(path)
  for _, config in ipairs(candidates(path, root)) do
    local about = { id = config.id, dir = config.dir, status = runs.status(config), started = config.started }
    local function add(list, name, how)
      local row = { name = name, how = how }
      for key, value in pairs(about) do row[key] = value end
      list[#list + 1] = row
    end
    local names, how = made(config.dir, facts.size, sha256)
    for _, name in ipairs(names) do add(out.made, name, how) end
    local kind, name = known(config, sha256)
    if kind then add(out.known, name, kind) end
    local inside = sys.realpath(config.dir) .. "/"
    local recorded = real:sub(1, #inside) == inside and read_outputs(config.dir)
    recorded = recorded and recorded[real:sub(#inside + 1)]
    if recorded and recorded.sha256 ~= sha256 then
      out.changed = { id = config.id, dir = config.dir, name = real:sub(#inside + 1) }
    end
  end
  return out
end
