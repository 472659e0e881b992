-- run.lua -- installs kookaburra and its recipes as rocks into a fresh tree, without network, and uses them.
--   lua5.4 tests/rocks/run.lua [--build DIR] [--keep]      --keep leaves the tree in DIR/rocks
-- The last line reads `N passed, N failed, N skipped`.
package.path = "tests/tools/?.lua;" .. package.path
local sandbox = require "sandbox"
local quote, shell = sandbox.quote, sandbox.run

local build, keep = "build", false
do
  local i = 1
  while arg[i] do
    if arg[i] == "--build" and arg[i + 1] then
      i = i + 1
      build = arg[i]
    elseif arg[i] == "--keep" then
      keep = true
    else
      io.stderr:write("rocks: unknown option ", arg[i], " (options: --build DIR, --keep)\n")
      os.exit(2)
    end
    i = i + 1
  end
end

local project = shell("pwd"):gsub("%s+$", "")
local tree = project .. "/" .. build .. "/rocks"
local lua = os.getenv("LUA") or "lua5.4"
local passed, failed, skipped = 0, 0, 0

local function finish()
  if not keep then shell("rm -rf " .. quote(tree)) end
  io.write(("%d passed, %d failed, %d skipped\n"):format(passed, failed, skipped))
  os.exit(failed == 0 and 0 or 1)
end

-- Runs a command; passes when it ends 0 and its output contains wanted.
local function check(what, command, wanted)
  local output, code = shell(command)
  local good = code == 0 and (not wanted or output:find(wanted, 1, true))
  io.write(good and "ok      " or "FAILED  ", what, "\n")
  if good then
    passed = passed + 1
  else
    failed = failed + 1
    io.write("    | ", (output:gsub("\n(.)", "\n    | %1")), "\n    ! exit status ", tostring(code),
      wanted and ", expected output with: " .. wanted or "", "\n")
  end
  io.flush()
  return good
end

if shell("command -v luarocks") == "" then
  io.write("LuaRocks is not installed, skipped\n")
  skipped = 1
  finish()
end

-- Without network: an empty network namespace where the system allows one; else proxies that lead nowhere.
local _, cut = shell("unshare -rn true")
local offline = cut == 0 and "unshare -rn " or "env http_proxy=http://127.0.0.1:9 https_proxy=http://127.0.0.1:9 "
io.write("network: ", cut == 0 and "none (own namespace)\n" or "proxies that lead nowhere\n")

local function luarocks(folder, words)
  return ("cd %s && %sluarocks --lua-version=5.4 --tree=%s %s"):format(quote(folder), offline, quote(tree), words)
end

-- A user's home and search path, with nothing in them but the tree; run outside the project.
local outside = sandbox.folder()
local environment = ("cd %s && env -u LUA_PATH -u LUA_CPATH -u LUA_PATH_5_4 -u LUA_CPATH_5_4 HOME=%s LUA_PATH=%s LUA_CPATH=%s ")
  :format(quote(outside), quote(outside), quote(("%s/share/lua/5.4/?.lua;%s/share/lua/5.4/?/init.lua;;"):format(tree, tree)),
    quote(tree .. "/lib/lua/5.4/?.so;;"))

shell("rm -rf " .. quote(tree))
local core = check("kookaburra installs", luarocks(project, "make rockspec/kookaburra-scm-1.rockspec"))
if core then
  check("require \"kooka\" in stock Lua", environment .. lua .. [[ -e 'local k = require "kooka"
    assert(package.searchpath("kooka", package.path):find("build/rocks/", 1, true))
    assert(package.searchpath("kooka.core", package.cpath):find("build/rocks/", 1, true))
    print(k.tensor({1, 2}):tolist()[2], k.sys.pid() > 0)']], "true")
  check("every module of lua/ is in the rock and loads", environment .. lua .. (" -e %s"):format(quote(([[
    local count = 0
    for path in io.popen("cd %s && find lua/kooka -name '*.lua'"):lines() do
      local name = path:gsub("^lua/", ""):gsub("%%.lua$", ""):gsub("/init$", ""):gsub("/", ".")
      local found = assert(package.searchpath(name, package.path))
      assert(found:find("build/rocks/", 1, true), found)
      assert(loadfile(found))
      count = count + 1
    end
    assert(count > 1)
    print("all of them")
  ]]):format(project))), "all of them")
end

-- Each recipe that has a rockspec, and the one made for this test.
local specs = shell("ls -1 recipes/*/*.rockspec tests/rocks/*/*.rockspec 2>/dev/null")
for spec in specs:gmatch("[^\n]+") do
  local folder, file = spec:match("^(.*)/([^/]+)$")
  local name = folder:match("([^/]+)$")
  if core and check(name .. " installs", luarocks(project .. "/" .. folder, "make " .. quote(file))) then
    check(name .. " is a recipe in stock Lua",
      environment .. lua .. (" -e 'local r = require \"kooka.recipes.%s\" print(r.name, type(r.run))'"):format(name), name .. "\tfunction")
  end
end

local kooka = quote(project .. "/" .. build .. "/kooka")
if core then
  check("kooka run takes the file of an installed recipe",
    environment .. kooka .. " run " .. quote(tree .. "/share/lua/5.4/kooka/recipes/haha.lua") .. " --help", "haha: ")
  check("kooka run finds the recipe that is only a rock", environment .. kooka .. " run hello --smoke --out out && cat out/predictions/hello.txt",
    "jaja 1")
  shell(("mkdir -p %s/.luarocks && cp -r %s/share %s/.luarocks/"):format(quote(outside), quote(tree), quote(outside)))
  check("kooka run finds it below ~/.luarocks", ("cd %s && env -u LUA_PATH HOME=%s %s run hello --smoke --out again && cat again/metrics.json")
    :format(quote(outside), quote(outside), kooka), "{")
  check("kookaburra is removed again", luarocks(project, "remove --force kookaburra") .. " && ! ls " .. quote(tree) .. "/lib/lua/5.4/kooka/core.so")
end
sandbox.remove(outside)
finish()
