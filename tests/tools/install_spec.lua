-- install_spec.lua -- vendor/install.sh on machines that we do not have: each is a folder of stand-in commands.
package.path = "tests/tools/?.lua;" .. package.path
local lu = require "luaunit"
local sandbox = require "sandbox"

TestInstall = {}

function TestInstall:setUp()
  self.dir = sandbox.folder()
  for _, tool in ipairs { "sh", "env", "dirname", "grep", "ls", "cat" } do
    sandbox.run(("mkdir -p %s/bin && ln -s \"$(command -v %s)\" %s/bin/"):format(self.dir, tool, self.dir))
  end
  -- /usr/sbin and /sbin stay in reach of the script, whatever stands there.
  self:command("ldconfig", "exit 1")
end

function TestInstall:tearDown() sandbox.remove(self.dir) end

-- A command of the imagined machine; what it was called with is appended to the file `calls`.
function TestInstall:command(name, script)
  local path = self.dir .. "/bin/" .. name
  sandbox.write(path, ("#!/bin/sh\necho %s \"$@\" >>%s/calls\n%s\n"):format(name, self.dir, script or ""))
  os.execute("chmod +x " .. path)
end

-- installed: a shell pattern of the Debian packages that are there.
function TestInstall:debian(installed, user)
  self:command("dpkg-query", 'shift 3; case $1 in ' .. installed .. ') printf installed ;; *) exit 1 ;; esac')
  self:command("apt-get")
  self:command("id", "echo " .. user)
end

function TestInstall:install(more)
  local output, code = sandbox.run(("env -i PATH=%s/bin %s/bin/sh vendor/install.sh %s"):format(self.dir, self.dir, more or ""))
  return output, code
end

function TestInstall:calls(name)
  local f = io.open(self.dir .. "/calls")
  local text = f and f:read("a") or ""
  if f then f:close() end
  local found = {}
  for line in text:gmatch("[^\n]+") do
    if line:match("^" .. name:gsub("%-", "%%-") .. "%f[%W]") then found[#found + 1] = line end
  end
  return table.concat(found, "\n")
end

function TestInstall:test_everything_there_does_nothing_and_needs_no_root()
  self:debian("*", 1000)
  local output, code = self:install()
  lu.assertEquals(code, 0, output)
  lu.assertStrContains(output, "everything is installed")
  lu.assertEquals(self:calls("apt-get"), "")
end

function TestInstall:test_root_installs_only_what_is_missing()
  self:debian("libcmocka-dev|libjansson-dev) exit 1 ;; *", 0)
  local output, code = self:install()
  lu.assertEquals(code, 0, output)
  lu.assertEquals(self:calls("apt-get"),
    "apt-get update -q\napt-get install -y --no-install-recommends libjansson-dev libcmocka-dev")
end

function TestInstall:test_without_root_sudo_is_used()
  self:debian("libjansson-dev) exit 1 ;; *", 1000)
  self:command("sudo", 'exec "$@"')
  local output, code = self:install()
  lu.assertEquals(code, 0, output)
  lu.assertStrContains(self:calls("sudo"), "apt-get install -y --no-install-recommends libjansson-dev")
end

function TestInstall:test_without_root_and_sudo_it_says_what_to_install_and_fails()
  if sandbox.run("ls /usr/sbin/sudo /sbin/sudo 2>/dev/null") ~= "" then lu.skip("sudo stands in /usr/sbin here") end
  self:debian("libjansson-dev) exit 1 ;; *", 1000)
  local output, code = self:install()
  lu.assertEquals(code, 1)
  lu.assertStrContains(output, "apt-get install -y --no-install-recommends libjansson-dev")
  lu.assertEquals(self:calls("apt-get"), "")
end

function TestInstall:test_without_root_a_missing_luacheck_stops_nobody()
  self:debian("lua-check) exit 1 ;; *", 1000)
  local output, code = self:install()
  lu.assertEquals(code, 0, output)
  lu.assertStrContains(output, "missing: luacheck")
end

function TestInstall:test_a_failing_package_manager_fails_and_names_the_command()
  self:debian("libjansson-dev) exit 1 ;; *", 0)
  self:command("apt-get", "exit 100")
  local output, code = self:install()
  lu.assertEquals(code, 1)
  lu.assertStrContains(output, "that failed; as root, run:")
end

function TestInstall:test_homebrew_runs_as_the_user()
  self:command("brew", '[ "$1" != list ] || exit 1')
  self:command("id", "echo 501")
  local output, code = self:install()
  lu.assertStrContains(self:calls("brew"), "brew install")
  lu.assertStrContains(self:calls("brew"), "lua@5.4")
  lu.assertEquals(code, 1, output)                 -- Homebrew has no LuaUnit
  lu.assertStrContains(output, "no package for: LuaUnit")
end

function TestInstall:test_no_package_manager_points_to_the_table()
  local output, code = self:install()
  lu.assertEquals(code, 1)
  lu.assertStrContains(output, "vendor/README.md")
end

function TestInstall:test_check_only_tells()
  self:debian("libjansson-dev) exit 1 ;; *", 0)
  local output, code = self:install("--check")
  lu.assertEquals(code, 1)
  lu.assertStrContains(output, "would run: apt-get install")
  lu.assertEquals(self:calls("apt-get"), "")
  self:debian("*", 0)
  lu.assertEquals(select(2, self:install("--check")), 0)
end

function TestInstall:test_an_unknown_option_stops()
  lu.assertEquals(select(2, self:install("--al")), 2)
end

os.exit(lu.LuaUnit.run())
