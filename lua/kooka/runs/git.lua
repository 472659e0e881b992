--- runs.git: the state of a git tree as text that can be put together again: revision, diff, untracked files.
-- Only asks git, through its program; a tree is read and never written. What puts a state together (tree, export) uses an
-- index and an object folder of its own, so the repository stays as it was.
local sys = require("kooka.core").sys

local git = {}

local MAX_CHANGED = 8 << 20       -- bytes of a changed tracked file that is kept
local MAX_DIFF = 16 << 20         -- bytes of diff that are kept
local MAX_FILE, MAX_FILES = 256 << 10, 200      -- of untracked files
local PLAIN = { "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--full-index", "--src-prefix=a/",
  "--dst-prefix=b/", "--ignore-submodules=dirty" }
-- What the surroundings may have set for another repository.
local CLEAN = { GIT_DIR = false, GIT_WORK_TREE = false, GIT_INDEX_FILE = false, GIT_PREFIX = false, LC_ALL = "C",
  GIT_OBJECT_DIRECTORY = false, GIT_ALTERNATE_OBJECT_DIRECTORIES = false, GIT_OPTIONAL_LOCKS = "0", GIT_EXTERNAL_DIFF = false }

-- Output and exit status of git; nil without git.
local function ask(folder, words, options)
  options = options or {}
  local argv, env = { "git", "-C", folder }, {}
  table.move(words, 1, #words, #argv + 1, argv)
  for name, value in pairs(CLEAN) do env[name] = value end
  for name, value in pairs(options.env or {}) do env[name] = value end
  local child <close> = sys.spawn(argv, { stdin = "null", stdout = "pipe", stderr = options.stderr or "null", env = env })
  if not child then return nil end
  local text = child:read_all()
  local status = child:wait(60)
  if status ~= 0 and not (options.one and status == 1) then return nil, text end
  return text
end
git.ask = ask

local function line(folder, ...)
  local text = ask(folder, { ... })
  return text and (text:gsub("\n$", ""))
end

local function zero_separated(text)
  local list = {}
  for name in (text or ""):gmatch("[^%z]+") do list[#list + 1] = name end
  return list
end

-- Whether the file lies in the folder of a run: what a run wrote is no code.
local function in_a_run(root, name, known)
  if name:find("%.new%-%d+%-%x+/") then return true end      -- one that begins
  local folder = name:match("^(.*)/")
  while folder do
    if known[folder] == nil then
      local at = root .. "/" .. folder
      known[folder] = sys.exists(at .. "/config.json") and sys.exists(at .. "/log.jsonl")
    end
    if known[folder] then return true end
    folder = folder:match("^(.*)/")
  end
  return false
end

-- Untracked files that are code: Lua files anywhere, and what lies in the recipe's folder. Those too large or too many
-- to keep come second.
local function untracked(root, beside)
  local kept, left, known = {}, {}, {}
  for _, name in ipairs(zero_separated(ask(root, { "ls-files", "--others", "--exclude-standard", "-z" }))) do
    local wanted = name:find("%.lua$") or beside and name:sub(1, #beside + 1) == beside .. "/"
    if wanted and not in_a_run(root, name, known) then
      local facts = sys.stat(root .. "/" .. name)
      if facts and facts.type == "file" then
        table.insert(facts.size <= MAX_FILE and #kept < MAX_FILES and kept or left, name)
      end
    end
  end
  return kept, left
end

-- Tracked files that changed and are too large to keep.
local function too_large(root)
  local list = {}
  for _, name in ipairs(zero_separated(ask(root, { "diff", "--name-only", "--no-relative", "-z", "HEAD" }))) do
    if ((sys.stat(root .. "/" .. name) or {}).size or 0) > MAX_CHANGED then list[#list + 1] = name end
  end
  return list
end

local function with(words, ...)
  local out = table.move(words, 1, #words, 1, {})
  for _, list in ipairs { PLAIN, { ... } } do table.move(list, 1, #list, #out + 1, out) end
  return out
end

--- git.state([folder = "."[, {recipe = path}]]) -> {revision, changed, root, recipe, untracked, left_out}, diff | nil
-- The commit that the folder is at and, as text for `git apply`, what differs from it: tracked files (8 MB each at most), untracked Lua
-- files and the untracked files beside the recipe (256 kB each, 200 of them; a diff above 16 MB is not kept). root: where the tree
-- begins; recipe: the recipe's path below it. `left_out` lists what was not kept. nil outside a git tree, in one without a
-- commit, and without git.
function git.state(folder, options)
  folder = folder or "."
  local revision = line(folder, "rev-parse", "--verify", "HEAD^{commit}")
  local root = revision and line(folder, "rev-parse", "--show-toplevel")
  if not root or root == "" then return nil end
  local state = { revision = revision:match("%x+"), root = root, changed = false }
  local recipe = options and options.recipe and sys.realpath(options.recipe)
  if recipe and recipe:sub(1, #root + 1) == root .. "/" then state.recipe = recipe:sub(#root + 2) end
  local large = too_large(root)
  local words = with({ "diff", "--no-relative", "--binary" }, "HEAD", "--", ".")
  for _, name in ipairs(large) do words[#words + 1] = ":(exclude,literal)" .. name end
  local parts = { ask(root, words) or "" }
  local names, left = untracked(root, state.recipe and state.recipe:match("^(.*)/"))
  table.move(large, 1, #large, #left + 1, left)
  for _, name in ipairs(names) do
    parts[#parts + 1] = ask(root, with({ "diff", "--no-index", "--binary" }, "--", "/dev/null", name), { one = true }) or ""
  end
  local diff = table.concat(parts)
  state.changed = diff ~= "" or #left > 0
  if #names > 0 then state.untracked = names end
  if #left > 0 then state.left_out = left end
  if #diff > MAX_DIFF then
    state.diff_left_out = ("%d bytes of diff are above the limit of %d"):format(#diff, MAX_DIFF)
    diff = ""
  end
  return state, diff
end

-- A repository that has the commit: where the run found it, else around here.
local function repository(state)
  for _, place in ipairs { state.root or ".", "." } do
    if sys.exists(place) and ask(place, { "cat-file", "-e", state.revision .. "^{commit}" }) then
      local folder, objects = line(place, "rev-parse", "--absolute-git-dir"), line(place, "rev-parse", "--git-path", "objects")
      if folder and objects then
        if not objects:find("^/") then objects = sys.realpath(place) .. "/" .. objects end
        return folder, objects, place
      end
    end
  end
  return nil, ("the commit %s is neither in %s nor in the git tree here"):format(state.revision, state.root or "?"), "io"
end

--- git.tree(state, diff_file, scratch) -> {id, env, place} | nil, message, code
-- The whole tree of a state (its commit and, unless nil, the diff in that file) as a git tree object. Objects and index are
-- made in the folder `scratch`; env is what further calls of git.ask need to see them.
function git.tree(state, diff_file, scratch)
  local folder, objects, place = repository(state)
  if not folder then return nil, objects, place end
  local ok, message, code = sys.mkdir_p(scratch .. "/objects")
  if not ok then return nil, message, code end
  scratch = sys.realpath(scratch)
  -- a work tree of its own keeps git from looking at files of the real one
  local env = { GIT_DIR = folder, GIT_WORK_TREE = scratch, GIT_INDEX_FILE = scratch .. "/index",
    GIT_OBJECT_DIRECTORY = scratch .. "/objects", GIT_ALTERNATE_OBJECT_DIRECTORIES = objects }
  local did, said = ask(scratch, { "read-tree", state.revision }, { env = env, stderr = "stdout" })
  if did and diff_file then
    did, said = ask(scratch, { "apply", "--cached", "--whitespace=nowarn", sys.realpath(diff_file) or diff_file },
      { env = env, stderr = "stdout" })
  end
  if not did then return nil, ("git cannot put %s together: %s"):format(state.revision, said or "git is missing"), "io" end
  local id = (ask(scratch, { "write-tree" }, { env = env }) or ""):match("%x+")
  if not id then return nil, ("git cannot write the tree of %s"):format(state.revision), "io" end
  return { id = id, env = env, place = scratch, objects = env.GIT_OBJECT_DIRECTORY }
end

--- git.export(tree, folder) -> true | nil, message, code
-- Writes every file of a tree from git.tree into the folder.
function git.export(tree, folder)
  local ok, message, code = sys.mkdir_p(folder)
  if not ok then return nil, message, code end
  local did, said = ask(tree.place, { "checkout-index", "--all", "--force", "--prefix=" .. sys.realpath(folder) .. "/" },
    { env = tree.env, stderr = "stdout" })
  if not did then return nil, ("git cannot write %s: %s"):format(folder, said or "git is missing"), "io" end
  return true
end

--- git.tree_diff(a, b [, {stat = false}]) -> text | nil
-- From one tree of git.tree to another, as `git diff` says it; stat: one line a file.
function git.tree_diff(a, b, options)
  local env = {}
  for name, value in pairs(a.env) do env[name] = value end
  env.GIT_ALTERNATE_OBJECT_DIRECTORIES = env.GIT_ALTERNATE_OBJECT_DIRECTORIES .. ":" .. b.objects .. ":"
    .. b.env.GIT_ALTERNATE_OBJECT_DIRECTORIES
  return ask(a.place, with({ "diff", options and options.stat and "--stat=100" or "--patch" }, a.id, b.id), { env = env })
end

--- git.file_diff(a, b) -> text | nil
-- From one file to another, as `git diff` says it; nil without git.
function git.file_diff(a, b)
  return ask(".", with({ "diff", "--no-index" }, "--", a, b), { one = true })
end

return git
