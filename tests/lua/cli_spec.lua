--- cli_spec: the command line: files, -e, pipes, unknown words, exit statuses, Ctrl-C.
local lu = require "luaunit"
local helper = require "cli_helper"
local nearest = require "kooka.nearest"
local sys = require("kooka.core").sys

TestCli = {}

function TestCli:setUp()
  lu.skipIf(not helper.kooka, "the program kooka is not beside the module")
  self.dir = helper.folder()
end

function TestCli:tearDown()
  if self.dir then sys.remove_tree(self.dir) end
end

function TestCli:test_a_file_gets_its_arguments_and_arg()
  assert(sys.write_file(self.dir .. "/a.lua", 'print(arg[0], #arg, arg[1], ...) print(arg[-1] ~= nil)'))
  local status, out = helper.run({"a.lua", "x y", "--z"}, {cwd = self.dir})
  lu.assertEquals(status, 0)
  lu.assertEquals(out, "a.lua\t2\tx y\tx y\t--z\ntrue\n")
end

function TestCli:test_code_on_the_command_line_sees_the_library()
  local status, out = helper.run {"-e", "print(kooka.sys.sha256('abc'):sub(1, 8))", "-e", "print(2)"}
  lu.assertEquals(status, 0)
  lu.assertEquals(out, "ba7816bf\n2\n")
end

function TestCli:test_a_script_from_a_pipe_runs()
  local status, out = helper.run({}, {input = "print(6 * 7)\n"})
  lu.assertEquals({status, out}, {0, "42\n"})
  status, out = helper.run({"-", "a"}, {input = "print(...)\n"})
  lu.assertEquals({status, out}, {0, "a\n"})
end

function TestCli:test_errors_show_message_and_trace_and_end_with_1()
  local status, out, err = helper.run {"-e", "local function inner() error('broken') end inner()"}
  lu.assertEquals(status, 1)
  lu.assertEquals(out, "")
  lu.assertStrContains(err, "(command line):1: broken")
  lu.assertStrContains(err, "in local 'inner'")
  lu.assertNil(err:find("cli.lua", 1, true))
  lu.assertNil(err:find("xpcall", 1, true))
end

function TestCli:test_syntax_errors_and_missing_files_end_with_1_or_2()
  local status, _, err = helper.run {"-e", "x ="}
  lu.assertEquals(status, 1)
  lu.assertStrContains(err, "<eof>")
  status, _, err = helper.run {"./nowhere.lua"}
  lu.assertEquals(status, 1)
  lu.assertStrContains(err, "nowhere.lua")
end

function TestCli:test_an_unknown_command_names_the_nearest()
  local status, _, err = helper.run {"rnu"}
  lu.assertEquals(status, 2)
  lu.assertStrContains(err, "did you mean run?")
  status, _, err = helper.run {"--verison"}
  lu.assertEquals(status, 2)
  lu.assertStrContains(err, "unknown option --verison")
end

function TestCli:test_version_and_help()
  local status, out = helper.run {"-v"}
  lu.assertEquals(status, 0)
  lu.assertStrMatches(out, "kooka %d+%.%d+%.%d+, Lua 5%.4, %d+ threads?[^\n]*\n")
  status, out = helper.run {"--help"}
  lu.assertEquals(status, 0)
  lu.assertStrContains(out, "run        run a recipe")
end

function TestCli:test_a_script_may_choose_its_exit_status()
  lu.assertEquals((helper.run {"-e", "os.exit(7)"}), 7)
end

-- Starts code that says "ready" and then works; interrupts it; answers status and the rest of the output.
local function interrupted(code, before)
  local child <close> = helper.start {"-e", "io.stdout:setvbuf('line') " .. (before or "") .. " print('ready') "
    .. code}
  lu.assertEquals(child:read_line(), "ready")
  child:kill("int")
  local status = child:wait(5)
  if not status then child:kill("kill") end
  return status, child:read_all()
end

function TestCli:test_ctrl_c_ends_a_loop_with_130()
  lu.assertEquals(interrupted "while true do end", 130)
end

function TestCli:test_ctrl_c_reaches_loops_inside_coroutines()
  lu.assertEquals(interrupted "coroutine.wrap(function() while true do end end)()", 130)
  lu.assertEquals(interrupted [[
    local co = coroutine.create(function() coroutine.resume(coroutine.create(function() while true do end end)) end)
    coroutine.resume(co)          -- swallows the error of the inner loop, yet the caller ends too
    while true do end]], 130)
end

function TestCli:test_ctrl_c_ends_a_wait_in_c()
  lu.assertEquals(interrupted "kooka.sys.sleep(30)", 130)
  lu.assertEquals(interrupted "kooka.sys.spawn({'sleep', '30'}):wait(20)", 130)
end

function TestCli:test_a_held_ctrl_c_lets_the_work_end_by_itself()
  local status, out = interrupted([[
      while not kooka.sys.stopped() do end
      print("saved")
    end
    kooka.sys.stop_clear()]], "do local hold <close> = kooka.sys.stop_hold()")
  lu.assertEquals({status, out}, {0, "saved\n"})
end

function TestCli:test_coroutines_behave_as_in_stock_lua()
  local code = [[
    print(coroutine.resume(coroutine.create(function(...) print(...) coroutine.yield(1, 2) end), 2, 3))
    local f = coroutine.wrap(function(a) local b = coroutine.yield(a + 1) error("boom " .. b) end)
    print(f(1)) print(pcall(f, "x")) print(pcall(f))
    print(pcall(coroutine.resume, 1))
    local co = coroutine.create(function() error("e", 0) end)
    print(coroutine.resume(co)) print(coroutine.resume(co)) print(coroutine.status(co))
    local g = coroutine.wrap(function()
      local x <close> = setmetatable({}, {__close = function() print("closed") end})
      error("late")
    end)
    print(pcall(g))
    print(select("#", coroutine.resume(coroutine.create(function() end))))]]
  local path = self.dir .. "/co.lua"
  assert(sys.write_file(path, code))
  local stock = sys.spawn({"lua5.4", path}, {stdout = "pipe"})
  lu.skipIf(not stock, "lua5.4 is not installed")
  local want = stock:read_all():gsub("thread expected", "coroutine expected")
  local _, out = helper.run {path}
  lu.assertEquals(out, want)
end

-- Tried until it does: other programs may have the processor for a while.
function TestCli:test_the_program_starts_within_10_ms()
  local best, tries, limit = math.huge, 0, helper.kooka:find("asan") and 0.5 or 0.010
  while best >= limit and tries < 100 do
    local started = sys.now()
    assert(sys.spawn {helper.kooka, "-e", "local x = 1"}):wait()
    best, tries = math.min(best, sys.now() - started), tries + 1
  end
  lu.assertTrue(best < limit, ("best of %d: %.1f ms"):format(tries, best * 1000))
end

TestNearest = {}

function TestNearest:test_typing_errors_find_their_word()
  local words = {"steps", "rate", "source", "data"}
  lu.assertEquals(nearest.word("stpes", words), "steps")
  lu.assertEquals(nearest.word("Sources", words), "source")
  lu.assertNil(nearest.word("zebra", words))
  lu.assertEquals(nearest.hint("rat", words), "; did you mean rate?")
  lu.assertEquals(nearest.hint("zebra", words), "")
end

os.exit(lu.LuaUnit.run())
