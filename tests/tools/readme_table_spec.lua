-- readme_table_spec.lua -- README.md's table of speeds is the one of tests/bench/RESULTS.md.
package.path = "tests/tools/?.lua;" .. package.path
local lu = require "luaunit"
local sandbox = require "sandbox"

TestReadmeTable = {}

function TestReadmeTable:setUp() self.dir = sandbox.folder() end

function TestReadmeTable:tearDown() sandbox.remove(self.dir) end

local RESULTS = [[
# Results

## Machine A

    peak 1

| name | ours | peer | unit | ratio | of peak | target | pass | date |
|---|---|---|---|---|---|---|---|---|
| lstm | 12.5 [12, 13] | 25.0 [24, 26] | ms | 2.00 | 80% : 40% | >= 1.1x | yes | 2020-01-02 |
| rules | 3.00 [3, 3] | - | MB/s | - | - | - | - | 2020-01-02 |
| startup | 5.00 [5, 5] | - | ms | - | - | <= 10 ms | yes* | 2020-01-01 |

## Machine A, processor time

| name | ours | peer | unit | ratio | of peak | target | pass | date |
|---|---|---|---|---|---|---|---|---|
| alone | 5.00 [5, 5] | - | ms | - | - | <= 10 ms | yes | 2020-01-01 |
]]

function TestReadmeTable:run(words)
  return sandbox.run(("lua5.4 tests/bench/readme_table.lua %s %s/R.md %s/README.md"):format(words, self.dir, self.dir))
end

function TestReadmeTable:test_the_readme_of_the_project_is_what_the_results_say()
  local output, code = sandbox.run("lua5.4 tests/bench/readme_table.lua --check")
  lu.assertEquals(code, 0, output)
end

function TestReadmeTable:test_lines_with_a_target_are_copied_and_a_changed_number_is_found()
  local text = "before\n<!-- speed: from tests/bench/RESULTS.md by `make bench-readme`, not by hand -->\nold\n<!-- speed: end -->\nafter\n"
  sandbox.write(self.dir .. "/R.md", RESULTS)
  sandbox.write(self.dir .. "/README.md", text)
  local output, code = self:run("--check")
  lu.assertEquals(code, 1)
  lu.assertStrContains(output, "run `make bench-readme`")
  output, code = self:run("")
  lu.assertEquals(code, 0, output)
  lu.assertEquals(select(2, self:run("--check")), 0)
  local readme = sandbox.run("cat " .. self.dir .. "/README.md")
  lu.assertStrContains(readme, "Machine A (2020-01-01 to 2020-01-02):")
  lu.assertStrContains(readme, "| lstm | 12.5 ms | 25.0 ms | 2.00 | 80% : 40% | >= 1.1x | yes |")
  lu.assertStrContains(readme, "| startup | 5.00 ms | - | - | - | <= 10 ms | yes* |")
  lu.assertNil(readme:find("rules", 1, true))
  lu.assertNil(readme:find("alone", 1, true))
  lu.assertNil(readme:find("old", 1, true))
  lu.assertNotNil(readme:find("^before\n.*after\n$"))
  sandbox.write(self.dir .. "/R.md", (RESULTS:gsub("2%.00", "3.00")))
  lu.assertEquals(select(2, self:run("--check")), 1)
end

function TestReadmeTable:test_a_readme_without_the_marks_is_refused()
  sandbox.write(self.dir .. "/R.md", RESULTS)
  sandbox.write(self.dir .. "/README.md", "nothing\n")
  local output, code = self:run("")
  lu.assertEquals(code, 1)
  lu.assertStrContains(output, "lacks the lines")
end

os.exit(lu.LuaUnit.run())
