-- run_spec.lua -- the test runner itself: what must make it fail does.
package.path = "tests/tools/?.lua;" .. package.path
local lu = require "luaunit"
local sandbox = require "sandbox"

local project = sandbox.run("pwd"):gsub("%s+$", "")
local good = [[
local lu = require "luaunit"
TestGood = {}
function TestGood:test_one() lu.assertTrue(true) end
function TestGood:test_two() lu.skip("no data here") end
os.exit(lu.LuaUnit.run())
]]

TestRun = {}

function TestRun:setUp()
  self.dir = sandbox.folder()
  -- A stand-in for build/kooka: Lua, and a `run` that leaves what a recipe leaves.
  sandbox.write(self.dir .. "/build/kooka", [[
#!/bin/sh
if [ "$1" = run ]; then
  name=$2; while [ "$1" != --out ]; do shift; done
  mkdir -p "$2/predictions"
  echo '{}' >"$2/config.json"; echo '{}' >"$2/metrics.json"; echo '{}' >"$2/log.jsonl"; echo '<html>' >"$2/report.html"
  [ "$name" = empty ] || echo 1 >"$2/predictions/p.csv"
  exit 0
fi
exec lua5.4 "$@"
]])
  os.execute("chmod +x " .. self.dir .. "/build/kooka")
end

function TestRun:tearDown() sandbox.remove(self.dir) end

function TestRun:run(more)
  local output, code = sandbox.run(("cd %s && lua5.4 %s/tests/run.lua %s"):format(self.dir, project, more or ""))
  return output, code, output:match("([^\n]*)\n$")
end

function TestRun:spec(text) sandbox.write(self.dir .. "/tests/lua/planted_spec.lua", text) end

-- A shell script stands for a C test program; its source need only exist.
function TestRun:program(script)
  sandbox.write(self.dir .. "/tests/c/test_planted.c", "")
  sandbox.write(self.dir .. "/build/tests/test_planted", "#!/bin/sh\n" .. script)
  os.execute("chmod +x " .. self.dir .. "/build/tests/test_planted")
end

function TestRun:test_counts_what_passes_and_is_skipped_in_both_interpreters()
  self:spec(good)
  local output, code, last = self:run()
  lu.assertEquals(last, "2 passed, 0 failed, 2 skipped", output)
  lu.assertEquals(code, 0)
  lu.assertStrContains(output, "(kooka)")
  lu.assertStrContains(output, "(lua5.4)")
end

function TestRun:test_one_job_gives_the_same_counts()
  self:spec(good)
  local _, code, last = self:run("--jobs 1")
  lu.assertEquals(last, "2 passed, 0 failed, 2 skipped")
  lu.assertEquals(code, 0)
end

function TestRun:test_a_failing_spec_fails_and_its_message_is_shown()
  self:spec(good:gsub("assertTrue%(true%)", "assertEquals(1, 2)"))
  local output, code, last = self:run()
  lu.assertEquals(last, "0 passed, 2 failed, 2 skipped", output)
  lu.assertEquals(code, 1)
  lu.assertStrContains(output, "expected: 2, actual: 1")
end

function TestRun:test_a_spec_that_prints_no_plan_fails()
  self:spec("print 'all is well'")
  local output, code, last = self:run()
  lu.assertEquals(last, "0 passed, 2 failed, 0 skipped", output)
  lu.assertEquals(code, 1)
  lu.assertStrContains(output, "no plan")
end

function TestRun:test_a_spec_that_does_not_load_fails()
  self:spec("local x =")
  local output, code = self:run()
  lu.assertEquals(code, 1)
  lu.assertStrContains(output, "exit status 1")
end

function TestRun:test_a_program_that_stops_early_fails()
  self:program("echo 1..3; echo ok 1 - a")
  local output, code, last = self:run()
  lu.assertEquals(last, "1 passed, 1 failed, 0 skipped", output)
  lu.assertEquals(code, 1)
  lu.assertStrContains(output, "3 tests were planned, 1 ran")
end

function TestRun:test_a_program_without_tests_fails_unless_it_says_why()
  self:program("echo 1..0")
  lu.assertEquals(select(2, self:run()), 1)
  self:program("echo '1..0 # SKIP no such library'")
  local _, code, last = self:run()
  lu.assertEquals(last, "0 passed, 0 failed, 1 skipped")
  lu.assertEquals(code, 0)
end

function TestRun:test_a_crash_is_named_by_its_signal()
  self:program("echo 1..1; echo ok 1 - a; kill -SEGV $$")
  local output, code, last = self:run()
  lu.assertEquals(last, "1 passed, 1 failed, 0 skipped", output)
  lu.assertEquals(code, 1)
  lu.assertStrContains(output, "SIGSEGV")
end

function TestRun:test_a_bad_exit_status_after_good_tests_fails()
  self:program("echo 1..1; echo ok 1 - a; exit 99")
  local output, code = self:run()
  lu.assertEquals(code, 1)
  lu.assertStrContains(output, "exit status 99")
end

function TestRun:test_a_program_that_hangs_is_ended_and_fails()
  self:program("echo 1..1; echo ok 1 - a; exec sleep 20")
  local output, code = self:run("--timeout 1")
  lu.assertEquals(code, 1)
  lu.assertStrContains(output, "no end after 1 s")
end

function TestRun:test_a_program_that_was_not_built_fails()
  sandbox.write(self.dir .. "/tests/c/test_absent.c", "")
  local output, code = self:run()
  lu.assertEquals(code, 1)
  lu.assertStrContains(output, "not built")
end

function TestRun:test_a_recipe_that_leaves_no_predictions_fails()
  sandbox.write(self.dir .. "/recipes/full/recipe.lua", "return {name = 'full', smoke = {}}")
  local output, code = self:run()
  lu.assertEquals(code, 0, output)
  sandbox.write(self.dir .. "/recipes/empty/recipe.lua", "return {name = 'empty', smoke = {}}")
  output, code = self:run()
  lu.assertEquals(code, 1)
  lu.assertStrContains(output, "holds no predictions")
end

function TestRun:test_a_recipe_whose_data_is_absent_is_skipped_and_says_so()
  sandbox.write(self.dir .. "/recipes/far/recipe.lua", "return {name = 'far', smoke = {data = '../no/such/data'}}")
  local output, code, last = self:run()
  lu.assertEquals(last, "0 passed, 0 failed, 1 skipped", output)
  lu.assertEquals(code, 0)
  lu.assertStrContains(output, "../no/such/data is not there")
end

function TestRun:test_only_chooses_by_name_and_an_empty_choice_fails()
  self:spec(good)
  self:program("echo 1..1; echo not ok 1 - a; exit 1")
  local _, code, last = self:run("--only planted_spec")
  lu.assertEquals(last, "2 passed, 0 failed, 2 skipped")
  lu.assertEquals(code, 0)
  lu.assertEquals(select(2, self:run("--only nothing_like_this")), 1)
end

function TestRun:test_an_unknown_option_stops_with_the_list()
  local output, code = self:run("--ony x")
  lu.assertEquals(code, 2)
  lu.assertStrContains(output, "--only PATTERN")
end

os.exit(lu.LuaUnit.run())
