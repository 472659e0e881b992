--- runs.checkout: the code and the settings that made a run, in a folder of their own, with a command that does it again.
local git = require "kooka.runs.git"
local runs = require "kooka.runs"
local sys = require("kooka.core").sys

local function quote(text)
  text = tostring(text)
  if text ~= "" and not text:find("[^%w@%%+=:,./_-]") then return text end
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local function absolute(path)
  return sys.realpath(path) or path
end

-- A text option that names a file is written so that it is found from another folder.
local function option_value(config, value)
  if type(value) ~= "string" or value == "" or value:find("^/") then return value end
  for _, entry in ipairs(config.data or {}) do
    if entry.path == value and entry.absolute then return entry.absolute end
  end
  local cwd = (config.environment or {}).cwd
  local path = cwd and cwd .. "/" .. value
  if path and (value:find("/", 1, true) or value:find("%.%w+$")) and sys.exists(path) then return absolute(path) end
  return value
end

-- The fewest digits that read back as the same number.
local function shortest(x)
  for digits = 6, 17 do
    local text = ("%%.%dg"):format(digits):format(x)
    if tonumber(text) == x then return text end
  end
end

-- kooka run RECIPE with every option said, whatever the defaults are by now.
local function command_of(config, recipe)
  local words, keys = { "run", quote(recipe) }, {}
  for key in pairs(config.params or {}) do
    if key ~= "seed" then keys[#keys + 1] = key end          -- which recipes put there themselves
  end
  table.sort(keys)
  for _, key in ipairs(keys) do
    local value = option_value(config, config.params[key])
    if math.type(value) == "float" then value = shortest(value) end
    words[#words + 1] = quote(("--%s=%s"):format(key:gsub("_", "-"), tostring(value)))
  end
  words[#words + 1] = ("--seed %d"):format(config.seed or 1)
  if config.threads then words[#words + 1] = ("--threads %d"):format(config.threads) end
  if config.precision then words[#words + 1] = "--precision " .. config.precision end
  return table.concat(words, " ")
end

local function copy_tree(from, to)
  return require("kooka.runs.provenance").walk(from, function(name)
    if name:find("^resumed%-") or name:find("^modules/") then return true end
    local path = to .. "/" .. name
    local text, message, code = sys.read_file(from .. "/" .. name)
    if not text then return nil, message, code end
    local ok
    ok, message, code = sys.mkdir_p(path:match("^(.*)/"))
    if ok then ok, message, code = sys.write_file(path, text) end
    return ok, message, code
  end)
end

-- The tree of the run in `folder`; true, or nil and why it cannot be put together.
local function put_tree(dir, config, folder)
  local state = config.git
  if not state then return nil, "no git revision is known for this run" end
  if state.diff_left_out then return nil, ("the diff was not kept: %s"):format(state.diff_left_out) end
  local scratch = os.tmpname()
  os.remove(scratch)
  local tree, message = git.tree(state, state.diff and dir .. "/code.diff", scratch)
  local ok = tree ~= nil
  if tree then ok, message = git.export(tree, folder) end
  if sys.exists(scratch) then sys.remove_tree(scratch) end
  if not ok then return nil, message end
  return true
end

local function write_script(folder, text)
  local path = folder .. "/run.sh"
  if sys.exists(path) then path = folder .. "/kooka-run.sh" end
  local ok, message, code = sys.write_file(path, text)
  if not ok then return nil, message, code end
  return path
end

local function script(dir, config, command)
  local lines = { "#!/bin/sh", "# The run " .. tostring(config.id) .. " once more; further options may follow. KOOKA names the program.",
    "set -eu", 'cd "$(dirname "$0")"' }
  local root = absolute(dir):match("^(.*)/")
  lines[#lines + 1] = ('[ -n "${KOOKA_RUNS:-}" ] || KOOKA_RUNS=%s'):format(quote(root))
  lines[#lines + 1] = "export KOOKA_RUNS"
  if #(config.modules or {}) > 0 then lines[#lines + 1] = 'export LUA_PATH="modules/?.lua;${LUA_PATH:-;}"' end
  for name, value in pairs((config.environment or {}).variables or {}) do
    if name == "KOOKA_KERNEL" or name == "KOOKA_KERNEL16" then lines[#lines + 1] = ("export %s=%s"):format(name, quote(value)) end
  end
  local exe = sys.exe()
  if exe and exe:find("/kooka$") then             -- the one that wrote this, where none is on the path
    lines[#lines + 1] = ('[ -n "${KOOKA:-}" ] || command -v kooka > /dev/null || KOOKA=%s'):format(quote(exe))
  end
  lines[#lines + 1] = ('exec "${KOOKA:-kooka}" %s "$@"'):format(command)
  return table.concat(lines, "\n") .. "\n"
end

local function same_program(config)
  local was, exe = (config.environment or {}).program, sys.exe()
  if not (was and exe) then return nil end
  return sys.sha256_file(exe) == was.sha256
end

--- checkout(dir [, folder]) -> {folder, recipe, command, script, complete, exact, source, notes} | nil, message, code
-- Makes `folder` (new or empty; default "code-" and the id) hold the run's commit with its uncommitted changes, as they were; the
-- repository is only read. Without git, or where the commit is gone, it holds the copy of the recipe that the run kept, and notes
-- say so (complete = false). script: a shell file that runs the recipe with every option, seed and thread count of the run and data
-- found where it lay; command is what it calls. exact: the recipe there is byte for byte the run's.
return function(dir, folder)
  local config, message, code = runs.read(dir)
  if not config then return nil, message, code end
  folder = folder or "code-" .. dir:match("[^/]*$")
  local names = sys.list(folder)
  if names and #names > 0 then return nil, ("%s is not empty"):format(folder), "io" end
  local ok
  ok, message, code = sys.mkdir_p(folder)
  if not ok then return nil, message, code end
  local notes, recipe, source = {}, nil, "git"
  local kept = (config.code or {}).recipe
  local complete, why = put_tree(dir, config, folder)
  if complete then
    recipe = config.git.recipe
    if config.git.diff then
      notes[#notes + 1] = ("commit %s with the changes that were not committed"):format(config.git.revision:sub(1, 12))
    else
      notes[#notes + 1] = ("commit %s, nothing had changed"):format(config.git.revision:sub(1, 12))
    end
    for _, name in ipairs(config.git.left_out or {}) do notes[#notes + 1] = name .. " was too large to keep and is missing" end
  else
    notes[#notes + 1] = ("only the recipe and its settings are here: %s"):format(why)
    source = "copy"
  end
  if kept and not (recipe and sys.exists(folder .. "/" .. recipe)) then
    ok, message, code = copy_tree(dir .. "/code", folder .. (complete and "/kooka-code" or ""))
    if not ok then return nil, message, code end
    recipe = (complete and "kooka-code/" or "") .. kept.file:gsub("^code/", "")
  end
  if #(config.modules or {}) > 0 then
    ok, message, code = copy_tree(dir .. "/code/modules", folder .. "/modules")
    if not ok then return nil, message, code end
  end
  local exact = kept ~= nil and recipe ~= nil and sys.sha256_file(folder .. "/" .. recipe) == kept.sha256
  if not recipe then
    notes[#notes + 1] = "the run kept no copy of its recipe: the command names it as it was called"
  elseif kept and not exact then
    notes[#notes + 1] = recipe .. " is not the recipe that the run kept"
  end
  local same = same_program(config)
  if same == false then
    notes[#notes + 1] = ("this kooka is not the program of the run (version %s, SHA-256 %s)"):format(
      tostring(config.environment.kooka), config.environment.program.sha256:sub(1, 12))
  end
  local command = command_of(config, recipe and "./" .. recipe or config.recipe)
  local path
  path, message, code = write_script(folder, script(dir, config, command))
  if not path then return nil, message, code end
  return { folder = folder, recipe = recipe and folder .. "/" .. recipe, command = command, script = path, complete = complete == true,
    exact = exact, source = source, notes = notes, same_program = same }
end
