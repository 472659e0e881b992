--- runs.provenance: where a run came from: its code, the bytes it read, the machine it ran on.
local core = require "kooka.core"
local git = require "kooka.runs.git"
local sys = core.sys

local provenance = {}

local MAX_SOURCE, MAX_SOURCES = 1 << 20, 100     -- of a recipe's folder and of modules from files
local DEPTH, MAX_FILES, MAX_LISTED = 16, 100000, 1000

-- Settings that change speed or numbers. Nothing else of the environment is ever kept: it may hold tokens.
local VARIABLES = { "KOOKA_KERNEL", "KOOKA_KERNEL16", "KOOKA_RUNS", "KOOKA_BOARDS", "OMP_NUM_THREADS", "OMP_PROC_BIND", "OMP_PLACES",
  "OMP_WAIT_POLICY", "OMP_DYNAMIC", "GOMP_CPU_AFFINITY", "OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS", "MALLOC_ARENA_MAX", "LANG",
  "LC_ALL", "LC_CTYPE", "LUA_PATH", "LUA_PATH_5_4", "LUA_CPATH", "LUA_CPATH_5_4", "TZ" }

--- provenance.environment() -> {machine, kernel, kernel_bf16, blas, threads, lua, kooka, program, variables, cwd}
-- program: path, size and SHA-256 of what runs. variables: those of a fixed list that are set; no other is looked at.
function provenance.environment()
  local version = require("kooka.version").all()
  local kernel, bf16 = core.kernel()
  local found = {}
  for _, name in ipairs(VARIABLES) do found[name] = os.getenv(name) end
  local exe = sys.exe()
  return { machine = sys.machine(), kernel = kernel, kernel_bf16 = bf16, blas = version.blas, threads = sys.threads(),
    lua = version.lua, kooka = version.kooka, variables = found, cwd = sys.cwd(),
    program = exe and { path = exe, size = (sys.stat(exe) or {}).size, sha256 = sys.sha256_file(exe) } or nil }
end

-- Calls f(name below root, size) for every file of a folder, in the order of names; nil and a message when it is too much.
local function walk(root, below, depth, count, f)
  if depth < 0 then return nil, ("%s: more than %d folders in each other"):format(root, DEPTH), "format" end
  local names, message, code = sys.list(root .. below)
  if not names then return nil, message, code end
  for _, name in ipairs(names) do
    local path = below .. "/" .. name
    local facts = sys.stat(root .. path)
    local ok = true
    if facts and facts.type == "folder" then
      ok, message, code = walk(root, path, depth - 1, count, f)
    elseif facts and facts.type == "file" then
      count.n = count.n + 1
      if count.n > MAX_FILES then return nil, ("%s: more than %d files"):format(root, MAX_FILES), "format" end
      ok, message, code = f(path:sub(2), facts.size)
    end
    if ok == nil then return nil, message, code end
  end
  return true
end

--- provenance.walk(root, f) -> true | nil, message, code
-- Calls f(name, size) for every file below root, in the order of paths, until it answers nil, message, code.
function provenance.walk(root, f)
  return walk(root, "", DEPTH, { n = 0 }, f)
end

--- provenance.hash(path [, only]) -> {type, size, sha256, files, listed} | nil, message, code
-- A file: its SHA-256. A folder: the SHA-256 of the lines "name, tab, size, tab, SHA-256" of its files in the order of their
-- paths; files counts them, listed is the list of {name, size, sha256} (the first 1,000). Follows links.
-- only: a pattern; other files of the folder are not looked at.
function provenance.hash(path, only)
  local facts, message, code = sys.stat(path)
  if not facts then return nil, message, code end
  if facts.type == "file" then
    local sha256
    sha256, message, code = sys.sha256_file(path)
    if not sha256 then return nil, message, code end
    return { type = "file", size = facts.size, sha256 = sha256 }
  elseif facts.type ~= "folder" then
    return nil, ("%s is neither a file nor a folder"):format(path), "io"
  end
  local lines, listed, size = {}, {}, 0
  local ok
  ok, message, code = provenance.walk(path, function(name, bytes)
    if only and not name:find(only) then return true end
    local sha256, why, kind = sys.sha256_file(path .. "/" .. name)
    if not sha256 then return nil, why, kind end
    lines[#lines + 1] = ("%s\t%d\t%s\n"):format(name, bytes, sha256)
    if #listed < MAX_LISTED then listed[#listed + 1] = { name = name, size = bytes, sha256 = sha256 } end
    size = size + bytes
    return true
  end)
  if not ok then return nil, message, code end
  return { type = "folder", size = size, files = #lines, sha256 = sys.sha256(table.concat(lines)), listed = listed }
end

local function keep(to, name, text)
  local path = to .. "/" .. name
  local ok, message, code = sys.mkdir_p(path:match("^(.*)/"))
  if ok then ok, message, code = sys.write_file(path, text) end
  if not ok then return nil, message, code end
  return true
end

-- The text of a module that is embedded in the program, or nil.
local function embedded(name)
  return core.module_source and core.module_source(name)
end

-- Files that belong to the recipe: of recipes/NAME/recipe.lua the Lua files of its folder, else the file alone.
local function recipe_files(source)
  local folder, name = source:match("^(.*)/([^/]*)$")
  folder, name = folder or ".", name or source
  local files = { [name] = source }
  if name ~= "recipe.lua" then return files, name end
  for _, other in ipairs(sys.list(folder) or {}) do
    local facts = other:find("%.lua$") and sys.stat(folder .. "/" .. other)
    if facts and facts.type == "file" and facts.size <= MAX_SOURCE then files[other] = folder .. "/" .. other end
  end
  return files, name
end

--- provenance.code(source, folder) -> {recipe = {file, sha256}, git} | nil, message, code
-- Keeps the code of a run in its folder: code/ holds the recipe (and the Lua files beside a recipe.lua), code.diff what differs
-- from the git revision. source: path of the recipe or the name of its module.
function provenance.code(source, folder)
  local found = {}
  local path = source and (source:find("/", 1, true) or source:find("%.lua$")) and source or nil
  -- first, so that what is written below is not taken for a new file of the tree
  local state, diff = git.state(path and (path:match("^(.*)/[^/]*$") or ".") or nil, { recipe = path })
  if path then
    local files, main = recipe_files(source)
    for name, from in pairs(files) do
      local text, message, code = sys.read_file(from, MAX_SOURCE)
      local ok = text
      if text then ok, message, code = keep(folder .. "/code", name, text) end
      if not ok then return nil, message, code end
      if name == main then found.recipe = { file = "code/" .. name, sha256 = sys.sha256(text) } end
    end
  elseif source and embedded(source) then
    local text = embedded(source)
    local ok, message, code = keep(folder .. "/code", "recipe.lua", text)
    if not ok then return nil, message, code end
    found.recipe = { file = "code/recipe.lua", sha256 = sys.sha256(text), module = source }
  end
  found.git = state
  if state and diff ~= "" then
    state.diff = { file = "code.diff", size = #diff, sha256 = sys.sha256(diff) }
    local ok, message, code = keep(folder, "code.diff", diff)
    if not ok then return nil, message, code end
  end
  return found
end

--- provenance.modules(folder, recipe_file) -> list of {name, file, sha256}
-- Modules that were loaded from files so far, outside kooka itself; copies of them (a megabyte each at most) go to code/modules.
function provenance.modules(folder)
  local list, names = {}, {}
  for name in pairs(package.loaded) do
    if type(name) == "string" and not package.preload[name] and not name:find("^kooka") then names[#names + 1] = name end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local path = package.searchpath(name, package.path)
    local text = path and #list < MAX_SOURCES and sys.read_file(path, MAX_SOURCE)
    if text then
      local copy = "code/modules/" .. name:gsub("%.", "/") .. ".lua"
      if keep(folder, copy, text) then
        list[#list + 1] = { name = name, path = path, file = copy, sha256 = sys.sha256(text) }
      end
    end
  end
  return list
end

--- provenance.outputs(folder) -> {name = {size, sha256, modified}} | nil, message, code
-- The files of a finished run, but for the log, config.json and the code that was kept.
function provenance.outputs(folder)
  local files = {}
  local ok, message, code = provenance.walk(folder, function(name, size)
    if name == "config.json" or name == "log.jsonl" or name == "outputs.json" or name:find("%.tmp%-%d+$")
      or name:find("^code/") or name == "code.diff" or name:find("^stages/") then
      return true
    end
    local sha256 = sys.sha256_file(folder .. "/" .. name)
    local facts = sys.stat(folder .. "/" .. name)
    if sha256 and facts then files[name] = { size = size, sha256 = sha256, modified = facts.modified } end
    return true
  end)
  if not ok then return nil, message, code end
  return files
end

return provenance
